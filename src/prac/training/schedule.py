"""Learning rates by a function or a scheduler of one's own, as factors of the peak rate."""

from __future__ import annotations

import inspect
import json
import math
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Any

import torch
from torch.optim.lr_scheduler import LRScheduler, ReduceLROnPlateau

from prac.algorithms import Plan, Scaling, scaled_plan
from prac.config import SCHEDULES, TrainConfig
from prac.errors import PracError
from prac.utils import callable_named, check_keywords, one_line, positional

LOOKS = 101
"""Places at which an own function is looked at before anything is trained."""

Shape = Callable[[float], float]
"""Progress, from 0 to below 1 -> factor of the peak rate."""


def plan_for(
    config: TrainConfig, kept_examples: int, total: int, scaling: Scaling = "linear"
) -> Plan:
    """Return the plan of a training on `kept_examples` of `total` examples.

    Raises:
        PracError: If an own schedule cannot be had.
    """
    keys = ("batch_size", "lr", "epochs", "iterations", "schedule", "milestones", "gamma", "warmup")
    settings: dict[str, Any] = {key: getattr(config, key) for key in keys}
    if (shape := schedule_shape(config)) is not None:
        settings |= {"schedule": "own", "shape": shape}
    return scaled_plan(kept=kept_examples, total=total, scaling=scaling, **settings)


@dataclass(frozen=True)
class Steps:
    """Factors of a scheduler, one for each of equal parts of the training.

    >>> Steps((1.0, 0.5))(0.49), Steps((1.0, 0.5))(0.5)
    (1.0, 0.5)
    """

    factors: tuple[float, ...]

    def __call__(self, progress: float) -> float:
        """Return the factor at a progress from 0 to below 1."""
        # What was cut into parts comes out a little below a whole number, or above it.
        place = math.floor(progress * len(self.factors) + 1e-9)
        return self.factors[min(place, len(self.factors) - 1)]


def schedule_shape(config: TrainConfig) -> Shape | None:
    """Return the shape of a schedule that is not of the built-in ones; None for those.

    A class of torch's schedulers is stepped once a unit of the full length, an epoch or an
    iteration, and its rates are looked up by progress, so that they scale with a level's length.

    Raises:
        PracError: If there is none of the name, it does not take its arguments, or gives no rates.
    """
    if config.schedule in SCHEDULES:
        return None
    made: Any = callable_named(config.schedule, "schedule")
    keywords = config.schedule_args
    if not (inspect.isclass(made) and issubclass(made, (LRScheduler, ReduceLROnPlateau))):
        check_keywords(made, keywords, "schedule", positional(made, 1))
        shape = partial(made, **keywords)
        for number in range(LOOKS):
            _checked(config, shape, number / LOOKS)
        return shape
    if issubclass(made, ReduceLROnPlateau):
        raise PracError(
            "schedule ReduceLROnPlateau depends on what is measured, and rates are planned before: "
            "choose one that depends on progress alone"
        )
    if keywords.get("cycle_momentum"):
        raise PracError(
            f"schedule {config.schedule!r} cycles momentum by cycle_momentum: only the learning "
            f"rate follows a schedule; leave it out"
        )
    check_keywords(made, keywords, "schedule", ("optimizer", "last_epoch"))
    length = config.iterations or config.epochs
    scheduler: Any = made
    return _stepped(scheduler, json.dumps(keywords), config.schedule, length, config.lr)


@lru_cache(maxsize=8)
def _stepped(make: Any, keywords: str, name: str, length: int, lr: float) -> Steps:
    """Return a scheduler's factors over so many steps."""
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=lr)
    given = json.loads(keywords)
    if "cycle_momentum" in inspect.signature(make).parameters:
        given["cycle_momentum"] = False
    factors: list[float] = []
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Of steps that no optimiser has taken.
            scheduler = make(optimizer, **given)
            for _ in range(length):
                factors.append(float(optimizer.param_groups[0]["lr"]) / lr)
                if len(factors) < length:
                    scheduler.step()
    except Exception as error:  # Anyone's code runs here.
        raise PracError(
            f"schedule {name!r} gives no rates over {length} steps: "
            f"{one_line(error) or type(error).__name__}; mend schedule_args"
        ) from error
    for number, factor in enumerate(factors):
        if not 0 <= factor < math.inf:
            raise PracError(
                f"schedule {name!r} gives the rate {factor * lr:g} after {number} of {length} "
                f"steps: expected a finite number of at least 0"
            )
    return Steps(tuple(factors))


def _checked(config: TrainConfig, shape: Shape, progress: float) -> None:
    try:
        factor: Any = shape(progress)
        is_number = 0 <= float(factor) < math.inf
    except Exception as error:  # Anyone's code runs here.
        raise PracError(
            f"schedule {config.schedule!r} fails at progress {progress:g}: "
            f"{one_line(error) or type(error).__name__}; expected a function of progress, from 0 "
            f"to below 1, that gives the factor of lr"
        ) from error
    if not is_number:
        raise PracError(
            f"schedule {config.schedule!r} gives {factor!r} at progress {progress:g}: expected a "
            f"factor of lr, a finite number of at least 0"
        )
