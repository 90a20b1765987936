"""Arrays in a `.npz` file, under the names that Keras and MedMNIST made customary."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from prac.data.sources.assemble import RawSplit, assemble
from prac.data.sources.images import as_images
from prac.data.sources.types import Splits
from prac.errors import PracError

_NAMINGS = (
    {"train": ("x_train", "y_train"), "val": ("x_val", "y_val"), "test": ("x_test", "y_test")},
    {
        "train": ("train_images", "train_labels"),
        "val": ("val_images", "val_labels"),
        "test": ("test_images", "test_labels"),
    },
    {"train": ("x", "y")},
)


def load_npz(path: Path, *, image_size: int | None = None) -> Splits:
    """Load the arrays of a `.npz` file.

    The arrays are `x_train`, `y_train` and, where there, `x_test`, `y_test`, `x_val`, `y_val`; or
    `train_images`, `train_labels` and so on; or `x`, `y` alone. Pictures are uint8 of shape
    (n, h, w), (n, h, w, c) or (n, c, h, w); features are floats of shape (n, ...). Labels are
    integers of shape (n,) or (n, 1). An array of strings called `classes` names the classes.

    Raises:
        PracError: the file is damaged, an array is missing or not as above.
    """
    arrays = _read(path)
    naming = next((n for n in _NAMINGS if set(n["train"]) <= set(arrays)), None)
    if naming is None:
        raise PracError(
            f"{path}: it holds {', '.join(sorted(arrays)) or 'nothing'}, expected x_train and "
            "y_train, or train_images and train_labels, or x and y"
        )
    raw = {}
    for split, (images, labels) in naming.items():
        there = {images, labels} & set(arrays)
        if not there:
            continue
        if len(there) == 1:
            lacking = labels if images in there else images
            raise PracError(f"{path}: it holds {there.pop()!r} but not {lacking!r}")
        targets = arrays[labels]
        raw[split] = RawSplit(
            as_images(arrays[images], f"{path}, array {images!r}", image_size),
            targets[:, 0] if targets.ndim == 2 and targets.shape[1] == 1 else targets,
            f"{path} ({split})",
            f"{path}, array {labels!r}",
        )
    return assemble(path.stem, raw, _class_names(arrays, path))


def _read(path: Path) -> dict[str, NDArray[Any]]:
    try:
        # Without pickles, an array of objects is refused rather than run.
        with path.open("rb") as file:
            archive = np.load(file, allow_pickle=False)
            if not isinstance(archive, np.lib.npyio.NpzFile):
                raise PracError(f"{path}: a single array, expected a .npz file of several")
            return {name: archive[name] for name in archive.files}
    except (OSError, ValueError, EOFError, KeyError, zipfile.BadZipFile) as error:
        raise PracError(
            f"{path}: cannot be read as .npz ({error}): it is damaged or holds Python objects"
        ) from error


def _class_names(arrays: dict[str, NDArray[Any]], path: Path) -> tuple[str, ...] | None:
    names = arrays.get("classes")
    if names is None:
        return None
    if names.dtype.kind != "U" or names.ndim != 1:
        raise PracError(f"{path}, array 'classes': {names.dtype} {names.shape}, expected strings")
    return tuple(names.tolist())
