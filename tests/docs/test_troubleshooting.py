"""The page on error messages quotes what the code says, and the commonest are provoked for real."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from prac.cli import main

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "troubleshooting.md"
PLACEHOLDER = re.compile(r"[A-Z][A-Z]+|\bN\b|\.\.\.")
FIELD = "\0"  # Stands for what an f-string fills in.
DIGITS = "find --data digits --limit 100 --epochs 1 --levels 1 --quiet --out run"
LENET = f"{DIGITS} --model lenet_300_100 --layers linear"


def quotes() -> list[str]:
    """Return the messages that the page explains: the terms in backticks of its lists."""
    return re.findall(r"^`(.+)`\n: ", PAGE.read_text(), re.MULTILINE)


@cache
def messages() -> tuple[str, ...]:
    """Return every text in the source, a FIELD for each thing that is filled in."""
    found = set()
    for path in (ROOT / "src" / "prac").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.JoinedStr):
                parts = [getattr(part, "value", "") for part in node.values]
                found.add("".join(part if isinstance(part, str) else FIELD for part in parts))
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                found.add(node.value)
    return tuple(found)


def pattern(quote: str, filled: str) -> re.Pattern[str]:
    """Return what a text must match to be the quoted one, if `filled` matches what is filled in."""
    parts, last = [], 0
    for found in PLACEHOLDER.finditer(quote):
        parts.append(re.escape(quote[last : found.start()]))
        # Capitals may stand for themselves, as in CUDA.
        word = found[0]
        parts.append(".+" if word == "..." else f"(?:{word}|{filled})")
        last = found.end()
    return re.compile("".join([*parts, re.escape(quote[last:])]), re.DOTALL)


def test_the_page_explains_many_messages_each_once():
    assert 25 <= len(quotes()) == len(set(quotes()))


@pytest.mark.parametrize("quote", quotes())
def test_a_quoted_message_is_one_of_the_source(quote):
    wanted = pattern(quote, f"{FIELD}+")
    assert any(wanted.fullmatch(text) for text in messages()), quote


def photos(folder: Path) -> None:
    """Write images by class, of two sizes."""
    for label, side in (("ant", 8), ("bee", 9)):
        (folder / label).mkdir(parents=True)
        for number in range(8):
            pixels = np.full((side, side), 20 * number, np.uint8)
            Image.fromarray(pixels).save(folder / label / f"{number}.png")


def provoke(told: str, command: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Run a command that fails, and compare what it says with the page's message that it is."""
    capsys.readouterr()
    assert main(command.split()) == 2
    said = capsys.readouterr().err.strip().splitlines()[-1].removeprefix("prac: error: ")
    [quote] = [quote for quote in quotes() if told in quote]
    assert pattern(quote, ".+").fullmatch(said), said


@pytest.mark.parametrize(
    ("told", "command"),
    [
        ("unknown option", "find --learning-rate 0.1"),
        ("unknown KIND", f"{DIGITS} --model lenet"),
        ("are both given", f"{LENET} --iterations 5"),
        (
            "is given but not used",
            f"{LENET} --val-fraction 0 --val-seed 1".replace("--limit 100", ""),
        ),
        ("expected RANGE", f"{LENET} --lr -1"),
        ("milestone", f"{LENET} --milestones 3"),
        ("a path that exists", LENET.replace("digits", "digitz")),
        ("limit is", LENET.replace("--limit 100", "--limit 5000")),
        ("no prunable weight", f"{DIGITS} --model lenet_300_100 --layers conv"),
        ("matches the pattern", f"{DIGITS} --model lenet_300_100 --include fc9"),
        ("cannot import", f"{DIGITS} --model no_such_module:Net"),
        ("CUDA devices", f"{LENET} --device cuda:99"),
        ("expected WHAT; REMEDY", "report elsewhere"),
    ],
)
def test_a_common_mistake_gets_the_quoted_message(told, command, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    Path("elsewhere").mkdir()
    provoke(told, command, capsys)


def test_mistakes_with_data_and_folders_get_the_quoted_messages(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    photos(Path("photos"))
    (tmp_path / "empty").mkdir()
    provoke("images differ in size", "inspect photos", capsys)
    provoke("in no known layout", "inspect empty", capsys)
    Path("photos/ant/3.png").write_bytes(b"no image")
    provoke("mend it, or pass --skip-corrupt", "inspect photos --image-size 8", capsys)
    provoke("holds NAME but no run", LENET.replace("--out run", "--out photos"), capsys)

    assert main(LENET.split()) == 0
    provoke("was begun with other settings", f"{LENET} --lr 0.01", capsys)
    provoke("has no ticket of level", "judge run --levels 7", capsys)
    provoke("names the page", "report run -o empty", capsys)
    subset = "run/levels/00/subset.safetensors"
    moved = f"{LENET} --subset {subset} --val-seed 1".replace("--out run", "--out other")
    provoke("the subset belongs to other data", moved, capsys)
