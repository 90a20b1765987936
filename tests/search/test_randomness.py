"""Whatever a network or a rule draws from, and wherever, the same call finds the same."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import prac
from tests.conftest import SmallNet


class Drawing(nn.Module):
    """A small network that leaves a branch out by chance, in training and in evaluation."""

    def __init__(self, draw: Callable[[Any], float], source: Any = None) -> None:
        super().__init__()
        self.net, self.branch = SmallNet(), nn.Linear(64, 10)
        with torch.no_grad():
            for parameter in self.branch.parameters():
                parameter.fill_(0.01)
        self.draw, self.source = draw, source

    def forward(self, x: Tensor) -> Tensor:
        out = self.net(x)
        return out + self.branch(x.flatten(1)) if self.draw(self.source) > 0.5 else out


def of_python(_: Any) -> float:
    return random.random()


def of_numpy(_: Any) -> float:
    return float(np.random.rand())


def of_torch(_: Any) -> float:
    return float(torch.rand(1))


def of_its_own(source: Any) -> float:
    return float(source.random())


def of_torch_by_its_own(source: Any) -> float:
    return float(torch.rand(1, generator=source))


NETWORKS = {
    "python": lambda: Drawing(of_python),
    "numpy": lambda: Drawing(of_numpy),
    "torch": lambda: Drawing(of_torch),
    "own of python": lambda: Drawing(of_its_own, random.Random(3)),
    "own of numpy": lambda: Drawing(of_its_own, np.random.default_rng(3)),
    "own of torch": lambda: Drawing(of_torch_by_its_own, torch.Generator().manual_seed(3)),
}


FILES = ("levels/*/ticket.safetensors", "levels/*/subset.safetensors", "metrics.jsonl")


class CutError(Exception):
    """Stands for whatever ended the process."""


def muddle() -> None:
    """Leave all global generators in states that nobody knows."""
    random.seed()
    np.random.seed()
    torch.seed()


@pytest.mark.parametrize("which", NETWORKS)
def test_a_network_that_draws_is_searched_alike_each_time_cut_or_not(
    which, train, val, config, tmp_path, run_files
):
    settings = config(levels=2)

    def search(name: str, **more: Any) -> dict[str, bytes]:
        muddle()
        prac.find(NETWORKS[which](), train, settings, val=val, out=tmp_path / name, **more)
        return run_files(tmp_path / name, *FILES)

    whole = search("one")
    assert search("two") == whole
    saved = 0

    def cut(event: prac.Event) -> None:
        nonlocal saved
        saved += event.kind == "saved"  # Within an epoch.
        if saved == 5:
            raise CutError

    with pytest.raises(CutError):
        search("three", run_control=prac.RunControl(save_every=2), callback=cut)
    assert search("three") == whole


def test_rules_of_ones_own_draw_from_the_search_s_seed(
    small_net, train, config, tmp_path, run_files
):
    def choose(stats: prac.LevelStats) -> Tensor:
        return torch.randperm(300)[: 100 + random.randrange(50)]

    def score(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
        return {
            name: torch.as_tensor(np.random.rand(*weight.shape)) for name, weight in weights.items()
        }

    def search(name: str, seed: int) -> dict[str, bytes]:
        muddle()
        settings, out = config(seed=seed), tmp_path / name
        prac.find(small_net(), train, settings, out=out, choose=choose, score=score)
        return run_files(tmp_path / name, *FILES)

    one = search("one", 0)
    assert search("two", 0) == one
    assert not set(search("three", 1).values()) & set(one.values())


@pytest.mark.parametrize("which", [name for name in NETWORKS if name.startswith("own")])
def test_a_search_leaves_all_generators_as_they_were(which, train, config, tmp_path):
    model, other = NETWORKS[which](), NETWORKS[which]()
    torch.manual_seed(1), random.seed(1), np.random.seed(1)
    expected = [of_torch(0), of_python(0), of_numpy(0), other.draw(other.source)]
    torch.manual_seed(1), random.seed(1), np.random.seed(1)
    prac.find(model, train, config(levels=1), out=tmp_path / "run")
    assert [of_torch(0), of_python(0), of_numpy(0), model.draw(model.source)] == expected
