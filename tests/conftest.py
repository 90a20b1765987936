"""What several tests start from: digits as tensors, a small network, quick settings."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest
import torch
from hypothesis import settings
from sklearn.datasets import load_digits
from torch import Tensor, nn

import prac
from prac.cli import main
from tests.docs_commands import Once, run_prac, steady

# `make test` finds what is broken for most inputs, `make test-all` what is broken for a few.
settings.register_profile("fast", max_examples=20, deadline=None)
settings.register_profile("thorough", max_examples=100, deadline=None)
settings.load_profile("fast")

Pair = tuple[Tensor, Tensor]

SEARCH = [
    "--data", "digits", "--limit", "400", "--model", "lenet_300_100", "--layers", "linear",
    "--levels", "3", "--epochs", "4", "--milestones", "3", "--lr", "0.05", "--batch-size", "32",
    "--seed", "0", "--quiet",
]  # fmt: skip
STOP = ["--arm", "at-once", "--window", "2"]
"""What `judged_run` is searched with; another method takes no early stop."""


@pytest.fixture(scope="session")
def digits() -> Pair:
    """All 1,797 digits: float (n, 1, 8, 8) in 0..1, and labels."""
    bunch = load_digits()
    return torch.tensor(bunch.images / 16, dtype=torch.float32)[:, None], torch.tensor(bunch.target)


@pytest.fixture
def train(digits: Pair) -> Pair:
    return digits[0][:300], digits[1][:300]


@pytest.fixture
def val(digits: Pair) -> Pair:
    return digits[0][300:400], digits[1][300:400]


class SmallNet(nn.Sequential):
    """A convolution with BatchNorm and a classifier: buffers to rewind, two kinds of weight."""

    def __init__(self, channels: int = 6, seed: int = 0) -> None:
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            super().__init__(
                nn.Conv2d(1, channels, 3, padding=1),
                nn.BatchNorm2d(channels),
                nn.ReLU(),
                nn.MaxPool2d(2),
                nn.Flatten(),
                nn.Linear(channels * 16, 10),
            )


@pytest.fixture
def small_net() -> Callable[..., SmallNet]:
    return SmallNet


def quick(method: str = "prac", **changes: object) -> prac.SearchConfig:
    """Return a search of three short levels that stops on nothing but its length."""
    settings: dict[str, object] = {
        "levels": 3,
        "train": prac.TrainConfig(epochs=3, batch_size=50, lr=0.1, milestones=(2,)),
        "prune": prac.PruneConfig(layers="conv+linear"),
    }
    make = getattr(prac.SearchConfig, method)
    config: prac.SearchConfig = make(**{**settings, **changes})
    return config


@pytest.fixture
def config() -> Callable[..., prac.SearchConfig]:
    return quick


@pytest.fixture(autouse=True, scope="session")
def _no_waiting_for_the_disk() -> Iterator[None]:
    """Make `os.fsync` do nothing but refuse what is no open file: no test cuts the power.

    Tests of the order of writes put their own functions in its place; `torture/power.py` has a
    model of a disk that keeps only what was synced.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda descriptor: bool(os.fstat(descriptor)) and None)
        yield


def made_once(factory: pytest.TempPathFactory, name: str, make: Callable[[Path], object]) -> Path:
    """Return a folder that `make` fills: one for all the processes that tests run in.

    The tests that share it must not change it.
    """
    base = factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        base = base.parent
    folder, whole = base / name, base / f"{name}-whole"
    with (base / f"{name}-lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not whole.exists():
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir()
            make(folder)
            whole.touch()
    return folder


@pytest.fixture(scope="session")
def judged_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run, its tickets retrained once, and judged with a control: not to be changed."""

    def make(folder: Path) -> None:
        run = str(folder / "run")
        assert main(["find", *SEARCH, *STOP, "--retrain", "0,2,3", "--out", run]) == 0
        asked = ["--levels", "2,3", "--seeds", "0,1", "--shuffle", "--quiet"]
        assert main(["judge", run, *asked]) == 0

    return made_once(tmp_path_factory, "judged", make) / "run"


@pytest.fixture(scope="session")
def once(tmp_path_factory: pytest.TempPathFactory) -> Once:
    """Give what `prac` with some words leaves and prints; it runs once, whoever asks."""

    def run(words: Sequence[str]) -> tuple[Path, str]:
        def make(folder: Path) -> None:
            with contextlib.chdir(folder), pytest.MonkeyPatch.context() as patch:
                steady(patch)
                status, printed = run_prac(words)
            assert status == 0, printed
            (folder / "printed.txt").write_text(printed)

        digest = hashlib.sha256(repr(list(words)).encode()).hexdigest()[:12]
        folder = made_once(tmp_path_factory, f"prac-{digest}", make)
        return folder, (folder / "printed.txt").read_text()

    return run


def files(run: Path, *patterns: str) -> dict[str, bytes]:
    """Return the bytes of a run's files that match, by path."""
    chosen = patterns or ("levels/*/ticket.safetensors", "levels/*/subset.safetensors")
    found = sorted(path for pattern in chosen for path in run.glob(pattern))
    return {str(path.relative_to(run)): path.read_bytes() for path in found}


@pytest.fixture
def run_files() -> Callable[..., dict[str, bytes]]:
    return files


@pytest.fixture(autouse=True)
def _in_its_own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
