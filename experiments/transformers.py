"""Tickets of small transformers beside shuffled and random masks, and what rewinding is worth.

Each problem is searched with three seeds, rewound to its first epoch and to its initialisation, and
two tickets of each search are judged with the seed of the search, those rewound to the first epoch
beside two controls. Writes `docs/results/transformers.json` and `.md`.

    python -m experiments.transformers --data DIR       DIR holds cifar10/, as parquet

Text and digits are what Python and scikit-learn ship, and take half an hour of one free core
(OMP_NUM_THREADS=1); CIFAR-10 takes an hour more. `--problems` runs some; the same command goes on
where it stopped.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from experiments import pages
from experiments.options import printed, problems_parser
from experiments.pages import table, wrapped
from prac.evaluation import worse

NAME = "transformers"
PROBLEMS = {
    "text-transformer": (
        "A small GPT on text",
        "Two blocks of width 64 that predict the next character of Python's own language "
        "reference, on 630 sequences of 64 characters; tested on topics that were not trained on.",
        "",
    ),
    "digits-vit": (
        "A small vision transformer on digits",
        "Two blocks of width 64 over patches of 2x2 pixels, on 1,298 of scikit-learn's digits.",
        "",
    ),
    "cifar-vit": (
        "A small vision transformer on CIFAR-10",
        "Two blocks of width 64 over patches of 4x4 pixels, on 13,500 images brought to 16x16 "
        "(JPEG 75).",
        "--data {data}/cifar10 --image-size 16 --limit 15000 --val-fraction 0.1 --crop 2 --flip "
        "--model experiments.networks:vit_of_4 --epochs 15 --batch-size 128",
    ),
}
"""Title, what it is, and options beside those of the preset: that of its name, or digits-vit."""

CONTROLS = {
    "shuffled": "the mask shuffled within each layer, over the ticket's weights",
    "random": "a random mask of the same layerwise densities, over other initial weights",
}
SEEDS = (0, 1, 2)
LEVELS = (3, 6)
REWINDS = ("epoch:1", "init")


def commands(
    name: str, rewind: str, seed: int, data: str, runs: str
) -> tuple[list[str], list[str]]:
    """Return the `prac find` and the `prac judge` command of one search."""
    run = f"{runs}/transformers-{name}-{rewind.replace(':', '-')}-{seed}"
    preset = "digits-vit" if name == "cifar-vit" else name
    options = PROBLEMS[name][2].format(data=data).split()
    find = ["prac", "find", "--preset", preset, *options, "--rewind", rewind]
    judge = ["prac", "judge", run, "--levels", ",".join(map(str, LEVELS)), "--seeds", str(seed)]
    if "experiments." in " ".join(options):
        judge += ["--model", options[options.index("--model") + 1]]
    if rewind == REWINDS[0]:
        judge += ["--shuffle", "--random"]
    return [*find, "--seed", str(seed), "--out", run], judge


def searched(name: str, data: str, runs: str) -> dict[str, Any]:
    """Search and judge a problem with each seed and rewind point; return what came out."""
    found: dict[str, Any] = {}
    values: dict[str, list[float]] = {}
    for rewind in REWINDS:
        for seed in SEEDS:
            find, judge = commands(name, rewind, seed, data, runs)
            summary, verdict = printed(find), printed(judge)
            sets = [level["set_size"] for level in summary["levels"][:-1]]
            found.setdefault("sets", []).append(sets)
            found |= {
                "metric": summary["metric"],
                "machine": summary["environment"],
                "densities": {str(of["index"]): of["density"] for of in verdict["levels"]},
            }
            for level in verdict["levels"]:
                trials = {rewind: level["ticket"], **level["controls"]}
                for what, of in trials.items():
                    key = f"{what} {level['index']}"
                    values.setdefault(key, []).append(of["mean"])
    machine = found.pop("machine")
    shown = ("processor", "threads", "torch", "python")
    return {**found, "values": values, "machine": {one: machine[one] for one in shown}}


def _section(name: str, found: Mapping[str, Any]) -> list[str]:
    title, about, _ = PROBLEMS[name]
    metric, values = found["metric"], found["values"]
    higher, is_share = metric["higher_is_better"], metric["is_share"]
    factor = 100 if is_share else 1
    first, init = REWINDS

    def told(what: str, level: int) -> str:
        return pages.spread(values.get(f"{what} {level}", []), factor=factor, digits=2)

    rows = [
        [f"{found['densities'][str(level)]:.1%}"]
        + [told(what, level) for what in (first, *CONTROLS, init)]
        for level in (0, *LEVELS)
    ]
    claims = []
    for level in LEVELS:
        against = {
            "the dense network": f"{first} 0",
            **{f"the {control} mask": f"{control} {level}" for control in CONTROLS},
            "the ticket of a search rewound to its initialisation": f"{init} {level}",
        }
        ours = values[f"{first} {level}"]
        for other, key in against.items():
            pairs = list(zip(ours, values[key], strict=True))
            ahead = sum((one > of) == higher and one != of for one, of in pairs)
            p_value = worse(values[key], ours, higher_is_better=higher)
            where = f"at {found['densities'][str(level)]:.1%}, the ticket over {other}"
            claims.append([where, f"{ahead} of {len(pairs)}", pages.chance(p_value)])
    what = f"{metric['name']}, %" if is_share else metric["name"]
    better = "higher" if higher else "lower"
    sets = ", ".join(f"{size:,}" for size in found["sets"][0])
    head = ["density", "ticket, rewound to epoch 1", *CONTROLS, "ticket, rewound to init"]
    return [
        f"## {title}",
        "",
        f"{about} Measured by {what} on test data ({better} is better). "
        f"The first search's sets held {sets} examples.",
        "",
        *table(head, rows),
        "",
        *table(["claim", "seeds with which it is ahead", "p"], claims),
        "",
    ]


def page(found: Mapping[str, Any]) -> str:
    """Return the page of the results."""
    lines = [
        "# Tickets of small transformers",
        "",
        "Each problem is searched with seeds 0, 1 and 2 (PrAC's settings), rewound to its first "
        "epoch and to its initialisation. Tickets are trained alone on all data with the seed of "
        "their search, beside the dense network and two controls that keep as many weights of "
        "each layer:",
        "",
        *(f"- **{name}**: {about}" for name, about in CONTROLS.items()),
        "",
        "Figures are means over the searches with half of their 95 % intervals; p is of a paired, "
        "one-sided t test that what stands first is no better, each line by itself. Tickets that "
        "are rewound to the first epoch train the whole schedule from there, as shuffled masks "
        "over the same weights do; dense and random ones, and tickets rewound to the "
        "initialisation, begin an epoch earlier.",
        "",
    ]
    for name, of in found.items():
        lines += _section(name, of)
    lines += ["## Made by", ""]
    for name in found:
        for command in commands(name, REWINDS[0], 0, "DIR", "runs"):
            lines += [*wrapped(" ".join(command)), ""]
    machine = next(iter(found.values()))["machine"]
    lines += [
        f"and the same with the other seeds and `--rewind init` (whose controls are not judged), "
        f"through `python -m experiments.transformers --data DIR`; {machine['threads']} torch "
        f"thread, {machine['processor']}, torch {machine['torch']}, Python {machine['python']}. "
        "The text is that of this Python: another release has another one, and figures of its own.",
    ]
    return "\n".join(lines) + "\n"


def main(arguments: Sequence[str] | None = None) -> None:
    """Search and judge what is left, and write figures and page."""
    options = problems_parser(__doc__, PROBLEMS).parse_args(arguments)
    names = [] if options.no_run else options.problems
    known = pages.read(NAME)
    ran = {name: searched(name, options.data, options.runs) for name in names}
    found = {name: of for name in PROBLEMS if (of := ran.get(name, known.get(name)))}
    (pages.RESULTS / f"{NAME}.json").write_text(json.dumps(found, indent=1) + "\n")
    pages.write(NAME, page(found))


if __name__ == "__main__":
    main()
