"""The power of comparisons: differences and plans by hand, and the page from committed figures."""

from __future__ import annotations

import pytest

from experiments import pages, power

DENSE = {0: 0.90, 1: 0.91, 2: 0.92, 3: 0.93}


@pytest.fixture
def compared() -> power.Compared:
    tickets = {"imp": (0.90, 0.92, 0.92, 0.94), "prac": (0.89, 0.92, 0.91, 0.92)}
    values = {method: {0: DENSE, 4: dict(enumerate(of))} for method, of in tickets.items()}
    return power.Compared("small digits", 400, values)


def test_differences_are_paired_by_seed(compared):
    assert power.of_tickets(compared)["imp"] == [pytest.approx({0: 0.0, 1: 0.01, 2: 0.0, 3: 0.01})]
    assert power.of_methods(compared) == {
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


def test_the_page_tells_of_a_comparison(compared):
    found = power.results(compared)
    assert (found["seeds"], found["levels"], list(found["planned"])) == (4, [4], ["2", "3"])
    page = power.page({"small": found})
    assert "| [small](small.md) | small digits | 4 | 0.82 (0.58 to 1.00) |" in page
    assert "| [small](small.md) | 2 of 4 | 12 |" in page


def test_figures_of_a_page_of_rivals_are_read():
    tickets = [{"level": level, "accuracy": value} for level, value in ((0, 0.9), (4, 0.8))]
    runs = [{"method": "imp", "seed": seed, "tickets": tickets} for seed in (3, 5)]
    read = power.of_rivals({"title": "any", "runs": runs})
    assert read.values == {"imp": {0: {3: 0.9, 5: 0.9}, 4: {3: 0.8, 5: 0.8}}}


def test_figures_of_critical_examples_are_read():
    read = power.of_critical({"title": "any", "values": {"prac": {"8": [0.8, 0.9]}}}, 397)
    assert (read.values, read.seeds, read.levels) == ({"prac": {8: {0: 0.8, 1: 0.9}}}, {0, 1}, [8])
    assert read.test_size == 397


def test_the_committed_figures_are_those_of_all_comparisons():
    compared, known = dict(power.comparisons()), pages.read(power.NAME)
    assert known.keys() == compared.keys()
    # The others, of many seeds, make ten thousands of plans.
    for name in ("cheap-cifar", "rivals-mnist"):
        assert power.results(compared[name]) == known[name]
