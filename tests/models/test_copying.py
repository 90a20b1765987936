"""A copy shares no weights, whatever a model's modules hold; what cannot be copied is shared."""

from __future__ import annotations

import threading
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import prac
from prac.errors import PracError
from prac.models import copied


class Holding(nn.Module):
    """Keeps a penalty of the training graph on itself, as layers with a KL term do."""

    def __init__(self, held: Any = None) -> None:
        super().__init__()
        with torch.random.fork_rng():
            torch.manual_seed(0)
            self.one, self.two = nn.Linear(64, 16), nn.Linear(16, 10)
        self.register_buffer("seen", torch.zeros(16))
        self.held = held
        self.penalty, self.kept = torch.zeros(()), dict[str, Any]()

    def forward(self, x: Tensor) -> Tensor:
        hidden = self.one(x.flatten(1)).relu()
        self.penalty = hidden.square().mean()
        self.kept["last"] = [hidden, (hidden.mean(), "a name")]
        self.seen = hidden.mean(0)
        return self.two(hidden)


def test_tensors_of_a_graph_are_copied_as_values_wherever_they_are_kept(train):
    model = Holding()
    model(train[0])
    copy = copied(model)
    assert copy.one.weight is not model.one.weight
    assert copy.one.weight.equal(model.one.weight)
    assert not copy.penalty.requires_grad
    assert copy.penalty.equal(model.penalty)
    assert model.penalty.requires_grad
    assert copy.kept["last"][1][1] == "a name"
    copy(train[0][:5])
    assert len(model.kept["last"][0]) == len(train[0])
    assert copy.seen is not model.seen


def test_what_cannot_be_copied_is_shared_and_all_around_it_copied():
    lock = threading.Lock()
    model = Holding({"lock": lock, "seen": [1, 2]})
    copy = copied(model)
    assert copy.held["lock"] is lock
    assert copy.held["seen"] == [1, 2]
    assert copy.held["seen"] is not model.held["seen"]
    assert copy.one.weight is not model.one.weight
    other = copied(Holding(lock))
    assert other.held is lock


def test_an_object_that_holds_a_lock_is_copied_but_for_the_lock():
    class Writer:
        def __init__(self) -> None:
            self.lock, self.lines = threading.Lock(), ["first"]

    model = Holding(Writer())
    copy = copied(model)
    assert copy.held is not model.held
    assert copy.held.lock is model.held.lock
    copy.held.lines.append("second")
    assert model.held.lines == ["first"]


def test_a_model_that_refuses_to_be_copied_is_told():
    class Single(nn.Linear):
        def __deepcopy__(self, memo: Any) -> Any:
            raise TypeError("there is but one of me")

    with pytest.raises(PracError, match=r"the model cannot be copied.*but one of me.*keep what"):
        copied(Single(1, 1))


@pytest.mark.parametrize("held", [None, threading.Lock()], ids=["graph", "lock"])
def test_a_search_a_retraining_and_a_judgement_take_such_a_model(
    train, val, config, tmp_path, held
):
    def make_model() -> Holding:
        return Holding(held)

    settings, model = config(levels=1), make_model()
    search = prac.find(model, train, settings, val=val, out=tmp_path / "run")
    _, history = prac.retrain(search.tickets[1], model, train, settings.train, test=val)
    assert history.test_accuracy > 0.3
    verdict = prac.judge(
        search, make_model, train, config=settings.train, val=val, test=val, seeds=[0], levels=[1]
    )
    assert len(verdict.levels) == 2
