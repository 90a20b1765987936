"""What a data set, or a thing that prac writes, holds: plain values ready for JSON and for tables.

Runs are described without torch; what holds tensors imports it when asked for.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Unpack

from prac.comparison import COMPARISON_FILE, Comparison
from prac.config import DataConfig, DataKeywords
from prac.errors import PracError
from prac.evaluation import JUDGED, Verdict
from prac.io import (
    KINDS,
    NOT_OURS,
    TENSORS,
    TEXTS,
    contents,
    kind_at,
    read_environment,
    read_json,
    read_settings,
)
from prac.models import ParameterCount
from prac.runs import read_metrics, read_retraining
from prac.search import Search
from prac.utils import with_article
from prac.winning import Win

if TYPE_CHECKING:
    from prac.runs import Subset, Ticket

    Described = DataConfig | str | Path | Search | Verdict | Comparison | Win | Ticket | Subset


def describe(what: Described, **settings: Unpack[DataKeywords]) -> dict[str, Any]:
    """Return what something holds as plain values, as `prac inspect --json` prints it.

    Args:
        what: A folder or a file that prac wrote, or a data set: its path, its name, or settings;
            or what `prac.find`, `prac.judge`, `prac.compare` and `prac.win` return; or a ticket or
            a subset.
        settings: How a data set is read, as `prac.load_data` takes them.

    Returns:
        Values by name, ready for JSON; "kind" says what it is.

    Raises:
        PracError: If it is none of them, or cannot be read.

    >>> describe("digits")["input_shape"]
    [1, 8, 8]
    """
    if isinstance(what, DataConfig | str | Path):
        named = what if isinstance(what, DataConfig) else DataConfig(str(what))
        return _named(replace(named, **settings))
    if isinstance(what, Search):
        return search_summary(what)
    if isinstance(what, Verdict):
        path = what.search.path / JUDGED / "verdict.json"
        return {"kind": "verdict", "path": str(path), "fields": what.to_json()}
    if isinstance(what, Comparison | Win):
        kind = "win" if isinstance(what, Win) else "comparison"
        return {"kind": kind, "path": str(what.path), **what.to_json()}
    from prac.runs import Subset, Ticket

    if isinstance(what, Ticket):
        return _of_ticket(what)
    if isinstance(what, Subset):
        return _of_subset(what)
    raise PracError(
        f"what is described is {with_article(type(what).__name__)}: expected a path, the name of a "
        f"data set, or what prac has found"
    )


def _named(config: DataConfig) -> dict[str, Any]:
    path = Path(config.name)
    kind = kind_at(path)
    if kind in ("runs", "comparison") and _holds_data(path):
        return _data(config)  # Beside which people keep runs.
    if kind in DESCRIBED:
        return DESCRIBED[kind](path)
    if (path / "config.yaml").is_file():
        return _data_or_damaged(config)
    if path.suffix == ".safetensors" and not path.is_dir():
        from prac.io import kind_of

        kind_of(path)  # Which says the same of a file.
    return _data(config)


def _holds_data(path: Path) -> bool:
    """Say whether a data set lies beside runs."""
    if all(kind not in NOT_OURS for _, kind in contents(path)):
        return False
    from prac.data import is_data

    return is_data(path)


def _data_or_damaged(config: DataConfig) -> dict[str, Any]:
    """Return what a data set holds that has a config.yaml of its own, or say what ails a run."""
    path = Path(config.name)
    try:
        return _data(config)
    except PracError:
        if any((path / name).exists() for name in ("environment.json", "metrics.jsonl", "levels")):
            Search.load(path)  # Which says what is wrong with that file.
        raise


def search_summary(search: Search) -> dict[str, Any]:
    """Return a run's levels, costs, what retrained tickets reach, settings and environment."""
    dense = (search.retrained(0) or {}).get("test_metric")
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
        sparse = (retrained or {}).get("test_metric")
        if sparse is not None and dense is not None:
            row["against_dense"] = sparse - dense
        levels.append(row)
    return {
        "kind": "run",
        "path": str(search.path),
        "finished": search.finished,
        "metric": search.metric.to_json(),
        "levels": levels,
        "outlook": search.outlook,
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


def _comparison(path: Path) -> dict[str, Any]:
    """Return what a comparison has found so far, of its folder or its comparison.json."""
    folder = path if path.is_dir() else path.parent
    if not (folder / COMPARISON_FILE).exists():
        return _folder(folder)
    return describe(Comparison.load(folder))


def _win(path: Path) -> dict[str, Any]:
    """Return what `prac win` has found so far, of its folder or its win.json."""
    folder = path if path.is_dir() else path.parent
    return describe(Win.load(folder))


def _folder(path: Path) -> dict[str, Any]:
    """Return the kinds of what is in a folder, by name."""
    found = [{"name": name, "kind": kind, "is": KINDS[kind].words} for name, kind in contents(path)]
    return {"kind": kind_at(path), "path": str(path), "contents": found}


def _tensors(path: Path) -> dict[str, Any]:
    """Return a tensor file's plain fields, and the names, shapes and types of its tensors."""
    from prac.io import read_tensors

    kind = kind_at(path)
    tensors, header = read_tensors(path, kind)
    return {
        "kind": kind,
        "path": str(path),
        "fields": {name: of for name, of in header.items() if not isinstance(of, list | dict)},
        "tensors": [
            {"name": name, "shape": list(of.shape), "type": str(of.dtype).removeprefix("torch.")}
            for name, of in tensors.items()
        ],
    }


def _text(path: Path) -> dict[str, Any]:
    """Return what a file of JSON or YAML says, as `fields`; of metrics, as `epochs`."""
    found = {"kind": kind_at(path), "path": str(path)}
    if found["kind"] == "metrics":
        return {**found, "epochs": read_metrics(path.parent)}
    read = read_settings(path.parent) if found["kind"] == "config" else read_json(path)
    if not isinstance(read, dict):
        raise PracError(f"{path}: expected fields by name")
    return {**found, "fields": read}


def _ticket(path: Path) -> dict[str, Any]:
    from prac.runs import Ticket

    return {**_of_ticket(Ticket.load(path)), "path": str(path)}


def _of_ticket(ticket: Ticket) -> dict[str, Any]:
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
        # Where the ticket does not tell, buffers and what modules share count as well.
        "parameters": sum(weight.numel() for weight in ticket.weights.values())
        if parameters is None
        else parameters.total,
        "layers": layers,
        "digest": ticket.digest,
        "provenance": ticket.provenance,
    }


def _subset(path: Path) -> dict[str, Any]:
    from prac.runs import Subset

    return {**_of_subset(Subset.load(path)), "path": str(path)}


def _of_subset(subset: Subset) -> dict[str, Any]:
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
    from prac.data import HoldOutError, class_counts, load_data

    told: list[str] = []
    try:
        data = load_data(config)
    except HoldOutError as error:  # Of small sets, which are looked at all the same.
        data = load_data(replace(config, val_fraction=0))
        told.append(f"nothing is held out here; prac find says: {error}")
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
        "warnings": [*data.warnings, *told],
    }


FOLDERS = ("level", "levels", "retrainings", "cache", "states", "runs")

DESCRIBED: dict[str, Callable[[Path], dict[str, Any]]] = {
    **dict.fromkeys(FOLDERS, _folder),
    **dict.fromkeys(TENSORS, _tensors),
    **dict.fromkeys(TEXTS, _text),
    "search": lambda path: search_summary(Search.load(path)),
    "retraining": _retraining,
    "trunk": _retraining,
    "comparison": _comparison,
    "comparison_file": _comparison,
    "win": _win,
    "win_file": _win,
    "ticket": _ticket,
    "subset": _subset,
}
"""What describes each kind of thing that prac writes, but for pages, pictures and curves."""
