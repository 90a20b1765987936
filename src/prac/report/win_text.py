"""What `prac win` found, in words and tables: the answer, what was tried, what it cost."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from prac.config import Recipe, flat
from prac.evaluation import LevelVerdict
from prac.report.comparison_text import short
from prac.report.sanity_text import reached
from prac.report.tables import new_table
from prac.report.verdict_text import (
    beside_dense,
    control_text,
    doubts,
    meaning_of_one,
)
from prac.runs import ACCURACY, Cost
from prac.utils import printable
from prac.winning import COUNTED, ENDED, Tried, Win


def win_text(win: Win) -> RenderableType:
    """Return it laid out for a person, for 80 columns and more."""
    parts: list[RenderableType] = [Text(printable(answer_of(win)))]
    if win.tried:
        parts.append(_tried_table(win))
    if win.verdict is not None and win.verdict.controls:
        parts.append(_controls_table(win.verdict))
    parts.append(_cost_table(win))
    return Group(*parts, Text(meaning_of_one(win.measure), style="dim"))


def short_answer(win: Win) -> str:
    """Return the ticket's density, its verdict and what it cost, in one sentence."""
    best, level, ratio = win.best, win.verdict, win.bill.ratio
    cost = "" if ratio is None else f", for {ratio:.0%} of IMP's iterations, proof included"
    if best is None or level is None:
        return f"No ticket was found to win{cost}." if win.ended else "Not finished."
    return f"A {level.verdict} ticket of {best.density:.2%} of the prunable weights{cost}."


def answer_of(win: Win) -> str:
    """Return in a few sentences which ticket was found, what lies beyond it, and what it cost."""
    return " ".join(_sentences(win))


def _sentences(win: Win) -> Iterator[str]:
    best, level = win.best, win.verdict
    if win.ended is None:
        yield "Not finished: the same command continues."
    if best is not None and level is not None:
        what = "is" if win.density is not None else "is the sparsest found, and is"
        against = "; and ".join(doubts(level))
        yield (
            f"Ticket {best.level} of {best.method} {what} a {level.verdict} ticket of density "
            f"{best.density:.2%}, {beside_dense(level)} ({len(win.seeds)} runs each"
            f"{'' if level.controls else ', no control judged'})"
            f"{f', but {against}' if against else ''}."
        )
    elif win.ended is not None:
        yield "No ticket was found to win."
    if win.ended is not None:
        yield _why(win)
    if (ratio := win.bill.ratio) is not None:
        full = win.full.iterations
        yield (
            f"Search and proof took the iterations of {win.spent / full:.1f} full trainings, "
            f"{ratio:.0%} of what IMP takes to a ticket of this density and its proof."
        )


def _why(win: Win) -> str:
    """Return why all ended there, with what was tried beyond the ticket."""
    assert win.ended is not None, "asked where it has ended"
    missed = win.missed
    if win.ended == "bracketed" and missed is not None:
        return (
            f"The densest that was tried beyond it, ticket {missed.level} of {missed.method} "
            f"({missed.density:.2%}), misses."
        )
    why = ENDED[win.ended]
    return f"{why[0].upper()}{why[1:]}."


def tried_cells(win: Win, of: Tried) -> list[str]:
    """Return a ticket's level, density, value, distance from dense, runs, outcome, method."""
    assert win.dense is not None, "the dense network is trained before any ticket"
    return [
        str(of.level),
        f"{of.density:.2%}",
        win.measure.number(of.trials.mean),
        win.measure.difference(of.trials.mean - win.dense.mean),
        f"{len(of.runs)}/{len(win.seeds)}",
        win.outcome(of),
        of.method,
    ]


TRIED = ("level", "density", "test, %", "vs dense", "runs", "outcome", "method")
"""The columns of `tried_cells`, of shares."""


def tried_heads(win: Win) -> list[str]:
    """Return the heads of the columns of `tried_cells`."""
    return [win.measure.column if name == "test, %" else name for name in TRIED]


CUT_SHORT = {
    "likely": "as good as the dense runs' mean, which is enough on the way to a sparser one",
    "given up": (
        "it could not match any more, even if its other seeds did as well as the best run of "
        "anything trained alone so far"
    ),
}
COSTS = ("full trainings", "iterations", "examples", "scored", "seconds")


def costs_of(win: Win) -> dict[str, Cost]:
    """Return what is in the ledger, by the names of its rows."""
    bill = win.bill
    found = {"search": bill.search, "proof": bill.proof, "together": bill.total}
    return found if bill.imp is None else {**found, "IMP's, one ticket": bill.imp}


def cost_cells(win: Win, of: Cost) -> list[str]:
    """Return a cost as the cells of COSTS."""
    numbers = of.iterations, of.examples_trained, of.examples_scored, of.seconds
    return [f"{of.iterations / win.full.iterations:.1f}", *map(short, numbers)]


def ledger_note(win: Win) -> str:
    """Return how the ledger counts."""
    ratio = win.bill.ratio
    told = "" if ratio is None else f"{ratio:.1%} of IMP's iterations; "
    return f"{told}{COUNTED}; its seconds are estimated from this one's seconds an example"


def command_of(win: Win) -> str | None:
    """Return the command that makes it again; None where it was found from Python."""
    if "data" not in win.settings:
        return None
    plain = flat(Recipe())
    given: dict[str, Any] = {
        name: value
        for name, value in win.settings.items()
        if name not in plain or _said(value) != _said(plain[name]) or name in ("data", "model")
    }
    if given.get("iterations") is not None:
        given.pop("epochs", None)
    asked = {"methods": win.methods, "seeds": win.seeds, "within": win.within}
    asked |= {"controls": win.controls or None, "budget": win.budget, "density": win.density}
    words = [f"--{name.replace('_', '-')} {_said(value)}" for name, value in given.items()]
    words += [
        f"--{name} {_said(value)}"
        for name, value in asked.items()
        if value is not None or name == "controls"
    ]
    flags = {True: "--{}", False: "--no-{}"}
    for at, (name, value) in enumerate(given.items()):
        if isinstance(value, bool):
            words[at] = flags[value].format(name.replace("_", "-"))
    return f"prac win {' '.join(words)} --out NEW-FOLDER"


def _said(value: Any) -> str:
    if isinstance(value, list | tuple):
        return ",".join(map(_said, value)) or "[]"
    if isinstance(value, float):
        return f"{value:.12g}"
    return "none" if value is None else shlex.quote(printable(str(value)))


def _tried_table(win: Win) -> Table:
    table = new_table(*tried_heads(win))
    table.columns[-1].justify = "left"
    for of in win.tried:
        table.add_row(*(Text(printable(cell)) for cell in tried_cells(win, of)))
    table.caption = tried_note(win)
    return table


def tried_note(win: Win) -> str:
    """Return what the words in the table of tickets mean."""
    measure = win.measure
    unit = "in points" if measure.is_share else measure.vs_dense
    named = "" if measure == ACCURACY else f"test: {measure.name}{measure.direction}; "
    order = "tickets trained alone, in the order in which they were decided"
    notes = [f"{order}; {named}vs dense: {unit}"]
    found = {win.outcome(of) for of in win.tried}
    return "; ".join(notes + [f"{name}: {of}" for name, of in CUT_SHORT.items() if name in found])


def _controls_table(level: LevelVerdict) -> Table:
    table = new_table("level", "ticket", *level.controls)
    cells = [control_text(level, name, otherwise="  ") for name in level.controls]
    table.add_row(str(level.index), reached(level.ticket, level.measure), *cells)
    table.caption = "=: the control does as well as the ticket, within one standard deviation of it"
    return table


def _cost_table(win: Win) -> Table:
    table = new_table("ledger", *COSTS)
    for name, cost in costs_of(win).items():
        table.add_row(name, *cost_cells(win, cost))
    table.caption = ledger_note(win)
    return table


def method_names(win: Win) -> Sequence[str]:
    """Return the methods of which tickets were tried, in the order of the ladder."""
    tried = {of.method for of in win.tried}
    return [name for name in win.methods if name in tried]
