"""A run folder: refuses other settings, goes on from the newest whole state."""

import dataclasses
import itertools
import json
import os
import threading
from types import MappingProxyType

import pytest
import torch
import yaml
from hypothesis import given
from hypothesis import strategies as st

from prac.algorithms import ForgettingTable
from prac.errors import PracError
from prac.io import read_tensors, write_tensors
from prac.runs import Cost, RunFolder, RunState
from prac.runs.checkpoint import from_tensors, to_tensors
from prac.search import find

SETTINGS = {"levels": 3, "lr": 1e-05, "milestones": [80.0], "rule": "prac", "iterations": None}


def state_of(step=0, **fields):
    # Against the alphabet: the model's order, in which ties are broken, is no sorted one.
    masks = {
        "z.weight": torch.tensor([[True, False, True]]),
        "a.weight": torch.tensor([False] * 9 + [True]),
    }
    weights = {name: torch.rand(mask.shape) for name, mask in masks.items()}
    members = torch.tensor([0, 2])
    table = ForgettingTable.empty(3).update(members, torch.tensor([True, False]))
    return RunState(
        **{
            "level": 1,
            "step": step,
            "weights": weights,
            "masks": masks,
            "members": members,
            "table": table,
            **fields,
        }
    )


def full_state():
    weights = state_of().weights
    masks = {name: ~mask for name, mask in state_of().masks.items()}
    return state_of(
        7,
        optimizer={"0/momentum_buffer": torch.rand(1, 3), "0/step": torch.tensor(7.0)},
        weights=weights,
        rewind={name: torch.rand_like(weight) for name, weight in weights.items()},
        candidate=masks,
        distances=(0.25, 0.1),
        best={name: torch.rand_like(weight) for name, weight in weights.items()},
        best_accuracy=0.75,
        best_epoch=2,
        epoch_losses=torch.tensor([2.5, 1.25]),
        epoch_examples=3,
        epoch_correct=1,
        dense_predictions=torch.tensor([1, 0, 2], dtype=torch.int32),
        cost=Cost(5, 10, 15, 2.5),
    )


def plain(value):
    """Return a state, or a part of it, as comparable values that keep the order of masks."""
    if isinstance(value, torch.Tensor):
        return str(value.dtype), tuple(value.shape), value.tolist()
    if dataclasses.is_dataclass(value):
        return {f.name: plain(getattr(value, f.name)) for f in dataclasses.fields(value)}
    if isinstance(value, dict):
        return {name: plain(part) for name, part in value.items()}
    return value


def assert_same(first, second):
    assert plain(first) == plain(second)
    for group in ("masks", "candidate"):
        mine, other = getattr(first, group), getattr(second, group)
        assert list(mine or {}) == list(other or {})


@pytest.mark.parametrize("make", [state_of, full_state])
def test_a_state_comes_back_from_disk_with_its_masks_in_order(tmp_path, make):
    state = make()
    tensors, header = to_tensors(state)
    write_tensors(tmp_path / "s", tensors, "state", header)
    assert_same(from_tensors(*read_tensors(tmp_path / "s", "state")), state)


@given(
    shapes=st.lists(st.lists(st.integers(1, 4), max_size=3).map(tuple), max_size=4),
    names=st.permutations(["z", "a", "m/x", "b.weight"]),
    has_candidate=st.booleans(),
    distances=st.lists(st.floats(0, 1), max_size=3).map(tuple),
)
def test_states_of_any_shape_come_back(shapes, names, has_candidate, distances):
    masks = {name: torch.rand(shape) < 0.5 for name, shape in zip(names, shapes, strict=False)}
    candidate = {name: ~mask for name, mask in masks.items()} if has_candidate else None
    weights = {name: torch.rand(mask.shape) for name, mask in masks.items()}
    state = state_of(weights=weights, masks=masks, candidate=candidate, distances=distances)
    tensors, header = to_tensors(state)
    assert_same(from_tensors(tensors, json.loads(json.dumps(header))), state)


def folder(path, identity=None, versions=None, options=None, **changes):
    identity = {"fingerprint": "ab", "labels": [1]} if identity is None else identity
    versions = versions or {"torch": "9"}
    return RunFolder(path, {**SETTINGS, **changes}, identity, versions, **(options or {}))


def lines(path):
    return [json.loads(line) for line in (path / "metrics.jsonl").read_text().splitlines()]


def start():
    """Return a search's first state: nothing is trained yet."""
    return state_of(0, level=0)


def newest(path):
    return sorted((path / "state").iterdir())[-1]


def test_a_folder_keeps_its_settings_and_environment(tmp_path):
    with folder(tmp_path / "run") as run:
        assert run.resume(state_of()) is None
        about = json.loads((run.path / "environment.json").read_text())
        assert about == {"torch": "9", "fingerprint": "ab", "labels": [1]}
        assert yaml.safe_load((run.path / "config.yaml").read_text()) == SETTINGS
        assert run.level(5) == tmp_path / "run" / "levels" / "05"
    # Nothing is trained yet that another version could change.
    with folder(tmp_path / "run", versions={"torch": "10"}) as run:
        assert run.resume(state_of()) is None


def begun(path, identity=None):
    """Begin a run with one line of metrics and one state: it has something to lose."""
    with folder(path, identity) as run:
        run.commit(state_of(1), {"step": 1})


def contents(path):
    """Return every file's bytes by path but the lock's, which says who came last."""
    return {
        str(entry.relative_to(path)): entry.read_bytes()
        for entry in path.rglob("*")
        if entry.is_file() and entry.name != ".lock"
    }


def test_a_run_of_old_goes_on_with_what_its_functions_were_called_then(tmp_path):
    begun(tmp_path, identity={"own_loss": "by bytecode", "fingerprint": "ab"})
    now = {"own_loss": "by source", "fingerprint": "ab"}
    with folder(tmp_path, now, options={"of_old": {"own_loss": "by bytecode"}}) as run:
        assert run.resume(state_of()).step == 1
        # What is written from here on, such as tickets' origins, is what it would have been.
        assert run.identity == {"own_loss": "by bytecode", "fingerprint": "ab"}
    for of_old in ({}, {"own_loss": "other bytecode"}):
        with (
            pytest.raises(PracError, match=r"own_loss .there 'by bytecode', here 'by source'."),
            folder(tmp_path, now, options={"of_old": of_old}),
        ):
            pass


def test_other_settings_are_refused_naming_the_fields_that_differ(tmp_path):
    begun(tmp_path)
    before = contents(tmp_path)
    with pytest.raises(PracError) as error, folder(tmp_path, levels=4, lr=0.1, new=1):
        pass
    message = str(error.value)
    assert message.startswith(f"{tmp_path}: was begun with other settings: ")
    for part in (
        "levels (there 3, here 4)",
        "lr (there 1e-05, here 0.1)",
        "new (there None, here 1)",
    ):
        assert part in message
    assert "milestones" not in message
    assert "rule" not in message
    assert contents(tmp_path) == before
    # The refusal let go of the folder: it opens with what it was begun with.
    with folder(tmp_path) as run:
        assert run.resume(state_of()).step == 1


def test_another_identity_is_refused(tmp_path):
    begun(tmp_path)
    before = contents(tmp_path)
    message = r"labels \(there \[1\], here \[2\]\)"
    with (
        pytest.raises(PracError, match=message) as error,
        folder(tmp_path, {"fingerprint": "ab", "labels": (2,)}),
    ):
        pass
    assert "fingerprint" not in str(error.value)
    assert contents(tmp_path) == before


@pytest.mark.parametrize("metrics", [None, ""], ids=["no metrics", "empty metrics"])
@pytest.mark.parametrize("other", ["settings", "identity"])
def test_until_a_line_of_metrics_is_there_another_run_begins_the_folder_anew(
    tmp_path, other, metrics
):
    with folder(tmp_path) as run:
        run.commit(start())
        run.level(0).mkdir(parents=True)
        (run.level(0) / "ticket.safetensors").write_text("")
        if metrics is not None:
            (tmp_path / "metrics.jsonl").write_text(metrics)
    settings = {"levels": 4} if other == "settings" else {}
    identity = {"fingerprint": "cd"} if other == "identity" else None
    with folder(tmp_path, identity, {"torch": "10"}, **settings) as run:
        assert run.resume(state_of()) is None
        assert not (tmp_path / "levels").exists()
        assert not (tmp_path / "state").exists()
        assert yaml.safe_load((tmp_path / "config.yaml").read_text()) == {**SETTINGS, **settings}
        about = json.loads((tmp_path / "environment.json").read_text())
        of_data: dict[str, object] = {"fingerprint": "ab", "labels": [1]}
        assert about == {"torch": "10", **(identity or of_data)}
        run.commit(state_of(1), {"step": 1})
    # Now it is this run's, and the one that was there first is another.
    with pytest.raises(PracError, match="was begun with other settings"), folder(tmp_path):
        pass


def test_a_complete_level_is_work_though_nothing_was_trained(tmp_path):
    with folder(tmp_path) as run:
        run.level(0).mkdir(parents=True)
        (run.level(0) / "summary.json").write_text("{}")
    with pytest.raises(PracError, match="was begun with other"), folder(tmp_path, levels=4):
        pass


def test_the_same_settings_go_on_before_the_first_line_too(tmp_path):
    with folder(tmp_path) as run:
        run.commit(start())
    with folder(tmp_path, versions={"torch": "10"}) as run:
        assert run.resume(state_of()).step == 0


def test_a_state_within_the_first_epoch_is_not_begun_anew(tmp_path):
    with folder(tmp_path) as run:
        run.commit(start())
        run.commit(state_of(1, level=0))
    with pytest.raises(PracError, match="other settings"), folder(tmp_path, levels=4):
        pass
    # A retraining has no state before its first step.
    with folder(tmp_path / "retrain") as run:
        run.commit(state_of(1))
    with pytest.raises(PracError, match="other settings"), folder(tmp_path / "retrain", levels=4):
        pass


class TestOtherVersions:
    OLD = MappingProxyType({"torch": "9", "device": "cpu", "threads": 2, "python": "3.11"})

    def begun(self, path):
        with folder(path, versions=self.OLD) as run:
            run.commit(state_of(1), {"step": 1})

    def resumed(self, path, **changes):
        notes = []
        options = {"note": notes.append, "accept_changes": changes.pop("accept", False)}
        with folder(path, versions={**self.OLD, **changes}, options=options) as run:
            assert run.resume(state_of()).step == 1
        return notes

    @pytest.mark.parametrize(
        "change", [{"torch": "10"}, {"device": "cuda"}, {"arithmetic": "bf16"}, {"prac": "2"}]
    )
    def test_what_may_change_bits_must_be_accepted(self, tmp_path, change):
        self.begun(tmp_path)
        before = contents(tmp_path)
        with pytest.raises(PracError, match="may differ in its last bits; pass --accept") as error:
            self.resumed(tmp_path, **change)
        ((name, value),) = change.items()
        assert f"{name} was {self.OLD.get(name)}, is {value}" in str(error.value)
        assert contents(tmp_path) == before
        (note,) = self.resumed(tmp_path, accept=True, **change)
        assert f"{name} was" in note
        about = json.loads((tmp_path / "environment.json").read_text())
        assert about[name] == value
        was = {"level": 1, "iteration": 1, "before": {name: self.OLD.get(name)}}
        assert about["continued"] == [was]
        # From now on that is what it runs under.
        assert self.resumed(tmp_path, **change) == []

    def test_the_number_of_threads_is_noted_but_stops_nothing(self, tmp_path):
        self.begun(tmp_path)
        (note,) = self.resumed(tmp_path, threads=4)
        assert "threads was 2, is 4: what it finds may differ in its last bits" in note

    def test_the_same_versions_and_another_python_say_nothing(self, tmp_path):
        self.begun(tmp_path)
        assert self.resumed(tmp_path, python="3.12") == []


@pytest.mark.parametrize("name", ["config.yaml", "environment.json"])
def test_a_damaged_description_is_written_anew_unless_something_was_trained(tmp_path, name):
    with folder(tmp_path):
        pass
    whole = contents(tmp_path)
    (tmp_path / name).write_text("{")
    with folder(tmp_path) as run:
        assert contents(tmp_path) == whole
        run.commit(state_of(1), {"step": 1})
    (tmp_path / name).write_text("{")
    before = contents(tmp_path)
    with pytest.raises(PracError, match=f"{name}: is not"), folder(tmp_path):
        pass
    assert contents(tmp_path) == before


def test_what_a_killed_process_left_half_written_is_swept(tmp_path):
    begun(tmp_path)
    before = contents(tmp_path)
    with folder(tmp_path) as run:
        run.level(0).mkdir(parents=True)
    for left in (
        ".config.yaml.k3_x9abc",
        "state/.00000002.safetensors.ab12cd34",
        "levels/00/.ticket.safetensors.q1w2e3r4",
        "levels/00/.summary.json.zzzzzzzz",
    ):
        (tmp_path / left).write_text("half")
    with folder(tmp_path) as run:
        assert contents(tmp_path) == before
        assert (tmp_path / ".lock").exists()
        assert run.resume(state_of()).step == 1


def test_another_process_s_half_written_files_are_left_while_it_holds_the_folder(tmp_path):
    with folder(tmp_path):
        (tmp_path / ".config.yaml.k3_x9abc").write_text("half")
        with pytest.raises(PracError, match="is working in this folder"), folder(tmp_path):
            pass
        assert (tmp_path / ".config.yaml.k3_x9abc").exists()


@pytest.mark.parametrize("name", [".gitlab-ci.yml", ".env.local", "levels/.notes.txt"])
def test_a_folder_with_someone_elses_hidden_files_is_refused(tmp_path, name):
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).write_text("mine")
    with pytest.raises(PracError, match="but no run"), folder(tmp_path):
        pass
    assert (tmp_path / name).read_text() == "mine"


def test_hidden_files_put_beside_a_run_are_left(tmp_path):
    with folder(tmp_path) as run:
        run.commit(state_of(1), {"step": 1})
    (tmp_path / ".notes.txt").write_text("mine")
    (tmp_path / "state" / ".00000002.safetensors.abcd1234").write_text("half")
    with folder(tmp_path):
        pass
    assert (tmp_path / ".notes.txt").read_text() == "mine"
    assert not (tmp_path / "state" / ".00000002.safetensors.abcd1234").exists()


def test_what_a_crash_at_the_very_start_left_is_no_hindrance(tmp_path):
    (tmp_path / "environment.json").write_text("{}")
    (tmp_path / ".config.yaml.x1y2z3w4").write_text("lev")
    with folder(tmp_path):
        pass
    assert yaml.safe_load((tmp_path / "config.yaml").read_text()) == SETTINGS


def test_a_folder_of_something_else_is_refused(tmp_path):
    (tmp_path / "thesis.tex").write_text("mine")
    with pytest.raises(PracError, match=r"holds thesis\.tex but no run"), folder(tmp_path):
        pass
    assert [entry.name for entry in tmp_path.iterdir()] == ["thesis.tex"]
    with pytest.raises(PracError, match="is a file"), folder(tmp_path / "thesis.tex"):
        pass


def test_a_folder_in_use_is_refused(tmp_path):
    with (
        folder(tmp_path),
        pytest.raises(PracError, match="is working in this folder"),
        folder(tmp_path),
    ):
        pass
    with folder(tmp_path):
        pass


def test_a_run_goes_on_from_the_newest_state_and_two_are_kept(tmp_path):
    with folder(tmp_path) as run:
        for step in (1, 2, 3):
            run.commit(state_of(step), {"step": step})
        run.wait()
        assert len(list((tmp_path / "state").iterdir())) == 2
        expected = state_of(4)
        run.commit(expected, {"step": 4})
    with folder(tmp_path) as run:
        assert_same(run.resume(state_of()), expected)
        assert [line["step"] for line in lines(tmp_path)] == [1, 2, 3, 4]
        run.commit(state_of(5))
    with folder(tmp_path) as run:
        assert run.resume(state_of()).step == 5


def test_newest_is_by_number_also_past_powers_of_ten(tmp_path):
    with folder(tmp_path) as run:
        for step in range(1, 13):
            run.commit(state_of(step))
        assert run.resume(state_of()).step == 12


def test_metrics_beyond_the_state_are_cut_off(tmp_path):
    with folder(tmp_path) as run:
        run.commit(state_of(1), {"step": 1})
        run.commit(state_of(2), {"step": 2})
    with open(tmp_path / "metrics.jsonl", "a") as file:
        file.write('{"step": 3}\n{"st')
    with folder(tmp_path) as run:
        run.resume(state_of())
        run.commit(state_of(3), {"step": 3})
    assert lines(tmp_path) == [{"step": 1}, {"step": 2}, {"step": 3}]


def test_metrics_before_the_first_state_are_cut_off(tmp_path):
    with folder(tmp_path):
        (tmp_path / "metrics.jsonl").write_text('{"step": 1}\n')
    with folder(tmp_path) as run:
        assert run.resume(state_of()) is None
        run.commit(state_of(1), {"step": 1})
    assert lines(tmp_path) == [{"step": 1}]


@pytest.mark.parametrize("fault", ["truncated", "flipped", "empty"])
def test_a_damaged_newest_state_gives_way_to_the_one_before(tmp_path, fault):
    with folder(tmp_path) as run:
        run.commit(state_of(1), {"step": 1})
        run.commit(state_of(2), {"step": 2})
    content = bytearray(newest(tmp_path).read_bytes())
    content[-1] ^= 1
    damaged = {"truncated": content[:-9], "flipped": content, "empty": b""}[fault]
    newest(tmp_path).write_bytes(damaged)
    damaged, notes = newest(tmp_path), []
    with folder(tmp_path, options={"note": notes.append}) as run:
        assert run.resume(state_of()).step == 1
        assert [note.partition(": ")[0] for note in notes] == [str(damaged)]
        assert notes[0].endswith(": going on from the state before it")
        assert damaged.with_suffix(".damaged").exists()
        assert lines(tmp_path) == [{"step": 1}]
        run.commit(state_of(2), {"step": 2})
        assert run.resume(state_of()).step == 2
    assert lines(tmp_path) == [{"step": 1}, {"step": 2}]


def test_when_every_state_is_damaged_the_newest_is_named_and_none_removed(tmp_path):
    with folder(tmp_path) as run:
        run.commit(state_of(1))
        run.commit(state_of(2))
    for path in (tmp_path / "state").iterdir():
        path.write_bytes(b"")
    with folder(tmp_path) as run:
        with pytest.raises(PracError, match="no whole state is left: start again") as error:
            run.resume(state_of())
        assert str(newest(tmp_path)) in str(error.value)
    assert len(list((tmp_path / "state").iterdir())) == 2


def test_a_state_that_tells_of_lost_lines_gives_way_to_the_one_before(tmp_path):
    with folder(tmp_path) as run:
        run.commit(state_of(1), {"step": 1})
        run.commit(state_of(2), {"step": 2})
    (tmp_path / "metrics.jsonl").write_text('{"step": 1}\n')
    notes = []
    with folder(tmp_path, options={"note": notes.append}) as run:
        assert run.resume(state_of()).step == 1
    assert "tells of lines that" in notes[0]


def test_a_state_that_cannot_be_read_now_is_not_given_up(tmp_path):
    with folder(tmp_path) as run:
        run.commit(state_of(1), {"step": 1})
        run.commit(state_of(2), {"step": 2})
    whole = newest(tmp_path).read_bytes()
    newest(tmp_path).unlink()
    (tmp_path / "state" / "00000002.safetensors").mkdir()
    with folder(tmp_path) as run, pytest.raises(PracError, match=r"00000002\.safetensors: "):
        run.resume(state_of())
    assert len(list((tmp_path / "state").iterdir())) == 2
    newest(tmp_path).rmdir()
    (tmp_path / "state" / "00000002.safetensors").write_bytes(whole)
    with folder(tmp_path) as run:
        assert run.resume(state_of()).step == 2


def test_files_of_other_names_among_the_states_are_left(tmp_path):
    with folder(tmp_path) as run:
        run.commit(state_of(1), {"step": 1})
        run.wait()
        (tmp_path / "state" / "mine.safetensors").write_bytes(b"x")
        run.commit(state_of(2), {"step": 2})
        assert run.resume(state_of()).step == 2
        run.forget_states()
    assert [p.name for p in (tmp_path / "state").iterdir()] == ["mine.safetensors"]


@pytest.mark.parametrize("replaced", [False, True])
def test_a_folder_that_was_taken_away_is_not_written_to(tmp_path, replaced):
    with folder(tmp_path / "run") as run:
        run.commit(state_of(1), {"step": 1})
        run.wait()
        (tmp_path / "run").rename(tmp_path / "elsewhere")
        if replaced:
            with folder(tmp_path / "run"):
                pass
        there = contents(tmp_path / "run") if replaced else None
        with pytest.raises(PracError, match="was removed or replaced while the run went on"):
            run.commit(state_of(2), {"step": 2})
        assert (contents(tmp_path / "run") if replaced else None) == there
    assert (tmp_path / "run").exists() == replaced


def test_forgotten_states_are_gone(tmp_path):
    with folder(tmp_path) as run:
        run.commit(state_of(1), {"step": 1})
        run.forget_states()
        assert not (tmp_path / "state").exists()
    assert lines(tmp_path) == [{"step": 1}]


def test_a_folder_of_states_is_left_where_something_else_is_in_it(tmp_path):
    with folder(tmp_path) as run:
        run.commit(state_of(1), {"step": 1})
        run.wait()
        (tmp_path / "state" / "notes.txt").write_text("mine")
        run.forget_states()
    assert [entry.name for entry in (tmp_path / "state").iterdir()] == ["notes.txt"]


def test_forgetting_where_there_is_no_state_does_nothing(tmp_path):
    with folder(tmp_path) as run:
        run.forget_states()
    assert not (tmp_path / "state").exists()


def test_finished_levels_without_a_state_are_not_started_over(tmp_path):
    with folder(tmp_path) as run:
        run.commit(state_of(1), {"step": 1})
        run.level(0).mkdir(parents=True)
        (run.level(0) / "summary.json").write_text("{}")
        run.forget_states()
    before = contents(tmp_path)
    with folder(tmp_path) as run:
        with pytest.raises(PracError, match=r"has finished levels, but its state .* is gone") as e:
            run.resume(state_of())
        assert str(e.value).startswith(f"{tmp_path}: ")
        assert "\n" not in str(e.value)
    assert contents(tmp_path) == before


def test_an_unfinished_level_without_a_state_is_no_hindrance(tmp_path):
    with folder(tmp_path) as run:
        run.level(0).mkdir(parents=True)
        (tmp_path / "metrics.jsonl").write_text('{"step": 1}\n')
    with folder(tmp_path) as run:
        assert run.resume(state_of()) is None
    assert lines(tmp_path) == []


class Slow:
    """A disk on which a state takes until it is let go on, or fails."""

    def __init__(self, monkeypatch, error=None):
        self.begun, self.go_on, self.error = threading.Event(), threading.Event(), error
        monkeypatch.setattr("prac.runs.folder.write_tensors", self.write)

    def write(self, *arguments):
        self.begun.set()
        assert self.go_on.wait(20)
        if self.error is not None:
            raise self.error
        write_tensors(*arguments)

    def later(self):
        threading.Timer(0.2, self.go_on.set).start()


class TestInTheBackground:
    def test_a_state_is_written_while_the_run_goes_on(self, tmp_path, monkeypatch):
        slow = Slow(monkeypatch)
        with folder(tmp_path) as run:
            run.commit(state_of(1), {"step": 1})
            assert slow.begun.wait(20)
            assert lines(tmp_path) == [{"step": 1}]
            assert not (tmp_path / "state").exists()
            slow.go_on.set()
            run.wait()
            assert newest(tmp_path).name == "00000001.safetensors"

    @pytest.mark.parametrize("ask", ["commit", "resume", "forget_states", "level", "exit"])
    def test_whatever_comes_next_waits_for_it(self, tmp_path, monkeypatch, ask):
        slow = Slow(monkeypatch)
        with folder(tmp_path) as run:
            run.commit(state_of(1), {"step": 1})
            slow.later()
            if ask == "commit":
                run.commit(state_of(2), {"step": 2})
                assert (tmp_path / "state" / "00000001.safetensors").exists()
            elif ask == "resume":
                assert run.resume(state_of()).step == 1
            elif ask == "forget_states":
                run.forget_states()
                assert not (tmp_path / "state").exists()
            elif ask == "level":
                run.level(1)
                assert newest(tmp_path).name == "00000001.safetensors"
        if ask == "exit":
            assert newest(tmp_path).name == "00000001.safetensors"

    @pytest.mark.parametrize("ask", ["release", "commit", "wait", "level", "exit"])
    def test_a_held_state_is_written_when_something_asks_for_it(self, tmp_path, monkeypatch, ask):
        slow = Slow(monkeypatch)
        slow.go_on.set()
        run = folder(tmp_path)
        run.__enter__()
        run.commit(state_of(1), {"step": 1}, hold=True)
        assert not slow.begun.wait(0.2)
        assert not (tmp_path / "metrics.jsonl").exists()
        asked = {
            "release": run.release,
            "commit": lambda: run.commit(state_of(2), {"step": 2}, hold=True),
            "wait": run.wait,
            "level": lambda: run.level(0),
            "exit": lambda: run.__exit__(None, None, None),
        }
        asked[ask]()
        assert slow.begun.wait(20)
        run.wait()
        run.release()  # Again: there is none.
        assert len(lines(tmp_path)) == (2 if ask == "commit" else 1)
        if ask != "exit":
            run.__exit__(None, None, None)

    @pytest.mark.parametrize("ask", ["commit", "wait", "level", "exit"])
    def test_what_cannot_be_written_is_told_by_what_comes_next(self, tmp_path, monkeypatch, ask):
        slow = Slow(monkeypatch, PracError("f: cannot be written: free some room"))
        slow.go_on.set()
        run = folder(tmp_path)
        run.__enter__()
        run.commit(state_of(1), {"step": 1})
        asked = {
            "commit": lambda: run.commit(state_of(2), {"step": 2}),
            "wait": run.wait,
            "level": lambda: run.level(0),
            "exit": lambda: run.__exit__(None, None, None),
        }
        with pytest.raises(PracError, match="free some room"):
            asked[ask]()
        if ask != "exit":
            run.__exit__(None, None, None)
        assert lines(tmp_path) == [{"step": 1}]
        monkeypatch.undo()
        # The folder was let go of.
        with folder(tmp_path) as run:
            assert run.resume(state_of()) is None

    def test_an_error_of_the_run_leaves_the_state_that_was_under_way(self, tmp_path, monkeypatch):
        slow = Slow(monkeypatch)

        def interrupted(run):
            run.commit(state_of(1), {"step": 1})
            slow.later()
            raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt), folder(tmp_path) as run:
            interrupted(run)
        assert not list(tmp_path.rglob(".*.safetensors.*"))
        with folder(tmp_path) as run:
            assert run.resume(state_of()).step == 1

    def test_the_folder_is_held_until_the_state_is_on_disk(self, tmp_path, monkeypatch):
        slow = Slow(monkeypatch)
        with folder(tmp_path) as run:
            run.commit(state_of(1), {"step": 1})

            def second():
                with pytest.raises(PracError, match="is working"), folder(tmp_path):
                    pass
                slow.go_on.set()

            threading.Timer(0.2, second).start()
        assert slow.go_on.is_set()

    def test_how_long_a_state_may_take_is_known_from_those_before(self, tmp_path, monkeypatch):
        slow = Slow(monkeypatch)
        with folder(tmp_path) as run:
            run.commit(state_of(1))
            assert run.seconds_to_save == 0
            slow.later()
            run.wait()
            once = run.seconds_to_save
            assert once >= 0.2
            larger = {**state_of().weights, "buffer": torch.zeros(10_000)}
            run.commit(state_of(2, weights=larger))
            assert run.seconds_to_save > 10 * once


def test_what_a_commit_does_to_the_disk_comes_in_order(tmp_path, monkeypatch):
    done = []
    for name in ("write", "fsync", "replace", "unlink"):
        real = getattr(os, name)
        monkeypatch.setattr(
            os, name, lambda *a, _real=real, _name=name: (done.append(_name), _real(*a))[1]
        )
    with folder(tmp_path) as run:
        for step in (1, 2):
            run.commit(state_of(step), {"step": step})
        run.wait()
        done.clear()
        run.commit(state_of(3), {"step": 3})
        run.wait()
    assert [name for name, _ in itertools.groupby(done)] == [
        "write", "fsync", "write", "fsync", "replace", "fsync", "unlink",
    ]  # fmt: skip


def test_a_search_tells_how_much_of_the_network_is_prunable(small_net, train, config, tmp_path):
    search = find(small_net(), train, config(levels=1), out=tmp_path / "run")
    parameters = search.parameters
    assert parameters is not None
    assert (parameters.count, parameters.total) == (1014, 1042)
    (tmp_path / "run" / "environment.json").unlink()  # As a run of prac 0.1 has none of it.
    assert search.parameters is None
