"""Which epoch of a level is the best, and what networks are compared by."""

import json
import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

import prac
from prac.runs import RunState, read_metrics
from prac.runs.checkpoint import from_tensors, to_tensors
from prac.training.validation import is_better

LOSSES = st.one_of(st.none(), st.floats(0, 5))
EPOCHS = st.lists(st.tuples(st.sampled_from((0.0, 0.5, 1.0)), LOSSES), min_size=1, max_size=8)


@given(EPOCHS)
def test_the_best_epoch_is_the_most_accurate_then_the_lowest_in_loss_then_the_last(epochs):
    best, kept = (-1.0, None), 0
    for number, epoch in enumerate(epochs):
        if is_better(epoch, best):
            best, kept = epoch, number

    def rank(number):
        accuracy, loss = epochs[number]
        return accuracy, -(math.inf if loss is None else loss), number

    assert kept == max(range(len(epochs)), key=rank)


def nothing_right(outputs, targets):
    return torch.zeros(len(targets), dtype=torch.bool)


@pytest.mark.filterwarnings("ignore:.*never counted as right")
def test_where_no_example_is_ever_right_the_epoch_of_the_lowest_loss_is_kept(
    small_net, train, val, config, tmp_path
):
    task = prac.Task(loss=nn.functional.cross_entropy, correct=nothing_right, prediction=None)
    settings = config(train=prac.TrainConfig(epochs=5, batch_size=50, lr=0.05)).train
    ticket = prac.find(
        small_net(), train, config(levels=1), val=val, task=task, out=tmp_path / "run"
    ).tickets[1]
    _, history = prac.retrain(
        ticket, small_net(), train, settings, val=val, task=task, out=tmp_path / "again"
    )
    losses = [epoch["val_loss"] for epoch in read_metrics(tmp_path / "again")]
    assert history.val_accuracy == 0
    assert losses[0] > min(losses)
    assert history.best_epoch == losses.index(min(losses)) + 1


def test_a_state_keeps_the_best_loss_and_one_without_it_is_read():
    weights, masks = {"w": torch.ones(2)}, {"w": torch.ones(2, dtype=torch.bool)}
    members, table = torch.arange(3), prac.algorithms.ForgettingTable.empty(3)
    state = RunState(0, 0, weights, masks, members, table, best_accuracy=0.5, best_loss=1.25)
    tensors, header = to_tensors(state)
    header = json.loads(json.dumps(header))
    assert from_tensors(tensors, dict(header)).best_loss == 1.25
    del header["best_loss"]  # As prac 0.1 wrote it.
    assert from_tensors(tensors, header).best_loss is None


def codes(outputs):
    """Return 40 labels as the bits of one number."""
    bits = (outputs > 0).to(torch.int64)
    return (bits << torch.arange(40)).sum(1)


@pytest.mark.parametrize("bit", [3, 36])
def test_answers_of_many_labels_differ_in_any_of_them(bit):
    outputs = torch.ones(2, 40)
    other = outputs.clone()
    other[1, bit] = -1
    task = prac.Task(prediction=codes)
    same = task.answers(outputs, outputs) == task.answers(other, outputs)
    assert same.tolist() == [True, False]


@pytest.mark.filterwarnings("ignore:.*never counted as right")
def test_critical_examples_for_pruning_are_found_among_codes_of_40_labels(tmp_path, config):
    x = torch.randn(60, 8, generator=torch.Generator().manual_seed(0))
    y = (x @ torch.randn(8, 40, generator=torch.Generator().manual_seed(1)) > 0).float()
    # Only labels beyond the 32nd are learned: in the others all networks agree.
    scale = torch.cat([torch.zeros(32), torch.ones(8)])

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            torch.manual_seed(0)
            self.fc1, self.fc2 = nn.Linear(8, 16), nn.Linear(16, 40)

        def forward(self, x):
            return self.fc2(self.fc1(x).relu()) * scale + (scale - 1)

    task = prac.Task(
        loss=nn.functional.binary_cross_entropy_with_logits,
        correct=lambda outputs, targets: ((outputs > 0) == (targets > 0)).all(1),
        prediction=codes,
    )
    settings = config(
        levels=3,
        train=prac.TrainConfig(epochs=3, batch_size=20),
        prune=prac.PruneConfig(layers="linear", drop_fraction=0.6),
    )
    search = prac.find(Net(), (x, y), settings, task=task, out=tmp_path / "run")
    assert search.levels[2].set_parts["cep"] > 0
    assert search.examples(1)["predictions"].dtype == torch.int64
