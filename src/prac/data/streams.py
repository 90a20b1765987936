"""Examples of a data set that can only be read from its beginning, each known by its id."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from prac.data.augment import Pipeline
from prac.data.content import FINGERPRINT_SAMPLES, Odd, Sampled, digest_of, is_integer
from prac.data.examples import THE_DATA_SET, with_long_classes
from prac.data.likeness import Like, target_in
from prac.data.reading import (
    Reading,
    error_in_words,
    error_kind,
    is_told_already,
    seeded_everywhere,
)
from prac.errors import PracError
from prac.utils import Tree, brief, derive_seed, generator, mapped, with_article

READ_TWICE = 8  # Examples that are looked at for whether they are the same each time.


class StreamExamples:
    """Examples of an iterable data set, each with an id, in the order in which it gives them.

    Which examples a level trains on is a filter: the others are read and left. An example's index
    is its place in the stream, so that passes over all of it read it once, and `source_indices`
    are the ids. Epochs are shuffled within a buffer, which is drawn from the run's seed: the stream
    itself gives the same order each time. It is read by this process, and once at the beginning.

    Args:
        dataset: Iterated, it gives (id, x, y) or mappings with an id and a target; ids are integers
            from 0 on, each once.
        length: How many examples there are; by default what `len` says.
        id: The id's name where examples are mappings.
        target: The target's name where examples are mappings; by default labels, label, targets,
            target or y, if one of these is there.
        buffer: Examples that are held at most for an epoch to be shuffled.
        collate_fn, classes, name: As of `MapExamples`.
        pipeline: What is done to a batch on the device, where x is one tensor.
    """

    def __init__(
        self,
        dataset: Iterable[Any],
        *,
        length: int | None = None,
        id: str = "id",
        target: str | None = None,
        buffer: int = 10_000,
        collate_fn: Callable[[list[Any]], Any] | None = None,
        pipeline: Pipeline | None = None,
        device: torch.device | None = None,
        classes: tuple[str, ...] = (),
        name: str = THE_DATA_SET,
    ) -> None:
        """Read all ids, and look at some of the examples.

        Raises:
            PracError: If an example carries no id, or two the same; if there are not as many as
                said; if the stream gives others, or another order, each time.
        """
        if buffer < 1:
            raise PracError(f"buffer is {buffer}: expected at least 1")
        if iter(dataset) is dataset:
            raise PracError(
                f"{name} is {with_article(type(dataset).__name__)}, which can be read once: "
                f"expected a data set that begins anew each time that it is iterated; put it into "
                f"the __iter__ of a torch.utils.data.IterableDataset"
            )
        self.dataset, self.buffer = dataset, buffer
        self.name, self._id, self._target, self._collate_fn = name, id, target, collate_fn
        self.pipeline = pipeline or Pipeline()
        self.device = device or torch.device("cpu")
        self.classes = classes
        self._like: Like | None = None
        self._read_all(_length_of(dataset, length, name))

    def __len__(self) -> int:
        """Return n."""
        return len(self.source_indices)

    def __repr__(self) -> str:
        """Return how many there are, and of which data set."""
        return brief(self, f"{len(self):,} examples", type(self.dataset).__name__)

    def _read_all(self, length: int) -> None:
        """Take the ids of all examples, and what some of them tell of the others."""
        spaced = np.linspace(0, length - 1, min(FINGERPRINT_SAMPLES, length)).astype(int)
        looked_at = {*spaced.tolist(), *range(min(READ_TWICE, length))}
        ids, labels, some = [], [], {}
        for place, (number, rest) in enumerate(islice(self._read(), length + 1)):
            ids.append(number)
            labels.append(_label_in(rest, self._target))
            if place in looked_at:
                some[place] = rest
        if len(ids) != length:
            found = f"{len(ids)}" if len(ids) < length else f"more than {length}"
            raise PracError(
                f"{self.name} gives {found} examples, where its length is {length}: expected as "
                f"many; pass prac.data.StreamExamples(dataset, length=N)"
            )
        self.source_indices = torch.tensor(ids, dtype=torch.int64)
        given, counts = self.source_indices.unique(return_counts=True)
        if len(given) < length:
            twice = int(given[counts > 1][0])
            raise PracError(
                f"{self.name} gives the id {twice} more than once: expected one of its own for "
                f"each example"
            )
        self._like = self._reading(some).like(0)
        read = self._reading(some)
        for place, (number, rest) in enumerate(islice(self._read(), READ_TWICE)):
            again = self._reading({place: rest}).pair(place)
            if number != ids[place] or digest_of(*again) != digest_of(*read.pair(place)):
                raise self._changed(place)
        sampled = Sampled.of(read, length)
        of_ids = digest_of(self.source_indices).hex()
        self.fingerprint = sampled.fingerprint[:32] + of_ids[:32]
        self.not_finite: dict[Odd, Tensor] = sampled.odd
        are_classes = all(isinstance(label, int) for label in labels)
        self.labels = torch.tensor(labels, dtype=torch.int64) if are_classes else None

    def _changed(self, place: int) -> PracError:
        return PracError(
            f"{self.name} gives another example at place {place} than before: expected the same "
            f"in the same order each time that it is read; leave shuffling and augmentation to the "
            f"run"
        )

    def _reading(self, held: dict[int, Any]) -> Reading:
        """Return what reads examples that are held, by place."""
        return Reading(
            _Held(held), self.name, self._like, target=self._target, collate=self._collate_fn
        )

    def _read(self) -> Iterator[tuple[int, Any]]:
        """Yield each example's id and what else it holds, from the beginning."""
        stream = iter(self.dataset)
        for place in range(2**63 - 1):
            try:
                example = next(stream)
            except StopIteration:
                return
            except Exception as error:
                if is_told_already(error):
                    raise
                raise error_kind(error)(
                    f"{self.name} raises {error_in_words(error)} at place {place}: mend it in the "
                    f"data set"
                ) from error
            yield self._taken_apart(place, example)

    def _taken_apart(self, place: int, example: Any) -> tuple[int, Any]:
        """Return an example's id and what else it holds.

        Raises:
            PracError: If it carries none.
        """
        number: Any = None
        if isinstance(example, Mapping) and self._id in example:
            number = example[self._id]
            rest: Any = {name: of for name, of in example.items() if name != self._id}
        elif isinstance(example, tuple) and len(example) == 3:
            number, *pair = example
            rest = tuple(pair)
        if isinstance(number, (Tensor, np.ndarray, np.integer)) and np.size(number) == 1:
            number = number.item()
        if not isinstance(number, int) or isinstance(number, bool) or not 0 <= number < 2**63:
            raise PracError(
                f"the example at place {place} of {self.name} carries no id: a stream is trained "
                f"on where each example has one, an integer from 0 on, as (id, x, y) or in a "
                f"mapping under {self._id!r}; add it, or pass a map-style dataset"
            )
        return number, rest

    def to(self, device: torch.device) -> StreamExamples:
        """Return the same examples with batches sent to `device`."""
        moved = copy.copy(self)
        moved.device = device
        return moved

    def called(self, name: str) -> StreamExamples:
        """Return the same examples, called otherwise where something is wrong with one."""
        renamed = copy.copy(self)
        renamed.name = name
        return renamed

    def epoch_order(self, members: Tensor, seed: int) -> Tensor:
        """Return the members in an order of a shuffling buffer: as they come, each held a while.

        >>> ids = [(number, torch.zeros(1), 0) for number in range(6)]
        >>> order = StreamExamples(ids, buffer=3).epoch_order(torch.tensor([0, 2, 4, 5]), seed=1)
        >>> sorted(order.tolist())
        [0, 2, 4, 5]
        """
        coming = members.sort().values
        held, order, draw = coming[: self.buffer].tolist(), [], generator(seed)
        # One draw for all: as many places as are held when each leaves.
        count, size = len(coming), len(held)
        if count <= self.buffer:
            return coming[torch.randperm(count, generator=draw)]
        places = torch.randint(size, (count - size,), generator=draw).tolist()
        for place, new in zip(places, coming[size:].tolist(), strict=True):
            order.append(held[place])
            held[place] = new
        rest = torch.tensor(held)[torch.randperm(size, generator=draw)]
        return torch.cat([torch.tensor(order, dtype=torch.int64), rest])

    def stream(
        self, batches: Sequence[Tensor], *, seeds: Sequence[int] | None = None
    ) -> Iterator[tuple[Tree, Tree]]:
        """Yield (x, y) of the examples at these places, collated and finished on the device.

        The stream is read once, up to the last of them; what comes early is held.
        """
        places = [batch.tolist() for batch in batches]
        drawn = seeds
        if drawn is None:
            drawn = [derive_seed("collation", number) for number in range(len(places))]
        last_use = {place: number for number, batch in enumerate(places) for place in batch}
        held: dict[int, Any] = {}
        reading, coming = self._reading(held), enumerate(self._read_again())
        for number, batch in enumerate(places):
            missing = set(batch) - held.keys()
            while missing:
                place, example = next(coming)
                if last_use.get(place, -1) >= number:
                    held[place] = example
                    missing.discard(place)
            with seeded_everywhere(drawn[number]):
                pair = reading.collated(reading.__getitems__(batch))
            for place in set(batch):
                if last_use[place] == number:
                    del held[place]
            x, y = (mapped(self._on_device, part) for part in pair)
            if isinstance(x, Tensor):
                x = self.pipeline(x, None if seeds is None else seeds[number : number + 1])
            yield x, with_long_classes(y)

    def _read_again(self) -> Iterator[Any]:
        """Yield every example, by place."""
        read = self._read()
        for place, known in enumerate(self.source_indices.tolist()):
            found = next(read, None)
            if found is None or found[0] != known:
                raise self._changed(place)
            yield found[1]

    def _on_device(self, tensor: Tensor) -> Tensor:
        return tensor.to(self.device, non_blocking=True)


class _Held(Dataset[Any]):
    """Examples that are held, as a map-style dataset."""

    def __init__(self, held: Mapping[int, Any]) -> None:
        self._held = held

    def __getitem__(self, place: int) -> Any:
        return self._held[place]


def _length_of(dataset: Any, given: int | None, name: str) -> int:
    if given is not None:
        return given
    try:
        return len(dataset)
    except TypeError as error:
        raise PracError(
            f"{name} is {with_article(type(dataset).__name__)} without a length: a stream is "
            f"trained on where it is known; give it a __len__, or pass "
            f"prac.data.StreamExamples(dataset, length=N)"
        ) from error


def _label_in(rest: Any, target: str | None) -> int | None:
    """Return the class of what an example holds beside its id; None where it is none."""
    is_named = isinstance(rest, Mapping)
    label = rest.get(target or target_in(rest) or "") if is_named else rest[1]
    if isinstance(label, (Tensor, np.ndarray, np.integer)):
        value = torch.as_tensor(label)
        return int(value) if value.shape == () and is_integer(value) else None
    return label if isinstance(label, int) and not isinstance(label, bool) else None
