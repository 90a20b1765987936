"""Training a ticket alone: under its mask, from its weights, on all data."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

import prac
from prac.models import masked


@pytest.fixture
def ticket(small_net, train, val, config, tmp_path) -> prac.Ticket:
    return prac.find(small_net(), train, config(), val=val, out=tmp_path / "run").tickets[2]


def test_pruned_weights_stay_zero_and_the_best_epoch_is_returned(
    ticket, small_net, train, val, config
):
    model, history = prac.retrain(
        ticket, small_net(seed=3), train, config().train, val=val, test=val
    )
    parameters = dict(model.named_parameters())
    for name, mask in ticket.masks.items():
        assert (parameters[name][~mask] == 0).all()
        assert (parameters[name][mask] != 0).any()
    accuracies = [line["val_accuracy"] for line in history.epochs]
    assert history.val_accuracy == max(accuracies)
    assert history.best_epoch == 1 + accuracies.index(max(accuracies))
    # Tested on the validation examples, the best epoch shows its validation accuracy again.
    assert history.test_accuracy == history.val_accuracy
    assert history.cost.iterations == 18
    assert history.cost.examples_trained == 900
    assert history.density == ticket.density


def test_it_starts_from_the_tickets_weights_whatever_the_model_held(
    ticket, small_net, train, config
):
    histories = [
        prac.retrain(ticket, small_net(seed=seed), train, config().train)[1] for seed in (3, 4)
    ]
    assert histories[0].epochs == histories[1].epochs


def test_another_seed_is_another_order(ticket, small_net, train, config):
    histories = [
        prac.retrain(ticket, small_net(), train, config().train, seed=seed)[1] for seed in (0, 1)
    ]
    assert histories[0].epochs != histories[1].epochs


def test_without_validation_the_last_epoch_is_kept(ticket, small_net, train, config):
    _, history = prac.retrain(ticket, small_net(), train, config().train)
    assert history.best_epoch == 3
    assert history.val_accuracy is None
    assert history.test_accuracy is None


def test_a_ticket_for_another_model_names_the_mask_and_both_shapes(
    ticket, small_net, train, config
):
    with pytest.raises(
        prac.PracError, match=r"mask '0.weight' is \(6, 1, 3, 3\), the model's weight is \(7, 1"
    ):
        prac.retrain(ticket, small_net(channels=7), train, config().train)


def test_a_fine_tuning_ticket_is_fine_tuned(small_net, train, config, tmp_path):
    search = prac.find(small_net(), train, config("imp", rewind="none"), out=tmp_path / "fine")
    _, history = prac.retrain(search.tickets[1], small_net(), train, config().train)
    assert [line["lr"] for line in history.epochs] == pytest.approx([0.01] * 3)


def test_a_ticket_in_anyones_own_loop(ticket, small_net, train, tmp_path):
    ticket.save(tmp_path / "net.ticket.safetensors")
    fresh = prac.Ticket.load(tmp_path / "net.ticket.safetensors").apply(small_net(seed=5))
    expected = masked(ticket.weights, ticket.masks)
    assert all(torch.equal(value, expected[name]) for name, value in fresh.state_dict().items())


def test_without_settings_it_trains_as_its_search_did(
    ticket, small_net, train, val, config, tmp_path
):
    own = prac.retrain(ticket, small_net(), train, val=val)[1]
    told = prac.retrain(ticket, small_net(), train, config().train, val=val)[1]
    assert own.epochs == told.epochs
    assert prac.Search.load(tmp_path / "run").config == config()
    told_nothing = replace(ticket, provenance={})
    with pytest.raises(prac.PracError, match="does not say how its search trained: pass config"):
        prac.retrain(told_nothing, small_net(), train)


def test_a_history_is_shown_in_a_line(ticket, small_net, train, val):
    history = prac.retrain(ticket, small_net(), train, val=val, test=val)[1]
    accuracy = f"{100 * (history.val_accuracy or 0):.2f} %"
    assert repr(history) == (
        f"History(density 64.0 %, 3 epochs, best epoch {history.best_epoch}, validation accuracy "
        f"{accuracy}, test accuracy {accuracy}, 18 iterations)"
    )
