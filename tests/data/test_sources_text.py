"""The text that Python ships: sequences and what follows, split by topic, the same each time."""

import sys
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from prac.data import load_data
from prac.data.sources.by_name import load
from prac.data.sources.python_topics import ALPHABET, LENGTH, OTHER, once_only, sequences
from prac.errors import PracError


def text_of(rows):
    return "".join(ALPHABET[number] for number in rows.flatten().tolist())


@given(st.text(alphabet=st.sampled_from("ab \nÄ…"), min_size=1, max_size=3 * LENGTH))
def test_sequences_are_the_text_and_targets_what_follows(text):
    inputs, targets = sequences(text)
    assert inputs.shape == targets.shape == ((len(text) - 1) // LENGTH, LENGTH)
    known = "".join(character if character in ALPHABET else OTHER for character in text)
    assert text_of(inputs) == known[: inputs.numel()]
    assert text_of(targets) == known[1 : inputs.numel() + 1]


def test_a_paragraph_is_in_the_first_topic_that_has_it():
    long = "x" * 50
    topics = {
        "b": f"Shared  {long}\n\nown of b {long} {long}",
        "a": f"Shared\n{long}\n\nown of a {long}",
        "c": f"Shared {long}",
    }
    found = once_only(topics)
    assert list(found) == ["a", "b"]
    assert found["b"] == f"own of b {long} {long}"


def test_topics_are_split_and_share_no_text():
    splits: Any = load("python_topics")
    train, test = splits.train, splits.test
    assert train.images.shape[1:] == train.labels.shape[1:] == (LENGTH,)
    assert train.images.dtype == train.labels.dtype == torch.int64
    assert train.classes == tuple(ALPHABET)
    # How much text there is depends on the Python.
    assert len(train.images) > 2000
    assert 0.05 < len(test.images) / len(train.images) < 0.5
    words = text_of(train.images)
    assert sum(text_of(row) in words for row in test.images[::8]) <= 1
    again: Any = load("python_topics")
    assert torch.equal(again.test.images, test.images)


def test_it_is_loaded_as_numbers_of_characters_that_nothing_normalises():
    data = load_data("python_topics", limit=50)
    assert (len(data.train), len(data.val), data.shape, len(data.classes)) == (45, 5, (LENGTH,), 97)
    x, y = next(iter(data.train.stream([torch.arange(4)])))
    assert x.dtype == y.dtype == torch.int64
    assert torch.equal(x[:, 1:], y[:, :-1])
    assert data.train.labels is None


def test_one_training_sequence_is_enough():
    assert len(load_data("python_topics", limit=2, val_fraction=0.5).train) == 1


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"image_size": 8}, "python_topics is text, but image_size is set"),
        ({"crop": 2}, "crop and flip are for pictures"),
        ({"flip": True}, "crop and flip are for pictures"),
    ],
)
def test_what_is_for_pictures_is_refused(settings, message):
    with pytest.raises(PracError, match=message):
        load_data("python_topics", **settings)


def test_a_python_without_it_is_told(monkeypatch):
    monkeypatch.setitem(sys.modules, "pydoc_data.topics", None)
    with pytest.raises(PracError, match=r"this Python lacks its module pydoc_data\.topics"):
        load("python_topics")
