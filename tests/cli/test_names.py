"""Names that hold anything: shown as plain text, kept as they are in files."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import unicodedata
from argparse import Namespace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from prac.cli import compare as compare_command
from prac.cli import find as find_command
from prac.cli import main
from prac.config import Recipe, from_flat
from prac.search.run import SearchRun
from prac.utils import printable

HIDDEN = ("Cc", "Cf", "Cs", "Zl", "Zp")
TINY = [
    "--model", "lenet_300_100", "--layers", "linear", "--levels", "1", "--epochs", "1",
    "--batch-size", "10",
]  # fmt: skip
UNDECODABLE = os.fsdecode(b"undecodable \xff\xfe")
ESCAPES = "\x1b[31mred\x1b]0;title\x07"
ODD = [
    "[red]x[",
    "[link=x]y\\",
    "<script>alert(1)<script>",
    ESCAPES,
    "two\nlines\r\tand a bell\x07",
    "\u202egnp.exe\u202c",
    "  spaced  out ",
    "-rf",
    "--out",
    "x..",
    "a: b #c, 'd' \"e\" %s {f} \\",
    "日本語 кот café é 🐈",
    "\x7f\x85\u2028",
    UNDECODABLE,
]
# What no output may hold, besides its own line ends.
STEERS = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")


@given(st.text(st.characters(exclude_categories=[])))
def test_what_is_printable_is_one_line_of_letters_that_show(text):
    shown = printable(text)
    assert not any(unicodedata.category(character) in HIDDEN for character in shown)
    assert len(shown.splitlines()) <= 1
    shown.encode("utf-8")
    assert printable(shown) == shown


@given(st.text(st.characters(exclude_categories=HIDDEN)))  # type: ignore[arg-type]
def test_ordinary_text_stays_as_it_is(text):
    assert printable(text) == text


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a\x1b[1m", r"a\x1b[1m"),
        ("a\nb\r\tc\0", r"a\nb\r\tc\x00"),
        ("\u202eabc", r"\u202eabc"),
        ("\udcff", r"\udcff"),
        ("\U000e0041", r"\U000e0041"),
        (" a  b\\n ", " a  b\\n "),
        ("[red]é 日本 שלום", "[red]é 日本 שלום"),
    ],
)
def test_hidden_characters_become_their_escapes(text, shown):
    assert printable(text) == shown


def make_folder(root: Path, classes: tuple[str, str]) -> Path:
    for label, name in enumerate(classes):
        (root / name).mkdir(parents=True)
        for i in range(6):
            pixels = np.full((5, 5), 100 * label + i, dtype=np.uint8)
            Image.fromarray(pixels).save(root / name / f"{i} {name.strip('.')[:5]}.png")
    return root


def interrupt(*arguments):
    raise KeyboardInterrupt


def checked(captured) -> tuple[str, str]:
    for text in captured:
        assert not STEERS.search(text)
        text.encode("utf-8")
    return tuple(captured)


@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=[pytest.mark.slow] if at % 3 else []) for at, name in enumerate(ODD)],
)
def test_classes_paths_and_runs_of_any_name(capsys, monkeypatch, name):
    data = make_folder(Path("sets") / name, (name, "plain"))
    out = Path("out") / ("run [x]" if name == UNDECODABLE else name)
    command = ["find", f"--data={data}", f"--out={out}", *TINY]
    with monkeypatch.context() as patched:
        patched.setattr(SearchRun, "finish_level", interrupt)
        assert main(command) == 130
    checked(capsys.readouterr())
    assert main(command) == 0
    shown, said = checked(capsys.readouterr())
    assert f"tickets: {printable(str(out))}/levels" in shown
    assert f"loading {printable(str(data))} for" in said
    assert main(command) == 0
    _, said = checked(capsys.readouterr())
    loading, *rest = said.splitlines(keepends=True)
    assert loading == f"loading {printable(str(data))} for lenet_300_100\n"
    assert rest == [f"{printable(str(out))}: already finished\n"]
    assert set(json.loads((out / "environment.json").read_bytes())["classes"]) == {name, "plain"}
    ticket = out / "levels" / "01" / "ticket.safetensors"
    assert main(["retrain", f"--out={out}-alone", f"--data={data}", "--", str(ticket)]) == 0
    shown, _ = checked(capsys.readouterr())
    assert f"trained weights: {printable(str(out))}-alone/trained" in shown
    for what in (data, out, ticket, ticket.with_name("subset.safetensors")):
        if what.exists():
            assert main(["inspect", str(what)]) == 0
            checked(capsys.readouterr())
            assert main(["inspect", str(what), "--json"]) == 0
            json.loads(capsys.readouterr().out)
    assert main(["inspect", str(data), "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert set(facts["classes"]) == {name, "plain"}
    assert facts["name"] == str(data)


@pytest.mark.parametrize("name", ODD)
def test_every_error_about_a_name_is_one_plain_line(capsys, name):
    path = Path("here") / name
    path.mkdir(parents=True)
    broken = make_folder(Path("broken") / name, (name, "plain"))
    next(iter((broken / name).iterdir())).write_bytes(b"broken")
    Path("file").mkdir()
    (Path("file") / f"{name}.npz").write_bytes(b"broken")
    for arguments in (
        ["inspect", "--", str(path)],
        ["inspect", "--", str(path / "absent")],
        ["inspect", "--", f"{path}.safetensors"],
        ["inspect", "--", f"file/{name}.npz"],
        ["inspect", "--", str(broken)],
        ["inspect", "--", name],
        ["find", f"--data={name}"],
        ["find", f"--data=digits{name}"],
        ["find", f"--model={name}"],
        ["find", f"--model=json:{name}"],
        ["find", f"--val-indices={path}.npy"],
        ["find", f"--config={path}.yaml"],
        ["find", f"--preset={name}"],
        ["find", f"--subset={path}.safetensors"],
        ["find", f"--lr={name}"],
        ["find", f"--{name}=3"],
        ["find", f"--out={broken / 'plain' / '0 plain.png' / name}", *TINY],
        ["retrain", "--", str(path)],
        [name],
    ):
        assert main(arguments) == 2, arguments
        _, said = checked(capsys.readouterr())
        lines = [line for line in said.split("\n") if not line.startswith("loading ")]
        assert len(lines) == 2, said
        assert lines[0].startswith("prac: error: ")
        assert lines[1] == ""


def test_damaged_images_and_warnings_of_odd_names(capsys):
    data = make_folder(Path("set"), (ESCAPES, "plain"))
    for i in range(6):
        (data / ESCAPES / f"\x1b[2J\n{i}.png").write_bytes(b"")
    for path in (data / "plain").iterdir():
        path.write_bytes((data / ESCAPES / "0 \x1b[31m.png").read_bytes())
    assert main(["inspect", "set", "--skip-corrupt"]) == 0
    shown, _ = checked(capsys.readouterr())
    assert "left out of train: 6" in shown
    options = ["--skip-corrupt", "--val-fraction", "0.5"]
    assert main(["find", "--data", "set", *options, *TINY]) == 0
    _, said = checked(capsys.readouterr())
    assert said.count("left out: ") == 6
    assert "warning: " in said


UNNAMED = Namespace(preset=None, method="prac", subset=None, after=None)


@given(
    st.one_of(st.sampled_from(["", ".", "..", "/", "-", ".x", "...", *ODD]), st.text()),
    st.one_of(st.sampled_from(["", "..", "a:..", "a.b:C d", *ODD]), st.text()),
)
def test_a_run_has_a_plain_name_unless_told(data, model):
    recipe = from_flat(Recipe, {"data": data, "model": f"mine:{model}"})
    name = find_command.run_name(
        recipe, Namespace(preset=None, method="prac", subset=None, after=None)
    )
    assert re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9._-]*-prac", name)


@pytest.mark.parametrize(
    ("data", "model", "name"),
    [
        ("digits", "resnet20s", "digits-resnet20s-prac"),
        ("sets/my.npz", "mine:make", "my-make-prac"),
        ("hf:me/my set", "conv2", "my-set-conv2-prac"),
        ("データ", "conv2", "data-conv2-prac"),
        ("..", "conv2", "data-conv2-prac"),
        ("[red]x", "a:-b", "red-x-b-prac"),
    ],
)
def test_the_name_of_a_run(data, model, name):
    recipe = from_flat(Recipe, {"data": data, "model": model})
    assert (
        find_command.run_name(
            recipe, Namespace(preset=None, method="prac", subset=None, after=None)
        )
        == name
    )


@pytest.mark.parametrize(
    ("data", "model", "name"),
    [
        ("digits", "resnet20s", "digits-resnet20s"),
        ("sets/my.npz", "mine:make", "my-make"),
        ("データ", "conv2", "conv2"),
        ("..", "conv2", "conv2"),
        ("[red]x", "a:-b", "red-x--b"),
        ("データ", "a:кот", "problem"),
    ],
)
def test_the_name_of_a_comparison_is_that_of_earlier_releases(data, model, name):
    recipe = from_flat(Recipe, {"data": data, "model": model})
    assert compare_command.folder_name(recipe, None) == name
    assert compare_command.folder_name(recipe, "quickstart,a b") == "quickstart-a-b"


def test_a_run_folder_of_an_undecodable_name(capsys):
    for _ in range(2):
        assert main(["find", "--limit", "100", *TINY, "--out", UNDECODABLE]) == 0
        shown, _ = checked(capsys.readouterr())
        assert f"tickets: {printable(UNDECODABLE)}/levels" in shown


def test_a_path_up_and_down_is_used_as_it_is(capsys):
    Path("a/b").mkdir(parents=True)
    assert main(["find", "--limit", "100", *TINY, "--out", "a/b/../c"]) == 0
    assert Path("a/c/config.yaml").exists()
    assert "tickets: a/b/../c/levels" in capsys.readouterr().out


def test_a_nul_is_in_no_path(capsys):
    for arguments in (["inspect", "a\0b"], ["find", *TINY, "--out", "a\0b"], ["retrain", "a\0b"]):
        assert main(arguments) == 2
        _, said = checked(capsys.readouterr())
        assert said.splitlines()[-1].startswith("prac: error: ")


def test_a_terminal_of_few_letters_shows_escapes(tmp_path):
    name = os.fsdecode("[b]caf\u00e9\x1b[31m \u202e\n日本".encode() + b"\xff")
    make_folder(tmp_path / name, (name, "plain"))
    run = f"run {name[:-1]}"
    code = (
        "import sys; from prac.cli import main; name, run, *tiny = sys.argv[1:]; "
        "find = ['find', '--data', name, '--out', run, *tiny]; "
        "print([main(a) for a in (['inspect', name], ['inspect', name, '--json'], find, find, "
        "['inspect', run], ['inspect', f'absent {name}'])])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, name, run, *TINY],
        capture_output=True,
        env={**os.environ, "LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONIOENCODING": ""},
        cwd=tmp_path,
    )
    shown, said = done.stdout.decode("ascii"), done.stderr.decode("ascii")
    assert shown.endswith("\n[0, 0, 0, 0, 0, 2]\n"), said
    assert "\x1b" not in shown + said
    assert "Traceback" not in said
    assert r"[b]caf\udcc3\udca9\x1b[31m" in shown
    assert (tmp_path / run / "levels/01/ticket.safetensors").exists()
