"""The rule that says winning, matching or not, at its boundaries; and what is said of it."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from prac.errors import PracError
from prac.evaluation import LevelVerdict, TestSet, Trial, Trials, Verdict, listed
from prac.evaluation.verdict import Barrier
from prac.report import verdict_text
from prac.report.verdict_text import headline, sentences
from prac.search import Search


def trials(*accuracies: float) -> Trials:
    return Trials(tuple(Trial(seed, a, f"at/{seed}") for seed, a in enumerate(accuracies)))


# Mean 0.90, standard deviation 0.02.
DENSE = trials(0.88, 0.90, 0.92)


def level(index=1, *accuracies, start=True, controls=None, barrier=None, dense=DENSE, test=None):
    ticket = trials(*accuracies) if index else dense
    return LevelVerdict(index, 0.8**index, start, ticket, dense, controls or {}, barrier, test)


def verdict(*levels: LevelVerdict) -> Verdict:
    seeds = tuple(range(len(levels[0].ticket.runs)))
    return Verdict(
        Search(Path("runs/x"), {}, []),
        seeds,
        (level(0, dense=levels[0].dense, test=levels[0].test), *levels),
    )


def said(*levels: LevelVerdict) -> str:
    return " ".join(sentences(verdict(*levels)))


class TestRule:
    @pytest.mark.parametrize(
        ("accuracies", "expected"),
        [
            ((0.90, 0.90, 0.90), "winning"),
            ((0.95, 0.95, 0.95), "winning"),
            ((0.88, 0.88, 0.88), "winning"),  # One deviation below, exactly.
            ((0.86, 0.88, 0.90), "winning"),
            ((0.8799, 0.88, 0.88), "not"),
        ],
    )
    def test_within_a_standard_deviation_of_dense(self, accuracies, expected):
        assert level(1, *accuracies).verdict == expected

    def test_from_a_rewind_point_it_matches(self):
        assert level(1, 0.9, 0.9, 0.9, start=False).verdict == "matching"
        assert level(1, 0.8, 0.8, 0.8, start=False).verdict == "not"

    def test_one_seed_decides_nothing(self):
        found = level(1, 0.99, dense=trials(0.5))
        assert found.verdict == "undecided"
        assert found.p_value is None
        assert not found.matches

    def test_dense_is_no_ticket(self):
        assert level(0).verdict == "dense"
        assert level(0).p_value is None
        assert not level(0).matches

    def test_dense_runs_that_do_not_differ_must_be_reached(self):
        dense = trials(0.9, 0.9)
        assert level(1, 0.9, 0.9, dense=dense).verdict == "winning"
        assert level(1, 0.9, 0.8999, dense=dense).verdict == "not"

    @given(st.lists(st.floats(0, 1), min_size=2, max_size=6), st.floats(0, 1))
    def test_more_accuracy_never_loses(self, dense, gain):
        dense_trials = trials(*dense)
        before = level(1, *dense, dense=dense_trials)
        after = level(1, *(accuracy + gain for accuracy in dense), dense=dense_trials)
        assert before.verdict == after.verdict == "winning"

    def test_pairs_share_the_seed(self):
        # A steady 0.01 below, whatever the seed gives: within a deviation, yet hardly chance.
        found = level(1, 0.87, 0.89, 0.911)
        assert found.verdict == "winning"
        assert found.p_value < 0.01
        assert found.is_reliably_worse
        assert found.difference == pytest.approx(-0.01, abs=1e-3)
        # By exactly the same with all seeds, it is not known how far seeds lie apart.
        same = level(1, 0.87, 0.89, 0.91)
        assert (same.p_value, same.is_reliably_worse, same.has_pairs) == (None, None, True)

    @pytest.mark.parametrize(
        ("accuracies", "good"),
        [((0.99, 0.99), True), ((0.855, 0.857), True), ((0.85, 0.86), False)],
    )
    def test_a_control_is_measured_by_the_tickets_deviation(self, accuracies, good):
        # The ticket: mean 0.87, deviation 0.0141; less that, 0.8559.
        found = level(1, 0.86, 0.88, controls={"shuffled": trials(*accuracies)})
        assert found.within_one_std("shuffled") is good

    def test_a_barrier_is_the_highest_error_less_the_ends_mean(self):
        barrier = Barrier((0.10, 0.30, 0.14))
        assert barrier.height == pytest.approx(0.18)
        assert not barrier.is_stable
        assert Barrier((0.10, 0.11, 0.12)).height == pytest.approx(0.01)
        assert Barrier((0.10, 0.11, 0.12)).is_stable


class TestNothingToWin:
    def test_dense_at_chance_has_no_winning_ticket(self):
        # Random labels of four classes: 24 % is above dense, and no more than guessing gives.
        idle = {"dense": trials(0.19, 0.20, 0.21), "test": TestSet(400, 0.27)}
        found = verdict(level(1, 0.24, 0.25, 0.24, **idle), level(2, 0.1, 0.1, 0.1, **idle))
        assert [one.verdict for one in found.levels] == ["dense", "at chance", "at chance"]
        assert found.best_level is None
        assert headline(found) == (
            "The dense network is at chance: 20.00 % of 400 test examples are right, and 27.00 % "
            "by always giving their most frequent class: no ticket can be called winning."
        )
        with pytest.raises(PracError, match="no ticket can be called winning"):
            found.best()

    def test_few_examples_may_not_tell_dense_from_chance(self):
        few = {"dense": trials(0.9, 0.8, 0.9), "test": TestSet(10, 0.5)}
        assert headline(verdict(level(1, 0.9, 0.9, 0.9, **few))).startswith(
            "The dense network cannot be told from chance: 86.67 % of 10 test examples are right, "
            "and 50.00 % by always giving"
        )

    def test_a_ticket_at_chance_does_not_win_whatever_the_dense_runs_spread(self):
        wide = {"dense": trials(0.5, 0.1, 0.5), "test": TestSet(200, 0.12)}
        assert level(1, 0.15, 0.14, 0.15, **wide).verdict == "not"

    def test_a_reliable_loss_within_a_deviation_is_in_the_headline(self):
        found = level(1, 0.87, 0.89, 0.9, dense=trials(0.88, 0.90, 0.92))
        assert found.is_reliably_worse
        assert ", but it is reliably worse, seed by seed (p = 0.0" in headline(verdict(found))

    def test_dense_above_chance_has_one(self):
        assert level(1, 0.9, 0.9, 0.9, test=TestSet(400, 0.27)).verdict == "winning"

    def test_one_run_at_chance_is_told_before_more_are_asked_for(self):
        found = level(1, 0.3, dense=trials(0.2), test=TestSet(100, 0.25))
        assert found.verdict == "at chance"

    @pytest.mark.parametrize("control", ["random", "shuffled", "reinitialised"])
    def test_where_a_control_does_as_well_the_ticket_only_matches(self, control):
        as_good = level(1, 0.91, 0.90, 0.92, controls={control: trials(0.91, 0.92, 0.90)})
        worse = level(1, 0.91, 0.90, 0.92, controls={control: trials(0.7, 0.71, 0.69)})
        assert (as_good.verdict, worse.verdict) == ("matching", "winning")
        told = headline(verdict(as_good))
        assert "a matching ticket of density 80.00%, " in told
        assert f", but the {control} control does as well (91.00 %): " in told
        assert "but" not in headline(verdict(worse))
        assert "(3 runs each)" in told
        assert "(3 runs each, no control judged)" in headline(verdict(level(1, 0.9, 0.9, 0.9)))

    def test_the_control_that_takes_most_away_is_the_strongest_doubt(self):
        controls = dict.fromkeys(("reinitialised", "random"), trials(0.91, 0.92, 0.90))
        told = headline(verdict(level(1, 0.91, 0.90, 0.92, controls=controls)))
        both = "the random and reinitialised controls do as well (91.00, 91.00 %)"
        assert f"{both}: the search bought nothing" in told

    def test_dense_runs_that_lie_far_apart_are_a_doubt(self):
        wide = level(1, 0.9, 0.9, 0.9, dense=trials(0.95, 0.60, 0.95))
        assert headline(verdict(wide)).endswith(
            ", but the dense runs lie far apart (a standard deviation of 20.2 points), so that "
            "nearly any ticket would match."
        )

    def test_a_test_set_of_one_class_tells_nothing(self):
        found = verdict(level(1, 0.9, 0.9, 0.9, test=TestSet(40, 1.0)))
        assert headline(found) == (
            "The test examples are of one class, and cannot tell whether anything was learned: no "
            "ticket can be called winning."
        )

    def test_a_test_set_too_small_for_the_claim_is_in_the_headline(self):
        close = {"dense": trials(0.899, 0.900, 0.901)}
        small = verdict(level(1, 0.9, 0.9, 0.9, test=TestSet(360, 0.1), **close))
        assert headline(small).endswith(
            ", but 360 test examples tell an accuracy only to ±3.1 points, more than the 0.1 that "
            "the verdict allows."
        )
        large = verdict(level(1, 0.9, 0.9, 0.9, test=TestSet(10_000, 0.1), **close))
        assert "but" not in headline(large)
        # Dense runs that lie further apart claim less.
        assert "but" not in headline(verdict(level(1, 0.9, 0.9, 0.9, test=TestSet(2000, 0.1))))

    def test_all_doubts_are_in_the_headline(self):
        controls = {"random": trials(0.899, 0.900, 0.901)}
        test, dense = TestSet(360, 0.1), trials(0.899, 0.900, 0.901)
        found = level(1, 0.899, 0.9, 0.901, controls=controls, test=test, dense=dense)
        told = headline(verdict(found))
        assert "the random control does as well (90.00 %): " in told
        assert "; and 360 test examples tell an accuracy only to ±3.1 points" in told

    def test_a_file_keeps_what_the_test_set_tells(self, tmp_path):
        written = verdict(
            level(1, 0.24, 0.25, 0.24, dense=trials(0.2, 0.2, 0.2), test=TestSet(400, 0.27))
        )
        (tmp_path / "judged").mkdir()
        search = Search(tmp_path, {}, [])
        path, values = tmp_path / "judged" / "verdict.json", written.to_json()
        path.write_text(json.dumps(values))
        read = Verdict.load(search)
        assert read is not None
        assert [one.verdict for one in read.levels] == ["dense", "at chance"]
        del values["test_set"]  # As prac 0.1 wrote it.
        path.write_text(json.dumps(values))
        read = Verdict.load(search)
        assert read is not None
        assert read.levels[1].verdict == "winning"


class TestChance:
    @given(st.integers(1, 2000), st.floats(0.05, 1))
    def test_one_answer_for_all_is_at_chance_and_all_right_is_not(self, size, chance):
        told = TestSet(size, chance)
        assert told.is_at_chance(chance)
        assert told.is_at_chance(0.0)
        assert told.is_at_chance(1.0) == (chance**size >= 0.05)

    @given(st.integers(1, 500), st.floats(0.01, 0.99), st.floats(0, 1), st.floats(0, 1))
    def test_a_higher_accuracy_is_never_the_one_at_chance(self, size, chance, one, other):
        told, (low, high) = TestSet(size, chance), sorted((one, other))
        assert told.is_at_chance(low) or not told.is_at_chance(high)

    def test_what_has_no_classes_has_no_chance(self):
        assert not TestSet(10).is_at_chance(0.0)

    @given(st.integers(1, 10**6), st.floats(0, 1))
    def test_more_examples_tell_more(self, size, accuracy):
        assert TestSet(2 * size).half_width(accuracy) < TestSet(size).half_width(accuracy) < 0.5


class TestBest:
    def test_the_sparsest_that_matches(self):
        found = verdict(level(1, 0.9, 0.9, 0.9), level(2, 0.8, 0.8, 0.8), level(3, 0.9, 0.9, 0.9))
        assert found.best_level == 3
        assert "Denser tickets do not match, though: level 2." in list(sentences(found))
        assert headline(found).startswith("Ticket 3 is the sparsest")

    def test_none_is_said_in_a_line(self):
        found = verdict(level(1, 0.8, 0.8, 0.8), level(2, 0.7, 0.7, 0.7))
        assert found.best_level is None
        with pytest.raises(PracError, match=r"runs/x: no ticket matches .* levels 1 and 2.$"):
            found.best()
        assert headline(found) == ("No ticket matches the dense network (judged: levels 1 and 2).")

    def test_one_seed_is_told(self):
        found = verdict(level(1, 0.9, dense=trials(0.9)))
        with pytest.raises(PracError, match=r"with one seed no verdict .* judge with more seeds"):
            found.best()
        assert "One run says nothing" in " ".join(sentences(found))

    def test_json_holds_what_was_decided(self):
        found = verdict(level(1, 0.9, 0.9, 0.9, controls={"random": trials(0.1, 0.2, 0.1)}))
        facts = found.to_json()
        assert facts["best_level"] == 1
        (_, sparse) = facts["levels"]
        assert sparse["verdict"] == "winning"
        assert sparse["ticket"]["n"] == 3
        assert sparse["ticket"]["runs"][2] == {"seed": 2, "accuracy": 0.9, "folder": "at/2"}
        assert sparse["controls"]["random"]["as_good"] is False
        assert 0 < sparse["controls"]["random"]["p_value"] < 0.01


class TestWords:
    def test_disagreement_either_way(self):
        assert "At level 1 definition and test disagree: within one" in said(
            level(1, 0.87, 0.89, 0.911)
        )
        unsure = level(2, 0.80, 0.95, 0.85)
        assert unsure.verdict == "not"
        assert "more than one standard deviation below dense, but" in said(unsure)
        # Differences vary by 0.076: 1,450 seeds for 0.005, of which nobody has so many.
        assert "would tell half a point: prac judge --plan has what they cost." in said(unsure)
        assert "half a point" not in said(level(2, 0.88, 0.90, 0.92))
        agreed = said(level(1, 0.9, 0.91, 0.89), level(2, 0.5, 0.51, 0.49))
        assert "disagree" not in agreed

    def test_dense_runs_far_apart_are_told(self):
        far, near = trials(0.85, 0.90, 0.95), trials(0.89, 0.90, 0.91)
        assert "(a standard deviation of 5.0 points)" in said(level(1, 0.8, 0.9, 0.9, dense=far))
        assert "far apart" not in said(level(1, 0.8, 0.9, 0.9, dense=near))

    def test_each_control_as_good_has_its_consequence(self):
        same = trials(0.9, 0.9, 0.91)
        names = ("reinitialised", "shuffled", "random")
        text = said(level(4, 0.9, 0.9, 0.91, controls=dict.fromkeys(names, same)))
        for name in names:
            assert f"The {name} control does as well as the ticket at level 4: " in text
        assert "no winning ticket in Frankle and Carbin's sense" in text
        assert "only how many each layer keeps" in text
        assert "bought nothing" in text

    def test_a_worse_control_is_reliably_so_or_maybe_by_chance(self):
        low, wild = trials(0.70, 0.71, 0.70), trials(0.70, 0.96, 0.88)
        ticket = (0.90, 0.90, 0.91)
        assert "control does reliably worse than the ticket at level 1: which weights" in said(
            level(1, *ticket, controls={"shuffled": low})
        )
        assert "these few runs may be so by chance" in said(
            level(1, *ticket, controls={"shuffled": wild})
        )

    def test_levels_in_words(self):
        assert [listed(x) for x in ([3], [1, 2], [0, 1, 4])] == [
            "level 3",
            "levels 1 and 2",
            "levels 0, 1 and 4",
        ]

    @pytest.mark.parametrize("width", [80, 200])
    def test_80_columns_hold_every_figure(self, width):
        same, hill = trials(0.88123, 0.90456, 0.92789), Barrier((0.0, 1.0, 0.0))
        names = ("reinitialised", "shuffled", "random")
        levels = [
            level(index, 0.5, 0.9, 1.0, controls=dict.fromkeys(names, same), barrier=hill)
            for index in (1, 15)
        ]
        file = io.StringIO()
        console = Console(file=file, width=width)
        console.print(verdict_text(verdict(*levels)))
        lines = file.getvalue().splitlines()
        assert max(map(len, lines)) <= width
        rows = [" ".join(line.split()) for line in lines]
        assert "0 100.00% 3 90.00 ±4.97 - - - dense" in rows
        assert "15 3.52% 3 80.00 ±65.72 -10.00 0.277 100.00 not" in rows
        assert "15 80.00 ±65.72 90.46 ±5.80 = 90.46 ±5.80 = 90.46 ±5.80 =" in rows
