"""Arrow tables with an image and a label column, as parquet files and the hub hand them over."""

from __future__ import annotations

import bisect
import operator
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from prac.config import DataConfig
from prac.data.sources.arrays import as_images
from prac.data.sources.assemble import RawSplit
from prac.data.sources.encoded import DamagedImage
from prac.errors import PracError
from prac.utils import needed

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.compute as pc
else:
    pa = needed("pyarrow", "data", "reading tables")
    pc = needed("pyarrow.compute", "data", "reading tables")

Features = Mapping[str, Any]
_LISTS = (pa.ListType, pa.LargeListType, pa.FixedSizeListType)


@dataclass(frozen=True)
class Columns:
    """The columns that hold the images and the labels, and the class names where declared."""

    image: str
    label: str
    classes: tuple[str, ...] | None


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


def choose_columns(
    schema: pa.Schema, features: Features, config: DataConfig, *, where: str
) -> Columns:
    """Find the image and the label column: those that `config` names, else the only candidates.

    Candidates are columns declared as images and class labels; failing that, columns of encoded
    images or of nested lists of numbers, and columns of integers. `features` are the table's
    Hugging Face features by column, empty when it declares none; `where` is its name in messages.

    Raises:
        PracError: a given column is absent, or none or several could be meant.
    """
    names = list(schema.names)
    images = [n for n in names if _kind(features, n) == "Image"]
    images = images or [n for n in names if _is_encoded(schema.field(n).type)]
    images = images or [n for n in names if _is_nested(schema.field(n).type)]
    labels = [n for n in names if _kind(features, n) == "ClassLabel"]
    labels = labels or [n for n in names if pa.types.is_integer(schema.field(n).type)]
    image = _chosen("image", config.image_column, images, names, where)
    labels = [n for n in labels if n != image]
    label = _chosen("label", config.label_column, labels, names, where)
    declared = features.get(label)
    classes = declared.get("names") if isinstance(declared, Mapping) else None
    if classes is not None and not isinstance(classes, list):
        raise PracError(f"{where}, column {label!r}: its class names are no list, expected one")
    return Columns(image, label, tuple(map(str, classes)) if classes else None)


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
    if _is_encoded(column.type):
        from prac.data.sources.images import decode_images

        images, damaged = decode_images(EncodedColumn(column, parts, folder), config)
    elif _is_nested(column.type):
        where = f"{origin}, column {columns.image!r}"
        images = as_images(_nested(column, where), where, config.image_size)
    else:
        raise PracError(
            f"{origin}, column {columns.image!r}: {column.type}, expected encoded images or "
            "nested lists of numbers: name another with --image-column"
        )
    labels = _labels(table[columns.label])
    return RawSplit(images, labels, origin, f"{origin}, column {columns.label!r}", damaged)


def unlabelled(split: RawSplit) -> bool:
    """Whether every label is -1, the hub's mark for a test split whose labels are kept secret."""
    labels = split.labels
    return labels.dtype.kind == "i" and len(labels) > 0 and bool((labels == -1).all())


def _chosen(
    role: str, given: str | None, candidates: Sequence[str], names: Sequence[str], where: str
) -> str:
    listed = ", ".join(names)
    if given is not None:
        if given not in names:
            raise PracError(
                f"{where}: no column {given!r} to take the {role} from (columns: {listed})"
            )
        return given
    if len(candidates) != 1:
        found = f"several could be ({', '.join(candidates)})" if candidates else "none could be"
        raise PracError(
            f"{where}: cannot tell which column is the {role}, {found}: "
            f"name it with --{role}-column (columns: {listed})"
        )
    return candidates[0]


def _kind(features: Features, column: str) -> str | None:
    declared = features.get(column)
    return declared.get("_type") if isinstance(declared, Mapping) else None


def _is_encoded(kind: pa.DataType) -> bool:
    if pa.types.is_struct(kind):
        return bool({"bytes", "path"} & {field.name for field in kind})
    return bool(pa.types.is_binary(kind) or pa.types.is_large_binary(kind))


def _is_nested(kind: pa.DataType) -> bool:
    if isinstance(kind, pa.BaseExtensionType):
        kind = kind.storage_type
    if not isinstance(kind, _LISTS):
        return False
    while isinstance(kind, _LISTS):
        kind = kind.value_type
    return bool(pa.types.is_integer(kind) or pa.types.is_floating(kind))


def _nested(column: pa.ChunkedArray, where: str) -> NDArray[Any]:
    """Nested lists of equal lengths to an array (n, ...)."""
    if isinstance(column.type, pa.BaseExtensionType):
        column = pa.chunked_array(
            [chunk.storage for chunk in column.chunks], type=column.type.storage_type
        )
    values: pa.ChunkedArray = column
    shape = [len(column)]
    while isinstance(values.type, _LISTS):
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


def _labels(column: pa.ChunkedArray) -> NDArray[Any]:
    if column.null_count or not pa.types.is_integer(column.type):
        # Integers with nulls would turn into floats, and a bad value would not be shown as it is.
        return np.fromiter(column.to_pylist(), dtype=object, count=len(column))
    array: NDArray[Any] = column.to_numpy()
    return array
