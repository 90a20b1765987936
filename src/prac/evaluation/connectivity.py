"""Linear mode connectivity: the error along the straight line between two trained networks.

Frankle, Dziugaite, Roy and Carbin, "Linear Mode Connectivity and the Lottery Ticket Hypothesis"
(ICML 2020, arXiv 1912.05671).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path

import torch
from torch import Tensor
from torch.nn.modules.batchnorm import _BatchNorm

from prac.data import Examples
from prac.evaluation.cache import content_key, trained_weights
from prac.evaluation.verdict import Barrier
from prac.io import damaged, read_dataclass, read_json, write_json
from prac.models import begin_training_, restore_
from prac.training import Problem, RunControl, nothing, scores_of
from prac.utils import Tree, derive_seed, generator, seeded

POINTS = 11
NORM_BATCHES = 50
"""Batches at most that BatchNorm's statistics are estimated from."""

NOTHING_RIGHT = (
    "none of the test examples counts as right anywhere between the two networks: their error "
    "barrier is 0 and tells nothing; let the task call some right, Task(correct=...)"
)
"""What is said of a barrier that tells nothing."""


def error_barrier(
    problem: Problem,
    test: Examples,
    one: Mapping[str, Tensor],
    other: Mapping[str, Tensor],
    *,
    points: int = POINTS,
    between: Callable[[], None] = nothing,
) -> Barrier:
    """Return the test errors at points along the line between two `state_dict`s.

    An error is the share of test examples that do not count as right, whatever the task's metric:
    two points of it are what Frankle et al. call stable, and other metrics have no such scale.

    BatchNorm's running means and variances are those of no network in between, so they are
    estimated anew at every point, the ends included: as averages over at most `NORM_BATCHES`
    training batches, augmented as in training, always the same ones. A few dozen batches settle
    them to well below what two points of error hang on; a whole epoch at each point would cost as
    much as training. Buffers that are no floating-point numbers are the first network's.

    The points, at least 2, are evenly spaced, the ends among them. The problem's own weights are
    replaced. `between` is called before each batch of a test pass; what it raises ends the work.
    """
    errors = []
    with problem.runtime.reproducible():
        for number in range(points):
            restore_(problem.model, interpolated(one, other, number / (points - 1)))
            estimate_norms_(problem)
            errors.append(1 - scores_of(problem, test, between).right)
    return Barrier(tuple(errors))


def interpolated(
    one: Mapping[str, Tensor], other: Mapping[str, Tensor], share: float
) -> dict[str, Tensor]:
    """Return the weights that lie `share` of the way from one network to the other.

    >>> ends = {"w": torch.zeros(2)}, {"w": torch.tensor([1.0, 2.0])}
    >>> interpolated(*ends, 0.5)["w"].tolist()
    [0.5, 1.0]
    """
    found = {}
    for name, value in one.items():
        # Equal ones as they are: between two infinities, as masks hold them, there is no number.
        moves = value.is_floating_point() and not torch.equal(value, other[name])
        found[name] = torch.lerp(value, other[name], share) if moves else value
    return found


@torch.no_grad()
def estimate_norms_(problem: Problem) -> None:
    """Replace BatchNorm's running statistics by those of the weights as they are now.

    Those of a BatchNorm that is in evaluation mode by choice are no statistics of these weights.
    """
    begin_training_(problem.model)
    norms = [
        module
        for module in problem.model.modules()
        if isinstance(module, _BatchNorm) and module.track_running_stats and module.training
    ]
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # The mean of all batches, as `torch.optim.swa_utils.update_bn` takes.
    # Dropout draws too.
    with seeded(derive_seed("norms"), problem.runtime.device), problem.runtime.autocast():
        for x, y in _batches(problem) if norms else ():
            problem.task.made(problem.model, x, y)
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum


def _batches(problem: Problem) -> Iterator[tuple[Tree, Tree]]:
    count, size = len(problem.train), problem.batch_size
    order = torch.randperm(count, generator=generator(derive_seed("norms", "order")))
    parts = order[: NORM_BATCHES * size].split(size)
    # No batch of few: it would weigh as much as the others.
    parts = [part for part in parts if len(part) == min(size, count)]
    seeds = [derive_seed("norms", number) for number in range(len(parts))]
    for x, y in problem.train.stream(parts, seeds=seeds):
        yield problem.runtime.to_memory_format(x), y


def cached_barrier(
    cache: Path, problem: Problem, test: Examples, one: Path, other: Path, run_control: RunControl
) -> Barrier:
    """Return the barrier between the networks of two kept trainings, measured only once.

    The trainings are given by their folders, whose names stand for their contents.

    Raises:
        PracError: If what is kept is damaged.
        Interrupted: If the run control says to stop; nothing but this barrier is lost.
    """
    data = [examples.fingerprint for examples in (problem.train, test)]
    about = [one.name, other.name, data, problem.batch_size, POINTS, NORM_BATCHES]
    path = cache / f"barrier-{content_key(about)}.json"
    if path.exists():
        barrier = read_dataclass(Barrier, read_json(path), path, more=True)
        if len(barrier.errors) != POINTS:
            raise damaged(path, f"it has {len(barrier.errors)} errors: expected {POINTS}")
        return barrier
    ends = (trained_weights(folder) for folder in (one, other))
    check = partial(run_control.check, "while measuring a barrier")
    barrier = error_barrier(problem, test, *ends, between=check)
    write_json(path, barrier.to_json())
    run_control.saved()
    return barrier
