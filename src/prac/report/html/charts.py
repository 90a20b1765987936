"""A run's charts, as Vega-Lite: one description serves the page, where they answer, and pictures.

Each function returns a chart, or None where the run has nothing to draw yet.
"""

from __future__ import annotations

from prac.report import vega
from prac.report.html.accuracy import accuracy
from prac.report.html.facts import RunFacts
from prac.report.html.inside import Inside

TOP = {"orient": "top"}


def charts(facts: RunFacts, inside: Inside) -> list[vega.Chart]:
    """Return all charts of a run that have something to show, in the order of the page."""
    found = (
        accuracy(facts),
        iterations(facts),
        sets(facts, inside),
        distances(facts),
        validation(facts),
        forgetting(inside),
        classes(facts),
        densities(inside),
    )
    return [chart for chart in found if chart is not None]


def iterations(facts: RunFacts) -> vega.Chart | None:
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
    methods = ["IMP", "this search"]
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
    rows = [
        {"level": level, "examples": count, "part": names[part]}
        for level, parts in inside.sets.items()
        for part, count in parts.items()
        if count
    ]
    if not rows:
        return None
    bar = vega.layer(
        {"type": "bar"},
        {"x": vega.categories("level"), "y": vega.quantity("examples", stack=True)},
        vega.by_name(
            "part",
            list(names.values()),
            legend=TOP,
            color=[vega.GREEN, vega.BLUE, vega.ORANGE, vega.GREY],
        ),
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
    if not rows:
        return None
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
    told_stops = ", ".join(f"level {stop['level']} after epoch {stop['epoch']}" for stop in stops)
    alt = (
        f"Distance between the masks of one epoch and the next, by level. Stopped early: "
        f"{told_stops or 'none'}."
    )
    title = "Mask distance by epoch; diamonds: stopped, dashed: epsilon"
    return vega.chart("distances", title, alt, rows, layers)


def validation(facts: RunFacts) -> vega.Chart | None:
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
    lines = vega.layer(
        {"type": "line", "strokeWidth": 1.3, "point": {"size": 12}},
        {**vega.on_whole("epoch"), **vega.on_accuracy("validation accuracy, %"), **vega.by_level()},
        vega.tips("level", "epoch", "accuracy"),
    )
    best = max(rows, key=lambda row: row["accuracy"])
    alt = (
        f"Validation accuracy by epoch, a line a level; the highest is {best['accuracy']:.2f} %, "
        f"of level {best['level']} in epoch {best['epoch']}."
    )
    return vega.chart("validation", "Validation accuracy by epoch", alt, rows, [lines])


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
    bar = vega.layer(
        {"type": "bar", "color": vega.BLUE}, {"x": x, "y": y}, vega.tips("events", "examples")
    )
    never = inside.forgotten.get("never learned", 0)
    alt = (
        f"Training examples by forgetting events in level 0: {inside.forgotten.get('0', 0)} were "
        f"learned and never forgotten, {never} never learned."
    )
    return vega.chart("forgetting", "Forgetting events in level 0", alt, rows, [bar], zooms=False)


def classes(facts: RunFacts) -> vega.Chart | None:
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
    squares = vega.heat("level", "class", "share", "% of the set", ["examples"], names)
    last = known[-1]
    shares = [count / max(last.set_size, 1) for count in last.set_by_class or []]
    alt = (
        f"Share of each class in every level's set. In the last one it is {min(shares):.1%} to "
        f"{max(shares):.1%}."
    )
    height = max(14 * min(len(known[0].set_by_class), 40), 90)
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
