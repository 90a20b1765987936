"""What `prac win` found as a page: the answer, the tickets tried, the ledger. No torch."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import cycle, islice
from typing import Any

from prac.report import vega
from prac.report.html.by_density import averaged, held_against, titled
from prac.report.html.page import document, figures, sentence, table, text
from prac.report.html.words import beside
from prac.report.verdict_text import control_text, meaning_of_one
from prac.report.win_text import (
    COSTS,
    answer_of,
    command_of,
    cost_cells,
    costs_of,
    ledger_note,
    method_names,
    short_answer,
    tried_cells,
    tried_heads,
    tried_note,
)
from prac.winning import OUTCOMES, Win


def win_charts(win: Win) -> list[vega.Chart]:
    """Return what is drawn of it: what is measured by density, the methods in colours."""
    found = [_by_density(win)]
    return [chart for chart in found if chart is not None]


def win_page(win: Win) -> str:
    """Return the page."""
    drawn = win_charts(win)
    title = f"Lottery tickets: {win.path.name or win.path}"
    body = [
        f"<h1>{text(title)}</h1>",
        f'<p class="verdict">{sentence(short_answer(win))}</p>',
        *_numbers(win),
        f"<p>{sentence(answer_of(win))}</p>",
        *figures(drawn),
        *_tried(win),
        *_controls(win),
        "<h2>What it cost</h2>",
        *table(["", *COSTS], [[name, *cost_cells(win, of)] for name, of in costs_of(win).items()]),
        f'<p class="note">{sentence(ledger_note(win))}.</p>',
        *_searches(win),
        "<h2>How it was made</h2>",
        *_made(win),
    ]
    return document(title, body, drawn)


def _numbers(win: Win) -> Iterator[str]:
    best, dense, bill = win.best, win.dense, win.bill
    found: list[tuple[str, str, str]] = []
    if best is not None and dense is not None:
        about = f"ticket {best.level} of {best.method}"
        found.append(("of the prunable weights kept", f"{best.density:.2%}", about))
        runs = f"means of {len(win.seeds)} runs"
        found.append(beside(win.measure, best.trials.mean, dense.mean, runs))
    if bill.imp is not None and bill.ratio is not None:
        about = f"{bill.total.iterations:,} instead of {bill.imp.iterations:,}, proof included"
        found.append(("of IMP's iterations", f"{bill.ratio:.1%}", about))
    if found:
        yield '<dl class="numbers">'
        for name, value, about in found:
            yield (
                f"<div><dt>{text(name)}</dt><dd>{text(value)}<small>{text(about)}</small></dd></div>"
            )
        yield "</dl>"


def _tried(win: Win) -> Iterator[str]:
    if not win.tried:
        return
    yield "<h2>The tickets that were tried</h2>"
    yield from table(tried_heads(win), [tried_cells(win, of) for of in win.tried])
    note = tried_note(win)
    notes = f"{note[0].upper()}{note[1:]}"
    yield f'<p class="note">{text(notes)}. {text(meaning_of_one(win.measure))}</p>'


def _controls(win: Win) -> Iterator[str]:
    level = win.verdict
    if level is None or not level.controls:
        return
    yield "<h2>Its controls</h2>"
    measure = win.measure
    rows = [
        [name, control_text(level, name), measure.difference(of.mean - level.ticket.mean)]
        for name, of in level.controls.items()
    ]
    yield from table(["control", measure.column, "vs ticket"], rows)
    unit = "in points" if measure.is_share else measure.vs_dense
    yield (
        f'<p class="note">vs ticket: {text(unit)}. =: the control does as well as the ticket, '
        f"within a standard deviation of it.</p>"
    )


def _searches(win: Win) -> Iterator[str]:
    if not win.searches:
        return
    yield "<h3>Searches</h3>"
    rows = [
        [
            _inside(win, of.path),
            f"from ticket {of.first}" if of.first else "from the dense network",
            f"to ticket {of.last}",
            f"{of.cost.iterations:,}",
        ]
        for of in win.searches
    ]
    yield from table(["folder", "", "", "iterations"], rows)


def _inside(win: Win, path: str) -> str:
    """Return a path as it is called in the folder, which may have been moved as a whole."""
    return path.removeprefix(f"{win.path}/")


def _made(win: Win) -> Iterator[str]:
    command = command_of(win)
    if command is None:
        yield "<p>It was made by <code>prac.win</code>, from Python.</p>"
    else:
        yield f"<pre>{text(command)}</pre>"
        yield '<p class="hint">makes it again, in another folder.</p>'
    rows = [[name, str(value)] for name, value in win.settings.items() if value not in (None, [])]
    yield "<details><summary>Settings</summary>"
    yield from table(["", ""], rows)
    yield "</details>"


def _by_density(win: Win) -> vega.Chart | None:
    """Means on test data by density: a colour a method, the dense network's band behind."""
    if win.dense is None or not win.tried:
        return None
    names, measure = method_names(win), win.measure
    rows: list[dict[str, Any]] = [
        {
            "method": of.method,
            "network": f"ticket {of.level}",
            "density": 100 * of.density,
            measure.key: measure.factor * of.trials.mean,
            "runs": len(of.runs),
            "outcome": win.outcome(of),
        }
        for of in win.tried
    ]
    colours = list(islice(cycle(vega.PALETTE), len(names)))
    legend = {"orient": "top", "columns": 1, "labelLimit": 320}
    colour = vega.by_name("method", names, legend=legend, color=colours)
    looks = dict(
        zip(OUTCOMES.values(), ("circle", "triangle-down", "diamond", "cross"), strict=True)
    )
    seen = [name for name in looks if any(row["outcome"] == name for row in rows)]
    legend = {"orient": "bottom", "columns": 2, "symbolFillColor": vega.GREY}
    shapes = vega.by_name("outcome", seen, legend=legend, shape=map(looks.get, seen))
    fields = ("method", "network", "density", measure.key, "runs", "outcome")
    told = vega.tips(*fields, measure=measure)
    place = {**vega.on_density(), **vega.on_value(measure)}
    line = {"type": "line", "strokeWidth": 1.2, "opacity": 0.6}
    mark = {"type": "point", "filled": True, "size": 90, "opacity": 1}
    chosen = [row for row, of in zip(rows, win.tried, strict=True) if of == win.best]
    ring = {"type": "point", "filled": False, "size": 320, "strokeWidth": 2, "color": vega.GREY}
    layers = [
        *held_against(win.dense, measure),
        vega.layer(line, place, colour),
        vega.layer(mark, place, colour, shapes, told),
        vega.layer(ring, place, rows=chosen),
    ]
    reached = [f"{of.density:.1%} {win.outcome(of)}" for of in win.tried]
    alt = (
        f"{averaged(measure)} by density of the tickets that were tried; the dense network "
        f"reaches {measure.number(win.dense.mean)}{measure.unit}. Tickets: {', '.join(reached)}."
    )
    side = vega.worse_side(measure)
    title = (
        f"{titled(measure)} by density; ringed: the ticket; grey: a standard deviation {side} dense"
    )
    return vega.chart(measure.key, title, alt, rows, layers)
