"""The moving average of weights: by hand, masked, validated and kept; rewinds are raw."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import torch
from torch import nn

import prac
from prac.algorithms import ForgettingTable
from prac.io import read_tensors
from prac.models import snapshot
from prac.runs import RunState, read_metrics
from prac.runs.checkpoint import from_tensors, to_tensors
from prac.training.average import WeightAverage


def test_an_average_is_that_of_each_iteration_and_buffers_are_the_network_s():
    model = nn.Sequential(nn.Linear(2, 2, bias=False), nn.BatchNorm1d(2))
    weight, mean = model.get_parameter("0.weight"), model.get_buffer("1.running_mean")
    start = weight.detach().clone()
    average = WeightAverage(model, 0.75)
    expected = start.clone()
    for number in range(3):
        with torch.no_grad():
            weight.add_(number + 1)
            mean.add_(1)
        expected = 0.75 * expected + 0.25 * weight.detach()
        average.update_()
    found = average.over(snapshot(model))
    assert torch.allclose(found["0.weight"], expected)
    assert found["1.running_mean"].tolist() == [3, 3]
    assert list(found) == list(model.state_dict())
    again = WeightAverage(model, 0.75, found)
    assert torch.equal(again.over(snapshot(model))["0.weight"], found["0.weight"])


def test_tied_weights_have_one_average_and_frozen_ones_none():
    model = nn.ModuleDict({"a": nn.Linear(2, 2), "b": nn.Linear(2, 2), "c": nn.Linear(2, 2)})
    a: Any = model["a"]
    model["b"].weight = a.weight
    model["c"].requires_grad_(False)
    average = WeightAverage(model, 0.5)
    before = a.weight.detach().clone()
    with torch.no_grad():
        a.weight.add_(2)
    average.update_()
    found = average.over(snapshot(model))
    assert torch.allclose(found["a.weight"], before + 1)
    assert torch.equal(found["a.weight"], found["b.weight"])
    assert torch.equal(found["c.weight"], model.get_parameter("c.weight"))


def test_an_average_of_pruned_weights_is_zero_from_the_pruning_on():
    model = nn.Linear(3, 2)
    average = WeightAverage(model, 0.9)
    mask = torch.tensor([[True, False, True], [False, True, True]])
    average.mask_({"weight": mask})
    for _ in range(4):
        with torch.no_grad():
            model.weight.add_(1).mul_(mask)
        average.update_()
    found = average.over(snapshot(model))["weight"]
    assert not found[~mask].any()
    assert found[mask].all()


def test_what_is_validated_and_kept_is_the_average_and_what_is_rewound_and_pruned_is_not(
    small_net, train, val, config, tmp_path
):
    settings = config(levels=2, rewind="epoch:1")
    averaged = replace(settings, train=replace(settings.train, ema_decay=0.9))
    raw = prac.find(small_net(), train, settings, val=val, out=tmp_path / "raw")
    ema = prac.find(small_net(), train, averaged, val=val, out=tmp_path / "ema")
    mine, theirs = raw.levels[0], ema.levels[0]
    assert (mine.iterations, mine.set_size) == (theirs.iterations, theirs.set_size)
    one, other = read_metrics(tmp_path / "raw"), read_metrics(tmp_path / "ema")
    assert [e["train_loss"] for e in one[:3]] == [e["train_loss"] for e in other[:3]]
    assert [e["val_loss"] for e in one[:3]] != [e["val_loss"] for e in other[:3]]
    for name, weight in raw.tickets[1].weights.items():
        assert torch.equal(weight, ema.tickets[1].weights[name])
    for name, mask in raw.tickets[1].masks.items():
        assert torch.equal(mask, ema.tickets[1].masks[name])
    for level in (0, 1):
        kept, _ = read_tensors(
            tmp_path / "ema" / f"levels/{level:02d}/trained.safetensors", "trained"
        )
        last, _ = read_tensors(
            tmp_path / "raw" / f"levels/{level:02d}/trained.safetensors", "trained"
        )
        for name, mask in ema.tickets[level].masks.items():
            assert not kept[name][~mask].any()
            assert not torch.equal(kept[name], last[name])
    model, history = prac.retrain(
        ema.tickets[2], small_net(), train, averaged.train, val=val, test=val
    )
    assert history.val_accuracy == history.test_accuracy
    for name, mask in ema.tickets[2].masks.items():
        assert not model.get_parameter(name)[~mask].any()


def test_a_state_keeps_the_average_and_one_without_it_is_read():
    weights, masks = {"w": torch.ones(2)}, {"w": torch.ones(2, dtype=torch.bool)}
    members, table = torch.arange(3), ForgettingTable.empty(3)
    state = RunState(0, 0, weights, masks, members, table, average={"w": torch.tensor([1.0, 2.0])})

    def written_and_read(state):
        tensors, header = to_tensors(state)
        return from_tensors(tensors, json.loads(json.dumps(header)))

    found = written_and_read(state).average
    assert found is not None
    assert found["w"].tolist() == [1, 2]
    assert written_and_read(replace(state, average=None)).average is None
    assert state.at_next_level(weights, masks, members, goes_on=True).average is None
