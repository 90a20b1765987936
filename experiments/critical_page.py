"""The page and the picture of experiments/critical.py."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Sequence
from operator import neg
from typing import Any

from experiments import pages
from experiments.pages import chance, less, percent, spread, table
from prac.evaluation import half_width, mean, worse
from prac.report.pictures import panels
from prac.report.vega import BLUE, GREEN, GREY, ORANGE, PINK, by_name, layer, quantity

RIVALS = {"random-subset": "random sets of their size", "imp": "all data"}
"""What PrAC's sets are held against, level by level trained as long as they were."""

AT_ONCE = "prac:arm=at-once"
"""PrAC with the early stop as it is by default; `--arm above-once` is the published one."""

LENGTHS = {
    "prac": "Whole levels, with the published early stop",
    AT_ONCE: "Levels that stop as they do by default",
    "prac:level-budget=0.2": "Levels of a fifth of a whole training, at most",
    "prac:level-budget=0.1": "Levels of a tenth of a whole training, at most",
    "prac-light": "Levels of a twentieth, at most, the dense network on a tenth of the data",
}
"""What is held against its rivals, by method."""
IN_SHORT = dict(
    zip(LENGTHS, ("whole levels", "default stop", "a fifth", "a tenth", "a twentieth"), strict=True)
)
"""The same for the picture."""

FAMILIES = {
    "digits": BLUE,
    "MNIST": GREEN,
    "Fashion-MNIST": PINK,
    "CIFAR-10": ORANGE,
}


def differences(problem: Mapping[str, Any], method: str, rival: str, level: int) -> list[float]:
    """Return a method's accuracy less a rival's at its cost, by seed, of one level's tickets."""
    values = problem["values"]
    theirs = values[f"{rival}@{method}"][str(level)]
    return [one - other for one, other in zip(values[method][str(level)], theirs, strict=True)]


def levels_of(problem: Mapping[str, Any]) -> list[int]:
    """Return the levels judged, the sparsest first, without the dense network's."""
    return sorted((int(of) for of in next(iter(problem["values"].values())) if of != "0"), key=neg)


def sparsest(problem: Mapping[str, Any]) -> int:
    """Return the sparsest level judged."""
    return levels_of(problem)[0]


def points(found: Sequence[float]) -> str:
    """Return differences in points, with half of their interval, and how likely by chance.

    >>> points([0.01, 0.02, 0.03])
    '+2.00 ± 2.48 (p 0.037)'
    """
    p_value = worse([0.0] * len(found), found)
    width = half_width(found) or 0.0
    return f"{100 * mean(found):+.2f} ± {100 * width:.2f} (p {chance(p_value)})"


def _rows(results: Mapping[str, Any], method: str) -> Iterable[list[str]]:
    for problem in results["problems"].values():
        if method not in problem["shown"]:
            continue
        shown = problem["shown"][method]
        sets = [of["last_set"] for of in shown]
        wrong = [of["mislabelled"] for of in shown if of["mislabelled"] is not None]
        about = [
            problem["title"],
            percent(problem["values"][method]["0"]),
            spread([of["forgotten"] for of in shown], factor=100, digits=1),
            spread([of["never_learned"] for of in shown], factor=100, digits=1),
            f"{mean(sets):.0%}" + (f" ({mean(wrong):.0%} wrong)" if wrong else ""),
        ]
        for level in levels_of(problem):
            yield [
                *about,
                f"{problem['densities'][str(level)]:.1%}",
                percent(problem["values"][method][str(level)]),
                *(points(differences(problem, method, rival, level)) for rival in RIVALS),
            ]
            about = [""] * len(about)


def _default_rows(results: Mapping[str, Any]) -> Iterable[list[str]]:
    """Yield what tickets are worth with the default stop, beside the published one, by seed."""
    problems = results["problems"]
    for name, problem in problems.items():
        published = problems.get(name.removesuffix("-at-once"))
        if AT_ONCE not in problem["shown"] or published is None:
            continue
        saved = f"{mean([of['saved'] for of in problem['shown'][AT_ONCE]]):.1%}"
        for level in levels_of(problem):
            theirs, ours = published["values"]["prac"][str(level)], problem["values"][AT_ONCE]
            row = [problem["title"], f"{problem['densities'][str(level)]:.1%}", percent(theirs)]
            row += [percent(ours[str(level)]), less(ours[str(level)], theirs)]
            yield [*row, saved if level == sparsest(problem) else ""]


DEFAULT_HEAD = ("problem", "density", "published stop, %", "default stop, %", "less", "saved")
HEAD = (
    "problem",
    "dense, %",
    "forgotten or never learned, %",
    "never learned, %",
    "last set",
    "density",
    "PrAC, %",
    "over random sets, points",
    "over all data, points",
)


def page(results: Mapping[str, Any]) -> str:
    """Return the page of the results."""
    lines = [
        "# Which problems critical examples pay on",
        "",
        "PrAC's sets beside random sets of the same sizes, and beside all data, for as many "
        "iterations level by level, on problems of which the dense network forgets between a few "
        "and nearly all of the examples. Tickets are trained alone on all data; a seed sets the "
        "same initialisation and order for all three. *Forgotten or never learned* is the share of "
        "the training examples that are critical for training after the dense network's level "
        "(CET), *last set* the share that the last level's set holds, and in brackets how many of "
        "it have a wrong label. Label noise is in training and validation labels alone. "
        "Differences are means over seeds with half of their 95 % intervals; p is of a paired, "
        "one-sided t test that PrAC is no better, each by itself. Three seeds, for digits fifteen; "
        "9,000 training images of CIFAR-10, 5,400 at 32 x 32, where it does not say otherwise.",
        "",
        "A whole training is one on all data. Levels on sets of a tenth take a tenth of its "
        "iterations by themselves, so that a limit of a tenth (`--level-budget 0.1`) cuts the "
        "dense network's level most: its critical examples are those of an early epoch.",
        "",
        "![PrAC's advantage by the share of examples forgotten](critical.svg)",
        "",
        "Of the sparsest tickets judged. Numbers at points: label noise. Lines: 95 % intervals.",
        "",
        *itertools.chain.from_iterable(
            [f"## {about}", "", *table(HEAD, rows), ""]
            for method, about in LENGTHS.items()
            if (rows := list(_rows(results, method)))
        ),
        "## The default stop beside the published one",
        "",
        "PrAC's tickets, by seed; p is of a test that the default's are no worse. *Saved*: of "
        "IMP's iterations, by the default's sparsest ticket.",
        "",
        *table(DEFAULT_HEAD, _default_rows(results)),
        "",
        "## Made by",
        "",
        f"`python -m experiments.critical --data DIR`; {pages.machines(results)}. The commands, "
        "and every accuracy, are in `critical.json`.",
    ]
    return "\n".join(lines) + "\n"


def picture(results: Mapping[str, Any]) -> dict[str, Any]:
    """Return the picture: the advantage over each rival by the share of examples forgotten."""
    rows = {rival: _marks(results, rival) for rival in RIVALS}
    every = list(itertools.chain.from_iterable(rows.values()))
    domain = [min(of["low"] for of in every), max(of["high"] for of in every)]
    return panels(
        [_panel(rows[rival], about, domain) for rival, about in RIVALS.items()],
        title="PrAC's sets against what costs the same, in points of the tickets' accuracy",
    )


def _marks(results: Mapping[str, Any], rival: str) -> list[dict[str, Any]]:
    """Return a mark for each problem and length: the advantage over a rival."""
    rows = []
    for problem in results["problems"].values():
        for method, shown in problem["shown"].items():
            found = differences(problem, method, rival, sparsest(problem))
            centre, width = 100 * mean(found), 100 * (half_width(found) or 0.0)
            rows.append(
                {
                    "forgotten": 100 * mean([of["forgotten"] for of in shown]),
                    "points": centre,
                    "low": centre - width,
                    "high": centre + width,
                    "family": problem["family"],
                    "what": IN_SHORT[method],
                    "noise": f"{problem['noise']:.0%}" if problem["noise"] else "",
                }
            )
    return rows


def _panel(rows: list[dict[str, Any]], about: str, domain: list[float]) -> dict[str, Any]:
    x = quantity("forgotten", "examples that level 0 forgot or never learned, %")
    y = quantity("points", f"PrAC less {about}, points", scale={"domain": domain})
    colour = by_name("family", list(FAMILIES), color=list(FAMILIES.values()))
    kinds = list(IN_SHORT.values())
    looks = ["circle", "cross", "square", "diamond", "triangle-up"]
    zero = layer({"type": "rule", "color": GREY}, {"y": {"datum": 0}})
    spans = layer(
        {"type": "rule", "opacity": 0.4},
        {"x": x, "y": {**y, "field": "low"}, "y2": {"field": "high"}, **colour},
    )
    marks = layer(
        {"type": "point", "filled": True, "size": 70},
        {"x": x, "y": y, **colour, **by_name("what", kinds, shape=looks)},
    )
    labels = layer(
        {"type": "text", "align": "left", "dx": 7, "dy": -6, "fontSize": 10},
        {"x": x, "y": y, "text": {"field": "noise"}},
    )
    return {
        "width": 400,
        "height": 360,
        "data": {"values": rows},
        "layer": [zero, spans, marks, labels],
    }
