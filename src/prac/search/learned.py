"""Masks that are learned, over weights that stay as they are at the rewind point.

What trains are scores in the prunable weights' place: logits of a relaxed mask for Concrete Ticket
Search (Arora and Teuscher 2025, arXiv 2512.07142), numbers that are rounded to a mask for Gem-Miner
(Sreenivasan et al. 2022, arXiv 2202.12002). A level's pruning then takes the lowest of them, in the
exact counts of any search, and the next level's learning goes on from those that are left.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn.modules.batchnorm import _BatchNorm

from prac.algorithms import Masks, kept
from prac.config import SearchConfig, TrainConfig
from prac.models import evaluating, masked, tied
from prac.runs import RunState, Weights
from prac.search.parts import Rules
from prac.search.plan import SearchPlan
from prac.search.prune import at_end, groups, kept_at_start, on_the_way
from prac.search.run import SearchRun
from prac.search.sampling import sample_rule
from prac.training import Objective, Problem, Task, Training, batch_loss, train_level
from prac.utils import Tree, derive_seed, generator

TEMPERATURE = 2 / 3
"""Of the relaxed masks: what Maddison et al. (2016, arXiv 1611.00712) found best for two values."""
SCORE_DECAY = 2e-4
"""Gem-Miner's weight decay of the scores: the gradient of 1e-4 times their squares."""

Tensors = Mapping[str, Tensor]


def concrete_sample(logits: Tensor) -> Tensor:
    """Return a relaxed mask, values from 0 to 1, drawn from torch's global generator.

    A value is above 1/2 with the probability that its logit stands for: the binary Concrete
    distribution (Maddison et al. 2016, arXiv 1611.00712; Jang et al. 2016, arXiv 1611.01144).
    """
    noise = torch.rand_like(logits).logit(eps=1e-6)
    sample: Tensor = ((logits + noise) / TEMPERATURE).sigmoid()
    return sample


def rounded(scores: Tensor) -> Tensor:
    """Return a mask of 0 and 1 by rounding, whose gradient is the scores' own (straight-through).

    >>> scores = torch.tensor([0.2, 0.5, 0.9], requires_grad=True)
    >>> (rounded(scores) * torch.tensor([1.0, 2.0, 3.0])).sum().backward()
    >>> rounded(scores).tolist(), scores.grad.tolist()
    ([0.0, 1.0, 1.0], [1.0, 2.0, 3.0])
    """
    mask: Tensor = (scores >= 0.5).to(scores.dtype) + (scores - scores.detach())
    return mask


def balanced(of_loss: list[Tensor], logits: list[Tensor], keeps: int) -> list[Tensor]:
    """Return gradients that go down a loss, and as far towards a number of weights (GradBalance).

    The gradient of the expected number of weights kept is scaled to the norm of the loss's, and
    points down where more are expected than `keeps`, up where fewer are. Where the paper's authors
    smooth that factor over steps, the optimiser's momentum does here.

    Args:
        of_loss: Gradients of the loss with respect to each of `logits`.
        logits: Of the weights not pruned yet; minus infinity for the others.
        keeps: How many weights are to be kept.

    >>> towards = balanced([torch.tensor([3.0, 4.0])], [torch.tensor([0.0, 0.0])], keeps=0)
    >>> [round(value, 3) for value in towards[0].tolist()]
    [6.536, 7.536]
    """
    chances = [each.detach().sigmoid() for each in logits]
    excess = torch.stack([chance.sum() for chance in chances]).sum() - keeps
    of_count = [chance * (1 - chance) for chance in chances]
    scale = excess.sign() * _norm(of_loss) / _norm(of_count).clamp_min(1e-12)
    return [g + scale * d for g, d in zip(of_loss, of_count, strict=True)]


def _norm(tensors: list[Tensor]) -> Tensor:
    norm: Tensor = torch.stack([each.norm() for each in tensors]).norm()
    return norm


def reverse_kl(sparse: Tensor, dense: Tensor) -> Tensor:
    """Return the mean divergence of (n, classes, ...) sparse outputs from the dense network's.

    KL(sparse || dense): what the dense network holds for unlikely, the sparse one must not hold for
    likely.

    >>> reverse_kl(torch.tensor([[0.0, 0.0]]), torch.tensor([[0.0, 0.0]])).item()
    0.0
    """
    log_sparse, log_dense = sparse.float().log_softmax(1), dense.float().log_softmax(1)
    divergence: Tensor = (log_sparse.exp() * (log_sparse - log_dense)).sum(1).mean()
    return divergence


@dataclass(frozen=True)
class GemMiner:
    """Scores from 0 to 1 that are rounded to a mask, in training mode.

    Attributes:
        kept: The prunable weights, zero where they are pruned, on the model's device.
        task: Whose loss is to be low.
    """

    kept: Tensors
    task: Task

    def __call__(self, model: nn.Module, x: Tree, y: Tree) -> tuple[Tensor, Tree]:
        """Return the loss and the outputs, the scores put back between 0 and 1 before."""
        weights: dict[str, Tensor] = {}
        for name, weight in self.kept.items():
            scores = model.get_parameter(name)
            with torch.no_grad():
                scores.clamp_(0, 1)
            weights[name] = weight * rounded(scores)
        made = self.task.made(_with(model, weights), x, y)
        return batch_loss(self.task, made, y), made.outputs


@dataclass(frozen=True)
class Concrete:
    """Logits of a relaxed mask; nothing but the mask is drawn, and the model's buffers stay.

    BatchNorm normalises by the batch, as in training: soon after the initialisation its statistics
    are no network's yet, and the dense outputs that they give are none to go by. (The paper's
    authors evaluate at such a point.)

    Attributes:
        kept: The prunable weights, zero where they are pruned, on the model's device.
        pruned: Where that is.
        keeps: How many weights are to be kept, by the names of those that are ranked together.
        task: What of the model's outputs counts, and without `dense` whose loss is to be low.
        dense: All the prunable weights, from whose outputs those of the sparse network are to
            diverge little; None where the task's loss counts.
        divergence: (sparse outputs, dense outputs) -> what is to be low then.
    """

    kept: Tensors
    pruned: Tensors
    keeps: Mapping[tuple[str, ...], int]
    task: Task
    dense: Tensors | None
    divergence: Callable[[Tree, Tree], Tensor] = reverse_kl

    def __call__(self, model: nn.Module, x: Tree, y: Tree) -> tuple[Tensor, Tree]:
        """Return the loss, whose gradients are balanced with the density's, and the outputs."""
        logits = {name: model.get_parameter(name) for name in self.kept}
        target: Tree = None
        with only_normalising(model) as buffers:
            if self.dense is not None:
                with torch.no_grad():
                    target = self.task.made(_with(model, {**self.dense, **buffers}), x, y).outputs
            sampled = {name: concrete_sample(logit) for name, logit in logits.items()}
            weights = {name: weight * sampled[name] for name, weight in self.kept.items()}
            made = self.task.made(_with(model, {**weights, **buffers}), x, y)
        if self.dense is not None:
            loss = self.divergence(made.outputs, target)
        else:
            loss = batch_loss(self.task, made, y)
        found = torch.autograd.grad(
            loss, list(logits.values()), allow_unused=True, materialize_grads=True
        )
        gradients = dict(zip(logits, found, strict=True))
        descent = torch.zeros_like(loss)
        for names, count in self.keeps.items():
            left = [logits[n].detach().masked_fill(self.pruned[n], -torch.inf) for n in names]
            towards = balanced([gradients[name] for name in names], left, count)
            for name, gradient in zip(names, towards, strict=True):
                descent = descent + (logits[name] * gradient).sum()
        # The loss's value, with these gradients.
        return loss.detach() + (descent - descent.detach()), made.outputs


def _with(model: nn.Module, tensors: Tensors) -> Callable[..., Any]:
    """Return a model as a function, with other tensors in the places of its own."""
    return lambda *given, **named: functional_call(model, dict(tensors), given, named)


def learn(
    problem: Problem, state: RunState, plan: SearchPlan, rules: Rules, run: SearchRun
) -> RunState:
    """Learn a level's scores towards the density that comes next, from those of the level before.

    The dense level first trains the network up to the rewind point, as any search does: a stage of
    its own. Where the levels after this one are not trained, the density is the last one's.
    """
    config = plan.config
    if not state.stage:
        state = at_rewind_point(problem, state, plan, run)
        run.begin_level(state)
    length = plan.level(state.level, len(state.members))
    seed = derive_seed(config.seed, "learned", state.level)
    train, steps = how_trained(config), config.level.prunings
    candidate = at_end(rules, plan, state.level, steps)
    fixed = state.rewind
    assert fixed is not None, "masks are learned from the rewind point on"
    further = tied(problem.model)

    def as_network(state: RunState) -> Weights:
        """Return the fixed weights under the masks that a pruning would give now."""
        assert state.candidate is not None, "an epoch has ended"
        weights = masked(fixed, state.candidate)
        prunables = {name for name in weights if further.get(name, name) in state.masks}
        alike = {name: weights[further.get(name, name)] for name in prunables}
        return {name: alike.get(name, tensor) for name, tensor in state.weights.items()}

    training = Training(
        length,
        train,
        seed=seed,
        candidate=candidate,
        distance_over=plan.distance_over(state.level),
        stop=rules.stop,
        prunings=on_the_way(rules, plan, length, steps),
        sample=sample_rule(
            config.sample, epochs=length.scheduled_epochs, least=train.batch_size, seed=seed
        ),
        objective=lambda state: objective_of(problem, state, plan),
        scored_passes=int(config.prune.score == "cts"),
        as_network=as_network,
    )
    # Step by step: what is captured or compiled are steps of the network itself.
    eager = replace(problem, runtime=replace(problem.runtime, execution="eager"))
    with only_training(problem.model, state.masks):
        return train_level(eager, run.folder, state, training, run.options)


def at_rewind_point(
    problem: Problem, state: RunState, plan: SearchPlan, run: SearchRun
) -> RunState:
    """Return the state after the dense training to the rewind point, scores in weights' place."""
    config, point = plan.config, plan.before_learning
    if point:
        training = Training(
            plan.to_rewind_point(len(state.members)),
            config.train,
            seed=derive_seed(config.seed, "level", 0),
            mark=point,
            sample=sample_rule(
                config.sample,
                epochs=plan.level(0, len(state.members)).scheduled_epochs,
                least=config.train.batch_size,
                seed=derive_seed(config.seed, "level", 0),
            ),
            until=point,
        )
        state = train_level(problem, run.folder, state, training, run.options)
    else:
        state = replace(state, rewind=state.weights)
    assert state.rewind is not None, "the training has passed the rewind point"
    scores = first_scores(state.rewind, state.masks, plan)
    weights = dict(state.rewind) | scores
    further = tied(problem.model)
    weights |= {name: scores[of] for name, of in further.items() if of in scores}
    return replace(
        state,
        stage=1,
        step=0,
        weights=weights,
        optimizer={},
        average=None,
        epoch_losses=state.epoch_losses[:0],
        epoch_examples=0,
        epoch_correct=0,
    )


def first_scores(weights: Tensors, masks: Masks, plan: SearchPlan) -> dict[str, Tensor]:
    """Return what learning begins with, of the weights' shapes and types.

    Gem-Miner's scores are drawn evenly from 0 to 1. All logits are such that as many weights are
    expected to be kept as are to be.
    """
    config, like = plan.config, {name: weights[name] for name in masks}
    if config.prune.score == "gem-miner":
        source = generator(derive_seed(config.seed, "scores"))
        return {
            name: torch.rand(weight.shape, generator=source).to(weight.dtype)
            for name, weight in like.items()
        }
    logits: dict[str, Tensor] = {}
    for names, count in _keeps(masks, plan, 0).items():
        share = count / max(kept({name: masks[name] for name in names}), 1)
        logit = float(torch.tensor(share, dtype=torch.float64).logit(eps=1e-6))
        logits |= {name: torch.full_like(like[name], logit) for name in names}
    return {name: logits[name] for name in masks}


def _keeps(masks: Masks, plan: SearchPlan, level: int) -> dict[tuple[str, ...], int]:
    """Return how many weights a level's learning is to keep, by names that are ranked together."""
    end = level + plan.stretch(level)
    together = groups(masks, plan.config.prune)
    counts = kept_at_start(masks, plan.config.prune, end)
    return {tuple(names): count for names, count in zip(together, counts, strict=True)}


def objective_of(problem: Problem, state: RunState, plan: SearchPlan) -> Objective:
    """Return what a level's learning descends under a state's masks."""
    device, score = problem.runtime.device, plan.config.prune.score
    assert state.rewind is not None, "masks are learned from the rewind point on"
    fixed = {name: state.rewind[name].to(device) for name in state.masks}
    masks = {name: mask.to(device) for name, mask in state.masks.items()}
    left = masked(fixed, masks)

    if score == "gem-miner":
        return GemMiner(left, problem.task)
    pruned = {name: ~mask for name, mask in masks.items()}
    dense = fixed if score == "cts" else None
    return Concrete(left, pruned, _keeps(state.masks, plan, state.level), problem.task, dense)


def how_trained(config: SearchConfig) -> TrainConfig:
    """Return how a method's scores are trained; their rate and its schedule are the level's.

    What else is set of a training is about the network's weights: their optimiser, gradients, their
    average, and batches that they fit.
    """
    of_weights = ("optimizer_args", "decay_norms", "clip_norm", "accumulate", "ema_decay")
    of_batches = ("batch_transform", "batch_transform_args")
    usual = {name: getattr(TrainConfig(), name) for name in (*of_weights, *of_batches)}
    train = replace(config.train, **usual)
    if config.prune.score == "gem-miner":
        return replace(train, optimizer="sgd", momentum=0.9, weight_decay=SCORE_DECAY)
    return replace(train, optimizer="adam", momentum=0.9, weight_decay=0.0)


@contextmanager
def only_normalising(model: nn.Module) -> Iterator[dict[str, Tensor]]:
    """Put a model into evaluation mode but for BatchNorms that train; lend copies of its buffers.

    What a pass with these writes, such as running statistics, is the copies'.
    """
    norms = [m for m in model.modules() if isinstance(m, _BatchNorm) and m.training]
    with evaluating(model):
        for norm in norms:
            norm.training = True
        yield {name: buffer.clone() for name, buffer in model.named_buffers()}


@contextmanager
def only_training(model: nn.Module, names: Mapping[str, object]) -> Iterator[None]:
    """Let gradients reach the named parameters alone, and put back in the end which they reach."""
    reached = [(parameter, parameter.requires_grad) for parameter in model.parameters()]
    try:
        for name, parameter in model.named_parameters():
            parameter.requires_grad_(name in names)
        yield
    finally:
        for parameter, before in reached:
            parameter.requires_grad_(before)
