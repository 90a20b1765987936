"""PrAC beside iterative magnitude pruning on MNIST and on 5,000 CIFAR-10 images, one seed each.

Runs the `prac find` commands below (each resumes where it was cut off), then writes
`docs/results/first.json` and `docs/results/first.md` from their summaries.

    python -m experiments.first --data DIR     DIR holds mnist/ and cifar10/ as parquet files
"""

from __future__ import annotations

import argparse
import json
import platform
import subprocess
import sys
from collections.abc import Sequence
from typing import Any

from experiments import pages
from experiments.pages import table, wrapped

NAME = "first"

PROBLEMS: dict[str, dict[str, Any]] = {
    "mnist": {
        "title": "LeNet-300-100 on MNIST, 10 prunings",
        "data": "MNIST (55,000 training, 5,000 validation and 10,000 test images)",
        "options": (
            "--model lenet_300_100 --layers linear --levels 10 --epochs 20 --milestones 10,15 "
            "--lr 0.05 --batch-size 128 --val-fraction 0.08333333333 --arm at-once --seed 0"
        ),
        "retrain": {"prac": "0,2,4,6,8,10", "imp": "2,4,6,8,10"},
    },
    "cifar10": {
        "title": "ResNet-20s on 5,000 CIFAR-10 images, 4 prunings",
        "data": (
            "CIFAR-10 (JPEG 75): 5,000 training images drawn with seed 0, 500 of them for "
            "validation, and all 10,000 test images"
        ),
        "options": (
            "--model resnet20s --limit 5000 --levels 4 --epochs 12 --milestones 6,9 "
            "--lr 0.1 --batch-size 128 --crop 4 --flip --rewind epoch:1 --arm at-once --seed 0"
        ),
        "retrain": {"prac": "0,2,4", "imp": "2,4"},
    },
}


def command(problem: str, method: str, data: str, runs: str) -> list[str]:
    """Return the `prac find` command of one run."""
    spec = PROBLEMS[problem]
    # Without an early stop there is nothing to arm.
    own = spec["options"] if method == "prac" else spec["options"].replace("--arm at-once ", "")
    options = ["--method", method, "--data", f"{data}/{problem}", *own.split()]
    options += ["--retrain", spec["retrain"][method], "--out", f"{runs}/first-{problem}-{method}"]
    return ["prac", "find", *options]


def summary(arguments: list[str]) -> dict[str, Any]:
    """Run a command to its end and return what it prints for machines."""
    done = subprocess.run(
        [sys.executable, "-m", *arguments, "--json"], stdout=subprocess.PIPE, check=True
    )
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def kept(run: dict[str, Any]) -> dict[str, Any]:
    """Return the part of a summary that the page is made of."""
    names = (
        *("index", "density", "set_size", "set_parts", "total", "epochs", "planned_epochs"),
        *("iterations", "stopped_early", "best_val_accuracy", "mask_distances", "ledger"),
    )
    return {
        "environment": run["environment"],
        "levels": [
            {name: level[name] for name in names}
            | {"retrained": level["retrained"], "seconds": level["cost"]["seconds"]}
            for level in run["levels"]
        ],
    }


def page(results: dict[str, Any]) -> str:
    """Return the page of all results."""
    machine = next(iter(results.values()))["prac"]["environment"]
    lines = [
        "# First results",
        "",
        "PrAC compared with iterative magnitude pruning (IMP) on two small problems. Made by "
        "`python -m experiments.first --data DIR`, which runs the commands below and writes this "
        "page and `first.json` from their summaries.",
        "",
        f"Hardware: CPU ({machine['processor']}), {machine['threads']} threads, no GPU. "
        f"torch {machine['torch']}, Python {machine['python']}. There is one seed (0): "
        "these runs do not show how much another seed would change, so small differences in "
        "accuracy mean nothing here.",
        "",
        "*Saved* counts training iterations up to that ticket, as the paper does. *Only scored* "
        "are examples predicted without training on them, for validation and for the CEP passes: "
        "the part of the cost that iterations leave out. Seconds are wall time on a shared "
        "machine. The IMP runs share the dense network's retraining with the PrAC runs: same "
        "weights, seed and data.",
    ]
    for problem, methods in results.items():
        spec = PROBLEMS[problem]
        lines += ["", f"## {spec['title']}", "", f"Data: {spec['data']}.", ""]
        for method in methods:
            shown = " ".join(command(problem, method, "DIR", "runs"))
            lines += [*wrapped(shown), ""]
        lines += tables(methods)
        lines += ["", *reading(methods)]
    return "\n".join(lines) + "\n"


def tables(methods: dict[str, Any]) -> list[str]:
    """Return what the levels trained, and what the tickets cost and were worth."""
    pairs = list(zip(methods["prac"]["levels"], methods["imp"]["levels"], strict=True))
    dense = pairs[0][0]["retrained"]["test_accuracy"]
    return [
        *table(
            ["level", "density", "set", "CET", "CEP", "epochs", "iterations", "IMP's"],
            [_trained(*pair) for pair in pairs],
        ),
        "",
        *table(
            [
                *("ticket", "iterations", "IMP's", "saved", "only scored", "IMP's"),
                *("seconds", "IMP's", "test", "IMP's"),
            ],
            [_worth(*pair, dense) for pair in pairs],
        ),
    ]


def _trained(ours: dict[str, Any], theirs: dict[str, Any]) -> list[object]:
    trained = ours["epochs"] > 0
    return [
        ours["index"],
        f"{ours['density']:.2%}",
        f"{ours['set_size']} ({ours['set_size'] / ours['total']:.0%})",
        ours["set_parts"].get("cet", ""),
        ours["set_parts"].get("cep", ""),
        f"{ours['epochs']}/{ours['planned_epochs']}" if trained else "",
        ours["iterations"] if trained else "",
        theirs["iterations"] if trained else "",
    ]


def _worth(ours: dict[str, Any], theirs: dict[str, Any], dense: float) -> list[object]:
    cost, imp = ours["ledger"]["cost"], theirs["ledger"]["cost"]
    return [
        ours["index"],
        cost["iterations"],
        imp["iterations"],
        f"{ours['ledger']['iterations_saved']:.1%}" if ours["index"] else "",
        cost["examples_scored"],
        imp["examples_scored"],
        f"{cost['seconds']:.0f}",
        f"{imp['seconds']:.0f}",
        accuracy(ours, dense),
        accuracy(theirs if ours["index"] else ours, dense),
    ]


def accuracy(level: dict[str, Any], dense: float) -> str:
    """Return a level's retrained test accuracy and its distance from dense."""
    if level["retrained"] is None:
        return ""
    value = level["retrained"]["test_accuracy"]
    return f"{value:.2%} ({100 * (value - dense):+.2f})"


def reading(methods: dict[str, Any]) -> list[str]:
    """Return the sentences that the figures bear out, whatever they are."""
    ours, theirs = methods["prac"]["levels"], methods["imp"]["levels"]
    last, imp_last = ours[-1], theirs[-1]
    cost, imp_cost = last["ledger"]["cost"], imp_last["ledger"]["cost"]
    stopped = sum(level["stopped_early"] for level in ours)
    gap = 100 * (last["retrained"]["test_accuracy"] - imp_last["retrained"]["test_accuracy"])
    sizes = [level["set_size"] / level["total"] for level in ours[1:]]
    text = [
        f"Finding ticket {last['index']} took PrAC {cost['iterations']} iterations and "
        f"{cost['seconds']:.0f} s, IMP {imp_cost['iterations']} and {imp_cost['seconds']:.0f} s: "
        f"{last['ledger']['iterations_saved']:.1%} of the iterations and "
        f"{1 - cost['seconds'] / imp_cost['seconds']:.1%} of the seconds saved. {stopped} of "
        f"{len(ours) - 1} levels stopped early. The sets held {min(sizes):.0%} to {max(sizes):.0%} "
        f"of the training data; the dense level 0, on all of it, was "
        f"{ours[0]['iterations'] / cost['iterations']:.0%} of PrAC's iterations. Retrained, "
        f"PrAC's last ticket is {gap:+.2f} points from IMP's.",
    ]
    dense = ours[0]["retrained"]["test_accuracy"]
    over = [100 * (run["retrained"]["test_accuracy"] - dense) for run in (last, imp_last)]
    if min(over) > 3:
        text += [
            "",
            f"The tickets of both methods are far above the dense network ({over[0]:+.1f} and "
            f"{over[1]:+.1f} points). This does not make them good: on so short a schedule the "
            "dense network, which starts from its initialisation, is far from converged, while "
            "tickets start from its weights after the first epoch and, in these runs, learned "
            "faster. The table shows the methods' costs and the difference between them, no more.",
        ]
    return text


def main(arguments: Sequence[str] | None = None) -> None:
    """Run what is left to run, and write the page."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", required=True, help="folder that holds mnist/ and cifar10/")
    parser.add_argument("--runs", default="runs", help="where the run folders go")
    options = parser.parse_args(arguments)
    results = {
        problem: {
            method: kept(summary(command(problem, method, options.data, options.runs)))
            for method in ("prac", "imp")
        }
        for problem in PROBLEMS
    }
    for methods in results.values():
        for run in methods.values():
            run["environment"]["platform"] = platform.system()
    (pages.RESULTS / f"{NAME}.json").write_text(json.dumps(results, indent=1) + "\n")
    pages.write(NAME, page(results))


if __name__ == "__main__":
    main()
