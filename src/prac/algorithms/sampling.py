"""Which members of a set an epoch presents, where it does not present all.

Pure in epoch and seed: nothing is carried from one epoch to the next.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from prac.algorithms.indices import checked_indices


def fresh_sample(members: Tensor, count: int, epoch: int, seed: int) -> Tensor:
    """Return the `count` members that an epoch presents, others than the epochs before it did.

    A pass is `m // count` epochs, which walk through one random order of the members: no member is
    presented twice in a pass, and all are presented once where `count` divides m. Otherwise the
    order's last `m % count` members are left out of that pass, so that every epoch presents as
    many, each once; the next pass draws another order.

    Source: RS2 without replacement (Okanovic et al. 2023, arXiv 2305.18424).

    Args:
        members: int64 (m,), distinct.
        count: How many an epoch presents; m of them where there are no more.
        epoch: From 0.
        seed: Source of the orders.

    Returns:
        int64 (count,), ascending.

    Raises:
        ValueError: If `count` is less than 1 or `epoch` negative, or members are not distinct.

    >>> first, second = (fresh_sample(torch.arange(6), 3, epoch, seed=0) for epoch in (0, 1))
    >>> sorted(first.tolist() + second.tolist())
    [0, 1, 2, 3, 4, 5]
    """
    if count < 1 or epoch < 0:
        raise ValueError(f"count is {count} and epoch {epoch}: expected at least 1 and 0")
    members = checked_indices("members", members)
    count = min(count, len(members))
    if not count:
        return members
    number, position = divmod(epoch, len(members) // count)
    order = torch.randperm(len(members), generator=_generator(seed, number))
    return members[order[position * count :][:count].to(members.device)].sort().values


def infobatch(
    losses: Tensor,
    members: Tensor,
    *,
    drop_probability: float = 0.5,
    epoch: int,
    epochs: int,
    annealing: float = 0.125,
    seed: int,
) -> tuple[Tensor, Tensor]:
    """Return the members that an epoch presents, without some of the easy ones, and their weights.

    Each member whose loss is below the members' mean is left out with `drop_probability`; the loss
    of those that stay counts 1 / (1 - drop_probability) times, so that the gradient's expectation
    is that of all members. The last `round(annealing * epochs)` epochs present everything.

    Source: InfoBatch (Qin et al. 2024, arXiv 2303.04947).

    Args:
        losses: Float (n,), of all training examples at their last presentation. NaN or infinite is
            one that has not been presented: it is not left out, and not in the mean.
        members: int64 (m,), distinct, the examples to choose from.
        drop_probability: Chance of an easy member to be left out, at least 0 and below 1.
        epoch: From 0.
        epochs: Of the whole training.
        annealing: Share of the epochs, at the end, that leave nothing out.
        seed: Source of the draws.

    Returns:
        int64 (k,), ascending, and float32 (k,), what each of their losses is multiplied by. At
        least two where there are two members, as fewer are no batch: an easy member then stays that
        was drawn to be left out, the weight no longer being unbiased.

    Raises:
        ValueError: If the probability is out of its bounds, a member has no loss, or members are
            not distinct.

    >>> ids, weights = infobatch(
    ...     torch.tensor([0.1, 0.1, 0.1, 4.0]), torch.arange(4), epoch=0, epochs=8, seed=3
    ... )
    >>> ids.tolist(), weights.tolist()
    ([2, 3], [2.0, 1.0])
    """
    if not 0 <= drop_probability < 1:
        raise ValueError(
            f"drop_probability is {drop_probability}: expected a probability, 0 to below 1"
        )
    members = checked_indices("members", members, len(losses)).sort().values
    weights = torch.ones(len(members), dtype=torch.float32)
    if epochs - epoch <= round(annealing * epochs):
        return members, weights
    losses = losses[members].cpu().double()
    known = losses.isfinite()
    easy = known & (losses < losses[known].mean())
    weights[easy] = 1 / (1 - drop_probability)
    draws = torch.rand(len(members), generator=_generator(seed, epoch), dtype=torch.float32)
    stays = ~easy | (draws >= drop_probability)
    if int(stays.count_nonzero()) < 2:
        # The easy ones that were the nearest to staying.
        stays[draws.masked_fill(stays, 2.0).argsort(descending=True, stable=True)[:2]] = True
    return members[stays.to(members.device)], weights[stays]


def _generator(seed: int, number: int) -> torch.Generator:
    """Return a generator for the `number`th draw from `seed`: neighbours have nothing in common.

    Not by `prac.utils.seeds`: the algorithms import nothing of prac's, and every run of rs2 and
    infobatch that is resumed rests on the bits of this formula.
    """
    mixed = np.random.SeedSequence((seed % 2**64, number)).generate_state(1, np.uint64)
    return torch.Generator().manual_seed(int(mixed[0]) >> 1)
