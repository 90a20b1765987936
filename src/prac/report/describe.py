"""What a run, ticket, subset or data set holds, as plain values ready for JSON and for tables.

Runs are described without torch; what holds tensors imports it when asked for.
"""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from prac.config import DataConfig
from prac.errors import PracError
from prac.io import read_environment, read_settings
from prac.models import ParameterCount
from prac.runs import Search, read_metrics, read_retraining

if TYPE_CHECKING:
    from prac.runs import Subset, Ticket


def describe(config: DataConfig) -> dict[str, Any]:
    """Return what a folder of a run, a tensor file or a data set holds; "kind" says which.

    Args:
        config: Its name is a path, or a data set's name; the rest is how a data set is read.

    Raises:
        PracError: If it is none of them.
    """
    path = Path(config.name)
    if (path / "config.yaml").is_file():
        search = Search.load(path)
        return search_summary(search) if "levels" in search.settings else _retraining(path)
    return _file(path) if path.suffix == ".safetensors" else _data(config)


def search_summary(search: Search) -> dict[str, Any]:
    """Return a run's levels, costs, retrained accuracies, settings and environment."""
    dense = (search.retrained(0) or {}).get("test_accuracy")
    environment = read_environment(search.path)
    parameters = ParameterCount.of(environment)
    levels = []
    for level in search.levels:
        retrained = search.retrained(level.index)
        row = level.to_json() | {
            "ledger": search.cost(level.index).to_json(),
            "retrained": retrained,
            "ticket": str(search.level_path(level.index) / "ticket.safetensors"),
        }
        if parameters is not None:
            row["network_density"] = parameters.density(level.kept)
        sparse = (retrained or {}).get("test_accuracy")
        if sparse is not None and dense is not None:
            row["against_dense"] = sparse - dense
        levels.append(row)
    return {
        "kind": "run",
        "path": str(search.path),
        "finished": search.finished,
        "levels": levels,
        "settings": search.settings,
        "environment": environment,
        "parameters": None if parameters is None else parameters.to_json(),
    }


def _retraining(path: Path) -> dict[str, Any]:
    """Return what a retraining's folder holds, finished or not."""
    summary = path / "summary.json"
    return {
        "kind": "retraining",
        "path": str(path),
        "finished": summary.exists(),
        "summary": read_retraining(summary) if summary.exists() else {},
        "epochs": read_metrics(path),
        "settings": read_settings(path),
        "environment": read_environment(path),
    }


def _file(path: Path) -> dict[str, Any]:
    """Return what a tensor file holds; raise a PracError if it is none of prac's, or damaged."""
    from prac.io import kind_of
    from prac.runs import Subset, Ticket

    kind = kind_of(path)
    if kind == "ticket":
        return _ticket(Ticket.load(path)) | {"path": str(path)}
    if kind == "subset":
        return _subset(Subset.load(path)) | {"path": str(path)}
    raise PracError(f"{path}: holds {kind}: expected a ticket or a subset; its run tells the rest")


def _ticket(ticket: Ticket) -> dict[str, Any]:
    """Return a ticket's densities by layer and its provenance."""
    layers: list[dict[str, Any]] = [
        {
            "name": name,
            "shape": list(mask.shape),
            "kept": int(mask.sum()),
            "weights": mask.numel(),
            "density": int(mask.sum()) / mask.numel(),
        }
        for name, mask in ticket.masks.items()
    ]
    kept = sum(layer["kept"] for layer in layers)
    parameters = ParameterCount.of(ticket.provenance)
    return {
        "kind": "ticket",
        "level": ticket.level,
        "density": ticket.density,
        "network_density": None if parameters is None else parameters.density(kept),
        "kept": kept,
        "prunable": sum(layer["weights"] for layer in layers),
        "parameters": sum(weight.numel() for weight in ticket.weights.values()),
        "layers": layers,
        "digest": ticket.digest,
        "provenance": ticket.provenance,
    }


def _subset(subset: Subset) -> dict[str, Any]:
    """Return a set's size, its size by class where classes are known, and its provenance."""
    return {
        "kind": "subset",
        "size": len(subset),
        "total": subset.total,
        "share": len(subset) / subset.total,
        "by_class": subset.provenance.get("by_class"),
        "fingerprint": subset.fingerprint,
        "provenance": subset.provenance,
    }


def _data(config: DataConfig) -> dict[str, Any]:
    """Return a data set's splits, their sizes by class, its faults, and how it is normalised."""
    from prac.data import class_counts, load_data

    data = load_data(config)
    splits = {"train": data.train, "validation": data.val, "test": data.test}
    rows = {
        name: {
            "examples": len(examples),
            "by_class": class_counts(examples),
            "fingerprint": examples.fingerprint,
        }
        for name, examples in splits.items()
        if examples is not None
    }
    return {
        "kind": "data",
        "name": config.name,
        "input_shape": list(data.shape),
        "classes": list(data.classes),
        "mean": list(data.pipeline.mean),
        "std": list(data.pipeline.std),
        "splits": rows,
        "damaged": {
            split: [asdict(image) for image in images] for split, images in data.damaged.items()
        },
        "warnings": list(data.warnings),
    }
