"""Files that are whole or not there: atomic writes, JSON and YAML, a folder's lock. No torch."""

from __future__ import annotations

import fcntl
import json
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import IO, Any

import yaml

from prac.errors import PracError

MODE = 0o666


def write_atomic(path: Path, content: bytes) -> None:
    """Write a file so that a reader, or a crash, finds the old content or the new, never less."""
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(name, MODE & ~_umask())
        os.replace(name, path)
    except BaseException as error:
        Path(name).unlink(missing_ok=True)
        if isinstance(error, OSError) and error.filename is None:
            error.filename = str(path)
        raise
    _sync_folder(path.parent)


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
    """Say whether a run folder holds an epoch's work, which other settings must not overwrite."""
    metrics = run / "metrics.jsonl"
    return metrics.exists() and metrics.stat().st_size > 0


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


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _umask() -> int:
    current = os.umask(0)
    os.umask(current)
    return current


class Lock:
    """One process's hold on a folder; the system drops it when the process ends, in any way."""

    def __init__(self, folder: Path) -> None:
        """Name the folder; `with` takes the hold."""
        self.folder = folder
        self._file: IO[str] | None = None

    def __enter__(self) -> Lock:
        """Take the hold.

        Raises:
            PracError: If another process has it, saying which.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        self._file = open(self.folder / ".lock", "a+")
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            self._file.seek(0)
            holder = self._file.read().strip() or "unknown"
            self._file.close()
            raise PracError(
                f"{self.folder}: process {holder} is working in this folder: wait for it, or "
                f"choose another --out"
            ) from error
        self._file.truncate(0)
        self._file.write(str(os.getpid()))
        self._file.flush()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Give the hold up."""
        self.release()

    def release(self) -> None:
        """Give the hold up, if it was taken."""
        if self._file is not None:
            self._file.close()
