"""Searching on from another's ticket: what is taken over, how it goes on, what is refused."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest
import torch

import prac
from prac.errors import FolderError, PracError
from prac.io import linked
from prac.search import planned
from prac.training import Problem, RunOptions

CARRIED = prac.LevelConfig(start="carried")
SHORT = prac.StopConfig(rule="never", budget=0.5, dense_budget=0.75)
FILES = ("ticket", "subset", "trained", "examples")
ALL = ("levels/*/*", "metrics.jsonl", "config.yaml")


@pytest.fixture
def find(small_net, train, val):
    """Search in a folder, by settings."""

    def call(config, out, **more) -> prac.Search:
        return prac.find(more.pop("model", small_net()), train, config, val=val, out=out, **more)

    return call


@pytest.fixture
def imp(find, config):
    """A search of three levels by all data at full length."""
    return find(config("imp"), "imp")


def without_seconds(contents: dict[str, bytes]) -> dict[str, bytes]:
    """Return files' bytes, but for how long levels took."""
    kept = {}
    for name, content in contents.items():
        lines = content.splitlines() if name.endswith("summary.json") else []
        kept[name] = b"".join(of for of in lines if b'"seconds"' not in of) if lines else content
    return kept


class TestWhatIsTakenOver:
    def test_a_search_in_two_parts_is_the_search_in_one(self, find, config, imp, run_files):
        longer = config("imp", levels=5)
        whole, parts = find(longer, "whole"), find(longer, "parts", after=(imp, 2))
        mine, others = (
            without_seconds(run_files(of.path, "levels/*/trained*", "levels/*/examples*", ALL[1]))
            for of in (parts, whole)
        )
        assert mine == others
        assert [of.digest for of in map(parts.tickets.__getitem__, range(6))] == [
            of.digest for of in map(whole.tickets.__getitem__, range(6))
        ]

    def test_the_levels_before_are_the_other_s_as_they_are(self, find, config, imp, run_files):
        found = find(config("imp", levels=4), "after", after=(imp, 2))
        for level in ("00", "01"):
            mine, others = (run_files(of.path, f"levels/{level}/*") for of in (found, imp))
            assert mine == others
            assert len(mine) == len(FILES) + 1
        ticket = found.tickets[2]
        assert ticket.digest == imp.tickets[2].digest
        assert ticket.provenance["after"] == ticket.digest
        assert ticket.provenance["settings"]["levels"] == 4
        assert found.finished

    def test_the_ledger_adds_up_what_both_cost(self, find, config, imp):
        short = config("imp", levels=4, stop=prac.StopConfig(rule="never", budget=0.5))
        found = find(short, "after", after=("imp", 2))
        assert [of.iterations for of in found.levels] == [18, 18, 9, 9, 0]
        assert found.cost(4).cost.iterations == 54
        assert found.cost(4).imp.iterations == 72
        assert found.cost(2) == imp.cost(2)
        lines = Path("after/metrics.jsonl").read_text().splitlines()
        assert [f'"level": {n}' in lines[at] for at, n in ((0, 0), (3, 1), (6, 2))] == [True] * 3

    def test_where_weights_are_carried_the_first_level_trains_as_the_dense_one(
        self, find, config, imp, small_net, train
    ):
        carried = config(
            "imp", levels=5, level=replace(CARRIED, prunings=3, lr_factor=0.1), stop=SHORT
        )
        found = find(carried, "after", after=(imp, 2))
        assert [of.iterations for of in found.levels] == [18, 18, 14, 9, 9, 0]
        runtime = RunOptions().runtime("fp32")
        problem = Problem.of(
            small_net(), train, None, task=prac.Task(), runtime=runtime, config=carried.train
        )
        plan = planned(problem, carried, 2)
        assert plan.most_iterations == 14 + 9 + 9
        assert [plan.is_fresh(level) for level in range(5)] == [True, False, True, False, False]
        assert [plan.level(level, 300).lr_at(0) for level in (2, 3)] == [0.1 * 0.1] * 2
        # It begins with the ticket's weights, and all tickets hold them.
        for level in (3, 4, 5):
            weights = found.tickets[level].weights
            assert all(torch.equal(of, imp.tickets[2].weights[n]) for n, of in weights.items())
            old, new = found.tickets[level - 1].masks, found.tickets[level].masks
            assert all((old[name] >= new[name]).all() for name in new)

    @pytest.mark.parametrize("rewind", ["iteration:4", "learning-rate"])
    def test_the_rewind_point_is_the_ticket_s(self, find, config, rewind):
        short = find(config("imp", rewind=rewind), "a")
        whole = find(config("imp", rewind=rewind, levels=4), "b")
        parts = find(config("imp", rewind=rewind, levels=4), "c", after=(short, 3))
        assert parts.tickets[4].digest == whole.tickets[4].digest

    def test_sets_are_chosen_by_what_the_level_before_has_shown(self, find, config, run_files):
        short, longer = config("prac"), config("prac", levels=4)
        whole, parts = find(longer, "b"), find(longer, "c", after=(find(short, "a"), 2))
        for level in range(5):
            assert parts.subset(level).digest == whole.subset(level).digest
        assert parts.levels[2].set_parts == whole.levels[2].set_parts
        assert parts.tickets[4].digest == whole.tickets[4].digest

    def test_el2n_scores_are_the_dense_level_s(self, find, config):
        rule = prac.SubsetConfig(rule="el2n", kept_fraction=0.5, el2n_epoch=1)
        short, longer = config("imp", subset=rule), config("imp", subset=rule, levels=4)
        whole, parts = find(longer, "b"), find(longer, "c", after=(find(short, "a"), 1))
        assert parts.tickets[4].digest == whole.tickets[4].digest

    def test_a_search_of_another_choice_begins_with_its_own_set(self, find, config, imp):
        cet = config("imp", levels=4, subset=prac.SubsetConfig(rule="cet"))
        found = find(cet, "after", after=(imp, 2))
        shown = imp.examples(1)
        forgotten = (shown["events"] > 0) | ~shown["learned"]
        assert found.levels[1].set_size == 300
        assert set(found.subset(2).indices.tolist()) >= set(forgotten.nonzero().flatten().tolist())
        assert found.levels[2].set_size < 300

    def test_another_file_system_is_copied_to(self, monkeypatch, tmp_path):
        source = tmp_path / "a"
        source.write_bytes(b"content")
        linked(source, tmp_path / "b" / "a")
        assert os.path.samefile(source, tmp_path / "b" / "a")

        def refuse(*paths):
            raise OSError

        monkeypatch.setattr(os, "link", refuse)
        linked(source, tmp_path / "b" / "a")
        assert not os.path.samefile(source, tmp_path / "b" / "a")
        assert (tmp_path / "b" / "a").read_bytes() == b"content"


class StopAt:
    """Stops, as a killed process would, at an event."""

    class Killed(BaseException):
        pass

    def __init__(self, number: int) -> None:
        self.left = number

    def __call__(self, event: prac.Event) -> None:
        self.left -= 1
        if self.left < 0:
            raise StopAt.Killed


class TestResuming:
    def test_killed_at_any_event_it_goes_on_to_the_same_bytes(self, find, config, imp, run_files):
        settings = config("imp", levels=4, level=CARRIED, stop=SHORT)
        whole = find(settings, "whole", after=(imp, 2))
        wanted = without_seconds(run_files(whole.path, *ALL))
        number = 0
        while True:
            out = f"killed-{number}"
            try:
                find(settings, out, after=(imp, 2), callback=StopAt(number))
                break
            except StopAt.Killed:
                found = find(settings, out, after=(imp, 2))
                assert without_seconds(run_files(found.path, *ALL)) == wanted
            number += 1
        assert number > 8

    def test_killed_while_levels_are_taken_over_it_starts_over(
        self, find, config, imp, run_files, monkeypatch
    ):
        settings = config("imp", levels=4)
        whole = find(settings, "whole", after=(imp, 2))
        wanted = without_seconds(run_files(whole.path, *ALL))
        import prac.search.after as module

        for most in range(10):
            left = most

            def counted(source, path):
                nonlocal left
                left -= 1
                if left < 0:
                    raise StopAt.Killed
                linked(source, path)

            with monkeypatch.context() as patch:
                patch.setattr(module, "linked", counted)
                with pytest.raises(StopAt.Killed):
                    find(settings, f"k{most}", after=(imp, 2))
            found = find(settings, f"k{most}", after=(imp, 2))
            assert without_seconds(run_files(found.path, *ALL)) == wanted

    def test_what_it_goes_on_from_is_part_of_what_it_is(self, find, config, imp):
        settings = config("imp", levels=4)
        find(settings, "after", after=(imp, 2))
        for given in ({"after": (imp, 1)}, {}):
            with pytest.raises(FolderError, match=r"after .there .* give the same one to resume"):
                find(settings, "after", **given)
        find(settings, "plain")
        with pytest.raises(FolderError, match="went on from another ticket, or from none"):
            find(settings, "plain", after=(imp, 2))


class TestRefused:
    @pytest.mark.parametrize(
        ("changes", "told"),
        [
            ({"levels": 2}, "imp: ticket 2 leaves nothing to prune, since levels is 2"),
            ({"prune": prac.PruneConfig(layers="conv+linear", drop_fraction=0.3)}, "drop_fraction"),
            ({"prune": prac.PruneConfig(layers="conv+linear", scope="layer")}, "another scope"),
            ({"prune": prac.PruneConfig(layers="linear")}, "prunes other layers"),
            ({"rewind": "iteration:3"}, "another rewind"),
            (
                {"prune": prac.PruneConfig(layers="conv+linear", when="one-shot")},
                "which it does not train: pruning is 'one-shot'",
            ),
            ({"subset": prac.SubsetConfig(rule="prac")}, "does not tell what the dense network"),
            (
                {"subset": prac.SubsetConfig(rule="el2n", kept_fraction=0.5, el2n_epoch=1)},
                "does not tell its EL2N scores",
            ),
        ],
    )
    def test_settings_that_let_no_search_go_on(self, find, config, imp, changes, told):
        with pytest.raises(PracError, match=told) as error:
            find(config("imp", **{"levels": 4, **changes}), "after", after=(imp, 2))
        assert "\n" not in str(error.value)
        assert not Path("after").exists()

    def test_another_network_and_other_data(self, find, config, imp, small_net, digits, val):
        settings = config("imp", levels=4)
        told = "is a search of another network or of other data: "
        with pytest.raises(PracError, match=f"{told}initial_weights"):
            find(settings, "after", after=(imp, 2), model=small_net(seed=1))
        with pytest.raises(PracError, match=f"{told}(architecture|initial_weights)"):
            find(settings, "after", after=(imp, 2), model=small_net(channels=4))
        other = digits[0][:200], digits[1][:200]
        with pytest.raises(PracError, match=f"{told}fingerprint"):
            prac.find(small_net(), other, settings, val=val, out="after", after=(imp, 2))
        assert not Path("after").exists()

    def test_what_they_were_made_from_is_told(self, find, config, imp, small_net, train, val):
        there, here = {"limit": 200, "model": "net"}, {"limit": 100, "model": "net"}
        find(config("imp"), "named", recipe=there)
        fewer = train[0][:100], train[1][:100]
        told = r"other data: limit \(there 200, here 100\): go on"
        with pytest.raises(PracError, match=told):
            prac.find(
                small_net(), fewer, config("imp", levels=4), val=val, out="after",
                after=("named", 2), recipe=here,
            )  # fmt: skip
        with pytest.raises(PracError, match=r"other data: seed \(there 0, here 3\): go on"):
            find(config("imp", levels=4, seed=3), "after", after=(imp, 2), model=small_net(seed=1))

    @pytest.mark.parametrize("level", [0, 4, -1, "2", True])
    def test_a_level_without_a_ticket(self, find, config, imp, level):
        with pytest.raises(PracError, match=r"has no ticket .* to go on from: has 1 to 3"):
            find(config("imp", levels=4), "after", after=(imp, level))

    def test_a_level_that_is_not_reached_yet(self, find, config):
        with pytest.raises(StopAt.Killed):
            find(config("imp"), "begun", callback=StopAt(4))
        with pytest.raises(PracError, match="has no ticket 1 to go on from: it has none yet"):
            find(config("imp", levels=4), "after", after=("begun", 1))
