"""Winning end to end: what is searched, trained and counted, what ends it, what is refused."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import prac
from prac.errors import FolderError, PracError
from prac.evaluation import Trial, Trials, Verdict
from prac.io import read_json
from prac.runs import Cost, Lock
from prac.winning import LADDER, WITH_BATCHNORM
from prac.winning.climbing import Climb, Searching
from prac.winning.ladder import rungs
from prac.winning.result import Tried, Win
from prac.winning.winning import level_at

METHODS = ("carried", "imp")


class KilledError(BaseException):
    """Stands for whatever ended the process."""


class Watched:
    """A watcher that keeps what it is shown, and may end the process."""

    def __init__(self, most: int | None = None) -> None:
        self.events: list[prac.Event] = []
        self.most = most

    def __call__(self, event: prac.Event) -> None:
        if event.kind != "step":  # They come by the clock.
            self.events.append(event)
            if len(self.events) == self.most:
                raise KilledError

    def count(self, kind: str) -> int:
        return sum(event.kind == kind for event in self.events)


@pytest.fixture
def shared(config):
    """What the methods share: four levels, few epochs."""
    return config("imp", levels=4, train=prac.TrainConfig(epochs=3, batch_size=50, lr=0.1))


@pytest.fixture
def win(small_net, digits, train, val, shared):
    """Win as asked for; return what was found and what was watched."""

    def call(**options) -> tuple[Win, Watched]:
        watched = Watched(options.pop("most", None))
        given = {
            "out": "w", "methods": METHODS, "seeds": (0, 1), "val": val, "callback": watched,
            "controls": ("random",), "test": (digits[0][400:600], digits[1][400:600]), **options,
        }  # fmt: skip
        make = given.pop("make", lambda: small_net(seed=int(torch.randint(2**31, ()))))
        data = given.pop("train", train)
        return prac.win(make, data, given.pop("config", shared), **given), watched

    return call


@pytest.fixture(scope="module")
def kept(tmp_path_factory):
    return tmp_path_factory.mktemp("kept") / "w"


@pytest.fixture
def before(win, kept):
    """The folder of a win, made once for all tests that begin with it."""
    if not kept.exists():
        found, _ = win()
        assert found.ended is not None
        shutil.copytree("w", kept)
        shutil.rmtree("w")
    shutil.copytree(kept, "w")
    return Path("w")


def without_seconds(value):
    """Return JSON values but for times."""
    if isinstance(value, dict):
        return {n: without_seconds(of) for n, of in value.items() if n != "seconds"}
    return [without_seconds(of) for of in value] if isinstance(value, list) else value


class FakeClimb(Climb):
    """A climb whose tickets match down to a level that each method is said to reach."""

    reach: dict[str, int]
    likely: tuple[tuple[str, int], ...] = ()
    log: list[tuple[str, int, int]]
    asked: list[tuple[str, int]]

    def _searched(self, searching, level, number):
        if not self._affords(searching.most_iterations(level)):
            return None
        until, first = searching._until(level), 0
        if searching._after is not None:
            first = searching._after[1]
        if level > searching._reached:
            self.log.append((searching.spec.name, first, until))
            searching._reached, searching._after = until, (Path(searching.spec.name), until)
        searching._found = FakeSearch(searching.spec.name)
        return searching._found

    def _is_at_chance(self, search):
        self.proof = object()  # type: ignore[assignment]
        self._add(dense=Trials((Trial(0, 0.9, ""), Trial(1, 0.9, ""))), dense_cost=Cost(200))
        return False

    def _judged(self, spec, search, level, *, hasty):
        self.asked.append((spec.name, level))
        is_taken = hasty and (spec.name, level) in self.likely
        runs = (Trial(0, 0.9, ""),) if is_taken else (Trial(0, 0.9, ""), Trial(1, 0.9, ""))
        matches = is_taken or level <= self.reach[spec.name]
        others = [of for of in self.win.tried if (of.method, of.level) != (spec.name, level)]
        new = Tried(spec.name, spec.name, level, 0.8**level, runs, matches, Cost(100 * len(runs)))
        self._add(tried=(*others, new))
        return matches

    def _conclude(self):
        pass

    def _add(self, **found):
        self.win = replace(self.win, **found)


class FakeSearch:
    def __init__(self, name):
        self.path, self.levels = name, []


@pytest.fixture
def climb(config, monkeypatch):
    """Climb a ladder of fake searches; return the climb at its end."""

    def call(reach, *, levels=16, target=None, budget=None, likely=(), controls=()) -> FakeClimb:
        shared = config("imp", levels=levels)
        begun = Win(
            Path("w"), tuple(reach), (0, 1), levels, 2, budget, None, controls, {}, Cost(100)
        )
        climb = FakeClimb(None, rungs(tuple(reach), shared), begun, target)
        climb.reach, climb.likely, climb.log, climb.asked = reach, likely, [], []
        each = {"carried": 10, "imp": 100}

        def most(searching, level):
            first = 0 if searching._after is None else searching._after[1]
            if level <= searching._reached:
                return 0
            return each[searching.spec.name.partition(":")[0]] * (searching._until(level) - first)

        monkeypatch.setattr(Searching, "most_iterations", most)
        climb.run()
        return climb

    return call


DEARER = "carried:dense-budget=1"


class TestTheLadder:
    def test_a_dearer_method_goes_on_from_the_sparsest_that_matched(self, climb):
        found = climb({"carried": 5, DEARER: 9, "imp": 12})
        assert found.log == [
            ("carried", 0, 16),
            (DEARER, 4, 16),
            ("imp", 8, 10),  # No further than it is judged.
            ("imp", 10, 12),
            ("imp", 12, 14),
        ]
        assert [of[1] for of in found.asked] == [8, 6, 2, 4, 6, 8, 12, 10, 10, 12, 14]
        assert found.win.ended == "bracketed"
        assert (found.win.best.level, found.win.missed.level) == (12, 14)

    def test_where_none_matched_it_searches_from_the_beginning(self, climb):
        found = climb({"carried": 0, "imp": 3})
        assert [of[:2] for of in found.log][:2] == [("carried", 0), ("imp", 0)]
        assert ("carried", 1) in found.asked
        assert found.win.best.method == "imp"

    def test_where_the_last_level_matches_nothing_dearer_is_tried(self, climb):
        found = climb({"carried": 16, "imp": 16})
        assert {of[0] for of in found.log} == {"carried"}
        assert (found.win.ended, found.win.best.level) == ("sparsest", 16)

    def test_where_nothing_matches_it_says_so(self, climb):
        found = climb({"carried": 0, "imp": 0})
        assert (found.win.ended, found.win.best) == ("none", None)
        assert not found.win.succeeded

    def test_a_density_is_looked_for_alone_by_each_method_in_turn(self, climb):
        found = climb({"carried": 5, "imp": 9}, target=7)
        assert found.asked == [("carried", 7), ("imp", 7)]
        assert found.log == [("carried", 0, 7), ("imp", 0, 7)]
        assert found.win.ended == "asked"
        found = climb({"carried": 5, "imp": 6}, target=7)
        assert (found.win.ended, found.win.succeeded) == ("spent", False)

    def test_a_budget_ends_it_with_what_is_proven(self, climb):
        for budget in range(8, 40):
            found = climb({"carried": 5, "imp": 16}, budget=budget, controls=("random",))
            reserved = 2 * 100  # The controls', which are not trained here.
            assert found.win.spent + reserved <= 100 * budget
            assert found.win.ended in ("budget", "bracketed", "sparsest")
        assert climb({"carried": 5, "imp": 16}, budget=8).win.ended == "budget"

    def test_what_was_taken_to_match_is_proven_or_falls(self, climb):
        likely = tuple(("carried", level) for level in range(1, 12))
        found = climb({"carried": 7}, likely=likely)
        assert found.win.best.level <= 7
        assert len(found.win.best.runs) == 2
        levels = [of.level for of in found.win.tried if of.matches]
        assert max(levels) == found.win.best.level
        for budget in range(6, 30):
            found = climb({"carried": 7}, likely=likely, budget=budget)
            assert found.win.spent <= 100 * budget
            assert found.win.best is None or found.win.best.level <= 7


class TestWhatIsFound:
    def test_it_is_written_and_read_back(self, before):
        found = Win.load(before)
        assert found.ended in ("bracketed", "sparsest")
        assert json.loads(json.dumps(found.to_json())) == read_json(before / "win.json")
        assert found.succeeded
        assert found.verdict.index == found.best.level
        assert list(found.verdict.controls) == ["random"]
        assert found.verdict.dense == found.dense
        assert found.verdict.ticket.runs == found.best.runs

    def test_the_ticket_is_the_search_s_and_its_verdict_there_too(self, before):
        found = Win.load(before)
        search = prac.Search.load(found.best.path)
        ticket = prac.Ticket.load(before / "ticket.safetensors")
        assert ticket.digest == search.tickets[found.best.level].digest
        assert Verdict.load(search).best_level == found.best.level
        assert found.tried[0].method == "carried"

    def test_the_ledger_has_each_search_and_each_training_once(self, before):
        found = Win.load(before)
        trainings = [read_json(of) for of in before.glob("trained/*/summary.json")]
        assert found.bill.proof.iterations == sum(of["cost"]["iterations"] for of in trainings)
        assert len(trainings) >= 2 * 3  # Dense, ticket and control.
        own = 0
        for of in found.searches:
            levels = prac.Search.load(of.path).levels
            own += sum(level.cost.iterations for level in levels if level.index >= of.first)
        assert found.bill.search.iterations == own
        total = own + found.bill.proof.iterations
        assert found.spent == total
        # IMP's levels down to the ticket's; then dense, ticket and control, with two seeds each.
        imp = found.best.level * 18 + 3 * 2 * 18
        assert found.bill.imp.iterations == imp
        assert found.bill.ratio == total / imp

    def test_what_is_tried_in_vain_is_not_charged_to_imp(self, before):
        found = Win.load(before)
        vain = replace(
            found.tried[0], level=found.levels, matches=False, cost=Cost(1000, 1000, 0, 1.0)
        )
        more = replace(found, tried=(*found.tried, vain))
        assert more.bill.imp.iterations == found.bill.imp.iterations
        assert more.bill.total.iterations == found.bill.total.iterations + 1000
        assert replace(found, tried=()).bill.ratio is None

    def test_it_is_what_judge_says_of_that_search(self, before, small_net, digits, train, val):
        found = Win.load(before)
        verdict = prac.judge(
            found.best.path, lambda: small_net(seed=int(torch.randint(2**31, ()))), train,
            val=val, test=(digits[0][400:600], digits[1][400:600]), seeds=(0, 1),
            levels=[found.best.level], cache=before / "trained",
        )  # fmt: skip
        assert verdict.levels[-1].ticket == found.verdict.ticket
        assert verdict.levels[-1].matches


class TestAgain:
    def test_nothing_is_trained_twice(self, before, win):
        again, watched = win()
        assert again == Win.load(before)
        assert watched.count("epoch") == 0

    def test_killed_at_any_event_it_goes_on_to_the_same_end(self, before, win):
        wanted = without_seconds(read_json(before / "win.json"))
        ticket = (before / "ticket.safetensors").read_bytes()
        shutil.rmtree("w")
        kills = 0
        for most in range(5, 200, 7):  # What was done is told again, in a few events.
            try:
                win(most=most)
                break
            except KilledError:
                kills += 1
        assert kills > 3
        assert without_seconds(read_json(Path("w/win.json"))) == wanted
        assert Path("w/ticket.safetensors").read_bytes() == ticket

    def test_more_seeds_train_only_what_is_new(self, before, win):
        _, watched = win(seeds=(0, 1, 2))
        assert watched.count("level") == 0 or watched.count("retrained") > 0
        assert watched.count("retrained") > 0
        trained = len(list(before.glob("trained/*/summary.json")))
        _, watched = win(seeds=(0, 1, 2))
        assert watched.count("epoch") == 0
        assert len(list(before.glob("trained/*/summary.json"))) == trained

    def test_other_settings_and_other_data_are_refused(self, before, win, shared, digits):
        told = "w: was begun with other settings: lr .there 0.1, here 0.2."
        other = replace(shared, train=replace(shared.train, lr=0.2))
        with pytest.raises(FolderError, match=told):
            win(config=other)
        with pytest.raises(FolderError, match="fingerprint"):
            win(train=(digits[0][:250], digits[1][:250]))

    def test_one_process_at_a_time(self, before, win):
        with Lock(before), pytest.raises(FolderError, match="is working in this folder"):
            win()

    def test_a_damaged_file_names_itself_and_the_remedy(self, before, win):
        values = read_json(before / "win.json")
        for changed in ({"ended": "tomorrow"}, {"seeds": "x"}, {"tried": [{"level": 1}]}):
            (before / "win.json").write_text(json.dumps({**values, **changed}))
            with pytest.raises(PracError, match=r"win.json: .*; remove the file: prac win makes"):
                Win.load(before)
        (before / "win.json").unlink()
        again, watched = win()
        assert watched.count("epoch") == 0
        assert again.succeeded


class TestWhatEndsIt:
    def test_a_budget_is_kept(self, win):
        for budget in (7.5, 9, 12):
            found, _ = win(out=f"w{budget}", budget=budget, controls=())
            assert found.spent <= budget * 18

    def test_a_density_is_judged_alone(self, win):
        found, _ = win(density=0.65, methods=("carried",))
        assert {of.level for of in found.tried} == {2}
        assert found.searches[0].last == 2
        assert found.ended in ("asked", "spent")
        assert found.succeeded is (found.ended == "asked")
        assert found.ticket.exists() is found.succeeded
        assert not found.succeeded or found.ticket.stat().st_nlink == 1  # No other name of it.

    def test_more_levels_are_looked_at_in_the_same_folder(self, win, before, shared):
        known = set(Path(before, "trained").iterdir())
        found, watched = win(config=replace(shared, levels=5))
        assert (found.levels, found.ended) == (5, Win.load(before).ended)
        assert {of.last for of in found.searches if of.method == "carried"} == {5}
        assert found.dense is not None
        assert {Path(run.folder) for run in found.dense.runs} <= known  # Nothing of it is repeated.
        assert watched.count("retrained") == len(set(Path(before, "trained").iterdir()) - known)

    def test_methods_that_nobody_names_suit_the_network(self, win, digits):
        assert win(methods=None, density=0.65)[0].methods == WITH_BATCHNORM
        plain = {"make": lambda: nn.Sequential(nn.Flatten(), nn.Linear(64, 10)), "density": 0.65}
        assert win(methods=None, out="plain", **plain)[0].methods == LADDER

    def test_dense_at_chance_ends_it_at_once(self, win, digits):
        drawn = torch.randint(10, (200,), generator=torch.Generator().manual_seed(0))
        found, watched = win(test=(digits[0][400:600], drawn))
        assert (found.ended, found.best, len(found.tried)) == ("at chance", None, 0)
        assert watched.count("retrained") == 2


REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "no test data": ({"test": None}, "there is no test data"),
    "one seed": ({"seeds": (0,)}, r"seeds are \[0\]: one says nothing of the next"),
    "a seed twice": ({"seeds": (0, 0)}, "seeds names 0 twice"),
    "an unknown method": ({"methods": ("impp",)}, "unknown method 'impp': did you mean 'imp'"),
    "an unknown control": ({"controls": ("randon",)}, "unknown control 'randon'"),
    "a density too low": ({"density": 0.1}, r"density is 0.1: expected 0.4\d*, ticket 4's, to"),
    "the dense network's": ({"density": 1.0}, "to below 1"),
    "one method's name": ({"methods": "imp"}, r"methods is the text 'imp': expected a list"),
    "one control's name": ({"controls": "random"}, "controls is the text 'random': expected a"),
    "no distance": ({"within": 0}, "within"),
    "a small budget": ({"budget": 3}, "budget is 3 full trainings, but the first search, .* take "),
    "rewinding rates": ({"methods": ("lr-rewinding",)}, "by being trained again"),
    "a method that a task says too little for": (
        {
            "methods": ("imp", "cts"),
            "task": prac.Task(prediction=lambda outputs: outputs.argmin(1)),
        },
        "method 'cts': score is 'cts', which compares predicted classes",
    ),
    "another's folder": ({"out": "theirs"}, "is a folder that prac does not know"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_is_refused_before_anything_is_trained(name, win):
    Path("theirs").mkdir()
    Path("theirs/notes.txt").write_text("Mine.\n")
    changes, told = REFUSED[name]
    with pytest.raises(PracError, match=told) as error:
        win(**changes)
    assert "\n" not in str(error.value)
    assert not Path("w").exists()
    assert [path.name for path in Path("theirs").iterdir()] == ["notes.txt"]


def test_a_density_between_two_is_the_next_below():
    densities = [0.8**level for level in range(5)]
    assert [level_at(of, densities) for of in (0.99, 0.8, 0.64, 0.639)] == [1, 1, 2, 3]
    # Of whole weights: 0.4096 of 50,200 is none.
    assert level_at(0.4096, [1.0, 0.8, 0.64, 0.512, 20562 / 50200]) == 4


def test_a_network_in_the_place_of_its_maker_is_told(small_net, train, val, config, tmp_path):
    with pytest.raises(PracError, match="make_model is a network: expected what makes a fresh one"):
        prac.win(small_net(), train, config(), val=val, test=val, out=tmp_path / "win")


@pytest.mark.parametrize("method", ["gem-miner", "cts"])
def test_learned_masks_are_searched_from_the_dense_network(
    method, small_net, train, val, config, tmp_path
):
    settings = config("imp", levels=3)
    told = {"val": val, "test": val, "seeds": (0, 1), "controls": ()}
    found = prac.win(
        small_net, train, settings, out=tmp_path / "win", methods=(method,), within=1, **told
    )
    assert found.ended is not None
    assert {(of.first, of.last) for of in found.searches} == {(0, 3)}
