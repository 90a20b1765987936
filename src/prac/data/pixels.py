"""Examples as the images that they are, for people to look at."""

from __future__ import annotations

import torch
from torch import Tensor

from prac.data.examples import Examples
from prac.utils import Tree, leaves


def pixels_of(examples: Examples, ids: Tensor) -> Tensor:
    """Return examples (k,) as they were before normalisation: uint8 (k, 1 or 3, height, width).

    Where no normalisation is known and values go beyond 0 to 1, they are brought there together.
    """
    x = _image_in(next(iter(examples.stream([ids])))[0])
    assert x is not None, "only examples that are images are looked at"
    x = x.float().cpu()
    pipeline = getattr(examples, "pipeline", None)
    if pipeline is not None and pipeline.mean:
        mean, std = (
            torch.tensor(part, dtype=torch.float32).view(-1, 1, 1)
            for part in (pipeline.mean, pipeline.std)
        )
        x = x * std + mean
    elif x.numel() and (x.min() < 0 or x.max() > 1):
        x = (x - x.min()) / (x.max() - x.min()).clamp(min=1e-12)
    pixels: Tensor = (x * 255).round().clamp(0, 255).to(torch.uint8)
    return pixels


def are_images(examples: Examples) -> bool:
    """Say whether examples can be looked at: they are, or hold, (1 or 3, height, width) each."""
    return _image_in(next(iter(examples.stream([torch.tensor([0])])))[0]) is not None


def _image_in(x: Tree) -> Tensor | None:
    """Return the first of a batch's inputs that are images."""
    return next((of for of in leaves(x) if of.ndim == 4 and of.shape[1] in (1, 3)), None)
