"""From names to things: data sets and models, as command lines and run folders say them.

The settings here import no torch; what loads does.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal

from prac.config import SearchConfig, TrainConfig
from prac.errors import PracError, unknown_name
from prac.methods import METHODS as METHODS
from prac.presets import PRESETS as PRESETS
from prac.settings import Settings, setting

if TYPE_CHECKING:
    from torch import nn

    from prac.data.augment import Pipeline
    from prac.data.examples import Examples
    from prac.data.sources.decoding import Damaged
    from prac.data.sources.types import Source, Splits

# What sources and models know by name, without waiting for torch; a test compares them.
DATA_NAMES = ("cifar10", "cifar100", "digits", "fashion_mnist", "mnist", "tiny_imagenet")
MODEL_NAMES = (
    *("lenet_300_100", "conv2", "conv4", "conv6"),
    *("resnet20s", "resnet56s", "vgg16_bn", "resnet18", "resnet50"),
)

NAMED_AT_MOST = 10
"""Damaged images that are named in what a run says at its start."""


@dataclass(frozen=True)
class DataConfig(Settings):
    """Which examples, and how they reach the network."""

    name: str = setting(
        "digits",
        "data set: a name, a path, or hf:owner/name",
        flag="data",
        unit="NAME|PATH",
        names=DATA_NAMES,
    )
    limit: int | None = setting(
        None, "use only N training examples, drawn by val_seed, validation included", at_least=2
    )
    val_fraction: float = setting(
        0.1, "share of the training examples held out for validation", at_least=0, below=1
    )
    val_seed: int = setting(0, "which examples are held out", at_least=0)
    val_indices: str | None = setting(
        None, ".npy file of the indices held out, instead of a share", unit="FILE"
    )
    crop: int = setting(0, "pixels of padding for random crops; 0 for none", at_least=0)
    flip: bool = setting(False, "mirror half of the training images at random")
    normalize: Literal["auto", "none"] = setting(
        "auto", "by the set's known mean and deviation, else by measured ones; or not at all"
    )
    image_size: int | None = setting(None, "bring images to N x N pixels", at_least=1)
    image_column: str | None = setting(None, "column of the images, in tables", unit="NAME")
    label_column: str | None = setting(None, "column of the labels, in tables", unit="NAME")
    memory_limit: float = setting(
        8.0, "GB of decoded images to hold; beyond it they are decoded as needed", above=0
    )
    skip_corrupt: bool = setting(False, "leave damaged and missing images out, and list them")


@dataclass(frozen=True)
class ModelConfig(Settings):
    """Which network."""

    name: str = setting(
        "resnet20s",
        "network: a name, or package.module:callable",
        flag="model",
        names=MODEL_NAMES,
    )
    stem: Literal["auto", "small", "imagenet"] = setting(
        "auto", "first layers of resnet18 and resnet50; auto is small up to 64 pixels"
    )


@dataclass(frozen=True)
class Recipe(Settings):
    """Everything that the outcome of a search depends on."""

    model: ModelConfig = field(default_factory=ModelConfig)
    data: DataConfig = field(default_factory=DataConfig)
    search: SearchConfig = field(default_factory=SearchConfig)


@dataclass(frozen=True)
class RetrainRecipe(Settings):
    """Everything that the outcome of a retraining depends on, besides the ticket."""

    model: ModelConfig = field(default_factory=ModelConfig)
    data: DataConfig = field(default_factory=DataConfig)
    train: TrainConfig = field(default_factory=TrainConfig)
    seed: int = setting(0, "source of order and augmentation", at_least=0)


@dataclass(frozen=True)
class JudgeRecipe(Settings):
    """Everything that the outcome of a judgement depends on, besides tickets and seeds."""

    model: ModelConfig = field(default_factory=ModelConfig)
    data: DataConfig = field(default_factory=DataConfig)
    train: TrainConfig = field(default_factory=TrainConfig)


@dataclass(frozen=True)
class LoadedData:
    """A data set ready for training.

    Attributes:
        train: Training examples, validation held out.
        val: Held-out examples; None where none are.
        test: The data set's own test split; None where it has none.
        classes: Class names by label.
        shape: Of one input.
        pipeline: What is done to a training batch.
        damaged: Images left out, by the split that ships them: train, validation, test.
        warnings: What may be wrong with the data, one line each.
    """

    train: Examples
    val: Examples | None
    test: Examples | None
    classes: tuple[str, ...]
    shape: tuple[int, ...]
    pipeline: Pipeline
    damaged: Mapping[str, tuple[Damaged, ...]]
    warnings: tuple[str, ...] = ()

    def notices(self) -> Iterator[str]:
        """Yield what a run should say of the data at its start, a line each."""
        damaged = [image for images in self.damaged.values() for image in images]
        for image in damaged[:NAMED_AT_MOST]:
            yield f"left out: {image.name}: {image.reason}"
        if len(damaged) > NAMED_AT_MOST:
            yield f"and {len(damaged) - NAMED_AT_MOST} more: prac inspect --skip-corrupt lists all"
        for warning in self.warnings:
            yield f"warning: {warning}"


def load_data(config: DataConfig, *, workers: int = 0) -> LoadedData:
    """Return the configured data set, split.

    Args:
        config: Which data, and how it is prepared.
        workers: Processes that decode images that do not fit in memory.

    Raises:
        PracError: On a name or a path that is not known, or data at fault.
    """
    import torch

    from prac.data.checks import check_classes, empty_classes, shared_examples
    from prac.data.sources import load

    splits = load(
        config.name,
        image_size=config.image_size,
        image_column=config.image_column,
        label_column=config.label_column,
        memory_limit=int(config.memory_limit * 1e9),
        skip_corrupt=config.skip_corrupt,
    )
    train_indices, val_indices = _split(splits, config)
    # Drawn among all, then left out: the draw is the one without the damage.
    train_indices = _whole(splits.train, train_indices, "training")
    if val_indices is not None and len(val_indices):
        val_indices = _whole(splits.train, val_indices, "validation")
    check_classes(splits.train, train_indices)
    images = splits.train.images
    pipeline = _pipeline(splits, config, train_indices)
    plain = replace(pipeline, crop_padding=0, flip=False)
    train = _examples(splits.train, train_indices, pipeline, workers)
    val = test = None
    shipped_val = val_indices is None
    if val_indices is not None and len(val_indices):
        val = _examples(splits.train, val_indices, plain, workers)
    elif shipped_val and splits.val is not None:
        val = _examples(splits.val, _all(splits.val), plain, workers)
    if splits.test is not None:
        test = _examples(splits.test, _all(splits.test), plain, workers)
    shipped = {"train": splits.train, "validation": splits.val, "test": splits.test}
    return LoadedData(
        train=train,
        val=val,
        test=test,
        classes=splits.train.classes,
        shape=tuple(images.shape[1:] if isinstance(images, torch.Tensor) else images.shape),
        pipeline=pipeline,
        damaged={name: source.damaged for name, source in shipped.items() if source is not None},
        warnings=(
            *empty_classes(train),
            *shared_examples(train, val, "validation", "validation" if shipped_val else "train"),
            *shared_examples(train, test, "test"),
        ),
    )


def load_model(config: ModelConfig, data: LoadedData, seed: int | None) -> nn.Module:
    """Return the configured network for a data set's inputs and classes, initialised from a seed.

    With a seed of None it draws from torch's generator as that stands.

    Raises:
        PracError: On a name that is not known, or inputs that the network does not take.
    """
    import torch

    from prac.models import build

    # Feature vectors are images of one row to a network that flattens them.
    shape = data.shape if len(data.shape) == 3 else (1, 1, math.prod(data.shape))
    with torch.random.fork_rng([]) if seed is not None else nullcontext():
        if seed is not None:
            torch.manual_seed(seed)
        return build(config.name, image_shape=shape, classes=len(data.classes), stem=config.stem)


def check_model_name(name: str) -> None:
    """Raise a PracError for a model that is not known: before data is loaded, which may be long."""
    from prac.models import MODELS

    if ":" not in name and name not in MODELS:
        raise unknown_name("model", name, MODELS)


def _split(splits: Splits, config: DataConfig) -> tuple[Any, Any]:
    """Return training and validation indices; None for validation that the data set ships."""
    import torch

    from prac.data.split import read_index_file, split_indices

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
        raise PracError(
            f"val_fraction is {config.val_fraction:g}, which of {len(used)} examples holds none "
            f"out: raise it, or set 0 for no validation"
        )
    return used[train], used[val]


def _all(source: Source) -> Any:
    import torch

    return _whole(source, torch.arange(len(source.labels)), source.origin)


def _whole(source: Source, indices: Any, part: str) -> Any:
    """Return those of the indices whose image is not damaged."""
    import torch

    damaged = torch.zeros(len(source.labels), dtype=torch.bool)
    damaged[[image.index for image in source.damaged]] = True
    whole = indices[~damaged[indices]]
    if not len(whole):
        raise PracError(
            f"{source.origin}: every one of the {len(indices)} {part} examples is damaged: "
            f"mend some, or draw others with --val-seed"
        )
    return whole


def _pipeline(splits: Splits, config: DataConfig, train_indices: Any) -> Pipeline:
    import torch

    from prac.data.augment import Pipeline, channel_statistics

    images = splits.train.images
    is_picture = not isinstance(images, torch.Tensor) or images.ndim == 4
    if (config.crop or config.flip) and not is_picture:
        raise PracError(
            f"crop and flip are for pictures, but an input has shape {tuple(images.shape[1:])}: "
            f"leave them out"
        )
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()
    if config.normalize == "auto":
        if splits.statistics is not None:
            mean, std = splits.statistics.mean, splits.statistics.std
        elif isinstance(images, torch.Tensor):
            mean, std = channel_statistics(images[train_indices])
        else:
            # A sample tells the mean of a set that does not fit in memory well enough.
            some = train_indices[:: max(1, len(train_indices) // 2048)].tolist()
            mean, std = channel_statistics(torch.stack([images[i] for i in some]))
    return Pipeline(mean, std, config.crop, config.flip)


def _examples(source: Source, indices: Any, pipeline: Pipeline, workers: int) -> Examples:
    import torch

    from prac.data.examples import LazyPairs, MapExamples, TensorExamples

    if isinstance(source.images, torch.Tensor):
        return TensorExamples(
            source.images[indices],
            source.labels[indices],
            pipeline,
            source_indices=indices,
            classes=source.classes,
        )
    pairs = LazyPairs(source.images, source.labels, indices)
    return MapExamples(
        pairs,
        pipeline,
        workers=workers,
        source_indices=indices,
        classes=source.classes,
    )
