"""The two trainings that are measured: networks, data, settings. Data is loaded once a run."""

from __future__ import annotations

import functools
import io
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from bench.options import Options
from prac.config import DataConfig, PruneConfig, TrainConfig
from prac.data import TensorExamples, load_data
from prac.data.augment import Pipeline, channel_statistics
from prac.models.registry import build


@dataclass(frozen=True)
class Work:
    """A network with its data and settings.

    Attributes:
        network: Its name for people.
        model: Its name for `prac`.
        data: The data set's name for people.
        folder: Where it lies under the data folder.
        shape: Of an image: channels, height, width.
        examples: Training examples that there are, validation held out.
        val_fraction: Share held out.
        train: Settings of a step.
        layers: Kind of layer that is pruned.
        crop: Pixels of padding before a random crop.
        flip: Whether images are mirrored at random.
    """

    network: str
    model: str
    data: str
    folder: str
    shape: tuple[int, int, int]
    examples: int
    val_fraction: float
    train: TrainConfig
    layers: Any
    crop: int = 0
    flip: bool = False

    @property
    def title(self) -> str:
        """Network and data."""
        return f"{self.network} on {self.data}"

    def build(self, seed: int) -> nn.Module:
        """Return the network, initialised from a seed."""
        with torch.random.fork_rng([]):
            torch.manual_seed(seed)
            return build(self.model, image_shape=self.shape, classes=10)

    @property
    def prune(self) -> PruneConfig:
        """Return what is pruned of it."""
        return PruneConfig(layers=self.layers)


RESNET = Work(
    "ResNet-20s",
    "resnet20s",
    "CIFAR-10",
    "cifar10",
    (3, 32, 32),
    45_000,
    0.1,
    TrainConfig(batch_size=128, optimizer="sgd", lr=0.1, momentum=0.9, weight_decay=1e-4),
    "conv",
    crop=4,
    flip=True,
)
LENET = Work(
    "LeNet-300-100",
    "lenet_300_100",
    "MNIST",
    "mnist",
    (1, 28, 28),
    55_000,
    1 / 12,
    TrainConfig(batch_size=60, optimizer="adam", lr=1.2e-3, weight_decay=0.0, schedule="constant"),
    "linear",
)


@dataclass(frozen=True)
class Images:
    """A training set in memory, and whether it is the real one.

    Attributes:
        work: What it is for.
        x: uint8 (n, c, h, w).
        y: int64 (n,).
        pipeline: What is done to a batch.
        source: Where it is from, in words.
    """

    work: Work
    x: Tensor
    y: Tensor
    pipeline: Pipeline
    source: str

    def examples(self, limit: int | None = None) -> TensorExamples:
        """Return the (first) examples as `prac` trains on them."""
        return TensorExamples(self.x[:limit], self.y[:limit], self.pipeline)


def images_of(work: Work, options: Options, limit: int | None = None) -> Path:
    """Return the file with a training set for `load`: written by the first call, loaded but once.

    Processes that measure read it, so that none of them decodes images or holds what is left of it.
    """
    path = options.scratch / f"{work.folder}-{limit}.pt"
    if not path.exists():
        found = _real(work, options, limit) or _random(work, options, limit)
        torch.save([found.x, found.y, vars(found.pipeline), found.source], path)
    return path


def load(work: Work, path: Path) -> Images:
    """Return the training set of a file that `images_of` wrote."""
    x, y, pipeline, source = torch.load(path, weights_only=True)
    return Images(work, x, y, Pipeline(**pipeline), source)


def _real(work: Work, options: Options, limit: int | None) -> Images | None:
    folder = options.data / work.folder
    if not folder.is_dir():
        return None
    config = DataConfig(
        name=str(folder.resolve()),
        limit=limit,
        val_fraction=work.val_fraction,
        val_seed=options.seed,
        crop=work.crop,
        flip=work.flip,
    )
    loaded = load_data(config)
    examples = loaded.train
    assert isinstance(examples, TensorExamples), "these sets fit in memory"
    quality = jpeg_quality(folder)
    form = f"JPEG {quality}" if quality else "lossless"
    source = f"{work.data} ({form}), {len(examples):,} images"
    return Images(work, examples.x, examples.y, loaded.pipeline, source)


def _random(work: Work, options: Options, limit: int | None) -> Images:
    n = round((limit or work.examples / (1 - work.val_fraction)) * (1 - work.val_fraction))
    generator = torch.Generator().manual_seed(options.seed)
    x = torch.randint(256, (n, *work.shape), dtype=torch.uint8, generator=generator)
    y = torch.randint(10, (n,), generator=generator)
    pipeline = Pipeline(*channel_statistics(x), crop_padding=work.crop, flip=work.flip)
    return Images(work, x, y, pipeline, f"{n:,} random images of {work.data}'s shape")


def jpeg_quality(folder: Path) -> int | None:
    """Return the quality of a folder's first image; None where it is no JPEG of a usual quality.

    It is found by compressing a dot at each quality: the tables that were used must be the same.
    """
    import pyarrow.parquet

    files = sorted(folder.rglob("*.parquet"))
    if not files:
        return None
    table = next(pyarrow.parquet.ParquetFile(files[0]).iter_batches(batch_size=1))
    cells = [cell for cell in table.to_pylist()[0].values() if isinstance(cell, dict)]
    wanted = _table_of(cells[0]["bytes"])
    return (
        None
        if wanted is None
        else next((q for q in range(1, 101) if _jpeg_table(q) == wanted), None)
    )


def _table_of(content: bytes) -> list[int] | None:
    """Return the first quantisation table of a JPEG image; None for any other image."""
    from PIL import Image, JpegImagePlugin

    with Image.open(io.BytesIO(content)) as image:
        if not isinstance(image, JpegImagePlugin.JpegImageFile):
            return None
        return list(image.quantization[0])


@functools.cache
def _jpeg_table(quality: int) -> list[int] | None:
    from PIL import Image

    dot = io.BytesIO()
    Image.new("RGB", (8, 8)).save(dot, "JPEG", quality=quality)
    return _table_of(dot.getvalue())


def with_batch(work: Work, batch_size: int) -> Work:
    """Return the work with other batches."""
    return replace(work, train=replace(work.train, batch_size=batch_size))
