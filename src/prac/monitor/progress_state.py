"""A run under way as a value: what events have told of it. Any screen can show it."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from prac.runs import ACCURACY, Measure

if TYPE_CHECKING:
    from prac.events import Event


@dataclass(frozen=True)
class LevelRow:
    """One level of a search, done, under way or to come; None stands for what is not known yet.

    Attributes:
        index: Prunings done before it.
        density: Share of the prunable weights that it trains.
        set_size: Examples that it trains on.
        epochs: Trained so far, of the `planned_epochs` of its schedule; as are `iterations`.
        value: What its ticket reaches, retrained, on test data, by the run's `measure`.
    """

    index: int
    density: float
    trains: bool
    set_size: int | None = None
    epochs: int = 0
    planned_epochs: int | None = None
    iterations: int = 0
    is_done: bool = False
    value: float | None = None
    measure: Measure = ACCURACY


@dataclass(frozen=True)
class TrainingProgress:
    """A training under way; times are in seconds of a clock that never goes back.

    Attributes:
        task: What is trained.
        iterations: Of its schedule, as are the `epochs`; an early stop comes sooner.
        first: The iteration at which this process took it up, at the time `since`.
        iteration: The newest one known to be done, at the time `now`.
        epoch: The newest one that is done.
        remark: What that told.
    """

    task: str
    iterations: int
    epochs: int
    first: int
    since: float
    iteration: int
    now: float
    epoch: int = 0
    remark: str = ""

    @property
    def rate(self) -> float:
        """Iterations a second."""
        return (self.iteration - self.first) / max(self.now - self.since, 1e-9)

    @property
    def seconds_left(self) -> float:
        """To the end of its schedule."""
        return (self.iterations - self.iteration) / max(self.rate, 1e-9)

    def line(self) -> str:
        """Return it in words; the most telling come first, since a narrow screen cuts the last."""
        epoch = min(self.epoch + 1, self.epochs)
        parts = [f"{self.task}, epoch {epoch}/{self.epochs}"]
        if self.iteration > self.first:
            parts += [f"{self.rate:.0f} it/s, {duration(self.seconds_left)} left"]
        return ", ".join([*parts, self.remark] if self.remark else parts)


@dataclass(frozen=True)
class ProgressState:
    """All that is shown of a run under way.

    Attributes:
        heading: What the rest belongs to, such as one of several searches.
        rows: The levels of the search, if it is one; `level` is under way.
        total: All training examples.
        imp_iterations: What iterative magnitude pruning trains at each level.
        seconds_before: What the search took before this process, which took it up at `since`.
        now: The newest event's time, or the search's end.
        training: What is trained at the moment.
        doing: What else is done at the moment.
    """

    heading: str = ""
    rows: tuple[LevelRow, ...] = ()
    level: int = 0
    total: int = 0
    imp_iterations: int = 0
    seconds_before: float = 0.0
    since: float = 0.0
    now: float = 0.0
    training: TrainingProgress | None = None
    doing: str = ""

    def after(self, event: Event, now: float) -> ProgressState:
        """Return the board after an event that came at the time `now`."""
        board = self._changed(event, now)
        return board if board.is_finished else replace(board, now=now)

    def _changed(self, event: Event, now: float) -> ProgressState:
        facts, level = event.facts, event.level
        idle = replace(self, training=None, doing="")
        match event.kind:
            case "search":
                return self._searching(level, facts, now)
            case "level":
                told = {"density": facts["density"], "set_size": facts["set_size"]}
                board = self._with_row(level, planned_epochs=facts["epochs"], **told)
                training = _begun(f"level {level}/{facts['levels']}", facts, now)
                return replace(board, level=level, training=training, doing="")
            case "step" if self.training is not None:
                training = replace(self.training, iteration=facts["iteration"], now=now)
                return replace(self, training=training)
            case "epoch" if self.training is not None:
                training = replace(_after_epoch(self.training, facts), now=now)
                board = replace(self, training=training)
                if not training.task.startswith("level"):
                    return board
                return board._with_row(level, epochs=training.epoch, iterations=training.iteration)
            case "scoring":
                return replace(self, doing=f"level {level}/{len(self.rows) - 1}: scoring all data")
            case "pruned":
                board = idle._with_row(level - 1, is_done=True, iterations=facts["iterations"])
                board = board._with_row(level, set_size=facts["next_set_size"])
                return replace(board, level=level)
            case "retrain":
                task = self.doing if self.training is None else ""
                training = _begun(task or f"retraining ticket {level}", facts, now)
                return replace(idle, level=level, training=training)
            case "retrained":
                measure = Measure.of(facts.get("metric"))
                return idle._with_row(level, value=test_value(facts), measure=measure)
            case "trial":
                heading = f"training {facts['number']} of {facts['of']}"
                doing = f"{facts['what']}, seed {facts['seed']}"
                return replace(idle, heading=heading, rows=(), doing=doing)
            case "trunk":
                doing = f"training the dense network to iteration {facts['iteration']}"
                return replace(idle, doing=doing)
            case "contest":
                place = f"search {facts['number']} of {facts['of']}"
                return ProgressState(f"{place}: {facts['method']}, seed {facts['seed']}")
            case "judging":
                what = f"ticket {level} alone" if level else "the dense network"
                doing = f"training {what}, seed {facts['seed']}"
                return replace(idle, level=level, doing=doing)
            case "barrier":
                return replace(idle, doing=f"error barrier of {facts['what']}")
            case "pool":
                return replace(idle, doing=f"pooling {facts['what']}, seed {facts['seed']}")
            case "finished":
                return replace(idle, now=now)._with_row(level, is_done=True)
        return self

    def _with_row(self, index: int, **values: Any) -> ProgressState:
        rows = [replace(row, **values) if row.index == index else row for row in self.rows]
        return replace(self, rows=tuple(rows))

    def _searching(self, level: int, facts: Mapping[str, Any], now: float) -> ProgressState:
        """Return the board of a search that begins, or is taken up."""
        trained = [*facts["trains"], False]
        rows = list(map(LevelRow, itertools.count(), facts["densities"], trained))
        told = ("density", "set_size", "epochs", "planned_epochs", "iterations")
        for done in facts["done"]:
            values = {name: done[name] for name in told}
            rows[done["index"]] = replace(rows[done["index"]], **values, is_done=True)
        return ProgressState(
            heading=self.heading or facts["path"],
            rows=tuple(rows),
            level=level,
            total=facts["total"],
            imp_iterations=facts["imp_iterations"],
            seconds_before=sum(done["cost"]["seconds"] for done in facts["done"]),
            since=now,
        )

    @property
    def activity(self) -> str:
        """What is done at the moment, in words; empty where nothing is."""
        return self.doing or (self.training.line() if self.training else "")

    @property
    def done(self) -> tuple[LevelRow, ...]:
        """The levels that have been pruned; the last never is."""
        return tuple(row for row in self.rows[:-1] if row.is_done)

    @property
    def is_finished(self) -> bool:
        """Whether it is a search that has come to its end."""
        return bool(self.rows) and self.rows[-1].is_done

    def saved_before(self, level: int) -> float:
        """Return the share of iterative magnitude pruning's iterations saved up to a ticket."""
        trained = sum(row.iterations for row in self.rows[:level])
        imp = level * self.imp_iterations
        return 1 - trained / imp if imp else 0.0

    @property
    def seconds_left(self) -> float | None:
        """Of the search: later levels taken to be as long as those before; None where unknown.

        The dense level is no measure of the others, whose sets are chosen by it.
        """
        training = self.training
        if training is None or training.iteration == training.first:
            return None
        if not self.level or self.is_finished:  # The dense level trains, or a ticket.
            return None
        lengths = [row.iterations for row in self.done[1:] if row.trains]
        each = sum(lengths) / len(lengths) if lengths else training.iterations
        to_come = sum(row.trains for row in self.rows[self.level + 1 : -1])
        return training.seconds_left + to_come * each / max(training.rate, 1e-9)

    def summary(self) -> str:
        """Return the search as a whole in one line."""
        taken = duration(self.seconds_before + self.now - self.since)
        parts = [f"search: {taken} in all" if self.is_finished else f"search: {taken} so far"]
        if (left := self.seconds_left) is not None:
            parts += [f"about {duration(left)} left"]
        if done := len(self.done):
            saved = done * self.imp_iterations - sum(row.iterations for row in self.rows[:done])
            parts += [f"{saved} iterations saved ({self.saved_before(done):.1%})"]
        return ", ".join(parts)


def _begun(task: str, facts: Mapping[str, Any], now: float) -> TrainingProgress:
    iteration, iterations, epochs = (facts[name] for name in ("iteration", "iterations", "epochs"))
    epoch = int(iteration / max(iterations / max(epochs, 1), 1))
    begun = {"first": iteration, "since": now, "iteration": iteration, "now": now}
    return TrainingProgress(task, iterations, epochs, **begun, epoch=epoch)


def _after_epoch(training: TrainingProgress, facts: Mapping[str, Any]) -> TrainingProgress:
    remarks = []
    if facts.get("mask_distance") is not None:
        remarks += [f"mask distance {facts['mask_distance']:.3f}"]
    if (value := facts.get("val_metric", facts.get("val_accuracy"))) is not None:
        measure = Measure.of(facts.get("metric"))
        remarks += [f"val {value:.1%}" if measure == ACCURACY else _named(measure, value)]
    remark = ", ".join(remarks)
    return replace(training, iteration=facts["iteration"], epoch=facts["epoch"], remark=remark)


def test_value(facts: Mapping[str, Any]) -> float | None:
    """Return what a retraining's end tells of its test data; the share right if nothing else."""
    found: float | None = facts.get("test_metric", facts.get("test_accuracy"))
    return found


def _named(measure: Measure, value: float) -> str:
    return f"val {measure.name} {measure.text(value)}"


def duration(seconds: float) -> str:
    """Return a time as hours, minutes and seconds.

    >>> duration(3725), duration(59.6)
    ('1:02:05', '1:00')
    """
    whole = round(seconds)
    hours, minutes = divmod(whole // 60, 60)
    return f"{hours}:{minutes:02d}:{whole % 60:02d}" if hours else f"{minutes}:{whole % 60:02d}"
