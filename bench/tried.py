"""Section `tried`: what was left out, beside what is done instead, in the same minutes."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F

from bench import variants
from bench.apart import apart
from bench.options import Options
from bench.report import Row, Section
from bench.rounds import interleaved
from bench.work import LENET, RESNET, images_of, load, with_batch
from prac.algorithms import magnitude, ones, prune
from prac.cli.memory import keep_freed_memory
from prac.data import examples
from prac.data.augment import Draws, crop_and_flip, drawn
from prac.models import prunable
from prac.training import Problem, Runtime, predictions

CPU = Runtime(torch.device("cpu"))
Runs = Mapping[str, Callable[[], float]]


def measure(options: Options) -> Section:
    """Measure each trial's variants in turns."""
    resnet = images_of(RESNET, options, limit=options.of(None, 200))
    lenet = images_of(LENET, options, limit=options.of(None, 200))
    batch = options.of(128, 8)
    rows: list[Row] = []

    def add(title: str, unit: str, processes: Mapping[str, Any], ask: tuple[Any, ...]) -> None:
        with ExitStack() as stack:
            runs = {n: partial(stack.enter_context(p), *ask) for n, p in processes.items()}
            found = interleaved(runs, options.of(5, 2))
        rows.extend(Row.of(f"{title}: {name}", unit, samples) for name, samples in found.items())

    work = with_batch(RESNET, batch)
    pages = {
        name: apart(with_pages, wanted, work, resnet, options.seed)
        for name, wanted in (("usual pages", False), ("huge pages", True))
    }
    add("ResNet-20s step, channels-last", "images/s", pages, (options.of(16, 2),))
    steps = {
        name: apart(variants.bare, LENET, lenet, name, options.seed, "cpu")
        for name in ("eager", "compiled")
    }
    add("LeNet-300-100 step", "images/s", steps, (options.of(600, 4),))
    for title, make in (("LeNet-300-100's masks, half pruned", masking), ("128 crops", cropping)):
        with apart(make, options.seed) as ask:
            found = interleaved({name: partial(ask, name) for name in ask("")}, options.of(9, 2))
        rows.extend(Row.of(f"{title}: {name}", "s", samples) for name, samples in found.items())
    sizes = options.of((2**17, 2**19, 2**21, 2**22, 2**23), (2**12, 2**14))
    blocks = {f"{s // 1024:,} KiB": apart(with_blocks, s, lenet, options) for s in sizes}
    add("LeNet-300-100's loop, batches made at once", "images/s", blocks, (options.of(900, 4),))
    scored = {f"batches of {n}": apart(scoring, n, resnet, options) for n in (batch, 4 * batch)}
    add("ResNet-20s scoring", "images/s", scored, ())
    return Section(rows)


def with_pages(huge: bool, work: Any, path: Path, seed: int) -> Callable[[int], float]:
    """The bare step, torch's large blocks being in huge pages or not."""
    os.environ["THP_MEM_ALLOC_ENABLE"] = str(int(huge))  # torch looks when it first takes memory.
    return variants.bare(work, path, "channels-last", seed, "cpu")


def with_blocks(size: int, path: Path, options: Options) -> Callable[[int], float]:
    """The search's loop, making so many bytes of batches at once."""
    examples.BLOCK_BYTES = (size, size)
    work = with_batch(LENET, options.of(60, 8))
    return variants.search_loop(work, path, "eager", options.seed, "cpu", options.of(900, 4))


def scoring(batch_size: int, path: Path, options: Options) -> Callable[[], float]:
    """A CEP pass in batches of a size."""
    keep_freed_memory()
    runtime = Runtime.choose("cpu", "fp32", "channels-last")
    data = load(RESNET, path).examples(options.of(4_000, 40))
    model = RESNET.build(options.seed)
    problem = Problem.of(model, data, runtime=runtime, batch_size=batch_size)

    def run() -> float:
        started = time.perf_counter()
        predictions(problem, data)
        return len(data) / (time.perf_counter() - started)

    run()
    return run


def _timed(ways: Mapping[str, Callable[[], object]], times: int) -> Callable[[str], Any]:
    """Return what gives the seconds of one of the ways, or without a name all names."""

    def run(name: str) -> Any:
        if not name:
            return list(ways)
        started = time.perf_counter()
        for _ in range(times):
            ways[name]()
        return (time.perf_counter() - started) / times

    for name in ways:
        run(name)
    return run


def masking(seed: int) -> Callable[[str], Any]:
    """Ways of pruning weights after a step."""
    model = LENET.build(seed)
    weights = {name: w.detach() for name, w in prunable(model, LENET.prune).items()}
    masks = prune(magnitude(weights), ones(weights), 0.5)
    pairs = [(weights[name], masks[name]) for name in weights]
    floats = [mask.to(torch.float32) for _, mask in pairs]
    gone = [~mask for _, mask in pairs]
    places = [mask.view(-1).nonzero().squeeze(1) for mask in gone]
    each = list(weights.values())

    def by_bools() -> None:
        for weight, mask in pairs:
            weight.mul_(mask)

    def by_filling() -> None:
        for weight, mask in zip(each, gone, strict=True):
            weight.masked_fill_(mask, 0)

    def by_index() -> None:
        for weight, place in zip(each, places, strict=True):
            weight.view(-1).index_fill_(0, place, 0)

    return _timed(
        {
            "multiplied by floats, as it is done": lambda: torch._foreach_mul_(each, floats),
            "multiplied by bools": by_bools,
            "masked_fill_": by_filling,
            "index_fill_": by_index,
        },
        50,
    )


def cropping(seed: int) -> Callable[[str], Any]:
    """Ways of cropping and mirroring a batch."""
    n, size, padding = 128, 32, 4
    draw = torch.Generator().manual_seed(seed)
    images = torch.randint(256, (n, 3, size, size), dtype=torch.uint8, generator=draw)
    draws = drawn([seed], [n], padding, CPU.device)
    return _timed(
        {
            "views of all crops, indexed, as it is done": lambda: crop_and_flip(
                images, padding, True, draws
            ),
            "indexed pixel by pixel": lambda: by_pixels(images, padding, draws),
            "one image at a time": lambda: one_by_one(images, padding, draws),
        },
        10,
    )


def by_pixels(images: torch.Tensor, padding: int, draws: Draws) -> torch.Tensor:
    """Return what `crop_and_flip` does, each pixel being looked up."""
    n, channels, height, width = images.shape
    columns = torch.arange(width).expand(n, width)
    columns = torch.where(draws.mirrored[:, None], width - 1 - columns, columns)
    return F.pad(images, (padding,) * 4)[
        torch.arange(n).view(n, 1, 1, 1),
        torch.arange(channels).view(1, channels, 1, 1),
        (draws.top[:, None] + torch.arange(height)).view(n, 1, height, 1),
        (draws.left[:, None] + columns).view(n, 1, 1, width),
    ]


def one_by_one(images: torch.Tensor, padding: int, draws: Draws) -> torch.Tensor:
    """Return what `crop_and_flip` does, in a loop."""
    _, _, height, width = images.shape
    padded, out = F.pad(images, (padding,) * 4), torch.empty_like(images)
    places = zip(draws.top.tolist(), draws.left.tolist(), draws.mirrored.tolist(), strict=True)
    for i, (top, left, mirrored) in enumerate(places):
        crop = padded[i, :, top : top + height, left : left + width]
        out[i] = crop.flip(2) if mirrored else crop
    return out
