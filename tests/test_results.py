"""The pages of results are what their scripts make of the committed figures, to the letter."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from types import ModuleType

import pytest

from prac.cli.find import _defaults, parser
from prac.cli.options import check_used, values_of
from prac.recipes import Recipe

ROOT = Path(__file__).parents[1]


def script(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, ROOT / "experiments" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("name", ["first"])
def test_a_page_is_made_of_its_figures(name):
    results = json.loads((ROOT / "docs" / "results" / f"{name}.json").read_text())
    assert (ROOT / "docs" / "results" / f"{name}.md").read_text() == script(name).page(results)


def test_the_commands_shown_are_commands():
    first = script("first")
    for problem, settings in first.PROBLEMS.items():
        for method in settings["retrain"]:
            arguments = first.command(problem, method, "DIR", "runs")[2:]
            options = parser(_defaults(None, method)).parse_args(arguments)
            assert options.retrain[-1] == options.levels
            check_used(arguments, values_of(options, Recipe))
