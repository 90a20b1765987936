"""A report's charts as pictures for papers: SVG and PNG. No torch, no browser."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from prac.files import make_folder, write_atomic
from prac.report.vega import Chart

WIDTH = 560  # Pixels; a page gives its charts the room that it has.
SCALE = 2.0


def save(charts: Sequence[Chart], folder: Path) -> list[Path]:
    """Write each chart as SVG and as PNG into a folder and return their paths.

    Raises:
        OSError: If they cannot be written.
    """
    import vl_convert

    make_folder(folder)
    written = []
    for one in charts:
        spec: dict[str, Any] = {
            **one.spec,
            "title": one.title,
            "width": WIDTH,
            "background": "white",
            "padding": 8,
        }
        for suffix, content in (
            (".svg", vl_convert.vegalite_to_svg(spec).encode()),
            (".png", vl_convert.vegalite_to_png(spec, scale=SCALE)),
        ):
            path = (folder / one.name).with_suffix(suffix)
            write_atomic(path, content)
            written.append(path)
    return written
