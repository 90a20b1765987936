"""The command as people type it: its tables, its JSON, its one-line errors, its exit statuses."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
import yaml

from prac.cli import main
from prac.cli.command import COMMANDS
from prac.config import METHODS, PRESETS, Recipe, every_setting, flag_of, from_flat
from prac.training.threads import with_threads
from tests import cli_options

QUICK = [
    "--model", "lenet_300_100", "--layers", "linear", "--data", "digits", "--limit", "200",
    "--levels", "2", "--epochs", "2", "--batch-size", "50", "--lr", "0.05",
]  # fmt: skip


def run_prac(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    status = main(list(arguments))
    captured = capsys.readouterr()
    return status, captured.out, captured.err


def test_the_quickstart_finds_retrains_and_knows_that_it_is_done(capsys, once):
    folder, printed = once(["find", "--preset", "quickstart"])
    shutil.copytree(folder / "runs", "runs")
    assert "level 7/8" in printed
    before = Path("runs/quickstart-prac/metrics.jsonl").stat().st_mtime_ns
    status, out, err = run_prac(capsys, "find", "--preset", "quickstart", "--json")
    assert status == 0
    levels = json.loads(out)["levels"]
    assert len(levels) == 9
    assert levels[8]["density"] == pytest.approx(0.8**8, rel=1e-3)
    assert [level["index"] for level in levels if level["retrained"]] == [0, 2, 4, 6, 8]
    assert any(level["stopped_early"] for level in levels), "the quickstart shows a stop"
    assert levels[8]["ledger"]["iterations_saved"] > 0.5
    assert all(level["retrained"]["test_accuracy"] > 0.9 for level in levels[::2])
    status, out, err = run_prac(capsys, "find", "--preset", "quickstart")
    assert status == 0
    assert printed.endswith(out)
    assert "runs/quickstart-prac: already finished" in err
    assert Path("runs/quickstart-prac/metrics.jsonl").stat().st_mtime_ns == before
    assert "50,200 of 50,610 weights are prunable (99.2 %): linear layers" in out
    rows = [line for line in out.splitlines() if "%)" in line and "prunable" not in line]
    assert len(rows) == 9
    for row, level in zip(rows, levels, strict=True):
        assert str(level["set_size"]) in row
        assert f"{level['density']:.2%}" in row
    assert "…" not in out, "no figure is cut"
    assert max(map(len, out.splitlines())) <= 80


def test_a_recognised_run_does_not_wait_for_torch(capsys):
    run_prac(capsys, "find", *QUICK, "--out", "run", "--quiet")
    check = (
        "import sys; from prac.cli import main; "
        f"main({['find', *QUICK, '--out', 'run']!r}); "
        "sys.exit('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "already finished" in done.stderr


def test_methods_differ_in_their_parts(capsys):
    for method in METHODS:
        more = ["--el2n-epoch", "1"] if method.startswith("el2n") else []
        run_prac(capsys, "find", *QUICK, "--method", method, *more, "--out", method, "--quiet")
        _, out, _ = run_prac(capsys, "inspect", method, "--json")
        settings = json.loads(out)["settings"]
        assert {name: settings[name] for name in METHODS[method]} == METHODS[method]
    _, out, _ = run_prac(capsys, "inspect", "imp", "--json")
    assert [level["set_size"] for level in json.loads(out)["levels"]] == [180, 180, 180]


def test_a_ticket_is_retrained_by_its_own_settings_or_by_others(capsys):
    run_prac(capsys, "find", *QUICK, "--out", "run", "--quiet")
    ticket = "run/levels/02/ticket.safetensors"
    status, out, _ = run_prac(capsys, "retrain", ticket, "--json", "--quiet")
    assert status == 0
    own = json.loads(out)
    assert len(own["epochs"]) == 2
    assert own["cost"]["iterations"] == 8
    assert own["test_accuracy"] is not None
    status, out, _ = run_prac(capsys, "retrain", ticket, "--epochs", "3", "--out", "b", "--quiet")
    assert status == 0
    assert "12 iterations" in out
    assert Path("b/trained.safetensors").exists()
    status, _, err = run_prac(capsys, "retrain", ticket, "--epochs", "4", "--out", "b", "--quiet")
    assert status == 2
    assert "epochs (there 3, here 4)" in err


def test_inspect_tells_of_a_retraining(capsys):
    run_prac(capsys, "find", *QUICK, "--retrain", "2", "--out", "run", "--quiet")
    status, out, _ = run_prac(capsys, "inspect", "run/retrain/02")
    assert status == 0
    assert "2 epochs trained" in out
    _, out, _ = run_prac(capsys, "inspect", "run/retrain/02", "--json")
    found = json.loads(out)
    assert found["kind"] == "retraining"
    assert found["summary"]["cost"]["iterations"] == 8


def test_other_settings_retrain_in_another_folder(capsys):
    run_prac(capsys, "find", *QUICK, "--out", "run", "--quiet")
    ticket = "run/levels/02/ticket.safetensors"
    for options in ([], ["--lr", "0.01"], ["--seed", "1"], []):
        status, _, err = run_prac(capsys, "retrain", ticket, *options, "--quiet")
        assert status == 0, err
    assert len(list(Path("runs").glob("retrain-*"))) == 3


def test_a_ticket_found_from_python_asks_for_data_and_model(capsys, train, small_net, config):
    import prac

    prac.find(small_net(), train, config(levels=1), out="run")
    ticket = "run/levels/01/ticket.safetensors"
    for options, missing in (([], "--data"), (["--data", "digits"], "--model")):
        status, _, err = run_prac(capsys, "retrain", ticket, *options)
        assert status == 2
        assert f"pass {missing}" in err


def test_a_finished_search_that_went_on_from_another_s_is_no_search_without(capsys):
    run_prac(capsys, "find", *QUICK, "--method", "imp", "--out", "run", "--quiet")
    more = [*QUICK, "--method", "imp", "--levels", "4", "--out", "more", "--quiet"]
    status, _, err = run_prac(capsys, "find", *more, "--after", "run/levels/02")
    assert status == 0, err
    status, _, err = run_prac(capsys, "find", *more)
    assert status == 2
    assert "the search went on from another ticket, or from none" in err


def test_a_presets_own_list_gives_way_to_a_shorter_search(capsys):
    short = ["--levels", "3", "--epochs", "2", "--milestones", "1", "--limit", "200", "--json"]
    status, out, err = run_prac(capsys, "find", "--preset", "quickstart", *short)
    assert status == 0, err
    levels = json.loads(out)["levels"]
    assert [level["index"] for level in levels if level["retrained"]] == [0, 2]


def test_what_find_retrains_is_what_retrain_retrains(capsys):
    run_prac(capsys, "find", *QUICK, "--retrain", "2", "--out", "run", "--quiet")
    _, out, _ = run_prac(capsys, "retrain", "run/levels/02/ticket.safetensors", "--json", "--quiet")
    summary = json.loads(Path("run/retrain/02/summary.json").read_text())
    assert json.loads(out)["test_accuracy"] == summary["test_accuracy"]


def test_a_set_found_before_serves_another_network(capsys):
    run_prac(capsys, "find", *QUICK, "--out", "run", "--quiet")
    subset = "run/levels/02/subset.safetensors"
    other = ["--model", "conv2", "--layers", "conv+linear", "--subset", subset, "--quiet"]
    status, out, _ = run_prac(capsys, "find", *QUICK, *other, "--json")
    assert status == 0
    found = json.loads(out)
    _, out, _ = run_prac(capsys, "inspect", subset, "--json")
    size = json.loads(out)["size"]
    assert [level["set_size"] for level in found["levels"]] == [size] * 3
    assert found["path"] == "runs/digits-conv2-prac-subset"
    status, _, err = run_prac(capsys, "find", *QUICK, *other, "--limit", "201")
    assert status == 2
    assert "begun with other settings: limit (there 200, here 201)" in err
    status, _, err = run_prac(capsys, "find", *QUICK, *other, "--limit", "201", "--out", "b")
    assert status == 2
    assert "the subset belongs to other data" in err
    assert not Path("b").exists()


@pytest.mark.parametrize("rewind", ["init", "epoch:1", "iteration:3", "learning-rate", "none"])
def test_every_rewind_point_by_name(capsys, rewind):
    status, out, _ = run_prac(capsys, "find", *QUICK, "--rewind", rewind, "--quiet", "--json")
    assert status == 0
    assert json.loads(out)["settings"]["rewind"] == rewind


def test_a_config_file_and_options_after_it(capsys):
    Path("mine.yaml").write_text(
        "preset: quickstart\nlevels: 1\nepochs: 2\nmilestones: [1]\nretrain: [1]\nlimit: 200\n"
    )
    status, out, _ = run_prac(
        capsys, "find", "--config", "mine.yaml", "--epochs", "3", "--out", "run", "--json"
    )
    assert status == 0
    settings = json.loads(out)["settings"]
    assert settings["epochs"] == 3
    assert settings["milestones"] == [1.0]
    assert settings["batch_size"] == PRESETS["quickstart"].settings["batch_size"]
    assert Path("run/retrain/01/summary.json").exists()
    # A run's own config.yaml makes the same run again.
    status, out, _ = run_prac(capsys, "find", "--config", "run/config.yaml", "--out", "c", "--json")
    assert status == 0
    assert json.loads(out)["settings"] == settings
    files = [Path(run, "levels/01/ticket.safetensors").read_bytes() for run in ("run", "c")]
    assert files[0] == files[1]


def test_anyones_own_network_and_arrays(capsys):
    Path("mine.py").write_text(
        "from torch import nn\n"
        "def make(num_classes):\n"
        "    return nn.Sequential(nn.Linear(6, 20), nn.ReLU(), nn.Linear(20, num_classes))\n"
    )
    generator = np.random.default_rng(0)
    x = generator.normal(size=(120, 6)).astype(np.float32)
    y = (x[:, 0] > 0).astype(np.int64) + (x[:, 1] > 0)
    np.savez("mine.npz", x_train=x[:90], y_train=y[:90], x_test=x[90:], y_test=y[90:])
    np.save("held_out.npy", np.arange(0, 90, 9))
    status, out, err = run_prac(
        capsys, "find", "--data", "mine.npz", "--model", "mine:make", "--layers", "linear",
        "--val-indices", "held_out.npy", "--levels", "1", "--epochs", "2", "--batch-size", "20",
        "--retrain", "1", "--json",
    )  # fmt: skip
    assert status == 0, err
    found = json.loads(out)
    assert found["levels"][0]["total"] == 80
    assert found["levels"][1]["retrained"]["test_accuracy"] is not None
    assert found["path"] == "runs/mine-make-prac"


def test_a_limit_that_draws_no_held_out_example_is_refused(capsys):
    np.save("held_out.npy", np.arange(3))
    held_out = ["--val-indices", "held_out.npy"]
    faults = 0
    for seed in range(5):
        limit = ["--limit", "10", "--val-seed", str(seed), "--out", f"run-{seed}", "--quiet"]
        status, _, err = run_prac(capsys, "find", *QUICK, *held_out, *limit)
        faults += status == 2
        assert status == 0 or "none of the held-out examples of held_out.npy" in err
    assert faults, "three of 1,442 examples are seldom among ten"


def test_inspect_tells_of_runs_tickets_sets_and_data(capsys):
    run_prac(capsys, "find", *QUICK, "--out", "run", "--quiet")
    status, out, _ = run_prac(capsys, "inspect", "run/levels/01/ticket.safetensors")
    assert status == 0
    assert "fc1.weight" in out
    assert "80.00%" in out
    _, out, _ = run_prac(capsys, "inspect", "run/levels/01/ticket.safetensors", "--json")
    ticket = json.loads(out)
    assert ticket["kept"] == sum(layer["kept"] for layer in ticket["layers"])
    assert ticket["prunable"] == 64 * 300 + 300 * 100 + 100 * 10
    assert ticket["provenance"]["settings"]["seed"] == 0
    _, out, _ = run_prac(capsys, "inspect", "run/levels/01/subset.safetensors", "--json")
    subset = json.loads(out)
    assert sum(subset["by_class"]) == subset["size"]
    _, out, _ = run_prac(capsys, "inspect", "run", "--json")
    run = json.loads(out)
    assert sum(run["levels"][1]["set_by_class"]) == run["levels"][1]["set_size"]
    assert run["environment"]["fingerprint"] == subset["fingerprint"]
    for name in ("run", "run/levels/01/subset.safetensors", "digits"):
        status, out, _ = run_prac(capsys, "inspect", name)
        assert status == 0
        assert out.strip()
    _, out, _ = run_prac(capsys, "inspect", "digits", "--json")
    assert json.loads(out)["splits"]["test"]["examples"] == 355


def test_an_unfinished_run_shows_what_there_is(capsys, monkeypatch):
    from prac.search.run import SearchRun

    def cut(*arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr(SearchRun, "finish_level", cut)
    status, _, err = run_prac(capsys, "find", *QUICK, "--out", "run")
    assert status == 130
    assert "the same command continues" in err
    status, out, _ = run_prac(capsys, "inspect", "run")
    assert status == 0
    assert "not finished" in out


MISTAKES = {
    "an unknown command": (["fnd"], "unknown command 'fnd': did you mean 'find'?"),
    "an unknown option": (
        ["find", "--epoch", "3"],
        "unknown option --epoch: did you mean --epochs",
    ),
    "an unknown preset": (["find", "--preset", "quickstrt"], "did you mean 'quickstart'?"),
    "an unknown method": (["find", "--method", "pra"], "did you mean 'prac'"),
    "an unknown model": (["find", "--model", "resnet20"], "did you mean 'resnet20s'"),
    "an unknown data set": (["find", "--data", "digit"], "did you mean 'digits'?"),
    "a path that is not there": (["find", "--data", "no/such"], "no/such: there is no such file"),
    "not a number": (["find", "--epochs", "many"], "epochs is 'many': expected a whole number"),
    "a fraction of epochs": (["find", "--epochs", "1.5"], "epochs is 1.5: expected a whole"),
    "out of range": (["find", "--drop-fraction", "1"], "drop_fraction is 1.0: expected above 0"),
    "not finite": (["find", "--lr", "nan"], "lr is nan: expected a finite number"),
    "an unknown choice": (["find", "--schedule", "cosin"], "did you mean 'cosine'?"),
    "a list out of order": (["find", "--milestones", "5,3"], "expected an ascending list"),
    "a milestone at the end": (["find", "--epochs", "5", "--milestones", "5"], "at or after the"),
    "warm-up as long as all": (["find", "--epochs", "5", "--warmup", "5"], "less than the length"),
    "a late rewind point": (["find", "--epochs", "5", "--rewind", "epoch:6"], "only 5 epochs"),
    "no rewind point": (["find", "--rewind", "start"], "expected init, epoch:N"),
    "no such level": (["find", "--levels", "2", "--retrain", "3"], "ends at level 2"),
    "no subset file": (["find", "--subset", "none.st"], "none.st: there is no such file"),
    "no config file": (["find", "--config", "none.yaml"], "none.yaml"),
    "a fixed set without one": (
        ["find", *QUICK, "--subset-rule", "fixed"],
        "no subset is given",
    ),
    "no such device": (["find", *QUICK, "--device", "cuda:9"], "CUDA devices are there"),
    "not a device": (["find", *QUICK, "--device", "gpu"], "expected auto, cpu, cuda"),
    "nothing to prune": (["find", *QUICK, "--layers", "conv"], "no prunable weight"),
    "too many examples": (["find", *QUICK, "--limit", "5000"], "only 1442 training examples"),
    "too small an image": (["find", "--model", "vgg16_bn"], "at least 16x16"),
    "no ticket": (["retrain", "none.safetensors"], "none.safetensors: there is no such file"),
    "nothing to inspect": (["inspect", "none.safetensors"], "there is no such file"),
    "a missing value": (["find", "--preset"], "--preset"),
    "a missing argument": (["inspect"], "required: PATH|NAME"),
    "a model unknown before data is read": (["find", "--data", "x", "--model", "y"], "model 'y'"),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_gets_one_line_and_status_2_and_writes_nothing(capsys, name):
    arguments, expected = MISTAKES[name]
    status, out, err = run_prac(capsys, *arguments)
    assert status == 2
    assert out == ""
    lines = [line for line in err.splitlines() if not line.startswith("loading ")]
    assert len(lines) == 1
    assert lines[0].startswith("prac: error: ")
    assert expected in lines[0]
    assert list(Path().iterdir()) == []


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("epochz: 3\n", "unknown option epochz: did you mean --epochs"),
        ("epochs: many\n", "epochs is 'many'"),
        ("[1, 2\n", "is not YAML"),
        ("- epochs\n", "expected a mapping of options"),
        ("lr: [0.1]\n", "lr is [0.1]: expected a number"),
        ("flip: maybe\n", "flip is 'maybe': expected true or false"),
        ("quiet: 3\n", "quiet is 3: expected true or false"),
        ("epochs: null\n", "epochs is None: expected a whole number"),
        ("print_config: true\n", "unknown option print_config: did you mean --print-config"),
        ("preset: quickstrt\n", "did you mean 'quickstart'?"),
    ],
)
def test_a_mistake_in_a_config_file(capsys, content, expected):
    Path("mine.yaml").write_text(content)
    status, _, err = run_prac(capsys, "find", "--config", "mine.yaml")
    assert status == 2
    assert len(err.splitlines()) == 1
    assert expected in err


def test_a_damaged_ticket_is_named(capsys):
    run_prac(capsys, "find", *QUICK, "--out", "run", "--quiet")
    path = Path("run/levels/01/ticket.safetensors")
    path.write_bytes(path.read_bytes()[:-10])
    for command in ("retrain", "inspect"):
        status, _, err = run_prac(capsys, command, str(path))
        assert status == 2
        assert err.startswith(f"prac: error: {path}")
        assert "damaged" in err


def test_help_names_every_setting_with_its_default(capsys):
    for command in COMMANDS:
        status, out, _ = run_prac(capsys, command, "--help")
        assert status == 0
        assert max(map(len, out.splitlines())) <= 80
    _, out, _ = run_prac(capsys, "find", "--help")
    for _, field, _ in every_setting(Recipe):
        assert f"--{flag_of(field).replace('_', '-')}" in out
    assert "quickstart" in out
    status, out, _ = run_prac(capsys, "--help")
    assert status == 0
    assert all(command in out for command in COMMANDS)
    assert max(map(len, out.splitlines())) <= 80


def test_options_are_those_that_were_agreed_on():
    # Meant? Then `make freeze`, and a line in CHANGELOG.md.
    assert list(cli_options.lines()) == cli_options.FILE.read_text().splitlines()


def test_a_run_s_own_settings_are_printed_and_taken_from_a_file(capsys):
    run_prac(capsys, "find", *QUICK, "--out", "run", "--quiet")
    ticket = "run/levels/02/ticket.safetensors"
    for command, what in (("judge", "run"), ("retrain", ticket)):
        status, out, _ = run_prac(capsys, command, what, "--lr", "0.02", "--print-config")
        assert status == 0
        shown = yaml.safe_load(out)
        assert (shown["epochs"], shown["batch_size"], shown["lr"]) == (2, 50, 0.02)
        assert shown["limit"] == 200
        Path("mine.yaml").write_text(out)
        again = [command, what, "--config", "mine.yaml", "--print-config"]
        assert run_prac(capsys, *again) == (0, out, "")


@pytest.mark.parametrize("command", COMMANDS)
def test_help_ends_with_command_lines_that_parse(capsys, command):
    _, out, _ = run_prac(capsys, command, "--help")
    lines = out.partition("\nexamples:\n")[2].splitlines()
    assert len(lines) >= 2
    for line in lines:
        # A shell's own words may stand around it.
        name, *arguments = re.findall(r"\bprac ([^>)]*)", line)[0].split()
        assert name == command
        import_module(f"prac.cli.{name}").parser().parse(arguments)


def test_help_beside_a_preset_shows_its_defaults(capsys):
    _, plain, _ = run_prac(capsys, "find", "--help")
    _, out, _ = run_prac(capsys, "find", "--preset", "quickstart", "--method", "imp", "--help")
    shown = [
        " ".join(re.findall(r"--milestones(?s:.*?)\(default: (.*?)\)", text))
        for text in (plain, out)
    ]
    assert shown == ["none", "25,35"]
    assert "on all data (default: 0,2,4,6,8)" in " ".join(out.split())
    _, out, _ = run_prac(capsys, "judge", "--help")
    assert "(default: 160)" not in out, "a run's own length is the default"


def test_help_is_found_under_the_words_people_try(capsys):
    _, wanted, _ = run_prac(capsys, "--help")
    assert run_prac(capsys, "help") == (0, wanted, "")
    assert run_prac(capsys) == (2, wanted, "")
    _, wanted, _ = run_prac(capsys, "find", "--help")
    assert run_prac(capsys, "help", "find") == (0, wanted, "")
    status, _, err = run_prac(capsys, "fnd")
    assert status == 2
    assert err.startswith("prac: error: unknown command 'fnd': did you mean 'find'?")


def test_the_help_of_a_method_fits_a_terminal_of_80_columns(capsys):
    _, out, _ = run_prac(capsys, "find", "--help")
    lines = out.partition("\nmethods:\n")[2].partition("\npresets:\n")[0].rstrip().splitlines()
    assert [line.split()[0] for line in lines] == list(METHODS)
    assert max(map(len, out.splitlines())) <= 80


def test_sizes_take_the_place_of_a_method_s_share(capsys):
    sized = ["--method", "random-subset", "--set-sizes", "120,90", "--out", "run"]
    status, out, err = run_prac(capsys, "find", *QUICK, *sized, "--json")
    assert status == 0, err
    assert [level["set_size"] for level in json.loads(out)["levels"]] == [120, 90, 90]


def test_a_method_wins_over_a_preset_and_an_option_over_a_method(capsys):
    line = ["--preset", "cifar10-resnet20s", "--method", "snip", "--levels", "7", "--print-config"]
    _, out, _ = run_prac(capsys, "find", *line)
    shown = yaml.safe_load(out)
    assert {name: shown[name] for name in METHODS["snip"]} == METHODS["snip"]
    assert (shown["rewind"], shown["epochs"], shown["levels"]) == ("init", 182, 7)
    _, out, _ = run_prac(capsys, "find", *line, "--method", "rs2", "--sample-fraction", "0.5")
    shown = yaml.safe_load(out)
    assert (shown["sampling"], shown["sample_fraction"]) == ("fresh", 0.5)
    assert (shown["rewind"], shown["pruning"]) == ("epoch:3", "iterative")


def test_levels_that_are_not_trained_say_so(capsys):
    line = ["--method", "synflow", "--retrain", "1", "--out", "run"]
    status, out, err = run_prac(capsys, "find", *QUICK, *line)
    assert status == 0
    assert "level 1/2: density 0.800, not trained" in err
    assert "trained 0" not in err
    assert re.search(r"1 +80.00% +180 \(100%\) +- +- +", out)
    assert "retraining ticket 1" in err


def test_the_preset_frugal_is_the_method_beside_any_other_preset(capsys):
    _, out, _ = run_prac(capsys, "find", "--preset", "mnist-lenet,frugal", "--print-config")
    settings = yaml.safe_load(out)
    assert {name: settings[name] for name in METHODS["frugal"]} == METHODS["frugal"]
    assert (settings["model"], settings["iterations"]) == ("lenet_300_100", 50_000)


@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_is_a_valid_recipe(name):
    recipe = from_flat(Recipe, PRESETS[name].settings)
    assert all(level <= recipe.search.levels for level in PRESETS[name].retrain)


def test_the_papers_settings():
    recipe = from_flat(Recipe, PRESETS["cifar10-resnet20s"].settings)
    train = recipe.search.train
    assert (train.epochs, train.milestones, train.lr) == (182, (91.0, 136.0), 0.1)
    assert (train.batch_size, train.weight_decay, train.momentum) == (128, 1e-4, 0.9)
    assert (recipe.search.levels, recipe.search.rewind) == (15, "epoch:3")
    assert (recipe.search.stop.epsilon, recipe.search.stop.window) == (0.07, 5)
    assert (recipe.data.crop, recipe.data.flip, recipe.data.val_fraction) == (4, True, 0.1)
    low = from_flat(Recipe, PRESETS["cifar100-resnet56s-low"].settings)
    assert (low.search.train.lr, low.search.rewind) == (0.01, "init")
    warm = from_flat(Recipe, PRESETS["cifar10-resnet20s-warmup"].settings)
    assert (warm.search.train.lr, warm.search.train.warmup) == (0.03, 15)
    tiny = from_flat(Recipe, PRESETS["tiny_imagenet-resnet18"].settings)
    assert tiny.search.train.batch_size == 512


def test_progress_is_plain_lines_away_from_a_terminal(capsys):
    _, _, err = run_prac(capsys, "find", *QUICK)
    assert "\x1b" not in err
    assert "level 0/2: density 1.000, 180 of 180 examples" in err
    _, _, err = run_prac(capsys, "find", *QUICK, "--out", "quiet", "--quiet")
    assert err == ""


def test_a_time_limit_ends_with_75_and_the_same_command_continues(capsys):
    command = ["find", *QUICK, "--out", "run"]
    status, _, err = run_prac(capsys, *command, "--max-seconds", "0.01")
    assert status == 75
    place = "at level 0, epoch 1, iteration 1"
    # Start-up is told of, which so short a limit is over before the end of.
    took = r"\(start-up took \d+\.\d s, more than its 0\.01 s, for 1 iteration: give it more\)"
    expected = f"prac: stopped by max-seconds {place} {took}; the same command continues"
    assert re.fullmatch(expected, err.splitlines()[-1])
    assert run_prac(capsys, *command)[0] == 0


def test_going_on_under_another_torch_needs_a_word(capsys):
    command = ["find", *QUICK, "--out", "run"]
    assert run_prac(capsys, *command, "--save-every", "3", "--max-seconds", "0.01")[0] == 75
    path = Path("run/environment.json")
    about = json.loads(path.read_text())
    path.write_text(json.dumps({**about, "torch": "1.0", "processor": "pdp-11"}))
    status, _, err = run_prac(capsys, *command)
    assert status == 2
    assert "torch was 1.0, is " in err
    assert "pass --accept-changes" in err
    status, _, err = run_prac(capsys, *command, "--accept-changes")
    assert status == 0
    assert "note: run: torch was 1.0" in err
    (change,) = json.loads(path.read_text())["continued"]
    assert change["before"] == {"torch": "1.0", "processor": "pdp-11"}


def test_the_number_of_threads_is_an_option_and_recorded(capsys):
    for given, wrong in (("0", "0: expected at least 1 and at most 1024"), ("two", "'two': expe")):
        status, _, err = run_prac(capsys, "find", *QUICK, "--threads", given)
        assert status == 2
        assert f"threads is {wrong}" in err
    with with_threads(3):
        for expected, more in ((1, ()), (2, ("--threads", "2"))):
            out = str(expected)
            assert run_prac(capsys, "find", *QUICK, "--out", out, *more)[0] == 0
            assert json.loads(Path(out, "environment.json").read_text())["threads"] == expected


def test_ctrl_c_ends_with_130_and_the_same_command_continues(tmp_path):
    command = [sys.executable, "-m", "prac", "find", *QUICK, "--epochs", "2000", "--out", "run"]
    command += ["--stop-rule", "never", "--levels", "1"]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    metrics = tmp_path / "run" / "metrics.jsonl"
    while not metrics.exists():
        assert process.poll() is None
        time.sleep(0.05)
    os.kill(process.pid, signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert re.fullmatch(
        r"prac: stopped by SIGINT at level 0, epoch \d+, iteration \d+; the same command continues",
        err.splitlines()[-1],
    )
    assert "Traceback" not in err
    lines = len(metrics.read_text().splitlines())
    assert 0 < lines < 2000


def test_a_batch_that_does_not_fit_is_told_in_a_line(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "greedy.py").write_text(
        "import torch\n"
        "class Net(torch.nn.Linear):\n"
        "    def __init__(self):\n"
        "        super().__init__(64, 10)\n"
        "    def forward(self, x):\n"
        "        if len(x) > 10:\n"
        "            torch.empty(2**55, dtype=torch.uint8)\n"
        "        return super().forward(x.flatten(1))\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    options = [*QUICK, "--model", "greedy:Net"]  # What is tried first is two examples.
    status, _, err = run_prac(capsys, "find", *options, "--quiet")
    assert status == 2
    assert err.startswith("prac: error: not enough memory on the device: try a smaller")


def test_a_run_of_many_levels_fits_a_terminal(capsys, tmp_path, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    options = [*QUICK, "--levels", "12", "--epochs", "1", "--out", str(tmp_path / "run")]
    assert run_prac(capsys, "find", *options, "--quiet")[0] == 0
    _, out, _ = run_prac(capsys, "inspect", str(tmp_path / "run"))
    heads = [line.split() for line in out.splitlines() if line.startswith(" set of level")]
    levels = [int(word) for head in heads for word in head[3:]]
    assert levels == list(range(13))


@pytest.mark.parametrize(
    "option",
    [
        *["--threads", "--max-seconds", "--out", "--subset", "--preset", "--method", "--lr"],
        *["--epochs", "--data", "--model", "--device", "--val-fraction"],
    ],
)
def test_an_empty_value_is_not_taken_for_the_default(option, capsys):
    name = option.removeprefix("--").replace("-", "_")
    told = f"{name} is empty: expected a value; for the default leave it out\n"
    for given in ([option, ""], [f"{option}="]):
        assert run_prac(capsys, "find", *QUICK, *given) == (2, "", f"prac: error: {told}")
    Path("options.yaml").write_text(f"{name}: ''\n")
    found = run_prac(capsys, "find", *QUICK, "--config", "options.yaml")
    # Preset and method are looked up before the rest, whose defaults depend on them.
    unknown = f"prac: error: unknown {name} '' (known: "
    assert found[:2] == (2, "")
    assert found[2] == f"prac: error: options.yaml: {told}" or found[2].startswith(unknown)
    assert not Path("runs").exists()


@pytest.mark.parametrize(
    ("words", "name"),
    [
        (["inspect", ""], "what"),
        (["runs", ""], "folders"),
        (["judge", "run", "--seeds="], "seeds"),
        (["report", "run", "--out", ""], "out"),
    ],
)
def test_nor_is_an_empty_name_taken_for_the_current_folder(words, name, capsys):
    run_prac(capsys, "find", *QUICK, "--out", "run", "--quiet")
    told = f"prac: error: {name} is empty: expected a value; for the default leave it out\n"
    assert run_prac(capsys, *words) == (2, "", told)


def test_an_empty_list_is_one(capsys):
    status, out, _ = run_prac(capsys, "find", *QUICK, "--milestones", "", "--print-config")
    assert status == 0
    assert "milestones: []" in out
