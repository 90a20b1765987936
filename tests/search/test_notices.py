"""What a search says of critical examples: shares by hand, and what was measured elsewhere."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

import prac
from prac.runs import Level
from prac.search.notices import outlook

PRAC = prac.SearchConfig.prac()
SHORT = prac.SearchConfig.prac(stop=prac.StopConfig(budget=0.1))
CARRIED = prac.SearchConfig.method("prac-carried")


def level(never: int, forgotten: int, index: int = 0) -> Level:
    """Return a level of 100 examples of which some were never learned, and some forgotten."""
    made: dict[str, Any] = dict.fromkeys((of.name for of in dataclasses.fields(Level)), 0)
    made |= {"never_learned": never, "forgotten": forgotten, "index": index, "set_size": 100}
    return Level(**made)


def said(never: int, forgotten: int, config: prac.SearchConfig = PRAC) -> str:
    told = outlook(level(never, forgotten), config)
    assert told is not None
    return told


def test_shares_are_counted():
    told = said(2, 11)
    assert told.startswith("level 0 forgot 11.0% of the examples and never learned 2.0%: ")


@pytest.mark.parametrize(("never", "forgotten"), [(95, 2), (0, 0)])
def test_where_forgetting_tells_nothing_others_say_so(never, forgotten):
    assert outlook(level(never, forgotten), PRAC) is None


def test_later_levels_and_empty_ones_are_not_told_of():
    assert outlook(level(2, 11, index=1), PRAC) is None
    assert outlook(dataclasses.replace(level(0, 0), set_size=0), PRAC) is None


@pytest.mark.parametrize("name", ["imp", "random-subset", "el2n", "rs2"])
def test_sets_that_are_made_of_something_else_are_not_told_of(name):
    config = prac.SearchConfig.method(name)
    assert outlook(level(2, 11), config) is None


@pytest.mark.parametrize(
    ("never", "forgotten", "config", "told"),
    [
        (0, 3, PRAC, "mostly worth no more than random ones, but more in levels cut to a tenth"),
        (0, 3, SHORT, "more than random ones in levels as short as these"),
        (0, 3, CARRIED, "worth little more than random ones in carried levels"),
        (0, 60, PRAC, "sets of so many were worth no more than random ones"),
        (60, 0, SHORT, "sets of so many were worth no more than random ones"),
    ],
)
def test_what_was_measured_elsewhere_is_told(never, forgotten, config, told):
    assert told in said(never, forgotten, config)


@pytest.mark.parametrize("config", [PRAC, SHORT])
def test_examples_that_were_never_learned_may_have_wrong_labels(config):
    told = "wrong labels, if there are any, are among the never learned"
    assert told in said(8, 10, config)
    assert told not in said(2, 16, config)


def test_a_run_keeps_what_it_told(train, val, small_net, config, tmp_path):
    told: list[str] = []

    def listen(event: prac.Event) -> None:
        if event.kind == "note":
            told.append(event.facts["text"])

    search = prac.find(small_net(), train, config(), val=val, out=tmp_path / "run", callback=listen)
    first = search.levels[0]
    assert first.forgotten is not None
    assert first.never_learned is not None
    assert first.forgotten + first.never_learned == search.levels[1].set_parts["cet"]
    assert search.levels[-1].forgotten is None, "not trained"
    again = prac.Search.load(search.path)
    assert again.outlook == search.outlook
    assert again.outlook in told
    assert again.outlook in prac.to_text(search.path, width=400)
    assert prac.describe(again)["outlook"] == again.outlook


def test_sets_of_ones_own_rule_are_not_told_of(train, val, small_net, config, tmp_path):
    told: list[str] = []
    search = prac.find(
        small_net(),
        train,
        config(),
        val=val,
        out=tmp_path / "run",
        choose=lambda stats: stats.members[:100],
        callback=lambda event: told.append(str(event.facts)) if event.kind == "note" else None,
    )
    assert search.outlook is None
    assert not [text for text in told if "level 0 forgot" in text]
