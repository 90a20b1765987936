"""What a run of the benchmarks is told."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")


@dataclass(frozen=True)
class Options:
    """How much is measured, on what.

    Attributes:
        scratch: An empty folder for data and runs.
        short: Whether every section is tiny, as the tests take it: its figures mean nothing.
        data: The folder with the folders `cifar10` and `mnist`.
        seed: Source of weights, masks and random images.
        device: "cpu" or "cuda"; only the section `loop` runs on a GPU.
        execution: How steps are executed; None measures which is the fastest.
    """

    scratch: Path
    short: bool = False
    data: Path = Path("../shared/data")
    seed: int = 0
    device: str = "cpu"
    execution: str | None = None

    def of(self, full: T, short: T) -> T:
        """Return what this run's size takes."""
        return short if self.short else full
