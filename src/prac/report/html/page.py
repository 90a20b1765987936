"""A report as one page of HTML that needs nothing but itself. No torch."""

from __future__ import annotations

import functools
import json
import shlex
from collections.abc import Iterable, Iterator, Sequence
from html import escape
from importlib import resources
from typing import Any

from prac._version import __version__
from prac.report.html.facts import RunFacts
from prac.report.html.gallery import Gallery
from prac.report.html.words import answer, numbers
from prac.report.pictures import renderer
from prac.report.sanity_text import OUTCOMES, checked_rows, columns, is_checked
from prac.report.tables import LONG, cell
from prac.report.vega import Chart
from prac.report.verdict_text import (
    AS_GOOD,
    control_text,
    controls_in_table,
    level_cells,
    meaning,
    sentences,
)
from prac.runs import ACCURACY
from prac.utils import printable

HINT = (
    "Point at a mark for its figures. Drag a line chart to move it, hold Shift and scroll to "
    "zoom, click twice to bring it back; the menu at its corner saves it as SVG or PNG."
)


def page(
    facts: RunFacts,
    charts: Sequence[Chart],
    galleries: Sequence[Gallery],
    collapsed: dict[int, list[str]],
    missing: Sequence[str],
) -> str:
    """Return a run's report; `collapsed` names the layers of which nothing is left, by level."""
    title = f"Lottery tickets: {facts.search.path.name or facts.search.path}"
    body = [
        f"<h1>{text(title)}</h1>",
        f'<p class="verdict">{sentence(answer(facts))}</p>',
        *_numbers(facts),
        *missing_section([*facts.missing, *missing]),
        *_judged(facts),
        *_collapsed(collapsed),
        *figures(charts),
        *_galleries(galleries),
        "<h2>What it cost</h2>",
        *_ledger(facts),
        "<h2>How it was made</h2>",
        *_made(facts),
    ]
    return document(title, body, charts)


def document(title: str, body: Iterable[str], charts: Sequence[Chart]) -> str:
    """Return a whole page around a body, with what draws its charts."""
    scripts = [*map(_spec, charts), f"<script>{_script()}</script>"] if charts else []
    content = "\n".join([*body, "</main>", *scripts])
    # An icon of its own: without one, browsers ask for a file that is not there.
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="generator" content="prac {escape(__version__)}">
<link rel="icon" href="data:,">
<title>{text(title)}</title>
<style>{_resource("page.css")}</style>
</head>
<body>
<main>
{content}
</body>
</html>
"""


def text(value: object) -> str:
    """Return text for HTML, whatever names it holds."""
    return escape(printable(str(value)))


def sentence(value: str) -> str:
    """Return a sentence for HTML, whose figures stay with their signs."""
    return text(value).replace(" %", "\u00a0%").replace(" \u00b1", "\u00a0\u00b1")


def table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> list[str]:
    """Return a table, its first column headers of the rows."""
    lines = ['<div class="scroll" tabindex="0" role="group" aria-label="table"><table>']
    cells = "".join(f'<th scope="col">{text(name)}</th>' for name in head)
    lines.append(f"<thead><tr>{cells}</tr></thead><tbody>")
    for first, *others in rows:
        cells = "".join(f"<td>{text(cell)}</td>" for cell in others)
        lines.append(f'<tr><th scope="row">{text(first)}</th>{cells}</tr>')
    return [*lines, "</tbody></table></div>"]


def _numbers(facts: RunFacts) -> Iterator[str]:
    found = numbers(facts)
    if found:
        yield '<dl class="numbers">'
        for one in found:
            value = f"{text(one.value)}<small>{text(one.about)}</small>"
            yield f"<div><dt>{text(one.name)}</dt><dd>{value}</dd></div>"
        yield "</dl>"
        if facts.parameters is not None:
            yield f'<p class="note">{sentence(facts.parameters.sentence())}.</p>'


def _judged(facts: RunFacts) -> Iterator[str]:
    """Yield the verdict level by level, controls beside their tickets, and what follows."""
    if facts.verdict is None:
        return
    levels = facts.verdict.levels
    shown = controls_in_table(facts.verdict)
    controls = [name for name in AS_GOOD if name in shown]
    rows = [
        [
            *level_cells(level, unknown=""),
            *(control_text(level, name) if name in level.controls else "" for name in controls),
            level.verdict,
        ]
        for level in levels
    ]
    yield "<h2>The verdict by level</h2>"
    measure = facts.verdict.measure
    yield from table(
        ["level", "density", measure.column, "vs dense", "p", *controls, "verdict"], rows
    )
    count = len(facts.verdict.seeds)
    mean = f"mean of {count} runs ± half the width of its 95 % interval"
    name = "" if measure == ACCURACY else f"{measure.name}{measure.direction}, "
    unit = "in points" if measure.is_share else measure.vs_dense
    notes = [f"Test: {name}{mean if count > 1 else 'of one run each'}", f"vs dense: {unit}"]
    if any(
        name in level.controls and level.within_one_std(name) for level in levels for name in shown
    ):
        notes.append("=: the control does as well as its ticket, within a standard deviation of it")
    yield f'<p class="note">{text("; ".join(notes))}. {text(meaning(measure))}</p>'
    if is_checked(facts.verdict):
        yield "<h2>Sanity checks</h2>"
        yield from table(columns(measure), checked_rows(facts.verdict))
        yield f'<p class="note">Sanity checks of Su et al. (2020); {text(OUTCOMES)}.</p>'
    meanings = list(sentences(facts.verdict))
    if meanings:
        yield "<h2>What the figures mean</h2>"
        yield f"<ul>{''.join(f'<li>{text(meaning)}</li>' for meaning in meanings)}</ul>"


def missing_section(lines: Sequence[str]) -> Iterator[str]:
    """Yield what a page cannot show, so that nobody takes it for all there is."""
    if lines:
        paragraphs = "".join(f"<p>{text(line)}</p>" for line in lines)
        yield f'<section class="missing" aria-label="What is missing">{paragraphs}</section>'


def _collapsed(collapsed: dict[int, list[str]]) -> Iterator[str]:
    if collapsed:
        level, names = min(collapsed.items())
        yield (
            f'<section class="missing" aria-label="Collapsed layers"><p>From level {level} on '
            f"nothing is left of {text(', '.join(names))}: no signal passes there but what goes "
            f"around.</p></section>"
        )


def figures(charts: Sequence[Chart]) -> Iterator[str]:
    """Yield the places that charts are drawn in, under a heading."""
    if not charts:
        return
    yield "<h2>In pictures</h2>"
    yield f'<p class="hint">{text(HINT)}</p>'
    yield '<div class="charts">'
    for chart in charts:
        yield (
            f'<figure aria-labelledby="title-{chart.name}">'
            f'<figcaption id="title-{chart.name}">{text(chart.title)}</figcaption>'
            f'<p class="unseen">{text(chart.alt)}</p>'
            f'<div class="plot" data-chart="chart-{chart.name}" data-name="{chart.name}"></div>'
            f"</figure>"
        )
    yield "</div>"


def _galleries(galleries: Sequence[Gallery]) -> Iterator[str]:
    if galleries:
        yield "<h2>The examples</h2>"
    for gallery in galleries:
        yield f"<h3>{text(gallery.title)}</h3>"
        yield f'<p class="hint">{text(gallery.about)}</p>'
        yield '<ul class="examples">'
        for of in gallery.pictures:
            yield f'<li><img src="{of.uri}" alt="{text(of.alt)}">{text(of.caption)}</li>'
        yield "</ul>"


def _ledger(facts: RunFacts) -> Iterator[str]:
    if not facts.levels:
        yield "<p>No level is complete yet.</p>"
        return
    head = ["ticket", "density", "set", "CET", "CEP", "epochs", "iterations", "IMP's", "saved"]
    head += ["trained on", "IMP's", "only scored", "seconds", "IMP's*"]
    rows = []
    for level in facts.levels:
        spent = facts.search.cost(level.index)
        cost, imp = spent.cost, spent.imp
        parts = level.set_parts.get("cet"), level.set_parts.get("cep")
        rows.append(
            [
                level.index,
                f"{level.density:.2%}",
                f"{level.set_size:,} ({level.set_size / level.total:.0%})",
                *(cell(size, ",", unknown="") for size in parts),
                f"{level.epochs}/{level.planned_epochs}" if level.epochs else "",
                *(f"{of.iterations:,}" for of in (cost, imp)),
                f"{spent.iterations_saved:.1%}" if level.index else "",
                *(f"{of.examples_trained:,}" for of in (cost, imp)),
                f"{cost.examples_scored:,}",
                *(f"{of.seconds:.1f}" for of in (cost, imp)),
            ]
        )
    yield from table(head, rows)
    yield (
        '<p class="note">Of finding each ticket, all levels before it added up. IMP\'s is its '
        "schedule: every level on all data at full length. * estimated from this search's seconds "
        "an example.</p>"
    )
    if told := facts.outlook:
        yield f'<p class="note">{text(told[0].upper() + told[1:])}.</p>'


def _made(facts: RunFacts) -> Iterator[str]:
    config = shlex.quote(printable(f"{facts.search.path}/config.yaml"))
    yield f"<pre>prac find --config {text(config)} --out NEW-FOLDER</pre>"
    yield '<p class="hint">makes the run again, in another folder.</p>'
    both = {"Settings": facts.search.settings, "Environment and data": facts.environment}
    for title, values in both.items():
        rows = [
            [name, _plain(value)]
            for name, value in values.items()
            if value not in (None, []) and name not in LONG
        ]
        if rows:
            yield f"<details><summary>{title}</summary>"
            yield from table(["", ""], rows)
            yield "</details>"


def _plain(value: Any) -> str:
    shown = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return shown if len(shown) <= 300 else f"{shown[:297]}..."


def _spec(chart: Chart) -> str:
    # Within a script element nothing ends it but its end tag: no < stays in the data.
    content = json.dumps(chart.spec, allow_nan=False).replace("<", "\\u003c")
    return f'<script type="application/json" id="chart-{chart.name}">{content}</script>'


@functools.cache
def _script() -> str:
    """Return what draws charts; putting it together takes a second or two."""
    bundle: str = renderer().javascript_bundle(_resource("page.js"))
    return bundle.replace("</script", "<\\/script")


def _resource(name: str) -> str:
    return (resources.files("prac.report.html") / name).read_text(encoding="utf-8")
