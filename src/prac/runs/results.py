"""What run folders hold, for whoever asks: settings, statistics of examples, retrainings."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from prac.io import (
    Fields,
    check_kind,
    damaged,
    kind_at,
    other_kind,
    read_json,
    read_settings,
)
from prac.runs.cost import Cost

if TYPE_CHECKING:
    from torch import Tensor


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
    """Return the summary.json of a retraining.

    Raises:
        PracError: If it cannot be read, or a field is not of its type.
    """
    summary: dict[str, Any] = read_json(path)
    fields = Fields(path, summary, "summary")
    for name, kind in RETRAINED.items():
        fields.take(name, kind, at_least=0)
    return summary


RETRAINED = {
    "best_epoch": int,
    "val_accuracy": float | None,
    "test_accuracy": float | None,
    "density": float,
    "cost": Cost,
}
"""What a retraining's summary says at least."""
