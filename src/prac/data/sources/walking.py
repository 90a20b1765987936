"""The pictures below a folder, through links, and what is passed over there."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from prac.data.sources.noticed import number_of

SUFFIXES = frozenset(
    (
        *(".png", ".apng", ".jpg", ".jpeg", ".jpe", ".jfif", ".jif", ".bmp", ".gif", ".webp"),
        *(".tif", ".tiff", ".ppm", ".pgm", ".pbm", ".pnm", ".avif"),
    )
)

# What systems leave in folders: nobody means it to be data.
_SYSTEM_FILES = frozenset((".ds_store", "thumbs.db", "ehthumbs.db", "desktop.ini", ".gitkeep"))
_SYSTEM_FOLDERS = frozenset(("__MACOSX", "@eaDir", "$RECYCLE.BIN", "lost+found"))

HIDDEN = "hidden, of no ending that pictures have, or no plain file"
BESIDE = "not in the folder of a class"
LOOP = "a folder that is already read, or lies around it"


@dataclass
class Passed:
    """What is passed over in a data set's folders, by reason."""

    files: dict[str, list[Path]] = field(default_factory=dict)

    def add(self, reason: str, *paths: Path) -> None:
        """Add what is passed over for a reason."""
        if paths:
            self.files.setdefault(reason, []).extend(paths)

    def notices(self) -> Iterator[str]:
        """Yield a line for each reason."""
        for reason, paths in self.files.items():
            if reason == LOOP:
                what = f"{number_of(len(paths), 'link')} not followed"
                yield f"{what}, such as {min(paths)}: each leads to {reason}"
            else:
                what = f"{number_of(len(paths), 'file or folder', 'files or folders')} not read"
                yield f"{what}, such as {min(paths)}: {reason}"


@dataclass(frozen=True)
class Entries:
    """What lies directly in a folder: folders to look into, and pictures, each sorted."""

    folders: list[Path]
    pictures: list[Path]


def entries(folder: Path, passed: Passed) -> Entries:
    """Look into a folder; what is neither a folder nor a picture is added to what is `passed`."""
    folders, pictures = [], []
    with os.scandir(folder) as scanned:
        for entry in scanned:
            path = folder / entry.name
            if entry.is_dir():
                if not is_hidden(path):
                    folders.append(path)
                elif entry.name not in _SYSTEM_FOLDERS and any(_below(path)):
                    passed.add(HIDDEN, path)
            elif is_system(entry.name):
                continue
            # A named pipe would be waited for; a link to nothing is a picture that is missing.
            elif (entry.is_file() or entry.is_symlink()) and is_picture(path):
                pictures.append(path)
            else:
                passed.add(HIDDEN, path)
    # An order that is the same on any machine.
    return Entries(sorted(folders), sorted(pictures))


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


def is_system(name: str) -> bool:
    """Say whether a file is one that systems leave everywhere."""
    return name.startswith("._") or name.lower() in _SYSTEM_FILES


def is_picture(path: Path) -> bool:
    """Say whether a file is a picture by its name or, where that has no ending, by its content."""
    if path.name.startswith("."):
        return False
    suffix = path.suffix.strip().lower()
    if suffix == ".avif":
        from prac.data.sources.images_decode import FORMATS

        return "AVIF" in FORMATS
    if suffix in SUFFIXES:
        return True
    return not any(map(str.isalpha, suffix)) and path.is_file() and _begins_as_one(path)


def _begins_as_one(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            start = file.read(12)
    except OSError:
        return False  # It is passed over, and counted there.
    if start.startswith(b"RIFF"):
        return start[8:] == b"WEBP"
    return start.startswith((b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"GIF8", b"II*\0", b"MM\0*"))


def _below(folder: Path) -> Iterator[Path]:
    """Yield the pictures below a folder as they are found, each folder once."""
    visited: set[str] = set()
    waiting = [folder]
    while waiting:
        place = waiting.pop()
        if (real := os.path.realpath(place)) in visited:
            continue
        visited.add(real)
        with os.scandir(place) as scanned:
            for entry in scanned:
                path = place / entry.name
                if entry.is_dir():
                    if not is_hidden(path) and not is_around(path, folder):
                        waiting.append(path)
                elif (entry.is_file() or entry.is_symlink()) and is_picture(path):
                    yield path
