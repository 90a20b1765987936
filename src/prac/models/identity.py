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


def structure(model: nn.Module, original: nn.Module | None = None) -> Structure:
    """Return each module's class and settings as text.

    Functions that a copy holds may close over parts of its `original`, which are told as its own.

    Settings are its attributes that are no modules, parameters or buffers. Of the user's own
    classes there is a digest of their code too; that of installed libraries is not looked at, nor
    are the attributes that these keep to themselves.

    >>> structure(nn.Sequential(nn.Linear(2, 3), nn.Dropout(0.5)))["1"]
    {'': 'Dropout', 'p': '0.5', 'inplace': 'False'}
    """
    teller = _Teller(*(() if original is None else (original,)), model)
    resting = set(evaluating_modules(model).values())
    found = {}
    for name, module in model.named_modules(remove_duplicate=False):
        found[name] = teller.told(module)
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


class _Teller:
    """Tells a model's modules; its own modules, parameters and buffers are told by their names."""

    def __init__(self, *models: nn.Module) -> None:
        self._digests = digester(), digester(data=False)
        self._codes: dict[type, tuple[str, str]] = {}
        self._known: dict[int, str] = {}
        for model in models:
            kept = model.state_dict(keep_vars=True).items()  # Other buffers are settings.
            parts = (*model.named_modules(), *model.named_parameters(), *kept)
            self._known |= {id(part): name or "the model" for name, part in parts}

    def code_of(self, cls: type) -> tuple[str, str]:
        """Return the digests of an own class's code, with what it reads and alone."""
        if cls not in self._codes:
            whole, alone = (digest(cls) for digest in self._digests)
            self._codes[cls] = whole, alone
        return self._codes[cls]

    def told(self, module: nn.Module, above: tuple[int, ...] = ()) -> dict[str, str]:
        """Return what a module is told by; `above` are those that it was reached through."""
        cls = type(module)
        # A class that a library derives from another's, such as a parametrised one, has its module.
        own = any(is_own(base.__module__) for base in cls.__mro__)
        told = {"": cls.__qualname__}
        for name, value in vars(module).items():
            if name not in _OF_ANY_MODULE and (own or name[:1] != "_"):
                told[name] = self.shown(value, above)
        for name in sorted(module._non_persistent_buffers_set):  # No weights tell of these.
            told[name] = self._digest_of(module._buffers[name])
        frozen = [n for n, of in module.named_parameters(recurse=False) if not of.requires_grad]
        if frozen:
            told["frozen"] = str(frozen)
        hooks = [hook for kind in _HOOKS for hook in getattr(module, kind).values()]
        for parameter in module.parameters(recurse=False):
            hooks += (getattr(parameter, "_backward_hooks", None) or {}).values()
        if hooks:
            told["hooks"] = str([described(hook, known=self._known) for hook in hooks])
        if own:
            told["code"], told[CODE_ALONE] = self.code_of(cls)
        return told

    def shown(self, value: Any, above: tuple[int, ...] = ()) -> str:
        """Return a setting's value, or what tells it from others."""
        if isinstance(value, _SIMPLE):
            return repr(value)
        if id(value) in self._known:
            return f"its {self._known[id(value)]!r}"
        if id(value) in above:
            return "itself"
        inside = partial(self.shown, above=(*above, id(value)))
        if isinstance(value, (list, tuple)):
            parts = ", ".join(map(inside, value))
            return f"[{parts}]" if isinstance(value, list) else f"({parts})"
        if isinstance(value, nn.Module):  # In a list, say, in which torch does not find it.
            told = self.told(value, (*above, id(value)))
            tensors = {n: of for n, of in value.state_dict().items() if isinstance(of, Tensor)}
            return f"{_line(told.pop(''), told)} of {weights_digest(tensors)}"
        if isinstance(value, type) or _has(value, "__code__"):
            is_told = is_own(value.__module__)
            return described(value, known=self._known) if is_told else value.__qualname__
        kind = type(value)
        if callable(value) and _has(value, "__name__"):  # A builtin function.
            return str(value.__name__)
        is_data = isinstance(
            value, (Tensor, Mapping, set, frozenset, partial, np.ndarray, np.generic)
        )
        # What else a library holds is its own affair.
        if is_own(kind.__module__) or is_data or kind.__module__.partition(".")[0] in _KNOWN:
            return self._digest_of(value)
        return kind.__qualname__

    def _digest_of(self, value: Any) -> str:
        return f"{type(value).__qualname__}-{digester(known=self._known)(value)}"


def _has(value: Any, name: str) -> bool:
    """Say whether a value has an attribute; one whose lookup fails in its own way has not."""
    try:
        return hasattr(value, name)
    except Exception:  # As of a dictionary whose entries are its attributes.
        return False


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
