"""Indexed examples: the one interface between data and the training loop.

In-memory sets lie on the device and are gathered and augmented there; anything else goes through
a DataLoader. Both answer to `len`, `stream` and `fingerprint`.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from prac.data.augment import Pipeline, to_device
from prac.data.content import Odd, Sampled, digest_of, is_integer, odd_rows
from prac.data.convert import to_plain
from prac.data.pairs import check_pair, pair_of_tensors
from prac.data.reading import Like, Reading, counted
from prac.data.workers import fetched
from prac.errors import PracError

# Bytes of float32 inputs that are made at once, on a CPU and on a GPU: about what its caches hold,
# and enough for a GPU not to wait for launches.
BLOCK_BYTES = (2**22, 2**26)
REPEATED_SAMPLES = 8
THE_DATA_SET = "the data set"


class Examples(Protocol):
    """A fixed, indexed set of examples."""

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
    ) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield (x, y) on the device for each int64 index tensor of `batches`.

        With seeds, one a batch, each batch is augmented from its own as in training; without, the
        examples are as stored.
        """


class TensorExamples:
    """Examples that lie in memory, as uint8 or float tensors."""

    def __init__(
        self,
        x: Tensor,
        y: Tensor,
        pipeline: Pipeline | None = None,
        source_indices: Tensor | None = None,
        classes: tuple[str, ...] = (),
    ) -> None:
        """Hold (n, ...) inputs `x` and (n, ...) targets `y`.

        Raises:
            PracError: If they are no tensors of as many examples, or there is none.
        """
        check_pair(x, y, THE_DATA_SET)
        self.x, self.y = to_plain(x), _with_long_classes(to_plain(y))
        self.pipeline = pipeline or Pipeline()
        self.classes = classes
        self.source_indices = _source_indices(source_indices, len(x))
        self._layout = torch.contiguous_format

    def __len__(self) -> int:
        """Return n."""
        return len(self.x)

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
        return self.y if self.y.ndim == 1 and self.y.dtype == torch.int64 else None

    def to(self, device: torch.device) -> TensorExamples:
        """Return the same examples lying on `device`."""
        if self.x.device == self.y.device == device:
            return self
        moved = copy.copy(self)
        moved.x, moved.y = self.x.to(device), self.y.to(device)
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
    ) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield (x, y) gathered, augmented and normalised on the device.

        Several batches are made at once: one operation over some megabytes costs little more than
        over a small batch. On a GPU nothing waits for the steps that it still has to do.
        """
        at_once = BLOCK_BYTES[self.x.device.type == "cuda"]
        per_example = max(1, self.x[0].numel() * 4)
        for block in _blocks(batches, max(1, at_once // per_example)):
            sizes = [len(batch) for batch in batches[block]]
            ids = to_device(torch.cat(list(batches[block])), self.x.device)
            stored, own = _rows_of(self.x, ids), seeds[block] if seeds else None
            x = self.pipeline(stored, own, sizes, self._layout)
            yield from zip(x.split(sizes), _rows_of(self.y, ids).split(sizes), strict=True)


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


class MapExamples:
    """Examples of any map-style dataset of (x, y), fetched through a DataLoader.

    Args:
        dataset: `dataset[i]` gives (x, y); x may be a uint8 image for `pipeline` to normalise.
        pipeline: What is done to a batch on the device.
        unaugmented: The same examples without random augmentation, for scoring passes; `dataset`
            itself where it does not augment.
        workers: Loading processes; with 0 examples are fetched in this one.
        name: What the examples are called where something is wrong with one.
    """

    def __init__(
        self,
        dataset: Dataset[Any],
        pipeline: Pipeline | None = None,
        *,
        unaugmented: Dataset[Any] | None = None,
        workers: int = 0,
        device: torch.device | None = None,
        source_indices: Tensor | None = None,
        classes: tuple[str, ...] = (),
        name: str = THE_DATA_SET,
    ) -> None:
        """Hold the dataset.

        Raises:
            PracError: If it has no length or no examples, if `unaugmented` has another length, or
                if one of the first examples is no pair of tensors, arrays or numbers, or another
                one each time.
        """
        self._name = name
        length = counted(dataset, name)
        self.dataset, self.unaugmented = dataset, dataset if unaugmented is None else unaugmented
        scored = length if unaugmented is None else counted(unaugmented, self._unaugmented_name)
        if scored != length:
            raise PracError(
                f"{self._unaugmented_name} has {scored} examples, the training set {length}: "
                f"expected the same examples"
            )
        if workers < 0:
            raise PracError(f"workers is {workers}: expected at least 0")
        self.pipeline = pipeline or Pipeline()
        self.workers = workers
        self.device = device or torch.device("cpu")
        self.classes = classes
        self.source_indices = _source_indices(source_indices, length)
        self._like: Like | None = None
        self._like = self._reading(augmented=False).like(0)
        # Else the fingerprint would not be reproducible, and CEP passes would score augmented data.
        read = self._reading(augmented=False)
        some = np.linspace(0, length - 1, min(length, REPEATED_SAMPLES)).astype(int)
        for index in some.tolist():
            if digest_of(*read.pair(index)) != digest_of(*read.pair(index)):
                raise PracError(
                    f"example {index} of {name} is another one each time, as random "
                    f"augmentation makes it: pass prac.data.MapExamples(augmented, "
                    f"unaugmented=plain) with the same examples without it"
                )

    def __len__(self) -> int:
        """Return n."""
        return len(self.source_indices)

    @cached_property
    def fingerprint(self) -> str:
        """Hex digest of the length and of up to 256 evenly spaced, unaugmented examples."""
        return self._sampled.fingerprint

    @property
    def labels(self) -> Tensor | None:
        """int64 (n,) where the dataset has them as a tensor `labels`.

        Others' are taken where they are what the examples that are looked at have as targets.
        """
        return self._labels

    @cached_property
    def _labels(self) -> Tensor | None:
        try:
            labels = getattr(self.unaugmented, "labels", None)
        except Exception:  # It is asked for nowhere else.
            return None
        if not isinstance(labels, Tensor) or labels.shape != (len(self),) or labels.is_meta:
            return None
        if labels.layout is not torch.strided or not is_integer(labels):
            return None
        labels = labels.to(torch.int64)
        if isinstance(self.unaugmented, LazyPairs):
            return labels
        classes = self._sampled.classes.items()
        return labels if all(label == int(labels[i]) for i, label in classes) else None

    @property
    def not_finite(self) -> dict[Odd, Tensor]:
        """By kind, int64 (k,), those with values that are not finite, of the examples looked at."""
        return self._sampled.odd

    @cached_property
    def _sampled(self) -> Sampled:
        return Sampled.of(self._reading(augmented=False), len(self))

    def to(self, device: torch.device) -> MapExamples:
        """Return the same examples with batches sent to `device`."""
        moved = copy.copy(self)
        moved.device = device
        return moved

    def stream(
        self, batches: Sequence[Tensor], *, seeds: Sequence[int] | None = None
    ) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield (x, y) collated by the DataLoader and finished on the device.

        An augmenting dataset may draw from torch's, NumPy's or Python's generator: all are seeded
        for each batch, so that a batch is the same whichever process loads it and whatever came
        before it.
        """
        dataset = self._reading(augmented=seeds is not None)
        on_cuda = self.device.type == "cuda"
        with fetched(dataset, batches, seeds, workers=self.workers, pinned=on_cuda) as loaded:
            for number, (x, y) in enumerate(loaded):
                x = x.to(self.device, non_blocking=True)
                seed = None if seeds is None else seeds[number : number + 1]
                y = _with_long_classes(y)
                yield self.pipeline(x, seed), y.to(self.device, non_blocking=True)

    def _reading(self, *, augmented: bool) -> Reading:
        """Return what reads the examples, with or without augmentation."""
        if self.dataset is self.unaugmented:
            return Reading(self.dataset, self._name, self._like)
        if augmented:  # They may have another size or type than without it.
            return Reading(self.dataset, self._name)
        return Reading(self.unaugmented, self._unaugmented_name, self._like)

    @property
    def _unaugmented_name(self) -> str:
        return self._name.replace("the ", "the unaugmented ", 1)


class LazyPairs(Dataset[tuple[Tensor, Tensor]]):
    """Chosen examples of an image sequence with its labels, as a map-style dataset of (x, y)."""

    def __init__(self, images: Any, labels: Tensor, indices: Tensor) -> None:
        """Hold `images[i]`, uint8 (c, h, w), with `labels[i]` for each i of `indices`."""
        self._images, self._indices = images, indices
        self.labels = labels[indices]

    def __len__(self) -> int:
        """Return how many are chosen."""
        return len(self._indices)

    def __getitem__(self, position: int) -> tuple[Tensor, Tensor]:
        """Return the chosen example at a position."""
        return self._images[int(self._indices[position])], self.labels[position]


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


def as_examples(data: Any, name: str = THE_DATA_SET) -> Examples:
    """Return `data` as Examples: a pair of tensors, a map-style dataset, or Examples already.

    Where something is wrong with an example, now or later, it is one of `name`.

    Raises:
        PracError: If it is none of them.
    """
    if isinstance(data, MapExamples):
        if name != data._name == THE_DATA_SET:
            called = copy.copy(data)
            called._name = name
            return called
        return data
    if isinstance(data, TensorExamples):
        return data
    if isinstance(data, tuple) and len(data) == 2:
        return TensorExamples(*pair_of_tensors(*data, name))
    if all(hasattr(data, name) for name in ("stream", "fingerprint", "source_indices")):
        return data  # type: ignore[no-any-return]
    return MapExamples(data, name=name)


def _with_long_classes(y: Tensor) -> Tensor:
    """Return integer targets as int64: losses take classes so, and NumPy's are often int32."""
    return y.to(torch.int64) if is_integer(y) else y


def _source_indices(given: Tensor | None, n: int) -> Tensor:
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
