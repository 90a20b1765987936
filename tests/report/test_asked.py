"""What the commands print and write is to be had from Python, too, and is the same."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import prac
from prac.cli import main
from prac.config import DataConfig
from prac.errors import PracError
from tests.conftest import SEARCH, STOP


@pytest.fixture
def run(judged_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return Path(shutil.copytree(judged_run, tmp_path / "run")).relative_to(tmp_path)


def printed(capsys: pytest.CaptureFixture[str], *words: object) -> str:
    capsys.readouterr()
    assert main([*map(str, words)]) == 0
    return capsys.readouterr().out


def lines(text: str) -> list[str]:
    return [line.rstrip() for line in text.rstrip().splitlines()]


def test_text_is_what_the_commands_print(run, capsys):
    search = prac.Search.load(run)
    verdict = prac.Verdict.load(search)
    assert verdict is not None
    for what in (
        run,
        f"{run}/levels/03/ticket.safetensors",
        f"{run}/judged/verdict.json",
        "digits",
    ):
        assert lines(prac.to_text(what)) == lines(printed(capsys, "inspect", what)), what
    again = lines(printed(capsys, "judge", run, "--levels", "2,3", "--seeds", "0,1", "--shuffle"))
    assert lines(prac.to_text(verdict)) == again[:-2]
    again = lines(printed(capsys, "find", *SEARCH, *STOP, "--out", run))
    assert lines(prac.to_text(search)) == again[:-1]
    assert max(map(len, lines(prac.to_text(run, width=120)))) <= 120


def test_what_is_described_is_what_inspect_prints_as_json(run, capsys):
    def asked(what: object) -> Any:
        return json.loads(printed(capsys, "inspect", what, "--json"))

    def plain(value: object) -> Any:
        return json.loads(json.dumps(value))

    search = prac.Search.load(run)
    ticket, subset = search.tickets[2], search.subset(2)
    verdict = prac.Verdict.load(search)
    assert verdict is not None
    assert plain(prac.describe(run)) == asked(run) == plain(prac.describe(search))
    file = asked(f"{run}/levels/02/ticket.safetensors")
    assert {**plain(prac.describe(ticket)), "path": file["path"]} == file
    file = asked(f"{run}/levels/02/subset.safetensors")
    assert {**plain(prac.describe(subset)), "path": file["path"]} == file
    found = plain(prac.describe(verdict))
    found["fields"]["path"] = asked(found["path"])["fields"]["path"]  # The run was copied.
    assert found == asked(found["path"])
    assert prac.describe("digits", limit=200) == prac.describe(DataConfig("digits", limit=200))


def test_what_is_no_thing_of_prac_is_refused_in_a_line():
    with pytest.raises(PracError, match="what is described is a list: expected a path, the name"):
        prac.describe([1])  # type: ignore[arg-type]
    with pytest.raises(PracError, match="no-such-data"):
        prac.to_text("no-such-data")


def test_runs_in_short_are_those_of_the_command(run, capsys):
    assert prac.list_runs(".") == json.loads(printed(capsys, "runs", ".", "--json"))
    assert [one["path"] for one in prac.list_runs(run, run)] == [str(run)]
    Path("empty").mkdir()
    with pytest.raises(PracError, match="empty"):
        prac.list_runs("empty")


def test_pages_and_charts_are_those_of_the_command(run, capsys):
    search = prac.Search.load(run)
    verdict = prac.Verdict.load(search)
    assert verdict is not None
    assert prac.write_report(search) == run / "report.html"
    page = (run / "report.html").read_bytes()
    printed(capsys, "report", run, "-o", "page.html", "--png", "charts")
    assert Path("page.html").read_bytes() == page
    assert prac.write_report(verdict, "again.html").read_bytes() == page
    names = sorted(path.name for path in prac.save_charts(search, "drawn"))
    assert names == sorted(path.name for path in Path("charts").iterdir())
    shutil.copytree(run, "other")
    assert prac.write_report([search, "other"]) == Path("report.html")
    printed(capsys, "report", run, "other", "-o", "both.html")
    assert Path("both.html").read_bytes() == Path("report.html").read_bytes()


def test_without_examples_a_page_has_no_pictures(run):
    whole = prac.write_report(run).stat().st_size
    assert prac.write_report(run, examples=False).stat().st_size < whole


@pytest.mark.parametrize(
    ("call", "told"),
    [
        (lambda: prac.write_report([]), "there is no run to show"),
        (lambda: prac.write_report(3), "there is no page of an int: expected what"),  # type: ignore[arg-type]
        (lambda: prac.write_report("nowhere"), "nowhere"),
        (lambda: prac.write_report("run", "run"), "run: is .*: --out names the page's file"),
        (lambda: prac.save_charts("run"), "charts of runs need a folder"),
    ],
)
def test_mistakes_are_told_in_a_line(run, call, told):
    with pytest.raises(PracError, match=told) as error:
        call()
    assert "\n" not in str(error.value)


def test_data_by_name_is_read_with_the_command_s_options(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    data = prac.load_data("digits", limit=200, val_fraction=0.25, crop=1)
    assert (len(data.train), len(data.val or ())) == (150, 50)
    assert repr(data) == (
        "LoadedData(digits, 150 training, 50 validation, 355 test, inputs 1x8x8, 10 classes)"
    )
    assert data.recipe["limit"] == 200
    assert data.recipe["data"] == "digits"
    assert data.train.fingerprint == prac.load_data(data.config).train.fingerprint
    with pytest.raises(TypeError, match=r"no setting 'limits'.*limit=200"):
        prac.load_data("digits", limits=200)  # type: ignore[call-arg]
    pictures = np.random.default_rng(0).integers(0, 256, (40, 6, 6)).astype(np.uint8)
    np.savez("set.npz", x=pictures, y=np.arange(40) % 2)
    assert len(prac.load_data(Path("set.npz"), val_fraction=0).train) == 40


def test_a_run_by_python_with_a_recipe_is_judged_by_the_command(tmp_path, capsys):
    recipe = prac.Recipe.preset(
        "quickstart", levels=1, epochs=1, milestones=(), limit=200, execution="eager"
    )
    data = prac.load_data(recipe.data)
    model = prac.models.load_model(recipe.model, data.shape, len(data.classes), recipe.search.seed)
    out = tmp_path / "by-python"
    prac.find(model, data.train, recipe.search, val=data.val, out=out, recipe=recipe.names)
    told = printed(capsys, "judge", out, "--seeds", "0,1", "--levels", "1", "--quiet")
    assert "dense" in told
    words = "--preset quickstart --levels 1 --epochs 1 --milestones [] --limit 200"
    told = printed(capsys, "find", *words.split(), "--execution", "eager", "--quiet", "--out", out)
    assert "tickets: " in told
