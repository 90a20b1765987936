"""Masks hold after every step of any optimiser, whatever wraps it; where they cannot, a line."""

from __future__ import annotations

import copy
import gc
import pickle
import weakref
from collections import OrderedDict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

import prac
from prac.algorithms import Masks
from prac.loops.wrapped import weights_by_own_names

X = torch.randn(16, 6, generator=torch.Generator().manual_seed(0))
Y = torch.arange(16) % 3


def network(seed: int = 0) -> nn.Sequential:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 3))


def masks_of(model: nn.Module, seed: int = 0) -> Masks:
    drawn = torch.Generator().manual_seed(seed)
    weights = weights_by_own_names(model).items()
    return {n: torch.rand(w.shape, generator=drawn) > 0.5 for n, w in weights if w.ndim == 2}


def loss(model: nn.Module) -> Tensor:
    dtype = next(model.parameters()).dtype
    return F.cross_entropy(model(X.to(dtype)).float(), Y)


def step(model: nn.Module, optimizer: torch.optim.Optimizer, times: int = 1) -> None:
    for _ in range(times):
        optimizer.zero_grad()
        loss(model).backward()
        optimizer.step()


def holds(model: nn.Module, masks: Masks) -> bool:
    """Say whether exactly the pruned weights are zero."""
    weights = weights_by_own_names(model)
    return all(torch.equal(weights[name].detach() != 0, mask) for name, mask in masks.items())


def sgd(model: nn.Module, weight_decay: float = 0) -> torch.optim.SGD:
    return torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9, weight_decay=weight_decay)


def test_a_hand_sized_example():
    layer = nn.Linear(2, 1, bias=False)
    layer.weight.data = torch.tensor([[2.0, 3.0]])
    optimizer = torch.optim.SGD(layer.parameters(), lr=0.5, weight_decay=0.1)
    attachment = prac.attach(layer, optimizer, {"weight": torch.tensor([[True, False]])})
    assert layer.weight.tolist() == [[2, 0]]
    layer(torch.ones(1, 2)).sum().backward()
    optimizer.step()
    assert layer.weight.tolist() == [[pytest.approx(2 - 0.5 * (1 + 0.1 * 2)), 0]]
    attachment.check()
    assert (attachment.density, attachment.is_attached) == (0.5, True)
    assert repr(attachment) == "<Attachment: 1 of 2 weights kept in 1 layers, attached>"
    attachment.detach()
    optimizer.step()
    assert layer.weight[0, 1] == -0.5
    assert attachment.masks["weight"].tolist() == [[True, False]]


@pytest.mark.parametrize(
    ("kind", "settings"),
    [
        ("SGD", {"momentum": 0.9, "weight_decay": 0.1, "nesterov": True}),
        ("SGD", {"momentum": 0.9, "fused": True}),
        ("SGD", {"foreach": False}),
        ("Adam", {"weight_decay": 0.1, "amsgrad": True}),
        ("AdamW", {"fused": True}),
        ("AdamW", {"foreach": True}),
        *((kind, {}) for kind in ("RMSprop", "Adagrad", "Adadelta", "NAdam", "RAdam", "Rprop")),
        *((kind, {}) for kind in ("Adamax", "ASGD", "Adafactor")),
    ],
)
def test_masks_hold_after_every_step_as_if_put_on_by_hand(kind, settings):
    model = network()
    optimizer = getattr(torch.optim, kind)(model.parameters(), **settings)
    step(model, optimizer, 2)  # Training has begun dense.
    masks = masks_of(model)
    prac.attach(model, optimizer, masks)
    gathered = [
        value[~mask]
        for name, mask in masks.items()
        for value in optimizer.state[model.get_parameter(name)].values()
        if isinstance(value, Tensor) and value.shape == mask.shape
    ]
    assert not torch.cat([*gathered, torch.zeros(1)]).any()
    assert gathered or not optimizer.state or kind in ("Adafactor", "SGD")

    by_hand = copy.deepcopy(model)
    other = getattr(torch.optim, kind)(by_hand.parameters(), **settings)
    other.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    for _ in range(3):
        step(model, optimizer)
        step(by_hand, other)
        assert holds(model, masks)
        assert not holds(by_hand, masks)
        for name, mask in masks.items():
            by_hand.get_parameter(name).data.mul_(mask)
    for one, two in zip(model.parameters(), by_hand.parameters(), strict=True):
        assert torch.equal(one, two)


@given(st.lists(st.booleans(), min_size=48, max_size=48), st.integers(0, 9), st.booleans())
def test_any_mask_holds_and_a_full_one_changes_nothing(kept, seed, decays):
    model, dense = network(seed), network(seed)
    mask = torch.tensor(kept).reshape(8, 6)
    optimizer, other = sgd(model, 0.1 * decays), sgd(dense, 0.1 * decays)
    with prac.attach(model, optimizer, {"0.weight": mask}):
        step(model, optimizer, 2)
        assert holds(model, {"0.weight": mask})
    step(dense, other, 2)
    same = all(map(torch.equal, model.parameters(), dense.parameters()))
    assert same == all(kept)


def test_of_a_ticket_the_masks_are_taken_and_the_weights_left():
    model, start = network(1), network(0)
    masks, optimizer = masks_of(model), sgd(model)
    ticket = prac.Ticket(dict(start.state_dict()), masks)
    attachment = prac.attach(model, optimizer, ticket)
    assert attachment.density == ticket.density
    for name, mask in masks.items():
        assert torch.equal(model.get_parameter(name), network(1).get_parameter(name) * mask)
    step(model, optimizer)
    assert holds(model, masks)
    ticket.apply(model)
    for name, mask in masks.items():
        assert torch.equal(model.get_parameter(name), start.get_parameter(name) * mask)
    attachment.check()


def compiled(model: nn.Module) -> nn.Module:
    return torch.compile(model, backend="eager")  # type: ignore[return-value]


def layer_compiled(model: nn.Sequential) -> nn.Module:
    model[0] = compiled(model[0])
    return model


@pytest.mark.parametrize(
    ("wrap", "is_wrapped_first"),
    [
        *((wrap, first) for wrap in (compiled, layer_compiled, nn.DataParallel) for first in "ny"),
        (torch.jit.script, "y"),  # It makes another model, though of the same parameters.
    ],
)
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
def test_wrapped_models_keep_their_users_names(wrap, is_wrapped_first):
    model = network()
    masks, optimizer = masks_of(model), sgd(model)
    first = wrap(model) if is_wrapped_first == "y" else model
    attachment = prac.attach(first, optimizer, masks)
    wrapped = first if is_wrapped_first == "y" else wrap(model)
    for _ in range(2):
        step(wrapped, optimizer)
        assert holds(wrapped, masks)
    attachment.check()
    prac.detach(wrapped)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_masks_hold_in_a_compiled_step():
    model = network()
    masks, optimizer = masks_of(model), torch.optim.Adam(model.parameters())
    prac.attach(model, optimizer, masks)
    update = torch.compile(lambda: optimizer.step(), backend="eager")
    for _ in range(2):
        loss(model).backward()
        update()
        assert holds(model, masks)


def test_masks_follow_the_weights_to_other_types():
    model = network()
    masks = masks_of(model)
    optimizer = sgd(model)
    prac.attach(model, optimizer, masks)
    for dtype in (torch.float64, torch.bfloat16, torch.float32):
        model.to(dtype)
        optimizer.state.clear()
        step(model, optimizer, 2)
        assert holds(model, masks)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_masks_follow_the_weights_to_another_device():
    model = network()
    masks, optimizer = masks_of(model), torch.optim.AdamW(model.parameters(), fused=True)
    prac.attach(model, optimizer, masks)
    model.cuda()
    x, y = X.cuda(), Y.cuda()
    for _ in range(2):
        optimizer.zero_grad()
        F.cross_entropy(model(x), y).backward()
        optimizer.step()
        weights = {name: model.get_parameter(name).detach().cpu() for name in masks}
        assert all(torch.equal(weights[name] != 0, mask) for name, mask in masks.items())


def test_a_skipped_step_of_a_gradient_scaler_is_none():
    model = network()
    masks, optimizer = masks_of(model), sgd(model)
    scaler = torch.amp.GradScaler("cpu", init_scale=8.0)
    attachment = prac.attach(model, optimizer, masks)
    for factor in (1.0, float("inf"), 1.0):
        optimizer.zero_grad()
        scaler.scale(loss(model) * factor).backward()
        scaler.step(optimizer)
        scaler.update()
        assert holds(model, masks)
    attachment.check()


def test_lbfgs_holds_after_its_step():
    model = network()
    masks = masks_of(model)
    optimizer = torch.optim.LBFGS(model.parameters(), line_search_fn="strong_wolfe", max_iter=3)
    seen = []

    def closure() -> Tensor:
        optimizer.zero_grad()
        seen.append(holds(model, masks))
        value = loss(model)
        value.backward()
        return value

    with prac.attach(model, optimizer, masks):
        for _ in range(2):
            optimizer.step(closure)
            assert holds(model, masks)
    assert not all(seen), "as the docstring says"


class Lookahead(torch.optim.Optimizer):
    """As timm's: without `Optimizer.__init__`, so that torch's hooks come late or not at all."""

    def __init__(self, base: torch.optim.Optimizer) -> None:
        self._base_optimizer = base
        self.param_groups, self.state, self.defaults = base.param_groups, base.state, base.defaults
        self._optimizer_step_pre_hooks, self._optimizer_step_post_hooks = (
            OrderedDict(),
            OrderedDict(),
        )
        self.slow = {}

    def step(self, closure=None):
        self._base_optimizer.step(closure)
        for parameter in self.param_groups[0]["params"]:
            slow = self.slow.setdefault(parameter, parameter.detach().clone())
            slow.lerp_(parameter.detach(), 0.5)
            parameter.data.copy_(slow)


class Sharp(torch.optim.Optimizer):
    """As SAM: a step climbs, takes the gradient there, goes back, and lets another one step."""

    def __init__(self, base: torch.optim.Optimizer, closure: Callable[[], Tensor]) -> None:
        super().__init__(base.param_groups, {})
        self.base_optimizer, self.closure = base, closure

    def step(self, closure=None):
        parameters = [p for group in self.param_groups for p in group["params"]]
        before = [p.detach().clone() for p in parameters]
        for parameter in parameters:
            parameter.data.add_(parameter.grad)
        self.closure().backward()
        for parameter, old in zip(parameters, before, strict=True):
            parameter.data.copy_(old)
        self.base_optimizer.step()


@pytest.mark.parametrize("kind", ["lookahead", "sharp"])
def test_optimizers_around_others_hold(kind):
    model = network()
    masks = masks_of(model)
    base = sgd(model)
    optimizer = Lookahead(base) if kind == "lookahead" else Sharp(base, lambda: loss(model))
    prac.attach(model, optimizer, masks)
    for _ in range(3):
        step(model, optimizer)
        assert holds(model, masks)
    prac.detach(optimizer)
    step(model, optimizer)
    assert not holds(model, masks)


def test_several_optimizers_and_parts_of_the_parameters():
    model = network()
    masks = masks_of(model)
    first = torch.optim.SGD(model[0].parameters(), lr=0.1)
    second = torch.optim.Adam([*model[2].parameters(), nn.Parameter(torch.ones(1))])
    with pytest.raises(prac.PracError, match=r"weight '2.weight' has a mask and trains, but not"):
        prac.attach(model, first, masks)
    prac.attach(model, [first, second], masks)
    for _ in range(2):
        step(model, first)
        step(model, second)
        assert holds(model, masks)
    prac.detach(second)
    step(model, first)
    assert not holds(model, masks)


def test_an_optimizer_for_each_weight_that_steps_within_the_backward_pass():
    model = network()
    masks = masks_of(model)
    each = {p: torch.optim.SGD([p], lr=0.1, momentum=0.9) for p in model.parameters()}
    prac.attach(model, list(each.values()), masks)
    for parameter in model.parameters():
        parameter.register_post_accumulate_grad_hook(lambda p: (each[p].step(), None)[1])
    for _ in range(2):
        loss(model).backward()
        assert holds(model, masks)


def test_a_frozen_weight_stays_and_is_held_once_it_trains():
    model = network()
    masks = masks_of(model)
    model[2].requires_grad_(False)
    optimizer = sgd(model[0])
    attachment = prac.attach(model, optimizer, masks)
    step(model, optimizer)
    assert holds(model, masks)
    model[2].requires_grad_(True)
    optimizer.add_param_group({"params": list(model[2].parameters())})
    step(model, optimizer)
    assert holds(model, masks)
    attachment.check()


class Tied(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.inner, self.outer = nn.Linear(6, 6), nn.Linear(6, 6)
        self.outer.weight = self.inner.weight
        self.head = nn.Linear(6, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.outer(torch.relu(self.inner(x))))


def test_a_shared_weight_has_one_mask_under_any_of_its_names():
    mask = torch.eye(6, dtype=torch.bool)
    for names in (["inner.weight"], ["outer.weight"], ["inner.weight", "outer.weight"]):
        model = Tied()
        optimizer = sgd(model)
        with prac.attach(model, optimizer, dict.fromkeys(names, mask)) as attachment:
            step(model, optimizer)
            assert holds(model, {"outer.weight": mask})
            assert attachment.masks.keys() == {names[0]}
    model = Tied()
    differing = {"inner.weight": mask, "outer.weight": ~mask}
    with pytest.raises(prac.PracError, match="are of one weight, which modules share"):
        prac.attach(model, sgd(model), differing)
    optimizer = sgd(model)
    prac.attach(model, optimizer, {"inner.weight": mask})
    model.outer.weight = nn.Parameter(torch.ones(6, 6))
    with pytest.raises(prac.PracError, match=r"weight 'outer.weight' is another object"):
        step(model, optimizer)


def ema_of(model: nn.Module) -> AveragedModel:
    return AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(0.9))


@pytest.mark.parametrize("average", [AveragedModel, ema_of])
def test_averages_are_masked_unless_their_past_is_not(average):
    model = network()
    masks, optimizer = masks_of(model), sgd(model)
    fresh, old, given = average(model), average(model), average(model)
    step(model, optimizer)
    for one in (old, given):
        one.update_parameters(model)
    attachment = prac.attach(model, optimizer, masks, ema=given)
    late = average(model)
    for _ in range(3):
        step(model, optimizer)
        for one in (fresh, old, given, late):
            one.update_parameters(model)
    assert [holds(one, masks) for one in (fresh, old, given, late)] == [True, False, True, True]
    attachment.check()
    given.module.get_parameter("0.weight").data.fill_(1)
    with pytest.raises(prac.PracError, match=r"of '0.weight' in the average AveragedModel are not"):
        attachment.check()


def test_other_masks_on_the_way():
    model = network()
    model.get_parameter("0.bias").data.fill_(3)  # Its units are never dead.
    optimizer = torch.optim.Adam(model.parameters(), lr=0.1)
    mask = torch.ones(8, 6, dtype=torch.bool)
    mask[:4] = False
    attachment = prac.attach(model, optimizer, {"0.weight": mask})
    step(model, optimizer, 2)
    moments = optimizer.state[model.get_parameter("0.weight")]["exp_avg"]
    assert moments[:4].any()  # Gathered all the same, and of no effect.
    attachment.set_masks({"0.weight": ~mask})
    assert not moments.any(), "what comes back does so at rest"
    assert not model.get_parameter("0.weight").any()
    step(model, optimizer)
    assert holds(model, {"0.weight": ~mask})
    attachment.set_masks(masks_of(model))
    step(model, optimizer)
    assert not model.get_parameter("2.weight")[~attachment.masks["2.weight"]].any()
    kept = attachment.masks
    with pytest.raises(prac.PracError, match=r"mask '0.weight' is"):
        attachment.set_masks({"0.weight": mask[:2]})
    assert attachment.masks.keys() == kept.keys()
    attachment.masks["0.weight"].fill_(True)  # A copy.
    assert torch.equal(attachment.masks["0.weight"], kept["0.weight"])
    attachment.detach()
    attachment.detach()
    with pytest.raises(prac.PracError, match="the masks are detached"):
        attachment.set_masks(kept)


def assigned(model: nn.Module, optimizer: torch.optim.Optimizer) -> None:
    model.load_state_dict(copy.deepcopy(model.state_dict()), assign=True)


def new_layer(model: nn.Sequential, optimizer: torch.optim.Optimizer) -> None:
    model[0] = nn.Linear(6, 8)


def overwritten(model: nn.Module, optimizer: torch.optim.Optimizer) -> None:
    torch.__future__.set_overwrite_module_params_on_conversion(True)
    model.double()
    torch.__future__.set_overwrite_module_params_on_conversion(False)


def without_layer(model: nn.Sequential, optimizer: torch.optim.Optimizer) -> None:
    model[0] = nn.Identity()


def master_copies(model: nn.Module, optimizer: torch.optim.Optimizer) -> None:
    group = optimizer.param_groups[0]
    group["params"] = [nn.Parameter(p.detach().clone()) for p in group["params"]]


@pytest.mark.parametrize(
    ("replace", "told"),
    [
        (assigned, "'0.weight' is another object"),
        (new_layer, "'0.weight' is another object"),
        (overwritten, "'0.weight' is another object"),
        (without_layer, "'0.weight' is another object"),
        (master_copies, "'0.weight' has a mask and trains, but not by the optimizer given"),
    ],
)
def test_weights_replaced_by_others_are_noticed_at_the_next_step(replace, told):
    model = network()
    optimizer = sgd(model)
    attachment = prac.attach(model, optimizer, masks_of(model))
    step(model, optimizer)
    replace(model, optimizer)
    with pytest.raises(prac.PracError, match=told):
        optimizer.step()
    if replace is not master_copies:
        with pytest.raises(prac.PracError, match=told):
            attachment.check()


def test_the_check_finds_what_no_step_wrote():
    model = network()
    masks, optimizer = masks_of(model), sgd(model)
    attachment = prac.attach(model, optimizer, masks)
    step(model, sgd(model))  # Another optimiser, which nobody named.
    with pytest.raises(prac.PracError, match=r"\d+ pruned weights of '0.weight' in the model are"):
        attachment.check()
    step(model, optimizer)
    attachment.check()
    model.load_state_dict(network(3).state_dict())
    with pytest.raises(prac.PracError, match="are not zero"):
        attachment.check()
    model.get_parameter("0.weight").data.fill_(torch.nan)
    with pytest.raises(prac.PracError, match="holds NaN: training has diverged"):
        attachment.check()


def test_leaving_the_block_detaches_and_checks():
    model = network()
    masks, optimizer = masks_of(model), sgd(model)
    with pytest.raises(prac.PracError, match="are not zero"), prac.attach(model, optimizer, masks):
        step(model, sgd(model))
    with pytest.raises(ZeroDivisionError), prac.attach(model, optimizer, masks):
        step(model, sgd(model), 1 // 0)  # Its own error, not the check's.
    with prac.attach(model, optimizer, masks) as attachment:
        step(model, optimizer)
    assert not attachment.is_attached
    attachment.check()


def test_what_is_attached_is_taken_off_by_model_or_optimizer():
    model, other = network(), network(1)
    masks = masks_of(model)
    optimizer = torch.optim.SGD([*model.parameters(), *other.parameters()], lr=0.1)
    prac.attach(model, optimizer, masks)
    prac.attach(other, optimizer, masks)
    for again in (model, compiled(model), nn.DataParallel(model)):
        with pytest.raises(prac.PracError, match="the model Sequential has masks attached already"):
            prac.attach(again, sgd(model), masks)
    prac.detach(nn.DataParallel(model))
    prac.attach(model, optimizer, masks)
    prac.detach(optimizer)
    for detached in (model, optimizer):
        with pytest.raises(prac.PracError, match=f"attached to this {type(detached).__name__}"):
            prac.detach(detached)
    assert not optimizer._optimizer_step_post_hooks


def test_copies_are_not_attached_and_a_model_is_let_go():
    model = network()
    masks, optimizer = masks_of(model), sgd(model)
    attachment = prac.attach(model, optimizer, masks)
    copied = copy.deepcopy(model)
    with prac.attach(copied, sgd(copied), masks):
        pass
    again = pickle.loads(pickle.dumps(optimizer))
    assert not again._optimizer_step_post_hooks
    gone = weakref.ref(model)
    del model
    gc.collect()
    assert gone() is None
    optimizer.step()  # Trains parameters that are nobody's.
    attachment.detach()


class Engine(nn.Module):
    """Stands in for deepspeed.DeepSpeedEngine."""

    __module__ = "deepspeed.runtime.engine"

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module


class ZeroOptimizer:
    """Stands in for DeepSpeed's, which is none of torch's."""

    __module__ = "deepspeed.runtime.zero.stage3"

    def __init__(self, optimizer):
        self.optimizer, self.param_groups = optimizer, optimizer.param_groups


class ZeroWrapper(ZeroOptimizer):
    """Stands in for accelerate's around it."""

    __module__ = "accelerate.utils.deepspeed"


class FP16_Optimizer(torch.optim.SGD):
    __module__ = "apex.fp16_utils.fp16_optimizer"


class CpuAdam(torch.optim.Adam):
    __module__ = "deepspeed.ops.adam.cpu_adam"


def test_what_trains_copies_of_the_weights_is_refused():
    model = network()
    masks, optimizer = masks_of(model), sgd(model)
    copying: Any
    for copying in (
        ZeroOptimizer(optimizer),
        ZeroWrapper(ZeroOptimizer(optimizer)),
        FP16_Optimizer(model.parameters(), lr=0.1),
    ):
        name = type(copying).__name__
        with pytest.raises(prac.PracError, match=f"the optimizer is a {name} of .* trains copies"):
            prac.attach(model, copying, masks)
    with pytest.raises(prac.PracError, match="the model is a Engine of deepspeed, which trains co"):
        prac.attach(Engine(model), optimizer, masks)
    assert not optimizer._optimizer_step_post_hooks
    own = CpuAdam(model.parameters())
    with prac.attach(model, own, masks):
        step(model, own)


MASK = torch.ones(8, 6, dtype=torch.bool)


@pytest.mark.parametrize(
    ("masks", "told"),
    [
        ({}, "there are no masks to hold"),
        ({"fc.weight": MASK}, "mask 'fc.weight' has no parameter in the model"),
        ({"0.weight": MASK.T}, r"mask '0.weight' is \(6, 8\), the model's weight is \(8, 6\)"),
        ({"0.weight": MASK.float()}, "mask '0.weight' is of type torch.float32: expected a bool"),
        ({"0.weight": MASK.numpy()}, "mask '0.weight' is of type ndarray: expected a bool"),
        ([MASK], "ticket_or_masks is a list: expected a prac.Ticket"),
        ("net.ticket.safetensors", "ticket_or_masks is a str: expected a prac.Ticket"),
    ],
)
def test_masks_that_do_not_fit_are_refused_and_nothing_is_changed(masks, told):
    model = network()
    before, optimizer = copy.deepcopy(model.state_dict()), sgd(model)
    with pytest.raises(prac.PracError, match=told):
        prac.attach(model, optimizer, masks)
    assert not optimizer._optimizer_step_post_hooks
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    prac.attach(model, optimizer, masks_of(model))


def test_what_is_no_model_optimizer_or_average_is_refused():
    model = network()
    masks, optimizer = masks_of(model), sgd(model)
    no_model: Any = model.state_dict()
    with pytest.raises(prac.PracError, match="the model is a OrderedDict: expected"):
        prac.attach(no_model, optimizer, masks)
    no_optimizer: Any = torch.optim.lr_scheduler.StepLR(optimizer, 1)
    with pytest.raises(prac.PracError, match="the optimizer is a StepLR, which calls no hooks"):
        prac.attach(model, no_optimizer, masks)
    with pytest.raises(prac.PracError, match=r"the average Linear has no weight '0.weight' of"):
        prac.attach(model, optimizer, masks, ema=nn.Linear(2, 2))
    assert not optimizer._optimizer_step_post_hooks


@pytest.fixture
def process_group(tmp_path: Path) -> Iterator[None]:
    """A group of this one process."""
    at = f"file://{tmp_path}/group"
    torch.distributed.init_process_group("gloo", init_method=at, rank=0, world_size=1)
    yield
    torch.distributed.destroy_process_group()


@pytest.mark.filterwarnings("ignore::UserWarning", "ignore::FutureWarning")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_distributed_training_holds_and_sharding_is_refused(process_group):
    # Here, since importing them warns.
    from torch.distributed.fsdp import FullyShardedDataParallel, fully_shard
    from torch.distributed.optim import ZeroRedundancyOptimizer

    model = network()
    masks = masks_of(model)
    parallel = DistributedDataParallel(model)
    optimizer = ZeroRedundancyOptimizer(
        parallel.parameters(), optimizer_class=torch.optim.Adam, lr=0.1
    )
    step(parallel, optimizer)
    with prac.attach(parallel, optimizer, masks):
        gathered = optimizer.optim.state[model.get_parameter("0.weight")]["exp_avg"]
        assert not gathered[~masks["0.weight"]].any()
        step(parallel, optimizer)
        assert holds(parallel, masks)

    flat = FullyShardedDataParallel(network(), device_id=torch.device("cpu"))
    with pytest.raises(prac.PracError, match=r"wrapped by FSDP \(FullyShardedDataParallel\)"):
        prac.attach(flat, sgd(flat), masks)
    model = network()
    own = sgd(model)
    prac.attach(model, own, masks)
    fully_shard(model)
    with pytest.raises(prac.PracError, match="is another object"):
        own.step()
    prac.detach(own)
    with pytest.raises(prac.PracError, match=r"wrapped by FSDP \(FSDPSequential\)"):
        prac.attach(model, sgd(model), masks)
    inner = nn.Sequential(network())
    fully_shard(inner)  # Its module is no kind of FSDP, but what it holds is cut.
    with pytest.raises(prac.PracError, match=r"weight '0.weight' is spread over processes"):
        prac.attach(inner[0], sgd(inner), masks)
