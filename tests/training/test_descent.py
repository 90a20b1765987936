"""Pieces of a batch, clipped gradients, float16: steps by hand, and resumed where they were cut."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from prac.config import TrainConfig
from prac.errors import PracError
from prac.models import restore_, snapshot
from prac.training import CLASSIFICATION, Problem, Runtime, Task
from prac.training.descent import Descent
from prac.training.optimizer import make_optimizer, optimizer_tensors, restore_optimizer_
from prac.training.step import Step
from tests.training.test_optimizers import half_masks, network, plan_of, same, trained, tried

CPU = Runtime(torch.device("cpu"))
HALF = Runtime(torch.device("cpu"), "fp16")
SGD = TrainConfig(momentum=0.0, weight_decay=0.0, lr=0.5)


def batch(n: int = 10) -> tuple[torch.Tensor, torch.Tensor]:
    draw = torch.Generator().manual_seed(1)
    return torch.randn(n, 6, generator=draw), torch.randint(3, (n,), generator=draw)


def plain() -> nn.Linear:
    with torch.random.fork_rng([]):
        torch.manual_seed(0)
        return nn.Linear(6, 3)


def step_of(model: nn.Module, config: TrainConfig = SGD, masks: Any = None, **more: Any) -> Step:
    runtime = more.pop("runtime", CPU)
    descent = Descent.of(config, runtime)
    return Step(
        model,
        make_optimizer(model, config, runtime),
        masks or {},
        task=more.pop("task", CLASSIFICATION),
        runtime=runtime,
        batch_size=10,
        descent=descent,
    )


@given(st.integers(1, 9), st.integers(1, 60))
def test_pieces_are_nearly_even_and_none_is_a_single_example(pieces, examples):
    sizes = Descent(accumulate=pieces).sizes(examples)
    assert sum(sizes) == examples
    assert max(sizes) - min(sizes) <= 1
    assert len(sizes) == max(1, min(pieces, examples // 2))
    assert min(sizes) >= min(2, examples)


@pytest.mark.parametrize("accumulate", [2, 3, 5])
@pytest.mark.parametrize("weighted", [False, True])
def test_a_batch_in_pieces_steps_as_a_whole_one(accumulate, weighted):
    x, y = batch()
    weights = torch.linspace(0.5, 2, 10) if weighted else None
    whole, parts = plain(), plain()
    settings = {**vars(SGD), "accumulate": accumulate}
    loss, outputs = step_of(whole)(x, y, 0.5, weights)
    loss_of_parts, of_parts = step_of(parts, TrainConfig(**settings))(x, y, 0.5, weights)
    assert torch.allclose(loss, loss_of_parts)
    assert torch.allclose(outputs, of_parts)
    assert torch.allclose(whole.weight, parts.weight, atol=1e-6)
    assert not torch.equal(whole.weight, plain().weight)


def test_trees_are_cut_along_their_examples():
    class Pair(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer, self.sizes = plain(), []

        def forward(self, a, more):
            self.sizes.append((len(a), len(more[0])))
            return {"logits": self.layer(a) + more[0]}

    x, y = batch()
    model = Pair()
    task = Task(outputs="logits")
    config = TrainConfig(**{**vars(SGD), "accumulate": 2})
    _, outputs = step_of(model, config, task=task)({"a": x, "more": [x[:, :3]]}, y, 0.5)
    assert model.sizes == [(5, 5), (5, 5)]
    assert outputs.shape == (10, 3)


def test_what_has_no_examples_along_its_first_axis_cannot_be_cut():
    class Packed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = plain()

        def forward(self, x, table):
            return self.layer(x) + table.sum()

    def collate(rows):
        x, y = torch.stack([x for x, _ in rows]), torch.tensor([int(y) for _, y in rows])
        return {"x": x, "table": torch.zeros(3)}, y

    x, y = batch(20)
    data = torch.utils.data.DataLoader(
        torch.utils.data.TensorDataset(x, y), batch_size=10, collate_fn=collate
    )
    Problem.of(Packed(), data, runtime=CPU, config=TrainConfig(batch_size=10))
    with pytest.raises(
        PracError, match=r"accumulate is 2, but x\['table'\] of a batch of 4 is \(3"
    ):
        Problem.of(Packed(), data, runtime=CPU, config=TrainConfig(batch_size=10, accumulate=2))


def test_gradients_are_clipped_to_a_norm_of_all_that_are_kept():
    x, y = batch()
    whole, model = plain(), plain()
    mask = torch.ones(3, 6, dtype=torch.bool)
    mask[:, 0] = False
    config = TrainConfig(**{**vars(SGD), "clip_norm": 0.01})
    start = plain().weight.detach() * mask
    with torch.no_grad():
        whole.weight.copy_(start)
    nn.functional.cross_entropy(whole(x), y).backward()
    assert whole.weight.grad is not None
    assert whole.bias.grad is not None
    gradients = [whole.weight.grad * mask, whole.bias.grad]
    norm = math.sqrt(sum(float(each.square().sum()) for each in gradients))
    assert norm > 0.01
    step_of(model, config, {"weight": mask})(x, y, 0.5)
    moved = start - 0.5 * gradients[0] * 0.01 / (norm + 1e-6)
    assert torch.allclose(model.weight, moved, atol=1e-8)
    assert torch.allclose(model.bias, plain().bias - 0.5 * gradients[1] * 0.01 / norm, atol=1e-7)


def test_a_small_gradient_is_not_clipped():
    x, y = batch()
    one, other = plain(), plain()
    step_of(one)(x, y, 0.5)
    step_of(other, TrainConfig(**{**vars(SGD), "clip_norm": 1e4}))(x, y, 0.5)
    assert torch.equal(one.weight, other.weight)


def test_a_step_whose_gradients_overflow_is_left_out_and_the_scale_lowered():
    x, y = batch()
    model = plain()
    config = TrainConfig(**{**vars(SGD), "clip_norm": 1.0})
    descent = Descent.of(config, HALF)
    optimizer = make_optimizer(model, config, HALF)
    step = Step(
        model, optimizer, {}, task=CLASSIFICATION, runtime=HALF, batch_size=10, descent=descent
    )
    assert descent.scaler is not None
    descent.scaler.load_state_dict({**descent.scaler.state_dict(), "scale": 2.0**40})
    before = snapshot(model)
    loss, _ = step(x, y, 0.5)
    assert bool(loss.isfinite()), "the loss itself is not scaled"
    assert same(snapshot(model), before)
    assert descent.scaler.get_scale() == 2.0**39
    descent.scaler.load_state_dict({**descent.scaler.state_dict(), "scale": 1024.0})
    step(x, y, 0.5)
    assert not same(snapshot(model), before)


EVERYTHING: dict[str, dict[str, Any]] = {
    "clipped": {"clip_norm": 0.1},
    "in pieces": {"accumulate": 3},
    "all": {"accumulate": 2, "clip_norm": 0.3, "optimizer": "torch.optim.RMSprop"},
}


@pytest.mark.parametrize("runtime", [CPU, HALF], ids=["fp32", "fp16"])
@pytest.mark.parametrize("name", EVERYTHING)
def test_cut_after_every_iteration_steps_are_the_uncut_ones(name, runtime):
    config = TrainConfig(**{"lr": 0.05, **EVERYTHING[name]})
    plan = plan_of(2)
    whole = network()
    masks = half_masks(whole)

    def start(model):
        return make_optimizer(model, config, runtime), Descent.of(config, runtime)

    optimizer, descent = start(whole)
    list(trained(whole, plan, optimizer, masks, descent=descent, runtime=runtime))
    whole_state = optimizer_tensors(optimizer) | descent.tensors()
    model, state, step = network(), {}, 0
    while step < plan.iterations:
        weights = snapshot(model)
        model = network()
        restore_(model, weights)
        optimizer, descent = start(model)
        if state:
            restore_optimizer_(optimizer, descent.restore_(state))
        cut = trained(
            model, plan, optimizer, masks, start=step, breaks=lambda step: True, descent=descent,
            runtime=runtime,
        )  # fmt: skip
        step = next(cut).step
        for masked, mask in masks.items():
            assert not model.get_parameter(masked)[~mask].any()
        state = optimizer_tensors(optimizer) | descent.tensors()
    assert same(snapshot(model), snapshot(whole))
    assert same(state, whole_state)
    assert ("scaler/scale" in state) == (runtime is HALF)


@pytest.mark.parametrize(
    "wrong",
    [
        {},
        {"scaler/scale": torch.tensor(0.0, dtype=torch.float64)},
        {"scaler/scale": torch.tensor(math.inf, dtype=torch.float64)},
        {"scaler/scale": torch.tensor(1.0)},
        {"scaler/scale": torch.ones(2, dtype=torch.float64)},
        {"scaler/growth_tracker": torch.tensor(-1)},
    ],
)
def test_a_scaler_takes_its_own_state_only(wrong):
    config = TrainConfig()
    good = Descent.of(config, HALF).tensors()
    assert Descent.of(config, HALF).restore_({**good, "0/x": torch.ones(1)}).keys() == {"0/x"}
    with pytest.raises(PracError, match="the state's 'scaler/"):
        Descent.of(config, HALF).restore_({**good, **wrong} if wrong else {})


def test_sparse_gradients_cannot_be_clipped():
    class Words(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.table = nn.Embedding(9, 3, sparse=True)

        def forward(self, ids):
            return self.table(ids).mean(1)

    given = torch.randint(9, (20, 4)), torch.randint(3, (20,))
    config = TrainConfig(batch_size=10, weight_decay=0, momentum=0)
    Problem.of(Words(), given, runtime=CPU, config=config)
    with pytest.raises(PracError, match=r"clipped to 1, does not take sparse gradients"):
        Problem.of(Words(), given, runtime=CPU, config=replace(config, clip_norm=1))


def test_a_trial_takes_the_steps_of_training():
    assert tried(accumulate=2, clip_norm=0.1, ema_decay=0.5).task is CLASSIFICATION
