"""The one source of randomness: seeds that depend on nothing but what they are for."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import numpy as np
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


def seed_generators_(seed: int, generators: Iterable[torch.Generator]) -> None:
    """Seed torch's generators given, and NumPy's and Python's global ones.

    Those are all that a network or a data set may draw from without a generator of its own.
    """
    for own in generators:
        own.manual_seed(seed)
    random.seed(seed)
    np.random.seed(seed % 2**32)


def own_generators(device: torch.device | None) -> list[torch.Generator]:
    """Return torch's global generators for the CPU and `device`, from which modules draw."""
    on_cuda = [torch.cuda.default_generators[gpu.index or 0] for gpu in _gpus(device)]
    return [torch.default_generator, *on_cuda]


def _gpus(device: torch.device | None) -> list[torch.device]:
    """Return the device if it is a GPU that is in use: before that it has no generator."""
    is_used = device is not None and device.type == "cuda" and torch.cuda.is_initialized()
    return [device] if device is not None and is_used else []


@contextmanager
def generators_put_back(device: torch.device | None = None) -> Iterator[None]:
    """Give torch's, NumPy's and Python's global generators in the end the state that they had.

    Of a GPU's, those of the `device`.
    """
    of_python, of_numpy = random.getstate(), np.random.get_state()
    with torch.random.fork_rng(_gpus(device)):
        try:
            yield
        finally:
            random.setstate(of_python)
            np.random.set_state(of_numpy)


@contextmanager
def seeded(seed: int, device: torch.device | None = None) -> Iterator[None]:
    """Seed torch's, NumPy's and Python's global generators for a while; they are put back."""
    with generators_put_back(device):
        torch.manual_seed(seed)  # Also those of a GPU that is not in use yet.
        seed_generators_(seed, ())
        yield
