"""Torture of the torture: code that is broken on purpose must not come through."""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any
from unittest import mock

from prac.utils import derive_seed
from torture import kills, power
from torture.report import Blow
from torture.work import Work

Strike = Callable[[Sequence[Work], Path], list[Blow]]


def broken_code(works: Sequence[Work], scratch: Path, *, seed: int) -> list[Blow]:
    """Break the code in ways that torture exists for, and see that it notices."""
    broken: dict[str, tuple[contextlib.AbstractContextManager[Any], Strike]] = {
        "contents are never synced": (
            mock.patch("prac.io.files.os", _Replaced(fsync=_sync_folders_only)),
            partial(power.failures, limit=16, seed=seed),
        ),
        "metrics are not cut back to the state": (
            mock.patch("prac.runs.folder.cut"),
            partial(kills.at_every_stage, stages=("before a state",)),
        ),
        "dropout and augmentation go on from where the process was": (
            _forgetful_seeds(),
            partial(kills.at_every_stage, stages=("in the middle of an epoch",)),
        ),
    }
    blows = []
    for what, (breaking, strike) in broken.items():
        with breaking:
            noticed = sum(bool(blow.wrong) for blow in strike(works, scratch))
        wrong = () if noticed else ("nothing was noticed",)
        blows.append(Blow("broken on purpose, and noticed", what, wrong))
    return blows


class _Replaced:
    """The module `os` as one module sees it, with some functions replaced."""

    def __init__(self, **functions: Callable[..., None]) -> None:
        self.__dict__.update(functions)

    def __getattr__(self, name: str) -> Any:
        return getattr(os, name)


def _sync_folders_only(descriptor: int) -> None:
    if stat.S_ISDIR(os.fstat(descriptor).st_mode):
        os.fsync(descriptor)


@contextlib.contextmanager
def _forgetful_seeds() -> Iterator[None]:
    """Draw the seeds of batches from a counter that a new process begins again."""
    count = 0

    def counted(*parts: Any) -> int:
        nonlocal count
        count += 1
        # Of two parts is the seed of a batch: its epoch's seed, and its number.
        return derive_seed(*parts[:-1], count) if len(parts) == 2 else derive_seed(*parts)

    with mock.patch("prac.training.loop.derive_seed", counted):
        yield
