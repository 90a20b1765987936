"""A run is one network's: what makes it another is refused by name, and what does not resumes."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

import prac
from prac.cli import main
from prac.errors import FolderError

FEW = prac.TrainConfig(epochs=2, batch_size=50)


def mlp(seed=0, activation=nn.Tanh):
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        layers = (nn.Linear(64, 16), activation(), nn.BatchNorm1d(16), nn.Linear(16, 10))
    return nn.Sequential(nn.Flatten(), *layers)


@pytest.fixture
def find(train, val, config):
    def call(model, out="run", **options):
        settings = config(levels=2, train=FEW, prune=prac.PruneConfig(layers="linear"))
        return prac.find(model, train, settings, val=val, out=out, **options)

    return call


@pytest.fixture(params=["finished", "stopped"])
def begun(request, find):
    """The folder of a search, finished or stopped in the middle."""
    control = prac.RunControl(max_seconds=1e-9 if request.param == "stopped" else None)
    try:
        find(mlp(), run_control=control)
    except prac.Interrupted:
        assert request.param == "stopped"
    return Path("run")


def frozen(model):
    model[1].requires_grad_(False)
    return model


def scaled(model):
    with torch.no_grad():
        model[3].running_mean += 1
    return model


@pytest.mark.filterwarnings("ignore:only 12.9 % of the network")  # With a layer frozen.
@pytest.mark.parametrize(
    ("other", "told"),
    [
        (lambda: mlp(seed=1), "initial_weights"),
        (lambda: scaled(mlp()), "initial_weights"),
        (lambda: mlp(activation=nn.ReLU), r"'2: Tanh\(\)', here '2: ReLU\(inplace=False\)'"),
        (lambda: mlp(activation=lambda: nn.LeakyReLU(0.3)), "LeakyReLU.negative_slope=0.3"),
        (
            lambda: frozen(mlp()),
            r"frozen=\['weight', 'bias'\]",
        ),
    ],
    ids=["weights", "buffers", "kind", "setting", "frozen"],
)
def test_another_network_in_the_same_folder_is_refused_by_what_differs(
    begun, find, run_files, other, told
):
    before = run_files(begun)
    with pytest.raises(FolderError, match=told) as caught:
        find(other())
    assert "\n" not in str(caught.value)
    assert "another --out" in str(caught.value)
    assert run_files(begun) == before


def test_the_same_network_goes_on(begun, find, run_files):
    find(mlp())
    find(mlp(), out="whole")
    names = ("levels/*/*.safetensors", "metrics.jsonl")
    assert run_files(begun, *names) == run_files(Path("whole"), *names)


def test_the_remedy_for_other_weights_works(begun, find):
    model = prac.Ticket.load("run/levels/00/ticket.safetensors").apply(mlp(seed=1))
    assert find(model).finished


def test_a_model_is_put_back_to_its_initialisation(find):
    model, stopped = mlp(), mlp()
    with pytest.raises(prac.Interrupted):
        find(stopped, out="stopped", run_control=prac.RunControl(max_seconds=1e-9))
    find(model)
    for name, weight in mlp().state_dict().items():
        assert torch.equal(model.state_dict()[name], weight)
        assert torch.equal(stopped.state_dict()[name], weight)
    assert find(model).finished  # The same call again.


def test_a_run_that_kept_no_digest_goes_on_as_it_was_begun(begun, find):
    # As prac 0.1 wrote it.
    path = begun / "environment.json"
    about = json.loads(path.read_text())
    del about["modules"], about["initial_weights"], about["parameters"]
    path.write_text(json.dumps(about))
    assert find(mlp()).finished


SCALE = 2.0


def scaled_loss(outputs, targets):
    return SCALE * nn.functional.cross_entropy(outputs, targets)


def test_a_run_that_told_functions_by_bytecode_is_judged_as_the_same(find, train, val):
    task, notes = prac.Task(loss=scaled_loss), []
    find(mlp(), task=task)
    path = Path("run/environment.json")
    about = json.loads(path.read_text())
    about |= task.own_parts(by_source=False)  # As prac 0.1 wrote it.
    del about["modules"]
    path.write_text(json.dumps(about))
    assert find(mlp(), task=task).finished
    prac.judge(
        "run", mlp, train, val=val, test=val, seeds=(0,), levels=(1,), task=task,
        callback=lambda event: notes.append(event) if event.kind == "note" else None,
    )  # fmt: skip
    assert notes == []


def test_tickets_tell_which_network_they_are_of(find):
    searches = [find(mlp(activation=kind), out=kind.__name__) for kind in (nn.Tanh, nn.ReLU)]
    first, second = (search.tickets[1].provenance["modules"] for search in searches)
    assert first != second
    assert len(first) == 12


def test_a_ticket_in_another_network_is_told(find, train):
    ticket, notes = find(mlp()).tickets[1], []

    def watch(event):
        notes.extend([event.facts["text"]] if event.kind == "note" else [])

    for model in (mlp(), mlp(seed=7), mlp(activation=nn.ReLU)):
        prac.retrain(ticket, model, train, FEW, callback=watch)
    (note,) = notes
    assert note.startswith("the network is not the one that the ticket was found in")


def test_another_network_in_a_retrainings_folder_is_refused(find, train, tmp_path):
    ticket = find(mlp()).tickets[1]
    for _ in range(2):
        prac.retrain(ticket, mlp(), train, FEW, out=tmp_path / "alone")
    with pytest.raises(FolderError, match="here '2: ReLU"):
        prac.retrain(ticket, mlp(activation=nn.ReLU), train, FEW, out=tmp_path / "alone")


def test_rewind_points_of_two_networks_are_kept_apart(train, val, tmp_path):
    for kind in (nn.Tanh, nn.ReLU, nn.Tanh):
        prac.find_rewind_point(
            mlp(activation=kind), train, FEW, test=val, points=(2,), cache=tmp_path / "kept"
        )
    assert len(list((tmp_path / "kept").glob("trunk-*"))) == 2


def test_judging_another_network_is_told_and_trains_it(find, train, val):
    search = find(mlp())
    notes = []

    def watch(event):
        if event.kind == "note":
            notes.append(event.facts["text"])

    given = {"val": val, "test": val, "seeds": (0,), "levels": (1,), "callback": watch}
    first = prac.judge(search, mlp, train, **given)
    assert notes == []
    second = prac.judge(search, lambda: mlp(activation=lambda: nn.LeakyReLU(0.9)), train, **given)
    assert any("LeakyReLU(negative_slope=0.9" in note for note in notes)
    # Shapes and kinds of tensors are the same: what was kept for the one is not the other's.
    folders = [
        {run.folder for level in verdict.levels for run in level.ticket.runs}
        for verdict in (first, second)
    ]
    assert not folders[0] & folders[1]


SETTINGS = (
    *("--levels", "1", "--epochs", "1", "--layers", "linear", "--out", "run"),
    *("--model", "lenet_300_100"),
)

NET = """
from torch import nn

class Net(nn.Module):
    def __init__(self, num_classes=10):
        super().__init__()
        self.fc1, self.fc2 = nn.Linear(64, 16), nn.Linear(16, num_classes)

    def forward(self, x):
        return self.fc2(self.fc1(x.flatten(1)).tanh())
"""


@pytest.mark.parametrize("options", [(), ("--max-seconds", "0.001")], ids=["finished", "stopped"])
def test_own_code_that_changed_is_another_network_on_the_command_line(
    tmp_path, monkeypatch, capsys, options
):
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    monkeypatch.setattr(sys, "path", [*sys.path])

    def command(text, *more):
        Path("own_net.py").write_text(text)
        sys.modules.pop("own_net", None)
        common = ["--data", "digits", "--limit", "200", *SETTINGS]
        return main(["find", *common, "--model", "own_net:Net", *more]), capsys.readouterr()

    try:
        command(NET, *options)
        status, (_, error) = command(NET.replace("tanh", "relu"), *options)
        assert status == 2
        assert "modules (there 'the model: Net(code=" in error
        status, _ = command(NET.replace("class Net", "# Ours.\nclass Net"))
        assert status == 0
        status, (_, error) = command(NET)
        assert status == 0
        assert "already finished" in error
    finally:
        sys.modules.pop("own_net", None)


def test_files_that_changed_are_other_data_on_the_command_line(capsys, digits):
    def command(first):
        x, y = digits[0][first : first + 100, 0].numpy(), digits[1][first : first + 100].numpy()
        np.savez("own.npz", x_train=x, y_train=y)
        return main(["find", "--data", "own.npz", *SETTINGS]), capsys.readouterr()

    assert command(0)[0] == 0
    assert "already finished" in command(0)[1].err
    status, (_, error) = command(100)
    assert (status, "fingerprint" in error) == (2, True)
    Path("own.npz").unlink()
    # Gone, it cannot be compared, and need not be: the run is finished.
    assert main(["find", "--data", "own.npz", *SETTINGS]) == 0


CALLS = 0
SEEN: dict[str, int] = {}


class Keeping(nn.Module):
    """A network that keeps what it has seen, in itself and outside."""

    def __init__(self, every=1):
        super().__init__()
        self.inner, self.every = mlp(), every
        self.ready, self.table, self.passes = False, None, 0

    def forward(self, x):
        global CALLS
        CALLS += 1
        self.passes += 1
        if self.passes % self.every == 0:
            self.ready = True
        if self.table is None:
            self.table = torch.ones(1)
        return self.inner(x)


@pytest.mark.parametrize("every", [1, 5])
def test_a_network_that_keeps_counters_and_caches_is_the_same_network(find, every):
    model = Keeping(every)
    with pytest.raises(prac.Interrupted):
        find(model, run_control=prac.RunControl(max_seconds=1e-9))
    assert (model.ready, model.table, model.passes) == (False, None, 0)
    assert find(model).finished
    assert find(Keeping(every)).finished


def counting_loss(outputs, targets):
    global CALLS
    CALLS += 1
    return nn.functional.cross_entropy(outputs, targets)


class Remembering:
    def __init__(self):
        self.losses = []

    def __call__(self, outputs, targets):
        loss = nn.functional.cross_entropy(outputs, targets)
        self.losses.append(float(loss.detach()))
        return loss


@pytest.mark.parametrize("loss", [counting_loss, Remembering()], ids=["global", "object"])
def test_a_loss_that_counts_is_the_same_loss(find, loss):
    with pytest.raises(prac.Interrupted):
        find(mlp(), task=prac.Task(loss=loss), run_control=prac.RunControl(max_seconds=1e-9))
    assert find(mlp(), task=prac.Task(loss=loss)).finished
    with pytest.raises(FolderError, match="own_loss"):
        find(mlp(), task=prac.Task(loss=scaled_loss))
