"""Are they winning tickets? MNIST's tickets beside shuffled, random and re-initialised ones.

Judges the IMP search of `experiments/rivals.py mnist` (seed 0) with three seeds and
all controls, down to one weight in a hundred; writes `docs/results/controls.json` and `.md`.

    python -m experiments.controls --data DIR      DIR holds mnist/, as parquet

Takes about a quarter of an hour on one core (OMP_NUM_THREADS=1); the same command goes on where it
stopped.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Sequence
from typing import Any

from experiments import pages
from experiments.pages import table, wrapped

NAME = "controls"
SEARCHES = {"imp": "iterative magnitude pruning"}
CONTROLS = {
    "reinitialised": "the same mask, other initial weights",
    "shuffled": "the mask shuffled within each layer, the same initial weights",
    "random": "a random mask of the same layerwise densities, other initial weights",
}


def command(search: str, runs: str) -> list[str]:
    """Return the `prac judge` command of a search."""
    comparison = f"{runs}/rivals-mnist"
    options = "--levels 6,12,16,20 --seeds 0,1,2 --reinit --shuffle --random --barriers"
    run = f"{comparison}/runs/{search}/seed-0"
    return ["prac", "judge", run, *options.split(), "--cache", f"{comparison}/trained"]


def found(arguments: list[str], data: str, runs: str) -> dict[str, Any]:
    """Run a command to its end and return what it prints for machines."""
    options = ["--data", f"{data}/mnist", "--json"]
    done = subprocess.run(
        [sys.executable, "-m", *arguments, *options], stdout=subprocess.PIPE, check=True
    )
    # Where the folders lay is no one's concern.
    result: dict[str, Any] = json.loads(done.stdout.decode().replace(f"{runs}/", "runs/"))
    return result


def page(results: dict[str, Any]) -> str:
    """Return the page of the results."""
    lines = [
        "# Are they winning tickets? MNIST's tickets and controls",
        "",
        "The tickets that [one search](rivals-mnist.md) found with LeNet-300-100 on "
        "MNIST (seed 0), trained alone with three seeds of order and augmentation, compared with "
        "the dense network and three controls that share less and less with them:",
        "",
        *(f"- **{name}**: {about}" for name, about in CONTROLS.items()),
        "",
        "The dense network and the tickets share one initialisation here, so the spread comes only "
        "from the order. Figures are mean test accuracies in % with half of their 95 % intervals; "
        "a control marked = does as well as the ticket (within one standard deviation of its runs, "
        "or above them). The barrier is the highest error on the line between the networks of the "
        "first two seeds, minus the mean of its ends, in points; below 2 counts as "
        "linearly connected.",
    ]
    for search, title in SEARCHES.items():
        if search in results["verdicts"]:
            lines += ["", f"## Tickets of {title}", "", *_verdict(results["verdicts"][search])]
    lines += ["", "## Made by", ""]
    for search in results["verdicts"]:
        lines += [*wrapped(" ".join(command(search, "runs"))), ""]
    lines += [
        "through `python -m experiments.controls --data DIR`, one torch thread, "
        f"{results['hardware']}.",
    ]
    return "\n".join(lines) + "\n"


def _verdict(verdict: dict[str, Any]) -> list[str]:
    def accuracy(trials: dict[str, Any]) -> str:
        text = f"{100 * trials['mean']:.2f}"
        width = trials["half_width"]
        return text if width is None else f"{text} ± {100 * width:.2f}"

    rows = []
    for level in verdict["levels"]:
        controls = level["controls"]
        rows.append(
            [
                f"{level['density']:.2%}",
                accuracy(level["ticket"]),
                *(
                    accuracy(controls[name]) + (" =" if controls[name]["as_good"] else "")
                    if name in controls
                    else ""
                    for name in CONTROLS
                ),
                "" if level["p_value"] is None else f"{level['p_value']:.2g}",
                level["verdict"],
                "" if level["barrier"] is None else f"{100 * level['barrier']['height']:.2f}",
            ]
        )
    head = ["density", "ticket", *CONTROLS, "p: worse than dense", "verdict", "barrier"]
    return [*table(head, rows), "", f"{verdict['definition'].capitalize()}."]


def main(arguments: Sequence[str] | None = None) -> None:
    """Judge what is left to judge, and write the page."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", required=True, help="folder that holds mnist/")
    parser.add_argument("--runs", default="runs", help="where the run folders are")
    options = parser.parse_args(arguments)
    environment = f"{options.runs}/rivals-mnist/runs/imp/seed-0/environment.json"
    with open(environment) as file:
        machine = json.load(file)
    results = {
        "hardware": (
            f"{machine['processor']}, torch {machine['torch']}, Python {machine['python']}"
        ),
        "verdicts": {
            search: found(command(search, options.runs), options.data, options.runs)
            for search in SEARCHES
        },
    }
    (pages.RESULTS / f"{NAME}.json").write_text(json.dumps(results, indent=1) + "\n")
    pages.write(NAME, page(results))


if __name__ == "__main__":
    main()
