"""One ticket and its proof by `prac win`, beside what IMP takes: MNIST and CIFAR-10.

Runs `prac win` on the problem of a page of `experiments.rivals`, with its default methods, and
writes `docs/results/win.json` and `.md` from what was found for all problems so far.

    python -m experiments.winning cheap-mnist --data DIR    DIR holds mnist/ and cifar10/

MNIST takes ten minutes on one core (OMP_NUM_THREADS=1), CIFAR-10 an hour on one that multiplies
bf16 (AMX); the same command goes on where it stopped. The page of the problem comes first.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from experiments import pages, rivals
from experiments.pages import table, wrapped
from prac.io import read_environment
from prac.report.win_text import (
    COSTS,
    TRIED,
    answer_of,
    cost_cells,
    costs_of,
    tried_cells,
    tried_note,
)
from prac.winning import Win

NAME = "win"
PROBLEMS = ("cheap-mnist", "cheap-cifar")


def command(name: str, data: str, out: str, changes: str = "") -> list[str]:
    """Return the `prac win` command of a problem."""
    problem = rivals.PROBLEMS[name]
    shared = re.sub(r"--judged \S+ ?", "", problem.options)
    options = ["--data", f"{data}/{problem.folder}", *shared.split(), *changes.split()]
    return ["prac", "win", *options, "--seeds", problem.seeds, "--out", out]


def run(name: str, data: str, runs: str, changes: str = "") -> dict[str, Any]:
    """Run what is left to run of a problem; return what its part of the page is made of."""
    folder = f"win-{name}"
    words = command(name, data, f"{runs}/{folder}", changes)
    done = subprocess.run([sys.executable, "-m", *words, "--quiet"])
    if done.returncode not in (0, 1):
        sys.exit(done.returncode)
    return results(name, Path(runs) / folder, command(name, "DIR", f"runs/{folder}", changes))


def results(name: str, folder: Path, made_by: Sequence[str]) -> dict[str, Any]:
    """Return what a win has found, as its part of the page needs it."""
    win = Win.load(folder)
    machine = read_environment(Path(win.searches[0].path))
    best = win.best
    return {
        "command": " ".join(made_by),
        "machine": {key: machine[key] for key in ("processor", "torch", "python")},
        "answer": answer_of(win),
        "level": None if best is None else best.level,
        "ratio": win.bill.ratio,
        "proof": {"seeds": len(win.seeds), "controls": len(win.controls)},
        "tried": [tried_cells(win, of) for of in win.tried],
        "note": tried_note(win),
        "searches": [
            [of.method, of.first, of.last, f"{of.cost.iterations / win.full.iterations:.2f}"]
            for of in win.searches
        ],
        "costs": {of: cost_cells(win, cost) for of, cost in costs_of(win).items()},
    }


def page(found: Mapping[str, Mapping[str, Any]]) -> str:
    """Return the page of all problems."""
    lines = [
        "# One ticket and its proof: `prac win`",
        "",
        "[`prac win`](../commands/win.md) with its default methods, on the problems of "
        f"{_listed([f'[{name}]({name}.md)' for name in found])}: what it tried, what it ended "
        "with, and what search and proof cost together, beside IMP's full schedule down to a "
        "ticket of the same density and the proof of that one ticket.",
    ]
    for name, of in found.items():
        _, _, about = rivals.PROBLEMS[name].title.rpartition(": ")
        lines += ["", f"## {about}", "", *_problem(name, of)]
    lines += [
        "",
        "Made by `python -m experiments.winning PROBLEM --data DIR`, one torch thread.",
    ]
    return "\n".join(lines) + "\n"


def _problem(name: str, of: Mapping[str, Any]) -> list[str]:
    machine = of["machine"]
    return [
        *wrapped(of["command"]),
        "",
        f"{of['answer']} {_beside_imp(name, of)}",
        "",
        *table(TRIED, of["tried"]),
        "",
        f"{of['note'].capitalize()}.",
        "",
        *table(["search", "from ticket", "to ticket", "full trainings"], of["searches"]),
        "",
        *table(["ledger", *COSTS], [[row, *cells] for row, cells in of["costs"].items()]),
        "",
        f"{machine['processor']}, torch {machine['torch']}, Python {machine['python']}.",
    ]


def _beside_imp(name: str, of: Mapping[str, Any]) -> str:
    """Return where IMP's own tickets match, and what the proof alone leaves of its cost."""
    [imp] = [one for one in pages.read(name)["summary"] if one["method"] == "imp"]
    judged = [one["level"] for one in imp["accuracies"][1:]]
    matching = imp["matching"]
    told = (
        f"Of IMP's own tickets, judged at levels {_listed(judged)}, "
        + (f"level {matching} is the sparsest that matches." if matching else "none matches.")
    )  # fmt: skip
    if of["level"] is None:
        return told
    proof = of["proof"]["seeds"] * (2 + of["proof"]["controls"])
    floor = proof / (of["level"] + proof)
    return (
        f"{told} The proof of one ticket takes {proof} trainings here, so that a search for "
        f"nothing would still take {floor:.0%} of IMP's iterations."
    )


def _listed(names: Sequence[object]) -> str:
    *others, last = map(str, names)
    return f"{', '.join(others)} and {last}" if others else last


def main(arguments: Sequence[str] | None = None) -> None:
    """Run what is left to run of a problem, and write the page."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("problem", choices=PROBLEMS)
    parser.add_argument("--data", required=True, help="folder that holds mnist/ and cifar10/")
    parser.add_argument("--runs", default="runs", help="where the run folders go")
    parser.add_argument("--set", default="", help="options of prac win that take others' place")
    options = parser.parse_args(arguments)
    found = run(options.problem, options.data, options.runs, options.set)
    file = pages.RESULTS / f"{NAME}.json"
    before = json.loads(file.read_text()) if file.exists() else {}
    known = {**before, options.problem: found}
    known = {name: known[name] for name in PROBLEMS if name in known}
    file.write_text(json.dumps(known, indent=1) + "\n")
    pages.write(NAME, page(known))


if __name__ == "__main__":
    main()
