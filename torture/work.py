"""What is struck: small but whole searches, with retrainings, on scikit-learn's digits."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from torture.process import Ending, forked

OUT = "run"
_COMMON = "find --data digits --seed 0 --levels 2 --epochs 2 --retrain 2 --quiet --out run"


@dataclass(frozen=True)
class Work:
    """A command whose results are known: those of an uninterrupted run.

    Attributes:
        name: For people.
        arguments: Of `prac`.
        results: Bytes of every file that the seed determines, by path.
    """

    name: str
    arguments: tuple[str, ...]
    results: dict[str, bytes]


def _arguments(more: str) -> tuple[str, ...]:
    return (*_COMMON.split(), *more.split())


COMMANDS = {
    "LeNet-300-100, PrAC, states every 5 iterations": _arguments(
        "--limit 400 --model lenet_300_100 --layers linear --batch-size 32 --lr 0.1 --save-every 5"
    ),
    "Conv-2, augmented, Adam, rewound to iteration 3": _arguments(
        "--limit 160 --model conv2 --layers conv+linear --batch-size 32 --optimizer adam --lr 1e-3 "
        "--crop 1 --flip --rewind iteration:3 --image-size 8 --save-every 2"
    ),
}


def prepare(scratch: Path, names: Sequence[str] = tuple(COMMANDS)) -> list[Work]:
    """Run each command to its end, without a fault."""
    return [_whole(name, COMMANDS[name], scratch) for name in names]


def with_loading_processes(scratch: Path) -> Work:
    """Return a work whose images are files, decoded on access by two processes."""
    import numpy as np
    from PIL import Image
    from sklearn.datasets import load_digits

    digits, data = load_digits(), scratch / "images"
    for index, (image, label) in enumerate(zip(digits.images[:200], digits.target, strict=False)):
        path = data / str(label) / f"{index}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray((image * 15).astype(np.uint8)).save(path)
    arguments = _arguments(
        f"--data {data} --model lenet_300_100 --layers linear --batch-size 32 --lr 0.1 "
        f"--memory-limit 1e-6 --workers 2 --save-every 3"
    )
    return _whole("LeNet-300-100, images decoded on access by two processes", arguments, scratch)


def _whole(name: str, arguments: tuple[str, ...], scratch: Path) -> Work:
    """Run a command to its end, without a fault."""
    folder = Path(tempfile.mkdtemp(prefix="whole-", dir=scratch))
    ending = forked(arguments, folder)
    if ending.status != 0:
        raise RuntimeError(f"{name}: the uninterrupted run failed: {ending.stderr}")
    return Work(name, arguments, results(folder / OUT))


def results(run: Path) -> dict[str, bytes]:
    """Return the bytes of every file of a run that its seed determines, by path."""
    return {
        str(path.relative_to(run)): path.read_bytes()
        for path in sorted(run.rglob("*"))
        if path.suffix == ".safetensors" or path.name in ("metrics.jsonl", "config.yaml")
    }


def differences(work: Work, run: Path) -> list[str]:
    """Return what of a finished run is not as in the uninterrupted one, in words."""
    found = results(run)
    wrong = [f"{name} is missing" for name in work.results if name not in found]
    wrong += [f"{name} is too many" for name in found if name not in work.results]
    wrong += [f"{n} differs" for n, b in work.results.items() if n in found and found[n] != b]
    wrong += [
        f"{path.relative_to(run)} is left over"
        for path in run.rglob(".*")
        if path.name != ".lock" or path.parent not in (run, *run.glob("retrain/*"))
    ]
    return wrong


def finish(work: Work, folder: Path) -> tuple[Ending, list[str]]:
    """Give the command again; return how it ended, and what is not as it should be."""
    ending = forked(work.arguments, folder)
    if ending.status != 0:
        return ending, [f"the next run ended with {ending.status}: {ending.stderr.strip()}"]
    return ending, differences(work, folder / OUT)
