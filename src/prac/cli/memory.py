"""Memory of a process that trains: the C library's settings for it.

They are for a whole process and outlast a call, so they are a command's to choose, and no function
of the library does.
"""

from __future__ import annotations

import ctypes

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # Of malloc.h.


def keep_freed_memory() -> None:
    """Tell the C library not to hand large freed blocks back to the system, only to ask again.

    Each training step frees and takes the same blocks, and the system clears every page that it
    gives. It changes nothing but time; only glibc knows it.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_MMAP_THRESHOLD, 2**30)
        mallopt(_M_TRIM_THRESHOLD, 2**31 - 1)
