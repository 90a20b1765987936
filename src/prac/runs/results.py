"""What a run folder holds, for whoever asks: levels, tickets, sets, costs.

Levels and costs are read without torch, which is imported only where tensors are asked for.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from prac.config import SearchConfig, own_part
from prac.errors import PracError
from prac.io import (
    Fields,
    check_kind,
    damaged,
    kind_at,
    other_kind,
    read_environment,
    read_json,
    read_settings,
)
from prac.models import ParameterCount
from prac.runs.cost import Cost
from prac.runs.ledger import Ledger, Level, ledger, read_levels
from prac.runs.measure import Measure, measure_in, with_metrics
from prac.utils import brief, html_table, percent

if TYPE_CHECKING:
    from torch import Tensor

    from prac.runs.subset import Subset
    from prac.runs.ticket import Ticket


@dataclass(frozen=True, repr=False)
class Tickets:
    """The tickets of a run folder by level, read when asked for."""

    path: Path

    def __repr__(self) -> str:
        """Return how many there are, and where."""
        return brief(self, f"{len(self)} in {self.path}")

    def __len__(self) -> int:
        """Return how many there are."""
        return len(list((self.path / "levels").glob("*/ticket.safetensors")))

    def __getitem__(self, level: int) -> Ticket:
        """Return the ticket of a level.

        Raises:
            IndexError: If the run has none.
        """
        if not 0 <= level < len(self):
            raise IndexError(f"{self.path} has tickets 0 to {len(self) - 1}, not {level}")
        from prac.runs.ticket import Ticket

        return Ticket.load(self.path / f"levels/{level:02d}/ticket.safetensors")


@dataclass(frozen=True, repr=False)
class SearchFolder:
    """What a search found, read from its run folder.

    Attributes:
        path: The run folder.
        settings: What it was begun with, by flat name.
        levels: The complete ones in order; the last is a ticket that no level trained.
    """

    path: Path
    settings: dict[str, Any]
    levels: list[Level]

    def __repr__(self) -> str:
        """Return where it is, how far, and its last ticket."""
        return brief(self, *self._in_short())

    def _repr_html_(self) -> str:
        """Return its levels as a table, for a notebook."""
        rows = [
            (
                str(level.index),
                percent(level.density, 2),
                f"{level.set_size:,} ({level.set_size / level.total:.0%})",
                f"{level.epochs}/{level.planned_epochs}" if level.epochs else "-",
                f"{level.iterations:,}" if level.epochs else "-",
                percent(self.cost(level.index).iterations_saved) if level.index else "-",
            )
            for level in self.levels
        ]
        return html_table(
            f"Search: {', '.join(self._in_short())}",
            ("level", "density", "set", "epochs", "iterations", "saved"),
            rows,
            "density: of the prunable weights; set: examples the level trains on; epochs: trained "
            "of planned; saved: training iterations to this ticket, against iterative magnitude "
            "pruning's",
        )

    def _in_short(self) -> list[str]:
        told = [str(self.path)]
        if not self.finished:
            of = int(self.settings["levels"]) + 1  # The last one is a ticket only.
            told.append(f"not finished: {len(self.levels)} of {of} levels complete")
        if self.levels:
            last = self.levels[-1]
            saved = self.cost(last.index).iterations_saved
            told.append(f"ticket {last.index} of density {percent(last.density)}")
            told += [f"{percent(saved)} of IMP's iterations saved"] if last.index else []
        return told

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """Return the search of a run folder, finished or not.

        Raises:
            PracError: If the folder is no search's, saying what it is, or a file in it is damaged.
        """
        path = Path(path)
        return cls(path, search_settings(path), read_levels(path))

    @property
    def config(self) -> SearchConfig:
        """The settings that it was begun with, for another call with them, or some changed.

        Raises:
            PracError: If one of them is not what it should be.
        """
        return own_part(SearchConfig, self.settings)

    @property
    def finished(self) -> bool:
        """Whether every level is complete."""
        return len(self.levels) == int(self.settings["levels"]) + 1

    @property
    def parameters(self) -> ParameterCount | None:
        """How many of the network's parameters are prunable; None where the run does not tell.

        Raises:
            PracError: If the run's environment.json is damaged.
        """
        return ParameterCount.of(read_environment(self.path))

    @property
    def metric(self) -> Measure:
        """What its best epochs go by: name, direction and form.

        Raises:
            PracError: If the run's environment.json is damaged.
        """
        return measure_in(self.path)

    @property
    def tickets(self) -> Tickets:
        """The tickets by level, as in `search.tickets[8]`."""
        return Tickets(self.path)

    def level_path(self, level: int) -> Path:
        """Return the folder of a level."""
        return self.path / "levels" / f"{level:02d}"

    def retrain_path(self, level: int) -> Path:
        """Return where `prac find --retrain` keeps the retraining of a level's ticket."""
        return self.path / "retrain" / f"{level:02d}"

    def retrained(self, level: int) -> dict[str, Any] | None:
        """Return the summary of a ticket's retraining, what was measured and cost; None if none is.

        Raises:
            PracError: If it is damaged.
        """
        path = self.retrain_path(level) / "summary.json"
        return read_retraining(path) if path.exists() else None

    def subset(self, level: int) -> Subset:
        """Return the set that a level trains on.

        Raises:
            PracError: If there is none.
        """
        from prac.runs.subset import Subset

        return Subset.load(self.level_path(level) / "subset.safetensors")

    def examples(self, level: int) -> dict[str, Tensor]:
        """Return what a level's training has shown of the examples: forgetting, CET, CEP and more.

        Returns:
            Tensors by name, as docs/files.md lists them: `events` and `learned` have an entry for
            each training example, `members`, `chosen`, `cet` and `cep` are ascending indices.

        Raises:
            PracError: If the level was not trained, or its file is damaged.
        """
        path = self.level_path(level) / "examples.safetensors"
        if not path.exists():
            raise PracError(f"{path}: is not there: level {level} of the search was not trained")
        return read_examples(path)

    def cost(self, level: int) -> Ledger:
        """Return what finding the ticket of a level cost, beside IMP's cost for it."""
        return ledger(self.levels, level)


def search_settings(path: Path) -> dict[str, Any]:
    """Return what the search of a run folder was begun with, by flat name.

    Raises:
        PracError: If the folder is no search's, or its config.yaml is damaged.
    """
    check_kind(path, "search", "search")
    if not (path / "config.yaml").exists():
        raise other_kind(path, "search")
    settings = read_settings(path)
    Fields(path / "config.yaml", settings).take("levels", int, at_least=1)
    return settings


def searches_below(folder: Path) -> list[Path]:
    """Return the run folders of searches in a folder, at any depth, or the folder itself.

    What lies within a run, such as its retrainings, is a part of it and no run of its own.

    Raises:
        PracError: If there is no such folder.
    """
    if not folder.is_dir():
        raise other_kind(folder, "runs")
    found = []
    for path, folders, files in os.walk(folder):
        kind = kind_at(path) if "config.yaml" in files else None
        if kind in ("search", "retraining", "trunk"):
            folders.clear()
        if kind == "search":
            found.append(Path(path))
        folders.sort()
    return found


def read_examples(path: Path) -> dict[str, Tensor]:
    """Return the tensors of a level's examples.safetensors, found to fit together.

    Raises:
        PracError: If the file is damaged.
    """
    from prac.io import check_indices, read_tensors

    tensors, _ = read_tensors(path, "examples")
    for name in ("members", "events", "learned", "chosen"):
        if name not in tensors:
            raise damaged(path, f"tensor {name!r} is missing")
    events, learned = tensors["events"], tensors["learned"]
    if events.ndim != 1 or events.is_floating_point() or learned.shape != events.shape:
        raise damaged(path, "its events and learned are not one number an example")
    for name in ("members", "chosen", "cet", "cep"):
        if name in tensors:
            check_indices(path, name, tensors[name], len(events))
    return tensors


def read_retraining(path: Path) -> dict[str, Any]:
    """Return the summary.json of a retraining, an older one's with the values that it lacks.

    Raises:
        PracError: If it cannot be read, or a field is not of its type.
    """
    summary: dict[str, Any] = read_json(path)
    fields = Fields(path, summary, "summary")
    for name, kind in RETRAINED.items():
        fields.take(name, kind, at_least=0)
    fields.check(MEASURED)
    Measure.of(summary.get("metric"), path)
    return {**dict.fromkeys(MEASURED), "metric": None, **with_metrics(summary)}


RETRAINED = {
    "best_epoch": int,
    "val_accuracy": float | None,
    "test_accuracy": float | None,
    "density": float,
    "cost": Cost,
}
"""What a retraining's summary says at least."""

MEASURED = dict.fromkeys(("val_loss", "test_loss", "val_metric", "test_metric"), float | None)
"""What it says too, but for an older one's."""
