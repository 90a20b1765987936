"""Do tickets need the data? The three checks of Su et al. (2020) on tickets of several searches.

Searches what is not searched yet, or takes run folders that are there (`--run NAME=FOLDER`), makes
the checks by `prac judge --sanity`, and writes `docs/results/sanity.json` and `.md`.

    python -m experiments.sanity --data DIR      DIR holds mnist/ and cifar10/ as parquet

`digits` takes minutes on one core (OMP_NUM_THREADS=1) and no data; the others up to an hour.
`--problems` runs some; the same command goes on where it stopped.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from experiments import pages, rivals
from experiments.options import printed, problems_parser, without
from experiments.pages import table, wrapped
from prac.evaluation import SANITY
from prac.search import Search

NAME = "sanity"
CHECKS = {
    "shuffled": "the ticket's mask shuffled within each layer, over its weights",
    "smart-ratio": "a random mask, as dense altogether, the first layers denser by a fixed rule, "
    "over other initial weights",
    "corrupted-labels": "the mask that the same search finds on random labels, over the ticket's "
    "weights",
    "corrupted-inputs": "the mask that the same search finds on pictures of which each has its "
    "pixels shuffled, over the ticket's weights",
}


@dataclass(frozen=True)
class Problem:
    """A search whose tickets are checked.

    Attributes:
        title: The problem and the method.
        find: Options of `prac find`.
        levels: Of the tickets that are checked.
        seeds: Of the trainings.
        folder: Where its data lies in the data folder; none where it comes with a library.
    """

    title: str
    find: str
    levels: str
    seeds: str
    folder: str = ""


def searched(rival: str, method: str, levels: int) -> str:
    """Return the options of a method's search with the settings of a comparison.

    A search judges nothing, and methods other than PrAC do not stop early.
    """
    words = without(rivals.PROBLEMS[rival].options.split(), "--judged", "--arm", "--levels")
    return " ".join([*words, f"--levels {levels} --method {method}"])


MNIST = "LeNet-300-100 on MNIST"
PROBLEMS = {
    "digits": Problem(
        "LeNet-300-100 on scikit-learn's digits, PrAC", "--preset quickstart", "4,8", "0,1,2,3,4"
    ),
    "mnist-carried": Problem(
        f"{MNIST}, carried", searched("cheap-mnist", "carried", 12), "6,12", "0,1,2", "mnist"
    ),
    "mnist-imp": Problem(
        f"{MNIST}, IMP", searched("cheap-mnist", "imp", 12), "6,12", "0,1,2", "mnist"
    ),
    "cifar-carried": Problem(
        "ResNet-8 on 10,000 images of CIFAR-10 at 16 x 16, carried",
        searched("cheap-cifar", "carried", 8).replace("--limit 33334", "--limit 10000"),
        "8",
        "0,1,2",
        "cifar10",
    ),
}


def commands(name: str, data: str, run: str, changes: str = "") -> tuple[list[str], list[str]]:
    """Return the `prac find` and the `prac judge` command of a problem.

    `changes` are options of `prac find` that take others' place.
    """
    problem = PROBLEMS[name]
    place = ["--data", f"{data}/{problem.folder}"] if problem.folder else []
    found = ["prac", "find", *problem.find.split(), *changes.split(), *place, "--out", run]
    asked = f"--levels {problem.levels} --seeds {problem.seeds} --sanity"
    return found, ["prac", "judge", run, *asked.split(), *place]


def results(name: str, data: str, run: str, is_there: bool, changes: str) -> dict[str, Any]:
    """Return what the checks of a problem came to, and on which machine.

    `is_there` says that the run is taken as it is.
    """
    find, judge = commands(name, data, run, changes)
    if not is_there:
        printed(find)
    verdict = printed(judge)
    search = Search.load(run)
    machine = json.loads((search.path / "environment.json").read_text())
    last = verdict["levels"][-1]["index"]
    corrupted = {
        of: Search.load(search.path / "judged" / of) for of in SANITY if of.startswith("corrupted")
    }
    for level in verdict["levels"]:
        for trials in (level["ticket"], *level["controls"].values()):
            for one in trials["runs"]:  # Where it lay is no one's concern.
                one["folder"] = Path(one["folder"]).name
    find, judge = commands(name, "DIR", f"runs/{NAME}-{name}", changes)
    return {
        "commands": [" ".join(find), " ".join(judge)],
        "hardware": (
            f"{machine['processor']}, torch {machine['torch']}, Python {machine['python']}"
        ),
        "searches": {
            "the run's own": search.cost(last).cost.iterations,
            **{of: one.cost(last).cost.iterations for of, one in corrupted.items()},
        },
        "verdict": {**verdict, "path": f"runs/{NAME}-{name}"},
    }


def _rows(verdict: dict[str, Any]) -> Iterator[list[str]]:
    is_share = verdict["metric"]["is_share"]
    factor, digits = (100, 2) if is_share else (1, 2)

    def told(trials: dict[str, Any]) -> str:
        key = next(name for name in trials["runs"][0] if name not in ("seed", "folder"))
        return pages.spread([one[key] for one in trials["runs"]], factor=factor, digits=digits)

    dense, *levels = verdict["levels"]
    yield [f"{dense['density']:.1%}", "dense network", told(dense["ticket"]), "", "", ""]
    for level in levels:
        ticket = level["ticket"]
        yield [f"{level['density']:.1%}", "ticket", told(ticket), "", "", level["verdict"]]
        for name in CHECKS:
            control = level["controls"][name]
            difference = factor * (control["mean"] - ticket["mean"])
            p_value = control["p_value"]
            yield [
                "",
                f"`{name}`",
                told(control),
                f"{difference:+.{digits}f}",
                "" if p_value is None else f"{p_value:.2g}",
                level["sanity"][name],
            ]


def _summary(found: dict[str, Any]) -> Iterator[list[str]]:
    for name, of in found["problems"].items():
        for level in of["verdict"]["levels"][1:]:
            outcomes = [level["sanity"][check] for check in CHECKS]
            yield [PROBLEMS[name].title, f"{level['density']:.1%}", *outcomes]


def page(found: dict[str, Any]) -> str:
    """Return the page of the results."""
    lines = [
        "# Sanity checks: do tickets need the data?",
        "",
        "[Su et al. (2020)](https://arxiv.org/abs/2009.11094) hold tickets against ones that took "
        "less from the data, or nothing. Here the same checks are made by `prac judge --sanity` on "
        "tickets of this package's searches. All are trained alone on the true data, with the same "
        "seeds of order and augmentation, with as many weights:",
        "",
        *(f"- **{name}**: {about}" for name, about in CHECKS.items()),
        "",
        "A ticket passes a check if it is better than the control by more than one standard "
        "deviation of its runs, and reliably so (p below 0.05, of a paired, one-sided t test over "
        "the seeds, each line by itself); it fails if the control is within one, or better, and "
        "not reliably worse; otherwise that cannot be told with so few seeds.",
        "",
        *table(["problem", "density", *CHECKS], _summary(found)),
        "",
    ]
    for name, of in found["problems"].items():
        costs = ", ".join(f"{what} {count:,}" for what, count in of["searches"].items())
        head = ["density", "mask of", "test, % ± half of its 95 % interval", "vs ticket", "p"]
        lines += [
            f"## {PROBLEMS[name].title}",
            "",
            *table([*head, "came out"], _rows(of["verdict"])),
            "",
            f"Iterations of the searches up to the last ticket here: {costs}.",
            "",
        ]
    lines += ["## Made by", ""]
    for of in found["problems"].values():
        for command in of["commands"]:
            lines += [*wrapped(command), ""]
    machines = sorted({of["hardware"] for of in found["problems"].values()})
    lines += [
        f"through `python -m experiments.sanity --data DIR`, one torch thread, "
        f"{'; '.join(machines)}. Each search is one, of seed 0: another may come out otherwise.",
    ]
    return "\n".join(lines) + "\n"


def main(arguments: Sequence[str] | None = None) -> None:
    """Search and check what is left, and write figures and page after each problem."""
    parser = problems_parser(__doc__, PROBLEMS)
    parser.add_argument(
        "--run", action="append", default=[], help="NAME=FOLDER: a problem's run that is there"
    )
    parser.add_argument("--set", default="", help="options of prac find that take others' place")
    parser.add_argument("--results", default=str(pages.RESULTS), help="where the page goes")
    options = parser.parse_args(arguments)
    given = dict(one.split("=", 1) for one in options.run)
    path = Path(options.results) / f"{NAME}.json"
    found = json.loads(path.read_text()) if path.exists() else {"problems": {}}
    for name in [] if options.no_run else options.problems:
        run = given.get(name, f"{options.runs}/{NAME}-{name}")
        known = results(name, options.data, run, name in given, options.set)
        problems = {**found["problems"], name: known}
        found["problems"] = {one: problems[one] for one in PROBLEMS if one in problems}
        path.write_text(json.dumps(found, indent=1) + "\n")
    path.with_suffix(".md").write_text(page(found))


if __name__ == "__main__":
    main()
