"""Hostile files: one line that names file and fault, in bounded time, and nothing of them runs."""

from __future__ import annotations

import itertools
import json
import os
import random
import socket
import time
from itertools import islice
from pathlib import Path

import pytest
import torch
import yaml
from hypothesis import given
from hypothesis import strategies as st
from safetensors import SafetensorError

from prac.cli import main
from prac.config import TrainConfig
from prac.errors import Damaged, PracError
from prac.io import content_digest, kind_of, pack, read_tensors, write_tensors
from prac.models import check_finite
from prac.runs import Level, Subset, Ticket, read_metrics, read_retraining
from prac.runs.checkpoint import check_like, read_state, to_tensors
from prac.search import Search
from prac.training import Runtime
from prac.training.optimizer import make_optimizer, optimizer_tensors, restore_optimizer_
from torture import hostile
from torture.budget import budget
from torture.hostile import KINDS, READERS, good_file, try_here

# What may be read though something was changed: a provenance says what it likes beyond its known
# fields, a weight or a count may be any number, buffers of a ticket any shape.
MAY_BE_READ = (
    "provenance", "weight/", "weights/", "rewind/", "best/", "optimizer/", "source_indices",
    "fingerprint", "best_", "cost.", "distances", "epoch_", "level", "step", "metrics_bytes",
    "events", "learned", "correct", "dense_predictions", "members is empty", "source/",
    "newest_losses", "epoch_start_losses", "difficulty", "layouts", "stage is missing",
)  # fmt: skip


CPU = Runtime(torch.device("cpu"))


def refusal(read, path):
    """Return the error that reading a file gives; None where it is read."""
    try:
        read(path)
    except PracError as error:
        return error
    return None


def check_all(kind, files, path):
    """Read every file; return the names of those that were read as valid."""
    read = []
    for name, content in files:
        path.write_bytes(content)
        outcome, message = try_here(kind, path)
        assert outcome != "crashed", f"{name}: {message}"
        if outcome == "read":
            read.append(name)
    return read


every = pytest.mark.parametrize("stride", [7, pytest.param(1, marks=pytest.mark.slow)])
"""All the files of a kind, or each seventh: no divisor of the wrong values a field may have."""


@pytest.mark.parametrize("kind", KINDS)
def test_the_good_files_are_good(kind, tmp_path):
    (tmp_path / "f").write_bytes(good_file(kind))
    READERS[kind](tmp_path / "f")
    assert kind_of(tmp_path / "f") == kind


@every
@pytest.mark.parametrize("kind", KINDS)
def test_a_file_cut_off_anywhere_is_refused(kind, stride, tmp_path):
    files = islice(hostile.truncated(good_file(kind)), 0, None, stride)
    assert check_all(kind, files, tmp_path / "f") == []


@every
@pytest.mark.parametrize("kind", KINDS)
def test_a_file_with_any_byte_changed_is_refused_as_damaged(kind, stride, tmp_path):
    for name, content in islice(hostile.flipped(good_file(kind)), 0, None, stride):
        (tmp_path / "f").write_bytes(content)
        error = refusal(READERS[kind], tmp_path / "f")
        # The metadata's own name is under no digest: without it, the file is no one's.
        assert isinstance(error, Damaged) or "not one of prac's" in str(error), name


@every
@pytest.mark.parametrize("kind", KINDS)
def test_a_wrong_field_is_refused_though_the_digest_is_right(kind, stride, tmp_path):
    files = islice(hostile.with_wrong_fields(good_file(kind)), 0, None, stride)
    read = check_all(kind, files, tmp_path / "f")
    assert [name for name in read if not name.startswith(MAY_BE_READ)] == []


@pytest.mark.parametrize("kind", ["ticket", "subset"])
def test_a_lying_layout_is_refused(kind, tmp_path):
    read = check_all(kind, hostile.with_wrong_layouts(good_file(kind)), tmp_path / "f")
    # The library takes the last of two tensors of one name, and ignores facts that it does not
    # know: what is read is under the digest all the same.
    harmless = (" is there twice", " has more facts")
    assert [name for name in read if not name.endswith(harmless)] == []


@pytest.mark.parametrize("kind", KINDS)
def test_a_wrong_tensor_is_refused_though_the_digest_is_right(kind, tmp_path):
    read = check_all(kind, hostile.with_wrong_tensors(good_file(kind)), tmp_path / "f")
    assert [name for name in read if not name.startswith(MAY_BE_READ)] == []
    assert not [name for name in read if "NaN" in name and "optimizer" not in name]


@pytest.mark.parametrize("kind", KINDS)
def test_files_changed_at_random_where_their_structure_is(kind, tmp_path):
    whole, draw = good_file(kind), random.Random(0)
    mutants = (("a mutant", hostile.mutated(whole, draw)) for _ in range(400))
    check_all(kind, mutants, tmp_path / "f")


@budget(150)
@given(kind=st.sampled_from(KINDS), content=st.binary(max_size=64), keep=st.integers(0, 8))
def test_any_bytes_at_all(tmp_path_factory, kind, content, keep):
    path = tmp_path_factory.mktemp("bytes") / "f"
    path.write_bytes(len(content).to_bytes(8, "little")[:keep] + content)
    assert try_here(kind, path)[0] == "refused"


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_every_hostile_file_within_its_memory_and_time(kind, tmp_path):
    with hostile.Reader(kind) as reader:
        for name, content in hostile.hostile_files(kind, good_file(kind)):
            (tmp_path / "f").write_bytes(content)
            found = reader.attempt(tmp_path / "f")
            assert found.outcome != "crashed", f"{name}: {found.message}"
            assert found.seconds < 5
            assert found.peak_bytes < 2**30


def test_a_huge_file_is_refused_at_once_in_little_memory(tmp_path):
    path = tmp_path / "huge"
    facts = {"dtype": "U8", "shape": [2**42], "data_offsets": [0, 2**42]}
    header = {"__metadata__": {"prac": "{}"}, "weight/w": facts}
    path.write_bytes(hostile.joined(header, b""))
    os.truncate(path, path.stat().st_size + 2**42)
    started = time.perf_counter()
    with pytest.raises(PracError, match="more than this machine's memory"):
        Ticket.load(path)
    assert time.perf_counter() - started < 1


def test_the_child_process_tells_what_came_of_it(tmp_path):
    path = tmp_path / "f"
    with hostile.Reader("ticket", memory=2**29, timeout=20) as reader:
        path.write_bytes(good_file("ticket"))
        assert reader.attempt(path).outcome == "read"
        path.write_bytes(b"")
        found = reader.attempt(path)
        assert (found.outcome, found.message[: len(str(path))]) == ("refused", str(path))
        # Within the machine's memory but not within the process's.
        facts = {"dtype": "U8", "shape": [2**31], "data_offsets": [0, 2**31]}
        envelope = json.dumps({"kind": "ticket", "format": 1, "digest": ""})
        header = {"__metadata__": {"prac": envelope}, "weight/w": facts}
        path.write_bytes(hostile.joined(header, b""))
        os.truncate(path, path.stat().st_size + 2**31)
        found = reader.attempt(path)
        assert found.outcome == "refused"
        assert "not enough memory" in found.message
        assert 0 < found.peak_bytes < 2**30


def test_what_was_read_does_not_depend_on_the_file(tmp_path):
    path = tmp_path / "f"
    Ticket({"w": torch.arange(10_000.0)}, {"w": torch.ones(10_000) > 0}).save(path)
    ticket = Ticket.load(path)
    # A mapped file's tensors would change with it, and kill the process once it is short.
    path.write_bytes(b"\xff" * path.stat().st_size)
    assert torch.equal(ticket.weights["w"], torch.arange(10_000.0))
    os.truncate(path, 0)
    assert torch.equal(ticket.weights["w"], torch.arange(10_000.0))


@pytest.mark.parametrize("read", [*READERS.values(), kind_of])
def test_what_is_no_file_is_refused_without_waiting(tmp_path, read):
    os.mkfifo(tmp_path / "pipe")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind("socket")
        for path in (tmp_path, tmp_path / "pipe", Path("/dev/zero"), Path("socket"), Path("a\0b")):
            with pytest.raises(PracError) as error:
                read(path)
            assert not isinstance(error.value, Damaged)
    with pytest.raises(PracError, match="there is no such file"):
        read(tmp_path / "absent")
    Path("loop").symlink_to("loop")
    with pytest.raises(PracError, match="loop: cannot be read: Too many levels"):
        read(Path("loop"))


def test_a_failing_disk_is_one_line(tmp_path, monkeypatch):
    path = tmp_path / "f"
    path.write_bytes(good_file("ticket"))

    def fail(*_):
        raise SafetensorError("Could not read tensor w: Input/output error (os error 5)")

    monkeypatch.setattr("prac.io.container.check_name", fail)
    with pytest.raises(PracError, match=r"f: cannot be read: .*Input/output error") as error:
        Ticket.load(path)
    assert not isinstance(error.value, Damaged)


BAD_NAMES = ["", "/a", "a/", "a//b", ".a", "a.", "a..b", "../a", "a\\b", "a\nb", "a\0", "\x1b[2J"]


@pytest.mark.parametrize("name", BAD_NAMES)
def test_what_could_not_be_read_is_not_written(tmp_path, name):
    with pytest.raises(PracError, match=r"f: cannot be written, no prac could read it"):
        write_tensors(tmp_path / "f", {name: torch.ones(1)}, "ticket", {})
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("tensor", "header"),
    [
        (torch.ones(1, dtype=torch.complex128), {}),
        (torch.ones(2, 2).to_sparse(), {}),
        (torch.ones([1] * 33), {}),
        (torch.ones(1), {"a": float("nan")}),
        (torch.ones(1), {"a": 2**63}),
        (torch.ones(1), {1: 1, "1": 2}),
        (torch.ones(1), {"a": object()}),
        (torch.ones(1), {"a": "x" * 2**24}),
    ],
)
def test_what_could_not_be_read_is_not_written_either(tmp_path, tensor, header):
    with pytest.raises(PracError, match="cannot be written"):
        write_tensors(tmp_path / "f", {"w": tensor}, "ticket", header)
    nested = json.loads("[" * 40 + "]" * 40)
    with pytest.raises(PracError, match="cannot be written"):
        write_tensors(tmp_path / "f", {}, "ticket", {"a": nested})
    assert list(tmp_path.iterdir()) == []


def test_tickets_and_sets_that_could_not_be_loaded_are_not_saved(tmp_path):
    weights = {"w": torch.tensor([1.0, torch.nan])}
    with pytest.raises(PracError, match=r"cannot be written.*'w' holds NaN"):
        Ticket(weights, {}).save(tmp_path / "f")
    indices = torch.tensor([2, 1])
    with pytest.raises(PracError, match=r"cannot be written.*indices is not ascending"):
        Subset(indices, indices, "ab", 3).save(tmp_path / "f")
    assert list(tmp_path.iterdir()) == []


def test_a_buffer_may_be_infinite(tmp_path):
    weights = {"w": torch.ones(2), "mask": torch.tensor(-torch.inf)}
    Ticket(weights, {"w": torch.tensor([True, False])}).save(tmp_path / "f")
    assert Ticket.load(tmp_path / "f").weights["mask"] == -torch.inf
    check_finite(weights, ["w"])


def test_a_model_that_is_no_numbers_is_refused():
    with pytest.raises(PracError, match="the model's weight 'w' holds NaN"):
        check_finite({"v": torch.ones(1), "w": torch.tensor(torch.nan)})
    with pytest.raises(PracError, match="the model's weight 'w' is infinite"):
        check_finite({"w": torch.tensor([torch.inf])}, ["w"])
    check_finite({"n": torch.tensor(3), "f8": torch.ones(2).to(torch.float8_e4m3fn)}, ["f8"])


def of_the_first_format(parts, path):
    """Return a state's parts as they were when each weight and each mask was a tensor."""
    path.write_bytes(parts.whole())
    state, _ = read_state(path)
    groups = {"weights", "rewind", "best", "source", "optimizer", "masks", "candidate"}
    tensors = {k: v for k, v in parts.tensors.items() if k.partition("/")[0] not in groups}
    for group in groups & set(parts.header["present"]):
        for name, tensor in getattr(state, group).items():
            tensors[f"{group}/{name}"] = pack(tensor) if tensor.dtype == torch.bool else tensor
    header = {**parts.header, "format": 1}
    del header["layouts"]
    return hostile.Parts(tensors, header)


def test_a_state_of_the_first_format_is_the_same_state(tmp_path):
    parts = hostile.Parts.of(good_file("state"))
    assert parts.header["format"] == 2
    assert {"weights/float32", "weights/int64", "masks", "candidate"} < parts.tensors.keys()
    first = of_the_first_format(parts, tmp_path / "f")
    assert {"weights/a.bias", "rewind/n", "masks/a.weight"} < first.tensors.keys()
    known, _ = read_state(tmp_path / "f")
    (tmp_path / "f").write_bytes(first.whole())
    state, metrics_bytes = read_state(tmp_path / "f")
    assert metrics_bytes == 10
    for group in parts.header["present"]:
        found, expected = getattr(state, group), getattr(known, group)
        assert found.keys() == expected.keys()
        assert all(torch.equal(found[name], expected[name]) for name in found)
    again, _ = to_tensors(state)
    assert again.keys() == parts.tensors.keys()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"masks": None}, "tensor 'masks' is missing"),
        (
            {"masks": torch.zeros(2, dtype=torch.uint8)},
            r"'masks' is torch.uint8 \[2\]: expected .*1",
        ),
        ({"best/float32": torch.zeros(7)}, r"'best/float32' is torch.float32 \[7\]: expected"),
        ({"weights/int64": torch.zeros(1)}, "'weights/int64' is torch.float32"),
        ({"weights/a.bias": torch.zeros(2)}, "twice|in one only|unknown tensor"),
    ],
)
def test_what_a_state_puts_together_is_taken_apart_strictly(tmp_path, changes, message):
    parts = hostile.Parts.of(good_file("state"))
    tensors = {**parts.tensors, **changes}
    tensors = {name: tensor for name, tensor in tensors.items() if tensor is not None}
    (tmp_path / "f").write_bytes(hostile.Parts(tensors, parts.header).whole())
    with pytest.raises(Damaged, match=message):
        read_state(tmp_path / "f")


def test_a_state_of_another_problem_is_refused(tmp_path):
    path = tmp_path / "f"
    path.write_bytes(good_file("state"))
    state, metrics_bytes = read_state(path)
    assert metrics_bytes == 10
    check_like(state, state, path)
    parts = of_the_first_format(hostile.Parts.of(good_file("state")), tmp_path / "g")
    others = {
        "'a.bias' is in one only": {k: v for k, v in parts.tensors.items() if "bias" not in k},
        "'n' is torch.int32": {
            k: v.int() if k.endswith("/n") else v for k, v in parts.tensors.items()
        },
    }
    for message, tensors in others.items():
        path.write_bytes(hostile.Parts(tensors, parts.header).whole())
        with pytest.raises(Damaged, match=message):
            check_like(read_state(path)[0], state, path)
    shorter = dict(parts.tensors)
    of_examples = ("difficulty", "newest_losses", "epoch_start_losses")
    for name in ("events", "learned", "correct", "dense_predictions", *of_examples):
        shorter[name] = torch.cat([shorter[name], shorter[name][:1]])
    path.write_bytes(hostile.Parts(shorter, parts.header).whole())
    with pytest.raises(Damaged, match="it has 4 examples, this run 3"):
        check_like(read_state(path)[0], state, path)


@pytest.mark.parametrize(
    ("name", "wrong", "message"),
    [
        (
            "difficulty",
            torch.tensor([0.5, torch.nan, 0.0]),
            "difficulty holds what is not a number",
        ),
        ("difficulty", torch.tensor([0.5, torch.inf, 0.0]), "difficulty holds what is no error's"),
        ("difficulty", torch.tensor([0.5, -0.1, 0.0]), "difficulty holds what is no error's"),
        (
            "difficulty",
            torch.zeros(3, dtype=torch.float64),
            "is torch.float64 .3.: expected torch.fl",
        ),
        (
            "difficulty",
            torch.zeros(2),
            "difficulty is torch.float32 .2.: expected torch.float32 .3.",
        ),
        ("newest_losses", torch.full((3,), torch.nan), "newest_losses holds what is not a number"),
        ("newest_losses", torch.zeros(3, 1), "newest_losses is torch.float32 .3, 1."),
        ("epoch_start_losses", torch.zeros(3).int(), "epoch_start_losses is torch.int32 .3."),
        ("epoch_start_losses", torch.full((3,), torch.nan), "epoch_start_losses holds what is not"),
        ("source/a.bias", torch.zeros(9), "source 'a.bias' is torch.float32 .9., of weights"),
        ("source/b.weight", torch.zeros(1), "'b.weight' is in one only of source and weights"),
    ],
)
def test_what_a_method_keeps_in_its_state_is_read_strictly(tmp_path, name, wrong, message):
    path = tmp_path / "f"
    parts = of_the_first_format(hostile.Parts.of(good_file("state")), path)
    path.write_bytes(hostile.Parts({**parts.tensors, name: wrong}, parts.header).whole())
    with pytest.raises(Damaged, match=message):
        read_state(path)


@pytest.mark.parametrize("name", ["difficulty", "newest_losses", "epoch_start_losses"])
def test_what_no_method_asked_for_may_be_missing_from_a_state(tmp_path, name):
    parts = hostile.Parts.of(good_file("state"))
    tensors = {key: tensor for key, tensor in parts.tensors.items() if key != name}
    (tmp_path / "f").write_bytes(hostile.Parts(tensors, parts.header).whole())
    assert getattr(read_state(tmp_path / "f")[0], name) is None


@pytest.mark.parametrize("optimizer", ["sgd", "adam", "adamw"])
def test_an_optimiser_takes_its_own_state_only(optimizer):
    model = torch.nn.Linear(2, 3)
    config = TrainConfig(optimizer=optimizer)
    first = make_optimizer(model, config, CPU)
    model(torch.ones(1, 2)).sum().backward()
    first.step()
    good = optimizer_tensors(first)
    restore_optimizer_(make_optimizer(model, config, CPU), good)
    key = next(name for name in good if good[name].ndim)
    faults = [
        {"2/momentum_buffer": torch.ones(3)},
        {"-1/exp_avg": torch.ones(3)},
        {"01/exp_avg": torch.ones(3)},
        {"x": torch.ones(3)},
        {"0/0/exp_avg": torch.ones(3, 2)},
        {"0/lr": torch.ones(3, 2)},
        {f"{'9' * 5000}/exp_avg": torch.ones(3, 2)},
        {**good, key: torch.ones(7)},
        {**good, key: torch.zeros_like(good[key], dtype=torch.int64)},
    ]
    if optimizer != "sgd":
        faults += [{**good, "0/step": torch.ones(2)}, {"0/step": torch.tensor(1.0)}]
    for tensors in faults:
        with pytest.raises(PracError):
            restore_optimizer_(make_optimizer(model, config, CPU), tensors)


COST = {"iterations": 1, "examples_trained": 2, "examples_scored": 3, "seconds": 0.5}
SUMMARY = {
    "index": 0, "density": 1.0, "kept": 4, "prunable": 4, "set_size": 3, "total": 3,
    "set_parts": {}, "set_by_class": None, "epochs": 1, "planned_epochs": 1, "iterations": 1,
    "planned_iterations": 1, "stopped_early": False, "best_epoch": 1, "best_val_accuracy": None,
    "mask_distances": [0.5], "cost": COST, "imp": COST,
}  # fmt: skip
JSON_FAULTS = ["", "[", "[]", "null", "3", '"x"', "[" * 100_000, '{"a": ' * 50_000, "{}", "\x00"]


def test_a_level_s_summary_is_read_or_refused(tmp_path):
    path = tmp_path / "summary.json"
    path.write_text(json.dumps(SUMMARY))
    assert Level.read(path).mask_distances == (0.5,)
    wrong = [None, True, -1, 1.5, "x", [], {}, [None], {"a": "b"}, 2**70, float("nan"), [[1]]]
    changed = [{**SUMMARY, name: value} for name, value in itertools.product(SUMMARY, wrong)]
    changed += [{k: v for k, v in SUMMARY.items() if k != name} for name in SUMMARY]
    changed += [{**SUMMARY, "surprise": 1}, {**SUMMARY, "cost": {**COST, "seconds": None}}]
    changed += [{**SUMMARY, "total": 0}]
    refused = 0
    for text in [*map(json.dumps, changed), *JSON_FAULTS]:
        path.write_text(text)
        error = refusal(Level.read, path)
        if error is not None:
            assert str(error).startswith(f"{path}: ")
            assert str(error).isprintable()
            refused += 1
    assert refused > len(changed) * 0.8


@pytest.mark.parametrize("text", JSON_FAULTS)
def test_other_json_of_a_run_is_read_or_refused(tmp_path, text):
    (tmp_path / "config.yaml").write_text("levels: 1\n")
    (tmp_path / "retrain" / "00").mkdir(parents=True)
    summary = tmp_path / "retrain" / "00" / "summary.json"
    summary.write_text(text)
    for read in (lambda: read_retraining(summary), lambda: Search.load(tmp_path).retrained(0)):
        with pytest.raises(PracError, match=r"summary\.json: ") as error:
            read()
        assert str(error.value).isprintable()
    (tmp_path / "metrics.jsonl").write_text(f"{text}\n")
    error = refusal(read_metrics, tmp_path)
    assert error is None or str(error).startswith(f"{tmp_path / 'metrics.jsonl'}: ")
    assert error is not None or all(isinstance(line, dict) for line in read_metrics(tmp_path))


@pytest.mark.parametrize("levels", ["x", "-1", "0", "[1]", "true", "1.5", "null"])
def test_a_run_without_a_number_of_levels_is_refused(tmp_path, levels):
    (tmp_path / "config.yaml").write_text(f"levels: {levels}\n")
    with pytest.raises(PracError, match=r"config\.yaml: is damaged: its header has levels"):
        Search.load(tmp_path)


def ticket_naming(path, **names):
    chosen = {"model": "lenet_300_100", "data": "digits", "epochs": 1, **names}
    Ticket({"w": torch.ones(2)}, {"w": torch.ones(2) > 0}, {"settings": chosen}).save(path)


def test_code_that_only_a_ticket_names_is_not_imported(tmp_path, monkeypatch, capsys):
    (tmp_path / "evil.py").write_text(
        "import pathlib\npathlib.Path('ran').touch()\ndef make(num_classes): ...\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    ticket_naming("t.safetensors", model="evil:make")
    for more in ([], ["--data", "digits"], ["--config", "c.yaml"]):
        Path("c.yaml").write_text("epochs: 1\n")
        assert main(["retrain", "t.safetensors", *more]) == 2
        err = capsys.readouterr().err
        assert "pass --model evil:make if you trust that code" in err
        assert len(err.splitlines()) == 1
    assert main(["inspect", "t.safetensors"]) == 0
    assert not Path("ran").exists()
    # Named by the user, it is theirs.
    assert main(["retrain", "t.safetensors", "--model", "evil:make"]) == 2
    assert Path("ran").exists()


@pytest.mark.parametrize(
    "value", [None, True, -1, [], {}, "x", "!!python/object:os.system", 1e300, [None], ["a"]]
)
def test_settings_of_a_ticket_are_checked_before_anything_is_done(value, capsys):
    names = ["model", "data", "epochs", "lr", "milestones", "val_indices", "precision", "seed"]
    for name in names:
        if value in (None, "x") and name == "val_indices":
            continue
        ticket_naming("t.safetensors", **{name: value})
        status = main(["retrain", "t.safetensors", "--limit", "50", "--quiet"])
        err = capsys.readouterr().err
        assert status == 2, name
        assert len(err.splitlines()) == 1
    assert [path.name for path in Path().iterdir()] == ["t.safetensors"]


@pytest.mark.parametrize("kind", KINDS)
def test_inspect_shows_or_refuses_whatever_it_is_given(kind, tmp_path, capsys):
    whole, draw = good_file(kind), random.Random(1)
    path = tmp_path / "f.safetensors"
    wrong = [content for _, content in hostile.with_wrong_fields(whole)][::9]
    for content in [*wrong, *(hostile.mutated(whole, draw) for _ in range(40))]:
        path.write_bytes(content)
        for options in ([], ["--json"]):
            status = main(["inspect", str(path), *options])
            out, err = capsys.readouterr()
            assert status in (0, 2)
            assert len(err.splitlines()) == (status == 2)
            assert "\x1b" not in out + err


def test_a_damaged_newest_state_with_a_right_digest_gives_way(tmp_path):
    run = tmp_path / "state.safetensors"
    run.write_bytes(good_file("state"))
    tensors, header = read_tensors(run, "state")
    header["step"] = -1
    write_tensors(run, tensors, "state", header)
    with pytest.raises(Damaged, match="step -1: expected a whole number of at least 0"):
        read_state(run)


def test_the_settings_of_a_run_make_no_objects(tmp_path):
    text = yaml.dump({"levels": 1})
    (tmp_path / "config.yaml").write_text(text + "a: !!python/object/apply:os.mkdir [made]\n")
    with pytest.raises(PracError, match="is not YAML"):
        Search.load(tmp_path)
    assert not Path("made").exists()


def test_the_digest_alone_is_no_trust():
    # As an attacker would: the digest is right, and yet the file is refused (see above).
    parts = hostile.Parts.of(good_file("ticket"))
    header, _ = hostile.split(parts.whole())
    found = json.loads(header["__metadata__"]["prac"])
    assert found.pop("digest") == content_digest(parts.tensors, found)


def test_a_short_fuzzing_finds_nothing(tmp_path):
    pytest.importorskip("atheris", reason="atheris has no wheel for this platform")
    from torture.fuzz_ticket import fuzz

    found = fuzz(1, tmp_path / "corpus")
    assert found["crashed"] == 0, found["log"]
    assert found["inputs"] > 100
    assert found["refused"] > 0
    assert found["read"] > 0


@pytest.mark.parametrize("name", ["config.yaml", "environment.json", "levels/00/summary.json"])
@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b"[" * 10**5,
        b'{"classes": 5}',
        b'{"levels": {}}',
        b"\xff",
        b"1e999",
    ],
)
def test_a_run_with_a_broken_description_is_inspected_or_refused_in_one_line(
    name, content, tmp_path, capsys
):
    run = tmp_path / "run"
    (run / "levels" / "00").mkdir(parents=True)
    (run / "config.yaml").write_text("levels: 1\n")
    (run / name).write_bytes(content)
    for extra in ([], ["--json"]):
        status = main(["inspect", str(run), *extra])
        lines = capsys.readouterr().err.splitlines()
        assert (status, len(lines)) in ((0, 0), (2, 1)), lines
        if status:
            assert lines[0].startswith("prac: error: ")


def test_metrics_that_are_a_pipe_are_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "metrics.jsonl")
    with pytest.raises(PracError, match=r"metrics\.jsonl: is a pipe"):
        read_metrics(tmp_path)
