"""Section `forgetting`: what an example's statistics take, in bytes and in time."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor

from bench.apart import apart, once
from bench.options import Options
from bench.report import Goal, Row, Section, ratios
from bench.rounds import interleaved
from prac.algorithms import ForgettingTable
from prac.cli.memory import keep_freed_memory

BYTES = 8
FLAT = 1.1
EPOCHS = 200


def measure(options: Options) -> Section:
    """Measure bytes, a large update, and whether updates stay as fast."""
    large, small = options.of(10_000_000, 10_000), options.of(1_000_000, 1_000)
    with apart(updates, large, 1, options.seed) as ask:
        seconds = [ask("first") for _ in range(options.of(7, 2))]
    with apart(updates, small, EPOCHS, options.seed) as ask:
        runs = {kind: partial(ask, kind) for kind in ("first", "last")}
        found = interleaved(runs, options.of(9, 2))
    rows = [
        Row.of("table", "bytes an example", [once(bytes_an_example)], Goal(BYTES, "at most")),
        Row.of(f"an update with {large:,} examples", "s", seconds),
        Row.of(f"an update with {small:,} examples, epoch 1", "s", found["first"]),
        Row.of(f"an update with {small:,} examples, epoch {EPOCHS}", "s", found["last"]),
        Row.of(
            f"epoch {EPOCHS} / epoch 1",
            "",
            ratios(found["last"], found["first"]),
            Goal(FLAT, "at most"),
        ),
    ]
    return Section(rows)


def bytes_an_example() -> float:
    """Return the bytes of all of a table's tensors over its length."""
    table = ForgettingTable.empty(1000)
    tensors = [value for value in vars(table).values() if isinstance(value, Tensor)]
    return sum(t.numel() * t.element_size() for t in tensors) / len(table)


def updates(n: int, epochs: int, seed: int) -> Callable[[str], float]:
    """Return what times the update of the first epoch, or the one after many."""
    keep_freed_memory()
    generator = torch.Generator().manual_seed(seed)
    ids = torch.randperm(n, generator=generator)
    correct = [torch.rand(n, generator=generator) < 0.7 for _ in range(2)]
    tables = {"first": ForgettingTable.empty(n), "last": ForgettingTable.empty(n)}
    for epoch in range(epochs - 1):
        tables["last"] = tables["last"].update(ids, correct[epoch % 2])

    def timed(kind: str) -> float:
        started = time.perf_counter()
        tables[kind].update(ids, correct[0])
        return time.perf_counter() - started

    timed("first")
    return timed
