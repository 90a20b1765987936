"""What somebody's training has presented, and whether it was right: recorded as it goes on."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, distributed

from prac.algorithms import ForgettingTable
from prac.errors import PracError


class Presentations:
    """Which examples training presents, in order, and whether each was predicted right.

    Nothing waits for a device: what is recorded from there is looked at when it is asked for.

    Args:
        total: n, all training examples.
        members: int64 (m,), those that the level trains on; None for all.

    >>> seen = Presentations(3)
    >>> seen.record([0, 1], [True, False])
    >>> seen.record([1, 0], [False, False])
    >>> seen.table.events.tolist(), seen.count
    ([1, 0, 0], 4)
    """

    def __init__(self, total: int, members: Tensor | None = None) -> None:
        """Begin with nothing presented."""
        self._table, self._counted, self._right = ForgettingTable.empty(total), 0, 0
        self._was_seen = torch.zeros(total, dtype=torch.bool)
        self._is_member = torch.full((total,), members is None)
        if members is not None:
            self._is_member[members] = True
        self._waiting: list[tuple[Tensor, Tensor]] = []

    @property
    def count(self) -> int:
        """Presentations so far."""
        return self._counted + sum(len(ids) for ids, _ in self._waiting)

    def record(self, ids: Any, correct: Any) -> None:
        """Note a batch: integer ids (k,), and bool (k,), whether each example was right.

        Both may be tensors on any device, arrays or lists.

        Raises:
            PracError: If they are not as many, or of other types, or no such examples.
        """
        ids, correct = torch.as_tensor(ids).detach(), torch.as_tensor(correct).detach()
        if ids.ndim == 1 and not len(ids):
            return
        is_integer = not (ids.is_floating_point() or ids.is_complex() or ids.dtype == torch.bool)
        if ids.ndim != 1 or not is_integer:
            raise PracError(
                f"ids are {ids.dtype} of shape {tuple(ids.shape)}: expected integers (k,), the "
                f"places of a batch's examples"
            )
        if correct.dtype != torch.bool or correct.shape != ids.shape:
            raise PracError(
                f"correct is {correct.dtype} of shape {tuple(correct.shape)}: expected torch.bool "
                f"({len(ids)},), whether each example was predicted right"
            )
        if ids.device.type == "cpu":
            self._check(ids)
        self._waiting.append((ids.clone(), correct.clone()))

    def _check(self, ids: Tensor) -> None:
        """Raise a PracError where an id is of no example that the level trains on."""
        total = len(self._is_member)
        is_there = (ids >= 0) & (ids < total)
        if not bool(is_there.all()):
            other = int(ids[~is_there][0])
            raise PracError(
                f"example {other} was recorded, of {total}: expected ids from 0 to {total - 1}"
            )
        is_member = self._is_member[ids.to(torch.int64)]
        if not bool(is_member.all()):
            other = int(ids[~is_member][0])
            raise PracError(
                f"example {other} was recorded, which is not in this level's set: train on the "
                f"examples of level.ids, and record them by these ids"
            )

    def take(self) -> tuple[Tensor, Tensor]:
        """Return int64 (k,) ids and bool (k,) outcomes on the CPU, no longer to be counted here.

        What one process takes, another may record.
        """
        if not self._waiting:
            return torch.zeros(0, dtype=torch.int64), torch.zeros(0, dtype=torch.bool)
        parts = zip(*self._waiting, strict=True)
        ids, correct = (torch.cat([of.cpu() for of in part]) for part in parts)
        self._check(ids)
        self._waiting = []
        return ids.to(torch.int64), correct

    def gather(self) -> None:
        """Collect on rank 0 what every rank of `torch.distributed` has recorded since it last did.

        All ranks call it, such as after each epoch. An example that a sampler gives to several
        ranks, to fill their last batches, counts each time. Without a process group nothing is
        done.
        """
        if not (distributed.is_available() and distributed.is_initialized()):
            return
        is_first = distributed.get_rank() == 0
        every: list[Any] | None = [None] * distributed.get_world_size() if is_first else None
        distributed.gather_object(self.take(), every)
        for ids, correct in every or ():
            self.record(ids, correct)

    @property
    def table(self) -> ForgettingTable:
        """Forgetting events, and which examples were ever right, of all n examples."""
        ids, correct = self.take()
        self._counted += len(ids)
        self._right += int(correct.sum())
        self._was_seen[ids] = True
        self._table = self._table.update(ids, correct)
        return self._table

    @property
    def distinct(self) -> int:
        """Examples that were presented at least once."""
        _ = self.table
        return int(self._was_seen.sum())

    def __repr__(self) -> str:
        """Show how many there are."""
        return f"Presentations({self.count:,} of {int(self._is_member.sum()):,} examples)"

    @property
    def right(self) -> int:
        """Presentations so far that were right."""
        _ = self.table
        return self._right
