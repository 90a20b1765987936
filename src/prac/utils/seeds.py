"""The one source of randomness: seeds that depend on nothing but what they are for."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager

import torch


def derive_seed(*parts: int | str) -> int:
    """Return a 63-bit seed from named parts, the same on every machine and in every process.

    No random state is ever saved: everything random names its place, such as
    `derive_seed(seed, "order", level, epoch)`, so a resumed run draws what it would have drawn.

    >>> derive_seed(0, "order", 1) == derive_seed(0, "order", 1)
    True
    >>> derive_seed(0, "order", 1) == derive_seed(0, "order", 2)
    False
    """
    digest = hashlib.sha256("\x1f".join(map(str, parts)).encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1


def generator(seed: int, *parts: int | str) -> torch.Generator:
    """Return a generator on the CPU, seeded with `seed`, or with what it and the parts derive.

    >>> generator(3, "order").initial_seed() == derive_seed(3, "order")
    True
    """
    return torch.Generator().manual_seed(derive_seed(seed, *parts) if parts else seed)


@contextmanager
def seeded(seed: int, device: torch.device | None = None) -> Iterator[None]:
    """Seed torch's generators for a while; the CPU's, and those of a GPU given, are put back."""
    with torch.random.fork_rng([device] if device is not None and device.type == "cuda" else []):
        torch.manual_seed(seed)
        yield
