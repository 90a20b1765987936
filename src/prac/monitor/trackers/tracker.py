"""Where a run's values can go, by name: each module's `begin` makes a tracker of a run folder."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from prac.io import read_json, write_json

if TYPE_CHECKING:
    from torch import Tensor

TRACKERS = ("tensorboard", "wandb", "mlflow")
"""Each is named as the library that it needs, and as the extra that installs that."""


@dataclass(frozen=True)
class Where:
    """What a value belongs to.

    Attributes:
        series: "level-03" or "ticket-03" for a training, "search" for what levels come to.
        step: Iterations of that training; of the search, prunings.
        iteration: Iterations of all trainings so far, which never falls.
    """

    series: str
    step: int
    iteration: int


class Tracker(Protocol):
    """Where values go: what a person's own tracker must have.

    At each start of a command it is handed all that the run folder holds, from the beginning, and
    then what comes; what it knows already, it leaves out.
    """

    def scalars(self, values: Mapping[str, float], where: Where) -> None:
        """Take values by name, such as "validation/accuracy"."""

    def histogram(self, name: str, values: Tensor, where: Where) -> None:
        """Take float32 (n,), the values that a histogram is of."""

    def images(self, name: str, pixels: Tensor, where: Where) -> None:
        """Take uint8 (k, channels, height, width), pictures of one or three channels."""

    def close(self) -> None:
        """Finish what is under way."""


MakeTracker = Callable[[Path, Mapping[str, Any]], Tracker]
"""(run folder, its settings by flat name) -> a tracker."""


def named(name: str, where: Where) -> str:
    """Return a value's name where all series share one place: retrained tickets stand apart."""
    return f"{where.series}/{name}" if where.series.startswith("ticket") else name


KNOWN_RUNS_FILE = "tracking.json"


def known_run(run: Path, tracker: str) -> str | None:
    """Return by what name a tracker knows a run folder; None where it has not seen it."""
    path = run / KNOWN_RUNS_FILE
    value = read_json(path).get(tracker) if path.exists() else None
    return value if isinstance(value, str) else None


def remember_run(run: Path, tracker: str, name: str) -> None:
    """Keep by what name a tracker knows a run folder."""
    path = run / KNOWN_RUNS_FILE
    write_json(path, {**(read_json(path) if path.exists() else {}), tracker: name})
