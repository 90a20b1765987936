"""Which column of a table is the label, and what a column of labels may hold."""

import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from prac.data.sources import load
from prac.errors import PracError
from tests.data.test_sources_tables import rows

N = 12
CLASS = [row % 3 for row in range(N)]
WORDS = [("bee", "cow", "ant")[row % 3] for row in range(N)]


def write(folder, columns, name="train.parquet", metadata=None):
    folder.mkdir(parents=True, exist_ok=True)
    table = pa.table({"image": rows(len(next(iter(columns.values()))))} | columns)
    pq.write_table(table.replace_schema_metadata(metadata), folder / name)
    return str(folder)


def asks(folder, columns, said, **settings):
    """Check that a table is refused with a line that names the option and every column."""
    with pytest.raises(PracError, match="--label-column") as error:
        load(write(folder, columns, **settings))
    assert said in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("columns", "said"),
    [
        ({"label": WORDS, "id": range(N)}, "'label' holds string and no integers"),
        ({"label": [float(c) for c in CLASS], "n": CLASS}, "'label' holds double"),
        ({"label": pa.array(WORDS).dictionary_encode(), "age": CLASS}, "'label' holds dictionary"),
        ({"label": [c > 0 for c in CLASS]}, "'label' holds bool"),
        ({"kind": WORDS}, "'kind' could be, but nothing says that it is"),
        ({"kind": WORDS, "__index_level_0__": range(N)}, "'kind' could be, but nothing says"),
        ({"kind": CLASS}, "'kind' could be, but nothing says that it is"),
        ({"Unnamed: 0": [*range(6), *range(6)]}, "none could be"),
        ({"nr": [*range(11), 0]}, "none could be"),
        ({"fold": CLASS}, "'fold' could be"),
        ({"num_classes": CLASS}, "'num_classes' could be"),
        ({"num_classes": CLASS, "species": WORDS}, "several could be (num_classes, species)"),
        ({"x": CLASS, "y": CLASS, "species": WORDS}, "several could be (y, x, species)"),
        ({"target": CLASS, "weight": [float(c) for c in CLASS]}, "several could be (target, w"),
        ({"is_label": CLASS}, "'is_label' could be"),
        ({"id": range(N)}, "none could be"),
        ({"image_id": CLASS}, "none could be"),
        ({"kind": CLASS, "caption": WORDS}, "several could be (kind, caption)"),
        ({"fine_label": CLASS, "coarse_label": CLASS}, "several could be (fine_label, coarse"),
        ({"label": CLASS, "y": CLASS}, "several could be (label, y)"),
        ({"age": CLASS, "size": CLASS}, "several could be (age, size)"),
        ({"number_of_legs": range(N)}, "'number_of_legs' could be"),
        ({"y": range(N)}, "no value is there twice, as if it numbered the rows"),
        ({"label": range(N)}, "no value is there twice"),
        ({"label": [[c] for c in CLASS]}, "holds list<element: int64>, expected whole numbers"),
    ],
)
def test_a_label_is_asked_for_where_a_guess_could_be_wrong(tmp_path, columns, said):
    asks(tmp_path, {name: pa.array(values) for name, values in columns.items()}, said)


@pytest.mark.parametrize(
    "columns",
    [
        {"label": CLASS, "label_name": WORDS},
        {"labels": CLASS, "age": range(N), "box": [[c] for c in CLASS]},
        {"target": CLASS, "id": range(N), "file_name": WORDS},
        {"Class ID": CLASS, "image_id": range(N)},
        {"fine_label": CLASS},
        {"y": CLASS, "__index_level_0__": range(N)},
        {"Unnamed: 0": range(N), "class": CLASS},
    ],
)
def test_a_label_is_guessed_where_it_cannot_be_wrong_and_told(tmp_path, columns):
    splits = load(write(tmp_path, {name: pa.array(values) for name, values in columns.items()}))
    assert splits.train.labels.tolist() == CLASS
    [name] = [name for name, values in columns.items() if values is CLASS]
    assert splits.notices == (
        f"{tmp_path}/train.parquet: labels are read from the column {name!r}, which nothing "
        f"declares (--label-column names another)",
    )
    assert load(str(tmp_path), label_column=name).notices == ()


def test_nothing_is_said_of_a_column_of_labels_that_is_called_so_and_is_the_only_one(tmp_path):
    assert load(write(tmp_path / "a", {"label": CLASS, "id": range(N)})).notices == ()
    (told,) = load(write(tmp_path / "b", {"label": CLASS, "age": range(N)})).notices
    assert "labels are read from the column 'label'" in told


def test_an_index_that_pandas_noted_is_none_whatever_its_name(tmp_path):
    noted = {"pandas": json.dumps({"index_columns": ["when"]})}
    columns = {"target": CLASS, "when": pa.array(range(N))}
    assert load(write(tmp_path, columns, metadata=noted)).train.labels.tolist() == CLASS
    # But one that is called so is what people mean by it.
    noted = {"pandas": json.dumps({"index_columns": ["label"]})}
    asks(tmp_path, {"age": CLASS, "label": WORDS}, "'label' holds string", metadata=noted)


def test_columns_of_one_name_are_refused(tmp_path):
    table = pa.table([rows(N), CLASS, CLASS], names=["image", "label", "label"])
    pq.write_table(table, tmp_path / "train.parquet")
    with pytest.raises(PracError, match="2 columns are named 'label', expected distinct names"):
        load(str(tmp_path))


@pytest.mark.parametrize(
    ("labels", "classes", "indices"),
    [
        (WORDS, ("ant", "bee", "cow"), [1, 2, 0]),
        (pa.array(WORDS, pa.large_string()), ("ant", "bee", "cow"), [1, 2, 0]),
        (pa.array(WORDS).dictionary_encode(), ("ant", "bee", "cow"), [1, 2, 0]),
        ([c > 0 for c in CLASS], ("False", "True"), [0, 1, 1]),
        ([float(c) for c in CLASS], ("0", "1", "2"), [0, 1, 2]),
        (pa.array(CLASS).dictionary_encode(), ("0", "1", "2"), [0, 1, 2]),
        (pa.array(CLASS, pa.uint64()), ("0", "1", "2"), [0, 1, 2]),
    ],
)
def test_a_column_that_is_named_is_read_as_what_it_holds(tmp_path, labels, classes, indices):
    folder = write(tmp_path, {"label": labels, "id": range(N)})
    write(tmp_path, {"label": labels[:2], "id": range(2)}, "Test.PARQUET")
    splits = load(folder, label_column="label")
    assert splits.train.classes == splits.test.classes == classes
    assert splits.train.labels.tolist() == indices * (N // 3)
    assert splits.test.labels.tolist() == indices[:2]


@pytest.mark.skipif(not hasattr(pa, "bool8"), reason="a type of pyarrow 18 and later")
def test_an_extension_type_is_read_as_what_it_stores(tmp_path):
    stored = pa.array([int(c > 0) for c in CLASS], pa.int8())
    folder = write(tmp_path, {"label": pa.ExtensionArray.from_storage(pa.bool8(), stored)})
    assert load(folder).train.labels.tolist() == stored.to_pylist()
    assert load(folder, label_column="label").train.classes == ("0", "1")


@pytest.mark.parametrize(
    ("labels", "said"),
    [
        ([None, *WORDS[1:]], "row 0: the label is missing"),
        ([*CLASS[1:], None], "row 11: the label is missing"),
        ([0.0, float("nan"), *map(float, CLASS[2:])], "row 1: the label is missing"),
        ([0.5, *map(float, CLASS[1:])], "row 0: label 0.5 is no integer"),
        ([-1, *CLASS[1:]], "row 0: label -1, expected an integer"),
        ([["ant"]] * N, "holds list<element: string>, expected whole numbers or words"),
    ],
)
def test_labels_at_fault_are_named_by_row(tmp_path, labels, said):
    folder = write(tmp_path, {"label": pa.array(labels, from_pandas=False)})
    with pytest.raises(PracError, match="column 'label'") as error:
        load(folder, label_column="label")
    assert said in str(error.value)


@pytest.mark.parametrize(
    ("train", "test", "said"),
    [
        (WORDS, ["ant", "Cow"], "row 1: label 'Cow' is none of the classes of the train split"),
        (WORDS, CLASS[:2], "row 0: label 0 is none of the classes of the train split"),
        (CLASS, WORDS[:2], "row 0: label 'bee' is no integer"),
    ],
)
def test_splits_have_the_same_classes(tmp_path, train, test, said):
    write(tmp_path, {"label": train})
    with pytest.raises(PracError) as error:
        load(write(tmp_path, {"label": test}, "test.parquet"), label_column="label")
    assert said in str(error.value)


def test_the_columns_of_train_are_those_of_the_other_splits(tmp_path):
    write(tmp_path, {"target": CLASS})
    write(tmp_path, {"target": CLASS[:2], "label": CLASS[1:3]}, "test.parquet")
    assert load(str(tmp_path)).test.labels.tolist() == CLASS[:2]


def test_a_column_of_paths_is_not_passed_over_for_numbers(tmp_path):
    columns = {"image": ["a.png"] * N, "box": np.eye(N).tolist(), "label": CLASS}
    pq.write_table(pa.table(columns), tmp_path / "train.parquet")
    with pytest.raises(PracError, match=r"which column is the image, several could be \(box, im"):
        load(str(tmp_path))


def test_inputs_from_lists_that_are_called_something_else_are_told_of(tmp_path):
    columns = {"file": ["a.png"] * N, "box": np.eye(N).tolist(), "label": CLASS}
    pq.write_table(pa.table(columns), tmp_path / "train.parquet")
    [told] = load(str(tmp_path), label_column="label").notices
    assert "inputs are read from the column 'box', the only one with lists of numbers" in told
    assert load(str(tmp_path), image_column="box", label_column="label").notices == ()
    pq.write_table(pa.table({"pixels": columns["box"], "label": CLASS}), tmp_path / "train.parquet")
    assert load(str(tmp_path), label_column="label").notices == ()


def test_the_label_that_is_named_is_no_candidate_for_the_image(tmp_path):
    write(tmp_path, {"label": CLASS, "mask": rows(N)})
    with pytest.raises(PracError, match=r"several could be \(image, mask\)"):
        load(str(tmp_path))
    with pytest.raises(PracError, match="column 'mask' holds struct"):
        load(str(tmp_path), label_column="mask")


def test_files_of_no_split_and_secret_labels_are_told_of(tmp_path):
    write(tmp_path, {"label": CLASS})
    write(tmp_path, {"label": [-1, -1]}, "test.parquet")
    write(tmp_path, {"label": CLASS}, "extra.parquet")
    splits = load(str(tmp_path), label_column="label")
    assert splits.test is None
    assert splits.notices == (
        f"1 file is not read, called by none of the names of splits: {tmp_path}/extra.parquet",
        f"{tmp_path}/test.parquet: not read, all its labels being -1, kept secret",
    )


@pytest.mark.parametrize("labels", [CLASS, WORDS, [float(c) for c in CLASS]])
@pytest.mark.parametrize(
    ("test", "said"),
    [
        ({"label": [-1, -1]}, "not read, all its labels being -1, kept secret"),
        ({"label": [-1.0, -1.0]}, "not read, all its labels being -1, kept secret"),
        ({"label": pa.array([None, None], pa.string())}, "not read, all its labels missing"),
        ({"label": pa.array([None, None], pa.int64())}, "not read, all its labels missing"),
        ({"label": pa.nulls(2)}, "not read, all its labels missing"),
        ({"label": [float("nan")] * 2}, "not read, all its labels missing"),
        ({"id": [0, 1]}, "not read, having no column 'label' of labels"),
    ],
)
def test_a_test_split_without_labels_is_left_out_whatever_they_are(tmp_path, labels, test, said):
    write(tmp_path, {"label": labels})
    splits = load(write(tmp_path, test, "test.parquet"), label_column="label")
    assert splits.test is None
    assert splits.notices == (f"{tmp_path}/test.parquet: {said}",)
    (tmp_path / "test.parquet").rename(tmp_path / "val.parquet")
    with pytest.raises(PracError, match="label"):
        load(str(tmp_path), label_column="label")
