"""How hard examples are, as floats, and sets chosen by it."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from prac import retired


def error_norms(probabilities: Tensor, targets: Tensor) -> Tensor:
    """Return the L2 norm of each example's error: its predicted probabilities minus the truth's.

    Source: EL2N (Paul et al. 2021, arXiv 2107.07075), whose authors take it early in training and
    average over networks.

    Args:
        probabilities: Float (n, classes), each row adding up to 1.
        targets: int64 (n,), classes; or float (n, classes), their probabilities.

    Returns:
        Float (n,): 0 for a sure and right prediction, the root of 2 for a sure and wrong one.

    >>> found = error_norms(torch.tensor([[1.0, 0.0], [0.2, 0.8]]), torch.tensor([0, 0]))
    >>> [round(norm, 3) for norm in found.tolist()]
    [0.0, 1.131]
    """
    is_soft = targets.is_floating_point()
    truth = targets if is_soft else F.one_hot(targets, probabilities.shape[1])
    errors = probabilities - truth
    norms: Tensor = errors.norm(dim=1)
    return norms


def top_k_by_score(scores: Tensor, count: int, *, seed: int) -> Tensor:
    """Return the indices of the `count` highest scores, ties in an order drawn from `seed`.

    Fewer are returned where there are fewer scores.

    Args:
        scores: Float or integer (n,), higher being harder; may be infinite.
        count: How many to take.
        seed: Source of the order among equally hard ones.

    Returns:
        int64, ascending.

    Raises:
        ValueError: If a score is not a number.

    >>> top_k_by_score(torch.tensor([0.5, 2.0, 1.0]), 2, seed=0).tolist()
    [1, 2]
    """
    return descending(scores, seed)[: max(count, 0)].sort().values


def coverage_centric(
    scores: Tensor, count: int, *, cutoff: float, strata: int = 50, seed: int
) -> Tensor:
    """Return `count` examples spread over all difficulties but the very hardest.

    The `cutoff` share of the hardest, rounded to a number, is left out: among them are the
    mislabelled. The range of the others' scores is split into `strata` intervals of equal width.
    Every one of them that holds examples gets an equal part of the count, from the smallest to the
    largest; what one cannot fill is for those after it. Within each, examples are drawn at random.

    Source: coverage-centric coreset selection (Zheng et al. 2023, arXiv 2210.15809).

    Args:
        scores: Float or integer (n,), higher being harder.
        count: How many to take.
        cutoff: Share of the hardest to leave out, 0 to 1.
        strata: How many intervals, at least 1.
        seed: Source of the draws, and of the order among equally hard ones.

    Returns:
        int64, ascending, exactly `count`.

    Raises:
        ValueError: If fewer than `count` remain after the cutoff, a remaining score is infinite,
            any is not a number, or a setting is out of its bounds.

    >>> scores = torch.tensor([0.0, 0.1, 0.2, 0.3, 5.0, 9.0])
    >>> coverage_centric(scores, 2, cutoff=1 / 6, strata=2, seed=0).tolist()[1]
    4
    """
    if not 0 <= cutoff <= 1:
        raise ValueError(f"cutoff is {cutoff}: expected a share from 0 to 1")
    if strata < 1:
        raise ValueError(f"strata is {strata}: expected at least 1")
    scores = scores.cpu()
    remaining = descending(scores, seed)[round(cutoff * len(scores)) :]
    if not 0 <= count <= len(remaining):
        raise ValueError(
            f"count is {count}: {len(remaining)} of {len(scores)} examples remain after a cutoff "
            f"of {cutoff}"
        )
    generator = torch.Generator().manual_seed(seed)
    remaining = remaining[torch.randperm(len(remaining), generator=generator)]
    stratum = _intervals(scores[remaining].double(), strata)
    members = [remaining[stratum == number] for number in stratum.unique()]
    members.sort(key=len)
    chosen = [remaining[:0]]
    for position, group in enumerate(members):
        # A share that is rounded down is made up for by the larger strata, which have enough.
        share = min(count // (len(members) - position), len(group))
        chosen.append(group[:share])
        count -= share
    return torch.cat(chosen).sort().values


def _intervals(scores: Tensor, count: int) -> Tensor:
    """Return int64 (n,): in which of `count` intervals of equal width each score lies."""
    if not len(scores):
        return torch.zeros(0, dtype=torch.int64)
    low, high = scores.min(), scores.max()
    if not bool((high - low).isfinite()):
        raise ValueError("a score that the cutoff leaves is infinite: expected finite scores")
    if low == high:
        return torch.zeros(len(scores), dtype=torch.int64)
    return ((scores - low) / (high - low) * count).long().clamp(max=count - 1)


def descending(scores: Tensor, seed: int) -> Tensor:
    """Return all indices on the CPU, the highest score first, ties in an order from `seed`."""
    if bool(scores.isnan().any()):
        raise ValueError(f"the score of example {int(scores.isnan().nonzero()[0])} is not a number")
    order = torch.randperm(len(scores), generator=torch.Generator().manual_seed(seed))
    return order[scores.cpu()[order].argsort(descending=True, stable=True)]


__getattr__ = retired.getter_of(globals())
