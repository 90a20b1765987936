"""What a problem says of itself before anything is trained."""

from __future__ import annotations

import re
from collections.abc import Callable
from io import StringIO
from typing import Any

import pytest
import torch
from rich.console import Console
from torch import Tensor, nn
from torch.utils.data import Dataset

import prac
from prac.data import TensorExamples
from prac.training import Problem, Runtime
from tests.conftest import Pair, quick

NOTE = "the model has 1,000 outputs, the data 10 classes: make it with 10 outputs, unless this"


class Net(nn.Module):
    """A small network that counts how often it is called."""

    def __init__(self, outputs: int = 1000) -> None:
        super().__init__()
        self.conv, self.fc = nn.Conv2d(1, 4, 3, 2), nn.Linear(36, outputs)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(self.conv(x).flatten(1))


def notices(model: nn.Module, train: Any, val: Any = None, **more: Any) -> list[str]:
    runtime = Runtime.choose("cpu", "fp32")
    return list(Problem.of(model, train, val, runtime=runtime, **more).notices())


def test_more_outputs_than_classes_are_said(train):
    (line,) = notices(Net(), train)
    assert line.startswith(NOTE)
    assert notices(Net(10), train) == []


def test_one_output_and_one_class_are_told_in_the_singular(train):
    x, y = train
    assert notices(Net(1), (x, torch.zeros_like(y))) == []
    (line,) = notices(Net(2), (x, torch.zeros_like(y)))
    told = "the model has 2 outputs, the data 1 class: make it with 1 output, unless this is meant"
    assert line == told
    named = TensorExamples(x, torch.zeros_like(y), classes=("ant", "bee"))
    (line,) = notices(Net(1), named)
    told = (
        "the model has 1 output, the data 2 classes: make it with 2 outputs, unless this is meant"
    )
    assert line == told


def test_the_data_s_own_names_count_before_its_labels(train):
    x, y = train
    named = TensorExamples(x, y, classes=tuple("abcdefghijkl"))
    assert notices(Net(12), named) == []
    (line,) = notices(Net(10), named)
    assert line.startswith("the model has 10 outputs, the data 12 classes")


def test_a_class_that_only_held_out_examples_have_is_one(train):
    x, y = train
    few = x[y < 9], y[y < 9]
    assert notices(Net(10), few, train) == []
    (line,) = notices(Net(10), few)
    assert "the data 9 classes" in line


def test_nothing_is_said_where_classes_are_not_known_or_not_meant(train):
    class Pairs(Dataset[Any]):
        def __len__(self) -> int:
            return 20

        def __getitem__(self, index: int) -> Any:
            return train[0][index], int(train[1][index])

    assert notices(Net(), Pairs()) == []
    near = prac.Task(
        loss=lambda outputs, y: nn.functional.mse_loss(outputs[:, 0], y),
        correct=lambda outputs, y: (outputs[:, 0] - y).abs() < 0.5,
        prediction=None,
    )
    assert notices(Net(3), (train[0], train[1].float()), task=near) == []


def test_asking_changes_neither_the_model_nor_what_it_draws(train):
    class Noisy(Net):
        def forward(self, x: Tensor) -> Tensor:
            return super().forward(x + torch.rand_like(x))

    problem = Problem.of(Noisy(), train, runtime=Runtime.choose("cpu", "fp32"))
    problem.model.train()
    state = torch.get_rng_state()
    assert len(list(problem.notices())) == 1
    assert problem.model.training
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize("fault", [AssertionError(), ZeroDivisionError("integer modulo by zero")])
def test_a_size_that_a_network_refuses_in_its_own_way_is_one_line(train, fault):
    class Choosy(Net):
        def forward(self, x: Tensor) -> Tensor:
            raise fault

    told = str(fault) or "AssertionError"
    with pytest.raises(prac.PracError, match=f"does not take the training data: .*gave: {told}"):
        notices(Choosy(), train)


class TestOnceInACommand:
    @pytest.fixture
    def progress(self) -> tuple[prac.Progress, Callable[[], int]]:
        """What a command shows its events with, and how often it has said the line."""
        text = StringIO()
        shown = prac.Progress(console=Console(file=text, width=400))
        return shown, lambda: len(re.findall(re.escape(f"note: {NOTE}"), text.getvalue()))

    def test_searching_retraining_and_judging_say_it_once(
        self, train: Pair, val: Pair, tmp_path, progress
    ):
        shown, count = progress
        config = quick(levels=1)
        search = prac.find(Net(), train, config, val=val, out=tmp_path / "run", callback=shown)
        assert count() == 1
        prac.retrain(search.tickets[1], Net(), train, config.train, callback=shown)
        assert count() == 1, "a command that goes on to retrain has said it"

    def test_a_judgement_says_it_once(self, train: Pair, val: Pair, tmp_path, progress):
        shown, count = progress
        config = quick(levels=1)
        with pytest.warns(UserWarning, match=re.escape(NOTE)):  # Where nobody listens.
            search = prac.find(Net(), train, config, val=val, out=tmp_path / "run")
        prac.judge(search, Net, train, val=val, test=val, seeds=(0, 1), callback=shown)
        assert count() == 1

    def test_a_comparison_says_it_once(self, train: Pair, val: Pair, tmp_path, progress):
        shown, count = progress
        prac.compare(
            Net, train, quick(levels=1), out=tmp_path / "c", methods=("imp", "prac"), seeds=(0,),
            val=val, test=val, callback=shown,
        )  # fmt: skip
        assert count() == 1

    def test_a_retraining_says_it(self, train: Pair, val: Pair, tmp_path, progress):
        shown, count = progress
        config = quick(levels=1)
        with pytest.warns(UserWarning, match=re.escape(NOTE)):  # Where nobody listens.
            search = prac.find(Net(), train, config, val=val, out=tmp_path / "run")
        prac.retrain(search.tickets[1], Net(), train, config.train, callback=shown)
        assert count() == 1


class TestTheSetOfAnExampleThatIsWrong:
    """Which set it is of is told, wherever it is read."""

    @pytest.fixture
    def plain(self, train: Pair) -> list[tuple[Any, Any]]:
        return list(zip(*train, strict=True))[:40]

    @pytest.fixture
    def wrong(self, plain: list[tuple[Any, Any]]) -> list[tuple[Any, Any]]:
        return [*plain[:3], (plain[3][0].to_sparse(), 1), *plain[4:]]

    def test_of_training_and_validation_data(self, plain, wrong):
        with pytest.raises(prac.PracError, match=r"^x of example 3 of the training data is a te"):
            notices(Net(), wrong)
        with pytest.raises(prac.PracError, match=r"^x of example 3 of the validation data is a te"):
            notices(Net(), plain, wrong)

    def test_of_test_data(self, plain, wrong, small_net, tmp_path):
        told = "^x of example 3 of the test data is a tensor of layout torch.sparse_coo"
        made, config = lambda: small_net(channels=2), quick(levels=1)
        found = prac.find(made(), plain, config, out=tmp_path / "run")
        with pytest.raises(prac.PracError, match=told):
            prac.retrain(found.tickets[0], made(), plain, config.train, test=wrong)
        with pytest.raises(prac.PracError, match=told):
            prac.judge(found, made, plain, test=wrong)
        with pytest.raises(prac.PracError, match=told):
            prac.compare(made, plain, config, test=wrong, seeds=(0, 1), out=tmp_path / "all")
        with pytest.raises(prac.PracError, match=told):
            prac.find_rewind_point(
                made(), plain, config.train, test=wrong, points=(0,), cache=tmp_path / "kept"
            )

    def test_of_what_a_comparison_trains_on(self, plain, wrong, small_net, tmp_path):
        for place in ("training", "validation"):
            sets = {"train": plain, "val": plain, {"training": "train"}.get(place, "val"): wrong}
            with pytest.raises(prac.PracError, match=f"^x of example 3 of the {place} data is"):
                prac.compare(
                    small_net, sets["train"], quick(levels=1), val=sets["val"], test=plain,
                    seeds=(0, 1), out=tmp_path / "all",
                )  # fmt: skip


def test_what_a_model_returns_has_its_article(train):
    class Wrapped(nn.Linear):
        def forward(self, x: Tensor) -> Any:
            return Image()

    class Image:
        pass

    with pytest.raises(prac.PracError, match=r"^the model returns an Image in evaluation mode"):
        notices(Wrapped(64, 10), train)
