"""Progress that a person can follow: one live line on a terminal, plain lines elsewhere.

The time left is that of the level's full schedule: an early stop comes sooner.
"""

from __future__ import annotations

import sys
import time
from types import TracebackType
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.live import Live
from rich.text import Text

from prac.text import printable

if TYPE_CHECKING:
    from prac.training import Event

PLAIN_SECONDS = 10.0


class Progress:
    """A watcher of what searches, retrainings and judgements tell that writes to standard error."""

    def __init__(self, *, quiet: bool = False, console: Console | None = None) -> None:
        """Choose a live line or plain ones by whether the console is a terminal."""
        self.console = console or Console(stderr=True, highlight=False)
        self.quiet = quiet
        self._live: Live | None = None
        self._task = self._trial = ""
        self._last_plain = 0.0
        self._iteration = 0
        self._clock = time.monotonic()

    def say(self, line: str) -> None:
        """Show one line that stays."""
        if not self.quiet:
            # Folded by the terminal, not by us: a line is one line to whoever reads a log.
            self.console.print(Text(printable(line)), soft_wrap=True)

    def __enter__(self) -> Progress:
        """Start the live line where there is a terminal."""
        if self.console.is_terminal and not self.quiet:
            self._live = Live(Text(""), console=self.console, transient=True, auto_refresh=False)
            self._live.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Take the live line away."""
        if self._live is not None:
            self._live.stop()
            self._live = None

    def __call__(self, event: Event) -> None:
        """Show an event."""
        if self.quiet:
            return
        facts = event.facts
        if event.kind == "level":
            self._start(f"level {event.level}/{facts['levels']}", facts)
            line = f"level {event.level}/{facts['levels']}: density {facts['density']:.3f}, "
            if facts["iterations"]:
                line += f"{facts['set_size']} of {facts['total']} examples, "
                line += f"up to {facts['iterations']} iterations"
            else:
                line += "not trained"
            self.say(line)
        elif event.kind == "retrain":
            task = self._trial or f"retraining ticket {event.level}"
            self._start(task.partition(": ")[2] or task, facts)
            self.say(
                f"{task}: density {facts['density']:.3f}, all data, "
                f"{facts['iterations']} iterations"
            )
        elif event.kind == "epoch":
            self._epoch(facts)
        elif event.kind == "scoring":
            self._passing(f"{self._task}: scoring all data")
        elif event.kind == "pruned" and facts["trained"]:
            self.say(
                f"  trained {facts['iterations']} iterations; "
                f"the next level's set has {facts['next_set_size']} examples"
            )
        elif event.kind == "trial":
            # Shown where it is trained; what is read takes no time.
            self._trial = (
                f"training {facts['number']} of {facts['of']}: {facts['what']}, "
                f"seed {facts['seed']}"
            )
        elif event.kind == "trunk":
            self.say(f"training the dense network to iteration {facts['iteration']}")
        elif event.kind == "contest":
            self.say(
                f"search {facts['number']} of {facts['of']}: {facts['method']}, "
                f"seed {facts['seed']}"
            )
        elif event.kind == "judging":
            self._trial = f"training ticket {event.level} alone, seed {facts['seed']}"
        elif event.kind == "barrier":
            self._passing(f"error barrier of {facts['what']}")
        elif event.kind == "note":
            self.say(f"note: {facts['text']}")
        elif event.kind == "retrained" and facts["test_accuracy"] is not None:
            self.say(f"  test accuracy {facts['test_accuracy']:.4f}")

    def _start(self, task: str, facts: Any) -> None:
        self._task, self._iteration = task, facts["iteration"]
        self._clock = self._last_plain = time.monotonic()

    def _epoch(self, facts: Any) -> None:
        now = time.monotonic()
        rate = (facts["iteration"] - self._iteration) / max(now - self._clock, 1e-9)
        left = (facts["iterations"] - facts["iteration"]) / max(rate, 1e-9)
        # Short enough for 80 columns in all but the longest runs.
        line = (
            f"{self._task}, epoch {facts['epoch']}/{facts['epochs']}, {rate:.0f} it/s, "
            f"{_duration(left)} left"
        )
        if facts["mask_distance"] is not None:
            line += f", mask distance {facts['mask_distance']:.3f}"
        if facts.get("val_accuracy") is not None:
            line += f", val {facts['val_accuracy']:.1%}"
        self._passing(line)

    def _passing(self, line: str) -> None:
        """Show a line that the next one replaces; without a terminal, one every ten seconds."""
        now = time.monotonic()
        if self._live is not None:
            self._live.update(Text(line, overflow="ellipsis", no_wrap=True), refresh=True)
        elif now - self._last_plain >= PLAIN_SECONDS:
            self._last_plain = now
            self.console.print(Text("  " + line), soft_wrap=True)
            sys.stderr.flush()


def _duration(seconds: float) -> str:
    whole = round(seconds)
    hours, minutes = divmod(whole // 60, 60)
    return f"{hours}:{minutes:02d}:{whole % 60:02d}" if hours else f"{minutes}:{whole % 60:02d}"
