"""What a path is: which of the things that prac writes, in words, and which command takes it.

Whoever is given one of them in place of another says so by `other_kind`. No torch: of a tensor file
only the header is read.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterator, Mapping
from contextlib import suppress
from itertools import chain, islice, product
from pathlib import Path
from typing import NamedTuple

from prac.errors import PracError
from prac.io.fields import strict_json
from prac.io.files import opened, read_environment, read_json, read_settings, state_paths

PREFIX = 8  # Bytes that hold the length of a tensor file's header.
HEADER_LIMIT = 2**24  # Bytes: some hundred thousand tensors.


class Kind(NamedTuple):
    """What a kind is called behind "is", and what to do with it."""

    words: str
    remedy: str


DESCRIBES = "prac inspect describes it"
BROWSER = "open it in a browser"
UNKNOWN = ""  # What is wanted says where it comes from.

FOLDERS = {
    "search": Kind("a search's run folder", DESCRIBES),
    "retraining": Kind("a retraining's folder", DESCRIBES),
    "trunk": Kind("the dense training of a search for a rewind point", DESCRIBES),
    "comparison": Kind("a comparison's folder", DESCRIBES),
    "win": Kind("a folder of prac win", DESCRIBES),
    "level": Kind("the folder of one level of a search", DESCRIBES),
    "levels": Kind("the folder of a search's levels", DESCRIBES),
    "retrainings": Kind("the folder of a search's retrainings", DESCRIBES),
    "cache": Kind("a folder of kept trainings", DESCRIBES),
    "states": Kind("the folder of the states that a run resumes from", DESCRIBES),
    "curves": Kind("a folder of curves", "tensorboard --logdir shows it"),
    "runs": Kind("a folder of runs", "prac runs lists them"),
    "empty": Kind("an empty folder", UNKNOWN),
    "folder": Kind("a folder that prac does not know", UNKNOWN),
}
TENSORS = {
    "ticket": Kind("a ticket", "prac retrain takes it"),
    "subset": Kind("a subset", "prac find --subset takes it"),
    "trained": Kind("a file of a level's or a retraining's trained weights", DESCRIBES),
    "weights": Kind("a file of the weights within a training", DESCRIBES),
    "examples": Kind("a file of what a level has shown of its examples", DESCRIBES),
    "state": Kind("a state that a run resumes from", DESCRIBES),
}
TEXTS = {
    "config": Kind("a file of a run's settings", "prac find --config takes it"),
    "environment": Kind("a file of a run's environment", DESCRIBES),
    "metrics": Kind("a file of a run's metrics", DESCRIBES),
    "summary": Kind("a file of a level's or a retraining's summary", DESCRIBES),
    "verdict": Kind("a verdict", DESCRIBES),
    "rewind_point": Kind("a file of a search for a rewind point", DESCRIBES),
    "plan": Kind("a plan of how many seeds to judge with", DESCRIBES),
    "barrier": Kind("an error barrier", DESCRIBES),
    "pool": Kind("an average of trained tickets", DESCRIBES),
    "comparison_file": Kind("a file of a comparison's results", DESCRIBES),
    "win_file": Kind("a file of what prac win found", DESCRIBES),
    "tracking": Kind("a file of a run's names at trackers", DESCRIBES),
}
OTHERS = {
    "page": Kind("a page of HTML", BROWSER),
    "picture": Kind("a picture", BROWSER),
    "events": Kind("a file of curves", "tensorboard --logdir shows its folder"),
    "traceback": Kind("a traceback of a failed search", "prac compare tries that again"),
    "lock": Kind("a folder's lock", "a run holds it while it works"),
    "file": Kind("a file that prac does not know", UNKNOWN),
    "missing": Kind("not there", UNKNOWN),
}
KINDS = FOLDERS | TENSORS | TEXTS | OTHERS
NOT_OURS = {"empty", "folder", "file", "missing"}
"""Kinds of what prac has not written: a data set, say."""

_NAMES = {
    r"config\.yaml": "config",
    r"(environment|summary|verdict|rewind_point|plan|tracking)\.json": "",  # As the file is called.
    r"metrics\.jsonl": "metrics",
    r"comparison\.json": "comparison_file",
    r"win\.json": "win_file",
    r"barrier-[0-9a-f]+\.json": "barrier",
    r"pool-[0-9a-f]+\.json": "pool",
    r"seed-\d+-error\.txt": "traceback",
    r"events\.out\.tfevents\..+": "events",
    r"\.lock": "lock",
    r".+\.(svg|png)": "picture",
}

WANTED = {
    "search": Kind("a search's run folder", "prac find makes one"),
    "ticket": Kind("a ticket file", "prac find writes them to levels/*/ticket.safetensors"),
    "subset": Kind("a subset file", "prac find writes them to levels/*/subset.safetensors"),
    "ticket or subset": Kind("a ticket or subset file", "prac find writes both to levels/*"),
    "after": Kind("a level of a search, or its ticket", "prac find makes one in RUN/levels"),
    "options": Kind("a YAML file of options", "prac find --print-config prints one"),
    "data": Kind("a data set", "choose another --data"),
    "indices": Kind("a .npy file of indices", "choose another --val-indices"),
    "comparison": Kind("a comparison's folder", "prac compare makes one"),
    "runs": Kind("a folder of runs", "prac find makes runs"),
    "run": Kind("an empty or new folder for --out", "choose another --out"),
    "win": Kind("a folder of prac win", "prac win makes one"),
    "new_win": Kind(
        "a folder of prac win, or an empty or new one, for --out", "choose another --out"
    ),
    "new_comparison": Kind(
        "a comparison's folder, or an empty or new one, for --out", "choose another --out"
    ),
    "kept": Kind(
        "a folder of kept trainings, or an empty or new one, for the cache",
        "choose another --cache",
    ),
    "page": Kind("a page of HTML, or a new file, for --out", "choose another --out"),
    "charts": Kind("a folder of your own, or a new one, for --png", "choose another --png"),
}
"""What may be wanted where a path is given, and where it comes from."""

_NEAR = {
    "search": ("search", "runs/*/seed-*", "*"),
    "ticket": ("ticket", "levels/{0}/ticket.safetensors", "levels/*/ticket.safetensors"),
    "subset": ("subset", "levels/{0}/subset.safetensors", "levels/*/subset.safetensors"),
}
"""The kind that is wanted, and where it may lie in what is given, or in the run around that."""

_ALWAYS_SET = {"batch_size", "lr", "optimizer", "milestones", "validate_every"}
"""Settings of every training, which together are nobody else's."""

_BEGUN = {"config.yaml", "environment.json", ".lock"}
"""What a run folder has from its beginning on."""

_FIELDS = {
    "comparison_file": {"seeds", "judged", "settings", "runs"},
    "win_file": {"methods", "seeds", "searches", "tried", "settings"},
    "verdict": {"path", "seeds", "best_level", "levels"},
    "rewind_point": {"iterations", "points", "at", "setting"},
    "plan": {"difference", "seeds", "needed", "spreads"},
    "barrier": {"height", "is_stable", "errors"},
    "pool": {"accuracy", "shares"},
}
"""What files of JSON have that people may have files of the same name beside."""

_MOST_LOOKED_AT = 1000  # Entries of a folder that may be one of runs: a data set may have millions.


def kind_at(path: str | Path) -> str:
    """Return the kind of what is at a path, a name of `KINDS`."""
    path = Path(path)
    try:
        mode = os.stat(path).st_mode
    except (FileNotFoundError, NotADirectoryError):
        return "missing"
    except (OSError, ValueError):  # Who reads it is told why not.
        return "file"
    with suppress(OSError, PracError):
        if stat.S_ISDIR(mode):
            return _of_folder(path)
        if stat.S_ISREG(mode):
            return _of_file(path)
    return "folder" if stat.S_ISDIR(mode) else "file"


def _of_folder(path: Path) -> str:
    if (path / "config.yaml").is_file():
        return _of_run(path)
    if _is_win(path):
        return "win"
    if _is_comparison(path):
        return "comparison"
    if _is_level(path):
        return "level"
    if any(map(_is_level, (of.parent for of in path.glob("[0-9]*/ticket.safetensors")))):
        return "levels"
    retrained = path.glob("[0-9]*/config.yaml") if path.name == "retrain" else ()
    if any(_of_run(config.parent) != "folder" for config in retrained):
        return "retrainings"
    if path.name == "state" and any(map(_is_state, state_paths(path.parent).values())):
        return "states"
    if any(map(_is_kept, islice(path.iterdir(), _MOST_LOOKED_AT))):
        return "cache"
    # In a run folder's `tensorboard`, each series has a folder of its own.
    if not (is_empty := _holds_only(path, "")) and _holds_only(path, "events.out.tfevents."):
        return "curves"
    # Not deeper: a folder in which people work has runs in it too. A comparison's, and prac win's,
    # are by method.
    deeper = chain.from_iterable(map(path.glob, ("*", "*/seed-*", "*/[0-9]*-*")))
    within = islice(deeper, _MOST_LOOKED_AT)
    if any(map(_is_search_or_comparison, within)):
        return "runs"
    return "empty" if is_empty else "folder"


def _of_run(path: Path) -> str:
    """Return what a folder with a config.yaml is; settings that cannot be read do not matter."""
    settings: dict[str, object] = {}
    with suppress(PracError):
        settings = read_settings(path)
    if not _is_of_prac(path, settings):
        return "folder"  # Others have files of that name too.
    if "levels" in settings or (not settings and (path / "levels").is_dir()):
        return "search"
    if not settings or not (path / "environment.json").is_file():
        return "folder"
    return "trunk" if path.name.startswith("trunk-") else "retraining"


def _is_of_prac(path: Path, settings: Mapping[str, object]) -> bool:
    """Say whether a folder's settings are surely those of a run of prac's, or what lies beside."""
    if settings.keys() >= _ALWAYS_SET:
        return True
    with suppress(PracError):
        environment = read_environment(path)
        return "prac" in environment and "torch" in environment
    return False


def _holds_only(path: Path, prefix: str) -> bool:
    """Say whether below a folder are but folders, what is hidden, and files of names like that.

    Without a prefix no file is.
    """
    for entry in path.iterdir():
        is_file = bool(prefix) and entry.name.startswith(prefix)
        if entry.name.startswith(".") or is_file:
            continue
        if entry.is_symlink() or not entry.is_dir() or not _holds_only(entry, prefix):
            return False
    return True


def _is_search_or_comparison(entry: Path) -> bool:
    if (entry / "config.yaml").is_file():
        return _of_run(entry) == "search"
    return _says(entry / "comparison.json", "comparison_file")


def _is_comparison(path: Path) -> bool:
    """Say whether a folder has a comparison's results, or the searches of one that is unfinished.

    People keep trainings of their own in folders like runs/resnet/seed-0 too.
    """
    return _says(path / "comparison.json", "comparison_file") or any(
        _is_search_or_comparison(of) or (of / ".lock").exists() for of in path.glob("runs/*/seed-*")
    )


def _is_win(path: Path) -> bool:
    """Say whether a folder has what prac win found, or its searches where that file is damaged."""
    found = path.glob("searches/*/[0-9]*-*")
    return _says(path / "win.json", "win_file") or any(map(_is_search_or_comparison, found))


def _is_level(path: Path) -> bool:
    """Say whether a folder has a level's two files, of which one may be damaged."""
    of = {name: path / f"{name}.safetensors" for name in ("ticket", "subset")}
    return all(map(Path.is_file, of.values())) and any(
        kind_at(file) == name for name, file in of.items()
    )


def _is_state(path: Path) -> bool:
    """Say whether a file is a state, or a damaged one of a run of prac's."""
    run = path.parent.parent
    is_own = (run / "config.yaml").is_file() and _of_run(run) != "folder"
    return is_own or kind_at(path) == "state"


def _is_kept(entry: Path) -> bool:
    """Say whether this is what lies in a folder of trainings that are kept by their content."""
    if re.fullmatch(r"(trunk-)?[0-9a-f]{24}", entry.name):
        # People's pictures are sorted into folders of such names too.
        return any((entry / name).is_file() for name in _BEGUN)
    if entry.name in ("corrupted-labels", "corrupted-inputs") and entry.parent.name == "judged":
        return _is_search_or_comparison(entry) or (entry / ".lock").is_file()
    kind = _named(entry)
    return kind in ("barrier", "pool", "verdict", "rewind_point", "plan") and _says(entry, kind)


def _says(path: Path, kind: str) -> bool:
    """Say whether a file of JSON has the fields of its kind, of which one may be missing."""
    with suppress(PracError):
        values = read_json(path)
        return isinstance(values, dict) and len(_FIELDS[kind] - values.keys()) <= 1
    return False


def _is_peoples_own(path: Path, named: str) -> bool:
    """Say whether a file called like one of prac's is another; a damaged one is by its name."""
    if named == "config":
        return not path.with_name("environment.json").is_file()
    if named not in _FIELDS or _says(path, named):
        return False
    with suppress(PracError):
        read_json(path)
        return True
    return False


def _named(path: Path) -> str | None:
    """Return the kind that a file is by its name."""
    found = (kind for pattern, kind in _NAMES.items() if re.fullmatch(pattern, path.name))
    kind = next(found, None)
    return path.stem if kind == "" else kind


def _of_file(path: Path) -> str:
    if named := _named(path):
        return "file" if _is_peoples_own(path, named) else named
    with opened(path, "") as file:
        start = file.read(PREFIX)
        length = int.from_bytes(start, "little")
        if start.lower() == b"<!doctyp":
            return "page"
        header = file.read(length) if length <= HEADER_LIMIT else b""
    try:
        kind = strict_json(strict_json(header.decode())["__metadata__"]["prac"])["kind"]
    except (ValueError, TypeError, KeyError):
        return "file"
    return kind if isinstance(kind, str) and kind in TENSORS else "file"


def other_kind(
    path: str | Path, wanted: str, error: type[PracError] = PracError, kind: str | None = None
) -> PracError:
    """Return the error for a path that is not what is wanted there, a name of `WANTED`.

    It says what it is, and what to give in its place or which command takes it.
    """
    path, kind = Path(path), kind or kind_at(path)
    found, expected = KINDS[kind], WANTED.get(wanted) or TENSORS[wanted]
    near = None if kind in NOT_OURS else _near(path, wanted)
    such = "" if near is None else f", such as {near}"
    remedy = found.remedy or expected.remedy
    return error(f"{path}: is {found.words}: expected {expected.words}{such}; {remedy}")


def check_kind(
    path: str | Path, wanted: str, *kinds: str, error: type[PracError] = PracError
) -> None:
    """Raise a PracError where a path is something that prac has written, but none of these kinds.

    What prac has not written is for the reader to refuse, who knows what is wrong with it.
    """
    kind = kind_at(path)
    if kind not in NOT_OURS and kind not in kinds:
        raise other_kind(path, wanted, error, kind)


def check_new(
    path: str | Path, wanted: str, *kinds: str, error: type[PracError] = PracError
) -> None:
    """Raise a PracError unless a path to write to is free, or is of one of these kinds."""
    kind = kind_at(path)
    if kind not in ("missing", "empty", *kinds):
        raise other_kind(path, wanted, error, kind)


def in_level(path: str | Path, name: str) -> Path:
    """Return a level's file where the folder of a level is given, else the path as it is."""
    path = Path(path)
    return path / name if kind_at(path) == "level" else path


def contents(path: Path) -> Iterator[tuple[str, str]]:
    """Yield the names in a folder and the kinds of what they are, sorted, without hidden ones."""
    for entry in sorted(path.iterdir()):
        if not entry.name.startswith("."):
            yield entry.name, kind_at(entry)


def _near(path: Path, wanted: str) -> Path | None:
    """Return what is wanted, from what is given or from the run or the comparison around it."""
    if wanted not in _NEAR:
        return None
    kind, *patterns = _NEAR[wanted]
    around = ((of, kind_at(of)) for of in islice(path.parents, 4))
    owner, of = next((one for one in around if one[1] in ("search", "comparison")), (path, ""))
    if kind == of:
        return owner
    # Of the level that is given before others, and of these the last.
    level = next(iter(path.relative_to(owner).parts[1:2]), "*")
    for place, pattern in product((path, owner), patterns):
        found = sorted(place.glob(pattern.format(level)), reverse=True)
        if fitting := next((one for one in found if kind_at(one) == kind), None):
            return fitting
    return None
