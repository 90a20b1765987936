"""`python -m bench.smoke`: is what a device computes right? A line a check, in less than a minute.

Its exit status is 1 where a check failed; the others are made all the same.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path

import torch

from bench import variants
from bench.bare import executions
from bench.equal_runs import Searches
from bench.first_step import PRECISIONS, Fault, FirstStep, check_pruned
from bench.options import Options
from bench.work import RESNET, Work, images_of, with_batch
from prac.algorithms import magnitude, ones, prune

SECONDS = 60.0
COMPILING_SECONDS = 30.0
"""What a check takes that compiles: with less left, it is not begun."""
PROFILED = 3

Check = tuple[str, Callable[[], str]]


def main(arguments: Sequence[str] | None = None) -> int:
    """Make the checks."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", choices=["cuda", "cpu"], default="cuda")
    parser.add_argument("--execution", help="of searches (default: captured on CUDA, else eager)")
    parser.add_argument("--seconds", type=float, default=SECONDS, help="how long it may take")
    parser.add_argument("--short", action="store_true", help="tiny, and nothing is compiled")
    given = parser.parse_args(arguments)
    started = time.monotonic()
    execution = given.execution or ("captured" if given.device == "cuda" else "eager")
    failed = 0
    with tempfile.TemporaryDirectory(prefix="bench-") as scratch:
        # Random images: there is nothing to decode.
        options = Options(
            Path(scratch), given.short, Path("none"), device=given.device, execution=execution
        )
        for what, check in checks(options, execution):
            left = given.seconds - (time.monotonic() - started)
            if "compiled" in what and left < COMPILING_SECONDS:
                print(f"left out: {what}: no time left", flush=True)
                continue
            begun = time.monotonic()
            is_right, told = made(check)
            failed += not is_right
            took = time.monotonic() - begun
            print(f"{'ok' if is_right else 'FAILED'}: {what}: {told} ({took:.1f} s)", flush=True)
    return 1 if failed else 0


def made(check: Callable[[], str]) -> tuple[bool, str]:
    """Make a check: return whether all was right, and what there is to say of it."""
    try:
        return True, check()
    except Fault as fault:
        return False, str(fault)
    except Exception as error:  # Whatever one fails with, the others are made.
        traceback.print_exc()
        return False, f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"


def checks(options: Options, execution: str) -> Iterator[Check]:
    """Yield all checks, those that compile last."""
    work = with_batch(RESNET, options.of(RESNET.train.batch_size, 8))
    path = images_of(work, options, limit=options.of(1000, 60))
    seed, device = options.seed, options.device
    first = FirstStep(work, path, seed, device)
    names = executions(device)
    plain = [name for name in names if "compiled" not in name]
    compiled = [name for name in names if name not in plain and not options.short]
    yield from _of_steps(first, plain)
    yield "masks are those of the CPU", partial(check_masks, device, seed)
    small = with_batch(work, options.of(64, 8))
    count = options.of(378, 31)  # An epoch's last batch is a smaller one.
    searches = Searches(small, path, execution, device, options.scratch, count)
    yield f"two searches, {execution}", searches.check_again
    yield f"a search cut and resumed, {execution}", searches.check_resumed
    yield f"forgetting events, {execution}", searches.check_forgetting
    if device == "cuda":
        yield f"kernels of {PROFILED} steps, {execution}", partial(profile, options, execution)
    yield from _of_steps(first, compiled)


def _of_steps(first: FirstStep, names: Sequence[str]) -> Iterator[Check]:
    for name in names:
        for precision in PRECISIONS:
            yield f"first step, {name}, {precision}", partial(first.check, name, precision)
        told = (first.work, first.path, name, first.seed, first.device)
        yield f"pruned weights are zero, {name}", partial(check_pruned, *told)


def check_masks(device: str, seed: int) -> str:
    """Return what was pruned alike on the CPU and on a device, ties and several layers included.

    Raises:
        Fault: If masks differ.
    """
    generator = torch.Generator().manual_seed(seed)
    sizes = {"a": (64, 16, 3, 3), "b": (10, 64), "c": (5000,)}
    drawn = {name: torch.randn(size, generator=generator) for name, size in sizes.items()}
    rounds = 0
    # Of those that are rounded, many are equal.
    for weights in (drawn, {name: w.mul(4).round().div(4) for name, w in drawn.items()}):
        kept = [ones(weights), {name: mask.to(device) for name, mask in ones(weights).items()}]
        for _ in range(4):
            placed = [weights, {name: w.to(device) for name, w in weights.items()}]
            kept = [
                prune(magnitude(of), masks, 0.2) for of, masks in zip(placed, kept, strict=True)
            ]
            rounds += 1
            for name in weights:
                if not torch.equal(kept[0][name], kept[1][name].cpu()):
                    raise Fault(f"{name} after {rounds} prunings")
    return f"{rounds} prunings"


def profile(options: Options, execution: str) -> str:
    """Return a table of the kernels of some steps of a search on a GPU."""
    from torch.profiler import ProfilerActivity
    from torch.profiler import profile as profiled

    work: Work = RESNET
    path = images_of(work, options, limit=options.of(1000, 60))
    step = variants.masked(work, path, execution, options.seed, options.device)
    with profiled(activities=[ProfilerActivity.CPU, ProfilerActivity.CUDA]) as found:
        step(PROFILED)
    averages = found.key_averages()
    table = averages.table(sort_by="self_device_time_total", row_limit=30, max_name_column_width=60)
    return f"as torch.profiler tells them\n{table}\n"


if __name__ == "__main__":
    sys.exit(main())
