"""Captured steps: the bits of uncaptured ones, fewer kernels, and no model that is not steady."""

from __future__ import annotations

import random
from collections import Counter
from contextlib import contextmanager

import pytest
import torch
from torch import nn

from prac.config import TrainConfig
from prac.errors import PracError
from prac.models import snapshot
from prac.models.registry import build
from prac.training import CLASSIFICATION, Runtime
from prac.training.capture import StandIns, Watched
from prac.training.optimizer import make_optimizer
from prac.training.step import MOST_GRAPHS, STEPS_BEFORE_CAPTURE, Step
from tests.cuda_graphs import Counting, with_stand_in

BATCH = 8
CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def graphs(monkeypatch):
    return with_stand_in(monkeypatch)


class Net(nn.Module):
    """Convolutions of which one is used twice, BatchNorm, dropout, and a classifier."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 8, 3)
        self.norm = nn.BatchNorm2d(8)
        self.twice = nn.Conv2d(8, 8, 1)
        self.drop = nn.Dropout(0.2)
        self.head = nn.Linear(8, 4)

    def forward(self, x):
        x = self.norm(self.conv(x)).relu()
        x = self.norm(self.twice(self.twice(x)))
        return self.head(self.drop(x.mean((2, 3))))


def made(execution, precision="fp32", optimizer="sgd", net=Net):
    runtime = Runtime(CPU, precision, execution)
    with torch.random.fork_rng([]):
        torch.manual_seed(0)
        model = net()
    runtime.prepare_(model)
    model.train()
    draw = torch.Generator().manual_seed(1)
    weight = next(model.parameters())
    masks = {
        next(n for n, _ in model.named_parameters()): torch.rand(weight.shape, generator=draw) < 0.5
    }
    config = TrainConfig(batch_size=BATCH, optimizer=optimizer)
    optimizer = make_optimizer(model, config, runtime)
    step = Step(model, optimizer, masks, task=CLASSIFICATION, runtime=runtime, batch_size=BATCH)
    return step, model


def batches(count, sizes=(BATCH, BATCH, 5), weighted=False):
    draw = torch.Generator().manual_seed(2)
    for number in range(count):
        n = sizes[number % len(sizes)]
        x = torch.randn(n, 3, 9, 9, generator=draw)
        y = torch.randint(4, (n,), generator=draw)
        yield number, x, y, torch.rand(n, generator=draw) if weighted and number % 2 else None


def trained(step, given):
    found = []
    for number, x, y, weights in given:
        torch.manual_seed(number)  # Of dropout.
        found.append(step(x, y, 2.0 ** -(3 + number // 4), weights))
    step.settle_()
    return found


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("weighted", [False, True])
def test_captured_steps_have_the_bits_of_uncaptured_ones(precision, optimizer, weighted, graphs):
    losses, models = [], []
    for execution in ("channels-last", "captured"):
        step, model = made(execution, precision, optimizer)
        losses.append(trained(step, batches(24, weighted=weighted)))
        models.append(snapshot(model))
    # Full batches and smaller ones, with weights and without.
    assert len(graphs) == (4 if weighted else 2)
    assert len({id(one["pool"]) for one in graphs}) == 1
    for one, other in zip(*losses, strict=True):
        assert all(torch.equal(a, b) for a, b in zip(one, other, strict=True))
    uncaptured, captured = models
    assert all(torch.equal(uncaptured[name], captured[name]) for name in uncaptured)
    assert int(captured["norm.num_batches_tracked"]) == 48


def test_a_graph_casts_weights_together_and_counts_no_batches():
    step, model = made("captured", "bf16")
    trained(step, batches(8, sizes=(BATCH,)))
    (replays,) = step._replays.values()
    stand_ins = replays.stand_ins
    # Both convolutions and the classifier, with their biases; not BatchNorm's weights.
    names = {id(p): n for n, p in model.named_parameters()}
    assert {names[id(weight)] for weight in stand_ins.weights} == {
        f"{layer}.{part}" for layer in ("conv", "twice", "head") for part in ("weight", "bias")
    }
    assert stand_ins.counts == [2]  # Of the layer that each pass goes through twice.
    calls = Counter(call[0] for call in replays.graph._graph.calls)
    cast = torch.ops.aten._to_copy.default
    assert calls[torch.ops.aten._foreach_copy_.default] == 2
    assert calls[torch.ops.aten._foreach_mul_.List] == 1
    # What is left: activations between BatchNorm, which stays in float32, and bf16.
    watched = Counter(call[0] for call in replays.watched.calls)
    assert watched[cast] - calls[cast] <= 6
    assert (watched[torch.ops.aten.add_.Tensor], calls[torch.ops.aten.add_.Tensor]) == (2, 0)


def test_weights_that_are_more_than_cast_are_left_alone():
    class Tied(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.head = nn.Conv2d(3, 8, 3), nn.Linear(8, 4)

        def forward(self, x):
            return self.head(self.conv(x).mean((2, 3))) + self.head.weight.square().sum()

    for precision in ("fp32", "bf16"):
        found = []
        for execution in ("channels-last", "captured"):
            step, model = made(execution, precision, net=Tied)
            trained(step, batches(12))
            found.append(snapshot(model))
        assert all(torch.equal(found[0][name], found[1][name]) for name in found[0])
    names = {id(p): n for n, p in model.named_parameters()}
    stand_ins = next(iter(step._replays.values())).stand_ins
    assert {names[id(w)] for w in stand_ins.weights} == {"conv.weight", "conv.bias", "head.bias"}


class Random(nn.Module):
    """A network that leaves a layer out at random, by Python's own generator."""

    def __init__(self):
        super().__init__()
        self.conv, self.head = nn.Conv2d(3, 8, 3), nn.Linear(8, 4)
        self.draw = random.Random(3)

    def forward(self, x):
        x = self.conv(x)
        x = x.relu() if self.draw.random() < 0.5 else x
        return self.head(x.mean((2, 3)))


class Scheduled(Random):
    """A network that does the same with another number each time."""

    def forward(self, x):
        self.calls = getattr(self, "calls", 0) + 1
        return self.head(self.conv(x).mean((2, 3))) * (1 + 0.1 * self.calls)


class Averaging(nn.Sequential):
    """A network whose BatchNorm averages all batches: by their number, which Python reads."""

    def __init__(self):
        super().__init__(
            nn.BatchNorm2d(3, momentum=None), nn.AvgPool2d(9), nn.Flatten(), nn.Linear(3, 4)
        )


class Dropping(Random):
    """A network that leaves a layer out at random, by torch's generator, and reads what it drew."""

    def forward(self, x):
        x = self.conv(x)
        x = x.relu() if torch.rand([]) < 0.5 else x
        return self.head(x.mean((2, 3)))


class Late(Random):
    """A network that does otherwise from its seventh call on, as those that are watched later."""

    def forward(self, x):
        self.calls = getattr(self, "calls", 0) + 1
        x = self.conv(x)
        return self.head((x.relu() if self.calls > 6 else x).mean((2, 3)))


@pytest.mark.parametrize(
    ("net", "why"),
    [
        (Random, "does not do the same operations in every step"),
        (Scheduled, "does not do the same operations in every step"),
        (Late, "does not do the same operations in every step"),
        (Averaging, "reads a tensor's values"),
        (Dropping, "reads a tensor's values"),
    ],
)
def test_a_model_that_does_otherwise_in_each_step_is_refused(net, why):
    step, _ = made("captured", net=net)
    with pytest.raises(PracError, match=why):
        trained(step, batches(40, sizes=(BATCH,)))


def test_a_tensor_on_another_device_would_be_frozen():
    model = nn.Linear(2, 2)
    with Watched(model, torch.device("cuda")) as watched:
        model(torch.ones(1, 2))
    assert watched.fault == "it works with a tensor on cpu"


def halve(weight):
    weight.grad.mul_(0.5)


class Hooked(Net):
    """A network with gradients of its own making, before and after they are added up."""

    def __init__(self):
        super().__init__()
        self.conv.weight.register_hook(lambda gradient: gradient.clamp(-1e-3, 1e-3))
        self.head.weight.register_post_accumulate_grad_hook(halve)


class Twice(Net):
    """A network that casts a weight by itself, twice."""

    def forward(self, x):
        weight = self.conv.weight
        one, other = (nn.functional.conv2d(x.bfloat16(), weight.bfloat16()) for _ in range(2))
        return self.head((one + 2 * other).float().mean((2, 3)))


class Growing(Net):
    """A network that makes a tensor in its forward pass, with what is no number among its own."""

    def forward(self, x):
        noise = torch.rand(x.shape[0], 4, device=x.device)
        return super().forward(x) + noise.masked_fill(noise >= 0, 0.5).masked_fill(
            noise < 0, float("nan")
        )


@pytest.mark.parametrize("net", [Hooked, Twice, Growing])
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_peoples_own_ways_have_the_same_bits_captured(net, precision, graphs):
    found = []
    for execution in ("channels-last", "captured"):
        step, model = made(execution, precision, net=net)
        trained(step, batches(16))
        found.append(snapshot(model))
    assert graphs
    assert all(torch.equal(found[0][name], found[1][name]) for name in found[0])


class Listed(Net):
    """A network that reaches a weight by another way than its place in a module."""

    def __init__(self):
        super().__init__()
        self.held = [self.head.weight]

    def forward(self, x):
        x = self.norm(self.conv(x)).relu().mean((2, 3))
        return nn.functional.linear(x, self.held[0])


def test_a_weight_that_is_not_found_in_its_place_is_not_stood_in_for_unseen():
    step, _ = made("captured", "bf16", net=Listed)
    with pytest.raises(PracError, match="same operations"):
        trained(step, batches(8, sizes=(BATCH,)))


def test_a_capture_that_fails_leaves_the_stream_as_it_was(monkeypatch):
    streams = []
    monkeypatch.setattr(torch.cuda, "set_stream", streams.append)

    def fails(*_, **__):
        raise RuntimeError("operation not permitted when stream is capturing")

    step, _ = made("captured")
    monkeypatch.setattr(torch.cuda, "graph", fails)
    with pytest.raises(RuntimeError, match="not permitted"):
        trained(step, batches(8, sizes=(BATCH,)))
    assert len(streams) == 2


def test_what_a_watched_pass_did_is_compared_whole():
    model = nn.Linear(2, 2)
    seen = []
    for x in (torch.ones(1, 2), torch.zeros(1, 2), torch.ones(3, 2)):
        with Watched(model, CPU) as watched:
            model(x)
        seen.append(watched)
    one, like, other = seen
    StandIns().check(one, like)
    with pytest.raises(PracError):
        StandIns().check(one, other)


def test_sizes_that_seldom_come_again_are_not_captured(graphs):
    step, _ = made("captured")
    sizes = tuple(range(1, 40))
    trained(step, batches(len(sizes), sizes=sizes))
    assert not graphs
    often = tuple(range(2, MOST_GRAPHS + 6))
    trained(step, batches((STEPS_BEFORE_CAPTURE + 2) * len(often), sizes=often))
    assert len(graphs) == MOST_GRAPHS


def test_rates_are_set_where_they_change(monkeypatch):
    filled = []
    fill = torch.Tensor.fill_
    step, _ = made("captured")
    (group,) = step._optimizer.param_groups

    def noted(tensor, value):
        if tensor is group["lr"]:
            filled.append(value)
        return fill(tensor, value)

    monkeypatch.setattr(torch.Tensor, "fill_", noted)
    for number, x, y, _ in batches(9, sizes=(BATCH,)):
        step(x, y, 0.1 if number < 5 else 0.01)
    assert filled == [0.1, 0.01]


def test_what_torch_advises_for_others_is_not_shown(monkeypatch, recwarn):
    import warnings

    step, _ = made("captured", optimizer="adam")
    update = step._optimizer.step

    def advised():
        warnings.warn("This instance was constructed with capturable=True or some", stacklevel=2)
        warnings.warn("TensorFloat32 tensor cores for float32 matrix multiplication", stacklevel=2)
        return update()

    monkeypatch.setattr(step._optimizer, "step", advised)
    x, y = torch.randn(BATCH, 3, 9, 9), torch.zeros(BATCH, dtype=torch.int64)
    step(x, y, 0.1)  # torch itself says it once.
    assert not recwarn.list


def test_a_step_makes_few_kernels(monkeypatch):
    # A bound, so that a new kernel for each of the 20 layers is seen. Of these kernels 19 are
    # convolutions, as many BatchNorms and ReLUs, each forward and backward.
    inside = []

    @contextmanager
    def counted(made, **how):
        with Counting() as counting:
            yield
        made.calls = []
        inside.append(counting.calls)

    def step_of(execution):
        def net():
            return build("resnet20s", image_shape=(3, 16, 16), classes=10)

        step, _ = made(execution, "bf16", net=net)
        x, y = torch.randn(BATCH, 3, 16, 16), torch.zeros(BATCH, dtype=torch.int64)
        x = step.runtime.to_memory_format(x)
        return lambda: step(x, y, 0.1)

    monkeypatch.setattr(torch.cuda, "graph", counted)
    uncaptured, captured = step_of("channels-last"), step_of("captured")
    uncaptured()
    with Counting() as each:
        uncaptured()
    for _ in range(STEPS_BEFORE_CAPTURE + 1):
        captured()
    (graph,) = inside
    assert each.calls.total() <= 225
    # Without a count of batches and casts of weights and gradients for each layer.
    assert graph.total() <= 165
    assert graph["_to_copy"] <= 3
    with Counting() as around:
        captured()
    # The batch goes in, the loss and the outputs come out.
    assert around.calls == {"copy_": 2, "clone": 2}
