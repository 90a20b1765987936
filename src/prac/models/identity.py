"""What tells one network from another: its modules' kinds, settings and code, and its weights."""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from prac.io import content_digest
from prac.models.modes import evaluating_modules
from prac.utils import described, digester, is_own

# What every module has, whatever it computes; and what compiling one in place puts there.
_OF_ANY_MODULE = {*vars(nn.Module()), "_compiled_call_impl"}
_SIMPLE = (type(None), bool, int, float, complex, str, torch.dtype, torch.Size)
_HOOKS = ("_forward_pre_hooks", "_forward_hooks", "_backward_pre_hooks", "_backward_hooks")

CODE_ALONE = "code alone"
"""What a module of an own class is told by where its code reads values that a pass changes."""

_KNOWN = {*sys.stdlib_module_names, "torch"}

Structure = dict[str, dict[str, str]]
"""What each module is told by, its class under "", by the module's name, in the model's order."""


def structure(model: nn.Module) -> Structure:
    """Return each module's class and settings as text.

    Settings are its attributes that are no modules, parameters or buffers. Of the user's own
    classes there is a digest of their code too; that of installed libraries is not looked at, nor
    are the attributes that these keep to themselves.

    >>> structure(nn.Sequential(nn.Linear(2, 3), nn.Dropout(0.5)))["1"]
    {'': 'Dropout', 'p': '0.5', 'inplace': 'False'}
    """
    codes, resting = _Codes(), set(evaluating_modules(model).values())
    found = {}
    for name, module in model.named_modules(remove_duplicate=False):
        found[name] = _told(module, codes)
        if module in resting:
            found[name]["training"] = "False"
    return found


def structure_lines(fresh: Structure, used: Structure) -> tuple[str, ...]:
    """Return a line a module, of what a pass through it leaves as it was: that is no setting.

    >>> model = nn.Sequential(nn.Linear(2, 3), nn.Dropout(0.5))
    >>> structure_lines(structure(model), structure(model))[1:]
    ('0: Linear(in_features=2, out_features=3)', '1: Dropout(p=0.5, inplace=False)')
    """
    lines = []
    for name, told in fresh.items():
        after = used.get(name, {})
        lasting = {n: text for n, text in told.items() if n and after.get(n) == text}
        if "code" not in lasting and CODE_ALONE in lasting:  # It reads what a pass changes.
            lasting["code"] = lasting[CODE_ALONE]
        lines.append(f"{name or 'the model'}: {_line(told[''], lasting)}")
    return tuple(lines)


def structure_digest(lines: Sequence[str]) -> str:
    """Return 12 hex digits of what `structure` gave."""
    return hashlib.sha256("\n".join(lines).encode(errors="surrogatepass")).hexdigest()[:12]


def weights_digest(weights: Mapping[str, Tensor]) -> str:
    """Return 12 hex digits of weights and buffers: their names, types, shapes and values."""
    return content_digest(weights, {})[:12]


class _Codes:
    """The digests of own classes' code, with what it reads and alone; each is made once."""

    def __init__(self) -> None:
        self._digests = digester(), digester(data=False)
        self._known: dict[type, tuple[str, str]] = {}

    def of(self, cls: type) -> tuple[str, str]:
        """Return both of a class."""
        if cls not in self._known:
            whole, alone = (digest(cls) for digest in self._digests)
            self._known[cls] = whole, alone
        return self._known[cls]


def _told(module: nn.Module, codes: _Codes) -> dict[str, str]:
    """Return what a module is told by."""
    cls = type(module)
    # A class that a library derives from another's, such as a parametrised one, has its module.
    own = any(is_own(base.__module__) for base in cls.__mro__)
    told = {"": cls.__qualname__}
    for name, value in vars(module).items():
        if name not in _OF_ANY_MODULE and (own or name[:1] != "_"):
            told[name] = _shown(value)
    for name in sorted(module._non_persistent_buffers_set):  # No weights tell of these.
        told[name] = _shown(module._buffers[name])
    frozen = [name for name, of in module.named_parameters(recurse=False) if not of.requires_grad]
    if frozen:
        told["frozen"] = str(frozen)
    hooks = [hook for kind in _HOOKS for hook in getattr(module, kind).values()]
    for parameter in module.parameters(recurse=False):
        hooks += (getattr(parameter, "_backward_hooks", None) or {}).values()
    if hooks:
        told["hooks"] = str([described(hook) for hook in hooks])
    if own:
        told["code"], told[CODE_ALONE] = codes.of(cls)
    return told


def _shown(value: Any) -> str:
    """Return a setting's value, or what tells it from others."""
    if isinstance(value, _SIMPLE):
        return repr(value)
    if isinstance(value, (list, tuple)):
        inside = ", ".join(map(_shown, value))
        return f"[{inside}]" if isinstance(value, list) else f"({inside})"
    if isinstance(value, nn.Parameter):
        return "a parameter"  # Weights tell of it.
    if isinstance(value, nn.Module):  # In a list, say, in which torch does not find it.
        told = _told(value, _Codes())
        return _line(told.pop(""), told)
    if isinstance(value, type) or hasattr(value, "__code__"):
        return described(value) if is_own(value.__module__) else value.__qualname__
    kind = type(value)
    if callable(value) and hasattr(value, "__name__"):  # A builtin function.
        return str(value.__name__)
    is_data = isinstance(value, (Tensor, Mapping, set, frozenset, partial, np.ndarray, np.generic))
    # What else a library holds is its own affair.
    if is_own(kind.__module__) or is_data or kind.__module__.partition(".")[0] in _KNOWN:
        return f"{kind.__qualname__}-{digester()(value)}"
    return kind.__qualname__


def _line(name: str, told: Mapping[str, str]) -> str:
    settings = [f"{setting}={text}" for setting, text in told.items() if setting != CODE_ALONE]
    return f"{name}({', '.join(settings)})"


@contextmanager
def attributes_put_back(model: nn.Module) -> Iterator[None]:
    """Give a model's modules in the end the attributes that they had, such as counters and caches.

    Parameters, buffers and modules are not among them.
    """
    modules = list(model.modules())
    before = [_attributes(module) for module in modules]
    try:
        yield
    finally:
        for module, kept in zip(modules, before, strict=True):
            for name in _attributes(module).keys() - kept.keys():
                del vars(module)[name]
            vars(module).update(kept)


def _attributes(module: nn.Module) -> dict[str, Any]:
    return {name: value for name, value in vars(module).items() if name not in _OF_ANY_MODULE}
