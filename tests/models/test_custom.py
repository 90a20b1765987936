"""What a custom model's callable is given: by its signature, and behind a bare `**kwargs`."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from prac.errors import PracError
from prac.models import build
from prac.models.custom import CHANNELS, CLASSES, SIDES, build_own, call_with

NETS = """
from functools import partial

import torch
from torch import nn


class Net(nn.Module):
    def __init__(self, num_classes=1000, width=4):
        super().__init__()
        self.fc = nn.Linear(width, num_classes)

    def forward(self, x):
        return self.fc(x.flatten(1)[:, : self.fc.in_features])


class Wide(Net):
    def __init__(self, width=8, **kwargs):
        super().__init__(width=width, **kwargs)


def resnet18(*, weights=None, progress=True, **kwargs):
    return Net(**kwargs)


def ten(**kwargs):
    return Net(num_classes=7, **kwargs)


def unaware(**kwargs):
    torch.rand(3)  # Drawn before the keyword is refused.
    return nn.Linear(64, 12, **kwargs)


def checked(**kwargs):
    # As timm words it.
    if unknown := kwargs.keys() - {"bias"}:
        raise TypeError(f"Linear.__init__() got unexpected keyword argument(s): {sorted(unknown)}")
    return nn.Linear(64, 12, **kwargs)


def worded(**kwargs):
    torch.rand(3)
    if kwargs:
        raise ValueError("no settings please")
    return nn.Linear(64, 12)


def typed(**kwargs):
    torch.rand(3)
    if kwargs:
        raise TypeError("I take nothing at all")
    return nn.Linear(64, 12)


def asserted(**kwargs):
    torch.rand(3)
    assert not kwargs
    return nn.Linear(64, 12)


def broken_and_worded(**kwargs):
    raise ValueError(f"no settings please: {sorted(kwargs)}")


def module(**kwargs):
    class Bare(nn.Module):
        def __init__(self, **kwargs):
            super().__init__(**kwargs)

    return Bare(**kwargs)


def swallows(**kwargs):
    return nn.Linear(64, 12)


def labelled(n_labels=12, n_classes=5, **kwargs):
    assert not kwargs
    return nn.Linear(64, n_classes)


def named(classes=("ant", "bee"), **kwargs):
    assert not kwargs
    return nn.Linear(64, len(classes))


def broken(**kwargs):
    raise TypeError("it got an unexpected visitor")


def broken_behind(**kwargs):
    return Net(kwargs["num_classes"], heigth=3)


def broken_in_both(**kwargs):
    return nn.Linear(64, num_classes=kwargs["num_classes"])


part = partial(resnet18, num_classes=5)
"""

Made = Callable[..., Any]


@pytest.fixture
def made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Made]:
    """Makes a network by its name in a module of one's own, for ten classes of digits."""
    (tmp_path / "kwargs_nets.py").write_text(NETS)
    monkeypatch.syspath_prepend(tmp_path)

    def make(name: str, classes: int = 10) -> Any:
        return build(f"kwargs_nets:{name}", image_shape=(1, 8, 8), classes=classes)

    yield make
    del sys.modules["kwargs_nets"]


@pytest.mark.parametrize("name", ["Net", "resnet18", "Wide", "part"])
def test_the_number_of_classes_goes_through_kwargs(made, name):
    assert made(name).fc.out_features == 10


@pytest.mark.parametrize(
    ("name", "outputs"),
    [
        *[("unaware", 12), ("checked", 12), ("swallows", 12), ("labelled", 10), ("named", 2)],
        *[("worded", 12), ("typed", 12), ("asserted", 12)],
    ],
)
def test_what_does_not_take_it_is_made_as_it_is(made, name, outputs):
    assert made(name).out_features == outputs


def test_a_number_that_is_given_already_stays(made):
    assert made("ten").fc.out_features == 7


def test_a_module_that_takes_no_keyword_is_made_without(made):
    assert isinstance(made("module"), nn.Module)


@pytest.mark.parametrize("name", ["unaware", "worded", "typed", "asserted"])
def test_a_second_call_draws_the_weights_of_a_first_one(made, name):
    torch.manual_seed(3)
    model = made(name)
    torch.manual_seed(3)
    torch.rand(3)
    assert torch.equal(model.weight, nn.Linear(64, 12).weight)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("broken", "unexpected visitor"),
        ("broken_behind", "unexpected keyword argument 'heigth'"),
    ],
)
def test_another_error_of_own_code_is_not_swallowed(made, name, message):
    with pytest.raises(TypeError, match=message):
        made(name)


def test_of_two_errors_in_words_of_its_own_the_first_is_told(made):
    with pytest.raises(ValueError, match=r"^no settings please: \['num_classes'\]$"):
        made("broken_and_worded")


def test_what_goes_wrong_without_the_keyword_is_told_with_what_went_wrong_with_it(made):
    with pytest.raises(KeyError, match="num_classes") as caught:
        made("broken_in_both")
    assert "unexpected keyword argument 'num_classes'" in str(caught.value.__context__)


def given_to(monkeypatch: pytest.MonkeyPatch, factory: Made, shape: tuple[int, int, int]) -> Any:
    monkeypatch.setattr("prac.models.custom.imported", lambda name, what: factory)
    return build_own("mine:make", image_shape=shape, classes=10)


class Holds(nn.Module):
    """Holds what it was made with."""

    def __init__(self, **given: Any) -> None:
        super().__init__()
        self.given = given


VALUES = {
    **dict.fromkeys(CLASSES, 10),
    **dict.fromkeys(CHANNELS, 3),
    **dict.fromkeys(SIDES, 32),
    "image_shape": (3, 32, 32),
}


def taking(parameter: str, default: str = "") -> Made:
    """Return a function of one parameter, with a default in Python's writing or without."""
    names: dict[str, Any] = {"Holds": Holds}
    exec(f"def make({parameter}{default}):\n    return Holds({parameter}={parameter})", names)
    return names["make"]


@pytest.mark.parametrize("name", VALUES)
@pytest.mark.parametrize("default", ["", "=None"])
def test_each_name_that_is_offered_is_given_what_it_says(monkeypatch, name, default):
    model = given_to(monkeypatch, taking(name, default), (3, 32, 32))
    assert model.given == {name: VALUES[name]}


@pytest.mark.parametrize(
    ("parameter", "default", "shape", "value"),
    [
        ("image_size", "=224", (3, 32, 32), 32),
        ("image_size", "=(224, 224)", (3, 32, 32), (32, 32)),
        ("image_size", "=[224, 224]", (3, 32, 48), (32, 48)),
        ("img_size", "", (3, 32, 48), (32, 48)),
        # Which number a network of squares should take is not known.
        ("img_size", "=224", (3, 32, 48), 224),
        # What has another kind of default means something else.
        ("image_size", "='large'", (3, 32, 32), "large"),
        ("classes", "=('ant', 'bee')", (3, 32, 32), ("ant", "bee")),
        ("num_labels", "=True", (3, 32, 32), True),
        ("image_shape", "=(8, 8)", (3, 32, 32), (8, 8)),
        # What has no plain meaning is left alone.
        ("channels", "=64", (3, 32, 32), 64),
        ("out_features", "=1000", (3, 32, 32), 1000),
        ("input_size", "=224", (3, 32, 32), 224),
    ],
)
def test_a_parameter_is_given_its_own_kind_of_value(monkeypatch, parameter, default, shape, value):
    assert given_to(monkeypatch, taking(parameter, default), shape).given == {parameter: value}


def test_what_is_asked_for_and_not_offered_is_one_line(monkeypatch):
    with pytest.raises(PracError, match=r"needs the argument 'channels'.*no more than image_shape"):
        given_to(monkeypatch, taking("channels"), (3, 32, 32))


@given(st.sets(st.sampled_from("abcd")), st.sets(st.sampled_from("abcd")))
def test_of_optional_keywords_those_that_are_taken_are_passed(taken, optional):
    def make(**given: int) -> dict[str, int]:
        call: Any = (
            eval(f"lambda *, {', '.join(f'{name}=0' for name in sorted(taken))}: 0")
            if (taken)
            else (lambda: 0)
        )
        call(**given)
        return given

    found = call_with(make, {}, dict.fromkeys(sorted(optional), 1))
    assert found == dict.fromkeys(taken & optional, 1)


def test_a_partial_s_refusal_is_seen_too():
    assert call_with(partial(dict, a=1), {}, {"b": 2}) == {"a": 1, "b": 2}
    with pytest.raises(TypeError):
        call_with(partial(len, [1]), {"b": 1}, {"c": 2})
