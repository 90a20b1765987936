"""What a torture section tries and finds, one row a kind of blow."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass, field
from typing import Any

PROCESSES = 2


@dataclass(frozen=True)
class Blow:
    """One thing done to one run, and what came of it.

    Attributes:
        kind: The row that it counts in.
        what: Enough to do it again.
        wrong: What was not as promised, in words; empty where all was.
        seconds: Longest of the processes that it took.
        peak_bytes: Most memory that one of them held, where that was measured.
    """

    kind: str
    what: str
    wrong: tuple[str, ...] = ()
    seconds: float = 0.0
    peak_bytes: int = 0


@dataclass
class Row:
    """The blows of one kind, counted."""

    kind: str
    tried: int = 0
    survived: int = 0
    longest_seconds: float = 0.0
    peak_bytes: int = 0
    failures: list[str] = field(default_factory=list)

    def to_json(self) -> dict[str, Any]:
        """Return plain values."""
        return asdict(self)


def rows(blows: Iterable[Blow]) -> list[Row]:
    """Return the blows counted by kind, in the order in which kinds come."""
    found: dict[str, Row] = {}
    for blow in blows:
        row = found.setdefault(blow.kind, Row(blow.kind))
        row.tried += 1
        row.survived += not blow.wrong
        row.longest_seconds = max(row.longest_seconds, round(blow.seconds, 2))
        row.peak_bytes = max(row.peak_bytes, blow.peak_bytes)
        row.failures += [f"{blow.what}: {wrong}" for wrong in blow.wrong]
    return list(found.values())


def shared_out(strike: Callable[[Any], Blow], cases: Sequence[Any]) -> list[Blow]:
    """Return what `strike` makes of each case, two at a time, in order."""
    # Forked, so that the children of these processes start with everything imported.
    context = multiprocessing.get_context("fork")
    with ProcessPoolExecutor(PROCESSES, mp_context=context) as pool:
        return list(pool.map(strike, cases))
