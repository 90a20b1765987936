"""Indexed examples and augmentation: both kinds give the same, and what a slow loop would give."""

import os
import random
import subprocess
import sys
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torch.utils.data import (
    DataLoader,
    Dataset,
    IterableDataset,
    WeightedRandomSampler,
    default_collate,
)

from prac.data import TensorExamples, as_examples
from prac.data.augment import Pipeline, channel_statistics, crop_and_flip, drawn
from prac.data.examples import class_counts
from prac.data.map_examples import LazyPairs, MapExamples
from prac.errors import PracError
from prac.training import Interrupted
from prac.utils import derive_seed

PIPELINE = Pipeline((0.4, 0.5), (0.2, 0.3), crop_padding=2, flip=True)
BATCHES = [torch.tensor([3, 1, 4]), torch.tensor([9, 0])]


class Pairs(Dataset):
    """A plain map-style dataset."""

    def __init__(self, x, y):
        self.x, self.y = x, y

    def __len__(self):
        return len(self.x)

    def __getitem__(self, index):
        return self.x[index], self.y[index]


def data(n=10, dtype=torch.uint8):
    draw = torch.Generator().manual_seed(1)
    x = torch.randint(256, (n, 2, 6, 5), generator=draw, dtype=torch.uint8)
    return x.to(dtype), torch.randint(4, (n,), generator=draw)


def both_kinds(pipeline=PIPELINE):
    x, y = data()
    names: dict[str, Any] = {"classes": ("cat", "dog")}
    return TensorExamples(x, y, pipeline, **names), MapExamples(Pairs(x, y), pipeline, **names)


@pytest.mark.parametrize("seeds", [None, (0, 1), (5, 5)])
def test_both_kinds_stream_the_same(seeds):
    tensors, pairs = both_kinds()
    assert len(tensors) == len(pairs) == 10
    for first, second in zip(
        tensors.stream(BATCHES, seeds=seeds), pairs.stream(BATCHES, seeds=seeds), strict=True
    ):
        assert torch.equal(first[0], second[0])
        assert torch.equal(first[1], second[1])


@pytest.mark.parametrize("kind", [0, 1])
def test_batches_hold_the_examples_of_their_indices(kind):
    x, y = data()
    (first, labels), (second, _) = both_kinds(Pipeline())[kind].stream(BATCHES)
    assert first.dtype == torch.float32
    assert torch.equal(first, x[[3, 1, 4]].float() / 255)
    assert torch.equal(labels, y[[3, 1, 4]])
    assert torch.equal(second, x[[9, 0]].float() / 255)


@pytest.mark.parametrize("kind", [0, 1])
def test_without_a_seed_nothing_is_augmented(kind):
    plain = Pipeline(PIPELINE.mean, PIPELINE.std)
    examples, unaugmented = both_kinds()[kind], both_kinds(plain)[kind]
    for got, expected in zip(examples.stream(BATCHES), unaugmented.stream(BATCHES), strict=True):
        assert torch.equal(got[0], expected[0])


@pytest.mark.parametrize("kind", [0, 1])
def test_a_seed_gives_its_own_augmentation_every_time(kind):
    examples = both_kinds()[kind]
    draws = [
        torch.cat([x for x, _ in examples.stream(BATCHES, seeds=seeds)])
        for seeds in ((0, 7), (0, 7), (1, 8))
    ]
    assert torch.equal(draws[0], draws[1])
    assert not torch.equal(draws[0], draws[2])
    assert not torch.equal(draws[0], torch.cat([x for x, _ in examples.stream(BATCHES)]))


@pytest.mark.parametrize("kind", [0, 1])
def test_each_batch_is_augmented_from_its_own_seed_wherever_the_stream_begins(kind):
    batch = torch.arange(10)
    examples = both_kinds()[kind]
    (first, _), (second, _) = examples.stream([batch, batch], seeds=[0, 1])
    assert not torch.equal(first, second)
    ((alone, _),) = examples.stream([batch], seeds=[1])
    assert torch.equal(alone, second)


def test_scoring_passes_take_the_unaugmented_set():
    x, y = data()
    examples = MapExamples(Pairs(255 - x, y), unaugmented=Pairs(x, y))
    ((trained_on, _),) = examples.stream([torch.tensor([2])], seeds=[0])
    ((scored, _),) = examples.stream([torch.tensor([2])])
    assert torch.equal(trained_on[0], (255 - x[2]).float() / 255)
    assert torch.equal(scored[0], x[2].float() / 255)
    assert examples.fingerprint == MapExamples(Pairs(x, y)).fingerprint


def test_source_indices_count_up_unless_told():
    x, y = data(3)
    assert TensorExamples(x, y).source_indices.tolist() == [0, 1, 2]
    told = torch.tensor([7, 2, 5])
    assert TensorExamples(x, y, source_indices=told).source_indices.tolist() == [7, 2, 5]
    assert MapExamples(Pairs(x, y), source_indices=told).source_indices.tolist() == [7, 2, 5]


@pytest.mark.parametrize("kind", [0, 1])
def test_moved_examples_are_the_same_examples(kind):
    examples = both_kinds()[kind]
    moved = examples.to(torch.device("meta" if kind == 0 else "cpu"))
    assert moved.fingerprint == examples.fingerprint
    assert moved.pipeline == examples.pipeline
    assert moved.classes == examples.classes == ("cat", "dog")
    assert moved.source_indices.tolist() == list(range(10))
    assert len(moved) == 10


@pytest.mark.parametrize("kind", ["tensors", "pairs"])
def test_the_fingerprint_changes_with_every_value_label_order_and_type(kind):
    def fingerprint(x, y):
        both = TensorExamples(x, y) if kind == "tensors" else MapExamples(Pairs(x, y))
        return both.fingerprint

    x, y = data()
    prints = [fingerprint(x, y)]
    assert prints[0] == fingerprint(x.clone(), y.clone())
    for position in [(0, 0, 0, 0), (5, 1, 3, 2), (9, 1, 5, 4)]:
        changed = x.clone()
        changed[position] ^= 1
        prints.append(fingerprint(changed, y))
    relabelled = y.clone()
    relabelled[9] += 1
    swapped = [1, 0, *range(2, 10)]
    prints += [
        fingerprint(x, relabelled),
        fingerprint(x[swapped], y[swapped]),
        fingerprint(x[:9], y[:9]),
        fingerprint(x.view(torch.int8), y),
        fingerprint(x, y.to(torch.float32)),
        fingerprint(x.transpose(2, 3).reshape(x.shape), y),
        fingerprint(x.view(10, 2, 5, 6), y),
    ]
    assert len(set(prints)) == len(prints)
    # A tensor of classes is held as int64, whichever integers it came as.
    assert (fingerprint(x, y.to(torch.int32)) == prints[0]) == (kind == "tensors")


def test_the_fingerprint_does_not_hang_on_the_layout_in_memory():
    x, y = data()
    strided = x.to(memory_format=torch.channels_last)
    assert TensorExamples(strided, y).fingerprint == TensorExamples(x, y).fingerprint


def test_a_large_map_style_set_is_fingerprinted_from_a_sample_with_both_ends():
    x = torch.zeros(5000, 1)
    y = torch.zeros(5000, dtype=torch.int64)
    fetched = []

    class Noting(Pairs):
        def __getitem__(self, index):
            fetched.append(index)
            return super().__getitem__(index)

    first = MapExamples(Noting(x, y)).fingerprint
    assert len(fetched) < 300
    assert {0, 4999} <= set(fetched)
    assert first != MapExamples(Pairs(torch.zeros(4999, 1), y[:4999])).fingerprint


def slowly_augmented(image, top, left, mirrored, padding):
    channels, height, width = image.shape
    padded = np.zeros((channels, height + 2 * padding, width + 2 * padding), image.dtype)
    padded[:, padding : padding + height, padding : padding + width] = image
    crop = padded[:, top : top + height, left : left + width]
    return crop[:, :, ::-1] if mirrored else crop


def augmented(images, padding, flip, *seeds):
    """Return images of as many equal batches as there are seeds, augmented."""
    sizes = [len(images) // len(seeds)] * len(seeds)
    return crop_and_flip(images, padding, flip, drawn(seeds, sizes, padding, images.device))


@given(
    n=st.integers(1, 6),
    height=st.integers(1, 5),
    width=st.integers(1, 5),
    padding=st.integers(0, 3),
    flip=st.booleans(),
    seed=st.integers(0, 2**40),
)
def test_augmentation_is_a_crop_of_each_padded_image_and_its_mirror(
    n, height, width, padding, flip, seed
):
    images = torch.arange(1, n * 2 * height * width + 1).view(n, 2, height, width)
    got = augmented(images, padding, flip, seed).numpy()
    draw = torch.Generator().manual_seed(derive_seed(seed, "augment"))
    tops = torch.randint(2 * padding + 1, (n, 1), generator=draw)[:, 0].tolist()
    lefts = torch.randint(2 * padding + 1, (n, 1), generator=draw)[:, 0].tolist()
    mirrors = (torch.rand(n, 1, generator=draw)[:, 0] < 0.5).tolist()
    for i in range(n):
        expected = slowly_augmented(
            images[i].numpy(), tops[i], lefts[i], flip and mirrors[i], padding
        )
        np.testing.assert_array_equal(got[i], expected)


def test_batches_are_augmented_together_as_they_are_alone():
    stored, _ = data()
    together = PIPELINE(stored, [3, 4], [2, len(stored) - 2])
    alone = [PIPELINE(stored[:2], [3]), PIPELINE(stored[2:], [4])]
    assert torch.equal(together, torch.cat(alone))


@pytest.mark.parametrize("at_once", [1, 100, 2**30])
def test_a_batch_does_not_depend_on_how_many_are_made_at_once(monkeypatch, at_once):
    batches = [torch.tensor(ids) for ids in ([0, 3], [2], [1, 4, 0], [3, 3])]
    x, y = data()
    examples = TensorExamples(x, y, PIPELINE)
    expected = [next(examples.stream([b], seeds=[s])) for s, b in enumerate(batches)]
    monkeypatch.setattr("prac.data.examples.BLOCK_BYTES", (at_once, at_once))
    found = list(examples.stream(batches, seeds=range(4)))
    assert len(found) == 4
    for (x, y), (same_x, same_y) in zip(found, expected, strict=True):
        assert torch.equal(x, same_x)
        assert torch.equal(y, same_y)


def test_every_shift_and_both_mirrors_occur():
    image = torch.zeros(1, 1, 3, 3, dtype=torch.uint8)
    image[0, 0, 1, 0] = 1
    seen = augmented(image.expand(2000, 1, 3, 3), 1, True, 0)
    where = {tuple(i[0].nonzero().flatten().tolist()) for i in seen}
    # The pixel moves by up to one each way; left of the edge it is gone; mirrored, it is right.
    assert where == {(r, c) for r in range(3) for c in range(3)} | {()}
    mirrored = augmented(image.expand(2000, 1, 3, 3), 0, True, 0)[:, 0, 1, 2].float()
    assert 0.45 < mirrored.mean() < 0.55


def test_zero_is_a_seed_like_any_other():
    stored, _ = data()
    assert not torch.equal(PIPELINE(stored, [0]), PIPELINE(stored))


def test_augmentation_leaves_the_caller_s_random_numbers_alone():
    state = torch.get_rng_state()
    PIPELINE(data()[0], [3])
    assert torch.equal(torch.get_rng_state(), state)


def test_normalisation_by_hand():
    stored = torch.tensor([[[[0, 255]], [[51, 102]]]], dtype=torch.uint8)
    values = Pipeline((0.5, 0.2), (0.5, 0.1))(stored)
    expected = torch.tensor([[[[-1.0, 1.0]], [[0.0, 2.0]]]])
    torch.testing.assert_close(values, expected)


def test_floats_are_taken_as_they_are_and_any_number_of_dimensions_normalised():
    stored = torch.tensor([[1.0, 20.0], [3.0, 40.0]], dtype=torch.float64)
    assert torch.equal(Pipeline()(stored), stored)
    expected = torch.tensor([[-1.0, -1.0], [1.0, 1.0]])
    for dtype in (torch.float32, torch.float64):
        torch.testing.assert_close(
            Pipeline((2.0, 30.0), (1.0, 10.0))(stored.to(dtype)), expected.to(dtype)
        )


@pytest.mark.parametrize(
    "dtype",
    [
        torch.float64,
        torch.float32,
        torch.float16,
        torch.bfloat16,
        torch.int64,
        torch.int32,
        torch.int8,
        torch.bool,
        torch.complex64,
    ],
    ids=str,
)
@pytest.mark.parametrize("seeds", [None, [0]])
def test_every_type_but_uint8_is_left_as_it_is(dtype, seeds):
    stored = torch.tensor([[0, 1, 100], [2, 3, 127]]).to(dtype)
    values = Pipeline()(stored, seeds)
    assert values.dtype == dtype
    assert torch.equal(values, stored)


def test_uint8_becomes_float32_from_0_to_1():
    stored = torch.arange(256, dtype=torch.uint8).view(64, 4)
    values = Pipeline()(stored)
    assert values.dtype == torch.float32
    assert torch.equal(values, torch.arange(256, dtype=torch.float32).view(64, 4) / 255)


@pytest.mark.parametrize("kind", ["tensors", "pairs"])
def test_token_ids_reach_the_network_as_integers(kind):
    x, y = torch.tensor([[5, 70000], [2**40, 0]]), torch.tensor([1, 0])
    examples = TensorExamples(x, y) if kind == "tensors" else MapExamples(Pairs(x, y))
    for seeds in (None, [3]):
        ((tokens, labels),) = examples.stream([torch.tensor([1, 0])], seeds=seeds)
        assert tokens.dtype == labels.dtype == torch.int64
        assert tokens.tolist() == [[2**40, 0], [5, 70000]]
        assert labels.tolist() == [0, 1]


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64])
@pytest.mark.parametrize("shape", [(6,), (6, 1), (3, 2), (2, 3, 1)])
def test_integer_targets_of_any_shape_become_int64(dtype, shape):
    values = torch.tensor([0, 1, 2, 3, 100, 5]).view(shape)
    examples = TensorExamples(torch.zeros(shape[0], 1), values.to(dtype))
    assert examples.y.dtype == torch.int64
    assert torch.equal(examples.y, values)
    assert (examples.labels is not None) == (len(shape) == 1)
    ((_, targets),) = examples.stream([torch.tensor([1])])
    assert targets.dtype == torch.int64
    assert torch.equal(targets, values[[1]])


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.float16, torch.bool])
def test_other_targets_are_left_as_they_are(dtype):
    y = torch.tensor([[0, 1], [1, 1]]).to(dtype)
    examples = TensorExamples(torch.zeros(2, 1), y)
    assert examples.y.dtype == dtype
    assert torch.equal(examples.y, y)
    assert TensorExamples(torch.zeros(2, 1), y[:, 0]).labels is None


def held(data) -> TensorExamples:
    examples = as_examples(data)
    assert isinstance(examples, TensorExamples)
    return examples


def test_numpy_s_float64_becomes_float32_and_its_int32_classes_int64():
    rows = np.array([[1.5, 2.25], [-0.5, 1e-3]])
    examples = held((rows, np.array([1, 0], dtype=np.int32)))
    assert examples.x.dtype == torch.float32
    assert examples.y.dtype == torch.int64
    np.testing.assert_array_equal(examples.x.numpy(), rows.astype(np.float32))
    assert examples.labels.tolist() == [1, 0]
    # Targets of a regression are to meet the network's float32 as well.
    assert held((rows, rows[:, 0])).y.dtype == torch.float32
    # Other types say what is meant.
    for dtype in (np.float32, np.float16, np.uint8, np.int64):
        assert held((rows.astype(dtype), [0, 1])).x.numpy().dtype == dtype


def test_a_tensor_s_type_is_the_caller_s_choice():
    x, y = torch.rand(3, 2, dtype=torch.float64), torch.rand(3, dtype=torch.float64)
    examples = held((x, y))
    assert examples.x.dtype == examples.y.dtype == torch.float64
    ((inputs, targets),) = examples.stream([torch.tensor([2, 0])])
    assert inputs.dtype == targets.dtype == torch.float64
    assert torch.equal(inputs, x[[2, 0]])


@pytest.mark.parametrize("chunk", [1, 3, 100])
def test_channel_statistics_are_numpy_s(chunk):
    x = data(7)[0]
    for stored, scale in [(x, 255), (x.float(), 1), (x[:, :, 0, 0], 255)]:
        values = stored.double().numpy() / scale
        axes = tuple(i for i in range(values.ndim) if i != 1)
        mean, std = channel_statistics(stored, chunk)
        np.testing.assert_allclose(mean, values.mean(axes), rtol=1e-9)
        np.testing.assert_allclose(std, values.std(axes), rtol=1e-6)


def test_a_channel_without_spread_is_divided_by_one():
    stored = torch.full((4, 1, 2, 2), 51, dtype=torch.uint8)
    mean, std = channel_statistics(stored)
    assert mean == pytest.approx((0.2,))
    assert std == (1.0,)


def test_data_of_each_kind_becomes_examples():
    x, y = data()
    assert isinstance(as_examples((x, y)), TensorExamples)
    assert isinstance(as_examples((x.numpy(), y.numpy())), TensorExamples)
    assert isinstance(as_examples([(x[0], 1), (x[1], 0)]), MapExamples)
    assert isinstance(as_examples(Pairs(x, y)), MapExamples)
    examples = TensorExamples(x, y)
    assert as_examples(examples) is examples


def test_an_examples_protocol_of_one_s_own_is_taken_as_it_is():
    class Own:
        fingerprint = "f"
        source_indices = torch.arange(1)

        def stream(self, batches, *, seeds=None):
            return iter(())

    own: Any = Own()
    assert as_examples(own) is own


def test_lazy_pairs_are_the_chosen_ones():
    x, y = data()
    chosen = LazyPairs(list(x), y, torch.tensor([4, 2]))
    assert len(chosen) == 2
    assert torch.equal(chosen[0][0], x[4])
    assert chosen[1][1] == y[2]


class Endless:
    def __getitem__(self, index):
        return torch.zeros(1), 0


class Rows(Pairs):
    def __getitem__(self, index):
        return {"image": self.x[index], "kind": self.y[index]}


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: TensorExamples(torch.zeros(3), torch.zeros(2)), "3 inputs but 2 targets"),
        (lambda: TensorExamples(torch.zeros(0), torch.zeros(0)), "the data set is empty"),
        (lambda: MapExamples([]), "the data set is empty"),  # type: ignore[arg-type]
        (lambda: MapExamples(Endless()), "the data set has no length"),  # type: ignore[arg-type]
        (lambda: as_examples(3), "the data set is an int: expected a map-style dataset"),
        (
            lambda: as_examples(Rows(*data())),
            "example 0 .* is a mapping of 'image', 'kind'",
        ),
        (
            lambda: as_examples(Pairs([object()], [1])),
            "x of example 0 .* is an object: expected a te",
        ),
        (lambda: as_examples(Pairs([1.0], ["cat"])), "y of example 0 of the data set is a str"),
        (
            lambda: MapExamples(Pairs(*data()), unaugmented=Pairs(*data(9))),
            "the unaugmented data set has 9 examples, the training set 10",
        ),
        (
            lambda: MapExamples(Pairs(*data()), source_indices=torch.arange(9)),
            "10 examples but 9 source indices",
        ),
    ],
)
def test_data_that_cannot_be_used_is_refused(make, message):
    with pytest.raises(PracError, match=message):
        make()


class Stream(IterableDataset):
    def __iter__(self):
        return iter([(torch.zeros(1), 0)])


class SizedStream(Stream):
    def __len__(self):
        return 1


class Unmeasured(Pairs):
    def __len__(self):
        raise ValueError("not yet")


def frame():
    return type("DataFrame", (), {"__getitem__": lambda self, name: 0, "__len__": lambda self: 3})()


X, Y = data()
MISTAKEN: dict[str, tuple[Any, str]] = {
    "stream": (Stream(), "the data set is a Stream without a length: a stream is trained on where"),
    "sized stream": (SizedStream(), "the example at place 0 of the data set carries no id"),
    "generator": (
        (pair for pair in ()),
        "the data set is a generator: .*collect its examples",
    ),
    "loader": (
        DataLoader(Pairs(X, Y), sampler=WeightedRandomSampler([1.0] * 10, 10)),
        "the data set is a DataLoader with a WeightedRandomSampler of its own: which examples come",
    ),
    "class": (Pairs, "the data set is a type: .*pass an object of the class Pairs, not the class"),
    "list of arrays": (
        [X.numpy(), Y.numpy()],
        r"a list: .*pass a tuple \(x, y\) instead of a list",
    ),
    "three tensors": (
        (X, Y, Y),
        r"a tuple: .*pass a tuple \(x, y\) instead of a tuple of 3 arrays",
    ),
    "inputs alone": (X, r"the data set is a Tensor: .*pass \(x, y\), inputs and targets"),
    "array alone": (X.numpy(), r"the data set is an ndarray: .*pass \(x, y\), inputs and targets"),
    "frame": (frame(), r"the data set is a DataFrame: .*made an array by to_numpy"),
    "splits": ({"train": Pairs(X, Y)}, "the data set is a dict: .*load the examples first"),
    "no target among arrays": (
        {"a": X, "b": Y},
        "the data set is a dict: .*name the targets among its arrays by one of 'labels', 'label'",
    ),
    "list of inputs": (
        ({"a": X, "b": [X, X]}, Y),
        r"x\['b'\] of .* has 2 rows, .* a list holds one part an example, a tuple an input each",
    ),
    "name": ("digits", "the data set is a str: .*load the examples first"),
    "nothing": (None, "the data set is a NoneType: expected a map-style dataset"),
    "length": (Unmeasured(X, Y), r"len\(\) of the data set raises ValueError: not yet: expected a"),
    "no targets": ((X, None), r"y of the data set \(x, y\) is a NoneType that torch does not take"),
    "words": ((X, ["a"] * 10), r"y of the data set \(x, y\) is a list that torch does not take"),
    "unequal parts": (
        ({"a": X, "b": X[:3]}, Y),
        r"x\['b'\] of the data set has 3 rows, x\['a'\] 10",
    ),
    "two pairs": (
        ((X[0], X[1]), (X[2], X[3])),
        "x of the data set is a tuple of 2 parts, and so is y",
    ),
    "rows or inputs": (
        (torch.zeros(4, 4).unbind(), torch.zeros(4)),
        "x of the data set is a tuple of 4 parts with 4 rows each, for 4 examples: pass a list",
    ),
    "unequal tensors": (
        ([X[0], X[1, :1]], Y[:2]),
        r"x of the data set \(x, y\) is a list that torch does not take \(its part 1 is",
    ),
    "numbers": ((3, 4), r"x of the data set is a number: expected a tensor \(n, ...\)"),
}


@pytest.mark.parametrize("kind", MISTAKEN)
def test_what_is_no_data_set_of_pairs_is_refused_with_a_remedy(kind):
    given, message = MISTAKEN[kind]
    with pytest.raises(PracError, match=message) as error:
        as_examples(given)
    assert "\n" not in str(error.value)


UNSENT = """
import multiprocessing
import torch
from prac import PracError
from prac.data import MapExamples

def local():
    class Local(list):
        pass
    return Local([(torch.zeros(1), 0)] * 4)

if __name__ == "__main__":
    multiprocessing.set_start_method("spawn")
    try:
        list(MapExamples(local(), workers=1).stream([torch.arange(4)]))
    except PracError as error:
        print(error)
"""


class Oddly(Dataset):
    """Like others but for one example."""

    def __init__(self, example, at=0):
        self.example, self.at = example, at

    def __len__(self):
        return 20

    def __getitem__(self, index):
        return self.example if index == self.at else (torch.zeros(2), 1)


NO_PAIRS: list[tuple[Any, str]] = [
    ((torch.zeros(2), None), r"y of example {} of the data set is a NoneType: expected a tensor"),
    ((torch.zeros(2), "cat"), r"y of example {} of the data set is a str: expected a tensor"),
    (
        (np.array(["a"]), 1),
        r"x of example {} of the data set is an ndarray that torch does not take",
    ),
    (
        (np.ma.array([1.0, 2.0], mask=[False, True]), 1),
        r"x of example {} .* \(it has masked values\): fill",
    ),
    ((torch.zeros(2), 1, 2), r"example {} of the data set is a tuple of 3 parts: expected a pair"),
    ({"a": 1, "b": 2}, r"example {} of the data set is a mapping of 'a', 'b': expected a target"),
    ({"y": 1, "label": 2}, r"example {} of the data set is a mapping of 'y', 'label': expected a"),
    (None, r"example {} of the data set is a NoneType: expected a pair"),
    (torch.zeros(2), r"example {} of the data set is a Tensor: expected a pair"),
]


@pytest.mark.parametrize("at", [0, 12])
@pytest.mark.parametrize(("example", "message"), NO_PAIRS)
def test_an_example_that_is_no_pair_is_named(example, message, at):
    with pytest.raises(PracError, match=message.format(at)):
        list(MapExamples(Oddly(example, at)).stream([torch.arange(20)]))
    with pytest.raises(PracError, match=message.format(at)):
        assert MapExamples(Oddly(example, at)).fingerprint


SPARSE = torch.tensor([1.0, 0.0]).to_sparse()
NOT_DENSE: list[tuple[Any, str]] = [
    (SPARSE, "a tensor of layout torch.sparse_coo"),
    (torch.zeros(2).to_mkldnn(), "a tensor of layout torch._mkldnn"),
    (torch.zeros(2, device="meta"), "a tensor on the device 'meta', without values"),
]


@pytest.mark.parametrize("at", [0, 12])
@pytest.mark.parametrize(("x", "told"), NOT_DENSE)
def test_a_tensor_that_is_not_dense_is_told_in_one_line(x, told, at):
    expected = f"x of example {at} of the data set is {told}: expected a dense tensor with values"
    with pytest.raises(PracError, match=f"^{expected}; convert it in the data set's transform"):
        list(MapExamples(Oddly((x, 1), at)).stream([torch.arange(20)]))
    with pytest.raises(PracError, match=expected):
        assert MapExamples(Oddly((x, 1), at)).fingerprint


def test_a_nested_tensor_is_told_in_one_line():
    layout: Any = torch.jagged
    nested = torch.nested.nested_tensor([torch.zeros(2), torch.zeros(3)], layout=layout)
    with pytest.raises(PracError, match=r"x of example 0 .* is a tensor of layout torch.jagged"):
        MapExamples(Oddly((nested, 1)))


def test_a_pair_of_tensors_that_are_not_dense_is_told_in_one_line():
    x = torch.eye(4).to_sparse()
    with pytest.raises(PracError, match=r"^x of the data set is a tensor of layout torch.sp"):
        as_examples((x, torch.arange(4)))
    with pytest.raises(PracError, match=r"^x of the data set is a tensor of layout torch.sp"):
        TensorExamples(x, torch.arange(4))


SETS: list[tuple[Any, str]] = [
    (3, "^{} is an int: expected a map-style"),
    ([], "^{} is empty"),
    ((torch.zeros(3), torch.zeros(2)), "^{} has 3 inputs but 2 targets"),
    ((torch.zeros(0), torch.zeros(0)), "^{} is empty"),
    (({}, torch.zeros(2)), "^x of {} is an empty dict: expected tensors"),
    ((3, 4), "^x of {} is a number"),
    (Oddly((torch.zeros(3), 1), 12), "^x of example 12 of {} is torch.float32 of shape"),
    (MapExamples(Oddly((torch.zeros(3), 1), 12)), "^x of example 12 of {} is torch.float32"),
]


@pytest.mark.parametrize(("given", "message"), SETS)
@pytest.mark.parametrize("seeds", [None, [0]])
def test_what_is_wrong_is_told_with_the_set_that_it_is_in(given, message, seeds):
    name = "the validation data"
    with pytest.raises(PracError, match=message.format(name)):
        list(as_examples(as_examples(given, name), name).stream([torch.arange(20)], seeds=seeds))


def test_the_unaugmented_set_is_named_with_the_set_that_it_is_of():
    examples = MapExamples(Oddly((torch.zeros(2), 1)), unaugmented=Oddly(None, 12))
    with pytest.raises(PracError, match=r"^example 12 of the unaugmented test data is a NoneTy"):
        list(as_examples(examples, "the test data").stream([torch.arange(20)]))
    with pytest.raises(PracError, match=r"^example 12 of the unaugmented data set is a NoneTy"):
        list(as_examples(examples).stream([torch.arange(20)]))


OTHERS: list[tuple[Any, str]] = [
    (
        (torch.zeros(3), 1),
        r"x of example 12 .* is torch.float32 of shape \(3,\), that of example 0 ",
    ),
    ((torch.zeros(1, 2), 1), r"x of example 12 .* of shape \(1, 2\), that of example 0 .* \(2,\)"),
    # Stacked, bytes would be taken for floats: 255 for white among those with 1 for white.
    ((torch.zeros(2, dtype=torch.uint8), 1), r"x of example 12 .* is torch.uint8 of shape"),
    ((torch.zeros(2), torch.ones(1)), r"y of example 12 .* is torch.float32 of shape \(1,\)"),
    (
        (torch.zeros(2), 1.5),
        r"y of example 12 .* is torch.float64 of shape \(\), that of example 0",
    ),
    ((torch.zeros(2), True), r"y of example 12 .* is torch.bool of shape \(\), that of example 0"),
]


@pytest.mark.parametrize(("example", "message"), OTHERS)
def test_an_example_unlike_the_first_is_told_with_both(example, message):
    with pytest.raises(PracError, match=message):
        list(MapExamples(Oddly(example, 12)).stream([torch.arange(10), torch.arange(10, 20)]))
    with pytest.raises(PracError, match=message):
        assert MapExamples(Oddly(example, 12)).fingerprint


def test_augmented_examples_are_alike_within_a_batch():
    # They may have another size than without augmentation, but one that can be stacked.
    larger = Pairs(torch.zeros(20, 5), torch.zeros(20, dtype=torch.int64))
    ((x, _),) = MapExamples(larger, unaugmented=Clean()).stream([torch.arange(3)], seeds=[0])
    assert x.shape == (3, 5)
    odd = MapExamples(Oddly((torch.zeros(3), 1), 12), unaugmented=Clean(), workers=1)
    with pytest.raises(PracError, match=r"x of example 12 of the data set .* that of example 9 "):
        list(odd.stream([torch.tensor([9, 12])], seeds=[0]))


@pytest.mark.parametrize("workers", [0, 1])
@pytest.mark.parametrize(
    "label", [1, np.int64(1), np.int32(1), torch.tensor(1), torch.tensor(1, dtype=torch.uint8)]
)
def test_labels_may_be_integers_of_several_kinds(label, workers):
    examples = MapExamples(Oddly((torch.zeros(2), label), 12), workers=workers)
    ((_, y),) = examples.stream([torch.tensor([12, 3])])
    assert y.dtype == torch.int64
    assert y.tolist() == [1, 1]


@pytest.mark.parametrize(
    "value", [1, 1.5, True, np.float32(2), np.float64(2), np.int16(2), np.bool_(True), np.ones(2)]
)
def test_batches_are_what_torch_s_collation_makes_of_them_but_for_the_width_of_integers(value):
    rows = [(torch.zeros(2), value)] * 3
    ((_, y),) = MapExamples(rows).stream([torch.arange(3)])  # type: ignore[arg-type]
    expected = default_collate(rows)[1]
    if expected.dtype == torch.int16:  # Which losses do not take.
        expected = expected.long()
    assert y.dtype == expected.dtype
    assert torch.equal(y, expected)


@pytest.mark.parametrize("first", [np.int8, np.int32, np.int64, np.uint8, np.uint32, int])
@pytest.mark.parametrize("then", [np.int16, np.int64, np.uint64, int, torch.tensor])
def test_classes_of_any_width_beside_each_other_are_int64(first, then):
    rows = [(torch.zeros(2), kind(2)) for kind in (first, then, first, first)]
    ((_, y),) = MapExamples(rows).stream([torch.arange(4)])  # type: ignore[arg-type]
    assert y.dtype == torch.int64
    assert y.tolist() == [2] * 4


def test_source_indices_are_positions_one_an_example():
    for positions in (torch.arange(9), torch.arange(10.0), torch.arange(10) - 1):
        with pytest.raises(PracError, match=r"source.indices"):
            TensorExamples(X, Y, source_indices=positions)
        with pytest.raises(PracError, match=r"source.indices"):
            MapExamples(Pairs(X, Y), source_indices=positions)


def test_fewer_than_no_workers_are_refused():
    with pytest.raises(PracError, match="workers is -1: expected at least 0"):
        MapExamples(Pairs(X, Y), workers=-1)


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        (Y, Y),
        (Y.to(torch.int32), Y),
        (Y.float(), None),
        (Y[:, None], None),
        (Y[:9], None),
        (Y.tolist(), Y),
    ],
)
def test_a_data_set_s_labels_are_its_classes_or_are_left(labels, expected):
    pairs: Any = Pairs(X, Y)
    pairs.labels = labels
    found = MapExamples(pairs).labels
    assert found is expected or (found.dtype == torch.int64 and torch.equal(found, expected))


@pytest.mark.parametrize(
    "change",
    [
        lambda y: y + 1,
        lambda y: y.flip(0),
        lambda y: torch.where(torch.arange(len(y)) == len(y) - 1, y + 1, y),
    ],
)
def test_labels_that_are_not_the_examples_own_are_left(change):
    pairs: Any = Pairs(X, Y)
    pairs.labels = change(Y)
    assert MapExamples(pairs).labels is None
    assert MapExamples(pairs).to(torch.device("cpu")).labels is None
    assert class_counts(MapExamples(pairs)) is None


@pytest.mark.parametrize(
    "y", [nn.functional.one_hot(Y), Y.float(), Y[:, None], Y > 0, torch.stack([Y, Y], 1)]
)
def test_labels_are_left_where_examples_have_other_targets(y):
    pairs: Any = Pairs(X, y)
    pairs.labels = Y
    assert MapExamples(pairs).labels is None


def test_labels_of_classes_transformed_on_the_way_are_left():
    class Transformed(Pairs):
        labels = Y

        def __getitem__(self, index):
            return self.x[index], (int(self.y[index]) + 1) % 4

    class Broken(Pairs):
        @property
        def labels(self):
            raise RuntimeError("not downloaded")

    assert MapExamples(Transformed(X, Y)).labels is None
    assert MapExamples(Broken(X, Y)).labels is None


def test_the_labels_of_prac_s_own_pictures_are_taken_without_a_look():
    seen = []

    class Unread:
        def __getitem__(self, index):
            seen.append(index)
            return torch.zeros(1, 2, 2, dtype=torch.uint8)

    examples = MapExamples(LazyPairs(Unread(), torch.arange(20), torch.arange(20)))
    assert examples.labels is not None
    assert examples.labels.tolist() == list(range(20))
    assert set(seen) == {0, 2, 5, 8, 10, 13, 16, 19}, "those that are to be the same each time"


class Failing(Dataset):
    """Raises what it is given at an example."""

    def __init__(self, make, cause=False, at=7):
        self.make, self.cause, self.at = make, cause, at

    def __len__(self):
        return 20

    def __getitem__(self, index):
        if index == self.at:
            if self.cause:
                try:
                    os.stat("/nowhere/at/all")
                except OSError as error:
                    raise self.make() from error
            raise self.make()
        return torch.zeros(1), 0


def refused():
    return PracError("/data/cat.png: cannot be read: it is no image")


def gone():
    return FileNotFoundError(2, "No such file or directory", "/data/cat.png")


class TestErrorsInLoading:
    """What a data set raises, in this process or a worker."""

    # Few cases: torch may wait five seconds for each worker of a loader that has failed.
    @pytest.mark.parametrize(
        ("workers", "cause", "seeds"),
        [(0, False, (0, 1)), (0, True, None), (1, False, None), (1, True, (0, 1))],
    )
    def test_a_refusal_is_its_own_one_line(self, workers, cause, seeds):
        # Without the checks at the start, that fetch the first few examples.
        examples = MapExamples(Failing(refused, cause), unaugmented=Clean(), workers=workers)
        examples.unaugmented = examples.dataset
        with pytest.raises(PracError) as error:
            list(examples.stream([torch.arange(5), torch.arange(5, 10)], seeds=seeds))
        assert str(error.value) == "/data/cat.png: cannot be read: it is no image"
        assert type(error.value) is PracError

    @pytest.mark.parametrize("workers", [0, 1])
    def test_any_other_error_is_one_line_that_names_the_example(self, workers):
        examples = MapExamples(Failing(Odd), unaugmented=Clean(), workers=workers)
        with pytest.raises(PracError) as error:
            list(examples.stream([torch.arange(5, 10)], seeds=[0]))
        assert str(error.value) == (
            "example 7 of the data set raises Odd: odd: mend it in the data set, or leave the "
            "example out with torch.utils.data.Subset"
        )
        # For whoever looks for the cause: as it was raised, or the process's own traceback.
        cause = error.value.__cause__
        assert isinstance(cause, Odd if workers == 0 else PracError)
        assert workers == 0 or "raise self.make()" in str(cause)

    @pytest.mark.parametrize(
        ("make", "told"),
        [
            (lambda: KeyError("cat"), "KeyError: 'cat'"),
            (lambda: OSError(5, "Input/output error", "a.png"), r"OSError: \[Errno 5\] .*'a.png'"),
            (lambda: ValueError("one\ntwo"), "ValueError: one two"),
            (lambda: ZeroDivisionError(), "ZeroDivisionError"),
            (lambda: IndexError("out of range"), "IndexError: out of range"),
            (lambda: StopIteration(), "StopIteration"),
            (lambda: RuntimeError("odd"), "RuntimeError: odd"),
        ],
    )
    @pytest.mark.parametrize("seeds", [None, [0, 1]])
    def test_whatever_is_raised_in_a_pass_is_told_with_its_type_and_text(self, make, told, seeds):
        examples = MapExamples(Failing(make, at=12))
        with pytest.raises(PracError, match=f"^example 12 of the data set raises {told}: mend"):
            list(examples.stream([torch.arange(10), torch.arange(10, 20)], seeds=seeds))

    @pytest.mark.parametrize("workers", [0, 1])
    def test_what_the_system_does_not_read_is_still_an_error_of_it(self, workers):
        # A comparison stops at those, and goes on after what fails in one of its searches.
        examples = MapExamples(Failing(gone), unaugmented=Clean(), workers=workers)
        with pytest.raises(PracError, match=r"^example 7 of the data set raises FileNotF") as error:
            list(examples.stream([torch.arange(5, 10)], seeds=[0]))
        assert isinstance(error.value, OSError)
        assert "\n" not in str(error.value)

    @pytest.mark.parametrize("at", [0, 3, 19])
    def test_it_is_told_at_the_first_look_and_in_the_fingerprint(self, at):
        with pytest.raises(PracError, match=f"^example {at} of the data set raises Odd: odd"):
            assert MapExamples(Failing(Odd, at=at)).fingerprint

    def test_the_unaugmented_set_is_named(self):
        with pytest.raises(PracError, match=r"^example 5 of the unaugmented data set raises Odd"):
            MapExamples(Clean(), unaugmented=Failing(Odd, at=5))

    @pytest.mark.parametrize(
        "make",
        [
            lambda: KeyboardInterrupt(),
            lambda: Interrupted("SIGTERM"),
            lambda: MemoryError("too large"),
            lambda: RuntimeError("DefaultCPUAllocator: can't allocate memory"),
        ],
    )
    def test_requests_to_stop_and_want_of_memory_stay_what_they_are(self, make):
        examples = MapExamples(Failing(make, at=12))
        with pytest.raises(type(make())) as error:
            list(examples.stream([torch.arange(20)]))
        assert str(error.value) == str(make())

    @pytest.mark.parametrize("workers", [0, 1])
    @pytest.mark.parametrize("seeds", [None, [0]])
    def test_of_a_batch_that_is_fetched_as_a_whole_the_broken_one_is_named(self, workers, seeds):
        examples = MapExamples(Whole(Odd), unaugmented=Whole(Odd, at=99), workers=workers)
        examples.unaugmented = examples.dataset
        with pytest.raises(PracError, match=r"^example 7 of the data set raises Odd: odd: mend"):
            list(examples.stream([torch.tensor([4, 7, 2])], seeds=seeds))

    def test_what_only_a_whole_batch_raises_is_told_with_its_examples(self):
        class Fussy(Clean):
            def __getitems__(self, indices):
                if len(indices) > 1:
                    raise Odd
                return [self[i] for i in indices]

        with pytest.raises(
            PracError,
            match="__getitems__ of the data set raises Odd: odd for the examples 4, 2 together",
        ):
            list(MapExamples(Fussy()).stream([torch.tensor([4, 2])]))

    def test_a_whole_batch_has_an_example_for_each_index(self):
        class Short(Clean):
            def __getitems__(self, indices):
                return [self[i] for i in indices[1:]]

        with pytest.raises(PracError, match="gives 1 examples for 2 indices: expected one for ea"):
            list(MapExamples(Short()).stream([torch.tensor([4, 2])]))

    def test_subsets_and_concatenations_of_torch_are_seen_through(self):
        subset = torch.utils.data.Subset(Failing(Odd, at=12), range(5, 20))
        with pytest.raises(PracError, match="example 7 of the data set raises Odd: odd"):
            list(MapExamples(subset).stream([torch.tensor([1, 7])]))

    def test_what_cannot_be_sent_to_a_process_is_told(self, tmp_path):
        # As where processes are started anew: macOS, and Linux from Python 3.14 on.
        script = tmp_path / "local.py"
        script.write_text(UNSENT)
        done = subprocess.run([sys.executable, script], capture_output=True, text=True)
        assert done.stdout.startswith("the data set cannot be sent to a loading process (")
        assert "Traceback" not in done.stderr

    def test_a_loading_process_that_ends_is_told(self):
        examples = MapExamples(Dying(), workers=1)
        with pytest.raises(PracError, match=r"a loading process ended .* exited unex.*fewer work"):
            list(examples.stream([torch.arange(20)]))


class Odd(ValueError):
    def __init__(self, message="odd"):
        super().__init__(message)


class Whole(Failing):
    def __getitems__(self, indices):
        return [self[i] for i in indices]


class Dying(Dataset):
    """Ends the process that it is loaded in, if that is not the tests' own."""

    def __init__(self):
        self.home = os.getpid()

    def __len__(self):
        return 20

    def __getitem__(self, index):
        if os.getpid() != self.home:
            os._exit(3)
        return torch.zeros(1), 0


class Clean(Dataset):
    def __len__(self):
        return 20

    def __getitem__(self, index):
        return torch.zeros(1), 0


class TestAugmentingDatasets:
    """A dataset that augments by itself: told, not guessed; and the same again on resuming."""

    class Noisy(Dataset):
        def __init__(self, draw):
            self.draw = draw

        def __len__(self):
            return 12

        def __getitem__(self, index):
            return torch.tensor([float(index), self.draw()]), index % 3

    class Plain(Dataset):
        def __len__(self):
            return 12

        def __getitem__(self, index):
            return torch.tensor([float(index), 0.0]), index % 3

    def test_it_is_refused_without_its_plain_twin(self):
        with pytest.raises(PracError, match=r"another one each time.*unaugmented=plain"):
            MapExamples(self.Noisy(random.random))

    @pytest.mark.parametrize(
        "draw",
        [random.random, np.random.rand, lambda: float(torch.rand(()))],
        ids=["python", "numpy", "torch"],
    )
    def test_it_augments_alike_from_the_same_seeds_only(self, draw):
        batches = [torch.arange(6), torch.arange(6, 12)]
        first = self.drawn(draw, 0, batches, (5, 6))
        assert torch.equal(first, self.drawn(draw, 0, batches, (5, 6)))
        assert len(first.unique()) == 12
        assert not torch.equal(first, self.drawn(draw, 0, batches, (5, 7)))
        # Whichever process loads it, and whatever came before it.
        assert torch.equal(first, self.drawn(draw, 2, batches, (5, 6)))
        assert torch.equal(first[6:], self.drawn(draw, 0, batches[1:], (6,)))
        assert torch.equal(self.drawn(draw, 0, batches, None), torch.zeros(12))

    def drawn(self, draw, workers, batches, seeds):
        examples = MapExamples(self.Noisy(draw), unaugmented=self.Plain(), workers=workers)
        before = random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state()  # type: ignore[index]
        values = torch.cat([x[:, 1] for x, _ in examples.stream(batches, seeds=seeds)])
        assert (random.getstate(), np.random.get_state()[1].tolist()) == before[:2]  # type: ignore[index]
        assert torch.equal(torch.get_rng_state(), before[2])
        return values

    def test_a_dataset_that_fetches_whole_batches_is_asked_for_them(self):
        asked = []

        class Whole(TestAugmentingDatasets.Noisy):
            def __getitems__(self, indices):
                asked.append(indices)
                return [self[i] for i in indices]

        examples = MapExamples(Whole(random.random), unaugmented=self.Plain())
        ((x, _),) = examples.stream([torch.tensor([4, 2])], seeds=[5])
        assert asked == [[4, 2]]
        assert x[:, 0].tolist() == [4.0, 2.0]


def test_a_loading_process_whose_parent_is_gone_ends():
    script = "from prac.data.workers import _follow; _follow({}, 0); print('goes on')"
    for parent, expected in (("__import__('os').getppid()", "goes on\n"), ("2**22 + 1", "")):
        command = [sys.executable, "-c", script.format(parent)]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        assert done.stdout == expected
