"""Tickets of two small transformers beside shuffled and random masks: do they come out ahead?

Runs the presets `text-transformer` and `digits-vit`, judges two tickets of each with three seeds
and two controls, and writes `docs/results/transformers.json` and `.md`.

    python -m experiments.transformers

Takes about ten minutes on one free core (OMP_NUM_THREADS=1) and needs no data but what Python and
scikit-learn ship; the same command goes on where it stopped.
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

NAME = "transformers"
PRESETS = {
    "text-transformer": (
        "A small GPT on text",
        "Two blocks of width 64 that predict the next character of Python's own language "
        "reference, on 630 sequences of 64 characters; tested on topics that were not trained on.",
    ),
    "digits-vit": (
        "A small vision transformer on digits",
        "Two blocks of width 64 over patches of 2x2 pixels, on 1,298 of scikit-learn's digits.",
    ),
}
CONTROLS = {
    "shuffled": "the mask shuffled within each layer, over the ticket's weights",
    "random": "a random mask of the same layerwise densities, over other initial weights",
}
LEVELS, SEEDS = "3,6", "0,1,2"


def commands(preset: str, runs: str) -> tuple[list[str], list[str]]:
    """Return the `prac find` and the `prac judge` command of a preset."""
    run = f"{runs}/{preset}-prac"
    judged = f"--levels {LEVELS} --seeds {SEEDS} --shuffle --random"
    return (
        ["prac", "find", "--preset", preset, "--out", run],
        ["prac", "judge", run, *judged.split()],
    )


def printed(arguments: Sequence[str], runs: str) -> dict[str, Any]:
    """Run a command to its end and return what it prints for machines."""
    done = subprocess.run(
        [sys.executable, "-m", *arguments, "--json"], stdout=subprocess.PIPE, check=True
    )
    # Where the folders lay is no one's concern.
    result: dict[str, Any] = json.loads(done.stdout.decode().replace(f"{runs}/", "runs/"))
    return result


def results(presets: Sequence[str], runs: str) -> dict[str, Any]:
    """Return what came out of presets, and on which machine."""
    found: dict[str, Any] = {}
    machine: dict[str, Any] = {}
    for preset in presets:
        find, judge = commands(preset, runs)
        summary = printed(find, runs)
        machine = summary["environment"]
        found[preset] = {
            "metric": summary["metric"],
            "levels": [
                {name: level[name] for name in ("index", "density", "set_size", "iterations")}
                for level in summary["levels"]
            ],
            "fingerprint": machine["fingerprint"],
            "verdict": printed(judge, runs),
        }
    hardware = f"{machine['processor']}, torch {machine['torch']}, Python {machine['python']}"
    return {"hardware": hardware, "presets": found}


def values(trials: dict[str, Any]) -> list[float]:
    """Return the metric's value of each training, in the order of the seeds."""
    return [
        next(of for name, of in run.items() if name not in ("seed", "folder"))
        for run in trials["runs"]
    ]


def seeds_ahead(level: dict[str, Any], control: str, *, higher: bool) -> int:
    """Return with how many seeds a ticket does better than a control of it."""
    pairs = zip(values(level["ticket"]), values(level["controls"][control]), strict=True)
    return sum((ticket > other) == higher and ticket != other for ticket, other in pairs)


def _section(preset: str, found: dict[str, Any]) -> list[str]:
    title, about = PRESETS[preset]
    metric = found["metric"]
    higher, is_share = metric["higher_is_better"], metric["is_share"]
    factor, digits = (100, 2) if is_share else (1, 2)

    def told(trials: dict[str, Any]) -> str:
        return pages.spread(values(trials), factor=factor, digits=digits)

    rows, claims = [], []
    for level in found["verdict"]["levels"]:
        controls = level["controls"]
        shown = [told(controls[name]) if name in controls else "" for name in CONTROLS]
        rows.append([f"{level['density']:.1%}", told(level["ticket"]), *shown, level["verdict"]])
        for name in controls:
            ahead, of = seeds_ahead(level, name, higher=higher), level["ticket"]["n"]
            p_value = level["controls"][name]["p_value"]
            claims.append(
                [
                    f"at {level['density']:.1%}, the ticket over the {name} mask",
                    f"{ahead} of {of}",
                    "" if p_value is None else f"{p_value:.2g}",
                    "yes" if ahead == of else "no",
                ]
            )
    name = f"{metric['name']}, %" if is_share else metric["name"]
    better = "higher" if higher else "lower"
    sets = ", ".join(f"{level['set_size']:,}" for level in found["levels"][:-1])
    return [
        f"## {title}",
        "",
        f"{about} Measured by {name} on test data ({better} is better). "
        f"The levels' sets held {sets} examples.",
        "",
        *table(["density", "ticket", *CONTROLS, "verdict"], rows),
        "",
        *table(["claim", "seeds with which it is ahead", "p", "came out"], claims),
        "",
    ]


def page(found: dict[str, Any]) -> str:
    """Return the page of the results."""
    lines = [
        "# Tickets of small transformers",
        "",
        "Two presets that need no download, each searched once (seed 0, PrAC's settings) and "
        "judged: tickets are trained alone on all data with three seeds of order, beside the dense "
        "network and two controls that keep as many weights of each layer:",
        "",
        *(f"- **{name}**: {about}" for name, about in CONTROLS.items()),
        "",
        "What is claimed is an order only: that a ticket does better than its controls, with each "
        "of the seeds. Figures are means with half of their 95 % intervals; p is of a paired, "
        "one-sided t test over the seeds, each line by itself. Tickets are rewound to the weights "
        "after one epoch and train the whole schedule from there, as shuffled masks over the same "
        "weights do; dense and random ones begin with initial weights, an epoch earlier.",
        "",
    ]
    for preset in found["presets"]:
        lines += _section(preset, found["presets"][preset])
    lines += ["## Made by", ""]
    for preset in found["presets"]:
        for command in commands(preset, "runs"):
            lines += [*wrapped(" ".join(command)), ""]
    lines += [
        f"through `python -m experiments.transformers`, one torch thread, {found['hardware']}. The "
        "text is that of this Python: another release has another one, and figures of its own.",
    ]
    return "\n".join(lines) + "\n"


def main(arguments: Sequence[str] | None = None) -> None:
    """Search and judge what is left, and write figures and page."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", default="runs", help="where the run folders are")
    options = parser.parse_args(arguments)
    found = results(tuple(PRESETS), options.runs)
    (pages.RESULTS / f"{NAME}.json").write_text(json.dumps(found, indent=1) + "\n")
    pages.write(NAME, page(found))


if __name__ == "__main__":
    main()
