"""Recipes: all the settings that the outcome of a command depends on, as its folder records them.

Names of data sets and models, paths and numbers: no torch, nothing loaded.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypedDict

from prac.config.presets import starting_settings
from prac.config.search import SearchConfig
from prac.config.settings import Settings, flat, from_flat, setting
from prac.config.train import TrainConfig
from prac.errors import unknown_name

# What sources and models know by name, without waiting for torch; a test compares them.
DATA_NAMES = (
    *("cifar10", "cifar100", "digits", "fashion_mnist", "mnist", "python_topics", "tiny_imagenet"),
)
MODEL_NAMES = (
    *("lenet_300_100", "conv2", "conv4", "conv6"),
    *("resnet8s", "resnet14s", "resnet20s", "resnet56s", "vgg16_bn", "resnet18", "resnet50"),
    *("text_transformer", "vision_transformer"),
)

MODEL_LIBRARIES = ("timm", "torchvision")


TASK_NAMES = ("classification", "language-model", "multi-label", "regression", "segmentation")


def is_own_code(model: str) -> bool:
    """Say whether a model's or a task's name is a place in code: not prac's own or a library's.

    >>> [is_own_code(name) for name in ("mynets:Net", "timm:resnet18", "resnet18")]
    [True, False, False]
    """
    return ":" in model and model.partition(":")[0] not in MODEL_LIBRARIES


@dataclass(frozen=True, repr=False)
class DataConfig(Settings):
    """Which examples, and how they reach the network."""

    name: str = setting(
        "digits",
        "data set: a name, a path, or hf:owner/name",
        flag="data",
        unit="NAME|PATH",
        names=DATA_NAMES,
    )
    limit: int | None = setting(
        None, "use only N training examples, drawn by val_seed, validation included", at_least=2
    )
    val_fraction: float = setting(
        0.1, "share of the training examples held out for validation", at_least=0, below=1
    )
    val_seed: int = setting(0, "which examples are held out", at_least=0)
    val_indices: str | None = setting(
        None, ".npy file of the indices held out, instead of a share", unit="FILE"
    )
    crop: int = setting(0, "pixels of padding for random crops; 0 for none", at_least=0)
    flip: bool = setting(False, "mirror half of the training images at random")
    normalize: Literal["auto", "none"] = setting(
        "auto", "by the set's known mean and deviation, else by measured ones; or not at all"
    )
    image_size: int | None = setting(None, "bring images to N x N pixels", at_least=1)
    exif_rotation: bool = setting(True, "turn pictures as their EXIF orientation says")
    background: Literal["white", "black", "none"] = setting(
        "white", "what is seen through transparent pixels; none for the colours stored in them"
    )
    image_column: str | None = setting(None, "column of the images, in tables", unit="NAME")
    label_column: str | None = setting(None, "column of the labels, in tables", unit="NAME")
    memory_limit: float = setting(
        8.0, "GB of decoded images to hold; beyond it they are decoded as needed", at_least=0
    )
    skip_corrupt: bool = setting(False, "leave damaged and missing images out, and list them")

    @property
    def memory_bytes(self) -> int:
        """The memory limit in bytes."""
        return round(self.memory_limit * 1e9)


class DataKeywords(TypedDict, total=False):
    """How a data set is read, by name: the fields of `DataConfig`, which says what each is."""

    limit: int | None
    val_fraction: float
    val_seed: int
    val_indices: str | None
    crop: int
    flip: bool
    normalize: Literal["auto", "none"]
    image_size: int | None
    exif_rotation: bool
    background: Literal["white", "black", "none"]
    image_column: str | None
    label_column: str | None
    memory_limit: float
    skip_corrupt: bool


@dataclass(frozen=True, repr=False)
class ModelConfig(Settings):
    """Which network."""

    name: str = setting(
        "resnet20s",
        "network: a name, timm:NAME, torchvision:NAME, or package.module:callable",
        flag="model",
        names=MODEL_NAMES,
    )
    stem: Literal["auto", "small", "imagenet"] = setting(
        "auto", "first layers of resnet18 and resnet50; auto is small up to 64 pixels"
    )

    def _check_together(self) -> None:
        if ":" not in self.name and self.name not in MODEL_NAMES:
            raise unknown_name("model", self.name, MODEL_NAMES)


@dataclass(frozen=True, repr=False)
class TaskConfig(Settings):
    """What the network is trained for: a loss, what counts as right, a metric."""

    name: str = setting(
        "classification",
        "task: a name, or package.module:attribute, a prac.Task or what returns one",
        flag="task",
        unit="NAME",
        names=TASK_NAMES,
    )
    args: Mapping[str, Any] = setting(
        {}, "its keywords, such as within=0.5 of a regression", flag="task_args"
    )

    def _check_together(self) -> None:
        if ":" not in self.name and self.name not in TASK_NAMES:
            raise unknown_name("task", self.name, TASK_NAMES)


@dataclass(frozen=True, repr=False)
class _OfProblem(Settings):
    model: ModelConfig = field(default_factory=ModelConfig)
    data: DataConfig = field(default_factory=DataConfig)
    task: TaskConfig = field(default_factory=TaskConfig)

    @property
    def names(self) -> dict[str, Any]:
        """What `recipe=` of `prac.find` records of model, data and task, for commands to find."""
        return {**flat(self.model), **flat(self.data), **flat(self.task)}


@dataclass(frozen=True, repr=False)
class Recipe(_OfProblem):
    """Everything that the outcome of a search depends on: which network, which data, which search.

    Attributes:
        model: For `prac.models.load_model`.
        data: For `prac.load_data`.
        task: For `prac.training.load_task`.
        search: For `prac.find`, `prac.compare` and `prac.win`.
    """

    search: SearchConfig = field(default_factory=SearchConfig)

    @classmethod
    def preset(
        cls, name: str | None = None, *, method: str | None = None, **settings: Any
    ) -> Recipe:
        """Return what `prac find --preset NAME --method METHOD` starts from, changed.

        Args:
            name: Of a preset, or several joined by commas; None for the defaults.
            method: Of a method, which wins over a preset's.
            settings: By flat name, as the command's options have them: `epochs`, `data`, `limit`.

        Raises:
            PracError: If there is none of a name, or a setting is out of range.

        >>> recipe = Recipe.preset("quickstart", method="imp", levels=3, limit=400)
        >>> recipe.data, recipe.search.levels, recipe.search.subset.rule
        (DataConfig(limit=400), 3, 'all')
        """
        values = starting_settings(name, method)
        if settings.get("epochs") is not None:  # Takes the place of a preset's length.
            values.pop("iterations", None)
        if settings.get("set_sizes"):  # So do sizes of a method's share.
            values["kept_fraction"] = None
        return from_flat(cls, {**values, **settings})


@dataclass(frozen=True, repr=False)
class JudgeRecipe(_OfProblem):
    """Everything that the outcome of a judgement depends on, besides tickets and seeds."""

    train: TrainConfig = field(default_factory=TrainConfig)


@dataclass(frozen=True, repr=False)
class RetrainRecipe(JudgeRecipe):
    """Everything that the outcome of a retraining depends on, besides the ticket."""

    seed: int = setting(0, "source of order and augmentation", at_least=0)
