"""Examples as the images that they are, for people to look at."""

from __future__ import annotations

import torch
from torch import Tensor

from prac.data.examples import Examples


def pixels_of(examples: Examples, ids: Tensor) -> Tensor:
    """Return examples (k,) as they were before normalisation: uint8 (k, 1 or 3, height, width).

    Where no normalisation is known and values go beyond 0 to 1, they are brought there together.
    """
    x, _ = next(iter(examples.stream([ids])))
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
    """Say whether examples can be looked at: (1 or 3, height, width) each."""
    x, _ = next(iter(examples.stream([torch.tensor([0])])))
    return x.ndim == 4 and x.shape[1] in (1, 3)
