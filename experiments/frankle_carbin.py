"""The lottery ticket hypothesis on LeNet-300-100 and MNIST (Frankle and Carbin, arXiv 1803.03635).

Iterative magnitude pruning from initialisation, as their section 2 and appendix G have it: Adam at
1.2e-3, batches of 60, 50,000 iterations a level, in each layer the 20 % smallest of the weights
left are pruned, 10 % in the output layer. Tickets are trained beside networks of the same masks and
other initial weights, and tested all along the way.

    python -m experiments.frankle_carbin --data DIR/mnist [--trials 0,1,2,3,4]

Every training that ends is added to `docs/results/frankle-carbin.json`; the same command goes on
with those that are missing, then writes `docs/results/frankle-carbin.md` and its pictures. A trial
takes about half an hour on one core (OMP_NUM_THREADS=1); trials can run side by side.
"""

from __future__ import annotations

import argparse
import fcntl
import json
import time
from collections.abc import Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from experiments import pages
from experiments.frankle_carbin_page import curves, densities, page
from experiments.pages import RESULTS
from prac.algorithms import Masks, density, magnitude, ones, prune
from prac.config import DataConfig, TrainConfig
from prac.data import LoadedData, load_data
from prac.io import write_atomic
from prac.models import restore_, snapshot
from prac.models.registry import build
from prac.runs import Ticket
from prac.training import Problem, Runtime, plan_for, scores_of
from prac.training.loop import fit
from prac.training.optimizer import make_optimizer
from prac.utils import derive_seed

LEVELS = 15
# Where networks of other initial weights are trained beside the tickets: 41, 21, 8.7 and 3.6 %.
REINITIALISED = (4, 7, 11, 15)
TRAINING = TrainConfig(
    iterations=50_000,
    batch_size=60,
    optimizer="adam",
    lr=1.2e-3,
    weight_decay=0.0,
    schedule="constant",
    precision="fp32",
)


@dataclass(frozen=True)
class Setting:
    """What a trial does; the defaults are the experiment's.

    Attributes:
        levels: Prunings.
        reinitialised: Levels whose masks are trained from other initial weights too.
        config: One training.
    """

    levels: int = LEVELS
    reinitialised: tuple[int, ...] = REINITIALISED
    config: TrainConfig = TRAINING

    def points(self) -> list[int]:
        """Return the iterations after which networks are tested: often at first, then seldom."""
        length = self.config.iterations or 0
        dense, sparse = max(length // 200, 1), max(length // 50, 1)
        early = range(dense, length * 6 // 50, dense)
        return sorted({*early, *range(sparse, length, sparse), length})


def new_weights(data: LoadedData, seed: int) -> dict[str, Tensor]:
    """Return LeNet-300-100's initial weights: Gaussian Glorot, drawn from a seed."""
    with torch.random.fork_rng([]):
        torch.manual_seed(seed)
        shape = (data.shape[0], data.shape[1], data.shape[2])
        return snapshot(build("lenet_300_100", image_shape=shape, classes=len(data.classes)))


def train(
    problem: Problem,
    test: Any,
    weights: Mapping[str, Tensor],
    masks: Masks,
    setting: Setting,
    seed: int,
) -> tuple[dict[str, Tensor], list[list[float]]]:
    """Train from weights under masks; return the last weights and the curve.

    The curve has a row a point: iteration, validation accuracy and loss, test accuracy and loss.
    """
    assert problem.val is not None
    plan = plan_for(setting.config, len(problem.train), len(problem.train))
    restore_(problem.model, dict(weights))
    optimizer = make_optimizer(problem.model, setting.config, problem.runtime)
    points, curve = set(setting.points()), []
    for segment in fit(
        problem.model,
        optimizer,
        problem.train,
        torch.arange(len(problem.train)),
        plan,
        masks=masks,
        task=problem.task,
        runtime=problem.runtime,
        batch_size=setting.config.batch_size,
        seed=seed,
        breaks=lambda step: step in points,
    ):
        if segment.step in points:
            scores = [scores_of(problem, of) for of in (problem.val, test)]
            found = [value for of in scores for value in (of.right, of.loss)]
            curve.append([segment.step, *(round(value, 6) for value in found)])
    return snapshot(problem.model), curve


def pruned(weights: Mapping[str, Tensor], masks: Masks) -> Masks:
    """Return the next level's masks: each layer loses 20 %, the output layer half as much."""
    scores = magnitude({name: weights[name] for name in masks})
    *hidden, output = masks
    parts = [(hidden, 0.2), ([output], 0.1)]
    return {
        name: mask
        for names, fraction in parts
        for name, mask in prune(
            {n: scores[n] for n in names}, {n: masks[n] for n in names}, fraction, scope="layer"
        ).items()
    }


def trial(number: int, data: LoadedData, setting: Setting, runs: Path, results: Path) -> None:
    """Train what is missing of a trial, level by level."""
    first = new_weights(data, derive_seed(number, "initial weights"))
    shape = (data.shape[0], data.shape[1], data.shape[2])
    problem = Problem.of(
        build("lenet_300_100", image_shape=shape, classes=len(data.classes)),
        data.train,
        data.val,
        runtime=Runtime(torch.device("cpu")),
        batch_size=setting.config.batch_size,
    )
    masks = ones({name: weight for name, weight in first.items() if weight.ndim == 2})
    for level in range(setting.levels + 1):
        seed = derive_seed(number, "order", level)
        kinds = {"ticket": first}
        if level in setting.reinitialised:
            kinds["reinitialised"] = new_weights(data, derive_seed(number, "other", level))
        next_ticket = runs / f"trial-{number}" / f"level-{level + 1:02d}.ticket.safetensors"
        for kind, weights in kinds.items():
            if is_done(results, number, level, kind) and (
                kind != "ticket" or next_ticket.exists() or level == setting.levels
            ):
                continue
            started = time.monotonic()
            last, curve = train(problem, data.test, weights, masks, setting, seed)
            if kind == "ticket":
                next_ticket.parent.mkdir(parents=True, exist_ok=True)
                Ticket(first, pruned(last, masks), {"level": level + 1}).save(next_ticket)
            record = {
                "trial": number,
                "level": level,
                "kind": kind,
                "density": density(masks),
                "seconds": round(time.monotonic() - started, 1),
                "curve": curve,
            }
            add(results, record)
            print(f"trial {number}, level {level}, {kind}: {record['seconds']} s", flush=True)
        if level < setting.levels:
            masks = Ticket.load(next_ticket).masks


def recorded(results: Path) -> list[dict[str, Any]]:
    """Return the trainings that have ended."""
    return json.loads(results.read_text())["trainings"] if results.exists() else []


def is_done(results: Path, number: int, level: int, kind: str) -> bool:
    """Say whether a training's record is there."""
    keys = {(r["trial"], r["level"], r["kind"]) for r in recorded(results)}
    return (number, level, kind) in keys


@contextmanager
def alone(results: Path) -> Any:
    """Hold a file that trials side by side add to."""
    results.parent.mkdir(parents=True, exist_ok=True)
    with results.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def add(results: Path, record: dict[str, Any]) -> None:
    """Add a training's record, in the place of one of the same training."""
    with alone(results):
        key = ("trial", "level", "kind")
        others = [r for r in recorded(results) if any(r[k] != record[k] for k in key)]
        trainings = sorted([*others, record], key=lambda r: (r["trial"], r["level"], r["kind"]))
        lines = ",\n".join(json.dumps(training) for training in trainings)
        text = f'{{"torch": "{torch.__version__}", "trainings": [\n{lines}\n]}}\n'
        write_atomic(results, text.encode())


def main(arguments: Sequence[str] | None = None) -> None:
    """Train what is left to train."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", required=True, help="folder of MNIST")
    parser.add_argument("--runs", default="runs/frankle-carbin", help="where tickets go")
    parser.add_argument("--trials", default="0,1,2,3,4", help="which trials, by number")
    options = parser.parse_args(arguments)
    data = load_data(DataConfig(name=options.data, val_fraction=1 / 12))
    for number in map(int, options.trials.split(",")):
        trial(number, data, Setting(), Path(options.runs), RESULTS / "frankle-carbin.json")
    write_page()


def write_page() -> None:
    """Write the page and its pictures from the trainings that have ended."""
    results = pages.read("frankle-carbin")
    pages.write("frankle-carbin", page(results))
    pages.picture(curves(results), RESULTS / "frankle-carbin-curves.svg")
    pages.picture(densities(results), RESULTS / "frankle-carbin-densities.svg")


if __name__ == "__main__":
    main()
