"""Sanity checks of tickets as a table, for a terminal and for a page."""

from __future__ import annotations

from collections.abc import Iterator

from rich.table import Table

from prac.evaluation import SANITY, LevelVerdict, Trials, Verdict
from prac.report.tables import cell, new_table
from prac.runs import Measure

OUTCOMES = (
    "passes: the ticket is better than the control by more than one standard deviation of its "
    "runs, and reliably so (p below 0.05); fails: neither is so; cannot be told: one is so, or a "
    "single seed says nothing"
)
"""What stands in a line of the checks, in words."""

LAYERWISE = "shuffled"
"""The check that is also a control by itself."""


def is_checked(verdict: Verdict) -> bool:
    """Say whether sanity checks were made, beyond the control that many ask for by itself."""
    names = {name for level in verdict.levels for name in level.controls}
    return bool(names & (set(SANITY) - {LAYERWISE}))


def checked_rows(verdict: Verdict) -> Iterator[list[str]]:
    """Yield the cells of each ticket and, below it, of each of its checks."""
    measure = verdict.measure
    for level in verdict.levels:
        found = level.sanity
        if not found:
            continue
        yield [str(level.index), "ticket", reached(level.ticket, measure), "", "", ""]
        for name, outcome in found.items():
            yield ["", name, *_compared(level, name), outcome]


def columns(measure: Measure) -> tuple[str, ...]:
    """Return what is in the cells of `checked_rows`."""
    return ("level", "mask of", measure.head, "vs ticket", "p", "check")


def sanity_table(verdict: Verdict) -> Table:
    """Return the checks, a line each below their ticket."""
    table = new_table(*columns(verdict.measure))
    table.columns[1].justify = "left"
    for row in checked_rows(verdict):
        table.add_row(*row)
    table.caption = f"sanity checks (Su et al. 2020); {OUTCOMES}"
    return table


def reached(trials: Trials, measure: Measure) -> str:
    """Return a metric's mean with its interval, without a unit."""
    half = trials.half_width
    return measure.number(trials.mean) + ("" if half is None else f" ±{measure.size(half)}")


def _compared(level: LevelVerdict, name: str) -> list[str]:
    control, measure = level.controls[name], level.measure
    difference = measure.difference(control.mean - level.ticket.mean)
    p_value = cell(level.control_p_value(name), ".3f")
    return [reached(control, measure), difference, p_value]
