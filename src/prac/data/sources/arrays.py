"""Decoded pictures and features: arrays brought to the one form that all sources share."""

from __future__ import annotations

import math

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from prac.errors import PracError


def resized(images: Tensor, image_size: int | None) -> Tensor:
    """Resize uint8 (n, c, h, w) as `decode_images` does encoded images; None keeps their size."""
    if image_size is None or tuple(images.shape[2:]) == (image_size, image_size):
        return images
    from prac.data.sources.images_decode import fit_plane

    planes = images.flatten(0, 1).numpy()
    result = np.empty((len(planes), image_size, image_size), dtype=np.uint8)
    for index, plane in enumerate(planes):
        result[index] = fit_plane(plane, image_size)
    return torch.from_numpy(result).reshape(*images.shape[:2], image_size, image_size)


def as_images(array: NDArray[np.generic], where: str, image_size: int | None) -> Tensor:
    """Read an array, `where` in messages, as pictures (integers) or as features (floats).

    Integers within 0..255 of shape (n, h, w), (n, h, w, c) or (n, c, h, w) with 1 or 3 channels
    become uint8 (n, c, h, w), resized; floats of shape (n, ...) become float32 or, the longer ones,
    float64, and have no size.

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
    pictures = np.ascontiguousarray(_channels_first(array.astype(np.uint8), where))
    return resized(torch.from_numpy(pictures), image_size)


def _as_features(array: NDArray[np.generic], where: str, image_size: int | None) -> Tensor:
    if array.ndim < 2 or 0 in array.shape[1:]:
        raise PracError(f"{where} has shape {array.shape}, expected (examples, features...)")
    if image_size is not None:
        raise PracError(f"{where} holds floats: --image-size applies to pictures (uint8) only")
    with np.errstate(over="ignore"):
        features = array.astype(np.float32, order="C")
    # Checked after the narrowing: a float64 too large for float32 is infinite now.
    _check_finite(array, ~np.isfinite(features), where)
    # Whether a float64's digits are needed, an offset being subtracted, is told by all examples.
    is_longer = array.dtype.itemsize > features.itemsize
    return torch.from_numpy(array.astype(np.float64, order="C") if is_longer else features)


def _check_finite(array: NDArray[np.generic], is_bad: NDArray[np.bool_], where: str) -> None:
    """Refuse features (n, ...) of which some are no finite numbers as float32."""
    if not is_bad.any():
        return
    row, *place = (int(index) for index in np.argwhere(is_bad)[0])
    value = float(array[row, *place])
    what = "NaN" if math.isnan(value) else "infinite"
    if math.isfinite(value):
        what = f"{value:.4g}"
    rows = int(is_bad.reshape(len(array), -1).any(axis=1).sum())
    feature = ", ".join(map(str, place))
    remedy = (
        "scale that feature" if math.isfinite(value) else "fill them in, or leave these rows out"
    )
    raise PracError(
        f"{where}, row {row}: a value is not finite as float32, feature {feature} being {what} "
        f"({rows} of {len(array)} rows hold such values): {remedy}"
    )


def look_like_pictures(features: Tensor) -> bool:
    """Say whether floats (n, ...) have the shape of pictures and are not normalised as these are.

    With channels first, (n, c, h, w), they are.
    """
    if features.ndim == 3:
        low, high = sorted(features.shape[1:])
        return low >= 4 and high <= 4 * low
    is_last = features.ndim == 4 and features.shape[3] in (1, 3, 4)
    return is_last and features.shape[1] not in (1, 3)


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
        "or (n, c, h, w) with 1 or 3 channels; integers that are features are stored as floats"
    )
