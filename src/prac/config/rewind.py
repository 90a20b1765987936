"""The `rewind` setting: where a level's weights come from. No torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from prac.errors import PracError


@dataclass(frozen=True)
class Rewind:
    """Where a level's weights come from, parsed from the `rewind` setting.

    Attributes:
        kind: "epoch" or "iteration" of the dense training; "learning-rate" keeps the trained
            weights and restarts the schedule (Renda et al. 2020); "none" keeps them and fine-tunes
            at the schedule's last rate.
        at: The epoch or iteration; 0 is initialisation.
    """

    kind: Literal["epoch", "iteration", "learning-rate", "none"]
    at: int = 0

    @classmethod
    def parse(cls, text: str) -> Rewind:
        """Return what `text` says.

        Raises:
            PracError: If it is none of the forms.

        >>> Rewind.parse("epoch:3")
        Rewind(kind='epoch', at=3)
        """
        if text == "init":
            return cls("epoch", 0)
        if text in ("learning-rate", "none"):
            return cls(text)  # type: ignore[arg-type]
        kind, _, number = text.partition(":")
        if kind in ("epoch", "iteration") and number.isascii() and number.isdecimal():
            return cls(kind, int(number))  # type: ignore[arg-type]
        raise PracError(
            f"rewind is {text!r}: expected init, epoch:N, iteration:N, learning-rate or none"
        )

    @property
    def is_initialisation(self) -> bool:
        """Whether levels start from the weights that the dense network started from."""
        return not self.keeps_weights and self.at == 0

    @property
    def keeps_weights(self) -> bool:
        """Whether a level goes on from the weights that the one before it trained."""
        return self.kind in ("learning-rate", "none")

    @property
    def fine_tunes(self) -> bool:
        """Whether levels are trained at the schedule's last rate."""
        return self.kind == "none"
