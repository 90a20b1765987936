"""The experiment of the sanity checks, at a size of seconds."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from experiments import options, pages, sanity
from prac.cli import find, judge
from prac.cli.given import check_used
from prac.cli.options import options_and_recipe
from prac.config import Recipe, flat

SMALL = "--limit 200 --levels 2 --epochs 2 --milestones 1 --batch-size 64"


def test_commands_are_commands_and_check_levels_that_there_are():
    for name, problem in sanity.PROBLEMS.items():
        (_, _, *search), (_, _, *judgement) = sanity.commands(name, "DIR", "runs/x")
        made = find.parser(find._defaults(search))
        _, recipe = options_and_recipe(made, search, Recipe)
        check_used(search, flat(recipe))
        options = judge.parser().parse_args(judgement)
        assert options.sanity
        assert max(options.levels) <= recipe.search.levels
        assert len(options.seeds) == len(problem.seeds.split(",")) >= 3


def test_a_page_is_made_of_a_small_search(tmp_path, monkeypatch):
    small = sanity.Problem("Digits", "--preset quickstart", "1,2", "0,1")
    monkeypatch.setitem(sanity.PROBLEMS, "digits", small)
    runs, target = str(tmp_path / "runs"), str(tmp_path)
    words = ["--problems", "digits", "--runs", runs, "--results", target]
    sanity.main([*words, "--set", SMALL])
    found = json.loads((tmp_path / "sanity.json").read_text())
    page = (tmp_path / "sanity.md").read_text()
    assert page == sanity.page(found)
    assert str(tmp_path) not in page + json.dumps(found)
    of = found["problems"]["digits"]
    assert list(of["searches"]) == ["the run's own", "corrupted-labels", "corrupted-inputs"]
    assert min(of["searches"].values()) > 0
    for level in of["verdict"]["levels"][1:]:
        assert set(level["sanity"]) == set(sanity.CHECKS)
        outcome = level["sanity"]["smart-ratio"]
        assert f"| Digits | {level['density']:.1%} |" in page
        assert any("smart-ratio" in line and outcome in line for line in page.splitlines())
    # A run that is there is taken as it is: only the judgement is asked for again.
    asked = []
    printed = options.printed

    def noted(words: Sequence[str]) -> dict[str, Any]:
        asked.append(words[1])
        return printed(words)

    monkeypatch.setattr(sanity, "printed", noted)
    sanity.main([*words, "--run", f"digits={runs}/sanity-digits"])
    again = json.loads((tmp_path / "sanity.json").read_text())
    assert asked == ["judge"]
    assert again["problems"]["digits"]["verdict"] == of["verdict"]


def test_the_committed_page_is_made_of_its_figures():
    path = pages.RESULTS / "sanity.json"
    if path.exists():
        assert path.with_suffix(".md").read_text() == sanity.page(json.loads(path.read_text()))
