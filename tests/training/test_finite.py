"""What is not finite in the data is named; what the network or the loss takes is let pass."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.data import Dataset

import prac
from prac.cli import main
from prac.data import MapExamples
from prac.runs import read_metrics
from tests.conftest import quick

N = 300
X = torch.randn(N, 4, generator=torch.Generator().manual_seed(0))
Y = torch.arange(N) % 3
TARGETS = X[:, :1] * 0.5
UNSEEN = 6  # Not among the 256 that the fingerprint is made of.
NAN, INF = math.nan, math.inf

CONFIG = replace(quick(levels=1), prune=prac.PruneConfig(layers="linear"))
near: dict[str, Any] = {"correct": lambda o, t: (o - t).abs().squeeze(1) < 0.1, "prediction": None}
REGRESSION = prac.Task(loss=F.mse_loss, **near)


def known_only(outputs: Tensor, targets: Tensor) -> Tensor:
    """Return the squared error of the targets that are there."""
    there = ~targets.isnan()
    return (outputs - targets)[there].square().mean()


class Pairs(Dataset):
    """A plain map-style data set."""

    def __init__(self, x: Tensor, y: Tensor) -> None:
        self.x, self.y = x, y

    def __len__(self) -> int:
        return len(self.x)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        return self.x[index], self.y[index]


class Net(nn.Module):
    """A small network that may replace what is not finite."""

    def __init__(self, outputs: int = 3, *, replaces: bool = False) -> None:
        super().__init__()
        with torch.random.fork_rng():
            torch.manual_seed(0)
            self.into, self.out = nn.Linear(4, 8), nn.Linear(8, outputs)
        self.replaces = replaces

    def forward(self, x: Tensor) -> Tensor:
        return self.out(self.into(x.nan_to_num(0, 0, 0) if self.replaces else x).relu())


def found(out: Path, model: nn.Module, train: Any, val: Any = None, **more: Any) -> prac.Search:
    return prac.find(model, train, more.pop("config", CONFIG), val=val, out=out, **more)


def with_value(value: float, at: int, of: Tensor = X) -> Tensor:
    changed = of.clone()
    changed[at, 0] = value
    return changed


def refused(part: str, at: int, name: str, holds: str) -> Any:
    told = f"^{part} of example {at} of the {name} data holds {holds}, and the loss with it is no"
    return pytest.raises(prac.PracError, match=told)


@pytest.mark.parametrize("as_set", [tuple, lambda pair: Pairs(*pair)])
@pytest.mark.parametrize(("value", "holds"), [(NAN, "NaN"), (-INF, "an infinite value")])
def test_an_example_with_such_a_value_is_named_before_training(tmp_path, as_set, value, holds):
    bad = as_set((with_value(value, 0), Y))
    with refused("x", 0, "training", holds):
        found(tmp_path / "a", Net(), bad)
    with refused("x", 0, "validation", holds):
        found(tmp_path / "b", Net(), as_set((X, Y)), bad)
    assert not list(tmp_path.rglob("metrics.jsonl"))


def test_in_memory_every_example_is_looked_at(tmp_path):
    with refused("x", UNSEEN, "training", "NaN"):
        found(tmp_path / "a", Net(), (with_value(NAN, UNSEEN), Y))
    with refused("y", 299, "training", "NaN"):
        found(tmp_path / "b", Net(1), (X, with_value(NAN, 299, TARGETS)), task=REGRESSION)


def test_what_was_not_looked_at_is_named_once_it_gives_a_loss_that_is_not_finite(tmp_path):
    bad = Pairs(with_value(NAN, UNSEEN), Y)
    assert not MapExamples(bad).not_finite
    with refused("x", UNSEEN, "training", "NaN"):
        found(tmp_path / "a", Net(), bad)
    with refused("x", UNSEEN, "validation", "NaN"):
        found(tmp_path / "b", Net(), Pairs(X, Y), bad)
    with refused("y", UNSEEN, "training", "an infinite value"):
        bad = Pairs(X, with_value(INF, UNSEEN, TARGETS))
        found(tmp_path / "c", Net(1), bad, task=REGRESSION)


def test_augmentation_that_gives_such_values_is_named(tmp_path):
    class Augmented(Pairs):
        def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
            return self.x[index] * (NAN if index == 5 else 1.0), self.y[index]

    examples = MapExamples(Augmented(X, Y), unaugmented=Pairs(X, Y))
    with refused("x", 5, "training", "NaN"):
        found(tmp_path / "run", Net(), examples)


@pytest.mark.parametrize("as_set", [tuple, lambda pair: Pairs(*pair)])
@pytest.mark.parametrize("at", [0, UNSEEN])
def test_a_network_may_take_such_values(tmp_path, as_set, at):
    x = with_value(INF, at + 1, with_value(NAN, at))
    search = found(tmp_path / "run", Net(replaces=True), as_set((x, Y)), as_set((x, Y)))
    assert len(search.levels) == 2


@pytest.mark.filterwarnings("ignore:.*never counted as right")
@pytest.mark.parametrize("as_set", [tuple, lambda pair: Pairs(*pair)])
@pytest.mark.parametrize("missing", [1, 100, 299])
def test_a_loss_may_leave_missing_targets_out(tmp_path, as_set, missing):
    targets = TARGETS.clone()
    targets[:missing] = NAN
    zero_for_none = lambda o, t: known_only(o, t).nan_to_num(0) + o.sum() * 0  # noqa: E731
    task = prac.Task(loss=known_only if missing < 200 else zero_for_none, **near)
    search = found(tmp_path / "run", Net(1), as_set((X, targets)), task=task)
    assert len(search.levels) == 2


@pytest.mark.filterwarnings("ignore:.*never counted as right")
def test_each_example_may_lack_some_of_its_targets(tmp_path):
    targets = torch.cat([TARGETS, TARGETS, TARGETS], 1)
    targets[torch.arange(N), torch.arange(N) % 3] = NAN
    targets[7] = NAN  # Of this one, all.
    correct = lambda o, t: ((o - t).abs() < 0.1).all(1)  # noqa: E731
    task = prac.Task(loss=known_only, correct=correct, prediction=None)
    assert found(tmp_path / "run", Net(), (X, targets), task=task).levels


def test_of_several_kinds_the_one_that_is_not_taken_is_named(tmp_path):
    targets = with_value(NAN, 1, TARGETS)
    task = prac.Task(loss=known_only, **near)
    with refused("x", 9, "training", "an infinite value"):
        found(tmp_path / "run", Net(1), (with_value(INF, 9), targets), task=task)


def test_a_loss_that_refuses_such_values_by_an_error_is_told_alike(tmp_path):
    def loss(outputs: Tensor, targets: Tensor) -> Tensor:
        return -torch.distributions.Normal(outputs, 1.0).log_prob(targets).mean()

    with refused("x", 3, "training", "NaN"):
        task = prac.Task(loss=loss, **near)
        found(tmp_path / "run", Net(1), (with_value(NAN, 3), TARGETS), task=task)


def test_test_examples_are_looked_at_too(tmp_path):
    ticket = found(tmp_path / "run", Net(), (X, Y)).tickets[0]
    for test in ((with_value(NAN, UNSEEN), Y), Pairs(with_value(NAN, UNSEEN), Y)):
        with refused("x", UNSEEN, "test", "NaN"):
            prac.retrain(ticket, Net(), (X, Y), CONFIG.train, test=test)


def test_a_rate_that_is_too_high_is_told_as_before(tmp_path):
    config = replace(CONFIG, train=prac.TrainConfig(epochs=1, batch_size=32, lr=1e30))
    x = with_value(NAN, 2)  # Which the network takes.
    with pytest.raises(prac.PracError, match=r"^the loss is not finite at level 0, .*lower --lr"):
        found(tmp_path / "a", Net(replaces=True), (x, Y), config=config)
    with pytest.raises(prac.PracError, match=r"^the loss is not finite at level 0, .*lower --lr"):
        found(tmp_path / "b", Net(replaces=True), Pairs(x, Y), config=config)


@pytest.mark.parametrize(
    ("x", "y", "told"),
    [
        (X, TARGETS * 1e20, r"y from -\S*e\+\d\d to \S*e\+\d\d"),
        (X * 1e30, TARGETS, r"x from -\S*e\+30 to \S*e\+30"),
    ],
)
def test_data_of_a_scale_that_no_rate_mends_is_told_with_its_range(tmp_path, x, y, told):
    message = f"^the loss does not stay finite, with .*{told}.* in a batch: scale the data"
    with pytest.raises(prac.PracError, match=message):
        found(tmp_path / "run", Net(1), (x, y), task=REGRESSION)


def test_a_value_that_a_relu_hides_is_named_for_what_its_gradients_come_to(tmp_path):
    model = Net()
    nn.init.ones_(model.into.weight)
    x = X.clone()
    x[5] = -INF
    assert model(x).isfinite().all()
    with refused("x", 5, "training", "an infinite value"):
        found(tmp_path / "run", model, (x, Y))
    # Of held-out examples no gradients are taken.
    assert found(tmp_path / "run", model, (X, Y), val=(x, Y)).finished


def test_losses_of_examples_that_are_not_finite_are_told_as_such(tmp_path):
    def losses(outputs: Tensor, targets: Tensor) -> Tensor:
        each = F.cross_entropy(outputs, targets, reduction="none")
        return torch.where(targets > 0, each, NAN)

    sample = prac.SampleConfig(rule="infobatch")
    told = (
        "^an example's loss is not finite at level 0, .*`losses` gave it for example [0-9]+, alth"
    )
    with pytest.raises(prac.PracError, match=told):
        found(
            tmp_path / "run",
            Net(),
            (X, Y),
            task=prac.Task(losses=losses),
            config=replace(CONFIG, sample=sample),
        )


def test_a_validation_loss_that_is_not_finite_is_null_and_can_be_looked_at(tmp_path, capsys):
    run = tmp_path / "run"
    val = (X, torch.full_like(TARGETS, 1e30))

    def search() -> prac.Search:
        torch.manual_seed(0)
        return found(run, Net(1), (X, TARGETS), val, task=REGRESSION)

    search()

    def refuse(name: str) -> None:
        raise AssertionError(f"{name} is no JSON")

    for path in [*run.rglob("*.json"), *run.rglob("*.jsonl")]:
        for text in (
            path.read_text().splitlines() if path.suffix == ".jsonl" else [path.read_text()]
        ):
            json.loads(text, parse_constant=refuse)
    metrics = run / "metrics.jsonl"
    assert [line["val_loss"] for line in read_metrics(run)] == [None] * len(read_metrics(run))
    # As prac 0.1 wrote it.
    metrics.write_text(metrics.read_text().replace('"val_loss": null', '"val_loss": Infinity'))
    assert {line["val_loss"] for line in read_metrics(run)} == {None}
    assert len(search().levels) == 2
    for words in (["inspect", str(run)], ["inspect", str(metrics), "--json"], ["report", str(run)]):
        assert main(words) == 0
        assert "Infinity" not in capsys.readouterr().out
