"""How the arrays of an `.npz` file are called."""

from typing import Any

import numpy as np
import pytest

from prac.data.sources import load
from prac.errors import PracError

X = np.random.default_rng(0).integers(0, 256, (12, 4, 4)).astype(np.uint8)
Y = np.arange(12) % 3


@pytest.fixture
def npz(tmp_path):
    def save(**arrays):
        np.savez(tmp_path / "set.npz", **arrays)
        return str(tmp_path / "set.npz")

    return save


@pytest.mark.parametrize("name", ["val", "valid", "validation", "dev", "Val", "VALID"])
@pytest.mark.parametrize("naming", [("x_{}", "y_{}"), ("{}_images", "{}_labels")])
def test_every_name_of_a_split_is_read(npz, name, naming):
    arrays: dict[str, Any] = {}
    for split, count in (("train", 12), (name, 5), ("test", 4)):
        arrays[naming[0].format(split)] = X[:count]
        arrays[naming[1].format(split)] = Y[:count]
    splits = load(npz(**arrays))
    assert [len(s.labels) for s in (splits.train, splits.val, splits.test)] == [12, 5, 4]
    assert splits.notices == ()


def test_letters_of_either_case_and_both_namings_are_read(npz):
    assert len(load(npz(X_train=X, y_train=Y, X_test=X[:4], y_test=Y[:4])).test.labels) == 4
    mixed = npz(x_train=X, y_train=Y, test_images=X[:4], test_labels=Y[:4])
    assert len(load(mixed).test.labels) == 4
    assert len(load(npz(X=X, y=Y, x_test=X[:5], y_test=Y[:5])).test.labels) == 5


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"x_val": X, "y_val": Y, "x_dev": X, "y_dev": Y}, "'x_val' and 'x_dev' both name the val"),
        ({"train_images": X, "train_labels": Y}, "'x_train' and 'train_images' both name the"),
        ({"x": X, "y": Y}, "'x_train' and 'x' both name the train split"),
        ({"X_train": X}, "'x_train' and 'X_train' differ only in the case of letters: keep one"),
        ({"x_val": X}, "it holds 'x_val' but not 'y_val'"),
        ({"valid_labels": Y}, "it holds 'valid_labels' but not 'valid_images'"),
    ],
)
def test_names_that_contradict_each_other_are_refused(npz, more, message):
    with pytest.raises(PracError, match=message):
        load(npz(x_train=X, y_train=Y, **more))


def test_arrays_that_are_not_read_are_counted(npz):
    [told] = load(npz(x_train=X, y_train=Y, x_extra=X, extra_labels=Y)).notices
    assert "2 arrays are not read, called by none of the names of splits: x_extra, extra_" in told


@pytest.mark.parametrize("shape", [(12, 4, 4), (12, 6, 4, 3), (12, 5, 5, 1), (12, 4, 4, 4)])
@pytest.mark.parametrize(("scale", "offset"), [(1, 0), (255, 0), (2, -1), (7, 30)])
def test_floats_that_look_like_pictures_are_told_of(npz, shape, scale, offset):
    pictures = np.random.default_rng(0).random(shape) * scale + offset
    [told] = load(npz(x_train=pictures, y_train=Y, x_test=pictures, y_test=Y)).notices
    assert f"set.npz (train): floats are read as features of shape {shape[1:]} and not as" in told


@pytest.mark.parametrize("shape", [(12, 4), (12, 3, 4, 4), (12, 1, 5, 5), (12, 2, 40), (12, 4, 99)])
def test_floats_of_another_shape_and_those_with_channels_first_are_fine(npz, shape):
    assert load(npz(x_train=np.random.default_rng(0).random(shape), y_train=Y)).notices == ()


WORDS = np.array(["cow", "ant", "bee"])[Y]


@pytest.mark.parametrize(
    ("labels", "names", "indices"),
    [
        (WORDS, ("ant", "bee", "cow"), [2, 0, 1]),
        (WORDS[:, None], ("ant", "bee", "cow"), [2, 0, 1]),
        (WORDS.astype("S"), ("ant", "bee", "cow"), [2, 0, 1]),
        (Y > 0, ("False", "True"), [0, 1, 1]),
        (Y.astype(float), ("0", "1", "2"), [0, 1, 2]),
        (Y.astype(np.float16), ("0", "1", "2"), [0, 1, 2]),
        (Y.astype(">u8"), ("0", "1", "2"), [0, 1, 2]),
    ],
)
def test_labels_are_read_as_those_of_tables(npz, labels, names, indices):
    splits = load(npz(x_train=X, y_train=labels, x_test=X[1:3], y_test=labels[1:3]))
    assert splits.train.classes == splits.test.classes == names
    assert splits.train.labels.tolist() == indices * 4
    assert splits.test.labels.tolist() == indices[1:]


def test_words_are_looked_up_among_the_names_that_are_given(npz):
    for classes in (np.array(["cow", "bee", "ant"]), np.array([b"cow", b"bee", b"ant"])):
        splits = load(npz(x_train=X, y_train=WORDS, classes=classes))
        assert splits.train.classes == ("cow", "bee", "ant")
        assert splits.train.labels.tolist() == [0, 2, 1] * 4
        splits = load(npz(x_train=X, y_train=Y.astype(float), classes=classes))
        assert splits.train.labels.tolist() == Y.tolist()


@pytest.mark.parametrize(
    ("arrays", "said"),
    [
        ({"y_train": Y + 0.5}, "array 'y_train', row 0: label 0.5 is no integer"),
        ({"y_train": [float("nan"), *Y[1:]]}, "array 'y_train', row 0: the label is missing"),
        ({"classes": ["cow", "ant"]}, "row 2: label 'bee' is none of the classes"),
        ({"x_val": X[:1], "y_val": ["dog"]}, "array 'y_val', row 0: label 'dog' is none of the"),
        ({"x_val": X[:1], "y_val": [1]}, "array 'y_val', row 0: label 1 is none of the classes"),
        ({"y_train": WORDS.astype(object)}, "'y_train': it holds Python objects, which are not r"),
        ({"classes": np.array(["a", "b"], object)}, "'classes': it holds Python objects"),
        ({"classes": np.array([1, 2, 3])}, "array 'classes': int64 (3,), expected strings"),
    ],
)
def test_labels_and_names_at_fault_are_told_by_row_or_with_the_remedy(npz, arrays, said):
    with pytest.raises(PracError) as error:
        load(npz(**{"x_train": X, "y_train": WORDS} | arrays))
    assert said in str(error.value)


@pytest.mark.parametrize("labels", [Y, WORDS])
@pytest.mark.parametrize(
    ("test", "said"),
    [
        ({}, "'x_test' is not read, having no 'y_test'"),
        ({"y_test": -np.ones(12)}, "(test): not read, all its labels being -1, kept secret"),
        ({"y_test": -np.ones(12, int)}, "(test): not read, all its labels being -1, kept secret"),
        ({"y_test": np.full(12, np.nan)}, "(test): not read, all its labels missing"),
    ],
)
def test_a_test_split_without_labels_is_left_out_and_told(npz, labels, test, said):
    splits = load(npz(x_train=X, y_train=labels, x_test=X, **test))
    assert splits.test is None
    [told] = splits.notices
    assert told.endswith(said)


def test_splits_of_pictures_and_of_features_are_told_apart(npz):
    with pytest.raises(PracError, match=r"holds torch.uint8, .*expected one kind in all splits"):
        load(npz(x_train=X, y_train=Y, x_test=X / 255, y_test=Y))


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (np.nan, r"feature 1, 2 being NaN \(2 of 12 rows .*\): fill them in, or leave these"),
        (-np.inf, r"feature 1, 2 being infinite \(2 of 12 rows .*\): fill them in, or leave"),
        (1e300, r"feature 1, 2 being 1e\+300 \(2 of 12 rows .*\): scale that feature"),
    ],
)
def test_values_that_are_not_finite_are_told_by_place_and_kind(npz, value, said):
    features = np.zeros((12, 3, 5))
    features[3, 1, 2] = features[5, 0, 0] = value
    with pytest.raises(PracError, match=rf"array 'x_train', row 3: .* float32, {said}"):
        load(npz(x_train=features, y_train=Y))
