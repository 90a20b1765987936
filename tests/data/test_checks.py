"""Held-out examples that are trained on: found by their bytes, counted, and the first one named."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from prac.config import DataConfig
from prac.data import load_data
from prac.data.checks import shared

# Few pictures of two pixels, so that equal ones are common.
PICTURES = st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=1, max_size=12)


@given(PICTURES, PICTURES, st.sampled_from([torch.uint8, torch.float32]))
def test_what_is_shared_is_what_a_comparison_of_all_pairs_finds(held_out, train, dtype):
    pairs = [(i, j) for i, a in enumerate(held_out) for j, b in enumerate(train) if a == b]
    found = shared(
        torch.tensor(held_out, dtype=dtype).view(-1, 1, 1, 2),
        torch.tensor(train, dtype=dtype).view(-1, 1, 1, 2),
    )
    expected = (len({i for i, _ in pairs}), *min(pairs)) if pairs else None
    assert found == expected


def test_examples_of_another_shape_or_type_are_never_the_same():
    zeros = torch.zeros(2, 1, 2, 2, dtype=torch.uint8)
    assert shared(zeros, zeros.view(2, 1, 1, 4)) is None
    assert shared(zeros, zeros.float()) is None


def test_the_layout_in_memory_does_not_matter():
    images = torch.arange(24, dtype=torch.uint8).view(2, 3, 2, 2)
    channels_last = images.contiguous(memory_format=torch.channels_last)
    assert shared(images, channels_last) == (2, 0, 0)


@pytest.fixture
def path(tmp_path):
    """Ten training pictures, of which 2 and 7 are one; test pictures 1 and 2 are training's 4."""
    x = np.arange(10 * 9, dtype=np.uint8).reshape(10, 3, 3)
    x[7] = x[2]
    test = np.full((3, 3, 3), 200, dtype=np.uint8)
    test[1] = test[2] = x[4]
    arrays: dict[str, Any] = {
        "x_train": x,
        "y_train": np.arange(10) % 2,
        "x_test": test,
        "y_test": [0, 1, 0],
    }
    np.savez(tmp_path / "set.npz", **arrays)
    np.save(tmp_path / "val.npy", [6, 7])
    return tmp_path


def test_pairs_are_named_by_split_and_source_index_whatever_the_label(path):
    data = load_data(DataConfig(name=str(path / "set.npz"), val_indices=str(path / "val.npy")))
    assert data.warnings == (
        "1 of 2 validation examples are training examples too: "
        "the first is train 7, the same as train 2",
        "2 of 3 test examples are training examples too: the first is test 1, the same as train 4",
    )


def test_a_shipped_validation_split_is_named_by_its_own_name(path):
    arrays = dict(np.load(path / "set.npz"))
    arrays |= {"x_val": arrays["x_train"][[5]], "y_val": [0]}
    np.savez(path / "set.npz", **arrays)
    data = load_data(DataConfig(name=str(path / "set.npz")))
    assert data.warnings[0].endswith("the first is validation 0, the same as train 5")


def test_two_of_a_kind_in_training_alone_are_no_fault(path):
    arrays = {
        name: array for name, array in np.load(path / "set.npz").items() if "test" not in name
    }
    np.savez(path / "set.npz", **arrays)
    assert load_data(DataConfig(name=str(path / "set.npz"), val_fraction=0)).warnings == ()


def test_the_quickstart_s_digits_are_clean():
    assert load_data(DataConfig()).warnings == ()


def test_a_last_batch_of_one_is_joined_so_that_batch_norm_trains(config, tmp_path):
    import prac

    x = torch.randn(11, 1, 4, 4, generator=torch.Generator().manual_seed(0))
    model = torch.nn.Sequential(
        torch.nn.Flatten(), torch.nn.Linear(16, 8), torch.nn.BatchNorm1d(8), torch.nn.Linear(8, 2)
    )
    settings = config(levels=1, train=prac.TrainConfig(epochs=2, batch_size=5, lr=0.01))
    found = prac.find(model, (x, torch.arange(11) % 2), settings, out=tmp_path / "run")
    assert found.levels[0].iterations == 4, "two batches an epoch, of five and of six"
