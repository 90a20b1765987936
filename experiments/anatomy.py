"""Why a comparison's tickets are as good as IMP's, or not: their masks, their layers, their basin.

Of every ticket that a comparison of `experiments.rivals` judged: the share of its weights that
IMP's ticket of the same seed does not keep, beside what chance would give with the same densities
of layers; and those densities. Of some methods' tickets of one level (`--judge`), by `prac judge`
on their first search: the accuracy with the mask shuffled within layers, which tells how much lies
in the layers' densities alone, and the error barrier between two trainings in different orders,
which tells whether the ticket starts in one basin.

    python -m experiments.anatomy PROBLEM --data DIR --judge imp,carried --level 8

Writes `docs/results/PAGE-anatomy.json`, which the problem's page shows from then on.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import Tensor

from experiments import pages, rivals
from prac.algorithms import kept
from prac.comparison import Comparison
from prac.evaluation import mean
from prac.search import Search

Masks = Mapping[str, Tensor]


def differing(masks: Masks, other: Masks) -> float:
    """Return the share of the weights that `masks` keep and `other` do not.

    >>> import torch
    >>> differing({"w": torch.tensor([True, True])}, {"w": torch.tensor([True, False])})
    0.5
    """
    both = kept({name: masks[name] & other[name] for name in masks})
    return 1 - both / kept(masks)


def differing_by_chance(masks: Masks, other: Masks) -> float:
    """Return what `differing` would be if `other` were drawn anew within each layer.

    >>> import torch
    >>> masks = {"w": torch.tensor([True, True, False, False])}
    >>> differing_by_chance(masks, {"w": torch.tensor([True, False, False, False])})
    0.75
    """
    both = sum(int(masks[name].count_nonzero()) * density(other[name]) for name in masks)
    return 1 - both / kept(masks)


def density(mask: Tensor) -> float:
    """Return the share of a layer that its mask keeps."""
    return int(mask.count_nonzero()) / mask.numel()


def of_masks(folder: Path) -> list[dict[str, Any]]:
    """Return, by method and judged level, how tickets differ from IMP's; means over seeds."""
    comparison = Comparison.load(folder)
    found = []
    for method in comparison.methods:
        for level in filter(None, comparison.judged):
            pairs = [
                [
                    Search.load(folder / "runs" / name / f"seed-{seed}").tickets[level].masks
                    for name in (method, "imp")
                ]
                for seed in comparison.seeds
                if all(_has(comparison, name, seed, level) for name in (method, "imp"))
            ]
            if not pairs:
                continue
            names = list(pairs[0][0])
            found.append(
                {
                    "method": method,
                    "level": level,
                    "seeds": len(pairs),
                    "differing": mean([differing(*pair) for pair in pairs]),
                    "by_chance": mean([differing_by_chance(*pair) for pair in pairs]),
                    "layers": {
                        name: mean([density(masks[name]) for masks, _ in pairs]) for name in names
                    },
                }
            )
    return found


def _has(comparison: Comparison, method: str, seed: int, level: int) -> bool:
    return any(run.seed == seed and run.ticket(level) for run in comparison.of(method))


def command(folder: str, method: str, level: int) -> list[str]:
    """Return the `prac judge` command of a method's first search in a comparison's folder."""
    options = f"--levels {level} --seeds 0,1 --shuffle --barriers --cache {folder}/trained"
    return ["prac", "judge", f"{folder}/runs/{method}/seed-0", *options.split()]


def judged(name: str, data: str, runs: str, method: str, level: int) -> dict[str, Any]:
    """Run `prac judge` to its end; return a ticket's accuracies, its control's, its barrier."""
    words = command(str(rivals.folder_of(name, runs)), method, level)
    words += ["--data", str(Path(data, rivals.PROBLEMS[name].folder)), "--json"]
    done = subprocess.run([sys.executable, "-m", *words], stdout=subprocess.PIPE, check=True)
    dense, ticket = json.loads(done.stdout)["levels"]
    assert (dense["index"], ticket["index"]) == (0, level)
    return {
        "method": method,
        "level": level,
        "ticket": ticket["ticket"]["mean"],
        "dense": dense["ticket"]["mean"],
        "shuffled": ticket["controls"]["shuffled"]["mean"],
        "barrier": ticket["barrier"]["height"],
    }


def main(arguments: Sequence[str] | None = None) -> None:
    """Judge what is left to judge, read the masks, write the figures and the page."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("problem", choices=rivals.PROBLEMS)
    parser.add_argument("--data", required=True, help="folder that holds mnist/ and cifar10/")
    parser.add_argument("--runs", default="runs", help="where the run folders are")
    parser.add_argument("--judge", default="imp", help="methods that are judged, with commas")
    parser.add_argument(
        "--level", type=int, required=True, help="the level that they are judged at"
    )
    parser.add_argument("--results", default=str(pages.RESULTS), help="where the page goes")
    options = parser.parse_args(arguments)
    folder = rivals.folder_of(options.problem, options.runs)
    found = {
        "masks": of_masks(folder),
        "judged": [
            judged(options.problem, options.data, options.runs, method, options.level)
            for method in options.judge.split(",")
        ],
        "command": f"python -m experiments.anatomy {options.problem} --data DIR "
        f"--judge {options.judge} --level {options.level}",
    }
    target = Path(options.results) / f"{rivals.page_of(options.problem)}-anatomy.json"
    target.write_text(json.dumps(found, indent=1) + "\n")
    results = json.loads(
        (Path(options.results) / f"{rivals.page_of(options.problem)}.json").read_text()
    )
    rivals.publish(results, folder, Path(options.results))


if __name__ == "__main__":
    main()
