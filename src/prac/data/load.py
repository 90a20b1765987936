"""From a recipe to examples: the data set that it names, split and ready for training."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Unpack

import torch
from torch import Tensor

from prac.config import DataConfig, DataKeywords, flat
from prac.data.augment import Pipeline, channel_statistics
from prac.data.checks import NAMED_AT_MOST, check_classes, empty_classes, shared_examples
from prac.data.examples import Examples, TensorExamples
from prac.data.map_examples import LazyPairs, MapExamples
from prac.data.sources.by_name import load_splits
from prac.data.sources.encoded import DamagedImage
from prac.data.sources.types import Source, Splits
from prac.data.split import HoldOutError, read_index_file, split_indices
from prac.errors import PracError
from prac.utils import brief

_MEASURED_AT_MOST = 2048
"""Images on disk that mean and deviation are measured on: enough for those of the whole set."""


@dataclass(frozen=True, repr=False)
class LoadedData:
    """A data set ready for training: `train`, `val` and `test` are what `prac.find` takes.

    Its test examples are those of its own test split; `shape` is that of one input, `pipeline` is
    what is done to a training batch, `damaged` are the images left out, by the split that ships
    them: train, validation, test, and `config` is what it was loaded by.
    """

    train: Examples
    val: Examples | None
    test: Examples | None
    classes: tuple[str, ...]
    shape: tuple[int, ...]
    pipeline: Pipeline
    damaged: Mapping[str, tuple[DamagedImage, ...]]
    warnings: tuple[str, ...] = ()
    config: DataConfig = field(default_factory=DataConfig)

    def __repr__(self) -> str:
        """Return its name, and how many examples there are of what shape."""
        parts = {"training": self.train, "validation": self.val, "test": self.test}
        counts = (f"{len(of):,} {name}" for name, of in parts.items() if of is not None)
        shape = f"inputs {'x'.join(map(str, self.shape))}"
        return brief(self, self.config.name, *counts, shape, f"{len(self.classes)} classes")

    @property
    def recipe(self) -> dict[str, Any]:
        """What `recipe=` of `prac.find` records of the data, for reports that show examples."""
        return flat(self.config)

    def notices(self) -> Iterator[str]:
        """Yield what a run should say of the data at its start, a line each."""
        damaged = [image for images in self.damaged.values() for image in images]
        for image in damaged[:NAMED_AT_MOST]:
            yield f"left out: {image.name}: {image.reason}"
        if len(damaged) > NAMED_AT_MOST:
            yield f"and {len(damaged) - NAMED_AT_MOST} more: prac inspect --skip-corrupt lists all"
        for warning in self.warnings:
            yield f"warning: {warning}"


def load_data(
    data: DataConfig | str | Path, *, workers: int = 0, **settings: Unpack[DataKeywords]
) -> LoadedData:
    """Return a data set by its name or path, as the command reads it: split, checked, normalised.

    Args:
        data: What `--data` takes: a name, a path, or `hf:owner/name`; or settings.
        workers: Processes that decode images that do not fit in memory.
        settings: limit, val_fraction, val_seed, val_indices, crop, flip, normalize, image_size,
            exif_rotation, background, image_column, label_column, memory_limit, skip_corrupt:
            the command's options of these names.

    Raises:
        HoldOutError: On a draw of validation examples that leaves too little on a side.
        PracError: On a name or a path that is not known, or data at fault.

    >>> load_data("digits", limit=400)
    LoadedData(digits, 360 training, 40 validation, 355 test, inputs 1x8x8, 10 classes)
    """
    named = data if isinstance(data, DataConfig) else DataConfig(str(data))
    config = replace(named, **settings)
    splits = load_splits(config)
    train_indices, val_indices = _held_out(splits, config)
    # Drawn from all of them, then left out: the draw is the same with and without damage.
    train_indices = _undamaged(splits.train, train_indices, "training")
    check_classes(splits.train, train_indices)
    pipeline = _pipeline(splits, config, train_indices)
    plain = replace(pipeline, crop_padding=0, flip=False)
    train = _indexed(splits.train, train_indices, pipeline, workers)
    val, val_split = None, "train"
    if val_indices is None:
        val, val_split = _whole_split(splits.val, plain, workers), "validation"
    elif len(val_indices):
        val_indices = _undamaged(splits.train, val_indices, "validation")
        val = _indexed(splits.train, val_indices, plain, workers)
    test = _whole_split(splits.test, plain, workers)
    warnings = (
        *splits.notices,
        *empty_classes(train),
        *shared_examples(train, val, "validation", val_split),
        *shared_examples(train, test, "test"),
    )
    shipped = {"train": splits.train, "validation": splits.val, "test": splits.test}
    damaged = {name: source.damaged for name, source in shipped.items() if source is not None}
    classes, shape = splits.train.classes, splits.train.shape
    return LoadedData(train, val, test, classes, shape, pipeline, damaged, warnings, config)


def _held_out(splits: Splits, config: DataConfig) -> tuple[Tensor, Tensor | None]:
    """Return training and validation indices; None for validation that the data set ships."""
    n = len(splits.train.labels)
    used = torch.arange(n)
    if config.limit is not None:
        if config.limit > n:
            raise PracError(f"limit is {config.limit}, but there are only {n} training examples")
        # Drawn, not the first: folders by class come sorted.
        used, _ = split_indices(n, fraction=1 - config.limit / n, seed=config.val_seed)
    if config.val_indices is not None:
        held_out = torch.zeros(n, dtype=torch.bool)
        held_out[read_index_file(config.val_indices, n)] = True
        train, val = used[~held_out[used]], used[held_out[used]]
        if not len(train) or not len(val):
            part = "held-out" if len(train) else "training"
            raise PracError(
                f"limit is {config.limit}: none of the {part} examples of {config.val_indices} is "
                f"among those drawn: raise it, or draw others by val_seed"
            )
        return train, val
    if splits.val is not None:
        return used, None
    train, val = split_indices(len(used), fraction=config.val_fraction, seed=config.val_seed)
    if config.val_fraction and not len(val):
        raise HoldOutError(
            f"val_fraction is {config.val_fraction:g}, which of {len(used)} examples holds none "
            f"out: raise it, or set 0 for no validation"
        )
    return used[train], used[val]


def _undamaged(source: Source, indices: Tensor, part: str) -> Tensor:
    """Return those of the indices whose image is not damaged."""
    damaged = torch.zeros(len(source.labels), dtype=torch.bool)
    damaged[[image.index for image in source.damaged]] = True
    whole = indices[~damaged[indices]]
    if not len(whole):
        raise HoldOutError(
            f"{source.origin}: every one of the {len(indices)} {part} examples is damaged: "
            f"mend some, or draw others with --val-seed"
        )
    return whole


def _pipeline(splits: Splits, config: DataConfig, train_indices: Tensor) -> Pipeline:
    images = splits.train.images
    if (config.crop or config.flip) and len(splits.train.shape) != 3:
        raise PracError(
            f"crop and flip are for pictures, but an input has shape {splits.train.shape}: "
            f"leave them out"
        )
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()
    if config.normalize == "auto" and not splits.train.is_text:
        if splits.statistics is not None:
            mean, std = splits.statistics.mean, splits.statistics.std
        elif isinstance(images, Tensor):
            mean, std = channel_statistics(images[train_indices])
        else:
            every = max(1, len(train_indices) // _MEASURED_AT_MOST)
            some = [images[i] for i in train_indices[::every].tolist()]
            mean, std = channel_statistics(torch.stack(some))
    return Pipeline(mean, std, config.crop, config.flip, splits.train.dtype == torch.float64)


def _whole_split(source: Source | None, pipeline: Pipeline, workers: int) -> Examples | None:
    if source is None:
        return None
    indices = _undamaged(source, torch.arange(len(source.labels)), source.origin)
    return _indexed(source, indices, pipeline, workers)


def _indexed(source: Source, indices: Tensor, pipeline: Pipeline, workers: int) -> Examples:
    """Return the chosen examples of a split, in memory if its images are."""
    classes = source.classes
    if isinstance(source.images, Tensor):
        images, labels = source.images[indices], source.labels[indices]
        return TensorExamples(images, labels, pipeline, indices, classes)
    pairs = LazyPairs(source.images, source.labels, indices)
    return MapExamples(pairs, pipeline, workers=workers, source_indices=indices, classes=classes)
