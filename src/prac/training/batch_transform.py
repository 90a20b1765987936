"""What is done to a training batch as a whole: examples mixed with each other, or one's own.

All is drawn from a generator of the iteration's own, so that a resumed run draws the same.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

from prac.config import BATCH_TRANSFORMS, TrainConfig
from prac.errors import PracError
from prac.utils import (
    Tree,
    callable_named,
    check_keywords,
    leaves,
    mapped,
    named_leaves,
    positional,
)


@dataclass(frozen=True)
class Mixed:
    """Targets of a batch whose examples are mixed with others; the loss is that of both, by share.

    Attributes:
        own: (n, ...), the examples' own targets.
        other: (n, ...), those of what they are mixed with.
        share: What the own ones count, from 1/2 to 1.
    """

    own: Tree
    other: Tree
    share: float


BatchTransform = Callable[[Tree, Tree, torch.Generator], tuple[Tree, "Tree | Mixed"]]
"""(inputs, targets, a generator on the CPU) -> what is trained on instead; examples stay in place.
"""


def mixup(
    x: Tree, y: Tree, generator: torch.Generator, *, alpha: float = 0.2, probability: float = 1.0
) -> tuple[Tree, Tree | Mixed]:
    """Return a batch of weighted means of two examples each (Zhang et al. 2017, arXiv 1710.09412).

    The share of one is drawn for the whole batch from Beta(alpha, alpha). Each example keeps the
    larger share, so that whether it is predicted right is told by its own label.

    Args:
        x: (n, ...), floating point.
        y: (n, ...).
        generator: On the CPU.
        alpha: Above 0; large ones mix more evenly.
        probability: Of a batch to be mixed at all.

    Raises:
        PracError: If inputs cannot be mixed.
    """
    for place, of in named_leaves(x, "x"):
        if not (of.is_floating_point() or of.is_complex()):
            raise PracError(
                f"mixup mixes numbers, and {place} is {of.dtype}: pass floating-point inputs, or a "
                f"batch_transform of your own"
            )
    share, others = _drawn(x, generator, alpha, probability)
    if others is None:
        return x, y
    return mapped(lambda of: of * share + of[others] * (1 - share), x), _mixed(y, others, share)


def cutmix(
    x: Tree, y: Tree, generator: torch.Generator, *, alpha: float = 1.0, probability: float = 1.0
) -> tuple[Tree, Tree | Mixed]:
    """Return a batch of images, each with a part of another (Yun et al. 2019, arXiv 1905.04899).

    The rectangle lies at one place in the whole batch, within the image as far as it reaches, and
    takes at most half of it; the share is that of the area left.

    Args:
        x: (n, ..., height, width).
        y: (n, ...).
        generator: On the CPU.
        alpha: Of Beta(alpha, alpha), from which the area is drawn; above 0.
        probability: Of a batch to be mixed at all.

    Raises:
        PracError: If inputs are no images, or of several sizes.
    """
    sizes = {tuple(of.shape[-2:]) for of in leaves(x) if of.ndim == 4}
    if len(sizes) != 1 or not all(of.ndim == 4 for of in leaves(x)):
        shapes = ", ".join(f"{place} {tuple(of.shape)}" for place, of in named_leaves(x, "x"))
        raise PracError(
            f"cutmix takes images of one size, and inputs are {shapes}: expected (examples, "
            f"channels, height, width)"
        )
    drawn, others = _drawn(x, generator, alpha, probability)
    if others is None:
        return x, y
    height, width = sizes.pop()
    side = (1 - drawn) ** 0.5
    rows, columns = (_cut(size, side, generator) for size in (height, width))
    share = 1 - len(range(*rows)) * len(range(*columns)) / (height * width)

    def pasted(of: Tensor) -> Tensor:
        made = of.clone()
        part = (..., slice(*rows), slice(*columns))
        made[part] = of[others][part]
        return made

    return mapped(pasted, x), _mixed(y, others, share)


def _drawn(
    x: Tree, generator: torch.Generator, alpha: float, probability: float
) -> tuple[float, Tensor | None]:
    """Return a share from 1/2 to 1, and what each example is mixed with; None for nothing."""
    if not alpha > 0 or not 0 < probability <= 1:
        raise PracError(
            f"alpha is {alpha!r} and probability {probability!r} in batch_transform_args: expected "
            f"alpha above 0, and a probability above 0 of at most 1"
        )
    seed, chance = torch.randint(2**62, (1,), generator=generator), _uniform(generator)
    share = float(np.random.default_rng(int(seed)).beta(alpha, alpha))
    first = leaves(x)[0]
    others = torch.randperm(len(first), generator=generator).to(first.device)
    return max(share, 1 - share), others if chance < probability else None


def _uniform(generator: torch.Generator) -> float:
    return float(torch.rand((), generator=generator))


def _cut(size: int, side: float, generator: torch.Generator) -> tuple[int, int]:
    """Return where a stretch of a share of a side begins and ends, around a place drawn."""
    length, centre = int(size * side), int(size * _uniform(generator))
    begin = centre - length // 2
    return max(0, begin), min(size, begin + length)


def _mixed(y: Tree, others: Tensor, share: float) -> Mixed:
    return Mixed(y, mapped(lambda of: of[others], y), share)


def batch_transform_of(config: TrainConfig) -> BatchTransform | None:
    """Return the transform of a configuration; None where batches stay as they are.

    Raises:
        PracError: If there is none of the name, or it does not take its arguments.
    """
    if config.batch_transform == "none":
        return None
    known = {"mixup": mixup, "cutmix": cutmix}
    assert {*known, "none"} == set(BATCH_TRANSFORMS), "each has its function"
    name = config.batch_transform
    made: Any = known.get(name) or callable_named(name, "batch_transform")
    check_keywords(made, config.batch_transform_args, "batch_transform", positional(made, 3))
    return partial(made, **config.batch_transform_args)
