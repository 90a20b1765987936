"""Completion as people meet it: keys typed at shells that have read the script, and run no prac."""

from __future__ import annotations

import argparse
import os
import pty
import re
import select
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import pytest

from prac.cli import main
from prac.cli.command import COMMANDS
from prac.cli.completion import SHELLS, script
from prac.config import DATA_NAMES, METHODS, PRESETS
from prac.config.recipe import MODEL_NAMES
from prac.data.sources.hub import KNOWN
from prac.models.registry import MODELS

START = {
    "bash": ["bash", "--norc", "--noprofile", "-i"],
    "zsh": ["zsh", "-f", "-i"],
}
SETUP = 'prac() { printf "<%s>" "$@"; echo; }; eval "$(cat prac-completion)"'
SEEN = b"\x1d\x1d"
"""What a shell says once it listens again."""


def options_of(command: str) -> list[str]:
    """Return the options that a command's help shows."""
    parser = import_module(f"prac.cli.{command}").parser()
    shown = [one for one in parser.actions.values() if one.help != argparse.SUPPRESS]
    return ["-h", "--help", *(option for action in shown for option in action.option_strings)]


class Terminal:
    """A shell at a terminal of its own, in a folder, that has read its script."""

    def __init__(self, shell: str, folder: Path) -> None:
        self.shown = b""
        self.terminal, end = pty.openpty()
        # Of programs only the system's: what completes does not run prac.
        environment = {"TERM": "dumb", "PATH": "/usr/bin:/bin", "HOME": str(folder), "PS1": ""}
        self.process = subprocess.Popen(
            START[shell], stdin=end, stdout=end, stderr=end, cwd=folder, env=environment,
            start_new_session=True,
        )  # fmt: skip
        os.close(end)
        (folder / "prac-completion").write_text(script(shell))
        if shell == "zsh":
            self.tell("autoload -Uz compinit; compinit -D -u")
        self.tell(SETUP)

    def tell(self, typed: str) -> str:
        """Type a line, wait until it has run, and return what the terminal showed."""
        # The line's own echo must not look like the end.
        os.write(self.terminal, f"{typed}\n".encode() + b"printf '\\035\\035'\n")
        self.shown, until = b"", time.monotonic() + 20
        while SEEN not in self.shown:
            ready, _, _ = select.select([self.terminal], [], [], until - time.monotonic())
            assert ready, f"no answer but {self.shown!r}"
            self.shown += os.read(self.terminal, 65536)
        return self.shown.decode()

    def completed(self, typed: str) -> list[str]:
        """Type a command up to a tab, and return the arguments that it then has."""
        found = re.findall(r"^\r*((?:<[^<>]*>)+)\r*$", self.tell(f"{typed}\t"), re.MULTILINE)
        assert found, self.shown
        return re.findall("<(.*?)>", found[-1])

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        os.close(self.terminal)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("completion")
    for name in ("runs/first", "runs/second"):
        (folder / name).mkdir(parents=True)
    for name in ("runs.txt", "mine.yaml", "net.ticket.safetensors"):
        (folder / name).write_text("")
    return folder


class Fish:
    """What fish would complete, which it tells without a terminal."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "prac-completion").write_text(script("fish"))

    def completed(self, typed: str) -> list[str]:
        done = subprocess.run(
            ["fish", "--no-config", "-c", 'source prac-completion; complete -C "$argv"', typed],
            cwd=self.folder,
            capture_output=True,
            text=True,
            check=True,
        )
        found = [line.partition("\t")[0] for line in done.stdout.splitlines()]
        assert len(found) == 1, found
        return [*typed.split()[1:-1], *found]

    def close(self) -> None:
        pass


def opened(shell: str, folder: Path) -> Terminal | Fish:
    if shutil.which(shell) is None:
        pytest.skip(f"no {shell} on this machine")
    return Fish(folder) if shell == "fish" else Terminal(shell, folder)


@pytest.fixture(scope="module", params=SHELLS)
def shell(request: pytest.FixtureRequest, folder: Path) -> Iterator[Terminal | Fish]:
    shell = opened(request.param, folder)
    yield shell
    shell.close()


@pytest.fixture(scope="module")
def bash(folder: Path) -> Iterator[Terminal]:
    shell = opened("bash", folder)
    assert isinstance(shell, Terminal)
    yield shell
    shell.close()


@pytest.mark.parametrize(
    ("typed", "expected"),
    [
        ("prac fi", "find"),
        ("prac find --meth", "find --method"),
        ("prac find --method syn", "find --method synflow"),
        ("prac find --preset mni", "find --preset mnist-lenet"),
        ("prac find --optimizer adamw --lay", "find --optimizer adamw --layers"),
        ("prac find --flip --device cud", "find --flip --device cuda"),
        ("prac find --config mi", "find --config mine.yaml"),
        ("prac find --out ru", "find --out runs"),
        ("prac retrain net", "retrain net.ticket.safetensors"),
        ("prac judge ru", "judge runs"),
        ("prac judge --print-config runs/fi", "judge --print-config runs/first"),
        ("prac inspect net", "inspect net.ticket.safetensors"),
        ("prac inspect fash", "inspect fashion_mnist"),
        ("prac runs --sort drop-f", "runs --sort drop-fraction"),
        ("prac completion f", "completion fish"),
    ],
)
def test_a_tab_completes(shell: Terminal | Fish, typed: str, expected: str) -> None:
    # Where a line ends, zsh takes the slash of a folder away again.
    assert [word.rstrip("/") for word in shell.completed(typed)] == expected.split()


@pytest.mark.parametrize(
    ("typed", "expected"),
    [
        ("prac find --method=syn", "find --method=synflow"),
        ("prac find --config=mi", "find --config=mine.yaml"),
        ("prac find --preset quickstart,mni", "find --preset quickstart,mnist-lenet"),
        ("prac find --preset=quickstart,mni", "find --preset=quickstart,mnist-lenet"),
        ("prac compare --methods imp,rs2@syn", "compare --methods imp,rs2@synflow"),
        ("prac compare --methods=imp,rs2@syn", "compare --methods=imp,rs2@synflow"),
        (
            "prac judge --model own:Net --limit=9 runs/f",
            "judge --model own:Net --limit=9 runs/first/",
        ),
        ("prac report runs/first runs/se", "report runs/first runs/second/"),
    ],
)
@pytest.mark.parametrize("breaks", ["", "COMP_WORDBREAKS=$' \\t\\n'"])
def test_bash_takes_words_whole(bash: Terminal, typed: str, expected: str, breaks: str) -> None:
    bash.tell(f"kept=$COMP_WORDBREAKS; {breaks}")
    try:
        assert bash.completed(typed) == expected.split()
    finally:
        bash.tell("COMP_WORDBREAKS=$kept")


def offered(*words: str) -> set[str]:
    """Return what bash offers for the last of some words, which may be empty."""
    asked = (
        'COMP_WORDS=("$@"); COMP_CWORD=$(( $# - 1 )); COMP_LINE=$*\n'
        '_prac prac "${@: -1}"; printf "%s\\n" "${COMPREPLY[@]}"'
    )
    done = subprocess.run(
        ["bash", "-c", f"{script('bash')}\n{asked}", "bash", "prac", *words],
        capture_output=True,
        text=True,
        check=True,
    )
    return set(done.stdout.split())


@pytest.mark.skipif(shutil.which("bash") is None, reason="no bash on this machine")
class TestOffers:
    def test_all_of_a_kind_are_offered(self) -> None:
        assert offered("") == set(COMMANDS)
        assert offered("find", "--method", "") == set(METHODS)
        assert offered("find", "--preset", "") == set(PRESETS)
        assert offered("find", "--model", "") == set(MODELS)
        assert offered("find", "--data", "") >= {"digits", *KNOWN}
        assert offered("find", "--device", "") == {"auto", "cpu", "cuda"}
        assert offered("find", "--pruning", "") == {"iterative", "one-shot", "at-init", "learned"}
        assert offered("find", "--method", "r") == {"random-subset", "rs2", "random-pruning"}

    @pytest.mark.parametrize("command", COMMANDS)
    def test_every_option_is_offered(self, command: str) -> None:
        assert offered(command, "-") == set(options_of(command))


@pytest.mark.parametrize("command", COMMANDS)
def test_every_option_is_in_every_script(command: str) -> None:
    fish = [line for line in script("fish").splitlines() if f"prac_using {command}'" in line]
    block = script("zsh").partition(f"_shtab_prac_{command}_options=(\n")[2].partition("\n)\n")[0]
    for option in options_of(command):
        name = option.lstrip("-")
        short = "-l" if option.startswith("--") else "-s"
        assert any(re.search(rf" {short} {name}( |$)", line) for line in fish), option
        assert re.search(rf'"{option}\[|[{{,]{option}[}},]', block), option


def test_names_are_those_of_models_and_data() -> None:
    assert set(MODEL_NAMES) == set(MODELS)
    assert set(DATA_NAMES) == {"digits", "python_topics", *KNOWN}


def test_nothing_waits_for_torch() -> None:
    code = "import sys; sys.modules['torch'] = None; from prac.cli import main; sys.exit(main())"
    done = subprocess.run(
        [sys.executable, "-c", code, "completion", "bash"], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.endswith("complete -o bashdefault -F _prac prac\n")


def test_an_unknown_shell_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["completion", "fsh"]) == 2
    assert capsys.readouterr().err == (
        "prac: error: unknown shell 'fsh': did you mean 'fish' or 'zsh' or 'bash'? "
        "(known: bash, fish, zsh)\n"
    )
