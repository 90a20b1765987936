"""The safetensors container, read strictly: its header is checked before a tensor is made.

Safetensors' own reader maps the file, so that tensors change, and the process dies, where the file
is truncated later; it takes the last of two tensors of one name; and a lying shape ends in whatever
torch raises. Here nothing is allocated but what the file was found to hold.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import torch
from torch import Tensor

from prac.errors import PracError
from prac.fields import LARGEST, damaged, fits, shown, strict_json

TYPES = {
    "U64": torch.uint64,
    "I64": torch.int64,
    "F64": torch.float64,
    "C64": torch.complex64,
    "F32": torch.float32,
    "U32": torch.uint32,
    "I32": torch.int32,
    "BF16": torch.bfloat16,
    "F16": torch.float16,
    "U16": torch.uint16,
    "I16": torch.int16,
    "F8_E5M2FNUZ": torch.float8_e5m2fnuz,
    "F8_E4M3FNUZ": torch.float8_e4m3fnuz,
    "F8_E4M3": torch.float8_e4m3fn,
    "F8_E5M2": torch.float8_e5m2,
    "I8": torch.int8,
    "U8": torch.uint8,
    "BOOL": torch.bool,
}
"""Types of a file's tensors by their names in it, in the order in which safetensors lays them."""

_NAMES = {dtype: name for name, dtype in TYPES.items()}

PREFIX = 8  # Bytes that hold the header's length.
HEADER_LIMIT = 2**24  # Bytes: some hundred thousand tensors.
DIMENSIONS = 32  # What every numpy takes.


@dataclass(frozen=True)
class Entry:
    """Where a tensor lies: `start` and `end` count bytes from the header's end."""

    name: str
    dtype: torch.dtype
    shape: tuple[int, ...]
    start: int
    end: int


@dataclass(frozen=True)
class Layout:
    """What a file's header says.

    Attributes:
        entries: The tensors in the order in which they lie.
        metadata: Text by name.
    """

    entries: tuple[Entry, ...]
    metadata: dict[str, str]


def made_header(
    tensors: Mapping[str, Tensor], metadata: Mapping[str, str]
) -> tuple[bytes, list[str]]:
    """Return the header for tensors of `TYPES`, and their names in the order in which they lie.

    To the byte what safetensors writes: wider types first, so that all are aligned; then by name.
    """
    places = {name: place for place, name in enumerate(TYPES)}
    order = sorted(tensors, key=lambda name: (places[_NAMES[tensors[name].dtype]], name))
    values: dict[str, Any] = {"__metadata__": dict(metadata)}
    position = 0
    for name in order:
        tensor = tensors[name]
        end = position + tensor.nbytes
        values[name] = {
            "dtype": _NAMES[tensor.dtype],
            "shape": list(tensor.shape),
            "data_offsets": [position, end],
        }
        position = end
    text = json.dumps(values, ensure_ascii=False, separators=(",", ":")).encode()
    return text.ljust(-(-len(text) // PREFIX) * PREFIX), order


def content_of(tensor: Tensor) -> memoryview:
    """Return the bytes of a contiguous tensor on the CPU: the tensor's own memory, not a copy."""
    content: memoryview = tensor.reshape(-1).view(torch.uint8).numpy().data
    return content


def read_layout(file: IO[bytes], path: Path, kind: str) -> Layout:
    """Return what the header says, `file` standing at its end then.

    Raises:
        Damaged: If it is no container, or its header does not fit the file's length.
    """
    size = os.fstat(file.fileno()).st_size
    start = _exactly(file, PREFIX)
    length = int.from_bytes(start, "little")
    if len(start) < PREFIX or length > size - PREFIX:
        raise damaged(path, f"it is not a whole {kind} file: it ends within its header")
    if length > HEADER_LIMIT:
        raise damaged(path, f"its header has {length} bytes: expected at most {HEADER_LIMIT}")
    return parse_layout(_exactly(file, length), size - PREFIX - length, path, kind)


def parse_layout(header: bytes, size: int, path: Path, kind: str) -> Layout:
    """Return what a header says of `size` bytes of tensors behind it.

    Raises:
        Damaged: If it is not a header, or does not describe each byte behind it once.
    """
    try:
        values = strict_json(header.decode())
    except ValueError as error:
        raise damaged(path, f"it is not a {kind} file: its header is no plain JSON: {error}") from (
            error
        )
    if not fits(values, dict):
        raise damaged(path, f"it is not a {kind} file: its header is {shown(values)}")
    metadata = values.pop("__metadata__", {})
    if not fits(metadata, dict[str, str]):
        raise damaged(path, "its metadata is not text by name")
    entries = [_entry(name, facts, path) for name, facts in values.items()]
    entries.sort(key=lambda entry: (entry.start, entry.end))
    position = 0
    for entry in entries:
        if entry.start != position:
            raise damaged(
                path, f"tensor {entry.name!r} begins at byte {entry.start}, expected {position}"
            )
        position = entry.end
    if position != size:
        raise damaged(path, f"its tensors need {position} bytes, but it holds {size}")
    return Layout(tuple(entries), metadata)


def _entry(name: str, facts: Any, path: Path) -> Entry:
    check_name(name, path)
    if not fits(facts, dict) or facts.keys() != {"dtype", "shape", "data_offsets"}:
        raise damaged(
            path, f"tensor {name!r} is {shown(facts)}: expected dtype, shape and data_offsets"
        )
    if not fits(facts["dtype"], str) or facts["dtype"] not in TYPES:
        raise damaged(path, f"tensor {name!r} has the unknown type {shown(facts['dtype'])}")
    dtype = TYPES[facts["dtype"]]
    shape = checked_shape(name, facts["shape"], path)
    offsets = facts["data_offsets"]
    if not fits(offsets, list[int], 0) or len(offsets) != 2:
        raise damaged(path, f"tensor {name!r} has offsets {shown(offsets)}: expected two")
    start, end = offsets
    if end - start != math.prod(shape) * dtype.itemsize:
        raise damaged(
            path,
            f"tensor {name!r} has {end - start} bytes, its shape {shown(shape)} needs "
            f"{math.prod(shape) * dtype.itemsize}",
        )
    return Entry(name, dtype, shape, start, end)


def checked_shape(name: str, shape: Any, path: Path | str) -> tuple[int, ...]:
    """Return a shape that torch and numpy can take, from JSON.

    Raises:
        Damaged: If it is none.
    """
    whole = fits(shape, list[int], 0) and len(shape) <= DIMENSIONS
    # Strides multiply also where a 0 among the sizes leaves no element.
    if not whole or math.prod(max(size, 1) for size in shape) > LARGEST // 16:
        raise damaged(path, f"tensor {name!r} has the shape {shown(shape)}: expected sizes")
    return tuple(shape)


def check_name(name: str, path: Path | str) -> None:
    """Raise a Damaged for a tensor's name that no module gives, such as one made like a path."""
    parts = [part for step in name.split("/") for part in step.split(".")]
    if not all(parts) or not name.isprintable() or "\\" in name:
        raise damaged(path, f"{shown(name)} is no name of a tensor")


def read_content(file: IO[bytes], layout: Layout, path: Path) -> dict[str, Tensor]:
    """Return the tensors, `file` standing at the header's end; they do not depend on the file.

    Raises:
        PracError: If there is not enough memory.
        Damaged: If the file has become shorter, or a bool is neither 0 nor 1.
    """
    tensors = {}
    for entry in layout.entries:
        try:
            tensor = torch.empty(entry.shape, dtype=entry.dtype)
        except (RuntimeError, MemoryError) as error:
            size = entry.end - entry.start
            raise PracError(
                f"{path}: not enough memory for the {size} bytes of {entry.name!r}"
            ) from error
        content = content_of(tensor)
        if _fill(file, content) != len(content):
            raise damaged(path, f"it ends within tensor {entry.name!r}")
        if entry.dtype == torch.bool and bool((tensor.view(torch.uint8) > 1).any()):
            raise damaged(path, f"tensor {entry.name!r} has a bool that is neither 0 nor 1")
        tensors[entry.name] = tensor
    return tensors


def _exactly(file: IO[bytes], length: int) -> bytes:
    content = bytearray(length)
    return bytes(content[: _fill(file, memoryview(content))])


def _fill(file: IO[bytes], content: memoryview) -> int:
    """Read until `content` is full or the file ends; return how many bytes were read."""
    done = 0
    while done < len(content):
        count = file.readinto(content[done:])  # type: ignore[attr-defined]
        if not count:
            break
        done += count
    return done
