"""Curves elsewhere: what trackers are handed, and what TensorBoard, W&B and MLflow make of it."""

from __future__ import annotations

import json
import os
import re
import sqlite3
import struct
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from sklearn.datasets import load_digits
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torch import Tensor, nn

import prac
from prac.cli import main
from prac.monitor.trackers.tensorboard import TILE_GAP, grid
from prac.monitor.trackers.tracker import Where, known_run, remember_run
from prac.runs import read_metrics

CONFIG = prac.SearchConfig.prac(
    levels=2,
    train=prac.TrainConfig(epochs=4, batch_size=50, milestones=(), lr=0.05),
    prune=prac.PruneConfig(layers="linear"),
)


class Recorder:
    """A person's own tracker: it keeps what it is handed."""

    def __init__(self, run: Path, settings: Mapping[str, Any]) -> None:
        self.settings = dict(settings)
        self.scalars_: list[tuple[dict[str, float], Where]] = []
        self.histograms: list[tuple[str, Tensor, Where]] = []
        self.images_: list[tuple[str, Tensor, Where]] = []
        self.is_closed = False

    def scalars(self, values: Mapping[str, float], where: Where) -> None:
        self.scalars_.append((dict(values), where))

    def histogram(self, name: str, values: Tensor, where: Where) -> None:
        self.histograms.append((name, values, where))

    def images(self, name: str, pixels: Tensor, where: Where) -> None:
        self.images_.append((name, pixels, where))

    def close(self) -> None:
        self.is_closed = True


def data() -> tuple[Tensor, Tensor]:
    digits = load_digits()
    x = torch.tensor(digits.images, dtype=torch.float32).unsqueeze(1)[:400] / 16
    return x, torch.tensor(digits.target)[:400]


def net() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 20), nn.ReLU(), nn.Linear(20, 10))


def search(out: Path, watch: Any, run_control: prac.RunControl | None = None) -> prac.Search:
    x, y = data()
    train, val = (x[:300], y[:300]), (x[300:], y[300:])
    return prac.find(
        net(), train, CONFIG, val=val, out=out, callback=watch, run_control=run_control
    )


def tracked(out: Path, *trackers: Any, **more: Any) -> prac.Tracking:
    return prac.Tracking(out, *trackers, examples=data(), **more)


def record(out: Path, *, after: int | None = None) -> Recorder:
    """Search, stopping after so many epochs, and return what a tracker was handed."""
    made: list[Recorder] = []

    def make(run: Path, settings: Mapping[str, Any]) -> Recorder:
        made.append(Recorder(run, settings))
        return made[-1]

    run_control, epochs = prac.RunControl(), 0

    def stop(event: prac.Event) -> None:
        nonlocal epochs
        epochs += event.kind == "epoch"
        if epochs == after:
            raise KeyboardInterrupt

    with tracked(out, make) as tracking:
        if after is None:
            search(out, tracking, run_control)
        else:
            with pytest.raises(KeyboardInterrupt):
                search(out, prac.chain_callbacks(tracking, stop), run_control)
    return made[0]


def curve(recorder: Recorder, name: str, series: str) -> list[tuple[int, float]]:
    return [
        (where.step, values[name])
        for values, where in recorder.scalars_
        if where.series == series and name in values
    ]


def test_a_tracker_is_handed_a_run(tmp_path):
    out = tmp_path / "run"
    recorder = record(out)
    lines = read_metrics(out)
    for level in (0, 1):
        own = [line for line in lines if line["level"] == level]
        for name, key in (("train/loss", "train_loss"), ("validation/accuracy", "val_accuracy")):
            shown = curve(recorder, name, f"level-{level:02d}")
            assert shown == [(line["iteration"], line[key]) for line in own]
    found = prac.Search.load(out)
    densities = [(level.index, level.density) for level in found.levels]
    assert curve(recorder, "level/density", "search") == densities
    weights, *_ = [values for name, values, _ in recorder.histograms if name == "weights/1.weight"]
    assert len(weights) == 64 * 20
    dense = found.examples(0)
    never = curve(recorder, "forgetting/never_learned", "search")[0]
    assert never == (0, int((dense["learned"] == 0).sum()))
    name, pixels, where = recorder.images_[0]
    assert (name, where.series, where.step) == ("examples/hardest", "search", 0)
    hardest = dense["events"].masked_fill(~dense["learned"].bool(), 0).argmax()
    assert torch.equal(pixels[0], (data()[0][hardest] * 255).round().to(torch.uint8))
    iterations = [where.iteration for _, where in recorder.scalars_]
    assert iterations == sorted(iterations)
    assert iterations[-1] == sum(level.iterations for level in found.levels)
    assert recorder.settings["levels"] == 2
    assert recorder.is_closed


@pytest.mark.parametrize("after", [1, 3, 5])
def test_a_resumed_run_is_handed_from_the_beginning(tmp_path, after):
    whole = record(tmp_path / "whole")
    record(tmp_path / "run", after=after)
    resumed = record(tmp_path / "run")
    assert resumed.scalars_ == whole.scalars_


def test_a_tracker_that_fails_is_left_and_the_run_goes_on(tmp_path):
    class Failing(Recorder):
        def histogram(self, name: str, values: Tensor, where: Where) -> None:
            raise ConnectionError("no route\nto host")

    notes: list[str] = []
    with tracked(tmp_path / "run", Failing, note=notes.append) as tracking:
        found = search(tmp_path / "run", tracking)
    assert found.finished
    assert notes == ["note: Failing failed and gets no more: ConnectionError: no route to host"]


def test_a_damaged_file_ends_the_tracking_and_not_the_run(tmp_path):
    out, notes = tmp_path / "run", []
    record(out, after=5)
    (out / "levels" / "00" / "examples.safetensors").write_bytes(b"damaged")
    with tracked(out, Recorder, note=notes.append) as tracking:
        assert search(out, tracking).finished
    assert len(notes) == 1
    assert "examples.safetensors" in notes[0]


def test_what_is_no_image_is_not_shown(tmp_path):
    made = []

    def make(run: Path, settings: Mapping[str, Any]) -> Recorder:
        made.append(Recorder(run, settings))
        return made[0]

    x, y = data()
    with prac.Tracking(tmp_path, make, examples=(x.flatten(1), y)) as tracking:
        search(tmp_path / "run", lambda event: None)
        tracking.out = tmp_path / "run"
        tracking.catch_up()
    assert made[0].histograms
    assert not made[0].images_


def events_of(folder: Path) -> EventAccumulator:
    shown = EventAccumulator(str(folder), size_guidance={"images": 0, "histograms": 0})
    shown.Reload()
    return shown


def test_tensorboard_shows_a_run_that_was_stopped_once(tmp_path):
    out = tmp_path / "run"

    def stop(event: prac.Event) -> None:
        if event.kind == "epoch" and event.level == 1:
            raise KeyboardInterrupt

    with tracked(out, "tensorboard") as tracking, pytest.raises(KeyboardInterrupt):
        search(out, prac.chain_callbacks(tracking, stop))
    with tracked(out, "tensorboard") as tracking:
        search(out, tracking)
    assert sorted(path.name for path in (out / "tensorboard").iterdir()) == [
        "level-00", "level-01", "search",
    ]  # fmt: skip
    for level in (0, 1):
        own = [line for line in read_metrics(out) if line["level"] == level]
        shown = events_of(out / "tensorboard" / f"level-{level:02d}").Scalars("validation/loss")
        assert [event.step for event in shown] == [line["iteration"] for line in own]
        losses = [line["val_loss"] for line in own]
        assert [event.value for event in shown] == pytest.approx(losses)
    search_events = events_of(out / "tensorboard" / "search")
    tags = search_events.Tags()
    assert tags["histograms"] == ["weights/1.weight", "weights/3.weight", "forgetting/events"]
    assert "examples/hardest" in tags["images"]
    assert [event.step for event in search_events.Scalars("level/density")] == [0, 1, 2]
    [image] = search_events.Images("examples/hardest")[:1]
    assert image.encoded_image_string.startswith(b"\x89PNG")


def test_pictures_stand_side_by_side_and_large_enough():
    pixels = torch.arange(9, dtype=torch.uint8).view(9, 1, 1, 1).expand(9, 1, 24, 30)
    shown = grid(pixels)
    assert shown.shape == (1, 2 * (48 + 2 * TILE_GAP), 8 * (60 + 2 * TILE_GAP))
    assert shown[0, TILE_GAP, TILE_GAP + (60 + 2 * TILE_GAP) * 3] == 3
    assert shown[0, 48 + 3 * TILE_GAP, TILE_GAP] == 8


TINY = ["--preset", "quickstart", "--levels", "1", "--epochs", "2", "--milestones", "1",
        "--limit", "300", "--quiet"]  # fmt: skip


def test_the_command_tracks_a_finished_run_too(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mytracker.py").write_text(
        "class Lines:\n"
        "    def __init__(self, run, settings):\n"
        "        self.file = open(run / 'lines.txt', 'w')\n"
        "    def scalars(self, values, where):\n"
        "        print(where.series, sorted(values), file=self.file)\n"
        "    def histogram(self, name, values, where): pass\n"
        "    def images(self, name, pixels, where): pass\n"
        "    def close(self): self.file.close()\n"
    )
    command = ["find", *TINY, "--out", "run", "--retrain", "0,1"]
    assert main(command) == 0
    assert not (tmp_path / "run" / "tensorboard").exists()
    assert main([*command, "--tensorboard", "--track", "mytracker:Lines"]) == 0
    series = sorted(path.name for path in (tmp_path / "run" / "tensorboard").iterdir())
    assert series == ["level-00", "search", "ticket-00", "ticket-01"]
    levels = events_of(tmp_path / "run" / "tensorboard" / "search").Scalars("level/density")
    assert [event.step for event in levels] == [0, 1], "each once"
    lines = (tmp_path / "run" / "lines.txt").read_text().splitlines()
    assert sum(line.startswith("ticket-01") for line in lines) == 2
    assert sum("ticket/test_accuracy" in line for line in lines) == 2
    ticket = "run/levels/01/ticket.safetensors"
    assert main(["retrain", ticket, "--quiet", "--out", "again", "--tensorboard"]) == 0
    shown = events_of(tmp_path / "again" / "tensorboard" / "ticket-01")
    assert len(shown.Scalars("train/loss")) == 2


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("tensorbord", "unknown tracker 'tensorbord'.*tensorboard"),
        ("nowhere:Tracker", "tracker 'nowhere:Tracker': cannot import 'nowhere'"),
        ("json:decoder", "tracker 'json:decoder' is a module: name the class or function"),
    ],
)
def test_an_unknown_tracker_is_refused_before_anything_is_done(
    tmp_path, monkeypatch, capsys, name, message
):
    monkeypatch.chdir(tmp_path)
    assert main(["find", *TINY, "--track", name]) == 2
    told = capsys.readouterr().err
    assert re.search(message, told), told
    assert not (tmp_path / "runs").exists()


def test_a_tracker_that_is_not_installed_says_what_to_install(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "wandb", None)
    monkeypatch.delitem(sys.modules, "prac.monitor.trackers.wandb", raising=False)
    with pytest.raises(prac.PracError, match=r"needs wandb.*pip install 'prac-lth\[wandb\]'"):
        prac.Tracking(tmp_path, "wandb")


def test_a_run_keeps_the_names_that_trackers_know_it_by(tmp_path):
    assert known_run(tmp_path, "wandb") is None
    remember_run(tmp_path, "wandb", "abc")
    remember_run(tmp_path, "mlflow", "123")
    assert (known_run(tmp_path, "wandb"), known_run(tmp_path, "mlflow")) == ("abc", "123")


@pytest.fixture(scope="module")
def offline(tmp_path_factory) -> Path:
    """A run that Weights & Biases and MLflow were handed without a network, MLflow twice."""
    folder = tmp_path_factory.mktemp("offline")
    variables = {
        **os.environ,
        "WANDB_MODE": "offline",
        "MLFLOW_TRACKING_URI": f"sqlite:///{folder}/mlflow.db",
        "PYTHONPATH": str(Path(prac.__file__).parents[1]),
    }
    command = [sys.executable, "-m", "prac", "find", *TINY, "--out", "run", "--retrain", "1"]
    for trackers in ("wandb,mlflow", "mlflow"):
        done = subprocess.run(
            [*command, "--track", trackers], env=variables, cwd=folder, capture_output=True
        )
        assert done.returncode == 0, done.stderr.decode()
        assert b"failed" not in done.stderr, done.stderr.decode()
    return folder


@pytest.mark.slow
def test_mlflow_has_each_point_once(offline):
    lines = read_metrics(offline / "run")
    with sqlite3.connect(offline / "mlflow.db") as database:
        [(run, name)] = database.execute("select run_uuid, name from runs").fetchall()
        points = database.execute(
            "select step, value from metrics where key = 'validation/accuracy' order by step"
        ).fetchall()
        ticket = database.execute(
            "select count(*) from metrics where key = 'ticket-01/train/loss'"
        ).fetchone()
        params = dict(database.execute("select key, value from params"))
        experiment = database.execute("select name from experiments where name = 'prac'")
        assert experiment.fetchall() == [("prac",)]
    database.close()
    assert name == "run"
    assert run == json.loads((offline / "run" / "tracking.json").read_text())["mlflow"]
    assert points == [(line["iteration"], line["val_accuracy"]) for line in lines]
    assert ticket == (2,)
    assert params["model"] == "lenet_300_100"


@pytest.mark.slow
def test_weights_and_biases_has_the_run_in_its_offline_files(offline):
    records = wandb_records(offline / "run" / "wandb")
    known = json.loads((offline / "run" / "tracking.json").read_text())["wandb"]
    assert {run.run.run_id for run in records if run.HasField("run")} == {known}
    accuracies = [
        float(item.value_json)
        for record in records
        if record.HasField("history")
        for item in record.history.item
        if (item.key or "/".join(item.nested_key)) == "validation/accuracy"
    ]
    expected = [line["val_accuracy"] for line in read_metrics(offline / "run")]
    assert accuracies[: len(expected)] == pytest.approx(expected)


def wandb_records(folder: Path) -> list[Any]:
    """Return what the offline run there holds: records in pieces, in blocks of 32 KiB."""
    from wandb.proto import wandb_internal_pb2

    [path] = folder.glob("offline-run-*/run-*.wandb")
    content = path.read_bytes()
    records, record, position = [], b"", 7  # After the file's own name and version.
    while position + 7 <= len(content):
        if 2**15 - position % 2**15 < 7:
            position += 2**15 - position % 2**15
            continue
        _, length, kind = struct.unpack_from("<IHB", content, position)
        record += content[position + 7 : position + 7 + length]
        position += 7 + length
        if kind in (1, 4):  # A whole one, or a last piece.
            records.append(wandb_internal_pb2.Record.FromString(record))  # type: ignore[attr-defined]
            record = b""
    return records
