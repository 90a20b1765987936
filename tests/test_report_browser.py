"""A report in a real browser: drawn without a network, readable by pointer, keyboard and paper."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest

from prac.cli import main

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no chromium on this machine")

OPTIONS = (
    "--data digits --limit 400 --model lenet_300_100 --layers linear --levels 3 --epochs 4 "
    "--milestones 3 --lr 0.05 --batch-size 32 --arm at-once --window 2 --seed 0 --quiet"
)
WIDTHS = {"phone": (360, 740), "desktop": (1280, 900)}


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = tmp_path_factory.mktemp("browser") / "run"
    assert main(["find", *OPTIONS.split(), "--out", str(run)]) == 0
    judging = ["--levels", "2,3", "--seeds", "0,1", "--shuffle", "--quiet"]
    assert main(["judge", str(run), *judging]) == 0
    assert main(["report", str(run)]) == 0
    return run / "report.html"


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with playwright.sync_playwright() as started:
        launched = started.chromium.launch(
            executable_path=CHROMIUM,
            args=["--no-sandbox", "--disable-background-networking", "--disable-component-update"],
        )
        yield launched
        launched.close()


@pytest.fixture
def opened(browser: Any, report: Path) -> Iterator[Any]:
    """Open the page, offline; nothing may be asked for and nothing complained of."""
    contexts = []

    def open_(width: str = "desktop", **more: Any) -> Any:
        across, down = WIDTHS[width]
        context = browser.new_context(viewport={"width": across, "height": down}, **more)
        context.set_offline(True)
        contexts.append(context)
        page = context.new_page()
        page.asked, page.said = [], []
        page.on("request", lambda request: page.asked.append(request.url))
        page.on("console", lambda message: page.said.append((message.type, message.text)))
        page.on("pageerror", lambda error: page.said.append(("error", str(error))))
        page.goto(report.as_uri())
        page.wait_for_function("document.body.dataset.drawn !== undefined")
        return page

    yield open_
    for context in contexts:
        context.close()


def test_it_is_drawn_from_itself_alone(opened, report):
    page = opened()
    places = page.locator("[data-chart]").count()
    assert places == 8
    assert page.locator("[data-chart] svg.marks").count() == places
    assert [url for url in page.asked if not url.startswith(("data:", "blob:"))] == [
        report.as_uri()
    ]
    assert [text for kind, text in page.said if kind in ("error", "warning")] == []


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_nothing_overflows_and_all_can_use_it(opened, width, scheme):
    page = opened(width, color_scheme=scheme)
    overflow = page.evaluate(
        "document.documentElement.scrollWidth - document.documentElement.clientWidth"
    )
    assert overflow <= 0
    page.add_script_tag(path=str(files("axe_playwright_python") / "axe.min.js"))
    faults = page.evaluate("axe.run().then(found => found.violations)")
    told = [(f["id"], [node["html"][:120] for node in f["nodes"]]) for f in faults]
    assert told == []


def test_pointing_at_a_bar_tells_its_figures(opened):
    page = opened()
    page.locator("[data-name=iterations] svg .mark-rect path").nth(1).hover()
    tip = page.locator("#vg-tooltip-element")
    tip.wait_for(state="visible")
    words = tip.inner_text()
    assert "iterations" in words
    assert "this search" in words or "IMP" in words


def test_shift_and_the_wheel_zoom_and_the_wheel_alone_scrolls(opened):
    page = opened()
    chart = page.locator("[data-name=validation] svg.marks")
    chart.scroll_into_view_if_needed()
    ticks = "[data-name=validation] svg .role-axis-label text"

    def labels() -> list[str]:
        return page.locator(ticks).all_inner_texts()

    before, top = labels(), page.evaluate("window.scrollY")
    chart.hover(position={"x": 150, "y": 100})
    page.mouse.wheel(0, 200)
    page.wait_for_timeout(200)
    assert labels() == before
    assert page.evaluate("window.scrollY") != top
    chart.hover(position={"x": 150, "y": 100})
    page.keyboard.down("Shift")
    page.mouse.wheel(0, -400)
    page.keyboard.up("Shift")
    page.wait_for_timeout(300)
    assert labels() != before


def test_a_chart_is_saved_as_svg_and_png(opened, tmp_path):
    page = opened()
    menu = page.locator("[data-name=sets]")
    menu.locator("summary").click()
    for kind in ("SVG", "PNG"):
        with page.expect_download() as waited:
            menu.get_by_text(f"Save as {kind}").click()
        saved = tmp_path / f"saved.{kind}"
        waited.value.save_as(saved)
        assert waited.value.suggested_filename == f"sets.{kind.lower()}"
        start = saved.read_bytes()[:300]
        assert b"<svg" in start if kind == "SVG" else start.startswith(b"\x89PNG")


def test_it_is_drawn_again_in_other_colours(opened):
    page = opened(color_scheme="light")
    label = page.locator("[data-name=iterations] svg .role-axis-label text").first
    light = label.get_attribute("fill")
    page.emulate_media(color_scheme="dark")
    page.wait_for_timeout(1000)
    dark = page.locator("[data-name=iterations] svg .role-axis-label text").first
    assert dark.get_attribute("fill") != light


def test_it_prints(opened, tmp_path):
    page = opened()
    paper = page.pdf(path=str(tmp_path / "report.pdf"), format="A4")
    assert paper.startswith(b"%PDF")
    page.emulate_media(media="print")
    assert page.locator(".hint").first.is_hidden()
