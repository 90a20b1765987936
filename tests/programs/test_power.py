"""The power of comparisons: differences and plans by hand, and the page from folders."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from experiments import power
from prac.comparison import Comparison
from prac.comparison.record import JudgedTicket, Run
from prac.evaluation import TestSet
from prac.runs import Cost


def run(method: str, seed: int, dense: float, ticket: float) -> Run:
    cost = Cost(iterations=10, seconds=60.0)
    judged = (
        JudgedTicket(0, 1.0, dense, "gone/0", Cost(), Cost()),
        JudgedTicket(4, 0.41, ticket, "gone/4", cost, cost),
    )
    return Run(method, seed, f"runs/{method}/seed-{seed}", tickets=judged)


@pytest.fixture
def comparison(tmp_path: Path) -> Comparison:
    dense = (0.90, 0.91, 0.92, 0.93)
    tickets = {"imp": (0.90, 0.92, 0.92, 0.94), "prac": (0.89, 0.92, 0.91, 0.92)}
    runs = tuple(
        run(method, seed, *pair)
        for method, values in tickets.items()
        for seed, pair in enumerate(zip(dense, values, strict=True))
    )
    settings = {"data": "/somewhere/digits.npz", "model": "lenet_300_100"}
    found = Comparison(tmp_path / "small", (0, 1, 2, 3), (0, 4), settings, runs, TestSet(400, 0.1))
    found.write()
    return found


def test_differences_are_paired_by_seed(comparison):
    assert power.of_tickets(comparison)["imp"] == [
        pytest.approx({0: 0.0, 1: 0.01, 2: 0.0, 3: 0.01})
    ]
    assert power.of_methods(comparison) == {
        "imp, prac": [pytest.approx({0: 0.01, 1: 0.0, 2: 0.01, 3: 0.02})]
    }


def test_spreads_are_pooled_and_named_by_method():
    found = power.spread({"one": [{0: 0.0, 1: 0.02}], "other": [{0: 0.0, 1: 0.0}]})
    assert found is not None
    assert found["deviation"] == pytest.approx(0.01)  # Variances 0.0002 and 0.
    assert (found["least"], found["most"], found["groups"]) == (
        0.0,
        pytest.approx(0.02**0.5 / 10),
        2,
    )
    assert found["needed"]["0.01"] == 8  # One deviation.
    assert power.spread({}) is power.spread({"one": [{0: 0.1, 1: 0.1}]}) is None


def test_plans_of_few_seeds_are_held_against_all():
    # Any two differ by 0.02 or not at all, which names no seeds: too few.
    levels = {"one": [{0: 0.0, 1: 0.02, 2: 0.0}]}
    found = power.planned(levels, 2)
    assert found is not None
    assert found["plans"] == 3
    assert found["too_few"] == pytest.approx(1 / 3)
    assert found["near"] + found["too_few"] + found["too_many"] == pytest.approx(1)
    # 0.0141 over the median of chi-square is 0.021, against 0.0115 of all: 3.3 times the seeds.
    assert found["too_many"] == pytest.approx(2 / 3)
    assert found["bound_held"] == pytest.approx(2 / 3)
    assert 0.28 < found["near_by_theory"] < 0.31
    assert power.planned(levels, 3) is None


def test_the_page_is_made_from_folders(comparison, tmp_path):
    power.main([str(comparison.path), "--results", str(tmp_path)])
    found = json.loads((tmp_path / "power.json").read_text())["small"]
    assert (found["data"], found["seeds"], found["levels"]) == ("digits", 4, [4])
    assert found["seconds_a_seed"] is None, "no training is kept"
    assert list(found["planned"]) == ["2", "3"]
    page = (tmp_path / "power.md").read_text()
    assert "| small | digits, lenet_300_100 | 4 | 0.82 (0.58 to 1.00) |" in page
    assert "| small | 2 of 4 | 12 |" in page
    assert "$ python -m experiments.power runs/small" in page
    assert str(tmp_path) not in page + json.dumps(found)
