"""What a person sees while a run goes on: on a terminal, in a notebook, in a file, or quiet."""

from __future__ import annotations

import fcntl
import io
import os
import pty
import re
import select
import struct
import sys
import termios
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyte
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

import prac
from prac.events import Event
from prac.monitor import Progress
from prac.monitor.live import is_live
from prac.monitor.progress_state import ProgressState
from prac.monitor.render import Screen

SEARCH = {
    "path": "runs/digits",
    "densities": [0.8**level for level in range(9)],
    "trains": [True] * 8,
    "total": 1298,
    "imp_iterations": 1640,
    "done": [],
}
LEVEL = {
    "levels": 8, "density": 0.64, "set_size": 483, "total": 1298,
    "iterations": 640, "epochs": 40, "iteration": 0,
}  # fmt: skip
EPOCH = {
    "level": 2, "epoch": 3, "epochs": 40, "iteration": 48, "iterations": 640, "lr": 0.1,
    "set_size": 483, "train_loss": 0.5, "train_accuracy": 0.9, "val_accuracy": 0.875,
    "val_loss": 0.4, "mask_distance": 0.0123, "seconds": 0.1,
}  # fmt: skip
# The first two levels, done by iterations that make the shares easy.
DONE = [
    {
        "index": level, "density": 0.8**level, "set_size": 1298 - level * 1000, "epochs": 20,
        "planned_epochs": 40, "iterations": 820 - level * 492, "cost": {"seconds": 60.0},
    }
    for level in (0, 1)
]  # fmt: skip


def board_of(*events: tuple[float, Event]) -> ProgressState:
    board = ProgressState()
    for now, event in events:
        board = board.after(event, now)
    return board


def lines_of(board: ProgressState, width: int = 80, height: int = 24) -> list[str]:
    file = io.StringIO()
    console = Console(file=file, width=width, height=height, color_system=None)
    console.print(Screen(board), end="")
    return [line.rstrip() for line in file.getvalue().splitlines()]


AT_LEVEL_2 = (
    (100.0, Event("search", 2, {**SEARCH, "done": DONE})),
    (100.0, Event("level", 2, LEVEL)),
    (124.0, Event("epoch", 2, EPOCH)),
)


def test_the_screen_shows_the_whole_search():
    lines = lines_of(board_of(*AT_LEVEL_2))
    bar = lines.pop(12)
    assert lines == [
        "runs/digits",
        "level  density          set  epochs  iterations  saved",
        "  0    100.00%  1298 (100%)   20/40         820",
        "  1     80.00%    298 (23%)   20/40         328  50.0%",
        "> 2     64.00%    483 (37%)    3/40          48  65.0%",
        "  3     51.20%",
        "  4     40.96%",
        "  5     32.77%",
        "  6     26.21%",
        "  7     20.97%",
        "  8     16.78%",
        "level 2/8, epoch 4/40, 2 it/s, 4:56 left, mask distance 0.012, val 87.5%",
        # Two levels of 60 s and 24 s of this one. 592 iterations of it are left, and five levels
        # that are taken to have 328 like level 1: at 2 a second that is 18:36.
        "search: 2:24 so far, about 18:36 left, 2132 iterations saved (65.0%)",
    ]
    assert bar == "━" * 6, "48 of 640 iterations, 80 columns wide"


def test_within_an_epoch_the_rate_and_the_time_left_go_on():
    board = board_of(*AT_LEVEL_2, (148.0, Event("step", 2, {"iteration": 64})))
    # 64 iterations in 48 seconds, and 576 to go.
    assert "level 2/8, epoch 4/40, 1 it/s, 7:12 left" in lines_of(board)[11]


def test_a_level_that_is_resumed_counts_from_where_it_was_taken_up():
    resumed = {**LEVEL, "iteration": 320}
    board = board_of(AT_LEVEL_2[0], (100.0, Event("level", 2, resumed)))
    assert "level 2/8, epoch 21/40" in lines_of(board)[11]
    board = board.after(Event("step", 2, {"iteration": 400}), 110.0)
    assert "level 2/8, epoch 21/40, 8 it/s, 0:30 left" in lines_of(board)[11]


def test_the_dense_level_is_no_measure_of_the_others():
    board = board_of(
        (0.0, Event("search", 0, SEARCH)),
        (0.0, Event("level", 0, LEVEL)),
        (24.0, Event("epoch", 0, EPOCH)),
    )
    assert lines_of(board)[-1] == "search: 0:24 so far"


def test_the_end_of_a_level_and_of_a_search():
    pruned = {"iterations": 164, "next_set_size": 100, "trained": True}
    board = board_of(*AT_LEVEL_2, (130.0, Event("pruned", 3, pruned)))
    lines = lines_of(board)
    assert lines[4] == "  2     64.00%    483 (37%)    3/40         164  65.0%"
    assert lines[5] == "> 3     51.20%     100 (8%)                      73.3%"
    assert lines[-1] == "search: 2:30 so far, 3608 iterations saved (73.3%)"
    board = board.after(Event("finished", 8, {}), 140.0)
    for event in (
        Event("retrain", 2, {"density": 0.64, "iterations": 640, "epochs": 40, "iteration": 0}),
        Event("retrained", 2, {"test_accuracy": 0.975}),
    ):
        board = board.after(event, 999.0)
    lines = lines_of(board)
    assert lines[1].split() == ["level", "density", "set", "epochs", "iterations", "saved", "test"]
    assert lines[4].endswith("65.0%  97.50%")
    assert "2:40 in all" in lines[-1], "a ticket's retraining is not the search's time"


def test_what_a_screen_shows_of_judgements_and_comparisons():
    trial = {"number": 3, "of": 12, "what": "shuffled control of ticket 4", "seed": 1}
    board = board_of(
        (0.0, Event("trial", 4, trial)),
        (0.0, Event("retrain", 4, {**LEVEL, "density": 0.4})),
        (2.0, Event("step", 4, {"iteration": 320})),
    )
    assert lines_of(board)[:2] == [
        "training 3 of 12",
        "shuffled control of ticket 4, seed 1, epoch 1/40, 160 it/s, 0:02 left",
    ]
    contest = {"number": 2, "of": 6, "method": "imp", "seed": 1}
    board = board.after(Event("contest", 0, contest), 3.0).after(Event("search", 0, SEARCH), 3.0)
    assert lines_of(board)[0] == "search 2 of 6: imp, seed 1"
    board = board.after(Event("barrier", 0, {"what": "ticket 4"}), 3.0)
    assert "error barrier of ticket 4" in lines_of(board)


@given(st.integers(1, 200), st.integers(1, 60), st.integers(0, 8))
def test_a_screen_of_any_size_holds_what_it_shows(width: int, height: int, level: int):
    board = board_of(
        (0.0, Event("search", level, SEARCH)), (0.0, Event("level", level, LEVEL)),
        (1.0, Event("epoch", level, EPOCH)),
    )  # fmt: skip
    lines = lines_of(board, width, height)
    assert 1 <= len(lines) <= max(height - 1, 1)
    assert max(map(len, lines)) <= width
    if width >= 10 and height >= 8:
        assert sum(line.startswith(f"> {level}") for line in lines) == 1


@pytest.mark.parametrize(
    ("width", "columns"),
    [
        (60, ["level", "density", "set", "epochs", "iterations", "saved"]),
        (50, ["level", "density", "set", "epochs", "saved"]),
        (40, ["level", "density", "set", "saved"]),
        (24, ["level", "density", "saved"]),
        (15, ["level", "density"]),
        (10, ["level"]),
    ],
)
def test_a_narrow_screen_has_fewer_columns_not_half_figures(width: int, columns: list[str]):
    lines = lines_of(board_of(*AT_LEVEL_2), width)
    assert lines[1].split() == columns
    assert not any("…" in line for line in lines[1:11])


def test_names_of_folders_steer_no_terminal():
    board = board_of((0.0, Event("search", 0, {**SEARCH, "path": "runs/\x1b[31m[red]x"})))
    assert lines_of(board)[0] == r"runs/\x1b[31m[red]x"


# What a child process shows of a real search, an event for each line that its parent sends.
CHILD = """
import os, sys, torch
from torch import nn
from sklearn.datasets import load_digits
import prac
torch.set_num_threads(1)
torch.manual_seed(0)
digits = load_digits()
x, y = torch.tensor(digits.data, dtype=torch.float32)[:300] / 16, torch.tensor(digits.target)[:300]
net = nn.Sequential(nn.Linear(64, 20), nn.ReLU(), nn.Linear(20, 10))
train = prac.TrainConfig(epochs=2, batch_size=50, milestones=())
config = prac.SearchConfig.prac(levels=6, train=train, prune=prac.PruneConfig(layers="linear"))
with os.fdopen(int(sys.argv[1])) as orders, prac.Progress() as progress:
    def watch(event):
        if event.kind == "level":
            assert orders.readline()
        progress(event)
    prac.find(net, (x, y), config, val=(x, y), out=sys.argv[2], callback=watch)
    assert orders.readline()
print("that is all")
"""


@dataclass
class Terminal:
    """A terminal of a given size, in which `CHILD` runs."""

    process: int
    master: int
    orders: int
    screen: Any
    stream: Any

    @classmethod
    def start(cls, folder: Path, rows: int, columns: int) -> Terminal:
        reader, orders = os.pipe()
        os.set_inheritable(reader, True)
        source = str(Path(prac.__file__).parents[1])
        process, master = pty.fork()
        if not process:
            # No more than it needs: what readline puts into C's environment fixes the size.
            variables = {"TERM": "xterm-256color", "PYTHONPATH": source, "PATH": os.environ["PATH"]}
            command = [sys.executable, "-c", CHILD, str(reader), str(folder)]
            os.execve(sys.executable, command, variables)
        os.close(reader)
        screen = pyte.Screen(columns, rows)
        terminal = cls(process, master, orders, screen, pyte.ByteStream(screen))
        terminal.resize(rows, columns)
        return terminal

    def resize(self, rows: int, columns: int) -> None:
        fcntl.ioctl(self.master, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        self.screen.resize(rows, columns)

    def go_on(self) -> None:
        os.write(self.orders, b"\n")

    def until(self, pattern: str) -> list[str]:
        """Return the lines shown once one of them matches and the frame is whole."""
        end = time.monotonic() + 60
        while time.monotonic() < end:
            is_drawing = bool(select.select([self.master], [], [], 0.1)[0])
            if is_drawing:
                try:
                    self.stream.feed(os.read(self.master, 2**16))
                except OSError:  # The child has ended.
                    is_drawing, end = False, 0
            lines = [line.rstrip() for line in self.screen.display]
            if not is_drawing and any(re.search(pattern, line) for line in lines):
                return lines
        raise AssertionError(f"no line matches {pattern!r}: {self.screen.display}")


@pytest.fixture
def terminal(tmp_path: Path) -> Iterator[Terminal]:
    terminal = Terminal.start(tmp_path / "run", 24, 80)
    yield terminal
    os.close(terminal.orders)
    os.close(terminal.master)
    os.waitpid(terminal.process, 0)


def test_a_terminal_may_be_resized(terminal: Terminal):
    terminal.go_on()
    lines = terminal.until("^> 1 ")
    assert sum(line.startswith("level  density") for line in lines) == 1
    assert any(line.startswith("level 0/6: density 1.000, 300 of 300") for line in lines)
    for order, (rows, columns) in enumerate([(24, 40), (12, 30), (6, 100), (30, 120)], 2):
        terminal.resize(rows, columns)
        terminal.go_on()
        # With next to no room there is no table.
        lines = terminal.until(f"^> {order} " if rows > 8 else "^search: ")
        names = [line for line in lines if line.startswith("level  density")]
        assert len(names) == (rows > 8), lines
        assert sum(line.startswith("search: ") for line in lines) == 1, lines
    terminal.go_on()
    terminal.until("^> 6 |^  6 ")
    terminal.go_on()
    lines = terminal.until("that is all")
    assert not any(re.match("> |search: ", line) for line in lines), "the screen has gone"
    assert any(line.startswith("level 5/6: density 0.328") for line in lines), "the lines stay"


def test_elsewhere_there_are_plain_lines_and_few(monkeypatch):
    now = [0.0]
    monkeypatch.setattr("prac.monitor.progress.time.monotonic", lambda: now[0])
    file = io.StringIO()
    with Progress(console=Console(file=file, width=80)) as progress:
        progress(Event("level", 2, LEVEL))
        for iteration in range(1, 101):
            now[0] += 0.5
            progress(Event("step", 2, {"iteration": iteration}))
    text = file.getvalue()
    assert "\x1b" not in text
    lines = text.splitlines()
    assert lines[0] == "level 2/8: density 0.640, 483 of 1298 examples, up to 640 iterations"
    assert lines[1:] == [
        f"  level 2/8, epoch 1/40, 2 it/s, {left} left"
        for left in ("5:10", "5:00", "4:50", "4:40", "4:30")
    ], "one line in ten seconds"


def test_a_line_says_what_a_level_has_saved():
    file = io.StringIO()
    with Progress(console=Console(file=file, width=80)) as progress:
        progress(Event("search", 0, SEARCH))
        progress(Event("level", 0, LEVEL))
        progress(Event("pruned", 1, {"iterations": 820, "next_set_size": 172, "trained": True}))
    assert file.getvalue().splitlines()[-1] == (
        "  trained 820 iterations, 50.0% saved so far; the next level's set has 172 examples"
    )


def test_only_a_persons_terminal_is_live(monkeypatch):
    monkeypatch.delenv("CI", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    master, slave = pty.openpty()
    with os.fdopen(master, "rb"), os.fdopen(slave, "w") as file:
        assert is_live(Console(file=file))
        monkeypatch.setenv("CI", "true")
        assert not is_live(Console(file=file))
        monkeypatch.delenv("CI")
        monkeypatch.setenv("TERM", "dumb")
        assert not is_live(Console(file=file))
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("FORCE_COLOR", "1")
    assert not is_live(Console(file=io.StringIO()))


def test_a_notebook_changes_one_output(monkeypatch):
    shown: list[str] = []

    class Handle:
        def update(self, html: Any) -> None:
            shown[-1] = html.data

    def display(html: Any, display_id: bool) -> Handle:
        shown.append(html.data)
        return Handle()

    monkeypatch.setattr("IPython.display.display", display)
    console = Console(force_jupyter=True)
    with Progress(console=console) as progress:
        for _, event in AT_LEVEL_2:
            progress(event)
        progress(Event("note", 0, {"text": "steps are <eager>"}))
    assert len(shown) == 1
    assert "note: steps are &lt;eager&gt;" in shown[0]
    assert "&gt; 2     64.00%    483 (37%)" in re.sub("<[^>]*>", "", shown[0])


def test_markup_in_names_is_text():
    file = io.StringIO()
    Progress(console=Console(file=file, width=80)).say("loading [red]data[/] for [x]")
    assert file.getvalue() == "loading [red]data[/] for [x]\n"


def test_quiet_is_silent():
    file = io.StringIO()
    with Progress(quiet=True, console=Console(file=file)) as progress:
        progress.say("a line")
        progress(Event("level", 2, LEVEL))
        progress(Event("epoch", 2, EPOCH))
    assert file.getvalue() == ""
