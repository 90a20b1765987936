"""Section `loop`: a search's training loop against the bare step, and against a textbook's loop."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path

from bench import variants
from bench.apart import apart, once
from bench.bare import executions
from bench.options import Options
from bench.report import Goal, Row, Section, ratios
from bench.rounds import interleaved
from bench.work import LENET, RESNET, Work, images_of, load, with_batch

OF_BARE = {"resnet20s": 0.97, "lenet_300_100": 0.90}
OF_TEXTBOOK = {"resnet20s": 1.4, "lenet_300_100": 8.0}
OF_PLAIN = {"resnet20s": 1.25}
PAIRS = 3
"""Processes with a bare step and a search's loop each."""
A, B, C, D, E = (
    "bare step",
    "bare step, untuned",
    "search's loop",
    "textbook loop",
    "matrix product",
)


def measure(options: Options) -> Section:
    """Measure both networks."""
    rows: list[Row] = []
    facts: dict[str, object] = {"device": options.device}
    for whole in (RESNET, LENET):
        work = with_batch(whole, options.of(whole.train.batch_size, 8))
        path = images_of(work, options, limit=options.of(None, 200))
        source = once(_source, work, path)
        execution = options.execution or fastest(work, path, options)
        facts[work.title] = {"data": source, "execution": execution}
        rows += of_network(work, path, execution, options)
    return Section(rows, facts)


def _source(work: Work, path: Path) -> str:
    return load(work, path).source


def fastest(work: Work, path: Path, options: Options) -> str:
    """Return the execution whose bare step is the fastest here."""
    names = executions(options.device)
    with ExitStack() as stack:
        runs = {}
        for name in names:
            process = apart(variants.bare, work, path, name, options.seed, options.device)
            runs[name] = partial(stack.enter_context(process), iterations_of(work, A, options) // 2)
        found = interleaved(runs, options.of(3, 1))
    return max(found, key=lambda name: statistics.median(found[name]))


def iterations_of(work: Work, variant: str, options: Options) -> int:
    """Return how long a round is: seconds, so that it is not noise, and not minutes."""
    if work.model == RESNET.model:
        return options.of(24, 2)
    return options.of(250 if variant == D else work.examples // work.train.batch_size, 4)


def of_network(work: Work, path: Path, execution: str, options: Options) -> list[Row]:
    """Return one network's rows."""
    seed, device = options.seed, options.device
    length = iterations_of(work, C, options)
    pairs = [
        apart(variants.bare_and_loop, work, path, execution, seed, device, length)
        for _ in range(options.of(PAIRS, 1))
    ]
    others = {
        B: apart(variants.plain, work, path, seed, device),
        D: apart(variants.textbook_loop, work, path, seed, device),
        E: apart(variants.matrix_product, seed, device),
    }
    with ExitStack() as stack:
        runs: dict[str, Callable[[], float]] = {}
        for number, pair in enumerate(pairs):
            ask = stack.enter_context(pair)
            for name, kind in ((A, "bare"), (C, "loop")):
                runs[f"{name} {number}"] = partial(ask, kind, iterations_of(work, name, options))
        for name, process in others.items():
            count = iterations_of(work, name, options) if name != E else options.of(20, 1)
            runs[name] = partial(stack.enter_context(process), count)
        each = interleaved(runs, options.of(4, 2))
    # What every pair of processes was measured beside, round by round.
    found = {name: each[name] * len(pairs) for name in others}
    for name in (A, C):
        found[name] = [s for number in range(len(pairs)) for s in each[f"{name} {number}"]]
    flops = once(variants.flops_an_image, work, path, seed)
    return rows_of(work, found, flops)


def rows_of(work: Work, found: Mapping[str, Sequence[float]], flops: float) -> list[Row]:
    """Return the rows of what was found, images a second by variant, `flops` being an image's.

    What needs a variant that is not (yet) among them is left out.
    """

    def speed(letter: str, name: str, what: str) -> Iterator[Row]:
        if name in found:
            yield Row.of(f"{work.title}: ({letter}) {what}", "images/s", found[name])

    def ratio(
        what: str, over: str, under: str, least: float | None, factor: float = 1.0
    ) -> Iterator[Row]:
        if over in found and under in found:
            goal = None if least is None else Goal(least, "at least")
            values = ratios([factor * value for value in found[over]], found[under])
            yield Row.of(f"{work.title}: {what}", "", values, goal)

    def arithmetic(what: str, name: str, flops: float) -> Iterator[Row]:
        if name in found:
            yield Row.of(what, "GFLOP/s", [value * flops / 1e9 for value in found[name]])

    return [
        *speed("a", A, "the bare step, as prac executes it"),
        *speed("b", B, "the bare step, untuned"),
        *speed("c", C, "a search's whole loop, pruned to half"),
        *speed("d", D, "a textbook loop, 2 loading processes"),
        *ratio("c / a", C, A, OF_BARE[work.model]),
        *ratio("c / d", C, D, OF_TEXTBOOK[work.model]),
        *ratio("a / b", A, B, OF_PLAIN.get(work.model)),
        *arithmetic(f"{work.title}: arithmetic of (a)", A, flops),
        *arithmetic("a product of large matrices", E, 1.0),
        *ratio("arithmetic of (a) / matrix product", A, E, None, flops),
    ]
