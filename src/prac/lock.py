"""One process at a time in a folder."""

from __future__ import annotations

import fcntl
import os
import socket
import time
from pathlib import Path
from types import TracebackType

from prac.errors import FolderError
from prac.files import MODE, make_folder

_held: set[Lock] = set()


class Lock:
    """One process's hold on a folder; the system drops it when the process ends, in any way."""

    def __init__(self, folder: Path) -> None:
        """Name the folder; `with` takes the hold."""
        self.folder = folder
        self._descriptor: int | None = None

    def __enter__(self) -> Lock:
        """Take the hold.

        Raises:
            FolderError: If another process has it, saying which, or the file system has no locks.
        """
        make_folder(self.folder)
        descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT, MODE)
        try:
            _lock(descriptor, self.folder)
            now = time.strftime("%Y-%m-%d %H:%M:%S %Z")
            text = f"process {os.getpid()} on {socket.gethostname()} since {now}".encode()
            os.pwrite(descriptor, text, 0)
            os.ftruncate(descriptor, len(text))
        except BaseException:
            os.close(descriptor)
            raise
        self._descriptor = descriptor
        _held.add(self)
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
        _held.discard(self)
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def check(self) -> None:
        """Raise a FolderError if the folder that is held is no longer the one of that name."""
        assert self._descriptor is not None, "the hold was taken"
        try:
            is_same = os.path.samestat(os.fstat(self._descriptor), os.stat(self._path))
        except OSError:
            is_same = False
        if not is_same:
            raise FolderError(
                f"{self.folder}: the run folder was removed or replaced while the run went on: "
                f"put it back, or start again in a new folder"
            )

    @property
    def _path(self) -> Path:
        return self.folder / ".lock"


def _lock(descriptor: int, folder: Path) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        holder = os.pread(descriptor, 200, 0).decode(errors="replace") or "another process"
        raise FolderError(
            f"{folder}: {holder} is working in this folder: wait for it, or choose another --out"
        ) from error
    except OSError as error:
        raise FolderError(
            f"{folder}: cannot be locked ({error.strerror}): choose an --out on a file system with "
            f"locks"
        ) from error


def _forget_in_child() -> None:
    """Close, in a forked process, what its parent holds.

    A loading process that outlives its killed parent by some seconds would go on holding it.
    """
    for lock in _held:
        if lock._descriptor is not None:
            os.close(lock._descriptor)
            lock._descriptor = None
    _held.clear()


os.register_at_fork(after_in_child=_forget_in_child)
