"""A comparison in words and tables for a terminal: costs, accuracies, and what follows."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from prac.comparison import BASELINE, Comparison, Row, summary
from prac.report.tables import cell, new_table
from prac.report.verdict_text import meaning
from prac.runs import Measure
from prac.utils import printable

COLUMN_GAP = 2  # Between two columns.
LONG = 24  # Methods' names may be so long without being folded.


def comparison_text(comparison: Comparison, width: int = 80) -> RenderableType:
    """Return a comparison laid out for a person, for terminals of 80 columns and more."""
    rows = list(summary(comparison))
    tables = cost_table(comparison, rows), *value_tables(comparison, rows, width)
    told = (Text(f"\n{printable(line)}") for line in lines(comparison))
    return Group(*tables, *told, Text(f"\n{meaning(comparison.measure)}", style="dim"))


def cost_table(comparison: Comparison, rows: list[Row]) -> Table:
    """Return what the methods' searches cost, and where their tickets match dense."""
    columns = "runs", "iterations", "saved", "scored", "seconds", "matches", "saved*"
    table = _table_by_method(comparison.methods, *columns)
    densities = _densities(rows)
    for row in rows:
        table.add_row(
            Text(row.method),
            f"{row.n}/{row.n + row.failed}" if row.failed else str(row.n),
            short(row.iterations),
            cell(row.saved, ".1%"),
            short(row.examples_scored),
            short(row.seconds),
            cell(None if row.matching is None else densities[row.matching], ".1%"),
            cell(row.saved_where_both_match, ".1%"),
        )
    table.caption = (
        f"to ticket {max(comparison.judged)}, means over seeds. saved: of IMP's iterations. "
        f"scored: examples only predicted. matches: density of the sparsest judged ticket that "
        f"matches dense. saved*: of IMP's iterations, to the sparsest judged ticket at which IMP "
        f"matches too"
    )
    return table


def value_tables(comparison: Comparison, rows: list[Row], width: int) -> Iterator[Table]:
    """Yield the methods' means on test data by density, as many densities as fit beside them."""
    densities, measure = _densities(rows), comparison.measure
    by_method = {
        row.method: {of["level"]: _value(of, measure) for of in row.values} for row in rows
    }
    widest = max((len(text) for found in by_method.values() for text in found.values()), default=0)
    levels = [level for level in comparison.judged if level in densities]
    names = comparison.methods
    beside = width - _width_of(names) - COLUMN_GAP
    for shown in _parts(levels, max(1, beside // (max(widest, 6) + COLUMN_GAP))):
        heads = (f"{densities[level]:.1%}" if level else "dense" for level in shown)
        table = _table_by_method(names, *heads)
        for method, found in by_method.items():
            table.add_row(Text(method), *(found.get(level, "-") for level in shown))
        if shown[-1] == levels[-1]:
            interval = "± half of the 95 % interval"
            named = f"test {measure.name}{' in %' if measure.is_share else ''}{measure.direction}"
            table.caption = f"{named} by density, {interval}; !: does not match dense"
        yield table


def lines(comparison: Comparison) -> Iterator[str]:
    """Yield what follows, a line for each search that failed, and what cannot be said."""
    yield from comparison.findings
    for run in comparison.failed:
        yield f"{run.method}, seed {run.seed} failed: {run.error}"
    if BASELINE not in comparison.methods:
        yield f"{BASELINE} is not among the methods: nothing is said of where both match (saved*)."


def short(value: float | None) -> str:
    """Return a number in at most six letters.

    >>> short(98_765.4), short(1_234_567), short(54_000_000_000), short(None)
    ('98,765', '1.23M', '54.0G', '-')
    """
    if value is None:
        return "-"
    for unit, name in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= max(unit, 99_999.5):
            part = value / unit
            return f"{part:.{max(0, 3 - len(str(int(part))))}f}{name}"
    return f"{value:,.0f}"


def _table_by_method(names: list[str], *columns: str) -> Table:
    table = new_table("method", *columns)
    table.columns[0].width = _width_of(names)
    return table


def _width_of(names: list[str]) -> int:
    """Return the width of the methods' column: a name that is folded is read as two."""
    return min(max(map(len, ["method", *names])), LONG)


def _densities(rows: list[Row]) -> dict[int, float]:
    return {found["level"]: found["density"] for row in rows for found in row.values}


def _parts(levels: list[int], most: int) -> Iterator[list[int]]:
    """Yield the levels in as few parts as they fit into, none much shorter than the others.

    >>> list(_parts([0, 4, 8, 11, 15], 4))
    [[0, 4, 8], [11, 15]]
    """
    count = -(-len(levels) // most)
    size = -(-len(levels) // max(count, 1))
    for start in range(0, len(levels), max(size, 1)):
        yield levels[start : start + size]


def _value(found: dict[str, Any], measure: Measure) -> str:
    text = measure.number(found["mean"])
    if found["half_width"] is not None:
        text += f"±{measure.size(found['half_width'])}"
    return text + ("!" if found["verdict"] == "not" else " ")
