"""Masks: which weights a ticket keeps, chosen from scores in exact counts.

A mask set is `dict[name, bool tensor]`: True keeps a weight. Every function returns new tensors.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
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
        if (scores[name].isnan() & mask).any():
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


def _prune_group(scores: Tensors, masks: Tensors, fraction: float, allow_empty: bool) -> Masks:
    # Laid out by index, whatever the weights' memory format is: order in memory breaks no ties.
    candidates = {
        name: mask.clone(memory_format=torch.contiguous_format) for name, mask in masks.items()
    }
    if not allow_empty:
        for name, mask in candidates.items():
            if mask.any():
                mask.view(-1)[_strongest(scores[name], mask)] = False
    count = min(round(fraction * kept(masks)), kept(candidates))
    if count == 0:
        return {name: mask.clone() for name, mask in masks.items()}
    values = torch.cat([scores[name][mask] for name, mask in candidates.items()])
    threshold = values.kthvalue(count).values
    # Everything below the threshold goes; of those equal to it, only as many as the count needs.
    ties_to_prune = count - int((values < threshold).sum())
    result: Masks = {}
    for name, mask in masks.items():
        below = candidates[name] & (scores[name] < threshold)
        tied = candidates[name] & (scores[name] == threshold)
        chosen = tied & (tied.reshape(-1).cumsum(0).view_as(tied) <= ties_to_prune)
        ties_to_prune -= int(chosen.sum())
        result[name] = mask & ~below & ~chosen
    return result


def _strongest(scores: Tensor, mask: Tensor) -> int:
    """Flat index of the highest-scoring kept weight; the last of equals, as it is pruned last."""
    positions = mask.reshape(-1).nonzero().squeeze(1)
    values = scores.reshape(-1)[positions]
    return int(positions[(values == values.max()).nonzero()[-1]])


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
    return sum(int(mask.sum()) for mask in masks.values())


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
