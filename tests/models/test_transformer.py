"""The small transformers: what sees what, which weights are prunable, and searches of presets."""

from typing import Any

import pytest
import torch
from torch import nn

import prac
from prac.config import PruneConfig
from prac.errors import PracError
from prac.models import LastLayer, build, prunable
from prac.models.transformer import Attention, TextTransformer, VisionTransformer

TEXT = (1, 1, 64)
DIGITS = (1, 8, 8)


@pytest.fixture
def text():
    torch.manual_seed(0)
    return build("text_transformer", image_shape=TEXT, classes=97)


def test_attention_by_hand():
    torch.manual_seed(0)
    layer = Attention(4, heads=2, causal=True)
    hidden = torch.randn(3, 5, 4)
    found = layer(hidden)
    for example in range(3):
        queries, keys, values = layer.qkv(hidden[example]).split(4, dim=1)
        heads = []
        for part in (slice(0, 2), slice(2, 4)):
            scores = queries[:, part] @ keys[:, part].T / 2**0.5
            scores = scores.masked_fill(torch.ones(5, 5).triu(1).bool(), -torch.inf)
            heads.append(scores.softmax(1) @ values[:, part])
        expected = layer.out(torch.cat(heads, dim=1))
        torch.testing.assert_close(found[example], expected)


def test_a_place_of_a_text_sees_none_after_it(text):
    tokens = torch.randint(97, (2, 64))
    changed = tokens.clone()
    changed[:, 40:] = (changed[:, 40:] + 1) % 97
    before, after = text(tokens), text(changed)
    assert before.shape == (2, 64, 97)
    torch.testing.assert_close(before[:, :40], after[:, :40])
    assert not torch.allclose(before[:, 40:], after[:, 40:])
    assert text(tokens[:, :7]).shape == (2, 7, 97)


def test_every_patch_counts_for_an_image():
    torch.manual_seed(0)
    model = build("vision_transformer", image_shape=DIGITS, classes=10)
    images = torch.randn(1, *DIGITS, requires_grad=True)
    model(images)[0, 0].backward()
    assert bool((images.grad != 0).all())


@pytest.mark.parametrize(
    ("shape", "side"), [((1, 8, 8), 2), ((1, 28, 28), 4), ((3, 32, 32), 4), ((3, 224, 224), 16)]
)
def test_patches_follow_the_size(shape, side):
    model = VisionTransformer(shape, 10)
    assert model.patch_embedding.kernel_size == (side, side)
    assert model.positions.shape[1] == (shape[1] // side) * (shape[2] // side) + 1


def test_a_patch_of_one_s_own():
    assert VisionTransformer((1, 9, 6), 10, patch=3)(torch.zeros(2, 1, 9, 6)).shape == (2, 10)


def prunable_names(model, x):
    last = LastLayer()
    with last.watching(model):
        outputs = model(x)
    last.made(outputs)
    return list(prunable(model, PruneConfig(), last.name))


IN_A_BLOCK = ("attention.qkv", "attention.out", "mlp.0", "mlp.2")


def test_attention_and_linear_layers_between_are_prunable(text):
    vision = build("vision_transformer", image_shape=DIGITS, classes=10)
    expected = [f"blocks.{i}.{layer}.weight" for i in range(2) for layer in IN_A_BLOCK]
    assert prunable_names(text, torch.zeros(1, 64, dtype=torch.int64)) == expected
    assert prunable_names(vision, torch.zeros(1, *DIGITS)) == expected


def test_initial_weights_are_as_small_as_said_and_the_embedding_is_the_output_s(text):
    assert text.output.weight is text.token_embedding.weight
    block = text.blocks[0]

    def spread(layer):
        return float(layer.weight.detach().std())

    assert spread(block.mlp[0]) == pytest.approx(0.02, rel=0.05)
    assert spread(block.mlp[-1]) == pytest.approx(0.02 / 2, rel=0.05)
    assert spread(block.attention.out) == pytest.approx(0.02 / 2, rel=0.05)
    biases = [p for n, p in text.named_parameters() if n.endswith("bias")]
    assert not any(bool(bias.any()) for bias in biases)


def test_pictures_are_no_text():
    with pytest.raises(PracError, match="reads sequences of tokens, and inputs are of shape"):
        build("text_transformer", image_shape=DIGITS, classes=10)


def test_images_that_patches_do_not_divide_are_refused():
    with pytest.raises(PracError, match=r"into patches of 2x2, these are 9x8: .*--image-size"):
        build("vision_transformer", image_shape=(1, 9, 8), classes=10)


@pytest.mark.parametrize("kind", [TextTransformer, VisionTransformer])
def test_sizes_are_one_s_own_to_choose(kind):
    shape = TEXT if kind is TextTransformer else DIGITS
    model = kind(shape, 5, width=8, blocks=1, heads=2)
    assert len(model.blocks) == 1
    assert isinstance(model.norm, nn.LayerNorm)


@pytest.mark.parametrize("preset", ["text-transformer", "digits-vit"])
def test_a_preset_is_searched_and_judged(preset, tmp_path):
    recipe = prac.Recipe.preset(
        preset, levels=1, epochs=2, warmup=0.5, limit=40, batch_size=16, val_fraction=0.2
    )
    data = prac.load_data(recipe.data)
    task = prac.Task.language_model() if recipe.task.name == "language-model" else prac.Task()

    def make():
        return prac.models.load_model(recipe.model, data.shape, len(data.classes))

    torch.manual_seed(0)
    small: dict[str, Any] = {"val": data.val, "task": task}
    search = prac.find(make(), data.train, recipe.search, out=tmp_path / "run", **small)
    ticket = search.tickets[1]
    assert ticket.density == pytest.approx(0.7, abs=1e-3)
    assert all(name.startswith("blocks.") for name in ticket.masks)
    verdict = prac.judge(
        search, make, data.train, test=data.val, levels=[1], seeds=(0,),
        controls=("shuffled", "random"), **small,
    )  # fmt: skip
    assert set(verdict.levels[1].controls) == {"shuffled", "random"}
    assert verdict.measure.name == ("perplexity" if preset.startswith("text") else "accuracy")
