"""The page of `prac win`: its commands, and one small problem all through."""

from __future__ import annotations

import json

import pytest

from experiments import pages, rivals, winning
from experiments.rivals import Problem
from prac.cli.options import options_and_recipe
from prac.cli.win import parser
from prac.config import Recipe
from prac.report.win_text import answer_of
from prac.winning import Win, rungs

OPTIONS = (
    "--limit 300 --model lenet_300_100 --layers linear --epochs 4 --milestones 3 --lr 0.05 "
    "--batch-size 32 --levels 4 --judged 2,4"
)


@pytest.mark.parametrize("name", winning.PROBLEMS)
def test_commands_are_commands(name):
    words = winning.command(name, "DIR", "runs/x")[2:]
    assert "--judged" not in words
    options, recipe = options_and_recipe(parser(), words, Recipe)
    assert rungs(["carried", "imp"], recipe.search)
    assert options.seeds == (0, 1, 2)


def test_a_problem_from_its_command_to_its_page(tmp_path, monkeypatch):
    monkeypatch.setitem(
        rivals.PROBLEMS, "cheap-mnist", Problem("Digits", "digits", "mnist", "imp", OPTIONS)
    )
    command = winning.command
    monkeypatch.setattr(
        winning,
        "command",
        lambda *told: [w.replace("DATA/mnist", "digits") for w in command(*told)],
    )
    monkeypatch.setattr(pages, "RESULTS", tmp_path)
    imp = {"method": "imp", "accuracies": [{"level": 0}, {"level": 2}, {"level": 4}], "matching": 4}
    (tmp_path / "cheap-mnist.json").write_text(json.dumps({"summary": [imp]}))
    words = ["cheap-mnist", "--data", "DATA", "--runs", str(tmp_path), "--set", "--seed 5"]
    winning.main(words)
    win = Win.load(tmp_path / "win-cheap-mnist")
    assert win.settings["seed"] == 5
    page = (tmp_path / "win.md").read_text()
    assert page == winning.page(json.loads((tmp_path / "win.json").read_text()))
    assert answer_of(win) in page
    assert str(tmp_path) not in page
    assert "judged at levels 2 and 4, level 4 is the sparsest that matches." in page
    assert win.best is not None
    # Three runs of the dense network, of the ticket and of its control.
    assert f"would still take {9 / (9 + win.best.level):.0%} of IMP's" in page
