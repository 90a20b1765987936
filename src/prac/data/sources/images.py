"""Many encoded images to one tensor, or to images decoded on access where memory is short."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from prac.data.sources.decoding import (
    Damaged,
    EncodedImages,
    Mode,
    bombs_refused,
    fit_square,
    probe,
    try_decode,
)
from prac.data.sources.types import LazyImages, size_error
from prac.errors import PracError

_CHUNK = 256
# Below this many pixels the interpreter's lock is held for most of the time, and threads that pass
# it around are slower than one (measured: 32 x 32 JPEG, two threads 1.2 times slower).
_THREADING_PIXELS = 96 * 96
_MAX_THREADS = 16


class _ColourFound(Exception):
    """An image in colour after the first ones were grey."""


def decode_images(
    encoded: EncodedImages, *, image_size: int | None, memory_limit: int, skip_corrupt: bool = False
) -> tuple[Tensor | LazyImages, tuple[Damaged, ...]]:
    """Decode images to uint8 (n, c, h, w), with one channel when all are grey and three otherwise.

    Args:
        encoded: at least one image.
        image_size: None requires equal sizes; otherwise every image is resized so that its short
            side has this many pixels, and cropped to the centre square.
        memory_limit: bytes of decoded pixels beyond which images are decoded on access instead.
        skip_corrupt: whether damaged images are let pass. Each image is decoded once to find them,
            also where memory is short.

    Returns:
        (images, damaged): n images, where a damaged one is black, or is not to be accessed where
        images are decoded on access; and the damaged ones in order, none unless they are let pass.

    Raises:
        PracError: an image is damaged, all of them are, or sizes differ and no `image_size` is
            given.
    """
    with bombs_refused():
        first = _first_whole(encoded) if skip_corrupt else 0
        source_size, grey = probe(encoded, first)
        size = source_size if image_size is None else (image_size, image_size)
        threaded = source_size[0] * source_size[1] >= _THREADING_PIXELS
        decoding = _Decoding(encoded, first, size, image_size, skip_corrupt, threaded)
        pixels = len(encoded) * size[0] * size[1]
        if grey and pixels <= memory_limit:
            try:
                return decoding.to_tensor("L")
            except _ColourFound:
                grey = False
        if not grey and 3 * pixels <= memory_limit:
            return decoding.to_tensor("RGB")
        damaged: tuple[Damaged, ...] = ()
        if skip_corrupt:
            damaged, grey = decoding.scan()
        # The scan ends at the first image in colour: only sets that look grey are read in full.
        elif grey:
            grey = all(probe(encoded, i)[1] for i in range(len(encoded)))
    mode: Mode = "L" if grey else "RGB"
    return LazyImages(encoded, mode, size, resize=image_size is not None, first=first), damaged


def _first_whole(encoded: EncodedImages) -> int:
    """The first image that can be decoded: its header alone could lie about its size."""
    for index in range(len(encoded)):
        if not isinstance(try_decode(encoded, index, None, None), Damaged):
            return index
    fault = try_decode(encoded, 0, None, None)
    reason = fault.reason if isinstance(fault, Damaged) else "it changes while it is read"
    raise PracError(
        f"{encoded.where(0)}: {reason}; so is every one of the split's {len(encoded)} images: "
        "expected some that can be decoded"
    )


@dataclass(frozen=True)
class _Decoding:
    """How the images of a split are decoded: `first` is the one whose size all must have."""

    encoded: EncodedImages
    first: int
    size: tuple[int, int]
    image_size: int | None
    skip_corrupt: bool
    threaded: bool

    def to_tensor(self, mode: Mode) -> tuple[Tensor, tuple[Damaged, ...]]:
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

    def scan(self) -> tuple[tuple[Damaged, ...], bool]:
        """The damaged images, and whether all others are grey."""
        colours: set[int] = set()
        damaged = self._each(lambda _, pixels: colours.add(pixels.shape[2]), None)
        return damaged, colours == {1}

    def _each(
        self, take: Callable[[int, NDArray[np.uint8]], None], mode: Mode | None
    ) -> tuple[Damaged, ...]:
        """Decode every image, hand it on, and return the damaged ones that were let pass."""
        count = len(self.encoded)
        damaged: dict[int, Damaged] = {}

        def decode_chunk(start: int) -> None:
            for index in range(start, min(start + _CHUNK, count)):
                pixels = try_decode(self.encoded, index, mode, self.image_size)
                if isinstance(pixels, Damaged):
                    if not self.skip_corrupt:
                        raise pixels.error()
                    damaged[index] = pixels
                    continue
                found = (pixels.shape[0], pixels.shape[1])
                if found != self.size:
                    raise size_error(self.encoded, self.first, self.size, index, found)
                take(index, pixels)

        _for_each(decode_chunk, range(0, count, _CHUNK), threaded=self.threaded)
        return tuple(damaged[index] for index in sorted(damaged))


def _for_each(task: Callable[[int], None], starts: range, *, threaded: bool) -> None:
    """Run the task for each start; the error of the lowest start that failed is the one raised."""
    if not threaded or len(starts) == 1:
        for start in starts:
            task(start)
        return
    pool = ThreadPoolExecutor(min(_MAX_THREADS, os.cpu_count() or 1))
    try:
        for future in [pool.submit(task, start) for start in starts]:
            future.result()
    finally:
        pool.shutdown(cancel_futures=True)


def resized(images: Tensor, image_size: int | None) -> Tensor:
    """Resize decoded pictures as `decode_images` does encoded ones.

    Args:
        images: uint8 (n, c, h, w).
        image_size: pixels a side; None, or the size they have, changes nothing.

    Returns:
        uint8 (n, c, image_size, image_size).
    """
    if image_size is None or tuple(images.shape[2:]) == (image_size, image_size):
        return images
    count, channels = images.shape[:2]
    planes = images.reshape(count * channels, *images.shape[2:]).numpy()
    result = np.empty((len(planes), image_size, image_size), dtype=np.uint8)
    for index, plane in enumerate(planes):
        result[index] = np.asarray(fit_square(Image.fromarray(plane), image_size))
    return torch.from_numpy(result).reshape(count, channels, image_size, image_size)


def as_images(array: NDArray[np.generic], where: str, image_size: int | None) -> Tensor:
    """Read an array as pictures (integers) or as features (floats).

    Args:
        array: uint8, or other integers within 0..255, of shape (n, h, w), (n, h, w, c) or
            (n, c, h, w) with 1 or 3 channels; or floats of shape (n, ...).
        where: the array's name in messages.
        image_size: as for `resized`; refused for floats.

    Returns:
        uint8 (n, c, h, w), or float32 (n, ...).

    Raises:
        PracError: the shape or values are neither.
    """
    if array.dtype.kind == "f":
        return _as_features(array, where, image_size)
    if array.dtype.kind not in "iu":
        raise PracError(
            f"{where} holds {array.dtype}, expected uint8 pictures or floating-point features"
        )
    if array.dtype != np.uint8 and array.size and (array.min() < 0 or array.max() > 255):
        raise PracError(
            f"{where} holds integers from {array.min()} to {array.max()}, pictures are 0..255: "
            "store other values as floats"
        )
    return resized(_tensor(_channels_first(array.astype(np.uint8), where)), image_size)


def _as_features(array: NDArray[np.generic], where: str, image_size: int | None) -> Tensor:
    if array.ndim < 2:
        raise PracError(f"{where} has shape {array.shape}, expected (examples, features...)")
    if image_size is not None:
        raise PracError(f"{where} holds floats: --image-size applies to pictures (uint8) only")
    with np.errstate(over="ignore"):
        features = array.astype(np.float32)
    # Checked after the narrowing: a float64 too large for float32 is infinite now.
    bad = np.flatnonzero(~np.isfinite(features).reshape(len(features), -1).all(axis=1))
    if len(bad):
        raise PracError(f"{where}, row {bad[0]}: a value is not finite as float32")
    return _tensor(features)


def _channels_first(array: NDArray[np.uint8], where: str) -> NDArray[np.uint8]:
    if array.ndim == 3:
        return array[:, None]
    if array.ndim == 4:
        first, last = array.shape[1] in (1, 3), array.shape[3] in (1, 3)
        if first and last:
            # Both ends could be channels: pictures are square more often than not.
            last = array.shape[1] == array.shape[2]
            first = array.shape[2] == array.shape[3]
        if first != last:
            return array if first else array.transpose(0, 3, 1, 2)
    raise PracError(
        f"{where} has shape {array.shape}, expected pictures as (n, h, w), (n, h, w, c) "
        "or (n, c, h, w) with 1 or 3 channels"
    )


def _tensor(array: NDArray[Any]) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(array))
