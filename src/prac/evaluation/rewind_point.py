"""The earliest point of the dense training from which the network is stable to data order.

Frankle, Dziugaite, Roy and Carbin (ICML 2020, arXiv 1912.05671): tickets of larger networks match
dense if they are rewound to a point from which two copies, trained on in different data orders,
end linearly connected.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Unpack

from torch import nn

from prac import retired
from prac.algorithms import ones
from prac.config import TrainConfig
from prac.data import as_examples
from prac.errors import PracError
from prac.evaluation.cache import retrain_cached
from prac.evaluation.connectivity import NOTHING_RIGHT, cached_barrier
from prac.evaluation.dense_run import DenseRun
from prac.evaluation.verdict import Barrier
from prac.io import check_new
from prac.models import snapshot
from prac.runs import ACCURACY, Measure, Ticket
from prac.training import CLASSIFICATION, Problem, RunKeywords, RunOptions, Task, plan_for
from prac.utils import brief

SHARES = (0, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5)
"""Points that are tried by default, as shares of the schedule."""


@dataclass(frozen=True, repr=False)
class RewindPoint:
    """From which points of the dense training the network is stable.

    Attributes:
        iterations: Length of the training.
        barriers: Between two copies trained on from each point that was tried, by iteration; the
            last one is the earliest stable point, if there is any.
        values: What the two copies reach on test data, by iteration.
        measure: The metric that these are of.
    """

    iterations: int
    barriers: dict[int, Barrier]
    values: dict[int, tuple[float, float]]
    measure: Measure = ACCURACY

    accuracies = retired.Attribute("values")

    def __repr__(self) -> str:
        """Return the point, and how many were tried."""
        tried = f"{len(self.barriers)} tried" if self.barriers else "none tried"
        stable = f"rewind {self.setting!r}" if self.setting else "no stable point"
        return brief(self, stable, f"of {self.iterations:,} iterations", tried)

    @property
    def at(self) -> int | None:
        """The earliest stable point, in iterations; None where none of those tried is stable."""
        return next((at for at, barrier in self.barriers.items() if barrier.is_stable), None)

    @property
    def setting(self) -> str | None:
        """What `rewind` is to be set to: "init", "iteration:N", or None where nothing is stable."""
        if self.at is None:
            return None
        return f"iteration:{self.at}" if self.at else "init"

    def to_json(self) -> dict[str, Any]:
        """Return plain values."""
        points = [
            {"iteration": at, **barrier.to_json(), self.measure.keys: list(self.values[at])}
            for at, barrier in self.barriers.items()
        ]
        found = {"at": self.at, "setting": self.setting}
        about = {"iterations": self.iterations, "metric": self.measure.to_json()}
        return {**about, "points": points, **found}


def find_rewind_point(
    model: nn.Module,
    train: Any,
    config: TrainConfig,
    *,
    test: Any,
    seed: int = 0,
    seeds: Sequence[int] = (0, 1),
    points: Sequence[int] | None = None,
    cache: str | Path,
    task: Task = CLASSIFICATION,
    **run: Unpack[RunKeywords],
) -> RewindPoint:
    """Return the earliest point from which the dense network's training is stable.

    The network is trained as a search's first level trains it. From each point, in order, two
    copies train on to the end of the schedule, which goes on at that iteration, in two data orders
    and with fresh optimisers (no momentum is carried over, as none is when a ticket is rewound).
    They are stable where the error barrier between their last weights is below two points. The
    first stable point ends the search. All is kept in the cache: the same call goes on.

    Args:
        model: The dense network at its initialisation.
        train: All training examples, as `prac.find` takes them.
        config: How to train.
        test: Examples that the barriers are measured on.
        seed: The search's, of which its first level's data order follows.
        seeds: Two, of the copies' orders and augmentation.
        points: Iterations to try; by default 0, then 0.1, 0.2, 0.5, 1, 2, 5, 10, 20 and 50 % of
            the schedule.
        cache: The folder that trainings are kept in.
        task: Loss, correctness and metric.
        **run: device, callback, run_control, accept_changes, threads: the fields of
            `prac.RunOptions`.

    Raises:
        PracError: On what does not fit, in one line.
        Interrupted: If the run control says to stop; the same call continues.
    """
    if len(seeds) != 2 or seeds[0] == seeds[1]:
        raise PracError(f"seeds are {list(seeds)}: expected two, which tell two data orders apart")
    if test is None:
        raise PracError("barriers are differences of test error, and there is no test data")
    options = RunOptions.of(run)
    runtime = options.runtime(config.precision)
    weights = snapshot(model)
    masks = ones({name: weights[name] for name, _ in model.named_parameters()})
    first = Ticket.of(model, weights, masks, {})
    problem = Problem.of(model, train, task=task, runtime=runtime, config=config)
    examples = as_examples(test, "the test data").to(runtime.device)
    plan = plan_for(config, len(problem.train), len(problem.train))
    cache = Path(cache)
    check_new(cache, "kept", "cache")
    dense_run = DenseRun(problem, config, plan, first, seed, cache, options)
    barriers: dict[int, Barrier] = {}
    values: dict[int, tuple[float, float]] = {}
    for at in _checked(points, plan.iterations):
        start = replace(first, weights=dense_run.weights_at(at))
        copies = []
        for number, order in enumerate(seeds, 1):
            what = f"copy {number} from iteration {at}"
            options.tell("trial", number=number, of=2, what=what, seed=order)
            copy = retrain_cached(
                cache, start, problem, config, examples, options, seed=order, start=at
            )
            copies.append(copy)
        options.tell("barrier", what=f"iteration {at}")
        (value, folder), (others, other) = copies
        values[at] = value, others
        barriers[at] = cached_barrier(cache, problem, examples, folder, other, options.run_control)
        height = f"{100 * barriers[at].height:.2f}"
        options.note(f"iteration {at} of {plan.iterations}: error barrier {height} points")
        if barriers[at].tells_nothing:
            raise PracError(NOTHING_RIGHT)
        if barriers[at].is_stable:
            break
    return RewindPoint(plan.iterations, barriers, values, task.measure)


def _checked(points: Sequence[int] | None, iterations: int) -> list[int]:
    """Return the points to try, ascending; raise a PracError where one is not of the training."""
    if points is None:
        points = [round(share * iterations) for share in SHARES]
    for point in points:
        if not 0 <= point < iterations:
            raise PracError(
                f"points has {point}: expected iterations from 0 to {iterations - 1}, before the "
                f"end of the training"
            )
    if not points:
        raise PracError("points is empty: name iterations to try, such as 0,100,500")
    return sorted(set(points))
