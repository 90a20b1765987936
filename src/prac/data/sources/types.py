"""What a data source hands over: splits of images or features, with labels and class names."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.utils.data import Dataset

from prac.data.sources.decoding import Damaged, EncodedImages, Mode, bombs_refused, decode_one
from prac.errors import PracError


@dataclass(frozen=True)
class Statistics:
    """Mean and standard deviation of each channel, in units where black is 0 and white is 1."""

    mean: tuple[float, ...]
    std: tuple[float, ...]


class LazyImages(Dataset[Tensor]):
    """Images that are decoded when asked for, because all of them decoded would not fit.

    Args:
        encoded: the n encoded images.
        mode: `"L"` for one channel, `"RGB"` for three.
        size: (height, width) in pixels that every image must have.
        resize: whether an image of another size is brought to `size` (then a square).
        first: the image whose size `size` is, for messages.
    """

    def __init__(
        self,
        encoded: EncodedImages,
        mode: Mode,
        size: tuple[int, int],
        *,
        resize: bool,
        first: int = 0,
    ) -> None:
        self._encoded = encoded
        self._mode = mode
        self._size = size
        self._resize = resize
        self._first = first

    @property
    def shape(self) -> tuple[int, int, int]:
        """(channels, height, width) of every image."""
        return (1 if self._mode == "L" else 3, *self._size)

    def as_colour(self) -> LazyImages:
        """The same images with three channels."""
        return LazyImages(self._encoded, "RGB", self._size, resize=self._resize, first=self._first)

    def __len__(self) -> int:
        return len(self._encoded)

    def __getitem__(self, index: int) -> Tensor:
        """Decode one image.

        Returns:
            A uint8 (c, h, w) tensor.

        Raises:
            IndexError: the index is outside the images.
            PracError: the image is damaged, or has another size than the first one.
        """
        if not -len(self) <= index < len(self):
            raise IndexError(f"image {index} of {len(self)}")
        position = index % len(self)
        with bombs_refused():
            pixels = decode_one(
                self._encoded, position, self._mode, self._size[0] if self._resize else None
            )
        if pixels.shape[:2] != self._size:
            raise size_error(self._encoded, self._first, self._size, position, pixels.shape[:2])
        return torch.from_numpy(pixels).permute(2, 0, 1).contiguous()

    def __iter__(self) -> Iterator[Tensor]:
        return (self[index] for index in range(len(self)))


def size_error(
    encoded: EncodedImages,
    one: int,
    one_size: tuple[int, ...],
    other: int,
    other_size: tuple[int, ...],
) -> PracError:
    """The error for two images of different (height, width)."""
    first = f"{encoded.where(one)} is {one_size[0]} x {one_size[1]}"
    second = f"{encoded.where(other)} is {other_size[0]} x {other_size[1]}"
    return PracError(
        f"images differ in size (height x width): {first}, {second}: "
        "pass --image-size N to bring all of them to N x N"
    )


@dataclass(frozen=True)
class Source:
    """One split: images or feature arrays with labels.

    Attributes:
        images: uint8 (n, c, h, w) for pictures, decoded or decoded on access; float32 (n, ...)
            for arrays of floats.
        labels: int64 (n,), each an index into `classes`.
        classes: the class names.
        origin: where the split came from, for messages.
        damaged: the examples that hold no image, in order; they are counted among the n, so that
            the positions of the others are those of the split as shipped.
    """

    images: Tensor | LazyImages
    labels: Tensor
    classes: tuple[str, ...]
    origin: str
    damaged: tuple[Damaged, ...] = ()


@dataclass(frozen=True)
class Splits:
    """A data set as it was shipped.

    Attributes:
        train: the training split.
        val: the validation split, only where one is shipped beside a test split.
        test: the test split; a lone validation split serves as one.
        name: a short name, e.g. `"cifar10"`.
        statistics: the published channel statistics where the data set is a known one, else None.
    """

    train: Source
    val: Source | None
    test: Source | None
    name: str
    statistics: Statistics | None
