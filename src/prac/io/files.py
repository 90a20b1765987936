"""Files that are whole or not there: atomic writes, appended lines, JSON and YAML. No torch.

Everything that a run folder holds is written through these few functions, which leave nothing to
chance when the process is killed or the power fails: content reaches the disk before its name does,
and a name before anything that relies on it.
"""

from __future__ import annotations

import errno
import os
import secrets
import stat
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from itertools import zip_longest
from pathlib import Path
from types import MappingProxyType
from typing import IO, Any

from prac.errors import FolderError, PracError
from prac.io.fields import Fields, fits, json_text, strict_json, strict_yaml

Buffer = bytes | memoryview

MODE = 0o666
TEXT_LIMIT = 2**24  # Bytes of JSON or YAML.

_REMEDIES = {
    errno.ENOSPC: "free some room",
    errno.EDQUOT: "free some of your quota",
    errno.EFBIG: "raise the file-size limit (ulimit -f)",
    errno.EROFS: "make the file system writable, or choose another folder",
    errno.EACCES: "get the right to write there, or choose another folder",
    errno.EPERM: "get the right to write there, or choose another folder",
    errno.EIO: "check the disk",
}


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turn what the system says of a write that failed into one line with the remedy."""
    try:
        yield
    except OSError as error:
        remedy = _REMEDIES.get(error.errno or 0, "mend that")
        raise FolderError(
            f"{path}: cannot be written: {error.strerror or error}: {remedy} and run the same "
            f"command again; what was written before is whole"
        ) from error


def write_atomic(path: Path, *content: Buffer) -> None:
    """Write a file so that a reader, or a crash, finds the old content or the new, never less.

    The parts of the content stand one after the other; folders that are missing are made.

    Raises:
        FolderError: If it cannot be written; the old content is still there.
    """
    with writing(path):
        make_folder(path.parent)
        # A hidden file with the rights of an ordinary one. `tempfile` gives it none but the user's
        # own, and the process's umask, from which the ordinary ones follow, can only be read by
        # changing it for a moment, for all threads.
        name = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
        descriptor = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL, MODE)
        try:
            with _synced(descriptor):
                for part in content:
                    _write(descriptor, part)
            os.replace(name, path)
        except BaseException:
            with suppress(OSError):
                os.unlink(name)
            raise
        _sync_folder(path.parent)


def linked(source: Path, path: Path) -> None:
    """Put a file's content at another path too, whole or not at all; no bytes where links are had.

    Files of prac's are replaced, never changed, so that two names for one are safe.

    Raises:
        FolderError: If it cannot be written.
    """
    with writing(path):
        make_folder(path.parent)
        path.unlink(missing_ok=True)
        try:
            os.link(source, path)
        except OSError:  # Another file system, or one without links.
            write_atomic(path, source.read_bytes())
        else:
            _sync_folder(path.parent)


def append(path: Path, content: bytes) -> None:
    """Add to the end of a file; content and file are on disk afterwards.

    Raises:
        FolderError: If it cannot be written; some of the content may be there.
    """
    with writing(path):
        with _synced(os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, MODE)) as descriptor:
            _write(descriptor, content)
        _sync_folder(path.parent)


def cut(path: Path, length: int) -> None:
    """Cut a file to so many bytes, on disk."""
    with writing(path), _synced(os.open(path, os.O_WRONLY)) as descriptor:
        os.ftruncate(descriptor, length)


def make_folder(folder: Path) -> None:
    """Make a folder and those above it, on disk; nothing where it is there."""
    missing = [made for made in (folder, *folder.parents) if not made.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    for made in reversed(missing):
        _sync_folder(made.parent)


def write_json(path: Path, value: Any) -> None:
    """Write a value as readable JSON, atomically; numbers that are not finite are null."""
    write_atomic(path, (json_text(value, indent=2, sort_keys=True) + "\n").encode())


def read_json(path: Path) -> Any:
    """Return the value of a JSON file.

    Raises:
        PracError: If it cannot be read, is too large, or is not JSON.
    """
    try:
        return strict_json(_read(path, "JSON").decode())
    except ValueError as error:
        raise PracError(f"{path}: is not JSON: {error}") from error


def read_settings(run: Path) -> dict[str, Any]:
    """Return the settings that a run folder was begun with.

    Raises:
        PracError: If the folder is no run's, or they cannot be read.
    """
    settings = _recorded_settings(run)
    return {**settings, **_unrecorded(settings)}


_OF_PICTURES = {"exif_rotation": False, "background": "none"}
_OF_LEVELS = {
    "dense_budget": None,
    "level_start": "rewound",
    "mask_lr": None,
    "level_lr_factor": 1.0,
    "level_weight_decay": None,
    "level_growth": 1.0,
    "level_schedule": "full",
    "level_prunings": 1,
}
_OF_PROBLEM: dict[str, Any] = {"task": "classification", "task_args": {}}
_OF_TRAINING: dict[str, Any] = {
    "optimizer_args": {},
    "decay_norms": True,
    "schedule_args": {},
    "clip_norm": None,
    "accumulate": 1,
    "ema_decay": None,
    "batch_transform": "none",
    "batch_transform_args": {},
}
UNRECORDED = {**_OF_PICTURES, **_OF_LEVELS, **_OF_PROBLEM, **_OF_TRAINING}
"""How prac 0.1 read pictures and trained: its runs do not record it, without a choice."""


def told_newly(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return settings but for those that are as in an older prac, which did not record them."""
    return {name: of for name, of in settings.items() if (name, of) not in UNRECORDED.items()}


def unrecorded_settings(run: Path) -> dict[str, Any]:
    """Return those settings of a run folder that an older prac, which began it, did not record.

    Raises:
        PracError: As `read_settings`.
    """
    return _unrecorded(_recorded_settings(run))


def with_unrecorded(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return recorded settings, as of a ticket, with those that an older prac did not record."""
    return {**settings, **_unrecorded(settings)}


def _unrecorded(settings: Mapping[str, Any]) -> dict[str, Any]:
    # From Python, data has been read already; a retraining has no levels, and what a comparison's
    # searches share says nothing of how they train.
    values = {
        **({**_OF_PICTURES, **_OF_PROBLEM} if "data" in settings else {}),
        **(_OF_LEVELS if "subset_rule" in settings else {}),
        **(_OF_TRAINING if "optimizer" in settings else {}),
    }
    return {name: value for name, value in values.items() if name not in settings}


def _recorded_settings(run: Path) -> dict[str, Any]:
    path = run / "config.yaml"
    if not path.exists():
        raise PracError(f"{run}: is not a run folder: it has no config.yaml")
    try:
        settings = strict_yaml(_read(path, "YAML"))
    except ValueError as error:
        raise PracError(f"{path}: is not YAML: {error}") from error
    if not fits(settings, dict):
        raise PracError(f"{path}: expected a mapping of settings")
    return dict(settings)


def read_environment(run: Path) -> dict[str, Any]:
    """Return what a run folder tells of versions, data and model; nothing where it has no file.

    Raises:
        PracError: If the file cannot be read, or is not one of prac's.
    """
    path = run / "environment.json"
    if not path.exists():
        return {}
    values = read_json(path)
    kinds = {
        "classes": list[str] | None,
        "modules": list[str] | None,
        "continued": list[dict[str, Any]],
    }
    Fields(path, values, "environment").check(kinds)
    return dict(values)


def _read(path: Path, kind: str) -> bytes:
    with opened(path, kind) as file:
        if os.fstat(file.fileno()).st_size > TEXT_LIMIT:
            raise PracError(f"{path}: has more than {TEXT_LIMIT} bytes: expected {kind} of prac's")
        return file.read()


@contextmanager
def opened(path: Path, kind: str) -> Iterator[IO[bytes]]:
    """Open a file to read from it; `kind` is what messages expect in it.

    Raises:
        PracError: If there is none, it cannot be read, is no regular file (a pipe would be waited
            for, a device has no end), or does not fit into this machine's memory.
    """
    try:
        # Asked before it is opened, since opening alone may wait or rewind a tape; and once more
        # afterwards, since the name may stand for something else by then.
        _check_regular(path, kind, os.stat(path).st_mode)
        file = open(path, "rb", buffering=0, opener=_without_waiting)  # noqa: SIM115
    except FileNotFoundError as error:
        raise PracError(f"{path}: there is no such file: expected a {kind} file") from error
    except (OSError, ValueError) as error:
        raise PracError(f"{path}: cannot be read: {_why(error)}") from error
    with file:
        try:
            about = os.fstat(file.fileno())
            _check_regular(path, kind, about.st_mode)
            memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
            if about.st_size > memory:
                raise PracError(
                    f"{path}: has {about.st_size} bytes, more than this machine's memory, {memory}"
                )
            yield file
        except OSError as error:
            raise PracError(f"{path}: cannot be read: {_why(error)}") from error


def _without_waiting(name: str, flags: int) -> int:
    return os.open(name, flags | os.O_NONBLOCK | os.O_CLOEXEC)


def _check_regular(path: Path, kind: str, mode: int) -> None:
    if not stat.S_ISREG(mode):
        found = "folder" if stat.S_ISDIR(mode) else "pipe, socket or device"
        raise PracError(f"{path}: is a {found}: expected a {kind} file")


def _why(error: OSError | ValueError) -> str:
    return getattr(error, "strerror", None) or str(error)


def has_trained(run: Path) -> bool:
    """Say whether a run folder holds work that other settings must not overwrite.

    That is a line of metrics, a state within the first epoch (state 0 is a run's start), or a
    complete level, which need not have been trained.
    """
    metrics = run / "metrics.jsonl"
    return (
        (metrics.exists() and metrics.stat().st_size > 0)
        or any(number > 0 for number in state_paths(run))
        or any(run.glob("levels/*/summary.json"))
    )


def state_paths(run: Path) -> dict[int, Path]:
    """Return a run folder's states by number, oldest first."""
    found = sorted((run / "state").glob("*.safetensors"))
    return {int(path.stem): path for path in found if path.stem.isdecimal()}


GUESSED = {"image_column", "label_column"}
"""Settings of which an older prac guessed more: where a run names none, its data's fingerprint says
whether the one that is named now is the same."""


def check_same(
    run: Path,
    known: Mapping[str, Any],
    wanted: Mapping[str, Any],
    hints: Mapping[str, str] = MappingProxyType({}),
) -> None:
    """Raise a FolderError unless a run folder was begun with all that is `wanted`, by name.

    `hints` are what else to do where one of them differs, by name.
    """
    names = [name for name, value in wanted.items() if name not in known or known[name] != value]
    names = [name for name in names if name not in GUESSED or known.get(name, "") is not None]
    if names:
        differing = ", ".join(difference(name, known.get(name), wanted[name]) for name in names)
        advice = next((hints[name] for name in names if name in hints), None)
        raise FolderError(
            f"{run}: was begun with other settings: {differing}; "
            f"{advice or 'use the same settings to resume'}, or another --out"
        )


def difference(name: str, known: Any, wanted: Any) -> str:
    """Return a value there and one here as words; of lists of texts and of mappings what differs.

    >>> difference("modules", ["0: Linear()", "1: Tanh()"], ["0: Linear()", "1: ReLU()"])
    "modules (there '1: Tanh()', here '1: ReLU()')"
    >>> difference("fingerprint", "0" * 64, "f" * 64)
    "fingerprint of the training data (there '000000000000', here 'ffffffffffff')"
    """
    if all(isinstance(v, list) and v and isinstance(v[0], str) for v in (known, wanted)):
        pairs = list(zip_longest(known, wanted))
        known, wanted = next(pair for pair in pairs if pair[0] != pair[1])
    if isinstance(known, Mapping) and isinstance(wanted, Mapping):
        names = [key for key in {**known, **wanted} if known.get(key) != wanted.get(key)]
        return ", ".join(
            difference(f"{name}: {key}", known.get(key), wanted.get(key)) for key in names
        )
    if name in FINGERPRINTS:
        name = FINGERPRINTS[name]
        known, wanted = (of[:12] if isinstance(of, str) else of for of in (known, wanted))
    return f"{name} (there {known!r}, here {wanted!r})"


FINGERPRINTS = {
    "fingerprint": "fingerprint of the training data",
    "val_fingerprint": "fingerprint of the validation data",
}
"""Whose they are, by the name that folders know them under."""


@contextmanager
def _synced(descriptor: int) -> Iterator[int]:
    """Bring to the disk what is written meanwhile, and close the descriptor."""
    try:
        yield descriptor
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _write(descriptor: int, content: Buffer) -> None:
    rest = memoryview(content)
    while rest:
        rest = rest[os.write(descriptor, rest) :]


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        # Some network file systems cannot do it, and need it not.
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):
            raise
    finally:
        os.close(descriptor)
