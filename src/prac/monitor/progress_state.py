"""A run under way as a value: what events have told of it. Any screen can show it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from prac.events import Event


@dataclass(frozen=True)
class LevelRow:
    """One level of a search, done, under way or to come.

    Attributes:
        index: Prunings done before it.
        density: Share of the prunable weights that it trains.
        trains: Whether it is trained at all.
        set_size: Examples that it trains on; None until that is known.
        epochs: Trained so far.
        planned_epochs: Of its schedule; None until that is known.
        iterations: Trained so far.
        is_done: Whether it has come to its end.
        accuracy: Of its ticket retrained, on test data.
    """

    index: int
    density: float
    trains: bool
    set_size: int | None = None
    epochs: int = 0
    planned_epochs: int | None = None
    iterations: int = 0
    is_done: bool = False
    accuracy: float | None = None


@dataclass(frozen=True)
class TrainingProgress:
    """A training under way.

    Attributes:
        task: What is trained.
        iterations: Of its schedule; an early stop comes sooner.
        epochs: The same in epochs.
        first: The iteration at which this process took it up.
        since: When that was, in seconds.
        iteration: The newest one known to be done.
        now: When that was.
        epoch: The newest epoch that is done.
        remark: What its newest epoch told.
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
        rows: The levels of the search, if it is one.
        level: The one under way.
        total: All training examples.
        imp_iterations: What iterative magnitude pruning trains at each level.
        seconds_before: What the search took before this process.
        since: When this process took it up, in seconds.
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
        """Return the board after an event.

        Args:
            event: What happened.
            now: When, in seconds of a clock that never goes back.
        """
        change = CHANGES.get(event.kind)
        board = self if change is None else change(self, event, now)
        return board if board.is_finished else replace(board, now=now)

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
        if training is None or training.iteration == training.first or not self.level:
            return None
        if self.is_finished:  # What trains is a ticket.
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


def _change_row(board: ProgressState, index: int, **values: Any) -> ProgressState:
    rows = [replace(row, **values) if row.index == index else row for row in board.rows]
    return replace(board, rows=tuple(rows))


def _search(board: ProgressState, event: Event, now: float) -> ProgressState:
    facts = event.facts
    trained = [*facts["trains"], False]
    rows = [
        LevelRow(index, density, trains)
        for index, (density, trains) in enumerate(zip(facts["densities"], trained, strict=True))
    ]
    told = ("density", "set_size", "epochs", "planned_epochs", "iterations")
    for level in facts["done"]:
        values = {name: level[name] for name in told}
        rows[level["index"]] = replace(rows[level["index"]], **values, is_done=True)
    return ProgressState(
        heading=board.heading or facts["path"],
        rows=tuple(rows),
        level=event.level,
        total=facts["total"],
        imp_iterations=facts["imp_iterations"],
        seconds_before=sum(level["cost"]["seconds"] for level in facts["done"]),
        since=now,
    )


def _begun(task: str, facts: Mapping[str, Any], now: float) -> TrainingProgress:
    iteration = facts["iteration"]
    each = max(facts["iterations"] / max(facts["epochs"], 1), 1)
    return TrainingProgress(
        task,
        facts["iterations"],
        facts["epochs"],
        first=iteration,
        since=now,
        iteration=iteration,
        now=now,
        epoch=int(iteration / each),
    )


def _level(board: ProgressState, event: Event, now: float) -> ProgressState:
    facts = event.facts
    values = {"set_size": facts["set_size"], "density": facts["density"]}
    board = _change_row(board, event.level, planned_epochs=facts["epochs"], **values)
    training = _begun(f"level {event.level}/{facts['levels']}", facts, now)
    return replace(board, level=event.level, training=training, doing="")


def _step(board: ProgressState, event: Event, now: float) -> ProgressState:
    if board.training is None:
        return board
    training = replace(board.training, iteration=event.facts["iteration"], now=now)
    return replace(board, training=training)


def _epoch(board: ProgressState, event: Event, now: float) -> ProgressState:
    facts = event.facts
    if board.training is None:
        return board
    remarks = []
    if facts.get("mask_distance") is not None:
        remarks += [f"mask distance {facts['mask_distance']:.3f}"]
    if facts.get("val_accuracy") is not None:
        remarks += [f"val {facts['val_accuracy']:.1%}"]
    training = replace(
        board.training,
        iteration=facts["iteration"],
        now=now,
        epoch=facts["epoch"],
        remark=", ".join(remarks),
    )
    if training.task.startswith("level"):
        values = {"epochs": facts["epoch"], "iterations": facts["iteration"]}
        board = _change_row(board, event.level, **values)
    return replace(board, training=training)


def _scoring(board: ProgressState, event: Event, now: float) -> ProgressState:
    return replace(board, doing=f"level {event.level}/{len(board.rows) - 1}: scoring all data")


def _pruned(board: ProgressState, event: Event, now: float) -> ProgressState:
    facts = event.facts
    board = _change_row(board, event.level - 1, is_done=True, iterations=facts["iterations"])
    board = _change_row(board, event.level, set_size=facts["next_set_size"])
    return replace(board, level=event.level, training=None, doing="")


def _retrain(board: ProgressState, event: Event, now: float) -> ProgressState:
    task = board.doing if board.training is None and board.doing else ""
    task = task or f"retraining ticket {event.level}"
    return replace(board, level=event.level, training=_begun(task, event.facts, now), doing="")


def _retrained(board: ProgressState, event: Event, now: float) -> ProgressState:
    board = _change_row(board, event.level, accuracy=event.facts["test_accuracy"])
    return replace(board, training=None, doing="")


def _trial(board: ProgressState, event: Event, now: float) -> ProgressState:
    facts = event.facts
    heading = f"training {facts['number']} of {facts['of']}"
    doing = f"{facts['what']}, seed {facts['seed']}"
    return replace(board, heading=heading, rows=(), training=None, doing=doing)


def _trunk(board: ProgressState, event: Event, now: float) -> ProgressState:
    doing = f"training the dense network to iteration {event.facts['iteration']}"
    return replace(board, training=None, doing=doing)


def _contest(board: ProgressState, event: Event, now: float) -> ProgressState:
    facts = event.facts
    heading = f"search {facts['number']} of {facts['of']}: {facts['method']}, seed {facts['seed']}"
    return ProgressState(heading=heading)


def _judging(board: ProgressState, event: Event, now: float) -> ProgressState:
    doing = f"training ticket {event.level} alone, seed {event.facts['seed']}"
    return replace(board, level=event.level, training=None, doing=doing)


def _barrier(board: ProgressState, event: Event, now: float) -> ProgressState:
    return replace(board, training=None, doing=f"error barrier of {event.facts['what']}")


def _finished(board: ProgressState, event: Event, now: float) -> ProgressState:
    board = replace(board, now=now, training=None, doing="")
    return _change_row(board, event.level, is_done=True)


CHANGES: dict[str, Callable[[ProgressState, Event, float], ProgressState]] = {
    "search": _search,
    "level": _level,
    "step": _step,
    "epoch": _epoch,
    "scoring": _scoring,
    "pruned": _pruned,
    "retrain": _retrain,
    "retrained": _retrained,
    "trial": _trial,
    "trunk": _trunk,
    "contest": _contest,
    "judging": _judging,
    "barrier": _barrier,
    "finished": _finished,
}


def duration(seconds: float) -> str:
    """Return a time as hours, minutes and seconds.

    >>> duration(3725), duration(59.6)
    ('1:02:05', '1:00')
    """
    whole = round(seconds)
    hours, minutes = divmod(whole // 60, 60)
    return f"{hours}:{minutes:02d}:{whole % 60:02d}" if hours else f"{minutes}:{whole % 60:02d}"
