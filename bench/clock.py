"""Where the time of a run goes: functions are wrapped, and each moment is charged to one of them.

A wrapped function that calls another is charged only what the other one does not take.
"""

from __future__ import annotations

import functools
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

REST = "the rest"


class Clock:
    """Seconds by part. Only the thread that made the clock is looked at.

    >>> clock = Clock()
    >>> with clock.running("outer"), clock.running("inner"):
    ...     pass
    >>> sorted(clock.seconds)
    ['inner', 'outer', 'the rest']
    """

    def __init__(self) -> None:
        """Start, with everything being the rest."""
        self.seconds: dict[str, float] = {REST: 0.0}
        self.missing: list[str] = []
        self._parts = [REST]
        self._since = time.perf_counter()
        self._thread = threading.get_ident()
        self._within_whole = False
        self._undo: list[Callable[[], None]] = []

    @contextmanager
    def running(self, part: str) -> Iterator[None]:
        """Charge what happens inside to a part."""
        if threading.get_ident() != self._thread or self._within_whole:
            yield
            return
        self._charge()
        self._parts.append(part)
        try:
            yield
        finally:
            self._charge()
            self._parts.pop()

    def _charge(self) -> None:
        now, part = time.perf_counter(), self._parts[-1]
        self.seconds[part] = self.seconds.get(part, 0.0) + now - self._since
        self._since = now

    def read(self) -> dict[str, float]:
        """Return the seconds of each part up to now."""
        self._charge()
        return dict(self.seconds)

    def wrapped(self, function: Callable[..., Any], part: str) -> Callable[..., Any]:
        """Return a function that is charged to a part when called."""

        @functools.wraps(function)
        def call(*arguments: Any, **named: Any) -> Any:
            with self.running(part):
                return function(*arguments, **named)

        return call

    def wrapped_whole(self, function: Callable[..., Any], part: str) -> Callable[..., Any]:
        """Return a function that is charged, with all that it calls, to a part."""

        @functools.wraps(function)
        def call(*arguments: Any, **named: Any) -> Any:
            with self.running(part):
                self._within_whole = True
                try:
                    return function(*arguments, **named)
                finally:
                    self._within_whole = False

        return call

    def wrapped_stream(self, function: Callable[..., Any], part: str) -> Callable[..., Any]:
        """Return a generator function whose generators are charged while they make an item."""

        @functools.wraps(function)
        def call(*arguments: Any, **named: Any) -> Iterator[Any]:
            items = function(*arguments, **named)
            try:
                while True:
                    with self.running(part):
                        try:
                            item = next(items)
                        except StopIteration:
                            return
                    yield item
            finally:
                with self.running(part):
                    items.close()

        return call

    def patch(self, owner: Any, name: str, wrap: Callable[[Any], Any]) -> None:
        """Put a wrapped function in an attribute's place until `restore`.

        One that is not there is named in `missing`: what it did is the rest's, or another's.
        """
        if name not in vars(owner):
            self.missing.append(f"{owner.__name__}.{name}")
            return
        before = vars(owner)[name]
        setattr(owner, name, wrap(before))
        self._undo.append(lambda: setattr(owner, name, before))

    def restore(self) -> None:
        """Take all wrappers away."""
        while self._undo:
            self._undo.pop()()
