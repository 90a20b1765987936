"""What a person sees while a search goes on: on a terminal, in a file, narrow or quiet."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from prac.progress import Progress
from prac.training import Event

LEVEL = {
    "levels": 8, "density": 0.64, "set_size": 483, "total": 1298,
    "iterations": 640, "iteration": 0,
}  # fmt: skip
EPOCH = {
    "level": 2, "epoch": 3, "epochs": 40, "iteration": 48, "iterations": 640, "lr": 0.1,
    "set_size": 483, "train_loss": 0.5, "train_accuracy": 0.9, "val_accuracy": 0.875,
    "val_loss": 0.4, "mask_distance": 0.0123, "seconds": 0.1,
}  # fmt: skip


def shown(*events: Event, **console: object) -> str:
    file = io.StringIO()
    settings = {"width": 80, "color_system": None, **console}
    with Progress(console=Console(file=file, **settings)) as progress:
        for event in events:
            progress(event)
    return file.getvalue()


def test_a_terminal_shows_level_epoch_rate_time_left_and_mask_distance():
    text = shown(Event("level", 2, LEVEL), Event("epoch", 2, EPOCH), force_terminal=True)
    assert "level 2/8: density 0.640, 483 of 1298 examples, up to 640 iterations" in text
    assert "level 2/8, epoch 3/40, " in text
    assert " it/s, 0:0" in text
    assert " left, mask distance 0.012, val 87.5%" in text


def test_elsewhere_there_are_plain_lines_and_few(monkeypatch):
    now = [0.0]
    monkeypatch.setattr("prac.progress.time.monotonic", lambda: now[0])
    epochs = []
    file = io.StringIO()
    with Progress(console=Console(file=file, width=80)) as progress:
        progress(Event("level", 2, LEVEL))
        for _ in range(100):
            now[0] += 0.5
            progress(Event("epoch", 2, EPOCH))
    text = file.getvalue()
    assert "\x1b" not in text
    epochs = [line for line in text.splitlines() if "epoch 3/40" in line]
    assert len(epochs) == 5, "one line in ten seconds"


def test_the_rate_and_the_time_left_are_those_of_the_clock(monkeypatch):
    now = [100.0]
    monkeypatch.setattr("prac.progress.time.monotonic", lambda: now[0])
    file = io.StringIO()
    with Progress(console=Console(file=file, width=80)) as progress:
        progress(Event("level", 2, LEVEL))
        now[0] += 24.0
        progress(Event("epoch", 2, EPOCH))
    # 48 iterations in 24 seconds; 592 are left at that rate.
    assert "2 it/s, 4:56 left" in file.getvalue()


@pytest.mark.parametrize("width", [20, 40, 80, 200])
def test_a_live_line_stays_one_line(width):
    text = shown(
        Event("level", 2, LEVEL), Event("epoch", 2, EPOCH), force_terminal=True, width=width
    )
    live = next(
        part for part in text.split("\x1b[2K") if "epoch 3/40" in part or "level 2/8," in part
    )
    assert len(live.split("\r")[-1].split("\n")[0]) <= width


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
