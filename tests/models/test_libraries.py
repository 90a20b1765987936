"""Networks that timm and torchvision list, with stand-ins of both and, where they are, for real."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from prac.errors import PracError
from prac.models import build, check_model

# Signatures as in timm 1.0: an entry point hands its keywords on, what a network does not know is
# refused there, and networks of a fixed size take it.
TIMM = """
import torch
from torch import nn


class PatchEmbed(nn.Module):
    def __init__(self, in_chans, patch, stride, padding):
        super().__init__()
        self.patch_size = (patch, patch)
        self.proj = nn.Conv2d(in_chans, 4, patch, stride, padding)


class ResNet(nn.Module):
    def __init__(self, num_classes=1000, in_chans=3, global_pool="avg"):
        super().__init__()
        self.conv1, self.fc = nn.Conv2d(in_chans, 4, 3), nn.Linear(4, num_classes)

    def forward(self, x):
        return self.fc(self.conv1(x).mean((2, 3)))


class VisionTransformer(nn.Module):
    stride, padding = 16, 0

    def __init__(self, img_size=224, patch_size=16, in_chans=3, num_classes=1000):
        super().__init__()
        self.img_size = img_size
        self.patch_embed = PatchEmbed(in_chans, patch_size, self.stride, self.padding)
        self.head = nn.Linear(4, num_classes)

    def forward(self, x):
        assert tuple(x.shape[2:]) == self.img_size
        return self.head(self.patch_embed.proj(x).mean((2, 3)))


class Overlapping(VisionTransformer):
    stride, padding = 4, 8


class Hybrid(VisionTransformer):
    # Cuts patches from maps, which have channels of their own.
    def __init__(self, in_chans=3, **kwargs):
        super().__init__(in_chans=8, **kwargs)
        self.stem = nn.Conv2d(in_chans, 8, 3, padding=1)

    def forward(self, x):
        return super().forward(self.stem(x))


def padding(**kwargs):
    model = VisionTransformer(**kwargs)
    model.patch_embed.dynamic_img_pad = True
    return model


def drawing(**kwargs):
    torch.rand(5)
    return ResNet(**kwargs)


def never(**kwargs):
    raise AssertionError


ENTRYPOINTS = {
    "resnet18": drawing, "resnet34": ResNet, "vit_tiny_patch16_224": VisionTransformer,
    "overlapping": Overlapping, "padding": padding, "hybrid": Hybrid, "never_made": never,
}


def list_models(filter="", module="", pretrained=False, include_tags=None):
    return sorted(ENTRYPOINTS)


def create_model(model_name, pretrained=False, **kwargs):
    assert not pretrained and ":" not in model_name
    return ENTRYPOINTS[model_name](**kwargs)
"""

# As in torchvision 0.29: builders of keywords only; a package's list holds its subpackages' too.
TORCHVISION = """
import sys
from collections import namedtuple

import torch
from torch import nn

Outputs = namedtuple("Outputs", ["logits", "aux_logits"])


class ResNet(nn.Module):
    def __init__(self, num_classes=1000):
        super().__init__()
        self.conv1, self.fc = nn.Conv2d(3, 4, 3), nn.Linear(4, num_classes)

    def forward(self, x):
        return self.fc(self.conv1(x).mean((2, 3)))


class GoogLeNet(ResNet):
    def __init__(self, num_classes=1000, aux_logits=True, init_weights=None):
        assert init_weights is not None, "it warns"
        super().__init__(num_classes)
        self.aux_logits = aux_logits

    def forward(self, x):
        y = super().forward(x)
        return Outputs(y, y) if self.training and self.aux_logits else y


class Sized(ResNet):
    def __init__(self, num_classes=1000, image_size=224, input_size=(224, 224)):
        super().__init__(num_classes)
        assert image_size % 8 == 0, "Input shape indivisible by patch size!"
        self.sizes = image_size, input_size


def resnet18(*, weights=None, progress=True, **kwargs):
    assert weights is None
    return ResNet(**kwargs)


def googlenet(*, weights=None, progress=True, **kwargs):
    return GoogLeNet(**kwargs)


def vit_b_16(*, weights=None, progress=True, **kwargs):
    return Sized(**kwargs)


def maxvit_t(*, weights=None, progress=True, **kwargs):
    return Sized(**kwargs)


def fcn_resnet50(*, weights=None, progress=True, num_classes=None, aux_loss=None, **kwargs):
    raise AssertionError


OWN = {f.__name__: f for f in (resnet18, googlenet, vit_b_16, maxvit_t)}


def list_models(module=None, include=None, exclude=None):
    assert module in (None, sys.modules[__name__])
    return sorted(OWN) if module else sorted([*OWN, "fcn_resnet50"])


def get_model(name, **config):
    return OWN[name.lower()](**config)
"""


def forget(*packages: str) -> None:
    for name in [name for name in sys.modules if name.partition(".")[0] in packages]:
        del sys.modules[name]


@pytest.fixture
def stand_ins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Packages that are imported as timm and torchvision, and forgotten afterwards."""
    for path, text in (
        ("timm/__init__.py", TIMM),
        ("torchvision/__init__.py", ""),
        ("torchvision/models/__init__.py", TORCHVISION),
    ):
        (tmp_path / path).parent.mkdir(exist_ok=True, parents=True)
        (tmp_path / path).write_text(text)
    known = {name: sys.modules.pop(name) for name in [*sys.modules] if _is_library(name)}
    monkeypatch.syspath_prepend(tmp_path)
    yield tmp_path
    forget("timm", "torchvision")
    sys.modules.update(known)


def _is_library(module: str) -> bool:
    return module.partition(".")[0] in ("timm", "torchvision")


@pytest.mark.usefixtures("stand_ins")
class TestStandIns:
    def make(self, name: str, shape: tuple[int, ...] = (3, 32, 32)) -> Any:
        model = build(name, image_shape=shape, classes=7)
        assert model.training
        assert model(torch.zeros(2, *shape)).shape == (2, 7)
        return model

    def refused(self, name: str, match: str, shape: tuple[int, ...] = (3, 32, 32)) -> None:
        with pytest.raises(PracError, match=match) as caught:
            build(name, image_shape=shape, classes=7)
        assert name in str(caught.value)
        assert "\n" not in str(caught.value)

    def test_timm_s_get_classes_and_channels(self):
        assert self.make("timm:resnet34", (5, 32, 20)).conv1.in_channels == 5

    def test_timm_s_get_a_size_if_they_take_one(self):
        assert self.make("timm:vit_tiny_patch16_224", (1, 32, 48)).img_size == (32, 48)

    def test_a_size_that_is_refused_does_not_change_the_weights(self):
        import timm  # type: ignore[import-untyped, import-not-found, unused-ignore]

        torch.manual_seed(0)
        wanted = timm.create_model("resnet18", num_classes=7, in_chans=3)
        torch.manual_seed(0)
        assert torch.equal(self.make("timm:resnet18").conv1.weight, wanted.conv1.weight)

    def test_patches_that_leave_a_part_of_the_images_out_are_refused(self):
        told = "patches of 16x16, which do not divide 28x28: pass --image-size N"
        self.refused("timm:vit_tiny_patch16_224", told, (1, 28, 28))

    @pytest.mark.parametrize("name", ["overlapping", "padding", "hybrid"])
    def test_patches_that_need_not_divide_the_images_are_taken(self, name):
        self.make(f"timm:{name}", (1, 28, 28))

    def test_torchvision_s_get_classes(self):
        self.make("torchvision:resnet18")

    def test_torchvision_s_with_auxiliary_heads_return_one_tensor_in_training(self):
        self.make("torchvision:googlenet")

    def test_torchvision_s_transformers_get_the_size(self):
        assert self.make("torchvision:vit_b_16").sizes[0] == 32
        assert self.make("torchvision:maxvit_t", (3, 32, 48)).sizes[1] == (32, 48)

    def test_a_path_in_torchvision_is_custom_code_that_gets_the_classes(self):
        self.make("torchvision.models:resnet18")

    @pytest.mark.parametrize(
        ("name", "shape", "match"),
        [
            ("torchvision:resnet18", (1, 32, 32), "takes images of 3 channels, these have 1"),
            ("torchvision:vit_b_16", (3, 32, 48), "takes square images, these are 32x48"),
            (
                "torchvision:vit_b_16",
                (3, 28, 28),
                "cannot be made for 3x28x28 images and 7 classes: Input shape indivisible",
            ),
            ("torchvision:fcn_resnet50", (3, 32, 32), "is not for classification"),
            ("torchvision:ResNet18", (3, 32, 32), "did you mean 'torchvision:resnet18'"),
            ("torchvision:get_model", (3, 32, 32), "unknown model"),
            ("timm:resnt18", (3, 32, 32), r"did you mean 'timm:resnet18' .*timm.list_models\(\)"),
            ("timm:create_model", (3, 32, 32), "unknown model"),
            ("timm:resnet18.a1_in1k", (3, 32, 32), "names pretrained weights, which are not load"),
            ("timm:hf-hub:owner/name", (3, 32, 32), "unknown model"),
            ("timm:local-dir:/tmp/anyone", (3, 32, 32), "unknown model"),
            ("timm:", (3, 32, 32), "unknown model"),
            ("timm:never_made", (3, 32, 32), "cannot be made .*: AssertionError"),
        ],
    )
    def test_what_is_not_to_be_had_is_one_line(self, name, shape, match):
        self.refused(name, match, shape)

    def test_they_have_no_stem(self):
        with pytest.raises(PracError, match="it is a library's"):
            build("timm:resnet18", image_shape=(3, 32, 32), classes=7, stem="small")

    def test_a_name_is_checked_without_making_the_network(self):
        check_model("timm:never_made")
        check_model("resnet20s")
        with pytest.raises(PracError, match="unknown model 'timm:nevr_made'"):
            check_model("timm:nevr_made")

    def test_a_library_that_does_not_fit_torch_is_one_line(self, stand_ins):
        text = "raise RuntimeError('operator torchvision::nms does not exist')"
        (stand_ins / "torchvision" / "__init__.py").write_text(text)
        told = r"torchvision.models fails to import \(RuntimeError: .*made for torch \d"
        self.refused("torchvision:resnet18", told)

    def test_a_library_that_another_needs_is_named_as_missing(self, stand_ins):
        (stand_ins / "timm" / "__init__.py").write_text("import not_there.inner")
        told = "needs not_there, which is not installed: pip install not_there$"
        self.refused("timm:resnet18", told)


@pytest.mark.parametrize("library", ["timm", "torchvision"])
def test_a_library_that_is_not_installed_is_named_with_its_remedy(library, monkeypatch):
    def missing(module: str) -> Any:
        raise ModuleNotFoundError(f"No module named {library!r}", name=library)

    monkeypatch.setattr(importlib, "import_module", missing)
    told = f"needs {library}, which is not installed: pip install {library}$"
    with pytest.raises(PracError, match=f"model '{library}:resnet18' {told}"):
        build(f"{library}:resnet18", image_shape=(3, 32, 32), classes=10)


def real(library: str) -> None:
    """Skip where a library cannot be imported: torchvision is made for one torch only."""
    try:
        importlib.import_module(library)
    except Exception as error:
        pytest.skip(f"{library} cannot be imported: {error}")


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    ("name", "shape"),
    [
        ("timm:resnet18", (1, 32, 32)),
        ("timm:vit_tiny_patch16_224", (1, 32, 48)),
        ("timm:mobilenetv3_small_050", (4, 32, 32)),
        ("timm:swin_tiny_patch4_window7_224", (3, 32, 32)),
        ("timm:mixer_s32_224", (3, 64, 64)),
        ("timm:pvt_v2_b0", (1, 32, 32)),
        ("timm:hrnet_w18_small", (1, 64, 64)),
        ("timm:vit_tiny_r_s16_p8_224", (3, 128, 128)),
        ("timm.models:resnet18", (3, 32, 32)),
        ("torchvision:resnet18", (3, 32, 32)),
        ("torchvision:mobilenet_v3_small", (3, 32, 32)),
        ("torchvision:googlenet", (3, 32, 32)),
        ("torchvision:vit_b_16", (3, 32, 32)),
        ("torchvision.models:resnet18", (3, 32, 32)),
    ],
)
def test_the_real_ones_take_the_data(name, shape):
    real(name.partition(":")[0])
    model = build(name, image_shape=shape, classes=7)
    outputs = model(torch.zeros(2, *shape))
    assert outputs.shape == (2, 7)
    outputs.sum().backward()


@pytest.mark.filterwarnings("ignore")
def test_the_real_ones_have_the_names_they_list():
    real("timm")
    real("torchvision")
    check_model("timm:resnet50")
    check_model("torchvision:resnet50")
    for name in ("timm:resnet50.a1_in1k", "torchvision:fasterrcnn_resnet50_fpn", "timm:resnt50"):
        with pytest.raises(PracError):
            check_model(name)
