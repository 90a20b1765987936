"""What work was done, as a value that adds up."""

from __future__ import annotations

import operator
from dataclasses import astuple, dataclass


@dataclass(frozen=True)
class Cost:
    """What work was done.

    Attributes:
        iterations: Optimiser steps.
        examples_trained: Examples presented in them.
        examples_scored: Examples only predicted: validation and CEP passes.
        seconds: Wall time.
    """

    iterations: int = 0
    examples_trained: int = 0
    examples_scored: int = 0
    seconds: float = 0.0

    def __add__(self, other: Cost) -> Cost:
        """Return the sum of two costs.

        >>> Cost(iterations=1) + Cost(iterations=2, seconds=0.5)
        Cost(iterations=3, examples_trained=0, examples_scored=0, seconds=0.5)
        """
        return Cost(*map(operator.add, astuple(self), astuple(other)))
