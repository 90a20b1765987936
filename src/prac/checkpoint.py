"""A run folder: what it was started with, its newest resumable states, its metrics."""

from __future__ import annotations

import json
import os
import platform
import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

import torch
import yaml

from prac import __version__
from prac.errors import PracError
from prac.files import (
    Lock,
    check_same,
    has_trained,
    read_json,
    read_settings,
    write_atomic,
    write_json,
)
from prac.state import RunState
from prac.state_file import from_tensors, to_tensors
from prac.store import read_tensors, write_tensors

GENERATIONS = 2

# What write_atomic leaves of this folder's files where a process is killed in the middle of it.
LEFTOVER = re.compile(
    r"\.(config\.yaml|environment\.json|summary\.json|\w+\.safetensors)\.[a-z0-9_]{8}"
)


class RunFolder:
    """One run's folder, held by one process while it is open.

    A folder begun with other settings or another identity is refused, naming what differs.

    Args:
        path: The folder; made if it is not there.
        settings: By flat name, JSON values; kept in config.yaml.
        identity: What the run is about beyond its settings, such as the data's fingerprint, JSON
            values; kept in environment.json.
        versions: Of software and hardware; kept there too, for the record.
    """

    def __init__(
        self,
        path: Path,
        settings: Mapping[str, Any],
        identity: Mapping[str, Any],
        versions: Mapping[str, Any],
    ) -> None:
        """Name the folder; `with` opens it."""
        self.path = path
        # As JSON gives them back, so that what is compared is what was written.
        self.settings: dict[str, Any] = json.loads(json.dumps(dict(settings)))
        self.identity: dict[str, Any] = json.loads(json.dumps(dict(identity)))
        self.versions = dict(versions)
        self._lock = Lock(path)

    def __enter__(self) -> RunFolder:
        """Lock the folder, and check what it was begun with, or begin it.

        Raises:
            PracError: If another process holds it, it was begun otherwise, it holds something
                else, or it cannot be written to.
        """
        if self.path.exists() and not self.path.is_dir():
            raise PracError(f"{self.path}: is a file: expected a folder for --out")
        try:
            self._check_is_ours()
            self._lock.__enter__()
            self._sweep()
            if not self._is_same_run():
                self._begin()
        except OSError as error:
            self._lock.release()
            raise PracError(f"{self.path}: cannot be written to: {error.strerror}") from error
        except BaseException:
            self._lock.release()
            raise
        return self

    def _check_is_ours(self) -> None:
        """Raise a PracError for a folder that holds anything but a run, or a run's beginnings."""
        if not self.path.exists() or (self.path / "config.yaml").exists():
            return
        ours = {".lock", "environment.json"}
        for entry in self.path.iterdir():
            if entry.name not in ours and not LEFTOVER.fullmatch(entry.name):
                raise PracError(
                    f"{self.path}: holds {entry.name} but no run: choose an empty or new folder "
                    f"for --out"
                )

    def _sweep(self) -> None:
        """Remove the files that a killed process left half-written."""
        for folder in (self.path, self.path / "state", *self.path.glob("levels/*")):
            for path in folder.glob(".*"):
                if LEFTOVER.fullmatch(path.name):
                    path.unlink()

    def _is_same_run(self) -> bool:
        """Whether to go on with what is there; until an epoch is trained, nothing is lost if not.

        Raises:
            PracError: If an epoch was trained with other settings or another identity.
        """
        config, about = self.path / "config.yaml", self.path / "environment.json"
        if not config.exists():
            return False
        try:
            check_same(self.path, read_settings(self.path), self.settings)
            check_same(self.path, read_json(about), self.identity)
        except PracError:
            if has_trained(self.path):
                raise
            return False
        return True

    def _begin(self) -> None:
        # What a run that trained no epoch left; without a config.yaml there is none of it.
        for name in ("levels", "state"):
            shutil.rmtree(self.path / name, ignore_errors=True)
        write_json(self.path / "environment.json", {**self.versions, **self.identity})
        text = yaml.safe_dump(self.settings, sort_keys=False)
        write_atomic(self.path / "config.yaml", text.encode())

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Let go of the folder."""
        self._lock.release()

    def level(self, index: int) -> Path:
        """Return the folder of a level."""
        return self.path / "levels" / f"{index:02d}"

    def commit(self, state: RunState, metrics: Mapping[str, Any] | None = None) -> None:
        """Make `state` the one that a resumed run goes on from, with its line of metrics.

        The line is on disk before the state that says how many bytes of metrics belong to it; what
        a crash leaves beyond them is cut off on resuming.
        """
        path = self.path / "metrics.jsonl"
        if metrics is not None:
            with open(path, "ab") as file:
                file.write((json.dumps(metrics) + "\n").encode())
                file.flush()
                os.fsync(file.fileno())
        length = path.stat().st_size if path.exists() else 0
        states = self._states()
        number = self._number(states[-1]) + 1 if states else 1
        tensors, header = to_tensors(state)
        header["metrics_bytes"] = length
        write_tensors(self.path / "state" / f"{number:08d}.safetensors", tensors, "state", header)
        for old in self._states()[:-GENERATIONS]:
            old.unlink()

    def resume(self) -> RunState | None:
        """Return the newest whole state, and cut the metrics back to it; None where there is none.

        A damaged newest state gives way to the one before it.

        Raises:
            PracError: If there are states and all are damaged.
        """
        faults = []
        metrics = self.path / "metrics.jsonl"
        for path in reversed(self._states()):
            try:
                tensors, header = read_tensors(path, "state")
            except PracError as error:
                faults.append((path, error))
                continue
            for damaged, _ in faults:
                damaged.unlink()
            if metrics.exists() and metrics.stat().st_size > header["metrics_bytes"]:
                os.truncate(metrics, header["metrics_bytes"])
            return from_tensors(tensors, header)
        if faults:
            raise PracError(f"{faults[0][1]}; no whole state is left: start again in a new folder")
        if any(self.path.glob("levels/*/summary.json")):
            raise PracError(
                f"{self.path}: has finished levels, but its state to resume from is gone: start "
                f"again in a new folder"
            )
        if metrics.exists():
            # A crash came after the first line and before the first state.
            os.truncate(metrics, 0)
        return None

    def forget_states(self) -> None:
        """Remove the states, once the run is complete and nothing is left to resume."""
        for path in self._states():
            path.unlink()
        folder = self.path / "state"
        if folder.exists() and not any(folder.iterdir()):
            folder.rmdir()

    def _states(self) -> list[Path]:
        return sorted((self.path / "state").glob("*.safetensors"))

    @staticmethod
    def _number(path: Path) -> int:
        return int(path.stem)


def environment() -> dict[str, Any]:
    """Return the versions and hardware of this process."""
    return {
        "prac": __version__,
        "torch": torch.__version__,
        "python": platform.python_version(),
        "platform": platform.platform(),
        "processor": platform.machine(),
        "threads": torch.get_num_threads(),
        "cuda": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
    }
