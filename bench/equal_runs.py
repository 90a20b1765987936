"""Searches that must find the same: twice, cut within epochs and resumed, and counted otherwise."""

from __future__ import annotations

import itertools
from collections.abc import Generator, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from unittest import mock

import torch

from bench.first_step import Fault
from bench.work import Work, load
from prac.config import SearchConfig
from prac.events import Callback, Event
from prac.io import read_tensors
from prac.search import find
from prac.training import RunControl
from prac.training import level as training
from prac.training.loop import Segment, fit

EPOCHS, LEVELS = 5, 2
"""So many that also an epoch's last, smaller batch is captured and replayed."""


@dataclass(frozen=True)
class Searches:
    """Small searches of one kind.

    Attributes:
        work: Network and step.
        path: Where its images are.
        execution: How steps are executed.
        device: Where.
        scratch: Where run folders go.
        count: Examples, a ninth of them for validation.
    """

    work: Work
    path: Path
    execution: str
    device: str
    scratch: Path
    count: int

    def find(
        self, name: str, callback: Callback | None = None, run_control: RunControl | None = None
    ) -> Path:
        """Search in a folder of that name, or go on there; return the folder."""
        images = load(self.work, self.path).examples()
        held_out = self.count // 9
        x, y = images.x[: self.count], images.y[: self.count]
        told: dict[str, Any] = {"execution": self.execution}
        train = replace(self.work.train, epochs=EPOCHS, milestones=(EPOCHS - 2.0,), **told)
        config = SearchConfig.prac(
            levels=LEVELS, train=train, prune=self.work.prune, rewind="epoch:1", seed=0
        )
        find(
            self.work.build(0),
            (x[held_out:], y[held_out:]),
            config,
            val=(x[:held_out], y[:held_out]),
            out=self.scratch / name,
            device=self.device,
            callback=callback,
            run_control=run_control,
        )
        return self.scratch / name

    def check_again(self) -> str:
        """Return what two searches have alike.

        Raises:
            Fault: If a file of theirs differs.
        """
        return _compared(self.find("one"), self.find("two"))

    def check_resumed(self) -> str:
        """Return what a search has alike with one that was cut within an epoch of each level.

        Raises:
            Fault: If a file of theirs differs, or nothing was cut.
        """
        cut: set[int] = set()

        def watch(event: Event) -> None:
            is_saved = event.kind == "saved" and event.level not in cut
            # After the first epoch: by then steps are replayed.
            if is_saved and event.facts["iteration"] > self._batches:
                cut.add(event.level)
                raise KeyboardInterrupt

        for _ in range(LEVELS + 1):
            with suppress(KeyboardInterrupt):
                self.find("cut", watch, RunControl(save_every=1))
        if len(cut) < LEVELS:
            raise Fault(f"the search was cut in {len(cut)} of {LEVELS} levels")
        return f"{_compared(self.find('one'), self.find('cut'))}, cut in each level"

    @property
    def _batches(self) -> int:
        return -(-(self.count - self.count // 9) // self.work.train.batch_size)

    def check_forgetting(self) -> str:
        """Return what was counted: forgetting events, and what a dictionary says they are.

        Raises:
            Fault: If the search counted otherwise.
        """
        levels: list[list[Segment]] = []

        def recorded(*given: Any, **told: Any) -> Generator[Segment, None, None]:
            levels.append([])
            for segment in fit(*given, **told):
                levels[-1].append(segment)
                yield segment

        with mock.patch.object(training, "fit", recorded):
            path = self.find("recorded")
        events = 0
        for level, segments in enumerate(levels):
            found, _ = read_tensors(path / f"levels/{level:02d}/examples.safetensors", "examples")
            counted = dict(_counted(segments))
            for name in ("events", "learned"):
                values = [counted.get(i, (0, False))[name == "learned"] for i in range(self._total)]
                wanted = torch.tensor(values, dtype=found[name].dtype)
                if not torch.equal(found[name], wanted):
                    different = int((found[name] != wanted).sum())
                    raise Fault(f"level {level}: {name} differ for {different} examples")
            events += sum(count for count, _ in counted.values())
        if not events:
            raise Fault("nothing was forgotten: nothing is shown")
        return f"{events:,} events in {len(levels)} levels"

    @property
    def _total(self) -> int:
        return self.count - self.count // 9


def _counted(segments: list[Segment]) -> Iterator[tuple[int, tuple[int, bool]]]:
    """Yield each example presented: how often it was forgotten, and whether it was ever right."""
    outcomes: dict[int, list[bool]] = {}
    for segment in segments:
        for example, right in zip(segment.ids.tolist(), segment.correct.tolist(), strict=True):
            outcomes.setdefault(example, []).append(right)
    for example, rights in outcomes.items():
        forgotten = sum(a and not b for a, b in itertools.pairwise(rights))
        yield example, (forgotten, any(rights))


def _compared(one: Path, other: Path) -> str:
    """Return how many files two runs have alike.

    Raises:
        Fault: If one differs.
    """
    found = [
        {
            str(path.relative_to(run)): path.read_bytes()
            for path in (*run.glob("levels/*/*.safetensors"), run / "metrics.jsonl")
        }
        for run in (one, other)
    ]
    names = sorted(found[0].keys() | found[1].keys())
    different = [name for name in names if found[0].get(name) != found[1].get(name)]
    if different:
        raise Fault(f"{len(different)} of {len(found[0])} files differ: {', '.join(different[:5])}")
    return f"{len(found[0])} files equal in bytes"
