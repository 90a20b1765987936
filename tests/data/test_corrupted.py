"""Corrupted data: what is permuted and what is not, in memory and read, and what is refused."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from prac.data import StreamExamples, TensorExamples, as_examples, corrupted, corrupted_fingerprint
from prac.data.augment import Pipeline
from prac.data.corrupted import shuffled_positions
from prac.data.map_examples import MapExamples
from prac.errors import PracError
from tests.data.test_examples import BATCHES, Pairs, both_kinds, data


def whole(examples: Any) -> tuple[torch.Tensor, torch.Tensor]:
    [(x, y)] = examples.stream([torch.arange(len(examples))])
    return x, y


def streamed() -> StreamExamples:
    x, y = data(dtype=torch.float32)
    return StreamExamples([(7 * i, x[i], int(y[i])) for i in range(len(x))])


def labelled() -> MapExamples:
    x, y = data()
    dataset: Any = Pairs(x, y)
    dataset.targets = y.tolist()
    return MapExamples(dataset, both_kinds()[1].pipeline, classes=("cat", "dog"))


KINDS = {
    "labelled": labelled,
    "tensors": lambda: both_kinds()[0],
    "map": lambda: both_kinds()[1],
    "stream": streamed,
}


@pytest.mark.parametrize("kind", KINDS)
def test_labels_are_permuted_among_examples_and_inputs_stay(kind):
    clean = KINDS[kind]()
    found = corrupted(clean, "labels", seed=3)
    (x, y), (other_x, other_y) = whole(clean), whole(found)
    assert torch.equal(x, other_x)
    assert not torch.equal(y, other_y)
    assert y.bincount().tolist() == other_y.bincount().tolist()
    assert (found.labels is None) == (kind == "map")
    assert found.labels is None or torch.equal(found.labels, other_y)
    assert torch.equal(whole(found)[1], other_y), "the same each time"
    assert torch.equal(y, whole(clean)[1]), "what was given is left alone"
    for batch, (_, one) in zip(BATCHES, found.stream(BATCHES, seeds=(1, 2)), strict=True):
        assert torch.equal(one, other_y[batch])


@pytest.mark.parametrize("kind", KINDS)
def test_inputs_keep_their_values_in_another_order_and_labels_stay(kind):
    clean = KINDS[kind]()
    found = corrupted(clean, "inputs", seed=3)
    (x, y), (other_x, other_y) = whole(clean), whole(found)
    assert torch.equal(y, other_y)
    assert found.labels is None or torch.equal(found.labels, y)
    assert torch.equal(x.flatten(2).sort().values, other_x.flatten(2).sort().values)
    assert all(not torch.equal(one, other) for one, other in zip(x, other_x, strict=True))
    assert torch.equal(whole(found)[0], other_x), "the same each time"
    for batch, (one, _) in zip(BATCHES, found.stream(BATCHES), strict=True):
        assert torch.equal(one, other_x[batch]), "whichever batch it is in"


def test_tensors_and_what_is_read_are_corrupted_alike():
    tensors, pairs = both_kinds()
    for what in ("labels", "inputs"):
        one, other = (corrupted(of, what, seed=5) for of in (tensors, pairs))
        for first, second in zip(whole(one), whole(other), strict=True):
            assert torch.equal(first, second)


def test_pixels_in_memory_are_shuffled_before_augmentation():
    x, y = data()
    plain, flipped = Pipeline(), Pipeline(flip=True)
    kept = corrupted(TensorExamples(x, y, plain), "inputs", 1)
    [(stored, _)] = kept.stream([torch.arange(10)])
    [(shown, _)] = corrupted(TensorExamples(x, y, flipped), "inputs", 1).stream(
        [torch.arange(10)], seeds=(0,)
    )
    same = [torch.equal(a, b) for a, b in zip(shown, stored, strict=True)]
    mirrored = [torch.equal(a, b.flip(-1)) for a, b in zip(shown, stored, strict=True)]
    assert all(a or b for a, b in zip(same, mirrored, strict=True))
    assert any(mirrored)


@given(st.integers(1, 3), st.integers(1, 4), st.integers(1, 5), st.integers(0, 99))
def test_channels_stay_together(channels, height, width, seed):
    places = torch.arange(height * width).view(1, 1, height, width)
    x = torch.cat([places + 100 * channel for channel in range(channels)], 1).repeat(2, 1, 1, 1)
    found = shuffled_positions(x, torch.tensor([0, 1]), seed)
    for channel in range(channels):
        assert torch.equal(found[:, channel] - 100 * channel, found[:, 0])


def test_what_is_known_of_it():
    for make in KINDS.values():
        clean = make()
        prints = {
            corrupted(clean, what, s).fingerprint for what in ("labels", "inputs") for s in (0, 1)
        }
        assert len(prints | {clean.fingerprint}) == 5
        found = corrupted(clean, "inputs", 1)
        assert found.fingerprint == corrupted_fingerprint(clean.fingerprint, "inputs", 1)
        assert len(found) == 10
        assert found.classes == clean.classes
        assert torch.equal(found.source_indices, clean.source_indices)
        assert as_examples(found) is found
        moved = found.to(torch.device("cpu"))
        assert moved.fingerprint == found.fingerprint
        assert torch.equal(whole(moved)[0], whole(found)[0])
        assert "10" in repr(found)


def test_a_stream_is_shuffled_by_its_own_buffer():
    clean = streamed()
    found: Any = corrupted(clean, "labels", 0)
    members = torch.arange(10)
    assert torch.equal(found.epoch_order(members, 4), clean.epoch_order(members, 4))
    assert not hasattr(corrupted(both_kinds()[1], "labels", 0), "epoch_order")


def test_targets_of_any_form_are_permuted_whole():
    x = torch.arange(12.0).view(6, 2)
    y = {"box": torch.arange(6.0)[:, None], "kind": torch.arange(6)}
    tree = corrupted(TensorExamples(x, y), "labels", 0)
    [(_, found)] = tree.stream([torch.arange(6)])
    assert found["box"][:, 0].tolist() == found["kind"].tolist()
    assert sorted(found["kind"].tolist()) == list(range(6)) != found["kind"].tolist()
    # Of a data set that is read, they are read with the example that they are of.
    read = corrupted(MapExamples(Pairs(x, torch.arange(6.0))), "labels", 0)
    assert read.labels is None
    [(same, other)] = read.stream([torch.arange(6)])
    assert torch.equal(same, x)
    assert sorted(other.tolist()) == list(range(6)) != other.tolist()


def test_vectors_and_tokens_have_positions_too():
    x = torch.arange(20).view(4, 5)
    [(found, _)] = corrupted(TensorExamples(x, torch.arange(4)), "inputs", 0).stream(
        [torch.arange(4)]
    )
    assert [sorted(row) for row in found.tolist()] == x.tolist()


def test_what_cannot_be_corrupted_is_told():
    y = torch.arange(4)
    for x, told in (
        ({"a": torch.zeros(4, 2), "b": torch.zeros(4, 2)}, "tensors in a tuple, list or dict"),
        (torch.zeros(4, 1), "one value each"),
    ):
        with pytest.raises(PracError, match=told):
            corrupted(TensorExamples(x, y), "inputs", 0)
    stream = StreamExamples([(i, torch.zeros(2), torch.zeros(3)) for i in range(4)])
    with pytest.raises(PracError, match="are no classes"):
        corrupted(stream, "labels", 0)
