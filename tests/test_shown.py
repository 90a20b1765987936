"""What people see of a value at a prompt and in a notebook: a line and a small table."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

import prac
from prac.algorithms import ForgettingTable, Plan
from prac.evaluation import Barrier, LevelVerdict, Trial, Trials
from prac.runs import RunState
from prac.training import Problem, Runtime


@pytest.fixture(scope="module")
def search(judged_run) -> prac.Search:
    return prac.Search.load(judged_run)


@pytest.fixture(scope="module")
def verdict(search) -> prac.Verdict:
    found = prac.Verdict.load(search)
    assert found is not None
    return found


def test_what_a_search_found_is_a_line_each(search, verdict):
    ticket, subset = search.tickets[3], search.subset(2)
    kept = sum(int(mask.sum()) for mask in ticket.masks.values())
    prunable = sum(mask.numel() for mask in ticket.masks.values())
    assert repr(ticket) == (
        f"Ticket(level 3, density {100 * kept / prunable:.1f} %, {kept:,} of {prunable:,} weights, "
        f"lenet_300_100)"
    )
    assert repr(subset) == (
        f"Subset(level 2, {len(subset)} of 360 examples, data {subset.fingerprint[:12]})"
    )
    saved = search.cost(3).iterations_saved
    assert repr(search) == (
        f"Search({search.path}, ticket 3 of density 51.2 %, "
        f"{100 * saved:.1f} % of IMP's iterations saved)"
    )
    assert repr(search.tickets) == f"Tickets(4 in {search.path})"
    level = search.levels[1]
    assert repr(level) == (
        f"Level(1, density 80.0 %, set of {level.set_size} of 360 examples, {level.epochs} of "
        f"{level.planned_epochs} epochs, {level.iterations} iterations)"
    )
    assert repr(search.levels[3]).endswith("not trained)")
    judged = [f"level {one.index} {one.verdict}" for one in verdict.levels[1:]]
    assert repr(verdict) == f"Verdict({search.path}, 2 seeds, {', '.join(judged)})"
    dense = verdict.levels[0]
    assert repr(dense).startswith("LevelVerdict(level 0, density 100.0 %, dense, ")
    assert re.fullmatch(r"Trials\(2 runs, 0\.\d+ ± [\d.]+\)", repr(dense.ticket))


def test_a_search_that_is_not_finished_says_so(search):
    begun = replace(search, levels=search.levels[:2])
    assert "not finished: 2 of 4 levels complete" in repr(begun)
    assert repr(replace(search, levels=[])).endswith("not finished: 0 of 4 levels complete)")


def test_a_ticket_made_by_hand_is_told_by_its_masks():
    masks = {"a": torch.tensor([True, False, False, False])}
    assert repr(prac.Ticket({"a": torch.zeros(4)}, masks)) == (
        "Ticket(density 25.0 %, 1 of 4 weights)"
    )
    whole = prac.Ticket({"a": torch.zeros(4)}, {"a": torch.ones(4).bool()}, {"level": 0})
    assert repr(whole) == "Ticket(level 0, density 100.0 %, all 4 weights)"
    assert repr(prac.Ticket({}, {})) == "Ticket(no prunable weight)"


def test_values_that_hold_tensors_are_a_line(train):
    n = 300
    table = ForgettingTable.empty(n).update(torch.tensor([3, 4]), torch.tensor([True, False]))
    members = torch.arange(40)
    assert repr(table) == "ForgettingTable(300 examples, 0 forgotten, 299 never learned)"
    masks = {"a": torch.tensor([True, False])}
    state = RunState(2, 70, {"a": torch.zeros(2)}, masks, members, table)
    assert repr(state) == "RunState(level 2, iteration 70, density 50.0 %, 40 examples)"
    assert repr(prac.LevelStats(1, members, table)) == (
        f"LevelStats(level 1, trained on 40 of 300 examples, {table!r})"
    )
    assert repr(prac.Selection(members, {"cet": members[:9]})) == "Selection(40 examples, cet 9)"
    examples = prac.data.TensorExamples(*train)
    assert repr(examples) == "TensorExamples(300 examples, inputs 1x8x8, cpu)"
    assert repr(prac.data.MapExamples(torch.utils.data.TensorDataset(*train))) == (
        "MapExamples(300 examples, TensorDataset)"
    )
    network = nn.Sequential(nn.Flatten(), nn.Linear(64, 10))
    problem = Problem.of(network, train, runtime=Runtime.choose("cpu", "fp32"))
    assert repr(problem) == "Problem(Sequential, 300 training, no validation, Task(), cpu)"


def test_a_task_is_told_by_what_is_not_usual():
    def close(outputs: Tensor, targets: Tensor) -> Tensor:
        return (outputs - targets).abs() < 0.1

    task = prac.Task(nn.functional.mse_loss, close, prediction=None)
    assert repr(prac.Task()) == "Task()"
    assert repr(task) == "Task(loss=mse_loss, correct=close, prediction=None)"


def test_plain_settings_are_the_call_that_makes_them():
    assert repr(prac.SearchConfig.prac(levels=8)) == "SearchConfig(levels=8)"
    plan = Plan(1000, 50, lr=0.1, warmup=5)
    assert repr(plan) == "Plan(iterations=1000, iterations_per_epoch=50, lr=0.1, warmup=5)"
    assert eval(repr(plan)) == plan


def test_parts_of_a_verdict_say_what_they_mean():
    runs = Trials((Trial(0, 0.9, "a"), Trial(1, 0.92, "b")))
    assert repr(Trials((Trial(0, 0.9, "a"),))) == "Trials(1 run, 0.9)"
    assert repr(Barrier((0.1, 0.2, 0.1))) == "Barrier(height 10.00 points, not stable)"
    judged = LevelVerdict(3, 0.512, True, runs, runs)
    assert repr(judged) == (
        "LevelVerdict(level 3, density 51.2 %, winning, 0.91 ± 0.13 beside dense 0.91 ± 0.13)"
    )


def test_in_a_notebook_each_has_a_table_of_its_own(search, verdict):
    shown = {
        "search": search._repr_html_(),
        "ticket": search.tickets[3]._repr_html_(),
        "subset": search.subset(2)._repr_html_(),
        "verdict": verdict._repr_html_(),
    }
    assert shown["search"].count("<tr>") == 1 + len(search.levels)
    assert shown["ticket"].count("<tr>") == 1 + len(search.tickets[3].masks)
    assert "CEP" in shown["subset"]
    assert "class 9" in shown["subset"]
    assert "shuffled" in shown["verdict"]
    for html in shown.values():
        assert not re.search(r"src=|href=|url\(|<script|<style|(?<!-)color:", html)
        assert len(html) < 5000


def test_names_in_a_notebook_are_text():
    name = "<script>alert(1)</script>"
    ticket = prac.Ticket({}, {name: torch.ones(2).bool()}, {"architecture": f"{name}-0"})
    found = ticket._repr_html_()
    assert "<script" not in found
    assert found.count("&lt;script&gt;") == 2
