"""When a mask has settled: the early stop of You et al. 2020 (arXiv 1909.11957), as in PrAC."""

from __future__ import annotations

from collections.abc import Sequence

from prac.algorithms.masks import Tensors, kept


def mask_distance(old: Tensors, new: Tensors, kept_before: int) -> float:
    """Return the Hamming distance of two masks as a share of the weights kept before pruning.

    A weight that moves counts twice, once leaving and once entering: at a pruning rate of 0.2 the
    largest possible distance is 0.4.

    Args:
        old: The masks that pruning would have given one epoch ago.
        new: Those that it would give now.
        kept_before: How many weights the masks being trained under keep.

    >>> import torch
    >>> old, new = {"w": torch.tensor([True, False])}, {"w": torch.tensor([False, True])}
    >>> mask_distance(old, new, kept_before=4)
    0.5
    """
    flips = sum(kept({name: old[name] ^ new[name]}) for name in old)
    return flips / max(kept_before, 1)


def stable(
    distances: Sequence[float], *, epsilon: float, window: int, above_once: bool = True
) -> bool:
    """Say whether the last `window` mask distances are all under `epsilon`.

    With `above_once` (the published rule) some distance must have reached epsilon before: a mask
    that never moved much is then never called stable. On short schedules distances can start below
    epsilon; turn it off there.

    >>> stable([0.3, 0.05, 0.04], epsilon=0.1, window=2)
    True
    >>> stable([0.05, 0.04], epsilon=0.1, window=2)
    False
    >>> stable([0.05, 0.04], epsilon=0.1, window=2, above_once=False)
    True
    """
    if len(distances) < window:
        return False
    settled = all(distance < epsilon for distance in distances[-window:])
    return settled and (not above_once or any(distance >= epsilon for distance in distances))
