"""Tensor files that cannot be mistaken for another kind, another version or a damaged one.

Every tensor file is safetensors with one metadata entry, `prac`: a JSON header that names the
file's kind and format number and holds a digest of header and content. Nothing is pickled. The
digest finds what chance has changed; whoever changes a file on purpose computes it anew, so the
readers of tickets, subsets and states check all that they use.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from prac.errors import Damaged, PracError
from prac.io.container import (
    check_name,
    check_writable,
    checked_shape,
    content_of,
    made_header,
    opened_tensors,
    read_content,
)
from prac.io.fields import Fields, damaged, fits, shown, strict_json
from prac.io.files import write_atomic
from prac.io.kinds import HEADER_LIMIT, check_kind

FORMAT = 1
NEWER = {"state": 2}
"""Format numbers of the kinds of file that have become others since the first; they read both."""


def write_tensors(path: Path, tensors: Mapping[str, Tensor], kind: str, header: Any) -> None:
    """Write tensors and a JSON header, atomically; the same content gives the same bytes.

    Raises:
        PracError: If it is nothing that `read_tensors` would read; nothing is written then.
    """
    with told_as_unwritable(path):
        for name, tensor in tensors.items():
            check_writable(name, tensor, path)
        # As a reader will find it: keys that are numbers become text, tuples lists.
        whole = strict_json(json.dumps({"kind": kind, "format": NEWER.get(kind, FORMAT), **header}))
        plain = {name: tensor.detach().to("cpu").contiguous() for name, tensor in tensors.items()}
        whole["digest"] = content_digest(plain, whole)
        start, order = made_header(plain, {"prac": json.dumps(whole, sort_keys=True)})
        if len(start) > HEADER_LIMIT:
            raise damaged(path, f"its header would have {len(start)} bytes")
    write_atomic(path, start, *(content_of(plain[name]) for name in order))


@contextmanager
def told_as_unwritable(path: Path) -> Iterator[None]:
    """Turn the faults that a reader would find in what is to be written into a PracError."""
    try:
        yield
    except (Damaged, ValueError, TypeError, RecursionError) as error:
        fault = str(error).removeprefix(f"{path}: is damaged: ")
        raise PracError(f"{path}: cannot be written, no prac could read it: {fault}") from error


def read_tensors(path: Path, kind: str) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Return the tensors and the header's own fields of a file that `write_tensors` wrote.

    Raises:
        PracError: Naming the file and the fault: missing, unreadable, of another kind, newer.
        Damaged: If its content is not what was written.
    """
    path = Path(path)
    try:
        return _read(path, kind)
    except PracError:
        check_kind(path, kind, kind)  # What else prac has written says more than what is wrong.
        raise


def _read(path: Path, kind: str) -> tuple[dict[str, Tensor], dict[str, Any]]:
    with opened_tensors(path, kind) as (metadata, content):
        envelope = _envelope(metadata, path, kind)
        tensors = read_content(content, path)
    digest = envelope.pop("digest")
    if digest != content_digest(tensors, envelope):
        raise damaged(path, "its content does not match its checksum")
    found, version = envelope.pop("kind"), envelope.pop("format")
    if found != kind:
        raise PracError(f"{path}: holds a {shown(found)[1:-1]}: expected a {kind}")
    newest = NEWER.get(kind, FORMAT)
    if version > newest:
        fault = f"has format {version}, this prac reads format {newest}"
        raise PracError(f"{path}: {fault}: update prac")
    return tensors, envelope


def kind_of(path: Path) -> str:
    """Return what kind of file `write_tensors` wrote.

    Raises:
        PracError: If it is none of prac's.
    """
    path = Path(path)
    with opened_tensors(path, "ticket or subset") as (metadata, _):
        return str(_envelope(metadata, path, "ticket or subset")["kind"])


def _envelope(metadata: Mapping[str, str], path: Path, kind: str) -> dict[str, Any]:
    """Return the JSON header, of which kind, format and digest are checked to be such.

    Those three are the same in every format, so that damage is never taken for a newer file.
    """
    if metadata.keys() != {"prac"}:
        fault = "is a safetensors file, but not one of prac's"
        raise PracError(f"{path}: {fault}: expected a {kind} file")
    try:
        values = strict_json(metadata["prac"])
    except ValueError as error:
        raise damaged(path, f"its header is no plain JSON: {error}") from error
    fields = Fields(path, values)
    fields.take("kind", str)
    fields.take("format", int, at_least=1)
    fields.take("digest", str)
    return dict(values)


def pack(mask: Tensor) -> Tensor:
    """Return a bool tensor as uint8 (ceil(n / 8),), eight values a byte."""
    return torch.from_numpy(np.packbits(mask.cpu().numpy().reshape(-1)))


def check_tensors(path: Path | str, tensors: Mapping[str, Tensor], names: Iterable[str]) -> None:
    """Raise a Damaged unless a file's tensors have these names."""
    wanted = set(names)
    for name in wanted - tensors.keys():
        raise damaged(path, f"tensor {name!r} is missing")
    for name in tensors.keys() - wanted:
        raise damaged(path, f"it holds an unknown tensor {name!r}")


def check_tensor(
    path: Path | str,
    name: str,
    tensor: Tensor,
    dtype: torch.dtype,
    shape: Sequence[int],
    of: str = "",
) -> None:
    """Raise a Damaged unless a tensor is of a type and a shape; `of` says why of that one."""
    if tensor.dtype != dtype or tensor.shape != tuple(shape):
        found = f"{tensor.dtype} {list(tensor.shape)}"
        raise damaged(path, f"{name} is {found}: expected {dtype} {list(shape)}{of}")


def check_indices(path: Path | str, name: str, indices: Tensor, total: int) -> None:
    """Raise a Damaged unless these are ascending, distinct positions among `total` examples."""
    check_tensor(path, name, indices, torch.int64, [indices.numel()])
    # Compared, not subtracted: a difference may overflow.
    if not bool((indices[1:] > indices[:-1]).all()):
        raise damaged(path, f"{name} is not ascending")
    if len(indices) and (indices[0] < 0 or indices[-1] >= total):
        ends = f"{int(indices[0])} to {int(indices[-1])}"
        raise damaged(path, f"{name} goes from {ends}: expected 0 to {total - 1}")


def checked_shapes(shapes: list[Any], path: Path | str) -> dict[str, tuple[int, ...]]:
    """Return masks' shapes by name, in order, from a header's list of [name, shape].

    Raises:
        Damaged: If it is no such list, names one twice, or a mask has no weight.
    """
    found: dict[str, tuple[int, ...]] = {}
    for pair in shapes:
        if not fits(pair, list) or len(pair) != 2 or not fits(pair[0], str):
            raise damaged(path, f"its masks' shapes hold {shown(pair)}: expected [name, shape]")
        name = pair[0]
        check_name(name, path)
        if name in found:
            raise damaged(path, f"mask {name!r} is there twice")
        found[name] = checked_shape(name, pair[1], path)
        if 0 in found[name]:
            raise damaged(path, f"mask {name!r} has the shape {list(found[name])}: no weight")
    return found


def unpacked(tensors: Mapping[str, Tensor], name: str, shape: tuple[int, ...], path: Any) -> Tensor:
    """Return the mask, bool of `shape`, that the packed tensor `name` of a file holds.

    Raises:
        Damaged: If there is no such tensor, or it is not what `pack` makes of that shape.
    """
    if name not in tensors:
        raise damaged(path, f"{name!r} is missing")
    packed, count = tensors[name], math.prod(shape)
    size = [-(-count // 8)]
    check_tensor(path, repr(name), packed, torch.uint8, size, f" for {count} weights")
    bits = np.unpackbits(packed.numpy(), count=count)
    mask = torch.from_numpy(bits.astype(bool)).view(shape)
    if not torch.equal(pack(mask), packed):
        raise damaged(path, f"{name!r} has bits behind its last weight")
    return mask


def content_digest(tensors: Mapping[str, Tensor], header: Mapping[str, Any]) -> str:
    """Return a hex digest of tensors by name, shape, type and bytes, and of a JSON header."""
    digest = hashlib.sha256(json.dumps(header, sort_keys=True).encode())
    for name in sorted(tensors):
        tensor = tensors[name]
        digest.update(f"\0{name}\0{tensor.dtype}\0{tuple(tensor.shape)}\0".encode())
        digest.update(content_of(tensor))
    return digest.hexdigest()
