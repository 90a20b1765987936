"""What works with the core alone, and what is said where an extra is missing."""

import json
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

# Modules that extras install: none of them can be imported while one of these tests runs.
EXTRAS = {
    "data": ("datasets", "pyarrow", "PIL", "sklearn"),
    "report": ("vl_convert", "PIL"),
    "tensorboard": ("tensorboard",),
    "wandb": ("wandb",),
    "mlflow": ("mlflow",),
    "completion": ("shtab",),
    "lightning": ("lightning",),
    "transformers": ("transformers", "accelerate"),
}
BLOCKED = {module for modules in EXTRAS.values() for module in modules}

# Others ask too whether a module is there, as torch does: it is not found, rather than an error.
WITHOUT = f"""
import sys

class Without:
    def __init__(self, finder):
        self.finder = finder

    def find_spec(self, name, path=None, target=None):
        hidden = name.partition(".")[0] in {BLOCKED!r}
        return None if hidden else self.finder.find_spec(name, path, target)

    def __getattr__(self, name):
        return getattr(self.finder, name)

sys.meta_path[:] = map(Without, sys.meta_path)
"""

# A person's own model and data: no file, no name of either.
OWN = """
import numpy as np
import torch
from torch import nn

import prac
from prac.cli import main


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.hidden, self.out = nn.Linear(8, 16), nn.Linear(16, 3)

    def forward(self, x):
        return self.out(torch.relu(self.hidden(x)))


torch.manual_seed(0)
x = torch.randn(120, 8)
y = x[:, :3].argmax(1)
train, val, test = (x[:60], y[:60]), (x[60:90], y[60:90]), (x[90:], y[90:])
config = prac.SearchConfig.prac(
    levels=2,
    train=prac.TrainConfig(epochs=3, milestones=(2,), batch_size=10, lr=0.1),
    prune=prac.PruneConfig(layers="linear"),
    stop=prac.StopConfig(arm="at-once"),
)
search = prac.find(Net(), train, config, val=val, out="run")
ticket = search.tickets[2]
ticket.save("net.ticket.safetensors")
prac.Ticket.load("net.ticket.safetensors").apply(Net())
prac.retrain(ticket, Net(), train, config.train, val=val, test=test)
verdict = prac.judge(search, Net, train, val=val, test=test, seeds=(0, 1), levels=[2])
assert verdict.to_json()["levels"]

images = np.zeros((40, 8, 8), np.uint8)
images[::2, :4] = 255
labels = np.arange(40) % 2
np.savez("own.npz", **{
    f"{split}_{name}": value
    for split in ("train", "test")
    for name, value in (("images", images), ("labels", labels))
})
"""

COMMANDS = """
prac --help
prac --version
prac find --help
prac inspect run
prac inspect net.ticket.safetensors
prac runs .
prac find --data own.npz --model lenet_300_100 --layers linear --epochs 1 --levels 1 --out other
"""


def without_extras(code: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run code in an interpreter of its own that has the core only."""
    return subprocess.run(
        [sys.executable, "-c", WITHOUT + code], cwd=folder, capture_output=True, text=True
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """A folder with what the core alone has made of a person's own data."""
    made = tmp_path_factory.mktemp("core")
    done = without_extras(OWN, made)
    assert done.returncode == 0, done.stderr
    return made


@pytest.mark.slow
def test_the_core_alone_finds_retrains_and_judges(folder):
    lines = [line.split()[1:] for line in COMMANDS.strip().splitlines()]
    code = f"from prac.cli import main\nfor one in {lines!r}:\n    assert main(one) == 0, one\n"
    done = without_extras(code, folder)
    assert done.returncode == 0, done.stderr


MISSING = {
    "find --preset quickstart --out digits": ("sklearn", "data"),
    "inspect photos": ("PIL", "data"),
    "inspect tables": ("pyarrow", "data"),
    "inspect hf:owner/name": ("pyarrow", "data"),
    "report run": ("vl_convert", "report"),
    "find --data own.npz --model lenet_300_100 --layers linear --tensorboard": (
        "tensorboard",
        "tensorboard",
    ),
    "find --data own.npz --model lenet_300_100 --layers linear --track wandb": ("wandb", "wandb"),
    "find --data own.npz --model lenet_300_100 --layers linear --track mlflow": (
        "mlflow",
        "mlflow",
    ),
    "completion bash": ("shtab", "completion"),
}


@pytest.mark.slow
def test_a_missing_extra_is_one_line_that_says_how_to_get_it(folder):
    for path in ("photos/train/cat/1.png", "photos/train/dog/1.png", "tables/train.parquet"):
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).touch()
    code = (
        "from prac.cli import main\n"
        f"for command in {list(MISSING)!r}:\n"
        "    assert main(command.split()) == 2, command\n"
    )
    done = without_extras(code, folder)
    assert done.returncode == 0, done.stderr
    told = [line for line in done.stderr.splitlines() if line.startswith("prac: error: ")]
    for line, (module, extra) in zip(told, MISSING.values(), strict=True):
        remedy = f"pip install 'prac-lth[{extra}]'"
        assert line.endswith(f" needs {module}, which is not installed: {remedy}")


@pytest.mark.parametrize("library", ["lightning", "transformers"])
def test_a_loop_whose_library_is_missing_says_how_to_get_it(library, tmp_path):
    code = f"import prac\nprac.loops.with_ids([1], [0])\nprac.loops.{library}\n"
    done = without_extras(code, tmp_path)
    last = done.stderr.splitlines()[-1]
    assert f"prac.loops.{library} needs " in last
    assert last.endswith(f", which is not installed: pip install 'prac-lth[{library}]'")


def test_an_extra_for_each_of_these_modules_is_declared():
    project = tomllib.loads(Path(__file__).parents[1].joinpath("pyproject.toml").read_text())
    declared = project["project"]["optional-dependencies"]
    assert declared.keys() == {*EXTRAS, "all", "dev", "docs"}
    assert declared["all"] == [f"prac-lth[{','.join(EXTRAS)}]"]
    core = json.dumps(project["project"]["dependencies"])
    assert not any(module in core for module in (*BLOCKED - {"PIL"}, "pillow", "scikit-learn"))
