"""Data sources: a name or a path to labelled splits, checked, decoded and in memory if they fit."""

from __future__ import annotations

import os
from pathlib import Path

from prac.data.sources.types import LazyImages, Source, Splits, Statistics
from prac.errors import PracError, unknown_name

__all__ = ["LazyImages", "Source", "Splits", "Statistics", "known_names", "load"]

_LAYOUTS = (
    "parquet files (train.parquet, train-00000-of-00001.parquet, also in data/)",
    "image folders by class (train/CLASS/*.png or CLASS/*.png)",
    "Tiny-ImageNet-200 (wnids.txt, train/, val/)",
    "CIFAR-10 or CIFAR-100 (data_batch_1, train, data_batch_1.bin, train.bin)",
)


def known_names() -> list[str]:
    """The names that `load` takes besides paths and `hf:owner/name`.

    >>> known_names()
    ['cifar10', 'cifar100', 'digits', 'fashion_mnist', 'mnist', 'tiny_imagenet']
    """
    from prac.data.sources.hub import KNOWN

    return sorted(["digits", *KNOWN])


def load(
    name: str,
    *,
    image_size: int | None = None,
    image_column: str | None = None,
    label_column: str | None = None,
    memory_limit: int = 8 << 30,
    skip_corrupt: bool = False,
) -> Splits:
    """Load a data set by name, hub id or path.

    A known name wins over a folder of the same name: write `./cifar10` for the folder. A folder may
    hold parquet files in the Hugging Face layout, image folders by class, or Tiny-ImageNet-200 or
    CIFAR as distributed; a file may be a `.npz` of arrays or CIFAR's
    `.tar.gz`. A validation split without a test split beside it serves as the test split, as with
    Tiny-ImageNet-200, whose own test images have no labels.

    Args:
        name: one of `known_names()`, `hf:owner/name`, or a path.
        image_size: bring every picture to this many pixels a side (short side resized, centre
            cropped); None keeps sizes, which must then agree.
        image_column: the column of the images in a table; None takes the only candidate.
        label_column: the column of the labels in a table; None takes the only candidate.
        memory_limit: bytes of decoded pixels a split may take; beyond it images are decoded on
            access. Arrays that are stored decoded are loaded whatever their size, except where a
            file is much smaller than the arrays it unpacks to.
        skip_corrupt: let damaged or missing images pass; `Source.damaged` lists them.

    Returns:
        The splits, every label checked.

    Raises:
        PracError: the name is unknown, the path holds none of the layouts, or its data are at
            fault; the message names file and row.

    >>> digits = load("digits")
    >>> digits.train.images.shape, digits.test.images.shape, digits.train.images.dtype
    (torch.Size([1442, 1, 8, 8]), torch.Size([355, 1, 8, 8]), torch.uint8)
    """
    if image_size is not None and image_size < 1:
        raise PracError(f"image size {image_size}: expected at least 1 pixel")
    # Each module is imported for its own data only, so that none pays for another's libraries.
    if name == "digits":
        from prac.data.sources.digits import load_digits

        return load_digits(image_size=image_size)
    if name.startswith("hf:") or name in known_names():
        from prac.data.sources.hub import load_hub

        return load_hub(
            name,
            image_size=image_size,
            image_column=image_column,
            label_column=label_column,
            memory_limit=memory_limit,
            skip_corrupt=skip_corrupt,
        )
    path = Path(name).expanduser()
    try:
        if path.is_dir():
            return _load_folder(
                path, image_size, image_column, label_column, memory_limit, skip_corrupt
            )
        if path.is_file():
            return _load_file(path, image_size, memory_limit)
    except OSError as error:
        place = error.filename or path
        raise PracError(f"{place}: cannot be read ({error.strerror or error})") from error
    if path.is_absolute() or len(path.parts) > 1:
        raise PracError(f"{path}: there is no such file or folder: expected a data set")
    unknown = unknown_name("data set", name, known_names())
    raise PracError(f"{unknown}; a path that exists or hf:owner/name is expected too")


def _load_folder(
    folder: Path,
    image_size: int | None,
    image_column: str | None,
    label_column: str | None,
    memory_limit: int,
    skip_corrupt: bool,
) -> Splits:
    from prac.data.sources import cifar, folders, parquet
    from prac.data.sources.statistics import canonical

    if folders.is_tiny_imagenet(folder):
        return folders.load_tiny_imagenet(
            folder, image_size=image_size, memory_limit=memory_limit, skip_corrupt=skip_corrupt
        )
    if cifar.is_cifar(folder):
        return cifar.load_folder(folder, image_size=image_size)
    place = parquet.parquet_folder(folder)
    if place is not None:
        return parquet.load_parquet(
            place,
            name=canonical(folder.resolve().name),
            image_size=image_size,
            image_column=image_column,
            label_column=label_column,
            memory_limit=memory_limit,
            skip_corrupt=skip_corrupt,
        )
    if folders.has_class_folders(folder):
        return folders.load_class_folders(
            folder, image_size=image_size, memory_limit=memory_limit, skip_corrupt=skip_corrupt
        )
    raise PracError(f"{folder}: in no known layout, looked for {'; '.join(_LAYOUTS)}")


def _load_file(path: Path, image_size: int | None, memory_limit: int) -> Splits:
    if not os.access(path, os.R_OK):
        raise PracError(f"{path}: no permission to read this file")
    if path.suffix == ".npz":
        from prac.data.sources.npz import load_npz

        return load_npz(path, image_size=image_size, memory_limit=memory_limit)
    if path.name.endswith((".tar.gz", ".tgz", ".tar")):
        from prac.data.sources.cifar import load_archive

        return load_archive(path, image_size=image_size)
    raise PracError(
        f"{path}: a file of unknown kind, expected .npz, or .tar.gz of CIFAR, or a folder with "
        f"{'; '.join(_LAYOUTS)}"
    )
