"""The experiments' scripts, at sizes of seconds; their pages are what the committed figures say."""

from __future__ import annotations

import dataclasses
import io
import json
import shlex
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest
import torch
from PIL import Image

from experiments import (
    controls,
    first,
    frankle_carbin,
    frankle_carbin_page,
    pages,
    rivals,
    rivals_page,
    transfer,
    transformers,
    winning,
)
from prac.cli import find, judge
from prac.cli.compare import parser
from prac.cli.given import check_used
from prac.cli.options import options_and_recipe
from prac.comparison import method_specs
from prac.config import DataConfig, Recipe, SearchConfig, combined, flat
from prac.data import load_data
from prac.runs import Ticket

RIVALS = [
    rivals.page_of(name)
    for name in rivals.PROBLEMS
    if (pages.RESULTS / f"{rivals.page_of(name)}.json").exists()
]


@pytest.mark.parametrize("name", RIVALS)
def test_a_page_of_rivals_is_made_of_its_figures(name):
    assert (pages.RESULTS / f"{name}.md").read_text() == rivals_page.page(pages.read(name))


@pytest.mark.parametrize(
    "experiment",
    [
        one
        for one in (controls, first, transfer, transformers, winning)
        if (pages.RESULTS / f"{one.NAME}.json").exists()
    ],
    ids=lambda one: one.NAME,
)
def test_a_page_is_made_of_its_figures(experiment):
    text = (pages.RESULTS / f"{experiment.NAME}.md").read_text()
    assert text == experiment.page(pages.read(experiment.NAME))


def test_the_page_of_lottery_tickets_is_made_of_its_figures():
    text = (pages.RESULTS / "frankle-carbin.md").read_text()
    assert text == frankle_carbin_page.page(pages.read("frankle-carbin"))


@pytest.mark.parametrize("name", rivals.PROBLEMS)
def test_commands_of_rivals_are_commands(name):
    problem = rivals.PROBLEMS[name]
    _, _, *arguments = rivals.command(problem, "DIR", "runs/x")
    preset = problem.options.split()[1] if problem.options.startswith("--preset") else None
    options = parser(combined(preset).settings if preset else None).parse_args(arguments)
    assert method_specs(options.methods, SearchConfig())
    assert max(options.judged) <= options.levels


def test_commands_of_the_first_results_are_commands_and_have_no_option_too_many():
    for problem, settings in first.PROBLEMS.items():
        for method in settings["retrain"]:
            arguments = first.command(problem, method, "DIR", "runs")[2:]
            made = find.parser(find._defaults(arguments))
            options, recipe = options_and_recipe(made, arguments, Recipe)
            assert options.retrain[-1] == options.levels
            check_used(arguments, flat(recipe))


def test_commands_of_controls_and_of_transfer_are_commands():
    for search in controls.SEARCHES:
        _, _, *arguments = controls.command(search, "runs")
        options = judge.parser().parse_args(arguments)
        assert (options.reinit, options.shuffle, options.random) == (True, True, True)
    for kind in transfer.KINDS:
        _, _, *arguments = transfer.command(kind, 1, "DIR", "runs", 700)
        options = find.parser().parse_args(arguments)
        assert (options.seed, options.levels) == (1, transfer.LEVELS)
    problem = parser().parse_args(rivals.command(rivals.PROBLEMS["cifar10"], "DIR", "x")[2:])
    assert options.limit == problem.limit
    assert problem.levels == transfer.SOURCE_LEVEL


def test_commands_of_transformers_are_commands_and_judge_levels_that_there_are():
    for preset in transformers.PRESETS:
        (_, _, *search), (_, _, *judgement) = transformers.commands(preset, "runs")
        made = find.parser(find._defaults(search))
        _, recipe = options_and_recipe(made, search, Recipe)
        options = judge.parser().parse_args(judgement)
        assert (options.shuffle, options.random, options.seeds) == (True, True, (0, 1, 2))
        assert max(options.levels) <= recipe.search.levels


def test_a_transformer_s_ticket_is_ahead_only_with_every_seed():
    def trials(*of):
        return {"n": 2, "runs": [{"seed": s, "perplexity": v} for s, v in enumerate(of)]}

    level = {
        "density": 0.3, "verdict": "matching", "ticket": trials(5.0, 6.0),
        "controls": {
            "shuffled": {**trials(5.5, 6.5), "p_value": 0.01},
            "random": {**trials(5.5, 6.0), "p_value": None},
        },
    }  # fmt: skip
    metric = {"name": "perplexity", "higher_is_better": False, "is_share": False}
    found = {
        "metric": metric, "verdict": {"levels": [level]},
        "levels": [{"set_size": 630}, {"set_size": 0}],
    }  # fmt: skip
    text = transformers.page({"hardware": "x86", "presets": {"text-transformer": found}})
    assert "| at 30.0%, the ticket over the shuffled mask | 2 of 2 | 0.01 | yes |" in text
    assert "| at 30.0%, the ticket over the random mask | 1 of 2 |  | no |" in text
    assert transformers.seeds_ahead(level, "shuffled", higher=True) == 0


def searched(accuracy, iterations):
    """What a transfer's search is recorded as."""
    machine = {"torch": "2", "processor": "x86", "threads": 1}
    return {
        "set_sizes": [900, 700], "iterations": iterations, "imp_iterations": 1000,
        "density": 0.26, "dense": 0.6, "accuracy": accuracy, "machine": machine,
    }  # fmt: skip


def test_transfer_is_told_beside_own_sets_and_random_ones():
    found = {
        "own": [searched(0.60 + seed / 100, 400) for seed in range(3)],
        "transferred": [searched(0.59 + seed / 100, 300) for seed in range(3)],
        "random": [searched(0.61 + seed / 100, 250) for seed in range(3)],
    }
    rows = [line for line in transfer.page({"searches": found}).splitlines() if "set" in line[:60]]
    own, transferred, random = (next(r for r in rows if k in r) for k in transfer.KINDS.values())
    assert "| 60.0% | 61.00 ± 2.48 |  |" in own
    assert "| 70.0% | 60.00 ± 2.48 | 0 |" in transferred
    assert "| 75.0% | 62.00 ± 2.48 | 1 |" in random


def record(trial, level, kind, rows):
    """A training's record; rows are iteration, validation loss and test accuracy."""
    curve = [[step, 0.9, loss, test, 0.1] for step, loss, test in rows]
    density = 0.8**level
    return {
        "trial": trial, "level": level, "kind": kind, "density": density, "seconds": 60.0,
        "curve": curve,
    }  # fmt: skip


class TestLotteryTickets:
    def test_early_stopping_is_where_the_validation_loss_is_the_lowest(self):
        training = frankle_carbin_page.Training.of(
            record(0, 0, "ticket", [(10, 0.5, 0.90), (20, 0.2, 0.95), (30, 0.3, 0.97)])
        )
        assert (training.stop, training.at_stop, training.at_end) == (20, 0.95, 0.97)

    def test_claims_are_judged_by_trials_that_pair_up(self):
        results: dict[str, Any] = {"torch": "2", "trainings": []}
        for trial in range(3):
            noise = trial * 1e-3
            for level, kind, stop, accuracy in (
                (0, "ticket", 30, 0.980),
                (7, "ticket", 10 + trial % 2, 0.983),
                (7, "reinitialised", 20 + trial, 0.975),
                (15, "ticket", 10, 0.9801),
            ):
                rows = [(stop, 0.1, accuracy + noise), (40, 0.2, accuracy + noise)]
                results["trainings"].append(record(trial, level, kind, rows))
        claims = frankle_carbin_page.claims(frankle_carbin_page.Trainings(results))
        came = [line.split("|")[-2].strip() for line in claims[2:]]
        assert came == ["yes"] * 6
        for one in results["trainings"]:
            if one["level"] == 7 and one["kind"] == "ticket":
                one["curve"] = record(0, 7, "ticket", [(39, 0.1, 0.90)])["curve"]
        claims = frankle_carbin_page.claims(frankle_carbin_page.Trainings(results))
        came = [line.split("|")[-2].strip() for line in claims[2:]]
        assert came == ["yes", "no", "no", "yes", "no", "no"]

    def test_a_trial_prunes_the_output_layer_half_as_much_and_goes_on_where_it_stopped(
        self, tmp_path, capsys
    ):
        data = load_data(DataConfig(name="digits", limit=300))
        config = dataclasses.replace(frankle_carbin.TRAINING, iterations=40)
        setting = frankle_carbin.Setting(levels=2, reinitialised=(2,), config=config)
        results = tmp_path / "found.json"
        frankle_carbin.trial(3, data, setting, tmp_path, results)
        found = json.loads(results.read_text())["trainings"]
        assert [(r["level"], r["kind"]) for r in found] == [
            (0, "ticket"), (1, "ticket"), (2, "reinitialised"), (2, "ticket"),
        ]  # fmt: skip
        assert [row[0] for row in found[0]["curve"]] == setting.points()
        masks = Ticket.load(tmp_path / "trial-3" / "level-02.ticket.safetensors").masks
        kept = [int(mask.sum()) / mask.numel() for mask in masks.values()]
        assert kept == pytest.approx([0.64, 0.64, 0.81], abs=1e-3)
        capsys.readouterr()
        frankle_carbin.trial(3, data, setting, tmp_path, results)
        assert capsys.readouterr().out == ""
        assert json.loads(results.read_text())["trainings"] == found
        assert frankle_carbin_page.page(json.loads(results.read_text())).startswith("# Lottery")

    def test_other_initial_weights_are_other_ones_of_the_same_spread(self):
        data = load_data(DataConfig(name="digits", limit=300))
        one, same, other = (frankle_carbin.new_weights(data, seed) for seed in (1, 1, 2))
        assert all(torch.equal(one[name], same[name]) for name in one)
        first, second = (weights["fc2.weight"] for weights in (one, other))
        assert not torch.equal(first, second)
        assert float(first.std()) == pytest.approx(float(second.std()), rel=0.05)


@pytest.fixture
def cifar(tmp_path: Path) -> Path:
    """A folder with a small CIFAR-10."""
    return small_cifar(tmp_path / "data")


def small_cifar(data: Path, train: int = 120) -> Path:
    """Write a small CIFAR-10 of random images in parquet, as the experiments read it."""
    draw = np.random.default_rng(0)
    folder = data / "cifar10"
    folder.mkdir(parents=True)
    for split, count in (("train", train), ("test", 40)):
        images = []
        for _ in range(count):
            buffer = io.BytesIO()
            pixels = draw.integers(0, 256, (32, 32, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(buffer, format="PNG")
            images.append({"bytes": buffer.getvalue(), "path": None})
        labels = [number % 10 for number in range(count)]
        table = pa.table({"img": images, "label": labels})
        pyarrow.parquet.write_table(table, folder / f"{split}.parquet")
    return data


@pytest.mark.slow
def test_the_papers_protocol_is_rehearsed(cifar, tmp_path):
    changes = (
        "--epochs 2 --milestones 1 --levels 2 --judged 2 --seeds 0 --batch-size 54 --quiet "
        "--rewind epoch:1 --device cpu"
    )
    options = ["paper", "--data", str(cifar), "--runs", str(tmp_path / "runs")]
    rivals.main([*options, "--results", str(tmp_path), f"--set={changes}"])
    text = (tmp_path / "rivals-paper.md").read_text()
    results = json.loads((tmp_path / "rivals-paper.json").read_text())
    assert "24168" in text  # Published, after one pruning.
    dense = 100 * next(row["accuracies"][0]["mean"] for row in results["summary"])
    assert f"| test accuracy, % | 0.00% | 91.3 | {dense:.2f} | 91.3 | {dense:.2f} |" in text
    assert "| iterations to ticket 7 | 79.03% | 448,000 |  | 72,000 |  |" in text
    assert text.count("`prac`") >= 4
    assert str(tmp_path) not in text + (tmp_path / "rivals-paper.json").read_text()
    assert {(run["method"], run["seed"]) for run in results["runs"]} == {
        (method, 0) for method in rivals.PAPER_METHODS
    }
    assert "not finished" not in text
    assert all(run["error"] is None for run in results["runs"])
    assert shlex.split(results["command"])[:2] == ["prac", "compare"]
    assert (tmp_path / "rivals-paper.svg").read_text().startswith("<svg")
    # What a comparison that goes on has so far: nothing of one method, no sparse ticket of another.
    results["runs"] = [run for run in results["runs"] if run["method"] != "random-subset@prac"]
    results["runs"][1]["tickets"].pop()
    results["summary"].pop()
    results["summary"][1] |= {"iterations": None, "saved": None, "seconds": None}
    results["summary"][1]["accuracies"].pop()
    partial = rivals_page.page(results)
    assert "**This comparison is not finished: 3 of 6 trainings of tickets have ended." in partial
    imp = next(line for line in partial.splitlines() if line.startswith("| `imp` |"))
    assert imp.startswith("| `imp` |  |  |")
    assert f"| `imp` | {dense:.2f} |  |" in partial


def test_a_comparison_is_told_while_it_goes_on(tmp_path):
    """Through the files that it leaves, as the script reads them."""
    cost = {"iterations": 10, "examples_trained": 100, "examples_scored": 10, "seconds": 1.0}
    ticket = {
        "density": 1.0, "accuracy": 0.5, "folder": "/there/trained/abc", "cost": cost, "imp": cost,
    }  # fmt: skip
    run = {
        "method": "prac", "seed": 0, "path": "/there/x/runs/prac/seed-0", "rewind": "epoch:3",
        "levels": [], "tickets": [{**ticket, "level": 0}, {**ticket, "level": 7, "density": 0.21}],
        "error": None,
    }  # fmt: skip
    failed = {**run, "method": "imp", "tickets": [], "error": f"{tmp_path}/runs/imp: is full"}
    found = {"seeds": [0], "judged": [0, 7], "settings": {"data": "/mine"}, "runs": [run, failed]}
    (tmp_path / "comparison.json").write_text(json.dumps(found))
    level = tmp_path / "runs/prac/seed-0/levels/00"
    level.mkdir(parents=True)
    (level / "summary.json").write_text('{"total": 45000}')
    machine = {"torch": "2", "python": "3", "processor": "x", "threads": 1, "device": "cuda"}
    (level.parents[1] / "environment.json").write_text(json.dumps({**machine, "cuda": "H100"}))
    command = rivals.command(rivals.paper("0", "7"), "DIR", "runs/x", "--device cuda")
    results = rivals.results("paper", tmp_path, command)
    rivals.publish(results, tmp_path, tmp_path)
    text = (tmp_path / "rivals-paper.md").read_text()
    assert "This comparison is not finished: 2 of 6 trainings" in text
    assert "H100, 1 torch thread" in text
    assert "--judged 7" in text
    shown = (tmp_path / "rivals-paper.json").read_text()
    assert "/there" not in shown
    assert str(tmp_path) not in shown
    assert '"DIR/cifar10"' in shown
    assert (tmp_path / "rivals-paper.svg").exists()


@pytest.mark.parametrize(("status", "output"), [(1, ""), (2, ""), (75, "")])
def test_a_command_that_tells_nothing_is_no_failed_search(
    status, output, tmp_path, monkeypatch, capfd
):
    script = (
        f"import sys; print('why', file=sys.stderr); print({output!r}, end=''); sys.exit({status})"
    )
    (tmp_path / "prac.py").write_text(script)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    with pytest.raises(SystemExit) as ended:
        rivals.run("paper", "data", str(tmp_path), "")
    assert ended.value.code == status
    assert "why" in capfd.readouterr().err


def test_a_command_whose_search_failed_is_told_of(tmp_path, monkeypatch):
    (tmp_path / "prac.py").write_text("import sys; print('{}'); sys.exit(1)")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setattr(rivals, "results", lambda name, folder, made_by: {"name": name})
    assert rivals.run("paper", "data", str(tmp_path), "") == {"name": "paper"}
