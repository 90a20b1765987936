"""How steps run: each execution keeps a cut run's bits, and the fastest is chosen where it pays."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import nn

import prac
from prac.algorithms import scaled_plan
from prac.config import TrainConfig
from prac.data import TensorExamples
from prac.data.augment import Pipeline
from prac.errors import PracError, is_out_of_memory
from prac.models import restore_, snapshot
from prac.runs import read_metrics
from prac.training import CLASSIFICATION, Problem, Runtime
from prac.training import autotune as execution
from prac.training.autotune import Choice, check_execution, choose, not_captured
from prac.training.loop import fit
from prac.training.optimizer import make_optimizer, optimizer_tensors, restore_optimizer_
from prac.training.step import STEPS_BEFORE_CAPTURE, Step
from tests.cuda_graphs import with_stand_in

# torch's compiler imports what torch itself has deprecated.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")

CPU = torch.device("cpu")
ON_CUDA = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
COMPILER = pytest.mark.skipif(
    not any(map(shutil.which, ("g++", "clang++", "c++"))), reason="needs a C++ compiler"
)
HERE = [
    "eager",
    "channels-last",
    "captured",  # By a stand-in for CUDA graphs where there is no GPU.
    pytest.param("compiled", marks=COMPILER),
    pytest.param("compiled-captured", marks=[ON_CUDA, pytest.mark.gpu]),
]
BATCH = 8


@pytest.fixture(autouse=True)
def cuda_graphs(monkeypatch):
    return [] if torch.cuda.is_available() else with_stand_in(monkeypatch)


@pytest.fixture(autouse=True)
def as_runs_are():
    with world_of("captured").reproducible():
        yield


def world_of(name):
    on_gpu = "captured" in name and torch.cuda.is_available()
    return Runtime(torch.device("cuda" if on_gpu else "cpu"), "fp32", name)


def images(n=3 * BATCH + 3):
    draw = torch.Generator().manual_seed(7)
    x = torch.randint(256, (n, 3, 6, 6), generator=draw, dtype=torch.uint8)
    y = torch.randint(3, (n,), generator=draw)
    return TensorExamples(x, y, Pipeline((0.5,) * 3, (0.2,) * 3, crop_padding=1, flip=True))


def network(runtime):
    with torch.random.fork_rng([]):
        torch.manual_seed(3)
        model = nn.Sequential(
            nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.Flatten(),
            nn.Dropout(0.3), nn.Linear(128, 3),
        )  # fmt: skip
    runtime.prepare_(model)
    return model


def as_read(tensors):
    """Return tensors as a file gives them back, whatever they were laid out like."""
    return {name: tensor.contiguous() for name, tensor in tensors.items()}


def trained(runtime, config, *, cut_every=None):
    """Train five epochs, anew from weights and optimiser after every `cut_every` iterations."""
    data = images().to(runtime.device)
    plan = scaled_plan(kept=len(data), total=len(data), batch_size=BATCH, lr=0.05, epochs=5)
    draw = torch.Generator().manual_seed(5)
    masks = {"0.weight": torch.rand(8, 3, 3, 3, generator=draw) < 0.5}
    losses, step = [], 0
    model = network(runtime)
    optimizer = make_optimizer(model, config, runtime)
    while step < plan.iterations:
        for segment in fit(
            model, optimizer, data, torch.arange(len(data)), plan, masks=masks,
            task=CLASSIFICATION, runtime=runtime, batch_size=BATCH, seed=0, start=step,
            breaks=lambda s: cut_every is not None and s % cut_every == 0,
        ):  # fmt: skip
            losses.append(segment.losses)
            step = segment.step
            if cut_every is not None:
                break
        weights, state = snapshot(model), as_read(optimizer_tensors(optimizer))
        model = network(runtime)
        restore_(model, weights)
        optimizer = make_optimizer(model, config, runtime)
        restore_optimizer_(optimizer, state)
    return torch.cat(losses), weights, masks


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
@pytest.mark.parametrize("name", HERE)
def test_a_run_cut_anywhere_is_the_uncut_one_in_every_execution(name, optimizer):
    config = TrainConfig(optimizer=optimizer)
    losses, weights, masks = trained(world_of(name), config)
    assert len(losses) == 20
    # In a run that is cut at each step, nothing is ever captured.
    again, same, _ = trained(world_of(name), config, cut_every=1)
    assert torch.equal(again, losses)
    assert all(torch.equal(same[key], weights[key]) for key in weights)
    assert not weights["0.weight"][~masks["0.weight"]].any()
    assert weights["0.weight"][masks["0.weight"]].all()


@pytest.mark.parametrize("name", HERE[1:])
def test_every_execution_computes_what_eager_steps_do(name):
    runtime, data = world_of(name), images()
    found = {}
    for each in (Runtime(CPU), runtime):
        model = network(each)
        model[4].p = 0.0
        optimizer = make_optimizer(model, TrainConfig(), each)
        step = Step(model, optimizer, {}, task=CLASSIFICATION, runtime=each, batch_size=BATCH)
        batches = [torch.arange(BATCH), torch.arange(5)] * (STEPS_BEFORE_CAPTURE + 2)
        moved = data.to(each.device)
        given = [step(x, y, 0.01) for x, y in moved.stream(batches, seeds=range(len(batches)))]
        step.settle_()
        found[each] = [loss for loss, _ in given], [outputs for _, outputs in given], model
    for one, other in zip(*(losses for losses, _, _ in found.values()), strict=True):
        torch.testing.assert_close(one, other.cpu(), rtol=1e-3, atol=1e-4)
    for one, other in zip(*(outputs for _, outputs, _ in found.values()), strict=True):
        torch.testing.assert_close(one, other.cpu(), rtol=1e-2, atol=1e-3)
    eager, other = (snapshot(model) for _, _, model in found.values())
    for key in eager:
        torch.testing.assert_close(eager[key], other[key], rtol=1e-2, atol=1e-3)


def test_only_batches_of_the_usual_size_are_compiled(monkeypatch):
    # A kernel for several sizes could take a full batch, or not, by what came before.
    sizes = []

    def compiled(model, **how):
        assert how == {"dynamic": False, "fullgraph": True}
        return lambda x: (sizes.append(len(x)), model(x))[1]

    monkeypatch.setattr("prac.training.step.torch.compile", compiled)
    trained(world_of("compiled"), TrainConfig())
    assert sizes == [BATCH] * 15


def test_channels_last_holds_for_weights_masks_momentum_and_inputs():
    runtime = world_of("channels-last")
    model = network(runtime)
    optimizer = make_optimizer(model, TrainConfig(), runtime)
    restore_optimizer_(optimizer, as_read(optimizer_tensors(optimizer)))
    weight = model[0].weight
    laid_out = (
        weight,
        optimizer.state[weight]["momentum_buffer"],
        runtime.to_memory_format(images().x),
    )
    assert all(t.is_contiguous(memory_format=torch.channels_last) for t in laid_out)
    assert not any(t.is_contiguous() for t in laid_out)
    # Snapshots, and so files, do not depend on it.
    assert snapshot(model)["0.weight"].is_contiguous()
    assert torch.equal(snapshot(model)["0.weight"], snapshot(network(Runtime(CPU)))["0.weight"])


def test_volumes_are_left_as_they_lie():
    model = nn.Sequential(nn.Conv3d(1, 2, 3), nn.Conv2d(2, 4, 3))
    before = snapshot(model)
    world_of("channels-last").prepare_(model)
    assert model[0].get_parameter("weight").is_contiguous()
    assert model[1].get_parameter("weight").is_contiguous(memory_format=torch.channels_last)
    after = snapshot(model)
    assert all(torch.equal(before[key], after[key]) for key in before)


@pytest.fixture
def problem():
    return Problem.of(network(Runtime(CPU)), images(), runtime=Runtime(CPU), batch_size=BATCH)


CONFIG = TrainConfig(batch_size=BATCH)
PRUNED_AT_INIT = prac.PruneConfig(layers="conv+linear", when="at-init", score="random")


@pytest.fixture
def clocks(monkeypatch):
    """Set how long a step of each execution takes; the steps are made all the same."""
    timed, taken = execution._Trial.timed, {}

    def faked(trial):
        timed(trial)
        if isinstance(taken[trial.name], Exception):
            raise taken[trial.name]
        return taken[trial.name]

    monkeypatch.setattr(execution._Trial, "timed", faked)
    monkeypatch.setattr(execution._Trial, "_step_of", eager_step)
    return taken


def eager_step(trial, model, optimizer, task, size):
    """Return a step that compiles nothing, which is not what is tested."""
    runtime = replace(trial._runtime, execution="eager")
    return Step(model, optimizer, {}, task=task, runtime=runtime, batch_size=size)


@pytest.mark.parametrize(
    ("seconds", "iterations", "name", "measured"),
    [
        ({"eager": 1.0}, execution.FEW - 1, "eager", set()),
        ({"eager": 0.1}, 1000, "eager", set()),  # 100 seconds
        ({"eager": 0.2, "channels-last": 0.1}, 1000, "channels-last", {"eager", "channels-last"}),
        ({"eager": 0.2, "channels-last": 0.199}, 1000, "eager", {"eager", "channels-last"}),
        (
            {"eager": 2.0, "channels-last": 1.5, "compiled": 1.2},
            1000,
            "compiled",
            {"eager", "channels-last", "compiled"},
        ),
        (
            {"eager": 2.0, "channels-last": 1.5, "compiled": 1.49},
            1000,
            "channels-last",
            {"eager", "channels-last", "compiled"},
        ),
        (
            {"eager": 2.0, "channels-last": 2.5, "compiled": 3.0},
            1000,
            "eager",
            {"eager", "channels-last", "compiled"},
        ),
    ],
)
def test_the_fastest_is_chosen_where_a_run_is_long_enough(
    problem, clocks, seconds, iterations, name, measured
):
    clocks.update(seconds)
    before = snapshot(problem.model)
    choice = choose(problem, CONFIG, iterations)
    assert choice.name == name
    assert set(choice.seconds) == measured
    assert choice.failed == {}
    after = snapshot(problem.model)
    assert all(torch.equal(before[key], after[key]) for key in before)


def test_what_fails_is_named_and_not_chosen(problem, clocks):
    clocks.update({"eager": 2.0, "channels-last": 1.5, "compiled": RuntimeError("no\ncompiler")})
    choice = choose(problem, CONFIG, 1000)
    assert choice.name == "channels-last"
    assert "compiled failed: " in str(choice)
    assert "no compiler" in str(choice)
    assert "eager 2e+03 ms, channels-last 1.5e+03 ms" in str(choice)


@pytest.fixture
def on_a_gpu(monkeypatch):
    """Take this for a machine with a GPU, as far as the choice looks; what was tried, and freed."""
    seen = []
    made, closed = execution._Trial.__init__, execution._Trial.close

    def begun(trial, problem, config, name):
        made(trial, problem, config, name)
        trial.is_on_cuda = True
        seen.append(name)

    monkeypatch.setattr(execution._Trial, "__init__", begun)
    monkeypatch.setattr(execution._Trial, "close", lambda t: (closed(t), seen.append(f"-{t.name}")))
    monkeypatch.setitem(execution.STAGES, "cpu", execution.STAGES["cuda"])
    return seen


OUT_OF_MEMORY = torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20 GiB")


@pytest.mark.parametrize(
    ("seconds", "iterations", "name", "tried"),
    [
        # Four seconds of eager steps are not worth a look; six are, but not compiling.
        ({"eager": 0.004}, 1000, "eager", "eager"),
        (
            {"eager": 0.006, "channels-last": 0.005, "captured": 0.001},
            1000,
            "captured",
            "eager channels-last captured",
        ),
        # A ticket's 64,000 steps: captured, the minute of compiling is more than it saves.
        (
            {"eager": 0.005, "channels-last": 0.005, "captured": 0.0011},
            64_000,
            "captured",
            "eager channels-last captured",
        ),
        # A whole search of IMP.
        (
            {"eager": 0.005, "channels-last": 0.005, "captured": 0.0011, "compiled-captured": 8e-4},
            960_000,
            "compiled-captured",
            "eager channels-last captured compiled-captured",
        ),
        # Compiled, uncaptured steps are tried where the others cannot be had.
        (
            {
                "eager": 0.005, "channels-last": 0.005, "captured": RuntimeError("not permitted"),
                "compiled-captured": OUT_OF_MEMORY, "compiled": 0.003,
            },
            960_000,
            "compiled",
            "eager channels-last captured compiled-captured compiled",
        ),
    ],
)  # fmt: skip
def test_on_a_gpu_seconds_are_worth_a_graph_and_minutes_a_compiler(
    problem, clocks, on_a_gpu, seconds, iterations, name, tried
):
    clocks.update(seconds)
    choice = choose(problem, CONFIG, iterations)
    assert choice.name == name
    # Each is freed before the next begins: a device may hold no two.
    assert on_a_gpu == [f"{sign}{one}" for one in tried.split() for sign in ("", "-")]
    if "compiled" in seconds:
        assert "needs more memory than the device has left" in choice.failed["compiled-captured"]
        assert "not permitted" in choice.failed["captured"]


NOT_REPLAYED: dict[str, Any] = {
    "optimizer": "torch.optim.RMSprop",
    "optimizer_args": {"nesterov": True},
    "decay_norms": False,
    "clip_norm": 1.0,
    "accumulate": 2,
    "ema_decay": 0.9,
    "batch_transform": "mixup",
}


@pytest.mark.parametrize("name", NOT_REPLAYED)
def test_steps_that_were_not_seen_to_be_replayed_rightly_are_not_captured(
    problem, clocks, on_a_gpu, monkeypatch, name
):
    clocks.update({"eager": 0.006, "channels-last": 0.005, "captured": 0.001, "compiled": 0.004})
    config = replace(CONFIG, **{name: NOT_REPLAYED[name]})
    choice = choose(problem, config, 10**6)
    assert choice.name == "compiled"
    assert f"steps with {name} " in choice.failed["captured"]
    assert not any("captured" in one for one in on_a_gpu)
    monkeypatch.setattr("prac.training.autotune.check_device", lambda *given: None)
    with pytest.raises(
        PracError, match=f"execution 'captured' is not to be had: steps with {name}"
    ):
        check_execution(problem, config, "captured")
    assert not_captured("compiled", config, "fp16") is None
    assert (
        not_captured("captured", CONFIG, "fp16") == "steps with precision 'fp16' are not replayed"
    )
    assert not_captured("captured", CONFIG, "bf16") is None


@pytest.mark.slow
def test_a_captured_step_is_tried_as_it_runs(problem, on_a_gpu, cuda_graphs):
    choice = choose(problem, CONFIG, 10**7)
    assert choice.failed.keys() <= {"compiled", "compiled-captured"}
    assert choice.seconds.keys() >= {"eager", "channels-last", "captured"}
    # Beside loading threads, which may touch the device meanwhile.
    if not torch.cuda.is_available():
        assert {one["capture_error_mode"] for one in cuda_graphs} == {"thread_local"}


def test_networks_without_images_are_not_laid_out_anew(clocks):
    x, y = torch.rand(20, 4), torch.zeros(20, dtype=torch.int64)
    flat = Problem.of(nn.Linear(4, 2), (x, y), runtime=Runtime(CPU))
    clocks.update({"eager": 2.0, "compiled": 1.0})
    assert set(choose(flat, CONFIG, 1000).seconds) == {"eager", "compiled"}


@COMPILER
def test_a_model_that_would_be_compiled_anew_at_every_step_is_not_compiled():
    class Counting(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer, self.calls = nn.Linear(4, 2), 0

        def forward(self, x):
            self.calls += 1
            return self.layer(x) * (1.0 if f"{self.calls}".endswith("7") else 0.5)

    x, y = torch.rand(20, 4), torch.zeros(20, dtype=torch.int64)
    counting = Problem.of(Counting(), (x, y), runtime=Runtime(CPU))
    with pytest.raises(PracError, match=r"execution 'compiled' does not work here: .*use auto"):
        execution.check_execution(counting, CONFIG, "compiled")


def test_memory_that_is_used_up_is_known_however_it_is_told():
    told = [
        torch.OutOfMemoryError("CUDA out of memory"),
        RuntimeError("CUDA error: out of memory"),
        RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
        RuntimeError("DefaultCPUAllocator: can't allocate memory"),
    ]
    assert all(map(is_out_of_memory, told))
    assert not is_out_of_memory(RuntimeError("shapes do not fit"))
    while_captured = RuntimeError("operation failed due to a previous error during capture")
    while_captured.__context__ = told[0]
    assert is_out_of_memory(while_captured)


@pytest.mark.skipif(torch.cuda.is_available(), reason="it works on a CUDA device")
def test_a_comparison_asks_once_for_what_the_device_has_not(
    small_net, train, val, config, tmp_path
):
    settings = config("imp", levels=1)
    settings = replace(settings, train=replace(settings.train, execution="captured"))
    with pytest.raises(PracError, match="execution 'captured' needs a CUDA device"):
        prac.compare(small_net, train, settings, out=tmp_path / "c", seeds=(0,), test=val)
    assert not (tmp_path / "c" / "runs").exists()


@pytest.mark.skipif(torch.cuda.is_available(), reason="it works on a CUDA device")
def test_captured_needs_a_cuda_device(small_net, train, config, tmp_path):
    settings = config()
    settings = replace(settings, train=replace(settings.train, execution="captured"))
    with pytest.raises(PracError, match="execution 'captured' needs a CUDA device"):
        prac.find(small_net(), train, settings, out=tmp_path / "run")
    assert not (tmp_path / "run").exists()


def environment_of(run):
    return json.loads((run / "environment.json").read_text())


@pytest.mark.parametrize("call", ["find", "retrain"])
def test_a_run_goes_on_as_it_began_whatever_measuring_would_choose(
    call, small_net, train, config, tmp_path, monkeypatch
):
    settings, out = config("imp", levels=1), tmp_path / "run"
    run_control = prac.RunControl(save_every=4)
    monkeypatch.setattr("prac.training.autotune.FEW", 1)
    choices = [Choice("channels-last", {"eager": 2.0, "channels-last": 1.0}, {})]
    monkeypatch.setattr("prac.training.autotune.choose", lambda *_: choices.pop())
    lines = []

    def watch(event):
        if event.kind == "note":
            lines.append(event.facts["text"])
        if event.kind == "saved" and not stopped:
            stopped.append(1)
            raise KeyboardInterrupt

    def run():
        if call == "find":
            return prac.find(
                small_net(), train, settings, out=out, callback=watch, run_control=run_control
            )
        ticket = prac.Ticket(snapshot(small_net()), {})
        return prac.retrain(
            ticket,
            small_net(),
            train,
            settings.train,
            out=out,
            callback=watch,
            run_control=run_control,
        )

    stopped = []
    with pytest.raises(KeyboardInterrupt):
        run()
    assert environment_of(out)["execution"] == "channels-last"
    assert lines == ["execution: channels-last, by measured steps: eager 2e+03 ms, "
                     "channels-last 1e+03 ms"]  # fmt: skip
    run()
    assert not choices
    assert len(lines) == 1


def test_nothing_is_tried_for_what_is_done(small_net, train, config, tmp_path, monkeypatch):
    settings = config("imp", levels=1)
    search = prac.find(small_net(), train, settings, out=tmp_path / "run")
    kept = tmp_path / "kept"
    prac.retrain(search.tickets[1], small_net(), train, settings.train, out=kept)

    def fails(*_, **__):
        raise AssertionError("tried")

    monkeypatch.setattr("prac.search.finding.select_execution", fails)
    monkeypatch.setattr("prac.evaluation.retraining.select_execution", fails)
    assert prac.find(small_net(), train, settings, out=tmp_path / "run").finished
    prac.retrain(search.tickets[1], small_net(), train, settings.train, out=kept)
    changed = replace(settings, seed=7)
    with pytest.raises(PracError, match="other settings"):  # Not done, but refused.
        prac.find(small_net(), train, changed, out=tmp_path / "run")


def test_a_ticket_trains_as_its_search_ran(small_net, train, config, tmp_path, monkeypatch):
    settings = config("imp", levels=1)
    named = replace(settings, train=replace(settings.train, execution="channels-last"))
    search = prac.find(small_net(), train, named, out=tmp_path / "run")
    ticket = search.tickets[1]
    assert ticket.provenance["versions"]["execution"] == "channels-last"
    monkeypatch.setattr("prac.training.autotune.choose", lambda *_: Choice("eager", {}, {}))

    def trained_as(ticket, name):
        prac.retrain(ticket, small_net(), train, settings.train, out=tmp_path / name)
        return environment_of(tmp_path / name)["execution"]

    assert trained_as(ticket, "same") == "channels-last"
    elsewhere = {**ticket.provenance, "versions": {"device": "cuda", "execution": "captured"}}
    assert trained_as(replace(ticket, provenance=elsewhere), "elsewhere") == "eager"
    of_old = {**ticket.provenance, "versions": {"prac": "0", "torch": "2"}}
    assert trained_as(replace(ticket, provenance=of_old), "old") == "eager"


def test_a_search_that_trains_nothing_does_not_tell_how_tickets_train(
    small_net, train, config, tmp_path
):
    untrained = config("imp", levels=1, rewind="init", prune=PRUNED_AT_INIT)
    search = prac.find(small_net(), train, untrained, out=tmp_path / "run")
    assert "execution" not in search.tickets[1].provenance["versions"]


def test_a_tickets_retrained_model_lies_in_memory_as_its_own(small_net, train, config):
    settings = replace(config().train, execution="channels-last")
    ticket = prac.Ticket(snapshot(small_net()), {})
    model, _ = prac.retrain(ticket, small_net(), train, settings)
    assert model[0].weight.is_contiguous()


@pytest.mark.parametrize("every", [1, 2, 5])
def test_validating_seldom_still_validates_the_last_epoch(
    every, small_net, train, val, config, tmp_path
):
    settings = config("imp", levels=1)
    settings = replace(settings, train=replace(settings.train, epochs=4, validate_every=every))
    search = prac.find(small_net(), train, settings, val=val, out=tmp_path / "run")
    validated = [e["epoch"] for e in read_metrics(tmp_path / "run") if "val_accuracy" in e]
    assert validated == {1: [1, 2, 3, 4], 2: [2, 4], 5: [4]}[every]
    level = search.levels[0]
    assert level.best_epoch in validated
    assert level.cost.examples_scored == level.imp.examples_scored == 100 * len(validated)


def test_an_early_stop_is_validated(small_net, train, val, config, tmp_path):
    settings = config(levels=1, stop=prac.StopConfig(epsilon=0.5, window=1, arm="at-once"))
    settings = replace(settings, train=replace(settings.train, validate_every=3))
    search = prac.find(small_net(), train, settings, val=val, out=tmp_path / "run")
    assert (search.levels[0].epochs, search.levels[0].best_epoch) == (2, 2)


@pytest.mark.skipif(sys.platform != "linux", reason="counts Linux's page faults")
def test_freed_memory_is_kept():
    code = """
import resource, sys, torch
from prac.cli.memory import keep_freed_memory
if sys.argv[1] == "kept":
    keep_freed_memory()
def faults():
    torch.ones(2**22).sum()
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt
seen = [faults() for _ in range(60)]
print(seen[-1] - seen[9])  # At first the heap grows.
"""
    found = {
        how: int(subprocess.run([sys.executable, "-c", code, how], capture_output=True).stdout)
        for how in ("kept", "given back")
    }
    # 16 MiB are 4,096 pages, or 8 of the large ones; with musl both are given back.
    if found["given back"] > 50 * 8:
        assert found["kept"] < found["given back"] / 4


@ON_CUDA
@pytest.mark.gpu
def test_nothing_waits_for_the_device_within_an_epoch():
    runtime = Runtime(torch.device("cuda"), "fp32", "captured")
    data = images(BATCH * 20).to(runtime.device)
    model = network(runtime)
    optimizer = make_optimizer(model, TrainConfig(), runtime)
    plan = scaled_plan(kept=len(data), total=len(data), batch_size=BATCH, lr=0.05, epochs=2)

    def strict(step):
        # From the second epoch's first step to the one before its last.
        torch.cuda.set_sync_debug_mode("error" if 20 < step < 39 else "default")
        return False

    training = fit(
        model, optimizer, data, torch.arange(len(data)), plan, masks={},
        task=CLASSIFICATION, runtime=runtime, batch_size=BATCH, seed=0, breaks=strict,
    )  # fmt: skip
    try:
        assert len(list(training)) == 2
    finally:
        torch.cuda.set_sync_debug_mode("default")
