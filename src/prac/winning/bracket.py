"""Which level to judge next: tickets match down to some density, and miss from there on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace


@dataclass(frozen=True)
class Bracket:
    """What is known of a series of tickets, of which the sparsest that matches is looked for.

    It is taken that matching is monotone: where a ticket matches, denser ones do; where one misses,
    sparser ones do. It begins at a guess, goes on from there in steps that grow, and halves what
    is between, as a binary search without ends does. An answer may be taken back: who finds that a
    level misses after all says so, and the bracket falls back to the one before it.

    Attributes:
        matched: The levels known to match, ascending; the first is what was known before anything
            was asked, such as 0, the dense network.
        missing: The densest level known to miss; None while none is.
        last: The sparsest level that there is.
        within: How far the two may be apart at the end. Beside the dense network it is one level:
            while a ticket is untried, it is not said that none matches.
        guess: The level asked first.
        step: How far the next step goes; 0 before the first answer.
        growth: What each step is times the one before: 2 where all is searched already, 1 where
            each level further costs.
    """

    matched: tuple[int, ...]
    missing: int | None
    last: int
    within: int
    guess: int
    step: int = 0
    growth: int = 2

    @classmethod
    def begun(
        cls, matching: int, last: int, *, within: int, guess: int, growth: int = 2
    ) -> Bracket:
        """Return a bracket of which nothing is asked yet.

        >>> bracket = Bracket.begun(0, 16, within=2, guess=9)
        >>> bracket.next, bracket.after(9, False).next, bracket.after(9, True).next
        (9, 7, 11)
        """
        guess = min(max(guess, matching + 1), last)
        return cls((matching,), None, last, within, guess, growth=growth)

    @property
    def matching(self) -> int:
        """The sparsest level known to match."""
        return self.matched[-1]

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
        if len(self.matched) == 1 and self.missing - self.step > self.matching:
            return self.missing - self.step
        return (self.matching + self.missing) // 2

    def after(self, level: int, matches: bool) -> Bracket:
        """Return what is known once a level was judged, for the first time or better."""
        step = self.growth * self.step or self.within
        if matches:
            return replace(self, matched=(*self.matched, level), step=step)
        matched = tuple(of for of in self.matched if of < level)
        return replace(self, matched=matched, missing=level, step=step)


Judge = Callable[[int], bool | None]
"""Level -> whether its ticket matches; None where that cannot be afforded."""


def narrow(bracket: Bracket, ask: Judge, prove: Judge) -> tuple[Bracket, bool]:
    """Ask levels until a bracket is narrow enough, and have the sparsest that matches proven.

    What `ask` takes to match may be a guess; only the one in the end is proven. Where it misses
    after all, the bracket falls back, and more is asked.

    Returns:
        The bracket, of which all that matches is proven or denser, and whether all could be
        afforded.
    """
    is_open = True
    while True:
        level = bracket.next if is_open else None
        if level is not None:
            answer = ask(level)
            if answer is None:
                is_open = False
            else:
                bracket = bracket.after(level, answer)
            continue
        if len(bracket.matched) == 1:
            return bracket, is_open
        answer = prove(bracket.matching)
        if answer:
            return bracket, is_open
        if answer is None:  # Nothing is known against it; a denser one may be proven already.
            bracket, is_open = replace(bracket, matched=bracket.matched[:-1]), False
        else:
            bracket = bracket.after(bracket.matching, False)
