"""Examples of which only the number is known: those of somebody else's training loop."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor

from prac.errors import PracError
from prac.utils import brief


class NumberedExamples:
    """Examples from 0 to n - 1 that are read by whoever trains on them, and not here.

    Args:
        count: n.
        labels: int64 (n,), each example's class, if it is known.
    """

    def __init__(self, count: int, labels: Any = None, classes: tuple[str, ...] = ()) -> None:
        """Hold what is known.

        Raises:
            PracError: If there are fewer than two, or not as many labels.
        """
        if count < 2:
            raise PracError(f"examples is {count}: expected their number, at least 2, or the data")
        self.source_indices = torch.arange(count)
        self.labels = None if labels is None else torch.as_tensor(labels).to(torch.int64)
        if self.labels is not None and self.labels.shape != (count,):
            raise PracError(
                f"labels is of shape {tuple(self.labels.shape)}: expected one integer for each of "
                f"{count} examples"
            )
        self.classes = classes
        self.fingerprint = hashlib.sha256(f"numbered {count}".encode()).hexdigest()

    def __len__(self) -> int:
        """Return n."""
        return len(self.source_indices)

    def __repr__(self) -> str:
        """Return how many there are."""
        return brief(self, f"{len(self):,} examples")

    def to(self, device: torch.device) -> NumberedExamples:
        """Return the same examples: none of them lies anywhere."""
        return self

    def stream(
        self, batches: Sequence[Tensor], *, seeds: Sequence[int] | None = None
    ) -> Iterator[tuple[Any, Any]]:
        """Raise a PracError: these are read elsewhere."""
        raise PracError(
            "these examples are known by their number alone: pass the data to look at them"
        )
