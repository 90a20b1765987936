"""A run's charts, as Vega-Lite: one description serves the page, where they answer, and pictures.

Each function returns a chart, or None where the run has nothing to draw yet.
"""

from __future__ import annotations

from prac.report import vega
from prac.report.html.by_density import best_of, by_density, extreme, value_of
from prac.report.html.facts import RunFacts
from prac.report.html.inside import Inside
from prac.report.tables import class_names

TOP = {"orient": "top"}


def charts(facts: RunFacts, inside: Inside) -> list[vega.Chart]:
    """Return all charts of a run that have something to show, in the order of the page."""
    found = [by_density(facts), iterations(facts), sets(facts, inside), distances(facts)]
    found += [validation(facts), forgetting(inside), classes(facts), densities(inside)]
    return [chart for chart in found if chart is not None]


def iterations(facts: RunFacts) -> vega.Chart | None:
    """Training iterations by level, before those of iterative magnitude pruning."""
    trained = [level for level in facts.levels if level.imp.iterations]
    if facts.search.finished:
        trained = trained[:-1]
    methods = ["IMP", "this search"]
    rows = [
        {"level": level.index, "iterations": cost.iterations, "method": method}
        for level in trained
        for method, cost in zip(methods, (level.imp, level.cost), strict=True)
    ]
    bar = vega.layer(
        {"type": "bar"},
        {"x": vega.categories("level"), "xOffset": {"field": "method", "sort": methods}},
        {"y": vega.quantity("iterations", "iterations")},
        vega.by_name("method", methods, legend=TOP, color=[vega.SKY, vega.BLUE]),
        vega.tips("level", "method", "iterations"),
    )
    spent = sum(level.cost.iterations for level in trained)
    full = sum(level.imp.iterations for level in trained)
    alt = f"Training iterations by level: {spent:,} in this search, {full:,} for IMP."
    return vega.chart("iterations", "Iterations by level", alt, rows, [bar], zooms=False)


def sets(facts: RunFacts, inside: Inside) -> vega.Chart | None:
    """Sizes of the levels' sets, by what put the examples there."""
    names = {"both": "CET and CEP", "cet": "CET only", "cep": "CEP only", "other": "others"}
    colours = [vega.GREEN, vega.BLUE, vega.ORANGE, vega.GREY]
    rows = [
        {"level": level, "examples": count, "part": names[part]}
        for level, parts in inside.sets.items()
        for part, count in parts.items()
        if count
    ]
    bar = vega.layer(
        {"type": "bar"},
        {"x": vega.categories("level"), "y": vega.quantity("examples", stack=True)},
        vega.by_name("part", list(names.values()), legend=TOP, color=colours),
        {"order": {"field": "part", "sort": "ascending"}},
        vega.tips("level", "part", "examples"),
    )
    sizes = [f"level {level.index}: {level.set_size}" for level in facts.levels if level.index]
    total = facts.levels[0].total if facts.levels else 0
    alt = f"Examples in the levels' sets, of {total}: {', '.join(sizes)}."
    return vega.chart("sets", "Set by level, and what put examples there", alt, rows, [bar], False)


def distances(facts: RunFacts) -> vega.Chart | None:
    """Mask distance by epoch, epsilon, and where levels stopped."""
    rows = [
        {"level": level.index, "epoch": epoch, "distance": distance}
        for level in facts.levels
        for epoch, distance in enumerate(level.mask_distances, 2)
    ]
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
    place = {
        **vega.on_whole("epoch"),
        "y": vega.quantity("distance", "mask distance"),
        **vega.by_level(),
    }
    told = "level", "epoch", "distance"
    line = {"type": "line", "point": {"size": 15}, "strokeWidth": 1.3}
    diamond = {"type": "point", "shape": "diamond", "size": 110, "filled": True}
    layers = [
        vega.layer(line, place, vega.tips(*told)),
        vega.layer(diamond, place, vega.tips(*told, "stopped"), rows=stops),
    ]
    settings = facts.search.settings
    epsilon = settings.get("epsilon")
    if settings.get("stop_rule") == "stable" and isinstance(epsilon, int | float):
        rule = {"type": "rule", "strokeDash": [5, 4], "color": vega.GREY}
        y = {"y": vega.quantity("epsilon")}
        layers.append(vega.layer(rule, y, vega.tips("epsilon"), rows=[{"epsilon": epsilon}]))
    early = ", ".join(f"level {stop['level']} after epoch {stop['epoch']}" for stop in stops)
    what = "Distance between the masks of one epoch and the next, by level."
    alt = f"{what} Stopped early: {early or 'none'}."
    title = "Mask distance by epoch; diamonds: stopped, dashed: epsilon"
    return vega.chart("distances", title, alt, rows, layers)


def validation(facts: RunFacts) -> vega.Chart | None:
    """What was validated by epoch of every level."""
    measure = facts.measure
    rows = [
        {"level": line["level"], "epoch": line["epoch"], measure.key: measure.factor * value}
        for line in facts.epochs
        for value in [line.get("val_metric", line.get("val_accuracy"))]
        if isinstance(value, int | float)
        and all(isinstance(line.get(name), int) for name in ("level", "epoch"))
    ]
    if not rows:
        return None
    lines = vega.layer(
        {"type": "line", "strokeWidth": 1.3, "point": {"size": 12}},
        {**vega.on_whole("epoch"), **vega.on_value(measure, "validation"), **vega.by_level()},
        vega.tips("level", "epoch", measure.key, measure=measure),
    )
    best, title = best_of(rows, measure), f"Validation {measure.name} by epoch"
    alt = (
        f"{title}, a line a level; the {extreme(measure)} is {value_of(best, measure)}, of level "
        f"{best['level']} in epoch {best['epoch']}."
    )
    return vega.chart("validation", title, alt, rows, [lines])


def forgetting(inside: Inside) -> vega.Chart | None:
    """How often the dense network forgot examples."""
    if not inside.forgotten:
        return None
    rows = [{"events": label, "examples": count} for label, count in inside.forgotten.items()]
    title = "forgetting events of an example"
    x = vega.categories("events", sort=list(inside.forgotten), title=title)
    x["axis"]["labelOverlap"] = True
    # A few are forgotten often, and most never.
    y = vega.quantity("examples", scale={"type": "symlog"})
    told = vega.tips("events", "examples")
    bar = vega.layer({"type": "bar", "color": vega.BLUE}, {"x": x, "y": y}, told)
    kept, never = (inside.forgotten.get(name, 0) for name in ("0", "never learned"))
    alt = (
        f"Training examples by forgetting events in level 0: {kept} were learned and never "
        f"forgotten, {never} never learned."
    )
    return vega.chart("forgetting", "Forgetting events in level 0", alt, rows, [bar], zooms=False)


def classes(facts: RunFacts) -> vega.Chart | None:
    """How much of each class every level's set has."""
    known = [(level, level.set_by_class) for level in facts.levels if level.set_by_class]
    if len(known) < 2:
        return None
    number = len(known[0][1])
    names = class_names(facts.environment, number)
    rows = [
        {"level": level.index, "class": name, "examples": count, "share": 100 * count / size}
        for level, counts in known
        for size in [max(level.set_size, 1)]
        for name, count in zip(names, counts, strict=False)
    ]
    squares = vega.heat("level", "class", "share", "% of the set", ["examples"], names)
    last, counts = known[-1]
    least, most = (pick(counts) / max(last.set_size, 1) for pick in (min, max))
    every = "Share of each class in every level's set."
    alt = f"{every} In the last one it is {least:.1%} to {most:.1%}."
    height = max(14 * min(number, 40), 90)
    return vega.chart("classes", "Classes in the levels' sets", alt, rows, [squares], False, height)


def densities(inside: Inside) -> vega.Chart | None:
    """Density of each layer at each level."""
    if not inside.densities:
        return None
    rows = [
        {"level": level, "layer": name, "density": 100 * density}
        for level, by_layer in inside.densities.items()
        for name, density in by_layer.items()
    ]
    names = list(next(iter(inside.densities.values())))
    squares = vega.heat("level", "layer", "density", "density, %", [], names)
    last = inside.densities[max(inside.densities)]
    sparsest, densest = (pick(last, key=last.__getitem__) for pick in (min, max))
    alt = (
        f"Density of each layer by level. At the last level {sparsest} keeps the least, "
        f"{last[sparsest]:.2%}, and {densest} the most, {last[densest]:.2%}."
    )
    height = max(16 * len(names), 90)
    return vega.chart("layers", "Density by layer and level", alt, rows, [squares], False, height)
