"""Forgetting statistics (Toneva et al. 2019, arXiv 1812.05159) in six bytes an example.

The source of the *critical examples for training* (CET): those forgotten, or never learned.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from prac.algorithms.difficulty import descending


@dataclass(frozen=True)
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
        """Return the table after one presentation of each of `ids`.

        Args:
            ids: int64 (k,), distinct positions in the table.
            correct: bool (k,), whether the prediction was right.

        >>> table = ForgettingTable.empty(2)
        >>> for outcome in ([True, False], [False, False], [True, True], [False, True]):
        ...     table = table.update(torch.tensor([0, 1]), torch.tensor(outcome))
        >>> table.events.tolist(), table.learned.tolist()
        ([2, 0], [True, True])
        """
        events, learned, last = self.events.clone(), self.learned.clone(), self.correct.clone()
        events[ids] += (last[ids] & ~correct).to(events.dtype)
        learned[ids] |= correct
        last[ids] = correct
        return ForgettingTable(events, learned, last)


def forgettable(table: ForgettingTable, members: Tensor, *, threshold: int = 0) -> Tensor:
    """Return the CET: the members forgotten more than `threshold` times, or never learned.

    Args:
        table: Forgetting statistics of all training examples.
        members: int64 (m,), the examples trained on; others are not in the CET.
        threshold: Forgetting events that an example may have and still be left out.

    Returns:
        int64, ascending.

    >>> table = ForgettingTable.empty(3).update(torch.tensor([0]), torch.tensor([True]))
    >>> forgettable(table, torch.tensor([0, 1])).tolist()
    [1]
    """
    critical = (table.events[members] > threshold) | ~table.learned[members]
    return members[critical].sort().values


def hardest(table: ForgettingTable, members: Tensor, count: int, *, seed: int) -> Tensor:
    """Return the `count` members with the most forgetting events, never-learned ones first.

    Ties are broken in an order drawn from `seed`: an order by index would prefer one class in a
    data set that is sorted by class. Fewer are returned where there are fewer members.

    Returns:
        int64, ascending.

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

    >>> table = ForgettingTable.empty(3).update(torch.tensor([0]), torch.tensor([True]))
    >>> hardest_first(table, torch.tensor([0, 1]), seed=0).tolist()
    [1, 0, 2]
    """
    never_learned = torch.iinfo(torch.int32).max
    difficulty = torch.full_like(table.events, -1)
    difficulty[members] = table.events[members].masked_fill(~table.learned[members], never_learned)
    return descending(difficulty, seed)
