"""Networks by a library's name at the command: found, and taken from a file without asking."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from prac.cli import main
from prac.config import is_own_code
from prac.search import Search
from tests.docs_commands import run_prac

# Its entry point is as timm's are: keywords go on to the network.
TIMM = """
from torch import nn


class Net(nn.Sequential):
    def __init__(self, num_classes=1000, in_chans=3):
        super().__init__(
            nn.Conv2d(in_chans, 4, 3, 2), nn.ReLU(), nn.Flatten(), nn.Linear(36, num_classes)
        )


def list_models():
    return ["resnet18"]


def create_model(model_name, pretrained=False, **kwargs):
    return Net(**kwargs)
"""
QUICK = [
    "--data", "digits", "--limit", "200", "--levels", "1", "--epochs", "1", "--batch-size", "50",
    "--arm", "at-once", "--quiet",
]  # fmt: skip


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty working folder, a stand-in for timm on the path."""
    (tmp_path / "path" / "timm").mkdir(parents=True)
    (tmp_path / "path" / "timm" / "__init__.py").write_text(TIMM)
    known = {name: sys.modules.pop(name) for name in [*sys.modules] if _is_timm(name)}
    monkeypatch.syspath_prepend(tmp_path / "path")
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    yield tmp_path / "work"
    sys.modules.pop("mynets", None)
    for name in filter(_is_timm, [*sys.modules]):
        del sys.modules[name]
    sys.modules.update(known)


def _is_timm(module: str) -> bool:
    return module.partition(".")[0] == "timm"


def test_a_library_s_network_is_found_retrained_and_judged_by_its_run(folder):
    assert main(["find", *QUICK, "--model", "timm:resnet18"]) == 0
    run = folder / "runs" / "digits-resnet18-prac"
    weights = Search.load(run).tickets[1].weights
    assert weights["0.weight"].shape == (4, 1, 3, 3)
    assert weights["3.weight"].shape == (10, 36)
    # The file's name for it is no code of the file's author.
    ticket = str(run / "levels" / "01" / "ticket.safetensors")
    assert main(["retrain", ticket, "--quiet"]) == 0
    assert main(["judge", str(run), "--levels", "1", "--seeds", "0", "--quiet"]) == 0


def test_a_name_that_no_library_lists_is_refused_before_other_processes_begin(folder):
    command = ["compare", *QUICK[:-3], "--methods", "imp", "--seeds", "0,1", "--jobs", "2"]
    status, told = run_prac([*command, "--model", "timm:resnt18", "--out", "c"])
    assert status == 2
    assert "unknown model 'timm:resnt18': did you mean 'timm:resnet18'?" in told
    assert not (folder / "c").exists()


def test_a_run_s_own_code_is_still_not_imported_without_a_word(folder):
    (folder / "mynets.py").write_text("from timm import Net\n")
    assert main(["find", *QUICK, "--model", "mynets:Net", "--out", "run"]) == 0
    status, told = run_prac(["judge", "run"])
    assert status == 2
    assert "names code of its own as its model: pass --model mynets:Net" in told


@pytest.mark.parametrize(
    ("name", "is_own"),
    [
        ("timm:resnet18", False),
        ("torchvision:resnet18", False),
        ("resnet18", False),
        ("timm.models:resnet18", True),
        ("torchvision.models:resnet18", True),
        ("timmy:Net", True),
        (" timm:resnet18", True),
        ("Timm:resnet18", True),
        (":timm", True),
    ],
)
def test_only_the_two_libraries_own_lists_are_no_code_of_one_s_own(name, is_own):
    assert is_own_code(name) == is_own


def test_the_help_names_the_libraries():
    status, out = run_prac(["find", "--help"])
    assert status == 0
    assert "timm:NAME" in " ".join(out.split())
    assert "torchvision:NAME" in " ".join(out.split())
