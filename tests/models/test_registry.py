"""The networks: published sizes, the images they take, and custom ones."""

import copy
import subprocess
import sys
from typing import Any

import pytest
import torch
from torch import nn

from prac.errors import PracError
from prac.models import registry
from prac.models.registry import MODELS, build

CIFAR = (3, 32, 32)
MNIST = (1, 28, 28)
IMAGENET = (3, 224, 224)
DIGITS = (1, 8, 8)
TEXT = (1, 1, 64)
OF_TEXT = {name for name, forms in MODELS.items() if forms["small"].reads_text}
OF_IMAGES = [name for name in MODELS if name not in OF_TEXT]


def parameters(model):
    return sum(parameter.numel() for parameter in model.parameters())


def weights(model):
    """Count what pruning papers count: neither biases nor batch normalisation."""
    return sum(parameter.numel() for parameter in model.parameters() if parameter.ndim > 1)


@pytest.mark.parametrize(
    ("name", "image_shape", "classes", "published"),
    [
        ("lenet_300_100", MNIST, 10, 266_610),
        ("resnet20s", CIFAR, 10, 269_722),
        ("resnet8s", CIFAR, 10, 75_290),
        ("resnet14s", CIFAR, 10, 172_506),
        ("resnet56s", CIFAR, 10, 853_018),
        ("vgg16_bn", CIFAR, 10, 14_728_266),
        ("resnet18", IMAGENET, 1000, 11_689_512),
        ("resnet50", IMAGENET, 1000, 25_557_032),
    ],
)
def test_parameters_are_the_published_number(name, image_shape, classes, published):
    assert parameters(build(name, image_shape=image_shape, classes=classes)) == published


@pytest.mark.parametrize(
    ("name", "image_shape", "expected"),
    [
        ("lenet_300_100", MNIST, 784 * 300 + 300 * 100 + 100 * 10),  # "266K"
        ("conv2", CIFAR, 27 * 64 + 9 * 64**2 + 16**2 * 64 * 256 + 256**2 + 2560),  # "4.3M"
        ("conv4", CIFAR, 2_425_024),  # "2.4M"
        # Printed as 1.7M, but the layers that the paper describes add up to this.
        ("conv6", CIFAR, 1_144_512 + 4**2 * 256 * 256 + 256**2 + 2560),
    ],
)
def test_weights_are_those_of_the_lottery_ticket_paper(name, image_shape, expected):
    assert weights(build(name, image_shape=image_shape, classes=10)) == expected


def test_table_in_the_docstring_tells_the_truth():
    lines = [line for line in registry.__doc__.splitlines() if line.startswith("|")]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]
    assert {row[0] for row in rows} == MODELS.keys()
    for name, image, classes, count in rows:
        image_shape = tuple(int(side) for side in image.split("x"))
        model = build(name, image_shape=image_shape, classes=int(classes))
        assert parameters(model) == int(count.replace(",", "")), name


@pytest.mark.parametrize(
    ("name", "image_shape"),
    [
        ("lenet_300_100", DIGITS),
        ("lenet_300_100", (3, 5, 7)),
        ("conv2", DIGITS),
        ("conv2", (2, 9, 13)),
        ("conv4", MNIST),
        ("conv6", MNIST),
        ("conv6", (4, 33, 8)),
        ("resnet20s", DIGITS),
        ("resnet20s", MNIST),
        ("resnet20s", (5, 31, 17)),
        ("resnet56s", DIGITS),
        ("vgg16_bn", MNIST),
        ("vgg16_bn", (3, 64, 64)),
        ("resnet18", DIGITS),
        ("resnet18", (3, 65, 40)),
        ("resnet50", MNIST),
        ("resnet50", (3, 96, 96)),
        ("vision_transformer", DIGITS),
        ("vision_transformer", MNIST),
        ("vision_transformer", (3, 64, 32)),
        ("vision_transformer", (3, 96, 96)),
    ],
)
def test_logits_and_gradients_have_the_right_shapes(name, image_shape):
    model = build(name, image_shape=image_shape, classes=7)
    logits = model(torch.randn(2, *image_shape))
    assert logits.shape == (2, 7)
    logits.logsumexp(dim=1).sum().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters())


@pytest.mark.parametrize(
    ("name", "stem"), [(name, stem) for name in OF_IMAGES for stem in MODELS[name]]
)
def test_least_image_passes_and_a_smaller_one_is_refused(name, stem):
    least = MODELS[name][stem].least_side
    model = build(name, image_shape=(1, least, least), classes=2, stem=stem).eval()
    assert model(torch.zeros(1, 1, least, least)).shape == (1, 2)
    if least > 1:
        with pytest.raises(PracError, match=f"'{name}' needs images of at least {least}x{least}"):
            build(name, image_shape=(1, least, least - 1), classes=2, stem=stem)


@pytest.mark.parametrize(
    ("image_shape", "stem", "kernel"),
    [
        ((3, 64, 64), "auto", 3),
        ((3, 65, 64), "auto", 7),
        ((3, 64, 64), "imagenet", 7),
        ((3, 224, 224), "small", 3),
    ],
)
def test_stem_follows_the_image_unless_told(image_shape, stem, kernel):
    model: Any = build("resnet18", image_shape=image_shape, classes=10, stem=stem)
    assert model.conv1.kernel_size == (kernel, kernel)
    assert isinstance(model.maxpool, nn.Identity if kernel == 3 else nn.MaxPool2d)


def test_small_stem_keeps_the_size():
    model: Any = build("resnet18", image_shape=CIFAR, classes=10)
    assert model.layer1(model.maxpool(model.conv1(torch.zeros(1, *CIFAR)))).shape[2:] == (32, 32)


def test_zero_padded_shortcut_by_hand():
    model: Any = build("resnet20s", image_shape=CIFAR, classes=10)
    shortcut = model.layer2[0].downsample
    assert list(shortcut.parameters()) == []
    assert list(shortcut.buffers()) == []
    maps = torch.randn(2, 16, 5, 4)
    out = shortcut(maps)
    assert out.shape == (2, 32, 3, 2)
    assert torch.equal(out[:, 8:24], maps[:, :, ::2, ::2])
    assert out[:, :8].count_nonzero() == out[:, 24:].count_nonzero() == 0


@pytest.mark.parametrize("name", MODELS)
def test_same_seed_same_model_and_copies_are_whole(name):
    def seeded():
        torch.manual_seed(0)
        return build(name, image_shape=TEXT if name in OF_TEXT else CIFAR, classes=10)

    first, second = seeded().state_dict(), copy.deepcopy(seeded()).state_dict()
    assert first.keys() == second.keys()
    assert all(torch.equal(first[key], second[key]) for key in first)


def test_depth_is_what_the_name_says():
    layers = {
        name: sum(
            isinstance(module, nn.Conv2d | nn.Linear) and "downsample" not in path
            for path, module in build(name, image_shape=CIFAR, classes=10).named_modules()
        )
        for name in ("resnet20s", "resnet56s", "resnet18", "resnet50")
    }
    assert layers == {"resnet20s": 20, "resnet56s": 56, "resnet18": 18, "resnet50": 50}


def test_unknown_name_offers_the_nearest():
    with pytest.raises(PracError, match="unknown model 'resnet20': did you mean 'resnet20s'"):
        build("resnet20", image_shape=CIFAR, classes=10)


def test_stem_that_a_model_lacks_is_refused():
    with pytest.raises(PracError, match=r"'conv2' has no 'imagenet' stem \(it has: small\)"):
        build("conv2", image_shape=CIFAR, classes=10, stem="imagenet")


@pytest.mark.parametrize("image_shape", [(28, 28), (1, 0, 28), (1, 1, 28, 28), ()])
def test_shape_that_is_not_an_image_is_refused(image_shape):
    with pytest.raises(PracError, match="expected \\(channels, height, width\\)"):
        build("conv2", image_shape=image_shape, classes=10)


def test_one_class_is_refused():
    with pytest.raises(PracError, match="classes is 1, expected at least 2"):
        build("conv2", image_shape=CIFAR, classes=1)


OWN = '''
from torch import nn

class Net(nn.Sequential):
    """Takes this package's words."""
    def __init__(self, image_shape, classes):
        super().__init__(nn.Flatten(), nn.LazyLinear(classes))
        self.asked = image_shape

class Zoo:
    @staticmethod
    def make(*, in_channels=3, num_classes=1000, width=4, **rest):
        assert not rest
        return nn.Sequential(nn.Conv2d(in_channels, width, 1), nn.Flatten(1),
                             nn.Linear(width, num_classes))

def bare():
    return nn.Linear(2, 2)

def greedy(width, classes):
    return nn.Linear(width, classes)

def wrong():
    return "a model"

model = nn.Linear(2, 2)
number = 3
'''


@pytest.fixture
def own(tmp_path, monkeypatch):
    """Make a package of one's own in the current directory, forgotten afterwards."""
    (tmp_path / "own_package").mkdir()
    (tmp_path / "own_package" / "nets.py").write_text(OWN)
    (tmp_path / "own_package" / "broken.py").write_text("raise RuntimeError('half written')")
    (tmp_path / "own_package" / "needy.py").write_text("import package_that_is_not_there")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [entry for entry in sys.path if entry])
    yield "own_package.nets"
    for name in [name for name in sys.modules if name.partition(".")[0] == "own_package"]:
        del sys.modules[name]


def test_own_model_gets_the_words_it_asks_for(own):
    model = build(f"{own}:Net", image_shape=DIGITS, classes=10)
    assert model.asked == DIGITS
    assert model(torch.zeros(2, *DIGITS)).shape == (2, 10)


def test_own_model_may_ask_in_other_words_and_lie_in_a_class(own):
    model: Any = build(f"{own}:Zoo.make", image_shape=(5, 1, 1), classes=6)
    convolution, _, linear = model
    assert (convolution.in_channels, linear.out_features) == (5, 6)


def test_own_model_that_names_no_words_gets_none(own):
    assert isinstance(build(f"{own}:bare", image_shape=DIGITS, classes=10), nn.Linear)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("own_package.nest:Net", "cannot import 'own_package.nest'"),
        ("own_package.broken:Net", r"cannot import .* \(RuntimeError: half written\)"),
        ("own_package.needy:Net", "cannot import .* No module named 'package_that_is_not_there'"),
        ("own_package.nets:Nest", "'own_package.nets' has no 'Nest'"),
        ("own_package.nets:greedy", "needs the argument 'width'"),
        ("own_package.nets:wrong", "returned a str, expected a torch.nn.Module"),
        ("own_package.nets:number", "is an int: name the class or function"),
        ("own_package.nets:model", "is a Linear: name the class or function"),
        ("own_package.nets:", "not of the form 'package.module:callable'"),
        (":Net", "not of the form 'package.module:callable'"),
    ],
)
def test_own_model_that_cannot_be_had_is_one_line(own, name, message):
    with pytest.raises(PracError, match=message) as raised:
        build(name, image_shape=DIGITS, classes=10)
    assert "\n" not in str(raised.value)
    assert name in str(raised.value)


def test_own_model_has_no_stem(own):
    with pytest.raises(PracError, match="it is a custom model"):
        build(f"{own}:Net", image_shape=DIGITS, classes=10, stem="small")


def test_importing_the_models_imports_nothing_heavy_but_torch():
    code = (
        "import sys, torch; before = set(sys.modules); import prac.models; "
        "print(*{name.partition('.')[0] for name in set(sys.modules) - before})"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    heavy = {"datasets", "sklearn", "scipy", "pandas", "pyarrow", "rich", "PIL"}
    assert result.returncode == 0, result.stderr
    assert not heavy & set(result.stdout.split())
