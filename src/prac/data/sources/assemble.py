"""Raw splits to checked ones: the rules on labels, classes and shapes that hold for all sources."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from prac.data.augment import lost_in_float32
from prac.data.sources.arrays import look_like_pictures
from prac.data.sources.encoded import DamagedImage
from prac.data.sources.labels import as_integers, to_indices, why_unlabelled, words_of
from prac.data.sources.noticed import Noticed
from prac.data.sources.statistics import known_statistics, surely_known
from prac.data.sources.types import LazyImages, Source, Splits
from prac.errors import PracError

# What a split may be called, and which it then is.
SPLIT_NAMES = dict.fromkeys(("train", "training"), "train") | dict.fromkeys(
    ("val", "valid", "validation", "dev", "eval", "evaluation"), "val"
)
SPLIT_NAMES |= dict.fromkeys(("test", "testing"), "test")


def split_of(name: str) -> str | None:
    """Which split is called that, in letters of either case, also as a set: train, val or test.

    >>> [split_of(name) for name in ("Train", "validation", "test_set", "extra")]
    ['train', 'val', 'test', None]
    """
    letters = "".join(character for character in name.casefold() if character not in " -_")
    return SPLIT_NAMES.get(letters) or SPLIT_NAMES.get(letters.removesuffix("set"))


def named_splits(names: Iterable[str], where: str) -> dict[str, str]:
    """The names of splits among names, by which split each is.

    Raises:
        PracError: two of them name one split.
    """
    found: dict[str, str] = {}
    for name in names:
        split = split_of(name)
        if split is None:
            continue
        if split in found:
            raise PracError(
                f"{where}: {found[split]!r} and {name!r} both name the {split} split: keep one, or "
                f"rename the other"
            )
        found[split] = name
    return found


@dataclass(frozen=True)
class RawSplit:
    """A split as read: labels (n,) of whatever was stored, None standing for a missing one.

    `origin` and `labels_origin`, such as file and column, name split and labels in messages;
    `noticed` is what was done to its pictures.
    """

    images: Tensor | LazyImages
    labels: NDArray[Any]
    origin: str
    labels_origin: str
    damaged: tuple[DamagedImage, ...] = ()
    noticed: Noticed = field(default_factory=Noticed)


def check_labels(
    labels: NDArray[Any], classes: Sequence[str], *, images: int, where: str
) -> Tensor:
    """Return (n,) labels as int64, each checked to be an index into `classes`.

    Raises:
        PracError: there are not as many as `images`; a label is missing, no integer, or names no
            class. It names `where`, the first bad row, counted from 0, and its value.
    """
    integers = as_integers(labels, where)
    if len(integers) != images:
        raise PracError(f"{where}: {len(integers)} labels for {images} images")
    bad = np.flatnonzero((integers < 0) | (integers >= len(classes)))
    if len(bad):
        raise PracError(
            f"{where}, row {bad[0]}: label {integers[bad[0]]}, "
            f"expected an integer 0..{len(classes) - 1} ({len(classes)} classes)"
        )
    return torch.from_numpy(integers.astype(np.int64))


def assemble(
    name: str,
    raw: Mapping[str, RawSplit],
    classes: Sequence[str] | None = None,
    notices: Iterable[str] = (),
    *,
    is_named_by_path: bool = False,
) -> Splits:
    """Check raw splits, `train` and perhaps `val` and `test`, and put them together.

    A `val` without a `test` serves as the test split; a test split whose labels are all missing, or
    all -1, is left out. Without names classes are train's words, or else numbered, up to the
    largest label in any split. `notices` say what was left out in reading them. A name that is that
    of a path does not prove the data set to be the one known by it.

    Raises:
        PracError: a split is empty, its labels are at fault, fewer than two classes are there, or
            the splits' shapes differ.
    """
    for split in raw.values():
        if len(split.images) == 0:
            raise PracError(f"{split.origin}: the split is empty, expected at least one example")
    told = list(notices)
    test_labels = raw["test"].labels if "test" in raw else None
    if test_labels is not None and (why := why_unlabelled(test_labels)):
        told.append(f"{raw['test'].origin}: {why}")
        raw = {key: split for key, split in raw.items() if key != "test"}
    told += _doubtful_features(raw["train"])
    raw = _of_one_precision(raw)
    words = words_of(raw["train"].labels)
    classes = words if classes is None else classes
    raw = {key: _with_indices(split, classes if words else None) for key, split in raw.items()}
    names = tuple(classes) if classes is not None else _numbered_classes(raw)
    where = raw["train"].labels_origin
    if len(names) < 2:
        raise PracError(f"{where}: {len(names)} class, expected at least two")
    if len(set(names)) < len(names):
        repeated = Counter(names).most_common(1)[0][0]
        raise PracError(f"{where}: two classes are named {repeated!r}, expected distinct names")
    sources = {
        key: Source(
            split.images,
            check_labels(split.labels, names, images=len(split.images), where=split.labels_origin),
            names,
            split.origin,
            split.damaged,
        )
        for key, split in raw.items()
    }
    if len(torch.unique(sources["train"].labels)) < 2:
        only = names[int(sources["train"].labels[0])]
        raise PracError(
            f"{where}: every training example has the class {only!r}, expected at least two classes"
        )
    sources = _same_shape(sources)
    if "test" not in sources and "val" in sources:
        sources["test"] = sources.pop("val")
    statistics = known_statistics(name, sources["train"].shape, len(names))
    if statistics and is_named_by_path and not surely_known(sources["train"], statistics):
        statistics = None
    noticed = Noticed()
    for split in raw.values():
        noticed.join(split.noticed)
    told += noticed.notices()
    val, test = sources.get("val"), sources.get("test")
    return Splits(sources["train"], val, test, name, statistics, tuple(told))


def _doubtful_features(train: RawSplit) -> Iterator[str]:
    """Yield a notice where floats may be meant as pictures."""
    images = train.images
    if isinstance(images, Tensor) and images.is_floating_point() and look_like_pictures(images):
        shape = tuple(images.shape[1:])
        yield (
            f"{train.origin}: floats are read as features of shape {shape} and not as pictures, "
            f"each of the {shape[0]} along the first axis normalised on its own: store pictures as "
            f"uint8, 0 to 255, or as floats of shape (n, channels, height, width)"
        )


def _with_indices(split: RawSplit, classes: Sequence[str] | None) -> RawSplit:
    labels = to_indices(split.labels, classes, split.labels_origin)
    return replace(split, labels=labels)


def _of_one_precision(raw: Mapping[str, RawSplit]) -> dict[str, RawSplit]:
    """Return the splits with float64 features as float32, unless training differences need it."""
    train = raw["train"].images
    needed = torch.float32
    if isinstance(train, Tensor) and train.dtype == torch.float64 and lost_in_float32(train):
        needed = torch.float64
    found = {}
    for key, split in raw.items():
        images = split.images
        if isinstance(images, Tensor) and images.is_floating_point():
            images = images.to(needed)
        found[key] = replace(split, images=images)
    return found


def _numbered_classes(raw: Mapping[str, RawSplit]) -> tuple[str, ...]:
    top = 0
    for split in raw.values():
        labels = as_integers(split.labels, split.labels_origin)
        if not len(labels):
            continue
        row = int(np.argmax(labels))
        # Without names the count of classes rests on the largest label; one stray value would
        # ask for a model with that many outputs.
        if labels[row] >= max(1000, len(labels)):
            raise PracError(
                f"{split.labels_origin}, row {row}: label {labels[row]} among {len(labels)} "
                "examples, expected class indices counted from 0"
            )
        top = max(top, int(labels[row]))
    return tuple(map(str, range(top + 1)))


def _same_shape(sources: dict[str, Source]) -> dict[str, Source]:
    channels = {source.shape[0] for source in sources.values()}
    if channels == {1, 3} and all(source.dtype == torch.uint8 for source in sources.values()):
        # All images of one split may happen to be grey; the data set is in colour all the same.
        sources = {key: _in_colour(source) for key, source in sources.items()}
    train = sources["train"]
    for source in sources.values():
        if source.dtype != train.dtype:
            raise PracError(
                f"{train.origin} holds {train.dtype}, {source.origin} holds {source.dtype}: "
                f"expected one kind in all splits, uint8 for pictures or floats for features"
            )
        if source.shape != train.shape:
            raise PracError(
                f"examples differ in shape: {train.origin} has {train.shape}, "
                f"{source.origin} has {source.shape}: pass --image-size N if they are pictures"
            )
    return sources


def _in_colour(source: Source) -> Source:
    images = source.images
    if isinstance(images, LazyImages):
        return replace(source, images=replace(images, mode="RGB"))
    return replace(source, images=images.expand(-1, 3, -1, -1).contiguous())
