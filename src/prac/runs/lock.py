"""One process at a time in a folder."""

from __future__ import annotations

import errno
import os
import socket
import time
from contextlib import suppress
from pathlib import Path

from filelock import FileLock, Timeout

from prac.errors import FolderError
from prac.io import make_folder

NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.EINVAL)


class Lock:
    """One process's hold on a folder; the system drops it when the process ends, in any way.

    A forked process, such as one that loads data, does not share it, nor keep it from its parent's
    successor.
    """

    def __init__(self, folder: Path) -> None:
        """Name the folder; `with` takes the hold."""
        self.folder = folder
        self._path = folder / ".lock"
        self._held: os.stat_result | None = None
        self._lock = FileLock(
            self._path,
            timeout=0,
            thread_local=False,
            fallback_to_soft=False,  # Which a killed process would leave behind.
            preserve_lock_file=True,
            on_acquired=self._sign,
        )

    def _sign(self, descriptor: int) -> None:
        now = time.strftime("%Y-%m-%d %H:%M:%S %Z")
        text = f"process {os.getpid()} on {socket.gethostname()} since {now}".encode()
        os.pwrite(descriptor, text, 0)
        os.ftruncate(descriptor, len(text))
        self._held = os.fstat(descriptor)

    def __enter__(self) -> Lock:
        """Take the hold.

        Raises:
            FolderError: If another process has it, saying which, or the file system has no locks.
        """
        make_folder(self.folder)
        try:
            self._lock.acquire()
        except Timeout as error:
            holder = self._path.read_text(errors="replace")[:200] or "another process"
            raise FolderError(
                f"{self.folder}: {holder} is working in this folder: wait for it, or choose "
                f"another --out"
            ) from error
        except OSError as error:
            if error.errno not in NO_LOCKS:
                raise
            raise FolderError(
                f"{self.folder}: cannot be locked ({error.strerror}): choose an --out on a file "
                f"system with locks"
            ) from error
        return self

    def __exit__(self, *error: object) -> None:
        """Give the hold up."""
        self.release()

    def release(self) -> None:
        """Give the hold up, if it was taken."""
        self._held = None
        self._lock.release()

    def check(self) -> None:
        """Raise a FolderError if the folder that is held is no longer the one of that name."""
        assert self._held is not None, "the hold was taken"
        is_same = False
        with suppress(OSError):
            is_same = os.path.samestat(self._held, os.stat(self._path))
        if not is_same:
            raise FolderError(
                f"{self.folder}: the run folder was removed or replaced while the run went on: "
                f"put it back, or start again in a new folder"
            )
