"""Which levels are asked: no two twice, few, and the right answer for every monotone truth."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from prac.winning.bracket import Bracket, narrow


class Judged:
    """A judge that knows the sparsest level that matches, and what it takes to when in haste."""

    def __init__(self, sparsest: int, taken: int | None = None, most: int = 1000) -> None:
        self.sparsest, self.taken = sparsest, sparsest if taken is None else taken
        self.most, self.asked, self.proven = most, list[int](), list[int]()

    def ask(self, level: int) -> bool | None:
        if len(self.asked) == self.most:
            return None
        self.asked.append(level)
        return level <= self.taken

    def prove(self, level: int) -> bool | None:
        self.proven.append(level)
        return level <= self.sparsest


def found(judged: Judged, *, last=16, floor=0, within=2, guess=9) -> tuple[Bracket, bool]:
    bracket = Bracket.begun(floor, last, within=within, guess=guess)
    return narrow(bracket, judged.ask, judged.prove)


def test_it_begins_at_the_guess_and_doubles_its_steps_until_it_turns():
    judged = Judged(3)
    bracket, is_open = found(judged)
    assert judged.asked == [9, 7, 3, 5]
    assert (bracket.matching, bracket.missing, is_open) == (3, 5, True)
    judged = Judged(16)
    assert found(judged, guess=4)[0].matching == 16
    assert judged.asked == [4, 6, 10, 16]


def test_a_guess_outside_is_the_nearest_inside():
    for guess in (-3, 0, 1):
        judged = Judged(0)
        assert found(judged, guess=guess) == (replace(judged_bracket(1), step=2), True)
        assert judged.asked == [1]
    judged = Judged(16)
    found(judged, guess=99)
    assert judged.asked == [16]


def judged_bracket(missing: int) -> Bracket:
    return Bracket((0,), missing, 16, 2, 1)


def test_beside_the_dense_network_no_ticket_stays_untried():
    judged = Judged(0)
    bracket, _ = found(judged, within=4, guess=3)
    assert (bracket.matching, bracket.missing) == (0, 1)
    judged = Judged(1)
    bracket, _ = found(judged, within=4, guess=3)
    assert bracket.matching == 1


def test_only_what_is_left_in_the_end_is_proven():
    judged = Judged(9)
    found(judged, guess=5)
    assert judged.proven == [9]
    # Level 7 and 9 were taken to match; 5 is proven only once they have fallen.
    judged = Judged(5, taken=9)
    bracket, is_open = found(judged, guess=5)
    assert judged.proven == [9, 7, 5]
    assert (bracket.matching, bracket.missing, is_open) == (5, 7, True)


def test_a_budget_ends_it_with_what_is_proven():
    judged = Judged(9, most=1)
    bracket, is_open = found(judged, guess=5)
    assert (bracket.matching, bracket.missing, is_open) == (5, None, False)
    assert judged.proven == [5]
    judged = Judged(9, most=0)
    bracket, is_open = found(judged)
    assert (bracket.matched, is_open, judged.proven) == ((0,), False, [])


def test_what_cannot_be_proven_any_more_gives_way_to_what_is():
    judged = Judged(9)
    answers = iter([None, True])
    bracket = Bracket.begun(0, 16, within=2, guess=5)
    bracket, is_open = narrow(bracket, judged.ask, lambda level: next(answers))
    assert (bracket.matching, bracket.missing, is_open) == (7, 11, False)


@given(
    st.integers(1, 40), st.integers(0, 40), st.integers(-5, 45), st.integers(1, 5), st.integers()
)
def test_every_monotone_truth_is_found_and_no_level_asked_twice(
    last, sparsest, guess, within, seed
):
    floor = seed % last
    sparsest = min(max(sparsest, floor), last)
    judged = Judged(sparsest)
    bracket, is_open = found(judged, last=last, floor=floor, within=within, guess=guess)
    assert is_open
    assert len(judged.asked) == len(set(judged.asked))
    assert all(floor < level <= last for level in judged.asked)
    assert bracket.matching <= sparsest
    if bracket.missing is None:
        assert bracket.matching == sparsest == last
    else:
        assert sparsest < bracket.missing
        assert bracket.missing - bracket.matching <= (within if bracket.matching else 1)
    # Doubling and halving: no more than twice the logarithm, and a few.
    assert len(judged.asked) <= 2 * last.bit_length() + 2


@given(st.integers(2, 30), st.data())
def test_what_is_taken_to_match_and_misses_never_stands_in_the_end(last, data):
    sparsest = data.draw(st.integers(0, last))
    taken = data.draw(st.integers(sparsest, last))
    judged = Judged(sparsest, taken)
    bracket, _ = found(judged, last=last, guess=data.draw(st.integers(1, last)))
    assert bracket.matching <= sparsest
    assert len(bracket.matched) == 1 or judged.proven[-1] == bracket.matching
    assert bracket.missing is None or bracket.missing - bracket.matching <= 2
