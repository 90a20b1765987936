"""Which examples validate: a random fraction drawn from a seed, or indices from a file."""

from __future__ import annotations

import os
import zipfile
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from prac.data.npy import claimed_bytes
from prac.errors import PracError
from prac.io import check_kind, opened
from prac.utils import one_line


class HoldOutError(PracError):
    """What is held out, or left to train on, is nothing or of one class: another draw may do."""


def split_indices(n: int, *, fraction: float, seed: int) -> tuple[Tensor, Tensor]:
    """Draw (training, validation) indices at random, without regard to labels: sorted int64.

    `round(fraction * n)` examples validate, ties to even. A seed gives the same split on every
    machine.

    Raises:
        PracError: no training example would be left.

    >>> train, val = split_indices(10, fraction=0.3, seed=0)
    >>> len(train), len(val)
    (7, 3)
    """
    count = round(fraction * n)
    if count >= n:
        raise PracError(
            f"validation fraction {fraction} of {n} examples leaves none to train on: lower it"
        )
    # numpy promises the same bits from a bit generator in every version, but not the same
    # permutation; so the order is that of the bits, stable where two should be equal.
    order = np.argsort(np.random.PCG64(seed).random_raw(n), kind="stable")
    val = np.sort(order[:count])
    train = np.sort(order[count:])
    return torch.from_numpy(train), torch.from_numpy(val)


def read_index_file(path: str | Path, n: int) -> Tensor:
    """Read the validation examples' indices among `n` from a `.npy` file: sorted int64.

    Raises:
        PracError: the file cannot be read, or the indices are not one-dimensional integers within
            0..n-1, each once, that leave something on both sides.
    """
    check_kind(path, "indices")
    try:
        with opened(Path(path), ".npy") as file:
            if zipfile.is_zipfile(file):
                raise PracError(
                    f"{path}: an archive of several arrays, expected a .npy file of one"
                )
            file.seek(0)
            claimed_bytes(file, os.fstat(file.fileno()).st_size)
            file.seek(0)
            # Without pickles, an array of objects is refused rather than run.
            indices = np.load(file, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise PracError(f"{path}: cannot be read as .npy ({one_line(error)})") from error
    if indices.ndim != 1:
        raise PracError(f"{path}: shape {indices.shape}, expected a one-dimensional array")
    if indices.dtype.kind not in "iu":
        raise PracError(f"{path}: dtype {indices.dtype}, expected integers")
    if len(indices) == 0:
        raise PracError(f"{path}: no index in it, expected at least one validation example")
    bad = np.flatnonzero((indices < 0) | (indices >= n))
    if len(bad):
        first = bad[0]
        expected = f"0..{n - 1} ({n} examples)"
        raise PracError(f"{path}: index {indices[first]} at position {first}, expected {expected}")
    values, counts = np.unique(indices, return_counts=True)
    if len(values) < len(indices):
        twice = values[np.argmax(counts > 1)]
        raise PracError(f"{path}: index {twice} is there twice, expected each once")
    if len(values) == n:
        raise PracError(f"{path}: all {n} examples, which leaves none to train on")
    return torch.from_numpy(values.astype(np.int64))
