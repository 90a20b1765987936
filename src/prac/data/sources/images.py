"""Many encoded images to one tensor, or to images decoded on access where memory is short."""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from prac.config import DataConfig
from prac.data.sources.encoded import DamagedImage, EncodedImages, Mode, Rendering
from prac.data.sources.images_decode import bombs_refused, is_stored_grey, probe, try_decode
from prac.data.sources.noticed import Noticed
from prac.data.sources.types import LazyImages, size_error
from prac.errors import PracError

_CHUNK = 256
# Below this many pixels the interpreter's lock is held for most of the time, and threads that pass
# it around are slower than one (measured: 32 x 32 JPEG, two threads 1.2 times slower).
_THREADING_PIXELS = 96 * 96
_MAX_THREADS = 16
# Pictures on disk that are decoded to see what is done to them on access.
_LOOKED_AT_AT_MOST = 256


class _ColourFound(Exception):
    """An image in colour after the first ones were grey."""


def decode_images(
    encoded: EncodedImages, config: DataConfig, noticed: Noticed | None = None
) -> tuple[Tensor | LazyImages, tuple[DamagedImage, ...]]:
    """Decode images to uint8 (n, c, h, w), with one channel when all are grey and three otherwise.

    Without an `image_size` all images must have one size; with one, every image is resized so that
    its short side has that many pixels, and cropped to the centre square. Beyond `memory_limit`
    images are decoded on access instead. With `skip_corrupt` damaged images pass: each image is
    decoded once to find them, also where memory is short.

    What was done to pictures is added to what is `noticed`; of those decoded on access, to some.

    Returns:
        n images, of which a damaged one is black, or not to be accessed where it would be decoded
        on access; and the damaged ones in order, none unless they are let pass.

    Raises:
        PracError: an image is damaged, all of them are, or sizes differ and no `image_size` is
            given.
    """
    with bombs_refused():
        rendering = Rendering(config.exif_rotation, config.background)
        first = _first_whole(encoded, rendering) if config.skip_corrupt else 0
        source_size, grey = probe(encoded, first, rendering)
        side = config.image_size
        size = source_size if side is None else (side, side)
        threaded = math.prod(source_size) >= _THREADING_PIXELS
        noticed = Noticed() if noticed is None else noticed
        decoding = _Decoding(encoded, config, rendering, first, size, threaded, noticed)
        pixels = len(encoded) * math.prod(size)
        if grey and pixels <= config.memory_bytes:
            try:
                return decoding.to_tensor("L")
            except _ColourFound:
                grey = False
        if not grey and 3 * pixels <= config.memory_bytes:
            return decoding.to_tensor("RGB")
        damaged: tuple[DamagedImage, ...] = ()
        if config.skip_corrupt:
            damaged, grey = decoding.scan()
        # The scan ends at the first image in colour: only sets that look grey are read in full.
        elif grey:
            grey = all(is_stored_grey(encoded, i) for i in range(len(encoded)))
        if not config.skip_corrupt:
            decoding.sample()
    mode: Mode = "L" if grey else "RGB"
    return LazyImages(encoded, mode, size, side is not None, first, rendering), damaged


def _first_whole(encoded: EncodedImages, rendering: Rendering) -> int:
    """The first image that can be decoded: its header alone could lie about its size."""
    faults = []
    for index in range(len(encoded)):
        found = try_decode(encoded, index, None, None, rendering)
        if not isinstance(found, DamagedImage):
            return index
        faults.append(found)
    raise PracError(
        f"{faults[0].name}: {faults[0].reason}; so is every one of the split's {len(faults)} "
        "images: expected some that can be decoded"
    )


@dataclass(frozen=True)
class _Decoding:
    """How the images of a split are decoded: `first` is the one whose size all must have."""

    encoded: EncodedImages
    config: DataConfig
    rendering: Rendering
    first: int
    size: tuple[int, int]
    threaded: bool
    noticed: Noticed

    def to_tensor(self, mode: Mode) -> tuple[Tensor, tuple[DamagedImage, ...]]:
        """Every image, and those that are damaged; _ColourFound where one is not grey for `L`."""
        channels = 1 if mode == "L" else 3
        images = np.empty((len(self.encoded), channels, *self.size), dtype=np.uint8)

        def keep(index: int, pixels: NDArray[np.uint8]) -> None:
            if pixels.shape[2] != channels:
                raise _ColourFound
            images[index] = pixels.transpose(2, 0, 1)

        damaged = self._each(keep, None if mode == "L" else mode)
        images[[fault.index for fault in damaged]] = 0
        return torch.from_numpy(images), damaged

    def scan(self) -> tuple[tuple[DamagedImage, ...], bool]:
        """The damaged images, and whether all others are grey."""
        colours: set[int] = set()
        damaged = self._each(lambda _, pixels: colours.add(pixels.shape[2]), None)
        return damaged, colours == {1}

    def sample(self) -> None:
        """Notice what is done to some of the images; whoever reads one is told of its damage."""
        count = len(self.encoded)
        seen = Noticed(is_sample=count > _LOOKED_AT_AT_MOST)
        for index in range(0, count, math.ceil(count / _LOOKED_AT_AT_MOST)):
            found = try_decode(self.encoded, index, None, None, self.rendering)
            if not isinstance(found, DamagedImage):
                seen.add(self.encoded, index, found.conversions)
        self.noticed.join(seen)

    def _each(
        self, take: Callable[[int, NDArray[np.uint8]], None], mode: Mode | None
    ) -> tuple[DamagedImage, ...]:
        """Decode every image, hand it on, and return the damaged ones that were let pass."""
        count = len(self.encoded)
        damaged: dict[int, DamagedImage] = {}

        def decode_chunk(start: int) -> Noticed:
            seen = Noticed()
            for index in range(start, min(start + _CHUNK, count)):
                size = self.config.image_size
                decoded = try_decode(self.encoded, index, mode, size, self.rendering)
                if isinstance(decoded, DamagedImage):
                    if not self.config.skip_corrupt:
                        raise decoded.error()
                    damaged[index] = decoded
                    continue
                found = decoded.pixels.shape[:2]
                if found != self.size:
                    raise size_error(self.encoded, (self.first, self.size), (index, found))
                take(index, decoded.pixels)
                seen.add(self.encoded, index, decoded.conversions)
            return seen

        starts = range(0, count, _CHUNK)
        if self.threaded and len(starts) > 1:
            # The error of the lowest start that failed is the one raised; then no more are begun.
            with ThreadPoolExecutor(min(_MAX_THREADS, os.cpu_count() or 1)) as pool:
                chunks = list(pool.map(decode_chunk, starts))
        else:
            chunks = [decode_chunk(start) for start in starts]
        for seen in chunks:
            self.noticed.join(seen)
        return tuple(damaged[index] for index in sorted(damaged))
