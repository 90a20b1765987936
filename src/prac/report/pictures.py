"""Charts as pictures for papers: SVG and PNG. No torch, no browser."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

from prac.io import make_folder, write_atomic
from prac.report.vega import SCHEMA, Chart
from prac.utils import needed

WIDTH = 560  # Pixels; a page gives its charts the room that it has.
SCALE = 2.0
INK, SOFT = "#1b1d21", "#d9dce1"
PAPER_STYLE: dict[str, Any] = {
    "axis": {
        "labelColor": INK, "labelFontSize": 12, "domainColor": SOFT, "gridColor": SOFT,
        "tickColor": SOFT, "titleColor": INK, "titleFontSize": 13, "titleFontWeight": "normal",
        "titlePadding": 8,
    },
    "legend": {
        "labelColor": INK, "labelFontSize": 12, "symbolOpacity": 1, "titleColor": INK,
        "titleFontSize": 12, "titleFontWeight": "normal",
    },
    "title": {"color": INK, "fontSize": 13, "fontWeight": "normal"},
    "view": {"stroke": SOFT},
}  # fmt: skip
"""The look of pictures of several charts, which are often shown smaller than they are."""


def renderer() -> ModuleType:
    """Return the library that draws charts, in a page and as pictures.

    Raises:
        PracError: If it is not installed.
    """
    return needed("vl_convert", "report", "drawing charts")


def panels(
    charts: Sequence[Mapping[str, Any]], *, columns: int = 2, title: str = "", **more: Any
) -> dict[str, Any]:
    """Return a picture of several charts, with what they share, such as "data"."""
    return {
        "$schema": SCHEMA,
        **({"title": {"text": title, "anchor": "middle", "offset": 12}} if title else {}),
        "background": "white",
        "padding": 8,
        "config": PAPER_STYLE,
        "columns": columns,
        "concat": list(charts),
        **more,
    }


def svg(spec: Mapping[str, Any]) -> str:
    """Return a chart as SVG, the same for the same chart.

    Raises:
        PracError: If the library that draws it is not installed.
    """
    text: str = renderer().vegalite_to_svg(spec)
    # A process numbers them on from picture to picture.
    names = dict.fromkeys(re.findall(r'id="((?:clip|gradient_)\d+)"', text))
    for number, name in enumerate(names):
        text = re.sub(rf'(id="|url\(#){name}(?=["\)])', rf"\g<1>shared-{number}", text)
    return f"{text}\n"


def write(spec: Mapping[str, Any], path: Path) -> list[Path]:
    """Write a chart as `path`.svg and `path`.png and return where they are.

    Raises:
        PracError: If the library that draws it is not installed.
        OSError: If they cannot be written.
    """
    contents = {".svg": svg(spec).encode(), ".png": renderer().vegalite_to_png(spec, scale=SCALE)}
    for suffix, content in contents.items():
        write_atomic(path.with_suffix(suffix), content)
    return [path.with_suffix(suffix) for suffix in contents]


def save(charts: Sequence[Chart], folder: Path) -> list[Path]:
    """Write each chart of a report as SVG and as PNG into a folder and return their paths.

    Raises:
        PracError: If the library that draws them is not installed.
        OSError: If they cannot be written.
    """
    make_folder(folder)
    look = {"width": WIDTH, "background": "white", "padding": 8}
    written = (write({**one.spec, "title": one.title, **look}, folder / one.name) for one in charts)
    return [path for paths in written for path in paths]
