"""How much of a network pruning may touch. No torch: runs are described by it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

FROZEN, PARAMETRISED, COMPLEX = "frozen", "parametrised weights", "complex weights"

LITTLE = 0.5
"""Where a smaller share of a network is prunable, its density is not what one takes it for."""


@dataclass(frozen=True)
class ParameterCount:
    """A network's parameters, counted as numbers; one that modules share counts once.

    Attributes:
        prunable: Those that pruning may take, by kind of layer.
        left_out: All others, by what they are.
    """

    prunable: Mapping[str, int]
    left_out: Mapping[str, int]

    @classmethod
    def of(cls, environment: Mapping[str, Any]) -> ParameterCount | None:
        """Return what a run's environment or a ticket's provenance tells; None where it does not.

        Runs of prac 0.1 do not.
        """
        found = environment.get("parameters")
        if not isinstance(found, Mapping):
            return None
        groups = [found.get(name) for name in ("prunable", "left_out")]
        if not all(_is_counts(group) for group in groups):
            return None
        prunable, left_out = (dict(group) for group in groups if group is not None)
        return cls(prunable, left_out)

    @property
    def total(self) -> int:
        """All of them."""
        return self.count + sum(self.left_out.values())

    @property
    def count(self) -> int:
        """How many are prunable."""
        return sum(self.prunable.values())

    @property
    def share(self) -> float:
        """The prunable ones' share of all."""
        return self.count / self.total

    def density(self, kept: int) -> float:
        """Return the whole network's density where so many prunable weights are kept.

        >>> ParameterCount({"linear layers": 80}, {"biases and norms": 20}).density(40)
        0.6
        """
        return (self.total - self.count + kept) / self.total

    def sentence(self) -> str:
        """Return what is prunable and what is not, in a line.

        >>> ParameterCount({"linear layers": 8_000}, {"biases and norms": 100}).sentence()
        '8,000 of 8,100 weights are prunable (98.8 %): linear layers; not: biases and norms 100'
        """
        kinds = ", ".join(self.prunable)
        if len(self.prunable) > 1:
            kinds = _listed(self.prunable)
        rest = f"; not: {self.listed_left_out()}" if self.left_out else ""
        counts = f"{self.count:,} of {self.total:,} weights are prunable"
        return f"{counts} ({100 * self.share:.1f} %): {kinds}{rest}"

    def listed_left_out(self) -> str:
        """Return what is not prunable, by what it is, the most first."""
        return _listed(self.left_out)

    def warnings(self, layers: str) -> Iterator[str]:
        """Yield a line where what is prunable, by `layers`, is the smaller part of the network."""
        if self.share < LITTLE:
            most = max(self.left_out, key=lambda kind: self.left_out[kind])
            remedies = {
                FROZEN: "let more of it train",
                PARAMETRISED: "take off what computes its weights from others",
            }
            remedy = remedies.get(most, "choose more by --layers or --include")
            yield (
                f"only {100 * self.share:.1f} % of the network is prunable (layers is {layers!r}): "
                f"at a density of 20 % it keeps {100 * self.density(self.count // 5):.1f} % of its "
                f"weights; {remedy}"
            )

    def to_json(self) -> dict[str, Any]:
        """Return plain values."""
        return {"prunable": dict(self.prunable), "left_out": dict(self.left_out)}


def _listed(counts: Mapping[str, int]) -> str:
    # The largest first: files keep them by name.
    largest = sorted(counts.items(), key=lambda item: -item[1])
    return ", ".join(f"{kind} {count:,}" for kind, count in largest)


def _is_counts(group: Any) -> bool:
    return isinstance(group, Mapping) and all(type(count) is int for count in group.values())
