"""Examples carry their places, whatever they are, and their batches still collate."""

from __future__ import annotations

import pytest
import torch
from torch.utils.data import DataLoader, Dataset, IterableDataset, TensorDataset

import prac
from prac.errors import PracError
from prac.loops import with_ids

Y = torch.arange(5) % 2
X = torch.arange(10.0).view(5, 2)


def test_tuples_begin_with_their_places():
    loader = DataLoader(with_ids(TensorDataset(X, Y), torch.tensor([1, 4, 3])), batch_size=2)
    (ids, x, y), (last, _, _) = loader
    assert ids.dtype == torch.int64
    assert ids.tolist() == [1, 4]
    assert torch.equal(x, X[[1, 4]])
    assert torch.equal(y, Y[[1, 4]])
    assert last.tolist() == [3]


def test_mappings_have_them_under_a_name_and_stay_as_they_are():
    data = [{"x": x, "labels": y} for x, y in zip(X, Y, strict=True)]
    (batch,) = DataLoader(with_ids(data, [2, 0], name="place"), batch_size=2)
    assert batch["place"].tolist() == [2, 0]
    assert torch.equal(batch["x"], X[[2, 0]])
    assert data[2].keys() == {"x", "labels"}


def test_lists_and_single_tensors_and_all_of_them():
    assert with_ids([[7, 8]], [0])[0] == (0, 7, 8)
    (ids, x), *_ = DataLoader(with_ids(X, None), batch_size=5)
    assert ids.tolist() == [0, 1, 2, 3, 4]
    assert torch.equal(x, X)


class AtOnce(Dataset):
    """Reads a batch at once, as those of `datasets` do."""

    def __init__(self):
        self.read = []

    def __len__(self):
        return 9

    def __getitem__(self, index):
        raise AssertionError("one by one")

    def __getitems__(self, indices):
        self.read.append(indices)
        return [{"x": float(index)} for index in indices]


def test_a_batch_is_read_at_once_where_it_can_be():
    data = AtOnce()
    (batch,) = DataLoader(with_ids(data, [8, 2, 5]), batch_size=3)
    assert data.read == [[8, 2, 5]]
    assert batch["x"].tolist() == batch["id"].tolist() == [8, 2, 5]


@pytest.mark.filterwarnings("ignore:This process")  # That it forks, having threads.
def test_loading_processes_read_the_same():
    loader = DataLoader(with_ids(TensorDataset(X, Y), [1, 4]), batch_size=2, num_workers=1)
    ((ids, x, _),) = loader
    assert ids.tolist() == [1, 4]
    assert torch.equal(x, X[[1, 4]])


class Stream(IterableDataset):
    def __iter__(self):
        yield 1


@pytest.mark.parametrize(
    ("data", "ids", "message"),
    [
        (X, [5], "there is no example 5 among 5: expected ids from 0 to 4"),
        (X, [-1], "there is no example -1 among 5"),
        (X, [0.5], "there is no example 0.5 among 5"),
        (Stream(), [0], "the data is a Stream, a stream: expected a data set with a length"),
        ([{"id": 1}], [0], "examples have 'id' already: pass with_ids"),
    ],
)
def test_what_has_no_such_places_is_refused(data, ids, message):
    with pytest.raises(PracError, match=message) as error:
        with_ids(data, ids)[0]
    assert "\n" not in str(error.value)


def test_without_other_processes_it_is_one_s_own():
    value = object()
    assert prac.loops.from_rank_0(value) is value
