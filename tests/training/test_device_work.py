"""What a device would have to do: nothing is read back within an epoch, and little around it.

A GPU launches a kernel for about each operation counted here, and waits at each value read.
"""

from __future__ import annotations

from contextlib import nullcontext

import pytest
import torch
from torch import nn
from torch._subclasses.fake_tensor import DataDependentOutputException, FakeTensorMode

import prac
from prac.algorithms import ForgettingTable, magnitude, ones, prune, scaled_plan
from prac.config import TrainConfig
from prac.data import TensorExamples
from prac.data.augment import Pipeline
from prac.models import prunable, snapshot
from prac.models.registry import build
from prac.runs import RunState
from prac.training import (
    CLASSIFICATION,
    Problem,
    Runtime,
    Training,
    evaluate,
    loop,
    scores_of,
)
from prac.training.diverged import check_converging
from prac.training.level import ended_epoch, record_segment
from prac.training.optimizer import make_optimizer, optimizer_tensors
from prac.utils import on_cpu
from tests.cuda_graphs import Counting

CPU = torch.device("cpu")
BATCH = 8
PIPELINE = Pipeline((0.5,) * 3, (0.2,) * 3, crop_padding=4, flip=True)


def images(n):
    draw = torch.Generator().manual_seed(7)
    x = torch.randint(256, (n, 3, 16, 16), generator=draw, dtype=torch.uint8)
    return TensorExamples(x, torch.randint(10, (n,), generator=draw), PIPELINE)


def resnet():
    return build("resnet20s", image_shape=(3, 16, 16), classes=10)


def epoch_of(model, data, runtime, task=CLASSIFICATION):
    optimizer = make_optimizer(model, TrainConfig(batch_size=BATCH), runtime)
    plan = scaled_plan(kept=len(data), total=len(data), batch_size=BATCH, lr=0.1, epochs=2)
    return loop.fit(
        model, optimizer, data, torch.arange(len(data)), plan, masks={}, task=task, runtime=runtime,
        batch_size=BATCH, seed=0,
    )  # fmt: skip


@pytest.fixture
def without_values(monkeypatch):
    """Tensors that have shapes and no values: to read one raises."""

    monkeypatch.setattr(torch.random, "fork_rng", lambda devices: nullcontext())
    with FakeTensorMode(allow_non_fake_inputs=True):
        yield


@pytest.mark.parametrize("execution", ["eager", "channels-last"])
def test_no_value_is_read_within_an_epoch(without_values, execution):
    runtime = Runtime(CPU, "bf16", execution)
    first, *rest = epoch_of(resnet(), images(5 * BATCH + 3), runtime)
    assert (first.start, first.step, first.ends_epoch) == (0, 6, True)
    assert (tuple(first.correct.shape), len(rest)) == ((43,), 1)


def test_a_value_that_is_read_would_be_seen(without_values):
    def reads(outputs, targets):
        loss = nn.functional.cross_entropy(outputs, targets)
        return loss * (2 if loss > 5 else 1)

    task = prac.Task(loss=reads)
    with pytest.raises(DataDependentOutputException):
        list(epoch_of(resnet(), images(2 * BATCH), Runtime(CPU), task))


def test_a_blocks_batches_are_made_together():
    data = images(64 * BATCH)
    ids = list(torch.arange(len(data)).split(BATCH))
    with Counting() as counting:
        made = list(data.stream(ids, seeds=range(len(ids))))
    assert len(made) == 64
    # Draws are made on the CPU: three a batch, and what is drawn is put together once.
    drawn = {"randint", "rand", "lt", "stack", "random_", "uniform_"}
    on_device = {name: count for name, count in counting.calls.items() if name not in drawn}
    assert sum(on_device.values()) <= 40


@pytest.mark.parametrize("execution", ["eager", "channels-last"])
def test_an_epochs_end_takes_few_operations(execution):
    runtime = Runtime(CPU, "fp32", execution)
    problem = Problem.of(resnet(), images(BATCH), images(BATCH), runtime=runtime, batch_size=BATCH)
    weights = snapshot(problem.model)
    pruned = {
        name: weights[name] for name in prunable(problem.model, prac.PruneConfig(layers="conv"))
    }
    masks = prune(magnitude(pruned), ones(pruned), 0.5)
    state = RunState(0, 0, weights, masks, torch.arange(BATCH), ForgettingTable.empty(BATCH))
    segment = next(epoch_of(problem.model, problem.train, runtime))
    plan = scaled_plan(kept=BATCH, total=BATCH, batch_size=BATCH, lr=0.1, epochs=4)
    training = Training(
        plan,
        TrainConfig(batch_size=BATCH),
        seed=0,
        candidate=lambda state: prune(
            magnitude({name: state.weights[name] for name in masks}), masks, 0.2
        ),
    )
    with Counting() as check:
        check_converging(state, segment, problem.model, plan)
    assert check.calls.total() <= 20
    assert check.calls["_local_scalar_dense"] == 1
    with Counting() as seen:
        state = record_segment(state, segment, problem.model, None)
    # 62 parameters and 57 buffers, in pieces of a type; laid out anew where they lay otherwise.
    laid_out = 0 if execution == "eager" else 19
    assert seen.calls.total() <= 40 + laid_out
    with Counting() as ended:
        ended_epoch(problem, state, training)
    # A forward pass, about 80; the candidate masks, on the CPU: four for each of 19 layers.
    assert ended.calls.total() <= 80 + 19 * 4 + 60
    optimizer = make_optimizer(problem.model, TrainConfig(), runtime)
    with Counting() as taken:
        optimizer_tensors(optimizer)
    assert taken.calls.total() <= 8 + laid_out


def test_a_pass_on_a_device_takes_few_batches(monkeypatch):
    asked = []

    class Lying(TensorExamples):
        def stream(self, batches, *, seeds=None):
            asked.extend(len(batch) for batch in batches)
            return super().stream(batches, seeds=seeds)

    x, y = torch.rand(700, 3, 4, 4), torch.zeros(700, dtype=torch.int64)
    model = nn.Sequential(nn.Flatten(), nn.Linear(48, 5))

    def passed(batch_size, device):
        asked.clear()
        runtime = Runtime(CPU)
        problem = Problem.of(model, (x, y), runtime=runtime, batch_size=batch_size)
        object.__setattr__(problem, "runtime", OnDevice(device))
        return scores_of(problem, Lying(x, y)), list(asked)

    class OnDevice(Runtime):
        def __init__(self, kind):
            object.__setattr__(self, "device", torch.device(kind))
            object.__setattr__(self, "precision", "fp32")
            object.__setattr__(self, "execution", "eager")

    plain, batches = passed(32, "cpu")
    assert batches == [64] * 10 + [60]
    together, batches = passed(32, "cuda")
    assert batches == [64, 512, 124]  # Sixteen training batches at once.
    assert together == pytest.approx(plain)
    _, batches = passed(200, "cuda")
    assert batches == [200, 500]
    monkeypatch.setattr(evaluate, "MOST_BYTES", 100 * 48 * 4)
    assert passed(32, "cuda")[1] == [64] + [100] * 6 + [36]
    # No smaller than what training takes.
    monkeypatch.setattr(evaluate, "MOST_BYTES", 1)
    assert passed(32, "cuda")[1] == [64] * 10 + [60]


def test_copies_are_the_tensors_whatever_they_lie_like():
    draw = torch.Generator().manual_seed(0)
    tensors = {
        "image": torch.randn(4, 3, 2, 2, generator=draw).to(memory_format=torch.channels_last),
        "plain": torch.randn(3, 5, generator=draw),
        "turned": torch.randn(3, 5, generator=draw).t(),
        "later": torch.arange(10.0)[3:7],
        "part": torch.randn(6, 6, generator=draw)[1:3, ::2],
        "wide": torch.randn(1, 4, generator=draw).expand(3, 4),
        "number": torch.tensor(3),
        "none": torch.zeros(0, 4),
        "half": torch.randn(3, generator=draw).to(torch.bfloat16),
        "small": torch.randn(4, generator=draw).to(torch.float8_e4m3fn),
        "flags": torch.tensor([True, False]),
        "complex": torch.randn(3, dtype=torch.complex64, generator=draw).conj(),
        "ones": torch.ones(1, 3, 1, 1).to(memory_format=torch.channels_last),
    }
    copies = on_cpu(tensors)
    assert list(copies) == list(tensors)
    for name, tensor in tensors.items():
        copy = copies[name]
        assert copy.is_contiguous()
        assert (copy.dtype, copy.shape) == (tensor.dtype, tensor.shape)
        same = torch.equal(copy.float(), tensor.float()) if tensor.element_size() == 1 else (
            torch.equal(copy, tensor)
        )  # fmt: skip
        assert same, name
    before = copies["plain"].clone()
    tensors["plain"].add_(1)
    assert torch.equal(copies["plain"], before)


def test_large_tensors_are_copied_alone(monkeypatch):
    monkeypatch.setattr("prac.utils.transfer.LARGE", 10)
    copies = on_cpu({"large": torch.ones(20), "a": torch.ones(3), "b": torch.zeros(4)})
    sizes = {name: copy.untyped_storage().nbytes() for name, copy in copies.items()}
    assert sizes == {"large": 80, "a": 28, "b": 28}
