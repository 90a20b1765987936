"""Judging end to end: what is trained, what is only read, what is refused."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn

import prac
from prac.cli import main
from prac.data import TensorExamples
from prac.data.augment import Pipeline
from prac.evaluation import retrain_cached
from prac.evaluation.cache import trained_weights
from prac.runs import RunFolder
from prac.training import Problem, RunOptions, Runtime
from tests.data.test_examples import Pairs

QUICK = [
    "--model", "lenet_300_100", "--layers", "linear", "--data", "digits", "--limit", "200",
    "--levels", "2", "--epochs", "2", "--batch-size", "50", "--lr", "0.05", "--quiet",
]  # fmt: skip

SHORT = prac.TrainConfig(epochs=1, batch_size=50, lr=0.1)


class Trainings:
    """A watcher that counts what is trained, not what is read."""

    def __init__(self) -> None:
        self.events: list[prac.Event] = []

    def __call__(self, event: prac.Event) -> None:
        self.events.append(event)

    @property
    def levels(self) -> list[int]:
        return [event.level for event in self.events if event.kind == "retrain"]

    @property
    def notes(self) -> list[str]:
        return [event.facts["text"] for event in self.events if event.kind == "note"]


@pytest.fixture
def test(digits):
    return digits[0][400:600], digits[1][400:600]


@pytest.fixture
def fresh(small_net) -> Callable[[], nn.Module]:
    """Makes a network that draws its weights from torch's generator, as anyone's does."""
    return lambda: small_net(seed=int(torch.randint(2**31, ())))


@pytest.fixture(scope="module")
def once(tmp_path_factory) -> Callable[[str, Callable[[Path], object]], None]:
    """Copies a run to here that is made for the first test that wants it."""
    kept = tmp_path_factory.mktemp("kept")

    def copied(name: str, make: Callable[[Path], object]) -> None:
        if not (kept / name).exists():
            make(kept / name)
        shutil.copytree(kept / name, "run")

    return copied


@pytest.fixture
def search(small_net, train, val, config, once) -> prac.Search:
    settings = config(levels=2, train=SHORT)
    once("python", lambda out: prac.find(small_net(), train, settings, val=val, out=out))
    return prac.Search.load("run")


@pytest.fixture
def judged(search, fresh, train, val, test):
    """Judge the search as asked for; return the verdict and what was trained for it."""

    def judge(**options) -> tuple[prac.Verdict, Trainings]:
        trainings = Trainings()
        given = {"seeds": (0, 1), "val": val, "test": test, "callback": trainings, **options}
        return prac.judge(given.pop("search", search), fresh, train, **given), trainings

    return judge


class TestWhatIsTrained:
    def test_dense_then_tickets_then_controls_a_seed_at_a_time(self, judged):
        verdict, trainings = judged(levels=(2,), controls=("shuffled", "random"))
        assert trainings.levels == [0, 2, 2, 2] * 2
        assert [level.index for level in verdict.levels] == [0, 2]
        sparse = verdict.levels[1]
        assert set(sparse.controls) == {"shuffled", "random"}
        assert [run.seed for run in sparse.dense.runs] == [0, 1]
        folders = {
            run.folder
            for trials in (sparse.ticket, sparse.dense, *sparse.controls.values())
            for run in trials.runs
        }
        assert len(folders) == 8, "no two trainings are one"
        assert all(Path(folder, "trained.safetensors").exists() for folder in folders)

    def test_the_same_call_again_trains_nothing_and_says_the_same(self, judged):
        first, _ = judged(controls=("reinitialised",))
        written = Path("run/judged/verdict.json").read_bytes()
        again, trainings = judged(controls=("reinitialised",))
        assert trainings.levels == []
        assert again.to_json() == first.to_json()
        assert Path("run/judged/verdict.json").read_bytes() == written
        assert json.loads(written) == first.to_json()

    def test_another_seed_level_or_control_costs_only_itself(self, judged):
        assert judged(levels=(1,))[1].levels == [0, 1] * 2
        assert judged(levels=(1,), seeds=(0, 1, 5))[1].levels == [0, 1]
        assert judged(levels=(1, 2))[1].levels == [2, 2]
        assert judged(levels=(1,), controls=("reinitialised",))[1].levels == [1, 1]
        assert judged(levels=(1,), config=replace(SHORT, lr=0.2))[1].levels == [0, 1] * 2

    def test_it_is_what_retraining_gives(self, judged, search, small_net, train, val, test):
        verdict, _ = judged(levels=(1,))
        _, history = prac.retrain(
            search.tickets[1], small_net(seed=9), train, SHORT, val=val, test=test, seed=1
        )
        assert verdict.levels[1].ticket.values[1] == history.test_accuracy

    def test_one_cache_serves_two_runs(self, judged, small_net, train, val, config):
        judged(levels=(0,), cache="shared")
        other = prac.find(
            small_net(), train, config("imp", levels=1, train=SHORT), val=val, out="other"
        )
        verdict, trainings = judged(search=other, cache="shared")
        assert trainings.levels == [1, 1], "the dense network is the same"
        assert Path("other/judged/verdict.json").exists()
        assert verdict.levels[0].ticket.runs[0].folder.startswith("shared/")

    def test_a_path_and_an_unfinished_search_will_do(self, small_net, train, val, config, judged):
        def cut(event: prac.Event) -> None:
            if event.kind == "level" and event.level == 1:
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            prac.find(small_net(), train, config(train=SHORT), val=val, out="cut", callback=cut)
        verdict, trainings = judged(search="cut")
        assert [level.index for level in verdict.levels] == [0, 1]
        assert trainings.levels == [0, 1] * 2

    def test_barriers_are_measured_once_between_two_seeds(self, judged, monkeypatch):
        verdict, _ = judged(barriers=True)
        heights = [level.barrier.height for level in verdict.levels]
        assert all(len(level.barrier.errors) == 11 for level in verdict.levels)
        monkeypatch.setattr("prac.evaluation.connectivity.error_barrier", None)
        again, trainings = judged(barriers=True, seeds=(0, 1, 2))
        assert [level.barrier.height for level in again.levels] == heights
        assert trainings.levels == [0, 1, 2]

    def test_other_data_than_the_searchs_is_told(self, judged, search, fresh, train, val, test):
        assert judged(levels=(0,))[1].notes == []
        watch = Trainings()
        less = train[0][:200], train[1][:200]
        prac.judge(
            search, fresh, less, val=val, test=test, seeds=(0, 1), levels=(0,), callback=watch
        )
        assert [note.split(" ")[0] for note in watch.notes] == ["fingerprint"]
        assert watch.levels == [0, 0]


class TestVerdict:
    def test_the_best_ticket_is_the_searchs(self, judged, search, monkeypatch):
        # One deviation is made a hundred points, so that everything is within it.
        monkeypatch.setattr("prac.evaluation.verdict.deviation", lambda values: 1.0)
        verdict, _ = judged()
        assert [level.verdict for level in verdict.levels] == ["dense", "winning", "winning"]
        assert verdict.best().digest == search.tickets[2].digest

    def test_from_a_rewind_point_tickets_match(self, judged, small_net, train, val, config):
        settings = config(levels=1, rewind="iteration:2", train=SHORT)
        other = prac.find(small_net(), train, settings, val=val, out="late")
        verdict, _ = judged(search=other)
        assert not verdict.levels[1].from_initialisation


class TestInterruption:
    def test_a_stopped_judgement_goes_on_to_the_same_end(self, judged):
        whole, _ = judged(cache="whole")
        pieces, stops, seconds = None, 0, 0.001
        while pieces is None:
            try:
                pieces, _ = judged(cache="pieces", run_control=prac.RunControl(max_seconds=seconds))
            except prac.Interrupted:
                stops, seconds = stops + 1, 0.2
            assert stops < 100, "each call gets on by an iteration at least"
        assert stops

        def accuracies(verdict: prac.Verdict) -> list[list[float]]:
            return [level.ticket.values for level in verdict.levels]

        assert accuracies(pieces) == accuracies(whole)

    def test_a_training_cut_within_goes_on_where_it_was(
        self, search, small_net, train, val, monkeypatch
    ):
        ticket = search.tickets[1]
        config = replace(SHORT, epochs=3)
        committed: list[int] = []
        commit = RunFolder.commit

        def counting(folder, state, metrics=None, *, hold=False):
            committed.append(state.step)
            commit(folder, state, metrics, hold=hold)
            if len(committed) == 2:
                raise KeyboardInterrupt

        monkeypatch.setattr(RunFolder, "commit", counting)
        problem = Problem.of(small_net(), train, val, runtime=Runtime.choose("cpu", "fp32"))
        call = (Path("cache"), ticket, problem, config, TensorExamples(*val), RunOptions())
        with pytest.raises(KeyboardInterrupt):
            retrain_cached(*call)
        _, path = retrain_cached(*call)
        assert committed == [6, 12, 18]
        alone, _ = prac.retrain(ticket, small_net(), train, config, val=val)
        assert all(torch.equal(w, alone.state_dict()[n]) for n, w in trained_weights(path).items())


class TestCache:
    """What a training is known by, and what is wrong with one that is kept."""

    @pytest.fixture
    def cached(self, search, small_net, train):
        def call(**options) -> Path:
            place = {name: options.pop(name) for name in ("seed", "start") if name in options}
            given = {"ticket": search.tickets[1], "model": small_net(), "data": train, **options}
            ticket, model, data = (given.pop(name) for name in ("ticket", "model", "data"))
            settings, test = given.pop("config", SHORT), TensorExamples(*given.pop("test", train))
            given["runtime"] = Runtime.choose("cpu", "fp32")
            problem = Problem.of(model, data, **given)
            call = (Path("cache"), ticket, problem, settings, test, RunOptions())
            return retrain_cached(*call, **place)[1]

        return call

    @pytest.mark.filterwarnings("ignore:the network is not the one that the ticket was found in")
    def test_what_tells_trainings_apart(self, cached, search, small_net, train, val):
        flipped = TensorExamples(train[0], train[1], Pipeline(flip=True))
        square = prac.Task(correct=lambda outputs, y: outputs.argmax(1) == y)
        relu = small_net()
        relu[2] = nn.Tanh()
        found = [
            cached(),
            cached(seed=1),
            cached(ticket=search.tickets[2]),
            cached(config=replace(SHORT, momentum=0.5)),
            cached(val=val),
            cached(test=val),
            cached(data=(train[0][:299], train[1][:299])),
            cached(data=flipped),
            cached(task=square),
            cached(model=relu),
            cached(start=3),
        ]
        assert len(set(found)) == len(found)

    def test_what_does_not(self, cached, search, small_net, train, tmp_path):
        first = cached()
        moved = replace(search.tickets[1], provenance={"level": 7, "settings": {"note": "other"}})
        assert cached(ticket=moved) == first
        assert cached(model=small_net(seed=8)) == first
        assert cached(data=TensorExamples(*train)) == first

    @pytest.mark.parametrize("damage", [b"", b"{}", b'{"best_epoch": "one"}', b"\xff\xfe"])
    def test_a_damaged_summary_names_its_remedy(self, cached, damage):
        path = cached()
        (path / "summary.json").write_bytes(damage)
        with pytest.raises(prac.PracError, match=f"^{path}.*remove the folder {path} to train it"):
            cached()

    def test_damaged_weights_do_too(self, cached):
        path = cached()
        weights = path / "trained.safetensors"
        weights.write_bytes(weights.read_bytes()[:-5])
        with pytest.raises(prac.PracError, match=f"damaged.*remove the folder {path}"):
            trained_weights(path)

    def test_a_start_behind_the_end_is_refused(self, cached):
        with pytest.raises(prac.PracError, match="start is 6: expected 0 to 5"):
            cached(start=6)


class TestRefusals:
    @pytest.mark.parametrize(
        ("options", "line"),
        [
            ({"test": None}, "there is no test data"),
            ({"levels": (1, 9)}, "run: has no ticket of level 9: has 0 to 2"),
            ({"levels": ()}, "levels is empty"),
            ({"seeds": (0, 1, 0)}, "seeds names 0 twice"),
            ({"seeds": (0, -1)}, "seeds has -1: expected whole numbers of at least 0"),
            ({"seeds": ()}, "name at least 1"),
            ({"seeds": (3,), "barriers": True}, "a barrier is between the networks of two"),
            ({"controls": ("shufled",)}, "did you mean 'shuffled'"),
            ({"search": "nowhere"}, "nowhere: is not there: expected a search"),
        ],
    )
    def test_each_in_a_line_before_anything_is_trained(self, judged, options, line):
        with pytest.raises(prac.PracError) as error:
            judged(**options)
        assert line in str(error.value)
        assert "\n" not in str(error.value)
        assert not Path("run/judged").exists()

    @pytest.mark.parametrize("control", ["random", "reinitialised"])
    def test_a_maker_that_seeds_itself_is_told_before_anything_is_trained(
        self, control, search, small_net, train, val, test
    ):
        trainings = Trainings()
        given = {"seeds": (0,), "val": val, "test": test, "callback": trainings}
        with pytest.raises(prac.PracError, match="make_model gives the same weights under two"):
            prac.judge(search, small_net, train, controls=(control,), **given)
        assert not Path("run/judged").exists()


class TestCommand:
    @pytest.fixture
    def run(self, capsys, once):
        """The command as people type it: status, what it printed, what it said."""

        def call(*arguments: str) -> tuple[int, str, str]:
            status = main(list(arguments))
            captured = capsys.readouterr()
            return status, captured.out, captured.err

        once("command", lambda out: call("find", *QUICK, "--out", str(out)))
        return call

    def test_a_table_then_json_of_what_is_kept(self, run):
        flags = ["--seeds", "0,1", "--reinit", "--shuffle", "--random", "--barriers"]
        status, out, err = run("judge", "run", *flags, "--levels", "2")
        assert status == 0, err
        assert err.count("\n  test accuracy") == 10
        assert "training 4 of 10: shuffled control of ticket 2, seed 0: density" in err
        assert max(map(len, out.splitlines())) <= 80
        first, *_ = out.splitlines()
        assert first.startswith(("Ticket 2 is the sparsest", "No ticket matches"))
        assert "one standard deviation of the dense runs" in " ".join(out.split())
        assert out.splitlines()[-1] == "verdict: run/judged/verdict.json"
        status, out, err = run("judge", "run", *flags, "--levels", "2", "--json", "--quiet")
        assert (status, err) == (0, "")
        facts = json.loads(out)
        assert facts == json.loads(Path("run/judged/verdict.json").read_text())
        controls = facts["levels"][1]["controls"]
        assert set(controls) == {"reinitialised", "shuffled", "random"}
        assert len({c["runs"][0]["folder"] for c in controls.values()}) == 3

    def test_settings_are_the_runs_unless_told(self, run):
        assert run("judge", "run", "--seeds", "0", "--levels", "0", "--quiet")[0] == 0
        longer = ["--epochs", "3", "--cache", "longer"]
        assert run("judge", "run", "--seeds", "0", "--levels", "0", "--quiet", *longer)[0] == 0
        for folder, epochs in (("run/judged", 2), ("longer", 3)):
            (metrics,) = Path(folder).glob("*/metrics.jsonl")
            assert len(metrics.read_text().splitlines()) == epochs

    @pytest.mark.parametrize(
        ("arguments", "line"),
        [
            (["nowhere"], "nowhere: is not there: expected a search"),
            (["run", "--levels", "7"], "run: has no ticket of level 7: has 0 to 2"),
            (["run", "--seeds", "1,1"], "seeds names 1 twice"),
            (["run", "--seeds=-1"], "seeds is -1: expected at least 0"),
            (["run", "--points", "3"], "--points is given but not used"),
            (["run", "--find-rewind-point", "--shuffle"], "--shuffle is given but not used"),
            (["run", "--find-rewind-point", "--points", "8"], "expected iterations from 0 to 7"),
            (["run", "--shufle"], "did you mean --shuffle"),
        ],
    )
    def test_a_mistake_gets_one_line(self, run, arguments, line):
        status, out, err = run("judge", "--quiet", *arguments)
        assert (status, out) == (2, "")
        assert line in err
        assert len(err.splitlines()) == 1


def test_a_run_from_python_does_not_name_its_data(search, capsys):
    assert main(["judge", "run", "--quiet"]) == 2
    assert "run: was found from Python and does not name its data: pass --data" in (
        capsys.readouterr().err
    )


@pytest.mark.filterwarnings("ignore:the model has 10 outputs")
@pytest.mark.parametrize("kind", ["tensors", "data set"])
def test_tickets_of_random_labels_win_nothing(kind, digits, small_net, config, tmp_path):
    labels = torch.randint(4, (900,), generator=torch.Generator().manual_seed(0))
    parts = [(digits[0][s], labels[s]) for s in (slice(300), slice(300, 500), slice(500, 900))]
    train, val, test = parts if kind == "tensors" else [Pairs(*part) for part in parts]
    search = prac.find(small_net(), train, config(levels=1), val=val, out=tmp_path / "run")
    verdict = prac.judge(search, small_net, train, val=val, test=test, seeds=(0, 1))
    assert verdict.levels[0].test.size == 400
    most = int(labels[500:].bincount().max())
    assert verdict.levels[0].test.chance == most / 400
    assert [level.verdict for level in verdict.levels] == ["dense", "at chance"]
    assert verdict.best_level is None


@pytest.mark.filterwarnings("ignore:the model has 10 outputs")
def test_a_comparison_over_random_labels_says_that_nothing_was_there_to_win(
    digits, small_net, config, tmp_path
):
    labels = torch.randint(4, (900,), generator=torch.Generator().manual_seed(0))
    train, test = (digits[0][:300], labels[:300]), (digits[0][500:900], labels[500:])
    found = prac.compare(
        small_net, train, config(levels=1), methods=("imp",), seeds=(0, 1), test=test, out=tmp_path
    )
    assert found.matching("imp") == []
    assert found.findings[0].endswith("most frequent class: no ticket can be called winning.")
    assert prac.Comparison.load(tmp_path).findings == found.findings
