"""Searches by a metric that is no accuracy: best epochs, verdicts, texts, pages, old folders."""

from __future__ import annotations

import dataclasses
import io
import json
import re
from pathlib import Path

import pytest
import torch
from rich.console import Console
from torch import nn

import prac
from prac.algorithms import ForgettingTable
from prac.cli import main
from prac.evaluation import LevelVerdict, Trial, Trials, Verdict, read_history
from prac.evaluation.test_set import TestSet
from prac.io import read_dataclass
from prac.report import search_summary, search_table, verdict_text
from prac.report.html.charts import charts
from prac.report.html.facts import RunFacts
from prac.report.html.inside import Inside
from prac.report.verdict_text import is_test_set_small
from prac.runs import ACCURACY, Measure, RunState
from prac.runs.checkpoint import from_tensors, to_tensors
from prac.winning.proof import is_lost

MSE = Measure("mean squared error", higher_is_better=False)


def shown(of) -> str:
    """Return what a terminal of 100 columns shows, in one line."""
    console = Console(width=100, file=io.StringIO(), highlight=False)
    console.print(of)
    return " ".join(console.file.getvalue().split())  # type: ignore[attr-defined]


def regression_net():
    return nn.Sequential(nn.Linear(4, 24), nn.ReLU(), nn.Linear(24, 1))


def language_net():
    return nn.Sequential(nn.Embedding(7, 16), nn.Linear(16, 24), nn.ReLU(), nn.Linear(24, 7))


def segmentation_net():
    layers = nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 8, 1), nn.ReLU()
    return nn.Sequential(*layers, nn.Conv2d(8, 3, 1))


def seeded(make):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return make()


def regression():
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(300, 4, generator=generator)
    return x, (x @ torch.tensor([1.0, -1.0, 0.5, 0.0]))


def language():
    """Sequences in which a token says the next one but for a coin."""
    generator = torch.Generator().manual_seed(1)
    tokens = torch.randint(7, (300, 9), generator=generator)
    for at in range(8):
        tokens[:, at + 1] = (3 * tokens[:, at] + torch.randint(2, (300,), generator=generator)) % 7
    targets = tokens[:, 1:].clone()
    targets[:, -1] = -100
    return tokens[:, :-1], targets


def segmentation():
    generator = torch.Generator().manual_seed(2)
    x = torch.rand(300, 3, 6, 6, generator=generator)
    y = x.argmax(1)
    y[:, 0] = -100
    return x, y


PROBLEMS = {
    "regression": (regression_net, regression, prac.Task.regression(within=0.3), 0.02),
    "language": (language_net, language, prac.Task.language_model(right_share=0.4), 0.3),
    "segmentation": (segmentation_net, segmentation, prac.Task.segmentation(right_share=0.6), 0.2),
}


def parts(data):
    x, y = data()
    return {
        name: (x[first:last], y[first:last])
        for name, (first, last) in {
            "train": (0, 180),
            "val": (180, 240),
            "test": (240, 300),
        }.items()
    }


def config(lr):
    train = prac.TrainConfig(epochs=4, batch_size=30, lr=lr, milestones=())
    prune = prac.PruneConfig(layers="conv+linear")
    return prac.SearchConfig.prac(levels=1, prune=prune, train=train)


@pytest.fixture(scope="module", params=sorted(PROBLEMS))
def judged(request, tmp_path_factory):
    """A search of a problem, the history of a ticket, and a verdict."""
    make, data, task, lr = PROBLEMS[request.param]
    given, out = parts(data), tmp_path_factory.mktemp("own") / request.param
    search = prac.find(
        seeded(make), given["train"], config(lr), val=given["val"], out=out, task=task
    )
    _, history = prac.retrain(
        search.tickets[1], seeded(make), given["train"], config(lr).train, val=given["val"],
        test=given["test"], task=task, out=search.retrain_path(1),
    )  # fmt: skip
    verdict = prac.judge(
        search, make, given["train"], val=given["val"], test=given["test"], seeds=(0, 1),
        controls=("random",), pools=True, task=task,
    )  # fmt: skip
    return search, history, verdict, task


class TestEndToEnd:
    def test_the_best_epoch_is_that_of_the_best_metric(self, judged):
        search, history, _, task = judged
        best = task.measure.best(line["val_metric"] for line in history.epochs)
        assert history.val_metric == best
        assert history.epochs[history.best_epoch - 1]["val_metric"] == best
        assert search.levels[0].best_val_metric != search.levels[0].best_val_accuracy

    def test_history_has_metric_and_loss(self, judged):
        _, history, _, task = judged
        assert history.metric == task.measure
        assert None not in (history.val_metric, history.test_metric, history.val_loss)
        if task.measure.name == "mean squared error":
            assert history.test_metric == pytest.approx(history.test_loss)
        if task.measure.name == "perplexity":
            expected = torch.tensor(history.test_loss).exp()
            assert history.test_metric == pytest.approx(float(expected), rel=1e-5)

    def test_the_verdict_goes_by_it_and_is_read_back(self, judged):
        search, history, verdict, task = judged
        assert verdict.measure == task.measure
        assert verdict.levels[1].ticket.values[0] == history.test_metric
        again = Verdict.load(search)
        assert again is not None
        assert again.to_json() == verdict.to_json()
        told = json.dumps(verdict.to_json())
        assert task.measure.name in told
        assert "accuracy" not in told

    def test_texts_call_it_by_its_name(self, judged):
        search, _, verdict, task = judged
        for text in (shown(verdict_text(verdict)), shown(search_table(search_summary(search)))):
            assert task.measure.name in text
            assert "accuracy" not in text.lower()
            assert ("lower is better" in text) is not task.measure.higher_is_better

    def test_charts_do_too(self, judged):
        search, _, _, task = judged
        facts = RunFacts.read(search.path)
        drawn = {chart.name: chart for chart in charts(facts, Inside.read(facts.search))}
        for name in ("value", "validation"):
            assert task.measure.name in drawn[name].title.replace("Mean", "mean").lower() or (
                task.measure.name.lower() in drawn[name].title.lower()
            )
            text = json.dumps(drawn[name].spec)
            assert task.measure.axis("test" if name == "value" else "validation") in text
            assert "accuracy" not in text.lower()

    def test_another_metric_is_refused(self, judged):
        search, _, _, task = judged
        make, data, _, lr = next(of for of in PROBLEMS.values() if of[2] is task)
        given = parts(data)
        for other in (None, prac.Metric.of_all("other", lambda outputs, y: 0.0)):
            with pytest.raises(prac.PracError, match="metric"):
                prac.find(
                    seeded(make), given["train"], config(lr), val=given["val"], out=search.path,
                    task=dataclasses.replace(task, metric=other),
                )  # fmt: skip


class TestLowerIsBetter:
    dense = Trials((Trial(0, 1.0, ""), Trial(1, 1.2, "")))

    def level(self, *values, **more):
        trials = Trials(tuple(Trial(seed, value, "") for seed, value in enumerate(values)))
        return LevelVerdict(1, 0.5, True, trials, self.dense, measure=MSE, **more)

    def test_the_lower_wins(self):
        assert self.level(0.5, 0.6).verdict == "winning"
        assert self.level(1.1, 1.2).verdict == "winning"  # Within a deviation above.
        assert self.level(1.4, 1.5).verdict == "not"

    def test_the_test_is_of_being_higher(self):
        assert self.level(1.4, 1.61).p_value < 0.05
        assert self.level(0.5, 0.71).p_value > 0.95

    def test_a_control_does_as_well_where_it_is_as_low(self):
        low, high = ({"random": Trials((Trial(0, of, ""), Trial(1, of, "")))} for of in (0.4, 2.0))
        assert self.level(0.5, 0.6, controls=low).as_good_controls == ["random"]
        assert self.level(0.5, 0.6, controls=high).as_good_controls == []

    def test_the_same_values_judged_as_accuracies_are_told_otherwise(self):
        other = LevelVerdict(1, 0.5, True, self.level(0.5, 0.6).ticket, self.dense)
        assert other.measure == ACCURACY
        assert other.verdict == "not"

    def test_a_ticket_is_lost_where_it_can_get_no_lower(self):
        assert is_lost([3.0], 3, self.dense, 0.9, MSE)
        assert not is_lost([1.3], 3, self.dense, 0.9, MSE)

    def test_values_below_zero_are_written_and_read(self, tmp_path):
        run = Trial(0, -1.5, "at")
        assert read_dataclass(Trial, run.to_json(MSE), tmp_path) == run
        assert (
            read_dataclass(Trial, {"seed": 0, "accuracy": 0.5, "folder": "at"}, tmp_path).value
            == 0.5
        )

    def test_old_names_work_and_warn(self):
        with pytest.warns(DeprecationWarning, match="Trials.accuracies is now called values"):
            assert self.dense.accuracies == [1.0, 1.2]


def test_chance_and_small_test_sets_are_of_accuracies_alone():
    dense = Trials((Trial(0, 0.3, ""), Trial(1, 0.31, "")))
    f1 = Measure("F1", is_share=True)
    level = LevelVerdict(0, 1.0, True, dense, dense, test=TestSet(20), measure=f1)
    assert not is_test_set_small(level)
    assert level.at_chance is None


NEW = ("metric", "val_metric", "test_metric", "val_loss", "test_loss", "best_val_metric")


def forget_metrics(folder):
    """Take out of a folder what prac 0.1 did not write."""
    for path in folder.rglob("*.json"):
        told = json.loads(path.read_text())
        path.write_text(json.dumps({key: of for key, of in told.items() if key not in NEW}))


class TestOldFolders:
    """What prac 0.1 wrote names no metric: it is the accuracy, and all goes on."""

    @pytest.fixture
    def old(self, small_net, train, val, digits, config, tmp_path):
        search = prac.find(small_net(), train, config(levels=2), val=val, out=tmp_path / "old")
        test = digits[0][400:500], digits[1][400:500]
        prac.retrain(
            search.tickets[1], small_net(), train, config().train, val=val, test=test,
            out=search.retrain_path(1),
        )  # fmt: skip
        prac.judge(search, small_net, train, val=val, test=test, seeds=(0, 1), levels=(1,))
        forget_metrics(search.path)
        return search.path

    def test_they_read_as_before(self, old):
        search = prac.Search.load(old)
        assert search.metric == ACCURACY
        level = search.levels[0]
        assert level.best_val_metric == level.best_val_accuracy
        history = read_history(search.retrain_path(1))
        assert (history.metric, history.test_loss) == (ACCURACY, None)
        assert history.test_metric == history.test_accuracy
        verdict = Verdict.load(search)
        assert verdict is not None
        assert verdict.measure == ACCURACY
        assert "test accuracy" in shown(verdict_text(verdict))

    def test_one_that_was_stopped_goes_on(self, small_net, train, val, config, tmp_path):
        class Stopped(Exception):
            pass

        def stop(event):
            if event.kind == "pruned" and event.level == 1:
                raise Stopped

        settings = config(levels=2)
        whole = prac.find(small_net(), train, settings, val=val, out=tmp_path / "whole")
        with pytest.raises(Stopped):
            prac.find(small_net(), train, settings, val=val, out=tmp_path / "old", callback=stop)
        forget_metrics(tmp_path / "old")
        search = prac.find(small_net(), train, settings, val=val, out=tmp_path / "old")
        assert search.tickets[2].digest == whole.tickets[2].digest
        assert [level.best_epoch for level in search.levels] == [
            level.best_epoch for level in whole.levels
        ]

    def test_a_state_without_a_metric_has_the_accuracy_as_its_own(self):
        weights = {"w": torch.ones(2)}
        state = RunState(
            0, 0, weights, {"w": torch.ones(2, dtype=torch.bool)}, torch.arange(3),
            ForgettingTable.empty(3), best=weights, best_accuracy=0.5, best_epoch=1,
        )  # fmt: skip
        tensors, header = to_tensors(state)
        header = json.loads(json.dumps(header))
        del header["best_metric"]
        assert from_tensors(tensors, header).best_metric == 0.5

    def test_another_metric_is_refused(self, old, small_net, train, val, config):
        with pytest.raises(prac.PracError, match="metric"):
            prac.find(
                small_net(), train, config(levels=2), val=val, out=old,
                task=prac.Task(metric=prac.Metric.f1()),
            )  # fmt: skip


def test_files_of_a_classification_are_called_as_ever(
    small_net, train, val, digits, config, tmp_path
):
    search = prac.find(small_net(), train, config(levels=1), val=val, out=tmp_path / "run")
    lines = (search.path / "metrics.jsonl").read_text()
    assert "val_metric" not in lines
    test = digits[0][400:500], digits[1][400:500]
    prac.judge(search, small_net, train, val=val, test=test, seeds=(0, 1), levels=(1,))
    told = json.loads(Path(search.path / "judged/verdict.json").read_text())
    assert set(told["levels"][1]["ticket"]["runs"][0]) == {"seed", "accuracy", "folder"}


class TestCommand:
    def test_a_task_by_name_is_recorded_and_used(self, tmp_path, monkeypatch, capsys):
        (tmp_path / "owntask18.py").write_text(
            "import prac\ntask = prac.Task(metric=prac.Metric.f1())\n"
        )
        monkeypatch.chdir(tmp_path)
        common = ["--quiet", "--device", "cpu"]
        find = [
            "find", "--data", "digits", "--limit", "300", "--model", "lenet_300_100", "--layers",
            "linear", "--levels", "1", "--epochs", "2", "--milestones", "[]", "--task",
            "owntask18:task", "--out", "run", "--retrain", "1", *common,
        ]  # fmt: skip
        assert main(find) == 0
        assert "macro F1" in " ".join(capsys.readouterr().out.split())
        assert re.search(
            "^task: owntask18:task$", Path("run/config.yaml").read_text(), re.MULTILINE
        )
        judge = ["judge", "run", "--seeds", "0,1", *common]
        assert main(judge) == 2
        assert "names code of its own as its task" in capsys.readouterr().err
        assert main([*judge, "--task", "owntask18:task"]) == 0
        assert "macro F1" in " ".join(capsys.readouterr().out.split())
        assert main(["runs", "run", "--json"]) == 0
        told = json.loads(capsys.readouterr().out)[0]
        assert (told["metric"], told["accuracy"]) == ("macro F1", None)
        retrain = [
            "retrain",
            "run/levels/01",
            "--task",
            "owntask18:task",
            "--out",
            "again",
            *common,
        ]
        assert main(retrain) == 0
        assert "test macro F1" in capsys.readouterr().out

    def test_one_that_is_not_known_is_told_in_a_line(self, capsys):
        assert main(["find", "--task", "regresion", "--quiet"]) == 2
        assert "task" in capsys.readouterr().err
