"""Choosing how training steps run: by measuring a few, where the run is long enough to repay it."""

from __future__ import annotations

import gc
import math
import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from prac.config import OPTIMIZERS, TrainConfig
from prac.errors import PracError, is_out_of_memory
from prac.io import has_trained, read_environment
from prac.models import begin_training_, copied
from prac.training.descent import Descent
from prac.training.determinism import noting_randomness
from prac.training.optimizer import make_optimizer
from prac.training.problem import Problem
from prac.training.runtime import EXECUTIONS
from prac.training.step import STEPS_BEFORE_CAPTURE, Step
from prac.training.task import Task
from prac.training.trial import first_batch
from prac.utils import held_generators, leaves, one_line, seeded

ROUNDS = 5
FEW = 100  # Iterations that are not worth a look at the clock.
# What a faster execution must save of a step to be worth other bits.
LEAST_GAIN = 0.03


@dataclass(frozen=True)
class Stage:
    """Executions that are tried together, once what is left to do repays it.

    Attributes:
        repaid: Seconds that the run would take as it is best known by then.
        enough: Whether the first that works is enough.
    """

    repaid: float
    names: tuple[str, ...]
    enough: bool = False


# A shorter run gains less than trying takes: on a CPU some slow steps, and minutes of compiling; on
# a GPU, where most of a small network's step is between kernels, a second, and a minute.
STAGES = {
    "cpu": (Stage(120.0, ("channels-last",)), Stage(1200.0, ("compiled",))),
    "cuda": (
        Stage(5.0, ("channels-last", "captured")),
        Stage(200.0, ("compiled-captured", "compiled"), enough=True),
    ),
}


@dataclass(frozen=True)
class Choice:
    """Which execution to use; the measured seconds of a step, and why others cannot be had."""

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


def select_execution(
    problem: Problem,
    config: TrainConfig,
    iterations: int,
    out: Path,
    note: Callable[[str], None],
    *,
    found_under: Mapping[str, Any] | None = None,
) -> Problem:
    """Return the problem with its steps run as configured, its model laid out for that in place.

    "auto" stays with what a run was begun with, or with how the search ran that found the ticket to
    be trained, by the versions of its provenance; any other new run measures, where it is long
    enough: at most `iterations` steps. A line is noted where something was measured, or has no
    deterministic kernel.

    Raises:
        PracError: If the problem cannot be trained in the execution asked for.
    """
    name: str | None = config.execution
    random: set[str] = set()
    with noting_randomness(random):
        if name == "auto":
            name = _before(problem, config, out, note, found_under or {})
        else:
            check_execution(problem, config, config.execution)
        if name is None:
            choice = choose(problem, config, iterations)
            name = choice.name
            if choice.seconds or choice.failed:
                note(str(choice))
    if random:
        note(
            f"no deterministic kernel for {', '.join(sorted(random))} on this device: what runs "
            f"find may differ in its last bits"
        )
    runtime = replace(problem.runtime, execution=name)
    runtime.prepare_(problem.model)
    return replace(problem, runtime=runtime)


def _before(
    problem: Problem,
    config: TrainConfig,
    out: Path,
    note: Callable[[str], None],
    found_under: Mapping[str, Any],
) -> str | None:
    """Return the execution that is to be kept; None for a new run, or where it fails."""
    if has_trained(out):
        known = read_environment(out).get("execution")
    else:
        is_here = found_under.get("device") == problem.runtime.device.type
        known = found_under.get("execution") if is_here else None
    if not isinstance(known, str) or known not in EXECUTIONS:
        return None
    try:
        check_execution(problem, config, known)
    except PracError as error:
        note(str(error))
        return None
    return known


def choose(problem: Problem, config: TrainConfig, iterations: int) -> Choice:
    """Return the execution in which a run of at most so many iterations ends first.

    Short runs stay eager. Copies of the model train on one batch each; the problem's own model is
    left as it is.
    """
    if iterations < FEW:
        return Choice("eager", {}, {})
    seconds: dict[str, float] = {}
    failed: dict[str, str] = {}
    in_turns: list[_Trial] = []

    def take(trial: _Trial) -> None:
        if trial.is_on_cuda:
            # One at a time: a device's memory may not hold two, and it is quiet enough to compare
            # what was not measured in turns.
            seconds[trial.name] = statistics.median(trial.timed() for _ in range(ROUNDS))
            trial.close()
        else:
            seconds[trial.name] = trial.timed()
            in_turns.append(trial)

    eager = _Trial(problem, config, "eager")
    eager.timed()
    take(eager)
    has_images = any(parameter.ndim == 4 for parameter in problem.model.parameters())
    for stage in STAGES[problem.runtime.device.type]:
        if min(seconds.values()) * iterations < stage.repaid:
            break
        for name in stage.names:
            if name == "channels-last" and not has_images:
                continue
            if (why := not_captured(name, config, problem.runtime.precision)) is not None:
                failed[name] = why
                continue
            trial = _Trial(problem, config, name)
            try:
                trial.check(eager.losses[0])
            except PracError as error:
                failed[name] = str(error)
            if name in failed:
                trial.close()  # Only now: the error held all that it went through.
                continue
            take(trial)
            if stage.enough:
                break
    if len(in_turns) > 1:
        rounds = [[trial.timed() for trial in in_turns] for _ in range(ROUNDS)]
        for trial, each in zip(in_turns, zip(*rounds, strict=True), strict=True):
            seconds[trial.name] = statistics.median(each)
    if len(seconds) == 1:
        return Choice("eager", {}, failed)
    best = "eager"
    for name in seconds:
        if seconds[name] < seconds[best] * (1 - LEAST_GAIN):
            best = name
    return Choice(best, seconds, failed)


def check_execution(problem: Problem, config: TrainConfig, name: str) -> None:
    """Raise a PracError unless the problem can be trained in the named execution."""
    if name == "eager":
        return
    check_device(name, problem.runtime.device)
    if (why := not_captured(name, config, problem.runtime.precision)) is not None:
        raise PracError(f"execution {name!r} is not to be had: {why}: use auto or compiled")
    trial = _Trial(problem, config, name)
    try:
        trial.check()
    finally:
        trial.close()


def check_device(name: str, device: torch.device) -> None:
    """Raise a PracError where an execution is not to be had on a device of that kind."""
    if "captured" in name and device.type != "cuda":
        raise PracError(f"execution {name!r} needs a CUDA device: use auto or compiled")


def not_captured(name: str, config: TrainConfig, precision: str) -> str | None:
    """Return why steps are not replayed in an execution; None where they are, or none would be.

    Only what was seen to give the same steps when replayed is captured.
    """
    if "captured" not in name:
        return None
    usual = TrainConfig()
    names = ("optimizer_args", "decay_norms", "clip_norm", "accumulate", "ema_decay")
    set_here = [
        of for of in (*names, "batch_transform") if getattr(config, of) != getattr(usual, of)
    ]
    set_here += ["optimizer"] * (config.optimizer not in OPTIMIZERS)
    set_here += ["precision"] * (precision == "fp16")
    if not set_here:
        return None
    value = precision if set_here[0] == "precision" else getattr(config, set_here[0])
    return f"steps with {set_here[0]} {value!r} are not replayed"


class _Trial:
    """A copy of a problem's model that trains on one batch, again and again."""

    def __init__(self, problem: Problem, config: TrainConfig, name: str) -> None:
        self.name = name
        self._runtime = replace(problem.runtime, execution=name)
        self.is_on_cuda = self._runtime.device.type == "cuda"
        self._batch = first_batch(problem.train, config.batch_size)
        model = copied(problem.model)
        begin_training_(model)
        self._runtime.prepare_(model)
        sparse = problem.has_sparse_gradients
        optimizer = make_optimizer(model, config, self._runtime, sparse=sparse)
        self._descent = Descent.of(config, self._runtime)
        self._step: Step | None = self._step_of(model, optimizer, problem.task, self._batch.rows)
        self._held = held_generators(problem.model)  # Some of them are shared with the copy.
        self.losses: list[float] = []

    def _step_of(
        self, model: nn.Module, optimizer: torch.optim.Optimizer, task: Task, size: int
    ) -> Step:
        return Step(
            model,
            optimizer,
            {},
            task=task,
            runtime=self._runtime,
            batch_size=size,
            descent=self._descent,
        )

    def check(self, expected: float | None = None) -> None:
        """Train until nothing more is set up.

        Raises:
            PracError: If it fails, or its first loss is not the expected one.
        """
        try:
            self.timed()
            # A model that is compiled anew for every step would never end.
            stance = "fail_on_recompile" if self._runtime.compiles else "default"
            with torch.compiler.set_stance(stance):
                for _ in range(STEPS_BEFORE_CAPTURE + 1):
                    self.timed()
        # Compilers fail in every way: a missing C++ compiler, code that they do not know.
        except Exception as error:
            if is_out_of_memory(error):
                raise PracError(
                    f"execution {self.name!r} needs more memory than the device has left: use auto "
                    f"or eager, or a smaller batch"
                ) from error
            # A capture that fails tells so; what it failed at is the error before.
            cause = error.__context__ if self._runtime.captures and error.__context__ else error
            line = one_line(cause) or type(cause).__name__
            raise PracError(
                f"execution {self.name!r} does not work here: {line[:200]}: use auto or eager"
            ) from error
        # Dropout draws otherwise when compiled, so that the two are not quite the same.
        if expected is not None and not math.isclose(
            self.losses[0], expected, rel_tol=0.2, abs_tol=1e-3
        ):
            raise PracError(f"its first loss is {self.losses[0]:g}, not {expected:g}")

    def timed(self) -> float:
        """Return how many seconds a step takes."""
        assert self._step is not None, "it is not closed"
        # Each its own seed, as in training: a model may do otherwise by what is drawn.
        with seeded(len(self.losses), self._runtime.device, self._held):
            started = time.perf_counter()
            x, y, count = self._batch
            loss, _ = self._step(x, y, 0.0, size=count)
            if leaves(x)[0].is_cuda:
                torch.cuda.synchronize(self._runtime.device)
            seconds = time.perf_counter() - started
        self.losses.append(float(loss))
        return seconds

    def close(self) -> None:
        """Free its model, its graphs and their memory, so that the next finds room."""
        self._step = None
        gc.collect()
        if self.is_on_cuda:
            torch.cuda.empty_cache()
