"""`python3 bench/gpu.py`: the training loop on a GPU, from a plain checkout, in eight minutes.

It needs torch, NumPy, pyarrow and Pillow; with PyYAML as well, whole searches are timed. On a
machine without a GPU, `--device cpu --short` rehearses it.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "src")]

import torch  # noqa: E402

from bench import loop, machine, page, variants  # noqa: E402
from bench.bare import executions  # noqa: E402
from bench.options import Options  # noqa: E402
from bench.report import Goal, Row, Section  # noqa: E402
from bench.work import RESNET, Images, images_of, load, with_batch  # noqa: E402
from prac.config import SearchConfig  # noqa: E402
from prac.data.examples import TensorExamples  # noqa: E402
from prac.pace import Interrupted, Pace  # noqa: E402

# The paper's schedule for ResNet-20s on CIFAR-10, and its searches.
SCHEDULE: dict[str, Any] = {"epochs": 182, "milestones": (91.0, 136.0)}
PRUNINGS = 15
EPOCH_SECONDS, IMP_SECONDS, PRAC_SECONDS, OVER_TEXTBOOK = 0.25, 720.0, 120.0, 10.0
VALIDATION = 5_000
DEADLINE = 440.0


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print one table, and write the figures where asked to."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", choices=["cuda", "cpu"], default="cuda")
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared" / "data")
    parser.add_argument("--json", type=Path, help="write the figures there")
    parser.add_argument("--short", action="store_true", help="tiny: the figures mean nothing")
    given = parser.parse_args(arguments)
    if given.device == "cuda" and not torch.cuda.is_available():
        print("bench/gpu.py: torch sees no GPU here: try --device cpu --short", file=sys.stderr)
        return 2
    started = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="bench-") as scratch:
        options = Options(Path(scratch), given.short, given.data, device=given.device)
        section = measure(options, lambda: DEADLINE - (time.monotonic() - started)).to_json()
    about = machine.about([], options.seed)
    about["command"] = "python3 bench/gpu.py"
    section["seconds"] = round(time.monotonic() - started, 1)
    made = {key: about[key] for key in ("command", "date", "commit", "threads")}
    section["made"] = {**made, "short": given.short}
    print(about["gpu"] or about["processor"])
    print(page.table(section))
    if given.json:
        figures = {"about": about, "sections": {"loop": section}}
        given.json.write_text(json.dumps(figures, indent=1) + "\n")
    return 0


def measure(options: Options, left: Callable[[], float]) -> Section:
    """Measure each execution, the loops, and whole searches as long as time is `left`."""
    work = with_batch(RESNET, options.of(RESNET.train.batch_size, 20))
    path = images_of(work, options, limit=options.of(None, 200))
    images = load(work, path)
    seed, device = options.seed, options.device
    batches = len(images.x) // work.train.batch_size
    bare: dict[str, list[float]] = {}
    loops: dict[str, list[float]] = {}
    remarks: list[str] = []
    for name in executions(device):
        try:
            step = variants.bare(work, path, name, seed, device)
            training = variants.search_loop(work, path, name, seed, device, batches)
            training(batches)  # The first epoch compiles and captures.
            bare[name] = [step(batches) for _ in range(options.of(5, 2))]
            loops[name] = [training(batches) for _ in range(options.of(5, 2))]
        except Exception as error:  # Whatever an execution fails with, the others are measured.
            if not loops and name == executions(device)[-1]:
                raise
            remarks.append(f"{name} failed: {' '.join(str(error).split())[:300]}")
    best = max(loops, key=lambda name: statistics.median(loops[name]))
    found = {
        loop.A: bare[best],
        loop.B: _rounds(variants.plain(work, path, seed, device), options, batches // 4),
        loop.C: loops[best],
        loop.D: _rounds(variants.textbook_loop(work, path, seed, device), options, 60),
        loop.E: _rounds(variants.matrix_product(seed, device), options, 50),
    }
    rows = loop.rows_of(work, found, variants.flops_an_image(work, path, seed))
    rows += [
        Row.of(f"a search's loop, {name}", "images/s", speeds) for name, speeds in loops.items()
    ]
    epoch = [len(images.x) / speed for speed in loops[best]]
    rows += [
        Row.of("an epoch", "s", epoch, Goal(EPOCH_SECONDS, "at most")),
        Row.of(
            "loop / textbook loop",
            "",
            [speed / statistics.median(found[loop.D]) for speed in loops[best]],
            Goal(OVER_TEXTBOOK, "at least"),
        ),
    ]
    if importlib.util.find_spec("yaml") is None:
        remarks.append("Searches were not timed: PyYAML is not installed.")
    else:
        rows += _searches(images, best, options, left, remarks)
    return Section(rows, {"data": images.source, "execution": best, "device": device}, remarks)


def _rounds(run: variants.Round, options: Options, iterations: int) -> list[float]:
    count = options.of(max(iterations, 1), 2)
    return [run(count) for _ in range(options.of(5, 2))]


def _searches(
    images: Images, execution: str, options: Options, left: Callable[[], float], remarks: list[str]
) -> list[Row]:
    """Return rows of searches on the paper's schedule: PrAC's whole, one level of IMP's.

    Goals are for all of a search. What time does not suffice for is said, and counts as missed.
    """
    rows = []
    for method, goal in (("imp", IMP_SECONDS), ("prac", PRAC_SECONDS)):
        # All levels of IMP are alike: one tells of all.
        levels = 1 if method == "imp" else options.of(PRUNINGS, 2)
        seconds, done = _search(images, method, levels, execution, options, left())
        times = PRUNINGS if method == "imp" else 1
        whole = f"{PRUNINGS} times one level" if method == "imp" else "measured whole"
        if done < levels:
            remarks.append(f"{method}: {done} of {levels} levels were done in {seconds:.0f} s.")
            continue
        row = Row(
            f"{method} with {PRUNINGS} prunings, validation and states included",
            seconds * times,
            "s",
            (seconds * times,),
            Goal(goal, "at most"),
            whole,
        )
        rows.append(row)
    return rows


def _search(
    images: Images,
    method: str,
    levels: int,
    execution: str,
    options: Options,
    left: float,
) -> tuple[float, int]:
    """Return the seconds of a search, and how many levels it did in the time left."""
    from prac.results import Search
    from prac.search import find

    held_out = options.of(VALIDATION, 20)
    plain = replace(images.pipeline, crop_padding=0, flip=False)
    val = TensorExamples(images.x[:held_out], images.y[:held_out], plain)
    epochs = options.of(SCHEDULE, {"epochs": 3, "milestones": (1.0, 2.0)})
    told: dict[str, Any] = {**epochs, "execution": execution}
    train = replace(with_batch(RESNET, options.of(128, 20)).train, **told)
    make = getattr(SearchConfig, method)
    config = make(levels=levels, train=train, rewind="epoch:3", seed=options.seed)
    out = options.scratch / method
    model, data = RESNET.build(options.seed), images.examples()
    pace = Pace(max_seconds=max(left, 1.0))
    started = time.monotonic()
    with suppress(Interrupted):
        find(model, data, config, val=val, out=out, device=options.device, pace=pace)
    seconds = time.monotonic() - started
    return seconds, sum(level.cost.iterations > 0 for level in Search.load(out).levels)


if __name__ == "__main__":
    sys.exit(main())
