"""Arrow tables with an image and a label column, as parquet files and the hub hand them over."""

from __future__ import annotations

import bisect
import operator
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from prac.config import DataConfig
from prac.data.sources.arrays import as_images
from prac.data.sources.assemble import RawSplit, assemble
from prac.data.sources.columns import (
    LISTS,
    Columns,
    Features,
    check_readable,
    choose_columns,
    is_encoded,
    is_nested,
    plain_column,
    same_columns,
)
from prac.data.sources.encoded import DamagedImage
from prac.data.sources.labels import as_integers, why_unlabelled
from prac.data.sources.noticed import Noticed
from prac.data.sources.types import Splits
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


class EncodedColumn:
    """Encoded images that are rows of a table: binary, or structs of `bytes` and `path`.

    `parts` are (first row, name) of each file that the rows came from, in order; `folder` is what
    relative paths are relative to.
    """

    def __init__(
        self, column: pa.ChunkedArray, parts: Sequence[tuple[int, str]], folder: Path
    ) -> None:
        self._bytes, self._paths = column, None
        if pa.types.is_struct(column.type):
            fields = {field.name for field in column.type}
            self._bytes, self._paths = (
                pc.struct_field(column, name) if name in fields else None
                for name in ("bytes", "path")
            )
        self._length, self._parts, self._folder = len(column), parts, folder

    def __len__(self) -> int:
        return self._length

    def __getitem__(self, index: int) -> bytes | Path:
        data: bytes | None = self._bytes[index].as_py() if self._bytes is not None else None
        if data is not None:
            return data
        path: str | None = self._paths[index].as_py() if self._paths is not None else None
        if path is None:
            raise ValueError("the row holds no image")
        return self._folder / path

    def where(self, index: int) -> str:
        """The file and the row in it, counted from 0."""
        part = bisect.bisect_right(self._parts, index, key=operator.itemgetter(0)) - 1
        start, name = self._parts[part]
        return f"{name}, row {index - start}"


class TableSplits:
    """The splits of a data set of tables, read one after another, train first, by its columns."""

    def __init__(self, config: DataConfig) -> None:
        """Begin with none; what should be told of them is added to `notices`."""
        self._config = config
        self._columns: Columns | None = None
        self._raw: dict[str, RawSplit] = {}
        self.notices: list[str] = []

    def columns_of(
        self, split: str, schema: pa.Schema, features: Features, *, where: str
    ) -> Columns | None:
        """Choose the columns of train's table, or find those again in another split's.

        None is for a test split without labels, which is to be left out.

        Raises:
            PracError: as `choose_columns` does, or the class names differ from train's.
        """
        train = self._columns
        if train is None:
            found = self._columns = choose_columns(schema, features, self._config, where=where)
            if found.is_image_guess:
                self.notices.append(
                    f"{where}: inputs are read from the column {found.image!r}, the only one with "
                    f"lists of numbers (--image-column names another)"
                )
            if found.is_doubtful:
                self.notices.append(
                    f"{where}: labels are read from the column {found.label!r}, which nothing "
                    f"declares (--label-column names another)"
                )
            return found
        if split == "test" and train.label not in schema.names:
            self.notices.append(f"{where}: not read, having no column {train.label!r} of labels")
            return None
        config = same_columns(self._config, train)
        found = choose_columns(schema, features, config, where=where)
        if found.classes != train.classes:
            raise PracError(
                f"{where}, column {found.label!r}: the class names differ from train's, "
                "expected the same classes in all splits"
            )
        return found

    def add(
        self,
        split: str,
        table: pa.Table,
        columns: Columns,
        *,
        origin: str,
        parts: Sequence[tuple[int, str]],
        folder: Path,
    ) -> None:
        """Read a split; the rest is as for `raw_split`. A test split without labels is left out."""
        # Of one that is left out no picture need be decoded.
        labels = plain_column(table[columns.label])
        if split == "test" and (why := why_unlabelled(_stored(labels))):
            self.notices.append(f"{origin}: {why}")
            return
        self._raw[split] = raw_split(
            table, columns, self._config, origin=origin, parts=parts, folder=folder
        )

    def assembled(self, name: str, *, is_named_by_path: bool = False) -> Splits:
        """Return the data set, checked as `assemble` does."""
        classes = None if self._columns is None else self._columns.classes
        return assemble(name, self._raw, classes, self.notices, is_named_by_path=is_named_by_path)


def raw_split(
    table: pa.Table,
    columns: Columns,
    config: DataConfig,
    *,
    origin: str,
    parts: Sequence[tuple[int, str]],
    folder: Path,
) -> RawSplit:
    """Read the two columns of a table; `origin` is the split's name in messages.

    The rest is as for `decode_images` and `EncodedColumn`.

    Raises:
        PracError: the split is empty, or an image is at fault.
    """
    if table.num_rows == 0:
        raise PracError(f"{origin}: the split is empty, expected at least one row")
    column = table[columns.image]
    damaged: tuple[DamagedImage, ...] = ()
    noticed = Noticed()
    if is_encoded(column.type):
        from prac.data.sources.images import decode_images

        images, damaged = decode_images(EncodedColumn(column, parts, folder), config, noticed)
    elif is_nested(column.type):
        where = f"{origin}, column {columns.image!r}"
        images = as_images(_nested(column, where), where, config.image_size)
    else:
        raise PracError(
            f"{origin}, column {columns.image!r}: {column.type}, expected encoded images or "
            "nested lists of numbers: name another with --image-column"
        )
    labels_origin = f"{origin}, column {columns.label!r}"
    check_readable(table[columns.label].type, labels_origin)
    labels = plain_column(table[columns.label])
    if columns.is_guess:
        _check_no_numbering(labels, columns, labels_origin)
    stored = _stored(labels)
    if columns.classes is not None:  # Declared as the indices of these.
        stored = as_integers(stored, labels_origin)
    return RawSplit(images, stored, origin, labels_origin, damaged, noticed)


def _stored(column: pa.ChunkedArray) -> NDArray[Any]:
    """Return a plain column of labels (n,): integers, or whatever else there is as objects."""
    if column.null_count or not pa.types.is_integer(column.type):
        # Integers with nulls would turn into floats, and a bad value would not be shown as it is.
        return np.fromiter(column.to_pylist(), dtype=object, count=len(column))
    array: NDArray[Any] = column.to_numpy()
    return array


def _check_no_numbering(labels: pa.ChunkedArray, columns: Columns, where: str) -> None:
    """Refuse a guessed column whose values are all distinct: it tells rows apart, not classes."""
    if len(labels) >= _MANY_ROWS and pc.count_distinct(labels, mode="all").as_py() == len(labels):
        raise PracError(
            f"{where}: no value is there twice, as if it numbered the rows: if these are the "
            f"labels, say so by --label-column {columns.label}"
        )


def _nested(column: pa.ChunkedArray, where: str) -> NDArray[Any]:
    """Nested lists of equal lengths to an array (n, ...)."""
    values = plain_column(column)
    shape = [len(column)]
    while isinstance(values.type, LISTS):
        if values.null_count:
            raise PracError(f"{where}: a list is missing (null), expected numbers throughout")
        lengths = pc.unique(pc.list_value_length(values))
        if len(lengths) != 1:
            raise PracError(
                f"{where}: lists of different lengths ({lengths[0]} and {lengths[1]}), "
                "expected arrays of one shape"
            )
        shape.append(lengths[0].as_py())
        values = pc.list_flatten(values)
    if values.null_count:
        raise PracError(f"{where}: a number is missing (null), expected numbers throughout")
    array: NDArray[Any] = values.to_numpy()
    return array.reshape(shape)
