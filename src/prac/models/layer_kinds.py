"""Which of a network's weights pruning may touch, by the kind of layer that they are of."""

from __future__ import annotations

from collections.abc import Container, Iterator, Mapping, Sequence
from contextlib import contextmanager
from fnmatch import fnmatchcase
from typing import Any

from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd, _ConvTransposeNd

from prac.config import AUTO_LAYERS, PruneConfig
from prac.errors import PracError
from prac.models.parameter_count import COMPLEX, FROZEN, PARAMETRISED, ParameterCount
from prac.models.surgery import tied

NAMES = {
    "conv": "convolutions",
    "conv-transpose": "transposed convolutions",
    "linear": "linear layers",
    "attention": "attention projections",
    "recurrent": "recurrent weights",
    "embedding": "embeddings",
    "output": "the output layer",
    "own": "weights of other layers",
    "parametrised": PARAMETRISED,
}
"""What kinds of layer are called, in the order in which one of several counts for a weight."""

_FIRST = ("parametrised", "embedding", "output", "attention")
_PARAMETRISING = ("WeightNorm", "SpectralNorm")  # As hooks, before torch had parametrisations.


def prunable(
    model: nn.Module, config: PruneConfig, output_layer: str | None = None
) -> dict[str, nn.Parameter]:
    """Return the parameters that pruning may touch, by name, in the model's order.

    Without patterns they are the weights of the configured kinds of layer; with `include`, every
    parameter with two or more dimensions whose name matches one. `exclude` holds over both. Complex
    weights and those of no elements, as of a layer of width zero, are never pruned. A
    weight that modules share is pruned once, under the name that `parameters()` gives it, and is of
    all their kinds; shared with an embedding it is pruned only where embeddings are. Parameters
    that do not train are never pruned.

    Args:
        model: The network.
        config: Kinds of layer and patterns.
        output_layer: Name of the layer that makes the model's outputs, as `LastLayer` finds it,
            which "auto" leaves out unless there is nothing else; None where none is known.

    Raises:
        PracError: If nothing is left to prune, or a pattern matches no parameter.
    """
    parameters = dict(model.named_parameters())
    called = _names(model)
    for pattern in (*config.include, *config.exclude):
        if not any(_matches(names, (pattern,)) for names in called.values()):
            some = ", ".join(list(parameters)[:6])
            raise PracError(
                f"no parameter's name matches the pattern {pattern!r}: "
                f"the model has {some}{', ...' if len(parameters) > 6 else ''}"
            )
    kinds = _kinds(model, output_layer)
    chosen = _chosen(parameters, called, kinds, config, config.layers)
    if not chosen and "auto" in config.layers.split("+"):
        chosen = _chosen(parameters, called, kinds, config, f"{config.layers}+output")
    if not chosen:
        left_out = count_parameters(model, (), config, output_layer)
        remedy = _remedy(left_out.left_out, config)
        raise PracError(
            f"the model has no prunable weight: layers is {config.layers!r}, include is "
            f"{list(config.include)}, exclude is {list(config.exclude)}; it has "
            f"{left_out.listed_left_out()}: {remedy}"
        )
    return chosen


def _names(model: nn.Module) -> dict[str, list[str]]:
    """Return all names of each parameter, where modules share it, by the one it is known by."""
    found = {name: [name] for name, _ in model.named_parameters()}
    for name, of in tied(model).items():
        found[of].append(name)
    return found


def _matches(names: Sequence[str], patterns: Sequence[str]) -> bool:
    """Say whether a pattern, or a name that may look like one, is that of a parameter."""
    return any(name == of or fnmatchcase(name, of) for of in patterns for name in names)


def _remedy(left_out: Mapping[str, int], config: PruneConfig) -> str:
    """Return what to do where nothing is prunable, by what there is."""
    if NAMES["parametrised"] in left_out:
        return (
            "take off what computes its weights, by torch's remove_parametrizations or "
            "remove_weight_norm"
        )
    if not config.include and left_out.keys() & set(NAMES.values()):
        more = "auto+embedding" if "auto" in config.layers else "auto"
        return f"try --layers {more}, or name some by --include"
    if FROZEN in left_out:
        return "let some of the frozen ones train (requires_grad)"
    return "name some by --include"


def count_parameters(
    model: nn.Module,
    chosen: Container[str],
    config: PruneConfig,
    output_layer: str | None = None,
) -> ParameterCount:
    """Return how many parameters are prunable, those of the names `chosen`, and what others are."""
    kinds, called = _kinds(model, output_layer), _names(model)
    prunable: dict[str, int] = {}
    left_out: dict[str, int] = {}
    for name, parameter in model.named_parameters():
        if not parameter.numel():
            continue
        kind = _counted_as(kinds.get(name, set()), parameter)
        if name not in chosen and _matches(called[name], config.exclude):
            kind = f"{kind} (excluded)"
        group = prunable if name in chosen else left_out
        group[kind] = group.get(kind, 0) + parameter.numel()
    return ParameterCount(prunable, left_out)


def _chosen(
    parameters: dict[str, nn.Parameter],
    called: Mapping[str, Sequence[str]],
    kinds: dict[str, set[str]],
    config: PruneConfig,
    layers: str,
) -> dict[str, nn.Parameter]:
    wanted = set(layers.split("+"))

    def is_chosen(name: str, parameter: nn.Parameter) -> bool:
        if not parameter.requires_grad or _matches(called[name], config.exclude):
            return False
        if parameter.is_complex() or not parameter.numel():
            return False
        of = kinds.get(name, set())
        if config.include:
            is_named = _matches(called[name], config.include)
            return is_named and parameter.ndim >= 2 and "parametrised" not in of
        if "embedding" in of:
            return "embedding" in wanted
        by_auto = "auto" in wanted and "output" not in of and of & AUTO_LAYERS
        return bool(of & wanted or by_auto)

    return {name: of for name, of in parameters.items() if is_chosen(name, of)}


def _kinds(model: nn.Module, output_layer: str | None) -> dict[str, set[str]]:
    """Return the kinds of layer that each weight is of, by the name of its parameter."""
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    found: dict[str, set[str]] = {}
    for path, module in model.named_modules():
        for name, parameter in module.named_parameters(recurse=False):
            kind = _kind(module, name, parameter)
            if kind is not None:
                of = found.setdefault(names[id(parameter)], set())
                of |= {kind, "output"} if path == output_layer else {kind}
        if isinstance(module, nn.MultiheadAttention):
            # A linear layer by its class, whose weight attention uses without calling it.
            found.setdefault(names[id(module.out_proj.weight)], set()).add("attention")
    return found


def _kind(module: nn.Module, name: str, parameter: Tensor) -> str | None:
    """Return the kind of layer that a module's own parameter is a weight of; None for no weight."""
    if _is_parametrised(module, name):
        return "parametrised"
    if parameter.ndim < 2:
        return None
    if isinstance(module, (nn.RNNBase, nn.RNNCellBase)):
        return "recurrent" if name.startswith("weight") else None
    if isinstance(module, nn.MultiheadAttention):
        return "attention" if name.endswith("proj_weight") else None
    if name != "weight":
        # A layer of one's own may have several; position tables and tokens have other names.
        return "own" if name.endswith("_weight") else None
    kind = type(module).__name__
    # What calls itself one, too: patches are embedded by a convolution.
    if isinstance(module, (nn.Embedding, nn.EmbeddingBag)) or "Embedding" in kind:
        return "embedding"
    if isinstance(module, _ConvTransposeNd):
        return "conv-transpose"
    if isinstance(module, _ConvNd):
        return "conv"
    # Conv1D is a linear layer whose weight lies transposed (GPT-2 in Hugging Face transformers).
    if isinstance(module, (nn.Linear, nn.Bilinear)) or kind == "Conv1D":
        return "linear"
    return None if "Norm" in kind else "own"


def _is_parametrised(module: nn.Module, name: str) -> bool:
    """Whether a weight is computed from a parameter: by torch's parametrisations, new or old."""
    if isinstance(module, nn.utils.parametrize.ParametrizationList):
        return True
    hooks = module._forward_pre_hooks.values()
    of = {getattr(hook, "name", None) for hook in hooks if type(hook).__name__ in _PARAMETRISING}
    return name.rpartition("_")[0] in of


def _counted_as(kinds: set[str], parameter: nn.Parameter) -> str:
    """Return what a parameter counts as, of the kinds that it is of."""
    if not parameter.requires_grad:
        return FROZEN
    if parameter.is_complex():
        return COMPLEX
    for kind in (*_FIRST, *NAMES):
        if kind in kinds:
            return NAMES[kind]
    return "biases and norms" if parameter.ndim < 2 else "other parameters"


class LastLayer:
    """Which layer makes a model's outputs: the last one called that has a weight of its own.

    Attributes:
        name: Its name, where its outputs are as many as the model's; None where they are not, or
            no layer was called.
    """

    def __init__(self) -> None:
        self._called: tuple[str, Tensor] | None = None
        self.name: str | None = None

    @contextmanager
    def watching(self, model: nn.Module) -> Iterator[None]:
        """Watch a pass through a model."""

        def note(name: str, weight: Tensor) -> Any:
            def called(*_: object) -> None:
                self._called = name, weight

            return called

        hooks = [
            module.register_forward_hook(note(name, weight))
            for name, module in model.named_modules()
            if (weight := dict(module.named_parameters(recurse=False)).get("weight")) is not None
            and weight.ndim >= 2
        ]
        try:
            yield
        finally:
            for hook in hooks:
                hook.remove()

    def made(self, outputs: Tensor) -> None:
        """Compare the last layer with what the model returned."""
        if self._called is not None:
            name, weight = self._called
            widths = {1} if outputs.ndim < 2 else {outputs.shape[1], outputs.shape[-1]}
            self.name = name if widths & set(weight.shape[:2]) else None
