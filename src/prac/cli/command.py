"""The `prac` command. It knows its subcommands by name and imports only the one that runs."""

from __future__ import annotations

import importlib
import os
import signal
import sys
from collections.abc import Sequence
from typing import Any

from prac._version import __version__
from prac.errors import PracError, is_out_of_memory, unknown_name
from prac.training import Interrupted
from prac.utils import printable

COMMANDS = {
    "find": "search for tickets; the same command again resumes",
    "retrain": "train one ticket alone on all data",
    "judge": "retrain tickets and controls over seeds; say which of them win",
    "compare": "several methods and seeds on one problem: one table, one picture",
    "win": "the sparsest ticket that wins, and its proof, for the least",
    "report": "show a run, or several side by side, as one page of HTML",
    "runs": "every run below a folder in one table; how two runs differ",
    "inspect": "describe a ticket, a run, a subset or a data set",
    "completion": "print a script that completes commands and options in a shell",
}

USAGE_ERROR = 2
INTERRUPTED = 128 + signal.SIGINT


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit status.

    0; 2 for a user's mistake; 130, 143 or 129 where SIGINT, SIGTERM or SIGHUP stopped it; 75 where
    SIGUSR1 or --max-seconds did, after saving.
    """
    given = list(sys.argv[1:] if arguments is None else arguments)
    stream: Any = sys.stdout
    if not (stream.encoding or "").lower().startswith("utf") and hasattr(stream, "reconfigure"):
        # One of few letters, as in the C locale, shows the others as escapes and does not fail.
        stream.reconfigure(errors="backslashreplace")
    try:
        status = _run(given)
        sys.stdout.flush()  # A full disk behind it is told here, not by the interpreter's end.
        return status
    except BrokenPipeError:
        # The reader of our output has gone, as `prac inspect ... | head` does.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except Exception as error:
        mistake = _mistake(error)
        if mistake is None:
            raise
        print(f"prac: error: {printable(mistake)}", file=sys.stderr)
        return USAGE_ERROR
    except Interrupted as stop:
        print(f"prac: {printable(str(stop))}; the same command continues", file=sys.stderr)
        return stop.status
    except KeyboardInterrupt:
        print("\nprac: interrupted; the same command continues", file=sys.stderr)
        return INTERRUPTED


def _mistake(error: Exception) -> str | None:
    """Return what is wrong, where it is the user's to mend; None where it is our mistake."""
    match error:
        case PracError():
            return str(error)
        case OSError():  # Data that has gone, output on a full disk; what is saved is whole.
            where = f"{error.filename}: " if error.filename else ""
            return f"{where}{error.strerror or error}"
        case MemoryError():
            detail = " ".join(str(error).split()) or "try smaller images or batches"
            return f"not enough memory: {detail}"
        case RuntimeError() if is_out_of_memory(error):
            return (
                "not enough memory on the device: try a smaller --batch-size or --image-size, or "
                "--precision bf16"
            )
        case ValueError() if "embedded null" in str(error):
            return "a path holds a NUL character, which no file's name can: leave it out"
    return None


def _run(given: list[str]) -> int:
    if not given or given[0] in ("-h", "--help"):
        print(usage())
        return 0 if given else USAGE_ERROR
    if given[0] == "help":
        # As people type it who know other programs.
        return _run([*given[1:2], "--help"])
    if given[0] in ("-V", "--version"):
        print(f"prac {__version__}")
        return 0
    if given[0] not in COMMANDS:
        raise unknown_name("command", given[0], COMMANDS)
    command = importlib.import_module(f"prac.cli.{given[0]}")
    try:
        return int(command.run(given[1:]))
    except SystemExit as stop:
        # --help and --print-config end so.
        return int(stop.code or 0)


def usage() -> str:
    """Return the text of `prac --help`."""
    rows = "\n".join(f"  {name:<10}  {about}" for name, about in COMMANDS.items())
    return f"""usage: prac COMMAND [OPTIONS]

Find winning lottery tickets (sparse trainable subnetworks) with less data.

commands:
{rows}

options:
  -h, --help     show this, or with a command what it takes
  -V, --version  show the version

start with:
  prac find --preset quickstart --report
  prac judge runs/quickstart-prac
  prac find --preset cifar10-resnet20s --data data/cifar10 --retrain 0,5,10,15"""
