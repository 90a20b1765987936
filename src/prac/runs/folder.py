"""A run folder: what it was started with, its newest resumable states, its metrics."""

from __future__ import annotations

import json
import re
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from prac.errors import Damaged, FolderError, PracError
from prac.io import (
    append,
    check_kind,
    check_same,
    cut,
    has_trained,
    json_text,
    other_kind,
    read_environment,
    read_settings,
    state_paths,
    write_atomic,
    write_json,
    write_tensors,
    writing,
)
from prac.runs.checkpoint import bytes_of, check_like, read_state, to_tensors
from prac.runs.lock import Lock
from prac.runs.state import RunState
from prac.runs.writer import Background

GENERATIONS = 2
SEARCH = ("search",)
TRAINING = ("retraining", "trunk")
"""Kinds of the folders that a run of settings with levels, or without, goes on in."""

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
        versions: Of software and hardware, as `environment` gives them; kept there too.
        of_old: What prac 0.1 would have taken for parts of the identity, None for what it did not
            tell: a run that was begun with these goes on with them.
        accept_changes: Go on under other versions as well, though bits may differ.
        note: Shown a line that a person should know of.
    """

    def __init__(
        self,
        path: Path,
        settings: Mapping[str, Any],
        identity: Mapping[str, Any],
        versions: Mapping[str, Any],
        *,
        of_old: Mapping[str, Any] | None = None,
        accept_changes: bool = False,
        note: Callable[[str], None] = lambda line: None,
    ) -> None:
        """Name the folder; `with` opens it."""
        self.path = path
        # As JSON gives them back, so that what is compared is what was written.
        self.settings: dict[str, Any] = json.loads(json.dumps(dict(settings)))
        self.identity: dict[str, Any] = json.loads(json.dumps(dict(identity)))
        self._of_old = dict(of_old or {})
        self.versions = dict(versions)
        self._accept_changes, self._note = accept_changes, note
        self._lock = Lock(path)
        self._background = Background()
        self._held: Callable[[], None] | None = None
        self._seconds_a_byte = 0.0
        self._bytes = 0

    def __enter__(self) -> RunFolder:
        """Lock the folder, and check what it was begun with, or begin it.

        Raises:
            FolderError: If another process holds it, it was begun otherwise, it holds something
                else, or it cannot be written to.
        """
        try:
            with writing(self.path):
                self._check_is_ours()
                self._lock.__enter__()
                self._sweep()
                if not self._is_same_run():
                    self._begin()
        except BaseException:
            self._lock.release()
            raise
        return self

    def _check_is_ours(self) -> None:
        """Raise a FolderError for what is anything but such a run's folder, or its beginnings."""
        is_search = "levels" in self.settings
        check_kind(self.path, "run", *(SEARCH if is_search else TRAINING), error=FolderError)
        if self.path.exists() and not self.path.is_dir():
            raise other_kind(self.path, "run", FolderError)
        if not self.path.exists() or (self.path / "config.yaml").exists():
            return
        ours = {".lock", "environment.json"}
        for entry in self.path.iterdir():
            if entry.name not in ours and not LEFTOVER.fullmatch(entry.name):
                raise FolderError(
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
        if not (self.path / "config.yaml").exists():
            return False
        try:
            check_same(self.path, read_settings(self.path), self.settings)
            begun = read_environment(self.path)
            kept = {name: value for name, value in self._of_old.items() if begun.get(name) == value}
            wanted = {**self.identity, **kept}
            for name in (*(kept.keys() - begun.keys()), *RECORDED):
                wanted.pop(name, None)
            check_same(self.path, begun, wanted, HINTS)
        except PracError:
            if has_trained(self.path):
                raise
            return False
        self.identity |= kept
        if not has_trained(self.path):  # Nothing came of the versions that it was begun under.
            write_json(self.path / "environment.json", {**begun, **self.versions})
        return True

    def _begin(self) -> None:
        import yaml

        # What a run that trained no epoch left; without a config.yaml there is none of it.
        for name in ("levels", "state"):
            shutil.rmtree(self.path / name, ignore_errors=True)
        write_json(self.path / "environment.json", {**self.versions, **self.identity})
        text = yaml.safe_dump(self.settings, sort_keys=False)
        write_atomic(self.path / "config.yaml", text.encode())

    def __exit__(self, *error: object) -> None:
        """Let go of the folder, when what is under way is on disk.

        Raises:
            PracError: If that cannot be written.
        """
        try:
            self.wait()
        finally:
            self._lock.release()

    def wait(self) -> None:
        """Return once the newest state is on disk; nothing else is written or read before.

        Raises:
            PracError: If it cannot be written.
        """
        self.release()
        self._background.wait()

    def release(self) -> None:
        """Begin to write the state that was committed to be held, if there is one."""
        work, self._held = self._held, None
        if work is not None:
            self._background.start(work)

    def level(self, index: int) -> Path:
        """Return the folder of a level, when no state is under way that comes before its files.

        Raises:
            PracError: If that cannot be written.
        """
        self.wait()
        return self.path / "levels" / f"{index:02d}"

    def commit(self, state: RunState, *metrics: Mapping[str, Any], hold: bool = False) -> None:
        """Make `state` the one that a resumed run goes on from, with its lines of metrics.

        That is done in the background, once the state before it is on disk: nobody may change its
        tensors from here on. What cannot be written is told by whatever waits for it: the next
        state, a level's folder, `wait`, or the end of this folder's use.

        The lines are on disk before the state that says how many bytes of metrics are its; what
        a crash leaves beyond them is cut off on resuming. With `hold` writing begins only when
        `release` says so, or something waits: the interpreter serves one thread at a time, and a
        device may have nothing to do meanwhile.

        Raises:
            PracError: If the state before it cannot be written, or the folder is no longer there.
        """
        self.wait()
        self._lock.check()
        self._bytes = bytes_of(state)
        self._held = partial(self._commit, state, metrics)
        if not hold:
            self.release()

    @property
    def seconds_to_save(self) -> float:
        """How long the newest state may take to be on disk, as those before it did; 0 at first."""
        return self._bytes * self._seconds_a_byte

    def _commit(self, state: RunState, metrics: Sequence[Mapping[str, Any]]) -> None:
        started = time.monotonic()
        tensors, header = to_tensors(state)
        is_start = state.level == state.step == 0
        if metrics:
            append(self._metrics, "".join(json_text(line) + "\n" for line in metrics).encode())
        numbers = list(state_paths(self.path))
        number = numbers[-1] + 1 if numbers else int(not is_start)
        header["metrics_bytes"] = self._metrics_length()
        write_tensors(self.path / "state" / f"{number:08d}.safetensors", tensors, "state", header)
        with writing(self.path / "state"):
            for old in list(state_paths(self.path).values())[:-GENERATIONS]:
                old.unlink()
        took = (time.monotonic() - started) / max(self._bytes, 1)
        self._seconds_a_byte = max(self._seconds_a_byte, took)

    def resume(self, first: RunState) -> RunState | None:
        """Return the newest whole state, and cut the metrics back to it; None where there is none.

        A damaged newest state gives way to the one before it, and is named and put aside. A state
        must be like the `first` one, from which the run would start.

        Raises:
            PracError: If there are states and all are damaged, or one is of another prac, or the
                run was begun under other versions and changes are not accepted.
        """
        self.wait()
        state, faults = self._newest_whole(first)
        if state is None:
            self._check_nothing_is_lost(faults)
            return None
        if has_trained(self.path):
            self._check_versions(state)
        for path, fault in faults:
            with writing(path):
                path.rename(path.with_suffix(".damaged"))
            self._note(f"{fault}: going on from the state before it")
        return state

    def _newest_whole(self, first: RunState) -> tuple[RunState | None, list[tuple[Path, Damaged]]]:
        faults = []
        for path in reversed(state_paths(self.path).values()):
            try:
                state, metrics_bytes = read_state(path)
                check_like(state, first, path)
                if self._metrics_length() < metrics_bytes:
                    raise Damaged(f"{path}: tells of lines that {self._metrics} has not")
            except Damaged as error:
                faults.append((path, error))
                continue
            if self._metrics_length() > metrics_bytes:
                cut(self._metrics, metrics_bytes)
            return state, faults
        return None, faults

    def _check_nothing_is_lost(self, faults: list[tuple[Path, Damaged]]) -> None:
        """Raise a PracError where there was something to resume from, and no state is whole."""
        if faults:
            raise PracError(f"{faults[0][1]}; no whole state is left: start again in a new folder")
        if any(self.path.glob("levels/*/summary.json")):
            fault = "has finished levels, but its state to resume from is gone"
            raise PracError(f"{self.path}: {fault}: start again in a new folder")
        if self._metrics_length():
            # A crash came after the first line and before the first state.
            cut(self._metrics, 0)

    def _check_versions(self, state: RunState) -> None:
        """Raise a FolderError, or say so, where a run goes on under other versions than it had."""
        path = self.path / "environment.json"
        about = read_environment(self.path)
        changed = {
            name: about.get(name)
            for name in (*MATTERING, *MAYBE_MATTERING)
            if about.get(name) != self.versions.get(name)
        }
        if not changed:
            return
        shown = ", ".join(f"{n} was {old}, is {self.versions.get(n)}" for n, old in changed.items())
        if not self._accept_changes and any(name in changed for name in MATTERING):
            raise FolderError(
                f"{self.path}: {shown}: what it finds from here on may differ in its last bits; "
                f"pass --accept-changes to go on all the same"
            )
        self._note(f"{self.path}: {shown}: what it finds may differ in its last bits")
        place = {"level": state.level, "iteration": state.step, "before": changed}
        history = [*about.get("continued", []), place]
        write_json(path, {**about, **self.versions, "continued": history})

    def forget_states(self) -> None:
        """Remove the states, once the run is complete and nothing is left to resume."""
        self.wait()
        folder = self.path / "state"
        with writing(folder):
            for path in (*state_paths(self.path).values(), *folder.glob("*.damaged")):
                path.unlink()
            if folder.exists() and not any(folder.iterdir()):
                folder.rmdir()

    @property
    def _metrics(self) -> Path:
        return self.path / "metrics.jsonl"

    def _metrics_length(self) -> int:
        return self._metrics.stat().st_size if self._metrics.exists() else 0


RECORDED = ("parameters",)
"""Of the identity, what follows from the rest, in words that may change: it is not compared."""

_OWN = (
    "a function of yours is another one, or a value that it holds or reads is, such as a counter "
    "or a cache in it: use the same to resume"
)
HINTS = {
    "modules": "the network is another one: make the same one to resume",
    "initial_weights": (
        "the network starts from other weights or buffers: load the same ones, or make it after "
        "torch.manual_seed(N) with the same N each time, or put the run's own into it: "
        "prac.Ticket.load(OUT + '/levels/00/ticket.safetensors').apply(model)"
    ),
    "loop": "its levels are trained in another loop: go on in that one",
    "metric": "the metric is another one, or another way is better: give the same task to resume",
    "own_metric": _OWN,
    "after": "the search went on from another ticket, or from none: give the same one to resume",
    **{
        f"own_{part}": _OWN
        for part in ("loss", "correct", "prediction", "losses", "choose", "stop", "score")
    },
}
"""What to do where a run differs in these, besides using another folder."""

# Under another of these the same command need not give the same bits.
MATTERING = (
    *("prac", "torch", "device", "cuda", "arithmetic", "execution"),
    *("cudnn", "deterministic", "tf32"),
)
MAYBE_MATTERING = ("processor", "threads")
