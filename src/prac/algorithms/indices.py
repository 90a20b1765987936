"""Examples by their positions, checked: torch counts negative ones from the end, in silence."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor


def checked_indices(name: str, indices: Any, n: int | None = None, *, once: bool = True) -> Tensor:
    """Return positions among `n` examples as int64 (k,), refusing what torch would misread.

    Args:
        name: What they are called where they are given.
        indices: Integers (k,); a bool mask is none.
        n: How many examples there are; None where that is not known.
        once: Whether each may be there only once.

    Raises:
        ValueError: If they are anything else, one is out of range, or one is there twice.
    """
    if not isinstance(indices, Tensor):
        raise ValueError(f"{name} is a {type(indices).__name__}: expected an int64 tensor (k,)")
    if indices.ndim != 1 or indices.dtype not in _INTEGERS:
        raise ValueError(
            f"{name} is {indices.dtype} of shape {tuple(indices.shape)}: expected int64 (k,), the "
            f"examples' positions"
        )
    found: Tensor = indices.to(torch.int64)
    if not len(found):
        return found
    low, high = (int(end) for end in found.aminmax())
    if low < 0 or (n is not None and high >= n):
        wanted = "none below 0" if n is None else f"0 to {n - 1}" if n else "none, of no example"
        raise ValueError(f"{name} has position {low if low < 0 else high}: expected {wanted}")
    if once and has_repeats(found, high + 1):
        ordered = found.sort().values
        twice = int(ordered[1:][ordered[1:] == ordered[:-1]][0])
        raise ValueError(f"{name} has {twice} twice: expected each example once; pass unique()")
    return found


_INTEGERS = (torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8)


def has_repeats(indices: Tensor, n: int) -> bool:
    """Say whether some of int64 (k,) positions among `n` are there more than once."""
    seen = torch.zeros(n, dtype=torch.bool, device=indices.device)
    seen[indices] = True
    return int(seen.count_nonzero()) < len(indices)
