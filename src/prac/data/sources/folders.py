"""Folders of image files: one subfolder a class, and Tiny-ImageNet-200's own arrangement."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from prac.config import DataConfig
from prac.data.sources.assemble import SPLIT_NAMES, RawSplit, assemble
from prac.data.sources.encoded import ImageFiles
from prac.data.sources.statistics import canonical
from prac.data.sources.types import Splits
from prac.errors import PracError

SUFFIXES = frozenset(
    (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".ppm", ".pgm")
)


def has_class_folders(folder: Path) -> bool:
    """Whether there is a folder of images in the folder or in its `train`."""
    train = folder / "train"
    return any(_images(sub) for sub in _subfolders(train if train.is_dir() else folder))


def load_class_folders(folder: Path, config: DataConfig) -> Splits:
    """Load `train/CLASS/*.png` beside `test/CLASS` and `val/CLASS`, or `CLASS/*.png` alone.

    The classes are the subfolders of train in sorted order. Files that are no images by their
    suffix are passed over, as are names that begin with a dot.

    Raises:
        PracError: a class holds no image, a split has a class that train lacks, or an image is at
            fault.
    """
    splits = {"train": folder}
    if (folder / "train").is_dir():
        splits = {}
        for sub in _subfolders(folder):
            key = SPLIT_NAMES.get(sub.name)
            if key is None:
                continue
            if key in splits:
                raise PracError(
                    f"{folder}: {splits[key].name!r} and {sub.name!r} both name the {key} split"
                )
            splits[key] = sub
    classes = tuple(sub.name for sub in _subfolders(splits["train"]))
    raw = {}
    for key, root in splits.items():
        groups = {sub.name: _images(sub) for sub in _subfolders(root)}
        unknown = sorted(set(groups) - set(classes))
        if unknown:
            raise PracError(
                f"{root / unknown[0]}: no class of that name in {splits['train']} "
                f"({len(classes)} classes)"
            )
        empty = next((name for name, files in groups.items() if not files), None)
        if empty is not None:
            raise PracError(
                f"{root / empty}: no image in this class's folder, "
                f"expected files ending in {' '.join(sorted(SUFFIXES))}"
            )
        raw[key] = _by_class(groups, classes, str(root), config)
    return assemble(canonical(folder.name), raw, classes)


def is_tiny_imagenet(folder: Path) -> bool:
    """Whether the folder is Tiny-ImageNet-200 as distributed."""
    return (folder / "wnids.txt").is_file() and (folder / "train").is_dir()


def load_tiny_imagenet(folder: Path, config: DataConfig) -> Splits:
    """Load Tiny-ImageNet-200 as distributed; its `val` serves as the test split.

    The images under `test` have no published labels, so `val` is what results are reported on, and
    it must not steer a search: hold out validation examples from train. Classes are the WordNet ids
    in sorted order, named by `words.txt`.

    Raises:
        PracError: a file is missing or malformed, or an image is at fault.
    """
    wnids = sorted(line.strip() for line in _lines(folder / "wnids.txt") if line.strip())
    if not wnids:
        raise PracError(f"{folder / 'wnids.txt'}: no class in it, expected one WordNet id a line")
    train = {wnid: _images(folder / "train" / wnid / "images") for wnid in wnids}
    empty = next((wnid for wnid, files in train.items() if not files), None)
    if empty is not None:
        place = folder / "train" / empty / "images"
        raise PracError(f"{place}: no image here, but wnids.txt names the class")
    val = _annotated(folder / "val", wnids)
    raw = {
        "train": _by_class(train, wnids, str(folder / "train"), config),
        "test": _by_class(val, wnids, str(folder / "val"), config),
    }
    return assemble("tiny_imagenet", raw, _words(folder, wnids))


def _by_class(
    groups: Mapping[str, Sequence[Path]], classes: Sequence[str], origin: str, config: DataConfig
) -> RawSplit:
    from prac.data.sources.images import decode_images

    index = {name: i for i, name in enumerate(classes)}
    files = [(path, index[name]) for name in sorted(groups) for path in groups[name]]
    if not files:
        raise PracError(f"{origin}: the split is empty, expected folders of images, one a class")
    images, damaged = decode_images(ImageFiles(path for path, _ in files), config)
    labels = np.array([label for _, label in files], dtype=np.int64)
    return RawSplit(images, labels, origin, origin, damaged)


def _annotated(folder: Path, wnids: Sequence[str]) -> dict[str, list[Path]]:
    annotations = folder / "val_annotations.txt"
    groups: dict[str, list[Path]] = {wnid: [] for wnid in wnids}
    for number, line in enumerate(_lines(annotations), start=1):
        if not line.strip():
            continue
        name, _, rest = line.partition("\t")
        wnid = rest.split("\t")[0].strip()
        if wnid not in groups:
            raise PracError(
                f"{annotations}, line {number}: class {wnid!r} is not in wnids.txt, "
                "expected FILE, a tab, and a WordNet id"
            )
        if name != Path(name).name:
            raise PracError(f"{annotations}, line {number}: {name!r} is no plain file name")
        groups[wnid].append(folder / "images" / name)
    return groups


def _words(folder: Path, wnids: Sequence[str]) -> tuple[str, ...]:
    path = folder / "words.txt"
    if not path.is_file():
        return tuple(wnids)
    words = dict(line.rstrip("\n").partition("\t")[::2] for line in _lines(path))
    names = [words.get(wnid, wnid).strip() or wnid for wnid in wnids]
    # Two ids may share their words, as the crane that flies and the crane that lifts do.
    return tuple(
        f"{name} ({wnid})" if names.count(name) > 1 else name
        for name, wnid in zip(names, wnids, strict=True)
    )


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="utf-8").splitlines()
    except FileNotFoundError as error:
        raise PracError(f"{path}: missing, expected with Tiny-ImageNet-200's layout") from error
    except UnicodeDecodeError as error:
        raise PracError(f"{path}: cannot be read as text ({error})") from error


def _subfolders(folder: Path) -> list[Path]:
    return sorted(p for p in folder.iterdir() if p.is_dir() and not p.name.startswith("."))


def _images(folder: Path) -> list[Path]:
    """The image files under a folder, in an order that is the same on any machine."""
    named = (
        p for p in folder.rglob("*") if p.suffix.lower() in SUFFIXES and not p.name.startswith(".")
    )
    # Opening a named pipe would wait for ever. A link to nothing is an image that is missing.
    return sorted(p for p in named if p.is_file() or p.is_symlink())
