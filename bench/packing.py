"""What a visit takes along: a folder of work as a few files of limited size, and back again.

The levels of a search hold the same rewind weights: compressed as one stream with a large
dictionary, they weigh once. No torch and no `prac`: packing goes on where they cannot.
"""

from __future__ import annotations

import io
import lzma
import re
import shutil
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

NAME = "visit-state.tar.xz"
FILE_BYTES = 2**24
TOTAL_BYTES = 36 * 2**20
"""Of all pieces: what is taken along has to be brought again, with the data beside it."""
FILTERS = [{"id": lzma.FILTER_LZMA2, "preset": 1, "dict_size": 2**26}]
SLACK = 2**18
"""Bytes that the compressor may still hold back, and what the archive's end takes."""

# Dead weight to a search that goes on: what it has trained is in tickets, sets and states.
LEFT_OUT = (r"runs/[^/]+/[^/]+/levels/\d+/trained\.safetensors", r"comparison\.(svg|png)")


class PackError(Exception):
    """What was packed cannot be unpacked."""


@dataclass(frozen=True)
class Packed:
    """What was packed.

    Attributes:
        pieces: The files' names.
        bytes: Of all of them.
        unpacked_bytes: Of what is in them.
        files: How many files are in them.
        left_out: Files that had no room, by their path in the work folder.
        unneeded: How many were left out because nothing needs them.
    """

    pieces: list[str]
    bytes: int
    unpacked_bytes: int
    files: int
    left_out: list[str]
    unneeded: int


def pack(
    work: Path,
    out: Path,
    *,
    newest: Path | None = None,
    pieces: int = 4,
    piece_bytes: int = FILE_BYTES,
    total_bytes: int = TOTAL_BYTES,
) -> Packed:
    """Pack a folder of work into `out`; pieces of a pack before it are replaced.

    What matters most comes first, and what has no room is left out.

    Args:
        work: The folder: of each kind of machine a folder of comparisons.
        out: Where the pieces go.
        newest: The folder in it that was worked in last.
        pieces: How many there may be.
        piece_bytes: How large each may be.
        total_bytes: How large all of them may be.
    """
    room = min(pieces * piece_bytes, total_bytes)
    everything = [path for path in sorted(work.rglob("*")) if path.is_file()]
    needed = [path for path in everything if is_needed(path, work)]
    target, compressor = io.BytesIO(), lzma.LZMACompressor(lzma.FORMAT_XZ, filters=FILTERS)
    unpacked, left_out = 0, []
    current = _newest_run(newest or work)
    for path in sorted(needed, key=lambda path: (importance(path, newest, current), str(path))):
        member = _member(path, work)
        # As if nothing of it could be compressed.
        if target.tell() + len(member) + SLACK > room:
            left_out.append(str(path.relative_to(work)))
            continue
        target.write(compressor.compress(member))
        unpacked += path.stat().st_size
    target.write(compressor.compress(bytes(2 * tarfile.BLOCKSIZE)))
    target.write(compressor.flush())
    content = target.getvalue()
    names = _write(content, out, piece_bytes)
    files = len(needed) - len(left_out)
    unneeded = len(everything) - len(needed)
    return Packed(names, len(content), unpacked, files, left_out, unneeded)


def is_needed(path: Path, work: Path) -> bool:
    """Say whether work that goes on elsewhere needs a file.

    It needs no lock and nothing half-written, of states the newest, and no weights that a level of
    a search has ended with.
    """
    if path.name.startswith(".") or path.suffix == ".damaged":
        return False
    if path.parent.name == "state":
        return path == _newest_state(path.parent)
    inside = path.relative_to(work).as_posix()
    return not any(re.search(f"(^|/){pattern}$", inside) for pattern in LEFT_OUT)


def importance(path: Path, newest: Path | None, current: Path | None) -> int:
    """Return a file's rank, 0 being what matters most.

    First what the machine at hand was in the middle of, then figures of all it has ended; then the
    tickets and sets, and what nothing goes on from. Last comes the work of other machines.

    Args:
        path: The file.
        newest: The folder that this machine has worked in; None for all.
        current: The folder of the search or training whose state was written last.
    """
    if newest is not None and not path.is_relative_to(newest):
        return 4
    if current is not None and path.is_relative_to(current):
        return 0
    if path.suffix != ".safetensors":
        return 1
    return 3 if path.name in ("trained.safetensors", "examples.safetensors") else 2


def _newest_run(work: Path) -> Path | None:
    """Return the folder of the search or training whose state was written last."""
    states = [path for path in work.rglob("state/*.safetensors") if path.parent.name == "state"]
    newest = max(states, key=lambda path: (path.stat().st_mtime_ns, str(path)), default=None)
    return None if newest is None else newest.parents[1]


def _newest_state(folder: Path) -> Path | None:
    return max(folder.glob("*.safetensors"), key=lambda path: path.name, default=None)


def _member(path: Path, work: Path) -> bytes:
    """Return a file as it stands in an archive."""
    held = io.BytesIO()
    with tarfile.open(fileobj=held, mode="w", format=tarfile.PAX_FORMAT) as tar:
        tar.add(path, path.relative_to(work).as_posix(), recursive=False)
        # Without the blocks that end an archive.
        return held.getvalue()[: tar.offset]


def _write(content: bytes, out: Path, piece_bytes: int) -> list[str]:
    """Write the pieces, and remove those of a pack before."""
    out.mkdir(parents=True, exist_ok=True)
    # All are there before one of those before is replaced.
    fresh = []
    for number, start in enumerate(range(0, len(content), piece_bytes)):
        fresh.append(out / f".{NAME}.{number:02d}")
        fresh[-1].write_bytes(content[start : start + piece_bytes])
    names = [path.name.removeprefix(".") for path in fresh]
    for path, name in zip(fresh, names, strict=True):
        path.replace(out / name)
    for path in pieces_in(out):
        if path.name not in names:
            path.unlink()
    return names


def pieces_in(folder: Path) -> list[Path]:
    """Return the pieces that lie in a folder, in order."""
    return sorted(folder.glob(f"{NAME}.[0-9][0-9]"))


def unpack(state: Path, work: Path) -> bool:
    """Unpack the pieces in `state` as the folder `work`; say whether there were any.

    Raises:
        PackError: If a piece is missing or damaged; nothing is unpacked then.
    """
    found = pieces_in(state)
    if not found:
        return False
    expected = [f"{NAME}.{number:02d}" for number in range(len(found))]
    if [path.name for path in found] != expected:
        raise PackError(f"{state}: a piece is missing: {', '.join(path.name for path in found)}")
    fresh = work.with_name(f"{work.name}.unpacking")
    shutil.rmtree(fresh, ignore_errors=True)
    fresh.mkdir(parents=True)
    try:
        with tarfile.open(fileobj=io.BytesIO(_content(found)), mode="r") as tar:
            tar.extractall(fresh, filter="data")
    except (lzma.LZMAError, tarfile.TarError, EOFError, OSError) as error:
        shutil.rmtree(fresh, ignore_errors=True)
        raise PackError(f"{state}: cannot be unpacked: {error}") from error
    fresh.replace(work)
    return True


def _content(pieces: list[Path]) -> bytes:
    """Return the archive in some pieces.

    Raises:
        EOFError: If its end is missing.
    """
    decompressor = lzma.LZMADecompressor(lzma.FORMAT_XZ)
    content = b"".join(_decompressed(decompressor, pieces))
    if not decompressor.eof:
        raise EOFError("its end is missing")
    return content


def _decompressed(decompressor: lzma.LZMADecompressor, pieces: list[Path]) -> Iterator[bytes]:
    for path in pieces:
        yield decompressor.decompress(path.read_bytes())
