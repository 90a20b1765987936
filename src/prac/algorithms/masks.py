"""Masks: which weights a ticket keeps, chosen from scores in exact counts.

A mask set is `dict[name, bool tensor]`: True keeps a weight. Every function returns new tensors.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from functools import partial, reduce
from itertools import accumulate
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from prac import retired

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

    def drawn(shape: torch.Size) -> Tensor:
        return torch.rand(shape, generator=generator, dtype=torch.float32)

    return {name: drawn(weight.shape).to(weight.device) for name, weight in weights.items()}


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
    groups = [list(masks)] if scope == "global" else [[name] for name in masks]
    pruned: Masks = {}
    for names in filter(None, groups):
        pruned |= _prune_group(
            {name: scores[name].detach() for name in names},
            {name: masks[name] for name in names},
            fraction,
            allow_empty,
        )
    return pruned


# Elements that are looked at together. There may be a hundred million scores: no more is held
# beside them than the new masks, the few scores that the threshold is one of, and such pieces.
# There may be a hundred small layers: to call for each alone takes longer than to look at them all.
CHUNK = 2**19

_Piece = tuple[Tensor, Tensor]
_Pieces = Callable[[], Iterator[_Piece]]


def _prune_group(scores: Tensors, masks: Tensors, fraction: float, allow_empty: bool) -> Masks:
    """Prune layers that are ranked together. Their new masks are views of one tensor."""
    # Laid out by index, whatever the weights' memory format is: order in memory breaks no ties.
    sizes = [mask.numel() for mask in masks.values()]
    keep = next(iter(masks.values())).new_empty(sum(sizes))
    layers = keep.split(sizes)
    result = {
        name: layer.view(mask.shape).copy_(mask)
        for layer, (name, mask) in zip(layers, masks.items(), strict=True)
    }
    _check_numbers(scores, masks, keep)
    before = _counts(layers)
    total = sum(before)
    count = round(fraction * total)
    _remove_lowest_(scores.values(), keep, total, count)
    after = _counts(layers)
    if allow_empty or all(left or not had for had, left in zip(before, after, strict=True)):
        # A layer's strongest weight is its last in order: none is pruned but with all its layer.
        # So no layer's was, and had they been exempt, the same weights would have gone.
        return result
    for name, mask in masks.items():
        result[name].copy_(mask)
    starts = accumulate([0, *sizes[:-1]])
    strongest = [
        start + _strongest(score, layer)
        for start, score, layer, had in zip(starts, scores.values(), layers, before, strict=True)
        if had
    ]
    keep[strongest] = False
    rest = total - len(strongest)
    _remove_lowest_(scores.values(), keep, rest, min(count, rest))
    keep[strongest] = True
    return result


def _check_numbers(scores: Tensors, masks: Tensors, keep: Tensor) -> None:
    """Refuse kept scores that are not numbers, naming the first layer that has one."""
    for score, there in _pieces(scores.values(), keep):
        # max() gives what is not a number wherever there is one: the quick question comes first.
        if score.max().isnan() and (score.isnan() & there).any():
            name = next(name for name in masks if (scores[name].isnan() & masks[name]).any())
            raise ValueError(f"layer {name!r} has a kept weight whose score is not a number")


def _remove_lowest_(scores: Collection[Tensor], keep: Tensor, total: int, count: int) -> None:
    """Prune the `count` lowest-scoring of the `total` weights that the flat masks `keep` keep."""
    if count == total:
        keep.zero_()
        return
    pieces = partial(_pieces, scores, keep)
    # Everything below the weakest that stays goes; of its equals, only what the count still needs.
    weakest, place = _kth_lowest(pieces, total, count + 1)
    ties = place - 1
    for score, there in pieces():
        there &= _compared(score, operator.ge, weakest)
        if ties:
            tied = (there & _compared(score, operator.eq, weakest)).nonzero().squeeze(1)[:ties]
            there[tied] = False
            ties -= len(tied)


def _kth_lowest(pieces: _Pieces, total: int, rank: int) -> tuple[Tensor, int]:
    """Return the score of a rank among the kept ones, and how many up to that rank are equal to it.

    A sample tells between which scores it must lie; counting then proves it. So what is found does
    not depend on the sample, only how soon: each pivot is a kept score, and leaves fewer to seek.
    Ranks go from 1, the lowest, to `total`, as many as are kept.
    """
    low: Tensor | None = None
    high: Tensor | None = None
    below, up_to = 0, total  # The score sought lies between low and high, as these ranks do.
    while up_to - below > max(CHUNK, total // 32):
        sample = _sample(pieces, up_to - below, low, high)
        place = (rank - below) / (up_to - below) * len(sample)
        margin = 3 * math.sqrt(len(sample))
        for near in (place - margin, place + margin):
            pivot, _ = _ranked(sample, min(max(round(near), 1), len(sample)))
            if (low is not None and pivot <= low) or (high is not None and pivot >= high):
                continue
            lower = equal = 0
            for score, keep in pieces():
                lower += int((keep & _compared(score, operator.lt, pivot)).count_nonzero())
                equal += int((keep & _compared(score, operator.eq, pivot)).count_nonzero())
            if rank <= lower:
                high, up_to = pivot, lower
            elif rank <= lower + equal:
                return pivot, rank - lower
            else:
                low, below = pivot, lower + equal
    return _ranked(_gathered(_between(pieces(), low, high), up_to - below), rank - below)


def _sample(pieces: _Pieces, count: int, low: Tensor | None, high: Tensor | None) -> Tensor:
    """Return some of the `count` kept scores between two: each so many-th that is there."""
    step = count // max(CHUNK // 4, 1)
    while True:
        # Odd: powers of two are what layers' sizes, and patterns in them, are often made of.
        step |= 1
        sample = _gathered(_between(_every(step, pieces()), low, high), CHUNK)
        if len(sample):
            return sample
        step //= 2


def _every(step: int, pieces: Iterable[_Piece]) -> Iterator[_Piece]:
    """Yield each `step`-th score and its mask, counted over all pieces."""
    skip = 0
    for score, keep in pieces:
        yield score[skip::step], keep[skip::step]
        skip = (skip - len(score)) % step


def _between(pieces: Iterable[_Piece], low: Tensor | None, high: Tensor | None) -> Iterator[Tensor]:
    """Yield each piece's kept scores strictly between two; None is no bound."""
    for score, keep in pieces:
        if low is not None:
            keep = keep & _compared(score, operator.gt, low)
        if high is not None:
            keep = keep & _compared(score, operator.lt, high)
        yield _where(keep, score)


def _gathered(parts: Iterable[Tensor], most: int) -> Tensor:
    """Return the first `most` elements of flat parts as one tensor.

    There is room for all from the first on: parts that stayed while pieces come and go would leave
    holes in memory, too small for the pieces that follow.
    """
    gathered, size = None, 0
    for part in parts:
        if gathered is None:
            gathered = part.new_empty(most)
        fitting = part[: most - size]
        gathered[size : size + len(fitting)] = fitting
        size += len(fitting)
    assert gathered is not None, "there is a piece"
    return gathered[:size]


# On the CPU numpy compares, chooses and partitions in a third to a tenth of torch's time. And its
# partition has no bad order: for a million values that fall, torch's kthvalue takes half a minute.


def _compared(values: Tensor, compare: Callable[[Any, Any], Any], other: Tensor) -> Tensor:
    """Return where values compare so with one other."""
    if values.device.type == "cpu":
        return torch.from_numpy(compare(values.numpy(), other.numpy()))
    found: Tensor = compare(values, other)
    return found


def _where(chosen: Tensor, values: Tensor) -> Tensor:
    """Return the chosen values, in order."""
    if values.device.type == "cpu":
        return torch.from_numpy(np.compress(chosen.numpy(), values.numpy()))
    return values[chosen]


def _ranked(values: Tensor, rank: int) -> tuple[Tensor, int]:
    """Return the value of a rank, 1 being the lowest, and how many up to it are equal to it."""
    if values.device.type == "cpu":
        lowest = np.partition(values.numpy(), rank - 1)[:rank]
        return torch.from_numpy(lowest)[-1], int(np.count_nonzero(lowest == lowest[-1]))
    value = values.kthvalue(rank).values
    return value, rank - int((values < value).count_nonzero())


def _strongest(scores: Tensor, mask: Tensor) -> int:
    """Flat index of the highest-scoring kept weight; the last of equals, as it is pruned last."""
    best, found, start = None, -1, 0
    for score, keep in _pieces([scores], mask):
        candidates = _where(keep, score)
        if len(candidates) and (best is None or candidates.max() >= best):
            best = candidates.max()
            found = start + int((keep & _compared(score, operator.eq, best)).nonzero()[-1])
        start += len(keep)
    return found


def _pieces(scores: Collection[Tensor], keep: Tensor) -> Iterator[_Piece]:
    """Yield layers' scores in order of index, flat, each piece with its share of their flat masks.

    Small layers are copied together, as many as a piece holds. Of a large one the pieces are views
    where it is contiguous; of what lies otherwise, copies.
    """
    # The type that all layers' scores fit in: each is compared as what it is among the others.
    dtype = reduce(torch.promote_types, dict.fromkeys(score.dtype for score in scores))
    start = 0
    for parts in _batches(part for score in scores for part in _parts(score)):
        same = [part.to(dtype) for part in parts]
        piece = torch.cat(same) if len(same) > 1 else same[0]
        if dtype in (torch.float16, torch.bfloat16):
            piece = piece.float()  # As exact. Numpy is slow at the one and doesn't know the other.
        yield piece, keep[start : start + len(piece)]
        start += len(piece)


def _parts(layer: Tensor) -> Iterator[Tensor]:
    """Yield a layer in flat parts of at most CHUNK elements, or of one row where that is longer."""
    if layer.numel() <= CHUNK:
        yield layer.reshape(-1)
        return
    if layer.is_contiguous():
        layer = layer.view(-1)
    rows = max(CHUNK // (layer.numel() // len(layer)), 1)
    for part in layer.split(rows):
        yield part.reshape(-1)


def _batches(parts: Iterable[Tensor]) -> Iterator[list[Tensor]]:
    """Gather flat parts, in order, into as few lists as hold at most CHUNK elements each."""
    batch: list[Tensor] = []
    size = 0
    for part in parts:
        if size and size + part.numel() > CHUNK:
            yield batch
            batch, size = [], 0
        batch.append(part)
        size += part.numel()
    if size:
        yield batch


def kept_per_level(
    sizes: Sequence[int], fraction: float, prunings: int, *, scope: Scope, allow_empty: bool
) -> list[int]:
    """Return how many weights remain after 0 to `prunings` prunings of dense layers of `sizes`.

    >>> kept_per_level([10, 5], 0.5, 4, scope="global", allow_empty=False)
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
    return sum(_counts(masks.values()))


def density(masks: Tensors) -> float:
    """Return the share of prunable weights kept, 0 to 1 (1 where there are none).

    >>> density({"a": torch.tensor([True, False])})
    0.5
    """
    total = sum(mask.numel() for mask in masks.values())
    return kept(masks) / total if total else 1.0


def _counts(masks: Iterable[Tensor]) -> list[int]:
    return [int(mask.count_nonzero()) for mask in masks]


def _check_same_shapes(first: Tensors, second: Tensors) -> None:
    if first.keys() != second.keys():
        differing = sorted(first.keys() ^ second.keys())
        raise ValueError(f"layers differ: {differing} are in one set only")
    for name in first:
        if first[name].shape != second[name].shape:
            shapes = tuple(first[name].shape), tuple(second[name].shape)
            raise ValueError(f"layer {name!r} has shapes {shapes[0]} and {shapes[1]}")


__getattr__ = retired.getter_of(globals())
