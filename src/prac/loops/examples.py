"""Examples that carry their places, for loops that get batches from a DataLoader."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch.utils.data import Dataset, IterableDataset

from prac.errors import PracError


def with_ids(dataset: Any, ids: Any, *, name: str = "id") -> Dataset[Any]:
    """Return the examples of a data set that have these places, each with its place.

    A mapping has it under a name of its own, a tuple or list first, `(id, x, y)`; other examples
    become `(id, example)`. Batches of such examples collate as batches do.

    Args:
        dataset: Any map-style data set, whose examples are numbered from 0.
        ids: Integers (m,), the places to take, such as `level.ids`; None takes all.
        name: What a mapping has the place under.

    Raises:
        PracError: If there are no such places, or examples have something by that name.

    >>> examples = with_ids([("a", 1), ("b", 0), ("c", 1)], [0, 2])
    >>> len(examples), examples[1], with_ids([{"x": 5}], [0])[0]
    (2, (2, 'c', 1), {'x': 5, 'id': 0})
    """
    if isinstance(dataset, IterableDataset) or not hasattr(dataset, "__len__"):
        raise PracError(
            f"the data is a {type(dataset).__name__}, a stream: expected a data set with a length, "
            f"whose examples are taken by their places"
        )
    places = range(len(dataset)) if ids is None else torch.as_tensor(ids).tolist()
    for place in places:
        if not isinstance(place, int) or not 0 <= place < len(dataset):
            raise PracError(
                f"there is no example {place} among {len(dataset)}: expected ids from 0 to "
                f"{len(dataset) - 1}, those of the search's training examples"
            )
    return _WithIds(dataset, list(places), name)


class _WithIds(Dataset[Any]):
    """A subset whose examples carry their places."""

    def __init__(self, dataset: Any, places: list[int], name: str) -> None:
        self._dataset, self._places, self._name = dataset, places, name

    def __len__(self) -> int:
        return len(self._places)

    def __repr__(self) -> str:
        return f"with_ids({type(self._dataset).__name__}, {len(self):,} examples)"

    def __getitem__(self, index: int) -> Any:
        place = self._places[index]
        return self._numbered(place, self._dataset[place])

    def __getitems__(self, indices: list[int]) -> list[Any]:
        """Return a batch, read at once where the data set can: DataLoader asks for it."""
        places = [self._places[index] for index in indices]
        read = getattr(self._dataset, "__getitems__", None)
        examples = [self._dataset[place] for place in places] if read is None else read(places)
        return [self._numbered(*one) for one in zip(places, examples, strict=True)]

    def _numbered(self, place: int, example: Any) -> Any:
        if isinstance(example, Mapping):
            if self._name in example:
                raise PracError(
                    f"examples have {self._name!r} already: pass with_ids(..., name=NAME), another "
                    f"one for their places"
                )
            return {**example, self._name: place}
        if isinstance(example, tuple | list):
            return (place, *example)
        return place, example


def ids_of(batch: Any, name: str) -> Any:
    """Return the places in a batch of such examples.

    Raises:
        PracError: If there are none.
    """
    if isinstance(batch, Mapping) and name in batch:
        return batch[name]
    if isinstance(batch, tuple | list) and batch:
        return batch[0]
    has = f"has {', '.join(map(str, batch))}" if isinstance(batch, Mapping) else "is none"
    raise PracError(
        f"a batch has no {name!r}, the places of its examples: expected batches of "
        f"prac.loops.with_ids(dataset, level.ids), as mappings or tuples; this one {has}"
    )
