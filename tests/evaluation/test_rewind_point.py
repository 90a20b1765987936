"""The earliest stable point: where copies branch off, what is kept, what is said."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest
import torch
from rich.console import Console

import prac
from prac.cli import main
from prac.evaluation import RewindPoint, find_rewind_point
from prac.evaluation.verdict import Barrier
from prac.io import read_tensors
from prac.report import rewind_point_text

TRAIN = prac.TrainConfig(epochs=2, batch_size=50, lr=0.1)
FLAT, HILL = Barrier((0.1, 0.1)), Barrier((0.1, 0.4, 0.1))


@pytest.fixture
def found(small_net, train, val):
    def find(**options) -> tuple[RewindPoint, list[str]]:
        events: list[str] = []
        point = find_rewind_point(
            small_net(), train, TRAIN, test=val, cache="cache",
            callback=lambda event: events.append(event.kind), **options,
        )  # fmt: skip
        return point, events

    return find


def unstable_until(monkeypatch, stable: int | None) -> None:
    """Let barriers be hills for so many points, then flat."""
    tried: list[object] = []

    def barrier(*arguments: object) -> Barrier:
        tried.append(arguments)
        return FLAT if stable is not None and len(tried) > stable else HILL

    monkeypatch.setattr("prac.evaluation.rewind_point.cached_barrier", barrier)


def test_points_in_order_up_to_the_first_stable_one(found, monkeypatch):
    unstable_until(monkeypatch, 2)
    point, events = found(points=(8, 3, 0, 11))
    assert list(point.barriers) == [0, 3, 8]
    assert point.iterations == 12
    assert (point.at, point.setting) == (8, "iteration:8")
    assert events.count("retrain") == 6
    assert events.count("trunk") == 2, "initialisation needs no training"
    unstable_until(monkeypatch, 0)
    assert found(points=(0, 3))[0].setting == "init"


def test_again_it_trains_nothing_and_a_point_between_trains_only_its_own(found, monkeypatch):
    unstable_until(monkeypatch, None)
    first, _ = found(points=(3, 8))
    assert (first.at, first.setting) == (None, None)
    again, events = found(points=(3, 8))
    assert again == first
    assert {"retrain", "trunk"}.isdisjoint(events)
    _, events = found(points=(5, 8))
    assert (events.count("retrain"), events.count("trunk")) == (2, 1)


def test_the_weights_at_a_point_are_those_a_search_rewinds_to(
    found, small_net, train, config, monkeypatch
):
    unstable_until(monkeypatch, None)
    found(points=(3, 8), seed=4)
    found(points=(5,), seed=4)
    for at in (3, 5, 8):
        settings = config("imp", levels=1, train=TRAIN, rewind=f"iteration:{at}", seed=4)
        search = prac.find(small_net(), train, settings, out=f"run{at}")
        (path,) = Path("cache").glob(f"trunk-*/iteration_{at:08d}.safetensors")
        weights, _ = read_tensors(path, "weights")
        wanted = search.tickets[1].weights
        assert all(torch.equal(value, wanted[name]) for name, value in weights.items())


def test_it_goes_on_where_it_was_stopped(small_net, train, val, found, monkeypatch):
    unstable_until(monkeypatch, None)
    stops, point = 0, None
    while point is None:
        try:
            point, _ = found(points=(0, 7), run_control=prac.RunControl(max_seconds=0.05))
        except prac.Interrupted:
            stops += 1
        assert stops < 60
    assert stops
    whole = find_rewind_point(small_net(), train, TRAIN, test=val, cache="whole", points=(0, 7))
    assert point.values == whole.values


def test_real_barriers_have_eleven_points(found):
    point, _ = found(points=(0,))
    assert len(point.barriers[0].errors) == 11
    facts = point.to_json()
    assert facts["points"][0]["iteration"] == 0
    assert len(facts["points"][0]["accuracies"]) == 2


@pytest.mark.parametrize(
    ("options", "line"),
    [
        ({"points": (0, 12)}, "points has 12: expected iterations from 0 to 11"),
        ({"points": ()}, "points is empty"),
        ({"seeds": (0,)}, "expected two"),
        ({"seeds": (1, 1)}, "expected two"),
    ],
)
def test_what_is_refused(found, options, line):
    with pytest.raises(prac.PracError, match=line):
        found(**options)


def test_words_fit_80_columns():
    barriers = dict.fromkeys((0, 64000), HILL) | {128000: FLAT}
    accuracies = dict.fromkeys(barriers, (0.91234, 0.9))
    for known in (barriers, {0: HILL}):
        file = io.StringIO()
        console = Console(file=file, width=80)
        console.print(rewind_point_text(RewindPoint(640000, known, accuracies)))
        text = file.getvalue()
        assert max(map(len, text.splitlines())) <= 80
        said = " ".join(text.split())
        expected = "--rewind iteration:128000" if 128000 in known else "From no point up to"
        assert expected in said
        assert "0 0.0% 91.23 and 90.00 30.00 no" in said


def test_the_command(capsys):
    quick = [
        "--model", "lenet_300_100", "--layers", "linear", "--data", "digits", "--limit", "200",
        "--levels", "1", "--epochs", "2", "--batch-size", "50", "--lr", "0.05", "--quiet",
    ]  # fmt: skip
    assert main(["find", *quick, "--out", "run"]) == 0
    capsys.readouterr()
    command = ["judge", "run", "--find-rewind-point", "--points", "0,3", "--quiet"]
    assert main(command) == 0
    out = capsys.readouterr().out
    assert out.startswith(("The dense network is stable from", "From no point"))
    assert out.splitlines()[-1] == "points: run/judged/rewind_point.json"
    assert main([*command, "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts == json.loads(Path("run/judged/rewind_point.json").read_text())
    assert facts["iterations"] == 8
