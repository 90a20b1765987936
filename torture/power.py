"""The power fails: what the disk then holds is less than what the process had written.

A run's file operations are recorded and replayed on a model of a disk that keeps only what it must:
a file's content once that file was synced, and a name once its folder was. For every moment the
states that a power failure could leave are made as real folders, and the run goes on from them.
After the method of crash-consistency checkers such as SQLite's crash tests and ALICE (OSDI 2014).
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePath

from torture.faults import Operation
from torture.kills import blow_of, new_folder, recorded
from torture.report import Blow, shared_out
from torture.work import Work, finish

# How much of what was not synced the failure leaves.
LEFT = {
    "nothing": "nothing of what was not synced",
    "names": "names, but no content, of what was not synced",
    "some": "some of what was not synced, torn",
}


@dataclass(eq=False)
class File:
    """A file's content: as the process sees it, and as the disk has it for sure."""

    content: bytes = b""
    synced: bytes = b""

    def torn(self, draw: random.Random) -> bytes:
        """Return what may be there: the synced content, or some of the newer one."""
        if self.content == self.synced:
            return self.content
        # Writing behind what was synced, or cutting there, does not endanger it.
        pairs = zip(self.content, self.synced, strict=False)
        kept = sum(1 for _ in itertools.takewhile(lambda pair: pair[0] == pair[1], pairs))
        end = draw.randrange(kept, len(self.content) + 1)
        # Blocks that were allocated and never written hold zeros.
        return draw.choice(
            [self.synced, self.content[:end], self.content[:end].ljust(len(self.content), b"\0")]
        )


@dataclass
class Change:
    """A name that was given (`file`; None for a folder) or taken away in a folder."""

    path: PurePath
    gives: bool
    file: File | None = None


@dataclass
class Disk:
    """Names as the process sees them, and the changes of each folder that are not synced yet."""

    names: dict[PurePath, File | None] = field(default_factory=dict)
    synced: dict[PurePath, File | None] = field(default_factory=dict)
    pending: list[Change] = field(default_factory=list)

    def do(self, operation: Operation) -> None:
        """Apply an operation as the process sees it."""
        path, detail = PurePath(operation.path), operation.detail
        match operation.name:
            case "open" if path not in self.names:
                self._give(path, File())
            case "mkdir":
                self._give(path, None)
            case "write":
                self._file(path).content += bytes.fromhex(detail)
            case "pwrite":
                self._file(path).content = bytes.fromhex(detail)
            case "ftruncate":
                self._file(path).content = self._file(path).content[:detail]
            case "fsync" if self.names.get(path) is None:
                self._sync_folder(path)
            case "fsync":
                self._file(path).synced = self._file(path).content
            case "replace" | "rename":
                file = self.names[path]
                self._take(path)
                self._give(PurePath(detail), file)
            case "unlink" | "rmdir":
                self._take(path)

    def after_failure(self, left: str, draw: random.Random) -> dict[PurePath, bytes | None]:
        """Return what is on the disk when it comes up again: content by name, None for folders."""
        names = dict(self.synced)
        for change in self.pending:
            if left == "nothing" or (left == "some" and draw.random() < 0.5):
                continue
            if change.gives:
                names[change.path] = change.file
            else:
                names.pop(change.path, None)
        content = {
            path: None if file is None else self._left(file, left, draw)
            for path, file in names.items()
        }
        return {
            path: value
            for path, value in content.items()
            if all(parent in names for parent in path.parents if parent in self.names)
        }

    @staticmethod
    def _left(file: File, left: str, draw: random.Random) -> bytes:
        return file.torn(draw) if left == "some" else file.synced

    def _file(self, path: PurePath) -> File:
        file = self.names[path]
        assert file is not None, f"{path} is a folder"
        return file

    def _give(self, path: PurePath, file: File | None) -> None:
        self.names[path] = file
        self.pending.append(Change(path, True, file))

    def _take(self, path: PurePath) -> None:
        del self.names[path]
        self.pending.append(Change(path, False))

    def _sync_folder(self, folder: PurePath) -> None:
        for change in self.pending:
            if change.path.parent == folder:
                if change.gives:
                    self.synced[change.path] = change.file
                else:
                    self.synced.pop(change.path, None)
        self.pending = [change for change in self.pending if change.path.parent != folder]


@dataclass(frozen=True)
class Failure:
    """The power fails after the first `done` operations of a run."""

    work: Work
    operations: tuple[Operation, ...]
    done: int
    left: str
    origin: PurePath
    scratch: Path


def failures(works: Sequence[Work], scratch: Path, *, limit: int, seed: int) -> list[Blow]:
    """Let the power fail after `limit` drawn file operations."""
    cases = []
    for work in works:
        origin, operations = recorded(work, scratch)
        cases += [
            Failure(work, operations, done, left, origin, scratch)
            for done in range(1, len(operations) + 1)
            for left in LEFT
        ]
    cases = random.Random(seed).sample(cases, min(limit, len(cases)))
    return shared_out(fail, cases)


def fail(case: Failure) -> Blow:
    """Make what the failure leaves, and let the command go on from it."""
    disk = Disk()
    for operation in case.operations[: case.done]:
        disk.do(operation)
    draw = random.Random(f"{case.done} {case.left}")
    folder = new_folder(case.scratch, "failed")
    for path, content in sorted(disk.after_failure(case.left, draw).items()):
        place = folder / path.relative_to(case.origin)
        if content is None:
            place.mkdir(parents=True)
        else:
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(content)
    ending, wrong = finish(case.work, folder)
    last = case.operations[case.done - 1]
    what = f"{case.work.name}, after operation {case.done} ({last.name} {last.path})"
    return blow_of(f"power failure that leaves {LEFT[case.left]}", what, wrong, [ending], folder)
