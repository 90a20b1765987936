"""Imports point downwards only: the layers of the package, enforced on its source."""

import ast
import subprocess
import sys
from collections.abc import Iterator, Mapping
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[1] / "src"

# Lowest first. A module imports from layers below its own, or from its own without a cycle.
# The package's __init__ re-exports everything lazily: it stands above them all.
LAYERS = (
    (
        "_version",
        "algorithms",
        "callables",
        "errors",
        "events",
        "optional",
        "retired",
        "seeds",
        "statistics",
        "text",
    ),
    ("config", "cost", "fields", "methods", "recipe", "settings", "state", "task"),
    (
        "background",
        "container",
        "data",
        "determinism",
        "files",
        "lock",
        "models",
        "modules",
        "pace",
        "store",
        "transfer",
        "world",
    ),
    (
        "capture",
        "checkpoint",
        "evaluate",
        "execution",
        "gradients",
        "ledger",
        "loop",
        "optimizer",
        "problem",
        "state_file",
        "step",
        "subset",
        "ticket",
        "training",
    ),
    (
        "cached",
        "compared",
        "comparing",
        "comparison",
        "connectivity",
        "contestants",
        "controls",
        "judging",
        "levels",
        "planning",
        "pruning",
        "results",
        "retraining",
        "rewind_point",
        "rivalry",
        "rules",
        "search",
        "sets",
        "trunk",
        "verdict",
    ),
    (
        "board",
        "comparison_text",
        "describe",
        "live",
        "plots",
        "presets",
        "progress",
        "report",
        "screen",
        "tables",
        "trackers",
        "tracking",
        "verdict_text",
    ),
    ("cli", "__main__"),
)
LAYER_OF = {name: number for number, names in enumerate(LAYERS) for name in names}


def module_name(path: Path, source: Path) -> str:
    parts = path.relative_to(source).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def read_package(source: Path = SOURCE) -> dict[str, str]:
    """Return the source text of every module of the package by its dotted name."""
    paths = sorted((source / "prac").rglob("*.py"))
    return {module_name(path, source): path.read_text(encoding="utf-8") for path in paths}


def imports(name: str, modules: Mapping[str, str]) -> Iterator[str]:
    """Yield the modules of the package that `name` imports anywhere, function bodies included."""
    is_package = any(other.startswith(f"{name}.") for other in modules)
    for node in ast.walk(ast.parse(modules[name])):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if is_ours(alias.name))
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                parts = name.split(".")
                parents = parts[: len(parts) - node.level + is_package]
                base = ".".join([*parents, *filter(None, [node.module])])
            if not is_ours(base):
                continue
            for alias in node.names:
                submodule = f"{base}.{alias.name}"
                yield submodule if submodule in modules else base


def is_ours(name: str) -> bool:
    return name.partition(".")[0] == "prac"


def top(name: str) -> str:
    """Return what stands right under the package: `data` for `prac.data.sources.types`."""
    return name.split(".")[1]


def layer(name: str) -> int:
    """Return the layer of a dotted name; the top package is above all."""
    return len(LAYERS) if name == "prac" else LAYER_OF[top(name)]


def faults(modules: Mapping[str, str]) -> list[str]:
    """Return one line for each breach of the layer rule."""
    unplaced = {name for name in modules if name != "prac" and top(name) not in LAYER_OF}
    found = [
        f"prac.{name} is in no layer: add it to LAYERS" for name in sorted({*map(top, unplaced)})
    ]
    placed = modules.keys() - unplaced - {"prac"}
    graph = {name: set(imports(name, modules)) for name in sorted(placed)}
    unknown = {target for targets in graph.values() for target in targets} - modules.keys()
    found += [f"{name}: no such module, yet it is imported" for name in sorted(unknown)]
    for name, targets in graph.items():
        for target in sorted(targets - unknown - unplaced):
            if layer(target) > layer(name):
                found.append(f"{name} (layer {layer(name)}) imports {target} ({layer(target)})")
    if not found:
        try:
            TopologicalSorter(graph).prepare()
        except CycleError as error:
            found.append(f"cycle: {' -> '.join(reversed(error.args[1]))}")
    return found


def test_every_import_points_downwards():
    assert faults(read_package()) == []


@pytest.mark.parametrize(
    "text",
    [
        "import prac.search",
        "from prac.search import find",
        "from prac import search",
        "from . import search",
        "from .search import find",
        "def late():\n    from prac.search import find",
        "if TYPE_CHECKING:\n    from prac.search import find",
    ],
)
def test_an_upward_import_is_found(text):
    found = faults({"prac": "", "prac.config": text, "prac.search": ""})
    assert found == ["prac.config (layer 1) imports prac.search (4)"]


@pytest.mark.parametrize(
    "text",
    ["from ..search import find", "from .. import search", "from prac.search import find"],
)
def test_a_relative_import_is_resolved_inside_a_package(text):
    modules = {"prac": "", "prac.search": "", "prac.data": "", "prac.data.source": text}
    assert faults(modules) == ["prac.data.source (layer 2) imports prac.search (4)"]


def test_the_packages_own_init_is_resolved():
    modules = {"prac": "", "prac.data": "from .source import x", "prac.data.source": ""}
    assert list(imports("prac.data", modules)) == ["prac.data.source"]


def test_a_downward_import_is_allowed():
    text = "import torch\nfrom prac.errors import PracError"
    assert faults({"prac": "", "prac.store": text, "prac.errors": ""}) == []


@pytest.mark.parametrize("name", ["Ticket", "__version__"])
def test_the_reexports_are_not_for_the_package_itself(name):
    found = faults({"prac": "", "prac.search": f"from prac import {name}"})
    assert found == ["prac.search (layer 4) imports prac (7)"]


def test_a_cycle_within_a_layer_is_found():
    modules = {
        "prac": "",
        "prac.loop": "from prac.ticket import Ticket",
        "prac.ticket": "from prac.loop import fit",
    }
    (found,) = faults(modules)
    assert found.startswith("cycle: ")


def test_a_module_in_no_layer_is_found():
    assert faults({"prac": "", "prac.misc.thing": ""}) == [
        "prac.misc is in no layer: add it to LAYERS"
    ]


def test_an_import_of_nothing_is_found():
    found = faults({"prac": "", "prac.search": "import prac.loop"})
    assert found == ["prac.loop: no such module, yet it is imported"]


@pytest.mark.parametrize("module", ["prac", "prac.config"])
def test_torch_is_not_imported_before_it_is_used(module):
    # A fresh interpreter: this one may have torch from another test.
    code = f"import sys, {module}; sys.exit('torch' in sys.modules)"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert result.returncode == 0, result.stderr or f"importing {module} imports torch"
