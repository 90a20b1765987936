"""Forgetting statistics (Toneva et al. 2019, arXiv 1812.05159) in six bytes an example.

The source of the *critical examples for training* (CET): those forgotten, or never learned.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from prac.algorithms.difficulty import descending
from prac.algorithms.indices import checked_indices, has_repeats


@dataclass(frozen=True, repr=False)
class ForgettingTable:
    """What training has shown of each of n examples so far.

    Attributes:
        events: int32 (n,), forgetting events: right at one presentation, wrong at the next.
        learned: bool (n,), whether it was ever right.
        correct: bool (n,), whether it was right when last presented.
    """

    events: Tensor
    learned: Tensor
    correct: Tensor

    def __repr__(self) -> str:
        """Return how many examples were forgotten, or never learned.

        >>> ForgettingTable.empty(1200)
        ForgettingTable(1,200 examples, 0 forgotten, 1,200 never learned)
        """
        forgotten = int((self.events > 0).sum())
        never = len(self) - int(self.learned.sum())
        counts = f"{len(self):,} examples, {forgotten:,} forgotten, {never:,} never learned"
        return f"ForgettingTable({counts})"

    @classmethod
    def empty(cls, n: int) -> ForgettingTable:
        """Return the table of n examples of which none has been presented.

        >>> ForgettingTable.empty(2).events.tolist()
        [0, 0]
        """
        return cls(
            torch.zeros(n, dtype=torch.int32),
            torch.zeros(n, dtype=torch.bool),
            torch.zeros(n, dtype=torch.bool),
        )

    def __len__(self) -> int:
        """Return n."""
        return len(self.events)

    def update(self, ids: Tensor, correct: Tensor) -> ForgettingTable:
        """Return the table after the presentations of `ids`, in the order given.

        An example that is there several times, as a sampler that pads batches for several processes
        presents it, was presented as often: the table is the one that updates by one example at a
        time would give.

        Args:
            ids: int64 (k,), positions in the table.
            correct: bool (k,), whether the prediction was right.

        Raises:
            ValueError: If a position is not in the table, or the two are of other types or shapes.

        >>> table = ForgettingTable.empty(2)
        >>> for outcome in ([True, False], [False, False], [True, True], [False, True]):
        ...     table = table.update(torch.tensor([0, 1]), torch.tensor(outcome))
        >>> table.events.tolist(), table.learned.tolist()
        ([2, 0], [True, True])
        >>> table.update(torch.tensor([0, 0]), torch.tensor([True, False])).events.tolist()
        [3, 0]
        """
        ids = checked_indices("ids", ids, len(self), once=False)
        _check_outcomes(correct, len(ids))
        events, learned, last = self.events.clone(), self.learned.clone(), self.correct.clone()
        if has_repeats(ids, len(self)):
            ids, order = ids.sort(stable=True)
            correct = correct[order]
            again = ids[1:] == ids[:-1]
            before = last[ids]
            before[1:][again] = correct[:-1][again]
            events.index_add_(0, ids, (before & ~correct).to(events.dtype))
            learned[ids[correct]] = True
            # Of several presentations the last one is what the next is judged against.
            ids, correct = (torch.cat([part[:-1][~again], part[-1:]]) for part in (ids, correct))
        else:
            events[ids] += (last[ids] & ~correct).to(events.dtype)
            learned[ids] |= correct
        last[ids] = correct
        return ForgettingTable(events, learned, last)


def _check_outcomes(correct: Any, count: int) -> None:
    """Raise a ValueError unless `correct` tells of so many presentations whether each was right."""
    if not isinstance(correct, Tensor):
        kind = type(correct).__name__
        raise ValueError(f"correct is a {kind}: expected a bool tensor ({count},), one an id")
    if correct.dtype != torch.bool or correct.shape != (count,):
        raise ValueError(
            f"correct is {correct.dtype} of shape {tuple(correct.shape)}: expected torch.bool "
            f"({count},), one an id"
        )


def forgettable(table: ForgettingTable, members: Tensor, *, threshold: int = 0) -> Tensor:
    """Return the CET: the members forgotten more than `threshold` times, or never learned.

    Args:
        table: Forgetting statistics of all training examples.
        members: int64 (m,), distinct, the examples trained on; others are not in the CET.
        threshold: Forgetting events that an example may have and still be left out.

    Returns:
        int64, ascending.

    Raises:
        ValueError: If a member is not in the table, or is there twice.

    >>> table = ForgettingTable.empty(3).update(torch.tensor([0]), torch.tensor([True]))
    >>> forgettable(table, torch.tensor([0, 1])).tolist()
    [1]
    """
    members = checked_indices("members", members, len(table))
    critical = (table.events[members] > threshold) | ~table.learned[members]
    return members[critical].sort().values


def hardest(table: ForgettingTable, members: Tensor, count: int, *, seed: int) -> Tensor:
    """Return the `count` members with the most forgetting events, never-learned ones first.

    Ties are broken in an order drawn from `seed`: an order by index would prefer one class in a
    data set that is sorted by class. Fewer are returned where there are fewer members.

    Returns:
        int64, ascending.

    Raises:
        ValueError: If a member is not in the table, or is there twice.

    >>> table = ForgettingTable.empty(3).update(torch.tensor([0]), torch.tensor([True]))
    >>> hardest(table, torch.tensor([0, 1, 2]), 2, seed=0).tolist()
    [1, 2]
    """
    count = min(max(count, 0), len(members))
    return hardest_first(table, members, seed=seed)[:count].sort().values


def hardest_first(table: ForgettingTable, members: Tensor, *, seed: int) -> Tensor:
    """Return all n examples from the hardest to the easiest, ties in an order drawn from `seed`.

    Never-learned members come first, then members by their forgetting events, then the examples
    outside `members`, of which training has shown nothing.

    Returns:
        int64 (n,), a permutation.

    Raises:
        ValueError: If a member is not in the table, or is there twice.

    >>> table = ForgettingTable.empty(3).update(torch.tensor([0]), torch.tensor([True]))
    >>> hardest_first(table, torch.tensor([0, 1]), seed=0).tolist()
    [1, 0, 2]
    """
    members = checked_indices("members", members, len(table))
    never_learned = torch.iinfo(torch.int32).max
    difficulty = torch.full_like(table.events, -1)
    difficulty[members] = table.events[members].masked_fill(~table.learned[members], never_learned)
    return descending(difficulty, seed)
