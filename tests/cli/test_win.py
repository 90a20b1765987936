"""`prac win` as people type it: what it says, its exit statuses, its page."""

from __future__ import annotations

import json
import re
import shlex
from dataclasses import replace
from pathlib import Path

import pytest

from prac.cli import main
from prac.cli.options import options_and_recipe
from prac.cli.recorded import named_settings
from prac.cli.win import parser
from prac.config import Recipe, flat
from prac.io import read_json
from prac.report.html.win import win_charts
from prac.report.win_text import answer_of, command_of
from prac.winning import Win
from tests.conftest import made_once

WIN = [
    "win", "--data", "digits", "--limit", "300", "--model", "lenet_300_100", "--layers", "linear",
    "--epochs", "4", "--milestones", "3", "--lr", "0.05", "--batch-size", "32", "--levels", "4",
    "--methods", "carried,imp", "--seeds", "0,1", "--controls", "shuffled", "--quiet",
]  # fmt: skip


@pytest.fixture(scope="module")
def won(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which a ticket was found, and what was printed: not to be changed."""

    def make(folder: Path) -> None:
        assert main([*WIN, "--out", str(folder / "w")]) == 0

    return made_once(tmp_path_factory, "won", make) / "w"


def test_again_it_says_the_same_and_ends_with_the_ticket(won, capsys):
    assert main([*WIN, "--out", str(won)]) == 0
    said = " ".join(capsys.readouterr().out.split())
    found = Win.load(won)
    assert answer_of(found) in said
    assert re.search(r"Ticket \d of \S+ is the sparsest found, and is a \w+ ticket of", said)
    assert re.search(r"full trainings, \d+% of what IMP takes to a ticket of this density", said)
    assert "the proof of one ticket there" in said
    assert said.endswith(str(won / "ticket.safetensors").split("/")[-1])


def test_json_is_what_the_file_has(won, capsys):
    assert main([*WIN, "--out", str(won), "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == read_json(won / "win.json")


def test_its_page_has_all_of_it(won, tmp_path, capsys):
    page, found = tmp_path / "page.html", Win.load(won)
    assert main(["report", str(won), "-o", str(page), "--png", str(tmp_path / "charts")]) == 0
    content = page.read_text()
    assert sorted(of.name for of in (tmp_path / "charts").iterdir()) == [
        "accuracy.png",
        "accuracy.svg",
    ]
    best = found.best
    assert best is not None
    assert f"ticket of {best.density:.2%} of the prunable weights" in content
    for words in (
        "The tickets that were tried",
        "Its controls",
        "shuffled",
        "IMP&#x27;s, one ticket",
    ):
        assert words in content
    [chart] = win_charts(found)
    assert f"{100 * best.density:.1f}%" in chart.alt
    assert "prac win " in content
    assert main(["report", str(won), str(won), "-o", str(page)]) == 0  # Named twice it is one.


def test_the_command_of_the_page_makes_it_again(won):
    found = Win.load(won)
    command = command_of(found)
    assert command is not None
    words = shlex.split(command)[2:]
    options, recipe = options_and_recipe(parser(named_settings(words)), words, Recipe)
    told = json.loads(json.dumps({**flat(recipe.search), **recipe.names}))
    assert {name: told[name] for name in found.settings} == found.settings
    asked = options.methods, options.seeds, options.within, options.controls
    assert [*map(tuple, (asked[0], asked[1], asked[3])), asked[2]] == [
        found.methods,
        found.seeds,
        found.controls,
        found.within,
    ]


def test_inspect_and_runs_know_it(won, capsys):
    assert main(["inspect", str(won)]) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert said.startswith("prac win ")
    assert "of IMP's to one ticket and its proof" in said
    assert main(["runs", str(won), "--json"]) == 0
    listed = json.loads(capsys.readouterr().out)
    assert {of["path"] for of in listed} == {of.path for of in Win.load(won).searches}


def test_none_that_wins_is_told_by_words_and_status(capsys):
    # At three of ten thousand weights a layer's few are no network.
    few = [*WIN, "--levels", "9", "--drop-fraction", "0.6", "--methods", "carried"]
    assert main([*few, "--density", "0.0003", "--out", "w"]) == 1
    said = " ".join(capsys.readouterr().out.split())
    assert said.startswith("No ticket was found to win. Every method was tried at the density")
    assert said.endswith("folder: w")
    assert not Path("w/ticket.safetensors").exists()


def test_stopped_in_time_it_asks_to_come_again(capsys):
    assert main([*WIN, "--out", "w", "--max-seconds", "0.001"]) == 75
    assert "the same command continues" in capsys.readouterr().err
    assert main([*WIN, "--out", "w"]) == 0


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--seeds", "0"], "one says nothing of the next"),
        (["--subset-rule", "all"], "each method has its own: write NAME:OPTION=VALUE"),
        (["--density", "1.5"], "density is 1.5"),
        (["--within", "0"], "within is 0"),
        (["--controls", "shuffle"], "unknown control 'shuffle': did you mean 'shuffled'"),
        (["--rewind", "none"], "do not win by being trained again: use init"),
        (["--methods", "snip,grasp", "--rewind", "epoch:1"], "each of these methods has its own"),
        (["--methods", "prac@imp"], "works at the cost of another"),
        (["--epsilon", "0.1"], "--epsilon is given but not used: stop_rule is 'never'"),
    ],
)
def test_what_does_not_fit_is_one_line(words, told, capsys):
    assert main([*WIN, *words, "--out", "w"]) == 2
    said = capsys.readouterr().err
    assert told in said
    assert said.count("\n") == 1
    assert not Path("w").exists()


def test_at_a_prompt_it_is_a_line_and_in_a_notebook_a_table(won):
    found = Win.load(won)
    best, verdict = found.best, found.verdict
    assert best is not None
    assert verdict is not None
    ratio = f"{100 * (found.bill.ratio or 0):.1f} %"
    assert repr(found) == (
        f"Win({won}, {verdict.verdict} ticket {best.level} of {best.method}, "
        f"density {100 * best.density:.1f} %, {ratio} of IMP's iterations)"
    )
    assert repr(best).startswith(f"Tried({best.method}, level {best.level}, density ")
    assert found._repr_html_().count("<tr>") == 1 + len(found.tried)
    begun = replace(found, tried=(), verdict=None, ended=None)
    assert repr(begun) == f"Win({won}, no ticket yet, not finished)"
    assert "<table" not in begun._repr_html_()
