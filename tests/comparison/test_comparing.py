"""Comparing end to end: what is searched and trained, what is only read, what is refused."""

from __future__ import annotations

import json
import os
import shutil
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn

import prac
from prac.cli import main
from prac.comparison import compare, levels_to_judge, method_specs
from prac.comparison.entries import MethodSpec, in_order
from prac.config import StopConfig, SubsetConfig
from prac.io import read_settings
from prac.search.parts import GradientScore
from prac.search.rules import GRADIENT_SCORES

METHODS = ("imp", "random-subset@prac")

QUICK = [
    "--model", "lenet_300_100", "--layers", "linear", "--data", "digits", "--limit", "200",
    "--levels", "2", "--epochs", "2", "--batch-size", "50", "--lr", "0.05", "--quiet",
    "--seeds", "0,1",
]  # fmt: skip


class Watched:
    """A watcher that keeps what it is shown."""

    def __init__(self) -> None:
        self.events: list[prac.Event] = []

    def __call__(self, event: prac.Event) -> None:
        self.events.append(event)

    @property
    def contests(self) -> list[tuple[str, int]]:
        return [(e.facts["method"], e.facts["seed"]) for e in self.events if e.kind == "contest"]

    @property
    def retrained(self) -> list[int]:
        return [event.level for event in self.events if event.kind == "retrain"]

    @property
    def searched(self) -> int:
        return sum(event.kind == "level" for event in self.events)

    @property
    def notes(self) -> list[str]:
        return [event.facts["text"] for event in self.events if event.kind == "note"]


@pytest.fixture
def shared(config):
    """What the methods share: two levels of two epochs."""
    return config(
        levels=2,
        train=prac.TrainConfig(epochs=2, batch_size=50, lr=0.1),
        stop=StopConfig(arm="at-once"),
    )


@pytest.fixture
def compared(small_net, digits, train, val, shared):
    """Compare as asked for; return the comparison and what was watched."""

    def call(**options) -> tuple[prac.Comparison, Watched]:
        watched = Watched()
        given = {
            "out": "c", "methods": METHODS, "seeds": (0, 1), "judged": (2,), "val": val,
            "test": (digits[0][400:600], digits[1][400:600]), "callback": watched, **options,
        }  # fmt: skip
        make = given.pop("make", lambda: small_net(seed=int(torch.randint(2**31, ()))))
        data = given.pop("train", train)
        return compare(make, data, given.pop("config", shared), **given), watched

    return call


@pytest.fixture(scope="module")
def kept(tmp_path_factory):
    return tmp_path_factory.mktemp("kept") / "c"


@pytest.fixture
def before(compared, kept):
    """The comparison of METHODS, made once for all tests that begin with it."""
    if not kept.exists():
        compared(out=kept)
    shutil.copytree(kept, "c")
    (Path("c") / "comparison.json").unlink()
    found, watched = compared()
    assert (watched.retrained, watched.searched) == ([], 0)
    return found


class TestWhatIsDone:
    def test_a_seed_after_the_other_costs_before_those_that_take_them(self, compared):
        found, watched = compared()
        each = ["imp", "prac", "random-subset@prac"]
        assert watched.contests == [(name, seed) for seed in (0, 1) for name in each]
        # Asked for are two; the one whose cost is taken stands behind them.
        assert found.methods == ["imp", "random-subset@prac", "prac"]
        # The dense network is one for all methods, and trained once a seed.
        assert watched.retrained == [0, 2, 2, 2] * 2
        assert [[t.level for t in run.tickets] for run in found.runs] == [[0, 2]] * 6
        assert prac.Comparison.load("c") == found

    def test_a_seed_gives_all_methods_the_same_start(self, before):
        def start(method, seed):
            search = prac.Search.load(f"c/runs/{method}/seed-{seed}")
            return search.tickets[0].digest

        assert start("imp", 0) == start("prac", 0) == start("random-subset@prac", 0)
        assert start("imp", 0) != start("imp", 1)

    def test_it_is_what_find_and_retrain_give(
        self, before, small_net, digits, train, val, config, shared
    ):
        torch.manual_seed(1)
        net = small_net(seed=int(torch.randint(2**31, ())))
        imp = prac.SearchConfig.imp(levels=2, train=shared.train, prune=shared.prune, seed=1)
        search = prac.find(net, train, imp, val=val, out="alone")
        test = digits[0][400:600], digits[1][400:600]
        _, history = prac.retrain(
            search.tickets[2], small_net(), train, shared.train, val=val, test=test, seed=1
        )
        run = next(run for run in before.runs if (run.method, run.seed) == ("imp", 1))
        assert run.ticket(2).value == history.test_accuracy
        assert run.ticket(2).cost.iterations == search.cost(2).cost.iterations == 24

    def test_at_anothers_cost_it_takes_its_iterations_and_sizes(self, before):
        by_name = {(run.method, run.seed): run for run in before.runs}
        for seed in (0, 1):
            ours, theirs = (by_name[name, seed].levels for name in ("random-subset@prac", "prac"))
            assert [(a.index, a.iterations) for a in ours] == [
                (b.index, b.iterations) for b in theirs
            ]
            assert [a.set_size for a in ours] == [b.set_size for b in theirs[:-1]] + [
                theirs[1].set_size
            ]
            assert theirs[1].set_size < 300, "otherwise a set of all data would do as well"
            sets = [
                prac.Search.load(f"c/runs/{name}/seed-{seed}").subset(1).indices.tolist()
                for name in ("random-subset@prac", "prac")
            ]
            assert sets[0] != sets[1]

    def test_what_sets_are_made_of_is_told_to_the_last(self, before):
        search = prac.Search.load("c/runs/prac/seed-0")
        told = next(run for run in before.runs if (run.method, run.seed) == ("prac", 0)).levels
        assert [level.set_parts for level in told] == [level.set_parts for level in search.levels]
        assert set(told[2].set_parts) == {"cet", "cep"}
        assert told[2].iterations == 0


class TestAgain:
    def test_the_same_call_trains_nothing_and_says_the_same(self, before, compared):
        written = Path("c/comparison.json").read_bytes()
        again, watched = compared()
        assert (watched.retrained, watched.searched) == ([], 0)
        assert again == before
        assert Path("c/comparison.json").read_bytes() == written

    def test_another_level_method_or_seed_costs_only_itself(self, before, compared):
        _, watched = compared(judged=(1, 2))
        # All three prune the same dense network: their first ticket is one, and trained once.
        assert (watched.retrained, watched.searched) == ([1, 1], 0)
        _, watched = compared(methods=(*METHODS, "snip"))
        assert watched.retrained == [2, 2]
        found, watched = compared(seeds=(0, 1, 2))
        assert {e.facts.get("seed") for e in watched.events if e.kind == "retrain"} <= {2, None}
        assert watched.retrained == [0, 2, 2, 2]
        assert len(found.runs) == 9

    def test_stopped_it_goes_on_to_the_same_end(self, before, compared):
        pieces, stops, seconds = None, 0, 0.001
        while pieces is None:
            try:
                pieces, _ = compared(out="pieces", run_control=prac.RunControl(max_seconds=seconds))
            except prac.Interrupted:
                # Longer each time: a machine that is busy elsewhere gets there too.
                stops, seconds = stops + 1, 0.2 * 1.05**stops
            assert stops < 100, "each call gets on by an iteration at least"
        assert stops

        def accuracies(found):
            return [[t.value for t in run.tickets] for run in found.runs]

        assert accuracies(pieces) == accuracies(before)

    def test_stopped_early_it_tells_what_was_known(self, before, compared):
        def stop(event):
            if event.kind == "contest" and event.facts["number"] == 2:
                raise KeyboardInterrupt

        Path("c/runs/imp/seed-0/note.txt").write_text("left alone")
        with pytest.raises(KeyboardInterrupt):
            compared(callback=stop)
        assert prac.Comparison.load("c") == before


class Refusing(nn.Module):
    """A network that breaks down where it is told to."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, x):
        # By what is no part of the network: mended, it is the same one.
        if os.environ["CONTEST"] == os.environ["BREAKS_IN"]:
            raise RuntimeError("the network\nbroke down")
        return self.inner(x)


class TestFailures:
    @pytest.fixture
    def broken(self, compared, small_net, monkeypatch):
        """Compare with a network that breaks down in the searches of one method."""

        def call(method, **options):
            watched = Watched()
            monkeypatch.setenv("BREAKS_IN", method)
            monkeypatch.setenv("CONTEST", "")

            def follow(event):
                watched(event)
                if event.kind == "contest":
                    monkeypatch.setenv("CONTEST", event.facts["method"])

            def make():
                return Refusing(small_net(seed=int(torch.randint(2**31, ()))))

            found, _ = compared(make=make, callback=follow, out="b", **options)
            return found, watched

        return call

    def test_one_failed_search_does_not_lose_the_others(self, broken):
        found, watched = broken("imp")
        assert [(run.method, run.seed) for run in found.failed] == [("imp", 0), ("imp", 1)]
        assert found.failed[0].error.endswith("the network broke down")
        assert len(found.of("prac")) == len(found.of("random-subset@prac")) == 2
        assert any("imp, seed 0 failed" in note for note in watched.notes)
        report = Path("b/runs/imp/seed-0-error.txt").read_text()
        assert "Traceback" in report
        assert "broke down" in report

    def test_the_same_call_tries_it_again(self, broken):
        broken("imp", seeds=(0,))
        found, watched = broken("none", seeds=(0,))
        assert found.failed == []
        assert watched.retrained == [2], "the dense network is trained, and so are the others"
        assert not Path("b/runs/imp/seed-0-error.txt").exists()
        assert prac.Comparison.load("b").failed == []

    def test_what_takes_its_cost_fails_with_it(self, broken):
        found, _ = broken("prac", seeds=(0,))
        assert {run.method for run in found.failed} == {"prac", "random-subset@prac"}
        error = next(run.error for run in found.failed if "@" in run.method)
        assert "by prac with the same seed did not come to its end" in error


class TestRefusals:
    @pytest.mark.parametrize(
        ("options", "expected"),
        [
            ({"methods": ()}, "methods is empty"),
            ({"methods": ("imp", "imp")}, "'imp' twice"),
            ({"methods": ("impp",)}, "impp.*did you mean 'imp'"),
            ({"methods": ("imp@snip",)}, "snip does not train every level"),
            ({"methods": ("synflow@imp",)}, "synflow does not train every level"),
            ({"methods": ("prac@prac",)}, "at its own cost"),
            ({"methods": ("imp@",)}, "method"),
            ({"judged": (3,)}, "judged names level 3, but the search has levels 0 to 2"),
            ({"judged": (0,)}, "judged names no ticket"),
            ({"seeds": ()}, "seeds are"),
            ({"seeds": (1, 1)}, "names 1 twice"),
            ({"fraction": 0.5}, "a fraction is given but not used"),
            ({"test": None}, "there is no test data"),
            ({"methods": ("el2n",)}, "method 'el2n': el2n_epoch is 10"),
        ],
    )
    def test_what_does_not_fit_is_told_before_anything_is_trained(
        self, compared, options, expected
    ):
        with pytest.raises(prac.PracError, match=expected) as caught:
            compared(**options)
        assert "\n" not in str(caught.value)
        assert not Path("c").exists()

    def test_other_settings_are_refused_and_nothing_is_lost(self, before, compared, config):
        written = Path("c/comparison.json").read_bytes()
        other = config(levels=2, train=prac.TrainConfig(epochs=2, batch_size=50, lr=0.2))
        for _ in range(2):
            with pytest.raises(prac.PracError, match=r"lr \(there 0.1, here 0.2\)"):
                compared(config=other)
            assert Path("c/runs/imp/seed-0/levels/02/summary.json").exists()
            # Without its summary the runs still know what they were begun with.
            Path("c/comparison.json").unlink(missing_ok=True)
        Path("c/comparison.json").write_bytes(written)
        assert compared()[0] == before

    def test_other_data_under_the_same_settings_is_no_failed_search(self, before, compared, train):
        with pytest.raises(prac.PracError, match="begun with other"):
            compared(train=(train[0][:200], train[1][:200]))

    def test_a_run_folder_is_no_comparison(self, compared, small_net, train, val, config):
        prac.find(small_net(), train, config(levels=1), val=val, out="run")
        with pytest.raises(prac.PracError, match="is a search's run folder"):
            compared(out="run")


class TestContestants:
    def test_those_at_anothers_cost_come_after_it(self):
        assert in_order(["rs2@imp", "prac", "imp"]) == ["imp", "rs2@imp", "prac"]

    def test_levels_to_judge(self):
        assert levels_to_judge(20, None) == (0, 5, 10, 15, 20)
        assert levels_to_judge(1, None) == (0, 1)
        assert levels_to_judge(9, [9, 3]) == (0, 3, 9)

    def test_a_method_has_its_own_parts_and_shares_the_rest(self):
        base = prac.SearchConfig(
            levels=4, subset=SubsetConfig(threshold=3, cutoff=0.2), stop=StopConfig(window=7)
        )
        imp = MethodSpec.of("imp", base).config
        assert (imp.levels, imp.subset.rule, imp.subset.threshold) == (4, "all", 0)
        assert (imp.stop.rule, imp.stop.window, imp.subset.cutoff) == ("never", 7, 0.2)
        assert MethodSpec.of("prac", base).config.subset.threshold == 3

    def test_a_fraction_is_for_methods_of_a_fixed_size(self):
        by_name = {
            one.name: one
            for one in method_specs(["rs2", "random-subset", "imp"], prac.SearchConfig(), 0.1)
        }
        assert by_name["rs2"].config.sample.fraction == 0.1
        assert by_name["random-subset"].config.subset.kept_fraction == 0.1
        assert not by_name["imp"].uses_fraction
        # Its own word comes first.
        fixed = "random-subset:kept-fraction=0.2"
        assert not MethodSpec.of(fixed, prac.SearchConfig(), 0.1).uses_fraction
        # At another's cost it has the other's sizes.
        assert not MethodSpec.of("random-subset@prac", prac.SearchConfig(), 0.1).uses_fraction

    def test_at_anothers_cost_nothing_but_iterations_ends_a_level(self):
        base = prac.SearchConfig(stop=StopConfig(window=2, arm="at-once", budget=0.1))
        assert MethodSpec.of("imp@prac", base).config.stop == StopConfig(rule="never")

    def test_a_variant_differs_in_what_it_says(self):
        plain = MethodSpec.of("imp", prac.SearchConfig())
        variant = MethodSpec.of("imp:level-budget=0.1", prac.SearchConfig())
        assert replace(variant.config.stop, budget=None) == plain.config.stop
        assert variant.config.stop.budget == 0.1

    @pytest.mark.parametrize(
        ("name", "expected"),
        [
            ("imp:budget=0.1", "did you mean 'level_budget'"),
            ("imp:level-budget=2", "'imp:level-budget=2': level_budget is 2"),
            ("imp:level-budget=much", "level_budget is 'much'"),
            ("imp:level-budget", "level-budget has no value"),
            ("imp:lr=0.2", "lr is the same for all methods: give it as an option"),
            ("imp:seed=2", "seed is the same for all methods"),
            ("imp:drop-fraction=0.5", "drop_fraction is the same"),
            ("imp:", "unknown option"),
            ("random-subset@imp:train-every=2", "imp:train-every=2 does not train every level"),
        ],
    )
    def test_a_variant_that_cannot_be_is_refused(self, name, expected):
        with pytest.raises(prac.PracError, match=expected):
            MethodSpec.of(name, prac.SearchConfig())

    def test_learning_rate_rewinding_rewinds_as_it_does(self):
        base = prac.SearchConfig(rewind="epoch:1")
        assert MethodSpec.of("lr-rewinding", base).own_rewind
        assert MethodSpec.of("lr-rewinding", base).config.rewind == "learning-rate"
        assert MethodSpec.of("imp", base).config.rewind == "epoch:1"


class TestCommand:
    def test_from_nothing_to_tables_and_back(self, capsys):
        command = ["compare", *QUICK, "--methods", "imp,prac,snip", "--judged", "1,2"]
        assert main(command) == 0
        out = capsys.readouterr().out
        assert {"imp", "prac", "snip"} <= set(out.split())
        assert max(map(len, out.splitlines())) <= 80
        folder = Path("runs/compare-digits-lenet_300_100")
        for name in ("comparison.json", "comparison.svg", "comparison.png"):
            assert (folder / name).stat().st_size > 500
        assert main([*command, "--json"]) == 0
        told = json.loads(capsys.readouterr().out)
        assert told == json.loads((folder / "comparison.json").read_text())
        assert [row["method"] for row in told["summary"]] == ["imp", "prac", "snip"]
        assert told["summary"][0]["iterations"] == 2 * 2 * 4

    def test_without_the_library_of_charts_only_the_picture_is_left_out(self, capsys, monkeypatch):
        monkeypatch.setitem(sys.modules, "vl_convert", None)
        command = ["compare", *QUICK, "--methods", "imp", "--judged", "2", "--out", "c"]
        assert main(command) == 0
        told = capsys.readouterr()
        assert "pip install 'prac-lth[report]'" in told.err
        assert told.out.rstrip().endswith("figures: c/comparison.json")
        assert (Path("c") / "comparison.json").exists()
        assert not (Path("c") / "comparison.svg").exists()

    def test_a_failed_search_is_an_exit_status(self, capsys, monkeypatch):
        command = ["compare", *QUICK, "--methods", "imp,snip", "--judged", "2", "--out", "c"]

        def fail(*_):
            raise RuntimeError("no such score")

        with monkeypatch.context() as patch:
            patch.setitem(GRADIENT_SCORES, "snip", GradientScore(fail, rounds=1))
            assert main(command) == 1
        assert "snip, seed 0 failed: no such score" in " ".join(capsys.readouterr().out.split())
        assert main(command) == 0

    def test_a_run_of_it_has_the_comparisons_settings(self, capsys):
        command = ["compare", *QUICK, "--methods", "rs2,imp", "--fraction", "0.5", "--judged", "1"]
        assert main([*command, "--out", "c"]) == 0
        settings = read_settings(Path("c/runs/rs2/seed-1"))
        assert (settings["sample_fraction"], settings["seed"], settings["lr"]) == (0.5, 1, 0.05)
        # A run's own settings, taken as a file, change nothing that methods have of their own.
        config = ["--config", "c/runs/rs2/seed-1/config.yaml", "--quiet", "--seeds", "0,1"]
        again = ["--methods", "rs2,imp", "--fraction", "0.5", "--judged", "1", "--out", "c"]
        assert main(["compare", *config, *again, "--json"]) == 0
        out = capsys.readouterr().out
        assert json.loads(out[out.index("{") :])["seeds"] == [0, 1]

    @pytest.mark.parametrize(
        ("options", "expected"),
        [
            (["--subset-rule", "cet"], "--subset-rule is given but not used: each method"),
            (["--seed", "3"], "--seed is given but not used: use --seeds"),
            (["--stop-after", "3"], "--stop-after is given but not used: NAME@OTHER"),
            (["--level-budget", "0.5"], "--level-budget is given but not used: each method"),
            (["--methods", "imp", "--epsilon", "0.1"], "--epsilon is given but not used"),
            (["--methods", "snip,synflow", "--rewind", "epoch:1"], "--rewind is given but not"),
            (["--methods", "imp,prca"], "did you mean 'prac'"),
            (["--judged", "9"], "judged names level 9"),
            (["--seeds", "0,0"], "seeds names 0 twice"),
        ],
    )
    def test_what_would_not_be_used_is_refused(self, capsys, options, expected):
        assert main(["compare", *QUICK, *options, "--out", "c"]) == 2
        err = capsys.readouterr().err
        assert expected in err
        assert len(err.splitlines()) == 1
        assert not Path("c").exists()
