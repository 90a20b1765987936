"""A report in a real browser: drawn without a network, readable by pointer, keyboard and paper."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest

from prac.cli import main
from tests.conftest import SEARCH

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no chromium on this machine")

WIDTHS = {"phone": (360, 740), "desktop": (1280, 900)}


@pytest.fixture(scope="module")
def report(judged_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    page = tmp_path_factory.mktemp("browser") / "report.html"
    assert main(["report", str(judged_run), "-o", str(page)]) == 0
    return page


@pytest.fixture(scope="module")
def reports(judged_run: Path, report: Path) -> dict[str, Path]:
    """The page of one run, and that of two."""
    other = report.parent / "imp"
    assert main(["find", *SEARCH, "--method", "imp", "--retrain", "0,3", "--out", str(other)]) == 0
    both = report.parent / "both.html"
    assert main(["report", str(judged_run), str(other), "-o", str(both)]) == 0
    return {"one": report, "two": both}


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

    def open_(width: str = "desktop", path: Path = report, **more: Any) -> Any:
        across, down = WIDTHS[width]
        context = browser.new_context(viewport={"width": across, "height": down}, **more)
        context.set_offline(True)
        contexts.append(context)
        page = context.new_page()
        page.asked, page.said = [], []
        page.on("request", lambda request: page.asked.append(request.url))
        page.on("console", lambda message: page.said.append((message.type, message.text)))
        page.on("pageerror", lambda error: page.said.append(("error", str(error))))
        page.goto(path.as_uri())
        page.wait_for_function("document.body.dataset.drawn !== undefined")
        # Scrolling beyond a page's side goes back to the one before it: here, an empty one.
        context.new_cdp_session(page).send("Page.resetNavigationHistory")
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


@pytest.mark.parametrize(
    ("width", "scheme"),
    [
        ("phone", "light"),
        ("desktop", "dark"),
        pytest.param("phone", "dark", marks=pytest.mark.slow),
        pytest.param("desktop", "light", marks=pytest.mark.slow),
    ],
)
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


JUDGED = [
    "network",
    "density, %",
    "accuracy, %",
    "95 % interval from, %",
    "to, %",
    "runs",
    "verdict",
]
TOLD = {
    "one": {
        "accuracy": [JUDGED, ["dense network, %", "less a standard deviation, %"]],
        "iterations": [["level", "method", "iterations"]],
        "sets": [["level", "part", "examples"]],
        "distances": [
            ["level", "epoch", "mask distance"],
            ["level", "epoch", "mask distance", "stopped"],
            ["epsilon"],
        ],
        "validation": [["level", "epoch", "accuracy, %"]],
        "forgetting": [["forgetting events", "examples"]],
        "classes": [["level", "class", "share of the set, %", "examples"]],
        "layers": [["level", "layer", "density, %"]],
    },
    "two": {
        "accuracy": [["run", "density, %", "accuracy, %"]],
        "iterations": [["run", "level", "iterations"]],
        "examples": [["run", "level", "examples"]],
    },
}
"""What the marks of each page's charts tell."""
ZOOM = {
    "one": {"accuracy", "distances", "validation"},
    "two": {"accuracy", "iterations", "examples"},
}


def pointed_at(page: Any, mark: Any) -> dict[str, str]:
    """Return what is told at the middle of a mark."""
    mark.scroll_into_view_if_needed()
    box = mark.bounding_box()
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    page.locator("#vg-tooltip-element.visible").wait_for(timeout=3000)
    cells = page.locator("#vg-tooltip-element td").all_inner_texts()
    page.mouse.move(1, 1)
    page.locator("#vg-tooltip-element.visible").wait_for(state="hidden", timeout=3000)
    return {key.strip(): value.strip() for key, value in zip(cells[::2], cells[1::2], strict=True)}


@pytest.mark.parametrize("which", TOLD)
def test_pointing_at_any_kind_of_mark_tells_its_figures(opened, reports, which):
    page = opened(path=reports[which])
    charts = page.locator("[data-chart]").evaluate_all("all => all.map(one => one.dataset.name)")
    assert charts == list(TOLD[which])
    for chart in charts:
        told = []
        groups = page.locator(f"[data-name={chart}] svg g.role-mark:not(.mark-line):has(> *)")
        for group in groups.all():
            found = pointed_at(page, group.locator("> *").first)
            told.append(list(found))
            assert not {"", "null", "undefined", "NaN"} & set(found.values()), (chart, found)
            assert any(value[0].isdigit() for value in found.values()), (chart, found)
        assert set(map(tuple, told)) == set(map(tuple, TOLD[which][chart])), chart


def ticks(page: Any, chart: str) -> list[str]:
    """Return the labels of a chart's axes, which lie in any order.

    A chart that is being drawn anew has none for a moment.
    """
    labels = page.locator(f"[data-name={chart}] .role-axis-label text")
    for _ in range(400):
        if found := labels.all_text_contents():
            return sorted(found)
        page.wait_for_timeout(50)
    raise AssertionError(f"{chart} has no ticks in {page.url}, which said {page.said}")


def ticks_later(page: Any, chart: str, *, other_than: list[str], within: int) -> list[str]:
    """Return a chart's ticks once they are others, or after some milliseconds."""
    for _ in range(within // 50):
        page.wait_for_timeout(50)
        if ticks(page, chart) != other_than:
            break
    return ticks(page, chart)


@pytest.mark.parametrize("which", ZOOM)
def test_shift_and_the_wheel_zoom_and_a_double_click_resets(opened, reports, which):
    page = opened(path=reports[which])
    for name in TOLD[which]:
        chart = page.locator(f"[data-name={name}] svg.marks")
        before = ticks(page, name)
        chart.hover(position={"x": 150, "y": 100})
        page.keyboard.down("Shift")
        page.mouse.wheel(0, -400)
        page.keyboard.up("Shift")
        if name in ZOOM[which]:
            zoomed = ticks_later(page, name, other_than=before, within=3000)
            assert zoomed != before, name
            chart.dblclick(position={"x": 150, "y": 100})
            assert ticks_later(page, name, other_than=zoomed, within=3000) == before, name
        else:
            assert ticks_later(page, name, other_than=before, within=100) == before, name


def test_the_wheel_alone_scrolls_the_page(opened):
    page = opened()
    page.locator("[data-name=validation] svg.marks").hover(position={"x": 150, "y": 100})
    before, top = ticks(page, "validation"), page.evaluate("window.scrollY")
    page.mouse.wheel(0, 200)
    page.wait_for_function(f"window.scrollY != {top}")
    assert ticks(page, "validation") == before


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
