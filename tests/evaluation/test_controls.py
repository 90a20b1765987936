"""Controls keep exact counts, and nothing else that they should not."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

import prac
from prac.algorithms import smart_ratios
from prac.evaluation.controls import CONTROLS, control_of, permuted


def make_net() -> nn.Module:
    return nn.Sequential(nn.Linear(6, 8), nn.BatchNorm1d(8), nn.Linear(8, 3))


@pytest.fixture
def ticket() -> prac.Ticket:
    torch.manual_seed(0)
    weights = dict(make_net().state_dict())
    masks = {name: torch.rand_like(weights[name]) > 0.6 for name in ("0.weight", "2.weight")}
    return prac.Ticket(weights, masks, {"level": 3, "settings": {"rewind": "init"}})


@pytest.mark.parametrize("name", ["reinitialised", "shuffled", "random"])
def test_each_layer_keeps_as_many(ticket, name):
    control = control_of(ticket, name, make_net, 0)
    assert {n: int(m.sum()) for n, m in control.masks.items()} == {
        n: int(m.sum()) for n, m in ticket.masks.items()
    }
    assert list(control.masks) == list(ticket.masks)
    assert control.level == 3
    assert control.provenance["control"] == name
    assert control.provenance["of"] == ticket.digest
    assert control.provenance["seed"] == 0
    control.apply(make_net())


@given(st.integers(1, 40), st.integers(1, 40), st.integers(0, 2**32), st.floats(0, 1))
def test_a_permutation_keeps_counts(rows, columns, seed, share):
    mask = torch.rand(rows, columns, generator=torch.Generator().manual_seed(seed)) < share
    found = permuted({"w": mask}, seed)["w"]
    assert found.shape == mask.shape
    assert found.dtype == torch.bool
    assert int(found.sum()) == int(mask.sum())
    assert torch.equal(found, permuted({"w": mask}, seed)["w"])


def test_what_is_new_and_what_is_not(ticket):
    def new(control: prac.Ticket) -> tuple[bool, bool]:
        masks = [not torch.equal(control.masks[n], m) for n, m in ticket.masks.items()]
        names = ("0.weight", "0.bias", "2.weight", "2.bias")
        weights = [not torch.equal(control.weights[n], ticket.weights[n]) for n in names]
        assert len({*masks}) == len({*weights}) == 1, "all layers, or none"
        return masks[0], weights[0]

    assert new(control_of(ticket, "reinitialised", make_net, 0)) == (False, True)
    assert new(control_of(ticket, "shuffled", make_net, 0)) == (True, False)
    assert new(control_of(ticket, "random", make_net, 0)) == (True, True)
    assert new(control_of(ticket, "smart-ratio", make_net, 0)) == (True, True)


@pytest.mark.parametrize("output_layer", [None, "2"])
def test_smart_ratios_keep_as_many_altogether_by_their_rule(ticket, output_layer):
    # As files have them: the order of names says nothing of the network's.
    turned = prac.Ticket(ticket.weights, dict(reversed(ticket.masks.items())), ticket.provenance)
    control = control_of(turned, "smart-ratio", make_net, 0, output_layer)
    kept = sum(int(mask.sum()) for mask in ticket.masks.values())
    wanted = smart_ratios([48, 24], kept, classifier=output_layer is not None)
    found = [int(control.masks[name].sum()) for name in ("0.weight", "2.weight")]
    assert found == wanted
    assert output_layer is None or found[1] == 7, "30 % of the classifier"
    assert (control.level, control.provenance["control"]) == (3, "smart-ratio")
    assert not torch.equal(control.masks["0.weight"].flatten()[: wanted[0]], torch.ones(wanted[0]))
    control.apply(make_net())


@pytest.mark.parametrize("name", CONTROLS)
def test_the_seed_decides_and_nothing_else(ticket, name):
    first = control_of(ticket, name, make_net, 0).digest
    torch.manual_seed(99)
    before = torch.get_rng_state()
    assert control_of(ticket, name, make_net, 0).digest == first
    assert torch.equal(torch.get_rng_state(), before), "the caller's generator is left alone"
    assert control_of(ticket, name, make_net, 1).digest != first


def test_a_maker_that_seeds_itself_is_told(ticket):
    def fixed() -> nn.Module:
        torch.manual_seed(0)
        return make_net()

    for name in ("reinitialised", "random", "smart-ratio"):
        with pytest.raises(prac.PracError, match=r"leave torch\.manual_seed out of it"):
            control_of(ticket, name, fixed, 0)


def test_a_maker_of_another_network_is_told(ticket):
    with pytest.raises(prac.PracError, match=r"mask '0.weight' is \(8, 6\)"):
        control_of(
            ticket, "reinitialised", lambda: nn.Sequential(nn.Linear(6, 9), nn.Linear(9, 3)), 0
        )


def test_new_weights_are_not_fine_tuned(ticket):
    tuned = prac.Ticket(ticket.weights, ticket.masks, {"level": 3, "settings": {"rewind": "none"}})
    assert tuned.is_fine_tuned
    assert control_of(tuned, "shuffled", make_net, 0).is_fine_tuned
    assert not control_of(tuned, "reinitialised", make_net, 0).is_fine_tuned
    assert not ticket.is_fine_tuned
