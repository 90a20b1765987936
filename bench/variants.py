"""What the section `loop` compares: functions that return a round, each run in its own process.

A round is so many iterations of training that goes on; it returns images a second.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from bench import textbook
from bench.bare import bare_step
from bench.work import Work, load
from prac.algorithms import ForgettingTable, Masks, Plan, magnitude, ones, prune
from prac.cli.memory import keep_freed_memory
from prac.models import prunable, snapshot
from prac.runs import RunState
from prac.training import CLASSIFICATION, Problem, Runtime, Training
from prac.training.diverged import check_converging
from prac.training.level import ended_epoch, record_segment
from prac.training.loop import fit
from prac.training.optimizer import make_optimizer
from prac.training.step import STEPS_BEFORE_CAPTURE, Step

Round = Callable[[int], float]
PREFETCHED = 6
"""Untimed steps before a round that is fed by loading processes: by then they hold four batches."""

MATRIX = 1536


def bare(work: Work, path: Path, execution: str, seed: int, device: str) -> Round:
    """Steps on one fixed batch, executed as `prac` executes them, with its optimiser."""
    keep_freed_memory()
    runtime = Runtime.choose(device, execution=execution)
    model = work.build(seed)
    runtime.prepare_(model)
    optimizer = make_optimizer(model, work.train, runtime)
    return _repeated(
        work, path, bare_step(model, optimizer, runtime), runtime, runtime.reproducible
    )


def masked(work: Work, path: Path, execution: str, seed: int, device: str) -> Round:
    """Steps on one fixed batch as a search makes them, half of the weights pruned."""
    keep_freed_memory()
    runtime = Runtime.choose(device, execution=execution)
    model = work.build(seed).train()
    runtime.prepare_(model)
    step = Step(
        model,
        make_optimizer(model, work.train, runtime),
        half_pruned(work, model),
        task=CLASSIFICATION,
        runtime=runtime,
        batch_size=work.train.batch_size,
    )
    return _repeated(
        work, path, lambda x, y: step(x, y, work.train.lr), runtime, runtime.reproducible
    )


def plain(work: Work, path: Path, seed: int, device: str) -> Round:
    """Steps on one fixed batch as torch takes them untuned, by a user without `prac`."""
    runtime = Runtime(torch.device(device))
    model = work.build(seed).to(device)
    step = bare_step(model, textbook.optimizer_of(model, work.train), runtime)
    return _repeated(work, path, step, runtime, nullcontext)


def _repeated(
    work: Work,
    path: Path,
    step: Callable[[Tensor, Tensor], object],
    runtime: Runtime,
    within: Callable[[], AbstractContextManager[None]],
) -> Round:
    x, y = _batch(work, path, runtime)

    def timed(iterations: int) -> float:
        with within():
            started = time.perf_counter()
            for _ in range(iterations):
                step(x, y)
            wait_for(runtime.device)
            return iterations * len(x) / (time.perf_counter() - started)

    timed(STEPS_BEFORE_CAPTURE + 1)
    return timed


def half_pruned(work: Work, model: torch.nn.Module) -> Masks:
    """Return masks that keep the larger half of the weights, on the CPU."""
    weights = snapshot(model)
    pruned = {name: weights[name] for name in prunable(model, work.prune)}
    return prune(magnitude(pruned), ones(pruned), 0.5)


def search_loop(
    work: Work, path: Path, execution: str, seed: int, device: str, iterations: int
) -> Round:
    """The loop of a search, pruned to half: `fit`, and what a search does at each epoch's end.

    That is: loss and weights checked, forgetting table, weights copied, masks chosen and compared,
    metrics. Validation and states are left out. A round is an epoch of `iterations`.
    """
    keep_freed_memory()
    runtime = Runtime.choose(device, execution=execution)
    images = load(work, path)
    problem = Problem.of(
        work.build(seed), images.examples(), runtime=runtime, batch_size=work.train.batch_size
    )
    weights, masks = snapshot(problem.model), half_pruned(work, problem.model)
    members = torch.arange(min(iterations * work.train.batch_size, len(problem.train)))
    plan = Plan(2**40, -(-len(members) // work.train.batch_size), work.train.lr, "constant")
    training = Training(
        plan,
        work.train,
        seed,
        candidate=lambda state: prune(
            magnitude({name: state.weights[name] for name in masks}),
            masks,
            work.prune.drop_fraction,
        ),
    )
    state = RunState(0, 0, weights, masks, members, ForgettingTable.empty(len(problem.train)))
    segments = fit(
        problem.model,
        make_optimizer(problem.model, work.train, runtime),
        problem.train,
        members,
        plan,
        masks=masks,
        task=CLASSIFICATION,
        runtime=runtime,
        batch_size=work.train.batch_size,
        seed=seed,
    )

    def timed(_: int) -> float:
        nonlocal state
        with runtime.reproducible():
            started = time.perf_counter()
            segment = next(segments)
            check_converging(state, segment, problem.model, plan)
            state = record_segment(state, segment, problem.model, None)
            state, _facts = ended_epoch(problem, state, training)
            seconds = time.perf_counter() - started
        state = replace(state, distances=state.distances[-1:])
        return len(segment.ids) / seconds

    timed(0)
    return timed


def bare_and_loop(
    work: Work, path: Path, execution: str, seed: int, device: str, iterations: int
) -> Callable[[str, int], float]:
    """The bare step and the search's loop in one process, for a round of either.

    Where a process's memory happens to lie makes a small network's steps faster or slower by a
    quarter, for as long as the process lives: only within one do the two compare.
    """
    rounds = {
        "bare": bare(work, path, execution, seed, device),
        "loop": search_loop(work, path, execution, seed, device, iterations),
    }
    return lambda name, count: rounds[name](count)


def textbook_loop(work: Work, path: Path, seed: int, device: str) -> Round:
    """The loop of `bench.textbook`, with two loading processes."""
    images = load(work, path)
    torch.manual_seed(seed)
    data = textbook.TextbookImages(images.x, images.y, images.pipeline)
    steps = textbook.train(work.build(seed).to(device), data, work.train, device=device)

    def timed(iterations: int) -> float:
        for _ in range(PREFETCHED):
            next(steps)
        wait_for(torch.device(device))
        started = time.perf_counter()
        for _ in range(iterations):
            next(steps)
        wait_for(torch.device(device))
        seconds = time.perf_counter() - started
        time.sleep(0.2)  # Until the loading processes are full, and still.
        return iterations * work.train.batch_size / seconds

    return timed


def matrix_product(seed: int, device: str) -> Round:
    """Products of large matrices: the arithmetic that this machine can do at best, in FLOP/s."""
    generator = torch.Generator().manual_seed(seed)
    a = torch.randn(MATRIX, MATRIX, generator=generator).to(device)
    out = torch.empty_like(a)

    def timed(times: int) -> float:
        started = time.perf_counter()
        for _ in range(times):
            torch.mm(a, a, out=out)
        wait_for(a.device)
        return times * 2 * MATRIX**3 / (time.perf_counter() - started)

    timed(2)
    return timed


def flops_an_image(work: Work, path: Path, seed: int) -> float:
    """Return the floating point operations that a step makes of an image, as torch counts them.

    Counted are convolutions and matrix products, forward and backward, two for a multiplication
    with its addition. Pruned weights count: they are multiplied by like the others.
    """
    from torch.utils.flop_counter import FlopCounterMode

    model = work.build(seed)
    eager = Runtime(torch.device("cpu"))
    x, y = _batch(work, path, eager)
    with FlopCounterMode(display=False) as counter:
        bare_step(model, make_optimizer(model, work.train, eager), eager)(x, y)
    return float(counter.get_total_flops()) / len(x)


def _batch(work: Work, path: Path, runtime: Runtime) -> tuple[Tensor, Tensor]:
    examples = load(work, path).examples(work.train.batch_size).to(runtime.device)
    x, y = next(iter(examples.stream([torch.arange(len(examples))])))
    return runtime.to_memory_format(x), y


def wait_for(device: torch.device) -> None:
    """Wait until a device has done what it was given; the CPU has."""
    if device.type == "cuda":
        torch.cuda.synchronize()
