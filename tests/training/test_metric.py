"""Metrics: values by hand, the same for any cut into batches, and what is refused."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import f1_score, jaccard_score, roc_auc_score

import prac
from prac import Metric
from prac.runs import ACCURACY

OUTPUTS = torch.tensor([[2.0, 1.0, 0.0], [0.0, 3.0, 1.0], [1.0, 0.0, 2.0], [5.0, 0.0, 0.0]])
CLASSES = torch.tensor([0, 1, 1, -100])
MAP = torch.tensor([[[0, 0], [1, 1]], [[1, 1], [2, -100]]])
"""Targets of two pictures of 2 x 2 pixels."""


def scores_of_map(predicted):
    """Return outputs (n, 3, 2, 2) whose highest are the classes given."""
    return torch.nn.functional.one_hot(torch.tensor(predicted), 3).movedim(-1, 1).float()


class TestByHand:
    def test_accuracy_leaves_out_what_has_no_class(self):
        assert Metric.accuracy().over([(OUTPUTS, CLASSES)]) == pytest.approx(2 / 3)
        assert Metric.accuracy(ignore_index=1).over([(OUTPUTS, CLASSES)]) == 1 / 2

    def test_accuracy_of_class_probabilities_is_of_the_likeliest(self):
        soft = torch.tensor([[0.6, 0.4, 0.0], [0.1, 0.2, 0.7]])
        assert Metric.accuracy().over([(OUTPUTS[:2], soft)]) == 0.5

    def test_mean_squared_error(self):
        outputs, targets = torch.tensor([[1.0], [3.0]]), torch.tensor([0.0, 1.0])
        # (1 + 4) / 2: each with its own, not broadcast.
        assert Metric.mean_squared_error().over([(outputs, targets)]) == 2.5

    def test_perplexity_of_no_knowledge_is_the_vocabulary(self):
        outputs, targets = torch.zeros(2, 3, 7), torch.tensor([[1, 2, 3], [4, -100, -100]])
        assert Metric.perplexity().over([(outputs, targets)]) == pytest.approx(7)

    def test_perplexity_counts_tokens_not_sequences(self):
        outputs = torch.zeros(2, 3, 2)
        outputs[1, 0] = torch.tensor([math.log(3), 0.0])  # 3/4 for the first.
        targets = torch.tensor([[0, 1, 0], [0, -100, -100]])
        expected = math.exp((3 * math.log(2) - math.log(0.75)) / 4)
        assert Metric.perplexity().over([(outputs, targets)]) == pytest.approx(expected)

    def test_mean_iou(self):
        predicted = scores_of_map([[[0, 1], [1, 1]], [[1, 1], [2, 0]]])
        # Class 0: 1 of 2; 1: 4 of 5; 2: 1 of 1; the pixel without a class counts nowhere.
        expected = (1 / 2 + 4 / 5 + 1) / 3
        assert Metric.mean_iou().over([(predicted, MAP)]) == pytest.approx(expected)

    def test_mean_iou_leaves_out_classes_that_are_nowhere(self):
        predicted, targets = scores_of_map([[[0, 0], [1, 1]]]), torch.tensor([[[0, 0], [1, 0]]])
        assert Metric.mean_iou().over([(predicted, targets)]) == pytest.approx((2 / 3 + 1 / 2) / 2)

    @pytest.mark.parametrize("average", ["macro", "micro"])
    def test_f1_of_classes_is_that_of_scikit_learn(self, average):
        generator = torch.Generator().manual_seed(0)
        outputs = torch.randn(50, 4, generator=generator)
        targets = torch.randint(4, (50,), generator=generator)
        expected = f1_score(targets, outputs.argmax(1), average=average)
        assert Metric.f1(average).over([(outputs, targets)]) == pytest.approx(expected)
        iou = jaccard_score(targets, outputs.argmax(1), average="macro")
        assert Metric.mean_iou().over([(outputs, targets)]) == pytest.approx(iou)

    @pytest.mark.parametrize("average", ["macro", "micro"])
    def test_f1_of_labels_is_that_of_scikit_learn(self, average):
        generator = torch.Generator().manual_seed(1)
        outputs = torch.randn(50, 3, generator=generator)
        targets = (torch.rand(50, 3, generator=generator) < 0.4).float()
        expected = f1_score(targets, outputs > 0, average=average)
        assert Metric.f1(average).over([(outputs, targets)]) == pytest.approx(expected)

    def test_binary_f1_is_of_class_one(self):
        scores, targets = torch.tensor([1.0, -1.0, 2.0, -2.0]), torch.tensor([1.0, 1.0, 0.0, 0.0])
        assert Metric.f1("binary").over([(scores, targets)]) == 0.5
        both = torch.stack([-scores, scores], dim=1)
        assert Metric.f1("binary").over([(both, targets.long())]) == 0.5

    def test_what_does_not_sum_is_of_all_at_once(self):
        auc = Metric.of_all("AUC", lambda scores, y: roc_auc_score(y, scores), is_share=True)
        scores, y = torch.tensor([0.1, 0.4, 0.35, 0.8]), torch.tensor([0, 0, 1, 1])
        assert auc.over([(scores[:1], y[:1]), (scores[1:], y[1:])]) == 0.75

    def test_without_anything_to_count_it_has_no_value(self):
        empty = torch.full((4,), -100)
        for metric in (Metric.accuracy(), Metric.f1(), Metric.mean_iou()):
            assert math.isnan(metric.over([(OUTPUTS, empty)]))


METRICS = {
    "accuracy": (Metric.accuracy(), lambda n, g: torch.randint(4, (n,), generator=g), (4,)),
    "f1": (Metric.f1(), lambda n, g: torch.randint(4, (n,), generator=g), (4,)),
    "iou": (Metric.mean_iou(), lambda n, g: torch.randint(3, (n, 2, 2), generator=g), (3, 2, 2)),
    "mse": (Metric.mean_squared_error(), lambda n, g: torch.randn(n, 2, generator=g), (2,)),
    "perplexity": (
        Metric.perplexity(),
        lambda n, g: torch.randint(5, (n, 3), generator=g),
        (3, 5),
    ),
    "median": (
        Metric.of_all("median error", lambda outputs, targets: (outputs - targets).abs().median()),
        lambda n, g: torch.randn(n, 2, generator=g),
        (2,),
    ),
}


@given(name=st.sampled_from(sorted(METRICS)), cuts=st.lists(st.integers(1, 9), min_size=1))
def test_a_value_is_the_same_for_any_cut_into_batches(name, cuts):
    metric, targets_of, shape = METRICS[name]
    generator, n = torch.Generator().manual_seed(sum(cuts)), sum(cuts)
    outputs, targets = torch.randn(n, *shape, generator=generator), targets_of(n, generator)
    whole = metric.over([(outputs, targets)])
    parts = metric.over(zip(outputs.split(cuts), targets.split(cuts), strict=True))
    assert parts == pytest.approx(whole, rel=1e-12)


def test_a_name_and_a_direction_are_what_folders_record():
    assert Metric.accuracy().measure == ACCURACY
    assert Metric.perplexity().measure.to_json() == {
        "name": "perplexity",
        "higher_is_better": False,
        "is_share": False,
    }


class TestRefusals:
    @pytest.mark.parametrize(
        ("metric", "fault"),
        [
            (Metric("own", lambda o, y: 3, lambda sums: sums), "statistics of an int"),
            (Metric("own", lambda o, y: o, lambda sums: sums), "gave a tensor of shape"),
            (Metric("own", lambda o, y: o.sum(), lambda sums: None), "gave a NoneType"),
            (Metric("own", lambda o, y: o.nothing, lambda sums: sums), "does not take the model's"),
            (
                Metric("own", lambda o, y: o, lambda sums: 5.0, is_share=True),
                "gave 5 for a set, and it is one of shares: expected 0 to 1",
            ),
        ],
    )
    def test_an_own_metric_that_does_not_fit(
        self, small_net, train, config, tmp_path, metric, fault
    ):
        task = prac.Task(metric=metric)
        with pytest.raises(prac.PracError, match=fault) as refused:
            prac.find(small_net(), train, config(), out=tmp_path / "run", task=task)
        assert "\n" not in str(refused.value)
        assert not (tmp_path / "run").exists()

    def test_parts_that_are_none(self):
        with pytest.raises(
            prac.PracError, match="the metric 'x': its function is None: expected a"
        ):
            Metric.of_all("x", None)
        with pytest.raises(prac.PracError, match="the metric 'x': its value is 3: expected a"):
            Metric("x", lambda o, y: o, 3)  # type: ignore[arg-type]
        with pytest.raises(prac.PracError, match="'x': its higher_is_better is 'no': expected"):
            Metric("x", lambda o, y: o, lambda sums: sums, higher_is_better="no")  # type: ignore[arg-type]
        with pytest.raises(TypeError, match="'higher_better': did you mean 'higher_is_better'"):
            Metric("x", lambda o, y: o, lambda sums: sums, higher_better=False)  # type: ignore[call-arg]

    def test_a_name_that_is_none_and_an_average_that_is_none(self):
        with pytest.raises(prac.PracError, match="a metric's name is ''"):
            Metric("", lambda o, y: o, lambda sums: sums)
        with pytest.raises(prac.PracError, match="average is 'weighted': expected"):
            Metric.f1("weighted")  # type: ignore[arg-type]

    def test_a_target_that_is_no_class_of_the_outputs(self):
        with pytest.raises(prac.PracError, match="a target is 3, and the outputs are of 3 classes"):
            Metric.mean_iou().over([(OUTPUTS[:1], torch.tensor([3]))])
