"""Data sets on the Hugging Face hub, by id."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from prac.data.sources.assemble import SPLIT_NAMES, RawSplit, assemble
from prac.data.sources.types import Splits
from prac.errors import PracError

PREFIX = "hf:"


@dataclass(frozen=True)
class _Known:
    hub_id: str
    label_column: str | None = None


# CIFAR-100 has two columns of class labels, the other holding 20 coarse classes.
KNOWN = {
    "cifar10": _Known("uoft-cs/cifar10"),
    "cifar100": _Known("uoft-cs/cifar100", "fine_label"),
    "mnist": _Known("ylecun/mnist"),
    "fashion_mnist": _Known("zalando-datasets/fashion_mnist"),
    "tiny_imagenet": _Known("zh-plus/tiny-imagenet"),
}


def load_hub(
    name: str,
    *,
    image_size: int | None = None,
    image_column: str | None = None,
    label_column: str | None = None,
    memory_limit: int = 8 << 30,
    skip_corrupt: bool = False,
) -> Splits:
    """Load a data set from the hub, or from its cache when it was loaded before.

    Args:
        name: a key of `KNOWN`, or `hf:owner/name`.
        image_size: as for `decode_images`.
        image_column: None takes the only column of images.
        label_column: None takes the only column of class labels, or of integers.
        memory_limit: as for `decode_images`.
        skip_corrupt: as for `decode_images`.

    Raises:
        PracError: the hub cannot be reached or knows no such data set, it has no train split, or
            its columns, images or labels are at fault.
    """
    from prac.data.sources.tables import choose_columns, raw_split, unlabelled

    hub_id = KNOWN[name].hub_id if name in KNOWN else name.removeprefix(PREFIX)
    if name in KNOWN and label_column is None:
        label_column = KNOWN[name].label_column
    shipped = _download(hub_id)
    named = {SPLIT_NAMES[key]: key for key in shipped if key in SPLIT_NAMES}
    if "train" not in named:
        raise PracError(
            f"{PREFIX}{hub_id}: no split called train (splits: {', '.join(map(str, shipped))})"
        )
    raw: dict[str, RawSplit] = {}
    classes: tuple[str, ...] | None = None
    for split in sorted(named, key=lambda key: key != "train"):
        part = shipped[named[split]]
        origin = f"{PREFIX}{hub_id} ({named[split]})"
        # Asked for as Arrow, rows come as they are stored: memory-mapped, images still encoded.
        table = part.with_format("arrow")[:]
        columns = choose_columns(
            table.schema,
            part.features.to_dict(),
            image_column=image_column,
            label_column=label_column,
            where=origin,
        )
        if split == "train":
            classes = columns.classes
        read = raw_split(
            table,
            columns,
            origin=origin,
            parts=[(0, origin)],
            folder=Path(),
            image_size=image_size,
            memory_limit=memory_limit,
            skip_corrupt=skip_corrupt,
        )
        if split != "test" or not unlabelled(read):
            raw[split] = read
    return assemble(_known_name(hub_id), raw, classes)


def _known_name(hub_id: str) -> str:
    by_id = {known.hub_id: name for name, known in KNOWN.items()}
    return by_id.get(hub_id, hub_id.rpartition("/")[2])


def _download(hub_id: str) -> Any:
    try:
        import datasets
    except ImportError as error:
        raise PracError(
            f"data set {PREFIX + hub_id!r} needs the package 'datasets': pip install datasets"
        ) from error
    # Whatever goes wrong on the way (network, name, permission, disk), the remedies are the same.
    try:
        with _quiet(datasets):
            shipped = datasets.load_dataset(hub_id)
    except Exception as error:
        reason = next(iter(str(error).splitlines()), "") or type(error).__name__
        raise PracError(
            f"data set {PREFIX + hub_id!r} cannot be had from the Hugging Face hub ({reason}): "
            "check the name and the network, or give the path of a local copy"
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
