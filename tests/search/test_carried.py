"""Carried levels: each goes on from the weights just trained; a ticket holds the rewind point's."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from hypothesis import example, given
from hypothesis import strategies as st
from torch import nn

import prac
from prac.algorithms import ForgettingTable, Plan, ones
from prac.config import METHODS, SearchConfig, from_flat
from prac.io import read_tensors
from prac.models import snapshot
from prac.runs import RunState, read_metrics
from prac.search.algorithm import next_level
from prac.search.plan import SearchPlan
from prac.search.prune import pruned
from prac.search.rules import rules_of
from prac.training import Runtime
from prac.training.loop import epoch_batches
from prac.training.optimizer import make_optimizer, mask_optimizer_, optimizer_tensors
from prac.utils import derive_seed

CARRIED = {**METHODS["carried"], "dense_budget": 0.5, "level_budget": 0.25}
QUICK: dict[str, Any] = {"levels": 3, "epochs": 4, "batch_size": 50, "lr": 0.1}


def carried(**changes: object) -> SearchConfig:
    """Return a search of 24 iterations a training: 12 for the dense level, 6 for the others."""
    return from_flat(SearchConfig, {**QUICK, **CARRIED, "layers": "conv+linear", **changes})


def planned(config: SearchConfig, sizes: tuple[int, ...] = (60, 40)) -> SearchPlan:
    return SearchPlan.of(config, sizes, members=300, total=300)


class Net(nn.Sequential):
    """Two linear layers and nothing that training changes besides their weights."""

    def __init__(self) -> None:
        with torch.random.fork_rng():
            torch.manual_seed(0)
            super().__init__(nn.Flatten(), nn.Linear(64, 12), nn.ReLU(), nn.Linear(12, 10))


def in_plain_torch(
    config: SearchConfig, x: torch.Tensor, y: torch.Tensor, *, rewind: int = 0
) -> list[dict[str, Any]]:
    """Return the masks of all tickets, and the weights just trained, by a loop without prac's."""
    model = Net()
    weights = {name: p for name, p in model.named_parameters() if name.endswith("weight")}
    masks = {name: torch.ones_like(weight, dtype=torch.bool) for name, weight in weights.items()}
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9, weight_decay=1e-4)
    found = []
    for level, length in enumerate((12, 6, 6)):
        seed, done = derive_seed(config.seed, "level", level), 0
        while done < length:
            order = derive_seed(seed, "order", done // 6)
            for ids in epoch_batches(torch.arange(len(y)), 50, order)[: length - done]:
                beyond = level > 0 or done >= rewind
                for group in optimizer.param_groups:
                    group["lr"] = 0.1 * (config.level.lr_factor if beyond else 1.0)
                    group["weight_decay"] = (config.level.weight_decay if beyond else None) or 1e-4
                optimizer.zero_grad()
                F.cross_entropy(model(x[ids]), y[ids]).backward()
                optimizer.step()
                done += 1
                with torch.no_grad():
                    for name, weight in weights.items():
                        weight.mul_(masks[name])
        scores = torch.cat([weights[name].detach().abs()[masks[name]] for name in masks])
        threshold = scores.sort().values[round(0.2 * len(scores))]
        masks = {name: masks[name] & (weights[name].detach().abs() >= threshold) for name in masks}
        found.append({"masks": masks, "trained": snapshot(model)})
        with torch.no_grad():
            for name, weight in weights.items():
                weight.mul_(masks[name])
                optimizer.state[weight]["momentum_buffer"].mul_(masks[name])
    return found


@pytest.mark.parametrize(
    ("rewind", "beyond"),
    [
        (0, {}),
        (0, {"level_lr_factor": 2.0, "level_weight_decay": 0.03}),
        (8, {"level_weight_decay": 0.3}),
    ],
)
def test_a_search_is_one_training_that_is_pruned_on_its_way(rewind, beyond, train, tmp_path):
    config = carried(rewind=f"iteration:{rewind}", **beyond)
    search = prac.find(Net(), train, config, out=tmp_path / "run")
    expected = in_plain_torch(config, *train, rewind=rewind)
    assert [level.iterations for level in search.levels] == [12, 6, 6, 0]
    for level in (0, 1, 2):
        masks = expected[level]["masks"]
        mine = search.tickets[level + 1].masks
        assert all(torch.equal(mine[name], masks[name]) for name in masks)
        trained, _ = read_tensors(search.level_path(level) / "trained.safetensors", "trained")
        for name, weight in expected[level]["trained"].items():
            torch.testing.assert_close(trained[name], weight)


@pytest.mark.parametrize("rewind", ["init", "epoch:1", "iteration:8"])
def test_tickets_hold_the_rewind_point(rewind, small_net, train, val, tmp_path):
    net = small_net()
    first = snapshot(net)
    search = prac.find(net, train, carried(rewind=rewind), val=val, out=tmp_path / "run")
    rewound = search.tickets[1].weights
    assert all(torch.equal(search.tickets[0].weights[n], first[n]) for n in first)
    assert (rewind == "init") == all(torch.equal(rewound[n], first[n]) for n in first)
    for level in (2, 3):
        weights = search.tickets[level].weights
        assert all(torch.equal(weights[name], rewound[name]) for name in rewound)
    # IMP that is cut as short passes the same rewind point.
    cut = from_flat(
        SearchConfig,
        {**QUICK, **METHODS["imp"], "layers": "conv+linear", "rewind": rewind, "stop_after": [12]},
    )
    other = prac.find(small_net(), train, cut, val=val, out=tmp_path / "imp")
    assert all(torch.equal(other.tickets[1].weights[n], rewound[n]) for n in rewound)


def test_only_the_mask_depends_on_what_is_carried(small_net, train, val, tmp_path):
    def last(**changes: object) -> prac.Ticket:
        out = tmp_path / f"run-{len(list(tmp_path.iterdir()))}"
        return prac.find(small_net(), train, carried(**changes), val=val, out=out).tickets[3]

    one, other = last(), last(level_start="rewound")
    assert one.digest != other.digest
    assert all(torch.equal(one.weights[name], other.weights[name]) for name in one.weights)


def test_what_goes_on_is_the_training_not_the_level():
    weights = {"w": torch.tensor([3.0, -2.0, 1.0])}
    state = replace(
        RunState(0, 12, weights, ones(weights), torch.arange(4), ForgettingTable.empty(4)),
        optimizer={"0/momentum_buffer": torch.tensor([0.1, 0.2, 0.3])},
        rewind={"w": torch.tensor([0.5, 0.5, 0.5])},
        table=ForgettingTable.empty(4).update(torch.tensor([1]), torch.tensor([True])),
        candidate=ones(weights),
        distances=(0.1,),
        best=weights,
        best_accuracy=0.5,
        best_epoch=2,
    )
    mask = {"w": torch.tensor([True, True, False])}
    new = next_level(state, planned(carried()), mask, torch.arange(2))
    assert (new.level, new.step, new.distances, new.best, new.best_epoch) == (1, 0, (), None, 0)
    assert new.weights["w"].tolist() == [3, -2, 1]  # Masked as training begins.
    assert new.optimizer["0/momentum_buffer"] is state.optimizer["0/momentum_buffer"]
    assert new.table is state.table
    rewound = next_level(state, planned(carried(level_start="rewound")), mask, torch.arange(2))
    assert rewound.weights is state.rewind
    assert rewound.optimizer == {}
    assert not rewound.table.learned.any()


def test_what_was_seen_counts_on_where_sets_are_critical(small_net, train, val, tmp_path):
    config = carried(subset_rule="prac", level_budget=0.5)
    search = prac.find(small_net(), train, config, val=val, out=tmp_path / "run")
    events = [search.examples(level)["events"] for level in (0, 1, 2)]
    assert (events[1] >= events[0]).all()
    assert (events[2] >= events[1]).all()
    assert events[2].sum() > events[0].sum()
    sizes = [level.set_size for level in search.levels]
    assert sizes[0] == 300 > sizes[1] >= 50


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_what_was_gathered_for_pruned_weights_is_zero(optimizer):
    model = nn.Linear(2, 1)
    config = prac.TrainConfig(optimizer=optimizer, lr=0.1)
    made = make_optimizer(model, config, Runtime(torch.device("cpu")))
    model(torch.tensor([[1.0, 2.0]])).sum().backward()
    made.step()
    mask_optimizer_(made, model, {"weight": torch.tensor([[True, False]])})
    gathered = [of for name, of in optimizer_tensors(made).items() if of.shape == (1, 2)]
    assert gathered
    for of in gathered:
        assert of[0, 0] != 0
        assert of[0, 1] == 0
    steps = [of for name, of in optimizer_tensors(made).items() if name.endswith("/step")]
    assert [int(of) for of in steps] == ([1, 1] if optimizer == "adam" else [])


# Lengths and rates.


def test_the_dense_level_has_a_length_of_its_own():
    plan = planned(carried(dense_budget=0.75, level_budget=0.125))
    assert [plan.level(level, 300).iterations for level in (0, 1, 2)] == [18, 3, 3]
    plan = planned(carried(dense_budget=None, level_budget=0.125))
    assert [plan.level(level, 300).iterations for level in (0, 1, 2)] == [3, 3, 3]
    # The rewind point comes first.
    plan = planned(carried(dense_budget=0.125, rewind="epoch:2"))
    assert [plan.level(level, 300).iterations for level in (0, 1, 2)] == [12, 6, 6]


def test_levels_may_take_longer_the_sparser_they_are():
    plan = planned(carried(level_budget=0.125, level_growth=2.0, levels=6))
    lengths = [plan.level(level, 300).iterations for level in range(6)]
    assert lengths == [12, 3, 6, 12, 24, 24], "never longer than a full training"
    assert plan.most_iterations == sum(lengths)


def rates(plan: Plan) -> list[float]:
    return [round(plan.lr_at(step), 6) for step in range(plan.iterations)]


def test_the_rate_within_a_level_is_the_full_schedule_s_peak_s_or_falls():
    short = {"level_budget": 0.25, "milestones": [0.5], "gamma": 0.5}
    assert rates(planned(carried(**short)).level(1, 300)) == [0.1] * 3 + [0.05] * 3
    assert (
        rates(planned(carried(**short, level_lr_factor=4.0)).level(1, 300)) == [0.4] * 3 + [0.2] * 3
    )
    # From the rewind point on, also in the dense level.
    assert rates(planned(carried(**short, level_lr_factor=4.0)).level(0, 300))[:4] == [0.4] * 3 + [
        0.2
    ]
    late = planned(carried(**short, level_lr_factor=4.0, rewind="iteration:2"))
    assert rates(late.level(0, 300))[:4] == [0.1, 0.1, 0.4, 0.2]
    constant = planned(carried(**short, level_schedule="constant"))
    assert rates(constant.level(1, 300)) == [0.1] * 6
    falling = rates(
        planned(carried(**short, level_schedule="cosine", level_lr_factor=2.0)).level(2, 300)
    )
    assert falling[0] == 0.2
    assert falling[3] == 0.1
    assert falling == sorted(falling, reverse=True)


def test_only_weights_that_nothing_has_trained_are_warmed_up():
    warm = carried(warmup=2.0)
    assert rates(planned(warm).level(0, 300))[0] < 0.01
    assert rates(planned(warm).level(1, 300)) == [0.1] * 6
    rewound = planned(carried(warmup=2.0, level_start="rewound"))
    assert rates(rewound.level(1, 300))[0] < 0.01


# Several prunings a level.


def test_a_level_is_pruned_in_equal_steps_to_the_same_density(small_net, train, val, tmp_path):
    seen: list[int] = []

    def score(weights: Mapping[str, torch.Tensor]) -> Mapping[str, torch.Tensor]:
        seen.append(sum(int((weight != 0).sum()) for weight in weights.values()))
        return {name: weight.abs() for name, weight in weights.items()}

    config = carried(level_prunings=3)
    search = prac.find(small_net(), train, config, val=val, out=tmp_path / "run", score=score)
    assert [level.kept for level in search.levels] == [1014, 811, 649, 519]
    assert [search.tickets[level].density for level in range(4)] == [
        level.density for level in search.levels
    ]
    # The dense level asks at its two epochs' ends; then a level after 2, 4 and 6 iterations.
    assert seen == [1014, 1014, 811, 753, 699, 649, 602, 559]


@given(
    scope=st.sampled_from(["global", "layer"]),
    parts=st.integers(2, 6),
    level=st.integers(0, 4),
    fraction=st.floats(0.05, 0.6),
    allow_empty=st.booleans(),
)
@example(scope="layer", parts=2, level=4, fraction=0.5625, allow_empty=True)  # A layer runs dry.
def test_parts_of_a_pruning_are_nested_and_end_where_one_would(
    scope, parts, level, fraction, allow_empty
):
    generator = torch.Generator().manual_seed(0)
    weights = {
        name: torch.randn(shape, generator=generator)
        for name, shape in {"a": (7, 9), "b": (30,), "c": (3, 4)}.items()
    }
    settings = prac.PruneConfig(drop_fraction=fraction, scope=scope, allow_empty=allow_empty)
    config = SearchConfig.imp(prune=settings)
    rules = rules_of(config)
    state = RunState(0, 0, weights, ones(weights), torch.arange(2), ForgettingTable.empty(2))
    for index in range(level):
        state = replace(state, masks=pruned(rules, settings, state), level=index + 1)
    at_once, masks = pruned(rules, settings, state), state.masks
    for part in range(1, parts + 1):
        new = pruned(rules, settings, state, part=part, parts=parts)
        assert all(not (new[name] & ~masks[name]).any() for name in new)
        state, masks = replace(state, masks=new), new
    assert all(torch.equal(masks[name], at_once[name]) for name in masks)


def test_more_prunings_than_iterations_are_one_each(small_net, train, val, tmp_path):
    seen: list[int] = []

    def score(weights: Mapping[str, torch.Tensor]) -> Mapping[str, torch.Tensor]:
        seen.append(sum(int((weight != 0).sum()) for weight in weights.values()))
        return {name: weight.abs() for name, weight in weights.items()}

    config = carried(level_prunings=1000, level_budget=0.125)  # Of 3 iterations.
    search = prac.find(small_net(), train, config, val=val, out=tmp_path / "run", score=score)
    assert [level.kept for level in search.levels] == [1014, 811, 649, 519]
    # The dense level asks twice; then each level after 1, 2 and 3 iterations.
    assert seen == [1014, 1014, 811, 753, 699, 649, 602, 559]


def test_metrics_have_a_line_an_epoch_however_often_a_level_is_pruned(
    small_net, train, val, tmp_path
):
    config = carried(level_prunings=4, level_budget=0.5)
    prac.find(small_net(), train, config, val=val, out=tmp_path / "run")
    lines = [(line["level"], line["epoch"]) for line in read_metrics(tmp_path / "run")]
    assert lines == [(level, epoch) for level in (0, 1, 2) for epoch in (1, 2)]


class Cut(Exception):
    """Stands for whatever ended the process."""


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_cut_after_every_iteration_it_is_the_same_search(
    optimizer, small_net, train, val, tmp_path, run_files
):
    config = carried(level_prunings=3, optimizer=optimizer, lr=0.01, levels=2, level_budget=0.5)

    def search(name: str, **run: Any) -> dict[str, bytes]:
        prac.find(small_net(), train, config, val=val, out=tmp_path / name, **run)
        return run_files(tmp_path / name, "levels/*/*.safetensors", "metrics.jsonl")

    def cut(event: prac.Event) -> None:
        if event.kind in ("saved", "epoch"):
            raise Cut

    whole, cuts = search("whole"), 0
    while True:
        try:
            pieces = search("pieces", run_control=prac.RunControl(save_every=1), callback=cut)
            break
        except Cut:
            cuts += 1
    assert pieces == whole
    assert cuts == 12 + 12


# What does not go together.


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"rewind": "learning-rate"}, "level_start is 'carried' but rewind is 'learning-rate'"),
        ({"rewind": "none"}, "level_start is 'carried' but rewind is 'none'"),
        ({"pruning": "one-shot"}, "level_start is 'carried' but pruning is 'one-shot'"),
        (
            {"pruning": "at-init", "dense_budget": None, "level_budget": None},
            "level_start is 'carried' but pruning is 'at-init'",
        ),
        (
            {"level_prunings": 2, "train_every": 2},
            "level_prunings is 2 but train_every is 2: levels between are pruned at once",
        ),
        (
            {"level_start": "rewound", "rewind": "none", "level_lr_factor": 0.5},
            "level_lr_factor is 0.5 but rewind is 'none': fine-tuning trains at the schedule's",
        ),
        ({"level_start": "kept"}, "unknown level_start 'kept' (known: carried, rewound)"),
        ({"level_lr_factor": 0.0}, "level_lr_factor is 0"),
        ({"level_prunings": 0}, "level_prunings is 0"),
        ({"dense_budget": 1.5}, "dense_budget is 1.5"),
        ({"level_growth": 0.5}, "level_growth is 0.5"),
        (
            {"level_growth": 2.0, "level_budget": None},
            "level_growth is 2.0 but level_budget is not set: there is no share that could grow",
        ),
    ],
)
def test_settings_in_vain_are_refused(settings, message):
    with pytest.raises(prac.PracError, match=re.escape(message)):
        carried(**settings)
