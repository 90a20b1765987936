"""Section `scoring`: a CEP pass against bare inference, and how many passes a search makes."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import torch

from bench.apart import apart, once
from bench.bare import executions
from bench.options import Options
from bench.report import Goal, Row, Section, ratios
from bench.rounds import interleaved
from bench.work import LENET, RESNET, Work, images_of, load, with_batch
from prac.cli.memory import keep_freed_memory
from prac.config import SearchConfig
from prac.search import algorithm, find
from prac.training import Problem, Runtime, evaluate, predictions

IMAGES = 10_000
LEAST = 0.9


def measure(options: Options) -> Section:
    """Measure the pass, and count passes."""
    rows: list[Row] = []
    path = images_of(RESNET, options, limit=options.of(None, 200))
    for execution in [name for name in executions("cpu") if name != "compiled"]:
        with apart(both, RESNET, path, execution, options) as ask:
            runs = {name: partial(ask, name) for name in ("pass", "bare")}
            found = interleaved(runs, options.of(3, 2))
        title = f"{RESNET.network}, {execution}"
        titles = {
            "pass": f"{title}: CEP pass over {examples_of(options):,} images",
            "bare": f"{title}: bare inference on one batch of {RESNET.train.batch_size}",
        }
        rows += [Row.of(what, "images/s", found[kind]) for kind, what in titles.items()]
        ratio = ratios(found["pass"], found["bare"])
        rows.append(Row.of(f"{title}: pass / bare", "", ratio, Goal(LEAST, "at least")))
    counted = once(passes, images_of(LENET, options, limit=options.of(None, 200)), options)
    dense, most = counted["dense"], max(counted["images_a_level"]) / counted["images"]
    rows += [
        Row(
            "dense predictions made in a search of 4 levels",
            dense,
            "",
            (dense,),
            Goal(1, "at most"),
            "counted",
        ),
        Row(
            "forward passes over the training data a level makes for CEP",
            most,
            "",
            tuple(n / counted["images"] for n in counted["images_a_level"]),
            Goal(1, "at most"),
            "counted; the level with the most",
        ),
    ]
    return Section(rows, {"counted": counted})


def examples_of(options: Options) -> int:
    """Return how many images a pass is over."""
    return options.of(IMAGES, 100)


def both(work: Work, path: Path, execution: str, options: Options) -> Callable[[str], float]:
    """Return a round of either kind, in images a second, on the same model in the same process."""
    keep_freed_memory()
    runtime = Runtime.choose("cpu", "fp32", execution)
    size = work.train.batch_size
    examples = load(work, path).examples(examples_of(options))
    problem = Problem.of(work.build(options.seed), examples, runtime=runtime, batch_size=size)
    model = problem.model.eval()
    x = next(iter(examples.stream([torch.arange(min(size, len(examples)))])))[0]
    x = runtime.to_memory_format(x)

    def bare() -> int:
        with torch.no_grad():
            for _ in range(len(examples) // len(x)):
                model(x)
        return len(examples) // len(x) * len(x)

    def scored() -> int:
        return len(predictions(problem, examples))

    def timed(kind: str) -> float:
        started = time.perf_counter()
        images = scored() if kind == "pass" else bare()
        return images / (time.perf_counter() - started)

    timed("pass"), timed("bare")
    return timed


def passes(path: Path, options: Options) -> dict[str, Any]:
    """Return how often a small search predicted with the dense network, and on how many images."""
    work = with_batch(LENET, 20)
    data = load(work, path).examples(100)
    config = SearchConfig.prac(
        levels=4, seed=options.seed, train=replace(work.train, epochs=2), prune=work.prune
    )
    found: dict[str, Any] = {"dense": 0, "images": len(data), "images_a_level": []}
    level = 0

    def watch(event: Any) -> None:
        nonlocal level
        if event.kind == "level":
            level = event.level
            found["images_a_level"].append(0)

    def counted_predictions(*arguments: Any, **named: Any) -> Any:
        found["dense"] += level == 0
        return predictions(*arguments, **named)

    def counted_forward(*arguments: Any, **named: Any) -> Iterator[Any]:
        for outputs, y in forward(*arguments, **named):
            found["images_a_level"][level] += len(outputs)
            yield outputs, y

    forward = evaluate.forward
    model, out = work.build(options.seed), options.scratch / "passes"
    with (
        replaced(algorithm, "predictions", counted_predictions),
        replaced(evaluate, "forward", counted_forward),
    ):
        find(model, data, config, out=out, device="cpu", callback=watch)
    return found


@contextmanager
def replaced(owner: Any, name: str, new: Any) -> Iterator[None]:
    """Put something in an attribute's place for a while."""
    before = getattr(owner, name)
    setattr(owner, name, new)
    try:
        yield
    finally:
        setattr(owner, name, before)
