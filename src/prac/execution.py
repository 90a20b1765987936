"""Choosing how training steps run: by measuring a few, where the run is long enough to repay it."""

from __future__ import annotations

import copy
import math
import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor, nn

from prac.config import TrainConfig
from prac.errors import PracError
from prac.files import has_trained, read_environment
from prac.optimizer import make_optimizer
from prac.problem import Problem
from prac.step import STEPS_BEFORE_CAPTURE, Step
from prac.task import Task
from prac.world import EXECUTIONS, World

ROUNDS = 5
FEW = 100  # Iterations that are not worth a look at the clock.
# A run as short as this gains less than measuring and, for the second, compiling takes.
LAYOUT_REPAID_SECONDS = 120.0
COMPILING_REPAID_SECONDS = 1200.0
# What a faster execution must save of a step to be worth other bits.
LEAST_GAIN = 0.03


@dataclass(frozen=True)
class Choice:
    """How steps are to run, and what was measured.

    Attributes:
        name: One of EXECUTIONS.
        seconds: A step, by execution; empty where nothing was measured.
        failed: Why an execution cannot be had, by its name.
    """

    name: str
    seconds: Mapping[str, float]
    failed: Mapping[str, str]

    def __str__(self) -> str:
        """Return a line for people."""
        line = f"execution: {self.name}"
        if self.seconds:
            each = ", ".join(f"{name} {1000 * s:.3g} ms" for name, s in self.seconds.items())
            line += f", by measured steps: {each}"
        return line + "".join(f"; {name} failed: {why}" for name, why in self.failed.items())


def executed(
    problem: Problem, config: TrainConfig, iterations: int, out: Path, note: Callable[[str], None]
) -> Problem:
    """Return the problem with its steps run as configured, its model laid out for that in place.

    "auto" stays with what a run was begun with; a new run measures, where it is long enough.

    Args:
        problem: As it is trained.
        config: Its settings.
        iterations: Steps that the whole run has at most.
        out: The run folder.
        note: Shown a line where something was measured.

    Raises:
        PracError: If the problem cannot be trained in the execution asked for.
    """
    name: str | None = config.execution
    if name == "auto":
        name = _begun_with(problem, config, out, note)
    else:
        check_execution(problem, config, config.execution)
    if name is None:
        choice = choose(problem, config, iterations)
        name = choice.name
        if choice.seconds or choice.failed:
            note(str(choice))
    world = replace(problem.world, execution=name)
    world.prepare_(problem.model)
    return replace(problem, world=world)


def _begun_with(
    problem: Problem, config: TrainConfig, out: Path, note: Callable[[str], None]
) -> str | None:
    """Return the execution that a run was begun with; None for a new one, or where it fails."""
    begun = read_environment(out).get("execution") if has_trained(out) else None
    if not isinstance(begun, str) or begun not in EXECUTIONS:
        return None
    try:
        check_execution(problem, config, begun)
    except PracError as error:
        note(str(error))
        return None
    return begun


def choose(problem: Problem, config: TrainConfig, iterations: int) -> Choice:
    """Return the execution in which a run of at most so many iterations ends first.

    Short runs stay eager. Copies of the model train on one batch each, in turns; the problem's own
    model is left as it is.
    """
    if iterations < FEW:
        return Choice("eager", {}, {})
    trials = {"eager": _Trial(problem, config, "eager")}
    trials["eager"].timed()
    remaining = trials["eager"].timed() * iterations
    failed = {}
    for name in _candidates(problem.model, problem.world, remaining):
        trial = _Trial(problem, config, name)
        try:
            trial.check(trials["eager"])
        except PracError as error:
            failed[name] = str(error)
        else:
            trials[name] = trial
    if len(trials) == 1:
        return Choice("eager", {}, failed)
    rounds = [{name: trial.timed() for name, trial in trials.items()} for _ in range(ROUNDS)]
    seconds = {name: statistics.median(each[name] for each in rounds) for name in trials}
    best = "eager"
    for name in trials:
        if seconds[name] < seconds[best] * (1 - LEAST_GAIN):
            best = name
    return Choice(best, seconds, failed)


def check_execution(problem: Problem, config: TrainConfig, name: str) -> None:
    """Raise a PracError unless the problem can be trained in the named execution."""
    if name != "eager":
        _Trial(problem, config, name).check()


def _candidates(model: nn.Module, world: World, remaining: float) -> list[str]:
    """Return what may repay being tried in a run that has so many seconds to go."""
    if remaining < LAYOUT_REPAID_SECONDS:
        return []
    has_images = any(parameter.ndim == 4 for parameter in model.parameters())
    names = ["channels-last"] if has_images else []
    if remaining >= COMPILING_REPAID_SECONDS:
        names += ["compiled", "captured"] if world.device.type == "cuda" else ["compiled"]
    return names


class _Trial:
    """A copy of a problem's model that trains on one batch, again and again."""

    def __init__(self, problem: Problem, config: TrainConfig, name: str) -> None:
        self._name = name
        self._world = replace(problem.world, execution=name)
        size = min(config.batch_size, len(problem.train))
        self._x, self._y = next(iter(problem.train.stream([torch.arange(size)])))
        model = copy.deepcopy(problem.model).train()
        self._world.prepare_(model)
        optimizer = make_optimizer(model, config, self._world)
        self._step = self._step_of(model, optimizer, problem.task, size)
        self._losses: list[Tensor] = []

    def _step_of(
        self, model: nn.Module, optimizer: torch.optim.Optimizer, task: Task, size: int
    ) -> Step:
        return Step(model, optimizer, {}, task=task, world=self._world, batch_size=size)

    @property
    def first_loss(self) -> float:
        """The loss before anything was trained."""
        return float(self._losses[0])

    def check(self, other: _Trial | None = None) -> None:
        """Train until nothing more is set up.

        Raises:
            PracError: If it fails, or its first loss is not the other's.
        """
        if self._world.captures and self._world.device.type != "cuda":
            raise PracError(f"execution {self._name!r} needs a CUDA device: use auto or compiled")
        try:
            self.timed()
            # A model that is compiled anew for every step would never end.
            stance = "fail_on_recompile" if self._world.compiles else "default"
            with torch.compiler.set_stance(stance):
                for _ in range(STEPS_BEFORE_CAPTURE + 1):
                    self.timed()
        # Compilers fail in every way: a missing C++ compiler, code that they do not know.
        except Exception as error:
            line = " ".join(str(error).split()) or type(error).__name__
            raise PracError(
                f"execution {self._name!r} does not work here: {line[:200]}: use auto or eager"
            ) from error
        # Dropout draws otherwise when compiled, so that the two are not quite the same.
        if other is not None and not math.isclose(
            self.first_loss, other.first_loss, rel_tol=0.2, abs_tol=1e-3
        ):
            raise PracError(f"its first loss is {self.first_loss:g}, not {other.first_loss:g}")

    def timed(self) -> float:
        """Return how many seconds a step takes."""
        with torch.random.fork_rng([self._world.device] if self._x.is_cuda else []):
            torch.manual_seed(0)
            started = time.perf_counter()
            loss, _ = self._step(self._x, self._y, 0.0)
            if self._x.is_cuda:
                torch.cuda.synchronize(self._world.device)
            seconds = time.perf_counter() - started
        self._losses.append(loss)
        return seconds
