"""What the early stop and the rewind point are worth: epsilon, window, arming, and where to rewind.

How long levels are trained is all that an early stop decides, so two things are measured apart:
what PrAC's tickets are worth after levels of a tenth to all of the full length, and at which length
each epsilon, window and arming would have stopped the levels that were trained in full, which their
mask distances tell. The rewind point is varied beside.

    python -m experiments.lengths --data DIR        DIR holds mnist/ and cifar10/ as parquet

`--problems` runs some of the problems, which are those of `experiments.critical`; the same command
goes on where it stopped. Seeds 10 to 12: they may choose settings, and judge nothing else. Writes
`docs/results/lengths.json` and `.md`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from experiments import critical, pages
from experiments.options import problems_parser, ran, without
from experiments.pages import less, percent, table, wrapped
from prac.algorithms import stable
from prac.comparison import Comparison
from prac.evaluation import mean
from prac.search import Search

NAME = "lengths"

BUDGETS = (0.1, 0.3, 0.5)
"""Shares of the full length; all of it besides."""
FULL = "prac:stop-rule=never"
SEEDS = "10,11,12"
PROBLEMS = {
    "digits": ("10,11,12,13,14,15,16,17,18,19", ("init", "iteration:10", "epoch:1", "epoch:4")),
    "mnist": (SEEDS, ("init", "iteration:100", "epoch:1", "epoch:2")),
    "cifar-8": (SEEDS, ("init", "epoch:1")),
}
"""Seeds and rewind points by problem."""


EPSILONS = (0.01, 0.02, 0.04, 0.07, 0.1, 0.15, 0.2)
RULES = ((1, False), (2, False), (5, False), (10, False), (5, True))
"""Windows, and whether the distance must first have reached epsilon."""


def methods() -> str:
    """Return PrAC with levels of all lengths, the longest first: the others' tickets are less."""
    return ",".join([FULL, "prac", *(f"{FULL}:level-budget={share}" for share in BUDGETS)])


def commands(name: str, data: str, runs: str) -> Iterator[list[str]]:
    """Yield the `prac compare` commands of a problem: lengths first, then other rewind points."""
    seeds, points = PROBLEMS[name]
    options = critical.PROBLEMS[name].options.split()
    own = options[options.index("--rewind") + 1] if "--rewind" in options else "init"
    shared = ["--data", data, "--seeds", seeds, *options]
    out = str(_place(name, "", runs))
    yield ["prac", "compare", "--methods", methods(), *shared, "--out", out]
    for point in points:
        if point != own:
            where = str(_place(name, point, runs))
            longest = ["--methods", FULL, *without(shared, "--arm")]
            yield ["prac", "compare", *longest, "--rewind", point, "--out", where]


def _place(name: str, point: str, runs: str) -> Path:
    """Return the folder of a rewind point's comparison, or of the lengths at the problem's own."""
    return Path(runs, f"lengths-{name}" + (f"-{point.replace(':', '-')}" if point else ""))


def of_tickets(comparison: Comparison, method: str) -> dict[str, Any]:
    """Return what a method's sparsest tickets cost, and how well they do."""
    level = max(comparison.judged)
    return {
        "density": comparison.tickets(method, level)[0].density,
        "saved": comparison.saved(method, level),
        "values": [ticket.value for ticket in comparison.tickets(method, level)],
    }


def stops(distances: Sequence[Sequence[float]], epochs: Sequence[int]) -> dict[str, float]:
    """Return by epsilon, window and arming the share of their length that levels are trained.

    Args:
        distances: Mask distances of levels trained in full, from their second epoch on.
        epochs: How many epochs each of these had.

    >>> stops([[0.3, 0.05, 0.04, 0.03]], [5])["0.1 2 False"]
    0.8
    """
    found = {}
    for epsilon in EPSILONS:
        for window, above_once in RULES:
            shares = []
            for of_level, count in zip(distances, epochs, strict=True):
                ends = (
                    number + 1
                    for number in range(1, len(of_level) + 1)
                    if stable(
                        of_level[:number], epsilon=epsilon, window=window, above_once=above_once
                    )
                )
                shares.append(next(ends, count) / count)
            found[f"{epsilon} {window} {above_once}"] = mean(shares)
    return found


def results_of(name: str, runs: str) -> dict[str, Any] | None:
    """Return what a problem came to; None where not all of it is done."""
    seeds, points = PROBLEMS[name]
    folders = [_place(name, "", runs)]
    options = critical.PROBLEMS[name].options.split()
    own = options[options.index("--rewind") + 1] if "--rewind" in options else "init"
    folders += [_place(name, point, runs) for point in points if point != own]
    if not all((folder / "comparison.json").exists() for folder in folders):
        return None
    comparisons = [Comparison.load(folder) for folder in folders]
    by_length, others = comparisons[0], iter(comparisons[1:])
    searches = [
        Search.load(folders[0] / "runs" / FULL / f"seed-{seed}") for seed in by_length.seeds
    ]
    levels = [level for search in searches for level in search.levels if level.iterations]
    return {
        "title": critical.PROBLEMS[name].title,
        "machine": pages.machine(searches[0].path),
        "seeds": seeds,
        "own": own,
        "dense": [ticket.value for ticket in by_length.tickets(FULL, 0)],
        "lengths": {
            method: of_tickets(by_length, method)
            for method in methods().split(",")
            if by_length.of(method)
        },
        "stops": stops(
            [level.mask_distances for level in levels], [level.epochs for level in levels]
        ),
        "rewinds": {
            point: of_tickets(by_length if point == own else next(others), FULL) for point in points
        },
        "commands": [" ".join(one) for one in commands(name, "DIR", "runs")][:2],
    }


def _section(problem: Mapping[str, Any]) -> list[str]:
    full = problem["lengths"][FULL]["values"]
    names = {FULL: "all", "prac": "as the published rule stops"}
    rows = [
        [
            names.get(method) or f"{float(method.rpartition('=')[2]):.0%}",
            f"{of['saved']:.1%}",
            percent(of["values"]),
            "" if method == FULL else less(of["values"], full),
        ]
        for method, of in problem["lengths"].items()
    ]
    own = problem["rewinds"][problem["own"]]["values"]
    rewinds = [
        [
            f"`{point}`",
            percent(of["values"]),
            "" if point == problem["own"] else less(of["values"], own),
        ]
        for point, of in problem["rewinds"].items()
    ]
    stopped = [
        [f"{epsilon:g}"]
        + [f"{problem['stops'][f'{epsilon} {window} {arm}']:.0%}" for window, arm in RULES]
        for epsilon in EPSILONS
    ]
    heads = [f"window {window}{', above once' if arm else ''}" for window, arm in RULES]
    density = problem["lengths"][FULL]["density"]
    return [
        f"## {problem['title']}",
        "",
        f"Tickets of {density:.1%} density, seeds {problem['seeds']}; dense "
        f"{percent(problem['dense'])} %.",
        "",
        *table(["length of levels", "iterations saved", "test, %", "less all, points"], rows),
        "",
        "At which share of their length each rule would have stopped the levels trained in full:",
        "",
        *table(["epsilon", *heads], stopped),
        "",
        *table(["rewound to", "test, %", f"less `{problem['own']}`, points"], rewinds),
        "",
    ]


def page(results: Mapping[str, Any]) -> str:
    """Return the page of the results."""
    lines = [
        "# How long levels are, when they stop, and where they rewind",
        "",
        "An early stop decides how long levels are trained and nothing else. So PrAC's tickets are "
        "compared after levels of a tenth to all of a whole training on all data, which levels on "
        "small sets take a part of by themselves (schedules are cut, not scaled), and beside "
        "stands at which length each epsilon, window and arming stops. "
        "*Above once* is the published rule: the distance must first have reached epsilon. "
        "Differences are by seed, means with half of their 95 % intervals; p is of a paired, "
        "one-sided t test, each by itself. These seeds choose settings, and judge nothing.",
        "",
    ]
    for problem in results["problems"].values():
        lines += _section(problem)
    lines += ["## Made by", ""]
    for command in next(iter(results["problems"].values()))["commands"]:
        lines += [*wrapped(command), ""]
    lines.append(
        "and the same on the other problems and rewind points, through `python -m "
        f"experiments.lengths --data DIR`; {pages.machines(results)}."
    )
    return "\n".join(lines) + "\n"


def main(arguments: Sequence[str] | None = None) -> None:
    """Run what is left to run, and write figures and page."""
    options = problems_parser(__doc__, PROBLEMS).parse_args(arguments)
    for name in [] if options.no_run else options.problems:
        path = critical.made(critical.PROBLEMS[name], options.data, options.runs)
        for words in commands(name, str(path), options.runs):
            ran(words)
    pages.publish(NAME, {name: results_of(name, options.runs) for name in PROBLEMS}, page)


if __name__ == "__main__":
    main()
