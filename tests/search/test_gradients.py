"""Passes that score weights by gradients, against gradients and Hessians made another way."""

from __future__ import annotations

import copy
import itertools

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from prac.algorithms import kept, prune
from prac.data import TensorExamples
from prac.data.augment import Pipeline
from prac.errors import PracError
from prac.models import snapshot
from prac.runs import Cost
from prac.search.gradients import (
    balanced_batch,
    grasp_scores,
    hessian_gradient_products,
    loss_gradients,
    snip_scores,
    synaptic_flow,
    synflow_scores,
)
from prac.training import Problem, Runtime, Task
from prac.training.evaluate import el2n_scores

CPU = Runtime(torch.device("cpu"))
SCORES = [snip_scores, grasp_scores, synflow_scores]
MEAN_SQUARE = Task(
    loss=F.mse_loss, correct=lambda outputs, y: (outputs - y).abs()[:, 0] < 1, prediction=None
)


def masks_of(model, keep=None):
    """Return masks of all weights of two or more dimensions, all kept or a share of them."""
    draw = torch.Generator().manual_seed(0)
    return {
        name: torch.ones_like(p, dtype=torch.bool)
        if keep is None
        else torch.rand(p.shape, generator=draw) < keep
        for name, p in model.named_parameters()
        if p.ndim >= 2
    }


def problem_of(model, x, y, *, task=None, batch_size=100, runtime=CPU):
    return Problem.of(
        model, (x, y), runtime=runtime, batch_size=batch_size, **({"task": task} if task else {})
    )


@pytest.fixture
def digit_problem(small_net, train):
    return problem_of(small_net(), *train)


def tanh_net():
    torch.manual_seed(3)
    return nn.Sequential(nn.Linear(4, 5), nn.Tanh(), nn.Linear(5, 3))


@pytest.fixture
def small_problem():
    draw = torch.Generator().manual_seed(1)
    x, y = torch.randn(12, 4, generator=draw), torch.randint(3, (12,), generator=draw)
    with torch.random.fork_rng():
        return problem_of(tanh_net(), x, y)


def test_snip_of_two_weights_by_hand():
    model = nn.Linear(2, 1, bias=False)
    x, y = torch.tensor([[1.0, 1.0], [1.0, -1.0]]), torch.tensor([[0.0], [0.0]])
    problem = problem_of(model, x, y, task=MEAN_SQUARE)
    weights = {"weight": torch.tensor([[1.0, 2.0]])}
    # Outputs are 3 and -1, so the gradient is (3 * x1 + -1 * x2) = (2, 4).
    masks = masks_of(model)
    found = loss_gradients(problem, weights, masks, torch.tensor([0, 1]))
    assert found["weight"].tolist() == [[2.0, 4.0]]
    scores, cost = snip_scores(problem, weights, masks, seed=0)
    assert scores["weight"].tolist() == [[2.0, 8.0]]
    assert cost == Cost(iterations=1, examples_trained=2)
    # Of the first example alone: output 3, gradient 6 x1.
    only = loss_gradients(problem, weights, masks, torch.tensor([0]))
    assert only["weight"].tolist() == [[6.0, 6.0]]


def test_pruned_weights_count_as_zero_and_have_gradients():
    model = nn.Linear(2, 1, bias=False)
    x, y = torch.tensor([[1.0, 1.0], [1.0, 1.0]]), torch.tensor([[0.0], [0.0]])
    problem = problem_of(model, x, y, task=MEAN_SQUARE)
    weights, masks = (
        {"weight": torch.tensor([[1.0, 2.0]])},
        {"weight": torch.tensor([[True, False]])},
    )
    found = loss_gradients(problem, weights, masks, torch.arange(2))
    assert found["weight"].tolist() == [[2.0, 2.0]]
    assert snip_scores(problem, weights, masks, seed=0)[0]["weight"].tolist() == [[2.0, 0.0]]


def flat_loss(problem, weights, masks, ids, temperature=1.0):
    """Return the loss as a function of all prunable weights in one vector, and that vector."""
    model, names = copy.deepcopy(problem.model), list(masks)
    vector = torch.cat([(weights[name] * masks[name]).flatten() for name in names]).double()
    x, y = next(problem.train.stream([ids]))

    def loss(vector):
        parts = vector.split([masks[name].numel() for name in names])
        own = {n: part.view(masks[n].shape) for n, part in zip(names, parts, strict=True)}
        rest = {n: w.double() for n, w in weights.items()}
        outputs = torch.func.functional_call(model, {**rest, **own}, (x.double(),))
        return F.cross_entropy(outputs / temperature, y)

    return loss, vector


@pytest.mark.parametrize("keep", [None, 0.6])
@pytest.mark.parametrize("temperature", [1.0, 200.0])
@pytest.mark.parametrize("batch_size", [100, 5])
def test_products_are_the_hessian_times_the_gradient(small_problem, keep, temperature, batch_size):
    problem = Problem(**{**vars(small_problem), "batch_size": batch_size})
    weights, masks, ids = snapshot(problem.model), masks_of(problem.model, keep), torch.arange(12)
    loss, vector = flat_loss(problem, weights, masks, ids, temperature)
    g = torch.autograd.functional.jacobian(loss, vector)
    g *= torch.cat([mask.flatten() for mask in masks.values()])
    expected = torch.autograd.functional.hessian(loss, vector) @ g
    found = hessian_gradient_products(problem, weights, masks, ids, temperature=temperature)
    flat = torch.cat([found[name].flatten() for name in masks])
    torch.testing.assert_close(flat.double() / expected.norm(), expected / expected.norm())


def test_grasp_s_temperature_is_published_in_classification_and_none_elsewhere(small_problem):
    weights, masks = snapshot(small_problem.model), masks_of(small_problem.model)
    x, y = small_problem.train.x, small_problem.train.y
    ids = torch.arange(12)  # There are fewer than ten of each class: all are taken.
    found, cost = grasp_scores(small_problem, weights, masks, seed=0)
    products = hessian_gradient_products(small_problem, weights, masks, ids)
    for name, product in products.items():
        torch.testing.assert_close(found[name], weights[name] * product)
    assert cost == Cost(iterations=2, examples_trained=24)
    own = Task(loss=F.cross_entropy, prediction=None)
    other = problem_of(small_problem.model, x, y, task=own)
    found, _ = grasp_scores(other, weights, masks, seed=0)
    plain = hessian_gradient_products(small_problem, weights, masks, ids, temperature=1.0)
    for name, product in plain.items():
        torch.testing.assert_close(found[name], weights[name] * product)


def test_batches_of_any_size_add_up_to_the_same_mean(small_problem):
    weights, masks = snapshot(small_problem.model), masks_of(small_problem.model)
    ids = torch.tensor([3, 1, 0, 7, 9, 2, 11])
    loss, vector = flat_loss(small_problem, weights, masks, ids)
    expected = torch.autograd.functional.jacobian(loss, vector)
    for batch_size in (100, 7, 3, 2):
        problem = Problem(**{**vars(small_problem), "batch_size": batch_size})
        found = loss_gradients(problem, weights, masks, ids)
        flat = torch.cat([found[name].flatten() for name in masks])
        torch.testing.assert_close(flat.double(), expected, rtol=1e-4, atol=1e-6)


def test_batch_norm_normalises_by_the_batch(digit_problem, train):
    model = copy.deepcopy(digit_problem.model).train()
    F.cross_entropy(model(train[0][:50]), train[1][:50]).backward()
    weights, masks = snapshot(digit_problem.model), masks_of(model)
    found = loss_gradients(digit_problem, weights, masks, torch.arange(50))
    assert list(found) == ["0.weight", "5.weight"]
    for name, gradient in found.items():
        torch.testing.assert_close(gradient, model.get_parameter(name).grad)


def test_gradients_are_at_the_weights_that_are_given(digit_problem, small_net):
    other = small_net(seed=5)
    x, y = digit_problem.train.x, digit_problem.train.y
    masks, ids = masks_of(other), torch.arange(20)
    own = loss_gradients(problem_of(other, x, y), snapshot(other), masks, ids)
    found = loss_gradients(digit_problem, snapshot(other), masks, ids)
    assert all(torch.equal(own[name], found[name]) for name in masks)


class Noisy(nn.Module):
    """BatchNorm, dropout, a frozen and an unused parameter: all that a pass could disturb."""

    def __init__(self):
        super().__init__()
        self.first, self.norm, self.last = nn.Linear(4, 6), nn.BatchNorm1d(6), nn.Linear(6, 3)
        self.unused = nn.Parameter(torch.ones(2, 2))
        self.first.weight.requires_grad_(False)

    def forward(self, x):
        return self.last(F.dropout(self.norm(self.first(x)).relu(), 0.5, self.training))


@pytest.mark.parametrize("score", SCORES)
@pytest.mark.parametrize("training", [True, False])
def test_a_pass_leaves_no_trace(score, training, small_problem):
    model = Noisy()
    problem = problem_of(model, small_problem.train.x, small_problem.train.y, batch_size=5)
    model.train(training)
    F.cross_entropy(model(problem.train.x), problem.train.y).backward()
    before, gradients = snapshot(model), {n: copy.copy(p.grad) for n, p in model.named_parameters()}
    weights = {name: value + 0.1 for name, value in before.items()}
    given = {name: value.clone() for name, value in weights.items()}
    masks, state = masks_of(model, 0.7), torch.get_rng_state()
    first, _ = score(problem, weights, masks, seed=4)
    torch.rand(3)
    again, _ = score(problem, weights, masks, seed=4)
    assert all(torch.equal(first[name], again[name]) for name in masks)
    assert (first["unused"] == 0).all()
    assert (first["first.weight"] != 0).any()
    assert model.training == training
    assert [p.requires_grad for p in model.parameters()].count(False) == 1
    for name, value in model.state_dict().items():
        assert torch.equal(value, before[name])
    for name, parameter in model.named_parameters():
        same = parameter.grad is gradients[name] is None
        assert same or torch.equal(parameter.grad, gradients[name])
    assert all(torch.equal(weights[name], given[name]) for name in weights)
    torch.set_rng_state(state)
    score(problem, weights, masks, seed=4)
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize("score", SCORES)
def test_scores_can_be_made_where_gradients_are_off(score, digit_problem):
    weights, masks = snapshot(digit_problem.model), masks_of(digit_problem.model)
    expected, _ = score(digit_problem, weights, masks, seed=0)
    with torch.no_grad():
        found, _ = score(digit_problem, weights, masks, seed=0)
    assert all(torch.equal(found[name], expected[name]) for name in masks)
    assert all(bool((found[name] != 0).any()) for name in masks)


@pytest.mark.parametrize("score", SCORES)
def test_precision_and_augmentation_of_training_are_of_no_account(score, small_net):
    draw = torch.Generator().manual_seed(1)
    x = torch.randint(256, (40, 1, 8, 8), generator=draw, dtype=torch.uint8)
    y = torch.arange(40) % 10
    model = small_net()
    weights, masks = snapshot(model), masks_of(model)
    found = []
    for runtime, pipeline in (
        (CPU, Pipeline()),
        (Runtime(torch.device("cpu"), "bf16"), Pipeline(crop_padding=2, flip=True)),
    ):
        problem = Problem.of(model, TensorExamples(x, y, pipeline), runtime=runtime, batch_size=20)
        found.append(score(problem, weights, masks, seed=0)[0])
    assert all(torch.equal(found[0][name], found[1][name]) for name in masks)


def test_losses_without_second_derivatives_have_products_of_zero():
    model = nn.Linear(2, 2)
    task = Task(loss=lambda outputs, y: outputs.mean())
    problem = problem_of(model, torch.ones(4, 2), torch.zeros(4, dtype=torch.int64), task=task)
    found = hessian_gradient_products(
        problem, snapshot(model), masks_of(model), torch.arange(4), temperature=1.0
    )
    assert found["weight"].tolist() == [[0, 0], [0, 0]]


class Attention(nn.Module):
    def __init__(self):
        super().__init__()
        self.inner = nn.Linear(3, 3)

    def forward(self, x):
        x = self.inner(x).unflatten(1, (1, 1, 3)).expand(-1, 2, 5, 3)
        return F.scaled_dot_product_attention(x, x.cumsum(2), x.cos()).flatten(1)


def test_attention_has_products():
    torch.manual_seed(0)
    model = Attention()
    problem = problem_of(model, torch.randn(6, 3), torch.arange(6))
    scores, _ = grasp_scores(problem, snapshot(model), masks_of(model), seed=0)
    assert (scores["inner.weight"] != 0).all()


def test_every_layer_of_a_linear_network_has_as_much_flow():
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(1, 3, 3, bias=False),
        nn.Conv2d(3, 4, 3, padding=1, bias=False),
        nn.Flatten(),
        nn.Linear(64, 5, bias=False),
        nn.Linear(5, 3, bias=False),
    )
    problem = problem_of(model, torch.zeros(4, 1, 6, 6), torch.arange(4) % 3)
    weights = snapshot(model)
    for keep in (None, 0.5):
        masks = masks_of(model, keep)
        scores, cost = synflow_scores(problem, weights, masks, seed=0)
        assert cost == Cost(iterations=1, examples_trained=1)
        totals = [float(score.sum()) for score in scores.values()]
        assert totals == pytest.approx([totals[0]] * 4, rel=1e-12)
        # It is R itself: each path from input to output is counted once in each layer.
        positive = copy.deepcopy(model).double()
        for name, parameter in positive.named_parameters():
            parameter.data = (weights[name] * masks[name]).abs().double()
        flow = float(positive(torch.ones(1, 1, 6, 6).double()).detach().sum())
        assert totals[0] == pytest.approx(flow, rel=1e-12)
        assert all((scores[name][~masks[name]] == 0).all() for name in masks)


def test_flow_is_through_absolute_buffers_too_in_evaluation_mode():
    model = nn.Sequential(nn.Linear(2, 1, bias=False), nn.BatchNorm1d(1, eps=1), nn.Dropout(0.9))
    weights = snapshot(model) | {
        "0.weight": torch.tensor([[-3.0, 2.0]]),
        "1.running_mean": torch.tensor([-1.0]),
        "1.running_var": torch.tensor([3.0]),
        "1.weight": torch.tensor([-6.0]),
    }
    problem = problem_of(model, torch.zeros(4, 2), torch.zeros(4, dtype=torch.int64))
    found = synaptic_flow(problem, weights, {"0.weight": torch.ones(1, 2).bool()})
    # (3 + 2 - 1) / sqrt(3 + 1) * 6: each weight's share is 6 / 2.
    assert found["0.weight"].tolist() == [[3.0, 3.0]]
    assert found["0.weight"].dtype == torch.float64


@pytest.mark.parametrize(("mean", "open_to"), [(4.0, 1.0), (6.0, 0.0), (-6.0, 0.0)])
def test_a_trained_running_mean_above_the_flow_stops_it(mean, open_to):
    model = nn.Sequential(nn.Linear(2, 1, bias=False), nn.BatchNorm1d(1), nn.ReLU())
    weights = snapshot(model) | {
        "0.weight": torch.tensor([[-3.0, 2.0]]),
        "1.running_mean": torch.tensor([mean]),
    }
    problem = problem_of(model, torch.zeros(4, 2), torch.zeros(4, dtype=torch.int64))
    found = synaptic_flow(problem, weights, {"0.weight": torch.ones(1, 2).bool()})
    torch.testing.assert_close(
        found["0.weight"], torch.full((1, 2), open_to).double(), rtol=1e-4, atol=0
    )


def test_flow_through_many_layers_does_not_overflow():
    model = nn.Sequential(*(nn.Linear(30, 30) for _ in range(40)))
    problem = problem_of(model, torch.zeros(2, 30), torch.arange(2))
    # Each layer multiplies the flow by thirty.
    weights = {name: torch.ones_like(value) for name, value in snapshot(model).items()}
    scores, _ = synflow_scores(problem, weights, masks_of(model), seed=0)
    assert all(score.isfinite().all() for score in scores.values())
    assert float(scores["0.weight"].sum()) > 1e50


class Deep(nn.Sequential):
    """Seven layers, the middle ones wide: single-shot scores empty those or the thin ones."""

    def __init__(self):
        torch.manual_seed(0)
        widths = (1, 4, 8, 16, 16, 8)
        layers = []
        for before, after in itertools.pairwise(widths):
            layers += [nn.Conv2d(before, after, 3, padding=1, bias=False), nn.ReLU()]
        super().__init__(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 10))


def pruned_to(problem, weights, masks, weights_left, rounds, score):
    """Prune down to a number of weights, by as many equal shares of those left as rounds."""
    total = kept(masks)
    for number in range(1, rounds + 1):
        scores, _ = score(problem, weights, masks, seed=0)
        aim = round(total * (weights_left / total) ** (number / rounds))
        masks = prune(scores, masks, 1 - aim / kept(masks), allow_empty=True)
    return masks


def test_a_hundred_rounds_of_synflow_empty_no_layer(digits):
    with torch.random.fork_rng():
        model = Deep()
    problem = problem_of(model, digits[0][:200], digits[1][:200])
    weights, masks = snapshot(model), masks_of(model)
    # With six layers, six weights are the least that let anything through.
    for left in (200, 40, 12, 6):
        found = pruned_to(problem, weights, masks, left, 100, synflow_scores)
        assert kept(found) == left
        assert all(mask.any() for mask in found.values())
    once = {
        score: pruned_to(problem, weights, masks, 40, 1, score)
        for score in (snip_scores, synflow_scores)
    }
    assert not all(mask.any() for mask in once[snip_scores].values())
    assert not all(mask.any() for mask in once[synflow_scores].values())


def test_a_balanced_batch_has_as_many_of_each_class():
    labels = torch.tensor([5] * 40 + [0] * 30 + [2] * 3)
    examples = TensorExamples(torch.zeros(73, 1), labels)
    ids = balanced_batch(examples, 10, seed=0)
    assert ids.dtype == torch.int64
    assert len(ids.unique()) == len(ids) == 23
    assert labels[ids].bincount().tolist() == [10, 0, 3, 0, 0, 10]
    # In no order of classes: a batch of the first ten is of several.
    assert len(labels[ids[:10]].unique()) > 1
    assert torch.equal(balanced_batch(examples, 10, seed=0), ids)
    assert not torch.equal(balanced_batch(examples, 10, seed=1).sort().values, ids.sort().values)


def test_where_classes_are_unknown_a_batch_is_drawn_from_all():
    examples = TensorExamples(torch.zeros(300, 1), torch.zeros(300))
    ids = balanced_batch(examples, 4, seed=0)
    assert len(ids.unique()) == len(ids) == 40
    assert len(balanced_batch(examples, 100, seed=0)) == 300


def test_costs_count_batches_and_examples(digit_problem):
    problem = Problem(**{**vars(digit_problem), "batch_size": 30})
    weights, masks = snapshot(problem.model), masks_of(problem.model)
    # A hundred digits in batches of 30, 30, 30 and 10.
    assert snip_scores(problem, weights, masks, seed=0)[1] == Cost(4, 100)
    assert grasp_scores(problem, weights, masks, seed=0)[1] == Cost(8, 200)


def test_another_model_s_masks_and_weights_are_refused(digit_problem):
    weights, masks = snapshot(digit_problem.model), masks_of(digit_problem.model)
    for score in SCORES:
        with pytest.raises(PracError, match="mask 'x' has no parameter"):
            score(digit_problem, weights, {"x": torch.ones(1).bool()}, seed=0)
        with pytest.raises(PracError, match=r"'0.weight' is not among the weights"):
            score(digit_problem, {}, masks, seed=0)
    with pytest.raises(PracError, match="no training examples"):
        loss_gradients(digit_problem, weights, masks, torch.zeros(0, dtype=torch.int64))


class Casting(nn.Linear):
    def forward(self, x):
        return super().forward(x.float())


def test_what_synflow_cannot_score_is_said():
    y = torch.arange(2)
    words = nn.Sequential(nn.Embedding(3, 2), nn.Flatten(), nn.Linear(4, 2))
    problem = problem_of(words, torch.zeros(2, 2, dtype=torch.int64), y)
    with pytest.raises(PracError, match=r"examples are torch.int64: SynFlow needs"):
        synflow_scores(problem, snapshot(words), masks_of(words), seed=0)
    snip_scores(problem, snapshot(words), masks_of(words), seed=0)
    casting = Casting(2, 2)
    problem = problem_of(casting, torch.zeros(2, 2), y)
    with pytest.raises(PracError, match=r"does not take one example of ones in float64"):
        synflow_scores(problem, snapshot(casting), masks_of(casting), seed=0)


def test_error_norms_are_of_the_softmax_in_evaluation_mode(digit_problem, val):
    examples = TensorExamples(*val)
    calls = []
    found = el2n_scores(digit_problem, examples, lambda: calls.append(1))
    model = copy.deepcopy(digit_problem.model).eval()
    truth = F.one_hot(val[1], 10)
    expected = (model(val[0]).softmax(1) - truth).square().sum(1).sqrt().detach()
    torch.testing.assert_close(found, expected)
    assert found.dtype == torch.float32
    assert not found.requires_grad
    assert len(calls) == 1


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("score", SCORES)
def test_scores_of_a_gpu_are_close_to_the_cpu_s_and_lie_where_the_weights_do(
    score, small_net, train
):
    model = small_net()
    weights, masks = snapshot(model), masks_of(model, 0.8)
    expected, _ = score(problem_of(model, *train), weights, masks, seed=0)
    runtime = Runtime(torch.device("cuda"), "bf16", "channels-last")
    problem = problem_of(small_net(), *train, runtime=runtime)
    state = torch.cuda.get_rng_state()
    found, _ = score(problem, weights, masks, seed=0)
    assert torch.equal(torch.cuda.get_rng_state(), state)
    for name, values in found.items():
        assert values.device.type == "cpu"
        scale = expected[name].abs().max()
        torch.testing.assert_close(values / scale, expected[name] / scale, rtol=0, atol=0.01)
