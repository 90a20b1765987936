"""A training step against float64: its loss, its gradients, and pruned weights that stay zero."""

from __future__ import annotations

import functools
import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from unittest import mock

import torch
from torch import Tensor, nn

from bench.variants import half_pruned
from bench.work import Work, load
from prac.config import TrainConfig
from prac.models import snapshot
from prac.training import CLASSIFICATION, Runtime
from prac.training.optimizer import make_optimizer
from prac.training.step import STEPS_BEFORE_CAPTURE, Step

# ‖found - expected‖ / ‖expected‖ of all gradients, and of the loss. bf16 has eight binary digits,
# and twenty layers round one after the other.
LIMITS = {"fp32": 1e-4, "bf16": 6e-2}
PRECISIONS = tuple(LIMITS)
SETTING_UP = STEPS_BEFORE_CAPTURE + 1


class Fault(Exception):
    """Something is not as it should be."""


@dataclass(frozen=True)
class FirstStep:
    """The first training step of a network on a batch.

    Attributes:
        work: Which network.
        path: Where its images are.
        seed: Of its weights.
        device: Where it is trained.
    """

    work: Work
    path: Path
    seed: int
    device: str

    @property
    def config(self) -> TrainConfig:
        """A step of plain gradient descent: what it takes from the weights is the gradient."""
        return replace(self.work.train, optimizer="sgd", momentum=0.0, weight_decay=0.0)

    def batch(self) -> tuple[Tensor, Tensor, Tensor]:
        """Return images and labels, and what each one's loss counts where it counts otherwise."""
        examples = load(self.work, self.path).examples(self.work.train.batch_size)
        x, y = next(iter(examples.stream([torch.arange(len(examples))])))
        return x, y, torch.linspace(0.5, 2.0, len(x))

    def expected(self, weighted: bool) -> tuple[float, list[Tensor]]:
        """Return the loss and the gradients in float64 on the CPU."""
        return _in_float64(self, weighted)

    def found(self, execution: str, precision: str) -> Iterator[tuple[bool, float, list[Tensor]]]:
        """Yield the same as a search's step gives them, examples counting alike and not."""
        runtime = Runtime.choose(self.device, precision, execution)
        model = self.work.build(self.seed).train()
        runtime.prepare_(model)
        step = Step(
            model,
            make_optimizer(model, self.config, runtime),
            {},
            task=CLASSIFICATION,
            runtime=runtime,
            batch_size=self.work.train.batch_size,
        )
        x, y, weights = (part.to(runtime.device) for part in self.batch())
        parameters = list(model.parameters())
        before = [parameter.detach().clone() for parameter in parameters]
        for weighted in (False, True):
            batch = (weights,) if weighted else ()
            for _ in range(SETTING_UP):
                step(x, y, 0.0, *batch)  # Nothing is learned, but all is set up.
            loss, _ = step(x, y, 1.0, *batch)
            with torch.no_grad():
                taken = [old - new for old, new in zip(before, parameters, strict=True)]
                for old, new in zip(before, parameters, strict=True):
                    new.copy_(old)
            yield weighted, float(loss), [gradient.double().cpu() for gradient in taken]

    def check(self, execution: str, precision: str) -> str:
        """Return how far loss and gradients are from float64's.

        Raises:
            Fault: If that is too far.
        """
        runtime, told, limit = Runtime.choose(self.device), [], LIMITS[precision]
        with runtime.reproducible(), smooth():
            for weighted, loss, gradients in self.found(execution, precision):
                wanted_loss, wanted = self.expected(weighted)
                off = {
                    "loss": abs(loss - wanted_loss) / abs(wanted_loss),
                    "gradients": _distance(gradients, wanted),
                }
                text = ", ".join(f"{what} {value:.1e}" for what, value in off.items())
                told.append(f"{text}{' (weighted)' if weighted else ''}")
                if not all(value <= limit for value in off.values()):
                    raise Fault(f"{told[-1]}: over {limit:g}")
        return "; ".join(told)


@contextmanager
def smooth() -> Iterator[None]:
    """Let networks have SiLU where they have ReLU, for a while.

    At ReLU's kink the least rounding makes a whole gradient come or go: gradients would differ by
    the square root of what is rounded, and float32 could not be told from less.
    """
    with mock.patch("torch.nn.functional.relu", nn.functional.silu):
        yield


@functools.cache
def _in_float64(first: FirstStep, weighted: bool) -> tuple[float, list[Tensor]]:
    model = first.work.build(first.seed).train().double()
    x, y, weights = first.batch()
    losses = nn.functional.cross_entropy(model(x.double()), y, reduction="none")
    loss = (losses * weights.double()).mean() if weighted else losses.mean()
    loss.backward()
    gradients = [parameter.grad for parameter in model.parameters()]
    return float(loss.detach()), [gradient for gradient in gradients if gradient is not None]


def _distance(found: list[Tensor], expected: list[Tensor]) -> float:
    squares = [
        (float((a - b).square().sum()), float(b.square().sum()))
        for a, b in zip(found, expected, strict=True)
    ]
    over, under = (sum(column) for column in zip(*squares, strict=True))
    return math.sqrt(over / under)


def check_pruned(work: Work, path: Path, execution: str, seed: int, device: str) -> str:
    """Return what was looked at: pruned weights are zero after steps of momentum and decay.

    Raises:
        Fault: If one is not, or nothing was trained.
    """
    runtime = Runtime.choose(device, execution=execution)
    model = work.build(seed).train()
    runtime.prepare_(model)
    masks = half_pruned(work, model)
    optimizer = make_optimizer(model, work.train, runtime)
    size = work.train.batch_size
    step = Step(model, optimizer, masks, task=CLASSIFICATION, runtime=runtime, batch_size=size)
    examples = load(work, path).examples().to(runtime.device)
    # Batches of two sizes, as an epoch has them.
    batches = [torch.arange(size), torch.arange(max(size // 2, 2))] * (SETTING_UP + 1)
    before = snapshot(model)
    with runtime.reproducible():
        for x, y in examples.stream(batches, seeds=list(range(len(batches)))):
            step(x, y, work.train.lr)
    after = snapshot(model)
    alive = sum(int(after[name][~mask].count_nonzero()) for name, mask in masks.items())
    if alive:
        raise Fault(f"{alive} pruned weights are not zero")
    still = [name for name, mask in masks.items() if torch.equal(before[name], after[name])]
    if still:
        raise Fault(f"nothing was trained of {', '.join(still)}")
    pruned = sum(int((~mask).sum()) for mask in masks.values())
    return f"{pruned:,} weights, {len(batches)} steps"
