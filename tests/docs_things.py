"""What the pages take for granted: data and runs, all small, under the names that they use."""

from __future__ import annotations

import importlib
import io
import json
from collections.abc import Callable, Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import torch
from PIL import Image
from sklearn.datasets import load_digits

import prac

CLASSES = [str(digit) for digit in range(10)]


def pictures(side: int, mode: str, *, start: int = 0) -> Iterator[tuple[Image.Image, int]]:
    """Yield scikit-learn's digits from one on, with labels, as pictures of a size and a mode."""
    digits = load_digits()
    for pixels, label in zip(digits.images[start:], digits.target[start:], strict=True):
        grey = Image.fromarray((pixels * 255 / 16).astype(np.uint8))
        yield grey.resize((side, side)).convert(mode), int(label)


def encoded(picture: Image.Image) -> bytes:
    """Return a picture as a PNG file's content."""
    content = io.BytesIO()
    picture.save(content, format="PNG")
    return content.getvalue()


def hub_tables(side: int, mode: str, column: str) -> Callable[[Path], None]:
    """Return what makes a folder of parquet files in the layout of the Hugging Face hub."""

    def make(folder: Path) -> None:
        folder.mkdir(parents=True)
        image, label = {"_type": "Image"}, {"_type": "ClassLabel", "names": CLASSES}
        features = {"info": {"features": {column: image, "label": label}}}
        for split, start, count in (("train", 0, 60), ("test", 60, 20)):
            drawn = list(islice(pictures(side, mode, start=start), count))
            images = [{"bytes": encoded(picture), "path": None} for picture, _ in drawn]
            table = pa.table({column: images, "label": [label for _, label in drawn]})
            table = table.replace_schema_metadata({"huggingface": json.dumps(features)})
            pyarrow.parquet.write_table(table, folder / f"{split}.parquet")

    return make


def odd_table(folder: Path) -> None:
    """Make a folder of parquet files in which two columns could be the image, two the label."""
    folder.mkdir(parents=True)
    drawn = list(islice(pictures(16, "RGB"), 60))
    images = [{"bytes": encoded(picture), "path": None} for picture, _ in drawn]
    kinds = [label for _, label in drawn]
    columns = {"picture": images, "thumbnail": images, "kind": kinds, "year": [1990] * len(drawn)}
    pyarrow.parquet.write_table(pa.table(columns), folder / "train.parquet")


def images_by_class(folder: Path) -> None:
    """Make a folder of images by class, with a test split."""
    for split, start, count in (("train", 0, 40), ("test", 40, 20)):
        for number, (picture, label) in enumerate(islice(pictures(20, "RGB", start=start), count)):
            (folder / split / f"class-{label}").mkdir(parents=True, exist_ok=True)
            picture.save(folder / split / f"class-{label}" / f"{number}.png")


def damaged_images(folder: Path) -> None:
    """Make a folder of images by class, one of which is cut off."""
    images_by_class(folder)
    first = min(folder.glob("train/*/*.png"))
    first.write_bytes(first.read_bytes()[:60])


def ticket(path: Path) -> None:
    """Save the ticket of a linear layer."""
    torch.manual_seed(0)
    weights = dict(torch.nn.Linear(3, 2).state_dict())
    prac.Ticket(weights, {"weight": torch.eye(2, 3).bool()}).save(path)


VOCABULARY = (
    "[PAD] [UNK] [CLS] [SEP] [MASK] the a cat dog sat ran on under mat tree is was big small ##s"
)


def bert(folder: Path) -> None:
    """Make a folder of the weights of a tiny BERT, drawn at random, and of its vocabulary."""
    transformers: Any = importlib.import_module("transformers")
    config = transformers.BertConfig(
        vocab_size=len(VOCABULARY.split()),
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=32,
        max_position_embeddings=128,
    )
    transformers.BertModel(config).save_pretrained(folder)
    (folder / "vocab.txt").write_text("\n".join(VOCABULARY.split()) + "\n")


def pairs(count: int) -> Callable[[Path], None]:
    """Return what makes a table of pairs of sentences of different lengths."""

    def make(path: Path) -> None:
        ends = ("sat on the mat", "ran", "ran under the big tree", "is a cat", "was small")
        rows = ["sentence1,sentence2,label"]
        for i in range(count):
            first, second = ends[i % 5], ends[i // 5 % 5]
            rows.append(f"the cat {first},the cats {second},{int(first == second)}")
        path.write_text("\n".join(rows) + "\n")

    return make


THINGS: Mapping[str, Callable[[Path], None] | str] = {
    # What a command or Python names, ending in a path, and what makes it where it is not there yet:
    # a function that is given the path, or a command, which is made smaller as the page's own are.
    "photos": images_by_class,
    "data/cifar10": hub_tables(32, "RGB", "img"),
    "data/mnist": hub_tables(28, "L", "image"),
    "DIR/cifar10": hub_tables(32, "RGB", "img"),
    "DIR/mnist": hub_tables(28, "L", "image"),
    "data/mine": odd_table,
    "data/scans": damaged_images,
    "models/bert-base-uncased": bert,
    "pairs/train.csv": pairs(60),
    "pairs/dev.csv": pairs(25),
    "net.ticket.safetensors": ticket,
    "runs/quickstart-prac": "prac find --preset quickstart",
    "runs/quickstart-imp": "prac find --preset quickstart --method imp",
    "prac runs runs ": "prac find --preset quickstart",  # The folder itself.
    "runs/rivals-mnist/runs/imp/seed-0": (
        "prac find --method imp --data DIR/mnist --model lenet_300_100 --layers linear --levels 20 "
        "--out runs/rivals-mnist/runs/imp/seed-0"
    ),
    "runs/rivals-cifar10/runs/prac/seed-0": (
        "prac find --data DIR/cifar10 --model resnet20s --limit 5000 --levels 6 "
        "--out runs/rivals-cifar10/runs/prac/seed-0"
    ),
}
