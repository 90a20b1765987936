"""A small network works with one thread, by its size alone; what is asked for or recorded wins."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from torch import nn

import prac
from prac.errors import PracError
from prac.models import build
from prac.training import Problem, RunControl, RunOptions, Runtime
from prac.training.threads import SMALL, is_small, multiplications, with_threads
from tests.conftest import quick

OWN = 2
"""The process's own number of threads here, whatever the machine's cores."""


@pytest.fixture(autouse=True)
def own_threads():
    """Give the process its own number, and put back the one before."""
    with with_threads(OWN):
        yield


def threads_of(run):
    return json.loads((Path(run) / "environment.json").read_text())["threads"]


class Seen:
    """A callback that notes with how many threads torch works at each event, and the notes."""

    def __init__(self):
        self.threads, self.notes = set(), []

    def __call__(self, event):
        if event.kind == "note":  # Some come before the work.
            self.notes.append(event.facts["text"])
        else:
            self.threads.add(torch.get_num_threads())


class TestMultiplications:
    @pytest.mark.parametrize(
        ("network", "shape", "expected"),
        [
            (nn.Linear(8, 5), (8,), 40),
            (nn.Linear(8, 5), (3, 8), 3 * 40),
            (nn.Sequential(nn.Linear(8, 5), nn.ReLU(), nn.Linear(5, 2)), (8,), (40 + 10) / 2),
            (nn.Conv2d(4, 6, 3, groups=2), (4, 8, 8), 6 * 6 * 6 * 2 * 9),
            (nn.ConvTranspose2d(3, 8, 3), (3, 5, 5), 3 * 5 * 5 * 8 * 9),
            (nn.Conv1d(3, 4, 5), (3, 9), 4 * 5 * 3 * 5),
        ],
    )
    def test_they_are_those_of_an_operation_for_a_batch(self, network, shape, expected):
        assert multiplications(network, torch.rand(4, *shape), 4) == 4 * expected
        assert multiplications(network, torch.rand(2, *shape), 100) == 100 * expected

    def test_a_recurrent_layer_takes_inputs_at_once_and_then_a_time_after_the_other(self):
        class Last(nn.Module):
            def __init__(self):
                super().__init__()
                self.layer = nn.LSTM(20, 64, batch_first=True)

            def forward(self, x):
                return self.layer(x)[0][:, -1]

        of_input, of_hidden = 30 * 4 * 64 * 20, 4 * 64 * 64
        mean = (of_input + 30 * of_hidden) / 31
        assert multiplications(Last(), torch.rand(4, 30, 20), 10) == pytest.approx(10 * mean)

    def test_attention_has_two_products(self):
        class Attend(nn.Module):
            def forward(self, x):
                return nn.functional.scaled_dot_product_attention(x, x, x)

        assert multiplications(Attend(), torch.rand(4, 2, 7, 8), 4) == 4 * 2 * 7 * 7 * 8

    def test_what_shows_no_operation_counts_its_weights(self):
        class Own(nn.Module):
            def __init__(self):
                super().__init__()
                self.weight, self.bias = (
                    nn.Parameter(torch.rand(10, 7)),
                    nn.Parameter(torch.rand(7)),
                )

            def forward(self, x):
                return (x[:, :, None] * self.weight).sum(1) + self.bias

        assert multiplications(Own(), torch.rand(4, 10), 100) == 7000
        assert multiplications(nn.Flatten(), torch.rand(4, 10), 100) == 0

    def test_a_model_that_fails_meanwhile_counts_its_weights(self):
        class Failing(nn.Linear):
            def forward(self, x):
                super().forward(x)
                raise RuntimeError("not under a mode")

        assert multiplications(Failing(8, 5), torch.rand(4, 8), 10) == 400

    def test_nothing_is_changed_by_it(self):
        network = nn.Sequential(nn.Linear(8, 5), nn.BatchNorm1d(5), nn.Dropout()).eval()
        before = {name: value.clone() for name, value in network.state_dict().items()}
        drawn = torch.get_rng_state()
        multiplications(network, torch.rand(4, 8, generator=torch.Generator()), 10)
        assert all(map(torch.equal, network.state_dict().values(), before.values()))
        assert torch.equal(torch.get_rng_state(), drawn)
        assert not network.training

    def test_hooks_and_compiled_models_are_taken_too(self):
        network = nn.Sequential(nn.Linear(8, 5))
        network.register_forward_hook(lambda module, x, out: out * 2)
        network.compile(backend="eager")
        assert multiplications(network, torch.rand(4, 8), 10) == 400


@pytest.mark.parametrize(
    ("name", "shape", "batch", "small"),
    [
        ("lenet_300_100", (1, 8, 8), 32, True),
        ("lenet_300_100", (1, 8, 8), 128, True),
        ("lenet_300_100", (1, 28, 28), 60, True),
        ("lenet_300_100", (1, 28, 28), 512, False),
        ("conv2", (3, 32, 32), 60, False),
        ("resnet20s", (3, 32, 32), 2, True),
        ("resnet20s", (3, 32, 32), 128, False),
    ],
)
def test_networks_that_are_small_and_not(name, shape, batch, small):
    network = build(name, image_shape=shape, classes=10)
    assert is_small(network, torch.rand(4, *shape), batch) is small


def problem_of(network, batch_size, **told):
    x, y = torch.rand(batch_size, *network.shape), torch.zeros(batch_size, dtype=torch.int64)
    runtime = RunOptions(**told).runtime("fp32")
    return Problem.of(network, (x, y), runtime=runtime, batch_size=batch_size)


class Wide(nn.Sequential):
    """A layer that is just not small with a batch of 100."""

    shape = (400,)

    def __init__(self):
        super().__init__(nn.Linear(400, round(SMALL) // 100 // 400))


class TestProblem:
    def test_a_large_network_has_the_process_own_number(self):
        assert problem_of(Wide(), 100).runtime.threads is None
        with problem_of(Wide(), 100).runtime.reproducible():
            assert torch.get_num_threads() == OWN

    def test_a_small_one_has_one(self):
        runtime = problem_of(Wide(), 99).runtime
        assert runtime.threads == 1
        with runtime.reproducible():
            assert torch.get_num_threads() == 1
        assert torch.get_num_threads() == OWN

    def test_no_batch_has_more_examples_than_there_are(self):
        network = Wide()
        x, y = torch.rand(50, 400), torch.zeros(50, dtype=torch.int64)
        problem = Problem.of(network, (x, y), runtime=Runtime.choose("cpu"), batch_size=100)
        assert problem.runtime.threads == 1

    @pytest.mark.parametrize("batch_size", [50, 100])
    def test_what_is_asked_for_wins(self, batch_size):
        assert problem_of(Wide(), batch_size, threads=3).runtime.threads == 3


def test_the_number_is_put_back_after_an_error():
    runtime = RunOptions(threads=3).runtime("fp32")
    with pytest.raises(ZeroDivisionError), runtime.reproducible():
        1 / (torch.get_num_threads() - 3)
    assert torch.get_num_threads() == OWN


class TestSearch:
    def search(self, out, train, val, net, **run):
        return prac.find(net(), train, quick(levels=1), val=val, out=out, **run)

    def test_it_finds_the_same_whatever_the_process_has(self, tmp_path, train, val, small_net):
        found = []
        for own in (1, 2, 3):
            with with_threads(own):
                seen = Seen()
                run = tmp_path / str(own)
                search = self.search(run, train, val, small_net, callback=seen)
                assert torch.get_num_threads() == own
            assert seen.threads == {1}
            assert threads_of(run) == 1
            found.append([ticket.digest for ticket in search.tickets])
            metrics = (run / "metrics.jsonl").read_bytes()
            assert metrics == (tmp_path / "1" / "metrics.jsonl").read_bytes()
        assert found[0] == found[1] == found[2]

    def test_the_number_asked_for_is_recorded_and_put_back(self, tmp_path, train, val, small_net):
        seen = Seen()
        self.search(tmp_path / "run", train, val, small_net, threads=3, callback=seen)
        assert seen.threads == {3}
        assert threads_of(tmp_path / "run") == 3
        assert torch.get_num_threads() == OWN

    def test_a_run_goes_on_with_what_it_was_begun_with(self, tmp_path, train, val, small_net):
        run, seen = tmp_path / "run", Seen()
        with pytest.raises(prac.Interrupted):
            self.search(
                run, train, val, small_net, threads=2, run_control=RunControl(max_seconds=1e-9)
            )
        assert torch.get_num_threads() == OWN
        self.search(run, train, val, small_net, callback=seen)
        assert seen.threads == {2}
        assert "continued" not in json.loads((run / "environment.json").read_text())
        assert not any("threads" in note for note in seen.notes)

    def test_another_number_is_taken_where_it_is_asked_for(self, tmp_path, train, val, small_net):
        run, seen = tmp_path / "run", Seen()
        with pytest.raises(prac.Interrupted):
            self.search(
                run, train, val, small_net, threads=2, run_control=RunControl(max_seconds=1e-9)
            )
        self.search(run, train, val, small_net, threads=1, callback=seen)
        assert threads_of(run) == 1
        assert any("threads was 2, is 1" in note for note in seen.notes)

    def test_more_than_there_are_cores_keeps_its_bits_and_is_told(
        self, tmp_path, train, val, small_net, monkeypatch
    ):
        run, seen = tmp_path / "run", Seen()
        with pytest.raises(prac.Interrupted):
            self.search(
                run, train, val, small_net, threads=3, run_control=RunControl(max_seconds=1e-9)
            )
        monkeypatch.setattr("os.cpu_count", lambda: 2)
        self.search(run, train, val, small_net, callback=seen)
        assert seen.threads == {3}
        assert any(
            "goes on with 3 threads, as it was begun, on 2 cores: that is slow" in note
            for note in seen.notes
        )

    @pytest.mark.parametrize("recorded", [0, -1, 10**9, "two", 1.5, None])
    def test_a_record_that_is_no_number_of_threads_is_noted_only(
        self, recorded, tmp_path, train, val, small_net
    ):
        run, seen = tmp_path / "run", Seen()
        with pytest.raises(prac.Interrupted):
            self.search(run, train, val, small_net, run_control=RunControl(max_seconds=1e-9))
        file = run / "environment.json"
        file.write_text(json.dumps({**json.loads(file.read_text()), "threads": recorded}))
        self.search(run, train, val, small_net, callback=seen)
        assert threads_of(run) == 1
        assert any(f"threads was {recorded}, is 1" in note for note in seen.notes)

    def test_what_was_begun_and_trained_nothing_is_recorded_anew(
        self, tmp_path, train, val, small_net
    ):
        run = tmp_path / "run"

        def stop(event):
            if event.kind == "level":
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            self.search(run, train, val, small_net, threads=2, callback=stop)
        assert torch.get_num_threads() == OWN
        assert threads_of(run) == 2
        self.search(run, train, val, small_net)
        assert threads_of(run) == 1


@pytest.mark.parametrize("told", [{"threads": 2}, {}])
def test_trainings_of_a_judgement_record_theirs(told, tmp_path, train, val, small_net, digits):
    test = digits[0][400:500], digits[1][400:500]
    search = prac.find(
        small_net(), train, quick(levels=1), val=val, out=tmp_path / "run", threads=2
    )
    seen = Seen()
    prac.judge(
        search, small_net, train, val=val, test=test, seeds=(0, 1), levels=(0,), barriers=True,
        callback=seen, **told,
    )  # fmt: skip
    trained = list((tmp_path / "run" / "judged").glob("*/environment.json"))
    assert len(trained) == 2
    assert {threads_of(path.parent) for path in trained} == {told.get("threads", 1)}
    assert torch.get_num_threads() == OWN


@pytest.mark.parametrize(
    ("threads", "expected"),
    [
        (0, "threads is 0: expected at least 1 and at most 1024"),
        (1025, "threads is 1025: expected at least 1 and at most 1024"),
        (True, "threads is True: expected a whole number"),
        (1.5, "threads is 1.5: expected a whole number"),
        ("2", "threads is '2': expected a whole number"),
    ],
)
def test_what_is_no_number_of_threads_is_refused(threads, expected):
    with pytest.raises(PracError) as refused:
        RunOptions(threads=threads)
    assert str(refused.value) == expected
