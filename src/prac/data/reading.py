"""Examples of anyone's map-style dataset, read so that what is wrong with one names it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from operator import getitem
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, IterableDataset

from prac.data.convert import NoNumbersError, has_values, is_plain, to_plain
from prac.errors import PracError, Unreadable, is_out_of_memory
from prac.utils import one_line, with_article


class Like(NamedTuple):
    """An example that others have to be like: its place, and types and shapes of its x and y."""

    example: int
    types: tuple[torch.dtype, torch.dtype]
    shapes: tuple[torch.Size, torch.Size]

    @classmethod
    def of(cls, index: int, pair: tuple[Tensor, Tensor]) -> Like:
        """Return what is like a pair of tensors; targets that are whole numbers become int64."""
        x, y = pair
        return cls(index, (x.dtype, _type_of_targets(y.dtype)), (x.shape, y.shape))

    def fits_at_once(self, examples: Sequence[Any]) -> bool:
        """Say whether all are tensors, or plain integers, like it: most are, and are told fast."""
        if not all(type(example) is tuple and len(example) == 2 for example in examples):
            return False
        columns = zip(zip(*examples, strict=True), self.types, self.shapes, strict=True)
        return all(_are_like(values, dtype, shape) for values, dtype, shape in columns)


def _type_of_targets(dtype: torch.dtype) -> torch.dtype:
    """Return int64 for integers of any width: losses take classes so, and NumPy's are often int32.

    Other types stay.
    """
    is_integer = not (dtype.is_floating_point or dtype.is_complex or dtype == torch.bool)
    return torch.int64 if is_integer else dtype


def _are_like(values: Sequence[Any], dtype: torch.dtype, shape: torch.Size) -> bool:
    kinds = set(map(type, values))
    if kinds == {Tensor}:
        if any(map(_oddity, values)) or not all(map(is_plain, values)):
            return False
        return all(value.dtype is dtype and value.shape == shape for value in values)
    return kinds == {int} and dtype is torch.int64 and not shape


def check_dense(where: str, tensor: Tensor, remedy: str = "convert it") -> None:
    """Raise a PracError for a tensor that cannot be indexed, stacked and read as others are."""
    if oddity := _oddity(tensor):
        by = "dequantize" if tensor.is_quantized else "to_dense"
        raise PracError(
            f"{where} is {oddity}: expected a dense tensor with values; {remedy}, such as by {by}()"
        )


def _oddity(tensor: Tensor) -> str:
    """Return what a tensor is other than a dense one with values; nothing for such."""
    if tensor.layout is not torch.strided:
        return f"a tensor of layout {tensor.layout}"
    if tensor.is_nested:
        return "a nested tensor"
    if tensor.is_quantized:
        return "a quantised tensor"
    return "a tensor on the device 'meta', without values" if tensor.is_meta else ""


class Reading(Dataset[tuple[Tensor, Tensor]]):
    """A dataset of (x, y), fetched in batches of tensors that can be stacked.

    Args:
        dataset: `dataset[i]` gives (x, y); it may fetch several at once by `__getitems__`.
        name: What it is called where something is wrong with it.
        like: What its examples have to be like; None for those of each batch like its first.
    """

    def __init__(
        self, dataset: Dataset[Any], name: str = "the data set", like: Like | None = None
    ) -> None:
        """Hold the dataset."""
        self._dataset, self._name, self._like = dataset, name, like

    def pair(self, index: int) -> tuple[Any, Any]:
        """Return (x, y) as the dataset has them, but for how they lie in memory.

        Raises:
            PracError: If the dataset raises an error, or gives no pair of tensors, arrays or
                numbers, or one that is not as it has to be.
        """
        example = self._fetched(index, partial(getitem, self._dataset, index))
        pair = self._tensors(index, example)
        if self._like is not None:
            self._alike(index, pair, self._like)
        x, y = (self._plain(p, index, v) for p, v in zip("xy", example, strict=True))
        return x, y

    def like(self, index: int) -> Like:
        """Return what is like an example."""
        return Like.of(index, self._tensors(index, self.pair(index)))

    def __getitems__(self, indices: list[int]) -> Sequence[tuple[Any, Any]]:
        """Return the pairs of some indices, such that collation stacks them.

        Raises:
            PracError: As `pair` does, or if one is not like the others.
        """
        examples = self._fetched_together(indices)
        like = self._like or Like.of(indices[0], self._tensors(indices[0], examples[0]))
        if like.fits_at_once(examples):
            return examples
        return [
            self._alike(index, self._tensors(index, example), like)
            for index, example in zip(indices, examples, strict=True)
        ]

    def _fetched(self, index: int, fetch: Callable[[], Any]) -> Any:
        try:
            return fetch()
        except Exception as error:
            if _passes(error):
                raise
            raise _kind(error)(
                f"example {index} of {self._name} raises {_shown(error)}: mend it in the data "
                f"set, or leave the example out with torch.utils.data.Subset"
            ) from error

    def _fetched_together(self, indices: list[int]) -> Sequence[Any]:
        fetch = getattr(self._dataset, "__getitems__", None)
        if not fetch:
            return [self._fetched(i, partial(getitem, self._dataset, i)) for i in indices]
        try:
            examples = list(fetch(indices))
        except Exception as error:
            if _passes(error):
                raise
            for index in indices:  # Which of them it is; an error may also be of all together.
                self._fetched(index, partial(fetch, [index]))
            raise _kind(error)(
                f"__getitems__ of {self._name} raises {_shown(error)} for the examples "
                f"{', '.join(map(str, indices))} together, and for none of them alone: mend it in "
                f"the data set"
            ) from error
        if len(examples) != len(indices):
            raise PracError(
                f"__getitems__ of {self._name} gives {len(examples)} examples for {len(indices)} "
                f"indices: expected one for each"
            )
        return examples

    def _tensors(self, index: int, example: Any) -> tuple[Tensor, Tensor]:
        if not isinstance(example, (tuple, list)) or len(example) != 2:
            kind = with_article(type(example).__name__)
            parts = f" of {len(example)} parts" if isinstance(example, (tuple, list)) else ""
            raise PracError(
                f"example {index} of {self._name} is {kind}{parts}: expected a pair (x, y); pass "
                f"a data set whose [index] returns one"
            )
        x, y = (self._tensor(p, index, v) for p, v in zip("xy", example, strict=True))
        return x, y

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

    def _alike(self, index: int, pair: tuple[Tensor, Tensor], like: Like) -> tuple[Tensor, Tensor]:
        for part, tensor, dtype, shape in zip("xy", pair, like.types, like.shapes, strict=True):
            if tensor.shape != shape or not _fits(part, tensor.dtype, dtype):
                raise PracError(
                    f"{part} of example {index} of {self._name} is {tensor.dtype} of shape "
                    f"{tuple(tensor.shape)}, that of example {like.example} {dtype} of shape "
                    f"{tuple(shape)}: expected the same of all; resize, pad or convert them in the "
                    f"data set's transform"
                )
        return pair[0], pair[1].to(like.types[1])


def _fits(part: str, dtype: torch.dtype, wanted: torch.dtype) -> bool:
    """Say whether values are of the type wanted, or are targets that it holds as they are."""
    if part == "x":
        return dtype == wanted
    dtype = _type_of_targets(dtype)
    are_floats = dtype.is_floating_point and wanted.is_floating_point
    return dtype == wanted or (are_floats and torch.promote_types(dtype, wanted) == wanted)


def _passes(error: Exception) -> bool:
    """Say whether an error is told as it is: prac's own, or of memory."""
    return isinstance(error, (PracError, MemoryError)) or is_out_of_memory(error)


def _kind(error: Exception) -> type[PracError]:
    return Unreadable if isinstance(error, OSError) else PracError


def _shown(error: Exception) -> str:
    text = one_line(error)
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def counted(data: Any, name: str = "the data set") -> int:
    """Return the number of examples of a map-style dataset.

    Raises:
        PracError: If it is none, or has no length or no examples.
    """
    if isinstance(data, IterableDataset) or _advice(data) or not hasattr(data, "__getitem__"):
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
        if _passes(error):
            raise
        raise PracError(f"len() of {name} raises {_shown(error)}: expected a number") from error
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
    if isinstance(data, (str, bytes, dict)):
        return "; load the examples first"
    if isinstance(data, IterableDataset) or (
        isinstance(data, Iterable) and not hasattr(data, "__getitem__")
    ):
        return "; collect its examples in a list, if they fit in memory"
    return ""
