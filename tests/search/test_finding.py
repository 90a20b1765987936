"""Whole searches on real digits: what the method promises of its levels, files and costs."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import nn

import prac
from prac.algorithms import kept
from prac.config import SubsetConfig
from prac.models import snapshot
from prac.runs import read_metrics
from prac.runs.checkpoint import read_state
from prac.training import Problem, Runtime, plan_for
from prac.training.loop import fit
from prac.training.optimizer import make_optimizer
from prac.utils import derive_seed

NEVER = prac.StopConfig(rule="never")


def test_a_search_gives_a_ticket_for_every_pruning_and_dense(
    small_net, train, val, config, tmp_path
):
    search = prac.find(small_net(), train, config(stop=NEVER), val=val, out=tmp_path / "run")
    assert search.finished
    assert [level.index for level in search.levels] == [0, 1, 2, 3]
    assert len(search.tickets) == 4
    weights = 6 * 9 + 96 * 10
    expected = weights
    for level in search.levels:
        assert level.kept == expected
        assert level.density == expected / weights
        assert search.tickets[level.index].density == level.density
        expected -= round(0.2 * expected)
    assert [level.epochs for level in search.levels] == [3, 3, 3, 0]


def test_masks_are_nested_and_weights_are_bitwise_the_initial_ones(
    small_net, train, config, tmp_path
):
    search = prac.find(small_net(), train, config(stop=NEVER), out=tmp_path / "run")
    initial = snapshot(small_net())
    for k in range(3):
        sparser, denser = search.tickets[k + 1], search.tickets[k]
        for name, mask in sparser.masks.items():
            assert not (mask & ~denser.masks[name]).any()
        assert all(torch.equal(sparser.weights[name], initial[name]) for name in initial)


def test_the_first_mask_is_the_magnitude_mask_of_the_last_epoch(small_net, train, config, tmp_path):
    settings = config("imp", levels=1)
    search = prac.find(small_net(), train, settings, out=tmp_path / "run")
    model = small_net()
    problem = Problem.of(model, train, runtime=Runtime.choose("cpu", "fp32"))
    masks = {n: torch.ones_like(p, dtype=torch.bool) for n, p in prunables(model).items()}
    list(
        fit(
            model,
            make_optimizer(model, settings.train, problem.runtime),
            problem.train,
            torch.arange(300),
            plan_for(settings.train, 300, 300),
            masks=masks,
            task=problem.task,
            runtime=problem.runtime,
            batch_size=50,
            seed=derive_seed(0, "level", 0),
        )
    )
    flat = torch.cat([p.detach().abs().flatten() for p in prunables(model).values()])
    lowest = flat.argsort(stable=True)[: round(0.2 * len(flat))]
    wanted = torch.ones(len(flat), dtype=torch.bool)
    wanted[lowest] = False
    found = torch.cat([mask.flatten() for mask in search.tickets[1].masks.values()])
    assert torch.equal(found, wanted)


def prunables(model):
    return {n: p for n, p in model.named_parameters() if p.ndim >= 2}


def test_late_rewinding_restores_weights_and_buffers_of_that_epoch(
    small_net, train, config, tmp_path
):
    settings = config("imp", rewind="epoch:1", levels=2)
    search = prac.find(small_net(), train, settings, out=tmp_path / "run")
    assert int(search.tickets[1].weights["1.num_batches_tracked"]) == 6
    assert int(search.tickets[2].weights["1.num_batches_tracked"]) == 6
    assert not torch.equal(search.tickets[1].weights["1.running_mean"], torch.zeros(6))
    # The dense network itself starts from its initialisation.
    assert int(search.tickets[0].weights["1.num_batches_tracked"]) == 0


def test_rewinding_to_an_iteration_inside_an_epoch(small_net, train, config, tmp_path):
    settings = config("imp", rewind="iteration:8", levels=1)
    search = prac.find(small_net(), train, settings, out=tmp_path / "run")
    assert int(search.tickets[1].weights["1.num_batches_tracked"]) == 8
    # Breaking the epoch there presents every example once all the same.
    assert [line["iteration"] for line in read_metrics(tmp_path / "run")] == [6, 12, 18]


def test_an_epoch_and_its_iteration_are_the_same_rewind_point(small_net, train, config, tmp_path):
    by_epoch = prac.find(
        small_net(), train, config("imp", rewind="epoch:2", levels=1), out=tmp_path / "a"
    )
    by_step = prac.find(
        small_net(), train, config("imp", rewind="iteration:12", levels=1), out=tmp_path / "b"
    )
    one, other = by_epoch.tickets[1].weights, by_step.tickets[1].weights
    assert all(torch.equal(one[name], other[name]) for name in one)


@pytest.mark.parametrize("rewind", ["learning-rate", "none"])
def test_without_rewinding_a_level_goes_on_from_the_trained_weights(
    small_net, train, config, tmp_path, rewind
):
    settings = config("imp", rewind=rewind, levels=2)
    search = prac.find(small_net(), train, settings, out=tmp_path / "run")
    assert int(search.tickets[2].weights["1.num_batches_tracked"]) == 36
    rates = [line["lr"] for line in read_metrics(tmp_path / "run") if line["level"] == 1]
    expected = [0.1, 0.1, 0.01] if rewind == "learning-rate" else [0.01, 0.01, 0.01]
    assert rates == pytest.approx(expected)


def test_the_rewind_point_comes_before_an_early_stop(small_net, train, config, tmp_path):
    at_once = prac.StopConfig(epsilon=1.0, window=1, arm="at-once")
    settings = config(rewind="epoch:3", stop=at_once, levels=2)
    search = prac.find(small_net(), train, settings, out=tmp_path / "run")
    # A window of one distance is full after the second epoch; level 0 waits for the third.
    assert search.levels[0].epochs == 3
    assert search.levels[1].epochs == 2
    assert search.levels[1].stopped_early


def test_a_stop_saves_and_is_counted(small_net, train, val, config, tmp_path):
    at_once = prac.StopConfig(epsilon=1.0, window=1, arm="at-once")
    search = prac.find(small_net(), train, config("imp", stop=at_once), val=val, out=tmp_path / "r")
    assert [level.iterations for level in search.levels] == [12, 12, 12, 0]
    assert search.cost(3).cost.iterations == 36
    assert search.cost(3).imp.iterations == 54
    assert search.cost(3).iterations_saved == pytest.approx(1 / 3)
    assert search.cost(0).iterations_saved == 0
    assert search.cost(3).cost.examples_trained == 3 * 2 * 300
    assert search.cost(3).cost.examples_scored == 3 * 2 * 100
    assert search.cost(3).imp.examples_scored == 3 * 3 * 100


def test_scoring_passes_are_counted_and_the_dense_one_is_made_once(
    small_net, train, val, config, tmp_path
):
    search = prac.find(small_net(), train, config(stop=NEVER), val=val, out=tmp_path / "run")
    scored = [level.cost.examples_scored for level in search.levels]
    assert scored == [3 * 100 + 300, 3 * 100 + 300, 3 * 100 + 300, 0]


def test_the_set_is_the_union_of_cet_and_cep(small_net, train, val, config, tmp_path):
    search = prac.find(small_net(), train, config(stop=NEVER), val=val, out=tmp_path / "run")
    found = {}
    for k in range(3):
        tensors = search.examples(k)
        members = set(tensors["members"].tolist())
        cet, cep = set(tensors["cet"].tolist()), set(tensors["cep"].tolist())
        forgotten = {i for i in members if tensors["events"][i] > 0 or not tensors["learned"][i]}
        assert cet == forgotten
        found[k] = tensors["predictions"]
        differing = set((found[k] != found[0]).nonzero().squeeze(1).tolist())
        assert cep == differing
        assert cet | cep <= set(search.subset(k + 1).indices.tolist())
        if len(cet | cep) >= 50:
            assert cet | cep == set(search.subset(k + 1).indices.tolist())
    assert (
        search.levels[1].set_parts == {"cet": len(search.subset(1)), "cep": 0}
        or len(search.subset(1)) == 50
    )
    with pytest.raises(prac.PracError, match="level 3 of the search was not trained"):
        search.examples(3)


def test_cet_alone_looks_at_no_predictions(small_net, train, config, tmp_path):
    settings = config(subset=SubsetConfig(rule="cet"), stop=NEVER)
    search = prac.find(small_net(), train, settings, out=tmp_path / "run")
    assert all(level.cost.examples_scored == 0 for level in search.levels)
    sets = [set(search.subset(k).indices.tolist()) for k in range(4)]
    assert sets[1] < sets[0]


def test_cep_alone_keeps_all_data_until_a_pruned_network_exists(small_net, train, config, tmp_path):
    settings = config(subset=SubsetConfig(rule="cep"), stop=NEVER)
    search = prac.find(small_net(), train, settings, out=tmp_path / "run")
    assert search.levels[1].set_size == 300
    assert search.levels[2].set_size < 300


def test_a_kept_fraction_fixes_the_size_of_the_cet(small_net, train, config, tmp_path):
    settings = config(subset=SubsetConfig(rule="cet", kept_fraction=0.4), stop=NEVER)
    search = prac.find(small_net(), train, settings, out=tmp_path / "run")
    assert [level.set_size for level in search.levels] == [300, 120, 120, 120]


def test_a_higher_threshold_gives_a_smaller_set(small_net, train, config, tmp_path):
    sizes = {}
    for threshold in (0, 1):
        settings = config(
            levels=1, subset=SubsetConfig(rule="cet", threshold=threshold), stop=NEVER
        )
        search = prac.find(small_net(), train, settings, out=tmp_path / f"{threshold}")
        sizes[threshold] = search.levels[1].set_parts["cet"]
    assert sizes[1] < sizes[0]


def easy_examples() -> tuple[torch.Tensor, torch.Tensor]:
    """Return examples that a linear network gets right from the first presentation on."""
    y = torch.arange(200) % 2
    return torch.stack([y * 2.0 - 1, 1 - y * 2.0], dim=1), y


class Linear(nn.Sequential):
    """Right on the easy examples before any training."""

    def __init__(self) -> None:
        super().__init__(nn.Linear(2, 2))
        with torch.no_grad():
            self[0].get_parameter("weight").copy_(torch.tensor([[-1.0, 1.1], [1.2, -1.3]]))


@pytest.mark.parametrize("scaling", ["linear", "epochs", "none"])
def test_an_empty_set_is_filled_up_to_a_batch(config, tmp_path, scaling):
    settings = config(
        levels=2,
        subset=SubsetConfig(scaling=scaling),
        stop=NEVER,
        prune=prac.PruneConfig(layers="linear"),
        train=prac.TrainConfig(epochs=2, batch_size=20, lr=1e-3),
    )
    # The network that it begins with has them right.
    with pytest.warns(UserWarning, match="were learned and never forgotten in level 0"):
        search = prac.find(Linear(), easy_examples(), settings, out=tmp_path / "run")
    assert search.levels[1].set_parts["cet"] == 0
    assert search.levels[1].set_size == 20
    # Two epochs' worth of 200 examples would scale to 2, or to a fifth of an iteration.
    assert search.levels[1].iterations == {"linear": 2, "epochs": 1, "none": 20}[scaling]
    classes = search.subset(1).provenance["by_class"]
    assert min(classes) > 0, "what fills a set up does not come from one class"


def test_a_set_of_one_more_than_a_batch_trains_with_batch_norm(small_net, train, config, tmp_path):
    def one_more(stats: prac.LevelStats) -> torch.Tensor:
        return torch.arange(51)

    search = prac.find(small_net(), train, config(levels=2), choose=one_more, out=tmp_path / "run")
    assert search.levels[1].set_size == 51
    assert search.levels[1].iterations == 3


def test_random_scores_prune_other_weights_as_many(small_net, train, config, tmp_path):
    random = prac.PruneConfig(layers="conv+linear", score="random")
    one = prac.find(small_net(), train, config(prune=random), out=tmp_path / "a")
    other = prac.find(small_net(), train, config(), out=tmp_path / "b")
    assert [level.kept for level in one.levels] == [level.kept for level in other.levels]
    name = "5.weight"
    assert not torch.equal(one.tickets[3].masks[name], other.tickets[3].masks[name])
    kept_largest = other.tickets[3].masks[name]
    weights = small_net().state_dict()[name].abs()
    assert weights[kept_largest].mean() > weights[one.tickets[3].masks[name]].mean()


def test_layer_scope_prunes_every_layer_alike(small_net, train, config, tmp_path):
    settings = config(prune=prac.PruneConfig(layers="conv+linear", scope="layer"))
    search = prac.find(small_net(), train, settings, out=tmp_path / "run")
    masks = search.tickets[1].masks
    assert int(masks["0.weight"].sum()) == 54 - round(0.2 * 54)
    assert int(masks["5.weight"].sum()) == 960 - round(0.2 * 960)


def test_excluded_layers_are_never_pruned_and_none_is_emptied(small_net, train, config, tmp_path):
    settings = config(
        levels=3,
        prune=prac.PruneConfig(layers="conv+linear", drop_fraction=0.9, exclude=("0.*",)),
    )
    search = prac.find(small_net(), train, settings, out=tmp_path / "a")
    assert list(search.tickets[3].masks) == ["5.weight"]
    extreme = config(levels=3, prune=prac.PruneConfig(layers="conv+linear", drop_fraction=0.9))
    search = prac.find(small_net(), train, extreme, out=tmp_path / "b")
    assert [int(mask.sum()) for mask in search.tickets[3].masks.values()] == [1, 1]


def test_a_pruning_that_would_prune_nothing_is_refused_at_the_start(
    small_net, train, config, tmp_path
):
    prune = prac.PruneConfig(layers="conv+linear", drop_fraction=0.9)
    with pytest.raises(prac.PracError, match=r"after 3 prunings 2 of 1014 .* from 4 to 3"):
        prac.find(small_net(), train, config(levels=4, prune=prune), out=tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_the_same_seed_gives_the_same_bytes_and_another_seed_others(
    small_net, train, val, config, tmp_path, run_files
):
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        prac.find(small_net(), train, config(seed=seed), val=val, out=tmp_path / name)
    assert run_files(tmp_path / "a") == run_files(tmp_path / "b")
    metrics = [(tmp_path / name / "metrics.jsonl").read_bytes() for name in "abc"]
    assert metrics[0] == metrics[1]
    assert metrics[0] != metrics[2], "seed 0 and seed 1 are different searches"


def test_a_finished_run_is_recognised_and_nothing_is_trained(small_net, train, config, tmp_path):
    prac.find(small_net(), train, config(), out=tmp_path / "run")
    events = []
    search = prac.find(small_net(), train, config(), out=tmp_path / "run", callback=events.append)
    assert search.finished
    assert [event.kind for event in events] == ["finished"]
    assert not (tmp_path / "run" / "state").exists()


def test_other_settings_are_refused_by_name(small_net, train, val, digits, config, tmp_path):
    def find(model=None, data=train, **options):
        settings = options.pop("settings", config())
        prac.find(model or small_net(), data, settings, out=tmp_path / "run", **options)

    find(val=val)
    other = digits[0][:301], digits[1][:301]
    for fault, options in {
        r"levels \(there 3, here 4\)": {"settings": config(levels=4)},
        "there .* here": {"data": other},
        "architecture": {"model": small_net(channels=7)},
        r"own_stop \(there None": {"stop": lambda distances: True},
        r"own_score \(there None": {"score": lambda weights: weights},
        "own_loss": {"task": prac.Task(loss=nn.CrossEntropyLoss(label_smoothing=0.1))},
        "fingerprint of the validation data": {"val": other},
    }.items():
        with pytest.raises(prac.PracError, match=fault):
            find(**{"val": val, **options})
    with pytest.raises(prac.PracError, match=r"validation data .*here None"):
        find()


def test_nothing_is_lost_by_other_settings_before_an_epoch_is_trained(
    small_net, train, config, tmp_path
):
    with pytest.raises(prac.PracError, match="not finite"):
        prac.find(small_net(), train, with_lr(config(), 1e30), out=tmp_path / "run")
    search = prac.find(small_net(), train, with_lr(config(), 0.1), out=tmp_path / "run")
    assert search.finished
    assert search.settings["lr"] == 0.1


def with_lr(config: prac.SearchConfig, lr: float) -> prac.SearchConfig:
    return replace(config, train=replace(config.train, lr=lr))


class TestReuse:
    def test_a_set_serves_another_architecture_and_costs_nothing_to_find(
        self, small_net, train, val, config, tmp_path
    ):
        search = prac.find(small_net(), train, config(stop=NEVER), val=val, out=tmp_path / "a")
        path = tmp_path / "a" / "levels" / "03" / "subset.safetensors"
        subset = prac.Subset.load(path)
        assert torch.equal(subset.indices, search.subset(3).indices)
        other = prac.find(
            small_net(channels=4), train, config(), subset=subset, val=val, out=tmp_path / "b"
        )
        assert [level.set_size for level in other.levels] == [len(subset)] * 4
        trained = other.levels[0].cost.examples_trained
        assert trained == other.levels[0].epochs * len(subset)
        assert other.levels[0].cost.examples_scored == other.levels[0].epochs * 100
        assert other.settings["subset_rule"] == "fixed"

    def test_it_is_refused_on_other_data(self, small_net, train, digits, config, tmp_path):
        search = prac.find(small_net(), train, config(), out=tmp_path / "a")
        other = digits[0][1:301], digits[1][1:301]
        with pytest.raises(prac.PracError, match=r"subset belongs to other data.*fingerprint"):
            prac.find(small_net(), other, config(), subset=search.subset(1), out=tmp_path / "b")
        assert not (tmp_path / "b").exists()

    def test_another_set_in_the_same_folder_is_refused(self, small_net, train, config, tmp_path):
        search = prac.find(small_net(), train, config(stop=NEVER), out=tmp_path / "a")
        prac.find(small_net(), train, config(), subset=search.subset(1), out=tmp_path / "b")
        with pytest.raises(prac.PracError, match=r"subset \(there '"):
            prac.find(small_net(), train, config(), subset=search.subset(0), out=tmp_path / "b")

    def test_a_fixed_rule_needs_a_set(self, small_net, train, config, tmp_path):
        with pytest.raises(prac.PracError, match="no subset is given"):
            prac.find(
                small_net(), train, config(subset=SubsetConfig(rule="fixed")), out=tmp_path / "a"
            )


class TestOwnParts:
    def test_own_rules_take_the_place_of_the_configured_ones(
        self, small_net, train, config, tmp_path
    ):
        seen: list[prac.LevelStats] = []

        def first_half(stats: prac.LevelStats) -> torch.Tensor:
            seen.append(stats)
            return stats.members[: len(stats.members) // 2]

        def smallest_index(weights):
            return {n: torch.arange(w.numel()).view(w.shape).float() for n, w in weights.items()}

        search = prac.find(
            small_net(),
            train,
            config(),
            out=tmp_path / "run",
            choose=first_half,
            stop=lambda distances: len(distances) == 1,
            score=smallest_index,
        )
        assert [level.set_size for level in search.levels] == [300, 150, 75, 37]
        assert [level.epochs for level in search.levels] == [2, 2, 2, 0]
        assert [stats.pruned is None for stats in seen] == [True, False, False]
        pruned = ~search.tickets[1].masks["5.weight"].flatten()
        assert pruned[:10].all()
        assert not pruned[-10:].any()

    @pytest.mark.parametrize(
        ("choice", "fault"),
        [
            (torch.tensor([], dtype=torch.int64), "at least two"),
            (torch.tensor([7]), "at least two"),
            (torch.tensor([7, 300]), "expected 0 to 299"),
            (torch.tensor([-1, 7]), "expected 0 to 299"),
            (torch.tensor([0.5, 1.5]), "int64"),
            ("all", "is a str: expected an int64 tensor"),
        ],
    )
    def test_a_choice_of_no_examples_is_refused(
        self, small_net, train, config, tmp_path, choice, fault
    ):
        with pytest.raises(prac.PracError, match=fault):
            prac.find(small_net(), train, config(), out=tmp_path / "run", choose=lambda e: choice)

    def test_a_score_that_is_not_a_number_is_refused(self, small_net, train, config, tmp_path):
        def broken(weights):
            return {name: weight * float("nan") for name, weight in weights.items()}

        with pytest.raises(prac.PracError, match=r"level 0 cannot be pruned.*not a number"):
            prac.find(small_net(), train, config(), out=tmp_path / "run", score=broken)

    def test_another_task_by_its_loss_and_what_counts_as_right(self, digits, config, tmp_path):
        x, y = digits[0][:200], digits[1][:200].float()[:, None] / 9

        def near(outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
            return (outputs - targets).abs().squeeze(1) < 0.1

        task = prac.Task(loss=nn.functional.mse_loss, correct=near, prediction=None)
        torch.manual_seed(0)
        model = nn.Sequential(nn.Flatten(), nn.Linear(64, 16), nn.ReLU(), nn.Linear(16, 1))
        settings = config(stop=NEVER)
        search = prac.find(model, (x, y), settings, val=(x, y), task=task, out=tmp_path / "run")
        lines = read_metrics(tmp_path / "run")
        assert lines[2]["train_loss"] < lines[0]["train_loss"]
        assert 0 < search.levels[1].set_size <= 200
        assert set(search.examples(1)["predictions"].tolist()) <= {0, 1}


class TestMistakes:
    def refused(self, match, *arguments, tmp_path, **options):
        with pytest.raises(prac.PracError, match=match):
            prac.find(*arguments, out=tmp_path / "run", **options)
        assert not (tmp_path / "run").exists(), "nothing is written for a mistake"

    def test_a_shape_that_does_not_fit(self, small_net, train, config, tmp_path):
        x, y = train
        self.refused(
            r"does not take the training data: a batch of shape \(2, 64\)",
            small_net(), (x.flatten(1), y), config(), tmp_path=tmp_path,
        )  # fmt: skip

    def test_a_label_out_of_range(self, small_net, train, config, tmp_path):
        x, y = train
        wrong = y.clone()
        wrong[7] = 10
        self.refused(
            "training example 7 has label 10, but the model has 10 outputs",
            small_net(), (x, wrong), config(), tmp_path=tmp_path,
        )  # fmt: skip
        self.refused(
            "validation example 7 has label 10",
            small_net(), train, config(), val=(x, wrong), tmp_path=tmp_path,
        )  # fmt: skip

    def test_a_label_that_no_check_has_seen(self, small_net, train, config, tmp_path):
        class Pairs(torch.utils.data.Dataset):
            def __len__(self):
                return 100

            def __getitem__(self, index):
                return train[0][index], 10 if index == 50 else int(train[1][index])

        with pytest.raises(prac.PracError, match=r"targets from 0 to 10 for outputs of shape"):
            prac.find(small_net(), Pairs(), config(), out=tmp_path / "run")

    def test_integer_labels_of_any_width_will_do(self, small_net, train, config, tmp_path):
        narrow = train[0].numpy(), train[1].numpy().astype("int32")
        one = prac.find(small_net(), narrow, config(levels=1), out=tmp_path / "a")
        other = prac.find(small_net(), train, config(levels=1), out=tmp_path / "b")
        assert one.tickets[1].digest == other.tickets[1].digest

    @pytest.mark.parametrize(
        ("task", "fault"),
        [
            (prac.Task(loss=nn.CrossEntropyLoss(reduction="none")), "expected one number"),
            (prac.Task(correct=lambda outputs, y: outputs), "`correct` gave"),
            (prac.Task(correct=lambda outputs, y: outputs.argmax(1)), "one bool an example"),
            (prac.Task(correct=lambda outputs, y: [True] * len(y)), "gave list for"),  # type: ignore[arg-type, return-value]
            (prac.Task(prediction=lambda outputs: outputs.max(1).values), "one integer an"),
            (prac.Task(prediction=lambda outputs: outputs), "`prediction` gave"),
            (prac.Task(loss=lambda outputs, y: outputs.missing), "does not take the model's"),
        ],
    )
    def test_a_task_that_does_not_fit(self, small_net, train, config, tmp_path, task, fault):
        self.refused(fault, small_net(), train, config(), task=task, tmp_path=tmp_path)

    @pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning")
    def test_models_that_cannot_be_trained(self, small_net, train, config, tmp_path):
        class Twice(nn.Module):
            def __init__(self):
                super().__init__()
                self.net = small_net()

            def forward(self, x):
                return (self.net(x), self.net(x)) if self.training else self.net(x)

        frozen = small_net().requires_grad_(False)
        one_by_one = nn.Sequential(nn.Flatten(), nn.Linear(64, 10), nn.BatchNorm1d(10))
        single = config(train=prac.TrainConfig(epochs=2, batch_size=1))
        compiled = torch.compile(small_net())
        for model, settings, fault in (
            (Twice(), config(), "returns a tuple in training mode"),
            (frozen, config(), "no parameter that trains"),
            (one_by_one, single, "Expected more than 1 value per channel"),
            (compiled, config(), r"its \.compile\(\)"),
            ("net", config(), "is a str: expected a torch.nn.Module"),
        ):
            self.refused(fault, model, train, settings, tmp_path=tmp_path)

    def test_labels_that_are_no_classes(self, small_net, train, config, tmp_path):
        x, y = train
        self.refused(
            "expected one integer class an example",
            small_net(), (x, y.float()), config(), tmp_path=tmp_path,
        )  # fmt: skip

    def test_nothing_prunable(self, train, config, tmp_path):
        model = nn.Sequential(nn.Flatten(), nn.Linear(64, 10))
        settings = config(prune=prac.PruneConfig(layers="conv"))
        self.refused("no prunable weight.*--layers auto", model, train, settings, tmp_path=tmp_path)

    def test_a_rewind_point_after_the_end(self, small_net, train, config, tmp_path):
        settings = config(rewind="iteration:19")
        self.refused(
            "rewind is 'iteration:19', iteration 19, but the dense training has only 18",
            small_net(), train, settings, tmp_path=tmp_path,
        )  # fmt: skip

    def test_a_folder_with_something_else(self, small_net, train, config, tmp_path):
        (tmp_path / "run").mkdir()
        (tmp_path / "run" / "thesis.tex").write_text("precious")
        with pytest.raises(prac.PracError, match=r"holds thesis\.tex but no run"):
            prac.find(small_net(), train, config(), out=tmp_path / "run")
        assert (tmp_path / "run" / "thesis.tex").read_text() == "precious"
        assert len(list((tmp_path / "run").iterdir())) == 1

    def test_a_loss_that_diverges(self, small_net, train, config, tmp_path):
        settings = config(train=prac.TrainConfig(epochs=3, batch_size=50, lr=1e30))
        with pytest.raises(prac.PracError, match=r"not finite at level 0, epoch 1.*lower --lr"):
            prac.find(small_net(), train, settings, out=tmp_path / "run")

    @pytest.mark.parametrize("bad", ["loss", "weight", "buffer"])
    def test_what_diverges_later_is_not_saved(self, small_net, train, config, tmp_path, bad):
        model, calls = small_net(), []

        def loss(outputs, targets):
            calls.append(torch.is_grad_enabled())
            value = torch.nn.functional.cross_entropy(outputs, targets)
            # The second epoch's third iteration, 6 to an epoch; the calls before are checks.
            if len(calls) - checks == 9 and bad == "loss":
                return value * float("inf")
            if len(calls) - checks == 9:
                spoilt = model[0].weight if bad == "weight" else model[1].running_mean
                spoilt.data.fill_(float("nan"))
            return value

        checks = 0
        out, events = tmp_path / "run", []

        def watch(event):
            nonlocal checks
            events.append(event.kind)
            if event.kind == "level":
                checks = len(calls)

        task = prac.Task(loss=loss)
        place = r"at level 0, epoch 2, iteration (9|10)\b.*keeps the state before it"
        with pytest.raises(prac.PracError, match=f"not finite {place}"):
            prac.find(
                model,
                train,
                config(),
                out=out,
                task=task,
                callback=watch,
                run_control=prac.RunControl(save_every=2),
            )
        lasting = [kind for kind in events if kind != "step"]  # They come by the clock.
        assert lasting == ["search", "level", "saved", "saved", "epoch", "saved"]
        (state, metrics_bytes) = read_state(max((out / "state").iterdir()))
        assert state.step == 8
        assert metrics_bytes == (out / "metrics.jsonl").stat().st_size
        assert all(weight.isfinite().all() for weight in state.weights.values())


def test_a_model_keeps_its_state_dict_keys_and_pruned_weights_are_zero(
    small_net, train, val, config, tmp_path
):
    model = small_net()
    keys = list(model.state_dict())
    search = prac.find(model, train, config(stop=NEVER), val=val, out=tmp_path / "run")
    assert list(model.state_dict()) == keys
    for k in range(3):
        from safetensors.torch import load_file

        trained = load_file(tmp_path / "run" / "levels" / f"{k:02d}" / "trained.safetensors")
        assert set(trained) == set(keys)
        masks = search.tickets[k].masks
        assert kept(masks) == search.levels[k].kept
        assert all((trained[name][~mask] == 0).all() for name, mask in masks.items())


def test_any_map_style_dataset_will_do(small_net, train, val, config, tmp_path, run_files):
    class Pairs(torch.utils.data.Dataset):
        def __len__(self):
            return 300

        def __getitem__(self, index):
            return train[0][index], int(train[1][index])

    mapped = prac.find(small_net(), Pairs(), config(), val=val, out=tmp_path / "a")
    tensors = prac.find(small_net(), train, config(), val=val, out=tmp_path / "b")
    for k in range(4):
        one, other = mapped.tickets[k].masks, tensors.tickets[k].masks
        assert all(torch.equal(one[name], other[name]) for name in one)


def test_a_length_in_iterations_scales_with_the_set(small_net, train, config, tmp_path):
    settings = config(
        levels=2,
        stop=NEVER,
        train=prac.TrainConfig(iterations=20, batch_size=50, milestones=(10,)),
        subset=SubsetConfig(rule="cet", kept_fraction=0.5),
    )
    search = prac.find(small_net(), train, settings, out=tmp_path / "run")
    assert [level.iterations for level in search.levels] == [20, 10, 0]
    assert [level.epochs for level in search.levels] == [4, 4, 0]


@pytest.mark.parametrize("optimizer", ["adam", "adamw"])
@pytest.mark.parametrize("schedule", ["cosine", "linear", "constant"])
def test_other_optimisers_and_schedules_search_too(
    small_net, train, val, config, tmp_path, optimizer, schedule
):
    training = prac.TrainConfig(
        epochs=4, batch_size=50, lr=3e-3, optimizer=optimizer, schedule=schedule, warmup=1
    )
    search = prac.find(
        small_net(), train, config(levels=1, train=training), val=val, out=tmp_path / "run"
    )
    assert search.levels[0].best_val_accuracy is not None
    assert search.levels[0].best_val_accuracy > 0.5


def test_mixed_precision_trains_other_bits_and_keeps_weights_in_fp32(
    small_net, train, val, config, tmp_path
):
    mixed = prac.TrainConfig(epochs=3, batch_size=50, lr=0.1, milestones=(2,), precision="bf16")
    one = prac.find(small_net(), train, config(train=mixed), val=val, out=tmp_path / "a")
    other = prac.find(small_net(), train, config(), val=val, out=tmp_path / "b")
    assert read_metrics(tmp_path / "a") != read_metrics(tmp_path / "b")
    assert one.levels[0].best_val_accuracy == pytest.approx(
        other.levels[0].best_val_accuracy, abs=0.1
    )
    assert {weight.dtype for weight in one.tickets[1].weights.values()} == {
        torch.float32,
        torch.int64,
    }
