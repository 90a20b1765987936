"""What may be wrong with a data set once it is split: classes without examples, shared images."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

import torch
from torch import Tensor

from prac.data.examples import Examples, TensorExamples
from prac.data.sources.types import Source
from prac.data.split import HoldOutError

NAMED_AT_MOST = 10


def check_classes(source: Source, train: Tensor) -> None:
    """Raise a HoldOutError where all the examples `train` (n,) of a source have one class."""
    labels = source.labels[train]
    if labels.ndim > 1:  # Text, where every place of an example has one.
        return
    if bool((labels == labels[0]).all()):
        raise HoldOutError(
            f"{source.origin}: each of the {len(labels)} training examples that are left has the "
            f"class {source.classes[int(labels[0])]!r}, expected at least two classes: hold out "
            f"fewer, raise --limit, or draw others with --val-seed"
        )


def empty_classes(train: Examples) -> Iterator[str]:
    """Yield a warning where classes have a name and no training example."""
    if train.labels is None:
        return
    counts = torch.bincount(train.labels, minlength=len(train.classes)).tolist()
    empty = [repr(name) for name, count in zip(train.classes, counts, strict=True) if not count]
    if empty:
        more = f" and {len(empty) - NAMED_AT_MOST} more" if len(empty) > NAMED_AT_MOST else ""
        yield (
            f"{len(empty)} of {len(counts)} classes have no training example: "
            f"{', '.join(empty[:NAMED_AT_MOST])}{more}"
        )


def shared_examples(
    train: Examples, held_out: Examples | None, part: str, split: str | None = None
) -> Iterator[str]:
    """Yield a warning where held-out examples are trained on, if both sets lie in memory.

    `split` is the name of the split that ships the held-out `part`, if another.
    """
    if not isinstance(train, TensorExamples) or not isinstance(held_out, TensorExamples):
        return
    found = shared(held_out.x, train.x)
    if found is not None:
        count, position, trained = found
        first, other = int(held_out.source_indices[position]), int(train.source_indices[trained])
        yield (
            f"{count} of {len(held_out)} {part} examples are training examples too: "
            f"the first is {split or part} {first}, the same as train {other}"
        )


def shared(examples: Tensor, others: Tensor) -> tuple[int, int, int] | None:
    """Return how many of `examples` (n, ...) are also among `others` (m, ...); None for none.

    Behind it, of the first of them, the position in either. Two are the same where all their bytes
    are. The cost is a hash of each: 0.2 s for 60,000 images of CIFAR.
    """
    if examples.dtype != others.dtype or examples.shape[1:] != others.shape[1:]:
        return None
    known: dict[bytes, int] = {}
    for position, digest in enumerate(_digests(others)):
        known.setdefault(digest, position)
    found = [(i, known[d]) for i, d in enumerate(_digests(examples)) if d in known]
    return (len(found), *found[0]) if found else None


def _digests(examples: Tensor) -> list[bytes]:
    rows = examples.detach().to("cpu").contiguous().reshape(len(examples), -1).numpy()
    return [hashlib.sha256(row).digest() for row in rows]
