"""Training that has diverged: nothing from there on is worth keeping."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn

from prac.algorithms import Plan
from prac.errors import PracError
from prac.runs import RunState
from prac.training.loop import Segment
from prac.utils import flattened


def check_converging(state: RunState, segment: Segment, model: nn.Module, plan: Plan) -> None:
    """Raise a PracError if training has diverged: nothing from there on is worth keeping."""
    what, iteration = "the loss is", segment.diverged_at
    each = segment.example_losses
    if iteration is None and each is not None and not bool(each.isfinite().all()):
        bad = int(segment.ids[int((~each.isfinite()).nonzero()[0])])
        raise PracError(
            f"an example's loss is not finite at level {state.level}, epoch "
            f"{plan.epochs_begun(segment.step)}: the task's `losses` gave it for example {bad}, "
            f"although `loss`, their mean over a batch, is finite: mend `losses`"
        )
    if iteration is None:
        finite = [values.isfinite().all() for values in _by_type(model.parameters())]
        # A buffer may be infinite, as an attention mask is.
        finite += [~values.isnan().any() for values in _by_type(model.buffers())]
        if bool(torch.stack(finite).all()):
            return
        what, iteration = "a weight is", segment.step
    raise PracError(
        f"{what} not finite at level {state.level}, epoch {plan.epochs_begun(iteration)}, "
        f"iteration {iteration}: try a lower --lr, a --warmup, or --precision fp32, in another "
        f"--out; the run folder keeps the state before it"
    )


def _by_type(tensors: Iterable[Tensor]) -> list[Tensor]:
    """Return the floating-point ones flattened, a tensor a type, but for sparse buffers."""
    found: dict[torch.dtype, list[Tensor]] = {}
    for tensor in tensors:
        if tensor.is_floating_point() and tensor.layout is torch.strided:
            if tensor.element_size() == 1:  # Of which torch does not ask whether they are finite.
                tensor = tensor.float()
            found.setdefault(tensor.dtype, []).append(tensor)
    return [flattened(group) for group in found.values()]
