"""A column of labels to integers: class indices as they are, words as their place among all."""

from __future__ import annotations

import reprlib
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from prac.data.sources.columns import Columns, check_readable, is_text, storage
from prac.errors import PracError
from prac.utils import needed

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.compute as pc
else:
    pa = needed("pyarrow", "data", "reading tables")
    pc = needed("pyarrow.compute", "data", "reading tables")


# Of fewer rows, distinct values prove nothing.
_MANY_ROWS = 10


def read_labels(column: pa.ChunkedArray, columns: Columns, where: str) -> NDArray[Any]:
    """Return a column's labels (n,): integers, or what else is stored there, to be refused by row.

    Floats that are whole are integers. Words become the index of each in the names of the classes,
    if those come from `with_classes`.

    Raises:
        PracError: a word is none of the classes, or the labels only number the rows.
    """
    check_readable(column.type, where)
    column = _plain(column)
    if columns.is_guess:
        _check_no_numbering(column, columns, where)
    if columns.has_words and columns.classes is not None:
        return _indices(column, columns.classes, where)
    if pa.types.is_floating(column.type) and columns.classes is None:
        return _whole(column)
    if column.null_count or not pa.types.is_integer(column.type):
        # Integers with nulls would turn into floats, and a bad value would not be shown as it is.
        return np.fromiter(column.to_pylist(), dtype=object, count=len(column))
    array: NDArray[Any] = column.to_numpy()
    return array


def with_classes(column: pa.ChunkedArray, columns: Columns) -> Columns:
    """Return the columns with the classes that a training split's words make: sorted, distinct.

    A column that declares its classes, or holds numbers, is as it was.
    """
    column = _plain(column)
    if columns.classes is not None or not _has_words(column.type):
        return columns
    words = sorted({str(word) for word in pc.unique(column).to_pylist() if word is not None})
    return replace(columns, classes=tuple(words), has_words=True)


def _plain(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Return a column without extension types and dictionaries."""
    kind = storage(column.type)
    if isinstance(column.type, pa.BaseExtensionType):
        column = pa.chunked_array([chunk.storage for chunk in column.chunks], type=kind)
    return column.cast(kind.value_type) if pa.types.is_dictionary(kind) else column


def _has_words(kind: pa.DataType) -> bool:
    return bool(pa.types.is_boolean(kind)) or is_text(kind)


def _indices(column: pa.ChunkedArray, classes: tuple[str, ...], where: str) -> NDArray[Any]:
    index = {name: number for number, name in enumerate(classes)}
    found = np.empty(len(column), dtype=object)
    for row, word in enumerate(column.to_pylist()):
        if word is not None and str(word) not in index:
            raise PracError(
                f"{where}, row {row}: label {reprlib.repr(word)} is none of the classes of the "
                f"train split ({len(classes)} classes)"
            )
        found[row] = None if word is None else index[str(word)]
    return found


def _whole(column: pa.ChunkedArray) -> NDArray[Any]:
    values = column.to_pylist()
    whole = [int(v) if isinstance(v, float) and v.is_integer() else v for v in values]
    return np.fromiter(whole, dtype=object, count=len(whole))


def _check_no_numbering(column: pa.ChunkedArray, columns: Columns, where: str) -> None:
    """Refuse a guessed column whose values are all distinct: it tells rows apart, not classes."""
    if len(column) >= _MANY_ROWS and pc.count_distinct(column, mode="all").as_py() == len(column):
        raise PracError(
            f"{where}: no value is there twice, as if it numbered the rows: if these are the "
            f"labels, say so by --label-column {columns.label}"
        )
