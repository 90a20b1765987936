"""One piece of work at a time, done by a thread while whoever gave it goes on."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from threading import Event, Thread


class Background:
    """A thread for one piece of work after the other, none of which is ever given up half-done.

    The work shares nothing with who gave it, or only what nobody changes. A process may be forked
    meanwhile: the child has nothing of the thread. Whoever forks holds Python's interpreter lock,
    so the thread then stands outside of Python's own code, in a call of the system or the like.
    """

    def __init__(self) -> None:
        """Begin without work."""
        self._done: Event | None = None
        self._process = os.getpid()
        self._error: BaseException | None = None

    def start(self, work: Callable[[], None]) -> None:
        """Have `work` done from now on, after that which is under way.

        Raises:
            BaseException: What the work before raised; `work` is not begun then.
        """
        self.wait()
        done = Event()
        thread = Thread(target=self._do, args=(work, done), name="prac-background")
        self._done, self._process = done, os.getpid()
        # The thread inherits what is blocked: signals come to the main thread, and wake it.
        before = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
        try:
            thread.start()
        except (RuntimeError, MemoryError):  # The system allows no more threads.
            self._do(work, done)
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)

    def wait(self) -> None:
        """Return once nothing is under way.

        Raises:
            BaseException: What the work raised. What a signal's handler raised meanwhile, such as a
                KeyboardInterrupt, comes only when the work is done, and if that went well.
        """
        interruption: BaseException | None = None
        # Not Thread.join: cut short, it takes the thread for ended (Python 3.11). A forked process
        # would wait for ever.
        while self._done is not None and self._process == os.getpid():
            try:
                self._done.wait()
                self._done = None
            except BaseException as error:
                interruption = error
        self._done = None
        failure, self._error = self._error, None
        if failure is not None:
            raise failure
        if interruption is not None:
            raise interruption

    def _do(self, work: Callable[[], None], done: Event) -> None:
        try:
            work()
        except BaseException as error:
            self._error = error
        finally:
            done.set()
