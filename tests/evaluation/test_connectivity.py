"""Error barriers: known ones by hand, BatchNorm's statistics estimated anew."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from prac.data import TensorExamples
from prac.evaluation.connectivity import error_barrier, interpolated
from prac.models import snapshot
from prac.training import Problem, Runtime


def problem_of(model: nn.Module, x: torch.Tensor, y: torch.Tensor) -> Problem:
    return Problem.of(model, (x, y), runtime=Runtime(torch.device("cpu")), batch_size=20)


@pytest.fixture
def signs() -> tuple[torch.Tensor, torch.Tensor]:
    """Points whose class is their sign."""
    x = torch.linspace(-1, 1, 100)[:, None]
    return x, (x[:, 0] > 0).long()


def linear(weight: list[list[float]], bias: list[float]) -> dict[str, torch.Tensor]:
    return {"0.weight": torch.tensor(weight), "0.bias": torch.tensor(bias)}


def test_a_flat_line_and_a_hill(signs):
    problem = problem_of(nn.Sequential(nn.Linear(1, 2)), *signs)
    test = TensorExamples(*signs)
    good, steeper = linear([[-1.0], [1.0]], [0.0, 0.0]), linear([[-3.0], [3.0]], [0.0, 0.0])
    flat = error_barrier(problem, test, good, steeper)
    assert flat.errors == (0.0,) * 11
    assert flat.height == 0.0
    # The half-way point takes all for class 0: half of them wrong.
    wrong = linear([[1.0], [-1.0]], [0.0, 0.0])
    hill = error_barrier(problem, test, good, wrong, points=3)
    assert hill.errors == pytest.approx((0.0, 0.5, 1.0))
    assert hill.height == pytest.approx(0.5)


def test_interpolation_is_linear_and_leaves_counts_and_infinities():
    inf = float("inf")
    one = {"w": torch.tensor([0.0, 2.0]), "n": torch.tensor(3), "m": torch.tensor([-inf, 0.0])}
    other = {"w": torch.tensor([1.0, 4.0]), "n": torch.tensor(8), "m": torch.tensor([-inf, 0.0])}
    found = interpolated(one, other, 0.25)
    assert found["w"].tolist() == [0.25, 2.5]
    assert int(found["n"]) == 3
    assert found["m"].tolist() == [-inf, 0.0]
    assert all(torch.equal(interpolated(one, other, 0.0)[name], one[name]) for name in one)


def test_batchnorm_is_estimated_at_every_point(signs):
    """Statistics that fit neither the data nor the weights do no harm."""
    x, y = signs
    model = nn.Sequential(nn.Linear(1, 1), nn.BatchNorm1d(1), nn.Linear(1, 2))
    with torch.no_grad():
        model[0].get_parameter("weight").fill_(1.0)
        model[0].get_parameter("bias").zero_()
        model[2].get_parameter("weight").copy_(torch.tensor([[-1.0], [1.0]]))
        model[2].get_parameter("bias").zero_()
    one = snapshot(model)
    other = {name: value.clone() for name, value in one.items()}
    for ends in (one, other):
        ends["1.running_mean"] += 50.0
        ends["1.running_var"] *= 9.0
    problem = problem_of(model, x, y)
    barrier = error_barrier(problem, TensorExamples(x, y), one, other, points=3)
    assert barrier.errors == pytest.approx((0.0, 0.0, 0.0), abs=0.02)
    assert model[1].momentum == 0.1
    assert float(model[1].get_buffer("running_mean")) == pytest.approx(0.0, abs=0.1)


def test_the_same_barrier_again(small_net, train, val):
    ends = [snapshot(small_net(seed=seed)) for seed in (0, 1)]
    found = []
    for noise in (1, 2):
        torch.manual_seed(noise)
        problem = problem_of(small_net(), *train)
        found.append(error_barrier(problem, TensorExamples(*val), *ends, points=3))
    assert found[0] == found[1]
