"""Files that are whole or not there: atomic writes, appended lines, JSON and YAML. No torch.

Everything that a run folder holds is written through these few functions, which leave nothing to
chance when the process is killed or the power fails: content reaches the disk before its name does,
and a name before anything that relies on it.
"""

from __future__ import annotations

import errno
import json
import os
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import yaml

from prac.errors import PracError

MODE = 0o666

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
        raise PracError(
            f"{path}: cannot be written: {error.strerror or error}: {remedy} and run the same "
            f"command again; what was written before is whole"
        ) from error


def write_atomic(path: Path, content: bytes) -> None:
    """Write a file so that a reader, or a crash, finds the old content or the new, never less.

    Raises:
        PracError: If it cannot be written; the old content is still there.
    """
    with writing(path):
        make_folder(path.parent)
        descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        try:
            try:
                _write(descriptor, content)
                os.fsync(descriptor)
                os.fchmod(descriptor, MODE & ~_umask())
            finally:
                os.close(descriptor)
            os.replace(name, path)
        except BaseException:
            with suppress(OSError):
                os.unlink(name)
            raise
        _sync_folder(path.parent)


def append(path: Path, content: bytes) -> None:
    """Add to the end of a file; content and file are on disk afterwards.

    Raises:
        PracError: If it cannot be written; some of the content may be there.
    """
    with writing(path):
        descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, MODE)
        try:
            _write(descriptor, content)
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        _sync_folder(path.parent)


def cut(path: Path, length: int) -> None:
    """Cut a file to so many bytes, on disk."""
    with writing(path):
        descriptor = os.open(path, os.O_WRONLY)
        try:
            os.ftruncate(descriptor, length)
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def make_folder(folder: Path) -> None:
    """Make a folder and those above it, on disk; nothing where it is there."""
    made = folder
    missing = []
    while not made.exists():
        missing.append(made)
        made = made.parent
    folder.mkdir(parents=True, exist_ok=True)
    for made in reversed(missing):
        _sync_folder(made.parent)


def write_json(path: Path, value: Any) -> None:
    """Write a value as readable JSON, atomically."""
    write_atomic(path, (json.dumps(value, indent=2, sort_keys=True) + "\n").encode())


def read_json(path: Path) -> Any:
    """Return the value of a JSON file.

    Raises:
        PracError: If it cannot be read or is not JSON.
    """
    try:
        return json.loads(path.read_bytes())
    except OSError as error:
        raise PracError(f"{path}: cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise PracError(f"{path}: is not JSON: {error}") from error


def read_settings(run: Path) -> dict[str, Any]:
    """Return the settings that a run folder was begun with.

    Raises:
        PracError: If the folder is no run's.
    """
    path = run / "config.yaml"
    try:
        settings = yaml.safe_load(path.read_text())
    except OSError as error:
        raise PracError(f"{run}: is not a run folder: it has no readable config.yaml") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise PracError(f"{path}: is not YAML: {' '.join(str(error).split())}") from error
    if not isinstance(settings, dict):
        raise PracError(f"{path}: expected a mapping of settings")
    return settings


def has_trained(run: Path) -> bool:
    """Say whether a run folder holds training that other settings must not overwrite.

    That is a line of metrics, or a state within the first epoch; state 0 is a run's start.
    """
    metrics = run / "metrics.jsonl"
    return (metrics.exists() and metrics.stat().st_size > 0) or any(
        number > 0 for number in state_paths(run)
    )


def state_paths(run: Path) -> dict[int, Path]:
    """Return a run folder's states by number, oldest first."""
    found = (run / "state").glob("*.safetensors")
    return {int(path.stem): path for path in sorted(found) if path.stem.isdecimal()}


def check_same(run: Path, known: Mapping[str, Any], wanted: Mapping[str, Any]) -> None:
    """Raise a PracError unless a run folder was begun with all that is `wanted`, by name."""
    differing = [
        f"{name} (there {known.get(name)!r}, here {value!r})"
        for name, value in wanted.items()
        if name not in known or known[name] != value
    ]
    if differing:
        raise PracError(
            f"{run}: was begun with other settings: {', '.join(differing)}; "
            f"use the same settings to resume, or another --out"
        )


def _write(descriptor: int, content: bytes) -> None:
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


def _umask() -> int:
    current = os.umask(0)
    os.umask(current)
    return current
