"""What a test set can tell: how far its accuracies reach, and what is right without learning."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

from prac.evaluation.statistics import binomial_half_width, binomial_tail
from prac.io import fits

CHANCE = 0.05
"""An accuracy that chance reaches with a greater probability than this shows no learning."""


@dataclass(frozen=True)
class TestSet:
    """How many test examples there are, and which share one answer for all of them gets right.

    Attributes:
        size: Test examples.
        chance: Share of the most frequent class; None where targets are no classes.
    """

    __test__ = False  # No test, whatever its name makes pytest think.

    size: int
    chance: float | None = None

    def half_width(self, accuracy: float) -> float:
        """Return how far an accuracy's 95 % interval reaches to either side, by these examples.

        Of the network on other examples of the same kind; other runs are not looked at.
        """
        return binomial_half_width(accuracy, self.size)

    def is_at_chance(self, accuracy: float) -> bool:
        """Say whether always giving the most frequent class may do as well as this accuracy.

        That is where so many right answers, or more, are no rarer than one time in twenty for
        answers of which each is right with the probability that one for all has.

        >>> TestSet(400, 0.25).is_at_chance(0.24), TestSet(400, 0.25).is_at_chance(0.35)
        (True, False)
        """
        if self.chance is None:
            return False
        right = math.floor(accuracy * self.size + 1e-9)
        return self.chance == 1 or binomial_tail(right, self.size, self.chance) >= CHANCE

    @classmethod
    def of(cls, told: Any) -> TestSet | None:
        """Return what a summary tells; None where it tells nothing, or nothing that fits."""
        if not isinstance(told, dict) or not fits(told.get("size"), int, 1):
            return None
        chance = told.get("chance")
        return cls(told["size"], chance) if fits(chance, float | None, 0) else None

    def to_json(self) -> dict[str, Any]:
        """Return plain values."""
        return asdict(self)
