"""Section `masks`: the time and the memory that choosing masks takes, for large networks."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial

import torch
from torch import Tensor

from bench import resident
from bench.apart import apart
from bench.options import Options
from bench.report import Goal, Row, Section
from bench.rounds import interleaved
from prac.algorithms import magnitude, ones, prune
from prac.cli.memory import keep_freed_memory
from prac.config import PruneConfig
from prac.models import prunable
from prac.models.registry import build

RATE = 0.2
MEMORY = 1.5
Shapes = dict[str, tuple[int, ...]]


def resnet50_shapes() -> Shapes:
    """Return the shapes of ResNet-50's convolutions and last layer; no weight is made for it."""
    with torch.device("meta"):
        model = build("resnet50", image_shape=(3, 224, 224), classes=1000)
    chosen = prunable(model, PruneConfig(layers="conv+linear"))
    return {name: tuple(parameter.shape) for name, parameter in chosen.items()}


def cases(options: Options) -> dict[str, tuple[Shapes, float]]:
    """Return each network's shapes, and the seconds that its masks may take."""
    layer = options.of(1_000_000, 1_000)
    many: Shapes = {f"layer{i:03d}": (layer,) for i in range(100)}
    resnet: Shapes = {"weight": (25_000,)} if options.short else resnet50_shapes()
    return {
        "ResNet-50": (resnet, 0.3),
        "100 layers of 1 M": (many, 1.5),
        "one layer of 100 M": ({"layer": (100 * layer,)}, 1.5),
    }


def measure(options: Options) -> Section:
    """Measure every network, dense and half pruned."""
    rows: list[Row] = []
    if not resident.is_measurable():
        return Section([], {}, ["Peak memory is read from Linux's /proc, which is not here."])
    with ExitStack() as stack:
        runs, memory, goals = {}, {}, {}
        for name, (shapes, seconds) in cases(options).items():
            for kind, density in (("dense", 1.0), ("half pruned", 0.5)):
                title = f"{name}, {kind}"
                ask = stack.enter_context(apart(chosen, shapes, density, options.seed))
                runs[title], goals[title] = partial(ask, "seconds"), seconds
                # First, so that nothing was freed before that it could take again.
                memory[title] = ask("memory")
        found = interleaved(runs, options.of(5, 2))
    for title, seconds_each in found.items():
        goal = Goal(goals[title], "at most")
        rows.append(Row.of(f"{title}: choosing the masks", "s", seconds_each, goal))
    for title, share in memory.items():
        goal = Goal(MEMORY, "at most")
        what = f"{title}: most extra memory, in sizes of the weights"
        rows.append(Row.of(what, "", [share], goal))
    sizes = {
        name: sum(torch.Size(shape).numel() for shape in shapes.values())
        for name, (shapes, _) in cases(options).items()
    }
    return Section(rows, {"weights": sizes, "rate": RATE})


def chosen(shapes: Shapes, density: float, seed: int) -> Callable[[str], float]:
    """Return what chooses masks once: its seconds, or its most extra memory in weights' sizes.

    Scores count as extra: they are made from the weights in the same call. Everything is made
    without temporary memory, which would be taken again unseen.
    """
    generator = torch.Generator().manual_seed(seed)
    weights = {name: torch.randn(shape, generator=generator) for name, shape in shapes.items()}
    masks: dict[str, Tensor] = ones(weights)
    if density < 1:
        for mask in masks.values():
            mask.bernoulli_(density, generator=generator)
    held = sum(weight.numel() * weight.element_size() for weight in weights.values())
    keep_freed_memory()

    def measured(kind: str) -> float:
        before = resident.resident()
        resident.forget_peak()
        started = time.perf_counter()
        prune(magnitude(weights), masks, RATE, scope="global")
        seconds = time.perf_counter() - started
        return seconds if kind == "seconds" else (resident.peak() - before) / held

    return measured
