"""When a run saves between epochs and when it stops: intervals, time limits, signals."""

from __future__ import annotations

import re
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from math import inf
from types import FrameType
from typing import Any

from prac.errors import PracError

# What a shell shows for a process that such a signal ended; a batch system's warning and a time
# limit are no failure but a request to come again, for which sysexits.h has 75 (EX_TEMPFAIL).
COME_AGAIN = 75
STATUS = {"SIGINT": 130, "SIGTERM": 143, "SIGHUP": 129, "SIGUSR1": COME_AGAIN}

# Iterations of a process up to which a time limit is called short.
FEW_ITERATIONS = 5

MOST_THREADS = 1024
"""More cannot be asked for: a system that begins no more of them ends the process."""

_UNITS = {"s": 1.0, "min": 60.0, "h": 3600.0}


class Interrupted(BaseException):
    """A run was stopped on request, everything it had done being saved; the same call continues.

    No Exception, as KeyboardInterrupt is none: a signal may come while an image is decoded or a
    model compiled, whose failures are caught, and must not be taken for one.

    Attributes:
        reason: A signal's name, or "max-seconds".
        status: Exit status that the command line ends with.
    """

    def __init__(self, reason: str, where: str = "") -> None:
        """Say why, and where the run stands."""
        super().__init__(f"stopped by {reason}{f' {where}' if where else ''}")
        self.reason = reason
        self.status = STATUS.get(reason, COME_AGAIN)


def save_interval(text: str | int) -> tuple[float, float]:
    """Return iterations and seconds, the one infinite, of "500", or of "90s", "10min", "2h".

    Raises:
        PracError: If it is none of these.

    >>> save_interval("10min")
    (inf, 600.0)
    """
    match = re.fullmatch(r"(\d+(?:\.\d+)?)(s|min|h)?", str(text), re.ASCII)
    number, unit = match.groups() if match else ("0", None)
    if float(number) > 0 and unit is not None:
        return inf, float(number) * _UNITS[unit]
    if float(number) > 0 and number.isdecimal():
        return int(number), inf
    raise PracError(
        f"save_every is {text!r}: expected a number of iterations, such as 500, or a time, such as "
        f"90s, 10min or 2h"
    )


class RunControl:
    """When to save between epochs, and when to stop; epochs' ends are always saved.

    None of it changes what a run finds. It is not immutable, unlike what a run depends on: signal
    handlers speak to it.

    Args:
        save_every: Iterations (500) or time ("10min") between states within an epoch; None saves
            at epochs' ends only.
        max_seconds: Stop in time to have ended so many seconds after `started`, but not before a
            step or a state has been done; None for no limit.
        tell: Shown a line when a signal was heard.
        started: When the seconds began to be counted, by `time.monotonic`; None for now.

    Raises:
        PracError: If a value is out of range.
    """

    def __init__(
        self,
        *,
        save_every: str | int | None = None,
        max_seconds: float | None = None,
        tell: Callable[[str], None] = lambda line: None,
        started: float | None = None,
    ) -> None:
        """Start counting."""
        if max_seconds is not None and not 0 < max_seconds < float("inf"):
            raise PracError(f"max_seconds is {max_seconds!r}: expected a number above 0")
        self._most = (inf, inf) if save_every is None else save_interval(save_every)
        now = time.monotonic()
        self._begun, self._limit = now if started is None else started, max_seconds
        self._tell = tell
        self._reason: str | None = None
        self._is_working = False
        self._saved_at = self._asked_at = now
        self._steps = self._all_steps = 0
        self._longest_gap = self._longest_save = 0.0
        self._moved_at: float | None = None  # Since when there is a step or a state.

    @property
    def is_stopping(self) -> bool:
        """Whether to save and stop at the next opportunity."""
        return self._reason is not None

    @property
    def wants_save(self) -> bool:
        """Whether a state within the epoch is due."""
        steps, seconds = self._most
        is_due = self._steps >= steps or time.monotonic() - self._saved_at >= seconds
        return self.is_stopping or is_due

    def saved(self, seconds: float = 0.0) -> None:
        """Count from here to the next state; the last may take `seconds` to be on disk."""
        self._longest_save = max(self._longest_save, seconds)
        self._saved_at, self._steps = time.monotonic(), 0
        self._move()

    def after_step(self) -> bool:
        """Say, after a training step, whether to break off there to save or to stop."""
        self._steps, self._all_steps = self._steps + 1, self._all_steps + 1
        self._move()
        self._look_at_clock()
        return self.wants_save

    def check(self, where: str = "") -> None:
        """Raise Interrupted if the run is to stop; called where nothing is left to save."""
        self._look_at_clock()
        if self._reason is not None:
            took = self._shortness()
            raise Interrupted(self._reason, f"{where} ({took})".strip() if took else where)

    def _move(self) -> None:
        if self._moved_at is None:
            self._moved_at = time.monotonic()

    def _shortness(self) -> str:
        """Return, of a limit that start-up took most of or that left few iterations, what it took.

        Each time that the command is given again, its start-up takes as much.
        """
        if self._reason != "max-seconds" or self._limit is None or self._moved_at is None:
            return ""
        start_up = self._moved_at - self._begun
        if start_up <= self._limit / 2 and not 0 < self._all_steps <= FEW_ITERATIONS:
            return ""
        limit = f"{round(self._limit, 1 if self._limit >= 1 else 3):.10g} s"
        took = f"{start_up:.1f} of its {limit}"
        if start_up >= self._limit:
            took = f"{start_up:.1f} s, more than its {limit}"
        steps = f"{self._all_steps} iteration{'s' if self._all_steps != 1 else ''}"
        return f"start-up took {took}, for {steps}: give it more"

    def _look_at_clock(self) -> None:
        now = time.monotonic()
        self._longest_gap = max(self._longest_gap, now - self._asked_at)
        self._asked_at = now
        # What took longest between two looks, such as a validation, may come once more; then the
        # last state, after the one that is still being written. A command given again and again
        # must get on: its limit counts from its first step or state.
        still = self._longest_gap + 2 * self._longest_save
        if self._limit is None or self._moved_at is None:
            return
        if now + still >= self._begun + self._limit:
            self._reason = self._reason or "max-seconds"

    @contextmanager
    def working(self) -> Iterator[None]:
        """Between these ends a signal waits for the step under way to be finished and saved."""
        self._is_working = True
        self._saved_at = self._asked_at = time.monotonic()
        try:
            yield
        finally:
            self._is_working = False

    @contextmanager
    def listening(self) -> Iterator[RunControl]:
        """Take SIGINT, SIGTERM, SIGHUP and SIGUSR1 as requests to stop; a second SIGINT at once.

        Signals that this process was started to ignore, as `nohup` and background jobs do, stay
        ignored. Only the main thread can listen.
        """
        before: dict[int, Any] = {}
        for name in STATUS:
            number = getattr(signal, name)
            if signal.getsignal(number) != signal.SIG_IGN:
                before[number] = signal.signal(number, self._hear)
        try:
            yield self
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _hear(self, number: int, frame: FrameType | None) -> None:
        name = signal.Signals(number).name
        if self._is_working and self._reason is None:
            self._reason = name
            self._tell(f"{name}: finishing the step and saving; Ctrl-C stops at once")
        elif number == signal.SIGINT and self._is_working:
            raise KeyboardInterrupt
        elif not self._is_working:
            raise Interrupted(name)
