"""A run under way laid out for a console of any size."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
from rich.measure import Measurement
from rich.progress_bar import ProgressBar
from rich.segment import Segment
from rich.table import Table
from rich.text import Text

from prac.monitor.progress_state import LevelRow, ProgressState
from prac.utils import printable

# The lines of a table beside its rows (names), and those around it at most.
FRAME_LINES = 2
LINES_BELOW = 4


@dataclass(frozen=True)
class Screen:
    """A board laid out for a console, whatever its size: fewer columns and rows on a small one."""

    board: ProgressState

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Yield what fits."""
        height = options.height or options.size.height
        room = height - LINES_BELOW - FRAME_LINES - 1  # The last line stays free, for the cursor.
        board = self.board
        if board.heading and room > -FRAME_LINES:
            yield _cut(board.heading, "bold")
        if board.rows and room > 0:
            yield fitting_table(board, room, console, options)
        if board.activity:
            yield _cut(board.activity)
        if board.training is not None and room > -FRAME_LINES:
            done, of = board.training.iteration, max(board.training.iterations, 1)
            yield ProgressBar(total=of, completed=done, width=min(options.max_width, 80))
            yield Segment.line()
        if board.rows and room > -FRAME_LINES:
            yield _cut(board.summary(), "dim")


LEVEL_COLUMNS = ("level", "density", "set", "epochs", "iterations", "saved", "test")
# What a narrow screen leaves out, the first first.
SPARED = ("iterations", "test", "epochs", "set", "saved", "density")


def fitting_table(
    board: ProgressState, room: int, console: Console, options: ConsoleOptions
) -> Table:
    """Return the levels as a table no wider than the console, of `room` rows at most."""
    shown = set(LEVEL_COLUMNS)
    if all(row.value is None for row in board.rows):
        shown -= {"test"}
    unbound = options.update(max_width=1000)
    for spared in ("", *SPARED):
        shown -= {spared}
        table = _table(board, room, [name for name in LEVEL_COLUMNS if name in shown])
        if Measurement.get(console, unbound, table).maximum <= options.max_width:
            break
    return table


def _table(board: ProgressState, room: int, columns: list[str]) -> Table:
    table = Table(box=None, show_edge=False, pad_edge=False, padding=(0, 1))
    for name in columns:
        table.add_column(
            name, justify="left" if name == "level" else "right", no_wrap=True, header_style="dim"
        )
    for row in _around(board, room):
        if row is None:
            table.add_row("  ...", style="dim")
            continue
        is_current = row.index == board.level
        cells = _cells(board, row, "> " if is_current else "  ")
        style = "bold" if is_current else "" if row.is_done else "dim"
        table.add_row(*(cells[name] for name in columns), style=style)
    return table


def _around(board: ProgressState, room: int) -> Iterator[LevelRow | None]:
    """Yield the rows there is room for, the current one among them; None for those left out."""
    rows = board.rows
    if len(rows) <= room:
        yield from rows
        return
    # One line at each end may have to say that there are more.
    inner = max(room - 2, 1)
    first = min(max(board.level - inner // 2, 0), len(rows) - inner)
    if first and room >= 3:
        yield None
    yield from rows[first : first + inner]
    if first + inner < len(rows) and room >= 3:
        yield None


def _cells(board: ProgressState, row: LevelRow, mark: str) -> dict[str, str]:
    size = row.set_size
    is_trained = row.trains and row.planned_epochs is not None
    saved = row.index and all(before.is_done for before in board.rows[: row.index])
    return {
        "level": f"{mark}{row.index}",
        "density": f"{row.density:.2%}",
        "set": "" if size is None else f"{size} ({size / board.total:.0%})",
        "epochs": f"{row.epochs}/{row.planned_epochs}" if is_trained else "",
        "iterations": str(row.iterations) if is_trained and row.epochs else "",
        "saved": f"{board.saved_before(row.index):.1%}" if saved else "",
        "test": row.measure.text(row.value, unknown=""),
    }


def _cut(line: str, style: str = "") -> RenderableType:
    return Text(printable(line), style=style, overflow="ellipsis", no_wrap=True)
