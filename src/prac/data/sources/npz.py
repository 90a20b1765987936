"""Arrays in a `.npz` file, under the names that Keras and MedMNIST made customary."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator, Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from prac.config import DataConfig
from prac.data.npy import HoldsObjectsError, claimed_bytes
from prac.data.sources.arrays import as_images
from prac.data.sources.assemble import RawSplit, assemble, split_of
from prac.data.sources.labels import word_of
from prac.data.sources.noticed import first_few, number_of
from prac.data.sources.types import Splits
from prac.errors import PracError
from prac.utils import one_line

# How the pair of arrays of a split are called, where * is what the split is called.
_NAMINGS = (("x_*", "y_*"), ("*_images", "*_labels"))
_ALONE = ("x", "y")


class _Pair(NamedTuple):
    """The names of a split's two arrays, in the lower case."""

    images: str
    labels: str


def load_npz(path: Path, config: DataConfig) -> Splits:
    """Load the arrays of a `.npz` file.

    The arrays are `x_train`, `y_train` and, where there, `x_test`, `y_test`, `x_val`, `y_val`; or
    `train_images`, `train_labels` and so on; or `x`, `y` for training. Splits may be called by any
    of their names, in letters of either case. Images are as for `as_images`, labels of shape (n,)
    or (n, 1) as for `assemble`. An array of strings called `classes` names the classes. Arrays of
    other names are not read, and counted in the notices, as is a test split without labels. What a
    compressed file may unpack to is `memory_limit`; one that is not compressed is read whatever its
    size.

    Raises:
        PracError: the file is damaged or unpacks to too much, an array is missing or not as above.
    """
    names, arrays = _read_arrays(path, config.memory_bytes)
    raw = {}
    told: list[str] = []
    for split, (images, labels) in _pairs(names, path).items():
        if labels not in arrays:
            told.append(f"{path}: {names[images]!r} is not read, having no {labels!r}")
            continue
        where, targets = f"{path}, array {names[images]!r}", arrays[labels]
        raw[split] = RawSplit(
            as_images(arrays[images], where, config.image_size),
            targets[:, 0] if targets.ndim == 2 and targets.shape[1] == 1 else targets,
            f"{path} ({split})",
            f"{path}, array {names[labels]!r}",
        )
    classes = _class_names(arrays["classes"], path) if "classes" in arrays else None
    unread = [names[name] for name in names if name not in arrays]
    if unread:
        told.append(
            f"{path}: {number_of(len(unread), 'array')} not read, called by none of the names of "
            f"splits: {first_few(unread)}"
        )
    return assemble(path.stem, raw, classes, told, is_named_by_path=True)


def _class_names(classes: NDArray[Any], path: Path) -> list[str]:
    if classes.dtype.kind not in "US" or classes.ndim != 1:
        raise PracError(
            f"{path}, array 'classes': {classes.dtype} {classes.shape}, expected strings"
        )
    return [word_of(name) for name in classes.tolist()]


def _split_names(name: str) -> Iterator[tuple[str, _Pair]]:
    """Yield what an array's name says that a split is called, and the names of that one's pair."""
    if name in _ALONE:
        yield "train", _Pair(*_ALONE)
    for naming in _NAMINGS:
        for pattern in naming:
            start, end = pattern.split("*")
            middle = name.removeprefix(start).removesuffix(end)
            if middle and name == f"{start}{middle}{end}":
                yield middle, _Pair(*(of.replace("*", middle) for of in naming))


def _pairs(names: Mapping[str, str], path: Path) -> dict[str, _Pair]:
    """The arrays of each split, of the names there are, which are told by the lower case."""
    found: dict[str, _Pair] = {}
    for name in names:
        for called, pair in _split_names(name):
            split = split_of(called)
            if split is None or found.get(split) == pair:
                continue
            if split in found:
                one, other = (_shown(of, names) for of in (found[split], pair))
                raise PracError(
                    f"{path}: {one} and {other} both name the {split} split: keep one, or rename "
                    f"the other"
                )
            found[split] = pair
    if "train" not in found or not set(found["train"]) <= names.keys():
        raise PracError(
            f"{path}: it holds {', '.join(sorted(names.values())) or 'nothing'}, expected x_train "
            "and y_train, or train_images and train_labels, or x and y"
        )
    for split, pair in found.items():
        if split == "test" and pair.images in names:
            continue  # Without labels it is left out.
        if lacking := [name for name in pair if name not in names]:
            there = next(names[name] for name in pair if name in names)
            raise PracError(f"{path}: it holds {there!r} but not {lacking[0]!r}")
    return found


def _shown(pair: _Pair, names: Mapping[str, str]) -> str:
    return repr(next(names[name] for name in pair if name in names))


def _read_arrays(path: Path, memory_limit: int) -> tuple[dict[str, str], dict[str, NDArray[Any]]]:
    """The names of all arrays, by the lower case, and the arrays that have a meaning here."""
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
                names = _by_lower_case([n[:-4] for n in entries if n.endswith(".npy")], path)
                pairs = _pairs(names, path).values()
                chosen = sorted({*chain(*pairs), "classes"} & names.keys())
                _check_size(path, archive, [names[name] for name in chosen], memory_limit)
                for name in chosen:
                    with archive.open(f"{names[name]}.npy") as member:
                        # Without pickles, an array of objects is refused rather than run.
                        arrays[name] = np.lib.format.read_array(member, allow_pickle=False)
    except (PracError, MemoryError):
        raise
    except Exception as error:
        raise PracError(
            f"{path}: cannot be read as .npz ({one_line(error)}): it is damaged or holds Python "
            "objects"
        ) from error
    return names, arrays


def _by_lower_case(names: Sequence[str], path: Path) -> dict[str, str]:
    found: dict[str, str] = {}
    for name in names:
        other = found.setdefault(name.lower(), name)
        if other != name and any(split_of(called) for called, _ in _split_names(name.lower())):
            raise PracError(
                f"{path}: {other!r} and {name!r} differ only in the case of letters: keep one"
            )
    return found


def _check_size(
    path: Path, archive: zipfile.ZipFile, names: Sequence[str], memory_limit: int
) -> None:
    """Refuse arrays that claim more than their entries hold, or together more than may be held."""
    claimed = 0
    for name in names:
        with archive.open(f"{name}.npy") as member:
            try:
                claimed += claimed_bytes(member, archive.getinfo(f"{name}.npy").file_size)
            except HoldsObjectsError as error:
                raise PracError(
                    f"{path}, array {name!r}: it holds Python objects, which are not read: store "
                    f"words by .astype(str), and numbers by .astype(float) or the like"
                ) from error
    if claimed > max(memory_limit, path.stat().st_size):
        raise PracError(
            f"{path}: its arrays unpack to {claimed / 1e9:.3g} GB, more than the memory limit of "
            f"{memory_limit / 1e9:.3g} GB: raise it with --memory-limit if you trust the file"
        )
