"""From a recipe to the network that it names."""

from __future__ import annotations

import math
from collections.abc import Sequence
from contextlib import nullcontext

from torch import nn

from prac.config import ModelConfig
from prac.models.registry import build
from prac.utils import seeded


def load_model(
    config: ModelConfig, input_shape: Sequence[int], classes: int, seed: int | None = None
) -> nn.Module:
    """Return the configured network; without a seed, from torch's generator as that stands.

    Raises:
        PracError: If the name is not known, or the network does not take such inputs.
    """
    # Feature vectors are images of one row to a network.
    shape = tuple(input_shape) if len(input_shape) == 3 else (1, 1, math.prod(input_shape))
    with nullcontext() if seed is None else seeded(seed):
        return build(config.name, image_shape=shape, classes=classes, stem=config.stem)
