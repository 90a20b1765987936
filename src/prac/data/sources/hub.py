"""Data sets on the Hugging Face hub, by id."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from prac.config import DataConfig
from prac.data.sources.assemble import SPLIT_NAMES, RawSplit, assemble
from prac.data.sources.tables import choose_columns, raw_split, unlabelled
from prac.data.sources.types import Splits
from prac.errors import PracError
from prac.utils import needed

HUB_PREFIX = "hf:"


@dataclass(frozen=True)
class _HubEntry:
    hub_id: str
    label_column: str | None = None


# CIFAR-100 has two columns of class labels, the other holding 20 coarse classes.
KNOWN = {
    "cifar10": _HubEntry("uoft-cs/cifar10"),
    "cifar100": _HubEntry("uoft-cs/cifar100", "fine_label"),
    "mnist": _HubEntry("ylecun/mnist"),
    "fashion_mnist": _HubEntry("zalando-datasets/fashion_mnist"),
    "tiny_imagenet": _HubEntry("zh-plus/tiny-imagenet"),
}


def load_hub(config: DataConfig) -> Splits:
    """Load a data set from the hub, or from its cache when it was loaded before.

    Args:
        config: its name is a key of `KNOWN`, or `hf:owner/name`.

    Raises:
        PracError: the hub cannot be reached or knows no such data set, it has no train split, or
            its columns, images or labels are at fault.
    """
    known = KNOWN.get(config.name) or _HubEntry(config.name.removeprefix(HUB_PREFIX))
    hub_id = known.hub_id
    if config.label_column is None:
        config = replace(config, label_column=known.label_column)
    shipped = _download(hub_id)
    named = {SPLIT_NAMES[key]: key for key in shipped if key in SPLIT_NAMES}
    if "train" not in named:
        raise PracError(
            f"{HUB_PREFIX}{hub_id}: no split called train (splits: {', '.join(map(str, shipped))})"
        )
    raw: dict[str, RawSplit] = {}
    classes: tuple[str, ...] | None = None
    for split in sorted(named, key=lambda key: key != "train"):
        part = shipped[named[split]]
        origin = f"{HUB_PREFIX}{hub_id} ({named[split]})"
        # Asked for as Arrow, rows come as they are stored: memory-mapped, images still encoded.
        table = part.with_format("arrow")[:]
        columns = choose_columns(table.schema, part.features.to_dict(), config, where=origin)
        if split == "train":
            classes = columns.classes
        read = raw_split(table, columns, config, origin=origin, parts=[(0, origin)], folder=Path())
        if split != "test" or not unlabelled(read):
            raw[split] = read
    return assemble(_short_name(hub_id), raw, classes)


def _short_name(hub_id: str) -> str:
    by_id = {entry.hub_id: name for name, entry in KNOWN.items()}
    return by_id.get(hub_id, hub_id.rpartition("/")[2])


def _download(hub_id: str) -> Any:
    datasets = needed("datasets", "data", f"data set {HUB_PREFIX + hub_id!r}")
    # Whatever goes wrong on the way (network, name, permission, disk), the remedies are the same.
    try:
        with _quiet(datasets):
            shipped = datasets.load_dataset(hub_id)
    except Exception as error:
        reason = next(iter(str(error).splitlines()), "") or type(error).__name__
        raise PracError(
            f"data set {HUB_PREFIX + hub_id!r} cannot be loaded from the Hugging Face hub "
            f"({reason}): check the name and the network, or give the path of a local copy"
        ) from error
    return shipped


@contextmanager
def _quiet(datasets: Any) -> Iterator[None]:
    """Keep progress bars and retry notices off the terminal; what matters comes as the error."""
    logger = logging.getLogger("huggingface_hub")
    level = logger.level
    enabled = not datasets.are_progress_bars_disabled()
    logger.setLevel(logging.ERROR)
    datasets.disable_progress_bars()
    try:
        yield
    finally:
        logger.setLevel(level)
        if enabled:
            datasets.enable_progress_bars()
