"""Indexed examples: the one interface between data and the training loop, and those in memory.

In-memory sets lie on the device and are gathered and augmented there; anything else goes through
a DataLoader (`map_examples`). Both answer to `len`, `stream` and `fingerprint`.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from functools import cached_property, partial
from typing import Protocol

import torch
from torch import Tensor

from prac.data.augment import Pipeline, to_device
from prac.data.content import Odd, digest_of, is_integer, odd_rows
from prac.data.convert import to_plain
from prac.data.pairs import check_pair
from prac.errors import PracError
from prac.utils import Tree, brief, leaves, mapped, split

# Bytes of float32 inputs that are made at once, on a CPU and on a GPU: about what its caches hold,
# and enough for a GPU not to wait for launches.
BLOCK_BYTES = (2**22, 2**26)
THE_DATA_SET = "the data set"


class Examples(Protocol):
    """A fixed, indexed set of examples.

    One that cannot be read in any order also has `epoch_order(members, seed)`: int64 (k,) of int64
    (k,), the members in the order in which an epoch presents them.
    """

    @property
    def classes(self) -> tuple[str, ...]:
        """Class names by label; empty where they are not known."""

    @property
    def fingerprint(self) -> str:
        """Hex digest of the content; two sets with the same one hold the same examples."""

    @property
    def source_indices(self) -> Tensor:
        """int64 (n,): each example's position in the data set it was split from."""

    @property
    def labels(self) -> Tensor | None:
        """int64 (n,), each example's class; None where targets are no classes or not in memory."""

    def __len__(self) -> int:
        """Return the number of examples."""

    def to(self, device: torch.device) -> Examples:
        """Return the examples with batches arriving on `device`."""

    def stream(
        self, batches: Sequence[Tensor], *, seeds: Sequence[int] | None = None
    ) -> Iterator[tuple[Tree, Tree]]:
        """Yield (x, y) on the device for each int64 index tensor of `batches`.

        Each is a tensor, or a tuple, a list or a mapping of them, nested as one likes. With seeds,
        one a batch, each batch is augmented from its own as in training; without, the examples are
        as stored.
        """


class TensorExamples:
    """Examples that lie in memory, as tensors."""

    def __init__(
        self,
        x: Tree,
        y: Tree,
        pipeline: Pipeline | None = None,
        source_indices: Tensor | None = None,
        classes: tuple[str, ...] = (),
    ) -> None:
        """Hold (n, ...) inputs `x` and (n, ...) targets `y`, or trees of such.

        Raises:
            PracError: If they are no tensors of as many examples, or there is none.
        """
        check_pair(x, y, THE_DATA_SET)
        self.x, self.y = mapped(to_plain, x), with_long_classes(mapped(to_plain, y))
        self.pipeline = pipeline or Pipeline()
        self.classes = classes
        self.source_indices = checked_source_indices(source_indices, len(leaves(x)[0]))
        self._layout = torch.contiguous_format

    def __len__(self) -> int:
        """Return n."""
        return len(self.source_indices)

    def __repr__(self) -> str:
        """Return how many there are, of which shape, and where they lie."""
        shapes = " and ".join("x".join(map(str, of.shape[1:])) or "1" for of in leaves(self.x)[:4])
        classes = f"{len(self.classes)} classes" if self.classes else None
        device = str(leaves(self.x)[0].device)
        return brief(self, f"{len(self):,} examples", f"inputs {shapes}", classes, device)

    @cached_property
    def fingerprint(self) -> str:
        """Hex digest of every input and target, shapes and types included."""
        return digest_of(self.x, self.y).hex()

    @cached_property
    def not_finite(self) -> dict[Odd, Tensor]:
        """By kind, int64 (k,), the examples with values that are not finite."""
        return {kind: rows.nonzero()[:, 0].cpu() for kind, rows in odd_rows(self.x, self.y)}

    @property
    def labels(self) -> Tensor | None:
        """int64 (n,), the targets where they are classes."""
        is_class = isinstance(self.y, Tensor) and self.y.ndim == 1 and self.y.dtype == torch.int64
        return self.y if is_class else None

    def to(self, device: torch.device) -> TensorExamples:
        """Return the same examples lying on `device`."""
        if all(of.device == device for of in leaves((self.x, self.y))):
            return self
        moved = copy.copy(self)
        moved.x, moved.y = mapped(lambda of: of.to(device), (self.x, self.y))
        moved.__dict__["fingerprint"] = self.fingerprint
        return moved

    def in_layout(self, layout: torch.memory_format) -> TensorExamples:
        """Return the same examples with the images of batches lying in memory like that."""
        if layout == self._layout:
            return self
        laid_out = copy.copy(self)
        laid_out._layout = layout
        return laid_out

    def stream(
        self, batches: Sequence[Tensor], *, seeds: Sequence[int] | None = None
    ) -> Iterator[tuple[Tree, Tree]]:
        """Yield (x, y) gathered, augmented and normalised on the device.

        Several batches are made at once: one operation over some megabytes costs little more than
        over a small batch. On a GPU nothing waits for the steps that it still has to do.
        """
        held = leaves(self.x)
        device = held[0].device
        per_example = max(1, sum(of[0].numel() for of in held) * 4)
        for block in _blocks(batches, max(1, BLOCK_BYTES[device.type == "cuda"] // per_example)):
            sizes = [len(batch) for batch in batches[block]]
            ids = to_device(torch.cat(list(batches[block])), device)
            x, y = (mapped(partial(_rows_of, ids=ids), part) for part in (self.x, self.y))
            if isinstance(x, Tensor):
                x = self.pipeline(x, seeds[block] if seeds else None, sizes, self._layout)
            yield from zip(split(x, sizes), split(y, sizes), strict=True)


def _blocks(batches: Sequence[Tensor], examples: int) -> Iterator[slice]:
    """Yield consecutive slices of batches with up to so many examples each, but at least one."""
    start, count = 0, 0
    for position, batch in enumerate(batches):
        if count and count + len(batch) > examples:
            yield slice(start, position)
            start, count = position, 0
        count += len(batch)
    if count:
        yield slice(start, len(batches))


def _rows_of(values: Tensor, ids: Tensor) -> Tensor:
    """Return `values[ids]`, by whole rows: several times as fast where values are (n, c, h, w)."""
    if not values.is_contiguous() or values.ndim < 2:
        return values[ids]
    return values.flatten(1).index_select(0, ids).view(len(ids), *values.shape[1:])


def in_layout(examples: Examples, layout: torch.memory_format) -> Examples:
    """Return the examples with images of batches in a layout, where many are laid out at once."""
    return examples.in_layout(layout) if isinstance(examples, TensorExamples) else examples


def class_counts(examples: Examples, members: Tensor | None = None) -> list[int] | None:
    """Return how many (of the `members`) are of each class; None where classes are not known."""
    labels = examples.labels
    if labels is None or int(labels.min()) < 0:
        return None
    labels = labels.cpu()
    counted = labels if members is None else labels[members]
    return torch.bincount(counted, minlength=int(labels.max()) + 1).tolist()


def with_long_classes(y: Tree) -> Tree:
    """Return integer targets as int64: losses take classes so, and NumPy's are often int32."""
    return mapped(lambda of: of.to(torch.int64) if is_integer(of) else of, y)


def checked_source_indices(given: Tensor | None, n: int) -> Tensor:
    """Return int64 (n,) positions in the data set that examples come from; by default their own."""
    if given is None:
        return torch.arange(n)
    if given.dtype != torch.int64 or given.ndim != 1 or bool((given < 0).any()):
        raise PracError(
            f"source_indices is {given.dtype} of shape {tuple(given.shape)}, from {given.min()} "
            f"on: expected int64 ({n},), none below 0"
        )
    if len(given) != n:
        raise PracError(f"the data set has {n} examples but {len(given)} source indices")
    return given
