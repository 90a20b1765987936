"""Progress that a person can follow: a live screen on a terminal or in a notebook, lines elsewhere.

The time left of a level is that of its full schedule: an early stop comes sooner.
"""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Any

from prac.models import ParameterCount
from prac.monitor.progress_state import ProgressState, test_value
from prac.runs import Measure

if TYPE_CHECKING:
    from rich.console import Console

    from prac.events import Event
    from prac.monitor.live import Notebook, Terminal

PLAIN_SECONDS = 10.0
REFRESH_SECONDS = 0.2

# They come often; of all others each is shown at once.
PASSING = ("step", "epoch")


class Progress:
    """A watcher of what searches, retrainings and judgements tell, for people.

    On a terminal, between the ends of a `with`, it is one screen that shows the whole search, below
    the lines that stay; in a notebook the same, in the cell's output; elsewhere (a pipe, a file, a
    CI log) a line for each level and one every ten seconds. All of it goes to standard error.

    Example:
        `with prac.Progress() as progress: prac.find(..., callback=progress)`
    """

    def __init__(self, *, quiet: bool = False, console: Console | None = None) -> None:
        """Choose where to show it: a console of one's own, or none at all."""
        from rich.console import Console  # Not before it is used: `import prac` stays fast.

        self.console = console or Console(stderr=True, highlight=False)
        self.quiet = quiet
        self._live: Terminal | Notebook | None = None
        self._board = ProgressState()
        self._noted: set[str] = set()
        self._last_plain = self._last_refresh = 0.0

    def say(self, line: str) -> None:
        """Show one line that stays."""
        if self.quiet:
            return
        from prac.monitor.live import print_line

        if self._live is not None:
            self._live.say(line)
        else:
            print_line(self.console, line)

    def __enter__(self) -> Progress:
        from prac.monitor.live import live_on

        self._live = None if self.quiet else live_on(self.console)
        return self

    def __exit__(self, *error: object) -> None:
        """Take a terminal's screen away; a notebook keeps the last one."""
        if self._live is not None:
            self._live.stop(self._board)
            self._live = None

    def __call__(self, event: Event) -> None:
        """Show an event."""
        if self.quiet:
            return
        now = time.monotonic()
        self._board = self._board.after(event, now)
        if line := self._line(event):
            self.say(line)
        if self._live is not None:
            is_due = now - self._last_refresh >= REFRESH_SECONDS
            if is_due or event.kind not in PASSING:
                self._last_refresh = now
                self._live.show(self._board)
        elif event.kind in ("level", "retrain"):
            self._last_plain = now
        elif event.kind in (*PASSING, "scoring", "barrier", "pool") and (
            now - self._last_plain >= PLAIN_SECONDS
        ):
            self._last_plain = now
            self.say(f"  {self._board.activity}")
            sys.stderr.flush()

    def _line(self, event: Event) -> str:
        """Return what stays of an event, if anything."""
        facts: Any = event.facts
        board = self._board
        match event.kind:
            case "search" if board.heading == facts["path"]:  # A comparison says it of none.
                parameters = ParameterCount.of(facts)
                return "" if parameters is None else parameters.sentence()
            case "level":
                line = f"level {event.level}/{facts['levels']}: density {facts['density']:.3f}, "
                if not facts["iterations"]:
                    return line + "not trained"
                line += f"{facts['set_size']} of {facts['total']} examples, "
                return line + f"up to {facts['iterations']} iterations"
            case "retrain" if board.training is not None:
                # One of many trainings, unless it belongs to the search whose levels are shown.
                head = f"{board.heading}: " if board.heading and not board.rows else ""
                schedule = f"all data, {facts['iterations']} iterations"
                return f"{head}{board.training.task}: density {facts['density']:.3f}, {schedule}"
            case "pruned" if facts["trained"]:
                saved = board.saved_before(event.level)
                return (
                    f"  trained {facts['iterations']} iterations, {saved:.1%} saved so far; "
                    f"the next level's set has {facts['next_set_size']} examples"
                )
            case "trunk":
                return board.doing
            case "contest":
                return board.heading
            case "note" if facts["text"] not in self._noted:
                # Each of many trainings may have the same to say.
                self._noted.add(facts["text"])
                return f"note: {facts['text']}"
            case "retrained" if (value := test_value(facts)) is not None:
                measure = Measure.of(facts.get("metric"))
                form = ".4f" if measure.is_share else ".4g"
                return f"  test {measure.name} {value:{form}}"
        return ""
