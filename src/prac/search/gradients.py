"""Passes over a problem that score its weights by gradients, as pruning at initialisation does.

They work on copies: the problem's model keeps its weights, buffers, gradients and modes, and the
process's generators their state. Arithmetic is in the weights' own type, without autocast: double
backward and tiny gradients need it, and a pass is short.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from prac.algorithms import batch_sizes, grasp, snip, synflow
from prac.data import Examples
from prac.errors import PracError
from prac.models import (
    apply_masks_,
    begin_training_,
    check_masks,
    copied,
    masked,
    restore_,
    tensors_put_back,
)
from prac.runs import Cost
from prac.training import ModelFault, Problem, batch_loss, form_of
from prac.utils import (
    derive_seed,
    generator,
    generators_put_back,
    held_generators,
    mapped,
    one_line,
    own_generators,
    seed_generators_,
)

# Examples of each class that SNIP and GraSP look at: about what their authors took.
PER_CLASS = 10
GRASP_TEMPERATURE = 200.0

Tensors = Mapping[str, Tensor]
Scored = tuple[dict[str, Tensor], Cost]


def loss_gradients(
    problem: Problem, weights: Tensors, masks: Tensors, ids: Tensor
) -> dict[str, Tensor]:
    """Return the gradient of the mean loss over some training examples, as stored.

    The model is in training mode: BatchNorm normalises by each batch. As in training, the examples
    are taken in batches of the problem's size, in the order of `ids`, int64 (k,); where the model
    has BatchNorm, of two at least. The weights are a whole snapshot, buffers included; pruned ones
    count as zero, and have a gradient too. Each is of its weight's shape and on its device.

    Raises:
        PracError: If the weights or masks are another model's, or there are no ids.

    >>> from prac.models import snapshot
    >>> from prac.training import Runtime, Task
    >>> model = torch.nn.Linear(2, 1, bias=False)
    >>> data = torch.tensor([[1.0, 2.0], [1.0, 2.0]]), torch.tensor([0, 0])
    >>> mean_output = Task(loss=lambda outputs, targets: outputs.mean())
    >>> problem = Problem.of(model, data, task=mean_output, runtime=Runtime.choose("cpu"))
    >>> masks = {"weight": torch.ones(1, 2, dtype=torch.bool)}
    >>> loss_gradients(problem, snapshot(model), masks, torch.tensor([0, 1]))["weight"].tolist()
    [[1.0, 2.0]]
    """
    with _copied(problem, weights, masks) as (model, chosen):
        losses = _losses(problem, model, ids)
        total = _added_up((_gradients(loss, chosen) for loss in losses), chosen)
        return _named(total, weights, masks)


def hessian_gradient_products(
    problem: Problem,
    weights: Tensors,
    masks: Tensors,
    ids: Tensor,
    *,
    temperature: float = GRASP_TEMPERATURE,
) -> dict[str, Tensor]:
    """Return Hg: the Hessian of the mean loss over some training examples times its gradient.

    As `loss_gradients`, in two passes. H and g are of the prunable weights alone; of pruned ones g
    is zero, as training does not move them. The outputs are divided by a temperature before the
    loss, as GraSP's authors do: that brings the outputs of an untrained network close together.
    What divides outputs means nothing for most tasks but classification: take 1 there.

    Raises:
        PracError: If the weights or masks are another model's, or there are no ids.

    >>> from prac.training import Runtime, Task
    >>> model = torch.nn.Linear(2, 1, bias=False)
    >>> weights = {"weight": torch.tensor([[1.0, 1.0]])}
    >>> data = torch.tensor([[1.0, 2.0], [1.0, 2.0]]), torch.tensor([0, 0])
    >>> half_square = Task(loss=lambda outputs, targets: outputs.square().mean() / 2)
    >>> problem = Problem.of(model, data, task=half_square, runtime=Runtime.choose("cpu"))
    >>> masks = {"weight": torch.ones(1, 2, dtype=torch.bool)}
    >>> ids = torch.tensor([0, 1])  # g is (w.x) x, H is x x': Hg is (w.x) (x.x) x.
    >>> hessian_gradient_products(problem, weights, masks, ids, temperature=1.0)["weight"].tolist()
    [[15.0, 30.0]]
    """
    # Torch's fused kernels of attention have no second derivative.
    with _copied(problem, weights, masks) as (model, chosen), sdpa_kernel(SDPBackend.MATH):
        losses = partial(_losses, problem, model, ids, temperature)
        gradient = _added_up((_gradients(loss, chosen) for loss in losses()), chosen)
        keep = [mask.to(g.device) for mask, g in zip(masks.values(), gradient, strict=True)]
        gradient = [g * mask for g, mask in zip(gradient, keep, strict=True)]

        def product_of(loss: Tensor) -> Tensor:
            own = _gradients(loss, chosen, create_graph=True)
            # With one factor held, the product's gradient is this batch's part of H times it. The
            # loss times zero is in it for where no gradient depends on any weight.
            return sum(((g * o).sum() for g, o in zip(gradient, own, strict=True)), loss * 0)

        total = _added_up((_gradients(product_of(loss), chosen) for loss in losses()), chosen)
        return _named(total, weights, masks)


def synaptic_flow(problem: Problem, weights: Tensors, masks: Tensors) -> dict[str, Tensor]:
    """Return the gradient of R, the flow through the network, with respect to absolute weights.

    R is the sum of the outputs for one example of ones, every floating-point parameter and buffer
    being replaced by its absolute value. The model is in evaluation mode, where BatchNorm scales by
    its running statistics (at initialisation, by about 1) and dropout does nothing: with ReLU and
    the like, all that flows is positive. Layers that normalise by the example itself (LayerNorm,
    GroupNorm, BatchNorm without running statistics) leave little of a flow of ones to score, and a
    trained BatchNorm subtracts its mean, which may be more than what flows: the score is meant for
    networks at initialisation.
    Arithmetic, and what is returned, is in float64, as products over many layers overflow float32.
    Of the training examples the shape alone is looked at.

    Source: SynFlow (Tanaka et al. 2020, arXiv 2006.05467).

    Raises:
        PracError: If the weights or masks are another model's, the examples are not numbers that
            can be ones, or the model does not take float64.

    >>> from prac.training import Runtime
    >>> model = torch.nn.Sequential(torch.nn.Linear(2, 1, bias=False), torch.nn.Linear(1, 2))
    >>> data = torch.zeros(2, 2), torch.tensor([0, 1])
    >>> problem = Problem.of(model, data, runtime=Runtime.choose("cpu"))
    >>> weights = {
    ...     "0.weight": torch.tensor([[1.0, -2.0]]),
    ...     "1.weight": torch.tensor([[3.0], [-4.0]]),
    ...     "1.bias": torch.zeros(2),
    ... }
    >>> masks = {"0.weight": torch.ones(1, 2).bool(), "1.weight": torch.ones(2, 1).bool()}
    >>> flow = synaptic_flow(problem, weights, masks)
    >>> flow["0.weight"].tolist(), flow["1.weight"].tolist()
    ([[7.0, 7.0]], [[3.0], [3.0]])
    """
    x, _ = next(iter(problem.train.stream([torch.arange(1)])))
    if not isinstance(x, Tensor) or not x.is_floating_point():
        kind = x.dtype if isinstance(x, Tensor) else form_of(x)
        raise PracError(
            f"the examples are {kind}: SynFlow needs a network that takes one tensor of real "
            f"numbers; choose another score"
        )
    with _copied(problem, weights, masks) as (model, chosen):
        model.double().eval()
        with torch.no_grad():
            for tensor in (*model.parameters(), *model.buffers()):
                if tensor.is_floating_point():
                    tensor.abs_()
        try:
            outputs = model(torch.ones_like(x, dtype=torch.float64))
        except ModelFault as error:
            raise PracError(
                f"the model does not take one example of ones in float64, as SynFlow needs it: "
                f"{one_line(error)}; choose another score"
            ) from error
        return _named(_gradients(outputs.sum(), chosen), weights, masks)


def balanced_batch(examples: Examples, per_class: int, seed: int) -> Tensor:
    """Return so many examples of each class, drawn from `seed`; all of a class that has no more.

    Where classes are not known, ten times as many are drawn from all.

    Returns:
        int64 (k,), in a drawn order: batches cut from it hold all classes.

    >>> from prac.data import TensorExamples
    >>> examples = TensorExamples(torch.zeros(6, 1), torch.tensor([0, 0, 0, 0, 1, 1]))
    >>> examples.labels[balanced_batch(examples, 2, seed=0)].sort().values.tolist()
    [0, 0, 1, 1]
    """
    source = generator(seed)
    order = torch.randperm(len(examples), generator=source)
    if examples.labels is None:
        return order[: per_class * 10]
    labels = examples.labels.cpu()
    by_class = order[labels[order].argsort(stable=True)]
    counts = labels[by_class].unique_consecutive(return_counts=True)[1]
    first = (counts.cumsum(0) - counts).repeat_interleave(counts)
    chosen = by_class[torch.arange(len(by_class)) - first < per_class]
    return chosen[torch.randperm(len(chosen), generator=source)]


def snip_scores(problem: Problem, weights: Tensors, masks: Tensors, seed: int) -> Scored:
    """Score prunable weights by SNIP over a balanced batch of training examples, drawn from `seed`.

    Returns:
        Scores by name of `masks`, higher being worth keeping, and what they cost; the seconds are
        for the caller to take.

    Raises:
        PracError: If the weights or masks are another model's.
    """
    ids = balanced_batch(problem.train, PER_CLASS, derive_seed(seed, "balanced batch"))
    gradients = loss_gradients(problem, weights, masks, ids)
    return snip(masked(weights, masks), gradients), _cost(problem, ids)


def grasp_scores(problem: Problem, weights: Tensors, masks: Tensors, seed: int) -> Scored:
    """Score prunable weights by GraSP over a balanced batch, as `snip_scores`.

    The temperature is GraSP's published one in classification, and 1 in other tasks.
    """
    ids = balanced_batch(problem.train, PER_CLASS, derive_seed(seed, "balanced batch"))
    temperature = GRASP_TEMPERATURE if problem.is_classification else 1.0
    products = hessian_gradient_products(problem, weights, masks, ids, temperature=temperature)
    # Two passes: the gradient, and its product with the Hessian.
    return grasp(masked(weights, masks), products), _cost(problem, ids) + _cost(problem, ids)


def synflow_scores(problem: Problem, weights: Tensors, masks: Tensors, seed: int) -> Scored:
    """Score prunable weights by SynFlow, as `snip_scores`; no data is looked at.

    A round costs one iteration on one example. `seed` is there for all scores to be called alike.
    """
    gradients = synaptic_flow(problem, weights, masks)
    return synflow(masked(weights, masks), gradients), Cost(iterations=1, examples_trained=1)


def _cost(problem: Problem, ids: Tensor) -> Cost:
    """Return the cost of one forward and backward pass over examples, in batches."""
    batches = len(batch_sizes(len(ids), problem.batch_size))
    return Cost(iterations=batches, examples_trained=len(ids))


@contextmanager
def _copied(
    problem: Problem, weights: Tensors, masks: Tensors
) -> Iterator[tuple[nn.Module, list[Tensor]]]:
    """Lend a masked copy of the model in training mode, and its weights by the masks' order."""
    check_masks(problem.model, masks)
    held = held_generators(problem.model)  # Some are shared with a copy.
    drawing = generators_put_back(problem.runtime.device, held)
    with tensors_put_back(problem.model), drawing, torch.enable_grad():
        model = copied(problem.model)
        begin_training_(model)
        restore_(model, weights)
        parameters = dict(model.named_parameters())
        for name, parameter in parameters.items():
            # Gradients of nothing else are asked for; and of frozen ones, if they may be pruned.
            parameter.requires_grad_(name in masks)
        chosen: list[Tensor] = [parameters[name] for name in masks]
        apply_masks_((w, masks[name].to(w.device)) for name, w in zip(masks, chosen, strict=True))
        yield model, chosen


def _losses(
    problem: Problem, model: nn.Module, ids: Tensor, temperature: float = 1.0
) -> Iterator[Tensor]:
    """Yield each batch's part of the mean loss over examples: the parts add up to it."""
    if not len(ids):
        raise PracError("no training examples were chosen to take gradients over")
    generators = [*own_generators(problem.runtime.device), *held_generators(model)]
    batches: Sequence[Tensor] = ids.split(batch_sizes(len(ids), problem.batch_size))
    for number, (x, y) in enumerate(problem.train.stream(batches)):
        # Dropout and the like: every pass over the same examples draws the same.
        seed_generators_(derive_seed("gradients", number), generators)
        made = problem.task.made(model, problem.runtime.to_memory_format(x), y)
        made = made._replace(outputs=mapped(lambda of: of / temperature, made.outputs))
        yield batch_loss(problem.task, made, y) * (len(batches[number]) / len(ids))


def _gradients(of: Tensor, weights: list[Tensor], *, create_graph: bool = False) -> list[Tensor]:
    found: tuple[Tensor, ...] = torch.autograd.grad(
        of, weights, create_graph=create_graph, allow_unused=True, materialize_grads=True
    )
    return list(found)


def _added_up(parts: Iterable[list[Tensor]], weights: list[Tensor]) -> list[Tensor]:
    total = [torch.zeros_like(weight, requires_grad=False) for weight in weights]
    for part in parts:
        total = [a + b.detach() for a, b in zip(total, part, strict=True)]
    return total


def _named(values: list[Tensor], weights: Tensors, masks: Tensors) -> dict[str, Tensor]:
    """Return the values by the masks' names, each on the device that its weight came on."""
    return {
        name: value.detach().to(weights[name].device)
        for name, value in zip(masks, values, strict=True)
    }
