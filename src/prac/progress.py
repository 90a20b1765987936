"""Progress that a person can follow: a live screen on a terminal or in a notebook, lines elsewhere.

The time left of a level is that of its full schedule: an early stop comes sooner.
"""

from __future__ import annotations

import io
import os
import sys
import time
from types import TracebackType
from typing import TYPE_CHECKING, Any, Protocol

from rich.console import Console
from rich.control import Control
from rich.live import Live
from rich.text import Text

from prac.screen import Board, Screen
from prac.text import printable

if TYPE_CHECKING:
    from prac.training import Event

PLAIN_SECONDS = 10.0
REFRESH_SECONDS = 0.2
KEPT_LINES = 200  # Shown again where a terminal that was resized had to be cleared.

# They come often; of all others each is shown at once.
PASSING = ("step", "epoch")


class Progress:
    """A watcher of what searches, retrainings and judgements tell, for people.

    On a terminal, between the ends of a `with`, it is one screen that shows the whole search, below
    the lines that stay; in a notebook the same, in the cell's output; elsewhere (a pipe, a file, a
    CI log) a line for each level and one every ten seconds. All of it goes to standard error.

    Example:
        `with prac.Progress() as progress: prac.find(..., watch=progress)`
    """

    def __init__(self, *, quiet: bool = False, console: Console | None = None) -> None:
        """Choose where to show it: a console of one's own, or none at all."""
        self.console = console or Console(stderr=True, highlight=False)
        self.quiet = quiet
        self._live: _Terminal | _Notebook | None = None
        self._board = Board()
        self._trial = ""
        self._last_plain = self._last_refresh = 0.0

    def say(self, line: str) -> None:
        """Show one line that stays."""
        if self.quiet:
            return
        text = Text(printable(line))
        if self._live is not None:
            self._live.say(text)
        else:
            # Folded by the terminal, not by us: a line is one line to whoever reads a log.
            self.console.print(text, soft_wrap=True)

    def __enter__(self) -> Progress:
        """Start the screen where there is one."""
        if self.quiet:
            return self
        if self.console.is_jupyter:
            self._live = _Notebook()
        elif is_live(self.console):
            self._live = _Terminal(self.console)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Take a terminal's screen away; a notebook keeps the last one."""
        if self._live is not None:
            self._live.stop(Screen(self._board))
            self._live = None

    def __call__(self, event: Event) -> None:
        """Show an event."""
        if self.quiet:
            return
        now = time.monotonic()
        self._board = self._board.after(event, now)
        for line in self._lines(event):
            self.say(line)
        if self._live is not None:
            is_due = now - self._last_refresh >= REFRESH_SECONDS
            if is_due or event.kind not in PASSING:
                self._last_refresh = now
                self._live.show(Screen(self._board))
        elif event.kind in ("level", "retrain"):
            self._last_plain = now
        elif event.kind in (*PASSING, "scoring", "barrier") and (
            now - self._last_plain >= PLAIN_SECONDS
        ):
            self._last_plain = now
            training, doing = self._board.training, self._board.doing
            self.say("  " + (doing or (training.line() if training else "")))
            sys.stderr.flush()

    def _lines(self, event: Event) -> list[str]:
        """Return what stays of an event."""
        facts: Any = event.facts
        if event.kind == "level":
            line = f"level {event.level}/{facts['levels']}: density {facts['density']:.3f}, "
            if facts["iterations"]:
                line += f"{facts['set_size']} of {facts['total']} examples, "
                line += f"up to {facts['iterations']} iterations"
            else:
                line += "not trained"
            return [line]
        if event.kind == "retrain":
            task = self._trial or f"retraining ticket {event.level}"
            schedule = f"all data, {facts['iterations']} iterations"
            return [f"{task}: density {facts['density']:.3f}, {schedule}"]
        if event.kind == "pruned" and facts["trained"]:
            saved = self._board.saved_before(event.level)
            return [
                f"  trained {facts['iterations']} iterations, {saved:.1%} saved so far; "
                f"the next level's set has {facts['next_set_size']} examples"
            ]
        if event.kind == "trial":
            # Shown where it is trained; what is read takes no time.
            self._trial = (
                f"training {facts['number']} of {facts['of']}: {facts['what']}, "
                f"seed {facts['seed']}"
            )
        elif event.kind == "judging":
            self._trial = f"training ticket {event.level} alone, seed {facts['seed']}"
        elif event.kind == "trunk":
            return [f"training the dense network to iteration {facts['iteration']}"]
        elif event.kind == "contest":
            return [
                f"search {facts['number']} of {facts['of']}: {facts['method']}, "
                f"seed {facts['seed']}"
            ]
        elif event.kind == "note":
            return [f"note: {facts['text']}"]
        elif event.kind == "retrained" and facts["test_accuracy"] is not None:
            return [f"  test accuracy {facts['test_accuracy']:.4f}"]
        return []


def is_live(console: Console) -> bool:
    """Say whether a console can show what changes in place: a person's terminal.

    FORCE_COLOR makes a console of a file a terminal to look at, and a CI log may be one: in both,
    each change would be a line more.
    """
    return console.is_interactive and not os.environ.get("CI") and console.file.isatty()


class _Live(Protocol):
    """Where a screen is shown."""

    def say(self, line: Text) -> None: ...

    def show(self, screen: Screen) -> None: ...

    def stop(self, screen: Screen) -> None: ...


class _Terminal:
    """A screen below the lines that stay, drawn anew where the terminal's size has changed."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._size = console.size
        self._lines: list[Text] = []
        self._live = self._started()

    def _started(self) -> Live:
        live = Live(Text(""), console=self._console, transient=True, auto_refresh=False)
        live.start()
        return live

    def say(self, line: Text) -> None:
        self._lines = [*self._lines[1 - KEPT_LINES :], line]
        self._console.print(line, soft_wrap=True)

    def show(self, screen: Screen) -> None:
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
            self._console.print(line, soft_wrap=True)

    def stop(self, screen: Screen) -> None:
        self._live.stop()


class _Notebook:
    """A screen in the output of a notebook's cell, changed in place."""

    WIDTH = 90
    HEIGHT = 60

    def __init__(self) -> None:
        self._handle: Any = None
        self._lines: list[Text] = []

    def say(self, line: Text) -> None:
        # The screen says the rest.
        if line.plain.startswith("note: "):
            self._lines.append(line)

    def show(self, screen: Screen) -> None:
        from IPython.display import HTML, display

        html = HTML(self._html(screen))
        if self._handle is None:
            self._handle = display(html, display_id=True)
        else:
            self._handle.update(html)

    def _html(self, screen: Screen) -> str:
        console = Console(
            file=io.StringIO(),
            record=True,
            width=self.WIDTH,
            height=self.HEIGHT,
            force_jupyter=False,
            force_terminal=True,
        )
        for line in self._lines:
            console.print(line)
        console.print(screen)
        code = '<pre style="line-height: 1.2; font-family: monospace">{code}</pre>'
        return console.export_html(inline_styles=True, code_format=code)

    def stop(self, screen: Screen) -> None:
        self.show(screen)
