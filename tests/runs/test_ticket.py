"""Tickets: what is saved is loaded, bit for bit, and fits its own model only."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from prac.errors import Damaged, PracError
from prac.io import write_tensors
from prac.runs import Ticket


def network(width=3):
    with torch.random.fork_rng([]):
        torch.manual_seed(0)
        return nn.Sequential(nn.Linear(5, width), nn.BatchNorm1d(width), nn.Linear(width, 2))


def ticket_of(model, **provenance):
    weights = {name: value.clone() for name, value in model.state_dict().items()}
    # Against the alphabet, and with 15 and 6 entries: neither fills whole bytes.
    masks = {name: weights[name] > 0 for name in ("2.weight", "0.weight")}
    return Ticket(weights, masks, {"level": 3, **provenance})


def assert_same(first, second):
    assert list(first.masks) == list(second.masks)
    assert first.weights.keys() == second.weights.keys()
    for mine, other in ((first.weights, second.weights), (first.masks, second.masks)):
        for name in mine:
            assert mine[name].dtype == other[name].dtype
            assert torch.equal(mine[name], other[name])
    assert first.provenance == second.provenance


def test_a_ticket_comes_back_as_it_was(tmp_path):
    ticket = ticket_of(network(), seed=0, name="é", inner={"a": [1, None, 0.5]})
    ticket.save(tmp_path / "net.ticket")
    loaded = Ticket.load(str(tmp_path / "net.ticket"))
    assert_same(loaded, ticket)
    assert loaded.level == 3
    assert loaded.digest == ticket.digest
    kept = sum(int(mask.sum()) for mask in ticket.masks.values())
    assert loaded.density == kept / 21


DTYPES = st.sampled_from([torch.float32, torch.float16, torch.bfloat16, torch.int64])
SHAPES = st.lists(st.integers(0, 5), max_size=3).map(tuple)


@given(
    st.dictionaries(
        st.from_regex(r"[abé]([./]?[abé]){0,2}", fullmatch=True),
        st.tuples(SHAPES, DTYPES, st.booleans()),
        min_size=1,
        max_size=4,
    ),
    st.integers(0, 99),
)
def test_tickets_of_any_shape_come_back(tmp_path_factory, layers, seed):
    draw = torch.Generator().manual_seed(seed)
    weights, masks = {}, {}
    for name, (shape, dtype, is_masked) in layers.items():
        weights[name] = torch.randint(9, shape, generator=draw).to(dtype)
        if is_masked and dtype.is_floating_point and 0 not in shape:
            masks[name] = torch.randint(2, shape, generator=draw).bool()
    ticket = Ticket(weights, masks, {"level": 0})
    path = tmp_path_factory.mktemp("ticket") / "t"
    ticket.save(path)
    assert_same(Ticket.load(path), ticket)


def test_the_same_ticket_gives_the_same_bytes_also_after_loading(tmp_path):
    ticket_of(network(), b=1, a=(2,)).save(tmp_path / "first")
    ticket_of(network(), a=(2,), b=1).save(tmp_path / "second")
    Ticket.load(tmp_path / "first").save(tmp_path / "third")
    first = (tmp_path / "first").read_bytes()
    assert (tmp_path / "second").read_bytes() == first
    assert (tmp_path / "third").read_bytes() == first


def test_the_digest_is_the_weights_and_masks_alone():
    ticket = ticket_of(network())
    assert ticket_of(network(), seed=9).digest == ticket.digest
    other = ticket_of(network())
    other.weights["0.weight"][0, 0] += 1
    assert other.digest != ticket.digest
    other = ticket_of(network())
    other.masks["0.weight"][0, 0] ^= True
    assert other.digest != ticket.digest


def test_applying_rewinds_and_masks_the_model():
    ticket = ticket_of(network())
    model = network()
    for parameter in model.parameters():
        nn.init.constant_(parameter, 7.0)
    model[1].running_mean += 7
    assert ticket.apply(model) is model
    after = model.state_dict()
    assert list(after) == list(ticket.weights)
    for name, weight in ticket.weights.items():
        expected = weight.clone()
        if name in ticket.masks:
            expected[~ticket.masks[name]] = 0
            assert (expected == 0).any()
        assert torch.equal(after[name], expected)
        assert torch.equal(ticket.masked_weights()[name], expected)
    # The ticket keeps the pruned weights' rewound values.
    assert (ticket.weights["0.weight"] != 0).all()


def test_a_ticket_for_another_model_is_refused_before_anything_is_changed():
    ticket = ticket_of(network())
    other = network(width=4)
    before = {name: value.clone() for name, value in other.state_dict().items()}
    message = r"mask '2.weight' is \(2, 3\), the model's weight is \(2, 4\): this ticket is for an"
    with pytest.raises(PracError, match=message):
        ticket.apply(other)
    with pytest.raises(PracError, match=r"mask '2.weight' has no parameter in the model"):
        ticket.apply(network()[:2])
    assert all(torch.equal(other.state_dict()[name], before[name]) for name in before)


def test_weights_that_do_not_fit_are_named_too():
    model = network()
    ticket = Ticket({**ticket_of(model).weights, "3.weight": torch.ones(1)}, {}, {})
    with pytest.raises(PracError, match=r"hold '3\.weight', which the model lacks"):
        ticket.apply(model)


W = [["w", [3]]]


@pytest.mark.parametrize(
    ("weights", "shapes", "message"),
    [
        ({}, [["w", [3]]], "mask 'w' has no weight"),
        ({"weight/w": torch.ones(3)}, [["v", [3]]], "'mask/v' is missing"),
        ({"weight/w": torch.ones(3)}, [], "unknown tensor 'mask/w'"),
        ({"weight/w": torch.ones(3).int()}, [["w", [3]]], "'w' is torch.int32: expected floating"),
        ({"weight/w": torch.full((3,), torch.inf)}, [["w", [3]]], "'w' is infinite"),
        ({"weight/w": torch.ones(3), "weight/v": torch.tensor(torch.nan)}, W, "'v' holds NaN"),
        ({"weight/w": torch.ones(3)}, [*W, *W], "mask 'w' is there twice"),
        ({"weight/w": torch.ones(4)}, [["w", [3]]], r"mask 'w' is \(3,\), its weight is \(4,\)"),
    ],
)
def test_a_ticket_file_that_contradicts_itself_is_refused(tmp_path, weights, shapes, message):
    path = tmp_path / "odd"
    tensors = {**weights, "mask/w": torch.tensor([0b11100000], dtype=torch.uint8)}
    write_tensors(path, tensors, "ticket", {"provenance": {}, "mask_shapes": shapes})
    with pytest.raises(Damaged, match=message) as error:
        Ticket.load(path)
    assert str(path) in str(error.value)
