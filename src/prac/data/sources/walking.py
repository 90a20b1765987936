"""The pictures below a folder, through links, and what is passed over there."""

from __future__ import annotations

import errno
import os
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from prac.data.sources.noticed import first_few, number_of
from prac.io import NOT_OURS, kind_at

SUFFIXES = frozenset(
    (
        *(".png", ".apng", ".jpg", ".jpeg", ".jpe", ".jfif", ".jif", ".bmp", ".gif", ".webp"),
        *(".tif", ".tiff", ".ppm", ".pgm", ".pbm", ".pnm", ".avif"),
    )
)

# What systems leave in folders: nobody means it to be data.
_SYSTEM_FILES = frozenset((".ds_store", "thumbs.db", "ehthumbs.db", "desktop.ini", ".gitkeep"))
_SYSTEM_FOLDERS = frozenset(("__MACOSX", "@eaDir", "$RECYCLE.BIN", "lost+found"))
_ARCHIVES = frozenset((".zip", ".tar", ".gz", ".tgz", ".bz2", ".xz", ".zst", ".rar", ".7z"))
_OF_RUNS = ("config.yaml", "comparison.json")  # One of them is in the folder of any run of prac's.

HIDDEN = "hidden, no plain file, or of no ending that pictures have"
ARCHIVE = "an archive, which is not unpacked"
BESIDE = "not in the folder of a class"
LOOP = "a folder that is already read, or lies around it"
NOWHERE = "nothing, or to itself"


@dataclass
class Passed:
    """What is passed over in a data set's folders, by reason."""

    files: dict[str, list[Path]] = field(default_factory=dict)

    def add(self, reason: str, *paths: Path) -> None:
        """Add what is passed over for a reason."""
        if paths:
            self.files.setdefault(reason, []).extend(paths)

    def notices(self) -> Iterator[str]:
        """Yield a line for each reason, in an order that is the same on any machine."""
        for reason, paths in sorted(self.files.items()):
            if reason in (LOOP, NOWHERE):
                what = f"{number_of(len(paths), 'link')} not followed"
                yield f"{what}, such as {min(paths)}: each leads to {reason}"
            else:
                what = f"{number_of(len(paths), 'file or folder', 'files or folders')} not read"
                why = f"{HIDDEN}{_endings(paths)}" if reason == HIDDEN else reason
                yield f"{what}, such as {min(paths)}: {why}"


def _endings(paths: Iterable[Path]) -> str:
    """Return in brackets which endings files have that are no pictures', the commonest first."""
    named = (path.suffix.strip().lower() for path in paths if not path.name.startswith("."))
    counts = sorted(Counter(named).items(), key=lambda one: (-one[1], one[0]))
    shown = [f"{name} {count}" for name, count in counts if name and name not in SUFFIXES]
    return f" ({first_few(shown)})" if shown else ""


@dataclass(frozen=True)
class Entries:
    """What lies directly in a folder: folders to look into, and pictures, each sorted."""

    folders: list[Path]
    pictures: list[Path]


def entries(folder: Path, passed: Passed | None = None) -> Entries:
    """Look into a folder; what is neither a folder nor a picture is added to what is `passed`.

    Folders of prac's own runs are none of the data, nor are their charts.
    """
    folders, pictures = [], []
    for path, leads_to in _scanned(folder):
        if leads_to == "folder":
            if not is_hidden(path):
                folders.append(path)
            elif passed and path.name not in _SYSTEM_FOLDERS and holds_pictures(path):
                passed.add(HIDDEN, path)
        elif _may_be_read(leads_to) and is_picture(path):
            pictures.append(path)
        elif passed and leads_to == "nothing":
            passed.add(NOWHERE, path)
        elif passed:
            is_archive = leads_to == "file" and path.suffix.lower() in _ARCHIVES
            passed.add(ARCHIVE if is_archive else HIDDEN, path)
    # An order that is the same on any machine.
    return Entries(sorted(folders), sorted(pictures))


def holds_directly(folder: Path) -> bool:
    """Say whether a picture lies in a folder itself; known at the first of perhaps a million."""
    return any(_may_be_read(to) and is_picture(path) for path, to in _scanned(folder))


def pictures_below(folder: Path, passed: Passed) -> list[Path]:
    """Return the pictures below a folder, sorted; links are followed, each folder read once."""
    visited: set[str] = set()
    found: list[Path] = []
    waiting, links = [folder], list[Path]()
    while waiting or links:
        # Folders that are really there come before links to them.
        place = waiting.pop() if waiting else links.pop(0)
        real = os.path.realpath(place)
        if real in visited or (place != folder and is_around(place, folder)):
            if place.is_symlink():
                passed.add(LOOP, place)
            continue
        visited.add(real)
        there = entries(place, passed)
        found += there.pictures
        for sub in there.folders:
            (links if sub.is_symlink() else waiting).append(sub)
    return sorted(found)


def holds_pictures(folder: Path) -> bool:
    """Say whether any picture lies below a folder."""
    return any(_below(folder))


def is_around(link: Path, folder: Path) -> bool:
    """Say whether a link in a folder leads to that folder or to one around it."""
    if not link.is_symlink():
        return False
    real, home = os.path.realpath(link), os.path.realpath(folder)
    return os.path.commonpath((home, real)) == real


def is_hidden(path: Path) -> bool:
    """Say whether a folder is hidden, or one of the system's."""
    return path.name.startswith(".") or path.name in _SYSTEM_FOLDERS


def really(path: Path, folders: dict[Path, str]) -> str:
    """Return where a file really is; `folders` keeps where those that were asked for are."""
    if path.is_symlink():
        return os.path.realpath(path)
    if path.parent not in folders:
        folders[path.parent] = os.path.realpath(path.parent)
    return os.path.join(folders[path.parent], path.name)


def is_system(name: str) -> bool:
    """Say whether a file is one that systems leave everywhere."""
    return name.startswith("._") or name.lower() in _SYSTEM_FILES


def is_picture(path: Path) -> bool:
    """Say whether a file is a picture by its name or, where that has no ending, by its content."""
    if path.name.startswith("."):
        return False
    suffix = path.suffix.strip().lower()
    if suffix == ".avif":
        return _reads_avif()
    if suffix in SUFFIXES:
        return True
    return not any(map(str.isalpha, suffix)) and path.is_file() and _begins_as_one(path)


def _begins_as_one(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            start = file.read(16)
    except OSError:
        return False  # It is passed over, and counted there.
    if start.startswith(b"RIFF"):
        return start[8:12] == b"WEBP"
    if start[4:8] == b"ftyp":
        return start[8:12] in (b"avif", b"avis") and _reads_avif()
    if start.startswith(b"BM"):
        return start[6:10] == b"\0\0\0\0"  # Reserved: texts begin with these letters too.
    is_known = (b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"GIF8", b"II*\0", b"MM\0*")
    return start.startswith(is_known) or re.match(rb"P[1-6]\s+[#\d]", start) is not None


def _reads_avif() -> bool:
    from prac.data.sources.images_decode import FORMATS

    return "AVIF" in FORMATS


def _below(folder: Path) -> Iterator[Path]:
    """Yield the pictures below a folder as they are found, each folder once."""
    visited: set[str] = set()
    waiting = [folder]
    while waiting:
        place = waiting.pop()
        if (real := os.path.realpath(place)) in visited:
            continue
        visited.add(real)
        for path, leads_to in _scanned(place):
            if leads_to == "folder":
                if not is_hidden(path) and not is_around(path, folder):
                    waiting.append(path)
            elif _may_be_read(leads_to) and is_picture(path):
                yield path


def _scanned(folder: Path) -> Iterator[tuple[Path, str]]:
    """Yield what lies in a folder, and what that is: folder, file, nothing or other.

    What systems leave there is left out, and the folders of prac's own runs.
    """
    with os.scandir(folder) as scanned:
        for entry in scanned:
            path, leads_to = folder / entry.name, _leads_to(entry)
            is_left_out = _is_of_a_run(path) if leads_to == "folder" else is_system(entry.name)
            if not is_left_out:
                yield path, leads_to


def _leads_to(entry: os.DirEntry[str]) -> str:
    try:
        if entry.is_dir():
            return "folder"
        if entry.is_file():
            return "file"
        return "other" if os.path.exists(entry.path) else "nothing"
    except OSError as error:
        if error.errno != errno.ELOOP:
            raise
        return "nothing"


def _may_be_read(leads_to: str) -> bool:
    """Say so but of a named pipe, which would be waited for; what is missing is told as such."""
    return leads_to in ("file", "nothing")


def _is_of_a_run(folder: Path) -> bool:
    # Few have such a file, so that few are looked at more closely.
    there = (os.path.isfile(folder / name) for name in _OF_RUNS)
    return any(there) and kind_at(folder) not in NOT_OURS
