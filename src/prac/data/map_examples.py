"""Examples of anyone's data set, fetched through a DataLoader; and anyone's data as examples."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cached_property, partial
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import (
    BatchSampler,
    DataLoader,
    Dataset,
    IterableDataset,
    RandomSampler,
    SequentialSampler,
    Subset,
    default_collate,
)

from prac.data.augment import Pipeline
from prac.data.content import Odd, Sampled, digest_of, is_integer
from prac.data.examples import (
    THE_DATA_SET,
    Examples,
    TensorExamples,
    checked_source_indices,
    with_long_classes,
)
from prac.data.likeness import Like, target_in
from prac.data.pairs import pair_of_trees
from prac.data.reading import Reading, counted
from prac.data.streams import StreamExamples
from prac.data.workers import fetched
from prac.errors import PracError
from prac.utils import Tree, brief, mapped, with_article

REPEATED_SAMPLES = 8


class MapExamples:
    """Examples of any map-style dataset of (x, y), fetched through a DataLoader.

    Both may be tensors, or tuples, lists and mappings of them. A mapping's parts reach the model as
    keyword arguments, a tuple's one after the other.

    Args:
        dataset: `dataset[i]` gives (x, y), or a mapping that has the target among its parts; x may
            be a uint8 image for `pipeline` to normalise.
        pipeline: What is done to a batch on the device, where x is one tensor.
        unaugmented: The same examples without random augmentation, for scoring passes; `dataset`
            itself where it does not augment.
        workers: Loading processes; with 0 examples are fetched in this one.
        name: What the examples are called where something is wrong with one.
        collate_fn: Makes a batch of a list of examples, such as by padding them to one length, as
            an example is: (x, y), or a mapping with the target. What it draws comes from the run's
            seed. None stacks examples, which have to be alike.
        target: The target's name where examples are mappings; by default labels, label, targets,
            target or y, if one of these is there.
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
        collate_fn: Callable[[list[Any]], Any] | None = None,
        target: str | None = None,
    ) -> None:
        """Hold the dataset.

        Raises:
            PracError: If it has no length or no examples, if `unaugmented` has another length, or
                if one of the first examples is no pair of tensors, arrays or numbers, or another
                one each time.
        """
        self.name, self._collate_fn, self._target = name, collate_fn, target
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
        self.classes = classes or _class_names(self.unaugmented)
        self.source_indices = checked_source_indices(source_indices, length)
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

    def __repr__(self) -> str:
        """Return how many there are, and of which data set."""
        classes = f"{len(self.classes)} classes" if self.classes else None
        return brief(self, f"{len(self):,} examples", type(self.dataset).__name__, classes)

    @cached_property
    def fingerprint(self) -> str:
        """Hex digest of the length and of up to 256 evenly spaced, unaugmented examples."""
        return self._sampled.fingerprint

    @property
    def labels(self) -> Tensor | None:
        """int64 (n,) where the dataset has them as `labels` or `targets`, or is a Subset of one.

        They are taken where they are what the examples that are looked at have as targets.
        """
        return self._labels

    @cached_property
    def _labels(self) -> Tensor | None:
        if isinstance(self.unaugmented, LazyPairs):
            return self.unaugmented.labels.to(torch.int64)
        classes = self._sampled.classes.items()
        for name in ("labels", "targets"):
            labels = _labels_of(self.unaugmented, name)
            if labels is None or len(labels) != len(self):
                continue
            if all(label == int(labels[i]) for i, label in classes):
                return labels
        return None

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

    def called(self, name: str) -> MapExamples:
        """Return the same examples, called otherwise where something is wrong with one."""
        renamed = copy.copy(self)
        renamed.name = name
        return renamed

    def stream(
        self, batches: Sequence[Tensor], *, seeds: Sequence[int] | None = None
    ) -> Iterator[tuple[Tree, Tree]]:
        """Yield (x, y) collated by the DataLoader and finished on the device.

        An augmenting dataset may draw from torch's, NumPy's or Python's generator: all are seeded
        for each batch, so that a batch is the same whichever process loads it and whatever came
        before it.
        """
        dataset = self._reading(augmented=seeds is not None)
        on_cuda = self.device.type == "cuda"
        with fetched(dataset, batches, seeds, workers=self.workers, pinned=on_cuda) as loaded:
            for number, batch in enumerate(loaded):
                x, y = (mapped(self._on_device, part) for part in batch)
                if isinstance(x, Tensor):
                    x = self.pipeline(x, None if seeds is None else seeds[number : number + 1])
                yield x, with_long_classes(y)

    def _reading(self, *, augmented: bool) -> Reading:
        """Return what reads the examples, with or without augmentation."""
        read = partial(Reading, target=self._target, collate=self._collate_fn)
        if self.dataset is self.unaugmented:
            return read(self.dataset, self.name, self._like)
        if augmented:  # They may have another size or type than without it.
            return read(self.dataset, self.name)
        return read(self.unaugmented, self._unaugmented_name, self._like)

    def _on_device(self, tensor: Tensor) -> Tensor:
        return tensor.to(self.device, non_blocking=True)

    @property
    def _unaugmented_name(self) -> str:
        return self.name.replace("the ", "the unaugmented ", 1)


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


def _labels_of(dataset: Any, name: str) -> Tensor | None:
    """Return int64 (n,), what a dataset has under a name, if these may be classes."""
    if isinstance(dataset, Subset):
        whole = _labels_of(dataset.dataset, name)
        return None if whole is None else whole[torch.as_tensor(list(dataset.indices))]
    try:
        labels = getattr(dataset, name, None)
        if isinstance(labels, (list, np.ndarray)):
            labels = torch.as_tensor(labels)
    except Exception:  # It is asked for nowhere else.
        return None
    if not isinstance(labels, Tensor) or labels.ndim != 1 or labels.is_meta:
        return None
    if labels.layout is not torch.strided or not is_integer(labels):
        return None
    return labels.to(torch.int64)


def _class_names(dataset: Any) -> tuple[str, ...]:
    """Return a dataset's names of classes, by label; none where it has no such list."""
    if isinstance(dataset, Subset):
        return _class_names(dataset.dataset)
    names = getattr(dataset, "classes", ())
    are_names = isinstance(names, (list, tuple)) and all(isinstance(name, str) for name in names)
    return tuple(names) if are_names else ()


def as_examples(data: Any, name: str = THE_DATA_SET) -> Examples:
    """Return `data` as Examples: a pair of tensors, a dataset, or Examples already.

    Of a DataLoader its data set, collation and workers are taken; a mapping of arrays has the
    target among them. Where something is wrong with an example, now or later, it is one of `name`.

    Raises:
        PracError: If it is none of them.
    """
    if isinstance(data, (MapExamples, StreamExamples)):
        return data.called(name) if data.name == THE_DATA_SET else data
    if isinstance(data, TensorExamples):
        return data
    if isinstance(data, tuple) and len(data) == 2:
        return TensorExamples(*pair_of_trees(*data, name))
    if isinstance(data, DataLoader):
        return _of_loader(data, name)
    if isinstance(data, Mapping) and (target := target_in(data)) is not None:
        inputs = {part: values for part, values in data.items() if part != target}
        return TensorExamples(*pair_of_trees(inputs, data[target], name))
    if all(hasattr(data, name) for name in ("stream", "fingerprint", "source_indices")):
        return data  # type: ignore[no-any-return]
    if isinstance(data, IterableDataset):
        return StreamExamples(data, name=name)
    return MapExamples(data, name=name)


def _of_loader(loader: DataLoader[Any], name: str) -> Examples:
    """Return a loader's examples: which of them come when is the search's to say.

    Raises:
        PracError: If the loader says it otherwise than by taking all in order, or in any, or if
            it asks of loading processes what is not done here.
    """
    collate = None if loader.collate_fn is default_collate else loader.collate_fn
    if loader.num_workers and loader.worker_init_fn is not None:
        raise PracError(
            f"{name} is a DataLoader with a worker_init_fn, and loading processes are begun here: "
            f"what is drawn there is seeded for each batch already, and what else it does belongs "
            f"into the data set; pass a DataLoader without it"
        )
    if isinstance(loader.dataset, IterableDataset):
        if loader.num_workers:
            raise PracError(
                f"{name} is a DataLoader of a stream with num_workers={loader.num_workers}, and a "
                f"stream is read by one process, in one order: pass num_workers=0"
            )
        return StreamExamples(loader.dataset, collate_fn=collate, name=name)
    own: Any = loader.batch_sampler
    if own is None or type(own) is BatchSampler:
        own = loader.sampler if own is None else own.sampler
    length = counted(loader.dataset, name)
    in_any_order = type(own) is RandomSampler and not own.replacement and own.num_samples == length
    in_order = type(own) is SequentialSampler
    takes_all = (in_order or in_any_order) and len(own.data_source) == length
    if not takes_all:
        raise PracError(
            f"{name} is a DataLoader with {with_article(type(own).__name__)} of its own: which "
            f"examples come when is chosen here, so that each is told by its place; pass a "
            f"DataLoader without it, or prac.data.MapExamples(loader.dataset)"
        )
    return MapExamples(loader.dataset, workers=loader.num_workers, collate_fn=collate, name=name)
