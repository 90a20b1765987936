"""What a report tells of a run: all that its folder holds, and what is missing of it. No torch."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import count, takewhile
from pathlib import Path
from typing import Any, TypeVar

from prac.errors import PracError
from prac.evaluation import LevelVerdict, TestSet, Verdict
from prac.io import read_environment
from prac.models import ParameterCount
from prac.report.tables import control_line
from prac.runs import (
    ACCURACY,
    Level,
    Measure,
    read_metrics,
    read_retraining,
    search_settings,
)
from prac.search import Search

T = TypeVar("T")
U = TypeVar("U")


@dataclass(frozen=True)
class RunFacts:
    """A run as a report sees it.

    Attributes:
        environment: Versions, hardware, fingerprints.
        epochs: The lines of metrics.jsonl, of all levels.
        retrained: Summaries of `prac find --retrain`, by level.
        verdict: What `prac judge` found last; None where nothing was judged.
        damaged: What could not be read, a line each.
        measure: The metric that all goes by.
    """

    search: Search
    environment: dict[str, Any]
    epochs: list[dict[str, Any]]
    retrained: dict[int, dict[str, Any]]
    verdict: Verdict | None
    damaged: tuple[str, ...]
    measure: Measure = ACCURACY

    @property
    def levels(self) -> list[Level]:
        """The complete levels, ascending; the last of a finished run is a ticket only."""
        return self.search.levels

    @property
    def parameters(self) -> ParameterCount | None:
        """How much of the network is prunable; None where the run does not tell."""
        return ParameterCount.of(self.environment)

    @property
    def outlook(self) -> str | None:
        """What level 0 showed of whether critical examples will pay; None if nothing tells it."""
        return self.search.outlook if self.environment else None

    @property
    def is_dense_at_chance(self) -> bool:
        """Whether the dense network, judged or retrained once, has learned nothing."""
        if self.verdict is not None:
            return self.verdict.levels[0].at_chance is not None
        dense = self.retrained.get(0, {})
        test = TestSet.of(dense.get("test_set"))
        value = dense.get("test_metric", dense.get("test_accuracy"))
        return test is not None and value is not None and test.is_at_chance(value)

    @property
    def missing(self) -> list[str]:
        """What is damaged, and what a finished and judged run would have, and this one has not."""
        missing = list(self.damaged)
        what = self.search.settings.get("corrupted")
        if what is not None:
            missing.append(f"{control_line(what)}.")
        complete, wanted = len(self.levels), int(self.search.settings["levels"]) + 1
        if complete < wanted:
            missing.append(
                f"The search is not finished: {complete} of {wanted} levels are complete. The same "
                f"prac find command goes on with it."
            )
        if what is None and self.verdict is None:
            missing.append(
                "No verdict yet: prac judge retrains the tickets over several seeds, beside the "
                "dense network and controls."
            )
        return missing

    def judged(self, level: int) -> LevelVerdict | None:
        """Return the verdict on a level's ticket; None where it was not judged."""
        levels = () if self.verdict is None else self.verdict.levels
        return next((one for one in levels if one.index == level), None)

    @classmethod
    def read(cls, path: str | Path) -> RunFacts:
        """Return what a run folder holds; what is damaged is told, and left out.

        Raises:
            PracError: If the folder is no search's.
        """
        path = Path(path)
        damaged: list[str] = []

        def tried(read: Callable[[Any], T], argument: object, otherwise: U) -> T | U:
            try:
                return read(argument)
            except PracError as error:
                damaged.append(str(error))
                return otherwise

        settings = search_settings(path)
        summaries = sorted((path / "levels").glob("*/summary.json"))
        readable = (tried(Level.read, file, None) for file in summaries)
        found = {level.index: level for level in readable if level is not None}
        # Behind a gap no cost is known.
        levels = [found[index] for index in takewhile(found.__contains__, count())]
        search = Search(path, settings, levels)
        files = sorted((path / "retrain").glob("[0-9]*/summary.json"))
        ends = ((int(file.parent.name), tried(read_retraining, file, None)) for file in files)
        retrained = {level: summary for level, summary in ends if summary is not None}
        environment: dict[str, Any] = tried(read_environment, path, {})
        epochs: list[dict[str, Any]] = tried(read_metrics, path, [])
        verdict = tried(Verdict.load, search, None)
        measure: Measure = tried(Measure.of, environment.get("metric"), ACCURACY)
        measure = measure if verdict is None else verdict.measure
        return cls(search, environment, epochs, retrained, verdict, tuple(damaged), measure)
