"""Data sources: a name or a path to labelled splits, checked, decoded and in memory if they fit."""

from __future__ import annotations

import os
from functools import partial
from pathlib import Path
from typing import Literal

from prac.config import DATA_NAMES, DataConfig
from prac.data.sources.noticed import first_few, number_of
from prac.data.sources.types import Splits
from prac.errors import PracError, unknown_name
from prac.io import check_kind, kind_at, other_kind

_LAYOUTS = (
    "parquet files (train.parquet, train-00000-of-00001.parquet, also in data/)",
    "image folders by class (train/CLASS/*.png or CLASS/*.png)",
    "Tiny-ImageNet-200 (wnids.txt, train/, val/)",
    "CIFAR-10 or CIFAR-100 (data_batch_1, train, data_batch_1.bin, train.bin)",
)


def load(
    name: str,
    *,
    image_size: int | None = None,
    image_column: str | None = None,
    label_column: str | None = None,
    memory_limit: int = 8 << 30,
    skip_corrupt: bool = False,
    exif_rotation: bool = True,
    background: Literal["white", "black", "none"] = "white",
) -> Splits:
    """Load a data set by name, hub id or path.

    A known name wins over a folder of the same name: write `./cifar10` for the folder. A folder may
    hold parquet files in the Hugging Face layout, image folders by class, or Tiny-ImageNet-200 or
    CIFAR as distributed; a file may be a `.npz` of arrays or CIFAR's
    `.tar.gz`. A validation split without a test split beside it serves as the test split, as with
    Tiny-ImageNet-200, whose own test images have no labels.

    Args:
        name: `cifar10`, `cifar100`, `digits`, `fashion_mnist`, `mnist`, `python_topics`,
            `tiny_imagenet`, `hf:owner/name`, or a path.
        image_size: bring every picture to this many pixels a side (short side resized, centre
            cropped); None keeps sizes, which must then agree.
        image_column: the column of the images in a table; None takes the only candidate.
        label_column: the column of the labels in a table; None takes the only candidate.
        memory_limit: bytes of decoded pixels a split may take; beyond it images are decoded on
            access. Arrays that are stored decoded are loaded whatever their size, except where a
            file is much smaller than the arrays it unpacks to.
        skip_corrupt: let damaged or missing images pass; `Source.damaged` lists them.
        exif_rotation: turn pictures as their EXIF orientation says.
        background: what is seen through transparent pixels; none for the colours stored in them.

    Returns:
        The splits, every label checked; their `notices` say what was converted or left out.

    Raises:
        PracError: the name is unknown, the path holds none of the layouts, or its data are at
            fault; the message names file and row.

    >>> digits = load("digits")
    >>> digits.train.images.shape, digits.test.images.shape, digits.train.images.dtype
    (torch.Size([1442, 1, 8, 8]), torch.Size([355, 1, 8, 8]), torch.uint8)
    """
    return load_splits(
        DataConfig(
            name,
            image_size=image_size,
            image_column=image_column,
            label_column=label_column,
            memory_limit=memory_limit / 1e9,
            skip_corrupt=skip_corrupt,
            exif_rotation=exif_rotation,
            background=background,
        )
    )


def load_splits(config: DataConfig) -> Splits:
    """Load the data set that a configuration names, as `load` does."""
    name = config.name
    # Each module is imported for its own data only, so that none pays for another's libraries.
    if name == "digits":
        from prac.data.sources.digits import load_digits

        return load_digits(config)
    if name == "python_topics":
        from prac.data.sources.python_topics import load_python_topics

        return load_python_topics(config)
    if name.startswith("hf:") or name in DATA_NAMES:
        from prac.data.sources.hub import load_hub

        return load_hub(config)
    path = Path(name).expanduser()
    # What prac has written is no data, but people keep runs beside data.
    check_kind(path, "data", "runs", "comparison")
    try:
        if path.is_dir():
            return _load_folder(path, config)
        if path.is_file():
            return _load_file(path, config)
    except OSError as error:
        place = error.filename or path
        raise PracError(f"{place}: cannot be read ({error.strerror or error})") from error
    if path.exists():  # A pipe would be waited for.
        raise other_kind(path, "data")
    if path.is_absolute() or len(path.parts) > 1:
        raise PracError(f"{path}: there is no such file or folder: expected a data set")
    unknown = unknown_name("data set", name, DATA_NAMES)
    raise PracError(f"{unknown}; a path that exists or hf:owner/name is expected too")


def is_data(folder: Path) -> bool:
    """Say whether a folder surely holds a data set, in any of the layouts that `load` knows."""
    from prac.data.sources import folders
    from prac.data.sources.folder_layout import class_folders, find_layout
    from prac.data.sources.walking import holds_pictures

    try:
        reader = _reader(folder)
        if reader is None or reader.func is not folders.load_class_folders:
            return reader is not None
        # Figures that lie beside code are no class.
        layout = find_layout(folder)
        classes = [] if layout is None else class_folders(layout.splits["train"])
        return len(classes) > 1 and all(map(holds_pictures, classes))
    except (PracError, OSError):  # It could be meant in several ways, or may not be read.
        return False


def _load_folder(folder: Path, config: DataConfig) -> Splits:
    reader = _reader(folder)
    if reader is not None:
        return reader(config)
    if kind_at(folder) in ("runs", "comparison"):
        raise other_kind(folder, "data")
    raise PracError(f"{folder}: in no known layout, looked for {'; '.join(_LAYOUTS)}")


def _reader(folder: Path) -> partial[Splits] | None:
    """Return what loads a folder, by the layout that it is in; None where it is in none."""
    from prac.data.sources import cifar, folders
    from prac.data.sources.folder_layout import class_folders, find_layout
    from prac.data.sources.statistics import canonical
    from prac.data.sources.table_files import table_files
    from prac.data.sources.walking import holds_pictures

    tiny = [sub for sub in (folder, *class_folders(folder)) if folders.is_tiny_imagenet(sub)]
    if len(tiny) == 1 or folder in tiny:
        return partial(folders.load_tiny_imagenet, tiny[0])
    if cifar.is_cifar(folder):
        return partial(cifar.load_folder, folder)
    tables = table_files(folder)
    layout = None
    if tables is None or not tables.has_train:
        layout = find_layout(folder)
    if layout is not None:
        passed = [] if tables is None else list(filter(layout.is_outside, tables.files))
        told = f"{number_of(len(passed), 'table')} not read, beside folders of pictures: "
        notices = [told + first_few(passed)] if passed else []
        return partial(folders.load_class_folders, folder, layout, notices=notices)
    if tables is None:
        return None
    pictures = [sub for sub in class_folders(folder) if holds_pictures(sub)]
    from prac.data.sources.parquet import load_parquet

    name = canonical(folder.resolve().name)
    notices = []
    if pictures:
        what = number_of(len(pictures), "folder of pictures", "folders of pictures")
        names = first_few(sub.name for sub in pictures)
        notices.append(f"{what} not taken for classes or splits, beside tables: {names}")
    return partial(load_parquet, tables, name=name, notices=notices)


def _load_file(path: Path, config: DataConfig) -> Splits:
    if not os.access(path, os.R_OK):
        raise PracError(f"{path}: no permission to read this file")
    if path.suffix.lower() == ".npz":
        from prac.data.sources.npz import load_npz

        return load_npz(path, config)
    if path.name.endswith((".tar.gz", ".tgz", ".tar")):
        from prac.data.sources.cifar import load_archive

        return load_archive(path, config)
    if path.suffix.lower() in (".zip", ".rar", ".7z"):
        raise PracError(
            f"{path}: a file of unknown kind, an archive: unpack it, and give its folder"
        )
    if path.suffix.lower() == ".parquet":
        raise PracError(
            f"{path}: one file of a table: give its folder, {path.parent}, where the training "
            f"split is called train.parquet"
        )
    raise PracError(
        f"{path}: a file of unknown kind, expected .npz, or .tar.gz of CIFAR, or a folder with "
        f"{'; '.join(_LAYOUTS)}"
    )
