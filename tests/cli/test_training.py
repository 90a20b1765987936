"""How a training goes, from the command line: recorded, resumed, read again, and trusted or not."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from prac.cli import main
from prac.cli.find import parser
from prac.cli.options import options_and_recipe
from prac.cli.recorded import named_settings
from prac.config import Recipe
from prac.io import read_settings
from prac.io.files import UNRECORDED
from prac.runs import read_metrics
from prac.search import Search

DIGITS = (
    "--data digits --limit 200 --model lenet_300_100 --layers linear --levels 1 --epochs 2 "
    "--batch-size 32 --lr 0.01 --quiet"
)
OWN = "tests.training.own_parts:"
TRAINED = (
    "--optimizer torch.optim.RMSprop --optimizer-args alpha=0.9,centered=true "
    "--schedule torch.optim.lr_scheduler.PolynomialLR --schedule-args total_iters=3 "
    "--no-decay-norms --clip-norm 1 --accumulate 2 --ema-decay 0.9 "
    "--batch-transform mixup --batch-transform-args alpha=0.4"
)


@pytest.fixture(autouse=True)
def _in_a_folder(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(Path(__file__).parents[2]))
    monkeypatch.chdir(tmp_path)


def typed(*arguments: str) -> Recipe:
    return options_and_recipe(parser(named_settings([])), arguments, Recipe)[1]


@pytest.mark.parametrize(
    ("given", "found"),
    [
        ("alpha=0.9,centered=true", {"alpha": 0.9, "centered": True}),
        ("{alpha: 0.9, centered: true}", {"alpha": 0.9, "centered": True}),
        ("betas=[0.9,0.98],eps=1e-7", {"betas": [0.9, 0.98], "eps": 1e-7}),
        ("{eps: 1e-7, n: -1, name: a b}", {"eps": 1e-7, "n": -1, "name": "a b"}),
        ("{}", {}),
        ("none", {}),
    ],
)
def test_keywords_are_read_as_pairs_or_as_yaml(given, found):
    assert typed("--optimizer-args", given).search.train.optimizer_args == found


def test_keywords_given_twice_come_together_and_replace_a_file_s(tmp_path):
    Path("c.yaml").write_text("optimizer_args: {alpha: 0.1, eps: 0.2}\n")
    of_file = typed("--config", "c.yaml")
    assert of_file.search.train.optimizer_args == {"alpha": 0.1, "eps": 0.2}
    line = ["--config", "c.yaml", "--optimizer-args", "alpha=1", "--optimizer-args", "lambd=true"]
    assert typed(*line).search.train.optimizer_args == {"alpha": 1, "lambd": True}


@pytest.mark.parametrize("given", ["alpha", "alpha=", "a=1,b", "[1]", "=1", "a=1,a=2", "a={b: 1}"])
def test_what_are_no_keywords_gets_one_line(given, capsys):
    if given == "alpha=":
        assert typed("--optimizer-args", given).search.train.optimizer_args == {"alpha": None}
        return
    assert main(["find", *DIGITS.split(), "--optimizer-args", given]) == 2
    assert "optimizer_args" in capsys.readouterr().err


def test_a_search_is_trained_as_told_records_it_and_a_retraining_takes_it_over(capsys):
    line = ["find", *DIGITS.split(), *TRAINED.split(), "--out", "run"]
    assert main(line) == 0, capsys.readouterr().err
    settings = read_settings(Path("run"))
    assert settings["optimizer"] == "torch.optim.RMSprop"
    assert settings["optimizer_args"] == {"alpha": 0.9, "centered": True}
    assert settings["decay_norms"] is False
    assert (settings["clip_norm"], settings["accumulate"], settings["ema_decay"]) == (1.0, 2, 0.9)
    rates = [epoch["lr"] for epoch in read_metrics(Path("run"))]
    assert rates == pytest.approx([0.01, 0.01 * 2 / 3])
    assert main([*line[:-2], "--clip-norm", "2", "--out", "run"]) == 2
    assert "clip_norm (there 1.0, here 2.0)" in capsys.readouterr().err
    assert main(line) == 0, "it is done"
    ticket = "run/levels/01/ticket.safetensors"
    assert main(["retrain", ticket, "--out", "again", "--quiet"]) == 0
    again = read_settings(Path("again"))
    assert again["schedule_args"] == {"total_iters": 3}
    assert {again[name] for name in ("optimizer", "batch_transform")} == {
        "torch.optim.RMSprop",
        "mixup",
    }
    assert main(["judge", "run", "--seeds", "0", "--quiet"]) == 0


def test_code_that_a_file_alone_names_is_not_run(capsys):
    own = f"--optimizer {OWN}Plain --schedule {OWN}halves --batch-transform {OWN}noise"
    line = ["find", *DIGITS.split(), *own.split(), "--out", "run"]
    assert main(line) == 0, capsys.readouterr().err
    for command in (
        ["judge", "run", "--seeds", "0"],
        ["retrain", "run/levels/01/ticket.safetensors"],
    ):
        assert main([*command, "--quiet"]) == 2
        told = capsys.readouterr().err
        assert "names code of its own as its optimizer: pass --optimizer tests.training.own" in told
        assert main([*command, *own.split(), "--quiet"]) == 0, capsys.readouterr().err


def test_an_older_run_s_training_is_what_it_was(capsys):
    line = ["find", *DIGITS.split(), "--out", "run"]
    assert main(line) == 0
    path = Path("run/config.yaml")
    settings = yaml.safe_load(path.read_text())
    older = {name: value for name, value in settings.items() if name not in UNRECORDED}
    assert settings.keys() - older.keys() >= {"optimizer_args", "ema_decay", "batch_transform"}
    path.write_text(yaml.safe_dump({**older, "arm": "above-once"}))  # The default of then.
    assert main(line) == 0, capsys.readouterr().err
    assert read_settings(Path("run"))["accumulate"] == 1
    assert main([*line, "--ema-decay", "0.9"]) == 2
    assert "ema_decay (there None, here 0.9)" in capsys.readouterr().err


@pytest.mark.parametrize("method", ["cts", "gem-miner", "carried", "snip"])
def test_every_kind_of_method_is_found_and_retrained_as_told(method, capsys):
    line = ["find", *DIGITS.split(), *TRAINED.split(), "--method", method, "--out", "run"]
    assert main([*line, "--retrain", "1"]) == 0, capsys.readouterr().err
    search = Search.load(Path("run"))
    assert len(search.tickets) == 2
    for name, mask in search.tickets[1].masks.items():
        assert not search.tickets[1].masked_weights()[name][~mask].any()


def test_learned_masks_and_fp16_do_not_go_together(capsys):
    assert main(["find", *DIGITS.split(), "--method", "cts", "--precision", "fp16"]) == 2
    assert "pruning is 'learned' but precision is 'fp16'" in capsys.readouterr().err


def test_methods_are_compared_by_what_they_share_of_training(capsys):
    line = ["compare", *DIGITS.split(), "--methods", "imp,prac", "--seeds", "0", "--judged", "1"]
    assert (
        main([*line, "--optimizer", "torch.optim.NAdam", "--ema-decay", "0.5", "--out", "c"]) == 0
    )
    assert read_settings(Path("c/runs/imp/seed-0"))["optimizer"] == "torch.optim.NAdam"
