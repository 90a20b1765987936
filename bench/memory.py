"""Section `memory`: the most memory that a search holds, over what its training needs at least."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from bench import resident, textbook
from bench.apart import once
from bench.bare import bare_step
from bench.options import Options
from bench.report import Goal, Row, Section, ratios
from bench.work import RESNET, Work, images_of, load, with_batch
from prac.cli.memory import keep_freed_memory
from prac.config import SearchConfig
from prac.search import find
from prac.training import Runtime
from prac.training.optimizer import make_optimizer

MOST = 1.3
CPU = Runtime(torch.device("cpu"))


def measure(options: Options) -> Section:
    """Hold a search's peak against the sum of what it needs."""
    if not resident.is_measurable():
        return Section([], {}, ["Peak memory is read from Linux's /proc, which is not here."])
    work = with_batch(RESNET, options.of(RESNET.train.batch_size, 16))
    path = images_of(work, options, limit=options.of(None, 200))
    needed = once(needs, work, path, options.seed)
    peaks = [once(searched, work, path, options, number) for number in range(options.of(2, 1))]
    bare = [once(trained_bare, work, path, options) for _ in range(options.of(2, 1))]
    whole = sum(needed.values())
    return Section(
        [
            Row.of("peak of a search, over what was held after imports", "MiB", _mib(peaks)),
            *(Row.of(f"needed: {part}", "MiB", _mib([size])) for part, size in needed.items()),
            Row.of("needed: together", "MiB", _mib([whole])),
            Row.of("peak / needed", "", [p / whole for p in peaks], Goal(MOST, "at most")),
            Row.of("peak of bare steps on that data", "MiB", _mib(bare)),
            Row.of("peak of bare steps / needed", "", [b / whole for b in bare]),
            Row.of("peak / peak of bare steps", "", ratios(peaks, bare), Goal(MOST, "at most")),
        ]
    )


def _mib(sizes: list[int]) -> list[float]:
    return [size / 2**20 for size in sizes]


def searched(work: Work, path: Path, options: Options, number: int) -> int:
    """Return the most bytes that a short search held, data and model included.

    A level of some iterations, and the CEP pass after it, over all the training data.
    """
    keep_freed_memory()
    before = resident.resident()
    resident.forget_peak()
    images = load(work, path)
    config = SearchConfig.prac(
        levels=1,
        seed=options.seed,
        train=replace(work.train, iterations=options.of(30, 3)),
        prune=work.prune,
    )
    out = options.scratch / f"memory-{number}"
    find(work.build(options.seed), images.examples(), config, out=out, device="cpu")
    return resident.peak() - before


def trained_bare(work: Work, path: Path, options: Options) -> int:
    """Return the most bytes that untuned steps held, on batches of the same data in memory.

    That is what torch takes for data, model, optimiser and a batch's activations: its own working
    memory, and what its allocator leaves unused, with them.
    """
    before = resident.resident()
    resident.forget_peak()
    images = load(work, path)
    model = work.build(options.seed)
    step = bare_step(model, textbook.optimizer_of(model, work.train), CPU)
    for ids in torch.randperm(len(images.x)).split(work.train.batch_size)[: options.of(30, 3)]:
        step(images.pipeline(images.x[ids]), images.y[ids])
    return resident.peak() - before


def needs(work: Work, path: Path, seed: int) -> dict[str, int]:
    """Return the bytes of each thing that a training step has to hold at once.

    Each storage is counted once: an input that two layers keep is one.
    """
    images = load(work, path)
    model = work.build(seed).train()
    optimizer = make_optimizer(model, work.train, CPU)
    step = bare_step(model, optimizer, CPU)
    x, y = next(iter(images.examples().stream([torch.arange(work.train.batch_size)])))
    step(x, y)  # Makes gradients and the optimiser's state.
    own = list(model.parameters()) + list(model.buffers())
    kept: dict[int, int] = {}
    known = _storages(own)

    def keep(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in known:
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    # The batch is held as well, whether or not backward needs it.
    keep(x), keep(y)
    with (
        torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor),
        Largest() as largest,
    ):
        step(x, y)
    gradients = [p.grad for p in model.parameters() if p.grad is not None]
    state = [v for values in optimizer.state.values() for v in values.values() if _is_tensor(v)]
    return {
        "data": sum(_storages([images.x, images.y]).values()),
        "weights and buffers": sum(known.values()),
        "gradients": sum(_storages(gradients).values()),
        "optimiser": sum(_storages(state).values()),
        "a batch and what backward keeps of it": sum(kept.values()),
        "largest tensor that comes and goes": largest.bytes,
    }


def _is_tensor(value: Any) -> bool:
    return isinstance(value, Tensor)


def _storages(tensors: list[Any]) -> dict[int, int]:
    storages = [tensor.untyped_storage() for tensor in tensors]
    return {storage.data_ptr(): storage.nbytes() for storage in storages}


class Largest(TorchDispatchMode):
    """Remembers the largest result of any operation: one such is held beside what is kept."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.bytes = 0

    def __torch_dispatch__(
        self, func: Callable[..., Any], types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        """Call the operation and look at its results."""
        found = func(*args, **(kwargs or {}))
        for leaf in tree_leaves(found):
            if isinstance(leaf, Tensor):
                with contextlib.suppress(NotImplementedError):
                    self.bytes = max(self.bytes, leaf.untyped_storage().nbytes())
        return found
