"""Data sets on the Hugging Face hub, by id."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from prac.config import DataConfig
from prac.data.sources.assemble import named_splits
from prac.data.sources.noticed import first_few, number_of
from prac.data.sources.tables import TableSplits
from prac.data.sources.types import Splits
from prac.errors import PracError
from prac.utils import needed

HUB_PREFIX = "hf:"


KNOWN = {
    "cifar10": "uoft-cs/cifar10",
    "cifar100": "uoft-cs/cifar100",
    "mnist": "ylecun/mnist",
    "fashion_mnist": "zalando-datasets/fashion_mnist",
    "tiny_imagenet": "zh-plus/tiny-imagenet",
}


def load_hub(config: DataConfig) -> Splits:
    """Load a data set of `KNOWN`, or `hf:owner/name`, from the hub or what it cached before.

    Raises:
        PracError: the hub cannot be reached or knows no such data set, it has no train split, or
            its columns, images or labels are at fault.
    """
    hub_id = KNOWN.get(config.name) or config.name.removeprefix(HUB_PREFIX)
    if config.name == "cifar100" and config.label_column is None:
        # Of its two columns of class labels the other holds 20 coarse classes.
        config = replace(config, label_column="fine_label")
    shipped = _download(hub_id, config.name)
    names = [str(name) for name in shipped]
    found = named_splits(names, f"{HUB_PREFIX}{hub_id}")
    if "train" not in found:
        raise PracError(f"{HUB_PREFIX}{hub_id}: no split called train (splits: {', '.join(names)})")
    splits = TableSplits(config)
    others = [name for name in names if name not in found.values()]
    if others:
        splits.notices.append(
            f"{number_of(len(others), 'split')} not read, called by none of the names of splits: "
            f"{first_few(others)}"
        )
    for split in sorted(found, key=lambda key: key != "train"):
        part = shipped[found[split]]
        origin = f"{HUB_PREFIX}{hub_id} ({found[split]})"
        # Asked for as Arrow, rows come as they are stored: memory-mapped, images still encoded.
        table = part.with_format("arrow")[:]
        columns = splits.columns_of(split, table.schema, part.features.to_dict(), where=origin)
        if columns is None:
            continue
        splits.add(split, table, columns, origin=origin, parts=[(0, origin)], folder=Path())
    known = {known: name for name, known in KNOWN.items()}
    return splits.assembled(known.get(hub_id, hub_id.rpartition("/")[2]))


def _download(hub_id: str, name: str) -> Any:
    datasets = needed("datasets", "data", f"data set {HUB_PREFIX + hub_id!r}")
    # Whatever goes wrong on the way (network, name, permission, disk), the remedies are the same.
    try:
        with _quiet(datasets):
            return datasets.load_dataset(hub_id)
    except Exception as error:
        reason = next(iter(str(error).splitlines()), "") or type(error).__name__
        beside = f", such as ./{name}, which is there" if Path(name).is_dir() else ""
        raise PracError(
            f"data set {HUB_PREFIX + hub_id!r} cannot be loaded from the Hugging Face hub "
            f"({reason}): check the name and the network, or give the path of a local copy{beside}"
        ) from error


@contextmanager
def _quiet(datasets: Any) -> Iterator[None]:
    """Keep progress bars and retry notices off the terminal; what matters comes as the error."""
    logger = logging.getLogger("huggingface_hub")
    level, enabled = logger.level, not datasets.are_progress_bars_disabled()
    logger.setLevel(logging.ERROR)
    datasets.disable_progress_bars()
    try:
        yield
    finally:
        logger.setLevel(level)
        if enabled:
            datasets.enable_progress_bars()
