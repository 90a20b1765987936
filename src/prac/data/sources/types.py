"""What a data source hands over: splits of images or features, with labels and class names."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import torch
from torch import Tensor
from torch.utils.data import Dataset

from prac.data.sources.encoded import DamagedImage, EncodedImages, Mode, Rendering
from prac.errors import PracError


@dataclass(frozen=True)
class Statistics:
    """Mean and standard deviation of each channel, in units where black is 0 and white is 1."""

    mean: tuple[float, ...]
    std: tuple[float, ...]


@dataclass(frozen=True)
class LazyImages(Dataset[Tensor]):
    """Images that are decoded when asked for, because all of them decoded would not fit.

    Every image must have `size`, (height, width) in pixels, that of the image `first`; or it is
    brought to it where `resize` says so, and then it is a square.
    """

    encoded: EncodedImages
    mode: Mode
    size: tuple[int, int]
    resize: bool
    first: int = 0
    rendering: Rendering = field(default_factory=Rendering)

    @property
    def shape(self) -> tuple[int, int, int]:
        """(channels, height, width) of every image."""
        return (1 if self.mode == "L" else 3, *self.size)

    def __len__(self) -> int:
        return len(self.encoded)

    def __getitem__(self, index: int) -> Tensor:
        """Decode one image to uint8 (c, h, w).

        Raises:
            IndexError: the index is outside the images.
            PracError: the image is damaged, or has another size than the first one.
        """
        from prac.data.sources.images_decode import bombs_refused, try_decode

        if not -len(self) <= index < len(self):
            raise IndexError(f"image {index} of {len(self)}")
        position = index % len(self)
        side = self.size[0] if self.resize else None
        with bombs_refused():
            found = try_decode(self.encoded, position, self.mode, side, self.rendering)
        if isinstance(found, DamagedImage):
            raise found.error()
        pixels = found.pixels
        if pixels.shape[:2] != self.size:
            raise size_error(self.encoded, (self.first, self.size), (position, pixels.shape[:2]))
        return torch.from_numpy(pixels).permute(2, 0, 1).contiguous()

    def __iter__(self) -> Iterator[Tensor]:
        return map(self.__getitem__, range(len(self)))


def size_error(encoded: EncodedImages, *sizes: tuple[int, tuple[int, ...]]) -> PracError:
    """The error for images that differ; each is given by its index and (height, width)."""
    one, other = (f"{encoded.where(i)} is {high} x {wide}" for i, (high, wide) in sizes)
    return PracError(
        f"images differ in size (height x width): {one}, {other}: pass --image-size N to bring all "
        f"of them to N x N"
    )


@dataclass(frozen=True)
class Source:
    """One split: images or feature arrays with labels.

    Images are uint8 (n, c, h, w), arrays of floats float32 (n, ...), or float64 where float32 would
    not tell apart what a feature's values differ by, text int64 (n, length), each character a place
    in `classes`; labels are int64 (n,), indices into `classes`, of text (n, length).
    `origin` says in messages where the split came from. The `damaged`, which hold no image, count
    among the n: the positions of the others are those of the split as shipped.
    """

    images: Tensor | LazyImages
    labels: Tensor
    classes: tuple[str, ...]
    origin: str
    damaged: tuple[DamagedImage, ...] = ()

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of one image or of one example's features."""
        images = self.images
        return images.shape if isinstance(images, LazyImages) else tuple(images.shape[1:])

    @property
    def dtype(self) -> torch.dtype:
        """uint8 for pictures, float32 or float64 for features, int64 for text."""
        return torch.uint8 if isinstance(self.images, LazyImages) else self.images.dtype

    @property
    def is_text(self) -> bool:
        """Whether examples are sequences of numbered characters, not quantities."""
        return self.dtype == torch.int64


@dataclass(frozen=True)
class Splits:
    """A data set as it was shipped; a lone validation split serves as the test split.

    `statistics` are the published ones of the channels, where the data set is a known one;
    `notices` say what was converted or left out in reading it, a line each.
    """

    train: Source
    val: Source | None
    test: Source | None
    name: str
    statistics: Statistics | None
    notices: tuple[str, ...] = ()
