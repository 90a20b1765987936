"""What the pages show runs: their commands, their Python, their settings, and what they name."""

from __future__ import annotations

import contextlib
import importlib
import io
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from fnmatch import fnmatch
from pathlib import Path

import pytest
import torch

from docs_commands import (
    AS_WRITTEN,
    INSTEAD,
    ROOT,
    SHELLS,
    SMALLER,
    Command,
    Reader,
    blocks,
    commands,
    options_of,
)
from prac.cli import COMMANDS
from prac.ticket import Ticket

PAGES = [
    str(path.relative_to(ROOT))
    for path in (
        ROOT / "README.md",
        ROOT / "CONTRIBUTING.md",
        *sorted((ROOT / "docs").rglob("*.md")),
    )
    if "_build" not in path.parts
]


@pytest.fixture
def reader(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], Reader]]:
    """Give a page an empty folder, and take back what it leaves in this process."""
    folder = tmp_path / "page"
    folder.mkdir()
    monkeypatch.chdir(folder)
    monkeypatch.setenv("COLUMNS", "80")
    # A slow machine would show lines that pages do not have.
    monkeypatch.setattr("prac.progress.PLAIN_SECONDS", float("inf"))
    monkeypatch.setattr(sys, "path", list(sys.path))
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield lambda page: Reader(page, folder)
    torch.set_num_threads(threads)
    monkeypatch.chdir(tmp_path)
    shutil.rmtree(folder)
    for name, module in list(sys.modules.items()):
        if (getattr(module, "__file__", None) or "").startswith(str(folder)):
            del sys.modules[name]


@pytest.mark.parametrize("page", PAGES)
def test_a_page_runs(page, reader):
    reading = reader(page)
    reading.read()
    if page == "docs/files.md":
        weights = Ticket.load("net.ticket.safetensors").masked_weights()
        found = reading.namespace["weights"]
        assert weights.keys() == found.keys()
        assert all(torch.equal(torch.from_numpy(found[name]), weights[name]) for name in weights)


FENCE = "`" * 3

WRONG = {
    "a command that fails": ("console", "$ prac find --lvels 3", ":3: exit status 2, expected 0"),
    "an error that does not come": (
        "console",
        "$ prac --version\nprac: error: there is none",
        ":3: exit status 0, expected 2",
    ),
    "an error of another text": (
        "console",
        "$ prac find --lvels 3\nprac: error: unknown option --lvels: see help",
        "did you mean --levels",
    ),
    "lines that are not printed": ("console", "$ prac --version\nprac version 0", "the page has"),
    "a file that is not there": ("console", "$ mkdir a-prac\n$ ls a-prac .\nb", ":4: $ ls"),
    "another command's failure": ("sh", "prac inspect nothing | cat", ":3: exit status 2"),
    "no command": ("console", "prac find", ":3: a console block begins with"),
    "Python that prints something else": (
        "python",
        f"print('a 1')\n{FENCE}\n\n{FENCE}text\nb 1",
        ":7: the Python above printed something else:\na 1",
    ),
    "JSON that is none": ("json", "{", ":3: is no json"),
    "settings that are none": ("yaml", "epochs: 3\nlvels: 2", "unknown option lvels"),
    "a language that nothing runs": ("fortran", "PRINT *, 1", "no test knows blocks in fortran"),
    "a block without a language": ("", "prac find", "no test knows blocks in no language"),
    "a block without an end": ("text", f"a\n{FENCE}\n{FENCE}text", ":5: the block has no end"),
}


@pytest.mark.parametrize(("language", "text", "told"), WRONG.values(), ids=WRONG)
def test_a_page_that_is_wrong_is_told_with_its_line(language, text, told, reader, tmp_path):
    page = tmp_path / "page.md"
    page.write_text(f"# A page\n{FENCE}{language}\n{text}\n" + FENCE * ("end" not in told))
    with pytest.raises(AssertionError) as error:
        reader(str(page)).read()
    assert str(error.value).startswith(f"{page}:")
    assert told in str(error.value)


def test_a_page_is_read_from_top_to_bottom(reader, tmp_path):
    page = tmp_path / "page.md"
    page.write_text(
        f"""
1. Save this as `own/nets.py`:

   {FENCE}python
   name = "digits"
   {FENCE}

2. Then

   {FENCE}console
   $ echo one two \\
   >     three | wc -w    # in bash
   3
   $ cat <<END > own/names.txt
   a
   b 2
   END
   $ cat own/nets.py own/names.txt
   name = "digits"
   ...
   b 5
   $ prac find --max-seconds 1e-9 --preset quickstart
   ...
   prac: max-seconds: saved; the same command continues
   {FENCE}

{FENCE}{{note}}
{FENCE}~python
assert name == "digits"
name += " seen"
{FENCE}~
{FENCE}
""".replace(f"{FENCE}~", "~~~")
    )
    reading = reader(str(page))
    reading.read()
    assert reading.namespace["name"] == "digits seen"


def spans(page: str) -> Iterator[str]:
    """Yield what a page sets as code within its sentences."""
    prose = re.sub(r"^( *)(`{3,}).*?^ *\2`*$", "", (ROOT / page).read_text(), flags=re.S | re.M)
    for span in re.findall(r"(?<!`)`([^`]+)`(?!`)", prose):
        yield " ".join(span.split())


def unknown(span: str, options: dict[str, set[str]]) -> list[str]:
    """Return which words of a command or an option in a sentence nothing knows."""
    first, *words = re.sub(r"[|=](?=\S)", " ", span).split() or [""]
    flags = {word.rstrip(",;") for word in words if re.match(r"--[a-z]", word)}
    if first == "prac" and words and not words[0].startswith("-") and not words[0].isupper():
        return sorted(flags - options[words[0]]) if words[0] in COMMANDS else words[:1]
    if re.match(r"--[a-z]", first):
        return sorted({first, *flags} - set().union(*options.values()))
    if first == "make" and words:
        check = ["make", "-n", "-C", str(ROOT), *shlex.split(span)[1:]]
        return words if subprocess.run(check, capture_output=True).returncode else []
    if (first, *words[:1]) == ("python", "-m") and words[1].partition(".")[0] != "prac":
        return sorted(flags - help_of_module(words[1]))
    return []


def help_of_module(name: str) -> set[str]:
    """Return the options of one of this project's programs that stand beside `prac`."""
    is_package = (ROOT / name / "__main__.py").exists()
    module = importlib.import_module(f"{name}.__main__" if is_package else name)
    output = io.StringIO()
    with contextlib.redirect_stdout(output), pytest.raises(SystemExit) as stop:
        module.main(["--help"])
    assert not stop.value.code
    return set(re.findall(r"--[a-z0-9][a-z0-9-]*", output.getvalue()))


def test_sentences_name_commands_and_options_that_there_are():
    options = {command: options_of(command) for command in COMMANDS}
    found = {
        f"{page}: `{span}`": words
        for page in PAGES
        if page != "docs/decisions.md"  # It speaks of what was rejected, too.
        for span in sorted(set(spans(page)))
        if (words := unknown(span, options))
    }
    assert not found


def typed() -> Iterator[tuple[str, Command]]:
    """Yield every page and command of all the pages; a script counts as one."""
    for page in PAGES:
        for block in blocks((ROOT / page).read_text()):
            if block.language in SHELLS:
                yield from ((page, command) for command in commands(block))


def test_every_command_is_on_some_page():
    assert {command.text.split()[1] for _, command in typed() if "prac " in command.text} >= set(
        COMMANDS
    )


@pytest.mark.parametrize("row", [*SMALLER, *AS_WRITTEN], ids=lambda row: f"{row[0]} {row[1]}")
def test_what_is_made_smaller_or_kept_is_on_a_page(row):
    ran = ((page, words) for page, command in typed() for words in command.of_prac)
    assert any(fnmatch(page, row[0]) and re.search(row[1], words) for page, words in ran)


@pytest.mark.parametrize(("pattern", "_", "reason"), INSTEAD, ids=lambda text: text)
def test_what_runs_in_place_of_a_command_has_a_reason_and_is_on_a_page(pattern, _, reason):
    assert reason
    assert any(re.fullmatch(pattern, command.plain) for _, command in typed())
