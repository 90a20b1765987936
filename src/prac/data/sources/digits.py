"""The handwritten digits that scikit-learn ships: real data with no download."""

from __future__ import annotations

import numpy as np
import torch

from prac.config import DataConfig
from prac.data.sources.arrays import resized
from prac.data.sources.assemble import RawSplit, assemble
from prac.data.sources.types import Splits
from prac.utils import needed

_EVERY = 5


def load_digits(config: DataConfig) -> Splits:
    """Load 1797 digits of 8 x 8 pixels as uint8 (n, 1, 8, 8), split 80/20 into train and test.

    Within each class every fifth example, in the order shipped, is a test example: the split is
    stratified, and a rule on indices depends on no library's random numbers.
    """
    digits = needed("sklearn.datasets", "data", "the digits data set").load_digits()
    # The values are counts 0..16; rounded to the nearest of 0..255.
    pixels = (digits.images.astype(np.int64) * 255 + 8) // 16
    images = resized(torch.from_numpy(pixels.astype(np.uint8))[:, None], config.image_size)
    labels = digits.target.astype(np.int64)
    occurrence = np.empty_like(labels)
    for label in range(10):
        members = np.flatnonzero(labels == label)
        occurrence[members] = np.arange(len(members))
    test = occurrence % _EVERY == _EVERY - 1
    raw = {}
    for split, chosen in (("train", ~test), ("test", test)):
        indices = np.flatnonzero(chosen)
        origin = f"digits ({split})"
        raw[split] = RawSplit(images[torch.from_numpy(indices)], labels[indices], origin, origin)
    return assemble("digits", raw, tuple(map(str, range(10))))
