"""A run's chart of test accuracy by density: tickets, controls, and the dense network."""

from __future__ import annotations

from typing import Any

from prac.evaluation import LevelVerdict, Trials, Verdict
from prac.report import vega
from prac.report.html.facts import RunFacts

KIND_COLOURS = {
    "ticket": vega.BLUE,
    "reinitialised": vega.PINK,
    "shuffled": vega.GREEN,
    "random": vega.ORANGE,
}
"""Of tickets and their controls, in the order of the legend."""


def accuracy(facts: RunFacts) -> vega.Chart | None:
    """Test accuracy by density: judged with intervals, or retrained once."""
    if facts.verdict is not None:
        return _judged(facts.verdict)
    rows = [
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
    line = {"type": "line", "point": {"size": 60}, "color": vega.BLUE}
    told = vega.tips("network", "density", "accuracy")
    layers = [vega.layer(line, vega.on_density(), vega.on_accuracy(), told)]
    best = max(rows, key=lambda row: row["accuracy"])
    alt = (
        f"Test accuracy of {len(rows)} tickets retrained once, by density; the highest is "
        f"{best['accuracy']:.2f} % at a density of {best['density']:.2f} %."
    )
    return vega.chart("accuracy", "Accuracy by density, one run each", alt, rows, layers)


def _judged(verdict: Verdict) -> vega.Chart | None:
    dense = verdict.levels[0].dense
    # Of a single run nothing tells how far the next would be from it.
    has_intervals = dense.half_width is not None
    rows = [
        _row(level, what, trials)
        for level in verdict.levels
        for what, trials in {"ticket": level.ticket, **level.controls}.items()
    ]
    kinds = [kind for kind in KIND_COLOURS if any(row["what"] == kind for row in rows)]
    legend = {"orient": "top", "symbolOpacity": 1}
    colour = vega.by_name("what", kinds, legend=legend, color=map(KIND_COLOURS.get, kinds))
    shape = {"shape": {**colour["color"], "scale": {"domain": kinds}}}
    interval = ("low", "high") if has_intervals else ()
    told = vega.tips("network", "density", "accuracy", *interval, "runs", "verdict")
    layers = held_against(dense)
    if has_intervals:
        ends = {"y": vega.quantity("low"), "y2": {"field": "high"}}
        rule = {"type": "rule", "opacity": 0.6}
        layers.append(vega.layer(rule, vega.on_density(), ends, colour, told))
    line = {"type": "line", "point": {"size": 60, "filled": True}}
    layers.append(vega.layer(line, vega.on_density(), vega.on_accuracy(), colour, shape, told))
    what, drawn = "Test accuracy by density, one run each", "one run each, dashed: dense"
    if has_intervals:
        what = f"Mean test accuracy by density with 95 % intervals, {len(verdict.seeds)} runs each"
        drawn = "grey: within a standard deviation below dense"
    reached = [f"{level.density:.1%} {level.verdict}" for level in verdict.levels if level.index]
    controls = [kind for kind in kinds if kind != "ticket"]
    alt = (
        f"{what}; the dense network reaches {100 * dense.mean:.2f} %."
        + (f" Tickets: {', '.join(reached)}." if reached else "")
        + (f" Controls beside them: {', '.join(controls)}." if controls else "")
    )
    return vega.chart("accuracy", f"Accuracy by density; {drawn}", alt, rows, layers)


def _row(level: LevelVerdict, what: str, trials: Trials) -> dict[str, Any]:
    """Return a point: what was trained, how well it did, and the verdict or how it compares."""
    width = trials.half_width or 0.0
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
        "accuracy": 100 * trials.mean,
        "low": 100 * max(trials.mean - width, 0.0),
        "high": 100 * min(trials.mean + width, 1.0),
        "runs": len(trials.runs),
        "verdict": said,
    }


def held_against(dense: Trials) -> list[dict[str, Any]]:
    """Return layers of the dense network's mean, and of a standard deviation below it."""
    line = {"dense": 100 * dense.mean}
    told = vega.tips("dense")
    layers = []
    if dense.deviation is not None:
        line["within"] = 100 * (dense.mean - dense.deviation)
        told = vega.tips("dense", "within")
        ends = {"y": vega.quantity("within"), "y2": {"field": "dense"}}
        band = {"type": "rect", "color": vega.GREY, "opacity": 0.25}
        layers.append(vega.layer(band, ends, told, rows=[line]))
    rule = {"type": "rule", "color": vega.GREY, "strokeDash": [4, 3]}
    return [*layers, vega.layer(rule, {"y": vega.quantity("dense")}, told, rows=[line])]
