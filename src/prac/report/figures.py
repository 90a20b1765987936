"""The picture of a comparison, for papers: Vega-Lite, drawn as SVG and PNG."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import cycle, islice
from typing import Any

from prac.comparison import Comparison, Row, summary
from prac.evaluation import worst_matching
from prac.report import vega
from prac.report.pictures import panels
from prac.runs import Measure

METHOD_COLOURS = (*vega.PALETTE, "#000000")
SHAPES = (
    "circle", "square", "triangle-up", "diamond", "triangle-down", "cross", "triangle-left",
    "triangle-right",
)  # fmt: skip
DENSE, BAND = "#4a4d52", "#d9d9d9"
WIDE = 5.0
"""Percentage points beyond which differences near the top would not be seen on a plain scale."""
WIDTH, HEIGHT = 420, 400


def comparison_figure(comparison: Comparison) -> dict[str, Any]:
    """Return two charts: the metric against density, and against the iterations of finding it."""
    measure = comparison.measure
    rows = [row for row in summary(comparison) if row.values]
    means = [measure.factor * found["mean"] for row in rows for found in row.values]
    y, position = _values(means, measure)
    points: list[dict[str, Any]] = []
    for number, row in enumerate(rows):
        # A little beside each other, so that bars do not hide bars.
        aside = 1 + 0.012 * (number - len(rows) / 2)
        dashed = number >= len(METHOD_COLOURS)
        found = _points(row, aside, position, measure)
        points += ({**point, "dashed": dashed} for point in found)
    methods, count = [row.method for row in rows], len(rows)
    style = vega.by_name(
        "method",
        [*methods, "dense"],
        legend={"symbolSize": 80, "labelLimit": 260},
        color=[*islice(cycle(METHOD_COLOURS), count), DENSE],
        shape=[*islice(cycle(SHAPES), count), "stroke"],
    )
    densities = sorted({point["density"] for point in points})
    by_density = _log("beside", "density: weights kept, %", densities, ".3~r")
    by_density["scale"]["reverse"] = True
    if len(densities) == 1:  # Else methods beside each other would fill the chart.
        by_density["scale"]["domain"] = [densities[0] / 1.2, densities[0] * 1.2]
    spent = vega.round_numbers([point["iterations"] for point in points])
    by_cost = _log("iterations", "iterations of finding the ticket", spent, ",d")
    bare = {**y, "title": None, "axis": {**y["axis"], "labels": False, "ticks": False}}
    across = vega.bars({"x": by_cost, "y": bare}, "x", ("fewest", "most"), style)
    layers = (
        [*_dense(comparison, y, position), *_marks(by_density, y, style)],
        [*_dense(comparison, bare, position), across, *_marks(by_cost, bare, style)],
    )
    seeds = len(comparison.seeds)
    return panels(
        [{"width": WIDTH, "height": HEIGHT, "layer": of} for of in layers],
        title=f"Tickets trained alone, {seeds} seed{'s' if seeds > 1 else ''}; bars: 95 % "
        f"intervals; grey: a standard deviation {vega.worse_side(measure)} dense",
        data={"values": points},
    )


def _points(
    row: Row, aside: float, position: Callable[[float], float], measure: Measure
) -> Iterator[dict[str, Any]]:
    """Yield a method's sparse tickets, with the ends of their intervals."""
    for found in row.values:
        if found["level"]:
            mean = measure.factor * found["mean"]
            width = measure.factor * (found["half_width"] or 0.0)
            spent, across = max(found["iterations"], 1), found["iterations_half_width"] or 0.0
            yield {
                "method": row.method,
                "density": 100 * found["density"],
                "beside": 100 * found["density"] * aside,
                "y": position(mean),
                "low": position(mean - width),
                "high": position(mean + width),
                "iterations": spent,
                # A logarithmic scale has no place for an interval that reaches zero.
                "fewest": max(spent - across, spent / 2),
                "most": spent + across,
            }


def _values(
    means: Sequence[float], measure: Measure
) -> tuple[dict[str, Any], Callable[[float], float]]:
    """Return the encoding of a metric's values, and what takes one to its place on the scale.

    It has the range of the means: an interval of few runs may reach far beyond it. Where some are
    far below the others, and they are shares, errors are on a logarithmic scale: a tenth of a point
    matters near the best, and is nothing near the worst.
    """
    low, high = min(means, default=0.0), max(means, default=100.0)
    y = vega.quantity("y", measure.axis())
    if not measure.is_share:
        margin = 0.25 * (high - low) or 0.01 * abs(high) or 1.0
        scale = {"domain": [low - margin, high + margin], "nice": False}
        return {**y, "scale": scale, "axis": {}}, lambda mean: mean
    if high - low < WIDE or high >= 100 or not measure.higher_is_better:
        margin = 0.25 * (high - low) + 0.1
        domain = [low - margin, min(high + margin, 100)]
        return {**y, "scale": {"domain": domain, "nice": False}, "axis": {}}, lambda mean: mean
    least, most = (100 - high) / 1.2, min((100 - low) * 1.2, 100.0)
    errors = [10.0**power * step for power in (1, 0, -1, -2) for step in (8, 6, 5, 4, 3, 2, 1.5, 1)]
    axis = {
        "values": [error for error in errors if least <= error <= most],
        "labelExpr": "format(100 - datum.value, '.6~r')",
    }
    scale = {"type": "log", "reverse": True, "domain": [least, most], "nice": False}
    return {**y, "scale": scale, "axis": axis}, lambda mean: max(100 - mean, 1e-6)


def _log(field: str, title: str, ticks: Sequence[float], form: str) -> dict[str, Any]:
    """Return the encoding of a field on a logarithmic scale, with room at both ends."""
    scale = {"type": "log", "nice": False, "padding": 20}
    axis = {"grid": False, "values": ticks, "format": form}
    return vega.quantity(field, title, scale=scale, axis=axis)


def _marks(x: dict[str, Any], y: dict[str, Any], style: dict[str, Any]) -> list[dict[str, Any]]:
    """Return layers of a chart's intervals, lines and points."""
    place = {"x": x, "y": y}
    by_level = {"field": "density", "sort": "descending"}
    line = {"type": "line", "strokeWidth": 1.5, "clip": True}
    scale = {"domain": [False, True], "range": [[1, 0], [4, 3]]}
    dashes = {"field": "dashed", "type": "nominal", "scale": scale, "legend": None}
    point = {"type": "point", "filled": True, "opacity": 1, "size": 55}
    return [
        vega.bars(place, "y", ("low", "high"), style),
        vega.layer(line, place, {"color": style["color"], "strokeDash": dashes, "order": by_level}),
        vega.layer(point, place, style),
    ]


def _dense(
    comparison: Comparison, y: dict[str, Any], position: Callable[[float], float]
) -> list[dict[str, Any]]:
    """Return layers of the dense mean, and a deviation to its worse side: where tickets match."""
    verdicts = (comparison.verdict(method, 0) for method in comparison.methods)
    dense = next((found.dense for found in verdicts if found is not None), None)
    if dense is None:
        return []
    measure = comparison.measure
    within = worst_matching(dense, measure)
    rows = [
        {"y": position(measure.factor * dense.mean), "within": position(measure.factor * within)}
    ]
    band = {"type": "rect", "color": BAND, "clip": True}
    line = {"type": "rule", "color": DENSE, "clip": True}
    ends = {"y": {**y, "field": "within"}, "y2": {"field": "y"}}
    return [vega.layer(band, ends, rows=rows), vega.layer(line, {"y": y}, rows=rows)]
