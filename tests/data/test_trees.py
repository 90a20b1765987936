"""Inputs and targets in mappings, tuples and lists: read, stacked, padded, taken from loaders."""

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn.utils.rnn import pad_sequence
from torch.utils.data import (
    BatchSampler,
    DataLoader,
    Dataset,
    IterableDataset,
    RandomSampler,
    SequentialSampler,
    Subset,
    default_collate,
)

from prac.data import MapExamples, TensorExamples, are_images, as_examples, pixels_of
from prac.data.streams import StreamExamples
from prac.errors import PracError
from prac.utils import Tree, leaves, mapped, named_leaves

N = 12
IDS = torch.arange(N * 3).view(N, 3)
WEIGHTS = torch.linspace(0, 1, N)
LABELS = torch.arange(N) % 4
LENGTHS = [1 + i % 5 for i in range(N)]


class Listed(Dataset):
    """Examples given by a function of their index."""

    def __init__(self, example, count=N):
        self.example, self.count = example, count

    def __len__(self):
        return self.count

    def __getitem__(self, index):
        return self.example(index)


def row(index):
    return {"ids": IDS[index], "more": (WEIGHTS[index], [float(index)]), "labels": LABELS[index]}


def padded(examples):
    """A batch of token lists of several lengths, padded to the longest."""
    tokens = pad_sequence([torch.tensor(one["tokens"]) for one in examples], batch_first=True)
    return {
        "tokens": tokens,
        "mask": tokens != 0,
        "labels": torch.tensor([one["label"] for one in examples]),
    }


def sentence(index):
    return {"tokens": [7 + index] * LENGTHS[index], "label": index % 2}


def same(first: Tree, second: Tree) -> bool:
    """Say whether two trees hold equal tensors in the same places."""
    a, b = dict(named_leaves(first)), dict(named_leaves(second))
    return a.keys() == b.keys() and all(torch.equal(a[place], b[place]) for place in a)


@settings(max_examples=25)
@given(st.lists(st.integers(0, N - 1), min_size=1, max_size=9))
def test_arrays_and_data_sets_of_mappings_stream_the_same(ids):
    batch = torch.tensor(ids)
    held = as_examples(
        {"ids": IDS, "more": (WEIGHTS, [[float(i)] for i in range(N)]), "labels": LABELS}
    )
    assert isinstance(held, TensorExamples)
    ((x, y),) = held.stream([batch])
    assert torch.equal(x["ids"], IDS[batch])
    assert torch.equal(x["more"][0], WEIGHTS[batch])
    assert torch.equal(x["more"][1], batch[:, None].float())
    assert torch.equal(y, LABELS[batch])
    read = as_examples(Listed(row))
    ((read_x, read_y),) = read.stream([batch])
    assert torch.equal(read_x["ids"], x["ids"])
    assert torch.equal(read_x["more"][0], x["more"][0])
    assert torch.equal(read_x["more"][1].float(), x["more"][1])
    assert torch.equal(read_y, y)
    assert same(
        (read_x, read_y),
        (lambda b: ({n: b[n] for n in ("ids", "more")}, b["labels"]))(
            default_collate(
                [
                    {**row(i), "more": (row(i)["more"][0], torch.tensor(row(i)["more"][1]))}
                    for i in ids
                ]
            )
        ),
    )


def test_targets_may_be_trees_and_their_integers_are_int64():
    data = Listed(lambda i: (IDS[i], {"box": (WEIGHTS[i], np.int32(i)), "kind": np.int8(i % 3)}))
    ((_, y),) = as_examples(data).stream([torch.tensor([5, 2])])
    assert y["box"][1].dtype == y["kind"].dtype == torch.int64
    assert torch.equal(y["box"][1], torch.tensor([5, 2]))
    assert torch.equal(y["box"][0], WEIGHTS[[5, 2]])
    assert as_examples(data).labels is None


@pytest.mark.parametrize("name", ["label", "labels", "target", "targets", "y"])
def test_the_target_of_a_mapping_is_found_by_its_usual_names(name):
    data = Listed(lambda i: {"x": IDS[i], name: LABELS[i]})
    ((x, y),) = as_examples(data).stream([torch.tensor([3])])
    assert x.keys() == {"x"}
    assert y.tolist() == [3]


def test_the_target_of_a_mapping_may_be_named():
    named = MapExamples(Listed(lambda i: {"x": IDS[i], "y": LABELS[i], "kind": i}), target="kind")
    ((x, y),) = named.stream([torch.tensor([9])])
    assert x.keys() == {"x", "y"}
    assert y.tolist() == [9]
    with pytest.raises(PracError, match=r"mapping of 'x', 'y', 'kind': expected the target 'z'"):
        MapExamples(Listed(lambda i: {"x": IDS[i], "y": 0, "kind": i}), target="z")


@pytest.mark.parametrize("seeds", [None, [3, 4]])
@pytest.mark.parametrize("workers", [0, 2])
def test_batches_are_padded_as_their_own_collation_says(seeds, workers):
    examples = MapExamples(Listed(sentence), collate_fn=padded, workers=workers)
    batches = [torch.tensor([0, 1, 2]), torch.tensor([9, 5])]
    first, second = examples.stream(batches, seeds=seeds)
    assert first[0]["tokens"].shape == (3, 3)
    assert first[0]["tokens"].tolist() == [[7, 0, 0], [8, 8, 0], [9, 9, 9]]
    assert second[0]["tokens"].shape == (2, 5)
    assert torch.equal(second[0]["mask"], second[0]["tokens"] != 0)
    assert second[1].tolist() == [1, 1]


def test_what_a_collation_draws_comes_from_the_batch_s_seed():
    def noisy(pairs):
        x, y = default_collate(pairs)
        return x + torch.rand(()) + np.random.rand(), y

    examples = MapExamples(Listed(lambda i: (WEIGHTS[i], LABELS[i])), collate_fn=noisy)
    batches = [torch.tensor([0, 1])] * 2
    before = torch.random.get_rng_state()
    draws = [[x.tolist() for x, _ in examples.stream(batches, seeds=s)] for s in ([1, 2], [2, 1])]
    assert draws[0] == draws[1][::-1]
    assert draws[0][0] != draws[0][1]
    assert torch.equal(torch.random.get_rng_state(), before)
    # Scored the same in every pass, too.
    assert same(list(examples.stream(batches)), list(examples.stream(batches)))


@pytest.mark.parametrize(
    ("collate", "message"),
    [
        (
            lambda batch: 1 / 0,
            "collate_fn of .* raises ZeroDivisionError: division by zero",
        ),
        (lambda batch: batch[0][0], r"what collate_fn of the data set gives is a Tensor: expected"),
        (
            lambda batch: {"a": 1},
            "what collate_fn of the data set gives is a mapping of 'a'",
        ),
        (lambda batch: (["word"], torch.zeros(1)), r"x\[0\] of what collate_fn .* is a str: expec"),
    ],
)
def test_a_collation_that_cannot_be_used_is_told(collate, message):
    with pytest.raises(PracError, match=message) as error:
        MapExamples(Listed(lambda i: (WEIGHTS[i], LABELS[i])), collate_fn=collate)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "example",
    [
        lambda i: {"ids": torch.zeros(1 + (i == 7)), "y": i},
        lambda i: {("ids" if i != 7 else "id"): torch.zeros(1), "y": i},
        lambda i: ((torch.zeros(1), torch.zeros(1 + (i == 7))), i),
        lambda i: ({"deep": [torch.zeros(1)] * (1 + (i == 7))}, i),
    ],
)
def test_an_example_unlike_the_others_is_named_with_a_remedy(example):
    with pytest.raises(PracError, match=r"example 7 of the data set .*collate_fn=\.\.\."):
        list(as_examples(Listed(example)).stream([torch.arange(N)]))


def test_a_loader_s_data_set_collation_and_workers_are_taken():
    loader = DataLoader(Listed(sentence), batch_size=4, collate_fn=padded, num_workers=1)
    examples = as_examples(loader)
    assert isinstance(examples, MapExamples)
    assert examples.workers == 1
    ((x, y),) = examples.stream([torch.tensor([1, 4])])
    assert x["tokens"].shape == (2, 5)
    assert y.tolist() == [1, 0]
    assert as_examples(DataLoader(Listed(row), shuffle=True)).fingerprint == (
        as_examples(Listed(row)).fingerprint
    )


@pytest.mark.parametrize(
    "own",
    [
        {"sampler": RandomSampler(range(N), replacement=True)},
        {"sampler": RandomSampler(range(N), num_samples=5)},
        {"sampler": RandomSampler(range(N + 1), num_samples=N)},
        {"sampler": SequentialSampler(range(N - 1))},
        {"batch_sampler": BatchSampler(SequentialSampler(range(N - 1)), 3, drop_last=False)},
        {"batch_sampler": BatchSampler(SequentialSampler(range(N)), 3, drop_last=False)},
    ],
)
def test_a_loader_that_says_itself_which_examples_come_is_refused(own):
    loader = DataLoader(Listed(row), **own)
    if "batch_sampler" in own and len(own["batch_sampler"].sampler) == N:
        as_examples(loader)  # All in order, in batches.
        return
    with pytest.raises(PracError, match="of its own: which examples come when is chosen here"):
        as_examples(loader)


@pytest.mark.parametrize("name", ["labels", "targets"])
@pytest.mark.parametrize("kind", [torch.Tensor.tolist, torch.Tensor.numpy, torch.Tensor.clone])
def test_labels_and_class_names_are_found_and_followed_through_subsets(name, kind):
    data: Any = Listed(lambda i: (IDS[i], int(LABELS[i])))
    setattr(data, name, kind(LABELS))
    data.classes = ["ant", "bee", "cat", "dog"]
    examples = as_examples(data)
    assert torch.equal(examples.labels, LABELS)
    assert examples.classes == ("ant", "bee", "cat", "dog")
    some = as_examples(Subset(Subset(data, [9, 8, 3, 1]), [3, 1]))
    assert some.labels.tolist() == [1, 0]
    assert some.classes == examples.classes


def test_pictures_are_found_among_other_inputs():
    images = torch.randint(256, (N, 3, 4, 4), dtype=torch.uint8)
    examples = as_examples({"ids": IDS, "pixel_values": images.float() / 255, "label": LABELS})
    assert are_images(examples)
    assert torch.equal(pixels_of(examples, torch.tensor([2, 5])), images[[2, 5]])
    assert not are_images(as_examples({"ids": IDS, "label": LABELS}))


# Streams.


class Stream(IterableDataset):
    """Examples with ids, in one order, counted as they are read."""

    def __init__(self, examples, length=True):
        self.examples, self.read = examples, 0
        if length:
            self.__class__ = Sized

    def __iter__(self):
        for example in self.examples:
            self.read += 1
            yield example


class Sized(Stream):
    def __len__(self):
        return len(self.examples)


ORDER = torch.randperm(N, generator=torch.Generator().manual_seed(5)).tolist()
TRIPLES = [(i, IDS[i].float(), int(LABELS[i])) for i in ORDER]


def test_a_stream_s_examples_are_known_by_place_and_id():
    examples = as_examples(Stream(TRIPLES))
    assert isinstance(examples, StreamExamples)
    assert examples.source_indices.tolist() == ORDER
    assert examples.labels.tolist() == LABELS[ORDER].tolist()
    ((x, y),) = examples.stream([torch.arange(N)])
    assert torch.equal(x, IDS[ORDER].float())
    assert torch.equal(y, LABELS[ORDER])


@settings(max_examples=50)
@given(st.lists(st.lists(st.integers(0, N - 1), min_size=1, max_size=5), min_size=1, max_size=5))
def test_any_batches_are_read_in_one_pass(batches):
    stream = Stream(TRIPLES)
    examples = as_examples(stream)
    stream.read = 0
    found = list(examples.stream([torch.tensor(batch) for batch in batches]))
    assert [x.tolist() for x, _ in found] == [
        IDS[ORDER][batch].float().tolist() for batch in batches
    ]
    assert stream.read == 1 + max(place for batch in batches for place in batch)


@settings(max_examples=50)
@given(st.sets(st.integers(0, N - 1), min_size=1), st.integers(1, 15), st.integers(0, 9))
def test_an_epoch_s_order_holds_no_more_than_its_buffer(members, buffer, seed):
    examples = StreamExamples(TRIPLES, buffer=buffer)
    order = examples.epoch_order(torch.tensor(list(members)), seed)
    assert sorted(order.tolist()) == sorted(members)
    assert torch.equal(order, examples.epoch_order(torch.tensor(sorted(members)), seed))
    coming = {place: number for number, place in enumerate(sorted(members))}
    # When the k-th leaves, at most k + buffer have come.
    assert all(coming[place] < number + buffer for number, place in enumerate(order.tolist()))


def test_epochs_are_shuffled_from_their_seeds():
    examples: Any = as_examples(Stream(TRIPLES))
    orders = [examples.epoch_order(torch.arange(N), seed).tolist() for seed in (0, 0, 1)]
    assert orders[0] == orders[1] != orders[2]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: as_examples(Stream([(torch.zeros(1), 0)])),
            "place 0 .* carries no id",
        ),
        (
            lambda: as_examples(Stream([{"x": 1, "y": 0}])),
            "mapping under 'id'",
        ),
        (lambda: as_examples(Stream([("a", torch.zeros(1), 0)])), "place 0 .* carries no id"),
        (
            lambda: as_examples(Stream(TRIPLES, False)),
            "a Stream without a length: a stream",
        ),
        (lambda: as_examples(Stream([*TRIPLES, TRIPLES[3]])), f"the id {ORDER[3]} more than once"),
        (lambda: StreamExamples(Stream(TRIPLES), length=13), "gives 12 examples, where its length"),
        (lambda: StreamExamples(Stream(TRIPLES), length=11), "gives more than 11 examples"),
        (
            lambda: StreamExamples(iter(TRIPLES), length=12),
            "is a list_iterator, which can be",
        ),
        (lambda: StreamExamples(Stream(TRIPLES), buffer=0), "buffer is 0: expected at least 1"),
        (
            lambda: as_examples(Shuffling()),
            "another example at place 0 than before: expected",
        ),
    ],
)
def test_what_a_stream_lacks_is_told_in_one_line(make, message):
    with pytest.raises(PracError, match=message) as error:
        make()
    assert "\n" not in str(error.value)


class Shuffling(IterableDataset):
    """A stream that begins elsewhere each time."""

    def __init__(self):
        self.begun = 0

    def __len__(self):
        return N

    def __iter__(self):
        self.begun += 1
        yield from TRIPLES[self.begun :] + TRIPLES[: self.begun]


def test_a_stream_that_changes_later_is_told():
    stream = Stream(list(TRIPLES))
    examples = as_examples(stream)
    stream.examples[8], stream.examples[9] = stream.examples[9], stream.examples[8]
    with pytest.raises(PracError, match="another example at place 8 than before"):
        list(examples.stream([torch.arange(N)]))


def test_a_loader_of_a_stream_gives_its_collation():
    rows = [{"id": i, **sentence(i)} for i in range(N)]
    examples = as_examples(DataLoader(Stream(rows), batch_size=3, collate_fn=padded))
    ((x, y),) = examples.stream([torch.tensor([4, 0])])
    assert x["tokens"].tolist() == [[11] * 5, [7, 0, 0, 0, 0]]
    assert y.tolist() == [0, 0]
    assert examples.labels.tolist() == [i % 2 for i in range(N)]


def test_what_a_loader_asks_of_loading_processes_is_refused_where_it_is_not_done():
    def begun(worker):
        """Begin a loading process."""

    as_examples(DataLoader(Listed(row), worker_init_fn=begun))  # Which begins none.
    with pytest.raises(PracError, match="is a DataLoader with a worker_init_fn, and loading proc"):
        as_examples(DataLoader(Listed(row), num_workers=1, worker_init_fn=begun))
    with pytest.raises(PracError, match=r"of a stream with num_workers=1, .*: pass num_workers=0"):
        as_examples(DataLoader(Stream(list(TRIPLES)), num_workers=1))


def test_trees_are_mapped_without_changing_their_kind():
    tree = {"a": torch.ones(2), "b": [torch.zeros(1), (torch.ones(3),)]}
    doubled = mapped(lambda of: of * 2, tree)
    assert isinstance(doubled["b"], list)
    assert isinstance(doubled["b"][1], tuple)
    assert [of.sum().item() for of in leaves(doubled)] == [4, 0, 6]
