"""Random crop, flip and normalisation of a whole batch at once, on its device."""

from __future__ import annotations

import functools
from dataclasses import dataclass

import torch
from torch import Tensor

from prac.world import derived_seed


@dataclass(frozen=True)
class Pipeline:
    """From stored examples to what the network sees.

    Attributes:
        mean: Per channel, in units of 0 to 1; empty leaves values as they are.
        std: Per channel, as `mean`.
        crop_padding: Zero pixels added on each side before a random crop back to size; 0 for none.
        flip: Whether to mirror half of the images, left to right, at random.
    """

    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()
    crop_padding: int = 0
    flip: bool = False

    def __call__(self, stored: Tensor, seed: int | None = None) -> Tensor:
        """Return the network's input (n, ...) from stored (n, ...); uint8 images are (n, c, h, w).

        Args:
            stored: uint8, which becomes float32 from 0 to 1, or anything else, left as it is.
            seed: Source of the augmentation; None leaves it out, as for evaluation.
        """
        if seed is not None and (self.crop_padding or self.flip):
            stored = crop_and_flip(stored, self.crop_padding, self.flip, seed)
        values = stored.to(torch.float32) / 255 if stored.dtype == torch.uint8 else stored
        if self.mean:
            mean, std = _constants(self.mean, self.std, values.ndim, values.device)
            values = (values - mean) / std
        return values


@functools.cache
def _constants(
    mean: tuple[float, ...], std: tuple[float, ...], ndim: int, device: torch.device
) -> tuple[Tensor, Tensor]:
    """Return mean and deviation shaped for a batch, on its device: copied there once."""
    shape = (1, -1) + (1,) * (ndim - 2)
    return (
        torch.tensor(mean, device=device).view(shape),
        torch.tensor(std, device=device).view(shape),
    )


def crop_and_flip(images: Tensor, padding: int, flip: bool, seed: int) -> Tensor:
    """Return each image of (n, c, h, w) shifted by up to `padding` pixels and maybe mirrored.

    The draws are made on the CPU, so that every device sees the same augmentation.
    """
    n, channels, height, width = images.shape
    device = images.device
    generator = torch.Generator().manual_seed(derived_seed(seed, "augment"))
    span = 2 * padding + 1
    top = torch.randint(span, (n, 1), generator=generator).to(device)
    left = torch.randint(span, (n, 1), generator=generator).to(device)
    mirrored = torch.rand(n, 1, generator=generator).to(device) < 0.5
    rows = top + torch.arange(height, device=device)
    columns = torch.arange(width, device=device).expand(n, width)
    if flip:
        columns = torch.where(mirrored, width - 1 - columns, columns)
    columns = left + columns
    padded = torch.nn.functional.pad(images, (padding,) * 4)
    return padded[
        torch.arange(n, device=device).view(n, 1, 1, 1),
        torch.arange(channels, device=device).view(1, channels, 1, 1),
        rows.view(n, 1, height, 1),
        columns.view(n, 1, 1, width),
    ]


def channel_statistics(
    images: Tensor, chunk: int = 4096
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return the channel mean and standard deviation of stored (n, c, ...) examples.

    uint8 counts in units of 0 to 1. A channel without spread gets a deviation of 1, so that
    normalising it divides by nothing odd.
    """
    scale = 255.0 if images.dtype == torch.uint8 else 1.0
    total = torch.zeros(images.shape[1], dtype=torch.float64)
    squares = torch.zeros_like(total)
    for part in images.split(chunk):
        values = (
            part.to("cpu", torch.float64).flatten(2) / scale
            if part.ndim > 2
            else (part.to("cpu", torch.float64).unsqueeze(2) / scale)
        )
        total += values.sum((0, 2))
        squares += values.square().sum((0, 2))
    count = images.numel() / images.shape[1]
    mean = total / count
    std = (squares / count - mean.square()).clamp(min=0).sqrt()
    std[std < 1e-6] = 1.0
    return tuple(mean.tolist()), tuple(std.tolist())
