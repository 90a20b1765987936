"""Vega-Lite in the words of a report: a chart, its encodings and colours."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from prac.runs import ACCURACY, Measure

SCHEMA = "https://vega.github.io/schema/vega-lite/v6.json"

# Okabe and Ito's colours, which people of any colour vision can tell apart, on dark and on light.
BLUE, ORANGE, GREEN, PINK, YELLOW, SKY = (
    "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9",
)  # fmt: skip
GREY = "#8A8A8A"
INDIGO = "#785EF0"  # For a seventh kind of thing; IBM's, beside which the others can be told too.
PALETTE = (BLUE, ORANGE, GREEN, PINK, YELLOW, SKY)
HEIGHT = 260
EDGE = 8
"""Pixels from a point to the edge, which would cut it."""

TOOLTIPS = {
    "density": ("density, %", ".2f"),
    "share": ("share of the set, %", ".2f"),
    "distance": ("mask distance", ".4f"),
    "epsilon": ("epsilon", ".4f"),
    "iterations": ("iterations", ",d"),
    "examples": ("examples", ",d"),
    "events": ("forgetting events", None),
}
"""What fields are called where a mark is pointed at, and the form of their numbers."""


@dataclass(frozen=True)
class Chart:
    """One chart, in Vega-Lite.

    Attributes:
        name: Of its file and its place in the page.
        alt: What it shows in words, with the figures that matter, for who cannot see it.
    """

    name: str
    title: str
    alt: str
    spec: dict[str, Any]


def layer(
    mark: dict[str, Any], *encodings: Mapping[str, Any], rows: list[dict[str, Any]] | None = None
) -> dict[str, Any]:
    """Return a layer: a mark, its encodings as one, and its rows where they are its own."""
    encoding = {channel: of for one in encodings for channel, of in one.items()}
    data = {} if rows is None else {"data": {"values": rows}}
    return {**data, "mark": mark, "encoding": encoding}


def quantity(field: str, title: str | None = None, **more: Any) -> dict[str, Any]:
    """Return the encoding of a number; without a title the field's name is its title."""
    titled = {} if title is None else {"title": title}
    return {"field": field, "type": "quantitative", **titled, **more}


def categories(field: str, **more: Any) -> dict[str, Any]:
    """Return the encoding of a few values beside each other."""
    return {"field": field, "type": "ordinal", "axis": {"labelAngle": 0}, **more}


def heat(
    x: str, y: str, value: str, title: str, more: Sequence[str], order: Sequence[str]
) -> dict[str, Any]:
    """Return a layer of squares: a value for each x and y, as colour.

    The title is that of the colours; y goes by `order`, from above; `more` are told where pointed.
    """
    return layer(
        {"type": "rect"},
        {"x": categories(x)},
        {"y": {"field": y, "type": "ordinal", "title": None, "sort": list(order)}},
        {"color": quantity(value, title, scale={"scheme": "viridis"})},
        tips(x, y, value, *more),
    )


def on_density() -> dict[str, Any]:
    """Return the encoding of densities from dense to sparse."""
    # Up to the densities there are, not to the next power of ten.
    scale = {"type": "log", "reverse": True, "nice": False, "padding": EDGE}
    return {"x": quantity("density", "density: weights kept, %", scale=scale)}


def on_whole(field: str) -> dict[str, Any]:
    """Return the encoding of whole numbers, such as epochs and levels."""
    scale = {"zero": False, "nice": False, "padding": EDGE}
    whole = "datum.value % 1 ? '' : format(datum.value, 'd')"
    return {"x": quantity(field, scale=scale, axis={"tickMinStep": 1, "labelExpr": whole})}


def on_value(measure: Measure, of: str = "test") -> dict[str, Any]:
    """Return the encoding of a metric's values upwards, from where they begin."""
    scale = {"zero": False, "nice": True, "padding": EDGE}
    return {"y": quantity(measure.key, measure.axis(of), scale=scale)}


def worse_side(measure: Measure) -> str:
    """Return on which side of another a worse value lies."""
    return "below" if measure.higher_is_better else "above"


def by_level() -> dict[str, Any]:
    """Return the encoding of levels as colours."""
    scale = {"scheme": "viridis"}
    return {"color": {"field": "level", "type": "ordinal", "scale": scale}}


def tips(*fields: str, measure: Measure = ACCURACY) -> dict[str, Any]:
    """Return what a pointed-at mark tells: these fields, by names that people read.

    Values of a metric are called by its name.
    """
    titles = {**TOOLTIPS, **_of_values(measure)}
    tips = []
    for field in fields:
        title, form = titles.get(field, (field, None))
        number = {"type": "quantitative", "format": form} if form else {}
        tips.append({"field": field, "title": title, **number})
    return {"tooltip": tips}


def _of_values(measure: Measure) -> dict[str, tuple[str, str]]:
    """Return what fields with values of a metric are called, and the form of their numbers."""
    less = "less" if measure.higher_is_better else "plus"
    names = {
        measure.key: measure.name,
        "low": "95 % interval from",
        "high": "to",
        "dense": "dense network",
        "within": f"{less} a standard deviation",
    }
    unit = ", %" if measure.is_share else ""
    return {field: (f"{name}{unit}", measure.format) for field, name in names.items()}


def round_numbers(values: Sequence[float]) -> list[float]:
    """Return round numbers between the least and the most, as suits a logarithmic axis.

    Few where they lie far apart; at least three, if values are not all but equal.

    >>> round_numbers([3, 80]), round_numbers([1, 4000]), round_numbers([17_000, 41_000])
    ([5.0, 10.0, 20.0, 50.0], [1.0, 10.0, 100.0, 1000.0], [20000.0, 30000.0, 40000.0])
    """
    least, most = min(values, default=1), max(values, default=1)
    finer = ((10, 20, 50), range(10, 100, 10), range(10, 100, 5), range(10, 100))
    numbers: list[float] = []
    for steps in ((10,),) if most > 1000 * least else finer:
        each = (float(f"{step}e{power}") for power in range(-10, 15) for step in steps)
        numbers = [number for number in each if least <= number <= most]
        if len(numbers) >= 3:
            break
    return numbers


def by_name(
    field: str, names: Sequence[str], *, title: str | None = None, legend: Any = None, **looks: Any
) -> dict[str, Any]:
    """Return the encoding of names: a look for each on every channel given, all in one legend."""
    return {
        channel: {
            "field": field,
            "type": "nominal",
            "title": title,
            "scale": {"domain": list(names), "range": list(look)},
            "legend": legend or {},
        }
        for channel, look in looks.items()
    }


def bars(
    place: Mapping[str, Any], channel: str, ends: tuple[str, str], style: Mapping[str, Any]
) -> dict[str, Any]:
    """Return a layer of intervals along x or y, pale, since wide ones would hide the means."""
    low, high = ends
    along = {channel: {**place[channel], "field": low}, f"{channel}2": {"field": high}}
    orient = "horizontal" if channel == "x" else "vertical"
    bar = {"type": "errorbar", "orient": orient, "ticks": {"size": 5}, "opacity": 0.45}
    return layer({**bar, "clip": True}, {**place, **along}, {"color": style["color"]})


def chart(
    name: str,
    title: str,
    alt: str,
    rows: list[dict[str, Any]],
    layers: list[dict[str, Any]],
    zooms: bool = True,
    height: int = HEIGHT,
) -> Chart | None:
    """Return a chart as wide as its place; None where it has no rows, and so nothing to draw.

    Dragging moves it, and Shift with the wheel zooms.
    """
    if not rows:
        return None
    if zooms:
        # Without Shift the wheel is the page's.
        zoom = {"type": "interval", "zoom": "wheel![event.shiftKey]"}
        params = [{"name": "zoom", "select": zoom, "bind": "scales"}]
        number = next(n for n, layer in enumerate(layers) if "x" in layer["encoding"])
        layers = [*layers[:number], {**layers[number], "params": params}, *layers[number + 1 :]]
    spec = {
        "$schema": SCHEMA,
        "description": alt,
        "width": "container",
        "height": height,
        "data": {"values": rows},
        "layer": layers,
    }
    return Chart(name, title, alt, spec)
