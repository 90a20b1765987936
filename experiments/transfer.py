"""Does a PrAC set found with one network serve another?

The last PrAC sets of one network's searches (`experiments.rivals`) are what another network
searches on, beside its own PrAC sets and random sets of the same size; writes
`docs/results/transfer.json` and `.md`.

    python -m experiments.transfer --data DIR       DIR holds cifar10/, as parquet

"thin-vgg" takes an hour of one core that multiplies bf16 (AMX; OMP_NUM_THREADS=1), after
`experiments.rivals authors`; "conv4" half an hour, after `cifar10`. `--problems` runs one; the same
command goes on where it stopped.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from experiments import pages
from experiments.options import printed, problems_parser
from experiments.pages import percent, spread, table, wrapped
from prac.evaluation import half_width, mean, worse

NAME = "transfer"
KINDS = ("own", "transferred", "random")


@dataclass(frozen=True)
class Problem:
    """Sets of one network, and another network that searches on them.

    Attributes:
        source, target: The networks, as the page names them.
        data: In words.
        searches: Folder of the comparison in which the source searched with PrAC, seeds 0 to 2.
        level: Of the source's search: whose set is taken.
        levels: Prunings of the target.
        options: Of its searches.
        seeds: Of its searches; the source's sets are taken in turn.
        folder: What the names of its folders begin with.
    """

    source: str
    target: str
    data: str
    searches: str
    level: int
    levels: int
    options: str
    seeds: tuple[int, ...]
    folder: str


SOURCES = 3
PROBLEMS = {
    "thin-vgg": Problem(
        source="ResNet-8",
        target="A thin VGG (six convolutions with BatchNorm, no shortcuts)",
        data="30,001 training images of CIFAR-10 at 16 x 16 (JPEG 75)",
        searches="rivals-authors",
        level=12,
        levels=3,
        options="--model experiments.networks:thin_vgg --layers conv --image-size 16 "
        "--limit 33334 --val-fraction 0.1 --drop-fraction 0.45 --epochs 8 --milestones 4,6 "
        "--lr 0.1 --weight-decay 5e-4 --batch-size 128 --crop 2 --flip --rewind epoch:1 "
        "--precision bf16 --execution compiled",
        seeds=(0, 1, 2, 3, 4, 5),
        folder="transfer-thin-vgg",
    ),
    "conv4": Problem(
        source="ResNet-20s",
        target="Conv-4",
        data="4,500 training images of CIFAR-10 (JPEG 75)",
        searches="rivals-cifar10",
        level=6,
        levels=3,
        options="--model conv4 --layers conv+linear --limit 5000 --drop-fraction 0.36 --epochs 6 "
        "--milestones 4,5 --lr 0.02 --batch-size 64 --crop 4 --flip --rewind iteration:70 "
        "--arm at-once --precision bf16 --execution channels-last",
        seeds=(0, 1, 2),
        folder="transfer",
    ),
}


def command(problem: Problem, kind: str, seed: int, data: str, runs: str, size: int) -> list[str]:
    """Return the `prac find` command of one search, on sets of a kind; `size` is the random's."""
    source = f"{runs}/{problem.searches}/runs/prac/seed-{seed % SOURCES}"
    given = {
        "own": "--method prac",
        "transferred": f"--subset {source}/levels/{problem.level:02d}/subset.safetensors",
        "random": f"--method random-subset --set-sizes {size} --stop-rule stable",
    }[kind]
    last = str(problem.levels)
    # The dense network is the same for all kinds.
    judged = f"0,{last}" if kind == "own" else last
    options = [*problem.options.split(), "--levels", last, *given.split(), "--retrain", judged]
    out = f"{runs}/{problem.folder}-{kind}-{seed}"
    return [
        "prac",
        "find",
        "--data",
        f"{data}/cifar10",
        *options,
        "--seed",
        str(seed),
        "--out",
        out,
    ]


def found(arguments: list[str]) -> dict[str, Any]:
    """Run a command to its end and return what the page is made of."""
    run = printed(arguments)
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


def searched(problem: Problem, data: str, runs: str) -> dict[str, list[dict[str, Any]]]:
    """Search with each seed on each kind of set; return what the page is made of, by kind."""
    searches: dict[str, list[dict[str, Any]]] = {kind: [] for kind in KINDS}
    for seed in problem.seeds:
        size = 0
        for kind in ("transferred", "random", "own"):
            run = found(command(problem, kind, seed, data, runs, size))
            size = size or run["set_sizes"][-1]
            searches[kind].append(run)
    return searches


def _against(searches: Mapping[str, list[dict[str, Any]]], kind: str, other: str) -> list[str]:
    ours, theirs = ([run["accuracy"] for run in searches[name]] for name in (kind, other))
    differences = [one - of for one, of in zip(ours, theirs, strict=True)]
    width = 100 * (half_width(differences) or 0.0)
    tests = (worse(ours, theirs), worse(theirs, ours))
    told = f"{100 * mean(differences):+.2f} ± {width:.2f}"
    return [f"{kind} less {other}", told, *map(pages.chance, tests)]


def _section(problem: Problem, searches: Mapping[str, list[dict[str, Any]]]) -> list[str]:
    about = {
        "own": "its own PrAC sets, from its own search",
        "transferred": f"the last PrAC set of {problem.source}, at every level",
        "random": "a random set of that size, at every level",
    }
    rows = []
    for kind in KINDS:
        of_kind = searches[kind]
        saved = mean([1 - run["iterations"] / run["imp_iterations"] for run in of_kind])
        rows.append(
            [
                f"{kind}: {about[kind]}",
                spread([run["set_sizes"][-1] for run in of_kind]),
                spread([run["iterations"] for run in of_kind]),
                f"{saved:.1%}",
                percent([run["accuracy"] for run in of_kind]),
            ]
        )
    pairs = (("transferred", "own"), ("transferred", "random"), ("own", "random"))
    dropped = dict(itertools.pairwise(problem.options.split()))["--drop-fraction"]
    machine = searches["own"][0]["machine"]
    threads = f"{machine['threads']} torch thread{'' if machine['threads'] == 1 else 's'}"
    lines = [
        f"## {problem.target}, on sets of {problem.source}",
        "",
        f"{problem.data}, {problem.levels} prunings of {float(dropped):.0%} to a density of "
        f"{searches['own'][0]['density']:.2%}, on three kinds of sets; the last ticket is trained "
        f"alone on all of the data. {len(problem.seeds)} seeds. Dense: "
        f"{percent([run['dense'] for run in searches['own']])} %.",
        "",
        *table(["set", "examples, last level", "iterations", "saved", "test, %"], rows),
        "",
        *table(
            ["difference", "points", "p: lower", "p: higher"],
            [_against(searches, *pair) for pair in pairs],
        ),
        "",
        f"Made, with seed 0, after the searches of `{problem.searches}`, by",
        "",
    ]
    size = searches["transferred"][0]["set_sizes"][-1]
    for kind in KINDS:
        lines += [*wrapped(" ".join(command(problem, kind, 0, "DIR", "runs", size))), ""]
    lines += [f"{threads}, {machine['processor']}, torch {machine['torch']}.", ""]
    return lines


def page(results: Mapping[str, Any]) -> str:
    """Return the page of the results."""
    lines = [
        "# Does one network's PrAC set serve another?",
        "",
        "Means with half of their 95 % intervals; p is from paired, one-sided t tests over seeds. "
        "The cost of finding the transferred set is not counted.",
        "",
    ]
    for name, problem in PROBLEMS.items():
        if name in results:
            lines += _section(problem, results[name])
    lines.append("All by `python -m experiments.transfer --data DIR`.")
    return "\n".join(lines) + "\n"


def main(arguments: Sequence[str] | None = None) -> None:
    """Search where that was not done, and write the page."""
    options = problems_parser(__doc__, PROBLEMS).parse_args(arguments)
    results = pages.read(NAME)
    for name in [] if options.no_run else options.problems:
        results[name] = searched(PROBLEMS[name], options.data, options.runs)
    (pages.RESULTS / f"{NAME}.json").write_text(json.dumps(results, indent=1) + "\n")
    pages.write(NAME, page(results))


if __name__ == "__main__":
    main()
