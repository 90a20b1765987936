"""The pictures of docs/performance.md, drawn from the figures alone."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bench.report import exponent
from prac.report.pictures import panels, svg
from prac.report.vega import BLUE, GREY, ORANGE, SKY, by_name, layer, quantity, round_numbers

PROFILE, GROWTH = "bench-profile.svg", "bench-growth.svg"


def draw(sections: Mapping[str, Any], folder: Path) -> None:
    """Write the pictures for which there are figures."""
    if "search" in sections:
        (folder / PROFILE).write_text(svg(profile(sections["search"]["facts"]["seconds"])))
    if "growth" in sections:
        (folder / GROWTH).write_text(svg(growth(sections["growth"]["facts"]["curves"])))


def profile(seconds: Mapping[str, float]) -> dict[str, Any]:
    """Return a search's time as one bar, and below it the parts that are no step and no pass."""
    from bench.search import NEEDED

    whole = sum(seconds.values())
    shares = {part: 100 * value / whole for part, value in seconds.items()}
    small = {part: share for part, share in shares.items() if part not in NEEDED}
    bars = {part: shares[part] for part in NEEDED} | {"everything else": sum(small.values())}
    names = [f"{part}: {share:.1f} %" for part, share in bars.items()]
    large = [
        {"part": name, "share": share, "order": number}
        for number, (name, share) in enumerate(zip(names, bars.values(), strict=True))
    ]
    rows = [
        {"part": part, "share": share, "text": f"{share:.2f} %"} for part, share in small.items()
    ]
    percent = {"axis": {"labelExpr": "datum.label + ' %'", "grid": False}}
    legend = {"orient": "top", "labelLimit": 400}
    upper = layer(
        {"type": "bar"},
        {"x": quantity("share", "", scale={"domain": [0, 100]}, **percent)},
        by_name("part", names, legend=legend, color=[BLUE, SKY, ORANGE]),
        {"order": {"field": "order"}},
    )
    place = {
        "x": quantity("share", "", **percent),
        "y": {
            "field": "part",
            "type": "nominal",
            "title": None,
            "sort": None,
            "axis": {"labelLimit": 400},
        },
    }
    text = {"type": "text", "align": "left", "dx": 4, "fontSize": 12}
    lower = [
        layer({"type": "bar", "color": ORANGE}, place),
        layer(text, place, {"text": {"field": "text"}}),
    ]
    charts = [
        {
            "title": "All of a search's time",
            "width": 460,
            "height": 45,
            "data": {"values": large},
            **upper,
        },
        {
            "title": "Everything else, as a share of the search's time",
            "width": 460,
            "height": 220,
            "data": {"values": rows},
            "layer": lower,
        },
    ]
    return panels(charts, columns=1)


def growth(curves: Mapping[str, Any]) -> dict[str, Any]:
    """Return each curve with its power law; a straight line of slope 1 is linear."""
    charts = []
    for name, curve in curves.items():
        sizes, seconds = curve["sizes"], curve["seconds"]
        power = exponent(sizes, seconds)
        logs = [math.log(s) - power * math.log(n) for n, s in zip(sizes, seconds, strict=True)]
        factor = math.exp(sum(logs) / len(logs))
        rows = [
            {"size": size, "seconds": second, "fitted": factor * size**power}
            for size, second in zip(sizes, seconds, strict=True)
        ]
        log = {"type": "log", "nice": False, "padding": 10}
        x = quantity("size", name.rsplit(" ", 1)[-1], scale=log)
        y = quantity("seconds", "seconds", scale=log)
        x["axis"] = {"values": sizes, "format": "~s"}
        y["axis"] = {"values": round_numbers(seconds), "format": "~g"}
        fitted = {"x": x, "y": {**y, "field": "fitted"}}
        charts.append(
            {
                "title": {"text": name, "subtitle": f"grey: exponent {power:.2f}"},
                "width": 250,
                "height": 180,
                "data": {"values": rows},
                "layer": [
                    layer({"type": "line", "color": GREY, "strokeWidth": 1.5}, fitted),
                    layer(
                        {"type": "point", "filled": True, "opacity": 1, "size": 50},
                        {"x": x, "y": y},
                        {"color": {"value": BLUE}},
                    ),
                ],
            }
        )
    return panels(charts, columns=2)
