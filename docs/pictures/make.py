"""Make the pictures of docs/what-is-a-ticket.md and the README's of a report, from a real run.

    python docs/pictures/make.py          # some minutes; the run is kept in docs/_build/pictures

The run is made by the commands that the page shows. The charts are those that `prac report --png`
writes, drawn again for light and dark pages, narrower and with larger letters.
"""

from __future__ import annotations

import io
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from html import escape
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
WORK = HERE.parent / "_build" / "pictures"
COMMANDS = """
prac find --preset quickstart --levels 16 --out runs/digits
prac judge runs/digits --levels 4,8,12,16 --seeds 0,1,2,3,4 --reinit --shuffle
prac report runs/digits --png figures
"""
CHARTS = ("accuracy", "sets", "distances", "layers")
INK = {"light": "#1b1d21", "dark": "#e8eaed"}
SOFT = {"light": "#5a6069", "dark": "#a8afb9"}
GRID = {"light": "#d9dce1", "dark": "#4a505a"}
WIDTH = 400
"""Of a chart without its axes, in pixels: narrow, so that it can be read on a phone."""
MOST = 9
"""Examples of a kind in a row."""


def main() -> None:
    """Make the run, unless it is there, and the pictures."""
    WORK.mkdir(parents=True, exist_ok=True)
    # One thread gives the same bits whatever the number of cores.
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    for command in COMMANDS.strip().splitlines():
        words = shlex.split(command)[1:]
        subprocess.run(
            [sys.executable, "-m", "prac", *words], cwd=WORK, env=environment, check=True
        )
    os.chdir(WORK)
    from prac.report import Report

    report = Report.of("runs/digits")
    for theme in INK:
        suffix = "-dark" if theme == "dark" else ""
        for one in report.charts:
            if one.name in CHARTS:
                (HERE / f"{one.name}{suffix}.svg").write_text(drawn(one, theme))
        (HERE / f"examples{suffix}.svg").write_text(examples(report.galleries, theme))
    screenshots(WORK / "runs/digits/report.html")
    sizes = {path.name: path.stat().st_size for path in HERE.iterdir() if path.suffix != ".py"}
    print(f"{len(sizes)} pictures, {sum(sizes.values()) / 1e3:.0f} kB")


def drawn(chart: Any, theme: str) -> str:
    """Return a chart as SVG for a light or a dark page."""
    import vl_convert

    ink, soft = INK[theme], GRID[theme]
    letters = {
        "labelColor": ink,
        "titleColor": ink,
        "labelFontSize": 12,
        "titleFontSize": 13,
    }
    text = json.dumps(chart.spec)
    if theme == "dark":
        # The first colours of the scale would be lost on a dark ground.
        lighter = '{"scheme": {"name": "viridis", "extent": [0.25, 1]}}'
        text = text.replace('{"scheme": "viridis"}', lighter)
    spec = {
        **json.loads(text),
        "title": {"text": chart.title.split("; "), "color": ink, "fontSize": 14},
        "width": WIDTH,
        "background": None,
        "padding": 4,
        "config": {
            "axis": {**letters, "gridColor": soft, "domainColor": soft, "tickColor": soft},
            "legend": letters,
            "view": {"stroke": soft},
        },
    }
    return str(vl_convert.vegalite_to_svg(spec))


def examples(galleries: Any, theme: str) -> str:
    """Return some examples of each kind as one SVG: the hardest first, easy ones last."""
    tile, gap, left = 50, 6, 4
    parts, top = [], 0
    for gallery in galleries:
        parts.append(
            f'<text x="{left}" y="{top + 20}" font-weight="bold" fill="{INK[theme]}">'
            f"{escape(gallery.title)}</text>"
        )
        top += 30
        for number, picture in enumerate(spread(gallery.pictures)):
            x = left + number * (tile + gap)
            words = picture.caption.partition(", forgotten")[0]
            if times(picture):
                words += f", {times(picture)}×"
            parts.append(
                f'<image x="{x}" y="{top}" width="{tile}" height="{tile}" '
                f'style="image-rendering: pixelated" href="{picture.uri}"/>'
                f'<text x="{x + tile / 2}" y="{top + tile + 15}" text-anchor="middle" '
                f'font-size="13" fill="{SOFT[theme]}">{escape(words)}</text>'
            )
        top += tile + 30
    width = left + MOST * (tile + gap)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{top}" '
        f'viewBox="0 0 {width} {top}" font-family="sans-serif" font-size="15">'
        f"{''.join(parts)}</svg>\n"
    )


def times(picture: Any) -> int:
    """Return how often a picture's example was forgotten, as its caption says; 0 if it does not."""
    found = re.search(r"forgotten (once|twice|\d+)", picture.caption)
    return {"once": 1, "twice": 2}.get(found[1]) or int(found[1]) if found else 0


def spread(pictures: Any) -> list[Any]:
    """Return up to MOST pictures; those forgotten most often where that is noted."""
    if any(map(times, pictures)):
        return sorted(pictures, key=times, reverse=True)[:MOST]
    step = max(len(pictures) / MOST, 1)
    return [pictures[int(place * step)] for place in range(min(MOST, len(pictures)))]


def screenshots(page: Path) -> None:
    """Take the top of the report, light and dark."""
    from PIL import Image
    from playwright.sync_api import sync_playwright

    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    with sync_playwright() as started:
        browser = started.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        for scheme, name in (("light", "report.png"), ("dark", "report-dark.png")):
            context = browser.new_context(
                viewport={"width": 1200, "height": 800},
                device_scale_factor=1.5,
                color_scheme=scheme,
            )
            opened = context.new_page()
            opened.goto(page.as_uri())
            opened.wait_for_function("document.body.dataset.drawn !== undefined")
            shot = opened.screenshot()
            # 256 colours are enough for text and charts, and a third of the bytes.
            image = (
                Image.open(io.BytesIO(shot)).convert("RGB").quantize(256, dither=Image.Dither.NONE)
            )
            image.save(HERE / name, optimize=True)
            context.close()
        browser.close()


if __name__ == "__main__":
    main()
