"""The experiments' scripts, at sizes of seconds; their pages are what the committed figures say."""

from __future__ import annotations

import dataclasses
import io
import json
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest
import torch
from PIL import Image

from experiments import (
    claims,
    controls,
    critical,
    critical_page,
    first,
    frankle_carbin,
    frankle_carbin_page,
    lengths,
    networks,
    pages,
    power,
    rivals,
    rivals_page,
    sanity,
    transfer,
    transformers,
    winning,
)
from prac.cli import compare, find, judge
from prac.cli.compare import parser
from prac.cli.given import check_used
from prac.cli.options import options_and_recipe
from prac.cli.recorded import named_settings
from prac.comparison import Comparison
from prac.comparison.record import JudgedTicket, Run
from prac.config import DataConfig, Recipe, flat
from prac.data import load_data
from prac.runs import Cost, Ticket


def check_compare(arguments: Sequence[str]) -> Any:
    """Return the options of a `prac compare` command, checked as the command itself checks them."""
    made = compare.parser(named_settings(arguments))
    options, recipe = options_and_recipe(made, arguments, Recipe)
    compare._check_asked(arguments, options, recipe)
    return options


RIVALS = [
    rivals.page_of(name)
    for name in rivals.PROBLEMS
    if (pages.RESULTS / f"{rivals.page_of(name)}.json").exists()
]


@pytest.mark.parametrize("name", RIVALS)
def test_a_page_of_rivals_is_made_of_its_figures(name):
    assert (pages.RESULTS / f"{name}.md").read_text() == rivals_page.page(pages.read(name))


EXPERIMENTS = {
    "claims": claims.page,
    "controls": controls.page,
    "critical": critical_page.page,
    "first": first.page,
    "lengths": lengths.page,
    "power": power.page,
    "sanity": sanity.page,
    "transfer": transfer.page,
    "transformers": transformers.page,
    "win": winning.page,
}


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_a_page_is_made_of_its_figures(name):
    assert (pages.RESULTS / f"{name}.md").read_text() == EXPERIMENTS[name](pages.read(name))


def test_the_page_of_lottery_tickets_is_made_of_its_figures():
    text = (pages.RESULTS / "frankle-carbin.md").read_text()
    assert text == frankle_carbin_page.page(pages.read("frankle-carbin"))


@pytest.mark.parametrize("name", rivals.PROBLEMS)
def test_commands_of_rivals_are_commands(name):
    problem = rivals.PROBLEMS[name]
    _, _, *arguments = rivals.command(problem, "DIR", "runs/x")
    options = check_compare(arguments)
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
    for problem in transfer.PROBLEMS.values():
        for kind in transfer.KINDS:
            _, _, *arguments = transfer.command(problem, kind, 4, "DIR", "runs", 700)
            options = find.parser().parse_args(arguments)
            assert (options.seed, options.levels) == (4, problem.levels)


@pytest.mark.parametrize(("problem", "source"), [("thin-vgg", "authors"), ("conv4", "cifar10")])
def test_transfer_s_networks_see_the_examples_that_the_sets_are_of(problem, source):
    """A set is refused on other data: splits and pictures are those of the search it is from."""
    mine, its = transfer.PROBLEMS[problem], rivals.PROBLEMS[source]
    assert rivals.folder_of(source, "runs").name == mine.searches
    searched = parser().parse_args(rivals.command(its, "DIR", "x")[2:])
    own = find.parser().parse_args(transfer.command(mine, "own", 0, "DIR", "runs", 0)[2:])
    same = ("limit", "val_fraction", "val_seed", "image_size", "normalize")
    assert [getattr(own, name) for name in same] == [getattr(searched, name) for name in same]
    assert searched.levels == mine.level


def test_commands_of_transformers_are_commands_and_judge_levels_that_there_are():
    for name in transformers.PROBLEMS:
        for rewind in transformers.REWINDS:
            (_, _, *search), (_, _, *judgement) = transformers.commands(
                name, rewind, 1, "DIR", "runs"
            )
            made = find.parser(find._defaults(search))
            _, recipe = options_and_recipe(made, search, Recipe)
            options = judge.parser().parse_args(judgement)
            assert options.seeds == (recipe.search.seed,) == (1,)
            assert options.shuffle == options.random == (rewind == "epoch:1")
            assert max(options.levels) <= recipe.search.levels


def test_a_transformer_s_ticket_is_ahead_where_its_metric_is_the_better_one():
    values = {
        **{f"epoch:1 {level}": [5.0, 6.0] for level in (0, 3, 6)},
        **{f"{what} {level}": [5.5, 6.0] for what in ("shuffled", "random") for level in (3, 6)},
        **{f"init {level}": [4.0, 5.5] for level in (0, 3, 6)},
    }
    found = {
        "metric": {"name": "perplexity", "higher_is_better": False, "is_share": False},
        "densities": {"0": 1.0, "3": 0.3, "6": 0.1}, "sets": [[630, 500]], "values": values,
        "machine": {"processor": "x86", "threads": 1, "torch": "2", "python": "3"},
    }  # fmt: skip
    text = transformers.page({"text-transformer": found})
    assert "| at 30.0%, the ticket over the shuffled mask | 1 of 2 | 0.25 |" in text
    last = "the ticket of a search rewound to its initialisation | 0 of 2 |"
    assert f"| at 10.0%, the ticket over {last}" in text


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
        "transferred": [searched(0.59 + seed / 100 + seed / 1000, 300) for seed in range(3)],
        "random": [searched(0.61 + seed / 100, 250) for seed in range(3)],
    }
    text = transfer.page({"thin-vgg": found})
    own, transferred, random = (
        next(line for line in text.splitlines() if line.startswith(f"| {kind}:"))
        for kind in transfer.KINDS
    )
    assert own.endswith("| 60.0% | 61.00 ± 2.48 |")
    assert transferred.endswith("| 70.0% | 60.10 ± 2.73 |")
    assert random.endswith("| 75.0% | 62.00 ± 2.48 |")
    assert "| transferred less own | -0.90 ± 0.25 | 0.002 | 1 |" in text
    assert "| own less random | -1.00 ± 0.00 | - | - |" in text


def test_a_thin_vgg_ends_in_classes():
    made = networks.thin_vgg((3, 16, 16), 10)
    assert made(torch.zeros(2, 3, 16, 16)).shape == (2, 10)
    assert networks.vit_of_4((3, 16, 16), 10).positions.shape == (1, 17, 64)


class TestCritical:
    def test_commands_are_commands(self):
        for name, problem in critical.PROBLEMS.items():
            _, _, *arguments = critical.command(name, "DIR/x.npz", "runs")
            options = check_compare(arguments)
            assert max(options.judged) == options.levels
            assert problem.data.endswith(".npz")

    @pytest.mark.parametrize("share", [0.0, 0.1, 0.3])
    def test_noise_gives_exactly_so_many_labels_to_other_classes(self, share):
        labels = np.arange(1000) % 10
        noisy = critical.relabelled(labels, share)
        assert (noisy != labels).sum() == 1000 * share
        assert set(noisy) == set(range(10))
        assert np.array_equal(noisy, critical.relabelled(labels, share))

    def test_a_problem_is_run_and_told(self, tmp_path, monkeypatch):
        small = "--model lenet_300_100 --layers linear --levels 2 --judged 2 --epochs 3"
        both = critical.with_rivals("prac", "prac:level-budget=0.2", "prac-light")
        problems = {
            "digits": critical.Problem("digits", "digits", small, seeds="0,1", methods=both),
            "digits-20": critical.Problem("noisy", "digits", small, noise=0.2, seeds="0,1"),
        }
        monkeypatch.setattr(critical, "PROBLEMS", problems)
        monkeypatch.setattr(pages, "RESULTS", tmp_path)
        critical.main(["--data", str(tmp_path), "--runs", str(tmp_path / "runs")])
        found = pages.read("critical")["problems"]
        assert list(found) == ["digits", "digits-20"]
        right, noisy = (found[name]["shown"]["prac"] for name in found)
        assert set(found["digits"]["shown"]) == {"prac", "prac:level-budget=0.2", "prac-light"}
        assert all(of["mislabelled"] is None and 0 < of["forgotten"] <= 1 for of in right)
        # What has a wrong label is learned last: more of it is in the sets than of the data.
        assert all(of["mislabelled"] > 0.2 for of in noisy)
        text = (tmp_path / "critical.md").read_text()
        assert "| noisy |" in text
        assert "<svg" in (tmp_path / "critical.svg").read_text()
        # What has been run is not run again, nor needed whole.
        critical.main(["--data", "nowhere", "--runs", str(tmp_path / "runs"), "--no-run"])
        assert (tmp_path / "critical.md").read_text() == text


class TestLengths:
    def test_commands_are_commands(self):
        for name in lengths.PROBLEMS:
            for _, _, *arguments in lengths.commands(name, "DIR/x.npz", "runs"):
                check_compare(arguments)

    def test_levels_stop_where_their_distances_say(self):
        found = lengths.stops([[0.3, 0.05, 0.05, 0.05], [0.05, 0.05, 0.05, 0.3]], [5, 5])
        assert found["0.1 2 False"] == (4 + 3) / 2 / 5
        assert found["0.01 1 False"] == 1
        assert found["0.2 5 True"] == 1

    def test_a_problem_is_run_and_told(self, tmp_path, monkeypatch):
        small = "--model lenet_300_100 --layers linear --levels 2 --judged 2 --epochs 4"
        problem = critical.Problem("digits", "digits", f"{small} --arm above-once")
        monkeypatch.setattr(critical, "PROBLEMS", {"digits": problem})
        monkeypatch.setattr(lengths, "PROBLEMS", {"digits": ("10,11", ("init", "epoch:1"))})
        monkeypatch.setattr(lengths, "BUDGETS", (0.5,))
        monkeypatch.setattr(pages, "RESULTS", tmp_path)
        lengths.main(["--data", str(tmp_path), "--runs", str(tmp_path / "runs")])
        found = pages.read("lengths")["problems"]["digits"]
        half, whole = (
            found["lengths"][name] for name in (f"{lengths.FULL}:level-budget=0.5", lengths.FULL)
        )
        assert half["saved"] > whole["saved"]
        assert set(found["rewinds"]) == {"init", "epoch:1"}
        text = (tmp_path / "lengths.md").read_text()
        assert "| as the published rule stops |" in text
        assert "| `epoch:1` |" in text


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
            for level, kind, stop, accuracy in (
                (0, "ticket", 30, 0.980),
                (7, "ticket", 10 + trial % 2, 0.983),
                (7, "reinitialised", 20 + trial, 0.975),
                (15, "ticket", 10, 0.9801),
            ):
                # Not the same of each: differences without a spread tell nothing.
                noise = trial * (1 + level / 100 + (kind == "ticket") / 10) * 1e-3
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


def test_runs_of_an_earlier_sitting_stay_on_a_page(tmp_path, monkeypatch):
    def run(method: str, seed: int, accuracy: float) -> Run:
        judged = JudgedTicket(0, 1.0, accuracy, "x/trained/abc", Cost(), Cost())
        return Run(method, seed, f"x/runs/{method}/seed-{seed}", tickets=(judged,))

    def compared(*runs: Run, **settings: object) -> Comparison:
        return Comparison(tmp_path, (0, 1, 2), (0, 7), {"data": "/mine", **settings}, runs)

    def committed(comparison: Comparison) -> None:
        values = comparison.to_json()
        values["settings"]["data"] = "DIR/cifar10"
        (tmp_path / "rivals-paper.json").write_text(json.dumps(values))

    monkeypatch.setattr(pages, "RESULTS", tmp_path)
    now = compared(run("imp", 1, 0.6), run("prac", 0, 0.7))
    assert rivals.with_earlier("paper", now) == now
    committed(compared(run("imp", 0, 0.5), run("imp", 1, 0.1), run("cts", 0, 0.2)))
    both = rivals.with_earlier("paper", now)
    found = [(of.method, of.seed, of.tickets[0].value) for of in both.runs]
    assert found == [("prac", 0, 0.7), ("imp", 0, 0.5), ("imp", 1, 0.6)]
    assert both.seeds == (0, 1, 2)
    other = compared(run("prac", 0, 0.7), epochs=3)
    assert rivals.with_earlier("paper", other) == other


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
