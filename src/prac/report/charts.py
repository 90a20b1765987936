"""A run's charts, as Vega-Lite: one description serves the page, where they answer, and pictures.

Each function returns a chart, or None where the run has nothing to draw yet.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from prac.report.facts import RunFacts
from prac.report.inside import Inside

SCHEMA = "https://vega.github.io/schema/vega-lite/v6.json"

# Okabe and Ito's colours, which people of any colour vision can tell apart, on dark and on light.
BLUE, ORANGE, GREEN, PINK, YELLOW, SKY = (
    "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9",
)  # fmt: skip
GREY = "#8A8A8A"
HEIGHT = 260


@dataclass(frozen=True)
class Chart:
    """One chart.

    Attributes:
        name: Of its file and its place in the page.
        title: What it shows.
        alt: What it shows in words, with the figures that matter, for who cannot see it.
        spec: Vega-Lite.
    """

    name: str
    title: str
    alt: str
    spec: dict[str, Any]


def charts(facts: RunFacts, inside: Inside) -> list[Chart]:
    """Return all charts of a run that have something to show, in the order of the page."""
    found = (
        accuracy(facts),
        iterations(facts),
        sets(facts, inside),
        distances(facts),
        validation(facts),
        forgetting(inside),
        classes(facts),
        layers(inside),
    )
    return [chart for chart in found if chart is not None]


def accuracy(facts: RunFacts) -> Chart | None:
    """Test accuracy by density: judged with intervals, or retrained once."""
    if facts.verdict is not None:
        return _judged(facts)
    rows = [
        {
            "density": 100 * found["density"],
            "accuracy": 100 * found["test_accuracy"],
            "what": "ticket" if level else "dense",
        }
        for level, found in facts.retrained.items()
        if found["test_accuracy"] is not None
    ]
    if not rows:
        return None
    layers = [
        {
            "mark": {"type": "line", "point": {"size": 60}, "color": BLUE},
            "encoding": {**_density(), **_accuracy(rows), **_tips("density", "accuracy", "what")},
        }
    ]
    best = max(rows, key=lambda row: row["accuracy"])
    alt = (
        f"Test accuracy of {len(rows)} tickets retrained once, by density; the highest is "
        f"{best['accuracy']:.2f} % at a density of {best['density']:.2f} %."
    )
    return _chart("accuracy", "Accuracy by density, one run each", alt, rows, layers)


def _judged(facts: RunFacts) -> Chart:
    assert facts.verdict is not None, "asked for where there is a verdict"
    levels = facts.verdict.levels
    dense = levels[0].dense
    rows = []
    for level in levels:
        for what, trials in (("ticket", level.ticket), *level.controls.items()):
            width = trials.half_width or 0.0
            rows.append(
                {
                    "density": 100 * level.density,
                    "accuracy": 100 * trials.mean,
                    "low": 100 * (trials.mean - width),
                    "high": 100 * min(trials.mean + width, 1.0),
                    "what": what,
                    "runs": len(trials.runs),
                    "verdict": level.verdict if what == "ticket" else "control",
                }
            )
    kinds = list(dict.fromkeys(row["what"] for row in rows))
    colour = {
        "color": {
            "field": "what",
            "type": "nominal",
            "title": None,
            "scale": {"domain": kinds, "range": [BLUE, ORANGE, GREEN, PINK][: len(kinds)]},
            "legend": {"orient": "top"},
        },
        "shape": {"field": "what", "type": "nominal", "legend": None},
    }
    band = {
        "low": 100 * (dense.mean - (dense.deviation or 0.0)),
        "dense": 100 * dense.mean,
    }
    tips = _tips("density", "accuracy", "low", "high", "what", "runs", "verdict")
    layers = [
        {
            "data": {"values": [band]},
            "mark": {"type": "rect", "color": GREY, "opacity": 0.25},
            "encoding": {"y": {"field": "low", "type": "quantitative"}, "y2": {"field": "dense"}},
        },
        {
            "data": {"values": [band]},
            "mark": {"type": "rule", "color": GREY, "strokeDash": [4, 3]},
            "encoding": {"y": {"field": "dense", "type": "quantitative"}},
        },
        {
            "mark": {"type": "rule", "opacity": 0.6},
            "encoding": {
                **_density(),
                "y": {"field": "low", "type": "quantitative"},
                "y2": {"field": "high"},
                **colour,
            },
        },
        {
            "mark": {"type": "line", "point": {"size": 60, "filled": True}},
            "encoding": {**_density(), **_accuracy(rows), **colour, **tips},
        },
    ]
    reached = [f"{level.density:.1%} {level.verdict}" for level in levels if level.index]
    alt = (
        f"Mean test accuracy by density with 95 % intervals, {len(facts.verdict.seeds)} runs each; "
        f"the dense network reaches {100 * dense.mean:.2f} %. Tickets: {', '.join(reached)}."
    )
    title = "Accuracy by density; grey: within a standard deviation below dense"
    return _chart("accuracy", title, alt, rows, layers)


def iterations(facts: RunFacts) -> Chart | None:
    """Training iterations by level, before those of iterative magnitude pruning."""
    trained = [level for level in facts.levels if level.imp.iterations]
    if facts.search.finished:
        trained = trained[:-1]
    if not trained:
        return None
    rows = [
        {"level": level.index, "iterations": count, "method": method}
        for level in trained
        for method, count in (("IMP", level.imp.iterations), ("this search", level.cost.iterations))
    ]
    colour = {"field": "method", "type": "nominal", "title": None, "legend": {"orient": "top"}}
    scale = {"domain": ["IMP", "this search"], "range": [SKY, BLUE]}
    layers = [
        {
            "mark": {"type": "bar"},
            "encoding": {
                "x": {"field": "level", "type": "ordinal", "axis": {"labelAngle": 0}},
                "xOffset": {"field": "method", "sort": ["IMP", "this search"]},
                "y": {"field": "iterations", "type": "quantitative", "title": "iterations"},
                "color": {**colour, "scale": scale},
                **_tips("level", "method", "iterations"),
            },
        }
    ]
    spent = sum(level.cost.iterations for level in trained)
    full = sum(level.imp.iterations for level in trained)
    alt = f"Training iterations by level: {spent:,} in this search, {full:,} for IMP."
    return _chart("iterations", "Iterations by level", alt, rows, layers, zooms=False)


def sets(facts: RunFacts, inside: Inside) -> Chart | None:
    """Sizes of the levels' sets, by what put the examples there."""
    names = {"both": "CET and CEP", "cet": "CET only", "cep": "CEP only", "other": "others"}
    rows = [
        {"level": level, "examples": count, "part": names[part]}
        for level, parts in inside.sets.items()
        for part, count in parts.items()
        if count
    ]
    if not rows:
        return None
    order = list(names.values())
    layers = [
        {
            "mark": {"type": "bar"},
            "encoding": {
                "x": {"field": "level", "type": "ordinal", "axis": {"labelAngle": 0}},
                "y": {"field": "examples", "type": "quantitative", "stack": True},
                "color": {
                    "field": "part",
                    "type": "nominal",
                    "title": None,
                    "scale": {"domain": order, "range": [GREEN, BLUE, ORANGE, GREY]},
                    "legend": {"orient": "top"},
                },
                "order": {"field": "part", "sort": "ascending"},
                **_tips("level", "part", "examples"),
            },
        }
    ]
    sizes = [f"level {level.index}: {level.set_size}" for level in facts.levels if level.index]
    total = facts.levels[0].total if facts.levels else 0
    alt = f"Examples in the levels' sets, of {total}: {', '.join(sizes)}."
    return _chart("sets", "Set by level, and what put examples there", alt, rows, layers, False)


def distances(facts: RunFacts) -> Chart | None:
    """Mask distance by epoch, epsilon, and where levels stopped."""
    rows = [
        {"level": level.index, "epoch": epoch, "distance": distance}
        for level in facts.levels
        for epoch, distance in enumerate(level.mask_distances, 2)
    ]
    if not rows:
        return None
    settings = facts.search.settings
    stops = [
        {
            "level": level.index,
            "epoch": len(level.mask_distances) + 1,
            "distance": level.mask_distances[-1],
        }
        for level in facts.levels
        if level.stopped_early and level.mask_distances
    ]
    x = {"field": "epoch", "type": "quantitative", "axis": {"tickMinStep": 1}}
    y = {"field": "distance", "type": "quantitative", "title": "mask distance"}
    layers: list[dict[str, Any]] = [
        {
            "mark": {"type": "line", "point": {"size": 15}, "strokeWidth": 1.3},
            "encoding": {"x": x, "y": y, **_by_level(), **_tips("level", "epoch", "distance")},
        },
        {
            "data": {"values": stops},
            "mark": {"type": "point", "shape": "diamond", "size": 110, "filled": True},
            "encoding": {"x": x, "y": y, **_by_level(), **_tips("level", "epoch", "distance")},
        },
    ]
    epsilon = settings.get("epsilon")
    if settings.get("stop_rule") == "stable" and isinstance(epsilon, int | float):
        layers.append(
            {
                "data": {"values": [{"epsilon": epsilon}]},
                "mark": {"type": "rule", "strokeDash": [5, 4], "color": GREY},
                "encoding": {
                    "y": {"field": "epsilon", "type": "quantitative"},
                    **_tips("epsilon"),
                },
            }
        )
    told = ", ".join(f"level {stop['level']} after epoch {stop['epoch']}" for stop in stops)
    alt = (
        f"Distance between the masks of one epoch and the next, by level. Stopped early: "
        f"{told or 'none'}."
    )
    title = "Mask distance by epoch; diamonds: stopped, dashed: epsilon"
    return _chart("distances", title, alt, rows, layers)


def validation(facts: RunFacts) -> Chart | None:
    """Validation accuracy by epoch of every level."""
    rows = [
        {
            "level": line["level"],
            "epoch": line["epoch"],
            "accuracy": 100 * line["val_accuracy"],
        }
        for line in facts.epochs
        if isinstance(line.get("val_accuracy"), int | float)
        and isinstance(line.get("level"), int)
        and isinstance(line.get("epoch"), int)
    ]
    if not rows:
        return None
    layers = [
        {
            "mark": {"type": "line", "strokeWidth": 1.3, "point": {"size": 12}},
            "encoding": {
                "x": {"field": "epoch", "type": "quantitative", "axis": {"tickMinStep": 1}},
                **_accuracy(rows, "validation accuracy, %"),
                **_by_level(),
                **_tips("level", "epoch", "accuracy"),
            },
        }
    ]
    best = max(rows, key=lambda row: row["accuracy"])
    alt = (
        f"Validation accuracy by epoch, a line a level; the highest is {best['accuracy']:.2f} %, "
        f"of level {best['level']} in epoch {best['epoch']}."
    )
    return _chart("validation", "Validation accuracy by epoch", alt, rows, layers)


def forgetting(inside: Inside) -> Chart | None:
    """How often the dense network forgot examples."""
    if not inside.forgotten:
        return None
    labels = [str(events) for events in inside.forgotten]
    rows = [
        {"events": label, "examples": count}
        for label, count in zip(labels, inside.forgotten.values(), strict=True)
    ]
    layers = [
        {
            "mark": {"type": "bar", "color": BLUE},
            "encoding": {
                "x": {
                    "field": "events",
                    "type": "ordinal",
                    "sort": labels,
                    "title": "forgetting events of an example",
                    "axis": {"labelAngle": 0, "labelOverlap": True},
                },
                "y": {
                    "field": "examples",
                    "type": "quantitative",
                    # A few are forgotten often, and most never.
                    "scale": {"type": "symlog"},
                },
                **_tips("events", "examples"),
            },
        }
    ]
    never = inside.forgotten.get("never learned", 0)
    alt = (
        f"Training examples by forgetting events in level 0: {inside.forgotten.get('0', 0)} were "
        f"learned and never forgotten, {never} never learned."
    )
    title = "Forgetting events in level 0"
    return _chart("forgetting", title, alt, rows, layers, zooms=False)


def classes(facts: RunFacts) -> Chart | None:
    """How much of each class every level's set has."""
    known = [level for level in facts.levels if level.set_by_class]
    if len(known) < 2 or not known[0].set_by_class:
        return None
    names = [str(name) for name in facts.environment.get("classes") or []]
    names += [str(number) for number in range(len(names), len(known[0].set_by_class))]
    rows = [
        {
            "level": level.index,
            "class": names[label],
            "examples": count,
            "share": 100 * count / max(level.set_size, 1),
        }
        for level in known
        for label, count in enumerate(level.set_by_class or [])
        if label < len(names)
    ]
    layers = [_heat("level", "class", "share", "% of the set", ["examples"], names)]
    last = known[-1]
    shares = [count / max(last.set_size, 1) for count in last.set_by_class or []]
    alt = (
        f"Share of each class in every level's set. In the last one it is {min(shares):.1%} to "
        f"{max(shares):.1%}."
    )
    height = max(14 * min(len(known[0].set_by_class), 40), 90)
    return _chart("classes", "Classes in the levels' sets", alt, rows, layers, False, height)


def layers(inside: Inside) -> Chart | None:
    """Density of each layer at each level."""
    if not inside.densities:
        return None
    rows = [
        {"level": level, "layer": name, "density": 100 * density}
        for level, by_layer in inside.densities.items()
        for name, density in by_layer.items()
    ]
    names = list(next(iter(inside.densities.values())))
    layers = [_heat("level", "layer", "density", "density, %", [], names)]
    last = inside.densities[max(inside.densities)]
    sparsest, densest = (pick(last, key=last.__getitem__) for pick in (min, max))
    alt = (
        f"Density of each layer by level. At the last level {sparsest} keeps the least, "
        f"{last[sparsest]:.2%}, and {densest} the most, {last[densest]:.2%}."
    )
    height = max(16 * len(names), 90)
    return _chart("layers", "Density by layer and level", alt, rows, layers, False, height)


def _heat(
    x: str, y: str, value: str, title: str, more: Sequence[str], order: Sequence[str]
) -> dict[str, Any]:
    return {
        "mark": {"type": "rect"},
        "encoding": {
            "x": {"field": x, "type": "ordinal", "axis": {"labelAngle": 0}},
            "y": {"field": y, "type": "ordinal", "title": None, "sort": list(order)},
            "color": {
                "field": value,
                "type": "quantitative",
                "title": title,
                "scale": {"scheme": "viridis"},
            },
            **_tips(x, y, value, *more),
        },
    }


def _density() -> dict[str, Any]:
    return {
        "x": {
            "field": "density",
            "type": "quantitative",
            "title": "density: weights kept, %",
            "scale": {"type": "log", "reverse": True},
        }
    }


def _accuracy(rows: Sequence[dict[str, Any]], title: str = "test accuracy, %") -> dict[str, Any]:
    return {
        "y": {
            "field": "accuracy",
            "type": "quantitative",
            "title": title,
            "scale": {"zero": False, "nice": True},
        }
    }


def _by_level() -> dict[str, Any]:
    scale = {"scheme": "viridis"}
    return {"color": {"field": "level", "type": "quantitative", "scale": scale}}


def _tips(*fields: str) -> dict[str, Any]:
    numbers = {"density", "accuracy", "low", "high", "share"}
    tips = []
    for field in fields:
        tip: dict[str, Any] = {"field": field}
        if field in numbers:
            tip |= {"type": "quantitative", "format": ".2f"}
        elif field in ("distance", "epsilon"):
            tip |= {"type": "quantitative", "format": ".4f"}
        tips.append(tip)
    return {"tooltip": tips}


def _chart(
    name: str,
    title: str,
    alt: str,
    rows: list[dict[str, Any]],
    layers: list[dict[str, Any]],
    zooms: bool = True,
    height: int = HEIGHT,
) -> Chart:
    """Return a chart as wide as its place; dragging moves it, and Shift with the wheel zooms."""
    layers = [dict(layer) for layer in layers]
    if zooms:
        # Without Shift the wheel is the page's.
        zoom = {"type": "interval", "zoom": "wheel![event.shiftKey]"}
        layers[-1]["params"] = [{"name": "zoom", "select": zoom, "bind": "scales"}]
    spec = {
        "$schema": SCHEMA,
        "description": alt,
        "width": "container",
        "height": height,
        "data": {"values": rows},
        "layer": layers,
    }
    return Chart(name, title, alt, spec)
