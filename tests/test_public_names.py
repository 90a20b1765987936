"""What people rely on from Python, frozen: a name or a signature changes on purpose only.

`python tests/test_public_names.py` writes the signatures anew, with the package's own source first
on the path (`make freeze` does it); the names are listed below.
"""

import importlib
import inspect
import re
import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import prac
from prac import retired

SIGNATURES = Path(__file__).with_name("public_signatures.txt")

NAMES = {
    "prac": """
        Chosen Comparison Event Evidence History Interrupted Pace PracError Progress PruneConfig
        SampleConfig Search SearchConfig StopConfig Subset SubsetConfig Task Ticket Tracker Tracking
        TrainConfig Verdict __version__ algorithms compare data find find_rewind_point judge models
        retrain together
    """,
    "prac.algorithms": """
        ForgettingTable Masks Plan batch_sizes counts_to_come coverage_centric density disagreements
        error_norms forgettable fresh_sample grasp hardest hardest_by hardest_first infobatch kept
        magnitude mask_distance ones prune random_scores scaled_plan snip stable synflow topped_up
        union
    """,
    "prac.data": "Examples MapExamples Pipeline TensorExamples",
    "prac.models": "Form MODELS Stem build",
}


@pytest.mark.parametrize("module", NAMES)
def test_public_names_are_frozen(module):
    assert sorted(importlib.import_module(module).__all__) == NAMES[module].split()


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


# A name of each module as if it had been called otherwise before, beside those that really were.
@pytest.mark.parametrize(
    ("module", "old", "new", "version"),
    [
        ("prac", "OldTicket", "Ticket", "0.3"),
        *((*old.rsplit(".", 1), new, version) for old, (new, version) in retired.RETIRED.items()),
    ],
)
def test_a_retired_name_works_and_warns(monkeypatch, module, old, new, version):
    monkeypatch.setitem(retired.RETIRED, f"{module}.{old}", (new, version))
    home = importlib.import_module(module)
    with pytest.warns(DeprecationWarning, match=f"{old} is now called .*{new}.* {version}") as told:
        thing = getattr(home, old)
    assert thing is getattr(home, new)
    assert told[0].filename == __file__, "the warning names the line that asked"
    assert old not in home.__all__


def test_a_name_that_never_was_is_no_attribute():
    with pytest.raises(AttributeError, match="module 'prac' has no attribute 'tickets'"):
        _ = prac.tickets


def test_the_citation_is_of_this_version():
    citation = (Path(__file__).parents[1] / "CITATION.cff").read_text(encoding="utf-8")
    assert f"\nversion: {prac.__version__}\n" in citation


if __name__ == "__main__":
    SIGNATURES.write_text(signatures(), encoding="utf-8")
