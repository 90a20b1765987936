"""Pools: averages of tickets trained anyway, known ones by hand, and those of a judged run."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from torch import nn

import prac
from prac.algorithms import ones
from prac.data import TensorExamples
from prac.evaluation.pools import SHARES, pool
from prac.models import snapshot
from prac.training import Problem, Runtime


def linear(weight: list[list[float]]) -> dict[str, torch.Tensor]:
    return {"0.weight": torch.tensor(weight)}


@pytest.fixture
def signs() -> tuple[torch.Tensor, torch.Tensor]:
    """Points of two coordinates whose class is the first one's sign."""
    x = torch.randn(200, 2, generator=torch.Generator().manual_seed(0))
    return x, (x[:, 0] > 0).long()


def problem_of(x: torch.Tensor, y: torch.Tensor) -> Problem:
    model = nn.Sequential(nn.Linear(2, 2, bias=False))
    runtime = Runtime(torch.device("cpu"))
    return Problem.of(model, (x, y), (x, y), runtime=runtime, batch_size=20)


def test_a_neighbour_is_taken_in_as_far_as_it_validates_better(signs):
    problem, test = problem_of(*signs), TensorExamples(*signs)
    # Each is misled by the second coordinate, the other way: half-way between, by nothing.
    own, other = linear([[-1.0, 1.0], [1.0, -1.0]]), linear([[-1.0, -1.0], [1.0, 1.0]])
    masks = ones(own)
    alone = pool(problem, test, own, masks, [])
    assert alone.shares == ()
    assert 0.6 < alone.value < 0.9
    both = pool(problem, test, own, masks, [other])
    assert both.shares == (0.5,)
    assert both.value == 1.0
    wrong = linear([[1.0, 0.0], [-1.0, 0.0]])
    assert pool(problem, test, own, masks, [wrong]).shares == (0.0,)
    assert pool(problem, test, own, masks, [wrong]).value == alone.value
    assert pool(problem, test, own, masks, [wrong, other]).shares == (0.0, 0.5)


def test_an_average_is_as_sparse_as_the_ticket(signs):
    problem, test = problem_of(*signs), TensorExamples(*signs)
    masks = {"0.weight": torch.tensor([[True, False], [True, True]])}
    own = linear([[-1.0, 0.0], [1.0, 2.0]])
    found = pool(problem, test, own, masks, [linear([[-1.0, 5.0], [1.0, -2.0]])])
    assert found.shares[0] > 0
    weights = snapshot(problem.model)["0.weight"]
    assert weights[0, 1] == 0
    share = found.shares[0]
    torch.testing.assert_close(weights[1, 1], torch.tensor(2 - 4 * share))
    assert share in SHARES


def test_what_validates_no_better_is_left_out(signs):
    problem, test = problem_of(*signs), TensorExamples(*signs)
    own = linear([[-1.0, 1.0], [1.0, -1.0]])
    assert pool(problem, test, own, ones(own), [own]).shares == (0.0,)


def test_batchnorm_is_estimated_anew(signs):
    model = nn.Sequential(nn.Linear(2, 2, bias=False), nn.BatchNorm1d(2))
    runtime = Runtime(torch.device("cpu"))
    problem = Problem.of(model, signs, signs, runtime=runtime, batch_size=20)
    # Statistics of no data, under which one class wins always.
    wrong = {"1.running_mean": torch.tensor([90.0, -90.0]), "1.running_var": torch.ones(2)}
    own = {**snapshot(model), **linear([[-1.0, 1.0], [1.0, -1.0]]), **wrong}
    other = {**own, **linear([[-1.0, -1.0], [1.0, 1.0]])}
    found = pool(problem, TensorExamples(*signs), own, {}, [other])
    assert found.shares[0] > 0
    assert found.value > 0.9
    assert snapshot(model)["1.running_mean"].abs().max() < 1


def judged(search: prac.Search, fresh, train, val, test, events, **options) -> prac.Verdict:
    return prac.judge(
        search, fresh, train, val=val, test=test, seeds=(0, 1), callback=events.append, **options
    )


def test_pools_are_in_the_verdict_and_made_once(small_net, train, val, digits, config, tmp_path):
    test = digits[0][400:600], digits[1][400:600]
    search = prac.find(small_net(), train, config(levels=3), val=val, out=tmp_path / "run")
    first: list[prac.Event] = []
    plain = judged(search, small_net, train, val, test, first)
    assert all(level.pooled is None for level in plain.levels)
    events: list[prac.Event] = []
    verdict = judged(search, small_net, train, val, test, events, pools=True)
    assert not any(event.kind == "epoch" for event in events), "nothing is trained"
    assert [e.level for e in events if e.kind == "pool"] == [1, 1, 2, 2, 3, 3]
    assert verdict.levels[0].pooled is None
    for level in verdict.levels[1:]:
        assert level.pooled is not None
        assert [run.seed for run in level.pooled.runs] == [0, 1]
    assert [level.verdict for level in verdict.levels] == [one.verdict for one in plain.levels]
    pools = {path: path.read_bytes() for path in Path(search.path).glob("judged/pool-*.json")}
    assert len(pools) == 6
    again = judged(search, small_net, train, val, test, [], pools=True)
    assert again.to_json() == verdict.to_json()
    assert {path: path.read_bytes() for path in pools} == pools
    loaded = prac.Verdict.load(search)
    assert loaded is not None
    assert loaded.to_json() == verdict.to_json()
    shares = [len(json.loads(path.read_text())["shares"]) for path in sorted(pools)]
    assert sorted(shares) == [1, 1, 1, 1, 2, 2], "the dense network is no neighbour"


def test_without_validation_data_there_is_nothing_to_choose_by(
    small_net, train, digits, config, tmp_path
):
    search = prac.find(small_net(), train, config(levels=1), out=tmp_path / "run")
    with pytest.raises(prac.PracError, match="pools are chosen by results on validation data"):
        prac.judge(search, small_net, train, test=train, seeds=(0, 1), pools=True)
    assert not (tmp_path / "run" / "judged").exists()
