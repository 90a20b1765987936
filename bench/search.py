"""Section `search`: how much of a search's time is neither a training step nor a forward pass."""

from __future__ import annotations

import importlib
import itertools
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from bench.apart import once
from bench.clock import Clock
from bench.options import Options
from bench.report import Goal, Row, Section
from bench.work import RESNET, Work, images_of, load, with_batch
from prac.cli.memory import keep_freed_memory
from prac.config import SearchConfig
from prac.data import TensorExamples
from prac.data.augment import Pipeline
from prac.events import Event
from prac.io import read_environment
from prac.search import find

STEPS = "training steps"
FORWARD = "forward passes for validation and CEP"
NEEDED = (STEPS, FORWARD)
GATHER = "gathering and augmentation"
MASKS = "choosing masks and their distances"
STATES = "states"
TICKETS = "tickets, subsets and other files"
EXAMPLES = "forgetting table and choice of examples"
CHECKS = "snapshots and checks"
CHOOSING = "choosing how steps run"
PARTS = (*NEEDED, GATHER, MASKS, STATES, TICKETS, EXAMPLES, CHECKS, CHOOSING)

# Owner (a module, or a class in it), function, part.
FUNCTIONS = (
    ("prac.training.step", "Step.__call__", STEPS),
    ("prac.search.finding", "select_execution", CHOOSING),
    ("prac.search.algorithm", "pruned", MASKS),
    ("prac.training.level", "mask_distance", MASKS),
    ("prac.runs.folder", "RunFolder.commit", STATES),
    ("prac.runs.folder", "RunFolder.wait", STATES),
    ("prac.runs.folder", "RunFolder.resume", STATES),
    ("prac.runs.folder", "RunFolder.forget_states", STATES),
    ("prac.runs.folder", "RunFolder.__enter__", STATES),
    ("prac.training.level", "optimizer_tensors", STATES),
    ("prac.training.level", "restore_optimizer_", STATES),
    ("prac.search.run", "SearchRun.start", TICKETS),
    ("prac.search.run", "SearchRun.write_trained", TICKETS),
    ("prac.search.run", "SearchRun.finish", TICKETS),
    ("prac.search.result", "Search.load", TICKETS),
    ("prac.algorithms.forgetting", "ForgettingTable.update", EXAMPLES),
    ("prac.search.algorithm", "forgettable", EXAMPLES),
    ("prac.search.parts", "disagreements", EXAMPLES),
    ("prac.search.algorithm", "union", EXAMPLES),
    ("prac.search.algorithm", "pad_to_size", EXAMPLES),
    ("prac.training.level", "snapshot", CHECKS),
    ("prac.training.level", "restore_", CHECKS),
    ("prac.training.level", "check_converging", CHECKS),
    ("prac.search.algorithm", "restore_", CHECKS),
    ("prac.search.finding", "_first_state", CHECKS),
    ("prac.training.problem", "Problem.of", CHECKS),
    ("prac.training.problem", "Problem.identity", CHECKS),
)
STREAMS = (
    ("prac.data.examples", "TensorExamples.stream", GATHER),
    ("prac.training.evaluate", "forward", FORWARD),
)
LIMIT = 10_000
MOST = 3.0
"""Per cent."""


def measure(options: Options) -> Section:
    """Run a search and charge its time."""
    work = with_batch(RESNET, options.of(RESNET.train.batch_size, 20))
    path = images_of(work, options, limit=options.of(None, 200))
    found = once(profiled, work, path, options)
    whole = sum(found["seconds"].values())
    rows = [
        Row(
            f"{work.network}, PrAC: share of time that is neither a step nor a forward pass",
            100 * overhead(found["seconds"]),
            "%",
            tuple(100 * share for share in found["shares"]),
            Goal(MOST, "at most"),
            "of the whole search; the samples are its epochs, each with what followed it",
        ),
        Row("the whole search", whole, "s", (whole,)),
    ]
    rows += [
        Row.of(f"of it: {part}", "%", [100 * seconds / whole])
        for part, seconds in found["seconds"].items()
    ]
    remarks = [f"Not told apart in this prac: {name}." for name in found["missing"]]
    facts = {name: found[name] for name in ("seconds", "data", "sets", "epochs", "execution")}
    return Section(rows, facts, remarks)


def overhead(seconds: dict[str, float]) -> float:
    """Return the share of the seconds that a method's steps and passes do not need.

    >>> overhead({STEPS: 6.0, FORWARD: 3.0, MASKS: 1.0})
    0.1
    """
    return sum(s for part, s in seconds.items() if part not in NEEDED) / sum(seconds.values())


def profiled(work: Work, path: Path, options: Options) -> dict[str, Any]:
    """Return the seconds of each part of a search, and the shares of its epochs.

    A fresh process calls this: nothing is warmed up. Its imports are not counted.
    """
    keep_freed_memory()
    images = load(work, path)
    epochs, levels = options.of(10, 3), options.of(4, 2)
    config = SearchConfig.prac(
        levels=levels,
        seed=options.seed,
        train=replace(work.train, epochs=epochs),
        prune=work.prune,
    )
    examples = options.of(LIMIT, 120)
    trained = round(examples * (1 - work.val_fraction))
    rest = slice(trained, examples)
    data = images.examples(trained)
    val = TensorExamples(images.x[rest], images.y[rest], _plain(images.pipeline))
    clock = Clock()
    _wrap(clock)
    at_epochs: list[dict[str, float]] = []

    def watch(event: Event) -> None:
        if event.kind in ("epoch", "finished"):
            at_epochs.append(clock.read())

    try:
        model, out = work.build(options.seed), options.scratch / "search"
        clock = _begin(clock)
        search = find(model, data, config, val=val, out=out, device="cpu", callback=watch)
        seconds = clock.read()
    finally:
        clock.restore()
    ends = [dict.fromkeys(seconds, 0.0), *at_epochs]
    pieces = [
        {part: after.get(part, 0.0) - before.get(part, 0.0) for part in seconds}
        for before, after in itertools.pairwise(ends)
    ]
    return {
        "seconds": {part: seconds.get(part, 0.0) for part in (*PARTS, "the rest")},
        "shares": [overhead(piece) for piece in pieces],
        "missing": clock.missing,
        "data": f"{examples:,} of {images.source}",
        "sets": [level.set_size for level in search.levels],
        "epochs": [level.epochs for level in search.levels],
        "execution": read_environment(out)["execution"],
    }


def _begin(clock: Clock) -> Clock:
    clock.read()
    clock.seconds = dict.fromkeys(clock.seconds, 0.0)
    return clock


def _plain(pipeline: Pipeline) -> Pipeline:
    return replace(pipeline, crop_padding=0, flip=False)


def _wrap(clock: Clock) -> None:
    for place, name, part in FUNCTIONS:
        owner, attribute = _place(place, name)
        # The steps that choosing takes are not the search's.
        wrap = clock.wrapped_whole if part == CHOOSING else clock.wrapped
        clock.patch(owner, attribute, partial(_wrapped, wrap, part))
    for place, name, part in STREAMS:
        owner, attribute = _place(place, name)
        clock.patch(owner, attribute, partial(_wrapped, clock.wrapped_stream, part))


def _wrapped(wrap: Any, part: str, before: Any) -> Any:
    if isinstance(before, classmethod):
        return classmethod(wrap(before.__func__, part))
    return wrap(before, part)


def _place(module: str, name: str) -> tuple[Any, str]:
    owner: Any = importlib.import_module(module)
    *classes, attribute = name.split(".")
    for part in classes:
        owner = getattr(owner, part)
    return owner, attribute
