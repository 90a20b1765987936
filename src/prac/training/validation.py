"""Validation after an epoch: which one is the best so far, by the task's metric."""

from __future__ import annotations

import math
from dataclasses import replace

from prac.models import restore_
from prac.runs import Cost, RunState, Weights
from prac.training.evaluate import scores_of
from prac.training.problem import Problem


def finite(value: float) -> float | None:
    """Return a value that is a finite number; None for others, for which JSON has no name."""
    return value if math.isfinite(value) else None


def validated(
    problem: Problem, state: RunState, epoch: int, network: Weights
) -> tuple[RunState, dict[str, float | None]]:
    """Return the state with the best epoch so far; without validation data that is the last."""
    if problem.val is None:
        return replace(state, best=network, best_epoch=epoch), {}
    if network is state.weights:  # As they are in the model.
        found = scores_of(problem, problem.val)
    else:
        restore_(problem.model, network)
        found = scores_of(problem, problem.val)
        restore_(problem.model, state.weights)
    state = state.add_cost(Cost(examples_scored=len(problem.val)))
    metric, loss = finite(found.metric), finite(found.loss)
    best_so_far = (state.best_metric, state.best_loss)
    higher_is_better = problem.task.measure.higher_is_better
    if is_better((metric, loss), best_so_far, higher_is_better=higher_is_better):
        state = replace(
            state,
            best=network,
            best_metric=metric,
            best_accuracy=found.right,
            best_loss=loss,
            best_epoch=epoch,
        )
    validation = {"val_accuracy": found.right, "val_loss": loss}
    if problem.task.metric is not None:
        validation["val_metric"] = metric
    return state, validation


def without_value(problem: Problem, state: RunState) -> str | None:
    """Return what to say at a level's end where the metric had no value at all; None elsewhere."""
    if problem.val is None or problem.task.metric is None or state.best_metric is not None:
        return None
    return (
        f"the metric {problem.task.metric.name!r} had no finite value over the validation data in "
        f"any epoch of level {state.level}, so that the best one is chosen by the loss: look at "
        f"what it divides by, and at whether the validation data has what it needs, such as an "
        f"example of each class"
    )


Validated = tuple[float | None, float | None]
"""An epoch's validation metric and loss; None for one that is no finite number."""


def is_better(epoch: Validated, best_so_far: Validated, *, higher_is_better: bool = True) -> bool:
    """Say whether a later epoch, by its validation metric and loss, takes the best one's place.

    Of equal metrics the lower loss decides, as where none of a language model's sequences is right
    as a whole; of equal losses the later epoch does. What is no number is the worst.

    >>> is_better((0.5, 2.0), (0.5, 3.0)), is_better((0.5, 2.0), (0.5, 2.0))
    (True, True)
    >>> is_better((0.5, 3.0), (0.5, 2.0)), is_better((0.4, 1.0), (0.5, 2.0))
    (False, False)
    >>> is_better((0.4, 1.0), (0.5, 2.0), higher_is_better=False)
    True
    """
    (metric, loss), (best_metric, best_loss) = epoch, best_so_far
    if metric != best_metric:
        if metric is None or best_metric is None:
            return best_metric is None
        return (metric > best_metric) is higher_is_better
    return best_loss is None or (loss is not None and loss <= best_loss)
