"""The same search on corrupted data: masks that took nothing from it, to hold tickets against.

Su et al. 2020 (arXiv 2009.11094): a method whose tickets are as good when it is shown random labels
or random pixels does not need the data to prune.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

from prac.algorithms import kept
from prac.config import TrainConfig, flat, own_code
from prac.data import Corruption, Examples, corrupted, corrupted_fingerprint
from prac.errors import PracError
from prac.evaluation.controls import MakeModel
from prac.evaluation.verdict import JUDGED
from prac.events import Event
from prac.io import read_environment, read_settings
from prac.runs import Subset, Ticket
from prac.search import Search, find
from prac.training import Problem, RunOptions
from prac.utils import derive_seed


class _FarEnough(Exception):
    """Raised where a search has the tickets that are wanted; it can go on from there."""


def check_repeatable(
    search: Search, names: Sequence[str], config: TrainConfig, other: str | None
) -> None:
    """Raise a PracError unless a search can be repeated on corrupted data.

    Args:
        search: The one that was judged.
        names: Of the controls that it is repeated for.
        config: The judgement's own, whose code is trusted.
        other: What of the judgement's data, network or task is not the search's, if anything.
    """
    known, code = read_environment(search.path), own_code(search.settings)
    own = [part for part in ("choose", "stop", "score") if known.get(f"own_{part}") is not None]
    why = None
    if known.get("loop") is not None:
        why = "was searched in a training loop of your own"
    elif known.get("after") is not None:
        why = "goes on from another search's ticket"
    elif own:
        why = f"was searched by code of your own ({own[0]})"
    elif code.items() - own_code(flat(config)).items():
        why = f"trains by code that is not given here ({', '.join(code.values())})"
    elif other is not None:
        why = f"was searched on something else: {other}"
    if why is not None:
        raise PracError(
            f"{search.path}: {why}, so that the search cannot be repeated on corrupted data: leave "
            f"{' and '.join(names)} out (shuffled and smart-ratio need no search)"
        )


def check_is_no_control(search: Search) -> None:
    """Raise a PracError where a search is itself one on corrupted data, of which nothing wins."""
    what = search.settings.get("corrupted")
    if what is not None:
        raise PracError(
            f"{search.path}: was searched on corrupted {what}, as a control: judge the run in "
            f"whose folder it lies, with corrupted-{what} among the controls"
        )


@dataclass(frozen=True)
class CorruptedSearch:
    """A search, repeated on data of which labels or inputs are corrupted.

    It has the same settings, the same number of levels and the same initial weights, and a run
    folder of its own, in which it goes as far as it was asked for, and on from there when more is.

    Attributes:
        of: The search that is repeated.
        name: The control's that it is for.
    """

    of: Search
    name: str

    @property
    def path(self) -> Path:
        """Its run folder."""
        return self.of.path / JUDGED / self.name

    @property
    def what(self) -> Corruption:
        """What is corrupted."""
        return cast(Corruption, self.name.removeprefix("corrupted-"))

    @property
    def seed(self) -> int:
        """The search's."""
        return self.of.config.seed

    def has(self, level: int, problem: Problem) -> bool:
        """Say whether it has come to the ticket of a level.

        Raises:
            PracError: If its folder is of another search.
        """
        if not (self.path / "config.yaml").exists():
            return False
        known, own = read_environment(self.path), read_environment(self.of.path)
        val = None if problem.val is None else self._fingerprint(problem.val, "val")
        wanted: dict[str, Any] = {
            "fingerprint": self._fingerprint(problem.train, "train"),
            "val_fingerprint": val,
            "initial_weights": own.get("initial_weights", known.get("initial_weights")),
        }
        settings, now = read_settings(self.path), {**flat(self.of.config), "corrupted": self.what}
        is_same = all(known.get(name) == value for name, value in wanted.items())
        if not is_same or any(settings.get(name) != value for name, value in now.items()):
            raise PracError(
                f"{self.path}: was found for another search than {self.of.path} holds now: remove "
                f"the folder to search again"
            )
        return len(Search.load(self.path).tickets) > level

    def find(
        self, level: int, problem: Problem, make_model: MakeModel, options: RunOptions
    ) -> None:
        """Search until there is a ticket of a level.

        Args:
            level: At most as many prunings as the search has.
            problem: The data, as it is, and the task.
            make_model: Makes a network, which is given the search's initial weights.
            options: How it runs. What it tells is passed on.

        Raises:
            PracError: As `prac.find`.
            Interrupted: If the run control says to stop; the same call continues.
        """
        train = self._corrupted(problem.train, "train")
        val = None if problem.val is None else self._corrupted(problem.val, "val")
        subset = None
        if self.of.config.subset.rule == "fixed":
            given = self.of.subset(0)
            subset = Subset.of(train, given.indices_for(problem.train), given.provenance)

        def tell(event: Event) -> None:
            if event.kind == "level" and event.level >= level:
                raise _FarEnough
            if event.kind == "note":
                text = f"search on corrupted {self.what}: {event.facts['text']}"
                event = replace(event, facts={**event.facts, "text": text})
            options.callback(event)

        # All levels are planned, since lengths and stops of some searches hang on their number.
        with suppress(_FarEnough):
            find(
                self.of.tickets[0].apply(make_model()),
                train,
                self.of.config,
                val=val,
                out=self.path,
                task=problem.task,
                subset=subset,
                recipe={"corrupted": self.what},
                **replace(options, callback=tell).keywords,
            )

    def control(self, ticket: Ticket) -> Ticket:
        """Return the mask of this search's ticket of the same level, over the other's weights.

        Raises:
            PracError: If it is missing, or keeps another number of weights, as no search of these
                settings does.
        """
        tickets = Search.load(self.path).tickets
        if len(tickets) <= ticket.level:
            raise PracError(
                f"{self.path}: its ticket {ticket.level} is missing, which was there: remove the "
                f"folder to search again"
            )
        masks = tickets[ticket.level].masks
        if kept(masks) != kept(ticket.masks):
            raise PracError(
                f"{self.path}: its ticket {ticket.level} keeps {kept(masks)} weights, the search's "
                f"own {kept(ticket.masks)}: remove the folder to search again"
            )
        origin = {**ticket.provenance, "control": self.name, "of": ticket.digest}
        return replace(ticket, masks=masks, provenance=origin)

    def _corrupted(self, examples: Examples, part: str) -> Examples:
        return corrupted(examples, self.what, self._seed_of(part))

    def _fingerprint(self, examples: Examples, part: str) -> str:
        return corrupted_fingerprint(examples.fingerprint, self.what, self._seed_of(part))

    def _seed_of(self, part: str) -> int:
        return derive_seed(self.seed, self.name, part)
