"""What a run's tensor files hold that a report shows: layers, sets, forgetting. Needs torch."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from prac.errors import PracError
from prac.runs import read_examples
from prac.search import Search

OFTEN = 30
"""Examples forgotten more often than this are counted together."""


@dataclass(frozen=True)
class Inside:
    """What tickets and examples of a run's levels tell.

    Attributes:
        densities: By level, the density of each prunable layer, in the model's order.
        sets: By level, how many examples its set has of both CET and CEP, of one of them alone,
            and of neither: "both", "cet", "cep", "other". Level 0, and sets without parts, are
            left out.
        forgotten: Training examples by forgetting events in level 0, and "never learned".
        missing: What could not be read, a line each.
    """

    densities: dict[int, dict[str, float]] = field(default_factory=dict)
    sets: dict[int, dict[str, int]] = field(default_factory=dict)
    forgotten: dict[str, int] = field(default_factory=dict)
    missing: tuple[str, ...] = ()

    @property
    def collapsed(self) -> dict[int, list[str]]:
        """By level, the layers of which nothing is left."""
        found = {
            level: [name for name, density in layers.items() if not density]
            for level, layers in self.densities.items()
        }
        return {level: names for level, names in found.items() if names}

    @classmethod
    def read(cls, search: Search) -> Inside:
        """Return what the tensor files of a run hold; what is damaged is left out and told."""
        from prac.algorithms import density
        from prac.runs import Ticket

        densities: dict[int, dict[str, float]] = {}
        sets: dict[int, dict[str, int]] = {}
        missing: list[str] = []
        forgotten: dict[str, int] = {}
        for folder in sorted((search.path / "levels").glob("[0-9]*")):
            level = int(folder.name)
            try:
                if (folder / "ticket.safetensors").exists():
                    masks = Ticket.load(folder / "ticket.safetensors").masks
                    densities[level] = {name: density({name: masks[name]}) for name in masks}
                if (folder / "examples.safetensors").exists():
                    # What a level has shown chooses the next one's set.
                    parts, events = _examples(folder / "examples.safetensors")
                    sets |= {level + 1: parts} if parts else {}
                    forgotten = forgotten or (events if level == 0 else {})
            except PracError as error:
                missing.append(str(error))
        return cls(densities, sets, forgotten, tuple(missing))


def _examples(path: Path) -> tuple[dict[str, int], dict[str, int]]:
    """Return the parts of the set that a level's examples make, and its forgetting events."""
    import torch

    tensors = read_examples(path)
    members, events, learned = (tensors[name] for name in ("members", "events", "learned"))
    total = len(events)
    events, learned = events[members].long(), learned[members].bool()
    most = int(events.max()) if len(events) else -1
    counts = {
        str(number): int(((events == number) & learned).sum())
        for number in range(min(most, OFTEN) + 1)
    }
    if most > OFTEN:
        counts[f"over {OFTEN}"] = int(((events > OFTEN) & learned).sum())
    counts["never learned"] = int((~learned).sum())
    parts = {}
    if "cet" in tensors or "cep" in tensors:
        marks = torch.zeros(3, total, dtype=torch.bool)
        for mark, name in zip(marks, ("chosen", "cet", "cep"), strict=True):
            if name in tensors:
                mark[tensors[name]] = True
        chosen, cet, cep = marks & marks[0]
        parts = {
            "both": int((cet & cep).sum()),
            "cet": int((cet & ~cep).sum()),
            "cep": int((cep & ~cet).sum()),
            "other": int((chosen & ~cet & ~cep).sum()),
        }
    return parts, counts
