"""A run's charts, as Vega-Lite: one description serves the page, where they answer, and pictures.

Each function returns a chart, or None where the run has nothing to draw yet.
"""

from __future__ import annotations

from typing import Any

from prac.report.facts import RunFacts
from prac.report.inside import Inside
from prac.report.vega import (
    BLUE,
    GREEN,
    GREY,
    ORANGE,
    PINK,
    SKY,
    Chart,
    by_level,
    chart,
    heat,
    on_accuracy,
    on_density,
    on_whole,
    tips,
)
from prac.verdict import LevelVerdict, Trials

COLOURS = {"ticket": BLUE, "reinitialised": PINK, "shuffled": GREEN, "random": ORANGE}
"""Of tickets and their controls, in the order of the legend."""


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
    rows: list[dict[str, Any]] = [
        {
            "density": 100 * found["density"],
            "accuracy": 100 * found["test_accuracy"],
            "network": f"ticket {level}" if level else "dense",
        }
        for level, found in facts.retrained.items()
        if found["test_accuracy"] is not None
    ]
    if not rows:
        return None
    layers: list[dict[str, Any]] = [
        {
            "mark": {"type": "line", "point": {"size": 60}, "color": BLUE},
            "encoding": {
                **on_density(),
                **on_accuracy(),
                **tips("network", "density", "accuracy"),
            },
        }
    ]
    best = max(rows, key=lambda row: row["accuracy"])
    alt = (
        f"Test accuracy of {len(rows)} tickets retrained once, by density; the highest is "
        f"{best['accuracy']:.2f} % at a density of {best['density']:.2f} %."
    )
    return chart("accuracy", "Accuracy by density, one run each", alt, rows, layers)


def _judged(facts: RunFacts) -> Chart:
    assert facts.verdict is not None, "asked for where there is a verdict"
    levels = facts.verdict.levels
    dense = levels[0].dense
    # Of a single run nothing tells how far the next would be from it.
    has_intervals = dense.half_width is not None
    rows: list[dict[str, Any]] = []
    for level in levels:
        for what, trials in (("ticket", level.ticket), *level.controls.items()):
            width = trials.half_width or 0.0
            row = {
                "what": what,
                "network": _network(level.index, what),
                "density": 100 * level.density,
                "accuracy": 100 * trials.mean,
                "low": 100 * max(trials.mean - width, 0.0),
                "high": 100 * min(trials.mean + width, 1.0),
                "runs": len(trials.runs),
                "verdict": _said(level, what),
            }
            rows.append(row)
    kinds = [kind for kind in COLOURS if any(row["what"] == kind for row in rows)]
    legend = {"orient": "top", "symbolOpacity": 1}
    kind = {"field": "what", "type": "nominal", "title": None, "legend": legend}
    colour = {
        "color": {
            **kind,
            "scale": {"domain": kinds, "range": [COLOURS[name] for name in kinds]},
        },
    }
    shape = {"shape": {**kind, "scale": {"domain": kinds}}}
    interval = ("low", "high") if has_intervals else ()
    told = tips("network", "density", "accuracy", *interval, "runs", "verdict")
    layers: list[dict[str, Any]] = [
        {
            "mark": {"type": "line", "point": {"size": 60, "filled": True}},
            "encoding": {**on_density(), **on_accuracy(), **colour, **shape, **told},
        },
    ]
    if has_intervals:
        spread = {
            "mark": {"type": "rule", "opacity": 0.6},
            "encoding": {
                **on_density(),
                "y": {"field": "low", "type": "quantitative"},
                "y2": {"field": "high"},
                **colour,
                **told,
            },
        }
        layers.insert(0, spread)
    layers = [*_held_against(dense), *layers]
    what, drawn = "Test accuracy by density, one run each", "one run each, dashed: dense"
    if has_intervals:
        runs = f"{len(facts.verdict.seeds)} runs each"
        what = f"Mean test accuracy by density with 95 % intervals, {runs}"
        drawn = "grey: within a standard deviation below dense"
    reached = [f"{level.density:.1%} {level.verdict}" for level in levels if level.index]
    controls = [kind for kind in kinds if kind != "ticket"]
    alt = (
        f"{what}; the dense network reaches {100 * dense.mean:.2f} %."
        + (f" Tickets: {', '.join(reached)}." if reached else "")
        + (f" Controls beside them: {', '.join(controls)}." if controls else "")
    )
    return chart("accuracy", f"Accuracy by density; {drawn}", alt, rows, layers)


def _network(level: int, what: str) -> str:
    """Return what was trained, as its point tells it."""
    if not level:
        return "dense"
    return f"ticket {level}" if what == "ticket" else f"{what} control of ticket {level}"


def _said(level: LevelVerdict, what: str) -> str:
    """Return the verdict on a ticket, or how its control does beside it."""
    if not level.index:
        return "what the others are held against"
    if what == "ticket":
        return level.verdict
    beside = {True: "as good as the ticket", False: "not as good as the ticket"}
    as_good = level.as_good(what)
    return "undecided" if as_good is None else beside[as_good]


def _held_against(dense: Trials) -> list[dict[str, Any]]:
    """Return layers of the dense network's mean, and of a standard deviation below it."""
    line = {"dense": 100 * dense.mean}
    told = tips("dense")
    layers: list[dict[str, Any]] = []
    if dense.deviation is not None:
        line["within"] = 100 * (dense.mean - dense.deviation)
        told = tips("dense", "within")
        band = {
            "data": {"values": [line]},
            "mark": {"type": "rect", "color": GREY, "opacity": 0.25},
            "encoding": {
                "y": {"field": "within", "type": "quantitative"},
                "y2": {"field": "dense"},
                **told,
            },
        }
        layers.append(band)
    rule = {
        "data": {"values": [line]},
        "mark": {"type": "rule", "color": GREY, "strokeDash": [4, 3]},
        "encoding": {"y": {"field": "dense", "type": "quantitative"}, **told},
    }
    return [*layers, rule]


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
    layers: list[dict[str, Any]] = [
        {
            "mark": {"type": "bar"},
            "encoding": {
                "x": {"field": "level", "type": "ordinal", "axis": {"labelAngle": 0}},
                "xOffset": {"field": "method", "sort": ["IMP", "this search"]},
                "y": {"field": "iterations", "type": "quantitative", "title": "iterations"},
                "color": {**colour, "scale": scale},
                **tips("level", "method", "iterations"),
            },
        }
    ]
    spent = sum(level.cost.iterations for level in trained)
    full = sum(level.imp.iterations for level in trained)
    alt = f"Training iterations by level: {spent:,} in this search, {full:,} for IMP."
    return chart("iterations", "Iterations by level", alt, rows, layers, zooms=False)


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
    layers: list[dict[str, Any]] = [
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
                **tips("level", "part", "examples"),
            },
        }
    ]
    sizes = [f"level {level.index}: {level.set_size}" for level in facts.levels if level.index]
    total = facts.levels[0].total if facts.levels else 0
    alt = f"Examples in the levels' sets, of {total}: {', '.join(sizes)}."
    return chart("sets", "Set by level, and what put examples there", alt, rows, layers, False)


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
            "stopped": "after this epoch",
        }
        for level in facts.levels
        if level.stopped_early and level.mask_distances
    ]
    x = on_whole("epoch")
    y = {"field": "distance", "type": "quantitative", "title": "mask distance"}
    layers: list[dict[str, Any]] = [
        {
            "mark": {"type": "line", "point": {"size": 15}, "strokeWidth": 1.3},
            "encoding": {**x, "y": y, **by_level(), **tips("level", "epoch", "distance")},
        },
        {
            "data": {"values": stops},
            "mark": {"type": "point", "shape": "diamond", "size": 110, "filled": True},
            "encoding": {
                **x,
                "y": y,
                **by_level(),
                **tips("level", "epoch", "distance", "stopped"),
            },
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
                    **tips("epsilon"),
                },
            }
        )
    told = ", ".join(f"level {stop['level']} after epoch {stop['epoch']}" for stop in stops)
    alt = (
        f"Distance between the masks of one epoch and the next, by level. Stopped early: "
        f"{told or 'none'}."
    )
    title = "Mask distance by epoch; diamonds: stopped, dashed: epsilon"
    return chart("distances", title, alt, rows, layers)


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
    layers: list[dict[str, Any]] = [
        {
            "mark": {"type": "line", "strokeWidth": 1.3, "point": {"size": 12}},
            "encoding": {
                **on_whole("epoch"),
                **on_accuracy("validation accuracy, %"),
                **by_level(),
                **tips("level", "epoch", "accuracy"),
            },
        }
    ]
    best = max(rows, key=lambda row: row["accuracy"])
    alt = (
        f"Validation accuracy by epoch, a line a level; the highest is {best['accuracy']:.2f} %, "
        f"of level {best['level']} in epoch {best['epoch']}."
    )
    return chart("validation", "Validation accuracy by epoch", alt, rows, layers)


def forgetting(inside: Inside) -> Chart | None:
    """How often the dense network forgot examples."""
    if not inside.forgotten:
        return None
    labels = [str(events) for events in inside.forgotten]
    rows = [
        {"events": label, "examples": count}
        for label, count in zip(labels, inside.forgotten.values(), strict=True)
    ]
    layers: list[dict[str, Any]] = [
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
                **tips("events", "examples"),
            },
        }
    ]
    never = inside.forgotten.get("never learned", 0)
    alt = (
        f"Training examples by forgetting events in level 0: {inside.forgotten.get('0', 0)} were "
        f"learned and never forgotten, {never} never learned."
    )
    title = "Forgetting events in level 0"
    return chart("forgetting", title, alt, rows, layers, zooms=False)


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
    layers: list[dict[str, Any]] = [
        heat("level", "class", "share", "% of the set", ["examples"], names)
    ]
    last = known[-1]
    shares = [count / max(last.set_size, 1) for count in last.set_by_class or []]
    alt = (
        f"Share of each class in every level's set. In the last one it is {min(shares):.1%} to "
        f"{max(shares):.1%}."
    )
    height = max(14 * min(len(known[0].set_by_class), 40), 90)
    return chart("classes", "Classes in the levels' sets", alt, rows, layers, False, height)


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
    layers: list[dict[str, Any]] = [heat("level", "layer", "density", "density, %", [], names)]
    last = inside.densities[max(inside.densities)]
    sparsest, densest = (pick(last, key=last.__getitem__) for pick in (min, max))
    alt = (
        f"Density of each layer by level. At the last level {sparsest} keeps the least, "
        f"{last[sparsest]:.2%}, and {densest} the most, {last[densest]:.2%}."
    )
    height = max(16 * len(names), 90)
    return chart("layers", "Density by layer and level", alt, rows, layers, False, height)
