"""Every method that has a name: what it trains on, what it prunes by, what it costs; resumed."""

from __future__ import annotations

import itertools
from dataclasses import replace
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

import prac
from prac.algorithms import Plan, kept, kept_per_level, ones, prune, top_k_by_score
from prac.config import METHODS, SampleConfig, SearchConfig, SubsetConfig, flat, from_flat
from prac.io import read_tensors
from prac.models import snapshot
from prac.runs import RunState, read_metrics
from prac.search.gradients import snip_scores
from prac.search.plan import SearchPlan
from prac.search.prune import pruned_by_gradients, rounds_of
from prac.search.rules import rules_of
from prac.search.sampling import first_members, presented_an_epoch, random_set, set_size
from prac.training import Interrupted, Problem, RunControl, Runtime
from prac.training.evaluate import el2n_scores
from prac.training.loop import fit
from prac.training.optimizer import make_optimizer
from prac.training.step import Step
from prac.utils import derive_seed

WEIGHTS = 6 * 9 + 96 * 10
IMP_COUNTS = [1014, 811, 649, 519]
FULL = 18  # Iterations of three epochs over 300 examples in batches of 50.


def named(method: str, **changes: object) -> SearchConfig:
    """Return a small search by a method's name: three levels of three epochs."""
    quick = {
        "levels": 3,
        "epochs": 3,
        "batch_size": 50,
        "lr": 0.1,
        "milestones": (2,),
        "layers": "conv+linear",
    }
    el2n = {"el2n_epoch": 2} if method.startswith("el2n") else {}
    return from_flat(SearchConfig, {**quick, **METHODS[method], **el2n, **changes})


def planned(settings: SearchConfig, members: int) -> SearchPlan:
    """Return the plan of a search in 1,000 weights, all its examples in level 0's set."""
    return SearchPlan.of(settings, [1000], members=members, total=members)


ITERATIONS = {
    "prac": None,
    "imp": [18, 18, 18],
    "cet": None,
    "cep": None,
    "random-subset": [6, 6, 6],
    "rs2": [6, 6, 6],
    "el2n": [18, 6, 6],
    "el2n-ccs": [18, 6, 6],
    "carried": [5, 1, 1],
    "prac-carried": [5, 1, 1],
    "prac-light": [1, 1, 1],
    "frugal": [1, 1, 1],
    "infobatch": None,
    "lr-rewinding": [18, 18, 18],
    "one-shot": [18, 0, 0],
    "early-bird": [18, 0, 0],
    "cts": [2, 1, 1],
    "cts-loss": [2, 1, 1],
    "gem-miner": [1, 1, 1],
    "random-pruning": [0, 0, 0],
    "snip": [0, 0, 0],
    "grasp": [0, 0, 0],
    "synflow": [0, 0, 0],
}
# What is spent on pruning itself: SNIP one pass over two batches a level, GraSP two, SynFlow its
# rounds of one example.
PASSES = {"snip": 2, "grasp": 4, "synflow": 34}


@pytest.mark.parametrize("method", METHODS)
def test_a_method_s_tickets_are_nested_exact_and_cost_what_it_says(
    method, small_net, train, val, tmp_path
):
    net = small_net()
    initial = snapshot(net)
    search = prac.find(net, train, named(method), val=val, out=tmp_path / "run")
    assert [level.kept for level in search.levels] == IMP_COUNTS
    masks = [ticket.masks for ticket in map(search.tickets.__getitem__, range(4))]
    for denser, sparser in itertools.pairwise(masks):
        assert all(not (sparser[name] & ~denser[name]).any() for name in sparser)
    if method != "lr-rewinding":
        last = search.tickets[3].weights
        assert all(torch.equal(last[name], initial[name]) for name in initial)
    levels = search.levels[:3]
    iterations = [level.iterations for level in levels]
    if ITERATIONS[method] is not None:
        assert iterations == ITERATIONS[method]
    assert max(iterations) <= FULL
    passes = PASSES.get(method, 0)
    assert [level.cost.iterations for level in levels] == [i + passes for i in iterations]
    trained = [level.index for level in levels if level.iterations]
    assert {line["level"] for line in read_metrics(tmp_path / "run")} == set(trained)
    for level in levels:
        planned = FULL if level.index in trained else 0
        assert level.planned_iterations <= planned
        assert level.imp.iterations == FULL
        assert level.stopped_early == (0 < level.iterations < level.planned_iterations) or (
            method == "infobatch" and not level.stopped_early
        )
    assert search.cost(3).cost.iterations == sum(iterations) + 3 * passes


def test_what_gradient_passes_look_at_is_in_the_ledger(small_net, train, tmp_path):
    for method, examples in {"snip": 100, "grasp": 200, "synflow": 34}.items():
        search = prac.find(small_net(), train, named(method), out=tmp_path / method)
        for level in search.levels[:3]:
            assert level.cost.examples_trained == examples
            assert level.cost.examples_scored == 0
            assert level.seconds > 0
    random = prac.find(small_net(), train, named("random-pruning"), out=tmp_path / "random")
    assert random.cost(3).cost.iterations == 0
    assert random.cost(3).iterations_saved == 1


# Resuming.

RESULTS = ("levels/*/*.safetensors", "metrics.jsonl")
RESUMED: dict[str, Any] = {
    "rs2": {"levels": 1},
    "infobatch": {"levels": 1, "epochs": 5, "rewind": "iteration:8"},
    "el2n": {"levels": 1, "stop_rule": "stable", "epsilon": 1.0, "window": 1, "arm": "at-once"},
    "el2n-ccs": {"levels": 2, "epochs": 2, "milestones": (), "dense_fraction": 0.5},
    "one-shot": {"rewind": "epoch:1", "epochs": 2, "milestones": ()},
    "snip": {},
    "synflow": {"levels": 2},
    "random-pruning": {},
}


@pytest.mark.parametrize("method", RESUMED)
def test_a_search_stopped_after_every_step_is_the_same_search(
    method, small_net, train, val, tmp_path, run_files
):
    settings = named(method, **RESUMED[method])
    prac.find(small_net(), train, settings, val=val, out=tmp_path / "whole")
    stops = 0
    while True:
        # A later call goes on from the folder's weights, whatever the model's.
        net, run_control = small_net(), RunControl(max_seconds=1e-9)
        try:
            prac.find(net, train, settings, val=val, out=tmp_path / "cut", run_control=run_control)
            break
        except Interrupted:
            stops += 1
            assert stops < 60
    assert stops >= {"at-init": settings.levels - 1}.get(settings.prune.when, 5)
    assert run_files(tmp_path / "cut", *RESULTS) == run_files(tmp_path / "whole", *RESULTS)


# Sampling within epochs.


def members_by_epoch(find, monkeypatch):
    """Return, of each epoch that a search trains, its level's members and what it presented."""
    seen = []
    from prac.training import level as training

    kept_original = training.record_segment

    def noted(state, segment, model, mark):
        seen.append((state.level, state.members, segment))
        return kept_original(state, segment, model, mark)

    monkeypatch.setattr(training, "record_segment", noted)
    find()
    return seen


def test_rs2_presents_other_examples_each_epoch_at_its_share_of_imp_s_cost(
    small_net, train, tmp_path, monkeypatch
):
    settings = named("rs2", levels=1, epochs=6, sample_fraction=1 / 3)
    out = tmp_path / "run"
    seen = members_by_epoch(lambda: prac.find(small_net(), train, settings, out=out), monkeypatch)
    presented = [set(segment.ids.tolist()) for _, _, segment in seen]
    assert [len(ids) for ids in presented] == [100] * 6
    # Two walks through all 300 examples, in other orders.
    assert set().union(*presented[:3]) == set().union(*presented[3:]) == set(range(300))
    assert presented[0] != presented[3]
    cost = prac.Search.load(out).cost(1)
    assert cost.cost.iterations * 3 == cost.imp.iterations
    assert cost.cost.examples_trained * 3 == cost.imp.examples_trained
    lines = read_metrics(out)
    assert [line["presented"] for line in lines] == [100] * 6
    assert [line["lr"] for line in lines] == pytest.approx([0.1, 0.1, 0.01, 0.01, 0.01, 0.01])


@given(
    fraction=st.floats(0, 1, exclude_min=True),
    members=st.integers(1, 5000),
    batch=st.integers(1, 200),
    epochs=st.integers(1, 30),
)
def test_rs2_is_planned_at_its_share_of_the_full_length(fraction, members, batch, epochs):
    sample = SampleConfig(rule="fresh", fraction=fraction)
    count = presented_an_epoch(sample, members, least=batch)
    assert min(batch, members) <= count <= members
    assert count in (round(fraction * members), min(batch, members))
    settings = SearchConfig.imp(
        sample=sample, train=prac.TrainConfig(epochs=epochs, batch_size=batch)
    )
    plan = planned(settings, members).level(0, members)
    assert plan.epochs == epochs
    batches = len(range(0, count, batch))
    assert plan.iterations in (epochs * batches, epochs * (batches - 1))  # One left over is none.


def test_forgetting_is_noted_from_one_presentation_to_the_next_one(
    small_net, train, tmp_path, monkeypatch
):
    # However many epochs lie between them.
    subset = {"subset_rule": "cet", "stop_rule": "never"}
    settings = named("rs2", levels=1, epochs=7, sample_fraction=0.4, **subset)
    out = tmp_path / "run"
    seen = members_by_epoch(lambda: prac.find(small_net(), train, settings, out=out), monkeypatch)
    events, last = torch.zeros(300, dtype=torch.int32), {}
    for _, _, segment in seen:
        for i, correct in zip(segment.ids.tolist(), segment.correct.tolist(), strict=True):
            events[i] += last.get(i, False) and not correct
            last[i] = correct
    tensors, _ = read_tensors(out / "levels" / "00" / "examples.safetensors", "examples")
    assert events.sum() > 0
    assert torch.equal(tensors["events"], events)
    # What a pass has left out and was never presented counts as never learned, so as critical.
    never = set(range(300)) - last.keys()
    assert never <= set(tensors["cet"].tolist())


def test_infobatch_leaves_easy_examples_out_and_its_last_epochs_present_all(
    small_net, train, tmp_path, monkeypatch
):
    settings = named("infobatch", levels=2, epochs=8, drop_probability=0.9)
    out = tmp_path / "run"
    seen = members_by_epoch(lambda: prac.find(small_net(), train, settings, out=out), monkeypatch)
    for level in (0, 1):
        segments = [segment for at, _, segment in seen if at == level]
        sizes = [len(segment.ids) for segment in segments]
        # At first nothing is known of any; the last eighth is annealing.
        assert (sizes[0], sizes[-1]) == (300, 300)
        assert max(sizes[1:-1]) < 240
        assert [segment.step for segment in segments] == [6 * k for k in range(1, 9)]
        assert sum(len(segment.losses) for segment in segments) < 40
    lines = [line for line in read_metrics(out) if line["level"] == 0]
    # A place in the plan, so that rates are those of a training on all.
    assert [line["iteration"] for line in lines] == [6 * k for k in range(1, 9)]
    assert [line["lr"] for line in lines] == pytest.approx([0.1] * 2 + [0.01] * 6)
    dense = prac.Search.load(out).levels[0]
    assert dense.iterations == dense.cost.iterations < dense.planned_iterations == 48
    assert sum(line["presented"] for line in lines) == dense.cost.examples_trained
    assert not dense.stopped_early
    # Those left out are easy: of less than the mean loss when last presented.
    losses = torch.full((300,), torch.inf)
    for at, _, segment in seen[:8]:
        assert at == 0
        if 0 < len(segment.ids) < 300:
            out_of_it = torch.ones(300, dtype=torch.bool)
            out_of_it[segment.ids] = False
            assert bool((losses[out_of_it] < losses.mean()).all())
        losses[segment.ids] = segment.example_losses


def test_infobatch_rewinds_to_a_point_that_its_epoch_leaves_out(small_net, train, tmp_path):
    # The second epoch has few batches: iteration 12 is its end, 11 may not be among them.
    weights = {}
    for point in ("iteration:11", "iteration:12"):
        settings = named(
            "infobatch", levels=1, epochs=5, drop_probability=0.99, rewind=point, lr=0.02
        )
        search = prac.find(small_net(), train, settings, out=tmp_path / point)
        weights[point] = search.tickets[1].weights
    assert int(weights["iteration:12"]["1.num_batches_tracked"]) < 11
    first, second = weights.values()
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_a_weight_counts_an_example_s_loss_as_often():
    data = torch.randn(6, 4, generator=torch.Generator().manual_seed(0)), torch.arange(6) % 3
    weights = torch.tensor([1.0, 2.0, 2.0, 1.0, 0.5, 2.0])
    runtime = Runtime.choose("cpu", "fp32")
    models = [nn.Linear(4, 3), nn.Linear(4, 3)]
    models[1].load_state_dict(models[0].state_dict())
    config = prac.TrainConfig(lr=0.1, weight_decay=0.0)
    optimizer = make_optimizer(models[0], config, runtime)
    step = Step(models[0], optimizer, {}, task=prac.Task(), runtime=runtime, batch_size=6)
    loss, _ = step(*data, 0.1, weights)
    wanted = (F.cross_entropy(models[1](data[0]), data[1], reduction="none") * weights).mean()
    assert loss == pytest.approx(wanted.item())
    wanted.backward()
    moved = models[1].weight - 0.1 * models[1].weight.grad
    torch.testing.assert_close(models[0].weight, moved)


@pytest.mark.parametrize(
    ("task", "message"),
    [
        (prac.Task(loss=lambda o, y: F.cross_entropy(o, y)), "pass Task.losses=.... too"),
        (prac.Task(losses=lambda o, y: F.cross_entropy(o, y)), "of shape .. for 4 examples"),
        (prac.Task(losses=lambda o, y: y), "torch.int64 of shape .4,. for 4 examples"),
        (prac.Task(losses=lambda o, y: None), "gave NoneType for 4 examples"),
        (prac.Task(losses=lambda o, y: o @ o), "the task's `losses` does not take the model's"),
    ],
)
def test_infobatch_asks_for_each_example_s_loss_before_anything_is_written(
    task, message, small_net, train, tmp_path
):
    with pytest.raises(prac.PracError, match=message) as error:
        prac.find(small_net(), train, named("infobatch"), task=task, out=tmp_path / "run")
    assert "\n" not in str(error.value)
    assert not (tmp_path / "run").exists()


def test_infobatch_takes_anyone_s_own_losses(small_net, train, tmp_path):
    def smooth(outputs, targets, reduction="mean"):
        return F.cross_entropy(outputs, targets, label_smoothing=0.1, reduction=reduction)

    task = prac.Task(loss=smooth, losses=lambda o, y: smooth(o, y, "none"))
    search = prac.find(small_net(), train, named("infobatch", levels=1), task=task, out="run")
    assert search.finished
    broken = replace(task, losses=lambda o, y: smooth(o, y, "none").where(y > 0, torch.inf))
    with pytest.raises(prac.PracError, match="loss is not finite at level 0, epoch 1"):
        prac.find(small_net(), train, named("infobatch"), task=broken, out="broken")


def test_positions_of_one_example_are_one_loss():
    outputs, targets = torch.randn(3, 4, 2, 2), torch.randint(4, (3, 2, 2))
    losses = prac.Task().losses(outputs, targets)
    assert losses.shape == (3,)
    torch.testing.assert_close(losses.mean(), F.cross_entropy(outputs, targets))


# Levels cut short.


@pytest.mark.parametrize("method", ["imp", "infobatch", "rs2"])
def test_a_level_cut_short_does_as_the_whole_one_up_to_there(method, small_net, train, tmp_path):
    cosine = {"schedule": "cosine", "milestones": (), "epochs": 8, "levels": 1}
    prac.find(small_net(), train, named(method, **cosine), out=tmp_path / "whole")
    per_epoch = {"imp": 6, "infobatch": 6, "rs2": 2}[method]
    cut = named(method, **cosine, stop_after=[3 * per_epoch])
    prac.find(small_net(), train, cut, out=tmp_path / "cut")
    whole, short = (read_metrics(tmp_path / name) for name in ("whole", "cut"))
    assert len(short) == 3
    drop = ("epochs", "iterations")
    for one, other in zip(whole, short, strict=False):
        assert {k: v for k, v in one.items() if k not in drop} == {
            k: v for k, v in other.items() if k not in drop
        }


def test_a_budget_is_a_share_of_the_full_schedule_on_all_data(small_net, train, tmp_path):
    # 300 examples in batches of 50: 6 iterations an epoch.
    def iterations(name, method, **changes):
        settings = named(method, epochs=8, levels=2, **changes)
        search = prac.find(small_net(), train, settings, out=tmp_path / name)
        return [level.iterations for level in search.levels]

    assert iterations("all", "imp", level_budget=0.25) == [12, 12, 0]
    # Below the budget a set's own length holds: 2 iterations an epoch.
    assert iterations("small", "random-subset", level_budget=0.25) == [12, 12, 0]
    assert iterations("smaller", "random-subset", level_budget=0.9) == [16, 16, 0]
    assert iterations("both", "imp", level_budget=0.25, stop_after=[20, 4]) == [12, 4, 0]
    assert iterations("least", "imp", level_budget=1e-6) == [1, 1, 0]
    # The dense network trains on to the rewind point.
    assert iterations("rewound", "imp", level_budget=0.25, rewind="epoch:3") == [18, 12, 0]
    assert iterations("sooner", "imp", level_budget=0.25, rewind="iteration:5") == [12, 12, 0]


def test_levels_between_trainings_are_pruned_by_the_last_ones_weights(small_net, train, tmp_path):
    settings = named("imp", train_every=2, levels=5)
    search = prac.find(small_net(), train, settings, out=tmp_path / "run")
    assert [level.iterations for level in search.levels] == [18, 0, 18, 0, 18, 0]
    plain = prac.find(small_net(), train, named("imp", levels=5), out=tmp_path / "plain")
    assert [level.kept for level in search.levels] == [level.kept for level in plain.levels]
    assert search.tickets[1].digest == plain.tickets[1].digest
    shot = prac.find(small_net(), train, named("one-shot", levels=5), out=tmp_path / "shot")
    # Until the second training it is one-shot pruning; from there on no longer.
    same = [
        all(
            torch.equal(mask, shot.tickets[k].masks[name])
            for name, mask in search.tickets[k].masks.items()
        )
        for k in range(6)
    ]
    assert same == [True, True, True, False, False, False]
    # All trainings but the first are of what they are in the schedule, from the same weights.
    assert all(
        torch.equal(weights, search.tickets[0].weights[name])
        for name, weights in search.tickets[5].weights.items()
    )


def test_a_search_that_trains_some_levels_resumes_to_the_same_bytes(
    small_net, train, tmp_path, run_files
):
    settings = named("prac", train_every=2, levels=4)
    whole = prac.find(small_net(), train, settings, out=tmp_path / "whole")

    def cut(event):
        if (event.kind, event.level) == ("level", 3):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        prac.find(small_net(), train, settings, out=tmp_path / "cut", callback=cut)
    prac.find(small_net(), train, settings, out=tmp_path / "cut")
    assert run_files(tmp_path / "cut") == run_files(whole.path)
    sizes = [level.set_size for level in whole.levels]
    assert sizes[1] == sizes[2] < sizes[0], "a level that is not trained chooses nothing"


def test_levels_are_cut_short_and_sets_sized_exactly_as_asked(small_net, train, tmp_path):
    settings = named(
        "random-subset", kept_fraction=None, set_sizes=[260, 90, 51], stop_after=[11, 4]
    )
    search = prac.find(small_net(), train, settings, out=tmp_path / "run")
    assert [level.set_size for level in search.levels] == [260, 90, 51, 51]
    assert [level.iterations for level in search.levels] == [11, 4, 3, 0]
    assert [level.cost.examples_trained for level in search.levels] == [510, 180, 153, 0]
    sets = [set(search.subset(k).indices.tolist()) for k in range(4)]
    assert sets[0] > sets[1] > sets[2] == sets[3]
    assert not any(level.stopped_early for level in search.levels)


# Sets.


@given(
    seed=st.integers(0, 2**63 - 1),
    total=st.integers(1, 500),
    sizes=st.tuples(*[st.integers(1, 500)] * 2),
)
def test_random_sets_of_one_seed_are_nested(seed, total, sizes):
    small, large = (random_set(total, min(size, total), seed=seed) for size in sorted(sizes))
    assert set(small.tolist()) <= set(large.tolist()) <= set(range(total))
    assert len(small) == min(min(sizes), total)
    assert small.tolist() == sorted(small.tolist())


@given(
    fraction=st.floats(0, 1, exclude_min=True), total=st.integers(1, 3000), least=st.integers(1, 99)
)
def test_a_share_of_next_to_nothing_is_a_batch(fraction, total, least):
    subset = SubsetConfig(rule="random", kept_fraction=fraction)
    size = set_size(subset, 1, total, least)
    assert size == max(round(fraction * total), min(least, total))
    assert len(first_members(subset, total, least=least, seed=0)) == size


@pytest.mark.parametrize(
    ("method", "settings", "message"),
    [
        ("random-subset", {"kept_fraction": None, "set_sizes": [300, 49]}, r"has 49: .* 50 \(a ba"),
        ("random-subset", {"kept_fraction": None, "set_sizes": [301]}, r"has 301: .* to 300 \(al"),
        ("el2n-ccs", {"kept_fraction": 0.95}, "keep 285 of 300 .* cutoff of 0.1 leaves 270"),
        ("el2n", {"el2n_epoch": 4}, "el2n_epoch is 4, but the dense training has only 3 epochs"),
        ("el2n", {"stop_after": [6]}, "el2n_epoch is 2, but .* only 1 epochs: take the scores ea"),
        ("imp", {"rewind": "iteration:8", "stop_after": [7]}, "has only 7 iterations"),
    ],
)
def test_what_cannot_be_is_refused_at_the_start(
    method, settings, message, small_net, train, tmp_path
):
    with pytest.raises(prac.PracError, match=message):
        prac.find(small_net(), train, named(method, **settings), out=tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_el2n_scores_of_an_epoch_choose_the_hardest(small_net, train, tmp_path):
    settings = named("el2n", levels=2)
    search = prac.find(small_net(), train, settings, out=tmp_path / "run")
    # The same, in one's own loop.
    net = small_net()
    problem = Problem.of(net, train, runtime=Runtime.choose("cpu", "fp32"), batch_size=50)
    plan = planned(settings, 300).level(0, 300)
    optimizer = make_optimizer(net, settings.train, problem.runtime)
    segments = fit(
        net, optimizer, problem.train, torch.arange(300), plan, masks={}, task=problem.task,
        runtime=problem.runtime, batch_size=50, seed=derive_seed(0, "level", 0),
    )  # fmt: skip
    next(segments), next(segments)
    scores = el2n_scores(problem, problem.train)
    tensors, _ = read_tensors(tmp_path / "run/levels/00/examples.safetensors", "examples")
    assert torch.equal(tensors["difficulty"], scores)
    members = search.subset(1).indices
    assert len(members) == 90
    assert scores[members].min() >= scores.sort(descending=True).values[89]
    assert torch.equal(members, top_k_by_score(scores, 90, seed=derive_seed(0, "el2n")))
    assert [level.cost.examples_scored for level in search.levels] == [300, 0, 0]


def test_el2n_scores_come_before_an_early_stop(small_net, train, tmp_path):
    stop = {"stop_rule": "stable", "epsilon": 1.0, "window": 1, "arm": "at-once"}
    settings = named("el2n", levels=2, el2n_epoch=3, **stop)
    search = prac.find(small_net(), train, settings, out=tmp_path / "run")
    assert [level.epochs for level in search.levels] == [3, 2, 0]


def test_el2n_is_refused_where_no_classes_are_predicted(small_net, train, tmp_path):
    task = prac.Task(prediction=None)
    with pytest.raises(prac.PracError, match="'el2n', which looks at predicted classes"):
        prac.find(small_net(), train, named("el2n"), task=task, out=tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_dense_network_of_a_share_of_the_data(small_net, train, val, tmp_path):
    share = {"levels": 2, "dense_fraction": 0.5}
    search = prac.find(small_net(), train, named("prac", **share), val=val, out=tmp_path / "prac")
    first = set(search.subset(0).indices.tolist())
    assert len(first) == 150
    tensors, _ = read_tensors(tmp_path / "prac/levels/01/examples.safetensors", "examples")
    # CET are of what was trained on, CEP of all data.
    assert set(tensors["cet"].tolist()) <= set(tensors["members"].tolist()) <= first
    assert len(tensors["predictions"]) == 300
    assert set(tensors["cep"].tolist()) - first
    # The rule "all" is all data, also after such a level.
    search = prac.find(small_net(), train, named("imp", **share), out=tmp_path / "imp")
    assert [level.set_size for level in search.levels] == [150, 300, 300]
    assert [level.iterations for level in search.levels] == [9, 18, 0]


# Pruning without training.


def test_one_shot_prunes_the_one_trained_network_to_each_density(small_net, train, tmp_path):
    search = prac.find(small_net(), train, named("one-shot"), out=tmp_path / "run")
    imp = prac.find(small_net(), train, named("imp"), out=tmp_path / "imp")
    assert masks_of(search, 1) == masks_of(imp, 1)
    trained, _ = read_tensors(tmp_path / "run/levels/00/trained.safetensors", "trained")
    masks = search.tickets[3].masks
    # Without validation data the best epoch is the last: what was pruned by.
    magnitudes = {name: trained[name].abs() for name in masks}
    largest = torch.cat([m.flatten() for m in magnitudes.values()]).sort(descending=True).values
    for name, mask in masks.items():
        assert torch.equal(mask, magnitudes[name] >= largest[518])
    assert not list((tmp_path / "run").glob("levels/0[123]/trained.safetensors"))


def masks_of(search, level):
    return {name: mask.tolist() for name, mask in search.tickets[level].masks.items()}


def test_snip_is_one_ranking_of_the_dense_network(small_net, train, tmp_path):
    search = prac.find(small_net(), train, named("snip"), out=tmp_path / "run")
    net = small_net()
    problem = Problem.of(net, train, runtime=Runtime.choose("cpu", "fp32"), batch_size=50)
    dense = ones({name: net.state_dict()[name] for name in search.tickets[0].masks})
    scores, _ = snip_scores(problem, snapshot(net), dense, derive_seed(0, "snip"))
    at_once = prune(scores, dense, 1 - IMP_COUNTS[3] / IMP_COUNTS[0])
    assert all(torch.equal(search.tickets[3].masks[n], at_once[n]) for n in dense)


@given(
    before=st.integers(1, 10**8), fraction=st.floats(0, 1, exclude_min=True, exclude_max=True),
    rounds=st.integers(1, 120),
)  # fmt: skip
def test_rounds_fall_to_exactly_what_one_pruning_leaves(before, fraction, rounds):
    counts = [before, *rounds_of(before, fraction, rounds)]
    assert counts[-1] == before - round(fraction * before)
    assert counts == sorted(counts, reverse=True)
    # As they are asked for: a share of what is kept, which must come out at the same number.
    for kept_before, kept_after in itertools.pairwise(counts):
        share = 1 - kept_after / max(kept_before, 1)
        assert kept_before - round(share * kept_before) == kept_after


@pytest.mark.parametrize("scope", ["global", "layer"])
@pytest.mark.parametrize("drop_fraction", [0.2, 0.37, 0.9])
def test_synflow_s_rounds_keep_as_many_as_one_pruning_would(scope, drop_fraction, small_net, train):
    settings = named("synflow", levels=3, scope=scope, drop_fraction=drop_fraction)
    net = small_net()
    problem = Problem.of(net, train, runtime=Runtime.choose("cpu", "fp32"), batch_size=50)
    weights = snapshot(net)
    masks = ones({name: weights[name] for name in ("0.weight", "5.weight")})
    members = torch.arange(300)
    state = RunState(0, 0, weights, masks, members, prac.algorithms.ForgettingTable.empty(300))
    wanted = kept_per_level([54, 960], drop_fraction, 3, scope=scope, allow_empty=False)
    for count in wanted[1:]:
        found, cost = pruned_by_gradients(
            problem, rules_of(settings), settings, state, lambda: None
        )
        assert kept(found) == count
        assert cost.iterations == 34
        state = state.at_next_level(weights, found, members)


def test_an_own_score_stands_in_for_a_gradient_s(small_net, train, tmp_path):
    def first(weights):
        return {name: -torch.arange(float(w.numel())).view_as(w) for name, w in weights.items()}

    search = prac.find(small_net(), train, named("snip"), score=first, out=tmp_path / "run")
    assert search.cost(3).cost.iterations == 0
    assert bool(search.tickets[1].masks["0.weight"].all())


@pytest.mark.parametrize(
    ("method", "own"),
    [
        ("one-shot", {"choose": lambda stats: stats.members}),
        ("snip", {"choose": lambda stats: stats.members}),
        ("snip", {"stop": lambda distances: True}),
    ],
)
def test_an_own_rule_that_no_level_asks_is_refused(method, own, small_net, train, tmp_path):
    with pytest.raises(
        prac.PracError, match=f"a custom `{next(iter(own))}` is given but pruning is"
    ):
        prac.find(small_net(), train, named(method), **own, out=tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_finished_search_that_trained_nothing_is_not_overwritten(
    small_net, train, tmp_path, run_files
):
    search = prac.find(small_net(), train, named("snip"), out=tmp_path / "run")
    before = run_files(tmp_path / "run", "levels/*/*", "*.yaml", "*.json")
    with pytest.raises(prac.PracError, match="was begun with other settings: score"):
        prac.find(small_net(), train, named("grasp"), out=tmp_path / "run")
    events = []
    again = prac.find(small_net(), train, named("snip"), out=search.path, callback=events.append)
    assert [event.kind for event in events] == ["finished"]
    assert again.levels == search.levels
    assert run_files(tmp_path / "run", "levels/*/*", "*.yaml", "*.json") == before


def test_a_level_that_is_not_trained_has_no_iterations_planned():
    settings = named("snip")
    assert planned(settings, 300).level(0, 300) == replace(
        planned(named("imp"), 300).level(0, 300), iterations=0, scheduled=18
    )


def test_a_plan_cut_twice_keeps_its_schedule():
    plan = Plan(20, 5, lr=1.0, schedule="cosine")
    assert plan.cut_short(12).cut_short(7) == plan.cut_short(7)
    assert plan.cut_short(12).scheduled_epochs == 4


def test_every_name_is_a_whole_search_and_its_settings_go_through_a_file():
    for method in METHODS:
        values = flat(named(method))
        assert flat(from_flat(SearchConfig, values)) == values
