"""The ready tasks: which examples count as right, and what their losses leave out."""

from __future__ import annotations

import dataclasses
import math

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import prac
from prac import Task
from prac.runs import read_metrics
from prac.training import CLASSIFICATION, load_task
from tests.conftest import quick


def test_classification_without_anything_own_is_the_usual_one():
    assert Task.classification() is CLASSIFICATION


def test_an_ignored_example_counts_as_right_and_has_no_loss():
    task = Task.classification(ignore_index=-1)
    outputs, y = torch.tensor([[0.0, 2.0], [0.0, 2.0], [0.0, 2.0]]), torch.tensor([1, 0, -1])
    assert task.correct(outputs, y).tolist() == [True, False, True]
    assert task.loss(outputs, y) == F.cross_entropy(outputs[:2], y[:2])  # type: ignore[operator]
    assert task.loss(outputs[2:], y[2:]) == 0  # type: ignore[operator]


def test_smoothed_losses_of_examples_have_their_loss_as_mean():
    task, outputs = Task.classification(label_smoothing=0.1), torch.randn(5, 3)
    y = torch.tensor([0, 1, 2, 0, 1])
    assert task.losses is not None
    assert torch.allclose(task.losses(outputs, y).mean(), task.loss(outputs, y))  # type: ignore[operator]


def test_regression_is_right_within_reach_in_every_number():
    task = Task.regression(within=0.5)
    outputs = torch.tensor([[1.0, 1.0], [1.0, 1.0], [1.0, 1.0]])
    targets = torch.tensor([[1.5, 0.5], [1.0, 2.0], [1.0, 1.0]])
    assert task.correct(outputs, targets).tolist() == [True, False, True]
    assert task.losses is not None
    assert task.losses(outputs, targets).mean() == task.loss(outputs, targets)  # type: ignore[operator]


def test_regression_of_one_number_takes_either_shape():
    task, outputs, targets = Task.regression(within=0.5), torch.ones(3, 1), torch.zeros(3)
    assert task.loss(outputs, targets) == 1  # type: ignore[operator]
    assert task.correct(outputs, targets).tolist() == [False] * 3


@pytest.mark.parametrize("shapes", [((4, 2), (4, 1)), ((4, 1), (4, 2)), ((4, 2), (4,))])
def test_regression_broadcasts_nothing(shapes):
    outputs, targets = (torch.ones(shape) for shape in shapes)
    task = Task.regression(within=0.5)
    assert task.losses is not None
    assert task.metric is not None
    for part in (task.loss, task.correct, task.losses, task.metric.statistics):
        with pytest.raises(prac.PracError, match="the same, a number of the one for each"):
            part(outputs, targets)  # type: ignore[operator]


def test_other_shapes_of_numbers_are_refused_before_anything_is_written(tmp_path):
    x, y = torch.ones(8, 3), torch.ones(8, 1)
    with pytest.raises(prac.PracError, match=r"outputs have shape \(2, 2\), the targets \(2, 1\)"):
        prac.find(
            nn.Linear(3, 2), (x, y), quick(), out=tmp_path / "run", task=Task.regression(within=1)
        )
    assert not (tmp_path / "run").exists()


def test_labels_are_right_all_together():
    scores = torch.tensor([[1.0, -1.0], [1.0, 1.0]])
    assert Task.multi_label().correct(scores, torch.tensor([[1, 0], [1, 0]])).tolist() == [
        True,
        False,
    ]


def test_a_picture_is_right_by_its_share_of_pixels():
    outputs = (
        F.one_hot(torch.tensor([[[0, 1], [1, 1]], [[0, 0], [0, 0]]]), 2).movedim(-1, 1).float()
    )
    targets = torch.tensor([[[0, 1], [1, 0]], [[1, 1], [0, -100]]])
    assert Task.segmentation(right_share=0.75).correct(outputs, targets).tolist() == [True, False]
    assert Task.segmentation(right_share=1 / 3).correct(outputs, targets).tolist() == [True, True]


def test_a_sequence_is_right_by_its_share_of_tokens_without_padding():
    outputs = F.one_hot(torch.tensor([[1, 2, 0], [1, 2, 0], [0, 0, 0]]), 3).float()
    targets = torch.tensor([[1, 2, -100], [1, 0, 1], [-100, -100, -100]])
    assert Task.language_model().correct(outputs, targets).tolist() == [True, False, True]


def test_a_model_that_shifts_labels_has_the_perplexity_of_its_own_loss(tmp_path):
    transformers = pytest.importorskip("transformers")
    torch.manual_seed(0)
    sizes = {"vocab_size": 11, "n_positions": 6, "n_embd": 8, "n_layer": 1, "n_head": 2,
             "bos_token_id": 0, "eos_token_id": 0}  # fmt: skip
    model = transformers.GPT2LMHeadModel(transformers.GPT2Config(**sizes))
    tokens = torch.randint(11, (24, 6), generator=torch.Generator().manual_seed(0))
    task = dataclasses.replace(
        Task.language_model(shift=True), outputs="logits", loss="loss", target_name="labels"
    )
    config = prac.SearchConfig.prac(
        levels=1, train=prac.TrainConfig(epochs=1, batch_size=8, lr=0.01)
    )
    inputs = {"input_ids": tokens}
    search = prac.find(
        model, (inputs, tokens), config, val=(inputs, tokens), out=tmp_path / "run", task=task,
        callback=lambda event: None,  # Hardly any sequence is right.
    )  # fmt: skip
    [epoch] = read_metrics(tmp_path / "run")
    assert search.metric.name == "perplexity"
    assert epoch["val_metric"] == pytest.approx(math.exp(epoch["val_loss"]), rel=1e-5)


def test_shifted_targets_are_those_one_place_further_on():
    outputs = F.one_hot(torch.tensor([[1, 2, 0], [0, 0, 0]]), 3).float()
    task, targets = Task.language_model(shift=True, right_share=1.0), torch.tensor([[0, 1, 2]] * 2)
    assert task.correct(outputs, targets).tolist() == [True, False]
    usual = Task.language_model()
    assert task.loss(outputs, targets) == usual.loss(outputs[:, :-1], targets[:, 1:])  # type: ignore[operator]


class TestSoftTargets:
    def test_they_train_and_are_right_where_the_likeliest_class_is(
        self, small_net, digits, tmp_path
    ):
        x, y = digits
        soft = 0.9 * F.one_hot(y, 10).float() + 0.01
        config = quick(levels=1)
        search = prac.find(
            small_net(), (x[:300], soft[:300]), config, val=(x[300:400], soft[300:400]),
            out=tmp_path / "run",
        )  # fmt: skip
        assert search.metric.name == "accuracy"
        assert search.levels[0].best_val_accuracy > 0.3
        _, history = prac.retrain(
            search.tickets[1], small_net(), (x[:300], soft[:300]), config.train,
            test=(x[400:500], soft[400:500]),
        )  # fmt: skip
        assert history.test_metric == history.test_accuracy

    def test_el2n_takes_them(self, small_net, digits, tmp_path):
        x, soft = digits[0][:200], F.one_hot(digits[1][:200], 10).float()
        subset = prac.SubsetConfig(rule="el2n", kept_fraction=0.5, el2n_epoch=1)
        train = prac.TrainConfig(epochs=2, batch_size=50, lr=0.1)
        config = quick(levels=1, train=train, subset=subset)
        hard = prac.find(small_net(), (x, digits[1][:200]), config, out=tmp_path / "hard")
        search = prac.find(small_net(), (x, soft), config, out=tmp_path / "soft")
        assert torch.equal(search.subset(1).indices, hard.subset(1).indices)

    def test_rows_that_do_not_add_up_to_one_are_refused(self, small_net, digits, config, tmp_path):
        x, soft = digits[0][:100], F.one_hot(digits[1][:100], 10).float() * 2
        with pytest.raises(
            prac.PracError, match="add up to 2, or are below 0: expected class prob"
        ):
            prac.find(small_net(), (x, soft), config(), out=tmp_path / "run")


def test_an_ignored_label_passes_only_where_the_task_says_so(small_net, digits, config, tmp_path):
    x, y = digits[0][:100], digits[1][:100].clone()
    y[7] = -1
    with pytest.raises(prac.PracError, match="example 7 has label -1"):
        prac.find(small_net(), (x, y), config(), out=tmp_path / "run")
    task = Task.classification(ignore_index=-1)
    search = prac.find(small_net(), (x, y), config(levels=1), out=tmp_path / "run", task=task)
    assert search.finished


OWN = """
import prac
squares = prac.Task.regression(within=0.2)
class Other: pass
def made(): return prac.Task.multi_label()
def picky(within): return prac.Task.regression(within=within)
"""


class TestByName:
    def test_ready_ones_and_own_code(self, tmp_path, monkeypatch):
        (tmp_path / "mytasks18.py").write_text(OWN)
        monkeypatch.syspath_prepend(str(tmp_path))
        assert load_task("language-model").measure.name == "perplexity"
        assert load_task("mytasks18:squares").measure.name == "mean squared error"
        assert load_task("mytasks18:made").measure.name == "macro F1"

    @pytest.mark.parametrize(
        ("name", "fault"),
        [
            ("clasification", "did you mean 'classification'"),
            ("mytasks18:nothing", "has no 'nothing'"),
            ("mytasks18:Other", "is an Other: name a prac.Task"),
            ("mytasks18:picky", "needs within: give it by task_args, such as --task-args within="),
            ("regression", "task 'regression' needs within: give it by task_args"),
        ],
    )
    def test_what_is_no_task(self, tmp_path, monkeypatch, name, fault):
        (tmp_path / "mytasks18.py").write_text(OWN)
        monkeypatch.syspath_prepend(str(tmp_path))
        with pytest.raises(prac.PracError, match=fault):
            load_task(name)

    def test_keywords(self, tmp_path, monkeypatch):
        (tmp_path / "mytasks18.py").write_text(OWN)
        monkeypatch.syspath_prepend(str(tmp_path))
        outputs, targets = torch.tensor([[1.0], [2.0]]), torch.tensor([[1.4], [2.6]])
        for name in ("regression", "mytasks18:picky"):
            task = load_task(name, {"within": 0.5})
            assert task.correct(outputs, targets).tolist() == [True, False]
        for name, keywords, fault in (
            (
                "regression",
                {"witin": 0.5},
                "has 'witin', which task 'regression' does not take",
            ),
            (
                "mytasks18:squares",
                {"within": 0.5},
                "task 'mytasks18:squares' is one already",
            ),
            ("regression", {"within": "near"}, "within is 'near': expected a number"),
            (
                "language-model",
                {"right_share": 50},
                "right_share is 50.0: expected at least 0",
            ),
            ("segmentation", {"right_share": -1}, "right_share is -1.0: expected at least 0"),
        ):
            with pytest.raises(prac.PracError, match=fault):
                load_task(name, keywords)


def test_the_names_are_those_that_settings_offer():
    from prac.config import TASK_NAMES
    from prac.training.named import READY

    assert set(READY) == set(TASK_NAMES)


@pytest.mark.parametrize(
    ("share", "said"), [(1.0, "never counted as right"), (0.0, "never forgotten")]
)
def test_a_rule_that_tells_nothing_apart_is_told(tmp_path, share, said):
    """Nothing, or everything, counts as right: forgetting cannot choose."""
    generator = torch.Generator().manual_seed(0)
    tokens = torch.randint(50, (64, 9), generator=generator)
    model = nn.Sequential(nn.Embedding(50, 4), nn.Linear(4, 8), nn.Linear(8, 50))
    notes = []
    config = prac.SearchConfig.prac(
        levels=1, train=prac.TrainConfig(epochs=3, batch_size=16, lr=0.01)
    )
    search = prac.find(
        model, (tokens[:, :-1], tokens[:, 1:]), config, out=tmp_path / "run",
        task=Task.language_model(right_share=share),
        callback=lambda event: notes.append(event.facts.get("text", "")),
    )  # fmt: skip
    assert sum(said in note for note in notes) == 1
    assert search.levels[1].set_size == (64 if share else 16)


def test_a_rule_that_calls_everything_right_at_once_is_warned_of(tmp_path):
    x, y = torch.randn(64, 3, generator=torch.Generator().manual_seed(0)), torch.zeros(64, 1)
    config = prac.SearchConfig.prac(
        levels=1, train=prac.TrainConfig(epochs=2, batch_size=16, lr=0.01)
    )
    task = Task.regression(within=1e9)
    model = nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 1))
    with pytest.warns(UserWarning, match="100.0% of the training examples were learned and never"):
        prac.find(model, (x, y), config, out=tmp_path / "run", task=task)


def test_a_metric_without_a_value_is_warned_of(tmp_path):
    x = torch.randn(32, 3, generator=torch.Generator().manual_seed(0))
    y = (x[:, 0] > 0).long()
    config = quick(levels=1, train=prac.TrainConfig(epochs=2, batch_size=8, lr=0.1))
    task = Task(metric=prac.Metric.of_all("AUC", lambda outputs, targets: math.nan))
    model = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2))
    told = "'AUC' had no finite value over the validation data in any epoch of level 0"
    with pytest.warns(UserWarning, match=told):
        search = prac.find(model, (x, y), config, val=(x, y), out=tmp_path / "run", task=task)
    with pytest.warns(UserWarning, match=told.replace("level 0", "level 1")):
        prac.retrain(search.tickets[1], model, (x, y), config.train, val=(x, y), task=task)


X = torch.randn(12, 3, generator=torch.Generator().manual_seed(0))


class TestTargets:
    @pytest.mark.parametrize("task", [Task.classification(ignore_index=-1), Task.segmentation()])
    def test_all_ignored(self, task, tmp_path):
        ignored = task.ignore_index or -100
        inputs, y = (X, torch.full((12,), ignored))
        if task.ignore_index is None:
            inputs, y = X[:, :, None, None], y[:, None, None]
        model = nn.Linear(3, 2) if task.ignore_index else nn.Conv2d(3, 2, 1)
        with pytest.raises(prac.PracError, match=f"all training targets are {ignored}, the task's"):
            prac.find(model, (inputs, y), quick(), out=tmp_path / "run", task=task)
        assert not (tmp_path / "run").exists()

    def test_an_ignored_label_is_no_class_that_lacks_an_output(self, tmp_path):
        y = torch.tensor([0, 1, 255] * 4)
        task = Task.classification(ignore_index=255)
        model = nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 2))
        prac.find(model, (X, y), quick(levels=1), out=tmp_path / "run", task=task)

    def test_validation_without_a_class_is_warned_of(self, tmp_path):
        y = torch.tensor([0, 1, 1] * 4)
        model = nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 2))
        task = Task.classification(ignore_index=-1)
        with pytest.warns(UserWarning, match="'accuracy' had no finite value over the validation"):
            prac.find(
                model, (X, y), quick(levels=1), val=(X, y * 0 - 1), out=tmp_path / "run", task=task
            )

    def test_labels_that_are_neither_0_nor_1(self, tmp_path):
        y = torch.zeros(12, 2)
        y[11, 1] = 2
        with pytest.raises(prac.PracError, match="a training target is 2: expected 0 or 1 for"):
            prac.find(
                nn.Linear(3, 2), (X, y), quick(), out=tmp_path / "run", task=Task.multi_label()
            )

    def test_pixels_of_no_class(self, tmp_path):
        y = torch.zeros(12, 1, 1, dtype=torch.int64)
        y[11] = 255
        told = "a training target is 255, .* of 2 classes: .* pass the task ignore_index=255"
        with pytest.raises(prac.PracError, match=told):
            prac.find(
                nn.Conv2d(3, 2, 1), (X[:, :, None, None], y), quick(), out=tmp_path / "run",
                task=Task.segmentation(),
            )  # fmt: skip


class Two(nn.Module):
    """Returns a mapping of two tensors."""

    def __init__(self) -> None:
        super().__init__()
        self.body, self.head = nn.Linear(3, 4), nn.Linear(4, 2)

    def forward(self, x):
        hidden = self.body(x)
        return {"hidden": hidden, "scores": self.head(hidden)}


def test_own_loss_and_rule_take_all_that_a_model_returns(tmp_path):
    y = (X[:, 0] > 0).long()
    task = Task(
        loss=lambda returned, targets: F.cross_entropy(returned["scores"], targets),
        correct=lambda returned, targets: returned["scores"].argmax(1) == targets,
        prediction=None,
    )
    search = prac.find(Two(), (X, y), quick(levels=1), val=(X, y), out=tmp_path / "run", task=task)
    assert search.finished
    with pytest.raises(prac.PracError, match="by outputs=lambda returned: returned all of its"):
        prac.find(Two(), (X, y), quick(), out=tmp_path / "other", task=Task.regression(within=1))


class TestWhatIsNoTask:
    @pytest.mark.parametrize(
        ("given", "fault"),
        [
            ("classification", "task is 'classification': expected a prac.Task"),
            (None, "leave it out for classification"),
            (prac.Metric.f1(), r"pass prac.Task\(metric=...\) for classification measured by it"),
            (Task.multi_label, "task is multi_label: expected a prac.Task, .* call it"),
        ],
    )
    def test_every_function_says_so_before_anything_is_written(self, given, fault, tmp_path):
        x, y, out = torch.ones(8, 3), torch.zeros(8, dtype=torch.int64), tmp_path / "run"
        with pytest.raises(prac.PracError, match=fault):
            prac.find(nn.Linear(3, 2), (x, y), quick(), out=out, task=given)
        with pytest.raises(prac.PracError, match=fault):
            prac.compare(lambda: nn.Linear(3, 2), (x, y), quick(), test=(x, y), out=out, task=given)
        assert not out.exists()

    @pytest.mark.parametrize(
        ("parts", "fault"),
        [
            ({"metric": "accuracy"}, "metric is 'accuracy': expected a prac.Metric, such as"),
            ({"metric": F.mse_loss}, r"metric is mse_loss: .* Metric.of_all\(NAME, FUNCTION\)"),
            ({"loss": 1}, "the task's loss is 1: expected a function"),
            ({"correct": None}, "the task's correct is None: expected a function"),
            ({"prediction": "labels"}, "the task's prediction is 'labels': expected a function"),
            ({"target_name": 1}, "the task's target_name is 1: expected"),
            ({"ignore_index": "no"}, "the task's ignore_index is 'no': expected"),
        ],
    )
    def test_a_part_of_another_kind(self, parts, fault):
        with pytest.raises(prac.PracError, match=fault):
            Task(**parts)

    def test_a_part_of_no_name(self):
        with pytest.raises(TypeError, match="Task has no argument 'los': did you mean 'loss'"):
            Task(los=F.mse_loss)  # type: ignore[call-arg]
