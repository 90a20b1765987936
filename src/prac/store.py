"""Tensor files that cannot be mistaken for another kind, another version or a damaged one.

Every tensor file is safetensors with one metadata entry, `prac`: a JSON header that names the
file's kind and format number and holds a digest of header and content. Nothing is pickled.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import safetensors
import safetensors.torch
import torch
from torch import Tensor

from prac.errors import Damaged, PracError
from prac.files import write_atomic

FORMAT = 1


def write_tensors(path: Path, tensors: Mapping[str, Tensor], kind: str, header: Any) -> None:
    """Write tensors and a JSON header, atomically; the same content gives the same bytes."""
    # As a reader will find it: keys that are numbers become text, tuples lists.
    whole = json.loads(json.dumps({"kind": kind, "format": FORMAT, **header}))
    plain = {name: tensor.detach().to("cpu").contiguous() for name, tensor in tensors.items()}
    whole["digest"] = content_digest(plain, whole)
    text = json.dumps(whole, sort_keys=True)
    # Tied weights would be refused by safetensors: each name gets its own copy.
    content = safetensors.torch.save({n: t.clone() for n, t in plain.items()}, {"prac": text})
    write_atomic(path, content)


def read_tensors(path: Path, kind: str) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Return the tensors and the header of a file that `write_tensors` wrote.

    Raises:
        PracError: Naming the file and the fault: missing, damaged, of another kind, newer.
    """
    try:
        with safetensors.safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except FileNotFoundError as error:
        raise PracError(f"{path}: there is no such file: expected a {kind} file") from error
    except (OSError, safetensors.SafetensorError, ValueError) as error:
        raise Damaged(f"{path}: is not a {kind} file, or is damaged: {error}") from error
    try:
        header = json.loads(metadata["prac"])
        found, version, digest = header["kind"], header["format"], header.pop("digest")
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise PracError(
            f"{path}: is a safetensors file, but not one of prac's: expected a {kind} file"
        ) from error
    if found != kind:
        raise PracError(f"{path}: holds a {found}: expected a {kind}")
    if version != FORMAT:
        raise PracError(
            f"{path}: has format {version}, this prac reads format {FORMAT}: update prac"
        )
    if digest != content_digest(tensors, header):
        raise Damaged(f"{path}: is damaged: its content does not match its checksum")
    return tensors, header


def kind_of(path: Path) -> str:
    """Return what kind of file `write_tensors` wrote.

    Raises:
        PracError: If it is none of prac's.
    """
    try:
        with safetensors.safe_open(path, framework="pt") as file:
            return str(json.loads((file.metadata() or {})["prac"])["kind"])
    except FileNotFoundError as error:
        raise PracError(f"{path}: there is no such file") from error
    except (OSError, safetensors.SafetensorError, KeyError, TypeError, ValueError) as error:
        raise PracError(f"{path}: is not one of prac's files, or is damaged") from error


def pack(mask: Tensor) -> Tensor:
    """Return a bool tensor as uint8 (ceil(n / 8),), eight values a byte."""
    return torch.from_numpy(np.packbits(mask.cpu().numpy().reshape(-1)))


def unpack(packed: Tensor, shape: tuple[int, ...]) -> Tensor:
    """Return the bool tensor of `shape` that `pack` packed."""
    count = int(np.prod(shape, dtype=np.int64))
    bits = np.unpackbits(packed.numpy(), count=count)
    return torch.from_numpy(bits.astype(bool)).view(shape)


def content_digest(tensors: Mapping[str, Tensor], header: Mapping[str, Any]) -> str:
    """Return a hex digest of tensors by name, shape, type and bytes, and of a JSON header."""
    digest = hashlib.sha256(json.dumps(header, sort_keys=True).encode())
    for name in sorted(tensors):
        tensor = tensors[name]
        digest.update(f"\0{name}\0{tensor.dtype}\0{tuple(tensor.shape)}\0".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()
