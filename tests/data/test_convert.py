"""Arrays, frames and lists of the same numbers are the same examples; what is none is told."""

import decimal
import warnings
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torch.utils.data import Dataset

import prac
from prac.data import MapExamples, TensorExamples, as_examples
from prac.errors import PracError

X = np.random.default_rng(0).normal(size=(12, 4)).astype(np.float32)
Y = np.arange(12) % 3
TX, TY = torch.from_numpy(X), torch.from_numpy(Y)


class Own:
    """An array of another library."""

    def __init__(self, array):
        self.array = array

    def __array__(self, dtype=None, copy=None):
        return self.array


def read_only(array):
    array = array.copy()
    array.flags.writeable = False
    return array


def field():
    """Return X as a field of records, which lies between bytes that are none of it."""
    records = np.zeros(12, [("byte", "u1"), ("x", "f4", (4,))])
    records["x"] = X
    return records["x"]


def objects(values):
    found = np.empty(len(values), dtype=object)
    found[:] = values
    return found


def inferred():
    with torch.inference_mode():
        return TX.clone()


ALIKE: dict[str, Any] = {
    "flipped": X[::-1].copy()[::-1],
    "mirrored": X[:, ::-1].copy()[:, ::-1],
    "columns first": np.asfortranarray(X),
    "big-endian": X.astype(">f4"),
    "double": X.astype(np.float64),
    "big-endian double": X.astype(">f8"),
    "long double": X.astype(np.longdouble),
    "read-only": read_only(X),
    "masked nowhere": np.ma.array(X),
    "a field of records": field(),
    "objects": X.astype(object),
    "lists": X.tolist(),
    "list of arrays": list(X),
    "list of flipped arrays": [row[::-1].copy()[::-1] for row in X],
    "list of tensors": list(TX),
    "tuple of tensors": TX.unbind(),
    "objects that are arrays": objects(list(X)),
    "another library's": Own(X),
    "with gradient": TX.clone().requires_grad_(),
    "made of what has a gradient": TX.clone().requires_grad_() * 1,
    "parameter": nn.Parameter(TX.clone()),
    "inferred": inferred(),
    "transposed": TX.t().contiguous().t(),
    "negative view": torch.complex(TX, -TX).conj().imag,
}


@pytest.mark.parametrize("kind", ALIKE)
def test_the_same_numbers_are_the_same_inputs(kind):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        examples = as_examples((ALIKE[kind], Y))
    assert isinstance(examples, TensorExamples)
    assert examples.fingerprint == as_examples((X, Y)).fingerprint
    ((x, y),) = examples.stream([torch.tensor([3, 1])])
    assert torch.equal(x, TX[[3, 1]])
    assert torch.equal(y, TY[[3, 1]])
    assert not x.requires_grad


@pytest.mark.parametrize(
    "y",
    [
        Y[::-1].copy()[::-1],
        Y.astype(">i8"),
        Y.astype(">u2"),
        Y.astype(np.uint64),
        Y.astype(object),
        Y.tolist(),
        list(TY),
        range(3, 0, -1),
    ],
)
def test_the_same_classes_are_the_same_targets(y):
    examples = as_examples((X[: len(y)], y))
    assert examples.labels is not None
    assert examples.labels.dtype == torch.int64
    assert examples.labels.tolist() == [int(label) for label in y]


def test_frames_and_series_are_their_values_by_position():
    pd = pytest.importorskip("pandas")
    frame = pd.DataFrame(X, columns=list("abcd"))
    expected = as_examples((X, Y)).fingerprint
    for x, y in (
        (frame, pd.Series(Y)),
        (frame, Y),
        (frame.astype("Float32"), pd.Series(Y, dtype="Int64")),
        (frame, pd.Series(Y).astype("category")),
        ([row for _, row in frame.iterrows()], Y),
    ):
        assert as_examples((x, y)).fingerprint == expected
    mixed = frame.assign(d=frame.d > 0)
    assert as_examples((mixed, Y)).fingerprint == as_examples((mixed.astype(float), Y)).fingerprint

    shuffled = frame.sample(frac=1, random_state=0)
    with pytest.raises(PracError, match=r"x and y of the data set have different indices: .* posi"):
        as_examples((shuffled, pd.Series(Y)))
    both = as_examples((shuffled, pd.Series(Y)[shuffled.index]))
    assert both.labels is not None
    assert both.labels.tolist() == Y[shuffled.index].tolist()
    for other, why in (
        (frame.assign(w="word"), r"in column 'w' it holds words\): leave such columns out"),
        (frame.assign(t=pd.Timestamp("2020")), r"in column 't' it holds dates or times\)"),
        (frame.astype("Int64", errors="ignore").assign(a=pd.NA), r"in column 'a' it has missing"),
    ):
        with pytest.raises(PracError, match=f"x of the data set .x, y. is a DataFrame .*{why}"):
            as_examples((other, Y))


REFUSED: list[tuple[Any, str]] = [
    (np.ma.array(X, mask=X > 1), r"MaskedArray .* \(it has masked values\): fill them by filled"),
    (np.zeros(12, [("a", "f4"), ("b", "f4")]), r"\(it has the fields a, b\): stack its columns"),
    (np.array(["ant"] * 12), r"ndarray .* \(it holds words\): number its words .*return_inverse"),
    (np.array(["ant"] * 12, dtype=object), r"\(it holds words\): number its words"),
    (np.zeros(12, "M8[s]"), r"\(it holds dates or times\): make numbers of them"),
    (np.array([decimal.Decimal(1)] * 12), r"\(it holds objects of the type Decimal\)"),
    (np.array([[None] * 2] * 12), r"\(it has missing values\): fill them"),
    (np.array([2**70] * 12, dtype=object), r"\(it holds integers beyond 64 bits\)"),
    (np.zeros(12, "V3"), r"\(it holds \|V3\)"),
    ([TX[0]] * 11 + [TX[0, :2]], r"list .* \(its part 11 is torch.float32 of shape \(2,\), the fi"),
    ([TX[0]] * 11 + [TX[0].double()], r"\(its part 11 is torch.float64 of shape \(4,\), the first"),
    ([TX[0]] * 11 + [1], r"\(some of its parts are arrays, others are not\)"),
    ([TX[0].to_sparse()] * 12, r"\(its parts have the layout torch.sparse_coo\): use to_dense"),
    ([[1.0, 2.0]] * 11 + [[1.0]], r"list that torch does not take \(expected sequence of length"),
]


@pytest.mark.parametrize(("x", "message"), REFUSED)
def test_what_has_no_plain_meaning_is_told_in_one_line(x, message):
    with pytest.raises(PracError, match=f"^x of the data set .x, y. is an? .*{message}") as error:
        as_examples((x, Y))
    assert "\n" not in str(error.value)


def test_two_examples_are_not_taken_for_inputs_and_targets():
    for pairs in (((TX[0], TY[0]), (TX[1], TY[1])), ((TX[0], TX[0]), (TX[1], TX[1]))):
        with pytest.raises(PracError, match="tuple of 2 parts, and so is y: these may be two exam"):
            as_examples(pairs)
    assert len(as_examples([(TX[0], TY[0]), (TX[1], TY[1])])) == 2


def test_what_float32_cannot_hold_is_told_with_its_example():
    x = X.astype(np.float64)
    x[5, 1] = 1e300
    with pytest.raises(PracError, match=r"x of example 5 of the data set holds 1e\+300, beyond"):
        as_examples((x, Y))
    x[5, 1] = np.inf  # As it is: whether a network takes it is another question.
    assert as_examples((x, Y))


@pytest.mark.parametrize("x", [X.astype(np.float64) * 1e-60, X.astype(np.float64) + 1e12])
def test_inputs_that_float32_makes_all_the_same_are_told(x):
    told = r"^x of the data set loses in float32 what 4 of its 4 features differ by, the first 0,"
    with pytest.raises(PracError, match=told):
        as_examples((x, Y))
    assert as_examples((torch.from_numpy(x), Y))  # For a network of float64.
    beside = np.concatenate([X, x[:, :1], X], 1)
    with pytest.raises(PracError, match=r"what 1 of its 9 features differ by, the first 4, with"):
        as_examples((beside, Y))
    assert as_examples((np.full((12, 4), 1e-60), Y))
    x[0] = 0.5  # Some are told apart.
    assert as_examples((x, Y))


def test_a_quantised_tensor_is_told_with_its_remedy():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        x = torch.quantize_per_tensor(TX, 0.1, 0, torch.qint8)
    with pytest.raises(PracError, match=r"x of the data set is a quantised .* by dequantize\(\)"):
        as_examples((x, Y))


class Rows(Dataset):
    """Examples made one by one."""

    def __init__(self, x, y=lambda i: int(Y[i])):
        self.x, self.y = x, y

    def __len__(self):
        return 12

    def __getitem__(self, index):
        return self.x(index), self.y(index)


PARAMETER = nn.Parameter(TX.clone())


def as_x(index):
    return X[index]


ALIKE_ONE_BY_ONE: dict[str, Any] = {
    "flipped": Rows(lambda i: X[i][::-1].copy()[::-1]),
    "big-endian": Rows(lambda i: X[i].astype(">f4")),
    "big-endian class": Rows(as_x, lambda i: Y.astype(">i8")[i : i + 1].reshape(())),
    "class as an object": Rows(as_x, lambda i: np.array(int(Y[i]), dtype=object)),
    "masked nowhere": Rows(lambda i: np.ma.array(X[i])),
    "read-only": Rows(lambda i: read_only(X[i])),
    "with gradient": Rows(lambda i: PARAMETER[i]),
    "negative view": Rows(lambda i: torch.complex(TX[i], -TX[i]).conj().imag),
    "another library's": Rows(lambda i: Own(X[i])),
    "now flipped, now not": Rows(lambda i: X[i] if i % 2 else X[i][::-1].copy()[::-1]),
}


@pytest.mark.parametrize("kind", ALIKE_ONE_BY_ONE)
def test_the_same_numbers_are_the_same_examples_of_a_data_set(kind):
    examples = MapExamples(ALIKE_ONE_BY_ONE[kind])
    assert examples.fingerprint == MapExamples(Rows(as_x)).fingerprint
    ((x, y),) = examples.stream([torch.tensor([3, 1])])
    assert torch.equal(x, TX[[3, 1]])
    assert torch.equal(y, TY[[3, 1]])
    assert not x.requires_grad


@pytest.mark.parametrize("dtype", [np.uint16, np.uint32, np.uint64])
def test_unsigned_classes_of_a_data_set_can_be_counted_with(dtype):
    ((_, y),) = MapExamples(Rows(as_x, lambda i: dtype(Y[i]))).stream([torch.arange(12)])
    assert y.dtype == torch.int64
    assert torch.equal(y, TY)


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (Rows(lambda i: np.ma.array(X[i], mask=X[i] > 1)), "is a MaskedArray .*masked values"),
        (Rows(lambda i: np.zeros(1, [("a", "f4")])[0]), "is a void .* the fields a"),
        (Rows(as_x, lambda i: np.str_("ant")), "is a str_ .*words.*, in the data set's transform"),
        (Rows(as_x, lambda i: np.datetime64("2020")), "is a datetime64 .* dates or times"),
        (Rows(as_x, lambda i: decimal.Decimal(1)), "is a Decimal: expected a tensor, an array or"),
    ],
)
def test_an_example_without_plain_numbers_is_named(rows, message):
    with pytest.raises(PracError, match=f"of example [0-9]* of the data set {message}"):
        assert MapExamples(rows).fingerprint


@given(st.permutations(range(2)), st.booleans(), st.booleans(), st.booleans())
def test_how_an_array_lies_in_memory_changes_no_fingerprint(axes, rows, columns, swapped):
    laid_out = X.transpose(axes).copy().transpose(np.argsort(axes))
    laid_out = laid_out[:: -1 if rows else 1, :: -1 if columns else 1].copy()
    laid_out = laid_out[:: -1 if rows else 1, :: -1 if columns else 1]
    laid_out = laid_out.astype(">f4" if swapped else "<f4", copy=False)
    assert as_examples((laid_out, Y)).fingerprint == as_examples((X, Y)).fingerprint


def test_a_search_takes_what_lies_otherwise_and_finds_the_same(tmp_path, config):
    def found(name, x, y):
        torch.manual_seed(0)
        net = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 3))
        settings = config(levels=1, prune=prac.PruneConfig(layers="linear"))
        search = prac.find(net, (x, y), settings, out=tmp_path / name)
        return search.tickets[1].masks

    plain = found("plain", X, Y)
    other = found("other", TX.clone().requires_grad_(), Y.astype(">i4")[::-1].copy()[::-1])
    assert all(torch.equal(plain[name], other[name]) for name in plain)
