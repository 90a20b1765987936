"""How long a training is and which learning rate each iteration has. Plain numbers, no tensors."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from typing import Literal

Schedule = Literal["multi-step", "cosine", "linear", "constant", "own"]
Scaling = Literal["linear", "epochs", "none"]


def batch_sizes(examples: int, batch_size: int) -> list[int]:
    """Return the sizes of the batches that one epoch over `examples` is cut into.

    The last batch may be smaller, but never a single example, on which BatchNorm over 1x1 maps
    cannot train: that example joins the batch before it.

    >>> batch_sizes(10, 4), batch_sizes(9, 4), batch_sizes(1, 4)
    ([4, 4, 2], [4, 5], [1])
    """
    full, rest = divmod(examples, batch_size)
    sizes = [batch_size] * full
    if rest == 1 and full and batch_size > 1:
        sizes[-1] += 1
    elif rest:
        sizes.append(rest)
    return sizes


@dataclass(frozen=True, repr=False)
class Plan:
    """One training's length and learning rates, in iterations (optimiser steps).

    Attributes:
        iterations: Length of the training.
        iterations_per_epoch: Batches in one pass over the set.
        lr: Peak learning rate.
        schedule: "multi-step", "cosine" or "linear" (to zero), "constant" or "own".
        milestones: Iterations from which the rate is multiplied by `gamma` once more.
        gamma: Factor at each milestone.
        warmup: Iterations over which the rate grows linearly to its peak.
        scheduled: Iterations that the rate is scheduled for, where the training is cut short.
        factor: Of all rates from iteration `factor_from` on.
        shape: Progress, from 0 to below 1 -> factor of `lr`, where the schedule is "own". Progress
            is counted from the beginning on, the warm-up included.
    """

    iterations: int
    iterations_per_epoch: int
    lr: float
    schedule: Schedule = "multi-step"
    milestones: tuple[int, ...] = ()
    gamma: float = 0.1
    warmup: int = 0
    scheduled: int | None = None
    factor: float = 1.0
    factor_from: int = 0
    shape: Callable[[float], float] | None = None

    def __repr__(self) -> str:
        """Return the call that makes it, without what is as ever.

        >>> Plan(1000, 50, lr=0.1, schedule="cosine")
        Plan(iterations=1000, iterations_per_epoch=50, lr=0.1, schedule='cosine')
        """
        told = ((one.name, getattr(self, one.name), one.default) for one in fields(self))
        return f"Plan({', '.join(f'{n}={value!r}' for n, value, usual in told if value != usual)})"

    @property
    def epochs(self) -> int:
        """Epochs begun, the last one maybe partial."""
        return self.epochs_begun(self.iterations)

    @property
    def scheduled_epochs(self) -> int:
        """Epochs that it would have if it were not cut short.

        >>> Plan(10, 5, lr=1.0).cut_short(3).scheduled_epochs
        2
        """
        return self.epochs_begun(self.iterations if self.scheduled is None else self.scheduled)

    def epochs_begun(self, iterations: int) -> int:
        """Return in how many epochs the first `iterations` lie.

        >>> [Plan(10, 5, lr=1.0).epochs_begun(done) for done in (0, 1, 5, 6)]
        [0, 1, 1, 2]
        """
        return math.ceil(iterations / self.iterations_per_epoch)

    def lr_at(self, iteration: int) -> float:
        """Return the learning rate of an iteration, counted from 0.

        >>> plan = Plan(10, 5, lr=1.0, milestones=(5,), warmup=2)
        >>> [plan.lr_at(i) for i in (0, 1, 4, 5)]
        [0.5, 1.0, 1.0, 0.1]
        """
        rate = self._scheduled_lr(iteration)
        return rate * self.factor if iteration >= self.factor_from else rate

    def _scheduled_lr(self, iteration: int) -> float:
        if iteration < self.warmup:
            return self.lr * (iteration + 1) / self.warmup
        length = self.iterations if self.scheduled is None else self.scheduled
        if self.schedule == "own":
            assert self.shape is not None, "an own schedule has a shape"
            return self.lr * float(self.shape(iteration / max(length, 1)))
        if self.schedule in ("cosine", "linear"):
            done = min((iteration - self.warmup) / max(length - self.warmup, 1), 1.0)
            if self.schedule == "linear":
                return self.lr * (1 - done)
            return self.lr * 0.5 * (1 + math.cos(math.pi * done))
        if self.schedule == "multi-step":
            passed = sum(iteration >= milestone for milestone in self.milestones)
            return float(self.lr * self.gamma**passed)
        return self.lr

    def cut_short(self, iterations: int) -> Plan:
        """Return the plan of at most so many iterations, at the same learning rates.

        >>> plan = Plan(10, 5, lr=1.0, schedule="cosine")
        >>> plan.cut_short(6).iterations, plan.cut_short(6).lr_at(5) == plan.lr_at(5)
        (6, True)
        """
        scheduled = self.iterations if self.scheduled is None else self.scheduled
        return replace(self, iterations=min(iterations, self.iterations), scheduled=scheduled)

    def faster(self, factor: float, start: int = 0) -> Plan:
        """Return the plan whose rates from an iteration on are so many times as high.

        >>> plan = Plan(10, 5, lr=1.0, milestones=(5,)).faster(2.0, start=4)
        >>> [plan.lr_at(i) for i in (3, 4, 5)]
        [1.0, 2.0, 0.2]
        """
        return replace(self, factor=factor, factor_from=start)

    def fine_tuning(self, full: Plan) -> Plan:
        """Return a plan of this length at the last learning rate that the `full` one reaches.

        >>> full = Plan(10, 5, lr=1.0, milestones=(5,))
        >>> Plan(2, 1, lr=1.0).fine_tuning(full).lr_at(0)
        0.1
        """
        last = full.lr_at(full.iterations - 1)
        return replace(self, lr=last, schedule="constant", milestones=(), warmup=0)


def scaled_plan(
    *,
    kept: int,
    total: int,
    batch_size: int,
    lr: float,
    epochs: int | None = None,
    iterations: int | None = None,
    schedule: Schedule = "multi-step",
    milestones: tuple[float, ...] = (),
    gamma: float = 0.1,
    warmup: float = 0,
    scaling: Scaling = "linear",
    shape: Callable[[float], float] | None = None,
) -> Plan:
    """Return the plan of a training on `kept` of `total` examples.

    The full length on all data is N0 iterations. With scaling "linear" (the paper's
    `N = |D|/|D0| * N0`) the epochs stay and each is shorter; with "epochs" (the published code's)
    their number shrinks by the same ratio too, so iterations fall with its square; with "none" the
    iterations stay N0. Milestones and warm-up shrink with the length. However small the set, one
    epoch over it is trained and the first milestone leaves at least one iteration before it.

    Args:
        kept: `|D|`, examples trained on; at least 1.
        total: `|D0|`, all training examples.
        batch_size: Examples an iteration.
        lr: Peak learning rate.
        epochs: Full length in epochs; this or `iterations`.
        iterations: Full length in iterations.
        schedule: Shape of the learning rate.
        milestones: In the unit of the length (epochs or iterations).
        gamma: Factor at each milestone.
        warmup: In the unit of the length.
        scaling: How the length follows the set's size.
        shape: Of an own schedule, as a `Plan` has it.

    >>> scaled_plan(kept=50, total=100, batch_size=10, lr=1.0, epochs=4).iterations
    20
    >>> scaled_plan(
    ...     kept=50, total=100, batch_size=10, lr=1.0, epochs=4, scaling="epochs"
    ... ).iterations
    10
    """
    per_epoch_full = len(batch_sizes(total, batch_size))
    per_epoch = len(batch_sizes(kept, batch_size))
    unit_full = 1 if iterations is not None else per_epoch_full
    length = iterations if iterations is not None else (epochs or 0)
    full = length * unit_full
    if kept == total or scaling == "none":
        wanted = float(full)
    elif scaling == "linear" and iterations is None:
        # Counted in whole epochs over the set, so that its last, partial batches are counted too.
        wanted = float(length * per_epoch)
    elif scaling == "linear":
        wanted = full * kept / total
    else:
        wanted = length * kept / total * (per_epoch if iterations is None else kept / total)
    # At least an epoch, but never longer than what was asked for on all data.
    count = max(round(wanted), min(full, per_epoch))
    share = count / full if full else 1.0
    return Plan(
        iterations=count,
        iterations_per_epoch=per_epoch,
        lr=lr,
        schedule=schedule,
        milestones=tuple(max(1, round(m * unit_full * share)) for m in milestones),
        gamma=gamma,
        warmup=round(warmup * unit_full * share),
        shape=shape,
    )
