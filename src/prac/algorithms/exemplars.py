"""Example sets: critical examples for pruning (CEP) and their union with the CET."""

from __future__ import annotations

import torch
from torch import Tensor

from prac import retired
from prac.algorithms.forgetting import ForgettingTable, hardest_first
from prac.algorithms.indices import checked_indices


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
        ValueError: If the lengths differ, or they are not one prediction an example.

    >>> disagreements(torch.tensor([1, 2, 3]), torch.tensor([1, 0, 0])).tolist()
    [1, 2]
    """
    if dense.shape != pruned.shape:
        raise ValueError(f"{len(dense)} dense predictions stand against {len(pruned)} pruned ones")
    if dense.ndim != 1 or dense.is_floating_point() or pruned.is_floating_point():
        raise ValueError(
            f"the predictions are {dense.dtype} and {pruned.dtype} of shape {tuple(dense.shape)}: "
            f"expected integers (n,), one class an example"
        )
    return (dense != pruned).nonzero().squeeze(1)


def union(first: Tensor, second: Tensor) -> Tensor:
    """Return the indices that are in either set, once each, ascending.

    >>> union(torch.tensor([3, 1]), torch.tensor([1, 2])).tolist()
    [1, 2, 3]
    """
    both: Tensor = torch.cat([first, second]).unique(sorted=True)
    return both


def pad_to_size(
    chosen: Tensor, table: ForgettingTable, members: Tensor, *, least: int, seed: int
) -> Tensor:
    """Return `chosen`, filled up to `least` examples with the next hardest ones.

    A set smaller than a batch cannot be trained on as the schedule means it.

    Args:
        chosen: int64 (k,), distinct indices.
        table: Forgetting statistics of all n training examples.
        members: int64 (m,), the examples trained on, of which the statistics are.
        least: How many to reach; n where there are no more.
        seed: Source of the order among equally hard ones.

    Returns:
        int64, ascending, max(k, min(least, n)) indices.

    Raises:
        ValueError: If an index or a member is not in the table, or is there twice.

    >>> table = ForgettingTable.empty(4)
    >>> len(pad_to_size(torch.tensor([2]), table, torch.arange(4), least=3, seed=0))
    3
    """
    chosen = checked_indices("chosen", chosen, len(table))
    missing = min(least, len(table)) - len(chosen)
    if missing <= 0:
        return chosen.sort().values
    is_chosen = torch.zeros(len(table), dtype=torch.bool)
    is_chosen[chosen] = True
    order = hardest_first(table, members, seed=seed)
    return union(chosen, order[~is_chosen[order]][:missing])


__getattr__ = retired.getter_of(globals())
