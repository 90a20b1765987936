"""What the pages show: their Python runs, and their commands are ones that the program knows."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from torch import nn

import prac
from prac.cli import COMMANDS, main
from prac.cli import compare as compare_command
from prac.cli import find as find_command
from prac.cli import inspect as inspect_command
from prac.cli import judge as judge_command
from prac.cli import report as report_command
from prac.cli import retrain as retrain_command
from prac.cli import runs as runs_command
from prac.errors import PracError

ROOT = Path(__file__).parents[1]
PAGES = [
    ROOT / "README.md",
    *sorted(
        path
        for path in (ROOT / "docs").rglob("*.md")
        if not {"_build", "results"} & set(path.relative_to(ROOT / "docs").parts)
    ),
]
PARSERS = {
    "find": find_command.parser,
    "retrain": retrain_command.parser,
    "judge": judge_command.parser,
    "compare": compare_command.parser,
    "report": report_command.parser,
    "runs": runs_command.parser,
    "inspect": inspect_command.parser,
}


def blocks(page: Path, language: str) -> list[tuple[int, str]]:
    """Return (line number, text) of each fenced block of a language."""
    found = []
    text = page.read_text()
    for match in re.finditer(rf"^```{language}\n(.*?)^```$", text, re.DOTALL | re.MULTILINE):
        found.append((text.count("\n", 0, match.start(1)) + 1, match[1]))
    return found


def commands() -> Iterator[tuple[str, list[str]]]:
    for page in PAGES:
        for line, text in blocks(page, "console"):
            for offset, row in enumerate(text.splitlines()):
                words = shlex.split(row[2:], comments=True) if row.startswith("$ ") else []
                if words[:1] == ["prac"]:
                    yield f"{page.relative_to(ROOT)}:{line + offset}", words[1:]


@pytest.fixture
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


PYTHON_PAGES = [page for page in PAGES if blocks(page, "python")]


@pytest.mark.parametrize("page", PYTHON_PAGES, ids=lambda page: str(page.relative_to(ROOT)))
@pytest.mark.usefixtures("one_thread")
def test_the_python_of_a_page_runs(
    page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    layer = nn.Linear(3, 2)
    ticket = prac.Ticket(dict(layer.state_dict()), {"weight": torch.eye(2, 3).bool()})
    # The page on files reads one that it does not make.
    ticket.save("net.ticket.safetensors")
    namespace: dict[str, object] = {"__name__": "page"}
    for line, text in blocks(page, "python"):
        # Blank lines before it make a traceback name the page's own lines.
        exec(compile("\n" * (line - 1) + text, str(page), "exec"), namespace)
    if page.name == "files.md":
        weights = namespace["weights"]
        assert isinstance(weights, dict)
        for name, weight in ticket.masked_weights().items():
            assert torch.equal(torch.from_numpy(weights[name]), weight)


def test_all_pages_are_looked_at() -> None:
    assert {"README.md", "tutorial.md", "python.md"} <= {page.name for page in PYTHON_PAGES}
    assert {words[0] for _, words in commands()} >= set(COMMANDS)


@pytest.mark.parametrize(
    ("place", "words"), [pytest.param(*command, id=command[0]) for command in commands()]
)
def test_a_command_of_a_page_parses(place: str, words: list[str]) -> None:
    if words[0] not in PARSERS:
        assert main(words) == 0
        return
    # This one ends the program instead of returning what was parsed.
    arguments = [word for word in words[1:] if word != "--print-config"]
    try:
        options = PARSERS[words[0]]().parse_args(arguments)
    except PracError as error:
        pytest.fail(f"{place}: {error}")
    if words[0] == "find":
        # Raises on a preset or a method that is not known.
        find_command._defaults(options.preset, options.method)
