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
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch

from prac.cli.command import COMMANDS
from prac.runs import Ticket
from tests.docs_commands import (
    ROOT,
    SHELLS,
    Command,
    Once,
    Reader,
    blocks,
    commands,
    options_of,
    run_prac,
    steady,
)

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
def reader(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, once: Once
) -> Iterator[Callable[[str], Reader]]:
    """Give a page an empty folder, and take back what it leaves in this process."""
    folder = tmp_path / "page"
    folder.mkdir()
    monkeypatch.chdir(folder)
    steady(monkeypatch)
    monkeypatch.setattr(sys, "path", list(sys.path))
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield lambda page: Reader(page, folder, once)
    torch.set_num_threads(threads)
    monkeypatch.chdir(tmp_path)
    shutil.rmtree(folder)
    for name, module in list(sys.modules.items()):
        if (getattr(module, "__file__", None) or "").startswith(str(folder)):
            del sys.modules[name]


# Those that train for more than a few seconds, however small it is made.
LONG = (
    "docs/commands/compare.md",
    "docs/commands/find.md",
    "docs/commands/judge.md",
    "docs/howto/gpu.md",
    "docs/howto/resume.md",
    "docs/reliability.md",
    "docs/results/first.md",
    "docs/results/rivals-mnist.md",
    "docs/results/transfer.md",
    "docs/tutorial.md",
    "docs/what-is-a-ticket.md",
)


NEEDED = {
    # Libraries that a page is about, without which the rest of the package can be tested.
    "docs/howto/accelerate.md": ("accelerate",),
    "docs/howto/bert.md": ("transformers",),
    "docs/howto/lightning.md": ("lightning",),
    "docs/howto/transformers.md": ("transformers", "accelerate"),
}


@pytest.mark.parametrize("page", LONG)
def test_a_long_page_names_settings_that_there_are(page, reader):
    """What its searches and comparisons are told, while `make test-all` runs them."""
    reader(page)
    for block in blocks((ROOT / page).read_text()):
        for command in commands(block) if block.language in SHELLS else ():
            for words in map(shlex.split, command.of_prac):
                is_whole = "--config" not in words and 2 not in command.statuses
                if words[0] in ("find", "compare") and is_whole:
                    status, printed = run_prac([*words, "--print-config"])
                    assert status == 0, f"{page}:{command.line}: {printed}"


@pytest.mark.parametrize(
    "page",
    [pytest.param(page, marks=pytest.mark.slow) if page in LONG else page for page in PAGES],
)
def test_a_page_runs(page, reader):
    for module in NEEDED.get(page, ()):
        pytest.importorskip(module)
    with warnings.catch_warnings():
        if page in NEEDED:
            warnings.simplefilter("ignore")  # Those of other libraries are theirs.
        reading = reader(page)
        reading.read()
    if page == "docs/files.md":
        weights = Ticket.load("net.ticket.safetensors").masked_weights()
        found = reading.namespace["weights"]
        assert weights.keys() == found.keys()
        assert all(torch.equal(torch.from_numpy(found[name]), weights[name]) for name in weights)


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
