"""Batches of a map-style dataset, fetched by worker processes that end with their parent."""

from __future__ import annotations

import ctypes
import os
import re
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from multiprocessing import get_start_method
from typing import Any

from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from prac.data.reading import Reading, seeded_everywhere
from prac.errors import PracError
from prac.utils import (
    derive_seed,
    generator,
    one_line,
)

_STOPPING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1)
_GRACE_SECONDS = 30
_PR_SET_PDEATHSIG = 1
_IN_WORKER = re.compile(r"^prac\.errors\.\w+: ", re.MULTILINE)


@contextmanager
def fetched(
    dataset: Reading,
    batches: Sequence[Tensor],
    seeds: Sequence[int] | None,
    *,
    workers: int,
    pinned: bool,
) -> Iterator[Iterator[Any]]:
    """Give an iterator over collated batches of int64 indices; its processes end with its use.

    With `seeds`, one a batch, all random generators are seeded while it is fetched; without, for
    collation alone, if that is the data set's own, such that it draws the same each time. Without
    `workers` this process fetches. `pinned` memory is such that a GPU copies fast from it.

    Raises:
        PracError: As the dataset raised it, also in a loading process; if such a process ends, or
            the dataset cannot be sent to one.
    """
    lists = [batch.tolist() for batch in batches]
    if seeds is None and dataset.collates:
        seeds = [derive_seed("collation", number) for number in range(len(lists))]
    sampler: list[Any] = lists if seeds is None else list(zip(seeds, lists, strict=True))
    loader = DataLoader(
        dataset if seeds is None else _SeededBatches(dataset),
        batch_sampler=sampler,
        collate_fn=dataset.collated if seeds is None else _collated_already,
        num_workers=workers,
        pin_memory=pinned,
        worker_init_fn=partial(_follow, os.getpid()),
        generator=generator(0),  # Else it would draw from everyone's.
    )
    # Held back until the new processes have said what they do with them.
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _STOPPING)
    try:
        loaded = iter(loader)
    except Exception as error:
        if not workers or "pickle" not in str(error):
            raise
        raise PracError(
            f"the data set cannot be sent to a loading process ({one_line(error)}): define its "
            f"class and functions at the top of a module, or use no workers"
        ) from error
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
    try:
        yield loaded
    except PracError as error:
        # What a loading process raised comes in its traceback.
        told = _IN_WORKER.split(str(error).strip())
        if len(told) == 1:
            raise
        raise type(error)(one_line(told[-1])) from error
    except RuntimeError as error:
        if not str(error).startswith("DataLoader worker (pid"):
            raise
        raise PracError(
            f"a loading process ended before its work was done ({one_line(error)}): it may have "
            f"had too little memory; use fewer workers, or none to see the data set's own error"
        ) from error
    finally:
        # An error's traceback would keep them until this process ends, and waits for them.
        getattr(loaded, "_shutdown_workers", lambda: None)()


def _collated_already(batch: Any) -> Any:
    return batch


class _SeededBatches(Dataset[Any]):
    """A dataset whose batches are fetched and collated with all generators seeded for each."""

    def __init__(self, dataset: Reading) -> None:
        self._dataset = dataset

    def __getitems__(self, batch: tuple[int, list[int]]) -> Any:
        seed, indices = batch
        with seeded_everywhere(seed):
            return self._dataset.collated(self._dataset.__getitems__(indices))


def _follow(parent: int, worker: int) -> None:
    """Keep a loading process at work while its parent finishes a step, and end it with its parent.

    A terminal, and many a batch system, sends its signals to all of a command's processes.
    """
    signalled_with_parent(signal.SIGKILL)
    # Killed before that: torch's own watch, which asks who the parent is only after this, would
    # follow whoever inherits orphans, for ever.
    if get_start_method() != "forkserver" and os.getppid() != parent:
        os._exit(0)
    for number in _STOPPING:
        signal.signal(number, signal.SIG_IGN)
    # Not for good: torch ends with SIGTERM a process that does not end by itself.
    signal.signal(signal.SIGALRM, lambda *_: os._exit(0))
    signal.signal(signal.SIGTERM, lambda *_: signal.alarm(_GRACE_SECONDS))
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _STOPPING)


def signalled_with_parent(number: signal.Signals) -> None:
    """Ask the system to send this process a signal when its parent ends; only Linux can."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, number)
