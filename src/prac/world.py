"""Where the work runs: device, arithmetic, and seeds that depend on nothing but their names."""

from __future__ import annotations

import hashlib
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

import torch

from prac.errors import PracError


@dataclass(frozen=True)
class World:
    """One process's device and precision.

    Attributes:
        device: Where model and in-memory data lie.
        precision: "fp32" or "bf16" (autocast; weights and optimiser stay in fp32).
    """

    device: torch.device
    precision: str = "fp32"

    @classmethod
    def choose(cls, device: str = "auto", precision: str = "auto") -> World:
        """Return the world for the names of a device and a precision; "auto" takes the best.

        Raises:
            PracError: If the device is not there or cannot be used.
        """
        if device == "auto":
            device = "cuda" if torch.cuda.is_available() else "cpu"
        try:
            chosen = torch.device(device)
        except RuntimeError as error:
            raise PracError(f"device is {device!r}: expected auto, cpu, cuda or cuda:N") from error
        if chosen.type not in ("cpu", "cuda"):
            raise PracError(f"device is {device!r}: expected auto, cpu, cuda or cuda:N")
        if chosen.type == "cuda" and (chosen.index or 0) >= torch.cuda.device_count():
            raise PracError(
                f"device is {device!r} but {torch.cuda.device_count()} CUDA devices are there: "
                f"use --device cpu or auto"
            )
        if precision == "auto":
            gains = chosen.type == "cuda" and torch.cuda.get_device_capability(chosen)[0] >= 8
            precision = "bf16" if gains else "fp32"
        return cls(chosen, precision)

    def autocast(self) -> AbstractContextManager[object]:
        """Return the context in which forward passes run."""
        if self.precision == "bf16":
            return torch.autocast(self.device.type, dtype=torch.bfloat16)
        return nullcontext()


def derived_seed(*parts: int | str) -> int:
    """Return a 63-bit seed from named parts, the same on every machine and in every process.

    No random state is ever saved: everything random names its place, such as
    `derived_seed(seed, "order", level, epoch)`, so a resumed run draws what it would have drawn.

    >>> derived_seed(0, "order", 1) == derived_seed(0, "order", 1)
    True
    >>> derived_seed(0, "order", 1) == derived_seed(0, "order", 2)
    False
    """
    digest = hashlib.sha256("\x1f".join(map(str, parts)).encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1
