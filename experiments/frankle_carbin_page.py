"""The page of experiments/frankle_carbin.py: published claims beside what came out here."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from experiments.pages import percent, spread, table
from prac.evaluation import mean, worse
from prac.report.pictures import panels
from prac.report.vega import BLUE, GREEN, ORANGE, YELLOW, bars, by_name, layer, quantity

SHOWN = (0, 4, 7, 11, 15)
"""Levels of the curves: those whose masks were trained from other initial weights too."""


@dataclass(frozen=True)
class Training:
    """One network's curve.

    Attributes:
        trial: Which initialisation.
        accuracy: Test accuracy by iteration.
        stop: Iteration of the lowest validation loss: where training would be stopped early.
        at_stop: Test accuracy there.
        at_end: Test accuracy after the last iteration.
    """

    trial: int
    accuracy: dict[int, float]
    stop: int
    at_stop: float
    at_end: float

    @classmethod
    def of(cls, record: dict[str, Any]) -> Training:
        """Return the training of a record."""
        curve = record["curve"]
        stop, _, _, at_stop, _ = min(curve, key=lambda row: row[2])
        return cls(
            record["trial"], {int(r[0]): r[3] for r in curve}, int(stop), at_stop, curve[-1][3]
        )


class Trainings:
    """All trainings by kind and level."""

    def __init__(self, results: dict[str, Any]) -> None:
        """Sort the records of a results file."""
        self.of: dict[tuple[str, int], list[Training]] = defaultdict(list)
        self.density: dict[int, float] = {}
        for record in results["trainings"]:
            self.of[record["kind"], record["level"]].append(Training.of(record))
            self.density[record["level"]] = record["density"]

    @property
    def levels(self) -> list[int]:
        """Levels that were trained."""
        return sorted(self.density)

    def stops(self, kind: str, level: int) -> list[float]:
        """Return the early-stopping iterations."""
        return [training.stop for training in self.of[kind, level]]

    def at_stop(self, kind: str, level: int) -> list[float]:
        """Return the test accuracies at early stopping."""
        return [training.at_stop for training in self.of[kind, level]]

    def at_end(self, kind: str, level: int) -> list[float]:
        """Return the test accuracies at the end of training."""
        return [training.at_end for training in self.of[kind, level]]

    def paired(self, one: tuple[str, int], other: tuple[str, int], of: str) -> list[list[float]]:
        """Return what two kinds' trainings had in the trials that both went through."""
        both = {t.trial for t in self.of[one]} & {t.trial for t in self.of[other]}
        return [
            [float(getattr(t, of)) for t in self.of[key] if t.trial in both] for key in (one, other)
        ]


def page(results: dict[str, Any]) -> str:
    """Return the page of the results."""
    trainings = Trainings(results)
    trials = len(trainings.of["ticket", 0])
    seconds = sum(record["seconds"] for record in results["trainings"])
    lines = [
        "# Lottery tickets of LeNet-300-100 on MNIST",
        "",
        "The first experiment of Frankle and Carbin ([arXiv 1803.03635]"
        "(https://arxiv.org/abs/1803.03635)), repeated: iterative magnitude pruning from "
        "initialisation, Adam at 1.2e-3, batches of 60, 50,000 iterations per level; at each level "
        "20 % of the remaining weights in each layer are pruned, 10 % in the output layer. "
        "Networks with the same masks and new initial weights are trained for comparison.",
        "",
        f"There are {trials} trials, each with its own initial weights. Of 60,000 training images "
        "5,000 are held out, the same for all. Networks are tested throughout training on the "
        "held-out and on the 10,000 test images. *Early stopping* is where the loss on the "
        "held-out images is lowest. Figures are means with half of their 95 % intervals "
        "(Student's t over trials).",
        "",
        "![Test accuracy by iteration](frankle-carbin-curves.svg)",
        "",
        "![Early stopping and accuracy by density](frankle-carbin-densities.svg)",
        "",
        "## Published claims, and results here",
        "",
        *claims(trainings),
        "",
        "## Tickets",
        "",
        *_kind_table(trainings, "ticket"),
        "",
        "## The same masks with other initial weights",
        "",
        *_kind_table(trainings, "reinitialised"),
        "",
        "## Made by",
        "",
        "`python -m experiments.frankle_carbin --data DIR/mnist`, which continues where it was "
        f"interrupted; all curves are in `frankle-carbin.json`. {len(results['trainings'])} "
        f"trainings, {seconds / 3600:.1f} hours in all on one core each of a shared machine "
        f"(x86_64, no GPU), torch {results['torch']}. Trial n draws its initial weights and its "
        "order from seed n.",
    ]
    return "\n".join(lines) + "\n"


def _kind_table(trainings: Trainings, kind: str) -> list[str]:
    return table(
        ["level", "density", "trials", "early stop at", "test there, %", "test at the end, %"],
        [
            [
                level,
                f"{trainings.density[level]:.1%}",
                len(trainings.of[kind, level]),
                spread(trainings.stops(kind, level)),
                percent(trainings.at_stop(kind, level)),
                percent(trainings.at_end(kind, level)),
            ]
            for level in trainings.levels
            if trainings.of[kind, level]
        ],
    )


def claims(trainings: Trainings) -> list[str]:
    """Return each published claim beside the figures, and whether it came out."""
    rows = [_dense(trainings)]
    if 7 in trainings.levels:
        rows += [_faster(trainings, 7), _better(trainings, 7)]
    if 15 in trainings.levels:
        rows += [_as_good(trainings, 15)]
    rows += [
        row
        for level in SHOWN[1:]
        if trainings.of["reinitialised", level]
        for row in (_slower_anew(trainings, level), _worse_anew(trainings, level))
    ]
    return table(["published", "here", "p", "confirmed"], rows)


def _dense(trainings: Trainings) -> list[str]:
    found = trainings.at_stop("ticket", 0)
    came = "yes" if abs(mean(found) - 0.98) < 0.005 else "no"
    return ["the dense network reaches about 98 %", f"{percent(found)} %", "", came]


def _compared(smaller: Sequence[float], larger: Sequence[float]) -> tuple[str, str]:
    """Return a p-value and whether the first are reliably smaller than the second."""
    p = worse(smaller, larger)
    lower = mean(smaller) < mean(larger)
    if p is None:
        return "", "cannot be told" if lower else "no"
    return f"{p:.2g}", "yes" if p < 0.05 else "only in the mean" if lower else "no"


def _faster(trainings: Trainings, level: int) -> list[str]:
    ticket, dense = trainings.paired(("ticket", level), ("ticket", 0), "stop")
    return [
        f"the {trainings.density[level]:.0%}-dense ticket learns faster",
        f"early stop at {spread(ticket)}, dense {spread(dense)}",
        *_compared(ticket, dense),
    ]


def _better(trainings: Trainings, level: int) -> list[str]:
    ticket, dense = trainings.paired(("ticket", level), ("ticket", 0), "at_stop")
    p, came = _compared(dense, ticket)
    gain = 100 * (mean(ticket) - mean(dense))
    return [
        f"the {trainings.density[level]:.0%}-dense ticket is a few tenths better",
        f"{percent(ticket)} %, dense {percent(dense)} %: {gain:+.2f} points",
        p,
        came,
    ]


def _as_good(trainings: Trainings, level: int) -> list[str]:
    ticket, dense = trainings.paired(("ticket", level), ("ticket", 0), "at_stop")
    p, reliably_worse = _compared(ticket, dense)
    gain = 100 * (mean(ticket) - mean(dense))
    return [
        f"the {trainings.density[level]:.1%}-dense ticket is about as good as dense",
        f"{percent(ticket)} %, dense {percent(dense)} %: {gain:+.2f} points",
        p,
        "no" if reliably_worse == "yes" else "yes",
    ]


def _slower_anew(trainings: Trainings, level: int) -> list[str]:
    ticket, anew = trainings.paired(("ticket", level), ("reinitialised", level), "stop")
    return [
        f"re-initialised, the {trainings.density[level]:.1%}-dense network learns slower",
        f"early stop at {spread(anew)}, ticket {spread(ticket)}",
        *_compared(ticket, anew),
    ]


def _worse_anew(trainings: Trainings, level: int) -> list[str]:
    ticket, anew = trainings.paired(("ticket", level), ("reinitialised", level), "at_stop")
    return [
        f"re-initialised, the {trainings.density[level]:.1%}-dense network is worse",
        f"{percent(anew)} %, ticket {percent(ticket)} %",
        *_compared(anew, ticket),
    ]


COLOURS = {0: "#000000", 4: BLUE, 7: GREEN, 11: YELLOW, 15: ORANGE}


def curves(results: dict[str, Any], first: int = 20_000) -> dict[str, Any]:
    """Return test accuracy by iteration: tickets beside the same masks re-initialised."""
    trainings = Trainings(results)
    points, names, looks = [], [], []
    for level in SHOWN:
        for kind in ("ticket", "reinitialised"):
            found = trainings.of[kind, level]
            if not found:
                continue
            anew = ", re-initialised" if kind == "reinitialised" else ""
            names.append(f"{trainings.density[level]:.1%}{anew}")
            looks.append((COLOURS[level], [4, 3] if anew else [1, 0]))
            for iteration in (i for i in sorted(found[0].accuracy) if i <= first):
                accuracy = 100 * mean([training.accuracy[iteration] for training in found])
                points.append({"density": names[-1], "iteration": iteration, "accuracy": accuracy})
    colours, dashes = zip(*looks, strict=True)
    legend = {"symbolType": "stroke", "symbolSize": 300}
    style = by_name(
        "density", names, title="density", legend=legend, color=colours, strokeDash=dashes
    )
    x = quantity("iteration", "iteration", axis={"format": ",d", "grid": False})
    y = quantity("accuracy", "test accuracy, %, mean of the trials", scale={"domain": [94, 98.8]})
    line = {"type": "line", "strokeWidth": 1.5, "clip": True}
    chart = {"width": 620, "height": 380, **layer(line, {"x": x, "y": y}, style)}
    return panels([chart], data={"values": points})


def densities(results: dict[str, Any]) -> dict[str, Any]:
    """Return the early-stopping iteration and the accuracy there, by density."""
    trainings = Trainings(results)
    points = [
        {
            "kind": kind,
            # A little beside each other, so that bars do not hide bars.
            "density": 100 * trainings.density[level] * (1 if kind == "ticket" else 0.98),
            **_extremes("stop", trainings.stops(kind, level)),
            **_extremes("accuracy", [100 * value for value in trainings.at_stop(kind, level)]),
        }
        for kind in ("ticket", "reinitialised")
        for level in trainings.levels
        if trainings.of[kind, level]
    ]
    style = by_name(
        "kind",
        ["ticket", "reinitialised"],
        title="mean; bars: least to most",
        color=[BLUE, ORANGE],
        shape=["circle", "square"],
    )
    shown = [100 * trainings.density[level] for level in trainings.levels[::3]]
    x = quantity(
        "density",
        "density: weights kept, %",
        scale={"type": "log", "reverse": True, "nice": False, "padding": 12},
        axis={"grid": False, "values": shown, "format": ".3~r"},
    )
    point = {"type": "point", "filled": True, "opacity": 1, "size": 45}
    charts = []
    for field, title in (
        ("stop", "early-stopping iteration"),
        ("accuracy", "test accuracy there, %"),
    ):
        place = {"x": x, "y": quantity(field, title, scale={"zero": False})}
        layers = [
            bars(place, "y", (f"{field}_least", f"{field}_most"), style),
            layer({"type": "line", "strokeWidth": 1.5}, place, {"color": style["color"]}),
            layer(point, place, style),
        ]
        charts.append({"width": 380, "height": 320, "layer": layers})
    return panels(charts, data={"values": points})


def _extremes(name: str, values: Sequence[float]) -> dict[str, float]:
    return {name: mean(values), f"{name}_least": min(values), f"{name}_most": max(values)}
