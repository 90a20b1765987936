"""The one source of randomness: seeds that depend on nothing but what they are for."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch

from prac.utils.identity import is_own


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


RandomSource = torch.Generator | np.random.Generator | np.random.RandomState | random.Random
"""What draws random numbers, of torch's, NumPy's and Python's own."""


def seed_generators_(seed: int, generators: Iterable[RandomSource]) -> None:
    """Seed the generators given, and NumPy's and Python's global ones.

    With torch's global ones among them, those are all that a network or a data set may draw from
    without a generator of its own.
    """
    random.seed(seed)
    np.random.seed(seed % 2**32)
    for own in generators:
        if isinstance(own, torch.Generator):
            own.manual_seed(seed)
        elif isinstance(own, random.Random):
            own.seed(seed)
        elif isinstance(own, np.random.RandomState):
            own.seed(seed % 2**32)
        else:
            of: Any = type(own.bit_generator)
            own.bit_generator.state = of(seed).state


def own_generators(device: torch.device | None) -> list[RandomSource]:
    """Return torch's global generators for the CPU and `device`, from which modules draw."""
    on_cuda = [torch.cuda.default_generators[gpu.index or 0] for gpu in _gpus(device)]
    return [torch.default_generator, *on_cuda]


def held_generators(model: torch.nn.Module) -> list[RandomSource]:
    """Return the generators that a model's modules hold, to draw from them.

    They may be attributes of a module or its class, or lie in containers and own objects there.

    >>> class Noisy(torch.nn.Module):
    ...     def __init__(self) -> None:
    ...         super().__init__()
    ...         self.source = [np.random.default_rng(0)]
    >>> len(held_generators(torch.nn.Sequential(Noisy(), torch.nn.Dropout(0.5))))
    1
    """
    found: dict[int, RandomSource] = {}
    seen: dict[int, Any] = {}  # Kept, so that no other object takes an identity over.
    classes: set[type] = set()
    for module in model.modules():
        _find_generators(list(vars(module).values()), found, seen, DEEPEST)
        classes.update(cls for cls in type(module).__mro__ if is_own(cls.__module__))
    for cls in classes:
        _find_generators(list(vars(cls).values()), found, seen, DEEPEST)
    return list(found.values())


DEEPEST = 4
"""Of containers and objects within each other that are looked through for generators."""


def _find_generators(
    values: Iterable[Any], found: dict[int, RandomSource], seen: dict[int, Any], depth: int
) -> None:
    for value in values:
        if isinstance(value, RandomSource):
            # Where the system draws itself there is nothing to seed.
            if not isinstance(value, random.SystemRandom):
                found[id(value)] = value
        elif depth and id(value) not in seen and not isinstance(value, _LEAVES):
            inner: Any = ()
            if isinstance(value, (list, tuple, set)):
                inner = value
            elif isinstance(value, dict):
                inner = value.values()
            elif is_own(type(value).__module__):
                inner = getattr(value, "__dict__", {}).values()
            if inner:
                seen[id(value)] = value
                _find_generators(list(inner), found, seen, depth - 1)


_LEAVES = (str, bytes, int, float, type(None), torch.Tensor, torch.nn.Module, type)


def _gpus(device: torch.device | None) -> list[torch.device]:
    """Return the device if it is a GPU that is in use: before that it has no generator."""
    is_used = device is not None and device.type == "cuda" and torch.cuda.is_initialized()
    return [device] if device is not None and is_used else []


@contextmanager
def generators_put_back(
    device: torch.device | None = None, held: Iterable[RandomSource] = ()
) -> Iterator[None]:
    """Give generators in the end the state that they had.

    They are torch's, NumPy's and Python's global ones, of GPUs that of `device`, and those `held`.
    """
    of_python, of_numpy = random.getstate(), np.random.get_state()
    states = [(own, _state_of(own)) for own in held]
    with torch.random.fork_rng(_gpus(device)):
        try:
            yield
        finally:
            random.setstate(of_python)
            np.random.set_state(of_numpy)
            for own, state in states:
                _set_state_(own, state)


def global_states(device: torch.device | None = None) -> tuple[object, ...]:
    """Return what torch's, NumPy's and Python's global generators stand at, to be compared."""
    kind, keys, *rest = np.random.get_state()
    of_torch = [_state_of(own).numpy().tobytes() for own in own_generators(device)]
    return of_torch, kind, np.asarray(keys).tobytes(), rest, random.getstate()


def _state_of(own: Any) -> Any:
    if isinstance(own, random.Random):
        return own.getstate()
    return own.bit_generator.state if isinstance(own, np.random.Generator) else own.get_state()


def _set_state_(own: Any, state: Any) -> None:
    if isinstance(own, random.Random):
        own.setstate(state)
    elif isinstance(own, np.random.Generator):
        own.bit_generator.state = state
    else:
        own.set_state(state)


@contextmanager
def seeded(
    seed: int, device: torch.device | None = None, held: Sequence[RandomSource] = ()
) -> Iterator[None]:
    """Seed the generators that `generators_put_back` puts back for a while."""
    with generators_put_back(device, held):
        torch.manual_seed(seed)  # Also those of a GPU that is not in use yet.
        seed_generators_(seed, held)
        yield
