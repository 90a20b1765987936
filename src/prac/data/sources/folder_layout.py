"""Which folders are splits and which are classes, where pictures lie in folders."""

from __future__ import annotations

import unicodedata
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from prac.data.sources.assemble import named_splits, split_of
from prac.data.sources.noticed import first_few, number_of
from prac.data.sources.walking import (
    BESIDE,
    LOOP,
    Passed,
    entries,
    holds_pictures,
    is_around,
    is_picture,
)
from prac.errors import PracError
from prac.io import NOT_OURS, kind_at


@dataclass(frozen=True)
class Layout:
    """The folder of each split, in which those of the classes lie, and what lies beside them.

    That is folders of pictures, and `without_any`, which are called like splits.
    """

    splits: dict[str, Path]
    beside: list[Path] = field(default_factory=list)
    without_any: list[Path] = field(default_factory=list)

    def notices(self) -> Iterator[str]:
        """Yield a line where folders are neither splits nor classes, and where they could be."""
        if self.without_any:
            what = number_of(len(self.without_any), "folder")
            names = first_few(path.name for path in self.without_any)
            yield f"{what} not read, called like a split and holding no pictures: {names}"
        if self.beside:
            what = number_of(len(self.beside), "folder of pictures", "folders of pictures")
            names = first_few(path.name for path in self.beside)
            yield f"{what} not read, lying beside the splits: {names}"


def find_layout(folder: Path) -> Layout | None:
    """Find the splits in a folder, or its classes, which are the train split; None for neither.

    A folder is a split by its name, and by holding folders of pictures: one that holds pictures,
    beside others that do, is a class, whatever it is called.

    Raises:
        PracError: the folders could be meant in several ways, or there is no train split.
    """
    subs = [sub for sub in class_folders(folder, Passed()) if holds_pictures(sub)]
    called = [sub for sub in class_folders(folder, Passed()) if split_of(sub.name)]
    others = [sub for sub in subs if sub not in called]
    if any(_is_split(sub, others) for sub in called):
        whole = [sub for sub in called if sub in subs]
        classes = {one.name for sub in whole for one in entries(sub, Passed()).folders}
        without_any = [sub for sub in called if sub not in subs and _is_other(sub, classes)]
        found = named_splits((s.name for s in called if s not in without_any), str(folder))
        if "train" not in found:
            raise PracError(
                f"{folder}: no train split was found beside {first_few(found.values())}: "
                f"expected folders train/CLASS"
            )
        order = sorted(found, key=lambda split: split != "train")
        splits = {split: folder / found[split] for split in order}
        for place in splits.values():
            _check_split(place)
        beside = [sub for sub in others if kind_at(sub) in NOT_OURS]
        return Layout(splits, beside, without_any)
    for sub in called:
        if sub in subs and (len(called) > 1 or not others):
            _check_split(sub)
    within = [sub for sub in others if _has_train(sub)]
    if len(within) == 1:
        inner = find_layout(within[0])
        if inner is not None:
            beside = [*inner.beside, *(other for other in others if other != within[0])]
            return Layout(inner.splits, beside, inner.without_any)
    if within:
        raise PracError(
            f"{folder}: several folders hold a train split, "
            f"{first_few(sub.name for sub in within)}: give the one that is meant"
        )
    if len(subs) == 1 and (tables := _tables(folder)):
        raise PracError(
            f"{folder}: one folder of pictures, {subs[0].name}, beside {tables[0]}: labels are "
            f"read from the names of folders, one a class, or from parquet files with the pictures"
        )
    for sub in subs:
        _check_class(sub)
    return Layout({"train": folder}) if subs else None


def class_folders(folder: Path, passed: Passed) -> list[Path]:
    """Return the folders in one of a split, sorted; what else lies there is `passed` over."""
    there = entries(folder, Passed())
    passed.add(BESIDE, *there.pictures)
    loops = [sub for sub in there.folders if is_around(sub, folder)]
    passed.add(LOOP, *loops)
    return [sub for sub in there.folders if sub not in loops]


def doubtful_classes(folders: Sequence[Path]) -> Iterator[str]:
    """Yield warnings where folders of classes look like splits, or like one class twice."""
    alike: dict[str, list[str]] = {}
    for folder in folders:
        alike.setdefault(spelled(folder.name).casefold(), []).append(folder.name)
    for names in alike.values():
        if len(names) > 1:
            yield f"classes are called {' and '.join(map(repr, names))}: are they one and the same?"
    within = [(folder, _inner(folder)) for folder in folders]
    first = within[0][1]
    if len(within) > 1 and len(first) > 1 and all(names == first for _, names in within):
        yield (
            f"the folders taken for classes, {first_few(folder.name for folder in folders)}, hold "
            f"folders of the same names, {first_few(sorted(first))}: if they are splits, call them "
            f"train, val and test"
        )


def spelled(name: str) -> str:
    """Return a folder's name as it is compared: letters with accents have two spellings."""
    return unicodedata.normalize("NFC", name).strip()


def _inner(folder: Path) -> set[str]:
    """Return the names of the folders of pictures in a folder; none where it holds pictures too."""
    if _holds_directly(folder):  # Seen at the first picture: there may be a million.
        return set()
    return {sub.name for sub in entries(folder, Passed()).folders if holds_pictures(sub)}


def _is_split(folder: Path, others: Sequence[Path]) -> bool:
    """Say whether a folder that is called like a split is one, and no class among `others`."""
    there = entries(folder, Passed())
    inner = {sub.name for sub in there.folders if holds_pictures(sub)}
    if len(inner) == 1 and any(_inner(other) == inner for other in others):
        return False  # CLASS/images/*.png
    return len(inner) > 0 and (not there.pictures or len(inner) > 1)


def _is_other(folder: Path, classes: Collection[str]) -> bool:
    """Say whether a folder without pictures holds something else, such as the code of a project."""
    there = [path for path in folder.iterdir() if not path.name.startswith(".")]
    is_alike = any(path.is_dir() and path.name in classes for path in there)
    return any(path.is_file() for path in there) and not is_alike


def _has_train(folder: Path) -> bool:
    subs = class_folders(folder, Passed())
    return any(split_of(sub.name) == "train" and _inner(sub) for sub in subs)


def _check_split(folder: Path) -> None:
    """Refuse a split that holds pictures, and no folders of them."""
    there = entries(folder, Passed())
    if there.pictures and not any(map(holds_pictures, there.folders)):
        raise PracError(
            f"{folder}: pictures lie in it, such as {there.pictures[0].name}, but no folders of "
            f"them: expected {folder.name}/CLASS, a folder for each class"
        )


def _check_class(folder: Path) -> None:
    """Refuse a class that has splits in it, which would be read as one."""
    if _holds_directly(folder):
        return
    there = entries(folder, Passed())
    inside = [sub.name for sub in there.folders if split_of(sub.name) and _holds_directly(sub)]
    if len({split_of(name) for name in inside}) > 1:
        raise PracError(
            f"{folder}: holds {first_few(inside)}: expected splits above classes, as in "
            f"{inside[0]}/{folder.name}"
        )


def _tables(folder: Path) -> list[str]:
    """Return the names of files in a folder that may hold labels, sorted."""
    names = (path.name for path in folder.iterdir() if path.is_file())
    return sorted(name for name in names if name.lower().endswith((".csv", ".tsv", ".json")))


def _holds_directly(folder: Path) -> bool:
    return any(map(is_picture, folder.iterdir()))
