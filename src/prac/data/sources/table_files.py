"""Which parquet files of a folder belong to which split, by their names."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from prac.data.sources.assemble import split_of
from prac.data.sources.walking import entries, holds_pictures
from prac.errors import PracError

# train.parquet, or a shard train-00000-of-00002.parquet, which older ones follow with a hash.
_FILE = re.compile(r"(.+?)(?:-(\d+)-of-(\d+)(?:-[0-9a-f]+)?)?\.parquet", re.IGNORECASE)


@dataclass(frozen=True)
class TableFiles:
    """The parquet files in a folder, and in folders in it that are called like splits, sorted."""

    folder: Path
    files: list[Path]

    @property
    def has_train(self) -> bool:
        """Whether any is of the training split."""
        return any(self._split_of(path) == "train" for path in self.files)

    def _split_of(self, path: Path) -> str | None:
        if path.parent != self.folder:
            return split_of(path.parent.name)
        match = _FILE.fullmatch(path.name)
        return None if match is None else split_of(match[1])

    def by_split(self) -> tuple[dict[str, list[Path]], list[Path]]:
        """Return the files of each split in the order of their shards, train first; those of none.

        Raises:
            PracError: two files are the same part of a split, a shard is missing, or train is.
        """
        others: list[Path] = []
        found: dict[str, dict[int, Path]] = {}
        totals: dict[str, int] = {}
        for path in self.files:
            split = self._split_of(path)
            if split is None:
                others.append(path)
                continue
            shards = found.setdefault(split, {})
            total, shard = self._place(path)
            if shard in shards or totals.setdefault(split, total) != total:
                raise PracError(
                    f"{self.folder}: {self._named(next(iter(shards.values())))} and "
                    f"{self._named(path)} both belong to the {split} split: keep one set of files"
                )
            shards[shard] = path
        for split, shards in found.items():
            total = totals[split] or max(shards) + 1
            missing = sorted(set(range(total)) - set(shards))
            if missing:
                raise PracError(
                    f"{self.folder}: shard {missing[0]} of {total} of the {split} split is missing"
                )
        if "train" not in found:
            there = ", ".join(map(self._named, self.files))
            raise PracError(
                f"{self.folder}: no train.parquet and no train-00000-of-00001.parquet "
                f"(found {there})"
            )
        order = sorted(found, key=lambda split: (split != "train", split))
        return {split: [found[split][i] for i in sorted(found[split])] for split in order}, others

    def _place(self, path: Path) -> tuple[int, int]:
        """Return of how many shards a file is which; 0 where its name does not tell how many."""
        match = _FILE.fullmatch(path.name)
        if match is not None and match[2]:
            return int(match[3]), int(match[2])
        if path.parent == self.folder:
            return 1, 0
        # In a split's own folder files may be called anything, or by number.
        beside = [one for one in self.files if one.parent == path.parent]
        if all(one.stem.isdecimal() for one in beside):
            return 0, int(path.stem)
        return len(beside), beside.index(path)

    def _named(self, path: Path) -> str:
        return str(path.relative_to(self.folder))


def table_files(folder: Path) -> TableFiles | None:
    """Find the parquet files: in this folder, its `data`, or the only one in it with any.

    Those with a training split come before others; None where there are none.
    """
    subs = sorted(path for path in folder.iterdir() if path.is_dir())
    candidates = [TableFiles(place, _tables_in(place)) for place in (folder, *subs)]
    candidates = [one for one in candidates if one.files]
    for found in ([one for one in candidates if one.has_train], candidates):
        usual = [one for one in found if one.folder in (folder, folder / "data")]
        if usual or len(found) == 1:
            return (usual or found)[0]
    return None


def _tables_in(folder: Path) -> list[Path]:
    try:
        there = list(folder.iterdir())
        split_folders = [path for path in there if split_of(path.name) and path.is_dir()]
        for sub in split_folders:
            files = [path for path in sub.iterdir() if _is_table(path)]
            # Beside folders of pictures it is what else is known of them.
            if files and not any(map(holds_pictures, entries(sub).folders)):
                there += files
        return sorted(filter(_is_table, there))
    except PermissionError:
        return []


def _is_table(path: Path) -> bool:
    return path.suffix.lower() == ".parquet" and not path.is_dir()
