"""Before anything is written a copy is trained for two whole steps; what fails is one line."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import prac
from prac.cli import main
from prac.errors import PracError
from prac.models import snapshot
from tests.conftest import SmallNet


class Bag(nn.Module):
    """Words as sparse embeddings."""

    def __init__(self) -> None:
        super().__init__()
        with torch.random.fork_rng():
            torch.manual_seed(0)
            self.words, self.out = nn.EmbeddingBag(30, 16, sparse=True), nn.Linear(16, 3)

    def forward(self, tokens: Tensor) -> Tensor:
        return self.out(self.words(tokens))


@pytest.fixture
def sentences() -> tuple[Tensor, Tensor]:
    tokens = torch.randint(0, 30, (64, 5), generator=torch.Generator().manual_seed(0))
    return tokens, torch.arange(64) % 3


def trained(**changes: Any) -> prac.TrainConfig:
    return prac.TrainConfig(**{"epochs": 2, "batch_size": 16, "lr": 0.05, **changes})


TO_EMBEDDINGS = prac.PruneConfig(layers="auto+embedding")


def test_sparse_gradients_are_trained_on_where_the_optimizer_takes_them(
    sentences, config, tmp_path
):
    settings = config(train=trained(weight_decay=0), prune=TO_EMBEDDINGS)
    search = prac.find(Bag(), sentences, settings, out=tmp_path / "run")
    ticket = search.tickets[3]
    assert not ticket.masks["words.weight"].all()
    model, _ = prac.retrain(ticket, Bag(), sentences, settings.train)
    assert model.words.weight[~ticket.masks["words.weight"]].eq(0).all()


@pytest.mark.parametrize(
    "changes",
    [
        {"weight_decay": 1e-4},
        {"optimizer": "adam", "weight_decay": 0.0},
        {"optimizer": "adamw", "weight_decay": 0.01},
    ],
)
@pytest.mark.parametrize("call", ["find", "retrain", "judge"])
def test_sparse_gradients_are_told_where_it_does_not(call, changes, sentences, config, tmp_path):
    good, bad = trained(weight_decay=0), trained(**changes)
    settings = config(train=good, prune=TO_EMBEDDINGS, levels=1)
    told = f"optimizer '{bad.optimizer}' with weight decay .* 'words.weight' has them: make its lay"
    if call == "find":
        with pytest.raises(PracError, match=told):
            prac.find(Bag(), sentences, config(train=bad), out=tmp_path / "run")
        assert not (tmp_path / "run").exists()
        return
    search = prac.find(Bag(), sentences, settings, out=tmp_path / "run")
    calls: dict[str, Callable[[], object]] = {
        "retrain": lambda: prac.retrain(
            search.tickets[1], Bag(), sentences, bad, out=tmp_path / "kept"
        ),
        "judge": lambda: prac.judge(search, Bag, sentences, test=sentences, config=bad),
    }
    with pytest.raises(PracError, match=told):
        calls[call]()
    assert not (tmp_path / "kept").exists()


class Stateful(SmallNet):
    """Goes on from what it kept of the last batch, as recurrent networks do."""

    def __init__(self, *, detaches: bool) -> None:
        super().__init__()
        self.detaches = detaches
        self.kept: Tensor | None = None

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = super().forward(x)
        if self.kept is not None:
            out = out + 0.01 * self.kept.mean(0)
        self.kept = out.detach() if self.detaches else out
        return out


def test_a_graph_that_is_kept_for_the_next_batch_is_told_before_anything_is_written(
    train, config, tmp_path
):
    out = tmp_path / "run"
    with pytest.raises(PracError, match=r"backward through the model.*detach\(\) what it keeps"):
        prac.find(Stateful(detaches=False), train, config(), out=out)
    assert not out.exists()
    assert prac.find(Stateful(detaches=True), train, config(levels=1), out=out).finished


class InPlace(SmallNet):
    """Changes in place what its backward pass needs."""

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = super().forward(x)
        halves = out.exp()
        halves.mul_(2)
        return halves


def test_a_model_that_has_no_backward_pass_is_told(train, config, tmp_path):
    with pytest.raises(PracError, match=r"backward through the model: .*modified by an inplace"):
        prac.find(InPlace(), train, config(), out=tmp_path / "run")


def test_trying_trains_nothing_and_draws_nothing(train, config, tmp_path):
    class Dropping(SmallNet):
        def forward(self, x: Tensor) -> Tensor:
            return nn.functional.dropout(super().forward(x), 0.5, training=self.training)

    model = Dropping()
    before, state = snapshot(model), torch.get_rng_state()
    prac.find(model, train, config(levels=1), out=tmp_path / "run")
    first = prac.Ticket.load(tmp_path / "run/levels/00/ticket.safetensors")
    assert all(first.weights[name].equal(value) for name, value in before.items())
    assert torch.equal(torch.get_rng_state(), state)
    assert all(parameter.grad is None for parameter in model.parameters())


def test_a_command_says_it_in_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["--data", "digits", "--limit", "100", "--model", "tests.training.test_whole_step:nets"]
    assert main(["find", *words, "--epochs", "1", "--out", str(tmp_path / "run")]) == 2
    (line,) = [line for line in capsys.readouterr().err.splitlines() if "error" in line]
    assert "detach() what it keeps" in line


def nets(num_classes: int) -> nn.Module:
    return Stateful(detaches=False)
