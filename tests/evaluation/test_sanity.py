"""The outcome of sanity checks at its boundaries, and what is said of it."""

from __future__ import annotations

import io
import json

import pytest
from rich.console import Console

from prac.evaluation import SANITY, TestSet, Verdict
from prac.report import verdict_text
from prac.report.html.by_density import KIND_COLOURS
from prac.report.sanity_text import is_checked
from prac.report.verdict_text import AS_GOOD, MOST_CHANGED, WORSE, doubts, sentences
from tests.evaluation.test_verdict import level, trials, verdict

TICKET = (0.90, 0.91, 0.92)  # A standard deviation of 0.01.
WORSE_BY_FAR = trials(0.80, 0.81, 0.821)
AS_GOOD_AS = trials(0.90, 0.90, 0.91)
UNSURE = trials(0.70, 0.96, 0.97)


def shown(found: Verdict, width: int = 80) -> str:
    out = io.StringIO()
    Console(file=out, width=width).print(verdict_text(found))
    return out.getvalue()


@pytest.mark.parametrize(
    ("control", "outcome"),
    [
        (WORSE_BY_FAR, "passes"),
        (AS_GOOD_AS, "fails"),
        (trials(0.95, 0.96, 0.97), "fails"),
        # Worse by more than a deviation, but not reliably.
        (UNSURE, "cannot be told"),
        # Reliably worse, but within a deviation.
        (trials(0.895, 0.905, 0.916), "cannot be told"),
        # Worse by far and by the same with each seed, which does not tell how far seeds lie apart.
        (trials(0.80, 0.81, 0.82), "cannot be told"),
    ],
)
def test_a_check_passes_fails_or_cannot_be_told(control, outcome):
    assert level(1, *TICKET, controls={"smart-ratio": control}).sanity == {"smart-ratio": outcome}


def test_too_little_tells_nothing():
    one = level(1, 0.9, controls={"shuffled": trials(0.5)})
    assert one.sanity == {"shuffled": "cannot be told"}
    nothing_learned = level(
        1, *TICKET, controls={"shuffled": AS_GOOD_AS}, test=TestSet(100, chance=0.9)
    )
    assert nothing_learned.sanity == {"shuffled": "cannot be told"}


def test_only_checks_are_told_in_the_order_of_the_paper():
    found = level(1, *TICKET, controls=dict.fromkeys(("random", *reversed(SANITY)), WORSE_BY_FAR))
    assert list(found.sanity) == list(SANITY)
    assert found.to_json()["sanity"] == dict.fromkeys(SANITY, "passes")
    assert level(1, *TICKET).to_json()["sanity"] == {}


def test_a_control_that_needs_no_data_keeps_a_ticket_from_winning():
    for name in SANITY:
        assert level(1, *TICKET, controls={name: AS_GOOD_AS}).verdict == "matching"
        assert level(1, *TICKET, controls={name: WORSE_BY_FAR}).verdict == "winning"
    assert level(1, *TICKET).verdict == "winning"


def test_every_control_has_its_words():
    assert AS_GOOD.keys() == WORSE.keys() == set(MOST_CHANGED)
    assert set(SANITY) <= AS_GOOD.keys()
    assert KIND_COLOURS.keys() == {"ticket", *AS_GOOD}
    assert len(set(KIND_COLOURS.values())) == len(KIND_COLOURS)


def test_checks_have_a_table_of_their_own_in_80_columns():
    controls = dict.fromkeys(AS_GOOD, WORSE_BY_FAR) | {"smart-ratio": AS_GOOD_AS}
    text = shown(verdict(level(6, *TICKET, controls=controls), level(12, *TICKET)))
    lines = text.splitlines()
    assert max(map(len, lines)) <= 80
    [line] = [line for line in lines if "smart-ratio" in line and "fails" in line]
    assert line.split() == ["smart-ratio", "90.33", "±1.43", "-0.67", "0.092", "fails"]
    [line] = [line for line in lines if "corrupted-labels" in line and "passes" in line]
    assert line.split() == ["corrupted-labels", "81.03", "±2.61", "-9.97", "0.000", "passes"]
    # Among the other controls they are not told twice.
    [head] = [line for line in lines if "reinitialised" in line and "random" in line]
    assert head.split() == ["level", "ticket", "reinitialised", "random"]
    assert "sanity checks (Su et al. 2020)" in text


def test_a_shuffled_mask_alone_is_a_control_as_ever():
    found = verdict(level(1, *TICKET, controls={"shuffled": WORSE_BY_FAR}))
    assert not is_checked(found)
    assert "sanity" not in shown(found)


def test_sentences_say_what_the_checks_mean():
    controls = {"corrupted-labels": WORSE_BY_FAR, "corrupted-inputs": AS_GOOD_AS}
    told = list(sentences(verdict(level(2, *TICKET, controls=controls))))
    assert (
        "The corrupted-labels control does reliably worse than the ticket at level 2: the mask "
        "takes something from the labels." in told
    )
    assert any("did not need the inputs" in one for one in told)
    [against, *_] = doubts(level(2, *TICKET, controls={**controls, "smart-ratio": AS_GOOD_AS}))
    assert against.startswith("the smart-ratio and corrupted-inputs controls do as well")


def test_a_verdict_with_checks_is_read_as_it_was_written(judged_run):
    from prac.search import Search

    found = verdict(level(1, *TICKET, controls={"smart-ratio": WORSE_BY_FAR}))
    assert json.loads(json.dumps(found.to_json()))["levels"][1]["sanity"] == {
        "smart-ratio": "passes"
    }
    before = Verdict.load(Search.load(judged_run))
    assert before is not None
    assert set(before.to_json()["levels"][1]["sanity"]) == {"shuffled"}
