"""Folders of image files: one subfolder a class, and Tiny-ImageNet-200's own arrangement."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

from prac.config import DataConfig
from prac.data.sources.assemble import RawSplit, assemble
from prac.data.sources.encoded import ImageFiles
from prac.data.sources.folder_layout import Layout, class_folders, doubtful_classes, spelled
from prac.data.sources.noticed import Noticed, first_few, number_of
from prac.data.sources.statistics import canonical
from prac.data.sources.types import Splits
from prac.data.sources.walking import (
    SUFFIXES,
    Passed,
    holds_pictures,
    pictures_below,
    really,
)
from prac.errors import PracError


def load_class_folders(
    folder: Path, layout: Layout, config: DataConfig, *, notices: Sequence[str] = ()
) -> Splits:
    """Load `train/CLASS/*.png` beside `test/CLASS` and `val/CLASS`, or `CLASS/*.png` alone.

    The classes are the subfolders of train in sorted order, with all pictures below them. What is
    no picture by its name is passed over, and counted in the data set's notices, before which stand
    those given.

    Raises:
        PracError: a class holds no image, a split has a class that train lacks, or an image is at
            fault.
    """
    passed, told = Passed(), [*notices, *layout.notices()]
    for place in layout.around:
        class_folders(place, passed, is_around_classes=True)
    folders = {
        key: class_folders(root, None if root in layout.around else passed)
        for key, root in layout.splits.items()
    }
    classes = [sub.name for sub in folders["train"]]
    if len(classes) == 1:
        raise PracError(
            f"{layout.splits['train']}: 1 class, expected at least two, a folder for each: beside "
            f"{classes[0]} there is none"
        )
    index = {spelled(name): name for name in classes}
    if len(index) < len(classes):
        index = {name: name for name in classes}
    told += doubtful_classes(folders["train"])
    found = {}
    for key in layout.splits:
        groups: dict[str, list[Path]] = {}
        for sub in folders[key]:
            name = index.get(sub.name if sub.name in index else spelled(sub.name))
            if name is None:
                raise PracError(
                    f"{sub}: no class of that name in {layout.splits['train']} "
                    f"({len(classes)} classes)"
                )
            groups[name] = groups.get(name, []) + _class_pictures(sub, passed)
        found[key] = groups
    raw = {
        key: _by_class(found[key], classes, str(root), config)
        for key, root in layout.splits.items()
    }
    told += [*passed.notices(), *_read_twice(found)]
    return assemble(canonical(folder.name), raw, classes, told, is_named_by_path=True)


def _read_twice(found: Mapping[str, Mapping[str, Sequence[Path]]]) -> Iterator[str]:
    """Yield a line where one picture is, by links, of two classes or of two splits."""
    first: dict[str, tuple[str, str, Path]] = {}
    folders: dict[Path, str] = {}
    twice = []
    for split, groups in found.items():
        for name, paths in groups.items():
            for path in paths:
                place = first.setdefault(really(path, folders), (split, name, path))
                if place[:2] != (split, name):
                    twice.append((place[2], path))
    if twice:
        what = number_of(len(twice), "picture")
        yield (
            f"{what} read twice, through links, as of other classes or splits: the first is "
            f"{twice[0][0]}, the same file as {twice[0][1]}"
        )


def _class_pictures(folder: Path, passed: Passed) -> list[Path]:
    here = Passed()
    pictures = pictures_below(folder, here)
    if not pictures:
        others = "".join(f"; {line}" for line in here.notices())
        raise PracError(
            f"{folder}: no image in this class's folder, "
            f"expected files ending in {' '.join(sorted(SUFFIXES))}{others}"
        )
    for reason, paths in here.files.items():
        passed.add(reason, *paths)
    return pictures


def is_tiny_imagenet(folder: Path) -> bool:
    """Whether the folder is Tiny-ImageNet-200 as distributed, or with `val` sorted by class."""
    return (folder / "wnids.txt").is_file() and (folder / "train").is_dir()


def load_tiny_imagenet(folder: Path, config: DataConfig) -> Splits:
    """Load Tiny-ImageNet-200 as distributed; its `val` serves as the test split.

    The images under `test` have no published labels, so `val` is what results are reported on, and
    it must not steer a search: hold out validation examples from train. Many people sort the images
    of `val` into folders by class, which are read as well, as are those of such a `test`. Classes
    are the WordNet ids in sorted order, named by `words.txt`.

    Raises:
        PracError: a file is missing or malformed, or an image is at fault.
    """
    wnids = sorted({line.strip() for line in _lines(folder / "wnids.txt") if line.strip()})
    if not wnids:
        raise PracError(f"{folder / 'wnids.txt'}: no class in it, expected one WordNet id a line")
    passed, notices = Passed(), []
    class_folders(folder, passed, is_around_classes=True)
    groups = {"train": _sorted_by_class(folder / "train", wnids, passed)}
    empty = next((wnid for wnid in wnids if not groups["train"].get(wnid)), None)
    if empty is not None:
        place = folder / "train" / empty / "images"
        raise PracError(f"{place}: no image here, but wnids.txt names the class")
    is_shipped = (folder / "val" / "val_annotations.txt").is_file() and (
        (folder / "val" / "images").is_dir() and holds_pictures(folder / "val" / "images")
    )
    for split in ("val", "test"):
        by_class = _sorted_by_class(folder / split, wnids, passed)
        if split == "val" and (is_shipped or not by_class):
            groups[split] = _annotated(folder / split, wnids)
            listed = {path for paths in groups[split].values() for path in paths}
            there = pictures_below(folder / split / "images", passed)
            unlisted = [path for path in there if path not in listed]
            passed.add("not listed in val_annotations.txt", *unlisted)
            if by_class:
                notices.append(
                    f"{folder / split}: its folders by class are not read, beside images and "
                    f"val_annotations.txt"
                )
        elif by_class:
            groups[split] = by_class
    raw = {
        split: _by_class(group, wnids, str(folder / split), config)
        for split, group in groups.items()
    }
    others = [
        sub
        for split in groups
        for sub in class_folders(folder / split, passed, is_around_classes=True)
        if sub.name not in (*wnids, "images") and holds_pictures(sub)
    ]
    if others:
        what = number_of(len(others), "folder of pictures", "folders of pictures")
        notices.append(f"{what} not read, wnids.txt having no such class: {first_few(others)}")
    told = [*notices, *passed.notices()]
    return assemble("tiny_imagenet", raw, _words(folder, wnids), told)


def _sorted_by_class(folder: Path, wnids: Sequence[str], passed: Passed) -> dict[str, list[Path]]:
    """Return the pictures in folders called by WordNet ids, which may hold them in `images`."""
    groups = {}
    for wnid in wnids:
        place, here = folder / wnid, Passed()
        if place.is_dir() and (pictures := pictures_below(place, here)):
            groups[wnid] = pictures
        for reason, paths in here.files.items():
            # A text that is shipped in each, the boxes around objects.
            passed.add(reason, *(path for path in paths if path != place / f"{wnid}_boxes.txt"))
    return groups


def _by_class(
    groups: Mapping[str, Sequence[Path]], classes: Sequence[str], origin: str, config: DataConfig
) -> RawSplit:
    from prac.data.sources.images import decode_images

    index = {name: i for i, name in enumerate(classes)}
    files = [(path, index[name]) for name in sorted(groups) for path in groups[name]]
    if not files:
        raise PracError(f"{origin}: the split is empty, expected folders of images, one a class")
    noticed = Noticed()
    images, damaged = decode_images(ImageFiles(path for path, _ in files), config, noticed)
    labels = np.array([label for _, label in files], dtype=np.int64)
    return RawSplit(images, labels, origin, origin, damaged, noticed)


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
