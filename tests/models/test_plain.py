"""Networks whose weights are not there, not there yet, or not alone in their memory."""

from __future__ import annotations

import warnings

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

import prac
from prac.config import ModelConfig
from prac.errors import PracError
from prac.models import check_plain, load_model, restore_, snapshot
from prac.models.plain import is_expanded

OWN = "tests.models.test_plain:"


def lazy(num_classes: int) -> nn.Module:
    return nn.Sequential(
        nn.LazyConv2d(4, 3),
        nn.LazyBatchNorm2d(affine=False),
        nn.Flatten(),
        nn.LazyLinear(num_classes),
    )


class MadeInTheFirstPass(nn.Module):
    """Finds out how wide its input is as many people write it."""

    def __init__(self, num_classes: int) -> None:
        super().__init__()
        self.classes, self.fc = num_classes, nn.Module()

    def forward(self, x: Tensor) -> Tensor:
        if not isinstance(self.fc, nn.Linear):
            self.fc = nn.Linear(x[0].numel(), self.classes)
        return self.fc(x.flatten(1))


@pytest.mark.parametrize("name", ["lazy", "MadeInTheFirstPass"])
def test_layers_that_find_their_size_by_an_input_are_drawn_from_the_seed(name):
    torch.manual_seed(1)
    state = torch.get_rng_state()
    made = [load_model(ModelConfig(OWN + name), (1, 8, 8), 10, seed) for seed in (0, 0, 1)]
    assert torch.equal(torch.get_rng_state(), state)
    one, two, other = (snapshot(model) for model in made)
    assert all(one[key].equal(two[key]) for key in one)
    assert not all(one[key].equal(other[key]) for key in one)
    # As they are before any data has passed.
    assert all(value.eq(0).all() for key, value in one.items() if key.endswith("running_mean"))
    assert all(value.eq(1).all() for key, value in one.items() if key.endswith("running_var"))
    assert all(module.training for module in made[0].modules())
    check_plain(made[0])


def test_feature_vectors_are_what_lazy_layers_see_of_feature_vectors():
    model = load_model(ModelConfig(OWN + "MadeInTheFirstPass"), (7,), 3, 0)
    assert snapshot(model)["fc.weight"].shape == (3, 7)


def picky(num_classes: int) -> nn.Module:
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten(), nn.LazyLinear(num_classes))


def test_lazy_layers_behind_one_that_does_not_take_the_inputs_are_told():
    with pytest.raises(
        PracError, match=r"lazy layers cannot be given their shapes by .*\(1, 8, 8\)"
    ):
        load_model(ModelConfig(OWN + "picky"), (1, 8, 8), 10, 0)


def test_a_network_that_counts_its_passes_is_not_called_by_making_it():
    model = load_model(ModelConfig(OWN + "Counting"), (1, 8, 8), 10, 0)
    assert model.passes == 0


class Counting(nn.Module):
    passes = 0

    def __init__(self, num_classes: int) -> None:
        super().__init__()
        self.fc = nn.Linear(64, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        self.passes += 1
        return self.fc(x.flatten(1))


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (lambda: nn.Sequential(nn.Flatten(), nn.LazyLinear(10)), "'1.weight' has no shape yet"),
        (lambda: nn.LazyBatchNorm2d(affine=False), "'running_mean' has no shape yet"),
        (lambda: nn.Linear(64, 10, device="meta"), "'weight' is on the device 'meta'.*to_empty"),
        (lambda: MadeInTheFirstPass(10), "made 'fc.bias' in its first pass.*with a batch before"),
    ],
)
def test_weights_that_are_not_there_are_told_from_python(make, told, train, config, tmp_path):
    with pytest.raises(PracError, match=told):
        prac.find(make(), train, config(), out=tmp_path / "run")
    assert not (tmp_path / "run").exists()


def sharing(one: Tensor, two: Tensor) -> nn.Module:
    model = nn.Module()
    model.one, model.two = nn.Parameter(one), nn.Parameter(two)
    return model


def test_two_parameters_in_the_same_memory_are_told():
    square, long = torch.zeros(4, 4), torch.zeros(12)
    check_plain(sharing(square[:, :2], square[:, 2:]))  # Interleaved.
    check_plain(sharing(long[:6].view(2, 3), long[6:]))  # In a row.
    check_plain(sharing(long[::2], long[1::2]))
    check_plain(sharing(long[:6], long[6:].view(torch.float16)))
    told = "'one' and 'two' are two tensors in the same memory"
    for one, two in (
        (square, square),
        (square, square.t()),
        (square[:, :3], square[2:]),
        (long[::2], long[::3]),
        (long, long.view(torch.float16)[:4]),
    ):
        with pytest.raises(PracError, match=told):
            check_plain(sharing(one, two))


@given(
    st.lists(
        st.tuples(st.integers(0, 11), st.integers(1, 4), st.integers(1, 4)), min_size=2, max_size=2
    )
)
def test_places_in_memory_are_those_of_the_strides(views):
    storage = torch.arange(64.0)
    one, two = (storage.as_strided((2, 3), (a, b), start) for start, a, b in views)
    # What one tensor's numbers are is where they lie.
    places = [of.flatten().tolist() for of in (one, two)]
    if any(len(set(of)) < len(of) for of in places):
        with pytest.raises(PracError, match="is expanded"):
            check_plain(sharing(one, two))
    elif set(places[0]) & set(places[1]):
        with pytest.raises(PracError, match="in the same memory"):
            check_plain(sharing(one, two))
    else:
        check_plain(sharing(one, two))


def test_a_weight_of_which_many_numbers_are_one_in_memory_is_told():
    wide = torch.zeros(1, 8).expand(16, 8)
    assert is_expanded(wide)
    with pytest.raises(PracError, match=r"'one' is expanded.*after \.clone"):
        check_plain(sharing(wide, torch.zeros(2)))
    # Where a dimension has one entry its stride means nothing.
    check_plain(sharing(torch.zeros(8).expand(1, 8), torch.zeros(2)))


def test_a_buffer_of_which_many_numbers_are_one_in_memory_is_put_back_as_any_other():
    model = nn.Linear(2, 2)
    model.register_buffer("table", torch.arange(3.0).expand(4, 3))
    weights = snapshot(model)
    restore_(model, {**weights, "table": weights["table"] + 1})
    assert model.state_dict()["table"].tolist() == [[1, 2, 3]] * 4


class Empty(nn.Module):
    """Has a layer of width zero beside another, as searched architectures do."""

    def __init__(self) -> None:
        super().__init__()
        with torch.random.fork_rng(), warnings.catch_warnings(action="ignore"):
            torch.manual_seed(0)
            self.none, self.some = nn.Linear(64, 0), nn.Linear(64, 16)
            self.last = nn.Linear(16, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = x.flatten(1)
        return self.last(torch.cat([self.none(x), self.some(x)], 1).relu())


class Complex(nn.Module):
    """Multiplies by complex numbers, as layers in the frequency domain do."""

    def __init__(self) -> None:
        super().__init__()
        with torch.random.fork_rng():
            torch.manual_seed(0)
            self.waves = nn.Linear(64, 16, dtype=torch.complex64)
            self.some, self.last = nn.Linear(16, 96), nn.Linear(96, 10)

    def forward(self, x: Tensor) -> Tensor:
        waves = self.waves(x.flatten(1).to(torch.complex64)).abs()
        return self.last(self.some(waves).relu())


@pytest.mark.parametrize(
    ("make", "prunable", "left_out"),
    [
        (Empty, {"linear layers": 1024, "the output layer": 160}, {"biases and norms": 26}),
        (
            Complex,
            {"linear layers": 1536, "the output layer": 960},
            {"complex weights": 1040, "biases and norms": 106},
        ),
    ],
)
def test_layers_without_elements_and_complex_ones_are_left_out_and_counted(
    make, prunable, left_out, train, val, config, tmp_path
):
    settings = config(levels=1)
    search = prac.find(make(), train, settings, val=val, out=tmp_path / "run")
    assert search.parameters is not None
    assert search.parameters.to_json() == {"prunable": prunable, "left_out": left_out}
    _, history = prac.retrain(search.tickets[1], make(), train, settings.train, test=val)
    assert history.test_accuracy is not None
    assert history.test_accuracy > 0.2


def test_where_only_complex_weights_are_left_nothing_is_prunable(train, config, tmp_path):
    class Waves(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.waves = nn.Linear(64, 10, dtype=torch.complex64)

        def forward(self, x: Tensor) -> Tensor:
            return self.waves(x.flatten(1).to(torch.complex64)).abs()

    with pytest.raises(PracError, match=r"no prunable weight.*complex weights 650"):
        prac.find(Waves(), train, config(), out=tmp_path / "run")


class WithBuffer(nn.Linear):
    def __init__(self, buffer: Tensor, *, persistent: bool = True, name: str = "table") -> None:
        super().__init__(64, 10)
        self.register_buffer(name, buffer, persistent=persistent)

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.flatten(1))


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (
            lambda: WithBuffer(torch.eye(3).to_sparse()),
            r"'table' is torch\.float32, torch\.sparse_coo",
        ),
        (
            lambda: WithBuffer(torch.zeros(1, dtype=torch.complex128)),
            r"'table' is torch\.complex128",
        ),
        (lambda: WithBuffer(torch.zeros((1,) * 40)), r"'table' has the shape"),
        (lambda: WithBuffer(torch.zeros(1), name="a\\b"), "is no name of a tensor"),
    ],
)
def test_what_no_ticket_s_file_can_hold_is_told_before_anything_is_written(
    make, told, train, config, tmp_path
):
    with pytest.raises(
        PracError, match=f"cannot be put into a ticket's file: .*{told}.*persistent"
    ):
        prac.find(make(), train, config(), out=tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_buffers_that_are_not_kept_and_extra_state_may_be_anything(train, config, tmp_path):
    class Extra(WithBuffer):
        def get_extra_state(self) -> dict[str, int]:
            return {"scale": 3}

        def set_extra_state(self, state: dict[str, int]) -> None:
            assert state == {"scale": 3}

    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = Extra(torch.eye(3).to_sparse(), persistent=False)
    search = prac.find(model, train, config(levels=1, prune=TO_OUTPUT), out=tmp_path / "run")
    assert set(search.tickets[1].weights) == {"weight", "bias"}
    trained, _ = prac.retrain(search.tickets[1], model, train, config().train)
    assert trained.get_extra_state() == {"scale": 3}


TO_OUTPUT = prac.PruneConfig(layers="output")
