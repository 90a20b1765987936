"""A run's chart of what is measured by density: tickets, controls, and the dense network."""

from __future__ import annotations

from typing import Any

from prac.evaluation import LevelVerdict, Trials, Verdict, worst_matching
from prac.report import vega
from prac.report.html.facts import RunFacts
from prac.runs import Measure

KIND_COLOURS = {
    "ticket": vega.BLUE,
    "reinitialised": vega.PINK,
    "shuffled": vega.GREEN,
    "random": vega.ORANGE,
    "smart-ratio": vega.YELLOW,
    "corrupted-labels": vega.SKY,
    "corrupted-inputs": vega.INDIGO,
}
"""Of tickets and their controls, in the order of the legend."""


def by_density(facts: RunFacts) -> vega.Chart | None:
    """What tickets reach on test data by density: judged with intervals, or retrained once."""
    if facts.verdict is not None:
        return _judged(facts.verdict)
    measure = facts.measure
    rows = [
        {
            "density": 100 * found["density"],
            measure.key: measure.factor * found["test_metric"],
            "network": f"ticket {level}" if level else "dense",
        }
        for level, found in facts.retrained.items()
        if found["test_metric"] is not None
    ]
    if not rows:
        return None
    line = {"type": "line", "point": {"size": 60}, "color": vega.BLUE}
    told = vega.tips("network", "density", measure.key, measure=measure)
    layers = [vega.layer(line, vega.on_density(), vega.on_value(measure), told)]
    best = best_of(rows, measure)
    alt = (
        f"Test {measure.name} of {len(rows)} tickets retrained once, by density; the "
        f"{extreme(measure)} is {value_of(best, measure)} at a density of {best['density']:.2f} %."
    )
    title = f"{titled(measure)} by density, one run each"
    return vega.chart(measure.key, title, alt, rows, layers)


def best_of(rows: list[dict[str, Any]], measure: Measure) -> dict[str, Any]:
    """Return the row of the best value."""
    best = measure.best(row[measure.key] for row in rows)
    return next(row for row in rows if row[measure.key] == best)


def extreme(measure: Measure) -> str:
    """Return which of several values is the best."""
    return "highest" if measure.higher_is_better else "lowest"


def value_of(row: dict[str, Any], measure: Measure) -> str:
    """Return a row's value, which is one of a chart already, with its unit."""
    return format(row[measure.key], measure.format) + measure.unit


def averaged(measure: Measure) -> str:
    """Return what a mean on test data is called, as a sentence begins with it."""
    return f"{measure.mean.capitalize()} test {measure.name}"


def titled(measure: Measure) -> str:
    """Return a metric's name as a title begins with it."""
    return f"{measure.name[0].upper()}{measure.name[1:]}"


def _judged(verdict: Verdict) -> vega.Chart | None:
    dense, measure = verdict.levels[0].dense, verdict.measure
    # Of a single run nothing tells how far the next would be from it.
    has_intervals = dense.half_width is not None
    rows = [
        _row(level, what, trials, measure)
        for level in verdict.levels
        for what, trials in {"ticket": level.ticket, **level.controls}.items()
    ]
    kinds = [kind for kind in KIND_COLOURS if any(row["what"] == kind for row in rows)]
    legend = {"orient": "top", "symbolOpacity": 1, "columns": 2, "labelLimit": 160}
    colour = vega.by_name("what", kinds, legend=legend, color=map(KIND_COLOURS.get, kinds))
    shape = {"shape": {**colour["color"], "scale": {"domain": kinds}}}
    interval = ("low", "high") if has_intervals else ()
    fields = ("network", "density", measure.key, *interval, "runs", "verdict")
    told = vega.tips(*fields, measure=measure)
    layers = held_against(dense, measure)
    if has_intervals:
        ends = {"y": vega.quantity("low"), "y2": {"field": "high"}}
        rule = {"type": "rule", "opacity": 0.6}
        layers.append(vega.layer(rule, vega.on_density(), ends, colour, told))
    line = {"type": "line", "point": {"size": 60, "filled": True}}
    layers.append(vega.layer(line, vega.on_density(), vega.on_value(measure), colour, shape, told))
    what, drawn = f"Test {measure.name} by density, one run each", "one run each, dashed: dense"
    if has_intervals:
        name, runs = averaged(measure), f"{len(verdict.seeds)} runs each"
        what = f"{name} by density with 95 % intervals, {runs}"
        drawn = f"grey: within a standard deviation {vega.worse_side(measure)} dense"
    reached = [f"{level.density:.1%} {level.verdict}" for level in verdict.levels if level.index]
    controls = [kind for kind in kinds if kind != "ticket"]
    alt = (
        f"{what}; the dense network reaches {measure.number(dense.mean)}{measure.unit}."
        + (f" Tickets: {', '.join(reached)}." if reached else "")
        + (f" Controls beside them: {', '.join(controls)}." if controls else "")
    )
    return vega.chart(measure.key, f"{titled(measure)} by density; {drawn}", alt, rows, layers)


def _row(level: LevelVerdict, what: str, trials: Trials, measure: Measure) -> dict[str, Any]:
    """Return a point: what was trained, how well it did, and the verdict or how it compares."""
    width, factor = trials.half_width or 0.0, measure.factor
    low, high = trials.mean - width, trials.mean + width
    if measure.is_share:
        low, high = max(low, 0.0), min(high, 1.0)
    if not level.index:
        network, said = "dense", "what the others are held against"
    elif what == "ticket":
        network, said = f"ticket {level.index}", level.verdict
    else:
        network = f"{what} control of ticket {level.index}"
        ways = {True: "as good as the ticket", False: "not as good as the ticket"}
        within_one_std = level.within_one_std(what)
        said = "undecided" if within_one_std is None else ways[within_one_std]
    return {
        "what": what,
        "network": network,
        "density": 100 * level.density,
        measure.key: factor * trials.mean,
        "low": factor * low,
        "high": factor * high,
        "runs": len(trials.runs),
        "verdict": said,
    }


def held_against(dense: Trials, measure: Measure) -> list[dict[str, Any]]:
    """Return layers of the dense network's mean, and of a deviation to its worse side."""
    line = {"dense": measure.factor * dense.mean}
    told = vega.tips("dense", measure=measure)
    layers = []
    if dense.deviation is not None:
        line["within"] = measure.factor * worst_matching(dense, measure)
        told = vega.tips("dense", "within", measure=measure)
        ends = {"y": vega.quantity("within"), "y2": {"field": "dense"}}
        band = {"type": "rect", "color": vega.GREY, "opacity": 0.25}
        layers.append(vega.layer(band, ends, told, rows=[line]))
    rule = {"type": "rule", "color": vega.GREY, "strokeDash": [4, 3]}
    return [*layers, vega.layer(rule, {"y": vega.quantity("dense")}, told, rows=[line])]
