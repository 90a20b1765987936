"""Example sets: what is saved is loaded, and serves the data it belongs to only."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from prac.data import TensorExamples
from prac.errors import PracError
from prac.runs import Subset, Ticket


def training_set(n=6):
    source = torch.arange(n) * 10
    return TensorExamples(torch.arange(n).float(), torch.zeros(n), source_indices=source)


def test_a_set_knows_its_examples_in_the_training_set_and_in_the_source():
    train = training_set()
    subset = Subset.of(train, torch.tensor([1, 4]), {"level": 2})
    assert len(subset) == 2
    assert subset.indices.tolist() == [1, 4]
    assert subset.source_indices.tolist() == [10, 40]
    assert (subset.total, subset.fingerprint) == (6, train.fingerprint)
    assert subset.indices_for(training_set()).tolist() == [1, 4]


def test_a_set_is_refused_on_other_data():
    subset = Subset.of(training_set(), torch.tensor([1, 4]), {})
    relabelled = TensorExamples(torch.arange(6).float(), torch.ones(6))
    with pytest.raises(PracError, match="the subset belongs to other data"):
        subset.indices_for(relabelled)
    other = training_set(7)
    with pytest.raises(PracError) as error:
        subset.indices_for(other)
    assert "its training set has 6 examples" in str(error.value)
    assert subset.fingerprint[:12] in str(error.value)
    assert f"this one 7 and {other.fingerprint[:12]}" in str(error.value)


def test_an_empty_set_is_refused_where_it_would_be_trained_on():
    train = training_set()
    with pytest.raises(PracError, match="the subset is empty"):
        Subset.of(train, torch.tensor([], dtype=torch.int64), {}).indices_for(train)


def test_the_digest_is_the_examples_and_their_data():
    subset = Subset.of(training_set(), torch.tensor([1, 4]), {})
    assert Subset.of(training_set(), torch.tensor([1, 4]), {"level": 9}).digest == subset.digest
    others = training_set(), training_set(7)
    chosen = torch.tensor([1, 5]), torch.tensor([1, 4])
    for train, indices in zip(others, chosen, strict=True):
        assert Subset.of(train, indices, {}).digest != subset.digest


KEYS = st.text(st.characters(exclude_categories=["Cc", "Cs"]), max_size=3)
INT64 = st.integers(-(2**63) + 1, 2**63 - 1)


@given(st.sets(st.integers(0, 99)), st.dictionaries(KEYS, INT64, max_size=9))
def test_a_set_comes_back_as_it_was(tmp_path_factory, chosen, provenance):
    path = tmp_path_factory.mktemp("subset") / "set"
    subset = Subset.of(
        training_set(100), torch.tensor(sorted(chosen), dtype=torch.int64), provenance
    )
    subset.save(path)
    loaded = Subset.load(str(path))
    for name in ("indices", "source_indices"):
        assert getattr(loaded, name).dtype == torch.int64
        assert torch.equal(getattr(loaded, name), getattr(subset, name))
    assert loaded.fingerprint == subset.fingerprint
    assert loaded.total == 100
    assert loaded.provenance == provenance


def test_the_same_set_gives_the_same_bytes(tmp_path):
    subset = Subset.of(training_set(), torch.tensor([0, 5]), {"b": 1, "a": 2})
    subset.save(tmp_path / "first")
    Subset.load(tmp_path / "first").save(tmp_path / "second")
    assert (tmp_path / "first").read_bytes() == (tmp_path / "second").read_bytes()


def test_a_ticket_is_no_set(tmp_path):
    Ticket({"w": torch.ones(1)}, {}).save(tmp_path / "t")
    with pytest.raises(PracError, match="t: is a ticket: expected a subset"):
        Subset.load(tmp_path / "t")
