"""A comparison in words and tables for a terminal: costs, accuracies, and what follows."""

from __future__ import annotations

from collections.abc import Iterator

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from prac.comparison import BASELINE, Comparison, Row, summary
from prac.tables import new_table
from prac.verdict import DEFINITION


def comparison_text(comparison: Comparison) -> RenderableType:
    """Return a comparison laid out for a person, for 80 columns and more."""
    rows = list(summary(comparison))
    parts: list[RenderableType] = [cost_table(comparison, rows), accuracy_table(comparison, rows)]
    parts.append(Text(f"{DEFINITION[0].upper()}{DEFINITION[1:]}.", style="dim"))
    return Group(*parts, *(Text(f"\n{line}") for line in failures(comparison)))


def cost_table(comparison: Comparison, rows: list[Row]) -> Table:
    """Return what the methods' searches cost, and where their tickets match dense."""
    table = new_table(
        "method", "n", "iterations", "saved", "scored", "seconds", "matches", "saved*"
    )
    densities = {found["level"]: found["density"] for row in rows for found in row.accuracies}
    for row in rows:
        table.add_row(
            Text(row.method),
            str(row.n),
            _number(row.iterations),
            _share(row.saved),
            _number(row.examples_scored),
            _number(row.seconds),
            "-" if row.matching is None else f"{densities[row.matching]:.1%}",
            _share(row.saved_where_both_match),
        )
    last = max(comparison.judged)
    table.caption = (
        f"to ticket {last}, means over seeds. saved: of IMP's iterations. scored: examples only "
        f"predicted. matches: density of the sparsest judged ticket that matches dense. saved*: of "
        f"IMP's iterations to the sparsest judged ticket at which IMP matches too"
    )
    return table


def accuracy_table(comparison: Comparison, rows: list[Row]) -> Table:
    """Return the methods' mean test accuracies by density, with their 95 % intervals."""
    densities = {found["level"]: found["density"] for row in rows for found in row.accuracies}
    table = new_table(
        "method", *(f"{densities[level]:.1%}" for level in comparison.judged if level in densities)
    )
    for row in rows:
        of_level = {found["level"]: found for found in row.accuracies}
        cells = []
        for level in densities:
            found = of_level.get(level)
            cells.append("-" if found is None else _accuracy(found))
        table.add_row(Text(row.method), *cells)
    table.caption = (
        "test accuracy in % by density, ± half of the 95 % interval; ! : does not match dense"
    )
    return table


def _accuracy(found: dict[str, float | str | None]) -> str:
    mean, width = found["mean"], found["half_width"]
    assert isinstance(mean, float), "an accuracy has a mean"
    text = f"{100 * mean:.2f}"
    if isinstance(width, float):
        text += f"±{100 * width:.2f}"
    return text + (" !" if found["verdict"] == "not" else "")


def failures(comparison: Comparison) -> Iterator[str]:
    """Yield a line for each search that failed, and for what cannot be said."""
    for run in comparison.failed:
        yield f"{run.method}, seed {run.seed} failed: {run.error}"
    if BASELINE not in comparison.methods:
        yield f"{BASELINE} is not among the methods: nothing is said of where both match."


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:,.0f}"


def _share(value: float | None) -> str:
    return "-" if value is None else f"{value:.1%}"
