"""Masks: which weights a ticket keeps, chosen from scores in exact counts.

A mask set is `dict[name, bool tensor]`: True keeps a weight. Every function returns new tensors.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import reduce
from typing import Literal

import torch
from torch import Tensor

Tensors = Mapping[str, Tensor]
Masks = dict[str, Tensor]
Scope = Literal["global", "layer"]


def ones(weights: Tensors) -> Masks:
    """Return the dense network's masks: all True, shaped and placed like `weights`.

    >>> ones({"w": torch.zeros(2, 2)})["w"].all().item()
    True
    """
    return {name: torch.ones_like(weight, dtype=torch.bool) for name, weight in weights.items()}


def magnitude(weights: Tensors) -> dict[str, Tensor]:
    """Score each weight by its absolute value (Han et al. 2015): the smallest are pruned first.

    >>> magnitude({"w": torch.tensor([-2.0, 1.0])})["w"].tolist()
    [2.0, 1.0]
    """
    return {name: weight.detach().abs() for name, weight in weights.items()}


def random_scores(weights: Tensors, seed: int) -> dict[str, Tensor]:
    """Score each weight uniformly at random in [0, 1): the control that magnitude must beat.

    The scores depend on `seed` and the shapes alone, not on the device.

    >>> scores = random_scores({"w": torch.zeros(3)}, seed=0)
    >>> torch.equal(scores["w"], random_scores({"w": torch.ones(3)}, seed=0)["w"])
    True
    """
    generator = torch.Generator().manual_seed(seed)
    return {
        name: torch.rand(weight.shape, generator=generator).to(weight.device)
        for name, weight in weights.items()
    }


def prune(
    scores: Tensors,
    masks: Tensors,
    fraction: float,
    *,
    scope: Scope = "global",
    allow_empty: bool = False,
) -> Masks:
    """Return masks without the lowest-scoring `fraction` of the weights kept so far.

    Exactly `round(fraction * kept)` weights go, counted over all layers (scope "global") or in
    each layer (scope "layer"). Ties go in order: the earlier layer and index is pruned first, as a
    stable sort would. Unless `allow_empty`, every layer keeps its highest-scoring weight; fewer
    weights are then pruned where nothing else is left.

    Args:
        scores: One score per weight, any shape, by layer name; higher is worth keeping.
        masks: The masks so far, same names and shapes; False stays False.
        fraction: Share of the kept weights to prune, 0 to 1.
        scope: "global" ranks all layers together, "layer" ranks each alone.
        allow_empty: Whether a layer may lose all its weights.

    Raises:
        ValueError: On a fraction outside 0 to 1, names or shapes that differ, or a score of a kept
            weight that is not a number.

    >>> masks = {"w": torch.tensor([True, True, True, False])}
    >>> scores = {"w": torch.tensor([1.0, 1.0, 2.0, 0.0])}
    >>> prune(scores, masks, 1 / 3)["w"].tolist()
    [False, True, True, False]
    """
    if not 0 <= fraction <= 1:
        raise ValueError(f"fraction is {fraction}: expected a share from 0 to 1")
    _check_same_shapes(scores, masks)
    for name, mask in masks.items():
        if any(bool((score.isnan() & keep).any()) for score, keep in _pieces(scores[name], mask)):
            raise ValueError(f"layer {name!r} has a kept weight whose score is not a number")
    groups = [list(masks)] if scope == "global" else [[name] for name in masks]
    pruned: Masks = {}
    for names in groups:
        pruned |= _prune_group(
            {name: scores[name] for name in names},
            {name: masks[name] for name in names},
            fraction,
            allow_empty,
        )
    return pruned


# Elements that are looked at together. There may be a hundred million scores: no more is held
# beside them than the new masks, the few scores that the threshold is one of, and such pieces.
CHUNK = 2**20

_Pieces = Callable[[], Iterator[tuple[Tensor, Tensor]]]


def _prune_group(scores: Tensors, masks: Tensors, fraction: float, allow_empty: bool) -> Masks:
    # Laid out by index, whatever the weights' memory format is: order in memory breaks no ties.
    result = {
        name: mask.clone(memory_format=torch.contiguous_format) for name, mask in masks.items()
    }
    total, alive = kept(masks), [name for name, mask in masks.items() if mask.any()]
    count = round(fraction * total)
    _remove_lowest_(scores, result, total, count)
    if allow_empty or all(result[name].any() for name in alive):
        # A layer's strongest weight is its last in order: none is pruned but with all its layer.
        # So no layer's was, and had they been exempt, the same weights would have gone.
        return result
    strongest = {name: _strongest(scores[name], masks[name]) for name in alive}
    for name, index in strongest.items():
        result[name].copy_(masks[name]).view(-1)[index] = False
    rest = total - len(strongest)
    _remove_lowest_(scores, result, rest, min(count, rest))
    for name, index in strongest.items():
        result[name].view(-1)[index] = True
    return result


def _remove_lowest_(scores: Tensors, masks: Masks, total: int, count: int) -> None:
    """Prune the `count` lowest-scoring of the `total` kept weights in contiguous masks."""
    if count == 0:
        return
    # The type that all layers' scores fit in: each is compared as what it is among the others.
    dtype = reduce(torch.promote_types, (score.dtype for score in scores.values()))

    def pieces() -> Iterator[tuple[Tensor, Tensor]]:
        for name, mask in masks.items():
            for score, keep in _pieces(scores[name], mask):
                yield score.to(dtype), keep

    # Everything below the threshold goes; of those equal to it, only as many as the count needs.
    threshold, ties = _kth_lowest(pieces, total, count)
    for score, keep in pieces():
        keep &= score >= threshold
        if ties:
            tied = (keep & (score == threshold)).nonzero().squeeze(1)[:ties]
            keep[tied] = False
            ties -= len(tied)


def _kth_lowest(pieces: _Pieces, total: int, rank: int) -> tuple[Tensor, int]:
    """Return the score of a rank among the kept ones, and how many up to that rank are equal to it.

    A sample tells between which scores it must lie; counting then proves it. So what is found does
    not depend on the sample, only how soon: each pivot is a kept score, and leaves fewer to seek.

    Args:
        pieces: Gives all scores and masks, as often as it is called.
        total: How many are kept.
        rank: From 1 to `total`, the lowest being 1.
    """
    low: Tensor | None = None
    high: Tensor | None = None
    below, up_to = 0, total  # The score sought lies between low and high, as these ranks do.
    while up_to - below > max(CHUNK, total // 32):
        sample = _sample(pieces, up_to - below, low, high)
        place = (rank - below) / (up_to - below) * len(sample)
        margin = 3 * math.sqrt(len(sample))
        for near in (place - margin, place + margin):
            pivot = sample.kthvalue(min(max(round(near), 1), len(sample))).values
            if (low is not None and pivot <= low) or (high is not None and pivot >= high):
                continue
            lower = sum(int((keep & (score < pivot)).count_nonzero()) for score, keep in pieces())
            equal = sum(int((keep & (score == pivot)).count_nonzero()) for score, keep in pieces())
            if rank <= lower:
                high, up_to = pivot, lower
            elif rank <= lower + equal:
                return pivot, rank - lower
            else:
                low, below = pivot, lower + equal
    values = torch.cat([score[_between(score, keep, low, high)] for score, keep in pieces()])
    threshold = values.kthvalue(rank - below).values
    return threshold, rank - below - int((values < threshold).count_nonzero())


def _sample(pieces: _Pieces, count: int, low: Tensor | None, high: Tensor | None) -> Tensor:
    """Return some of the `count` kept scores between two: each so many-th that is there."""
    step = count // max(CHUNK // 4, 1)
    while True:
        # Odd: powers of two are what layers' sizes, and patterns in them, are often made of.
        step |= 1
        taken, skip = [], 0
        for score, keep in pieces():
            some = score[skip::step]
            taken.append(some[_between(some, keep[skip::step], low, high)])
            skip = (skip - len(score)) % step
        sample = torch.cat(taken)
        if len(sample):
            return sample
        step //= 2


def _between(score: Tensor, keep: Tensor, low: Tensor | None, high: Tensor | None) -> Tensor:
    """Return where kept scores lie strictly between two; None is no bound."""
    if low is not None:
        keep = keep & (score > low)
    return keep if high is None else keep & (score < high)


def _strongest(scores: Tensor, mask: Tensor) -> int:
    """Flat index of the highest-scoring kept weight; the last of equals, as it is pruned last."""
    lowest = -math.inf if scores.is_floating_point() else torch.iinfo(scores.dtype).min
    best, found, start = None, -1, 0
    for score, keep in _pieces(scores, mask):
        if keep.any():
            top = score.masked_fill(~keep, lowest).max()
            if best is None or top >= best:
                best = top
                found = start + int((keep & (score == top)).nonzero()[-1])
        start += len(keep)
    return found


def _pieces(scores: Tensor, mask: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield a layer's scores and mask as flat pieces, in order of index.

    Of a contiguous mask they are views; of what lies otherwise, copies.
    """
    scores = scores.detach()
    if scores.is_contiguous() and mask.is_contiguous():
        yield from zip(scores.view(-1).split(CHUNK), mask.view(-1).split(CHUNK), strict=True)
        return
    rows = max(CHUNK // (mask.numel() // len(mask)), 1)
    for score, keep in zip(scores.split(rows), mask.split(rows), strict=True):
        yield score.reshape(-1), keep.reshape(-1)


def counts_to_come(
    sizes: Sequence[int], fraction: float, prunings: int, *, scope: Scope, allow_empty: bool
) -> list[int]:
    """Return how many weights remain after 0 to `prunings` prunings of dense layers of `sizes`.

    >>> counts_to_come([10, 5], 0.5, 4, scope="global", allow_empty=False)
    [15, 7, 3, 2, 2]
    """
    sizes = [size for size in sizes if size]
    groups = [(sum(sizes), len(sizes))] if scope == "global" else [(size, 1) for size in sizes]
    remaining = [size for size, _ in groups]
    counts = [sum(remaining)]
    for _ in range(prunings):
        for i, (_, layers) in enumerate(groups):
            least = 0 if allow_empty else layers
            remaining[i] -= min(round(fraction * remaining[i]), max(remaining[i] - least, 0))
        counts.append(sum(remaining))
    return counts


def kept(masks: Tensors) -> int:
    """Count the weights that `masks` keep.

    >>> kept({"a": torch.tensor([True, False]), "b": torch.tensor([True])})
    2
    """
    return sum(int(mask.count_nonzero()) for mask in masks.values())


def density(masks: Tensors) -> float:
    """Return the share of prunable weights kept, 0 to 1 (1 where there are none).

    >>> density({"a": torch.tensor([True, False])})
    0.5
    """
    total = sum(mask.numel() for mask in masks.values())
    return kept(masks) / total if total else 1.0


def _check_same_shapes(first: Tensors, second: Tensors) -> None:
    if first.keys() != second.keys():
        differing = sorted(first.keys() ^ second.keys())
        raise ValueError(f"layers differ: {differing} are in one set only")
    for name in first:
        if first[name].shape != second[name].shape:
            shapes = tuple(first[name].shape), tuple(second[name].shape)
            raise ValueError(f"layer {name!r} has shapes {shapes[0]} and {shapes[1]}")
