"""Tensor files as safetensors reads them, and strictly: what prac could not work with is refused.

The library checks that a header describes each byte behind it once, and reads without mapping the
file, so that tensors do not change with it later. Writing is done here: the library's own writer
does not wait for the disk, gives the file other rights, and hides the system's error number.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from prac.errors import Damaged, PracError
from prac.io.fields import LARGEST, damaged, fits, shown
from prac.io.files import opened
from prac.io.kinds import HEADER_LIMIT, PREFIX, kind_at, other_kind
from prac.utils import one_line

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

SUFFIX = ".safetensors"
"""Of the name that prac gives each tensor file."""

DIMENSIONS = 32  # What every numpy takes.


def made_header(
    tensors: Mapping[str, Tensor], metadata: Mapping[str, str]
) -> tuple[bytes, list[str]]:
    """Return what comes before the tensors, and their names in the order in which they lie.

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
    length = -(-len(text) // PREFIX) * PREFIX
    return length.to_bytes(PREFIX, "little") + text.ljust(length), order


def content_of(tensor: Tensor) -> memoryview:
    """Return the bytes of a contiguous tensor on the CPU: the tensor's own memory, not a copy."""
    content: memoryview = tensor.reshape(-1).view(torch.uint8).numpy().data
    return content


@contextmanager
def opened_tensors(path: Path, kind: str) -> Iterator[tuple[dict[str, str], safe_open]]:
    """Open a tensor file to read from it; give its metadata and the library's handle.

    Raises:
        PracError: If it cannot be read, or there is not enough memory.
        Damaged: If it is no such file, or its header does not fit the file's length.
    """
    with opened(path, kind) as file:
        length = int.from_bytes(file.read(PREFIX), "little")
        if HEADER_LIMIT < length < os.fstat(file.fileno()).st_size:
            fault = f"its header has {length} bytes: expected at most {HEADER_LIMIT}"
            raise _no_tensor_file(path, kind, fault)
        try:
            with safe_open(path, "pt", backend="pread") as content:
                yield content.metadata() or {}, content
        except SafetensorError as error:
            fault = one_line(error)
            if "(os error" in fault:  # The disk's fault, not the file's.
                raise PracError(f"{path}: cannot be read: {shown(fault)[1:-1]}") from error
            told = f"it is not a whole {kind} file: {shown(fault)[1:-1]}"
            raise _no_tensor_file(path, kind, told) from error
        except MemoryError as error:
            raise PracError(f"{path}: not enough memory to read it") from error


def _no_tensor_file(path: Path, kind: str, fault: str) -> PracError:
    """Return the error for what does not lie as a tensor file does: damaged, or never one."""
    if path.suffix == SUFFIX or kind_at(path) != "file":
        return damaged(path, fault)
    return other_kind(path, kind, Damaged)


def read_content(content: safe_open, path: Path) -> dict[str, Tensor]:
    """Return the tensors of an open file; they do not depend on the file.

    Raises:
        Damaged: If a name, a type or a shape is none of prac's, or a bool is neither 0 nor 1.
    """
    names = content.offset_keys()
    for name in names:  # Before anything is made of them.
        check_name(name, path)
        facts = content.get_slice(name)
        if facts.get_dtype() not in TYPES:
            raise damaged(path, f"tensor {name!r} has the unknown type {facts.get_dtype()}")
        checked_shape(name, facts.get_shape(), path)
    tensors = {name: content.get_tensor(name) for name in names}
    for name, tensor in tensors.items():
        if tensor.dtype == torch.bool and bool((tensor.view(torch.uint8) > 1).any()):
            raise damaged(path, f"tensor {name!r} has a bool that is neither 0 nor 1")
    return tensors


def check_writable(name: str, tensor: Tensor, path: Path | str) -> None:
    """Raise a Damaged for a tensor that `read_content` would not take."""
    check_name(name, path)
    if tensor.is_nested:
        raise damaged(path, f"tensor {name!r} is nested")
    checked_shape(name, list(tensor.shape), path)
    if tensor.dtype not in _NAMES or tensor.layout != torch.strided:
        raise damaged(path, f"tensor {name!r} is {tensor.dtype}, {tensor.layout}")


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
