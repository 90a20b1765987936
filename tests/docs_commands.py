"""The code blocks of the pages, and what runs them: every command as a reader would type it.

`Reader` goes through a page from top to bottom in one folder. `prac` on a line of its own runs in
this process; any other line goes to bash, where the command `prac` is this module. The tables say
what is made smaller, and what cannot be done in a test; `docs_things` makes what pages need.
"""

from __future__ import annotations

import configparser
import contextlib
import io
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatch
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import yaml

if TYPE_CHECKING:
    import pytest

ROOT = Path(__file__).parents[1]

SMALLER = (
    # page, what the words after `prac` match, options added to them: those of all rows that fit.
    ("*", r"^(find|compare|retrain|judge) ", "--iterations none --epochs 1 --milestones []"),
    ("*", r"^compare ", "--seeds 0 --levels 1 --judged 1"),
    ("*", r"^compare .*\bel2n", "--epochs 10"),  # Its scores are taken then.
    ("*", r"^judge ", "--seeds 0,1"),
    ("*", r"^win ", "--iterations none --epochs 3 --milestones [] --seeds 0,1 --methods carried"),
    ("docs/commands/win.md", r"^win .*--preset quickstart$", "--levels 5"),
    ("*", r"^find .*--preset cifar10", "--data data/cifar10 --levels 1 --retrain 1"),
    ("*", r"--preset cifar|--rewind (epoch|iteration):", "--rewind init"),
    ("*", r"--preset cifar|/cifar10|--data photos", "--image-size 16"),
    ("*", r"--limit \d{4}", "--limit 60"),
    ("*", r"--precision bf16", "--precision fp32"),  # Most CPUs only emulate it.
    ("*", r"--execution compiled", "--execution eager"),  # Compiling takes a minute.
    # Importing these takes seconds each time: tests/monitor/test_tracking.py does it once.
    ("*", r"--track (wandb|mlflow)", "--print-config"),
    # Four gigabytes of tickets otherwise; the page of `prac find` has the network that is named.
    ("README.md", r"--data photos", "--model conv2 --image-size 8"),
    ("docs/commands/find.md", r"--data photos", "--levels 1"),
    ("docs/data.md", r"^find ", "--levels 2"),
    ("docs/howto/training.md", r"^find ", "--levels 1 --limit 300"),
    ("docs/results/controls.md", r"^judge ", "--levels 6"),
    ("docs/results/first.md", r"/cifar10", "--levels 1 --retrain 1"),
    # The methods run on the other pages of rivals.
    ("docs/results/rivals-cifar10.md", r"", "--print-config"),
    ("docs/results/rivals-mnist.md", r"", "--epochs 2 --batch-size 16"),
    # Of so few random pictures no ticket wins.
    ("docs/results/win.md", r"/cifar10", "--print-config"),
    ("docs/results/transformers.md", r"^find ", "--limit 40 --levels 1 --warmup 0"),
    ("docs/results/transformers.md", r"^judge ", "--levels 1 --warmup 0"),
    # A comparison of so many lengths takes minutes, however short they are.
    ("docs/results/lengths.md", r"", "--data digits --print-config"),
    ("docs/results/transfer.md", r"--levels 3", "--levels 1 --retrain 1 --batch-size 16"),
    ("docs/results/transfer.md", r"--set-sizes", "--set-sizes 16"),
)

AS_WRITTEN = (
    # page, words that match: nothing is added, so that what the page shows is compared as well. The
    # same goes for whatever shows an error, since that comes before anything is trained.
    ("*", r"--print-config|--help"),
    ("docs/tutorial.md", r"^find --preset quickstart$"),
    ("docs/tutorial.md", r"^retrain "),
)

INSTEAD = (
    # a line as typed, what bash runs in its place (nothing: ""), why
    (r"make (.*)", rf"make -n -C '{ROOT}' \1", "sets up an environment, or runs these tests"),
    (r"pip install '?\..*", "", "builds with packages of its own; `.ci/run` installs the wheel"),
    (r"pre-commit install", "", "writes into the clone's .git"),
    (r"tensorboard (.*)", r"tensorboard --inspect \1", "serves until it is stopped"),
    (
        r"python -m (bench\.visit) .*",
        rf"cd '{ROOT}' && PYTHONPATH=src python -m \1 --help",
        "takes a GPU and minutes; tests/programs/test_visit.py rehearses it",
    ),
    (
        r'eval "\$\((prac completion zsh)\)"',
        r"\1",
        "is for zsh; tests/cli/test_completion.py tries it",
    ),
)

SHARED = {
    # what a page types, the folder that it leaves: run once for all pages, with what is added to it
    "find --preset quickstart": "runs/quickstart-prac",
    "find --preset quickstart --method imp": "runs/quickstart-imp",
}

SHELLS = ("console", "bash", "sh")

PARSED: Mapping[str, Callable[[str], object]] = {
    "json": json.loads,
    "ini": lambda text: configparser.ConfigParser().read_string(text),
}

NOT_RUN = {
    "text": "what something prints or looks like; right below Python it is compared",
    "bibtex": "nothing to run",
    "{toctree}": "Sphinx",
    "{eval-rst}": "Sphinx",
    "{note}": "the blocks in it are looked at by themselves",
    "{tip}": "the same",
    "{warning}": "the same",
}
"""Languages and directives of blocks that nothing here runs, and why or who does."""


Once = Callable[[Sequence[str]], tuple[Path, str]]
"""Takes words for `prac`; returns the folder that it ran in and what it printed, in any test."""


class Malformed(Exception):
    """A page's line, and what is wrong with the block there."""


@dataclass(frozen=True)
class Block:
    """A fenced block.

    Attributes:
        language: What stands behind the fence.
        line: Of its first line, in the page.
        text: Without the fences and their indentation.
        above: The last line of prose between it and the block before; empty where there is none.
    """

    language: str
    line: int
    text: str
    above: str


@dataclass(frozen=True)
class Command:
    """A command of a console block, the line it begins at, and the lines shown below it."""

    line: int
    text: str
    shown: tuple[str, ...]

    @property
    def plain(self) -> str:
        """The command without its comment."""
        return re.sub(r"(^|\s+)#.*", "", self.typed).strip()

    @property
    def typed(self) -> str:
        """The command without the environment that `make` sets up, which here is the tests' own."""
        return self.text.replace(".venv/bin/", "")

    @property
    def of_prac(self) -> list[str]:
        """What stands behind each `prac` in it."""
        return re.findall(r"(?<![\w./-])prac ([^|&;<>()]*)", self.plain)

    @property
    def statuses(self) -> tuple[int, ...]:
        """The exit statuses that the lines shown allow."""
        if any(line.startswith("prac: error:") for line in self.shown):
            return (2,)
        if any(line.endswith("the same command continues") for line in self.shown):
            return (75, 129, 130, 143)
        return (0,)


def blocks(text: str, first: int = 1) -> Iterator[Block]:
    """Yield the fenced blocks of a page in order, those within a directive after it."""
    above, lines = "", enumerate(text.splitlines(), first)
    for number, line in lines:
        opened = re.match(r"( *)(`{3,}|~{3,})\s*(.*)", line)
        if opened is None:
            above = line.strip() or above
            continue
        indent, fence, language = opened.groups()
        body = []
        for _, inner in lines:
            if re.fullmatch(rf" *{fence}{fence[0]}*\s*", inner):
                break
            body.append(inner.removeprefix(indent) + "\n")
        else:
            raise Malformed(number, "the block has no end")
        yield Block(language.strip(), number + 1, "".join(body), above)
        if language.startswith("{"):
            yield from blocks("".join(body), number + 1)
        above = ""


def commands(block: Block) -> Iterator[Command]:
    """Yield the commands of a block: lines that begin with `$ ` and how they go on; or a script."""
    if block.language != "console":
        yield Command(block.line, block.text, ())
        return
    lines = block.text.splitlines()
    starts = [at for at, line in enumerate(lines) if line.startswith("$ ")]
    if not starts or any(line.strip() for line in lines[: starts[0]]):
        raise Malformed(block.line, "a console block begins with '$ ' and a command")
    for start, after in zip(starts, [*starts[1:], len(lines)], strict=True):
        text, end = lines[start][2:], start + 1
        while text.endswith("\\"):
            text = f"{text[:-1].rstrip()} {lines[end].removeprefix('> ').lstrip()}"
            end += 1
        if here_document := re.search(r"<<-?\s*['\"]?(\w+)", text):
            stop = lines.index(here_document[1], end) + 1
            text, end = "\n".join([text, *lines[end:stop]]), stop
        yield Command(block.line + start, text, tuple(lines[end:after]))


def smaller(page: str, words: Sequence[str]) -> list[str]:
    """Return the options that make a command of `prac` small enough for a test."""
    line = " ".join(words)
    if any(fnmatch(page, at) and re.search(pattern, line) for at, pattern in AS_WRITTEN):
        return []
    return [
        word
        for at, pattern, options in SMALLER
        if fnmatch(page, at) and re.search(pattern, line)
        for word in options.split()
    ]


def shape(line: str) -> str:
    """Return a line without what another machine would show otherwise: figures and widths.

    >>> shape("  1   80.00%  234 (18%)  +0.56  49f2abcca904")
    '# #% # (#%) # #'
    """
    line = re.sub(r"\b[0-9a-f]{12,}\b", "#", line)
    line = re.sub(r"[+-]?\d[\d,.]*(?<=\d)(e[+-]?\d+)?", "#", line)
    return " ".join(re.sub(r"─+", "─", line).split())


def agrees(shown: Sequence[str], printed: str) -> bool:
    """Say whether lines have the shapes of what was printed; `...` is any number of lines.

    >>> agrees(["a 1", "...", "c"], "a 23\\n\\nb\\nb\\nc")
    True
    >>> agrees(["a 1", "c"], "a 23\\nb\\nc")
    False
    """
    pattern = "".join(
        r"(.*\n)*?" if line.strip() == "..." else re.escape(shape(line)) + r"\n"
        for line in shown
        if line.strip()
    )
    lines = "".join(f"{shape(line)}\n" for line in printed.splitlines() if line.strip())
    return re.fullmatch(pattern, lines) is not None


def run_prac(words: Sequence[str]) -> tuple[int, str]:
    """Run `prac` in this process and return its exit status and all that it printed."""
    from prac.cli import main

    output = io.TextIOWrapper(io.BytesIO(), encoding="utf-8", write_through=True)
    with contextlib.redirect_stdout(output), contextlib.redirect_stderr(output):
        try:
            status = main(words)
        except Exception:
            traceback.print_exc()
            status = 1
    return status, output.buffer.getvalue().decode()


def steady(patch: pytest.MonkeyPatch) -> None:
    """Make what `prac` prints the same on every machine: a slow one would show more lines."""
    patch.setenv("COLUMNS", "80")
    patch.setattr("prac.monitor.progress.PLAIN_SECONDS", float("inf"))


def options_of(command: str) -> set[str]:
    """Return the options that the help of a command of `prac` names."""
    status, text = run_prac([command, "--help"])
    assert status == 0, text
    return set(re.findall(r"--[a-z0-9][a-z0-9-]*", text))


@dataclass
class Reader:
    """Executes a page's blocks in a folder, which is the current one.

    Attributes:
        page: The page, from the repository's root.
        folder: Where it all happens. Beside it lie `bin`, with the command for bash, and `home`.
        once: Runs the commands that pages share.
        namespace: The names that the page's Python has made.
    """

    page: str
    folder: Path
    once: Once
    namespace: dict[str, object] = field(default_factory=lambda: {"__name__": "page"})
    _printed: str = ""  # By the block before, if it was Python.

    def read(self) -> None:
        """Execute everything; raise an AssertionError that names the line of what fails."""
        try:
            for block in blocks((ROOT / self.page).read_text()):
                self._execute(block)
        except Malformed as error:
            self._fail(*error.args)

    def _execute(self, block: Block) -> None:
        self._keep(block)
        above, self._printed = self._printed, ""
        language, _, argument = block.language.partition(" ")
        if language in SHELLS:
            for command in commands(block):
                self._type(command)
        elif language == "{program-output}":
            self._type(Command(block.line - 1, argument, ()))
        elif language == "python":
            self._printed = self._python(block)
        elif language == "yaml":
            self._configure(block)
        elif language in PARSED:
            try:
                PARSED[language](block.text)
            except (ValueError, configparser.Error) as error:
                self._fail(block.line, f"is no {language}: {error}")
        elif language == "text" and above and not block.above:
            if not agrees(block.text.splitlines(), above):
                self._fail(block.line, "the Python above printed something else:", above)
        elif language not in NOT_RUN:
            name = language or "no language"
            self._fail(block.line, f"no test knows blocks in {name}: see tests/docs_commands.py")

    def _fail(self, line: int, *what: str) -> NoReturn:
        raise AssertionError("\n".join([f"{self.page}:{line}: {what[0]}", *what[1:]]))

    def _keep(self, block: Block) -> None:
        """Save a block whose introduction ends in the name of a file."""
        if named := re.search(r"`([\w./-]+\.\w+)`:$", block.above):
            path = self.folder / named[1]
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(block.text)

    def _type(self, command: Command) -> None:
        """Run a command as one types it, and look at its exit status and at what it prints."""
        self._provide(command.text)
        for words in command.of_prac:
            self._provide(" ".join(smaller(self.page, words.split())))
        status, printed, as_written = self.run(command)
        if status not in command.statuses:
            wanted = " or ".join(map(str, command.statuses))
            self._fail(
                command.line,
                f"exit status {status}, expected {wanted}, of",
                f"$ {command.text}",
                printed,
                "(tests/docs_commands.py says what is made smaller, or run in place of a command)",
            )
        shown = [line for line in command.shown if line.strip()]
        if shown and as_written and not agrees(shown, printed):
            self._fail(command.line, f"$ {command.text}", printed, "where the page has", *shown)

    def run(self, command: Command) -> tuple[int, str, bool]:
        """Return the exit status of a command, what it printed, and whether it ran as written."""
        for pattern, replacement, _ in INSTEAD:
            if found := re.fullmatch(pattern, command.plain):
                return *self._bash(found.expand(replacement)), False
        unquoted = re.sub(r"'[^']*'", "", command.plain)
        if not unquoted.startswith("prac ") or re.search(r"[|&;<>$`*?~(){}\[!\n]", unquoted):
            return *self._bash(command.typed), not command.of_prac
        _, *words = shlex.split(command.plain)
        added = [] if command.statuses == (2,) else smaller(self.page, words)
        left = SHARED.get(" ".join(words))
        if left is None or Path(left).exists():
            return *run_prac([*words, *added]), not added
        shared, printed = self.once([*words, *added])
        shutil.copytree(shared / left, left)
        return 0, printed, not added

    def _bash(self, script: str) -> tuple[int, str]:
        program = self.folder.parent / "bin" / "prac"
        if not program.exists():
            program.parent.mkdir()
            program.write_text(f'#!/bin/sh\nexec "{sys.executable}" "{__file__}" "$@"\n')
            program.chmod(0o755)
        changes = {
            "PATH": f"{program.parent}:{Path(sys.executable).parent}:{os.environ['PATH']}",
            "HOME": str(self.folder.parent / "home"),
            "DOCS_PAGE": self.page,
        }
        done = subprocess.run(
            ["bash", "-o", "pipefail", "-c", script],
            cwd=self.folder,
            env=os.environ | changes,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=300,
        )
        return done.returncode, done.stdout

    def _provide(self, text: str) -> None:
        """Make what a text names and the page has not made itself."""
        from tests.docs_things import THINGS

        for name, make in THINGS.items():
            path = Path(name.split()[-1])
            if name not in f"{text} " or path.exists():
                continue
            path.parent.mkdir(parents=True, exist_ok=True)
            if callable(make):
                make(path)
                continue
            self._provide(make.replace(name, ""))
            status, printed, _ = self.run(Command(0, make, ()))
            assert status == 0, f"{self.page}: {name} could not be made by\n$ {make}\n{printed}"

    def _python(self, block: Block) -> str:
        """Run Python, in the names of the page's blocks before, and return what it prints."""
        self._provide(block.text)
        # Blank lines before it make a traceback name the page's own lines.
        code = compile("\n" * (block.line - 1) + block.text, str(ROOT / self.page), "exec")
        output = io.StringIO()
        with contextlib.redirect_stdout(output):
            exec(code, self.namespace)
        return output.getvalue()

    def _configure(self, block: Block) -> None:
        """Read YAML; where it names options of a search or a comparison, as their `--config`."""
        try:
            values = yaml.safe_load(block.text)
        except yaml.YAMLError as error:
            self._fail(block.line, f"is no YAML: {error}")
        options = {name: options_of(name) for name in ("find", "compare")}
        flags = {f"--{str(key).replace('_', '-')}" for key in values or ()}
        if not flags & set().union(*options.values()):
            return
        path = self.folder.parent / "config.yaml"
        path.write_text(block.text)
        command = next((name for name, known in options.items() if flags <= known), "find")
        status, printed = run_prac([command, "--config", str(path), "--print-config"])
        if status != 0:
            self._fail(block.line, f"prac {command} does not take this as --config:", printed)


if __name__ == "__main__":
    from prac.cli import main

    sys.exit(main([*sys.argv[1:], *smaller(os.environ["DOCS_PAGE"], sys.argv[1:])]))
