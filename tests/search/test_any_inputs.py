"""Whatever a batch is, ids, forgetting, scoring, resuming and equal bits hold."""

from __future__ import annotations

from typing import Any, NamedTuple

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence
from torch.utils.data import DataLoader, Dataset, IterableDataset

import prac
from prac.data import MapExamples, StreamExamples
from prac.errors import PracError

FILES = ("levels/*/*.safetensors", "metrics.jsonl")
COUNT = 200


class Net(nn.Module):
    """A small network whose weights are the same however it is called."""

    def __init__(self) -> None:
        super().__init__()
        with torch.random.fork_rng():
            torch.manual_seed(0)
            self.into, self.out = nn.Linear(64, 24), nn.Linear(24, 10)

    def scores(self, image: Tensor) -> Tensor:
        """Return the scores of (n, 1, 8, 8) pictures."""
        scores: Tensor = self.out(self.into(image.flatten(1)).relu())
        return scores

    def forward(self, image: Tensor) -> Any:
        return self.scores(image)


class Named(Net):
    def forward(self, *, image: Tensor, scale: Tensor) -> Any:  # type: ignore[override]
        return self.scores(image * scale[:, None, None, None])


class Several(Net):
    def forward(self, image: Tensor, scale: Tensor) -> Any:  # type: ignore[override]
        return self.scores(image * scale[:, None, None, None])


class Output(NamedTuple):
    loss: Tensor | None
    logits: Tensor


class Library(Net):
    """As a library's: it takes labels, and returns an output of several parts with its loss."""

    def forward(self, image: Tensor, labels: Tensor | None = None) -> Any:
        logits = self.scores(image)
        loss = None if labels is None else nn.functional.cross_entropy(logits, labels)
        return Output(loss, logits)


class InDict(Library):
    def forward(self, image: Tensor, labels: Tensor | None = None) -> Any:
        return super().forward(image, labels)._asdict()


class Listed(Dataset[Any]):
    def __init__(self, make: Any, count: int) -> None:
        self.make, self.count = make, count

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> Any:
        return self.make(index)


class Stream(IterableDataset[Any]):
    """Digits with the ids that they have in the data set, in another order."""

    def __init__(self, x: Tensor, y: Tensor) -> None:
        self.x, self.y = x, y

    def __len__(self) -> int:
        return len(self.x)

    def __iter__(self) -> Any:
        for i in reversed(range(len(self.x))):
            yield {"id": 7 * i, "image": self.x[i], "label": int(self.y[i])}


def settings(**changes: Any) -> prac.SearchConfig:
    train = prac.TrainConfig(epochs=4, batch_size=32, lr=0.1, milestones=(3,))
    return prac.SearchConfig.prac(
        levels=2,
        train=train,
        prune=prac.PruneConfig(layers="linear"),
        stop=prac.StopConfig(rule="never"),
        **changes,
    )


@pytest.fixture
def pair(digits: Any) -> tuple[Tensor, Tensor]:
    return digits[0][:COUNT], digits[1][:COUNT]


def forms(pair: tuple[Tensor, Tensor]) -> dict[str, tuple[type[Net], Any, prac.Task]]:
    """Return ways to say the same, each with a network and a task for it."""
    x, y = pair
    ones, plain = torch.ones(COUNT), prac.Task()

    def collated(rows: list[Any]) -> Any:
        return {
            "image": torch.stack([row["image"] for row in rows]),
            "labels": torch.tensor([row["labels"] for row in rows]),
        }

    rows = Listed(lambda i: {"image": x[i], "labels": int(y[i])}, COUNT)
    own_loss = prac.Task(loss="loss", outputs="logits", target_name="labels")
    return {
        "keywords": (Named, ({"image": x, "scale": ones}, y), plain),
        "several": (Several, ((x, ones), y), plain),
        "read": (Named, Listed(lambda i: ({"image": x[i], "scale": ones[i]}, y[i]), COUNT), plain),
        "mappings": (Net, rows, plain),
        "a loader": (Net, DataLoader(rows, collate_fn=collated, shuffle=True), plain),
        "an output's part": (Library, pair, prac.Task(outputs="logits")),
        "by position": (Library, pair, prac.Task(outputs=1)),
        "by function": (Library, pair, prac.Task(outputs=lambda found: found.logits)),
        "the model's loss": (Library, ({"image": x}, y), own_loss),
        "a mapping's loss": (InDict, ({"image": x}, y), own_loss),
    }


FORMS = list(forms((torch.zeros(COUNT, 1), torch.zeros(COUNT))))


def found(net: nn.Module, train: Any, out: Any, task: prac.Task, **more: Any) -> prac.Search:
    return prac.find(net, train, settings(), val=train, out=out, task=task, **more)


def same_tickets(first: prac.Search, second: prac.Search) -> bool:
    """Say whether two searches have the same masks, sets, statistics and metrics."""
    for level in range(3):
        a, b = first.tickets[level], second.tickets[level]
        assert a.weights.keys() == b.weights.keys(), "names are those of the user's module"
        if any(not torch.equal(a.weights[name], b.weights[name]) for name in a.weights):
            return False
        if any(not torch.equal(a.masks[name], b.masks[name]) for name in a.masks):
            return False
        if first.levels[level].set_size != second.levels[level].set_size:
            return False
    return first.levels[1].best_val_accuracy == second.levels[1].best_val_accuracy


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> prac.Search:
    from sklearn.datasets import load_digits

    bunch = load_digits()
    x = torch.tensor(bunch.images / 16, dtype=torch.float32)[:COUNT, None]
    pair = x, torch.tensor(bunch.target)[:COUNT]
    return found(Net(), pair, tmp_path_factory.mktemp("plain") / "run", prac.Task())


@pytest.mark.parametrize("form", FORMS)
def test_a_search_does_not_hang_on_the_form_of_its_batches(form, pair, plain, tmp_path):
    net, train, task = forms(pair)[form]
    assert same_tickets(found(net(), train, tmp_path / "run", task), plain)


class CutError(Exception):
    """Stands for whatever ended the process."""


def cut_within_epochs(run: Any) -> int:
    """Run to the end, ended after each state that is saved within an epoch; return how often."""
    for cuts in range(100):

        def end(event: prac.Event) -> None:
            if event.kind == "saved":
                raise CutError

        try:
            run(callback=end, run_control=prac.RunControl(save_every=2))
            return cuts
        except CutError:
            continue
    raise AssertionError("it gets nowhere")


def lengthy(x: Tensor, y: Tensor) -> MapExamples:
    """Rows of pictures as sequences of several lengths, padded in batches with some noise."""

    def padded(rows: list[Any]) -> Any:
        image = pad_sequence([row["rows"] for row in rows], batch_first=True)
        image = torch.nn.functional.pad(image, (0, 0, 0, 8 - image.shape[1]))
        noisy = image[:, None] + 0.01 * torch.rand(())
        return {"image": noisy, "labels": torch.tensor([row["labels"] for row in rows])}

    data = Listed(lambda i: {"rows": x[i, 0, : 4 + i % 5], "labels": int(y[i])}, len(x))
    return MapExamples(data, collate_fn=padded)


RESUMED: dict[str, Any] = {
    "padded": lambda x, y: (Net, lengthy(x, y)),
    "stream": lambda x, y: (Net, StreamExamples(Stream(x, y), buffer=40)),
    "keywords": lambda x, y: (Named, ({"image": x, "scale": torch.ones(len(x))}, y)),
}


@pytest.mark.parametrize("kind", RESUMED)
def test_a_search_cut_within_epochs_is_the_same_search(kind, pair, tmp_path, run_files):
    net, train = RESUMED[kind](*pair)
    found(net(), train, tmp_path / "whole", prac.Task())

    def run(**how: Any) -> None:
        found(net(), train, tmp_path / "cut", prac.Task(), **how)

    assert cut_within_epochs(run) > 5
    assert run_files(tmp_path / "cut", *FILES) == run_files(tmp_path / "whole", *FILES)


def test_a_stream_s_set_is_a_filter_on_ids(pair, tmp_path):
    x, y = pair
    search = found(Net(), Stream(x, y), tmp_path / "run", prac.Task())
    assert search.levels[1].set_size < COUNT
    assert sum(search.levels[1].set_by_class or []) == search.levels[1].set_size
    subset = prac.Subset.load(tmp_path / "run/levels/01/subset.safetensors")
    places = subset.indices
    assert torch.equal(subset.source_indices, 7 * (COUNT - 1 - places))
    _, history = prac.retrain(
        search.tickets[2], Net(), Stream(x, y), settings().train, val=Stream(x, y)
    )
    assert history.best_epoch > 0


@pytest.mark.parametrize(
    ("net", "task", "message"),
    [
        (
            Library,
            prac.Task(),
            r"returns an Output .*say by Task\(outputs=\.\.\.\) what of it",
        ),
        (Library, prac.Task(outputs="scores"), "returns an Output, and the task asks for"),
        (InDict, prac.Task(outputs="scores"), "returns a dict of 'loss', 'logits', and the task"),
        (Library, prac.Task(outputs=5), "returns an Output, and the task asks for 5 of it"),
        (
            Named,
            prac.Task(),
            "the model does not take the training data: .*missing 1 requ",
        ),
        (Net, prac.Task(target_name="labels"), "does not take .*unexpected keyword argument"),
        (
            Library,
            prac.Task(loss="loss", outputs="logits"),
            r"own loss 'loss' is a NoneType: expected a tensor; name .* Task\(target_name=\.\.\.\)",
        ),
    ],
)
def test_what_a_model_does_not_take_or_return_is_told(net, task, message, pair, tmp_path):
    with pytest.raises(PracError, match=message) as error:
        found(net(), ({"image": pair[0]}, pair[1]), tmp_path / "run", task)
    assert "\n" not in str(error.value)
    assert not (tmp_path / "run").exists()


def test_a_collation_that_leaves_examples_out_is_told_by_how_many(pair, tmp_path):
    x, y = pair

    def lossy(rows: list[Any]) -> Any:
        # The first look takes a single example, a trial a few.
        kept = rows[:-1] if len(rows) > 4 else rows
        image, labels = (torch.stack([row[at] for row in kept]) for at in (0, 1))
        return {"image": image, "labels": labels}

    data = MapExamples(Listed(lambda i: (x[i], y[i]), COUNT), collate_fn=lossy)
    with pytest.raises(PracError, match="gave 31 inputs and 31 targets for a batch of 32 examples"):
        prac.find(Net(), data, settings(), out=tmp_path / "run")
