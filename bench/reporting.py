"""Section `report`: how long the page of a large run takes."""

from __future__ import annotations

import contextlib
import io
from pathlib import Path

import numpy as np
from torch import nn

from bench.imports import seconds
from bench.options import Options
from bench.report import Goal, Row, Section
from prac.cli import main

MOST_SECONDS = 10.0
CLASSES = 10


def model() -> nn.Module:
    """Return a model that trains fast: it is the run folder's size that matters here."""
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 20), nn.ReLU(), nn.Linear(20, CLASSES))


def measure(options: Options) -> Section:
    """Search once, in large batches, and make the page of it some times, by the whole command."""
    examples, levels, epochs = options.of((100_000, 20, 200), (300, 2, 2))
    run = searched(options.scratch, examples, levels, epochs, options.seed)
    page = run / "report.html"
    command = ["-m", "prac", "report", str(run), "-o", str(page)]
    samples = [seconds(command) for _ in range(options.of(5, 1))]
    what = f"prac report: {levels} levels x {epochs} epochs x {examples:,} examples"
    rows = [
        Row.of(what, "s", samples, Goal(MOST_SECONDS, "at most")),
        Row.of("its page", "MiB", [page.stat().st_size / 2**20]),
    ]
    remark = (
        "The run is a real one, of random images of 8 x 8 pixels and a small network, trained in "
        "batches of a tenth of the data."
    )
    return Section(rows, {"examples": examples, "levels": levels, "epochs": epochs}, [remark])


def searched(scratch: Path, examples: int, levels: int, epochs: int, seed: int) -> Path:
    """Return the run folder of a search on random images."""
    random = np.random.default_rng(seed)
    data, run = scratch / "random.npz", scratch / "run"
    y = random.integers(0, CLASSES, examples)
    x = random.integers(0, 255, (examples, 8, 8), dtype=np.uint8)
    x[:, :, 0] = 25 * y[:, None]  # Something that can be learned.
    np.savez(data, x_train=x, y_train=y)
    settings = {
        "data": data,
        "model": "bench.reporting:model",
        "layers": "linear",
        "levels": levels,
        "epochs": epochs,
        "batch-size": examples // 10,
        "seed": seed,
        "stop-rule": "never",
        "out": run,
        "execution": "eager",
    }
    options = [word for name, value in settings.items() for word in (f"--{name}", str(value))]
    with contextlib.redirect_stdout(io.StringIO()):
        status = main(["find", *options, "--quiet"])
    if status:
        raise RuntimeError(f"the search ended with status {status}")
    return run
