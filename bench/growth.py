"""Section `growth`: how time grows with examples, weights and levels, as a power of each."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import torch

from bench import variants
from bench.apart import apart
from bench.options import Options
from bench.report import Goal, Row, Section, exponent
from bench.rounds import interleaved
from bench.states import opened, state_of
from bench.work import LENET, Work, images_of, load, with_batch
from prac.algorithms import magnitude, ones, prune
from prac.cli.memory import keep_freed_memory
from prac.config import SearchConfig
from prac.search import find

LINEAR = 1.1
EPOCH, MASKS, STATE, LEVELS = (
    "an epoch over examples",
    "choosing masks of weights",
    "writing a state of weights",
    "a search over levels",
)


def measure(options: Options) -> Section:
    """Measure each over about a decade or more of sizes."""
    lenet = images_of(LENET, options, limit=options.of(None, 200))
    seed, scratch = options.seed, options.scratch
    work = with_batch(LENET, options.of(LENET.train.batch_size, 10))
    execution = options.execution or "eager"
    made: dict[str, tuple[Sequence[int], Callable[[int], Any]]] = {
        EPOCH: (
            options.of((5_500, 10_000, 18_000, 32_000, 55_000), (40, 160)),
            lambda n: apart(epoch, work, lenet, execution, seed, n),
        ),
        MASKS: (
            options.of((1_000_000, 3_000_000, 10_000_000, 30_000_000, 100_000_000), (1000, 9000)),
            lambda n: apart(masks_of, n, seed),
        ),
        STATE: (
            options.of((1_000_000, 3_000_000, 10_000_000, 30_000_000), (1000, 9000)),
            lambda n: apart(writing_of, n, seed, scratch),
        ),
        LEVELS: (
            options.of((2, 4, 8, 14, 20), (1, 3)),
            lambda n: apart(levels_of, work, lenet, n, seed, scratch),
        ),
    }
    rows, curves = [], {}
    for name, (sizes, start) in made.items():
        with ExitStack() as stack:
            runs = {str(n): stack.enter_context(start(n)) for n in sizes}
            found = interleaved(runs, options.of(3, 2))
        rows.append(_row(name, sizes, found))
        curves[name] = {
            "sizes": list(sizes),
            "seconds": [statistics.median(found[str(n)]) for n in sizes],
        }
    return Section(rows, {"curves": curves})


def _row(name: str, sizes: Sequence[int], found: Mapping[str, list[float]]) -> Row:
    each_round = zip(*(found[str(n)] for n in sizes), strict=True)
    medians = [statistics.median(found[str(n)]) for n in sizes]
    return Row(
        f"exponent of {name}, {sizes[0]:,} to {sizes[-1]:,}",
        exponent(sizes, medians),
        "",
        tuple(exponent(sizes, one) for one in each_round),
        Goal(LINEAR, "at most"),
        "fitted to each size's median; the samples are fits to one round each",
    )


def timed(work: Callable[[], object]) -> Callable[[], float]:
    """Return what does the work and returns its seconds; it is done once before."""

    def seconds() -> float:
        started = time.perf_counter()
        work()
        return time.perf_counter() - started

    seconds()
    return seconds


def epoch(work: Work, path: Path, execution: str, seed: int, n: int) -> Callable[[], float]:
    """An epoch of a search's loop over n examples."""
    batches = n // work.train.batch_size
    run = variants.search_loop(work, path, execution, seed, "cpu", batches)
    return timed(partial(run, batches))


def masks_of(n: int, seed: int) -> Callable[[], float]:
    """The masks of n weights in ten layers."""
    keep_freed_memory()
    weights = _weights(n, seed)
    masks = ones(weights)
    return timed(lambda: prune(magnitude(weights), masks, 0.2))


def writing_of(n: int, seed: int, scratch: Path) -> Callable[[], float]:
    """The state of n weights, synced to the disk."""
    keep_freed_memory()
    weights = _weights(n, seed)
    state = state_of(weights, weights, 1000)
    folder = opened(scratch / f"state-{n}")

    def written() -> None:
        folder.commit(state)
        folder.wait()

    return timed(written)


def _weights(n: int, seed: int) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return {f"layer{i}.weight": torch.randn(n // 10, generator=generator) for i in range(10)}


def levels_of(work: Work, path: Path, levels: int, seed: int, scratch: Path) -> Callable[[], float]:
    """A search over levels of an epoch each, on some hundred examples: IMP, for equal sets."""
    keep_freed_memory()
    data = load(work, path).examples(600)
    config = SearchConfig.imp(
        levels=levels, seed=seed, train=replace(work.train, epochs=1), prune=work.prune
    )
    number = 0

    def search() -> None:
        nonlocal number
        number += 1
        out = scratch / f"levels-{levels}-{number}"
        find(work.build(seed), data, config, out=out, device="cpu")

    return timed(search)
