"""Searches on corrupted data end to end: what they find, how far they go, what is refused."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch

import prac
from prac.algorithms import kept
from prac.data import Corruption, TensorExamples, corrupted
from prac.errors import PracError
from prac.evaluation.corrupted_search import CorruptedSearch
from prac.io import kind_at
from prac.search import Search
from prac.utils import derive_seed

SHORT = prac.TrainConfig(epochs=1, batch_size=50, lr=0.1)
WHAT: dict[str, Corruption] = {"corrupted-labels": "labels", "corrupted-inputs": "inputs"}
BOTH = tuple(WHAT)


class Told:
    """A watcher that keeps what is told."""

    def __init__(self, stop_at: int | None = None) -> None:
        self.events: list[prac.Event] = []
        self.stop_at = stop_at

    def __call__(self, event: prac.Event) -> None:
        self.events.append(event)
        if event.kind == "level" and event.level == self.stop_at:
            raise KeyboardInterrupt

    def levels(self, kind: str) -> list[int]:
        return [event.level for event in self.events if event.kind == kind]

    @property
    def notes(self) -> list[str]:
        return [event.facts["text"] for event in self.events if event.kind == "note"]


@pytest.fixture
def fresh(small_net):
    return lambda: small_net(seed=int(torch.randint(2**31, ())))


@pytest.fixture
def search(small_net, train, val, config, tmp_path) -> Search:
    settings = config(levels=3, train=SHORT)
    return prac.find(small_net(), train, settings, val=val, out=tmp_path / "run")


@pytest.fixture
def judge(search, fresh, train, val, digits):
    test = digits[0][400:500], digits[1][400:500]

    def run(controls=BOTH, levels=(2,), stop_at=None, **options):
        told = Told(stop_at)
        given = {"seeds": (0,), "val": val, "test": test, "callback": told, **options}
        verdict = prac.judge(
            given.pop("search", search),
            fresh,
            given.pop("train", train),
            controls=controls,
            levels=levels,
            **given,
        )
        return verdict, told

    return run


def tickets(run: Path) -> list[prac.Ticket]:
    found = Search.load(run).tickets
    return [found[level] for level in range(len(found))]


def same(one: prac.Ticket, other: prac.Ticket) -> bool:
    return one.digest == other.digest


def test_the_mask_is_the_same_search_s_on_corrupted_data(search, judge, small_net, train, val):
    verdict, _ = judge()
    for name in BOTH:
        found = search.path / "judged" / name
        bad = [
            corrupted(TensorExamples(*pair), WHAT[name], derive_seed(0, name, part))
            for pair, part in ((train, "train"), (val, "val"))
        ]
        again = prac.find(
            small_net(), bad[0], search.config, val=bad[1], out=search.path.parent / name
        )
        mine = tickets(found)
        assert len(mine) == 3, "as far as ticket 2, which is the sparsest judged"
        assert all(map(same, mine, tickets(again.path)[:3])), "and like the whole search's"
        assert not same(mine[1], search.tickets[1])
        [run] = verdict.levels[1].controls[name].runs
        assert json.loads(Path(run.folder, "environment.json").read_text())["ticket"]


def test_a_control_differs_from_its_ticket_in_the_mask_alone(search, judge):
    judge()
    ticket = search.tickets[2]
    for name in BOTH:
        control = CorruptedSearch(search, name).control(ticket)
        assert kept(control.masks) == kept(ticket.masks)
        assert list(control.masks) == list(ticket.masks)
        assert any(not torch.equal(control.masks[n], m) for n, m in ticket.masks.items())
        assert all(torch.equal(control.weights[n], w) for n, w in ticket.weights.items())
        assert control.is_fine_tuned == ticket.is_fine_tuned
        assert (control.level, control.provenance["control"]) == (2, name)


def test_it_is_searched_once_and_goes_on_where_more_is_judged(search, judge):
    _, first = judge(("corrupted-labels",), levels=(1,))
    assert first.levels("contest") == [0]
    assert first.levels("pruned") == [1], "one level was trained"
    path = search.path / "judged" / "corrupted-labels"
    assert (len(tickets(path)), kind_at(path)) == (2, "search")
    one = tickets(path)[1]
    _, again = judge(("corrupted-labels",), levels=(1,), seeds=(0, 1))
    assert again.levels("contest") == again.levels("level") == []
    _, more = judge(("corrupted-labels",), levels=(1, 3))
    assert more.levels("pruned") == [2, 3]
    assert Search.load(path).finished
    assert same(tickets(path)[1], one)
    assert judge(("corrupted-labels",), levels=(1, 3))[1].levels("level") == []


def test_what_was_stopped_goes_on_to_the_same(search, judge):
    with pytest.raises(KeyboardInterrupt):
        judge(stop_at=1)
    judged = search.path / "judged"
    assert kind_at(judged) == "cache", "a folder to go on in, with nothing but the search yet"
    _, told = judge()
    assert told.levels("pruned") == [2, 1, 2]
    whole = tickets(judged / "corrupted-labels")
    (judged / "corrupted-labels").rename(judged.parent / "stopped")
    judge()
    assert all(map(same, whole, tickets(judged / "corrupted-labels")))


def test_its_cost_is_told_before_anything_is_trained(judge, search):
    _, told = judge()
    kinds = [event.kind for event in told.events]
    [cost] = [note for note in told.notes if "a search each comes first" in note]
    # Six steps a level: 300 examples in batches of 50. What PrAC leaves out makes levels shorter.
    took = search.cost(2).cost.iterations
    assert cost == (
        "corrupted-labels and corrupted-inputs: a search each comes first, up to ticket 2 of up to "
        f"12 iterations (the run's own took {took}, but on corrupted data little is easy)"
    )
    assert kinds.index("note") < kinds.index("level") < kinds.index("trial")
    assert [e.facts["method"] for e in told.events if e.kind == "contest"] == list(BOTH)


def test_a_search_that_trains_nothing_is_told_without_its_length(
    small_net, train, val, tmp_path, judge
):
    settings = prac.SearchConfig.method(
        "snip", levels=1, train=SHORT, prune=prac.PruneConfig(when="at-init", layers="conv+linear")
    )
    run = prac.find(small_net(), train, settings, val=val, out=tmp_path / "snip")
    _, told = judge(("corrupted-labels",), levels=(1,), search=run)
    assert "corrupted-labels: a search comes first, up to ticket 1" in told.notes


def test_a_ticket_that_was_there_and_is_not_is_told(judge, search):
    judge(("corrupted-labels",))
    folder = search.path / "judged/corrupted-labels"
    (folder / "levels/02/ticket.safetensors").unlink()
    control = CorruptedSearch(search, "corrupted-labels")
    with pytest.raises(PracError, match="its ticket 2 is missing, which was there: remove the"):
        control.control(search.tickets[2])


def test_a_control_is_no_run_to_judge(judge, search):
    judge(("corrupted-labels",))
    own = Search.load(search.path / "judged/corrupted-labels")
    told = "was searched on corrupted labels, as a control: judge the run in whose folder it lies"
    with pytest.raises(PracError, match=told):
        judge((), search=own)


def test_one_shot_plans_as_many_levels_as_the_run(small_net, train, val, config, tmp_path, judge):
    prune = prac.PruneConfig(when="one-shot", layers="conv+linear")
    settings = config("imp", levels=4, train=SHORT, prune=prune)
    run = prac.find(small_net(), train, settings, val=val, out=tmp_path / "shot")
    judge(("corrupted-labels",), levels=(2,), search=run)
    found = tmp_path / "shot/judged/corrupted-labels"
    assert len(tickets(found)) == 3
    assert Search.load(found).settings["levels"] == 4


def test_a_search_on_a_set_is_repeated_on_the_same_set(
    search, small_net, train, val, config, tmp_path, judge
):
    run = prac.find(
        small_net(),
        train,
        config("imp", levels=2, train=SHORT),
        val=val,
        subset=search.subset(2),
        out=tmp_path / "on-set",
    )
    judge(("corrupted-inputs",), levels=(1,), search=run)
    found = Search.load(run.path / "judged/corrupted-inputs")
    assert torch.equal(found.subset(0).indices, search.subset(2).indices)


class TestRefusals:
    def refused(self, judge, told: str, **options) -> None:
        with pytest.raises(prac.PracError, match=told) as caught:
            judge(**options)
        assert "so that the search cannot be repeated on corrupted data: leave" in str(caught.value)
        assert "\n" not in str(caught.value)

    def test_other_data_is_not_what_was_searched_on(self, judge, digits, search):
        other = digits[0][500:800], digits[1][500:800]
        self.refused(judge, "searched on something else: fingerprint", train=other)
        assert not (search.path / "judged").exists(), "before anything is trained"

    def test_code_of_one_s_own(self, judge, small_net, train, val, config, tmp_path):
        run = prac.find(
            small_net(),
            train,
            config(levels=1, train=SHORT),
            val=val,
            out=tmp_path / "own",
            stop=lambda distances: False,
        )
        self.refused(judge, r"code of your own \(stop\)", search=run, levels=(1,))

    def test_a_search_that_went_on_from_another(
        self, judge, search, small_net, train, val, config, tmp_path
    ):
        run = prac.find(
            small_net(), train, search.config, val=val, out=tmp_path / "on", after=(search, 1)
        )
        self.refused(judge, "goes on from another search's ticket", search=run)

    def test_a_loop_of_one_s_own(self, judge, search):
        path = search.path / "environment.json"
        path.write_text(json.dumps({**json.loads(path.read_text()), "loop": "attach"}))
        self.refused(judge, "training loop of your own")

    def test_a_folder_of_another_search_is_told(self, judge, search, small_net, train, val, config):
        judge(("corrupted-labels",))
        kept_folder = search.path / "judged"
        kept_folder.rename(search.path.parent / "aside")
        other = prac.find(
            small_net(seed=5),
            train,
            config(levels=3, train=SHORT),
            val=val,
            out=search.path.parent / "other",
        )
        (search.path.parent / "aside").rename(other.path / "judged")
        with pytest.raises(
            prac.PracError, match=r"found for another search than .*other holds now"
        ):
            judge(("corrupted-labels",), search=other)

    def test_names_are_told(self, judge):
        with pytest.raises(prac.PracError, match="unknown control 'corrupt-labels'"):
            judge(("corrupt-labels",))


def test_recorded_code_is_not_run_unless_it_is_given(search, judge):
    settings = {**search.settings, "optimizer": "mine:Descent"}
    told = replace(search, settings=settings)
    with pytest.raises(prac.PracError, match=r"trains by code that is not given here \(mine:D"):
        judge(search=told, config=SHORT)
