"""What is told of examples by their content: a digest, and which values are not finite."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from prac.data.reading import Reading
from prac.utils import Tree, mapped, named_leaves

FINGERPRINT_SAMPLES = 256
PIECE = 4096  # Examples that are looked at together: copies of so many need little memory.


class Odd(NamedTuple):
    """A kind of values that are not finite.

    Attributes:
        part: Where they are: x, y, or a place in one, such as y['boxes'].
        holds: What they are.
    """

    part: str
    holds: str


class Sampled(NamedTuple):
    """What the examples tell that are read of a data set before anything is trained on them.

    Attributes:
        fingerprint: Hex digest of the length and of up to 256 evenly spaced examples.
        classes: By example, its target where that is one integer.
        odd: By kind, int64 (k,), which of them have values that are not finite.
    """

    fingerprint: str
    classes: dict[int, int | None]
    odd: dict[Odd, Tensor]

    @classmethod
    def of(cls, read: Reading, total: int) -> Sampled:
        """Return what examples of `total` tell."""
        digest, odd = hashlib.sha256(f"sampled {total}".encode()), defaultdict[Odd, list[int]](list)
        classes: dict[int, int | None] = {}
        count = min(FINGERPRINT_SAMPLES, total)
        for i in np.linspace(0, total - 1, count).astype(int).tolist():
            x, y = (mapped(torch.as_tensor, part) for part in read.pair(i))
            digest.update(digest_of(x, y))
            is_one = isinstance(y, Tensor) and y.shape == ((1,) if read.collates else ())
            is_class = is_one and is_integer(y)
            classes[i] = int(y) if is_class else None
            for kind, _ in odd_rows(*(mapped(lambda of: of[None], part) for part in (x, y))):
                odd[kind].append(i)
        found = {kind: torch.tensor(ids) for kind, ids in odd.items()}
        return cls(digest.hexdigest(), classes, found)


def is_integer(values: Tensor) -> bool:
    """Say whether values are whole numbers, as classes are."""
    return not (values.is_floating_point() or values.is_complex() or values.dtype == torch.bool)


def digest_of(*values: Tree) -> bytes:
    """Return a digest of trees of tensors, arrays or numbers: their types, shapes and bytes."""
    digest = hashlib.sha256()
    for place, value in named_leaves(values):
        tensor = torch.as_tensor(value)
        if place.count("[") > 1:  # Of a pair alone it is told by the order.
            digest.update(place.encode())
        digest.update(f"{tensor.dtype}{tuple(tensor.shape)}".encode())
        for part in tensor.split(PIECE) if tensor.ndim else [tensor]:
            flat = part.detach().to("cpu").contiguous().reshape(-1)
            digest.update(flat.view(torch.uint8).numpy().tobytes())
    return digest.digest()


def odd_rows(x: Tree, y: Tree) -> Iterator[tuple[Odd, Tensor]]:
    """Yield kinds of values that are not finite, and bool (n,): which of n examples have some."""
    for part, values in (*named_leaves(x, "x"), *named_leaves(y, "y")):
        if not (values.is_floating_point() or values.is_complex()):
            continue
        if values.dtype.itemsize == 1:  # Of which torch asks nothing.
            values = values.to(torch.float32)
        pieces = values.split(PIECE)
        # A sum is several times as fast, and finite only where all are.
        if bool(torch.stack([piece.sum() for piece in pieces]).isfinite().all()):
            continue
        for holds, is_so in (("NaN", torch.isnan), ("an infinite value", torch.isinf)):
            found = torch.cat([is_so(piece).reshape(len(piece), -1).any(1) for piece in pieces])
            if bool(found.any()):
                yield Odd(part, holds), found
