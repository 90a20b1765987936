"""Examples of anyone's map-style dataset, read so that what is wrong with one names it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from operator import getitem
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, default_collate

from prac.data.convert import NoNumbersError, has_values, to_plain
from prac.data.likeness import TARGETS, Like, Pair, check_dense, fits_type, places_of, target_in
from prac.errors import PracError, Unreadable, is_out_of_memory
from prac.utils import (
    Tree,
    derive_seed,
    filled,
    generators_put_back,
    mapped,
    named_leaves,
    of_kind,
    one_line,
    own_generators,
    seed_generators_,
    with_article,
)


class Reading(Dataset[Pair]):
    """A dataset of (x, y), or of mappings with a target, fetched in batches and collated.

    Args:
        dataset: `dataset[i]` gives an example; it may fetch several at once by `__getitems__`.
        name: What it is called where something is wrong with it.
        like: What its examples have to be like; None for those of each batch like its first.
        target: The target's name, where examples are mappings; None for the usual one.
        collate: Makes a batch of examples as they are, which need not be alike then; None stacks.
    """

    def __init__(
        self,
        dataset: Dataset[Any],
        name: str = "the data set",
        like: Like | None = None,
        *,
        target: str | None = None,
        collate: Callable[[list[Any]], Any] | None = None,
    ) -> None:
        """Hold the dataset."""
        self._dataset, self._name, self._like = dataset, name, like
        self._target, self._collate = target, collate

    def pair(self, index: int) -> Pair:
        """Return (x, y) as the dataset has them, but for how they lie in memory.

        Where batches are collated otherwise than by stacking, it is a batch of this example alone.

        Raises:
            PracError: If the dataset raises an error, or gives no pair of tensors, arrays or
                numbers, or one that is not as it has to be.
        """
        example = self._fetched(index, partial(getitem, self._dataset, index))
        if self.collates:
            with seeded_everywhere(0):
                return self.collated([(index, example)])
        pair = self._tensors(index, example)
        if self._like is not None:
            self._alike(index, pair, self._like)
        return self._trees(index, example, self._plain)

    @property
    def collates(self) -> bool:
        """Whether batches are made otherwise than by stacking examples that are alike."""
        return self._collate is not None

    def like(self, index: int) -> Like | None:
        """Return what is like an example; None where examples need not be alike."""
        if self._collate is not None:
            return None
        return Like.of(index, self._tensors(index, self.pair(index)))

    def __getitems__(self, indices: list[int]) -> Sequence[Any]:
        """Return the pairs of some indices such that they can be stacked, or (index, example)s.

        Raises:
            PracError: As `pair` does, or if one is not like the others.
        """
        examples = self._fetched_together(indices)
        if self._collate is not None:
            return list(zip(indices, examples, strict=True))
        like = self._like or Like.of(indices[0], self._tensors(indices[0], examples[0]))
        if like.fits_at_once(examples):
            return examples
        return [
            self._alike(index, self._tensors(index, example), like)
            for index, example in zip(indices, examples, strict=True)
        ]

    def collated(self, found: Sequence[Any]) -> Pair:
        """Return what `__getitems__` gave as one batch.

        Raises:
            PracError: If the dataset's own collation fails, or gives no pair of tensors.
        """
        if self._collate is None:
            x, y = (mapped(_stacked, *parts) for parts in zip(*found, strict=True))
            return x, y
        indices, examples = zip(*found, strict=True)
        try:
            batch = self._collate(list(examples))
        except Exception as error:
            if is_told_already(error):
                raise
            raise error_kind(error)(
                f"collate_fn of {self._name} raises {error_in_words(error)} for the examples "
                f"{', '.join(map(str, indices[:8]))}{', ...' if len(indices) > 8 else ''}: mend it"
            ) from error
        pair = self._split(batch, f"what collate_fn of {self._name} gives")
        for place, value in places_of(pair):
            if not isinstance(value, Tensor):
                raise PracError(
                    f"{place} of what collate_fn of {self._name} gives is "
                    f"{with_article(type(value).__name__)}: expected tensors, or tuples, lists "
                    f"and mappings of them"
                )
            check_dense(f"{place} of what collate_fn of {self._name} gives", value)
        return pair

    def _fetched(self, index: int, fetch: Callable[[], Any]) -> Any:
        try:
            return fetch()
        except Exception as error:
            if is_told_already(error):
                raise
            raise error_kind(error)(
                f"example {index} of {self._name} raises {error_in_words(error)}: mend it in the "
                f"data set, or leave the example out with torch.utils.data.Subset"
            ) from error

    def _fetched_together(self, indices: list[int]) -> Sequence[Any]:
        fetch = getattr(self._dataset, "__getitems__", None)
        if not fetch:
            return [self._fetched(i, partial(getitem, self._dataset, i)) for i in indices]
        try:
            examples = list(fetch(indices))
        except Exception as error:
            if is_told_already(error):
                raise
            for index in indices:  # Which of them it is; an error may also be of all together.
                self._fetched(index, partial(fetch, [index]))
            raise error_kind(error)(
                f"__getitems__ of {self._name} raises {error_in_words(error)} for the examples "
                f"{', '.join(map(str, indices))} together, and for none of them alone: mend it in "
                f"the data set"
            ) from error
        if len(examples) != len(indices):
            raise PracError(
                f"__getitems__ of {self._name} gives {len(examples)} examples for {len(indices)} "
                f"indices: expected one for each"
            )
        return examples

    def _tensors(self, index: int, example: Any) -> Pair:
        return self._trees(index, example, self._tensor)

    def _trees(self, index: int, example: Any, made: Callable[[str, int, Any], Any]) -> Pair:
        """Return an example's x and y, each value made anew from its place and the index."""
        x, y = self._split(example, f"example {index} of {self._name}")

        def tree(place: str, value: Any) -> Tree:
            if isinstance(value, Mapping):
                return {key: tree(f"{place}[{key!r}]", of) for key, of in value.items()}
            if isinstance(value, (tuple, list)) and not _are_numbers(value):
                parts = [tree(f"{place}[{number}]", of) for number, of in enumerate(value)]
                return of_kind(value, parts)
            return made(place, index, value)

        return tree("x", x), tree("y", y)

    def _split(self, value: Any, where: str) -> Pair:
        """Return inputs and targets of an example, or of a batch."""
        if isinstance(value, Mapping):
            target = self._target or target_in(value)
            if target is None or target not in value:
                wanted = "a target" if self._target is None else f"the target {self._target!r}"
                names = ", ".join(map(repr, value)) or "nothing"
                raise PracError(
                    f"{where} is a mapping of {names}: expected {wanted} among them, or a pair "
                    f"(x, y); name it: prac.data.MapExamples(dataset, target=NAME)"
                )
            return {name: of for name, of in value.items() if name != target}, value[target]
        if isinstance(value, (tuple, list)) and len(value) == 2:
            x, y = value
            return x, y
        kind = with_article(type(value).__name__)
        parts = f" of {len(value)} parts" if isinstance(value, (tuple, list)) else ""
        raise PracError(
            f"{where} is {kind}{parts}: expected a pair (x, y); pass a data set whose [index] "
            f"returns one"
        )

    def _tensor(self, part: str, index: int, value: Any) -> Tensor:
        """Return a tensor of the type that torch's collation gives such values."""
        value = self._plain(part, index, value)
        if isinstance(value, Tensor):
            where = f"{part} of example {index} of {self._name}"
            check_dense(where, value, "convert it in the data set's transform")
            return value
        try:
            return torch.as_tensor(value, dtype=torch.float64 if isinstance(value, float) else None)
        except (TypeError, ValueError, RuntimeError, OverflowError) as error:
            raise self._refused(part, index, value, NoNumbersError(one_line(error))) from error

    def _plain(self, part: str, index: int, value: Any) -> Any:
        """Return a tensor, an array or a number that torch takes."""
        if isinstance(value, (list, tuple)):  # Of numbers.
            try:
                return torch.as_tensor(value)
            except (TypeError, ValueError, RuntimeError) as error:
                raise self._refused(part, index, value, NoNumbersError(one_line(error))) from error
        if not has_values(value):
            kind = with_article(type(value).__name__)
            raise PracError(
                f"{part} of example {index} of {self._name} is {kind}: expected a tensor, an "
                f"array or a number: convert it in the data set's transform"
            )
        try:
            return to_plain(value)
        except NoNumbersError as fault:
            raise self._refused(part, index, value, fault) from fault

    def _refused(self, part: str, index: int, value: Any, fault: NoNumbersError) -> PracError:
        return PracError(
            f"{part} of example {index} of {self._name} is {with_article(type(value).__name__)} "
            f"that torch does not take ({fault.why}): {fault.remedy or 'convert it'}, in the data "
            f"set's transform"
        )

    def _alike(self, index: int, pair: Pair, like: Like) -> Pair:
        found = dict(places_of(pair))
        if tuple(found) != like.places:
            raise PracError(
                f"example {index} of {self._name} has {_listed(found)}, example {like.example} "
                f"{_listed(like.places)}: expected the same of all; give them in the data set, or "
                f"pass prac.data.MapExamples(dataset, collate_fn=...)"
            )
        for (place, tensor), dtype, shape in zip(
            found.items(), like.types, like.shapes, strict=True
        ):
            if tensor.shape != shape or not fits_type(place, tensor.dtype, dtype):
                raise PracError(
                    f"{place} of example {index} of {self._name} is {tensor.dtype} of shape "
                    f"{tuple(tensor.shape)}, that of example {like.example} {dtype} of shape "
                    f"{tuple(shape)}: expected the same of all; resize, pad or convert them in the "
                    f"data set's transform, or pad each batch by "
                    f"prac.data.MapExamples(dataset, collate_fn=...)"
                )
        types = dict(zip(like.places, like.types, strict=True))
        targets = [tensor.to(types[place]) for place, tensor in named_leaves(pair[1], "y")]
        return pair[0], filled(pair[1], targets)


def _are_numbers(values: Sequence[Any]) -> bool:
    """Say whether a list is one of numbers, or of such lists: an array, for torch."""
    first = values[0] if values else None
    if isinstance(first, (list, tuple)):
        return _are_numbers(first)
    return isinstance(first, (int, float, np.number, np.bool_))


@contextmanager
def seeded_everywhere(seed: int) -> Iterator[None]:
    """Let whatever a data set draws come from a seed, and no later draw depend on it."""
    with generators_put_back():
        seed_generators_(seed, own_generators(None))
        # Otherwise drawn than a model's, of whose batch this is the seed as well.
        np.random.seed(derive_seed(seed, "numpy") % 2**32)
        yield


def _listed(places: Iterable[str]) -> str:
    return ", ".join(places) or "nothing"


def _stacked(*values: Any) -> Tensor:
    """Return examples' values as one tensor, as torch's own collation gives it."""
    stacked: Tensor = default_collate(list(values))
    return stacked


def is_told_already(error: Exception) -> bool:
    """Say whether an error is told as it is: prac's own, or of memory."""
    return isinstance(error, (PracError, MemoryError)) or is_out_of_memory(error)


def error_kind(error: Exception) -> type[PracError]:
    """Return the error that tells of another: `Unreadable` where what is on disk may be why."""
    return Unreadable if isinstance(error, OSError) else PracError


def error_in_words(error: Exception) -> str:
    """Return an error's kind and text, on one line."""
    text = one_line(error)
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def counted(data: Any, name: str = "the data set") -> int:
    """Return the number of examples of a map-style dataset.

    Raises:
        PracError: If it is none, or has no length or no examples.
    """
    if _advice(data) or not hasattr(data, "__getitem__"):
        raise PracError(
            f"{name} is {with_article(type(data).__name__)}: expected a map-style dataset of "
            f"(x, y), with len() and [index], or a pair of tensors{_advice(data)}"
        )
    try:
        length = len(data)
    except TypeError as error:
        raise PracError(
            f"{name} has no length: expected a map-style dataset with len() and [index]"
        ) from error
    except Exception as error:
        if is_told_already(error):
            raise
        raise PracError(
            f"len() of {name} raises {error_in_words(error)}: expected a number"
        ) from error
    if length == 0:
        raise PracError(f"{name} is empty: expected at least one example")
    return length


def _advice(data: Any) -> str:
    """Return what to pass instead of what is no map-style dataset; nothing where none is known."""
    kind = type(data).__name__
    if isinstance(data, type):
        return f"; pass an object of the class {data.__name__}, not the class"
    if isinstance(data, DataLoader):
        return "; pass its data set, `loader.dataset`: batches are made anew"
    if kind in ("DataFrame", "Series", "LazyFrame"):
        return "; pass (x, y), each made an array by to_numpy()"
    if isinstance(data, (Tensor, np.ndarray)):
        return "; pass (x, y), inputs and targets"
    if isinstance(data, (list, tuple)) and data and isinstance(data[0], (Tensor, np.ndarray)):
        return f"; pass a tuple (x, y) instead of {with_article(kind)} of {len(data)} arrays"
    if isinstance(data, Mapping) and any(has_values(of) for of in data.values()):
        known = ", ".join(map(repr, TARGETS))
        return f"; name the targets among its arrays by one of {known}, or pass (inputs, targets)"
    if isinstance(data, (str, bytes, dict)):
        return "; load the examples first"
    if isinstance(data, Iterator):
        return "; collect its examples in a list, if they fit in memory"
    if isinstance(data, Iterable) and not hasattr(data, "__getitem__"):
        return "; pass prac.data.StreamExamples(dataset), if each has an id"
    return ""
