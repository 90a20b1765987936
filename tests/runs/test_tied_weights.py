"""Weights that modules share: as sparse as the ticket under each of their names."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
import torch
from safetensors import safe_open
from torch import Tensor, nn

import prac
from prac.errors import Damaged
from prac.evaluation.controls import control_of
from prac.io import read_tensors, write_tensors
from prac.models import tied
from prac.runs import Ticket


class Tied(nn.Module):
    """Two layers of one weight, as encoders and decoders are tied."""

    def __init__(self) -> None:
        super().__init__()
        with torch.random.fork_rng():
            torch.manual_seed(0)
            self.into, self.one = nn.Linear(64, 32), nn.Linear(32, 32, bias=False)
            self.two, self.out = nn.Linear(32, 32), nn.Linear(32, 10)
        self.two.weight = self.one.weight

    def forward(self, x: Tensor) -> Tensor:
        x = self.one(self.into(x.flatten(1)).relu()).relu()
        return self.out(self.two(x).relu())


class Shared(nn.Module):
    """One layer under two names."""

    def __init__(self) -> None:
        super().__init__()
        with torch.random.fork_rng():
            torch.manual_seed(0)
            self.into, self.one, self.out = nn.Linear(64, 32), nn.Linear(32, 32), nn.Linear(32, 10)
        self.two = self.one

    def forward(self, x: Tensor) -> Tensor:
        x = self.one(self.into(x.flatten(1)).relu()).relu()
        return self.out(self.two(x).relu())


@pytest.fixture(params=[Tied, Shared])
def make(request: pytest.FixtureRequest) -> Any:
    return request.param


@pytest.fixture
def search(make, train, val, config, tmp_path) -> prac.Search:
    return prac.find(make(), train, config(levels=2), val=val, out=tmp_path / "run")


def zeros(model: nn.Module) -> int:
    return int((model.state_dict()["one.weight"] == 0).sum())


def test_names_of_one_parameter_are_found():
    assert tied(Tied()) == {"two.weight": "one.weight"}
    assert tied(Shared()) == {"two.weight": "one.weight", "two.bias": "one.bias"}
    assert tied(nn.Linear(2, 2)) == {}


def test_masked_weights_are_sparse_whichever_name_is_loaded_last(search, make):
    ticket = search.tickets[2]
    assert set(ticket.masks) == {"into.weight", "one.weight", "out.weight"}
    pruned = int((~ticket.masks["one.weight"]).sum())
    assert pruned > 0
    assert zeros(ticket.apply(make())) == pruned
    model = make()
    model.load_state_dict(ticket.masked_weights())
    assert zeros(model) == pruned
    first = ticket.masked_weights()
    model.load_state_dict(dict(reversed(first.items())))
    assert zeros(model) == pruned
    kept = sum(int(mask.sum()) for mask in ticket.masks.values())
    assert ticket.density == kept / sum(mask.numel() for mask in ticket.masks.values())


def test_a_file_read_without_prac_is_as_sparse(search, make, tmp_path):
    path = search.level_path(2) / "ticket.safetensors"
    with safe_open(path, "np") as file:
        header = json.loads(file.metadata()["prac"])
        held = [name for name in file.keys() if name.startswith("weight/")]  # noqa: SIM118
        weights = {name.removeprefix("weight/"): file.get_tensor(name) for name in held}
        for name, shape in header["mask_shapes"]:
            bits = np.unpackbits(file.get_tensor(f"mask/{name}"), count=int(np.prod(shape)))
            weights[name] = weights[name] * bits.reshape(shape)
    model = make()
    model.load_state_dict({name: torch.tensor(value) for name, value in weights.items()})
    assert zeros(model) == int((~search.tickets[2].masks["one.weight"]).sum())
    assert header["tied"] == {"two.weight": "one.weight"}


def test_a_ticket_comes_back_with_what_is_tied_and_keeps_its_digest(search, tmp_path):
    ticket = search.tickets[2]
    assert ticket.tied == {"two.weight": "one.weight"}
    ticket.save(tmp_path / "again.safetensors")
    again = Ticket.load(tmp_path / "again.safetensors")
    assert again.tied == ticket.tied
    assert again.digest == ticket.digest
    assert list(again.masks) == list(ticket.masks)
    path = search.level_path(2) / "ticket.safetensors"
    assert (tmp_path / "again.safetensors").read_bytes() == path.read_bytes()
    alone = Ticket(ticket.weights, ticket.masks, ticket.provenance)
    assert alone.digest == ticket.digest


@pytest.mark.parametrize("part", ["weight/two.weight", "mask/two.weight"])
def test_a_file_whose_tied_parts_differ_is_damaged(search, tmp_path, part):
    tensors, header = read_tensors(search.level_path(2) / "ticket.safetensors", "ticket")
    tensors[part] = tensors[part] * 0 + 1
    path = tmp_path / "other.safetensors"
    write_tensors(path, tensors, "ticket", header)
    with pytest.raises(Damaged, match="are tied, and are not equal"):
        Ticket.load(path)


@pytest.mark.parametrize(
    ("shared", "told"),
    [
        ({"two.weight": "gone"}, "have not a mask each"),
        ({"gone": "one.weight"}, "have not a mask each"),
        ({"two.weight": "one.weight", "one.weight": "two.weight"}, "have not a mask each"),
        ({"two.weight": 3}, "its header has tied"),
        (["two.weight"], "its header has tied"),
    ],
)
def test_a_file_that_ties_what_is_not_there_is_damaged(search, tmp_path, shared, told):
    tensors, header = read_tensors(search.level_path(2) / "ticket.safetensors", "ticket")
    path = tmp_path / "other.safetensors"
    write_tensors(path, tensors, "ticket", {**header, "tied": shared})
    with pytest.raises(Damaged, match=told):
        Ticket.load(path)


def test_trained_networks_and_controls_are_as_sparse(search, make, train, val, config):
    ticket = search.tickets[2]
    pruned = int((~ticket.masks["one.weight"]).sum())
    model, _ = prac.retrain(ticket, make(), train, config().train, val=val)
    assert zeros(model) == pruned
    trained, _ = read_tensors(search.level_path(1) / "trained.safetensors", "trained")
    assert trained["two.weight"].equal(trained["one.weight"])
    for name in ("shuffled", "random"):
        control = control_of(ticket, name, make_another(make), 0)
        assert zeros(control.apply(make())) == pruned
        plain = make()
        plain.load_state_dict(control.masked_weights())
        assert zeros(plain) == pruned


def make_another(make: Any) -> Any:
    def another() -> nn.Module:
        model: nn.Module = make()
        for parameter in model.parameters():
            nn.init.normal_(parameter)
        return model

    return another
