"""The anatomy of tickets: overlaps by hand, and a small comparison's page with it."""

from __future__ import annotations

import json

import pytest
import torch

from experiments import anatomy, rivals
from experiments.rivals import Problem

OPTIONS = (
    "--model lenet_300_100 --layers linear --levels 2 --judged 1,2 --epochs 2 --batch-size 64 "
    "--limit 300"
)


def mask(*kept: int) -> torch.Tensor:
    return torch.tensor(kept, dtype=torch.bool)


def test_overlaps_are_counted_over_all_layers_and_chance_within_each():
    one = {"a": mask(1, 1, 0, 0), "b": mask(1, 0)}
    other = {"a": mask(0, 1, 1, 0), "b": mask(1, 0)}
    assert anatomy.differing(one, one) == 0
    assert anatomy.differing(one, other) == pytest.approx(1 / 3)
    # Of three kept, 2 * 1/2 + 1 * 1/2 would be kept by an other one drawn anew.
    assert anatomy.differing_by_chance(one, other) == pytest.approx(0.5)


def test_a_page_shows_the_anatomy_of_a_comparison(tmp_path, monkeypatch):
    monkeypatch.setattr("experiments.rivals_page.RESULTS", tmp_path)
    problem = Problem("Digits", "digits", "", "imp,carried", OPTIONS, seeds="0,1", page="small")
    monkeypatch.setitem(rivals.PROBLEMS, "small", problem)
    data = "digits"
    monkeypatch.setattr(
        rivals,
        "command",
        lambda problem, data, out, changes="": [
            *("prac", "compare", "--data", "digits", "--methods", problem.methods),
            *("--seeds", problem.seeds, *problem.options.split(), "--out", out),
        ],
    )
    runs, target = str(tmp_path / "runs"), ["--results", str(tmp_path)]
    rivals.main(["small", "--data", data, "--runs", runs, *target])
    assert "How the tickets differ" not in (tmp_path / "small.md").read_text()
    words = ["small", "--data", data, "--runs", runs, "--judge", "imp,carried", "--level", "2"]
    anatomy.main([*words, *target])
    page = (tmp_path / "small.md").read_text()
    found = json.loads((tmp_path / "small-anatomy.json").read_text())
    by = {(one["method"], one["level"]): one for one in found["masks"]}
    assert by["imp", 2]["differing"] == 0
    assert 0 < by["carried", 2]["differing"] < by["carried", 2]["by_chance"]
    assert sum(by["carried", 2]["layers"].values()) > 0
    assert "## How the tickets differ from IMP's" in page
    judged = {one["method"]: one for one in found["judged"]}
    assert judged["imp"]["dense"] == judged["carried"]["dense"]  # Trained once.
    numbers = [f"{100 * judged['carried'][of]:.2f}" for of in ("ticket", "shuffled", "dense")]
    barrier = f"{100 * judged['carried']['barrier']:.2f}"
    assert f"| `carried` | 64.00% | {' | '.join(numbers)} | {barrier} |" in page
    assert str(tmp_path) not in page


def test_the_judge_command_is_a_command():
    from prac.cli import judge

    _, _, *words = anatomy.command("runs/x", "imp", 8)
    options = judge.parser().parse_args(words)
    assert (options.levels, options.shuffle, options.barriers) == ((8,), True, True)
