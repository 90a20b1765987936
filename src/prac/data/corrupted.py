"""Corrupted data: the same examples with each other's labels, or with their inputs shuffled.

What is learned of either is nothing of the data (Zhang et al. 2017, arXiv 1611.03530): a mask that
is searched for on it is a control for one that is searched for on the data itself.
"""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Iterator, Sequence
from typing import Literal

import torch
from torch import Tensor

from prac.data.content import PIECE
from prac.data.examples import Examples, TensorExamples
from prac.data.streams import StreamExamples
from prac.errors import PracError
from prac.utils import Tree, brief, generator, mapped

Corruption = Literal["labels", "inputs"]


def corrupted(examples: Examples, what: Corruption, seed: int) -> Examples:
    """Return examples of which labels or inputs are corrupted, the same each time.

    "labels" permutes the targets among all examples, so that each is as frequent as before.
    "inputs" permutes the positions of each example's input, by an order of its own that is the same
    in every epoch: the pixels of a picture, all of its channels together, or the values of a vector
    or the tokens of a text. What lies in memory is corrupted there, as a copy, before it is
    augmented; what is read, after all that is done to it.

    Raises:
        PracError: If inputs are not one tensor of several positions, or targets are neither in
            memory nor to be read in another order.
    """
    if what == "inputs":
        _check_inputs(examples)
    if isinstance(examples, TensorExamples):
        return _in_memory(examples, what, seed)
    return CorruptedExamples(examples, what, seed)


def corrupted_fingerprint(fingerprint: str, what: Corruption, seed: int) -> str:
    """Return the fingerprint of examples when corrupted so, from their own."""
    return hashlib.sha256(f"{fingerprint} corrupted {what} {seed}".encode()).hexdigest()


class CorruptedExamples:
    """Examples that are read, corrupted as they come; see `corrupted`."""

    def __init__(self, examples: Examples, what: Corruption, seed: int) -> None:
        """Hold them.

        Raises:
            PracError: If targets are neither in memory nor to be read in another order.
        """
        self._examples, self._what, self._seed = examples, what, seed
        self.fingerprint = corrupted_fingerprint(examples.fingerprint, what, seed)
        self._order = _order(len(examples), seed)
        self.labels = examples.labels
        if what == "labels" and self.labels is not None:
            self.labels = self.labels[self._order.to(self.labels.device)]
        elif what == "labels" and isinstance(examples, StreamExamples):
            raise PracError(
                f"targets of {examples.name} are no classes, and are read in one order, so that "
                f"examples cannot be given each other's: judge without corrupted labels"
            )
        if order := getattr(examples, "epoch_order", None):
            self.epoch_order = order

    @property
    def classes(self) -> tuple[str, ...]:
        """Class names by label."""
        return self._examples.classes

    @property
    def source_indices(self) -> Tensor:
        """int64 (n,): each example's position in the data set it was split from."""
        return self._examples.source_indices

    def __len__(self) -> int:
        """Return n."""
        return len(self._examples)

    def __repr__(self) -> str:
        """Return what is corrupted, of which examples."""
        return brief(self, self._what, repr(self._examples))

    def to(self, device: torch.device) -> CorruptedExamples:
        """Return the same examples with batches arriving on `device`."""
        return CorruptedExamples(self._examples.to(device), self._what, self._seed)

    def stream(
        self, batches: Sequence[Tensor], *, seeds: Sequence[int] | None = None
    ) -> Iterator[tuple[Tree, Tree]]:
        """Yield (x, y), one of them corrupted, for each int64 index tensor of `batches`."""
        loaded = self._examples.stream(batches, seeds=seeds)
        if self._what == "inputs":
            for batch, (x, y) in zip(batches, loaded, strict=True):
                assert isinstance(x, Tensor), "it was checked in the beginning"
                yield shuffled_positions(x, batch, self._seed), y
        elif self.labels is not None:
            for batch, (x, y) in zip(batches, loaded, strict=True):
                assert isinstance(y, Tensor), "labels are one number each"
                yield x, self.labels[batch.to(self.labels.device)].to(y.device)
        else:
            others = self._examples.stream([self._order[of.cpu()] for of in batches], seeds=seeds)
            for (x, _), (_, y) in zip(loaded, others, strict=True):
                yield x, y


def shuffled_positions(x: Tensor, ids: Tensor, seed: int) -> Tensor:
    """Return inputs (b, ...) with each example's positions in an order of its own.

    Args:
        x: Pictures or volumes (b, channels, ...), whose channels go together, or what has up to two
            dimensions an example, all of whose values are positions.
        ids: int64 (b,), which examples they are.
        seed: An order depends on it, on the example, and on how many positions there are.

    >>> x = torch.arange(8).view(1, 2, 2, 2)
    >>> found = shuffled_positions(x, torch.tensor([3]), seed=0)
    >>> sorted(found[0, 0].flatten().tolist()), (found[0, 1] - found[0, 0]).unique().tolist()
    ([0, 1, 2, 3], [4])
    """
    flat = x.reshape(len(x), x.shape[1] if x.ndim > 3 else 1, -1)
    count = flat.shape[2]
    orders = [torch.randperm(count, generator=generator(seed, of, count)) for of in ids.tolist()]
    places = torch.stack(orders).to(x.device)[:, None].expand_as(flat)
    return flat.gather(2, places).view(x.shape)


def _in_memory(examples: TensorExamples, what: Corruption, seed: int) -> TensorExamples:
    changed = copy.copy(examples)
    changed.__dict__.pop("not_finite", None)
    changed.__dict__["fingerprint"] = corrupted_fingerprint(examples.fingerprint, what, seed)
    if what == "labels":
        order = _order(len(examples), seed)
        changed.y = mapped(lambda of: of[order.to(of.device)], examples.y)
        return changed
    assert isinstance(examples.x, Tensor), "it was checked in the beginning"
    changed.x = torch.empty_like(examples.x, memory_format=torch.contiguous_format)
    for ids in torch.arange(len(examples)).split(PIECE):  # Of all, orders would need much memory.
        part = slice(int(ids[0]), int(ids[-1]) + 1)
        changed.x[part] = shuffled_positions(examples.x[part], ids, seed)
    return changed


def _order(n: int, seed: int) -> Tensor:
    return torch.randperm(n, generator=generator(seed, "targets"))


def _check_inputs(examples: Examples) -> None:
    """Raise a PracError unless inputs have positions that could be shuffled."""
    if isinstance(examples, TensorExamples):
        x = examples.x
    else:
        x, _ = next(iter(examples.stream([torch.tensor([0])])))
    if not isinstance(x, Tensor) or x[0].numel() < 2:
        what = "one value each" if isinstance(x, Tensor) else "tensors in a tuple, list or dict"
        raise PracError(
            f"inputs are {what}, and corrupting them shuffles the positions within one tensor: "
            f"judge without corrupted inputs"
        )
