"""Ask and tell: in anyone's loop the search that prac.find makes, killed in between or not."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.multiprocessing.spawn import spawn

import prac
from prac.algorithms import ForgettingTable, density
from prac.errors import PracError
from prac.search.asked import AskedLevel
from prac.search.asking import OpenSearch
from prac.search.presentations import Presentations
from prac.training import Runtime
from prac.training.loop import epoch_batches
from prac.training.optimizer import make_optimizer
from prac.utils import derive_seed

CPU = Runtime(torch.device("cpu"))
BATCH = 40
TRAIN = prac.TrainConfig(epochs=4, batch_size=BATCH, lr=0.1, milestones=(3,))
LINEAR = prac.PruneConfig(layers="linear")


def net(seed: int = 0) -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return nn.Sequential(nn.Flatten(), nn.Linear(64, 24), nn.ReLU(), nn.Linear(24, 10))


def settings(**changes: Any) -> prac.SearchConfig:
    chosen: dict[str, Any] = {"levels": 3, "train": TRAIN, "prune": LINEAR, **changes}
    return prac.SearchConfig.prac(**chosen)


def trained(level: AskedLevel, model: nn.Module, x: Tensor, y: Tensor, config: Any) -> Any:
    """Train a level as prac's own loop does; return what it predicts at its best epoch."""
    level.apply(model)
    optimizer = make_optimizer(model, config.train, CPU)
    parameters, step = dict(model.named_parameters()), 0
    seed = derive_seed(config.seed, "level", level.index)
    ends = False
    for epoch in range(level.epochs):
        order = derive_seed(seed, "order", epoch)
        for ids in epoch_batches(level.ids, BATCH, order)[: level.iterations - step]:
            for group in optimizer.param_groups:
                group["lr"] = level.plan.lr_at(step)
            outputs = model(x[ids])
            optimizer.zero_grad()
            nn.functional.cross_entropy(outputs, y[ids]).backward()
            optimizer.step()
            with torch.no_grad():
                for name, mask in level.masks.items():
                    parameters[name].mul_(mask)
            level.forgetting.record(ids, outputs.argmax(1) == y[ids])
            step += 1
            if step == level.rewind_step:
                level.mark(model)
        with torch.no_grad():
            right = model(x).argmax(1) == y
        if ends := level.end_epoch(model, val_accuracy=float(right.sum()) / len(y)):
            break
    assert ends
    best = net()
    assert level.best is not None
    best.load_state_dict(level.best)
    with torch.no_grad():
        return best(x).argmax(1)


def searched(
    out: Path,
    pair: tuple[Tensor, Tensor],
    config: prac.SearchConfig,
    *,
    after: Callable[[OpenSearch, AskedLevel], None] = lambda search, level: None,
    **more: Any,
) -> prac.Search:
    x, y = pair
    model = net()
    with prac.Search.begin(out, net(), examples=pair, config=config, **more) as search:
        while (level := search.ask()) is not None:
            predicted = trained(level, model, x, y, config)
            after(search, level)
            search.tell(level, model, predictions=predicted)
    return prac.Search.load(out)


def same(first: prac.Search, second: prac.Search) -> None:
    """Check that two searches found the same, by the same training."""
    assert first.finished
    assert second.finished
    for level, (a, b) in enumerate(zip(first.levels, second.levels, strict=True)):
        for name in ("density", "set_size", "set_parts", "iterations", "epochs", "mask_distances"):
            assert getattr(a, name) == getattr(b, name), (level, name)
        assert a.cost.iterations == b.cost.iterations
        assert a.cost.examples_trained == b.cost.examples_trained
        mine, its = first.tickets[level], second.tickets[level]
        assert all(torch.equal(mine.masks[name], its.masks[name]) for name in its.masks)
        assert all(torch.equal(mine.weights[name], its.weights[name]) for name in its.weights)
        assert torch.equal(first.subset(level).indices, second.subset(level).indices)
        if a.iterations:
            shown, its_shown = first.examples(level), second.examples(level)
            assert torch.equal(shown["events"], its_shown["events"])
            assert torch.equal(shown["learned"], its_shown["learned"])


CONFIGS: dict[str, dict[str, Any]] = {
    "prac": {},
    "late rewind": {"rewind": "iteration:7"},
    "stops early": {"stop": prac.StopConfig(epsilon=0.5, window=1, arm="at-once")},
    "cet": {"subset": prac.SubsetConfig(rule="cet")},
    "all": {"subset": prac.SubsetConfig(rule="all"), "rewind": "learning-rate"},
    "trains seldom": {
        "prune": prac.PruneConfig(layers="linear", train_every=2),
        "subset": prac.SubsetConfig(rule="all"),
    },
    "one-shot": {
        "prune": prac.PruneConfig(layers="linear", when="one-shot"),
        "subset": prac.SubsetConfig(rule="all"),
        "stop": prac.StopConfig(rule="never"),
    },
}


@pytest.fixture
def pair(digits: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
    return digits[0][:300], digits[1][:300]


@pytest.mark.parametrize("name", CONFIGS)
def test_a_loop_of_one_s_own_finds_what_prac_s_own_loop_finds(name, pair, tmp_path):
    config = settings(**CONFIGS[name])
    mine = searched(tmp_path / "mine", pair, config)
    own = prac.find(net(), pair, config, val=pair, out=tmp_path / "own", threads=1)
    same(mine, own)
    told = [level.best_val_accuracy for level in own.levels]
    assert [level.best_val_accuracy for level in mine.levels] == told


class KilledError(Exception):
    """Stands for whatever ended the process."""


@pytest.mark.parametrize("killed", [0, 1, 2])
def test_a_search_killed_between_ask_and_tell_asks_the_same_again(killed, pair, tmp_path):
    config = settings(rewind="iteration:7")
    whole = searched(tmp_path / "whole", pair, config)

    def kill(search: OpenSearch, level: AskedLevel) -> None:
        if level.index == killed:
            raise KilledError

    with pytest.raises(KilledError):
        searched(tmp_path / "cut", pair, config, after=kill)
    with prac.Search.begin(tmp_path / "cut", net(), examples=pair, config=config) as again:
        level = again.ask()
        assert level is not None
        assert level.index == killed
        assert again.ask() is level
    same(searched(tmp_path / "cut", pair, config), whole)
    lines = (tmp_path / "cut/metrics.jsonl").read_text()
    assert lines == (tmp_path / "whole/metrics.jsonl").read_text()


def test_carried_levels_start_from_what_was_told(pair, tmp_path):
    config = settings(level=prac.LevelConfig(start="carried"), stop=prac.StopConfig(rule="never"))
    x, y = pair
    model, told = net(), {}
    with prac.Search.begin(tmp_path / "run", net(), examples=300, config=config) as search:
        while (level := search.ask()) is not None:
            if level.index:
                level.apply(model)
                for name, weight in model.state_dict().items():
                    kept = level.masks.get(name)
                    before = told[name] if kept is None else told[name] * kept
                    assert torch.equal(weight, before)
                initial = net().state_dict()
                assert all(torch.equal(level.ticket.weights[n], initial[n]) for n in initial)
            predicted = trained(level, model, x, y, config)
            told = {name: of.clone() for name, of in model.state_dict().items()}
            search.tell(level, model, predictions=predicted)
    assert prac.Search.load(tmp_path / "run").finished


def test_the_scores_of_a_rule_are_told_with_level_0(pair, tmp_path):
    rule = prac.SubsetConfig(rule="el2n", kept_fraction=0.5, el2n_epoch=1)
    x, y = pair
    scores = torch.rand(300, generator=torch.Generator().manual_seed(0))
    model, config = net(), settings(subset=rule)
    with prac.Search.begin(tmp_path / "run", net(), examples=300, config=config) as search:
        level = search.ask()
        assert level is not None
        trained(level, model, x, y, config)
        with pytest.raises(PracError, match="'el2n', which looks at EL2N scores: pass tell"):
            search.tell(level, model)
        search.tell(level, model, difficulty=scores)
        level = search.ask()
        assert level is not None
        assert level.ids.tolist() == sorted(scores.argsort(descending=True)[:150].tolist())


def test_rules_of_one_s_own_are_asked(pair, tmp_path):
    seen = []

    def odd(stats: prac.LevelStats) -> Tensor:
        seen.append((stats.level, None if stats.pruned is None else len(stats.pruned)))
        return torch.arange(1, 300, 2)

    found = searched(tmp_path / "run", pair, settings(), choose=odd)
    assert seen == [(0, None), (1, 300), (2, 300)]
    assert [level.set_size for level in found.levels] == [300, 150, 150, 150]


def test_tickets_of_such_a_search_are_judged(pair, tmp_path):
    found = searched(tmp_path / "run", pair, settings(levels=2), labels=pair[1].tolist())
    assert found.levels[1].set_by_class is not None
    model, _ = prac.retrain(found.tickets[2], net(), pair, TRAIN, val=pair)
    kept = {name: weight != 0 for name, weight in model.state_dict().items() if weight.ndim > 1}
    assert density(kept) <= 0.64 + 1e-3
    verdict = prac.judge(found, net, pair, val=pair, test=pair, seeds=(0, 1), levels=(2,))
    assert verdict.best() is None or verdict.best().masks


def begun(out: Path, **changes: Any) -> OpenSearch:
    given: dict[str, Any] = {"examples": 300, "config": settings(), **changes}
    return prac.Search.begin(out, changes.pop("model", None) or net(), **given)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"examples": 1}, "examples is 1: expected their number, at least 2, or the data"),
        ({"labels": [1, 2]}, r"labels is of shape \(2,\): expected one integer for each of 300"),
        ({"config": settings(sample=prac.SampleConfig(rule="fresh"))}, "sampling is 'fresh', whic"),
        (
            {"config": settings(level=prac.LevelConfig(start="carried", prunings=3))},
            "level_prunings is 3, which a loop of one's own cannot be asked for: use prac.find",
        ),
        (
            {"config": prac.SearchConfig.method("snip", levels=2, train=TRAIN)},
            "pruning is 'at-init', which a loop",
        ),
        ({"output_layer": "head"}, "output_layer is 'head': expected the name of one of the modul"),
        ({"config": settings(rewind="iteration:500")}, "rewind is 'iteration:500', iteration 500,"),
    ],
)
def test_what_cannot_be_begun_is_told(changes, message, tmp_path):
    with pytest.raises(PracError, match=message) as error:
        begun(tmp_path / "run", **changes)
    assert "\n" not in str(error.value)
    assert not (tmp_path / "run").exists()


@pytest.mark.filterwarnings("ignore:.*was trained for|.*were never recorded")
def test_what_was_told_wrongly_can_be_told_again(pair, tmp_path):
    x, y = pair
    config, model = settings(rewind="iteration:7"), net()
    with prac.Search.begin(tmp_path / "run", net(), examples=300, config=config) as search:
        level = search.ask()
        assert level is not None
        refused: list[tuple[Any, str]] = [
            (
                lambda: search.tell(level, model),
                "iteration 7, its rewind point, which was not",
            ),
            (lambda: level.mark({}), "no weight '1.weight', which the network had when the"),
            (lambda: level.mark(net()), ""),
            (
                lambda: search.tell(level, model),
                "nothing was recorded at level 0, but subset",
            ),
            (
                lambda: level.forgetting.record([0.5], [True]),
                r"ids are torch.float32 of shape",
            ),
            (lambda: level.forgetting.record([1], [1]), "correct is torch.int64 of shape"),
            (
                lambda: level.forgetting.record([1, 2], [True]),
                r"of shape \(1,\): expected torch",
            ),
            (
                lambda: level.forgetting.record([300], [True]),
                "example 300 was recorded, of 300",
            ),
            (lambda: level.forgetting.record([3], [True]), ""),
            (
                lambda: search.tell(level, model),
                "the set is chosen by what the network predicts",
            ),
            (
                lambda: search.tell(level, model, predictions=x),
                "predictions are torch.float32",
            ),
            (
                lambda: search.tell(level, model, predictions=[1, 2]),
                r"predictions is of shape \(2,\): expected one for each of 300 training examples",
            ),
            (lambda: search.tell(level, nn.Linear(2, 2)), "there is no weight '1.weight', which"),
            (
                lambda: search.tell(level, net().double(), predictions=y),
                "weight '1.weight' is torch.float64 .* and was torch.float32",
            ),
            (
                lambda: search.tell(level, net(), predictions=y, iterations=0),
                "iterations is 0: expected at least 1",
            ),
        ]
        for act, message in refused:
            if not message:
                act()
                continue
            with pytest.raises(PracError, match=message) as error:
                act()
            assert "\n" not in str(error.value)
        nan = net()
        nan.state_dict()["1.weight"][0, 0] = torch.nan
        with pytest.raises(PracError, match=r"weight '1\.weight' holds NaN"):
            search.tell(level, nan, predictions=y)
        with pytest.warns(UserWarning, match="never counted as right in level 0"):
            search.tell(level, model, predictions=y)
        with pytest.raises(PracError, match="level 0 was told, and none was asked for: tell each"):
            search.tell(level, model, predictions=y)
        later = search.ask()
        assert later is not None
        with pytest.raises(PracError, match="level 1 has no rewind point to mark"):
            later.mark(model)
        outside = next(i for i in range(300) if i not in later.ids)
        with pytest.raises(PracError, match=f"example {outside} was recorded, which is not in"):
            later.forgetting.record([outside], [True])


def test_what_would_be_a_silent_wrong_answer_is_told(pair, tmp_path):
    y = pair[1]
    config, model = settings(rewind="iteration:7"), net()
    search = prac.Search.begin(tmp_path / "run", net(), examples=300, config=config, validated=50)
    level = search.ask()
    assert level is not None
    for _ in range(3):
        level.end_step(model)
    with pytest.raises(PracError, match="rewind point is after iteration 7, and 3 steps were done"):
        level.mark(model)
    for _ in range(4):
        level.end_step(model)
    refused: list[tuple[dict[str, Any], str]] = [
        ({"val_accuracy": 91.2}, "val_accuracy is 91.2: expected a share, from 0 to 1"),
        ({"val_accuracy": "high"}, "val_accuracy is a str: expected a number"),
    ]
    for measured, message in refused:
        with pytest.raises(PracError, match=message):
            level.end_epoch(model, **measured)
    level.forgetting.record(range(32), [True] * 32)
    told: dict[str, Any] = {"predictions": y}
    refused = [
        ({"predictions": ["a"] * 300}, "predictions is a list that torch does not take"),
        ({**told, "difficulty": "hard"}, "difficulty is a str that torch does not take"),
        ({**told, "difficulty": [torch.nan] * 300}, "difficulty holds what is no EL2N score"),
    ]
    for more, message in refused:
        with pytest.raises(PracError, match=message):
            search.tell(level, model, **more)
    with pytest.raises(PracError, match="level is a NoneType: expected what"):
        search.tell(None, model, **told)
    with pytest.warns(UserWarning, match="level 0") as found:
        search.tell(level, model, **told)
    lines = [str(one.message) for one in found]
    assert any("trained for 7 of its 32 iterations, and its mask is not stable" in _ for _ in lines)
    assert any("268 of the 300 examples of level 0 were never recorded" in line for line in lines)
    assert any("no epoch of level 0 was validated by accuracy" in line for line in lines)

    level = search.ask()
    assert level is not None
    dense = net(5)
    for call in (lambda: level.end_epoch(dense), lambda: search.tell(level, dense, **told)):
        with pytest.raises(PracError, match=r"pruned weights of '1\.weight' are not zero"):
            call()
    search.close()
    for closed in (search.ask, lambda: search.tell(level, level.apply(net()), **told)):
        with pytest.raises(PracError, match=r"was closed: go on with it by prac\.Search\.begin"):
            closed()
    with pytest.raises(PracError, match=r"other settings: examples \(there 300, here 301\)"):
        begun(tmp_path / "run", examples=301, config=config, validated=50)


def test_records_that_do_not_fit_the_steps_are_told(pair, tmp_path):
    level = begun(tmp_path / "run").ask()
    assert level is not None
    for step in range(8):
        level.forgetting.record(range(300), [True] * 300) if step == 0 else None
        level.end_step(net())
    assert not any("which present about" in line for line in level.doubts(8))
    for _ in range(8):
        level.end_step(net())
    assert any("300 presentations were recorded in 16 steps" in line for line in level.doubts(16))


def test_the_folder_is_told_from_that_of_prac_s_own_loop(pair, tmp_path):
    searched(tmp_path / "mine", pair, settings(levels=1))
    with pytest.raises(PracError, match=r"was begun with other settings: .*loop"):
        prac.find(net(), pair, settings(levels=1), out=tmp_path / "mine")
    prac.find(net(), pair, settings(levels=1), out=tmp_path / "own")
    with pytest.raises(PracError, match="was begun with other settings"):
        prac.Search.begin(tmp_path / "own", net(), examples=pair, config=settings(levels=1))
    with pytest.raises(PracError, match="was begun with other settings: initial_weights"):
        prac.Search.begin(tmp_path / "mine", net(1), examples=pair, config=settings(levels=1))


def test_a_finished_search_asks_for_nothing_and_a_held_one_is_held(pair, tmp_path):
    searched(tmp_path / "run", pair, settings(levels=1))
    with prac.Search.begin(tmp_path / "run", net(), examples=pair, config=settings(levels=1)) as it:
        assert it.ask() is None
        assert repr(it).endswith("finished)")
    with (
        begun(tmp_path / "held"),
        pytest.raises(PracError, match="is working in this folder"),
    ):
        begun(tmp_path / "held")


@pytest.mark.filterwarnings("ignore:`torch.jit")
@pytest.mark.parametrize("wrap", [torch.compile, nn.DataParallel])
def test_weights_are_found_through_wrappers(wrap, tmp_path):
    config = settings(subset=prac.SubsetConfig(rule="all"), levels=1)
    with prac.Search.begin(tmp_path / "run", net(), examples=300, config=config) as search:
        level = search.ask()
        assert level is not None
        wrapped = wrap(net(3))
        level.apply(wrapped)
        initial = net().state_dict()
        found = {
            n.removeprefix("_orig_mod.").removeprefix("module."): of
            for n, of in wrapped.state_dict().items()
        }
        assert all(torch.equal(found[name], initial[name]) for name in initial)
        search.tell(level, wrapped)
    assert set(prac.Ticket.load(tmp_path / "run/levels/01/ticket.safetensors").weights) == {
        *initial
    }


@given(st.lists(st.lists(st.tuples(st.integers(0, 4), st.booleans()), max_size=6), max_size=6))
def test_presentations_make_the_table_of_one_update_a_batch(batches):
    seen, table = Presentations(5), ForgettingTable.empty(5)
    for batch in batches:
        ids = torch.tensor([i for i, _ in batch], dtype=torch.int64)
        right = torch.tensor([r for _, r in batch], dtype=torch.bool)
        seen.record(ids, right)
        table = table.update(ids, right)
        if len(batch) == 3:
            assert torch.equal(seen.table.events, table.events)
    assert seen.count == sum(map(len, batches))
    assert seen.right == sum(r for batch in batches for _, r in batch)
    for name in ("events", "learned", "correct"):
        assert torch.equal(getattr(seen.table, name), getattr(table, name))


def _rank(rank: int, store: str, out: str) -> None:
    dist.init_process_group("gloo", init_method=f"file://{store}", rank=rank, world_size=2)
    seen = Presentations(6)
    for epoch in range(3):
        # Each rank has its half of every batch.
        ids = torch.tensor([[0, 1], [2, 3]][rank])
        seen.record(ids, torch.tensor([epoch % 2 == rank, epoch == 0]))
        seen.gather()
    if rank == 0:
        torch.save((seen.table.events, seen.table.learned, seen.count), out)
    else:
        assert seen.count == 0
    dist.destroy_process_group()


def test_batches_of_several_ranks_are_merged(tmp_path):
    store, out = str(tmp_path / "store"), str(tmp_path / "out.pt")
    spawn(_rank, args=(store, out), nprocs=2)
    events, learned, count = torch.load(out)
    # By hand: 0 is right, wrong, right; 1 and 3 right, wrong, wrong; 2 wrong, right, wrong.
    assert events.tolist() == [1, 1, 1, 1, 0, 0]
    assert learned.tolist() == [True, True, True, True, False, False]
    assert count == 12


@pytest.mark.filterwarnings("ignore:.*was trained for|.*were never recorded")
def test_the_best_epoch_is_that_of_the_best_metric_in_its_direction(tmp_path):
    model, out = net(), tmp_path / "run"
    config = prac.SearchConfig.imp(levels=1, train=TRAIN, prune=LINEAR)
    perplexity = prac.Metric.perplexity()
    with prac.Search.begin(out, model, examples=80, config=config, metric=perplexity) as search:
        level = search.ask()
        assert level is not None
        for value in (9.0, 3.0, 5.0):
            level.end_epoch(model, val_accuracy=0.1 * value, val_metric=value)
        search.tell(level, model, iterations=2)
        assert search.ask() is None
    found = prac.Search.load(out)
    assert found.metric == perplexity.measure
    assert (found.levels[0].best_epoch, found.levels[0].best_val_metric) == (2, 3.0)
    with pytest.raises(PracError, match="metric"):
        prac.Search.begin(out, model, examples=80, config=config)


def test_steps_are_counted_and_mark_the_rewind_point(pair, tmp_path):
    config = settings(rewind="iteration:7", subset=prac.SubsetConfig(rule="all"))
    model = net()
    with begun(tmp_path / "run", config=config) as search:
        level = search.ask()
        assert not level.is_begun
        reached = [level.end_step(net(step)) for step in range(1, 33)]
        assert reached == [False] * 31 + [True]
        assert level.is_begun
        assert level.steps == level.iterations == 32
        search.tell(level, model)
    found = prac.Search.load(tmp_path / "run")
    seventh = net(7).state_dict()
    assert all(torch.equal(found.tickets[1].weights[name], seventh[name]) for name in seventh)
    assert found.levels[0].cost.iterations == 32


def test_a_training_that_went_wrong_is_asked_for_anew(pair, tmp_path):
    with begun(tmp_path / "run") as search:
        level = search.ask()
        assert search.ask() is level
        level.forgetting.record([1], [True])
        again = search.ask()
        assert again is not level
        assert again.forgetting.count == 0
        with pytest.raises(PracError, match="level 0 was told, but it was asked for anew since"):
            search.tell(level, net(), predictions=[0] * 300)


def test_a_schedule_gives_an_optimiser_the_plan_s_rates(tmp_path):
    train = prac.TrainConfig(epochs=4, batch_size=BATCH, lr=0.1, warmup=1, schedule="cosine")
    with begun(tmp_path / "run", config=settings(train=train)) as search:
        level, model = search.ask(), nn.Sequential(*net().children())
        first, second = model[1].parameters(), model[3].parameters()
        groups: list[dict[str, Any]] = [{"params": first}, {"params": second, "lr": 0.2}]
        sgd = torch.optim.SGD(groups, lr=0.1)
        schedule = level.schedule(sgd)
        for step in range(level.iterations):
            rates = [group["lr"] for group in sgd.param_groups]
            assert rates == pytest.approx([level.plan.lr_at(step), 2 * level.plan.lr_at(step)])
            sgd.step()
            schedule.step()


@pytest.mark.filterwarnings("ignore:.*was trained for|.*were never recorded")
def test_predictions_are_made_by_the_best_weights_which_then_go(pair, tmp_path):
    best, last, seen = net(1), net(2), []
    dropped = nn.Sequential(*net(0).children(), nn.Dropout(0.5))

    def predict(model: nn.Module) -> Tensor:
        assert not model.training
        assert not torch.is_grad_enabled()
        seen.append({name: one.clone() for name, one in model.state_dict().items()})
        return model(pair[0]).argmax(1)

    with prac.Search.begin(
        tmp_path / "run", dropped, examples=300, config=settings(), output_layer="3"
    ) as search:
        level = search.ask()
        level.forgetting.record(range(300), [place % 2 == 0 for place in range(300)])
        dropped.load_state_dict(best.state_dict())
        level.end_epoch(dropped, val_accuracy=0.9)
        dropped.load_state_dict(last.state_dict())
        level.end_epoch(dropped, val_accuracy=0.5)
        with pytest.raises(PracError, match="predictions is a function, and needs the model that"):
            search.tell(level, dropped.state_dict(), predictions=predict)
        search.tell(level, dropped, predictions=predict)
    (weights,) = seen
    assert all(torch.equal(weights[name], one) for name, one in best.state_dict().items())
    now = dropped.state_dict()
    assert all(torch.equal(now[name], one) for name, one in last.state_dict().items())
    assert dropped.training


def test_predictions_that_nothing_looks_at_are_not_made(tmp_path):
    config = settings(subset=prac.SubsetConfig(rule="all"), levels=1)
    with begun(tmp_path / "run", config=config) as search:
        search.tell(search.ask(), net(), predictions=lambda model: 1 / 0)
    assert prac.Search.load(tmp_path / "run").levels[0].cost.examples_scored == 0


def test_a_level_sent_to_another_process_trains_and_does_no_more(tmp_path):
    with begun(tmp_path / "run", choose=lambda stats: stats.members, stop=lambda d: False) as it:
        level = it.ask()
        sent = pickle.loads(pickle.dumps(level))
        model = net(3)
        sent.apply(model)
        weights = net().state_dict()
        assert all(torch.equal(one, weights[name]) for name, one in model.state_dict().items())
        assert sent.ids.tolist() == level.ids.tolist()
        assert sent.plan == level.plan
        assert sent.masks.keys() == level.masks.keys()
        assert not sent.end_step(model)
        sent.forgetting.record([1], [True])
        for act in (lambda: sent.end_epoch(model), lambda: sent.is_stable):
            with pytest.raises(PracError, match="level 0 was sent here by another process: only"):
                act()
        assert not level.is_begun
        assert not level.end_epoch(model)
