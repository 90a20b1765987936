"""Example sets: critical examples for pruning (CEP) and their union with the CET."""

from __future__ import annotations

import torch
from torch import Tensor

from prac.algorithms.forgetting import ForgettingTable


def disagreements(dense: Tensor, pruned: Tensor) -> Tensor:
    """Return the CEP: examples that the dense and the pruned network predict differently.

    These are the pruning-identified exemplars of Hooker et al. 2019 (arXiv 1911.05248) for one
    network of each kind.

    Args:
        dense: Integer (n,), the dense network's predictions.
        pruned: Integer (n,), the pruned network's.

    Returns:
        int64, ascending.

    Raises:
        ValueError: If the lengths differ.

    >>> disagreements(torch.tensor([1, 2, 3]), torch.tensor([1, 0, 0])).tolist()
    [1, 2]
    """
    if dense.shape != pruned.shape:
        raise ValueError(f"{len(dense)} dense predictions stand against {len(pruned)} pruned ones")
    return (dense != pruned).nonzero().squeeze(1)


def union(first: Tensor, second: Tensor) -> Tensor:
    """Return the indices that are in either set, once each, ascending.

    >>> union(torch.tensor([3, 1]), torch.tensor([1, 2])).tolist()
    [1, 2, 3]
    """
    both: Tensor = torch.cat([first, second]).unique(sorted=True)
    return both


def topped_up(chosen: Tensor, table: ForgettingTable, *, least: int, seed: int) -> Tensor:
    """Return `chosen`, filled up to `least` examples with the next hardest ones.

    A set smaller than a batch cannot be trained on as the schedule means it. What is added are the
    examples with the most forgetting events among all others, ties in an order drawn from `seed`
    (an order by index would fill a data set sorted by class with one class).

    Args:
        chosen: int64 (k,), distinct indices.
        table: Forgetting statistics of all n training examples.
        least: How many to reach; n where there are no more.
        seed: Source of the tie-breaking order.

    Returns:
        int64, ascending, max(k, min(least, n)) indices.

    >>> table = ForgettingTable.empty(4)
    >>> len(topped_up(torch.tensor([2]), table, least=3, seed=0))
    3
    """
    missing = min(least, len(table)) - len(chosen)
    if missing <= 0:
        return chosen.sort().values
    others = torch.ones(len(table), dtype=torch.bool)
    others[chosen] = False
    order = torch.randperm(len(table), generator=torch.Generator().manual_seed(seed))
    order = order[others[order]]
    order = order[table.events[order].argsort(descending=True, stable=True)]
    return union(chosen, order[:missing])
