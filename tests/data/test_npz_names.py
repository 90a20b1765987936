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


def test_floats_that_look_like_pictures_are_told_of(npz):
    pictures = np.repeat(X[..., None], 3, 3) / 255
    [told] = load(npz(x_train=pictures, y_train=Y)).notices
    assert "read as features of shape (4, 4, 3) and not as pictures" in told
    assert load(npz(x_train=pictures - 1, y_train=Y)).notices == ()
