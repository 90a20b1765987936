"""What torch leaves open on a GPU is settled while work is done, and put back."""

from __future__ import annotations

import json
import os
import warnings
from contextlib import suppress
from typing import Any

import pytest
import torch

import prac
from prac.errors import FolderError
from prac.runs.folder import MATTERING
from prac.training import Runtime
from prac.training.determinism import noting_randomness, reproducible, settled
from prac.training.runtime import environment

CPU, CUDA = torch.device("cpu"), torch.device("cuda")


@pytest.fixture(autouse=True)
def as_it_was(monkeypatch):
    """Leave the process's environment as it was."""
    monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", ":16:8")


BACKENDS: Any = torch.backends  # Not all of whose switches mypy knows.


def switches():
    cudnn = BACKENDS.cudnn
    return {
        "deterministic": cudnn.deterministic,
        "benchmark": cudnn.benchmark,
        "algorithms": torch.are_deterministic_algorithms_enabled(),
        "only warns": torch.is_deterministic_algorithms_warn_only_enabled(),
        "fills": torch.utils.deterministic.fill_uninitialized_memory,  # type: ignore[attr-defined]
        "convolutions": cudnn.conv.fp32_precision,
        "recurrent": cudnn.rnn.fp32_precision,
        "products": BACKENDS.cuda.matmul.fp32_precision,
        "everything": BACKENDS.fp32_precision,
        "by one name": by_one_name(),
    }


def by_one_name():
    """The precision of products as the older interface gives it; None where it cannot."""
    try:
        return torch.get_float32_matmul_precision()
    except RuntimeError:
        return None


@pytest.fixture
def restored():
    before = switches()
    yield
    BACKENDS.fp32_precision = before["everything"]
    torch.backends.cudnn.benchmark = before["benchmark"]
    BACKENDS.cudnn.conv.fp32_precision = before["convolutions"]
    BACKENDS.cudnn.rnn.fp32_precision = before["recurrent"]
    torch.set_float32_matmul_precision(before["by one name"])
    BACKENDS.cuda.matmul.fp32_precision = before["products"]
    torch.use_deterministic_algorithms(before["algorithms"])
    assert switches() == before


def chooses_by_timing():
    torch.backends.cudnn.benchmark = True


def wants_tf32():
    BACKENDS.fp32_precision = "tf32"


def wants_some_tf32():
    BACKENDS.cudnn.conv.fp32_precision = "ieee"
    BACKENDS.cuda.matmul.fp32_precision = "tf32"


def wants_quick_products():
    torch.set_float32_matmul_precision("medium")


def refuses_randomness():
    torch.use_deterministic_algorithms(True)


@pytest.mark.parametrize(
    "wish",
    [
        None,
        chooses_by_timing,
        wants_tf32,
        wants_some_tf32,
        wants_quick_products,
        refuses_randomness,
    ],
)
def test_a_gpus_work_is_settled_and_the_users_wishes_put_back(wish, restored):
    if wish is not None:
        wish()
    before = switches()
    with reproducible(CUDA):
        inside = switches()
        assert (inside["deterministic"], inside["benchmark"]) == (True, False)
        assert (inside["algorithms"], inside["only warns"], inside["fills"]) == (True, True, False)
        precisions = {inside[name] for name in ("convolutions", "recurrent", "products")}
        assert precisions <= {"none", "ieee"}
        assert (inside["everything"], inside["by one name"]) == ("none", "highest")
        assert settled() == {
            "cudnn": torch.backends.cudnn.version(), "deterministic": True, "tf32": False,
        }  # fmt: skip
        with reproducible(CUDA):  # As a comparison's searches do within it.
            assert switches() == inside
        assert switches() == inside
    after = switches()
    if before["by one name"] is None:  # It could not be told, and now it can.
        after["by one name"] = None
    assert after == before


def test_a_failure_puts_them_back_too():
    before = switches()
    with suppress(KeyError), reproducible(CUDA):
        raise KeyError
    assert switches() == before


def test_a_cpus_work_is_left_alone():
    before = switches()
    with reproducible(CPU):
        assert switches() == before


def test_the_workspace_is_the_users_where_there_is_one(monkeypatch):
    with reproducible(CUDA):
        assert os.environ["CUBLAS_WORKSPACE_CONFIG"] == ":16:8"
    monkeypatch.delenv("CUBLAS_WORKSPACE_CONFIG")
    with reproducible(CUDA):
        assert os.environ["CUBLAS_WORKSPACE_CONFIG"] == ":4096:8"


def test_what_has_no_deterministic_kernel_is_told_once_and_not_by_warnings():
    text = "max_pool_backward_cuda does not have a deterministic implementation, but you set it"
    found = set()
    with reproducible(CUDA):
        warnings.warn(text, stacklevel=1)  # Held back.
        with noting_randomness(found):
            warnings.warn(text, stacklevel=1)
        with pytest.warns(UserWarning, match="something else"), noting_randomness(found):
            warnings.warn("something else", stacklevel=1)
    assert found == {"max_pool_backward_cuda"}


def test_a_run_names_what_has_no_deterministic_kernel(
    small_net, train, config, tmp_path, monkeypatch
):
    def check(*_):
        warnings.warn("fold does not have a deterministic implementation, but", stacklevel=1)

    monkeypatch.setattr("prac.training.autotune.check_execution", check)
    notes = []
    settings = config("imp", levels=1)
    named = prac.SearchConfig.imp(
        levels=1,
        prune=settings.prune,
        train=prac.TrainConfig(epochs=1, batch_size=50, execution="channels-last"),
    )
    prac.find(
        small_net(), train, named, out=tmp_path / "run",
        callback=lambda event: notes.append(event.facts["text"]) if event.kind == "note" else None,
    )  # fmt: skip
    assert notes == [
        "no deterministic kernel for fold on this device: what runs find may differ in its last "
        "bits"
    ]


def test_what_is_settled_must_be_met_again(monkeypatch):
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "a GPU")
    with reproducible(CUDA):
        about = environment(Runtime(CUDA, "fp32", "captured"))
    assert {"cuda", "cudnn", "deterministic", "tf32", "execution"} <= set(MATTERING) & set(about)
    assert (about["cuda"], about["deterministic"], about["tf32"]) == ("a GPU", True, False)
    # A CPU's runs know nothing of it, nor do those begun before it was recorded.
    assert not {"cudnn", "deterministic", "tf32"} & environment(Runtime(CPU)).keys()


def test_another_kind_of_gpu_is_another_machine(small_net, train, config, tmp_path):
    settings, out = config("imp", levels=2), tmp_path / "run"

    def stops(event):
        if event.kind == "epoch":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        prac.find(small_net(), train, settings, out=out, callback=stops)
    path = out / "environment.json"
    known = {**json.loads(path.read_text()), "cuda": "NVIDIA A", "cudnn": 9}
    path.write_text(json.dumps(known))
    with pytest.raises(FolderError, match=r"cuda was NVIDIA A, is None.*--accept-changes"):
        prac.find(small_net(), train, settings, out=out)
    with pytest.warns(UserWarning, match="cuda was NVIDIA A, is None"):
        assert prac.find(small_net(), train, settings, out=out, accept_changes=True).finished
    (change,) = json.loads(path.read_text())["continued"]
    assert change["before"] == {"cuda": "NVIDIA A", "cudnn": 9}
