"""`prac judge --sanity`, in one process and in several."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from prac.cli import judge, main
from prac.io import kind_at
from prac.report import RunFacts
from prac.report.html.report import Report

ASKED = ["--levels", "3", "--seeds", "0,1", "--epochs", "2", "--milestones", "1", "--quiet"]


@pytest.fixture
def run(judged_run, tmp_path, monkeypatch) -> Path:
    """A finished run of three levels, with nothing judged."""
    monkeypatch.chdir(tmp_path)
    shutil.copytree(judged_run, "run", ignore=shutil.ignore_patterns("judged", "retrain"))
    return Path("run")


def verdict(run: Path) -> dict:
    return json.loads((run / "judged/verdict.json").read_text())


def test_the_checks_with_several_processes_are_those_with_one(run, capsys):
    loud = [one for one in ASKED if one != "--quiet"]
    assert main(["judge", "run", *loud, "--sanity", "--jobs", "2"]) == 0
    told = capsys.readouterr()
    assert "search 1 of 2: corrupted-labels, seed 0" in told.err
    assert told.err.index("search 2 of 2") < told.err.index("jobs: 2 processes")
    assert told.err.count("search 1 of 2") == 1
    assert "training 10 of 12" not in told.err, "all was trained by the jobs"
    assert max(map(len, told.out.splitlines())) <= 80
    first = verdict(run)
    level = first["levels"][1]
    names = ["shuffled", "smart-ratio", "corrupted-labels", "corrupted-inputs"]
    assert sorted(level["controls"]) == sorted(level["sanity"]) == sorted(names)
    shutil.rmtree(run / "judged")
    assert main(["judge", "run", *ASKED, "--sanity"]) == 0
    assert verdict(run) == first
    for what in ("labels", "inputs"):
        assert kind_at(run / f"judged/corrupted-{what}") == "search"
    assert kind_at(run / "judged") == "cache"
    page = Report.of(run, examples=False).html()
    assert "<h2>Sanity checks</h2>" in page
    assert "corrupted-inputs" in page
    assert main(["report", "run/judged/corrupted-labels"]) == 0
    assert RunFacts.read(run / "judged/corrupted-labels").levels


def test_each_check_by_itself(run):
    assert main(["judge", "run", *ASKED, "--smart-ratio"]) == 0
    assert list(verdict(run)["levels"][1]["controls"]) == ["smart-ratio"]
    assert not (run / "judged/corrupted-labels").exists()
    assert main(["judge", "run", *ASKED, "--corrupt-inputs"]) == 0
    assert list(verdict(run)["levels"][1]["controls"]) == ["corrupted-inputs"]
    assert not (run / "judged/corrupted-labels").exists()


def test_a_cache_elsewhere_holds_trainings_and_no_search(run):
    assert main(["judge", "run", *ASKED, "--corrupt-labels", "--cache", "kept"]) == 0
    assert (run / "judged/corrupted-labels/config.yaml").exists()
    assert not Path("kept/corrupted-labels").exists()
    assert kind_at(run / "judged") == "cache"


def test_other_data_is_refused_in_a_line(run, capsys):
    asked = [*ASKED, "--corrupt-labels", "--val-seed", "7"]
    assert main(["judge", "run", *asked]) == 2
    [line] = capsys.readouterr().err.splitlines()
    assert "run: was searched on something else: fingerprint of the training data (there" in line
    assert line.endswith("leave corrupted-labels out (shuffled and smart-ratio need no search)")


def test_a_verdict_is_described_with_its_controls(run, capsys):
    assert main(["judge", "run", *ASKED, "--smart-ratio"]) == 0
    capsys.readouterr()
    assert main(["inspect", "run/judged/verdict.json"]) == 0
    rows = [line.split() for line in capsys.readouterr().out.splitlines()]
    of = verdict(run)["levels"][1]["controls"]["smart-ratio"]
    [row] = [row for row in rows if "smart-ratio" in row]
    assert row[1] == f"{100 * of['mean']:.2f}"


def test_a_verdict_that_lacks_something_is_shown_as_it_is(run, capsys):
    assert main(["judge", "run", *ASKED, "--smart-ratio"]) == 0
    found = verdict(run)
    del found["levels"][1]["controls"]
    (run / "judged/verdict.json").write_text(json.dumps(found))
    capsys.readouterr()
    assert main(["inspect", "run/judged/verdict.json"]) == 0
    assert "best_level" in capsys.readouterr().out


def test_a_control_says_that_it_is_one(run, capsys):
    assert main(["judge", "run", *ASKED, "--corrupt-labels"]) == 0
    control = "run/judged/corrupted-labels"
    assert main(["judge", control]) == 2
    assert "as a control: judge the run in whose folder it lies" in capsys.readouterr().err
    assert main(["inspect", control]) == main(["report", control]) == 0
    told = "was searched on corrupted labels, as a control"
    assert told in " ".join(capsys.readouterr().out.split())
    assert told in (run / "judged/corrupted-labels/report.html").read_text()


def test_options_are_not_for_a_rewind_point(run, capsys):
    assert main(["judge", "run", "--find-rewind-point", "--sanity"]) == 2
    assert "--sanity is given but not used" in capsys.readouterr().err


def test_help_fits(capsys):
    with pytest.raises(SystemExit):
        judge.parser().parse(["--help"])
    told = capsys.readouterr().out
    assert "--sanity" in told
    assert max(map(len, told.splitlines())) <= 80
