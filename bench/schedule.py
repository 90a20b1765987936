"""Whole searches on the paper's schedule, timed: ResNet-20s on CIFAR-10, 182 epochs."""

from __future__ import annotations

import time
from contextlib import suppress
from dataclasses import replace
from typing import Any

from bench.options import Options
from bench.work import RESNET, Images, with_batch
from prac.cli.memory import keep_freed_memory
from prac.config import SearchConfig
from prac.data import TensorExamples
from prac.training import Interrupted, RunControl

SCHEDULE: dict[str, Any] = {"epochs": 182, "milestones": (91.0, 136.0)}
PRUNINGS = 15
VALIDATION = 5_000


def search(
    images: Images, method: str, levels: int, execution: str, options: Options, left: float
) -> tuple[float, int]:
    """Return the seconds of a search, and how many levels it did in the time left."""
    # Here, since the loop alone needs no PyYAML.
    from prac.search import Search, find

    keep_freed_memory()
    held_out = options.of(VALIDATION, 8)
    plain = replace(images.pipeline, crop_padding=0, flip=False)
    val = TensorExamples(images.x[:held_out], images.y[:held_out], plain)
    epochs = options.of(SCHEDULE, {"epochs": 3, "milestones": (1.0, 2.0)})
    told: dict[str, Any] = {**epochs, "execution": execution}
    train = replace(with_batch(RESNET, options.of(128, 8)).train, **told)
    make = getattr(SearchConfig, method)
    config = make(levels=levels, train=train, rewind="epoch:3", seed=options.seed)
    out = options.scratch / method
    model, data = RESNET.build(options.seed), images.examples()
    run_control = RunControl(max_seconds=left)
    started = time.monotonic()
    with suppress(Interrupted):
        find(model, data, config, val=val, out=out, device=options.device, run_control=run_control)
    seconds = time.monotonic() - started
    return seconds, sum(level.cost.iterations > 0 for level in Search.load(out).levels)
