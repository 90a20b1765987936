"""What is prunable: by kind of layer, with ties, frozen and parametrised weights, and how much."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from prac.config import PruneConfig
from prac.errors import PracError
from prac.models import LastLayer, ParameterCount, count_parameters, prunable


def network():
    return nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Sequential(nn.Linear(4, 5), nn.Linear(5, 2))
    )


def names(model, output_layer=None, **config):
    return list(prunable(model, PruneConfig(**config), output_layer))


def last_layer(model, x):
    last = LastLayer()
    with last.watching(model):
        outputs = model(x)
    last.made(outputs)
    return last.name


@pytest.mark.parametrize(
    ("layers", "expected"),
    [
        ("conv", ["0.weight"]),
        ("linear", ["2.0.weight", "2.1.weight"]),
        ("conv+linear", ["0.weight", "2.0.weight", "2.1.weight"]),
        ("auto", ["0.weight", "2.0.weight"]),
        ("auto+output", ["0.weight", "2.0.weight", "2.1.weight"]),
        ("output", ["2.1.weight"]),
    ],
)
def test_weights_are_prunable_by_kind_of_layer(layers, expected):
    assert names(network(), "2.1", layers=layers) == expected


@pytest.mark.parametrize("layer", [nn.Conv1d(1, 1, 1), nn.Conv2d(1, 1, 1), nn.Conv3d(1, 1, 1)])
def test_convolutions_of_any_dimension_are_prunable_alone(layer):
    assert names(layer, layers="conv") == ["weight"]


class PatchEmbedding(nn.Conv2d):
    """A convolution that says what it is for."""


def test_what_calls_itself_an_embedding_is_one():
    model = nn.Sequential(PatchEmbedding(1, 4, 2, 2), nn.Conv2d(4, 4, 1))
    assert names(model) == ["1.weight"]
    assert names(model, layers="embedding") == ["0.weight"]


class Conv1D(nn.Module):
    """A linear layer whose weight lies transposed."""

    def __init__(self, wide, narrow):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(narrow, wide))

    def forward(self, x):
        return x @ self.weight


class Own(nn.Module):
    """Layers of one's own: a weight, more of them, a position table and a norm."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(3, 3))
        self.gate_weight = nn.Parameter(torch.randn(3, 3))
        self.positions = nn.Parameter(torch.randn(1, 3, 3))
        self.scale = nn.Parameter(torch.ones(3))


@pytest.mark.parametrize(
    ("layer", "kind", "expected"),
    [
        (nn.ConvTranspose2d(2, 3, 2), "conv-transpose", ["weight"]),
        (nn.LSTM(2, 3), "recurrent", ["weight_ih_l0", "weight_hh_l0"]),
        (nn.LSTM(2, 4, proj_size=3), "recurrent", ["weight_ih_l0", "weight_hh_l0", "weight_hr_l0"]),
        (nn.GRUCell(2, 3), "recurrent", ["weight_ih", "weight_hh"]),
        (nn.MultiheadAttention(4, 2), "attention", ["in_proj_weight", "out_proj.weight"]),
        (
            nn.MultiheadAttention(4, 2, kdim=3),
            "attention",
            ["q_proj_weight", "k_proj_weight", "v_proj_weight", "out_proj.weight"],
        ),
        (nn.Embedding(3, 2), "embedding", ["weight"]),
        (nn.EmbeddingBag(3, 2), "embedding", ["weight"]),
        (Conv1D(3, 2), "linear", ["weight"]),
        (nn.Bilinear(2, 3, 4), "linear", ["weight"]),
        (Own(), "auto", ["weight", "gate_weight"]),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, nn.Module) else None,
)
def test_each_kind_of_layer_is_known(layer, kind, expected):
    assert names(layer, layers=kind) == expected
    if kind != "embedding":
        assert names(layer, layers="auto") == expected
        with pytest.raises(PracError, match="no prunable weight"):
            names(layer, layers="conv" if kind != "conv" else "linear")


def test_embeddings_are_pruned_only_where_they_are_asked_for():
    model = nn.Sequential(nn.Embedding(3, 4), nn.Linear(4, 5), nn.Linear(5, 2))
    assert names(model, "2") == ["1.weight"]
    assert names(model, "2", layers="auto+embedding") == ["0.weight", "1.weight"]


def test_a_weight_tied_to_an_embedding_is_an_embedding():
    model = nn.Sequential(nn.Embedding(5, 3), Conv1D(3, 3), nn.Linear(3, 5, bias=False))
    model[2].weight = model[0].weight
    for layers in ("linear", "auto"):
        assert names(model, "2", layers=layers) == ["1.weight"]
    assert names(model, "2", layers="linear+embedding") == ["0.weight", "1.weight"]


def test_tied_weights_are_pruned_and_counted_once():
    model = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 3))
    model[1].weight = model[0].weight
    assert names(model, layers="linear") == ["0.weight"]
    count = count_parameters(model, ["0.weight"], PruneConfig(layers="linear"))
    assert (count.total, count.count) == (9 + 6, 9)


def test_the_only_layer_is_pruned_though_it_makes_the_outputs():
    assert names(nn.Linear(3, 2), "") == ["weight"]


def test_include_stands_in_for_kinds_and_takes_no_vectors():
    assert names(network(), include=("2.*",)) == ["2.0.weight", "2.1.weight"]
    assert names(network(), include=("*",)) == ["0.weight", "2.0.weight", "2.1.weight"]
    assert names(network(), include=("2.1.*", "0.*")) == ["0.weight", "2.1.weight"]


def test_exclude_holds_over_kinds_and_include():
    assert names(network(), layers="conv+linear", exclude=("0.*", "2.1.weight")) == ["2.0.weight"]
    assert names(network(), include=("2.*",), exclude=("2.0.*",)) == ["2.1.weight"]


def test_what_does_not_train_is_not_pruned():
    model = network()
    model[0].requires_grad_(False)
    assert names(model, layers="conv+linear") == ["2.0.weight", "2.1.weight"]
    assert names(model, include=("*",)) == ["2.0.weight", "2.1.weight"]
    config = PruneConfig(layers="linear")
    assert count_parameters(model, prunable(model, config), config).left_out["frozen"] == 108 + 4
    with pytest.raises(PracError, match=r"no prunable weight.*it has frozen 112"):
        names(model, layers="conv")


def test_the_parameters_are_the_model_s_own():
    model = network()
    assert prunable(model, PruneConfig(layers="conv"))["0.weight"] is model[0].weight


def test_nothing_to_prune_is_said_with_what_there_is():
    mlp = nn.Sequential(nn.Linear(2, 2))
    expected = (
        r"no prunable weight: layers is 'conv'.*it has linear layers 4, biases and norms 2: try"
    )
    with pytest.raises(PracError, match=expected):
        names(mlp, layers="conv")
    with pytest.raises(PracError, match=r"exclude is \['0.weight'\]; it has linear layers \(exc"):
        names(mlp, layers="linear", exclude=("0.weight",))


class Bare(nn.Module):
    def __init__(self):
        super().__init__()
        self.table, self.bias = nn.Parameter(torch.ones(2, 2)), nn.Parameter(torch.ones(2))


@pytest.mark.parametrize(
    ("model", "config", "remedy"),
    [
        (Bare(), {}, "it has other parameters 4, biases and norms 2: name some by --include"),
        (nn.Embedding(2, 2), {}, "it has embeddings 4: try --layers auto.embedding, or name"),
        (nn.Linear(2, 2).requires_grad_(False), {}, "it has frozen 6: let some of the frozen"),
        (
            nn.Linear(2, 2).requires_grad_(False),
            {"include": ("weight",)},
            "it has frozen 6: let some of the frozen ones train",
        ),
    ],
)
def test_the_remedy_follows_what_there_is(model, config, remedy):
    with pytest.raises(PracError, match=remedy):
        names(model, **config)


@pytest.mark.parametrize("field", ["include", "exclude"])
def test_a_pattern_that_matches_nothing_is_named(field):
    with pytest.raises(PracError, match=r"matches the pattern 'features\.\*': the model has 0.wei"):
        prunable(network(), PruneConfig(**{field: ("features.*",)}))  # type: ignore[arg-type]


def test_an_unknown_kind_is_named_with_the_nearest():
    with pytest.raises(PracError, match=r"kind of layer 'lineer'.*linear"):
        PruneConfig(layers="conv+lineer")


@pytest.mark.parametrize(
    ("model", "x", "expected"),
    [
        (nn.Sequential(nn.Linear(2, 4), nn.ReLU(), nn.Linear(4, 3)), torch.ones(2, 2), "2"),
        (nn.Sequential(nn.Linear(2, 1), nn.Flatten(0)), torch.ones(2, 2), "0"),
        # Each pixel has its classes; nothing after the last convolution has a weight.
        (nn.Sequential(nn.Conv2d(1, 5, 1), nn.BatchNorm2d(5)), torch.ones(2, 1, 4, 4), "0"),
        (nn.Sequential(nn.Conv2d(1, 5, 1), nn.Flatten()), torch.ones(2, 1, 4, 4), None),
        (nn.Flatten(), torch.ones(2, 1, 4), None),
    ],
)
def test_the_layer_that_makes_the_outputs(model, x, expected):
    assert last_layer(model, x) == expected
    assert not any(module._forward_hooks for module in model.modules())


class Backwards(nn.Module):
    """A network that holds its layers in another order than it calls them."""

    def __init__(self):
        super().__init__()
        self.head, self.body = nn.Linear(4, 3), nn.Linear(2, 4)

    def forward(self, x):
        return self.head(self.body(x))


def test_the_output_layer_is_told_by_calling_it():
    model = Backwards()
    found = last_layer(model, torch.ones(2, 2))
    assert names(model, found) == ["body.weight"]


def test_a_transformer_s_projections_are_prunable_and_its_embeddings_are_not():
    encoder = nn.TransformerEncoder(
        nn.TransformerEncoderLayer(8, 2, 16, batch_first=True), 1, enable_nested_tensor=False
    )
    model = nn.Sequential(nn.Embedding(9, 8), encoder, nn.Linear(8, 9))
    found = last_layer(model, torch.zeros(2, 4, dtype=torch.int64))
    assert names(model, found) == [
        "1.layers.0.self_attn.in_proj_weight",
        "1.layers.0.self_attn.out_proj.weight",
        "1.layers.0.linear1.weight",
        "1.layers.0.linear2.weight",
    ]
    config = PruneConfig()
    count = count_parameters(model, prunable(model, config, found), config, found)
    assert count.prunable == {"attention projections": 256, "linear layers": 256}
    assert count.left_out == {
        "embeddings": 72, "biases and norms": 24 + 8 + 16 + 8 + 4 * 8 + 9, "the output layer": 72,
    }  # fmt: skip


COUNTS = st.dictionaries(st.text(min_size=1, max_size=5), st.integers(1, 10**9), max_size=4)


@given(COUNTS.filter(bool), COUNTS)
def test_counts_survive_the_way_to_a_file_and_densities_lie_between_both_ends(taken, left_out):
    count = ParameterCount(taken, left_out)
    assert ParameterCount.of({"parameters": count.to_json()}) == count
    assert count.density(count.count) == 1
    assert count.density(0) == pytest.approx(1 - count.share)
    assert bool(list(count.warnings("conv"))) == (count.share < 0.5)


@pytest.mark.parametrize(
    "found", [None, 3, {}, {"prunable": {"a": 1}}, {"prunable": 1, "left_out": {}}]
)
def test_what_a_file_does_not_tell_is_not_known(found):
    assert ParameterCount.of({"parameters": found}) is None
