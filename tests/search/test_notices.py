"""What a search says of critical examples: by hand, and held against the committed figures."""

from __future__ import annotations

from pathlib import Path

import torch

import prac
from prac.algorithms import ForgettingTable
from prac.search.notices import outlook

ROOT = Path(__file__).parents[2]
LIKE_RANDOM = "worth about as much as random ones"


def table(never: int, forgotten: int, of: int = 100) -> ForgettingTable:
    """Return statistics of examples of which some were never learned, and some forgotten."""
    made = ForgettingTable.empty(of)
    made.learned[never:] = True
    made.events[never : never + forgotten] = 2
    return made


def said(never: int, forgotten: int, **settings: object) -> str | None:
    config = prac.SearchConfig.prac(**settings)
    return outlook(table(never, forgotten), torch.arange(100), config)


def test_shares_are_counted():
    told = said(2, 11)
    assert told is not None
    assert told.startswith("level 0 forgot 11.0% of the examples and never learned 2.0%: ")


def test_members_alone_are_counted():
    told = outlook(table(2, 11), torch.arange(2, 22), prac.SearchConfig.prac())
    assert told is not None
    assert "forgot 55.0% of the examples and never learned 0.0%" in told


def test_sets_that_are_made_of_something_else_are_not_told_of():
    for name in ("imp", "random-subset", "el2n", "rs2"):
        assert outlook(table(2, 11), torch.arange(100), prac.SearchConfig.method(name)) is None
