"""Section `import`: how long fresh interpreters take, with `prac` and with torch alone."""

from __future__ import annotations

import subprocess
import sys
import time
from functools import partial

from bench.options import Options
from bench.report import Goal, Row, Section
from bench.rounds import interleaved

MOST_OVER_TORCH = 0.15
TORCH, LAZY, FIND, ALL, HELP = "torch", "prac", "find", "all", "help"
COMMANDS = {
    TORCH: ["-c", "import torch"],
    LAZY: ["-c", "import prac"],
    FIND: ["-c", "import prac; prac.find"],
    ALL: ["-c", "import prac; [getattr(prac, name) for name in prac.__all__]"],
    HELP: ["-m", "prac", "--help"],
}
WITHOUT_TORCH = (
    "import sys\n"
    "from prac.cli import main\n"
    "try:\n"
    "    main(['--help'])\n"
    "except SystemExit:\n"
    "    pass\n"
    "print('\\n', int('torch' in sys.modules))"
)


def measure(options: Options) -> Section:
    """Measure interpreters, one after the other."""
    for command in options.of(tuple(COMMANDS.values()), ()):
        seconds(command)  # Their bytecode is written, and their files are in memory.
    runs = {name: partial(seconds, command) for name, command in COMMANDS.items()}
    found = interleaved(runs, options.of(9, 1))

    def over(name: str) -> list[float]:
        return [a - b for a, b in zip(found[name], found[TORCH], strict=True)]

    loaded = float(output(["-c", WITHOUT_TORCH]).split()[-1])
    goal = Goal(MOST_OVER_TORCH, "at most")
    rows = [
        Row.of("import torch", "s", found[TORCH]),
        Row.of("import prac", "s", found[LAZY]),
        Row.of("import prac; prac.find", "s", found[FIND]),
        Row.of("import prac, all names used", "s", found[ALL]),
        Row.of("prac --help", "s", found[HELP]),
        Row.of("import prac; prac.find, over import torch", "s", over(FIND), goal),
        Row.of("import prac, all names used, over import torch", "s", over(ALL), goal),
        Row("torch imported by prac --help (0: no)", loaded, "", (loaded,), Goal(0, "at most")),
    ]
    return Section(rows)


def seconds(words: list[str]) -> float:
    """Return how long an interpreter takes from its start to its end."""
    started = time.perf_counter()
    output(words)
    return time.perf_counter() - started


def output(words: list[str]) -> str:
    """Return what an interpreter prints."""
    command = [sys.executable, *words]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout
