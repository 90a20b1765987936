"""What tells one network from another: kinds, settings, code and weights."""

import argparse
import collections
import copy
import operator
import sys
from dataclasses import dataclass
from functools import partial
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from prac.models import copied, structure, structure_digest, structure_lines, weights_digest


def lines(model):
    return structure_lines(structure(model), structure(model))


def told_apart(first, second):
    """Return the only line in which two networks differ, of each."""
    pairs = zip(lines(first), lines(second), strict=True)
    (pair,) = [pair for pair in pairs if pair[0] != pair[1]]
    return pair


class Scaled(nn.Module):
    def __init__(self, by=1.0, act=nn.functional.relu):
        super().__init__()
        self.fc, self.by, self.act = nn.Linear(2, 2), by, act

    def forward(self, x):
        return self.act(self.fc(x)) * self.by


@pytest.mark.parametrize(
    ("first", "second", "shown"),
    [
        pytest.param(nn.Tanh(), nn.ReLU(), ("Tanh()", "ReLU(inplace=False)"), id="kind"),
        pytest.param(
            nn.LeakyReLU(0.1),
            nn.LeakyReLU(0.2),
            (
                "LeakyReLU(negative_slope=0.1, inplace=False)",
                "LeakyReLU(negative_slope=0.2, inplace=False)",
            ),
            id="setting",
        ),
    ],
)
def test_networks_of_equal_shapes_differ_in_the_module_that_does(first, second, shown):
    def net(between):
        return nn.Sequential(nn.Linear(2, 2), between, nn.Linear(2, 2))

    assert told_apart(net(first), net(second)) == tuple(f"1: {text}" for text in shown)


@pytest.mark.parametrize(
    ("first", "second"),
    [
        pytest.param(nn.MultiheadAttention(8, 2), nn.MultiheadAttention(8, 4), id="heads"),
        pytest.param(nn.Conv2d(1, 1, 3), nn.Conv2d(1, 1, 3, padding=1), id="padding"),
        pytest.param(nn.BatchNorm1d(3), nn.BatchNorm1d(3, eps=1e-3), id="epsilon"),
        pytest.param(nn.GELU(), nn.GELU("tanh"), id="approximation"),
        pytest.param(Scaled(1.0), Scaled(2.0), id="own number"),
        pytest.param(Scaled(), Scaled(act=torch.tanh), id="own function"),
        pytest.param(Scaled(act=lambda x: x), Scaled(act=lambda x: x + 1), id="own lambda"),
        pytest.param(Scaled(by=torch.ones(2)), Scaled(by=torch.zeros(2)), id="own tensor"),
        pytest.param(Scaled(by=[1, {"a": 2}]), Scaled(by=[1, {"a": 3}]), id="own containers"),
        pytest.param(Scaled(by=torch.float16), Scaled(by=torch.float32), id="own type"),
    ],
)
def test_settings_of_modules_tell_them_apart(first, second):
    assert lines(first) != lines(second)


def test_the_order_of_modules_is_told():
    first = nn.Sequential(nn.Tanh(), nn.ReLU())
    second = nn.Sequential(nn.ReLU(), nn.Tanh())
    assert lines(first) != lines(second)
    assert structure_digest(lines(first)) != structure_digest(lines(second))


def test_weights_training_and_gradients_are_no_settings():
    model = Scaled()
    before = lines(model)
    model.eval()
    model(torch.ones(1, 2)).sum().backward()
    with torch.no_grad():
        model.fc.weight.mul_(2)
    assert lines(model) == before == lines(Scaled())


def test_what_a_pass_changes_is_no_setting():
    class Counting(nn.Module):
        def __init__(self):
            super().__init__()
            self.calls, self.width, self.last = 0, 3, None

        def forward(self, x):
            self.calls, self.last = self.calls + 1, x
            return x

    fresh, used = Counting(), Counting()
    used(torch.ones(2))
    (line,) = structure_lines(structure(fresh), structure(used))
    assert line.startswith("the model: ")
    assert "width=3" in line
    assert "calls" not in line
    assert "last" not in line


def test_a_hook_is_a_part_of_the_network():
    model = nn.Linear(2, 2)
    before = lines(model)
    model.register_forward_hook(lambda module, x, y: y * 2)
    assert lines(model) != before


OWN = """
from torch import nn

SCALE = 2.0

def twice(x):
    return x * SCALE

class Base(nn.Module):
    def tail(self, x):
        return x

class Net(Base):
    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(2, 2)

    def forward(self, x):
        return self.tail(twice(self.fc(x)))
"""


@pytest.mark.parametrize(
    ("before", "after", "is_other"),
    [
        ("twice(self.fc(x))", "twice(self.fc(x).relu())", True),
        ("        return x\n", "        return x.relu()\n", True),
        ("SCALE = 2.0", "SCALE = 3.0", True),
        ("x * SCALE", "x / SCALE", True),
        ("SCALE = 2.0", "SCALE = 2.0  # by measuring", False),
    ],
    ids=["forward", "base class", "global", "function", "comment"],
)
def test_the_code_of_own_classes_tells_them_apart(tmp_path, monkeypatch, before, after, is_other):
    monkeypatch.syspath_prepend(tmp_path)
    found = []
    for number, text in enumerate((OWN, OWN.replace(before, after))):
        folder = tmp_path / str(number)
        folder.mkdir()
        (folder / "own_net.py").write_text(text)
        monkeypatch.syspath_prepend(folder)
        sys.modules.pop("own_net", None)
        found.append(lines(__import__("own_net").Net()))
        sys.modules.pop("own_net")
    assert (found[0] != found[1]) is is_other


def test_weights_are_told_by_name_type_shape_and_value():
    weights = {"a": torch.ones(2), "b": torch.zeros(1)}
    others = [
        {"a": torch.ones(2), "b": torch.ones(1)},
        {"a": torch.ones(2), "c": torch.zeros(1)},
        {"a": torch.ones(2, dtype=torch.float64), "b": torch.zeros(1)},
        {"a": torch.ones(2, 1), "b": torch.zeros(1)},
    ]
    assert weights_digest(weights) == weights_digest({k: v.clone() for k, v in weights.items()})
    assert len({weights_digest(each) for each in (weights, *others)}) == 5


@dataclass
class Config:
    scale: float = 1.0


class OwnAct:
    def __init__(self, slope):
        self.slope = slope

    def __call__(self, x):
        return x * self.slope


@pytest.mark.parametrize(
    ("first", "second"),
    [
        pytest.param(Config(1.0), Config(9.0), id="dataclass"),
        pytest.param(OwnAct(1.0), OwnAct(9.0), id="callable object"),
        pytest.param(
            partial(nn.functional.leaky_relu, negative_slope=0.1),
            partial(nn.functional.leaky_relu, negative_slope=0.2),
            id="partial",
        ),
    ],
)
def test_objects_and_partials_are_settings_that_a_copy_keeps(first, second):
    def told(act):
        model = Scaled(act=act)
        used = copy.deepcopy(model).train()
        return structure_lines(structure(model), structure(used))

    assert "act=" in told(first)[0]
    assert told(first) == told(first) != told(second)


def test_a_buffer_that_is_not_saved_is_a_setting():
    def net(value):
        model = nn.Linear(2, 2)
        model.register_buffer("scale", torch.tensor(value), persistent=False)
        return model

    assert lines(net(1.0)) == lines(net(1.0)) != lines(net(2.0))


def test_what_is_frozen_is_told():
    model = nn.Linear(2, 2)
    model.weight.requires_grad_(False)
    assert lines(model) == ("the model: Linear(in_features=2, out_features=2, frozen=['weight'])",)


@pytest.mark.parametrize(
    ("first", "second"),
    [
        pytest.param([nn.ReLU()], [nn.Tanh()], id="modules in a list"),
        pytest.param([("a", nn.LeakyReLU(0.1))], [("a", nn.LeakyReLU(0.3))], id="nested modules"),
        pytest.param(argparse.Namespace(act="relu"), argparse.Namespace(act="tanh"), id="args"),
        pytest.param(SimpleNamespace(a=1), SimpleNamespace(a=2), id="namespace"),
        pytest.param(np.ones(2), np.zeros(2), id="array"),
        pytest.param(np.float32(1), np.float32(2), id="NumPy number"),
        pytest.param(range(3), range(4), id="range"),
        pytest.param(collections.deque([1]), collections.deque([2]), id="deque"),
        pytest.param(torch.device("cpu"), torch.device("meta"), id="device"),
        pytest.param(operator.itemgetter(0), operator.itemgetter(1), id="itemgetter"),
    ],
)
def test_whatever_a_module_holds_is_a_setting(first, second):
    assert lines(Scaled(by=first)) == lines(Scaled(by=first)) != lines(Scaled(by=second))


def test_hooks_of_the_backward_pass_are_told():
    models = [nn.Linear(2, 2) for _ in range(3)]
    models[1].register_full_backward_hook(lambda module, of_in, of_out: None)
    models[2].weight.register_hook(lambda gradient: gradient * 0)
    assert len({lines(model) for model in models}) == 3


class Closing(nn.Module):
    """Holds a function that closes over the module itself, as people patch layers."""

    def __init__(self, by: float = 2.0) -> None:
        super().__init__()
        self.inner, self.by = nn.Linear(2, 2), by
        self.go = lambda x: self.inner(x) * self.by + by
        old = self.inner.forward
        self.inner.forward = lambda input: old(input)  # type: ignore[method-assign]

    def forward(self, x):
        return self.go(x)


def test_what_closes_over_the_network_s_own_modules_is_told_by_their_names():
    assert lines(Closing()) == lines(Closing())  # Of other weights.
    assert lines(Closing()) != lines(Closing(3.0))
    model = Closing()
    copy = copied(model)
    assert structure_lines(structure(model), structure(copy, model)) == lines(model)
    assert "go=" in lines(model)[0]


class Attributes(dict):
    """A dictionary whose entries are attributes, as many configurations are."""

    __getattr__ = dict.__getitem__


class Referring(nn.Module):
    def __init__(self, seed: int = 0, size: int = 1) -> None:
        super().__init__()
        torch.manual_seed(seed)
        self.kid = nn.Linear(2, 2)
        vars(self.kid)["up"] = [self]  # As a parent is kept out of a child's modules.
        self.order = [self.kid, self]
        self.loop: list[Any] = [1]
        self.loop.append(self.loop)
        self.settings = Attributes(size=size)
        self.hidden = [nn.Linear(2, 2), nn.Parameter(torch.rand(2))]


def test_modules_in_lists_and_what_answers_oddly_are_told():
    with torch.random.fork_rng():
        assert lines(Referring()) == lines(Referring())
        assert lines(Referring()) != lines(Referring(size=2))
        # Layers that are in no state_dict are told by their weights.
        assert lines(Referring()) != lines(Referring(seed=1))
