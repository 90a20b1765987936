"""Arrays in a `.npz` file, under the names that Keras and MedMNIST made customary."""

from __future__ import annotations

import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from prac.config import DataConfig
from prac.data.npy import claimed_bytes
from prac.data.sources.arrays import as_images
from prac.data.sources.assemble import RawSplit, assemble
from prac.data.sources.types import Splits
from prac.errors import PracError
from prac.utils import one_line

_SPLITS = ("train", "val", "test")
_NAMINGS = (
    {split: (f"x_{split}", f"y_{split}") for split in _SPLITS},
    {split: (f"{split}_images", f"{split}_labels") for split in _SPLITS},
    {"train": ("x", "y")},
)


def load_npz(path: Path, config: DataConfig) -> Splits:
    """Load the arrays of a `.npz` file.

    The arrays are `x_train`, `y_train` and, where there, `x_test`, `y_test`, `x_val`, `y_val`; or
    `train_images`, `train_labels` and so on; or `x`, `y` alone. Images are as for `as_images`,
    labels integers of shape (n,) or (n, 1). An array of strings called `classes` names the classes.
    Arrays of other names are not read. What a compressed file may unpack to is `memory_limit`; one
    that is not compressed is read whatever its size.

    Raises:
        PracError: the file is damaged or unpacks to too much, an array is missing or not as above.
    """
    arrays, names = _read_arrays(path, config.memory_bytes)
    naming = next((n for n in _NAMINGS if set(n["train"]) <= set(arrays)), None)
    if naming is None:
        raise PracError(
            f"{path}: it holds {', '.join(sorted(names)) or 'nothing'}, expected x_train and "
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
            as_images(arrays[images], f"{path}, array {images!r}", config.image_size),
            targets[:, 0] if targets.ndim == 2 and targets.shape[1] == 1 else targets,
            f"{path} ({split})",
            f"{path}, array {labels!r}",
        )
    classes = arrays.get("classes")
    if classes is not None and (classes.dtype.kind != "U" or classes.ndim != 1):
        found = f"{classes.dtype} {classes.shape}"
        raise PracError(f"{path}, array 'classes': {found}, expected strings")
    return assemble(path.stem, raw, None if classes is None else classes.tolist())


def _read_arrays(path: Path, memory_limit: int) -> tuple[dict[str, NDArray[Any]], list[str]]:
    """The arrays that have a meaning here, and the names of all."""
    wanted = {name for naming in _NAMINGS for pair in naming.values() for name in pair}
    # The archive's own libraries raise many kinds of error on damaged or hostile input.
    try:
        with path.open("rb") as file:
            if not zipfile.is_zipfile(file):
                file.seek(0)
                np.lib.format.read_magic(file)
                raise PracError(f"{path}: a single array, expected a .npz file of several")
            arrays: dict[str, NDArray[Any]] = {}
            with zipfile.ZipFile(file) as archive:
                entries = archive.namelist()
                names = [name.removesuffix(".npy") for name in entries if name.endswith(".npy")]
                chosen = sorted({*wanted, "classes"} & set(names))
                _check_size(path, archive, chosen, memory_limit)
                for name in chosen:
                    with archive.open(f"{name}.npy") as member:
                        # Without pickles, an array of objects is refused rather than run.
                        arrays[name] = np.lib.format.read_array(member, allow_pickle=False)
    except (PracError, MemoryError):
        raise
    except Exception as error:
        raise PracError(
            f"{path}: cannot be read as .npz ({one_line(error)}): it is damaged or holds Python "
            "objects"
        ) from error
    return arrays, names


def _check_size(
    path: Path, archive: zipfile.ZipFile, names: Sequence[str], memory_limit: int
) -> None:
    """Refuse arrays that claim more than their entries hold, or together more than may be held."""
    claimed = 0
    for name in names:
        with archive.open(f"{name}.npy") as member:
            claimed += claimed_bytes(member, archive.getinfo(f"{name}.npy").file_size)
    if claimed > max(memory_limit, path.stat().st_size):
        raise PracError(
            f"{path}: its arrays unpack to {claimed / 1e9:.3g} GB, more than the memory limit of "
            f"{memory_limit / 1e9:.3g} GB: raise it with --memory-limit if you trust the file"
        )
