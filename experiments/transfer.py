"""Does a PrAC set found with one network serve another?

The last PrAC sets that ResNet-20s found (experiments/rivals.py cifar10, seeds 0 to 2) are what
Conv-4 searches on, beside Conv-4's own PrAC sets and random sets of the same size; writes
`docs/results/transfer.json` and `.md`.

    python -m experiments.transfer --data DIR      DIR holds cifar10/, as parquet

The commands resume where they were cut off.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Sequence
from typing import Any

from experiments import pages
from experiments.pages import percent, spread, table, wrapped
from prac.evaluation import mean, worse

NAME = "transfer"
SEEDS = (0, 1, 2)
SOURCE_LEVEL = 6
"""Of ResNet-20s's search: its last set."""
LEVELS = 3
OPTIONS = (
    f"--model conv4 --layers conv+linear --limit 5000 --levels {LEVELS} --drop-fraction 0.36 "
    "--epochs 6 --milestones 4,5 --lr 0.02 --batch-size 64 --crop 4 --flip --rewind iteration:70 "
    "--arm at-once --precision bf16 --execution channels-last"
)
KINDS = {
    "own": "Conv-4's own PrAC sets, from its own search",
    "transferred": "the last PrAC set of ResNet-20s, at every level",
    "random": "a random set of that size, at every level",
}


def command(kind: str, seed: int, data: str, runs: str, size: int) -> list[str]:
    """Return the `prac find` command of one search."""
    given = {
        "own": "--method prac",
        "transferred": (
            f"--subset {runs}/rivals-cifar10/runs/prac/seed-{seed}/levels/{SOURCE_LEVEL:02d}/"
            f"subset.safetensors"
        ),
        "random": f"--method random-subset --set-sizes {size} --stop-rule stable",
    }[kind]
    options = ["--data", f"{data}/cifar10", *OPTIONS.split(), *given.split()]
    # The dense network is the same for all kinds.
    options += ["--retrain", f"0,{LEVELS}" if kind == "own" else str(LEVELS), "--seed", str(seed)]
    return ["prac", "find", *options, "--out", f"{runs}/transfer-{kind}-{seed}"]


def found(arguments: list[str]) -> dict[str, Any]:
    """Run a command to its end and return what the page is made of."""
    done = subprocess.run(
        [sys.executable, "-m", *arguments, "--json"], stdout=subprocess.PIPE, check=True
    )
    run = json.loads(done.stdout)
    last = run["levels"][-1]
    return {
        "set_sizes": [level["set_size"] for level in run["levels"]],
        "iterations": last["ledger"]["cost"]["iterations"],
        "imp_iterations": last["ledger"]["imp"]["iterations"],
        "density": last["density"],
        "dense": (run["levels"][0]["retrained"] or {}).get("test_accuracy"),
        "accuracy": last["retrained"]["test_accuracy"],
        "machine": {name: run["environment"][name] for name in ("torch", "processor", "threads")},
    }


def page(results: dict[str, Any]) -> str:
    """Return the page of the results."""
    searches = results["searches"]
    rows = []
    for kind, about in KINDS.items():
        of_kind = searches[kind]
        ours, own = ([run["accuracy"] for run in searches[name]] for name in (kind, "own"))
        lower = worse(ours, own) if kind != "own" else None
        rows.append(
            [
                about,
                spread([run["set_sizes"][-1] for run in of_kind]),
                spread([run["iterations"] for run in of_kind]),
                f"{mean([1 - r['iterations'] / r['imp_iterations'] for r in of_kind]):.1%}",
                percent(ours),
                "" if lower is None else f"{lower:.2g}",
            ]
        )
    dense = [run["dense"] for run in searches["own"]]
    machine = searches["own"][0]["machine"]
    lines = [
        "# Does one network's PrAC set serve another?",
        "",
        f"Conv-4 on 5,000 CIFAR-10 images (JPEG 75; 4,500 for training), {LEVELS} prunings of "
        f"36 % to a density of {searches['own'][0]['density']:.2%}, on three kinds of sets; the "
        f"last ticket is trained alone on all 4,500. {len(dense)} seeds; means with half of their "
        "95 % intervals. "
        f"Conv-4, dense: {percent(dense)} %.",
        "",
        *table(
            ["set", "examples, last level", "iterations", "saved", "test, %", "p: lower than own"],
            rows,
        ),
        "",
        "p is from a paired, one-sided t test over seeds. The cost of finding the transferred set, "
        "with ResNet-20s, is not counted.",
        "",
        "## Made by",
        "",
    ]
    for kind in KINDS:
        shown = command(kind, 0, "DIR", "runs", searches["transferred"][0]["set_sizes"][-1])
        lines += [*wrapped(" ".join(shown)), ""]
    lines += [
        f"and the same with the other seeds, by `python -m experiments.transfer --data DIR`, "
        f"{machine['threads']} torch thread{'' if machine['threads'] == 1 else 's'}, "
        f"{machine['processor']}, torch {machine['torch']}.",
    ]
    return "\n".join(lines) + "\n"


def main(arguments: Sequence[str] | None = None) -> None:
    """Search where that was not done, and write the page."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", required=True, help="folder that holds cifar10/")
    parser.add_argument("--runs", default="runs", help="where the run folders are")
    options = parser.parse_args(arguments)
    searches: dict[str, list[dict[str, Any]]] = {kind: [] for kind in KINDS}
    for seed in SEEDS:
        size = 0
        for kind in ("transferred", "random", "own"):
            run = found(command(kind, seed, options.data, options.runs, size))
            size = size or run["set_sizes"][-1]
            searches[kind].append(run)
    results = {"searches": searches}
    (pages.RESULTS / f"{NAME}.json").write_text(json.dumps(results, indent=1) + "\n")
    pages.write(NAME, page(results))


if __name__ == "__main__":
    main()
