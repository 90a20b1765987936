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

import argparse
import subprocess
import sys
from collections.abc import Iterator, Sequence

from experiments import critical

BUDGETS = (0.1, 0.2, 0.3, 0.5, 0.75)
"""Shares of the full length; all of it besides."""
FULL = "prac:stop-rule=never"
SEEDS = "10,11,12"
PROBLEMS = {
    "digits": ("10,11,12,13,14,15,16,17,18,19", ("init", "iteration:10", "epoch:1", "epoch:4")),
    "mnist": (SEEDS, ("init", "iteration:100", "epoch:1", "epoch:2")),
    "fashion": (SEEDS, ("init", "iteration:100", "epoch:1", "epoch:2")),
    "cifar": (SEEDS, ("init", "iteration:26", "epoch:1", "epoch:2", "epoch:4")),
}
"""Seeds and rewind points by problem."""


def methods() -> str:
    """Return PrAC with levels of all lengths, the longest first: the others' tickets are less."""
    return ",".join([FULL, "prac", *(f"{FULL}:level-budget={share}" for share in BUDGETS)])


def commands(name: str, data: str, runs: str) -> Iterator[list[str]]:
    """Yield the `prac compare` commands of a problem: lengths first, then other rewind points."""
    seeds, points = PROBLEMS[name]
    options = critical.PROBLEMS[name].options.split()
    own = options[options.index("--rewind") + 1] if "--rewind" in options else "init"
    shared = ["--data", data, "--seeds", seeds, *options]
    out = f"{runs}/lengths-{name}"
    yield ["prac", "compare", "--methods", methods(), *shared, "--out", out]
    for point in points:
        if point != own:
            where = f"{out}-{point.replace(':', '-')}"
            rewound = ["--methods", FULL, *shared, "--rewind", point, "--out", where]
            yield ["prac", "compare", *rewound]


def main(arguments: Sequence[str] | None = None) -> None:
    """Run what is left to run, and write figures and page."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", required=True, help="folder that holds mnist/ and cifar10/")
    parser.add_argument("--runs", default="runs", help="where the run folders go")
    parser.add_argument("--problems", default=",".join(PROBLEMS), help="which, with commas")
    options = parser.parse_args(arguments)
    for name in options.problems.split(","):
        path = critical.made(critical.PROBLEMS[name], options.data, options.runs)
        for words in commands(name, str(path), options.runs):
            subprocess.run([sys.executable, "-m", *words], check=True)


if __name__ == "__main__":
    main()
