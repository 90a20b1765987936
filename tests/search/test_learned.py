"""Masks that are learned over fixed weights: CTS and Gem-Miner; and Early-Bird's stop."""

from __future__ import annotations

import itertools
import json
import math
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.func import functional_call

import prac
from prac.algorithms import ForgettingTable, kept, kept_per_level, mask_distance, ones
from prac.config import METHODS, SearchConfig, from_flat
from prac.io import read_tensors
from prac.models import snapshot
from prac.runs import RunState, read_metrics
from prac.runs.checkpoint import from_tensors, to_tensors
from prac.search.learned import (
    Concrete,
    GemMiner,
    balanced,
    concrete_sample,
    only_normalising,
    only_training,
    reverse_kl,
)
from prac.search.plan import SearchPlan
from prac.search.prune import pruned
from prac.search.rules import rules_of
from prac.training import Interrupted, RunControl
from tests.search.test_resume import EVERYTHING, Cut, CutError, EpochCut

LEARNED = ("cts", "cts-loss", "gem-miner")
FULL = 18  # Iterations of three epochs over 300 examples in batches of 50.


def learned(method: str, **changes: object) -> SearchConfig:
    """Return a small search: two levels, of which each learns for an epoch and a half."""
    quick = {
        "levels": 2,
        "epochs": 3,
        "batch_size": 50,
        "lr": 0.1,
        "layers": "conv+linear",
        "rewind": "iteration:8",
    }
    lengths = {"level_budget": 0.5, "dense_budget": None} if method in LEARNED else {}
    return from_flat(SearchConfig, {**quick, **METHODS[method], **lengths, **changes})


# Their parts, by hand.


def test_a_concrete_sample_is_above_a_half_as_often_as_its_logit_says():
    torch.manual_seed(0)
    for chance in (0.1, 0.5, 0.9):
        logits = torch.full((40_000,), math.log(chance / (1 - chance)))
        sample = concrete_sample(logits)
        assert sample.min() >= 0
        assert sample.max() <= 1
        assert float((sample > 0.5).float().mean()) == pytest.approx(chance, abs=0.01)
        if chance == 0.5:
            assert float(sample.mean()) == pytest.approx(0.5, abs=0.01)


def test_a_balanced_gradient_has_two_parts_of_one_length_towards_the_count():
    of_loss, logits = [torch.tensor([3.0, 4.0])], [torch.tensor([0.0, 0.0])]
    for keeps, sign in ((0, 1), (2, -1)):
        (towards,) = balanced(of_loss, logits, keeps)
        density_part = towards - of_loss[0]
        assert float(density_part.norm()) == pytest.approx(5.0)
        assert density_part.sign().tolist() == [sign, sign]
    (towards,) = balanced(of_loss, logits, 1)  # Where as many are expected as are to be kept.
    assert torch.equal(towards, of_loss[0])
    # Over layers that are ranked together the norms are of all of them; what is pruned has no part.
    parts = balanced(
        [torch.tensor([3.0]), torch.tensor([4.0, 0.0])],
        [torch.tensor([0.0]), torch.tensor([0.0, -math.inf])],
        0,
    )
    assert [part.tolist() for part in parts] == [
        pytest.approx([3 + 5 / math.sqrt(2)]),
        pytest.approx([4 + 5 / math.sqrt(2), 0.0]),
    ]
    assert all(bool(part.isfinite().all()) for part in balanced([torch.zeros(2)], logits, 0))


def test_the_divergence_is_of_the_sparse_outputs_from_the_dense():
    sparse, dense = torch.tensor([[0.0, 1.0]]), torch.tensor([[2.0, 0.0]])
    of_sparse, of_dense = sparse.softmax(1), dense.softmax(1)
    wanted = (of_sparse * (of_sparse / of_dense).log()).sum()
    assert torch.isclose(reverse_kl(sparse, dense), wanted)
    maps = torch.randn(2, 3, 4, 4), torch.randn(2, 3, 4, 4)
    wanted = F.kl_div(maps[1].log_softmax(1), maps[0].log_softmax(1), log_target=True,
                      reduction="none").sum(1).mean()  # fmt: skip
    assert torch.isclose(reverse_kl(*maps), wanted)


def test_gem_miner_rounds_its_scores_and_descends_them_straight_through():
    model = nn.Linear(3, 1, bias=False)
    with torch.no_grad():
        model.weight.copy_(torch.tensor([[0.4, 0.6, 7.0]]))  # Scores.
    left = {"weight": torch.tensor([[2.0, 3.0, 0.0]])}  # The last one is pruned.
    objective = GemMiner(left, prac.Task(loss=lambda outputs, targets: (outputs * targets).sum()))
    loss, outputs = objective(model, torch.tensor([[1.0, 10.0, 100.0]]), torch.ones(1, 1))
    loss.backward()
    assert outputs.tolist() == [[30.0]]
    assert model.weight.grad is not None
    assert model.weight.grad.tolist() == [[2.0, 30.0, 0.0]]
    assert model.weight.tolist() == [[pytest.approx(0.4), pytest.approx(0.6), 1.0]]


def test_the_concrete_objective_hands_on_the_loss_s_value_and_the_balanced_gradient():
    model = nn.Linear(2, 1, bias=False)
    nn.init.zeros_(model.weight)  # Logits.
    weights, mask = torch.tensor([[2.0, 3.0]]), torch.tensor([[True, False]])
    objective = Concrete(
        {"weight": weights * mask},
        {"weight": ~mask},
        {("weight",): 0},
        prac.Task(),
        {"weight": weights},
        lambda outputs, targets: (outputs - targets).abs().sum(),
    )
    x = torch.tensor([[1.0, 1.0]])
    torch.manual_seed(0)
    loss, outputs = objective(model, x, torch.zeros(1, dtype=torch.int64))
    output = float(outputs.detach())
    torch.manual_seed(0)
    sample = concrete_sample(torch.zeros(1, 2))
    assert output == pytest.approx(2 * float(sample[0, 0]))
    assert float(loss.detach()) == pytest.approx(5 - output)
    loss.backward()
    assert model.weight.grad is not None
    sample = sample[0, 0]
    slope = 2 * float(sample * (1 - sample)) * 1.5  # Of the sample, by 1 / (2 / 3).
    # Descent alone would raise the kept logit; as far down goes what is to lower the density.
    assert model.weight.grad.tolist() == [[pytest.approx(-slope + slope, abs=1e-6), 0.0]]


def test_only_the_named_weights_train_and_all_do_again():
    model = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))
    model[0].bias.requires_grad_(False)
    before = [parameter.requires_grad for parameter in model.parameters()]

    def interrupted() -> None:
        with only_training(model, {"1.weight": None, "0.bias": None}):
            reached = {name for name, of in model.named_parameters() if of.requires_grad}
            assert reached == {"1.weight", "0.bias"}
            raise KeyError

    with pytest.raises(KeyError):
        interrupted()
    assert [parameter.requires_grad for parameter in model.parameters()] == before


def test_normalising_alone_draws_nothing_and_leaves_the_buffers():
    model = nn.Sequential(nn.BatchNorm1d(2), nn.Dropout(), nn.BatchNorm1d(2))
    model[2].eval()  # Frozen, by choice.
    with only_normalising(model) as buffers:
        assert [module.training for module in model] == [True, False, False]
        x = torch.tensor([[1.0, 2.0], [3.0, 6.0]])
        outputs = functional_call(model, buffers, (x,))
        assert outputs.sign().tolist() == [[-1, -1], [1, 1]]
    assert [module.training for module in model] == [True, True, False]
    assert model.state_dict()["0.running_mean"].tolist() == [0.0, 0.0]
    assert buffers["0.running_mean"].tolist() == [pytest.approx(0.2), pytest.approx(0.4)]


# Searches.


@pytest.mark.parametrize("method", LEARNED)
@pytest.mark.parametrize("scope", ["global", "layer"])
def test_levels_are_nested_and_exact_over_the_weights_of_the_rewind_point(
    method, scope, small_net, train, val, tmp_path
):
    net = small_net()
    net[5].bias.requires_grad_(False)
    settings = learned(method, scope=scope)
    search = prac.find(net, train, settings, val=val, out=tmp_path / "run")
    wanted = kept_per_level([54, 960], 0.2, 2, scope=scope, allow_empty=False)
    assert [level.kept for level in search.levels] == wanted
    masks = [search.tickets[k].masks for k in range(3)]
    assert [kept(mask) for mask in masks] == wanted
    for denser, sparser in itertools.pairwise(masks):
        assert all(not (sparser[name] & ~denser[name]).any() for name in sparser)
    # The rewind point is that of any search of the seed.
    imp = prac.find(small_net(), train, learned("imp", levels=1), out=tmp_path / "imp")
    frozen = small_net()
    frozen[5].bias.requires_grad_(False)
    if method == "cts":
        imp = prac.find(frozen, train, learned("imp", levels=1), out=tmp_path / "frozen")
        for name, weight in imp.tickets[1].weights.items():
            assert torch.equal(search.tickets[1].weights[name], weight), name
    for name, weight in search.tickets[1].weights.items():
        assert torch.equal(search.tickets[2].weights[name], weight), name
    # The model is as it came.
    assert all(torch.equal(a, b) for a, b in zip(
        net.state_dict().values(), small_net().state_dict().values(), strict=True
    ))  # fmt: skip
    assert [p.requires_grad for p in net.parameters()] == [True] * 5 + [False]


@pytest.mark.parametrize("method", LEARNED)
def test_both_stages_are_in_the_ledger_and_what_only_scores_is(
    method, small_net, train, val, tmp_path
):
    search = prac.find(small_net(), train, learned(method), val=val, out=tmp_path / "run")
    first, second, _ = search.levels
    # To the rewind point, then half of a full training: 9 iterations, of 6 an epoch.
    assert (first.iterations, first.planned_iterations) == (8 + 9, 8 + 9)
    assert (second.iterations, second.planned_iterations) == (9, 9)
    assert (first.epochs, first.planned_epochs) == (2, 2)
    assert not first.stopped_early
    teacher = 450 if method == "cts" else 0
    assert second.cost.examples_trained == 450
    assert first.cost.examples_trained == 850
    # Two epochs are validated on 100 examples each.
    assert first.cost.examples_scored == second.cost.examples_scored == teacher + 200
    assert first.imp.iterations == FULL
    lines = read_metrics(tmp_path / "run")
    assert [(line["level"], line["epoch"]) for line in lines] == [(0, 1), (0, 2), (1, 1), (1, 2)]
    assert [line["lr"] < METHODS[method]["mask_lr"] for line in lines] == [True] * 4


def test_what_is_validated_is_the_hard_mask_over_the_fixed_weights(small_net, train, tmp_path):
    for method in ("cts", "gem-miner"):
        out = tmp_path / method
        search = prac.find(small_net(), train, learned(method, rewind="epoch:1"), out=out)
        rewound = search.tickets[1].weights
        best, _ = read_tensors(out / "levels/00/trained.safetensors", "trained")
        for name, mask in search.tickets[1].masks.items():
            assert torch.equal(best[name], rewound[name] * mask)
        # CTS leaves BatchNorm as it is; Gem-Miner's goes on counting.
        batches = int(best["1.num_batches_tracked"] - rewound["1.num_batches_tracked"])
        assert batches == {"cts": 0, "gem-miner": 9}[method]
        assert torch.equal(best["1.weight"], rewound["1.weight"])
        assert bool(best["1.running_var"].isfinite().all())


def test_the_first_logits_expect_the_next_density(small_net, train, tmp_path):
    states = []
    settings = learned("cts", rewind="init", level_budget=1e-6, mask_lr=1e-9)
    find_states(small_net(), train, settings, tmp_path / "run", states)
    logits = states[0].weights["0.weight"]
    assert torch.allclose(logits.sigmoid(), torch.full_like(logits, 0.8), atol=1e-3)
    assert states[0].stage == 1
    assert states[0].weights["1.weight"].tolist() == [1.0] * 6


def find_states(net, train, settings, out, states):
    """Search, noting the state after each epoch."""
    from prac.runs import RunFolder

    commit = RunFolder.commit

    def noted(self, state, *arguments, **keywords):
        if state.step:
            states.append(state)
        return commit(self, state, *arguments, **keywords)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(RunFolder, "commit", noted)
        return prac.find(net, train, settings, out=out)


@pytest.mark.parametrize("method", ["cts", "gem-miner"])
def test_at_a_given_density_one_learning_ranks_all_levels(method, small_net, train, tmp_path):
    states = []
    settings = learned(method, levels=4, train_every=4)
    search = find_states(small_net(), train, settings, tmp_path / "run", states)
    assert [level.iterations for level in search.levels] == [17, 0, 0, 0, 0]
    wanted = kept_per_level([54, 960], 0.2, 4, scope="global", allow_empty=False)
    assert [level.kept for level in search.levels] == wanted
    scores = states[-1].weights
    values = torch.cat([scores[name].flatten() for name in search.tickets[0].masks])
    for level in range(1, 5):
        lowest = values.sort(descending=True).values[wanted[level] - 1]
        for name, mask in search.tickets[level].masks.items():
            # Equal scores are told apart by their order.
            assert not bool((mask & (scores[name] < lowest)).any())
            assert bool(mask[scores[name] > lowest].all())
    twice = prac.find(
        small_net(), train, learned(method, levels=4, train_every=2), out=tmp_path / "twice"
    )
    assert [level.iterations for level in twice.levels] == [17, 0, 9, 0, 0]
    assert [level.kept for level in twice.levels] == wanted


def test_gem_miner_freezes_within_levels_too(small_net, train, tmp_path):
    states = []
    settings = learned("gem-miner", level_prunings=3)
    search = find_states(small_net(), train, settings, tmp_path / "run", states)
    assert [level.kept for level in search.levels] == [1014, 811, 649]
    counts = [kept(state.masks) for state in states if state.stage]
    # At the ends of two epochs a level, two of three prunings were done.
    assert counts == [874, 874, 699, 699]


def test_a_search_of_masks_with_tied_weights(train, tmp_path):
    class Tied(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.again = nn.Linear(64, 64, bias=False), nn.Linear(64, 64, bias=False)
            self.again.weight = self.first.weight
            self.last = nn.Linear(64, 10)

        def forward(self, x):
            return self.last(self.again(self.first(x.flatten(1)).relu()).relu())

    settings = learned("cts", layers="linear", rewind="init")
    search = prac.find(Tied(), train, settings, out=tmp_path / "run")
    assert [level.kept for level in search.levels] == [4736, 3789, 3031]
    best, _ = read_tensors(tmp_path / "run/levels/01/trained.safetensors", "trained")
    assert torch.equal(best["first.weight"], best["again.weight"])
    assert int(best["first.weight"].count_nonzero()) <= int(
        search.tickets[2].masks["first.weight"].sum()
    )


# Resuming.


@pytest.mark.parametrize("method", ["cts", "gem-miner"])
def test_cut_at_every_event_it_is_the_same_search(
    method, small_net, train, val, tmp_path, run_files
):
    settings = learned(method)
    events = []
    prac.find(small_net(), train, settings, val=val, out=tmp_path / "whole", callback=events.append)
    whole = run_files(tmp_path / "whole", *EVERYTHING)
    assert len(whole) == 3 + 3 + 2 + 2 + 1
    events = [event for event in events if event.kind != "step"]
    for at in range(1, len(events)):
        out = tmp_path / f"cut-{at}"
        with pytest.raises(CutError):
            prac.find(small_net(), train, settings, val=val, out=out, callback=Cut(at))
        prac.find(small_net(), train, settings, val=val, out=out)
        assert run_files(out, *EVERYTHING) == whole, f"cut at event {at}: {events[at - 1]}"


def test_cut_at_every_epoch_in_turn_it_is_the_same_search(
    small_net, train, val, tmp_path, run_files
):
    settings = learned("gem-miner", train_every=2, levels=3, stop_rule="stable")
    prac.find(small_net(), train, settings, val=val, out=tmp_path / "whole")
    cuts = 0
    while True:
        try:
            prac.find(
                small_net(), train, settings, val=val, out=tmp_path / "cut", callback=EpochCut()
            )
            break
        except CutError:
            cuts += 1
    assert cuts == 4
    assert run_files(tmp_path / "cut", *EVERYTHING) == run_files(tmp_path / "whole", *EVERYTHING)


@pytest.mark.parametrize(
    "changes", [{}, {"sampling": "fresh", "level_prunings": 2, "rewind": "iteration:4"}]
)
def test_stopped_after_every_step_it_is_the_same_search(
    changes, small_net, train, val, tmp_path, run_files
):
    settings = learned("cts", **changes)
    prac.find(small_net(), train, settings, val=val, out=tmp_path / "whole")
    stops = 0
    while True:
        net, run_control = small_net(), RunControl(max_seconds=1e-9)
        try:
            prac.find(net, train, settings, val=val, out=tmp_path / "cut", run_control=run_control)
            break
        except Interrupted:
            stops += 1
            assert stops < 60
    assert stops > 10
    assert run_files(tmp_path / "cut", *EVERYTHING) == run_files(tmp_path / "whole", *EVERYTHING)


def test_a_state_keeps_its_stage_and_one_of_an_older_prac_has_none():
    weights = {"w": torch.zeros(2)}
    state = RunState(
        1, 0, weights, ones(weights), torch.arange(2), ForgettingTable.empty(2), stage=1
    )
    tensors, header = to_tensors(state)
    header = json.loads(json.dumps({**header, "metrics_bytes": 0}))
    assert from_tensors(tensors, header).stage == 1
    del header["stage"]
    assert from_tensors(tensors, header).stage == 0


# What is refused.


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"score": "magnitude"}, "pruning is 'learned' but score is 'magnitude': expected what"),
        ({"pruning": "iterative"}, "score is 'cts' but pruning is 'iterative': such scores are"),
        ({"subset_rule": "prac"}, "'learned' but subset_rule is 'prac': no network is trained"),
        ({"sampling": "infobatch"}, "'learned' but sampling is 'infobatch': what is descended is"),
        ({"rewind": "none"}, "'learned' but rewind is 'none': masks are learned over the weights"),
        ({"rewind": "learning-rate"}, "'learned' but rewind is 'learning-rate': masks are"),
        ({"level_start": "carried"}, "level_start is 'carried' but pruning is 'learned': scores"),
        ({"train_every": 2, "level_prunings": 2}, "level_prunings is 2 but train_every is 2"),
    ],
)
def test_settings_that_make_no_sense_are_refused(settings, message):
    with pytest.raises(prac.PracError, match=message):
        learned("cts", **settings)


def test_a_search_that_cannot_learn_is_refused_before_it_begins(small_net, train, tmp_path):
    task = prac.Task(prediction=None)
    with pytest.raises(prac.PracError, match="score is 'cts', which compares predicted classes"):
        prac.find(small_net(), train, learned("cts"), task=task, out=tmp_path / "run")
    with pytest.raises(prac.PracError, match=r"rewind is 'iteration:19', iteration 19, but"):
        prac.find(small_net(), train, learned("cts", rewind="iteration:19"), out=tmp_path / "run")
    named = "is given but pruning is 'learned', which does not ask it"
    with pytest.raises(prac.PracError, match=f"`choose` {named}"):
        rules_of(learned("cts"), choose=lambda stats: stats.members)
    with pytest.raises(prac.PracError, match=f"`score` {named}"):
        rules_of(learned("cts"), score=dict)

    class Recurrent(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.rows, self.last = nn.GRU(8, 4, batch_first=True), nn.Linear(4, 10)

        def forward(self, x):
            return self.last(self.rows(x[:, 0])[0][:, -1])

    settings = learned("cts-loss", layers="recurrent")
    with pytest.raises(prac.PracError, match=r"weight 'rows.weight_ih_l0' is recurrent"):
        prac.find(Recurrent(), train, settings, out=tmp_path / "run")
    assert not (tmp_path / "run").exists()


# Early-Bird, and whoever ranks for several prunings at once.


def test_early_bird_stops_where_the_mask_of_its_last_density_is_stable(small_net, train, tmp_path):
    settings = learned("early-bird", levels=6, epochs=40, rewind="init", window=2, lr=0.05)
    states = []
    search = find_states(small_net(), train, settings, tmp_path / "run", states)
    distances = search.levels[0].mask_distances
    last = settings.stop.epsilon
    assert search.levels[0].stopped_early
    assert all(distance < last for distance in distances[-2:])
    assert distances[-3] >= last
    # Those of the sparsest masks, as shares of the weights that the last pruning chooses from.
    rules = rules_of(settings)
    masks = [pruned(rules, settings.prune, state, prunings=6) for state in states]
    wanted = kept_per_level([54, 960], 0.2, 6, scope="global", allow_empty=False)
    assert {kept(mask) for mask in masks} == {wanted[6]}
    found = [mask_distance(a, b, wanted[5]) for a, b in itertools.pairwise(masks)]
    assert list(distances) == pytest.approx(found)
    assert all(torch.equal(search.tickets[6].masks[n], mask) for n, mask in masks[-1].items())
    assert [level.kept for level in search.levels] == wanted


def test_a_stretch_is_the_prunings_up_to_the_next_training():
    def stretches(every: int, levels: int) -> list[int]:
        settings = learned("imp", train_every=every, levels=levels)
        plan = SearchPlan.of(settings, [1000], members=300, total=300)
        return [plan.stretch(level) for level in range(levels) if plan.trains[level]]

    assert stretches(1, 3) == [1, 1, 1]
    assert stretches(2, 5) == [2, 2, 1]
    assert stretches(5, 5) == [5]
    plan = SearchPlan.of(learned("imp"), [1000], members=300, total=300)
    assert plan.distance_over(0) is None


def test_masks_of_several_prunings_are_those_of_one_after_the_other(small_net):
    settings = learned("one-shot", levels=5)
    rules = rules_of(settings)
    for scope in ("global", "layer"):
        prune = replace(settings.prune, scope=scope)
        weights = snapshot(small_net())
        masks = ones({name: weights[name] for name in ("0.weight", "5.weight")})
        state = RunState(0, 0, weights, masks, torch.arange(2), ForgettingTable.empty(2))
        at_once = pruned(rules, prune, state, prunings=3)
        for _ in range(3):
            state = state.at_next_level(weights, pruned(rules, prune, state), state.members)
        assert all(torch.equal(at_once[name], mask) for name, mask in state.masks.items())
