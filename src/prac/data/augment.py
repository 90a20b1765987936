"""Random crop, flip and normalisation of a whole batch at once, on its device."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import torch
from torch import Tensor

from prac.utils import generator


@dataclass(frozen=True)
class Pipeline:
    """From stored examples to what the network sees.

    Attributes:
        mean: Per channel, in units of 0 to 1; empty leaves values as they are.
        std: Per channel, as `mean`.
        crop_padding: Zero pixels added on each side before a random crop back to size; 0 for none.
        flip: Whether to mirror half of the images, left to right, at random.
        as_float32: Whether stored float64 becomes float32, once it is normalised.
    """

    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()
    crop_padding: int = 0
    flip: bool = False
    as_float32: bool = field(default=False, repr=False)  # Kept trainings are named by the text.

    def __call__(
        self,
        stored: Tensor,
        seeds: Sequence[int] | None = None,
        sizes: Sequence[int] | None = None,
        layout: torch.memory_format = torch.contiguous_format,
    ) -> Tensor:
        """Return the network's input (n, ...) from stored (n, ...); uint8 images are (n, c, h, w).

        Args:
            stored: uint8, which becomes float32 from 0 to 1, or anything else, left as it is.
            seeds: Sources of the augmentation, one for each batch that `stored` holds, in order;
                None leaves it out, as for evaluation.
            sizes: Examples of each of those batches; all, by default, being one.
            layout: How images are to lie in memory.
        """
        if seeds is not None and (self.crop_padding or self.flip):
            draws = drawn(seeds, sizes or [len(stored)], self.crop_padding, stored.device)
            stored = crop_and_flip(stored, self.crop_padding, self.flip, draws)
        is_coded = stored.dtype == torch.uint8
        # A fresh tensor, which may be worked on in place.
        values = stored.to(torch.float32).div_(255) if is_coded else stored
        if self.mean:
            dtype = _dtype_to_subtract_in(self.mean, self.std)
            mean, std = _constants(self.mean, self.std, values.ndim, values.device, dtype)
            if is_coded or dtype == torch.float32:
                values = (values.sub_(mean) if is_coded else values - mean).div_(std)
            else:
                values = values.to(dtype).sub(mean).div_(std).to(values.dtype)
        if self.as_float32:
            values = values.to(torch.float32)
        return values.contiguous(memory_format=layout) if values.ndim == 4 else values


@functools.cache
def _constants(
    mean: tuple[float, ...],
    std: tuple[float, ...],
    ndim: int,
    device: torch.device,
    dtype: torch.dtype,
) -> tuple[Tensor, ...]:
    """Return mean and deviation shaped for a batch, on its device: copied there once."""
    shape = (1, -1) + (1,) * (ndim - 2)
    return tuple(torch.tensor(p, dtype=dtype, device=device).view(shape) for p in (mean, std))


@functools.cache
def _dtype_to_subtract_in(mean: tuple[float, ...], std: tuple[float, ...]) -> torch.dtype:
    """Return float32, or float64 where that would lose what a channel's values differ by."""
    return torch.float32 if _are_told_apart(mean, std, _FACTOR) else torch.float64


def _are_told_apart(mean: tuple[float, ...], std: tuple[float, ...], factor: float) -> bool:
    """Say whether float32 tells each channel's values apart, to `factor` / 2**24 deviations."""
    return not _not_told_apart(mean, std, factor)


def _not_told_apart(mean: Sequence[float], std: Sequence[float], factor: float) -> list[int]:
    """Return the channels of which float32 does not tell values apart."""
    return [
        channel
        for channel, (size, of) in enumerate(zip(mean, std, strict=True))
        if not (_SMALLEST <= of <= _LARGEST and abs(size) <= min(of * factor, _LARGEST))
    ]


# Of deviations: far enough from float32's bounds for what lies some deviations off, and near 0.
_SMALLEST, _LARGEST = 2.0**-100, 2.0**100
# Of a mean to its deviation: where subtracting it in float32 takes care, and where storing does.
_FACTOR, _STORED_FACTOR = 2.0**13, 2.0**18
# Of a channel's size, by what its values are stored as: what rounding alone makes them differ by.
_ROUNDING = {torch.float64: 2.0**-50}


class Draws(NamedTuple):
    """What was drawn for each of n images: where its crop begins, and whether it is mirrored."""

    top: Tensor  # int64 (n,), rows below the padded image's first.
    left: Tensor  # int64 (n,), columns likewise.
    mirrored: Tensor  # bool (n,).


def drawn(seeds: Sequence[int], sizes: Sequence[int], padding: int, device: torch.device) -> Draws:
    """Return the draws of batches of `sizes` examples, each from its own seed, on `device`.

    They are made on the CPU, so that every device sees the same augmentation, and sent in one go.
    """
    span = 2 * padding + 1
    found = []
    for seed, size in zip(seeds, sizes, strict=True):
        source = generator(seed, "augment")
        top = torch.randint(span, (size,), generator=source)
        left = torch.randint(span, (size,), generator=source)
        mirrored = torch.rand(size, generator=source, dtype=torch.float32) < 0.5
        found.append(torch.stack([top, left, mirrored]))
    top, left, mirrored = to_device(torch.cat(found, dim=1), device)
    return Draws(top, left, mirrored.bool())


def to_device(tensor: Tensor, device: torch.device) -> Tensor:
    """Return a CPU tensor on `device`, without waiting for the work that the device has to do."""
    if device.type != "cuda":
        return tensor.to(device)
    return tensor.pin_memory().to(device, non_blocking=True)


def crop_and_flip(images: Tensor, padding: int, flip: bool, draws: Draws) -> Tensor:
    """Return each image of (n, c, h, w) shifted by up to `padding` pixels and maybe mirrored."""
    n, _, height, width = images.shape
    if padding:
        padded = torch.nn.functional.pad(images, (padding,) * 4)
        # (n, c, top, left, h, w): every crop of every image, of which nothing is copied yet.
        crops = padded.unfold(2, height, 1).unfold(3, width, 1)
        images = crops[torch.arange(n, device=images.device), :, draws.top, draws.left]
    if flip:
        images = torch.where(draws.mirrored.view(n, 1, 1, 1), images.flip(3), images)
    return images


def channel_statistics(
    images: Tensor, chunk: int = 4096
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return the channel mean and standard deviation of stored (n, c, ...) examples.

    uint8 counts in units of 0 to 1. A channel without spread, but for rounding, gets a deviation of
    1, so that normalising it divides by nothing odd, and one of its mean's size where that is huge.
    """
    unit = torch.tensor(255.0 if images.dtype == torch.uint8 else 1.0, dtype=torch.float64)
    mean, std = _moments(images, chunk, unit, torch.zeros_like(unit))
    is_told = (std >= 1e-6) & (mean.abs() <= std * _FACTOR) & std.isfinite()
    if not bool(is_told.all()):
        # In units of about a channel's largest value, and from its first one on: neither squares
        # nor differences leave float64's range or lose its digits. The others stay as they are,
        # bit for bit: trainings are found again by them.
        if images.dtype != torch.uint8:
            parts = [_by_channel(part).abs().amax((0, 2)) for part in images.split(chunk)]
            largest = torch.stack(parts).amax(0)
            unit = torch.where(largest > 0, 2.0 ** largest.log2().floor(), 1.0)
        first = _by_channel(images[:1])[0, :, 0] / unit
        near, spread = _moments(images, chunk, unit, first)
        if images.dtype != torch.uint8:
            near, spread = near * unit, spread * unit
        is_constant = spread <= near.abs() * _ROUNDING.get(images.dtype, 2.0**-24)
        is_huge = near.abs() > _FACTOR
        mean = torch.where(is_told | (is_constant & ~is_huge), mean, near)
        spread = torch.where(is_constant, torch.where(is_huge, near.abs(), 1.0), spread)
        std = torch.where(is_told, std, spread)
    return tuple(mean.tolist()), tuple(std.tolist())


def _moments(images: Tensor, chunk: int, unit: Tensor, start: Tensor) -> tuple[Tensor, Tensor]:
    """Return channels' mean and deviation, (c,), in a unit, with differences taken from `start`."""
    total = torch.zeros(images.shape[1], dtype=torch.float64)
    squares = torch.zeros_like(total)
    for part in images.split(chunk):
        values = _by_channel(part) / unit.view(-1, 1) - start.view(-1, 1)
        total += values.sum((0, 2))
        squares += values.square().sum((0, 2))
    count = images.numel() / images.shape[1]
    mean = total / count
    return mean + start, (squares / count - mean.square()).clamp(min=0).sqrt()


def lost_in_float32(features: Tensor) -> list[int]:
    """Return the channels of float64 (n, c, ...) examples that float32 keeps too little of."""
    return _not_told_apart(*channel_statistics(features), _STORED_FACTOR)


def _by_channel(images: Tensor) -> Tensor:
    """Return (n, c, ...) examples as float64 (n, c, k) on the CPU."""
    return images.to("cpu", torch.float64).reshape(*images.shape[:2], -1)
