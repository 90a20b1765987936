"""Parquet files in the Hugging Face layout, read from a local folder."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from prac.config import DataConfig
from prac.data.sources.columns import is_encoded, is_nested, is_text, leaf, plain_column
from prac.data.sources.noticed import first_few, number_of
from prac.data.sources.table_files import TableFiles
from prac.data.sources.tables import TableSplits
from prac.data.sources.types import Splits
from prac.errors import PracError
from prac.utils import needed, one_line

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.parquet as pq
else:
    pa = needed("pyarrow", "data", "reading tables")
    pq = needed("pyarrow.parquet", "data", "reading tables")

# What a file may unpack to, in times of its own size, whatever the memory limit.
_UNPACKED_TIMES = 20
_ROWS_AT_ONCE = 1024


def load_parquet(
    files: TableFiles, config: DataConfig, *, name: str, notices: Sequence[str] = ()
) -> Splits:
    """Load `train.parquet` beside `test.parquet` and `validation.parquet`, or shards of each.

    Raises:
        PracError: a file is damaged, a shard missing, a column not to be found, or an image or a
            label at fault.
    """
    # `datasets` would first write an Arrow copy of these files into its cache, doubling the disk
    # and the time; all that is wanted of it here is the metadata that names the classes.
    folder = files.folder
    split_files, others = files.by_split()
    splits = TableSplits(config)
    splits.notices.extend(notices)
    if others:
        splits.notices.append(
            f"{number_of(len(others), 'file')} not read, called by none of the names of splits: "
            f"{first_few(others)}"
        )
    for split, shards in split_files.items():
        origin = str(shards[0]) if len(shards) == 1 else f"{folder} ({split})"
        columns = splits.columns_of(split, *_declared(shards[0]), where=str(shards[0]))
        if columns is None:
            continue
        table, parts = _read_shards(shards, [columns.image, columns.label], config.memory_bytes)
        splits.add(split, table, columns, origin=origin, parts=parts, folder=folder)
    return splits.assembled(name, is_named_by_path=True)


def _declared(path: Path) -> tuple[pa.Schema, dict[str, Any]]:
    """A file's columns and, where it declares any, their Hugging Face features."""
    try:
        schema = pq.read_schema(path)
        _ = schema.names  # Decoded from bytes only here.
    except (OSError, pa.ArrowException, UnicodeDecodeError) as error:
        raise _unreadable(path, error) from error
    stored = (schema.metadata or {}).get(b"huggingface")
    try:
        features = json.loads(stored)["info"]["features"] if stored is not None else {}
    except (ValueError, KeyError, TypeError) as error:
        raise PracError(f"{path}: its Hugging Face metadata is malformed ({error!r})") from error
    return schema, features if isinstance(features, dict) else {}


def _read_shards(
    files: Sequence[Path], columns: list[str], memory_limit: int
) -> tuple[pa.Table, list[tuple[int, str]]]:
    """The rows of all files, and the first row and name of each."""
    tables: list[pa.Table] = []
    parts: list[tuple[int, str]] = []
    rows = 0
    for path in files:
        try:
            table = _unpacked_table(path, columns, memory_limit)
        except (OSError, pa.ArrowException, UnicodeDecodeError) as error:
            raise _unreadable(path, error) from error
        lacking = sorted(set(columns) - set(table.column_names))
        if table.column_names and lacking:
            raise PracError(f"{path}: no column {lacking[0]!r}, which {files[0].name} has")
        tables.append(table.select(columns).replace_schema_metadata(None))
        parts.append((rows, str(path)))
        rows += table.num_rows
    try:
        return _joined(tables), parts
    except pa.ArrowException as error:
        place, reason = files[0].parent, one_line(error)
        raise PracError(f"{place}: shards differ in their columns ({reason})") from error


def _joined(tables: Sequence[pa.Table]) -> pa.Table:
    """Return the rows of all tables, whose columns may be stored in different widths.

    Raises:
        ArrowException: they hold different kinds of value.
    """
    if any(table.schema != tables[0].schema for table in tables):
        tables = [_undivided(table) for table in tables]
        first = tables[0].schema
        for table in tables:
            for one, other in zip(first, table.schema, strict=True):
                # Lists of integers are pictures, those of floats features.
                if is_nested(one.type) and leaf(one.type) != leaf(other.type):
                    raise pa.ArrowTypeError(f"{one.name!r}: {one.type} and {other.type}")
    return pa.concat_tables(tables, promote_options="permissive")


def _undivided(table: pa.Table) -> pa.Table:
    """Return a table with categories and views of text and bytes as plain values."""
    for position, field in enumerate(table.schema):
        column = plain_column(table[field.name])
        if is_text(column.type):
            column = column.cast(pa.large_string())
        elif is_encoded(column.type) and not pa.types.is_struct(column.type):
            column = column.cast(pa.large_binary())
        table = table.set_column(position, field.name, column)
    return table


def _unpacked_table(path: Path, columns: list[str], memory_limit: int) -> pa.Table:
    """Two columns of a file, read piece by piece, so that no file can fill the memory."""
    # Encoded images hardly shrink; what unpacks to more is made of repetitions.
    allowed = max(memory_limit, _UNPACKED_TIMES * path.stat().st_size)
    # Not as a dataset: that would add columns for folders named key=value.
    with pq.ParquetFile(path) as file:
        pieces, taken = [], 0
        for piece in file.iter_batches(batch_size=_ROWS_AT_ONCE, columns=columns):
            pieces.append(piece)
            taken += piece.nbytes
            if taken > allowed:
                raise PracError(
                    f"{path}: unpacks to more than {allowed / 1e9:.3g} GB, and its file has "
                    f"{path.stat().st_size / 1e9:.3g} GB: raise --memory-limit if you trust it"
                )
        there = set(file.schema_arrow.names)
        schema = pa.schema([file.schema_arrow.field(name) for name in columns if name in there])
    return pa.Table.from_batches([piece.select(schema.names) for piece in pieces], schema)


def _unreadable(path: Path, error: Exception) -> PracError:
    return PracError(
        f"{path}: cannot be read as parquet ({one_line(error)}): it is damaged or another kind"
    )
