"""What a search says of critical examples: shares by hand, and what was measured elsewhere."""

from __future__ import annotations

import pytest
import torch

import prac
from prac.algorithms import ForgettingTable
from prac.search.notices import outlook

PRAC = prac.SearchConfig.prac()
SHORT = prac.SearchConfig.prac(stop=prac.StopConfig(budget=0.1))
CARRIED = prac.SearchConfig.method("prac-carried")


def table(never: int, forgotten: int, of: int = 100) -> ForgettingTable:
    """Return statistics of examples of which some were never learned, and some forgotten."""
    made = ForgettingTable.empty(of)
    made.learned[never:] = True
    made.events[never : never + forgotten] = 2
    return made


def said(never: int, forgotten: int, config: prac.SearchConfig = PRAC) -> str:
    told = outlook(table(never, forgotten), torch.arange(100), config)
    assert told is not None
    return told


def test_shares_are_counted():
    told = said(2, 11)
    assert told.startswith("level 0 forgot 11.0% of the examples and never learned 2.0%: ")


def test_members_alone_are_counted():
    told = outlook(table(2, 11), torch.arange(2, 22), PRAC)
    assert told is not None
    assert "forgot 55.0% of the examples and never learned 0.0%" in told


@pytest.mark.parametrize("name", ["imp", "random-subset", "el2n", "rs2"])
def test_sets_that_are_made_of_something_else_are_not_told_of(name):
    config = prac.SearchConfig.method(name)
    assert outlook(table(2, 11), torch.arange(100), config) is None


@pytest.mark.parametrize(
    ("never", "forgotten", "config", "told"),
    [
        (0, 3, PRAC, "mostly worth no more than random ones in whole levels, but more in short"),
        (0, 3, SHORT, "more than random ones in levels as short as these"),
        (0, 3, CARRIED, "worth no more than random ones in carried levels"),
        (0, 60, PRAC, "sets of so many were worth no more than random ones"),
        (60, 0, SHORT, "sets of so many were worth no more than random ones"),
    ],
)
def test_what_was_measured_elsewhere_is_told(never, forgotten, config, told):
    assert told in said(never, forgotten, config)
    assert "wrong labels" not in said(never, forgotten, config)


def test_examples_that_were_never_learned_in_whole_levels_may_have_wrong_labels():
    assert "wrong labels, if there are any, are among the never learned" in said(8, 10)
    assert "wrong labels" not in said(8, 10, SHORT), "which learn less of what is right too"
