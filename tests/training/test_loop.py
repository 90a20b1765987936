"""The training loop: pruned weights stay zero, segments break where told, a cut run is the same."""

import copy

import pytest
import torch
from torch import nn

from prac.algorithms import Plan, batch_sizes, scaled_plan
from prac.config import TrainConfig
from prac.data import TensorExamples
from prac.data.augment import Pipeline
from prac.errors import PracError
from prac.models import restore_, snapshot
from prac.training import CLASSIFICATION, Problem, Runtime, Task
from prac.training.evaluate import el2n_scores, predictions
from prac.training.loop import _Epoch, _Outcomes, epoch_batches, fit
from prac.training.optimizer import make_optimizer, optimizer_tensors, restore_optimizer_
from prac.utils import derive_seed

CPU = Runtime(torch.device("cpu"))
N, BATCH = 20, 6  # batches of 6, 6, 6, 2


def images(n=N):
    draw = torch.Generator().manual_seed(7)
    x = torch.randint(256, (n, 2, 5, 5), generator=draw, dtype=torch.uint8)
    y = torch.randint(3, (n,), generator=draw)
    return TensorExamples(x, y, Pipeline((0.5, 0.5), (0.2, 0.2), crop_padding=1, flip=True))


def network():
    with torch.random.fork_rng([]):
        torch.manual_seed(3)
        return nn.Sequential(
            nn.Conv2d(2, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(),
            nn.Dropout(0.5), nn.Linear(36, 3),
        )  # fmt: skip


def half_masks(model):
    draw = torch.Generator().manual_seed(5)
    names = ("0.weight", "5.weight")
    return {n: torch.rand(model.get_parameter(n).shape, generator=draw) < 0.5 for n in names}


def plan_of(epochs, kept=N, **settings):
    settings = {"lr": 0.1, **settings}
    return scaled_plan(kept=kept, total=kept, batch_size=BATCH, epochs=epochs, **settings)


def trained(
    model, plan, *, config=None, data=None, members=None, masks=None, seed=0, task=CLASSIFICATION,
    optimizer=None, **where,
):  # fmt: skip
    """Train to the plan's end; return the segments."""
    data = data or images()
    return fit(
        model,
        optimizer or make_optimizer(model, config or TrainConfig(), CPU),
        data,
        torch.arange(len(data)) if members is None else members,
        plan,
        masks=masks or {},
        task=task,
        runtime=CPU,
        batch_size=BATCH,
        seed=seed,
        **where,
    )


def same(first, second):
    return first.keys() == second.keys() and all(torch.equal(first[n], second[n]) for n in first)


@pytest.mark.parametrize("optimizer", ["sgd", "adam", "adamw"])
def test_pruned_weights_are_zero_whatever_momentum_and_decay_do(optimizer):
    model = network()
    masks = half_masks(model)
    keys = list(model.state_dict())
    config = TrainConfig(optimizer=optimizer, momentum=0.9, weight_decay=0.1, lr=0.05)
    before = snapshot(model)
    seen = []

    def watched(outputs, targets):
        seen.extend(bool(model.get_parameter(n)[~mask].any()) for n, mask in masks.items())
        return nn.functional.cross_entropy(outputs, targets)

    # Momentum and moments of weights that were not yet pruned pull at them afterwards.
    shared = make_optimizer(model, config, CPU)
    list(trained(model, plan_of(2), optimizer=shared))
    list(trained(model, plan_of(3), optimizer=shared, masks=masks, task=Task(loss=watched)))
    assert len(seen) == 2 * 12
    assert not any(seen)
    for name, mask in masks.items():
        weight = model.get_parameter(name)
        assert not weight[~mask].any()
        assert (weight[mask] != before[name][mask]).all()
    assert list(model.state_dict()) == keys


def test_segments_end_with_the_epochs_and_present_each_member_once():
    members = torch.tensor([0, 2, 3, 5, 7, 11, 13, 17, 19])
    segments = list(trained(network(), plan_of(3, kept=9), members=members))
    assert [(s.step, s.ends_epoch) for s in segments] == [(2, True), (4, True), (6, True)]
    for segment in segments:
        assert segment.ids.sort().values.tolist() == members.tolist()
        assert segment.correct.shape == (9,)
        assert segment.correct.dtype == torch.bool
        assert segment.losses.shape == (2,)
        assert segment.diverged_at is None
    orders = [s.ids.tolist() for s in segments]
    assert orders[0] != orders[1] != orders[2]


def test_a_break_parts_its_epoch_in_two():
    segments = list(trained(network(), plan_of(2), breaks={6}.__contains__))
    assert [(s.step, s.ends_epoch) for s in segments] == [(4, True), (6, False), (8, True)]
    assert [len(s.ids) for s in segments] == [20, 12, 8]
    halves = torch.cat([segments[1].ids, segments[2].ids])
    assert halves.sort().values.tolist() == list(range(N))


def test_breaks_are_asked_for_after_every_iteration_within_an_epoch():
    asked = []
    steps = [s.step for s in trained(network(), plan_of(2), breaks=asked.append)]
    assert steps == [4, 8]
    assert asked == [1, 2, 3, 5, 6, 7]


def test_a_training_may_end_within_an_epoch():
    plan = Plan(6, 4, lr=0.1)
    segments = list(trained(network(), plan))
    assert [(s.step, len(s.ids), s.ends_epoch) for s in segments] == [(4, 20, True), (6, 12, True)]


@pytest.mark.parametrize("judged_bytes", [1, 200, 2**20])
def test_outcomes_and_loss_are_those_of_the_training_batches(monkeypatch, judged_bytes):
    # However many batches are judged at once.
    monkeypatch.setattr("prac.training.loop.JUDGED_BYTES", judged_bytes)
    seen, losses, right = [], [], []

    def judged(outputs, targets):
        seen.append(len(outputs))
        return outputs.argmax(1) == targets

    def noted(outputs, targets):
        right.extend((outputs.argmax(1) == targets).tolist())
        loss = nn.functional.cross_entropy(outputs, targets)
        losses.append(loss.item())
        return loss

    (segment,) = trained(network(), plan_of(1), task=Task(loss=noted, correct=judged))
    assert seen == {1: [6, 6, 6, 2], 200: [12, 8], 2**20: [20]}[judged_bytes]
    assert segment.correct.tolist() == right
    assert segment.losses.tolist() == losses


def test_outcomes_of_unlike_shapes_are_judged_apart():
    # As sequences that are padded batch by batch: outputs (n, length), of any length.
    class Growing(nn.Module):
        def __init__(self):
            super().__init__()
            self.scale = nn.Parameter(torch.ones(()))
            self.calls = 0

        def forward(self, x):
            self.calls += 1
            return self.scale * x[:, :1].expand(-1, self.calls)

    data = TensorExamples(torch.rand(N, 2), torch.arange(N))
    task = Task(loss=lambda o, y: o.mean(), correct=lambda o, y: (o.shape[1] + y) % 2 == 0)
    (segment,) = trained(Growing(), plan_of(1), data=data, task=task)
    calls = torch.tensor([1] * 6 + [2] * 6 + [3] * 6 + [4] * 2)
    assert segment.correct.tolist() == ((calls + segment.ids) % 2 == 0).tolist()


def test_outcomes_stand_beside_the_examples_they_belong_to():
    # Every example's label is its index: what `correct` saw must come back under its id.
    x = torch.rand(N, 2)
    data = TensorExamples(x, torch.arange(N))
    task = Task(loss=lambda o, y: o.square().mean(), correct=lambda o, y: y % 3 == 0)
    (segment,) = trained(nn.Linear(2, 1), plan_of(1), data=data, task=task)
    assert segment.correct.tolist() == [i % 3 == 0 for i in segment.ids.tolist()]


@pytest.mark.parametrize("bad", [float("inf"), float("nan")])
def test_the_iteration_whose_loss_diverges_is_told(bad):
    seen = []

    def loss(outputs, targets):
        seen.append(1)
        return outputs.mean() * (bad if len(seen) in (6, 7) else 1.0)

    segments = list(trained(network(), plan_of(2), task=Task(loss=loss)))
    assert [s.diverged_at for s in segments] == [None, 6]


EPOCHS = 4


@pytest.mark.parametrize("optimizer", ["sgd", "adam", "adamw"])
def test_a_training_cut_at_every_epoch_is_the_uncut_one_bit_for_bit(optimizer):
    config = TrainConfig(optimizer=optimizer, lr=0.05)
    plan = plan_of(EPOCHS, milestones=(2,), warmup=1)
    model = network()
    masks = half_masks(model)
    whole, saved = [], []
    running = make_optimizer(model, config, CPU)
    for segment in trained(model, plan, optimizer=running, masks=masks):
        whole.append(segment)
        saved.append((snapshot(model), optimizer_tensors(running)))
    for cut in range(EPOCHS - 1):
        fresh = network()
        weights, state = copy.deepcopy(saved[cut])
        restore_(fresh, weights)
        resumed = make_optimizer(fresh, config, CPU)
        restore_optimizer_(resumed, state)
        rest = list(trained(fresh, plan, optimizer=resumed, masks=masks, start=whole[cut].step))
        assert [s.step for s in rest] == [s.step for s in whole[cut + 1 :]]
        for again, once in zip(rest, whole[cut + 1 :], strict=True):
            assert torch.equal(again.losses, once.losses)
            assert torch.equal(again.ids, once.ids)
            assert torch.equal(again.correct, once.correct)
        assert same(snapshot(fresh), saved[-1][0])
        assert same(optimizer_tensors(resumed), saved[-1][1])
        # What was restored from can be restored from again.
        assert same(state, saved[cut][1])


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_a_training_cut_at_any_iteration_is_the_uncut_one_bit_for_bit(optimizer):
    config = TrainConfig(optimizer=optimizer, lr=0.05)
    plan = plan_of(2, milestones=(1,))
    whole = network()
    masks = half_masks(whole)
    uncut = list(trained(whole, plan, config=config, masks=masks))
    model, running = network(), None
    parts, step = [], 0
    while step < plan.iterations:
        # A fresh model and optimiser for each single iteration.
        weights = snapshot(model)
        state = optimizer_tensors(running) if running is not None else {}
        model = network()
        restore_(model, weights)
        running = make_optimizer(model, config, CPU)
        if state:
            restore_optimizer_(running, state)
        part = next(
            trained(model, plan, optimizer=running, masks=masks, start=step, breaks=lambda s: True)
        )
        assert (part.step, len(part.losses)) == (step + 1, 1)
        parts.append(part)
        step = part.step
    assert [part.ends_epoch for part in parts] == [False, False, False, True] * 2
    assert torch.equal(torch.cat([p.losses for p in parts]), torch.cat([s.losses for s in uncut]))
    assert torch.equal(torch.cat([p.ids for p in parts]), torch.cat([s.ids for s in uncut]))
    assert same(snapshot(model), snapshot(whole))


def test_breaks_do_not_begin_the_data_s_stream_again():
    streams = []

    class Counting(TensorExamples):
        def stream(self, batches, *, seeds=None):
            streams.append(len(batches))
            return super().stream(batches, seeds=seeds)

    data = images()
    counting = Counting(data.x, data.y, data.pipeline)
    assert len(list(trained(network(), plan_of(2), data=counting, breaks=lambda s: True))) == 8
    assert streams == [4, 4]


def test_dropout_and_augmentation_are_at_work_in_what_is_resumed():
    # Without them the test above would say little.
    plain = TensorExamples(images().x, images().y, Pipeline((0.5, 0.5), (0.2, 0.2)))
    without_dropout = network()
    without_dropout[4].p = 0.0
    losses = [
        float(next(trained(model, plan_of(1), data=data)).losses.sum())
        for model, data in [(network(), None), (network(), plain), (without_dropout, None)]
    ]
    assert len(set(losses)) == 3


def test_the_learning_rate_of_each_iteration_is_the_plan_s():
    plan = plan_of(4, milestones=(2, 3), warmup=1, lr=0.2)
    model = network()
    optimizer = make_optimizer(model, TrainConfig(lr=0.9), CPU)
    rates = []
    optimizer.register_step_pre_hook(lambda o, *_: rates.append(o.param_groups[0]["lr"]))
    list(trained(model, plan, optimizer=optimizer))
    assert rates == [plan.lr_at(i) for i in range(16)]
    assert len(set(rates)) == 6
    rates.clear()
    list(trained(model, plan, optimizer=optimizer, start=8))
    assert rates == [plan.lr_at(i) for i in range(8, 16)]


class Late(nn.Module):
    """A network of which a part is used from the third call on."""

    def __init__(self):
        super().__init__()
        with torch.random.fork_rng([]):
            torch.manual_seed(1)
            self.always, self.late, self.calls = nn.Linear(2, 3), nn.Linear(2, 3), 0

    def forward(self, x):
        self.calls += 1
        return self.always(x) + (self.late(x) if self.calls > 2 else 0.0)


@pytest.mark.parametrize("optimizer", ["sgd", "adam", "adamw"])
def test_a_parameter_may_have_its_first_gradient_late(optimizer):
    data = TensorExamples(torch.rand(N, 2), torch.arange(N) % 3)
    model, plain = Late(), Late()
    config = TrainConfig(optimizer=optimizer, lr=0.05, weight_decay=0.1)
    list(trained(model, plan_of(1, lr=0.05), config=config, data=data))
    # The same, as torch's unfused optimisers do it.
    kinds = {"sgd": torch.optim.SGD, "adam": torch.optim.Adam, "adamw": torch.optim.AdamW}
    own = {"momentum": 0.9} if optimizer == "sgd" else {}
    steps = kinds[optimizer](plain.parameters(), 0.05, weight_decay=0.1, **own)
    for ids in epoch_batches(torch.arange(N), BATCH, derive_seed(0, "order", 0)):
        steps.zero_grad()
        nn.functional.cross_entropy(plain(data.x[ids]), data.y[ids]).backward()
        steps.step()
    for one, other in zip(model.parameters(), plain.parameters(), strict=True):
        torch.testing.assert_close(one, other)


def test_one_example_more_than_whole_batches_trains_with_batch_norm():
    n = 2 * BATCH + 1
    x, y = torch.rand(n, 2, 1, 1), torch.zeros(n, dtype=torch.int64)
    model = nn.Sequential(nn.Conv2d(2, 3, 1), nn.BatchNorm2d(3), nn.Flatten(), nn.Linear(3, 2))
    (segment,) = trained(model, plan_of(1, kept=n), data=TensorExamples(x, y))
    assert segment.step == 2
    assert len(segment.ids) == n


def test_a_seed_is_its_own_training_and_zero_is_a_seed():
    results = {}
    for name, seed in [("zero", 0), ("again", 0), ("one", 1)]:
        torch.manual_seed(len(results))  # what the caller drew before is of no account
        model = network()
        segments = list(trained(model, plan_of(2), seed=seed))
        results[name] = snapshot(model), [s.ids.tolist() for s in segments]
    assert same(results["zero"][0], results["again"][0])
    assert results["zero"][1] == results["again"][1]
    assert not torch.equal(results["zero"][0]["0.weight"], results["one"][0]["0.weight"])
    assert results["zero"][1] != results["one"][1]


def test_the_caller_s_random_numbers_are_left_alone():
    torch.manual_seed(11)
    expected = torch.rand(3)
    torch.manual_seed(11)
    segments = trained(network(), plan_of(2))
    next(segments)
    assert torch.equal(torch.rand(3), expected)
    torch.manual_seed(11)
    list(segments)
    assert torch.equal(torch.rand(3), expected)


def test_what_the_caller_draws_between_segments_changes_nothing():
    calm, restless = network(), network()
    list(trained(calm, plan_of(2)))
    for _ in trained(restless, plan_of(2)):
        torch.rand(5)
        restless.eval()
    assert same(snapshot(calm), snapshot(restless))


def test_an_epoch_s_batches_hold_the_members_in_an_order_of_the_seed():
    members = torch.arange(100, 125)
    batches = epoch_batches(members, 4, seed=0)
    assert [len(batch) for batch in batches] == batch_sizes(25, 4)
    order = torch.cat(batches)
    assert order.sort().values.tolist() == members.tolist()
    assert torch.equal(order, torch.cat(epoch_batches(members, 4, seed=0)))
    assert not torch.equal(order, torch.cat(epoch_batches(members, 4, seed=1)))


def test_the_optimizer_is_the_configured_one_over_what_trains():
    model = network()
    model[0].weight.requires_grad_(False)
    for name, kind in [("sgd", "SGD"), ("adam", "Adam"), ("adamw", "AdamW")]:
        config = TrainConfig(optimizer=name, lr=0.3, momentum=0.8, weight_decay=0.02)
        optimizer = make_optimizer(model, config, CPU)
        assert type(optimizer).__name__ == kind
        (group,) = optimizer.param_groups
        assert (group["lr"], group["weight_decay"]) == (0.3, 0.02)
        assert (group["momentum"] if name == "sgd" else group["betas"][0]) == 0.8
        assert len(group["params"]) == len(list(model.parameters())) - 1


class Watching(TensorExamples):
    """Examples that tell which of their streams are open."""

    opened = closed = 0

    def stream(self, batches, *, seeds=None):
        Watching.opened += 1
        try:
            yield from super().stream(batches, seeds=seeds)
        finally:
            Watching.closed += 1


@pytest.mark.parametrize("with_losses", [False, True])
def test_the_next_epochs_first_batches_are_made_before_this_one_is_looked_at(with_losses):
    asked = []

    def sample(epoch):
        asked.append(epoch)
        return torch.arange(N), None

    data = images()
    watching = Watching(data.x, data.y, data.pipeline)
    Watching.opened = Watching.closed = 0
    training = trained(
        network(), plan_of(3), data=watching, members=sample, with_losses=with_losses
    )
    next(training)
    # What the next presents may hang on this one's losses, which are known only now.
    assert asked == ([0] if with_losses else [0, 1])
    assert Watching.opened == len(asked)
    training.close()
    assert Watching.closed == Watching.opened
    rest = list(trained(network(), plan_of(3), data=watching, members=sample))
    assert len(rest) == 3
    assert Watching.closed == Watching.opened


def test_what_waits_for_the_device_comes_after_the_next_epoch_s_batches_are_asked_for(monkeypatch):
    order = []
    begin, read = _Epoch.begin, _Outcomes.correct
    monkeypatch.setattr(_Epoch, "begin", lambda epoch: (order.append("ahead"), begin(epoch))[1])
    monkeypatch.setattr(
        _Outcomes, "correct", lambda outcomes: (order.append("read"), read(outcomes))[1]
    )
    list(trained(network(), plan_of(3)))
    assert order == ["ahead", "read", "ahead", "read", "read"]


def test_looking_ahead_changes_nothing(monkeypatch):
    found = []
    for looks in (True, False):
        if not looks:
            monkeypatch.setattr("prac.training.loop._Epoch.begin", lambda epoch: None)
        model = network()
        segments = list(trained(model, plan_of(3), breaks=lambda step: step % 3 == 0))
        found.append((segments, snapshot(model)))
    (ahead, one), (plain, other) = found
    assert same(one, other)
    for first, second in zip(ahead, plain, strict=True):
        assert torch.equal(first.ids, second.ids)
        assert torch.equal(first.losses, second.losses)


class Uneven(TensorExamples):
    """Examples of one's own whose batches lack an example."""

    def stream(self, batches, *, seeds=None):
        for x, y in super().stream(batches, seeds=seeds):
            yield x[1:], y[1:]


def test_a_stream_of_other_sizes_than_it_was_asked_for_is_refused():
    # What is noted of each example would be noted of others.
    data = images()
    uneven = Uneven(data.x, data.y, data.pipeline)
    with pytest.raises(PracError, match="gave 5 inputs and 5 targets for a batch of 6 examples"):
        next(trained(network(), plan_of(1), data=uneven))
    problem = Problem(network(), uneven, None, CLASSIFICATION, CPU, BATCH)
    for scores in (predictions, el2n_scores):
        with pytest.raises(PracError, match=f"gave {N - 1} examples where .* for all {N}: expect"):
            scores(problem, uneven)
