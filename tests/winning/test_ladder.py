"""Which methods are tried, which can go on from another's ticket, what gives a ticket up."""

from __future__ import annotations

from itertools import pairwise

import pytest

import prac
from prac.errors import PracError
from prac.evaluation import Trial, Trials
from prac.search import planned
from prac.training import Problem, RunOptions
from prac.winning import LADDER, WITH_BATCHNORM, rungs
from prac.winning.ladder import goes_on, searches_at_once
from prac.winning.proof import is_lost


@pytest.fixture
def of(config):
    """Return methods by name as they search, of a short search."""
    return lambda *names, **changes: rungs(names, config("imp", **changes))


@pytest.mark.parametrize("methods", [LADDER, WITH_BATCHNORM])
def test_the_ladder_s_methods_cost_more_and_more(methods, small_net, train, config):
    problem = Problem.of(
        small_net(), train, None, task=prac.Task(), runtime=RunOptions().runtime("fp32"),
        config=config().train,
    )  # fmt: skip
    specs = rungs(methods, config("imp", levels=6, train=prac.TrainConfig(epochs=20)))
    costs = [planned(problem, spec.config).most_iterations for spec in specs]
    assert all(cheap < dear for cheap, dear in pairwise(costs))


@pytest.mark.parametrize(
    ("names", "settings", "told"),
    [
        (("random-subset@prac",), {}, "works at the cost of another"),
        (("lr-rewinding",), {}, "by being trained again"),
        (("imp",), {"rewind": "learning-rate"}, "by being trained again"),
        (("imp", "imp"), {}, "names 'imp' twice"),
        (("carreid",), {}, "unknown method 'carreid': did you mean 'carried'"),
        ((), {}, "methods is empty"),
        (("carried:dense-budget=2",), {}, "dense_budget"),
    ],
)
def test_what_cannot_win_is_refused(of, names, settings, told):
    with pytest.raises(PracError, match=told) as error:
        of(*names, **settings)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("names", "can"),
    [
        (("carried", "imp"), True),
        (("imp", "carried"), True),
        (("imp", "cts"), False),  # Scores are learned from the dense network on.
        (("carried", "prac"), False),  # CEP needs predictions that nobody made.
        (("prac", "prac-carried"), True),
        (("prac", "el2n"), False),
        (("el2n", "el2n-ccs"), True),
        (("carried", "cet"), True),  # Forgetting is always counted.
        (("carried", "one-shot"), False),
        (("carried", "snip"), False),
        (("carried", "imp:scope=layer"), False),
    ],
)
def test_a_method_goes_on_where_it_knows_all_it_needs(of, names, can):
    before, spec = of(*names)
    assert goes_on(spec, [before]) is can


def test_what_is_rewound_is_searched_no_further_than_it_is_judged(of):
    names = {"carried": True, "imp": False, "prac": False, "one-shot": True, "snip": True}
    assert {spec.name: searches_at_once(spec) for spec in of(*names)} == names


def test_a_ticket_is_given_up_where_no_hope_is_left():
    dense = Trials(tuple(Trial(seed, of, "") for seed, of in enumerate((0.97, 0.98, 0.99))))
    # Asked for are 0.97: 0.93 and twice 0.99 are as much, by a hair.
    assert not is_lost([0.93], 3, dense, 0.99)
    assert is_lost([0.9299], 3, dense, 0.99)
    assert not is_lost([0.9299], 3, dense, 0.995)  # Of which tickets have shown that it is reached.
    assert is_lost([0.95, 0.96], 3, dense, 0.99)
    assert not is_lost([0.96, 0.96], 3, dense, 0.99)
