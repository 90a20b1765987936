"""`prac runs`: what is below a folder, chosen, sorted, and how two runs differ."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from prac.cli import main

OPTIONS = (
    "--data digits --limit 200 --model lenet_300_100 --layers linear --levels 2 --epochs 2 "
    "--milestones 1 --batch-size 32 --quiet"
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two runs and the retraining of one."""
    made = tmp_path_factory.mktemp("runs")
    for name, more in (
        ("a/prac", "--lr 0.05 --seed 1 --retrain 0,2"),
        ("b", "--lr 0.1 --method imp"),
    ):
        options = [*OPTIONS.split(), *more.split()]
        assert main(["find", *options, "--out", str(made / name)]) == 0
    return made


def listed(capsys, *arguments: object) -> list[dict]:
    capsys.readouterr()
    assert main(["runs", *map(str, arguments), "--json"]) == 0
    found: list[dict] = json.loads(capsys.readouterr().out)
    return found


def test_runs_at_any_depth_and_nothing_within_them(folder, capsys):
    found = listed(capsys, folder)
    assert [Path(row["path"]).relative_to(folder) for row in found] == [
        Path("a/prac"), Path("b"),
    ]  # fmt: skip
    one, other = found
    assert (one["ticket"], one["of"], one["finished"]) == (2, 2, True)
    assert one["density"] == pytest.approx(0.64, abs=1e-3)
    assert 0 < one["accuracy"] <= 1
    assert one["difference"] is not None
    assert other["accuracy"] is None
    assert other["saved"] == 0
    assert other["settings"]["lr"] == 0.1


def test_they_are_sorted_and_unknowns_come_last(folder, capsys):
    def order(*arguments):
        return [Path(row["path"]).name for row in listed(capsys, folder, *arguments)]

    assert order("--sort", "saved") == ["b", "prac"]
    assert order("--sort", "saved", "--reverse") == ["prac", "b"]
    assert order("--sort", "lr", "--reverse") == ["b", "prac"]
    assert order("--sort", "accuracy") == order("--sort", "accuracy", "--reverse") == ["prac", "b"]


def test_they_are_chosen_by_columns_and_settings(folder, capsys):
    def chosen(where):
        return [Path(row["path"]).name for row in listed(capsys, folder, "--where", where)]

    assert chosen("lr=0.1") == ["b"]
    assert chosen("subset-rule=prac,seed=1") == ["prac"]
    assert chosen("lr=0.1,seed=1") == []


def test_a_table_fits_80_columns_and_a_difference_is_told(folder, capsys):
    assert main(["runs", str(folder)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= 80
    assert any("100%" not in line and "64.0" in line for line in lines)
    assert main(["runs", str(folder / "a"), str(folder / "b"), "--diff"]) == 0
    said = capsys.readouterr().out
    assert "subset_rule" in said
    assert "batch_size" not in said
    assert "saved" in said


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--sort", "savd"], "did you mean 'saved'"),
        (["--where", "lrr=1"], "unknown column or setting 'lrr'"),
        (["--where", "lr"], "expected NAME=VALUE"),
        (["nowhere"], "nowhere: is not there: expected a folder of runs"),
    ],
)
def test_mistakes_are_told_in_a_line(folder, capsys, arguments, told):
    assert main(["runs", str(folder), *arguments]) == 2
    error = capsys.readouterr().err
    assert told in error
    assert error.count("\n") == 1


def test_a_difference_is_of_two(folder, capsys):
    assert main(["runs", str(folder / "b"), "--diff"]) == 2
    assert "but there are 1: name the two" in capsys.readouterr().err
    (folder / "empty").mkdir(exist_ok=True)
    assert main(["runs", str(folder / "empty")]) == 2
    assert "is an empty folder: expected a folder of runs" in capsys.readouterr().err
