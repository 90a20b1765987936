"""What a section measures: rows of samples, each with its goal, and what is computed of them."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal


@dataclass(frozen=True)
class Goal:
    """A number that a measurement should reach or stay under.

    >>> Goal(0.9, "at least").is_met_by(0.95), Goal(8, "at most").is_met_by(9)
    (True, False)
    """

    value: float
    direction: Literal["at least", "at most"]

    def is_met_by(self, value: float) -> bool:
        """Say whether a value is on the right side."""
        return value >= self.value if self.direction == "at least" else value <= self.value


@dataclass(frozen=True)
class Row:
    """One figure.

    Attributes:
        what: What was measured, in words.
        value: The figure that the goal is held against.
        unit: Of the value; empty for a ratio.
        samples: What the value was made of, one a round, in the value's unit.
        goal: What it should be; None where it is only shown.
        note: How the value follows from the samples where it is not their median, or what is odd.
    """

    what: str
    value: float
    unit: str
    samples: tuple[float, ...]
    goal: Goal | None = None
    note: str = ""

    @classmethod
    def of(cls, what: str, unit: str, samples: Sequence[float], goal: Goal | None = None) -> Row:
        """Return the row whose value is the median of its samples."""
        return cls(what, statistics.median(samples), unit, tuple(samples), goal)

    def to_json(self) -> dict[str, Any]:
        """Return plain values, the spread of the samples among them."""
        goal = self.goal
        return {
            "what": self.what,
            "value": self.value,
            "unit": self.unit,
            "goal": None if goal is None else {"value": goal.value, "direction": goal.direction},
            "met": None if goal is None else goal.is_met_by(self.value),
            "spread": spread(self.samples),
            "samples": list(self.samples),
            "note": self.note,
        }


@dataclass(frozen=True)
class Section:
    """What one section found.

    Attributes:
        rows: Its figures.
        facts: What they were made with, and raw material of pictures; JSON values.
        remarks: What the page should say of them, a sentence each.
    """

    rows: Sequence[Row]
    facts: Mapping[str, Any] = field(default_factory=dict)
    remarks: Sequence[str] = ()

    def to_json(self) -> dict[str, Any]:
        """Return plain values."""
        return {
            "rows": [row.to_json() for row in self.rows],
            "facts": dict(self.facts),
            "remarks": list(self.remarks),
        }


def spread(samples: Sequence[float]) -> dict[str, float]:
    """Return the extremes, the quartiles and the median of some samples.

    >>> spread([1, 2, 3, 4, 5])["upper_quartile"]
    4.0
    """
    one = len(samples) == 1
    lower, middle, upper = (
        (samples[0],) * 3 if one else statistics.quantiles(samples, n=4, method="inclusive")
    )
    return {
        "least": float(min(samples)),
        "lower_quartile": float(lower),
        "median": float(middle),
        "upper_quartile": float(upper),
        "most": float(max(samples)),
    }


def ratios(over: Sequence[float], under: Sequence[float]) -> list[float]:
    """Return a round's value over the same round's other value: what slows both cancels.

    >>> ratios([2.0, 6.0], [1.0, 2.0])
    [2.0, 3.0]
    """
    return [a / b for a, b in zip(over, under, strict=True)]


def exponent(sizes: Sequence[float], seconds: Sequence[float]) -> float:
    """Return k of the power law `seconds = c * sizes ** k`, by least squares in the logarithms.

    >>> round(exponent([1, 2, 4], [3, 6, 12]), 3), round(exponent([1, 10], [1, 100]), 3)
    (1.0, 2.0)
    """
    logs = [math.log(size) for size in sizes], [math.log(second) for second in seconds]
    return statistics.linear_regression(*logs).slope
