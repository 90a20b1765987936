"""Section `states`: how long training is held by a state, and what writing one takes."""

from __future__ import annotations

import hashlib
import time
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from bench import resident
from bench.apart import apart, once
from bench.options import Options
from bench.report import Row, Section
from prac.algorithms import ForgettingTable, ones
from prac.cli.memory import keep_freed_memory
from prac.config import PruneConfig
from prac.io.container import content_of
from prac.models import prunable, snapshot
from prac.models.registry import build
from prac.runs import RunFolder, RunState, Weights
from prac.training import Runtime
from prac.training.runtime import environment

EXAMPLES = 45_000


def measure(options: Options) -> Section:
    """Measure the state of VGG-16 on CIFAR-10 with SGD, as a search has it after an epoch."""
    model = options.of("vgg16_bn", "lenet_300_100")
    with apart(committed, model, options.scratch) as ask:
        found = [ask() for _ in range(options.of(7, 2))]
    title = "VGG-16, SGD with momentum, rewind point and best epoch"
    rows = [
        Row.of(f"{title}: {what}", "s" if unit is None else unit, [each[what] for each in found])
        for what, unit in (
            ("a state", "MiB"),
            ("training is held", None),
            ("until it is on disk", None),
            ("of that, SHA-256 over its tensors", None),
        )
    ]
    if resident.is_measurable():
        extra = once(extra_memory, model, options.scratch)
        rows.append(Row.of(f"{title}: most extra memory", "MiB", [extra / 2**20]))
    return Section(rows)


def state_of(weights: Weights, prunables: Weights, examples: int) -> RunState:
    """Return a state with momentum, rewind point and best epoch of the size of the weights."""
    return RunState(
        0,
        1,
        weights,
        ones(prunables),
        torch.arange(examples),
        ForgettingTable.empty(examples),
        optimizer={f"{i}/momentum_buffer": w.clone() for i, w in enumerate(weights.values())},
        rewind={name: weight.clone() for name, weight in weights.items()},
        best={name: weight.clone() for name, weight in weights.items()},
        epoch_losses=torch.zeros(1),
        epoch_examples=examples,
    )


def opened(path: Path) -> RunFolder:
    """Return a run folder that is held until its process ends."""
    folder = RunFolder(path, {}, {}, environment(Runtime(torch.device("cpu"))))
    folder.__enter__()
    return folder


def _folder_and_state(model: str, path: Path) -> tuple[RunFolder, RunState]:
    keep_freed_memory()
    network = build(model, image_shape=(3, 32, 32), classes=10)
    weights = {name: w for name, w in snapshot(network).items() if w.is_floating_point()}
    names = prunable(network, PruneConfig(layers="conv+linear"))
    return opened(path), state_of(weights, {name: weights[name] for name in names}, EXAMPLES)


def committed(model: str, scratch: Path) -> Any:
    """Return what commits a state and gives its size and seconds."""
    folder, state = _folder_and_state(model, scratch / "states")
    groups: list[dict[str, Tensor] | None] = [state.weights, state.optimizer, state.rewind]
    tensors = [t for group in (*groups, state.best) for t in (group or {}).values()]

    def run() -> dict[str, float]:
        started = time.perf_counter()
        folder.commit(state)
        held = time.perf_counter() - started
        folder.wait()
        whole = time.perf_counter() - started
        digest, started = hashlib.sha256(), time.perf_counter()
        for tensor in tensors:
            digest.update(content_of(tensor))
        return {
            "a state": sum(t.nbytes for t in tensors) / 2**20,
            "training is held": held,
            "until it is on disk": whole,
            "of that, SHA-256 over its tensors": time.perf_counter() - started,
        }

    run()
    return run


def extra_memory(model: str, scratch: Path) -> int:
    """Return the most bytes that the first commit of a process holds beside the state."""
    folder, state = _folder_and_state(model, scratch / "states-memory")
    before = resident.resident()
    resident.forget_peak()
    folder.commit(state)
    folder.wait()
    return resident.peak() - before
