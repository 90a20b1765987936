"""What a search says of critical examples is what the committed figures say."""

from __future__ import annotations

from collections.abc import Iterator

from experiments import critical_page, pages
from prac.config import SearchConfig, StopConfig
from prac.evaluation import RELIABLE, mean, worse
from prac.search.notices import expected

STOPS = {
    "prac": StopConfig(arm="above-once"),
    "prac:arm=at-once": StopConfig(),
    "prac:level-budget=0.2": StopConfig(budget=0.2),
    "prac:level-budget=0.1": StopConfig(budget=0.1),
}


def measured() -> Iterator[tuple[str, list[float]]]:
    """Yield what is said of each problem and length, and PrAC's advantage over random sets."""
    for problem in pages.read("critical")["problems"].values():
        for method, shown in problem["shown"].items():
            if method in STOPS:
                config = SearchConfig.prac(stop=STOPS[method])
            else:
                config = SearchConfig.method(method)
            share, never = (
                mean([of[name] for of in shown]) for name in ("forgotten", "never_learned")
            )
            level = critical_page.sparsest(problem)
            found = critical_page.differences(problem, method, "random-subset", level)
            yield expected(share, never, config), found


def test_where_critical_examples_are_said_to_be_worth_more_they_were():
    found = [of for told, of in measured() if "worth more than random ones" in told]
    assert len(found) >= 8
    assert all(mean(of) > 0 for of in found)
    assert any(worse([0.0] * len(of), of) < RELIABLE for of in found)


def test_where_they_are_said_to_be_worth_no_more_they_mostly_were_not():
    found = [of for told, of in measured() if "no more than random ones" in told]
    assert len(found) >= 5
    reliably = [of for of in found if (worse([0.0] * len(of), of) or 1) < RELIABLE]
    assert len(reliably) <= 1, "digits alone"
    assert abs(mean([mean(of) for of in found])) < 0.0025
