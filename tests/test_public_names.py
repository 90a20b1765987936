"""What people rely on from Python, frozen: a name or a signature changes on purpose only.

`make freeze` writes the signatures anew; the names are listed below.
"""

import importlib
import inspect
import re
import sys
import textwrap
from collections.abc import Callable, Iterator
from dataclasses import fields
from pathlib import Path
from typing import cast
from unittest.mock import ANY

import pytest

import prac
from prac import retired
from prac.training import RunKeywords, RunOptions

SIGNATURES = Path(__file__).with_name("public_signatures.txt")

NAMES = {
    "prac": """
        Attachment Comparison Event History Interrupted LevelConfig LevelStats Metric PracError
        Progress PruneConfig Recipe RunControl RunOptions SampleConfig Search SearchConfig Selection
        StopConfig Subset SubsetConfig Task Ticket Tracker Tracking TrainConfig Verdict Win
        __version__ algorithms attach chain_callbacks compare data describe detach find
        find_rewind_point judge list_runs load_data loops models plan_seeds retrain save_charts
        to_text win write_report
    """,
    "prac.algorithms": """
        ForgettingTable Masks Plan batch_sizes coverage_centric density disagreements error_norms
        forgettable fresh_sample grasp hardest hardest_first infobatch kept kept_per_level magnitude
        mask_distance ones pad_to_size prune random_scores scaled_plan snip stable synflow
        top_k_by_score union
    """,
    "prac.data": "Examples MapExamples Pipeline StreamExamples TensorExamples",
    "prac.loops": "from_rank_0 with_ids",
    "prac.models": "Form MODELS Stem build load_model",
}


@pytest.mark.parametrize("module", NAMES)
def test_public_names_are_frozen(module):
    names, found = NAMES[module].split(), importlib.import_module(module).__all__
    if module == "prac":
        assert sorted(found) == names
    assert set(names) <= set(found)  # A room also exports what other rooms use.


def test_public_signatures_are_frozen():
    kept = SIGNATURES.read_text(encoding="utf-8")
    assert kept == signatures(), "meant? then `make freeze`, and a line in CHANGELOG.md"


def signatures() -> str:
    """Return the signatures of all public functions, classes and methods."""
    lines = []
    for module in NAMES:
        for name in NAMES[module].split():
            for dotted, one in described(f"{module}.{name}", getattr(sys.modules[module], name)):
                # Where a function lies in memory is no part of it.
                shown = re.sub(r" at 0x[0-9a-f]+", "", f"{dotted}{one}")
                lines += textwrap.wrap(
                    shown,
                    100,
                    subsequent_indent=" " * 8,
                    break_long_words=False,
                    break_on_hyphens=False,
                )
    return "\n".join(lines) + "\n"


def described(name: str, thing: object) -> Iterator[tuple[str, str]]:
    """Yield a function's signature, or a class's and those of its public members."""
    if inspect.isclass(thing):
        yield name, "" if issubclass(thing, Exception) else signature(thing)
        fields = getattr(thing, "__dataclass_fields__", {})  # The class's signature has them.
        for member, value in sorted(vars(thing).items()):
            if member.startswith("_") or member in fields:
                continue
            if isinstance(value, property):
                yield f"{name}.{member}", f": {value.fget.__annotations__['return']}"
            elif callable(function := getattr(value, "__func__", value)):
                yield f"{name}.{member}", signature(function)
    elif inspect.isfunction(thing):
        yield name, signature(thing)


class Bare(str):
    """An annotation, shown as the source has it: without quotes."""

    __repr__ = str.__str__


def signature(thing: Callable[..., object]) -> str:
    found = inspect.signature(thing)
    parameters = [
        one.replace(annotation=Bare(one.annotation)) if isinstance(one.annotation, str) else one
        for one in found.parameters.values()
    ]
    returned = found.return_annotation
    if isinstance(returned, str):
        returned = Bare(returned)
    return str(found.replace(parameters=parameters, return_annotation=returned))


@pytest.mark.parametrize(("old", "new"), retired.NAMES.items())
def test_a_retired_name_works_and_warns(old, new):
    module, _, name = old.rpartition(".")
    home = importlib.import_module(module)
    with pytest.warns(DeprecationWarning, match=f"{name} is now called .*{new}: .* 0.3") as told:
        thing = getattr(home, name)
    assert thing is getattr(home, new)
    assert told[0].filename == __file__, "the warning names the line that asked"
    assert name not in getattr(home, "__all__", ())


@pytest.mark.parametrize(("old", "new"), retired.MODULES.items())
def test_a_retired_module_is_imported_and_warns(monkeypatch, old, new):
    monkeypatch.delitem(sys.modules, old, raising=False)
    with pytest.warns(DeprecationWarning, match=f"{old} is now called {new}: "):
        module = importlib.import_module(old)
    home = importlib.import_module(new)
    for name in getattr(home, "__all__", ()):
        assert getattr(module, name) is getattr(home, name)
    with pytest.raises(AttributeError, match="no_such_name"):
        _ = module.no_such_name


def test_names_of_retired_modules_are_imported_too(monkeypatch):
    monkeypatch.delitem(sys.modules, "prac.ledger", raising=False)
    with pytest.warns(DeprecationWarning, match="now called prac.runs"):
        from prac.ledger import Level  # type: ignore[import-not-found]
    from prac.runs import Level as Present

    assert Level is Present
    monkeypatch.delitem(sys.modules, "prac.rivalry", raising=False)
    monkeypatch.delattr(prac, "rivalry", raising=False)
    with pytest.warns(DeprecationWarning, match="prac.rivalry is now called") as warnings:
        assert prac.rivalry.Rivalry is prac.comparison.PairedComparison  # type: ignore[attr-defined]
    assert len(warnings) == 1


def test_old_names_of_attributes_work_and_warn():
    class Pair:
        old = retired.Attribute("new")
        new = 3

    with pytest.warns(DeprecationWarning, match=r"Pair\.old is now called new: ") as warnings:
        assert Pair().old == 3
    assert warnings[0].filename == __file__


def test_keyword_arguments_by_their_old_names_work_and_warn():
    def told(event):
        pass

    def find(**run):
        return RunOptions.of(cast(RunKeywords, run))

    with pytest.warns(DeprecationWarning, match="'watch' is now called 'callback'") as warnings:
        assert find(watch=told).callback is told
    assert warnings[0].filename == __file__
    run_control = prac.RunControl()
    with pytest.warns(DeprecationWarning, match="'pace' is now called 'run_control'"):
        assert find(pace=run_control).run_control is run_control
    with pytest.raises(TypeError, match="no keyword argument 'devise': did you mean 'device'"):
        find(devise="cpu")
    with (
        pytest.warns(DeprecationWarning, match="'watch'"),
        pytest.raises(TypeError, match="'callback' is given twice"),
    ):
        find(callback=told, watch=told)
    assert find(device="cpu", callback=None) == RunOptions(device="cpu", run_control=ANY)


def test_the_keywords_are_the_options():
    assert RunKeywords.__annotations__.keys() == {one.name for one in fields(RunOptions)}


def test_a_name_that_never_was_is_no_attribute():
    with pytest.raises(AttributeError, match="tickets"):
        _ = prac.tickets  # type: ignore[attr-defined]


def test_the_citation_is_of_this_version():
    citation = (Path(__file__).parents[1] / "CITATION.cff").read_text(encoding="utf-8")
    assert f"\nversion: {prac.__version__}\n" in citation


if __name__ == "__main__":
    SIGNATURES.write_text(signatures(), encoding="utf-8")
