"""The options that the experiments share: mistakes are told before and after anything runs."""

from __future__ import annotations

import pytest

from experiments.options import printed, problems_parser, ran

PARSER = problems_parser("What it does.\n\nAnd more.", ["digits", "mnist"])


def test_all_problems_are_meant_unless_some_are_named():
    assert PARSER.description == "What it does."
    assert PARSER.parse_args([]).problems == ["digits", "mnist"]
    assert PARSER.parse_args(["--problems", "mnist"]).problems == ["mnist"]


def test_a_problem_that_there_is_not_is_refused(capsys):
    with pytest.raises(SystemExit) as ended:
        PARSER.parse_args(["--problems", "digits,cifar"])
    assert ended.value.code == 2
    assert "no problem 'cifar': expected of digits, mnist" in capsys.readouterr().err


@pytest.mark.parametrize("run", [ran, printed])
def test_where_a_command_fails_all_ends_with_its_own_line(run, capfd):
    with pytest.raises(SystemExit) as ended:
        run(["prac", "inspect", "nothing-here"])
    assert ended.value.code == 2
    assert capfd.readouterr().err.startswith("prac: error: unknown data set 'nothing-here'")
