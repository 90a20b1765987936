"""Striking a process at a chosen file operation or function call.

The operations are those of the system (`os.write`, `os.fsync` and the like), as the code under test
calls them; only calls on files below one folder count.
"""

from __future__ import annotations

import errno
import importlib
import json
import os
import signal
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

# By descriptor, or by path: what can change a disk.
OPERATIONS = (
    "open", "write", "pwrite", "fsync", "ftruncate",
    "mkdir", "replace", "rename", "unlink", "rmdir",
)  # fmt: skip

WAYS = ("before", "half", "after")


@dataclass(frozen=True)
class Fault:
    """One blow.

    Attributes:
        place: An operation of `OPERATIONS`, "any", or a function as "module:name" or
            "module:Class.name".
        nth: Which call of it, counted from 1.
        how: "before", "after" or "half" (a write gets half of its bytes to the file): SIGKILL
            then; or the name of an errno, such as "ENOSPC", which that operation and all later
            writing ones fail with.
    """

    place: str
    nth: int = 1
    how: str = "before"


@dataclass(frozen=True)
class Operation:
    """One operation that a process did: its name, its path, and its other arguments."""

    name: str
    path: str
    detail: Any = None


def strike(fault: Fault, below: Path) -> None:
    """Arrange that this process is struck by `fault` in its work on files below a folder."""
    if ":" in fault.place:
        _strike_function(fault)
        return
    count = 0
    failing = False

    def hit(name: str, call: Callable[[], Any], halve: Callable[[], Any], *_: Any) -> Any:
        nonlocal count, failing
        count += fault.place in (name, "any")
        is_it = count == fault.nth and fault.place in (name, "any")
        if fault.how not in WAYS:
            failing = failing or is_it
            # Removing and cutting still work on a full disk, as they do in life.
            if failing and name in ("open", "write", "pwrite", "fsync", "mkdir", "replace"):
                number = getattr(errno, fault.how)
                raise OSError(number, os.strerror(number))
            return call()
        if is_it and fault.how == "before":
            _die()
        if is_it and fault.how == "half":
            halve()
            _die()
        try:
            return call()
        finally:
            if is_it:
                _die()

    _patch(below, hit)


def trace(below: Path, into: Path) -> None:
    """Arrange that this process writes down its operations on files below a folder, as JSON.

    What is written to files is kept as hexadecimal digits.
    """
    log = open(into, "w")  # noqa: SIM115

    def note(
        name: str, call: Callable[[], Any], halve: Callable[[], Any], path: str, detail: Any
    ) -> Any:
        result = call()
        log.write(json.dumps([name, path, detail]) + "\n")
        log.flush()
        return result

    _patch(below, note)


def traced(path: Path) -> list[Operation]:
    """Return what `trace` wrote down."""
    return [Operation(*json.loads(line)) for line in path.read_text().splitlines()]


def _patch(below: Path, around: Callable[..., Any]) -> None:
    root = str(below.resolve())

    def patched(name: str, real: Callable[..., Any]) -> Callable[..., Any]:
        def operation(first: Any, *rest: Any, **options: Any) -> Any:
            path = _path_of(first)
            if path is None or not (path == root or path.startswith(root + os.sep)):
                return real(first, *rest, **options)
            if name == "open" and not (rest and rest[0] & os.O_CREAT):
                return real(first, *rest, **options)
            detail: Any = None
            if name in ("write", "pwrite"):
                detail = bytes(rest[0]).hex()
            elif name in ("replace", "rename"):
                detail = _path_of(rest[0])
            elif name == "ftruncate":
                detail = rest[0]

            def half() -> None:
                if name == "write":
                    real(first, bytes(rest[0])[: len(rest[0]) // 2])

            return around(name, lambda: real(first, *rest, **options), half, path, detail)

        return operation

    for name in OPERATIONS:
        setattr(os, name, patched(name, getattr(os, name)))


def _path_of(target: Any) -> str | None:
    """Return the path that an operation is about, of a path or a descriptor."""
    if isinstance(target, int):
        if sys.platform != "linux":
            return None
        try:
            return os.readlink(f"/proc/self/fd/{target}").removesuffix(" (deleted)")
        except OSError:
            return None
    return os.path.abspath(os.fsdecode(target))


def _strike_function(fault: Fault) -> None:
    module_name, _, names = fault.place.partition(":")
    owner: Any = importlib.import_module(module_name)
    *parents, name = names.split(".")
    for parent in parents:
        owner = getattr(owner, parent)
    real = getattr(owner, name)
    count = 0

    def struck(*arguments: Any, **options: Any) -> Any:
        nonlocal count
        count += 1
        if count == fault.nth and fault.how == "before":
            _die()
        result = real(*arguments, **options)
        if count == fault.nth:
            _die()
        return result

    setattr(owner, name, struck)


def _die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)
