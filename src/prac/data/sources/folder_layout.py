"""Which folders are splits and which are classes, where pictures lie in folders."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from prac.data.sources.assemble import named_splits, split_of
from prac.data.sources.noticed import first_few, number_of
from prac.data.sources.walking import (
    BESIDE,
    HIDDEN,
    LOOP,
    Passed,
    entries,
    holds_directly,
    holds_pictures,
    is_around,
)
from prac.errors import PracError
from prac.io import NOT_OURS, kind_at


@dataclass(frozen=True)
class Layout:
    """The folder of each split, in which those of the classes lie, and what lies beside them.

    That is folders of pictures, and `without_any`, which are called like splits. `around` are the
    folders in which people keep other things too: those above the splits, or of the classes.
    """

    splits: dict[str, Path]
    around: list[Path]
    beside: list[Path] = field(default_factory=list)
    without_any: list[Path] = field(default_factory=list)

    def is_outside(self, file: Path) -> bool:
        """Say whether a file lies neither in a split nor in a class, where it would be counted."""
        roots = self.splits.values()
        is_in_split = file.parent in roots and file.parent not in self.around
        return not is_in_split and file.parent.parent not in roots

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
        train = self.splits["train"]
        if len(self.around) > 1 and not split_of(train.name):
            yield f"the classes are the folders in {train}, the only folder of pictures there"


def find_layout(folder: Path) -> Layout | None:
    """Find the splits in a folder, or its classes, which are the train split; None for neither.

    A folder is a split by its name, and by holding folders of pictures: one that holds pictures,
    beside others that do, is a class, whatever it is called.

    Raises:
        PracError: the folders could be meant in several ways, or there is no train split.
    """
    there = class_folders(folder)
    subs = [sub for sub in there if holds_pictures(sub)]
    called = [sub for sub in there if split_of(sub.name)]
    others = [sub for sub in subs if sub not in called]
    if any(_is_split(sub, others) for sub in called):
        return _of_splits(folder, called, subs)
    for sub in called:
        if sub in subs and (len(called) > 1 or not others):
            _check_split(sub)
    _check_names(folder, others)
    within = [sub for sub in others if _has_train(sub)]
    if not within and len(subs) == 1 and not holds_directly(folder) and _inner(subs[0]):
        within = subs  # A single class would be refused.
    if len(within) == 1:
        inner = find_layout(within[0])
        if inner is not None:
            beside = [*inner.beside, *(other for other in others if other != within[0])]
            return Layout(inner.splits, [folder, *inner.around], beside, inner.without_any)
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
    return Layout({"train": folder}, [folder]) if subs else None


def _of_splits(folder: Path, called: Sequence[Path], subs: Sequence[Path]) -> Layout:
    """Return the layout of a folder with folders called like splits; `subs` hold pictures."""
    whole = [sub for sub in called if sub in subs]
    classes = {one.name for sub in whole for one in entries(sub).folders}
    without_any = [sub for sub in called if sub not in subs and _is_other(sub, classes)]
    found = named_splits((s.name for s in called if s not in without_any), str(folder))
    if "train" not in found:
        raise PracError(
            f"{folder}: no train split was found beside {first_few(found.values())}: "
            f"expected folders train/CLASS"
        )
    for name in found.values():
        _check_split(folder / name)
    around = [folder]
    train = _innermost(folder / found["train"], (), around)
    classes = {sub.name for sub in class_folders(train)}
    order = sorted(found, key=lambda split: split != "train")
    splits = {split: _innermost(folder / found[split], classes, around) for split in order[1:]}
    beside = [sub for sub in subs if sub not in called]
    return Layout({"train": train, **splits}, around, beside, without_any)


def _innermost(folder: Path, classes: Collection[str], around: list[Path]) -> Path:
    """Return the folder of a split's classes, which may be the only one in it, and so further in.

    What is called like one of the classes is one; a single class of train would be refused.
    """
    subs = [sub for sub in class_folders(folder) if holds_pictures(sub)]
    if len(subs) != 1 or subs[0].name in classes or holds_directly(folder) or not _inner(subs[0]):
        return folder
    around.append(folder)
    return _innermost(subs[0], classes, around)


def class_folders(
    folder: Path, passed: Passed | None = None, *, is_around_classes: bool = False
) -> list[Path]:
    """Return the folders in one of a split, sorted; what else lies there is `passed` over.

    In a folder around the classes and splits, texts and code are nothing to tell of.
    """
    here = None if passed is None else Passed()
    there = entries(folder, here)
    loops = [sub for sub in there.folders if is_around(sub, folder)]
    if passed is not None and here is not None:
        passed.add(BESIDE, *there.pictures)
        passed.add(LOOP, *loops)
        for reason, paths in here.files.items():
            is_usual = is_around_classes and reason == HIDDEN
            passed.add(reason, *(path for path in paths if not is_usual or path.is_dir()))
    subs = [sub for sub in there.folders if sub not in loops]
    return [sub for sub in subs if holds_pictures(sub) or kind_at(sub) in NOT_OURS]


def doubtful_classes(folders: Sequence[Path]) -> Iterator[str]:
    """Yield warnings where folders of classes look like splits, or like one class twice."""
    if named := _like_splits(folders):
        called = first_few(sub.name for sub in named)
        yield f"the classes {called} are called like splits: are they?"
    alike: dict[str, list[str]] = {}
    for folder in folders:
        alike.setdefault(spelled(folder.name).casefold(), []).append(folder.name)
    for names in alike.values():
        if len(names) > 1:
            yield f"classes are called {' and '.join(map(repr, names))}: are they one and the same?"
    within = {folder.name: inner for folder in folders if len(inner := _inner(folder)) > 1}
    if len(folders) < 2 or len(within) * 2 <= len(folders):
        return
    shared = set.intersection(*within.values())
    if shared and len(within) == len(folders):
        yield (
            f"the folders taken for classes, {first_few(within)}, hold folders of the same names, "
            f"{first_few(sorted(shared))}: if they are splits, call them train, val and test"
        )
    else:
        name, inner = next(iter(within.items()))
        yield (
            f"{len(within)} of {len(folders)} folders taken for classes hold folders of pictures, "
            f"such as {name} ({first_few(sorted(inner))}): if these are the classes, "
            f"give the folder around them, or call what is around them train, val and test"
        )


def spelled(name: str) -> str:
    """Return a folder's name as it is compared: letters with accents have two spellings."""
    return unicodedata.normalize("NFC", name).strip()


def _inner(folder: Path) -> set[str]:
    """Return the names of the folders of pictures in a folder; none where it holds pictures too.

    Where there is but one, which holds no pictures itself, it is those within.
    """
    if holds_directly(folder):
        return set()
    subs = [sub for sub in entries(folder).folders if holds_pictures(sub)]
    return (len(subs) == 1 and _inner(subs[0])) or {sub.name for sub in subs}


def _is_split(folder: Path, others: Sequence[Path]) -> bool:
    """Say whether a folder that is called like a split is one, and no class among `others`."""
    there = entries(folder)
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
    subs = class_folders(folder)
    return any(split_of(sub.name) == "train" and _inner(sub) for sub in subs)


def _check_split(folder: Path) -> None:
    """Refuse a split that holds pictures, and no folders of them."""
    there = entries(folder)
    if there.pictures and not any(map(holds_pictures, there.folders)):
        raise PracError(
            f"{folder}: pictures lie in it, such as {there.pictures[0].name}, but no folders of "
            f"them: expected {folder.name}/CLASS, a folder for each class"
        )


def _check_class(folder: Path) -> None:
    """Refuse a class that has splits in it, which would be read as one."""
    if holds_directly(folder):
        return
    there = entries(folder)
    inside = [sub.name for sub in there.folders if split_of(sub.name) and holds_directly(sub)]
    if len({split_of(name) for name in inside}) > 1:
        raise PracError(
            f"{folder}: holds {first_few(inside)}: expected splits above classes, as in "
            f"{inside[0]}/{folder.name}"
        )


def _check_names(folder: Path, classes: Sequence[Path]) -> None:
    """Refuse classes that are called after splits, and hold folders of pictures."""
    named = _like_splits(classes)
    if any(len(_inner(sub)) > 1 for sub in named):
        raise PracError(
            f"{folder}: {first_few(sub.name for sub in named)} look like splits, holding folders "
            f"of pictures: call them train, val and test"
        )


def _like_splits(classes: Sequence[Path]) -> list[Path]:
    """Return those of the classes that are called after splits, if these are several, and most."""
    named = {sub: found for sub in classes if (found := _splits_in(sub.name))}
    are_splits = len(set().union(*named.values())) > 1 and len(named) * 2 > len(classes)
    return list(named) if are_splits else []


def _splits_in(name: str) -> set[str]:
    """Return which splits a name speaks of, such as seg_train, TestImages or train2017."""
    words = re.findall(r"[A-Z]?[a-z]+|[A-Z]+", name)
    return {split for word in words if (split := split_of(word))}


def _tables(folder: Path) -> list[str]:
    """Return the names of files in a folder that may hold labels, sorted."""
    names = (path.name for path in folder.iterdir() if path.is_file())
    return sorted(name for name in names if name.lower().endswith((".csv", ".tsv", ".json")))
