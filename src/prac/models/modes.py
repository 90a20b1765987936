"""Training and evaluation mode, module by module: what rests by choice goes on resting."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from weakref import WeakKeyDictionary

from torch import nn

from prac.errors import PracError
from prac.utils import one_line

Modes = list[tuple[nn.Module, bool]]

_RESTED: WeakKeyDictionary[nn.Module, set[str]] = WeakKeyDictionary()
"""What rested by choice in models that were then put into evaluation mode as a whole."""


def begin_training_(model: nn.Module) -> None:
    """Put a model into training mode, but for the modules that are in evaluation mode by choice.

    Such are those of a frozen part, whose BatchNorms keep their statistics. Where all modules are
    in evaluation mode, as after measuring, that tells nothing, and all are put into training mode;
    but for those that rested before `rest_`.
    """
    resting = evaluating_modules(model)
    _switch_(model, training=True)
    for module in resting.values():
        module.training = False


def rest_(model: nn.Module) -> None:
    """Put a model into evaluation mode; what rested by choice still does when it trains again."""
    _RESTED[model] = set(evaluating_modules(model))
    _switch_(model, training=False)


def evaluating_modules(model: nn.Module) -> dict[str, nn.Module]:
    """Return the modules that are in evaluation mode by choice, by name: not where all of them are.

    >>> network = nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3))
    >>> _ = network[1].eval()
    >>> list(evaluating_modules(network)), list(evaluating_modules(network.eval()))
    (['1'], [])
    """
    modules = dict(model.named_modules())
    resting = {name: module for name, module in modules.items() if not module.training}
    if len(resting) < len(modules):
        return resting
    rested = _RESTED.get(model, set())
    return {name: module for name, module in modules.items() if name in rested}


def modes_of(model: nn.Module) -> Modes:
    """Return the mode that each module is in, the model itself first."""
    return [(module, module.training) for module in model.modules()]


def set_modes_(modes: Modes) -> None:
    """Put modules into the modes that `modes_of` returned."""
    model, is_training = modes[0]
    # What a model does besides when it changes its mode, as some fuse weights, it does here too.
    if model.training != is_training:
        _switch_(model, training=is_training)
    for module, mode in modes:
        module.training = mode


@contextmanager
def modes_put_back(model: nn.Module) -> Iterator[None]:
    """Put every module in the end into the mode that it was in."""
    modes = modes_of(model)
    try:
        yield
    finally:
        set_modes_(modes)


@contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """Put a model into evaluation mode for a while, and each module then into its own again."""
    with modes_put_back(model):
        _switch_(model, training=False)
        yield


def _switch_(model: nn.Module, *, training: bool) -> None:
    try:
        model.train(training)
    except Exception as error:  # Its own.
        raise PracError(
            f"the model's train({training}) raises {type(error).__name__}: {one_line(error)}; an "
            f"own train() has to take a mode, as torch's does"
        ) from error
