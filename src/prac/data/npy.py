"""What an `.npy` header claims, checked against what is there before NumPy allocates for it."""

from __future__ import annotations

import math
from typing import IO

import numpy as np

_HEADER_READERS = {
    (1, 0): np.lib.format.read_array_header_1_0,
    (2, 0): np.lib.format.read_array_header_2_0,
}


class HoldsObjectsError(ValueError):
    """An array of Python objects, which are never unpickled."""


def claimed_bytes(file: IO[bytes], size: int) -> int:
    """Return the bytes of the array that an `.npy` stream of `size` bytes claims to hold.

    The file is at the stream's start, and is read to the end of the header.

    Raises:
        ValueError: it is no `.npy` stream, holds Python objects, or is not as long as it claims.
    """
    version = np.lib.format.read_magic(file)
    if version not in _HEADER_READERS:
        raise ValueError(f"format {version[0]}.{version[1]}, expected plain arrays")
    shape, _, dtype = _HEADER_READERS[version](file)
    if dtype.hasobject:
        raise HoldsObjectsError("it holds Python objects")
    # Of Python's integers: a product in NumPy's could wrap around.
    count = math.prod(shape)
    claimed = count * dtype.itemsize
    there = size - file.tell()
    if min(shape, default=0) < 0 or claimed != there or (dtype.itemsize == 0 and count):
        raise ValueError(
            f"an array of shape {shape} and {dtype} claims {claimed} bytes, there are {there}"
        )
    return claimed
