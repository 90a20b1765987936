"""Validation splits: exact sizes, a fixed order for a seed, and every fault of an index file."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from prac.data.split import read_index_file, split_indices
from prac.errors import PracError


@given(n=st.integers(1, 300), fraction=st.floats(0, 0.99), seed=st.integers(0, 2**64))
def test_the_parts_hold_each_example_once(n, fraction, seed):
    if round(fraction * n) == n:
        with pytest.raises(PracError, match="none to train on"):
            split_indices(n, fraction=fraction, seed=seed)
        return
    train, val = split_indices(n, fraction=fraction, seed=seed)
    assert len(val) == round(fraction * n)
    assert train.dtype == val.dtype == torch.int64
    assert train.tolist() == sorted(train.tolist())
    assert val.tolist() == sorted(val.tolist())
    assert sorted([*train.tolist(), *val.tolist()]) == list(range(n))


def test_the_split_of_a_seed_never_changes():
    # Written down once: a change here would make every earlier run's split another one.
    assert split_indices(10, fraction=0.3, seed=0)[1].tolist() == [1, 2, 3]
    assert split_indices(10, fraction=0.3, seed=1)[1].tolist() == [2, 4, 9]


def test_fraction_zero_gives_an_empty_validation_part():
    train, val = split_indices(5, fraction=0.0, seed=0)
    assert train.tolist() == [0, 1, 2, 3, 4]
    assert val.shape == (0,)
    assert val.dtype == torch.int64


def test_an_index_file_is_read_sorted(tmp_path):
    path = tmp_path / "val.npy"
    np.save(path, np.array([7, 0, 3], dtype=np.uint16))
    indices = read_index_file(path, 10)
    assert indices.tolist() == [0, 3, 7]
    assert indices.dtype == torch.int64


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.zeros((2, 2), dtype=int), r"shape \(2, 2\)"),
        (np.array([0.0, 1.0]), "dtype float64, expected integers"),
        (np.array([True, False]), "dtype bool, expected integers"),
        (np.array([], dtype=int), "no index in it"),
        (np.array([1, 10]), r"index 10 at position 1, expected 0\.\.9"),
        (np.array([-1, 1]), "index -1 at position 0"),
        (np.array([4, 2, 4]), "index 4 is there twice"),
        (np.arange(10), "leaves none to train on"),
    ],
)
def test_a_faulty_index_file_is_refused_by_name(tmp_path, array, message):
    path = tmp_path / "val.npy"
    np.save(path, array)
    with pytest.raises(PracError, match=message) as error:
        read_index_file(path, 10)
    assert str(path) in str(error.value)


def test_an_unreadable_index_file_is_refused_by_name(tmp_path):
    with pytest.raises(PracError, match="there is no such file"):
        read_index_file(tmp_path / "absent.npy", 10)
    damaged = tmp_path / "damaged.npy"
    damaged.write_bytes(b"\x93NUMPY\x01")
    with pytest.raises(PracError, match=r"damaged\.npy: cannot be read"):
        read_index_file(damaged, 10)
    objects = tmp_path / "objects.npy"
    np.save(objects, np.array([{}, 1], dtype=object), allow_pickle=True)
    with pytest.raises(PracError, match=r"objects\.npy: cannot be read"):
        read_index_file(objects, 10)
    archive = tmp_path / "archive.npz"
    np.savez(archive, a=np.arange(3))
    with pytest.raises(PracError, match="archive of several arrays"):
        read_index_file(archive, 10)
