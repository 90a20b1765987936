"""Whatever torch's default type is, what prac makes of its own has the types that it always has."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import nn

import prac
from prac.config import METHODS, from_flat
from prac.models import snapshot
from tests.conftest import SmallNet

FILES = ("levels/*/*.safetensors", "metrics.jsonl")
QUICK = {"levels": 2, "epochs": 3, "batch_size": 50, "milestones": (2,), "layers": "conv+linear"}
SGD, ADAM = {"lr": 0.1}, {"lr": 1e-3, "optimizer": "adam"}
NAMES = ["prac", "infobatch", "rs2", "el2n", "random-pruning", "snip", "adam"]


def settings_of(name: str) -> prac.SearchConfig:
    method = METHODS["prac" if name == "adam" else name]
    more = {"el2n_epoch": 2} if name == "el2n" else {}
    return from_flat(
        prac.SearchConfig, {**QUICK, **(ADAM if name == "adam" else SGD), **method, **more}
    )


@pytest.fixture(params=[torch.float64, torch.bfloat16])
def other_default(request: pytest.FixtureRequest) -> Iterator[torch.dtype]:
    before = torch.get_default_dtype()
    yield request.param
    torch.set_default_dtype(before)


class CutError(Exception):
    """Stands for whatever ended the process."""


@pytest.mark.parametrize("name", NAMES)
def test_a_search_of_the_same_network_is_the_same_whatever_the_default(
    name, other_default, train, val, tmp_path, run_files
):
    settings, models, saved = settings_of(name), [SmallNet() for _ in range(4)], 0

    def search(out: str, **more: Any) -> dict[str, bytes]:
        prac.find(models.pop(), train, settings, val=val, out=tmp_path / out, **more)
        return run_files(tmp_path / out, *FILES)

    def cut(event: prac.Event) -> None:
        nonlocal saved
        saved += event.kind in ("saved", "pruned")
        if saved == 2:
            raise CutError

    expected = search("one")
    torch.set_default_dtype(other_default)
    assert search("two") == expected
    if settings.prune.when == "at-init":
        return
    with pytest.raises(CutError):
        search("three", run_control=prac.RunControl(save_every=2), callback=cut)
    assert search("three") == expected


def test_a_network_and_data_in_float64_are_searched_retrained_and_judged(
    train, val, config, tmp_path
):
    x, y = train
    arrays = x.double().numpy(), y.numpy()
    held_out = val[0].double().numpy(), val[1].numpy()
    torch.set_default_dtype(torch.float64)
    try:
        settings = config(levels=1)
        search = prac.find(SmallNet(), arrays, settings, val=held_out, out=tmp_path / "run")
        assert search.tickets[1].weights["0.weight"].dtype == torch.float64
        _, history = prac.retrain(
            search.tickets[1], SmallNet(), arrays, settings.train, val=held_out, test=held_out
        )
        assert history.test_accuracy is not None
        assert history.test_accuracy > 0.5
        verdict = prac.judge(search, SmallNet, arrays, val=held_out, test=held_out, seeds=[0])
        assert len(verdict.levels) == 2
    finally:
        torch.set_default_dtype(torch.float32)
    assert snapshot(nn.Linear(1, 1))["weight"].dtype == torch.float32
