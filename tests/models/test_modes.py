"""Modules in evaluation mode by choice stay there; passes leave every mode as it was."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

import prac
from prac.models import begin_training_, evaluating, evaluating_modules, structure
from prac.training import Problem, Runtime


class Frozen(nn.Module):
    """A body with BatchNorm, frozen and in evaluation mode, and a head that trains."""

    def __init__(self, *, is_resting: bool = True) -> None:
        super().__init__()
        with torch.random.fork_rng():
            torch.manual_seed(0)
            self.body = nn.Sequential(nn.Flatten(), nn.Linear(64, 16), nn.BatchNorm1d(16))
            self.head = nn.Sequential(nn.ReLU(), nn.Linear(16, 96), nn.Linear(96, 10))
        self.state_dict()["body.2.running_mean"].fill_(0.25)
        if is_resting:
            self.body.requires_grad_(False).eval()

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.body(x))


def modes(model: nn.Module) -> dict[str, bool]:
    return {name: module.training for name, module in model.named_modules()}


def test_training_begins_for_all_but_what_rests_by_choice():
    model = Frozen()
    resting = ["body", "body.0", "body.1", "body.2"]
    assert list(evaluating_modules(model)) == resting
    begin_training_(model)
    assert [name for name, mode in modes(model).items() if not mode] == resting
    begin_training_(model.eval())  # Nothing tells any more.
    assert all(modes(model).values())


def test_a_pass_puts_every_mode_back_also_where_it_fails():
    model = Frozen()
    before = modes(model)
    with evaluating(model):
        assert not any(modes(model).values())
    assert modes(model) == before
    with pytest.raises(ZeroDivisionError), evaluating(model):
        raise ZeroDivisionError
    assert modes(model) == before


def test_what_a_model_does_when_its_mode_changes_it_does_in_both_directions():
    class Fusing(nn.Linear):
        fused = False

        def train(self, mode: bool = True) -> Fusing:
            self.fused = not mode
            return super().train(mode)

    model = Fusing(2, 2)
    with evaluating(model):
        assert model.fused
    assert not model.fused


def test_a_network_in_which_other_modules_rest_is_another_one():
    resting, training = Frozen(), Frozen()
    training.body[2].train()
    told = structure(resting)["body.2"], structure(training)["body.2"]
    assert told[0]["training"] == "False"
    assert "training" not in told[1]
    assert "training" not in structure(resting.eval())["body.2"]


@pytest.mark.parametrize("rewind", ["init", "iteration:8"])
def test_the_statistics_of_a_frozen_batch_norm_stay_in_tickets_and_trainings(
    train, val, config, tmp_path, rewind
):
    model = Frozen()
    settings = config("imp", rewind=rewind, prune=prac.PruneConfig(layers="linear"))
    search = prac.find(model, train, settings, val=val, out=tmp_path / "run")
    assert modes(model) == modes(Frozen())
    for level in range(len(search.tickets)):
        weights = search.tickets[level].weights
        assert weights["body.2.running_mean"].eq(0.25).all()
        assert weights["body.2.num_batches_tracked"] == 0
    trained, _ = prac.retrain(search.tickets[1], Frozen(), train, settings.train, val=val)
    tensors, before = trained.state_dict(), model.state_dict()
    assert tensors["body.2.running_mean"].eq(0.25).all()
    assert not tensors["head.2.weight"].equal(before["head.2.weight"])
    # It has come back in evaluation mode as a whole, but goes on resting where it did.
    again, _ = prac.retrain(search.tickets[2], trained, train, settings.train, val=val)
    assert again.state_dict()["body.2.running_mean"].eq(0.25).all()
    # As it would be, if it did not rest.
    with pytest.warns(UserWarning, match="the network is not the one that the ticket was found in"):
        awake, _ = prac.retrain(
            search.tickets[1], Frozen(is_resting=False), train, settings.train, val=val
        )
    assert not awake.state_dict()["body.2.running_mean"].eq(0.25).any()


def test_a_retrained_model_is_returned_as_it_was_measured(small_net, train, val, config, tmp_path):
    model = nn.Sequential(small_net(), nn.Dropout(0.5))
    settings = config()
    search = prac.find(model, train, settings, val=val, out=tmp_path / "run")
    assert all(modes(model).values())
    model, history = prac.retrain(search.tickets[1], model, train, settings.train, test=val)
    x, y = val
    with torch.no_grad():
        right = (model(x).argmax(1) == y).sum()
    assert int(right) / len(y) == history.test_accuracy
    assert not any(modes(model).values())


def test_find_leaves_a_model_in_the_mode_that_it_came_in(small_net, train, config, tmp_path):
    model = small_net().eval()
    prac.find(model, train, config(), out=tmp_path / "run")
    assert not any(modes(model).values())


def test_modules_that_rest_though_they_train_are_told_of(train):
    def notices(model: nn.Module) -> list[str]:
        return list(Problem.of(model, train, runtime=Runtime.choose("cpu", "fp32")).notices())

    class Keeping(Frozen):
        def train(self, mode: bool = True) -> Keeping:
            super().train(mode)
            self.body[2].eval()
            return self

    # Its own train() keeps it so: there is no other way to call it.
    assert notices(Keeping(is_resting=False).train()) == []
    assert notices(Frozen()) == notices(Frozen(is_resting=False).eval()) == []
    model = Frozen(is_resting=False).eval()
    model.head[2].train()  # As a head that was put on afterwards.
    (line,) = notices(model)
    assert line.startswith("8 of the model's 9 modules are in evaluation mode, the first the model")
