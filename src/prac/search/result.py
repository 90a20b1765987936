"""What a search found, for whoever asks: levels, tickets, sets, costs; and one to be asked.

Levels and costs are read without torch, which is imported only where tensors are asked for.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from prac.errors import PracError
from prac.io import read_environment
from prac.models import ParameterCount
from prac.runs import (
    Ledger,
    Level,
    ledger,
    read_examples,
    read_levels,
    read_retraining,
    search_settings,
)

if TYPE_CHECKING:
    from torch import Tensor, nn

    from prac.config import SearchConfig
    from prac.events import Callback
    from prac.runs import Subset, Ticket
    from prac.search.asking import OpenSearch
    from prac.search.parts import Score, StopRule, SubsetRule


@dataclass(frozen=True)
class Tickets:
    """The tickets of a run folder by level, read when asked for."""

    path: Path

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
        from prac.runs import Ticket

        return Ticket.load(self.path / f"levels/{level:02d}/ticket.safetensors")


@dataclass(frozen=True)
class Search:
    """What a search found, read from its run folder.

    Attributes:
        path: The run folder.
        settings: What it was begun with, by flat name.
        levels: The complete ones in order; the last is a ticket that no level trained.
    """

    path: Path
    settings: dict[str, Any]
    levels: list[Level]

    @classmethod
    def load(cls, path: str | Path) -> Search:
        """Return the search of a run folder, finished or not.

        Raises:
            PracError: If the folder is no search's, saying what it is, or a file in it is damaged.
        """
        path = Path(path)
        return cls(path, search_settings(path), read_levels(path))

    @staticmethod
    def begin(
        out: str | Path,
        model: nn.Module,
        *,
        examples: Any,
        config: SearchConfig,
        labels: Any = None,
        validated: int = 0,
        output_layer: str | None = None,
        choose: SubsetRule | None = None,
        stop: StopRule | None = None,
        score: Score | None = None,
        callback: Callback | None = None,
        accept_changes: bool = False,
    ) -> OpenSearch:
        """Begin a search whose levels are trained in a loop of one's own, or go on with it.

        `ask` gives the level to train, `tell` takes what its training has come to. The same call
        goes on where a killed process was.

        Args:
            out: The run folder.
            model: The dense network at its initialisation, with the names that tickets are to have.
                Nothing is trained here; it is not changed.
            examples: n, how many training examples there are, or the data, by whose content tickets
                and sets are told from others'.
            config: Settings. Lengths and rates of `config.train` are what levels are planned by;
                its optimiser is the caller's own.
            labels: Integers (n,), each example's class, for tables of sets.
            validated: Held-out examples that each validation scores, for the ledger.
            output_layer: Name of the layer that makes the outputs, which is not pruned unless the
                settings say so; by default the last one.
            choose: The caller's own rule, as `prac.find` takes it.
            stop: Likewise.
            score: Likewise.
            callback: Called with an `Event` as the search goes on.
            accept_changes: Go on under another torch or prac as well.

        Raises:
            PracError: On settings or a folder that do not fit, in one line.
        """
        from prac.search.asking import OpenSearch

        return OpenSearch.begin(
            out,
            model,
            examples=examples,
            config=config,
            labels=labels,
            validated=validated,
            output_layer=output_layer,
            choose=choose,
            stop=stop,
            score=score,
            callback=callback,
            accept_changes=accept_changes,
        )

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
        """Return the summary of a ticket's retraining, accuracies and cost; None where none is.

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
        from prac.runs import Subset

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
