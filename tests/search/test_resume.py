"""Interrupted anywhere, continued by the same call: the same bytes as a run that never stopped."""

from __future__ import annotations

from typing import Any

import pytest

import prac

SETTINGS: dict[str, Any] = {
    "prac": {},
    "late rewind": {"rewind": "epoch:2"},
    "rewind inside an epoch": {"rewind": "iteration:8"},
    "learning-rate rewind": {"rewind": "learning-rate"},
    "adam": {"train": prac.TrainConfig(epochs=3, batch_size=50, lr=1e-3, optimizer="adam")},
    "stops early": {"stop": prac.StopConfig(epsilon=1.0, window=1, arm="at-once")},
    "carried": {
        "rewind": "iteration:8",
        "level": prac.LevelConfig(
            start="carried", schedule="cosine", lr_factor=0.5, weight_decay=0.01, growth=1.5
        ),
        "stop": prac.StopConfig(rule="never", budget=0.5, dense_budget=1.0),
        "train": prac.TrainConfig(epochs=4, batch_size=50, lr=0.1),
    },
    "carried, pruned in steps": {
        "level": prac.LevelConfig(start="carried", lr_factor=0.5, prunings=4),
        "train": prac.TrainConfig(epochs=3, batch_size=50, lr=1e-3, optimizer="adam"),
    },
    "trained otherwise": {
        "rewind": "iteration:8",
        "level": prac.LevelConfig(start="carried", weight_decay=0.01, prunings=2),
        "train": prac.TrainConfig(
            epochs=3,
            batch_size=50,
            lr=0.01,
            optimizer="torch.optim.RMSprop",
            optimizer_args={"alpha": 0.9, "momentum": 0.5},
            decay_norms=False,
            schedule="torch.optim.lr_scheduler.PolynomialLR",
            schedule_args={"total_iters": 4},
            clip_norm=1.0,
            accumulate=2,
            ema_decay=0.8,
            batch_transform="mixup",
            batch_transform_args={"alpha": 1.0},
            precision="fp16",
        ),
    },
    "iterations": {"train": prac.TrainConfig(iterations=16, batch_size=50, lr=0.1)},
}
EVERYTHING = (
    "levels/*/ticket.safetensors",
    "levels/*/subset.safetensors",
    "levels/*/trained.safetensors",
    "levels/*/examples.safetensors",
    "metrics.jsonl",
)


class CutError(Exception):
    """Stands for whatever ended the process."""


class Cut:
    """A watcher that ends the run at its n-th event."""

    def __init__(self, at: int) -> None:
        self.at = at
        self.seen = 0

    def __call__(self, event: prac.Event) -> None:
        self.seen += event.kind != "step"  # They come by the clock.
        if self.seen == self.at:
            raise CutError


@pytest.mark.parametrize("stride", [5, pytest.param(1, marks=pytest.mark.slow)])
@pytest.mark.parametrize("name", SETTINGS)
def test_a_search_cut_at_every_event_is_the_same_search(
    name, stride, small_net, train, val, config, tmp_path, run_files
):
    settings = config(levels=2, **SETTINGS[name])
    events = []
    prac.find(small_net(), train, settings, val=val, out=tmp_path / "whole", callback=events.append)
    whole = run_files(tmp_path / "whole", *EVERYTHING)
    assert len(whole) == 3 + 3 + 2 + 2 + 1
    events = [event for event in events if event.kind != "step"]
    kinds = {event.kind for event in events}
    assert kinds - {"note"} == {"search", "level", "epoch", "scoring", "pruned", "finished"}
    # Of every fifth event: others for other settings.
    first = 1 + list(SETTINGS).index(name) % stride
    for at in range(first, len(events), stride):
        out = tmp_path / f"cut-{at}"
        with pytest.raises(CutError):
            prac.find(small_net(), train, settings, val=val, out=out, callback=Cut(at))
        # A model of other weights: a resumed search goes on from the folder's.
        prac.find(small_net(), train, settings, val=val, out=out)
        assert run_files(out, *EVERYTHING) == whole, f"cut at event {at}: {events[at - 1]}"


@pytest.mark.parametrize("name", ["trained otherwise", "carried, pruned in steps"])
def test_a_search_cut_within_epochs_in_turn_is_the_same_search(
    name, small_net, train, val, config, tmp_path, run_files
):
    settings = config(levels=2, **SETTINGS[name])
    prac.find(small_net(), train, settings, val=val, out=tmp_path / "whole")

    def cut_when_saved(event: prac.Event) -> None:
        if event.kind == "saved":
            raise CutError

    cuts, control = 0, prac.RunControl(save_every=4)
    while True:
        try:
            prac.find(
                small_net(), train, settings, val=val, out=tmp_path / "cut",
                callback=cut_when_saved, run_control=control,
            )  # fmt: skip
            break
        except CutError:
            cuts += 1
    assert cuts >= 3, "in the middle of epochs"
    assert run_files(tmp_path / "cut", *EVERYTHING) == run_files(tmp_path / "whole", *EVERYTHING)


def test_a_search_cut_at_every_epoch_in_turn_is_the_same_search(
    small_net, train, val, config, tmp_path, run_files
):
    settings = config(levels=2)
    prac.find(small_net(), train, settings, val=val, out=tmp_path / "whole")
    cuts = 0
    while True:
        try:
            prac.find(
                small_net(), train, settings, val=val, out=tmp_path / "cut", callback=EpochCut()
            )
            break
        except CutError:
            cuts += 1
    assert cuts == 6, "one for each epoch: every resumption got one epoch further"
    assert run_files(tmp_path / "cut", *EVERYTHING) == run_files(tmp_path / "whole", *EVERYTHING)


class EpochCut:
    """A watcher that ends the run after one epoch."""

    def __call__(self, event: prac.Event) -> None:
        if event.kind == "epoch":
            raise CutError


def test_a_search_survives_the_loss_of_its_newest_state(
    small_net, train, val, config, tmp_path, run_files
):
    settings = config(levels=2)
    prac.find(small_net(), train, settings, val=val, out=tmp_path / "whole")
    with pytest.raises(CutError):
        prac.find(small_net(), train, settings, val=val, out=tmp_path / "cut", callback=Cut(4))
    newest = max((tmp_path / "cut" / "state").iterdir())
    content = bytearray(newest.read_bytes())
    content[len(content) // 2] ^= 1
    newest.write_bytes(content)
    with pytest.warns(UserWarning, match="is damaged.*going on from the state before it"):
        prac.find(small_net(), train, settings, val=val, out=tmp_path / "cut")
    assert run_files(tmp_path / "cut", *EVERYTHING) == run_files(tmp_path / "whole", *EVERYTHING)


def test_a_retraining_cut_at_every_epoch_is_the_same_retraining(
    small_net, train, val, config, tmp_path
):
    settings = config(levels=1)
    search = prac.find(small_net(), train, settings, val=val, out=tmp_path / "run")
    ticket = search.tickets[1]

    def retrain(out, watch):
        return prac.retrain(
            ticket, small_net(), train, settings.train, val=val, test=val, out=out, callback=watch
        )

    _, whole = retrain(tmp_path / "whole", lambda event: None)
    cuts = 0
    while True:
        try:
            _, cut = retrain(tmp_path / "cut", EpochCut())
            break
        except CutError:
            cuts += 1
    assert cuts == 3
    assert cut.epochs == whole.epochs
    assert cut.test_accuracy == whole.test_accuracy
    files = [tmp_path / name / "trained.safetensors" for name in ("whole", "cut")]
    assert files[0].read_bytes() == files[1].read_bytes()
