"""Work in a process of its own, done when asked for, so that only one process works at a time.

The processes are forked from a server that has imported torch and `prac` but never called them:
they start at once, imports are in none of their figures, and they share no allocator setting and no
thread pool with each other. (torch imports `torch._dynamo`, for a second, at the first optimiser.)
"""

from __future__ import annotations

import multiprocessing
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from typing import Any

_CONTEXT = multiprocessing.get_context("forkserver")
_CONTEXT.set_forkserver_preload(
    ["torch", "torch._dynamo", "torch.utils.flop_counter", "bench.__main__"]
)

Work = Callable[..., Any]


@contextmanager
def apart(make: Callable[..., Work], *arguments: Any) -> Iterator[Work]:
    """Lend a function that calls `make(*arguments)`'s result in another process, and waits for it.

    Raises:
        RuntimeError: With the other process's traceback, where it fails.
    """
    mine, theirs = _CONTEXT.Pipe()
    # Not a daemon: a loop in it may have loading processes of its own.
    process = _CONTEXT.Process(target=_serve, args=(theirs, make, arguments))
    process.start()
    theirs.close()
    try:
        _answer(mine)  # That it is ready.

        def ask(*asked: Any) -> Any:
            mine.send(asked)
            return _answer(mine)

        yield ask
    finally:
        mine.close()
        process.join()


def once(function: Callable[..., Any], *arguments: Any) -> Any:
    """Return what a function gives in a fresh process."""
    with apart(_itself, function) as ask:
        return ask(*arguments)


def _itself(function: Work) -> Work:
    return function


def _answer(connection: Connection) -> Any:
    try:
        fault, value = connection.recv()
    except EOFError as error:
        raise RuntimeError("a measuring process ended without an answer") from error
    if fault:
        raise RuntimeError(f"a measuring process failed:\n{fault}")
    return value


def _serve(connection: Connection, make: Callable[..., Work], arguments: tuple[Any, ...]) -> None:
    try:
        work = make(*arguments)
        connection.send(("", None))
        while True:
            connection.send(("", work(*connection.recv())))
    except EOFError:
        return  # The asking side has closed.
    except Exception:
        connection.send((traceback.format_exc(), None))
