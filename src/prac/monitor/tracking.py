"""Curves, histograms and pictures of a run, handed to trackers as it goes on."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from torch import Tensor

from prac.data import are_images, as_examples, pixels_of
from prac.errors import unknown_name
from prac.events import Event
from prac.io import read_settings, read_tensors
from prac.monitor.trackers.tracker import TRACKERS, MakeTracker, Tracker, Where
from prac.runs import ACCURACY, Measure, measure_in, read_metrics, read_retraining
from prac.search import Search
from prac.utils import imported, needed, one_line

TRACKED_EVENTS = ("search", "level", "epoch", "pruned", "finished", "retrain", "retrained")
"""Kinds of events that say something, and come only when the run folder has been begun."""

PICTURES = 16  # Of the hardest examples, for each level.


def curves(measure: Measure) -> dict[str, str]:
    """Return what values of a line of metrics are called in a viewer.

    What comes before the stroke makes a group.
    """
    right = "accuracy" if measure == ACCURACY else "share_right"
    return {
        "train_loss": "train/loss",
        "train_accuracy": f"train/{right}",
        "lr": "train/learning_rate",
        "val_loss": "validation/loss",
        "val_accuracy": f"validation/{right}",
        "val_metric": f"validation/{measure.plain_name}",
        "mask_distance": "mask/distance",
    }


class Tracking:
    """A watcher that hands on what a run tells: `prac.find(..., callback=tracking)`, in a `with`.

    A tracker that fails is left, with a note, and the run goes on.

    Args:
        out: The run folder.
        trackers: "tensorboard", "wandb", "mlflow", `package.module:callable`, or a callable:
            (run folder, settings) -> a `prac.Tracker`.
        examples: The training examples, of which the hardest are shown; None shows none.
        note: Told a line where a tracker fails.

    Raises:
        PracError: If a name is not known, or what it needs is not installed.
    """

    def __init__(
        self,
        out: str | Path,
        *trackers: str | MakeTracker,
        examples: Any = None,
        note: Callable[[str], None] = print,
    ) -> None:
        self.out = Path(out)
        self._makers = dict(map(_named_maker, trackers))
        self._trackers: dict[str, Tracker] = {}
        self._is_open = False
        self._given = examples
        self._note = note
        self._measure = ACCURACY
        self._series = ""
        self._iteration = 0
        self._starts: dict[str, int] = {}  # Of each series, in iterations of all.

    def __enter__(self) -> Tracking:
        return self

    def __exit__(self, *error: object) -> None:
        """Let trackers finish."""
        self._tell("close")
        self._trackers = {}

    def __call__(self, event: Event) -> None:
        """Hand on what an event tells."""
        if not self._makers or event.kind not in TRACKED_EVENTS:
            return
        is_first = not self._is_open
        self.catch_up()
        if not self._trackers or (is_first and event.kind == "finished"):
            return  # A finished run's folder has told all of it.
        level, facts = event.level, event.facts
        with self._left_on_error():
            match event.kind:
                case "level":
                    self._begin(f"level-{level:02d}")
                case "retrain":
                    self._begin(f"ticket-{level:02d}")
                case "epoch":
                    self._epoch(facts)
                case "pruned":
                    self._level(Search.load(self.out), level - 1)
                case "finished":
                    self._level(Search.load(self.out), level)
                case "retrained":
                    self._tested(facts, level)

    def catch_up(self) -> None:
        """Begin the trackers and hand on all that the run folder holds, unless that is done."""
        if self._is_open:
            return
        self._is_open = True
        settings, self._measure = read_settings(self.out), measure_in(self.out)
        for name, make in self._makers.items():
            try:
                self._trackers[name] = make(self.out, settings)
            except Exception as error:  # Someone else's code, a network, a full disk.
                self._left(name, error)
        with self._left_on_error():
            if (self.out / "levels").exists():
                self._catch_up_with_search()
            else:
                self._catch_up_with_retraining(self.out)

    def _catch_up_with_search(self) -> None:
        search, lines = Search.load(self.out), read_metrics(self.out)
        complete = len(search.levels)
        for index in range(complete + 1):  # The last one is under way.
            self._begin(f"level-{index:02d}")
            for line in lines:
                if line.get("level") == index:
                    self._epoch(line)
            if index < complete:
                self._level(search, index)
        for folder in sorted((self.out / "retrain").glob("[0-9]*")):
            self._catch_up_with_retraining(folder)

    def _catch_up_with_retraining(self, folder: Path) -> None:
        lines = read_metrics(folder)
        if not lines:
            return
        level = int(lines[0]["level"])
        self._begin(f"ticket-{level:02d}")
        for line in lines:
            self._epoch(line)
        if (folder / "summary.json").exists():
            self._tested(read_retraining(folder / "summary.json"), level)

    def _begin(self, series: str) -> None:
        self._series = series
        self._starts.setdefault(series, self._iteration)

    def _epoch(self, line: Mapping[str, Any]) -> None:
        """Hand on an epoch's line of metrics."""
        step = int(line["iteration"])
        where = Where(self._series, step, self._starts[self._series] + step)
        self._iteration = max(self._iteration, where.iteration)
        values = {
            name: float(line[key])
            for key, name in curves(self._measure).items()
            if line.get(key) is not None
        }
        self._tell("scalars", values, where)

    def _search(self, values: Mapping[str, float], level: int) -> Where:
        where = Where("search", level, self._iteration)
        self._tell("scalars", values, where)
        return where

    def _tested(self, summary: Mapping[str, Any], level: int) -> None:
        named = {f"ticket/test_{self._measure.plain_name}": summary["test_metric"]}
        if summary.get("test_loss") is not None:
            named["ticket/test_loss"] = summary["test_loss"]
        if values := {name: of for name, of in named.items() if of is not None}:
            self._search(values, level)

    def _level(self, search: Search, index: int) -> None:
        """Hand on what a complete level came to."""
        level = search.levels[index]
        where = self._search(
            {
                "level/density": level.density,
                "level/set_size": level.set_size,
                "level/iterations": level.iterations,
                "level/iterations_saved": search.cost(index).iterations_saved,
            },
            index,
        )
        folder = search.level_path(index)
        if (folder / "trained.safetensors").exists():
            weights, _ = read_tensors(folder / "trained.safetensors", "trained")
            for name, weight in weights.items():
                if weight.ndim > 1:
                    # Of the weights that are left: zeros would hide the rest.
                    self._histogram(f"weights/{name}", weight[weight != 0].float(), where)
        if (folder / "examples.safetensors").exists():
            self._examples(search.examples(index), where)

    def _examples(self, shown: Mapping[str, Tensor], where: Where) -> None:
        members = shown["members"]
        events, learned = shown["events"][members].long(), shown["learned"][members].bool()
        self._tell("scalars", {"forgetting/never_learned": float((~learned).sum())}, where)
        self._histogram("forgetting/events", events[learned].float(), where)
        examples = None if self._given is None else as_examples(self._given)
        if examples is None or not are_images(examples):
            return
        # Those never learned are the hardest of all, but may be mislabelled: they stand apart.
        often = events.masked_fill(~learned, -1).argsort(descending=True, stable=True)
        hardest = members[often[events[often].bool() & learned[often]]]
        for name, ids in (("hardest", hardest), ("never_learned", members[~learned])):
            if len(ids):
                pixels = pixels_of(examples, ids[:PICTURES])
                self._tell("images", f"examples/{name}", pixels, where)

    def _histogram(self, name: str, values: Tensor, where: Where) -> None:
        if len(values):
            self._tell("histogram", name, values, where)

    def _tell(self, method: str, *arguments: Any) -> None:
        """Call a method of all trackers, by its name."""
        for name, tracker in list(self._trackers.items()):
            try:
                getattr(tracker, method)(*arguments)
            except Exception as error:  # Someone else's code, a network, a full disk.
                self._left(name, error)

    def _left(self, name: str, error: Exception) -> None:
        self._trackers.pop(name, None)
        detail = one_line(error) or "no reason given"
        self._note(f"note: {name} failed and gets no more: {type(error).__name__}: {detail}")

    @contextmanager
    def _left_on_error(self) -> Iterator[None]:
        try:
            yield
        except Exception as error:  # Such as a damaged file: curves are not worth a search.
            self._tell("close")  # What they have been handed is kept.
            for name in list(self._trackers):
                self._left(name, error)


def _named_maker(tracker: str | MakeTracker) -> tuple[str, Any]:
    if not isinstance(tracker, str):
        return getattr(tracker, "__name__", repr(tracker)), tracker
    if ":" in tracker:
        return tracker, imported(tracker, "tracker")
    if tracker not in TRACKERS:
        raise unknown_name("tracker", tracker, TRACKERS)
    needed(tracker, extra=tracker, purpose=f"tracker {tracker!r}")
    return tracker, importlib.import_module(f"prac.monitor.trackers.{tracker}").begin
