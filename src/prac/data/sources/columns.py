"""Which columns of a table hold the images and the labels."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, NoReturn

from prac.config import DataConfig
from prac.errors import PracError
from prac.utils import needed

if TYPE_CHECKING:
    import pyarrow as pa
else:
    pa = needed("pyarrow", "data", "reading tables")

Features = Mapping[str, Any]
LISTS = (pa.ListType, pa.LargeListType, pa.FixedSizeListType)

_ID = r"(_?(id|idx|index))?"
_LABEL_NAMES = re.compile(rf"(.+_)?(label|labels|target|targets|class|classes|category|cls){_ID}|y")
# Of those, the ones that say it themselves, and those that do where nothing else could be it: the
# others may be counts (num_classes) or another's labels (old_label).
_SURE_NAMES = re.compile(rf"(class_)?labels?{_ID}")
_LIKELY_NAMES = re.compile(rf"(class_|fine_)?labels?{_ID}|targets?|(class|category|cls){_ID}|y")
_IMAGE_NAMES = re.compile(r"(.+_)?(image|images|img|picture|pictures|photo|pixels|pixel_values)")
_INDEX_NAMES = re.compile(
    r"__index_level_\d+__|unnamed_\d+|nr|"
    r"(.+_)?(id|ids|idx|index|uid|uuid|key|row|number|file|file_?name|path|url)"
)


@dataclass(frozen=True)
class Columns:
    """The columns that hold the images and the labels, and the class names where known.

    `is_guess` says that nobody named or declared the column of the labels, `is_image_guess` that
    nothing, not even what it holds, says that the other's are the inputs.
    """

    image: str
    label: str
    classes: tuple[str, ...] | None
    is_guess: bool = False
    is_doubtful: bool = False
    is_image_guess: bool = False


def choose_columns(
    schema: pa.Schema, features: Features, config: DataConfig, *, where: str
) -> Columns:
    """Find the image and the label column: those that `config` names, else the only candidates.

    Columns declared as images and class labels are candidates before others. Failing them, images
    are columns of encoded images or of nested lists of numbers. A label column that is not declared
    is taken only if it holds integers, is the only one that is called so, and is called label, or
    is the only column that could be it. `features` are the table's Hugging Face features by column,
    empty when it declares none; `where` is its name in messages.

    Raises:
        PracError: a given column is absent, none or several could be meant, or two have one name.
    """
    names = list(schema.names)
    name, count = next(iter(Counter(names).most_common(1)), ("", 0))
    if count > 1:
        raise PracError(f"{where}: {count} columns are named {name!r}, expected distinct names")
    kinds = {field.name: field.type for field in schema}
    image, is_image_guess = config.image_column, False
    if image is None:
        candidates = _image_candidates(kinds, features)
        candidates = [name for name in candidates if name != config.label_column]
        image = _only("image", candidates, names, where)
        is_image_guess = is_nested(kinds[image]) and not _is_called(_IMAGE_NAMES, image)
    _check_there("image", image, names, where)
    label, is_guess, is_doubtful = config.label_column, False, False
    if label is None:
        others = {name: kind for name, kind in kinds.items() if name != image}
        label, is_guess, is_doubtful = _label(others, features, schema, where)
    _check_there("label", label, names, where)
    declared = features.get(label)
    classes = declared.get("names") if isinstance(declared, Mapping) else None
    if classes is not None and not isinstance(classes, list):
        raise PracError(f"{where}, column {label!r}: its class names are no list, expected one")
    named = tuple(map(str, classes)) if classes else None
    return Columns(image, label, named, is_guess, is_doubtful, is_image_guess)


def same_columns(config: DataConfig, columns: Columns) -> DataConfig:
    """Return the configuration by which another split's table is read: by these columns."""
    return replace(config, image_column=columns.image, label_column=columns.label)


def is_encoded(kind: pa.DataType) -> bool:
    """Say whether a type is that of encoded images: binary, or structs of `bytes` and `path`."""
    if pa.types.is_struct(kind):
        return bool({"bytes", "path"} & {field.name for field in kind})
    types = (pa.types.is_binary, pa.types.is_large_binary, pa.types.is_binary_view)
    return any(is_one(kind) for is_one in types)


def is_nested(kind: pa.DataType) -> bool:
    """Say whether a type is that of nested lists of numbers."""
    return isinstance(storage(kind), LISTS) and leaf(kind) in ("integers", "floats")


def leaf(kind: pa.DataType) -> str:
    """Return what lists, perhaps nested, hold in the end: integers, floats or the type's name."""
    kind = storage(kind)
    while isinstance(kind, LISTS):
        kind = kind.value_type
    if pa.types.is_integer(kind):
        return "integers"
    return "floats" if pa.types.is_floating(kind) else str(kind)


def plain_column(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Return a column without extension types and dictionaries."""
    kind = storage(column.type)
    if isinstance(column.type, pa.BaseExtensionType):
        column = pa.chunked_array([chunk.storage for chunk in column.chunks], type=kind)
    return column.cast(kind.value_type) if pa.types.is_dictionary(kind) else column


def storage(kind: pa.DataType) -> pa.DataType:
    """Return how an extension type is stored; other types as they are."""
    return kind.storage_type if isinstance(kind, pa.BaseExtensionType) else kind


def check_readable(kind: pa.DataType, where: str) -> None:
    """Refuse a column whose values could be no labels, by its type; `where` names it.

    Raises:
        PracError: they are neither numbers nor words.
    """
    if not _holds_labels(kind):
        raise PracError(
            f"{where} holds {storage(kind)}, expected whole numbers or words: name another with "
            f"--label-column"
        )


def is_text(kind: pa.DataType) -> bool:
    """Say whether a type is that of words."""
    types = (pa.types.is_string, pa.types.is_large_string, pa.types.is_string_view)
    return any(is_one(kind) for is_one in types)


def _image_candidates(kinds: Mapping[str, pa.DataType], features: Features) -> list[str]:
    declared = [name for name in kinds if _kind(features, name) == "Image"]
    if declared:
        return declared
    # Sounds and films are stored as pictures are.
    open_ones = [name for name in kinds if _kind(features, name) in (None, "Value", "Sequence")]
    found: list[str] = []
    for is_one in (is_encoded, is_nested):
        found = found or [name for name in open_ones if is_one(kinds[name])]
    called = [name for name in kinds if _is_called(_IMAGE_NAMES, name)]
    # A column of paths or of addresses: what lies beside it is something else.
    return found + [name for name in called if name not in found and is_text(kinds[name])]


def _label(
    kinds: Mapping[str, pa.DataType], features: Features, schema: pa.Schema, where: str
) -> tuple[str, bool, bool]:
    """Return the labels' column among those of some kinds, and how sure that is.

    That is whether it is not declared, and whether something else could be meant.
    """
    declared = [name for name in kinds if _kind(features, name) == "ClassLabel"]
    if declared:
        return _only("label", declared, schema.names, where), False, False
    index = _index_columns(schema)
    rest = [name for name in kinds if name not in index and not _is_called(_INDEX_NAMES, name)]
    rest = [name for name in rest if _holds_labels(kinds[name])]
    called = [name for name in kinds if _is_called(_LABEL_NAMES, name)]
    if not called:
        _ask("label", rest, schema.names, where)
    label = _only("label", called, schema.names, where)
    check_readable(kinds[label], f"{where}, column {label!r}")
    if not pa.types.is_integer(storage(kinds[label])):
        raise PracError(
            f"{where}: cannot tell which column is the label, {label!r} holds "
            f"{kinds[label]} and no integers: name it with --label-column "
            f"(columns: {', '.join(schema.names)})"
        )
    others = [name for name in rest if name != label]
    is_likely = not others and _is_called(_LIKELY_NAMES, label)
    is_sure = _is_called(_SURE_NAMES, label)
    if not is_likely and not is_sure:
        _ask("label", [label, *others], schema.names, where)
    return label, True, not is_sure or bool(others)


def _holds_labels(kind: pa.DataType) -> bool:
    """Say whether a type is one that labels can have."""
    kind = storage(kind)
    kind = kind.value_type if pa.types.is_dictionary(kind) else kind
    types = (pa.types.is_integer, pa.types.is_floating, pa.types.is_boolean, pa.types.is_null)
    return is_text(kind) or any(is_one(kind) for is_one in types)


def _index_columns(schema: pa.Schema) -> list[str]:
    """Return the columns that pandas keeps a frame's index in, as it notes there."""
    try:
        stored = json.loads((schema.metadata or {}).get(b"pandas", b"{}"))["index_columns"]
    except (ValueError, KeyError, TypeError):
        return []
    return [name for name in stored if isinstance(name, str)] if isinstance(stored, list) else []


def _is_called(pattern: re.Pattern[str], name: str) -> bool:
    return pattern.fullmatch(re.sub(r"[\s.:-]+", "_", name.strip().lower())) is not None


def _kind(features: Features, column: str) -> str | None:
    declared = features.get(column)
    return declared.get("_type") if isinstance(declared, Mapping) else None


def _check_there(role: str, given: str, names: Sequence[str], where: str) -> None:
    if given not in names:
        raise PracError(
            f"{where}: no column {given!r} to take the {role} from (columns: {', '.join(names)})"
        )


def _only(role: str, candidates: Sequence[str], names: Sequence[str], where: str) -> str:
    if len(candidates) != 1:
        _ask(role, candidates, names, where)
    return candidates[0]


def _ask(role: str, candidates: Sequence[str], names: Sequence[str], where: str) -> NoReturn:
    """Raise the error that asks for a column, of those that could be it."""
    could = ", ".join(candidates)
    found = f"several could be ({could})" if candidates else "none could be"
    if len(candidates) == 1:
        found = f"{could!r} could be, but nothing says that it is"
    raise PracError(
        f"{where}: cannot tell which column is the {role}, {found}: "
        f"name it with --{role}-column (columns: {', '.join(names)})"
    )
