"""Hostile ticket, subset and state files: refused in one line, in bounded time and memory."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

from torture.hostile import KINDS, Kind, Reader, good_file, mutated
from torture.hostile import hostile_files as made_hostile
from torture.report import Blow

SECONDS = 5.0
PEAK_BYTES = 2**30


def hostile_files(scratch: Path, *, mutants: int, short: bool) -> list[Blow]:
    """Read every hostile file that is made of a good one, and `mutants` random ones, of each kind.

    Args:
        scratch: Folder to write them in.
        mutants: Random changes to structure or bytes.
        short: Whether to read each fiftieth of the enumerated ones only.
    """
    blows = []
    for kind in KINDS:
        with Reader(kind) as reader:
            for number, (fault, content) in enumerate(_files(kind, mutants)):
                if short and number % 50:
                    continue
                blows.append(_read(reader, kind, fault, content, scratch / "hostile"))
    return blows


def _files(kind: Kind, mutants: int) -> Iterator[tuple[str, bytes]]:
    whole, draw = good_file(kind), random.Random(0)
    yield from made_hostile(kind, whole)
    for number in range(mutants):
        yield f"mutant {number}", mutated(whole, draw)


def _read(reader: Reader, kind: Kind, fault: str, content: bytes, path: Path) -> Blow:
    path.write_bytes(content)
    found = reader.attempt(path)
    wrong = []
    if found.outcome == "crashed":
        wrong.append(found.message)
    if found.seconds > SECONDS:
        wrong.append(f"took {found.seconds:.1f} s")
    if found.peak_bytes > PEAK_BYTES:
        wrong.append(f"took {found.peak_bytes} bytes of memory")
    # Some changes are none: another seed in a provenance is as good as the first.
    outcome = "refused in one line" if found.outcome != "read" else "found to be valid, and read"
    return Blow(
        f"a hostile {kind}, {outcome}", fault, tuple(wrong), found.seconds, found.peak_bytes
    )


def fuzzed(scratch: Path, *, seconds: int) -> tuple[list[Blow], list[str]]:
    """Fuzz the readers, guided by coverage; each input counts."""
    try:
        import atheris  # type: ignore[import-untyped, import-not-found, unused-ignore] # noqa: F401
    except ImportError as error:
        return [], [f"coverage-guided fuzzing: {error}"]
    from torture.fuzz_ticket import fuzz

    found = fuzz(seconds, scratch / "corpus")
    crashed = [
        Blow("an input guided by coverage", crash, (found["log"][-300:],))
        for crash in found["crashes"]
    ]
    fine = found["inputs"] - len(crashed)
    return [*crashed, *([Blow("an input guided by coverage", "")] * fine)], []
