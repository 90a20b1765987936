"""Mixed batches: drawn from the run's seeds, shares of at least a half, losses of both targets."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from prac.algorithms import scaled_plan
from prac.config import TrainConfig
from prac.data import TensorExamples
from prac.errors import PracError
from prac.models import restore_, snapshot
from prac.training import CLASSIFICATION, Problem, Runtime, Task
from prac.training.batch_transform import Mixed, batch_transform_of, cutmix, mixup
from prac.training.loop import fit
from prac.training.optimizer import make_optimizer, optimizer_tensors, restore_optimizer_
from prac.training.step import training_loss
from prac.training.task import Made
from prac.utils import generator

CPU = Runtime(torch.device("cpu"))
OWN = "tests.training.own_parts:"
SEEDS = st.integers(0, 2**40)
ALPHAS = st.floats(0.05, 20)


def images(n: int = 12) -> tuple[torch.Tensor, torch.Tensor]:
    draw = torch.Generator().manual_seed(3)
    return torch.rand((n, 1, 8, 6), generator=draw), torch.randint(3, (n,), generator=draw)


@given(SEEDS, ALPHAS)
def test_mixup_gives_means_in_which_an_example_s_own_share_is_the_larger(seed, alpha):
    x, y = images()
    mixed, targets = mixup(x, y, generator(seed), alpha=alpha)
    assert isinstance(targets, Mixed)
    assert 0.5 <= targets.share <= 1
    assert torch.equal(targets.own, y)
    again, same = mixup(x, y, generator(seed), alpha=alpha)
    assert torch.equal(again, mixed)
    assert isinstance(same, Mixed)
    assert same.share == targets.share
    others = [
        [
            torch.allclose(mixed[i], x[i] * targets.share + x[j] * (1 - targets.share))
            and bool(targets.other[i] == y[j])
            for j in range(len(x))
        ]
        for i in range(len(x))
    ]
    assert all(map(any, others))


@given(SEEDS, ALPHAS)
def test_cutmix_pastes_a_rectangle_of_at_most_half_and_tells_its_area(seed, alpha):
    x, y = images()
    mixed, targets = cutmix(x, y, generator(seed), alpha=alpha)
    assert isinstance(targets, Mixed)
    changed = (mixed != x).any(0)[0]
    assert 0.5 <= targets.share <= 1
    assert int(changed.sum()) == round((1 - targets.share) * 48)
    if changed.any():
        rows, columns = changed.any(1).nonzero()[:, 0], changed.any(0).nonzero()[:, 0]
        assert bool(changed[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1].all())
    assert torch.equal(x, images()[0]), "what was given stays"


def test_trees_are_mixed_by_part_and_a_share_of_the_batches_may_stay():
    x: Any = {"a": torch.rand(6, 2), "b": (torch.rand(6),)}
    y = {"t": torch.arange(6)}
    mixed, targets = mixup(x, y, generator(0), alpha=5.0)
    assert isinstance(targets, Mixed)
    rows = targets.other["t"]
    for one, before in ((mixed["a"], x["a"]), (mixed["b"][0], x["b"][0])):
        assert torch.allclose(one, before * targets.share + before[rows] * (1 - targets.share))
    outcomes = [mixup(x, y, generator(seed), probability=0.5)[1] for seed in range(100)]
    assert 30 < sum(isinstance(of, Mixed) for of in outcomes) < 70


def test_the_loss_is_that_of_both_targets_by_share():
    outputs = torch.tensor([[1.0, 2.0, 3.0], [0.5, 0.1, 0.0]])
    own, other = torch.tensor([0, 1]), torch.tensor([2, 2])
    mixed, made = Mixed(own, other, 0.7), Made(outputs)
    each = [nn.functional.cross_entropy(outputs, of, reduction="none") for of in (own, other)]
    expected = 0.7 * each[0] + 0.3 * each[1]
    assert torch.allclose(training_loss(CLASSIFICATION, made, mixed), expected.mean())
    weights = torch.tensor([0.5, 2.0])
    weighed = training_loss(CLASSIFICATION, made, mixed, weights)
    assert torch.allclose(weighed, (expected * weights).mean())


def network() -> nn.Sequential:
    with torch.random.fork_rng([]):
        torch.manual_seed(3)
        return nn.Sequential(nn.Flatten(), nn.Linear(48, 8), nn.ReLU(), nn.Linear(8, 3))


SETTINGS: dict[str, dict[str, Any]] = {
    "mixup": {"batch_transform": "mixup", "batch_transform_args": {"alpha": 1}},
    "cutmix": {"batch_transform": "cutmix", "accumulate": 2},
    "own": {"batch_transform": f"{OWN}noise", "batch_transform_args": {"scale": 0.5}},
}


@pytest.mark.parametrize("name", SETTINGS)
def test_cut_after_every_iteration_mixed_training_is_the_uncut_one(name):
    config = TrainConfig(batch_size=5, lr=0.1, **SETTINGS[name])
    plan = scaled_plan(kept=12, total=12, batch_size=5, epochs=2, lr=0.1)

    def segments(model, optimizer, **more):
        usual: Any = {"task": CLASSIFICATION, "runtime": CPU, "batch_size": 5, "seed": 0}
        transform = batch_transform_of(config)
        return fit(
            model, optimizer, TensorExamples(*images()), torch.arange(12), plan, masks={},
            transform=transform, **usual, **more,
        )  # fmt: skip

    whole, plain = network(), network()
    list(segments(whole, make_optimizer(whole, config, CPU)))
    model, state, step = network(), {}, 0
    while step < plan.iterations:
        weights, model = snapshot(model), network()
        restore_(model, weights)
        optimizer = make_optimizer(model, config, CPU)
        if state:
            restore_optimizer_(optimizer, state)
        step = next(segments(model, optimizer, start=step, breaks=lambda step: True)).step
        state = optimizer_tensors(optimizer)
    assert all(torch.equal(of, snapshot(whole)[n]) for n, of in snapshot(model).items())
    config = TrainConfig(batch_size=5, lr=0.1)
    list(segments(plain, make_optimizer(plain, config, CPU)))
    assert not torch.equal(plain.get_parameter("1.weight"), whole.get_parameter("1.weight"))


def test_whether_an_example_is_right_is_told_by_its_own_target():
    def swapped(x, y, generator):
        return x, Mixed(y, 2 - y, 0.5)

    x = torch.zeros(4, 48)
    model = network()
    with torch.no_grad():
        model.get_parameter("3.weight").zero_()
        model.get_parameter("3.bias").copy_(torch.tensor([0.0, 0.0, 9.0]))
    plan = scaled_plan(kept=4, total=4, batch_size=4, epochs=1, lr=1e-9)
    data = TensorExamples(x, torch.tensor([2, 2, 0, 0]))
    usual: Any = {"task": CLASSIFICATION, "runtime": CPU, "batch_size": 4, "seed": 0, "masks": {}}
    optimizer = make_optimizer(model, TrainConfig(lr=1e-9), CPU)
    [segment] = fit(model, optimizer, data, torch.arange(4), plan, transform=swapped, **usual)
    assert dict(zip(segment.ids.tolist(), segment.correct.tolist(), strict=True)) == {
        0: True, 1: True, 2: False, 3: False,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"batch_transform": "mixup", "batch_transform_args": {"alfa": 1}}, "did you mean 'alpha'"),
        ({"batch_transform": "mixup", "batch_transform_args": {"alpha": 0}}, "alpha above 0"),
        ({"batch_transform": "mixup", "batch_transform_args": {"alpha": "x"}}, "fails on a batch"),
        ({"batch_transform": "cutmix", "batch_transform_args": {"probability": 2}}, "at most 1"),
        ({"batch_transform": "mixup", "batch_transform_args": {"x": 1}}, "given to the batch_tr"),
        ({"batch_transform": f"{OWN}scaled", "batch_transform_args": {"foo": 1}}, "takes factor$"),
        ({"batch_transform": f"{OWN}halved", "batch_transform_args": {"foo": 1}}, "takes none$"),
        ({"batch_transform": "mixUp"}, "unknown batch_transform 'mixUp': did you mean 'mixup'"),
        ({"batch_transform": f"{OWN}halved"}, "makes other inputs of a batch of"),
        ({"batch_transform": f"{OWN}nowhere"}, "has no 'nowhere'"),
        ({"batch_transform": f"{OWN}halves"}, "fails on a batch|gives"),
    ],
)
def test_transforms_that_cannot_be_taken_are_refused_at_once(settings, message):
    with pytest.raises(PracError, match=message):
        Problem.of(network(), images(), runtime=CPU, config=TrainConfig(batch_size=4, **settings))


def test_words_and_sequences_are_told_why_they_cannot_be_mixed():
    class Words(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.table = nn.Embedding(9, 3)

        def forward(self, ids):
            return self.table(ids).mean(1)

    given = torch.randint(9, (20, 4)), torch.randint(3, (20,))
    for name, message in [
        ("mixup", r"mixup mixes numbers, and x is torch\.int64"),
        ("cutmix", r"cutmix takes images of one size, and inputs are x \(4, 4\)"),
    ]:
        config = TrainConfig(batch_size=4, batch_transform=name)
        with pytest.raises(PracError, match=message):
            Problem.of(Words(), given, runtime=CPU, config=config)


def test_a_loss_that_is_the_model_s_own_has_no_second_target():
    class Own(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(48, 3)

        def forward(self, x, labels):
            logits = self.layer(x.flatten(1))
            return {"logits": logits, "loss": nn.functional.cross_entropy(logits, labels)}

    task = Task(loss="loss", outputs="logits", target_name="labels")
    config = TrainConfig(batch_size=4, batch_transform="mixup")
    with pytest.raises(PracError, match="takes the loss for two targets, and the task's is the m"):
        Problem.of(Own(), images(), task=task, runtime=CPU, config=config)
    config = TrainConfig(batch_size=4, batch_transform=f"{OWN}noise", accumulate=2)
    Problem.of(Own(), images(), task=task, runtime=CPU, config=config)
