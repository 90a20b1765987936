"""Which level to judge next: tickets match down to some density, and miss from there on."""

from __future__ import annotations

from dataclasses import dataclass, replace


@dataclass(frozen=True)
class Bracket:
    """What is known of a series of tickets, of which the sparsest that matches is looked for.

    It is taken that matching is monotone: where a ticket matches, denser ones do; where one misses,
    sparser ones do. It begins at a guess, goes on from there in steps that double, and halves what
    is between, as a binary search without ends does.

    Attributes:
        matching: The sparsest level known to match; that of the dense network, 0, always does.
        missing: The densest level known to miss; None while none is.
        last: The sparsest level that there is.
        within: How far the two may be apart at the end. Beside the dense network it is one level:
            while a ticket is untried, it is not said that none matches.
        guess: The level asked first.
        step: How far the next step goes; 0 before the first answer.
        floor: What was known to match before anything was asked.
    """

    matching: int
    missing: int | None
    last: int
    within: int
    guess: int
    step: int = 0
    floor: int = 0

    @classmethod
    def begun(cls, matching: int, last: int, *, within: int, guess: int) -> Bracket:
        """Return a bracket of which nothing is asked yet.

        >>> bracket = Bracket.begun(0, 16, within=2, guess=9)
        >>> bracket.next, bracket.after(9, False).next, bracket.after(9, True).next
        (9, 7, 11)
        """
        guess = min(max(guess, matching + 1), last)
        return cls(matching, None, last, within, guess, floor=matching)

    @property
    def next(self) -> int | None:
        """The level to judge next; None where the bracket is as narrow as is asked for."""
        if self.missing is None:
            if self.matching == self.last:
                return None
            return min(self.matching + self.step, self.last) if self.step else self.guess
        apart = self.within if self.matching else 1
        if self.missing - self.matching <= apart:
            return None
        if self.matching == self.floor and self.missing - self.step > self.matching:
            return self.missing - self.step
        return (self.matching + self.missing) // 2

    def after(self, level: int, matches: bool) -> Bracket:
        """Return what is known once a level was judged."""
        step = 2 * self.step or self.within
        if matches:
            return replace(self, matching=level, step=step)
        return replace(self, missing=level, step=step)
