"""Telling functions apart by what they do: across processes, and as far as Python shows it."""

import argparse
import copy
import enum
import functools
import importlib.util
import logging
import os
import pathlib
import re
import subprocess
import sys
import threading
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from prac.utils import described

PLAIN = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False), st.text(), st.binary()
)
VALUES = st.recursive(PLAIN, lambda parts: st.lists(parts, max_size=3).map(tuple), max_leaves=5)


def closing_over(value):
    return lambda outputs: (outputs, value)


def defaulting_to(value):
    def loss(outputs, weight=value):
        return outputs, weight

    return loss


def by_keyword(value):
    def loss(outputs, *, weight=value):
        return outputs, weight

    return loss


def reading(value):
    """Return a function compiled with `value` as a constant."""
    names = {}
    exec(f"def loss(outputs):\n    return outputs, {value!r}", names)
    return names["loss"]


class Scaled:
    def __init__(self, by, name="mine"):
        self.by, self.name = by, name

    def __call__(self, outputs):
        return self.by * outputs

    def loss(self, outputs):
        return self.by * outputs

    def other(self, outputs):
        return self.by + outputs

    @classmethod
    def shared(cls, outputs):
        return outputs

    @staticmethod
    def plain(outputs):
        return outputs


class Renamed(Scaled):
    pass


HERE = re.escape(__name__)


def test_a_description_is_a_name_and_a_digest():
    assert re.fullmatch(f"{HERE}.closing_over-[0-9a-f]{{12}}", described(closing_over))
    assert re.fullmatch(f"{HERE}.Scaled-[0-9a-f]{{12}}", described(Scaled(2.0)))
    assert re.fullmatch(rf"{HERE}.Scaled\.loss-[0-9a-f]{{12}}", described(Scaled(2).loss))
    assert described(nn.CrossEntropyLoss()).startswith("torch.nn.modules.loss.CrossEntropyLoss-")
    assert described(nn.functional.mse_loss).startswith("torch.nn.functional.mse_loss-")
    assert described(functools.partial(max, 1)).startswith("functools.partial-")


def different(*makes):
    """Assert that each of these parts is described alike twice, and unlike all the others."""
    first, second = ([described(make()) for make in makes] for _ in range(2))
    assert first == second
    assert len(set(first)) == len(makes)


def test_other_code_is_another_function():
    different(
        lambda: lambda x: x,
        lambda: lambda x: x + 1,
        lambda: lambda x: x - 1,
        lambda: lambda x: -x,
        lambda: lambda x, y: x - y,
        lambda: lambda x, y: y - x,
        lambda: lambda x: x.sum(),
        lambda: lambda x: x.mean(),
        lambda: lambda x: len(x),
        lambda: lambda x: sum(x),
        lambda: lambda x: [y for y in x],  # noqa: C416
        lambda: lambda x: [-y for y in x],
    )


def test_another_constant_is_another_function():
    different(
        lambda: lambda x: x + 1,
        lambda: lambda x: x + 2,
        lambda: lambda x: x + 1.0,
        lambda: lambda x: x + True,
        lambda: lambda x: x + "1",
        lambda: lambda x: x + b"1",
        lambda: lambda x: x in (1, 2),
        lambda: lambda x: x in (1, 3),
        lambda: lambda x: x in (1, (2, 3)),
        lambda: lambda x: [y * 2 for y in x],
        lambda: lambda x: [y * 3 for y in x],
        lambda: lambda x: x if x is None else 0,
    )


@pytest.mark.parametrize("make", [closing_over, defaulting_to, reading])
@settings(deadline=None)  # The first of them reads and compiles this file.
@given(first=VALUES, second=VALUES)
def test_a_value_in_a_function_tells_it_from_one_with_another(make, first, second):
    assert described(make(first)) == described(make(first))
    is_same = repr(first) == repr(second)
    assert (described(make(first)) == described(make(second))) == is_same


def test_a_default_is_not_a_closed_over_value_nor_a_constant():
    different(lambda: closing_over(3), lambda: defaulting_to(3), lambda: reading(3))


def test_functions_closed_over_are_told_by_what_they_do():
    different(
        lambda: closing_over(lambda x: x + 1),
        lambda: closing_over(lambda x: x + 2),
        lambda: closing_over(closing_over(1)),
        lambda: closing_over(closing_over(2)),
        lambda: closing_over(Scaled(1)),
        lambda: closing_over(Scaled(2)),
        lambda: closing_over([1, 2]),
        lambda: closing_over([2, 1]),
    )


def test_a_wrapper_is_told_by_what_it_wraps():
    def twice(wrapped):
        @functools.wraps(wrapped)
        def wrapper(x):
            return wrapped(wrapped(x))

        return wrapper

    different(
        lambda: twice(lambda x: x + 1), lambda: twice(lambda x: x + 2), lambda: lambda x: x + 1
    )


def test_use_does_not_change_a_description():
    loss = defaulting_to(3)
    before = described(loss)
    for _ in range(10_000):  # The interpreter specialises the bytecode of what runs often.
        loss(1)
        reading_often(2)
    assert described(loss) == before


def reading_often(x):
    return x + 1


class Descent(torch.optim.SGD):
    @torch.no_grad()
    def step(self, closure=None):
        """Step."""


class Slower(Descent):
    rate = 0.1


class Inheriting(torch.optim.Adam):
    rate = 0.1


def by_descent(parameters):
    return Slower(parameters)


def test_an_optimiser_s_class_is_the_same_after_its_first_use():
    def step(self, closure=None):
        """Step otherwise."""
        return 3

    parts = (Slower, Inheriting, Descent, by_descent)
    before = [described(part) for part in parts]
    assert len(set(before)) == len(parts)
    for part in parts:
        part([nn.Parameter(torch.zeros(2))])  # Whereupon torch wraps its class's `step`.
        assert [described(one) for one in parts] == before
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Slower, "step", step)
        assert described(Slower) != before[0]


def test_where_a_function_is_written_is_no_part_of_it():
    def compiled(above):
        names = {}
        exec("\n" * above + "def loss(outputs):\n    return outputs + 1", names)
        return names["loss"]

    assert described(compiled(0)) == described(compiled(40))


def test_partials_are_told_by_function_and_arguments():
    different(
        lambda: functools.partial(closing_over),
        lambda: functools.partial(reading),
        lambda: functools.partial(max, 1),
        lambda: functools.partial(max, 2),
        lambda: functools.partial(max, 1, 2),
        lambda: functools.partial(min, 1),
        lambda: functools.partial(max, key=1),
        lambda: functools.partial(max, key=2),
        lambda: functools.partial(max, default=2),
        lambda: functools.partial(max, key=lambda x: x + 1),
        lambda: functools.partial(max, key=lambda x: x + 2),
        lambda: functools.partial(closing_over(1), 2),
        lambda: functools.partial(closing_over(2), 2),
    )


def test_the_order_of_a_partial_s_keywords_does_not_matter():
    first, second = functools.partial(max, a=1, b=2), functools.partial(max, b=2, a=1)
    assert described(first) == described(second)


def test_objects_are_told_by_class_and_plain_attributes():
    different(
        lambda: Scaled(1),
        lambda: Scaled(2),
        lambda: Scaled(1.0),
        lambda: Scaled(True),
        lambda: Scaled("1"),
        lambda: Scaled(1, name="yours"),
        lambda: Renamed(1),
    )
    first, second = Scaled(1), Scaled(1)
    del first.by
    first.by = 1  # In another order.
    assert described(first) == described(second)


def module(path, text):
    """Return a module of this source, as if by a process of its own."""
    path.write_text(text)
    specification = importlib.util.spec_from_file_location("own", path)
    made = importlib.util.module_from_spec(specification)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "dont_write_bytecode", True)
        specification.loader.exec_module(made)
    return made


OWN = """
def loss(outputs, targets):
    return (outputs - targets) ** 2
"""


def test_a_function_with_a_source_is_told_by_it_whatever_its_layout(tmp_path):
    path = tmp_path / "own.py"
    first = described(module(path, OWN).loss)
    # The same in every version of Python: a run made by one must resume by another.
    assert first == "own.loss-fe606a68fc7f"
    text = "import os\n\n\n# Squared.\n" + OWN.replace("(outputs -", "(\n\n  outputs  # x\n -")
    assert described(module(path, text).loss) == first
    assert described(module(path, text.replace("**", "*")).loss) != first
    assert described(module(path, "if 1:\n" + OWN.replace("\n", "\n  ")).loss) == first


def test_lambdas_in_a_line_are_told_apart(tmp_path):
    text = "f, g, h = lambda x: x + 1, lambda x: (lambda x: x + 1), lambda x: x + 2  # all\n"
    own = module(tmp_path / "own.py", text)
    parts = (own.f, own.g, own.h)
    assert len({described(part) for part in parts}) == 3
    assert described(own.g(0)) != described(own.g)
    assert described(own.g(0)).split("-")[1] == described(own.f).split("-")[1]
    alone = module(tmp_path / "other.py", "h = (lambda x:\n  x + 2)\n")
    assert described(alone.h) == described(own.h)


def test_a_file_that_was_changed_after_it_was_imported_is_not_taken_for_the_source(tmp_path):
    path = tmp_path / "own.py"
    old = module(path, OWN).loss
    before = described(old)
    new = module(path, OWN.replace("**", "*")).loss
    assert described(new) != described(old)
    assert described(old) == described(old, by_source=False) != before


def test_what_has_no_source_is_described_as_ever():
    for part in (reading(1), len, functools.partial(max, 1), nn.CrossEntropyLoss()):
        assert described(part) == described(part, by_source=False)


def test_what_is_no_plain_attribute_brings_no_address_into_the_description():
    assert described(Scaled(object())) == described(Scaled(object()))
    assert described(closing_over(object())) == described(closing_over(object()))


def test_bound_methods_are_told_by_function_and_object():
    different(
        lambda: Scaled(1).loss,
        lambda: Scaled(2).loss,
        lambda: Scaled(1).other,
        lambda: Renamed(1).loss,
        lambda: Scaled.loss,
        lambda: Scaled.shared,
        lambda: Renamed.shared,
        lambda: Scaled.plain,
        lambda: Scaled(1),
        lambda: functools.partial(Scaled(1).loss, 0),
        lambda: functools.partial(Scaled(2).loss, 0),
    )
    assert described(Scaled(1).plain) == described(Scaled.plain)


def test_losses_of_torch():
    different(
        lambda: nn.CrossEntropyLoss(),
        lambda: nn.CrossEntropyLoss(label_smoothing=0.1),
        lambda: nn.CrossEntropyLoss(label_smoothing=0.9),
        lambda: nn.CrossEntropyLoss(reduction="none"),
        lambda: nn.CrossEntropyLoss(ignore_index=0),
        lambda: nn.NLLLoss(),
        lambda: nn.functional.cross_entropy,
        lambda: nn.functional.mse_loss,
        lambda: nn.functional.l1_loss,
        lambda: functools.partial(nn.functional.cross_entropy, label_smoothing=0.1),
        lambda: functools.partial(nn.functional.cross_entropy, label_smoothing=0.9),
        lambda: torch.argmax,
        lambda: torch.argmin,
        lambda: torch.Tensor.argmax,
        lambda: closing_over(nn.CrossEntropyLoss(label_smoothing=0.1)),
        lambda: closing_over(nn.CrossEntropyLoss(label_smoothing=0.9)),
    )


SOURCE = """
import copy
import functools
import torch
from torch import nn
from prac.utils import described

def outer(value):
    return lambda x, k=("a", 1.5): [y + value for y in x if y in {"red", "green", "blue"}]

class Own:
    def __init__(self):
        self.red, self.green, self.blue, self.odd = 1, 2.5, "x", {"a", "b", "c"}
    def loss(self, x):
        return x

parts = [
    outer(3), outer(outer("text")), Own(), Own().loss, outer(Own()), len, torch.argmax,
    functools.partial(outer, red=1, green=2, blue=object()), nn.functional.cross_entropy,
    nn.CrossEntropyLoss(label_smoothing=0.1), outer({"red", "green"}), outer({"red": object()}),
]
for part in parts:
    print(described(part))
"""


def test_the_same_source_is_the_same_in_every_process(tmp_path):
    (tmp_path / "parts.py").write_text(SOURCE)
    prints = []
    for seed in ("0", "4242"):
        environment = {**os.environ, "PYTHONHASHSEED": seed}
        done = subprocess.run(
            [sys.executable, tmp_path / "parts.py"],
            env=environment,
            capture_output=True,
            text=True,
            check=True,
        )
        prints.append(done.stdout.splitlines())
    assert prints[0] == prints[1]
    assert len(prints[0]) == 12
    assert prints[0][0].startswith("__main__.outer.<locals>.<lambda>-")


def recursive():
    def loss(x):
        return loss(x - 1) if x else 0

    return loss


def never_set():
    def loss():
        return value  # type: ignore[has-type]

    if False:
        value = 1
    return loss


@pytest.mark.parametrize(
    ("first", "second"),
    [
        pytest.param(by_keyword(1), by_keyword(2), id="keyword-only default"),
        pytest.param(lambda x: x in {1, 2}, lambda x: x in {1, 3}, id="set constant"),
        pytest.param(lambda x: x + 1j, lambda x: x + 2j, id="complex constant"),
        pytest.param(lambda x: x, lambda *x: x, id="signature"),
        pytest.param(closing_over({"a": 1}), closing_over({"a": 2}), id="closed-over dict"),
        pytest.param(defaulting_to({"a": 1}), defaulting_to({"a": 2}), id="dict default"),
        pytest.param(closing_over({1}), closing_over({2}), id="closed-over set"),
        pytest.param(Scaled((1, 2)), Scaled((1, 3)), id="tuple attribute"),
    ],
)
def test_functions_that_differ_in_less_plain_ways(first, second):
    assert described(first) != described(second)


@pytest.mark.parametrize("make", [recursive, never_set])
def test_functions_that_close_over_themselves_or_nothing_are_described(make):
    assert described(make()) == described(make())


GLOBALS = """
import math
import torch
from torch import nn
import own_settings

WEIGHT = 1.0
TABLE = {"a": [1, 2]}
COSTS = torch.tensor([1.0, 2.0])
UNREAD = 1
criterion = nn.CrossEntropyLoss(label_smoothing=0.1)

class Config:
    scale = 1.0
    def by(self):
        return self.scale

config = Config()

def inner(x):
    return x * WEIGHT

def outer(x):
    return inner(x)

class Loss:
    def __call__(self, x):
        return x + WEIGHT

direct = lambda x: x * WEIGHT
table = lambda x: x * TABLE["a"][0]
tensor = lambda x: x * COSTS
nested = lambda x: [(lambda: y * WEIGHT)() for y in x]
through = lambda x: outer(x)
module = lambda x: x * own_settings.WEIGHT
of_class = lambda x: x * Config.scale
instance = lambda x: x * config.by()
of_torch = lambda x: criterion(x, x)
callable_ = Loss()
library = lambda x: torch.relu(x) * math.pi
"""


def globals_read(tmp_path, monkeypatch, before="", after=""):
    """Return descriptions of what reads globals, one of them changed."""
    for name, text in {"own_globals": GLOBALS, "own_settings": "WEIGHT = 1.0\n"}.items():
        changed = (
            text.replace(before.partition(":")[2], after) if before[: len(name)] == name else text
        )
        (tmp_path / f"{name}.py").write_text(changed)
        monkeypatch.delitem(sys.modules, name, raising=False)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    importlib.invalidate_caches()
    own = importlib.import_module("own_globals")
    names = (
        *("direct", "table", "tensor", "nested", "through", "module", "of_class", "instance"),
        *("of_torch", "callable_", "library", "outer"),
    )
    return {name: described(getattr(own, name)) for name in names}


@pytest.mark.parametrize(
    ("before", "after", "readers"),
    [
        ("own_globals:WEIGHT = 1.0", "WEIGHT = 2.0", "direct nested through callable_ outer"),
        ("own_globals:[1, 2]", "[1, 3]", "table"),
        ("own_globals:[1.0, 2.0]", "[1.0, 3.0]", "tensor"),
        ("own_settings:WEIGHT = 1.0", "WEIGHT = 2.0", "module"),
        ("own_globals:scale = 1.0", "scale = 2.0", "of_class instance"),
        ("own_globals:label_smoothing=0.1", "label_smoothing=0.2", "of_torch"),
        ("own_globals:return x * WEIGHT", "return x / WEIGHT", "through outer"),
        ("own_globals:return self.scale", "return -self.scale", "of_class instance"),
        ("own_globals:return x + WEIGHT", "return x - WEIGHT", "callable_"),
        ("own_globals:UNREAD = 1", "UNREAD = 2", ""),
    ],
)
def test_a_global_belongs_to_what_reads_it(tmp_path, monkeypatch, before, after, readers):
    first = globals_read(tmp_path, monkeypatch)
    assert globals_read(tmp_path, monkeypatch) == first
    second = globals_read(tmp_path, monkeypatch, before, after)
    assert {name for name in first if first[name] != second[name]} == set(readers.split())


READ_HERE = 1


def test_a_global_that_is_set_meanwhile_is_another(monkeypatch):
    def reads(x):
        return x * READ_HERE

    first = described(reads)
    for other in (2, 0, None):
        monkeypatch.setitem(globals(), "READ_HERE", other)
        assert described(reads) != first
    monkeypatch.delitem(globals(), "READ_HERE")
    assert described(reads) != first  # Not there: described all the same.


def test_functions_that_call_each_other_are_described():
    assert described(even) == described(even) != described(odd)


def even(x):
    return x == 0 or odd(x - 1)


def odd(x):
    return x != 0 and even(x - 1)


def test_objects_of_python_s_own_are_left_alone(capsys):
    logger = logging.getLogger("a loss's")
    logger.addHandler(logging.StreamHandler())
    lock = threading.Lock()
    for part in (Scaled(logger), closing_over(logger), closing_over(sys.stderr), Scaled(lock)):
        assert described(part) == described(part)
    sys.stderr.write("still there")
    assert capsys.readouterr().err == "still there"


def test_a_path_is_told_by_its_name_however_it_was_used():
    first, used = pathlib.Path("a/b"), pathlib.Path("a/b")
    assert str(used) == "a/b"
    assert hash(used)
    different(lambda: closing_over(first), lambda: closing_over(pathlib.Path("a/c")))
    assert described(closing_over(first)) == described(closing_over(used))


def test_keys_and_tensors_of_any_kind():
    different(
        lambda: closing_over({0: 1, (0, 1): 2, "a": 3}),
        lambda: closing_over({0: 1, (0, 1): 3, "a": 3}),
        lambda: closing_over(torch.ones(2, dtype=torch.bfloat16)),
        lambda: closing_over(torch.zeros(2, dtype=torch.bfloat16)),
        lambda: closing_over(torch.ones(2).to_sparse()),
        lambda: closing_over(torch.ones(())),
        lambda: closing_over(torch.ones(0)),
        lambda: closing_over(torch.float16),
        lambda: closing_over(torch.float32),
    )


@dataclass(frozen=True)
class Settings:
    scale: float

    def loss(self, x):
        return x * self.scale


def test_dataclasses_are_told_by_fields_and_code():
    different(lambda: Settings(1.0).loss, lambda: Settings(2.0).loss)


def wrapping(by):
    def decorate(wrapped):
        @functools.wraps(wrapped)
        def wrapper(x):
            return wrapped(x) * by

        return wrapper

    return decorate


def adding(wrapped):
    @functools.wraps(wrapped)
    def wrapper(x):
        return wrapped(x) + READ_HERE

    return wrapper


def base(x):
    return x


def test_a_wrapper_belongs_to_the_function(monkeypatch):
    different(
        lambda: base,
        lambda: wrapping(1)(base),
        lambda: wrapping(100)(base),
        lambda: adding(base),
        lambda: wrapping(1)(even),
        lambda: torch.no_grad()(base),
        lambda: functools.lru_cache(base),
    )
    first = described(adding(base))
    monkeypatch.setitem(globals(), "READ_HERE", 2)
    assert described(adding(base)) != first


IMPORTING = """
def whole(x):
    import imported_by_them
    return x * imported_by_them.SCALE

def renamed(x):
    import imported_by_them as other
    return x * other.SCALE

def by_name(x):
    from imported_by_them import twice
    return twice(x)

def of_a_package(x):
    import in_a_package.inner
    return x * in_a_package.inner.SCALE

def of_a_package_renamed(x):
    import in_a_package.inner as inner, imported_by_them
    return x * inner.SCALE

def within(x):
    import imported_by_them
    return [y * imported_by_them.SCALE for y in x]

def library(x):
    import torch
    from torch import relu
    return relu(x) * torch.pi
"""


def test_what_a_function_imports_itself_belongs_to_it(tmp_path, monkeypatch):
    (tmp_path / "in_a_package").mkdir()
    (tmp_path / "in_a_package" / "__init__.py").write_text("")
    (tmp_path / "importing.py").write_text(IMPORTING)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)

    def told(scale, packaged):
        own = f"SCALE = {scale}\n\ndef twice(x):\n    return x * SCALE\n"
        (tmp_path / "imported_by_them.py").write_text(own)
        (tmp_path / "in_a_package" / "inner.py").write_text(f"SCALE = {packaged}\n")
        for name in ("importing", "imported_by_them", "in_a_package", "in_a_package.inner"):
            sys.modules.pop(name, None)
        importlib.invalidate_caches()
        module = importlib.import_module("importing")
        functions = {n: f for n, f in vars(module).items() if callable(f)}
        return {name: described(function) for name, function in functions.items()}

    first = told(1, 1)
    assert told(1, 1) == first
    other, packaged = told(2, 1), told(1, 2)
    assert {name for name in first if other[name] != first[name]} == {
        "whole", "renamed", "by_name", "within",
    }  # fmt: skip
    assert {name for name in first if packaged[name] != first[name]} == {
        "of_a_package", "of_a_package_renamed",
    }  # fmt: skip
    for name in ("importing", "imported_by_them", "in_a_package", "in_a_package.inner"):
        sys.modules.pop(name, None)


def test_copying_an_object_does_not_change_its_class():
    before = described(Scaled(2))
    copy.deepcopy(Scaled(2))
    copy.copy(Settings(1.0))
    assert described(Scaled(2)) == before


class Odd(enum.Enum):
    ONE = 1
    TWO = 2


class Answering:
    """An object that has whatever is asked for."""

    def __init__(self, value):
        self.value = value

    def __getattr__(self, name):
        return None


class Failing:
    """An object that fails at whatever it is asked for."""

    def __getattribute__(self, name):
        raise ImportError(name)


class Slotted:
    __slots__ = "value"

    def __init__(self, value):
        self.value = value


def test_objects_that_answer_in_odd_ways():
    different(
        lambda: closing_over(Answering(1)),
        lambda: closing_over(Answering(2)),
        lambda: closing_over(Failing()),
        lambda: closing_over(Slotted(1)),
        lambda: closing_over(Slotted(2)),
        lambda: closing_over({Odd.ONE, Odd.TWO}),
        lambda: closing_over({Odd.ONE}),
        lambda: closing_over(argparse.Namespace(a=1)),
        lambda: closing_over(argparse.Namespace(a=2)),
        lambda: closing_over(re.compile("a")),
        lambda: closing_over(re.compile("b")),
    )


def test_sets_are_the_same_under_any_hashing(tmp_path):
    (tmp_path / "sets.py").write_text(
        "import enum\nfrom prac.utils import described\n"
        "class Mode(enum.Enum):\n    A = 1\n    B = 2\n    C = 3\n"
        "modes = {Mode.A, Mode.B, Mode.C, 'x', 'y'}\n"
        "def loss(x):\n    return x, modes\n"
        "print(described(loss))\n"
    )
    found = {
        subprocess.run(
            [sys.executable, tmp_path / "sets.py"],
            env={**os.environ, "PYTHONHASHSEED": str(seed)},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in range(1, 4)
    }
    assert len(found) == 1


def test_docstrings_and_annotations_are_for_people(tmp_path):
    path = tmp_path / "own.py"
    first = described(module(path, OWN).loss)
    told = OWN.replace(
        "(outputs, targets):", '(outputs: int, targets: "x") -> float:\n    """Square."""'
    )
    assert described(module(path, told).loss) == first


VERSIONS = """
from dataclasses import dataclass

SCALE = 2.0

@dataclass(frozen=True)
class Settings:
    scale: float = 1.0

    def loss(self, x):
        import math
        return [y * self.scale * SCALE for y in x] or math.pi
"""


def test_every_version_of_python_tells_the_same(tmp_path):
    # Seen under 3.11.7, 3.12.1 and 3.13.0: bytecode, and what a dataclass is given, differ.
    own = module(tmp_path / "own.py", VERSIONS)
    assert described(own.Settings().loss) == "own.Settings.loss-b879beb7b9fa"


def test_dunder_methods_of_executed_code_are_told():
    def made(by):
        names: dict[str, Any] = {"__name__": "own"}
        exec(f"class Loss:\n    def __call__(self, x):\n        return x * {by}", names)
        return names["Loss"]()

    assert described(made(1)) == described(made(1)) != described(made(2))
