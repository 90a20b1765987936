"""Which problems critical examples pay on: PrAC's sets against random ones of their cost.

On each problem: PrAC, random sets of the same sizes trained for as many iterations, and all data
for as many; tickets trained alone on all data, over seeds. Beside what comes out stands what the
dense network's first training showed: the share of the examples that it forgot or never learned.

    python -m experiments.critical --data DIR       DIR holds mnist/ and cifar10/ as parquet

Fashion-MNIST is Debian's package dataset-fashion-mnist; digits are scikit-learn's. `--problems`
runs some, `--no-run` only writes `docs/results/critical.json`, `.svg` and `.md` from what is
there. Label noise gives a share of the labels that training and validation see to another class;
test labels stay right. `cifar-16` is not run here: its searches are those of `experiments.rivals
authors`. CIFAR-10 takes an hour or two a problem, the others up to half an hour, on one core that
multiplies bf16 (AMX; OMP_NUM_THREADS=1); the same command goes on where it stopped.
"""

from __future__ import annotations

import gzip
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.datasets import load_digits

from experiments import pages, rivals
from experiments.critical_page import AT_ONCE, page, picture
from experiments.options import problems_parser, ran
from prac.comparison import Comparison
from prac.config import DataConfig
from prac.data.sources.by_name import load_splits
from prac.errors import PracError
from prac.io import read_tensors
from prac.runs import Subset
from prac.search import Search

Array = NDArray[Any]

NAME = "critical"
FASHION = "/usr/share/datasets/fashion-mnist"
SHORT, SHORTER = "prac:level-budget=0.2", "prac:level-budget=0.1"
"""PrAC with levels of a fifth of a whole training, and of a tenth, at most."""


def with_rivals(*methods: str) -> str:
    """Return methods, each with random sets and all data at its cost, as `prac compare` takes them.

    >>> with_rivals("prac")
    'prac,random-subset@prac,imp@prac'
    """
    rivals = ("{}", "random-subset@{}", "imp@{}")
    return ",".join(name.format(method) for method in methods for name in rivals)


WHOLE = with_rivals("prac")
METHODS = with_rivals("prac", SHORT)
LENET_METHODS = with_rivals("prac", SHORTER, "prac-light")
"""`prac-light` needs schedules of which a twentieth is more than the way to the rewind point."""

LENET = "--model lenet_300_100 --layers linear"
LENET_BIG = (
    f"{LENET} --levels 12 --judged 8,12 --epochs 8 --milestones 5,7 --lr 0.05 --batch-size 128 "
    "--val-fraction 0.1 --arm above-once"
)
LENET_DIGITS = (
    f"{LENET} --levels 8 --judged 8 --epochs 40 --milestones 25,35 --lr 0.1 --batch-size 32 "
    "--val-fraction 0.1 --arm above-once"
)
RESNET = (
    "--model resnet8s --layers conv --levels 8 --judged 8 --epochs 20 --milestones 10,15 --lr 0.1 "
    "--weight-decay 5e-4 --batch-size 128 --val-fraction 0.1 --rewind epoch:1 --arm above-once "
    "--precision bf16 --execution compiled --image-size {} --crop {} --limit {} --flip"
)
LARGER = "--levels 4 --drop-fraction 0.36 --judged 4"
"""To the same density in half as many levels, where a step takes four times as long."""
TEST_SIZE = 10_000
"""Test examples of MNIST, Fashion-MNIST and CIFAR-10."""
SEEDS = "0,1,2"
MORE_SEEDS = ",".join(map(str, range(15)))
"""For digits: their 397 test examples tell little, and cost little."""


@dataclass(frozen=True)
class Problem:
    """One problem.

    Attributes:
        title: As the page names it.
        source: digits, mnist, fashion or cifar10.
        options: Of `prac compare`.
        methods: As it takes them.
        noise: Share of the labels of training and validation that are another class's.
        seeds: As it takes them.
        searches: The problem of `experiments.rivals` that makes these searches, beside others.
    """

    title: str
    source: str
    options: str
    methods: str = METHODS
    noise: float = 0.0
    seeds: str = SEEDS
    searches: str = ""

    @property
    def data(self) -> str:
        """The name of its file."""
        noise = f"-{100 * self.noise:.0f}" if self.noise else ""
        return f"{self.source}{noise}.npz"

    @property
    def test_size(self) -> int:
        """How many test examples it has."""
        return 397 if self.source == "digits" else TEST_SIZE


def _noisy(of: Problem, noise: float) -> Problem:
    return replace(of, title=f"{of.title}, {noise:.0%} noise", noise=noise)


DIGITS = Problem("digits, LeNet-300-100", "digits", LENET_DIGITS, LENET_METHODS, seeds=MORE_SEEDS)
MNIST = Problem("MNIST, LeNet-300-100", "mnist", LENET_BIG, LENET_METHODS)
PROBLEMS = {
    "digits": DIGITS,
    "digits-10": _noisy(DIGITS, 0.1),
    "digits-30": _noisy(DIGITS, 0.3),
    "mnist": MNIST,
    "digits-at-once": replace(DIGITS, methods=with_rivals(AT_ONCE)),
    "mnist-at-once": replace(MNIST, methods=with_rivals(AT_ONCE)),
    "fashion": Problem("Fashion-MNIST, LeNet-300-100", "fashion", LENET_BIG, LENET_METHODS),
    "cifar-8": Problem("CIFAR-10 at 8 x 8, ResNet-8", "cifar10", RESNET.format(8, 1, 10000)),
    "cifar-16": Problem(
        "CIFAR-10 at 16 x 16, ResNet-8, 30,001 images",
        "cifar10",
        rivals.PROBLEMS["authors"].options,
        WHOLE,
        searches="authors",
    ),
    "cifar-16-short": Problem(
        "CIFAR-10 at 16 x 16, ResNet-8",
        "cifar10",
        RESNET.format(16, 2, 10000),
        with_rivals(SHORT),
    ),
    "cifar-32": Problem(
        "CIFAR-10 at 32 x 32, ResNet-8",
        "cifar10",
        RESNET.format(32, 4, 6000).replace("--levels 8 --judged 8", LARGER),
        WHOLE,
    ),
}


def arrays(source: str, data: str) -> tuple[Array, Array, Array, Array]:
    """Return pictures and labels for training, and for testing, as uint8 and integers."""
    if source == "digits":
        digits = load_digits()
        pictures = (digits.images * 255 / 16).round().astype(np.uint8)
        return pictures[:1400], digits.target[:1400], pictures[1400:], digits.target[1400:]
    if source == "fashion":
        return (*_idx("train"), *_idx("t10k"))
    splits = load_splits(DataConfig(f"{data}/{source}"))
    assert splits.test is not None
    found = []
    for split in (splits.train, splits.test):
        pictures = np.asarray(split.images)
        channels_last = pictures.transpose(0, 2, 3, 1) if pictures.shape[1] == 3 else pictures[:, 0]
        found += [np.ascontiguousarray(channels_last), split.labels.numpy()]
    return found[0], found[1], found[2], found[3]


def _idx(split: str) -> tuple[Array, Array]:
    """Read a split of Fashion-MNIST, which is shipped in MNIST's own format, compressed."""
    packed = [f"{FASHION}/{split}-{part}-ubyte.gz" for part in ("images-idx3", "labels-idx1")]
    pictures, labels = (gzip.decompress(Path(path).read_bytes()) for path in packed)
    return (
        np.frombuffer(pictures, np.uint8, offset=16).reshape(-1, 28, 28),
        np.frombuffer(labels, np.uint8, offset=8).astype(np.int64),
    )


def relabelled(labels: Array, share: float) -> Array:
    """Return labels of which a share, drawn at random, is each another class, drawn at random.

    >>> noisy = relabelled(np.arange(10) % 2, 0.3)
    >>> int((noisy != np.arange(10) % 2).sum())
    3
    """
    drawn = np.random.default_rng(0)
    classes = int(labels.max()) + 1
    places = drawn.permutation(len(labels))[: round(share * len(labels))]
    noisy = labels.copy()
    noisy[places] = (labels[places] + drawn.integers(1, classes, len(places))) % classes
    return noisy


def made(problem: Problem, data: str, runs: str) -> Path:
    """Return a problem's data file, made where it is not there."""
    path = Path(runs, "critical-data", problem.data)
    if not path.exists():
        try:
            x_train, y_train, x_test, y_test = arrays(problem.source, data)
        except (PracError, FileNotFoundError) as error:
            sys.exit(f"error: {error}")
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_suffix(".partial.npz")
        np.savez(
            partial,
            x_train=x_train,
            y_train=relabelled(y_train, problem.noise),
            x_test=x_test,
            y_test=y_test,
        )
        partial.replace(path)
    return path


def command(name: str, data: str, runs: str) -> list[str]:
    """Return the `prac compare` command of a problem; one of another experiment's as it has it."""
    problem = PROBLEMS[name]
    if problem.searches:
        known = rivals.PROBLEMS[problem.searches]
        return rivals.command(known, "DIR", str(folder_of(name, runs)))
    options = ["--data", data, "--methods", problem.methods, "--seeds", problem.seeds]
    return [
        "prac",
        "compare",
        *options,
        *problem.options.split(),
        "--out",
        str(folder_of(name, runs)),
    ]


def folder_of(name: str, runs: str) -> Path:
    """Return where a problem is compared."""
    searches = PROBLEMS[name].searches
    return rivals.folder_of(searches, runs) if searches else Path(runs, f"critical-{name}")


def family(problem: Problem) -> str:
    """Return which kind of data a problem is of, for the picture."""
    names = {"mnist": "MNIST", "fashion": "Fashion-MNIST", "cifar10": "CIFAR-10"}
    return names.get(problem.source, problem.source)


def shown(folder: Path, wrong: Array | None) -> dict[str, float | None]:
    """Return what a search showed: shares forgotten and never learned, and what its last set is.

    The shares are of the examples that level 0 saw. Beside them stands what the last ticket saved
    of IMP's iterations.

    Args:
        folder: Of a PrAC search.
        wrong: Which examples of the data file have a wrong label; None where none has.
    """
    examples, _ = read_tensors(folder / "levels" / "00" / "examples.safetensors", "examples")
    members = examples["members"]
    learned, events = examples["learned"][members], examples["events"][members]
    forgotten = ~learned | (events > 0)
    last = Subset.load(max(folder.glob("levels/*/subset.safetensors")))
    search = Search.load(folder)
    share = None if wrong is None else float(wrong[last.source_indices.numpy()].mean())
    return {
        "forgotten": float(forgotten.float().mean()),
        "never_learned": float((~learned).float().mean()),
        "last_set": len(last) / last.total,
        "mislabelled": share,
        "saved": search.cost(search.levels[-1].index).iterations_saved,
    }


def results_of(name: str, runs: str) -> dict[str, Any] | None:
    """Return what a problem came to; None where not all of its searches are done."""
    problem, folder = PROBLEMS[name], folder_of(name, runs)
    if not (folder / "comparison.json").exists():
        return None
    comparison = Comparison.load(folder)
    data = Path(runs, "critical-data")
    wrong = None
    if problem.noise:
        clean = PROBLEMS[name.rpartition("-")[0]].data
        noisy, right = (np.load(data / one)["y_train"] for one in (problem.data, clean))
        wrong = noisy != right
    methods = problem.methods.split(",")
    values = {
        method: {
            str(level): [ticket.value for ticket in comparison.tickets(method, level)]
            for level in comparison.judged
        }
        for method in methods
    }
    wanted = len(problem.seeds.split(","))
    if any(len(of) != wanted for by_level in values.values() for of in by_level.values()):
        return None
    tickets = comparison.of(methods[0])[0].tickets
    ours = [method for method in methods if "@" not in method]
    return {
        "title": problem.title,
        "family": family(problem),
        "machine": pages.machine(folder / "runs" / methods[0] / f"seed-{comparison.seeds[0]}"),
        "network": "ResNet-8" if "resnet8s" in problem.options else "LeNet-300-100",
        "noise": problem.noise,
        "command": " ".join(command(name, f"DIR/{problem.data}", "runs")),
        "densities": {str(ticket.level): ticket.density for ticket in tickets},
        "values": values,
        "shown": {
            method: [
                shown(folder / "runs" / method / f"seed-{seed}", wrong) for seed in comparison.seeds
            ]
            for method in ours
        },
    }


def publish(runs: str) -> None:
    """Write figures, picture and page: of the problems that are done, and those of earlier runs."""
    found = {name: results_of(name, runs) for name in PROBLEMS}
    results = pages.publish(NAME, found, page)
    pages.picture(picture(results), pages.RESULTS / f"{NAME}.svg")


def main(arguments: Sequence[str] | None = None) -> None:
    """Run what is left to run, and write figures, picture and page."""
    options = problems_parser(__doc__, PROBLEMS).parse_args(arguments)
    for name in [] if options.no_run else options.problems:
        if PROBLEMS[name].searches:
            continue
        path = made(PROBLEMS[name], options.data, options.runs)
        ran(command(name, str(path), options.runs))
    publish(options.runs)


if __name__ == "__main__":
    main()
