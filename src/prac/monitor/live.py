"""Where a screen is shown and changed in place: a terminal, the output of a notebook's cell."""

from __future__ import annotations

import io
import os
from typing import Any

from rich import live
from rich.console import Console
from rich.control import Control
from rich.text import Text

from prac.monitor.progress_state import ProgressState
from prac.monitor.render import Screen
from prac.utils import printable

KEPT_LINES = 200  # Shown again where a terminal that was resized had to be cleared.


def live_on(console: Console) -> Terminal | Notebook | None:
    """Return what shows boards on a console; None where nothing can be changed in place."""
    if console.is_jupyter:
        return Notebook()
    return Terminal(console) if is_live(console) else None


def print_line(console: Console, line: str) -> None:
    """Print a line as it is, folded by the terminal alone: whoever reads a log gets one line."""
    console.print(Text(printable(line)), soft_wrap=True)


def is_live(console: Console) -> bool:
    """Say whether a console can show what changes in place: a person's terminal.

    FORCE_COLOR makes a console of a file a terminal to look at, and a CI log may be one: in both,
    each change would be a line more.
    """
    return console.is_interactive and not os.environ.get("CI") and console.file.isatty()


class Terminal:
    """A screen below the lines that stay, drawn anew where the terminal's size has changed."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._size = console.size
        self._lines: list[str] = []
        self._live = self._started()

    def _started(self) -> live.Live:
        shown = live.Live(Text(""), console=self._console, transient=True, auto_refresh=False)
        shown.start()
        return shown

    def say(self, line: str) -> None:
        """Show a line that stays, above the screen."""
        self._lines = [*self._lines[1 - KEPT_LINES :], line]
        print_line(self._console, line)

    def show(self, board: ProgressState) -> None:
        """Draw the screen."""
        screen = Screen(board)
        if self._console.size != self._size:
            self._clear(screen)
        self._live.update(screen, refresh=True)

    def _clear(self, screen: Screen) -> None:
        """Begin at the top: where a terminal has folded or cut the old lines, nobody can know."""
        self._size = self._console.size
        self._live.stop()
        self._console.control(Control.home(), Control.clear())
        self._live = self._started()
        below = len(self._console.render_lines(screen))
        for line in self._lines[-max(self._size.height - below, 1) :]:
            print_line(self._console, line)

    def stop(self, board: ProgressState) -> None:
        """Take the screen away; the lines stay."""
        self._live.stop()


class Notebook:
    """A screen in the output of a notebook's cell, which the last one stays in."""

    WIDTH = 90
    HEIGHT = 60

    def __init__(self) -> None:
        self._handle: Any = None
        self._notes: list[str] = []

    def say(self, line: str) -> None:
        """Keep notes, to be shown above the screen, which says the rest."""
        if line.startswith("note: "):
            self._notes.append(line)

    def show(self, board: ProgressState) -> None:
        """Change the output."""
        from IPython.display import HTML, display

        console = Console(
            file=io.StringIO(),
            record=True,
            width=self.WIDTH,
            height=self.HEIGHT,
            force_jupyter=False,
            force_terminal=True,
        )
        for note in self._notes:
            print_line(console, note)
        console.print(Screen(board))
        code = '<pre style="line-height: 1.2; font-family: monospace">{code}</pre>'
        html = HTML(console.export_html(inline_styles=True, code_format=code))
        if self._handle is None:
            self._handle = display(html, display_id=True)
        else:
            self._handle.update(html)

    def stop(self, board: ProgressState) -> None:
        """Show the last board."""
        self.show(board)
