"""Any optimiser: as torch's own loop has it, masked, put back from its state, or refused."""

from __future__ import annotations

import functools
from typing import Any

import pytest
import torch
from torch import nn

import prac
from prac.algorithms import scaled_plan
from prac.config import TrainConfig, flat, from_flat, own_code
from prac.data import TensorExamples
from prac.errors import PracError
from prac.models import restore_, snapshot
from prac.training import CLASSIFICATION, Problem, Runtime
from prac.training.loop import epoch_batches, fit
from prac.training.optimizer import (
    make_optimizer,
    optimizer_tensors,
    restore_optimizer_,
    set_weight_decay_,
)
from prac.utils import derive_seed
from tests.training import own_parts

CPU = Runtime(torch.device("cpu"))
OWN = "tests.training.own_parts:"
N, BATCH = 30, 8

ANY: dict[str, dict[str, Any]] = {
    **{
        name: {"optimizer": f"torch.optim.{name}"}
        for name in ("RMSprop", "Adagrad", "Adamax", "NAdam", "RAdam", "ASGD", "Adafactor", "AdamW")
    },
    "Rprop": {"optimizer": "torch.optim.Rprop", "weight_decay": 0.0},
    "centered": {
        "optimizer": "torch.optim:RMSprop",
        "optimizer_args": {"centered": True, "momentum": 0.9},
    },
    "nesterov": {"optimizer_args": {"nesterov": True}},
    "dampening": {"optimizer_args": {"dampening": 0.5}},
    "amsgrad": {"optimizer": "adam", "optimizer_args": {"betas": [0.9, 0.98], "amsgrad": True}},
    "foreach": {"optimizer": "adam", "optimizer_args": {"foreach": True}},
    "not fused": {"optimizer_args": {"fused": False}},
    "groups": {"decay_norms": False, "weight_decay": 0.1},
    "own": {"optimizer": f"{OWN}Plain"},
    "own groups": {"optimizer": f"{OWN}Plain", "decay_norms": False, "weight_decay": 0.1},
    "noisy": {"optimizer": f"{OWN}Noisy"},
    "rates": {"optimizer": f"{OWN}with_rates", "optimizer_args": {"last": 0.5}},
}


def network() -> nn.Sequential:
    with torch.random.fork_rng([]):
        torch.manual_seed(3)
        return nn.Sequential(
            nn.Linear(6, 12), nn.BatchNorm1d(12), nn.ReLU(), nn.Dropout(0.5), nn.Linear(12, 3)
        )


def data() -> TensorExamples:
    draw = torch.Generator().manual_seed(7)
    x, y = torch.randn(N, 6, generator=draw), torch.randint(3, (N,), generator=draw)
    return TensorExamples(x, y)


def half_masks(model: nn.Module) -> dict[str, torch.Tensor]:
    draw = torch.Generator().manual_seed(5)
    shapes = {name: model.get_parameter(name).shape for name in ("0.weight", "4.weight")}
    return {name: torch.rand(shape, generator=draw) < 0.5 for name, shape in shapes.items()}


def plan_of(epochs: int, **settings: Any) -> Any:
    given = {"lr": 0.05, **settings}
    return scaled_plan(kept=N, total=N, batch_size=BATCH, epochs=epochs, **given)


def trained(model: nn.Module, plan: Any, optimizer: Any, masks: Any = None, **more: Any) -> Any:
    usual = {"task": CLASSIFICATION, "runtime": CPU, "batch_size": BATCH, "seed": 0}
    given: Any = {"masks": masks or {}, **usual, **more}
    return fit(model, optimizer, data(), torch.arange(N), plan, **given)


def same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[n], other[n]) for n in one)


def tried(**settings: Any) -> Problem:
    """Return a problem that was tried with settings."""
    config = TrainConfig(**{"epochs": 2, "batch_size": BATCH, **settings})
    given = data()
    return Problem.of(network(), (given.x, given.y), runtime=CPU, config=config)


@pytest.mark.parametrize("name", ANY)
def test_cut_after_every_iteration_any_optimiser_steps_as_it_would_and_prunes_exactly(name):
    config = TrainConfig(**{"lr": 0.05, **ANY[name]})
    plan = plan_of(2, milestones=(1,))
    whole = network()
    masks = half_masks(whole)
    list(trained(whole, plan, make_optimizer(whole, config, CPU), masks))
    model, step = network(), 0
    running: Any = None
    while step < plan.iterations:
        weights = snapshot(model)
        kept = {} if running is None else optimizer_tensors(running)
        model = network()
        restore_(model, weights)
        running = make_optimizer(model, config, CPU)
        if kept:
            restore_optimizer_(running, kept)
            assert same(optimizer_tensors(running), kept)
        segments = trained(model, plan, running, masks, start=step, breaks=lambda step: True)
        step = next(segments).step
        for masked, mask in masks.items():
            assert not model.get_parameter(masked)[~mask].any()
    assert same(snapshot(model), snapshot(whole))


def test_rmsprop_is_torch_s_own_loop():
    config = TrainConfig(
        optimizer="torch.optim.RMSprop", optimizer_args={"alpha": 0.9}, lr=0.01, weight_decay=0.02
    )
    ours = network()[:1]
    list(trained(ours, plan_of(3, lr=0.01), make_optimizer(ours, config, CPU)))
    theirs = network()[:1]
    optimizer = torch.optim.RMSprop(theirs.parameters(), lr=0.01, alpha=0.9, weight_decay=0.02)
    given = data()
    for epoch in range(3):
        for ids in epoch_batches(torch.arange(N), BATCH, derive_seed(0, "order", epoch)):
            optimizer.zero_grad()
            nn.functional.cross_entropy(theirs(given.x[ids]), given.y[ids]).backward()
            optimizer.step()
    assert same(snapshot(ours), snapshot(theirs))


def test_arguments_reach_torch_s_own_kinds():
    kinds: list[tuple[str, dict[str, Any], str]] = [
        ("sgd", {"nesterov": True}, "nesterov"),
        ("adam", {"betas": [0.8, 0.9]}, "betas"),
        ("adamw", {"eps": 1e-3}, "eps"),
    ]
    for name, more, key in kinds:
        made = make_optimizer(network(), TrainConfig(optimizer=name, optimizer_args=more), CPU)
        found = made.param_groups[0][key]
        assert (list(found) if key == "betas" else found) == more[key]


def test_norms_and_biases_may_be_left_without_weight_decay():
    model = nn.Sequential(nn.Linear(4, 6), nn.LayerNorm((2, 3)), nn.BatchNorm1d(2), nn.Linear(3, 2))
    made = make_optimizer(model, TrainConfig(decay_norms=False, weight_decay=0.1), CPU)
    decayed, spared = made.param_groups
    assert [tuple(of.shape) for of in decayed["params"]] == [(6, 4), (2, 3)]
    assert len(spared["params"]) == 6
    assert any(of is model[1].weight for of in spared["params"]), "of two dimensions, but a norm's"
    assert (decayed["weight_decay"], spared["weight_decay"]) == (0.1, 0.0)
    set_weight_decay_(made, 0.3)
    assert (decayed["weight_decay"], spared["weight_decay"]) == (0.3, 0.0)


def test_a_level_s_weight_decay_needs_an_optimiser_that_has_one():
    made = make_optimizer(
        network(), TrainConfig(optimizer="torch.optim.Rprop", weight_decay=0), CPU
    )
    with pytest.raises(PracError, match=r"level_weight_decay is 0\.3, but optimizer Rprop has no"):
        set_weight_decay_(made, 0.3)


def test_rates_of_an_own_optimiser_s_groups_keep_their_share():
    config = TrainConfig(optimizer=f"{OWN}with_rates", lr=0.2)
    model = network()
    made = make_optimizer(model, config, CPU)
    list(trained(model, plan_of(1, lr=0.2, warmup=0.5), made))
    assert [group["lr"] for group in made.param_groups] == pytest.approx([0.2, 0.02])
    list(trained(model, plan_of(1, lr=0.4), made))
    assert [group["lr"] for group in made.param_groups] == pytest.approx([0.4, 0.04])


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"optimizer": "torch.optim.RMSprob"}, "'torch.optim' has no 'RMSprob'"),
        ({"optimizer": "no_such.module"}, "cannot import 'no_such'"),
        ({"optimizer": "torch.optim.LBFGS", "weight_decay": 0.0}, "needs a closure"),
        ({"optimizer": "torch.optim.LBFGS"}, "needs a closure"),
        ({"optimizer": "torch.nn.Linear"}, "gives Linear: expected a torch.optim.Optimizer"),
        ({"optimizer": f"{OWN}WithoutDecay"}, "takes no weight decay, .* 0.0001: set it to 0"),
        (
            {"optimizer": "torch.optim.SparseAdam"},
            "does not take the model's gradients: SparseAdam does not support dense",
        ),
        (
            {"optimizer": "torch.optim.RMSprop", "optimizer_args": {"alhpa": 0.9}},
            "optimizer_args has 'alhpa', which the optimizer does not take: did you mean 'alpha'",
        ),
        ({"optimizer_args": {"momentum": 0.5}}, "'momentum', which is given to the optimizer alr"),
        ({"optimizer": functools.partial(torch.optim.SGD, momentum=0.5)}, "set momentum instead"),
        ({"optimizer": f"{OWN}Plain", "optimizer_args": {"lr": 0.5}}, "set lr instead"),
        ({"optimizer": torch.optim.RMSprop, "momentum": 0.5}, r"momentum is 0\.5 but .*RMSprop'"),
        ({"optimizer": "rmsprop"}, r"unknown .* 'rmsprop': did you mean 'torch\.optim\.RMSprop'"),
        ({"optimizer": "SGD"}, "did you mean 'sgd'"),
        ({"optimizer_args": {"nestrov": True}}, "did you mean 'nesterov'"),
        (
            {"optimizer": "torch.optim.RMSprop", "optimizer_args": {"alpha": -1}},
            "the optimizer does not take its settings: Invalid alpha value: -1",
        ),
        ({"optimizer": f"{OWN}nothing"}, "gives NoneType: expected a torch.optim.Optimizer"),
        ({"optimizer": f"{OWN}Hidden"}, "steps otherwise after its state is put back"),
        ({"optimizer": f"{OWN}Late"}, "cannot be put back .* '0/slow' is nothing that this"),
        ({"optimizer": f"{OWN}Listing"}, "cannot be put back .* keeps list 'history'"),
        ({"optimizer": f"{OWN}halves"}, "does not take its settings|takes no weight decay"),
    ],
)
def test_what_cannot_train_or_resume_is_refused_before_anything_is_written(settings, message):
    with pytest.raises(PracError, match=message):
        tried(**settings)


@pytest.mark.parametrize("name", ANY)
def test_any_optimiser_is_tried_and_taken(name):
    assert tried(**ANY[name]).counting == ()


def test_weights_that_an_own_optimiser_is_not_given_are_told():
    [line] = tried(optimizer=f"{OWN}first_two").notices()
    assert line.startswith("no group of the optimizer has weight '4.weight', never trained and")
    assert not list(tried(optimizer=f"{OWN}with_rates").notices())


def test_an_own_optimiser_takes_its_own_state_only():
    config = TrainConfig(optimizer=f"{OWN}Plain")
    model = network()
    made = make_optimizer(model, config, CPU)
    list(trained(model, plan_of(1), made))
    good = optimizer_tensors(made)
    assert good["0/steps"].item() == good["group0/k"].item() == 4
    assert good["0/size"].dtype == torch.float64
    restore_optimizer_(make_optimizer(network(), config, CPU), good)
    for name, wrong in {
        "0/steps": torch.tensor(1.5),
        "group0/k": torch.tensor([1, 2]),
        "group0/pull": torch.tensor(1),
        "group1/k": torch.tensor(1),
        "0/bytes": torch.zeros(4, dtype=torch.uint8),
        "0/other": torch.zeros(3),
        "0/bytes/": torch.zeros(3),
        f"{'9' * 5000}/steps": torch.tensor(1),
    }.items():
        with pytest.raises(PracError):
            restore_optimizer_(make_optimizer(network(), config, CPU), {**good, name: wrong})
    less = {name: of for name, of in good.items() if name != "0/steps"}
    with pytest.raises(PracError, match="parameter 0 is not whole"):
        restore_optimizer_(make_optimizer(network(), config, CPU), less)


def test_callables_are_kept_by_the_name_they_can_be_imported_by():
    given: Any = functools.partial(torch.optim.RMSprop, alpha=0.8, eps=1e-6)
    scheduler: Any = torch.optim.lr_scheduler.PolynomialLR
    config = TrainConfig(optimizer=given, optimizer_args={"alpha": 0.9}, schedule=scheduler)
    assert config.optimizer == "torch.optim.RMSprop"
    assert config.optimizer_args == {"alpha": 0.9, "eps": 1e-6}
    assert config.schedule == "torch.optim.lr_scheduler.PolynomialLR"
    assert from_flat(TrainConfig, flat(config)) == config
    for one, short in (("SGD", "sgd"), ("Adam", "adam"), ("AdamW", "adamw")):
        spelt: Any = (getattr(torch.optim, one), f"torch.optim.{one}", f"torch.optim:{one}", short)
        kept = {TrainConfig(optimizer=of).optimizer for of in spelt}
        assert kept == {short}
    own: Any = own_parts.Plain
    assert TrainConfig(optimizer=own).optimizer == f"{OWN}Plain"
    assert own_code(flat(TrainConfig(optimizer=own))) == {"optimizer": f"{OWN}Plain"}
    assert own_code(flat(config)) == {}

    def local(params: Any) -> None:
        """Cannot be imported."""

    for wrong in (lambda params: None, local, functools.partial(local, 1)):
        with pytest.raises(PracError, match=r"cannot be imported by a name|keywords alone"):
            TrainConfig(optimizer=wrong)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "name", ["torch.optim.evil/../x", "torch.optimx.A", "os:system", "os.system"]
)
def test_only_torch_s_own_optimisers_are_no_code_of_one_s_own(name):
    assert own_code({"optimizer": name}) == {"optimizer": name}


def test_what_an_own_optimiser_does_is_part_of_a_run_s_identity():
    own, usual = tried(optimizer=f"{OWN}Plain"), tried()
    assert own.identity()["own_optimizer"].startswith("tests.training.own_parts.Plain-")
    assert "own_optimizer" not in usual.identity()
    assert own.own_parts != tried(optimizer=f"{OWN}Noisy").own_parts


def test_a_run_from_an_own_optimiser_is_judged_only_where_its_code_is_trusted(
    small_net, train, val, config, tmp_path
):
    settings = config(
        levels=1, train=prac.TrainConfig(epochs=1, batch_size=50, optimizer=f"{OWN}Plain")
    )
    search = prac.find(small_net(), train, settings, val=val, out=tmp_path / "run")
    with pytest.raises(PracError, match=r"code of its own as its optimizer.*pass config=search"):
        prac.judge(search, small_net, train, val=val, test=val, seeds=(0,))
    with pytest.raises(PracError, match="the ticket names code of its own as its search's optimiz"):
        prac.retrain(search.tickets[1], small_net(), train)
    assert search.config.train == settings.train
    verdict = prac.judge(
        search, small_net, train, val=val, test=val, seeds=(0,), config=search.config.train
    )
    assert len(verdict.levels) == 2
