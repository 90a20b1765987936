"""The rooms of the package: imports point downwards only, and through a room's front door."""

import ast
import re
import subprocess
import sys
from collections import defaultdict
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

from tests.test_public_names import NAMES

SOURCE = Path(__file__).parents[1] / "src" / "prac"

FLOORS = (
    ("_version", "errors", "events", "retired"),
    ("algorithms", "utils"),
    ("io",),
    ("config",),
    ("data", "models"),
    ("runs",),
    ("training",),
    ("search",),
    ("monitor", "evaluation"),
    ("comparison", "loops"),
    ("winning",),
    ("report",),
    ("cli",),
    ("__main__",),
)
"""Rooms and single modules, lowest first: each imports from floors below its own."""

FLOOR_OF = {room: number for number, rooms in enumerate(FLOORS) for room in rooms}
OPEN = {"_version", "errors", "events", "retired"}
"""Single modules, which have no door."""
API = SOURCE.parents[1] / "docs" / "api.md"


class Package:
    """The package's sources by dotted name without `prac.`, and what its rooms export.

    Attributes:
        sources: Text of each module; a room's own `__init__` has the room's name.
        exports: For each room that has a stub, the module of every name in it.
    """

    def __init__(self, sources: dict[str, str], stubs: dict[str, str]) -> None:
        self.sources = sources
        self.exports = {room: _exported(room, text) for room, text in stubs.items()}

    @classmethod
    def read(cls, source: Path = SOURCE) -> "Package":
        def named(path: Path) -> str:
            parts = path.relative_to(source).with_suffix("").parts
            return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)

        return cls(
            {named(path): path.read_text("utf-8") for path in source.rglob("*.py")},
            {named(path): path.read_text("utf-8") for path in source.rglob("*.pyi")},
        )

    def imports(self, name: str) -> list[tuple[str, str]]:
        """Return (module, imported name) for every import of the package's own in a module."""
        found = []
        for node in ast.walk(ast.parse(self.sources[name])):
            if isinstance(node, ast.Import):
                ours = [alias.name for alias in node.names if alias.name.split(".")[0] == "prac"]
                found += [(module.removeprefix("prac").lstrip("."), "") for module in ours]
            elif isinstance(node, ast.ImportFrom) and node.level:
                found.append(("." * node.level, "relative"))
            elif isinstance(node, ast.ImportFrom) and node.module:
                root, _, module = node.module.partition(".")
                if root == "prac":
                    found += [(module, alias.name) for alias in node.names]
        return found

    def home(self, module: str, name: str) -> str:
        """Return the module in which what is imported so is defined."""
        inner = f"{module}.{name}".strip(".")
        if inner in self.sources:
            return inner
        return self.exports.get(module, {}).get(name, module)

    def faults(self) -> list[str]:
        """Return a line for each breach of the rules."""
        found, graph = [], defaultdict(set)
        for name in sorted(self.sources.keys() - {""}):
            room = name.split(".")[0]
            if room not in FLOOR_OF:
                found.append(f"{room} is on no floor: add it to FLOORS")
                continue
            for module, imported in self.imports(name):
                other = self.home(module, imported).split(".")[0]
                what = f"{name} imports {imported} from {module}"
                if imported == "relative":
                    found.append(f"{name}: a relative import; write prac.{room} out")
                elif other not in FLOOR_OF:
                    found.append(f"{what}: no such room")
                elif other == room:
                    graph[name].add(self.home(module, imported))
                elif FLOOR_OF[other] >= FLOOR_OF[room]:
                    found.append(f"{what}: floor {FLOOR_OF[room]} imports {FLOOR_OF[other]}")
                elif other in self.exports and imported not in self.exports[other]:
                    found.append(f"{what}: {other}/__init__.pyi does not export it")
                elif other not in OPEN and module != other:
                    found.append(f"{what}: past {other}'s door, write prac.{other}")
        try:
            TopologicalSorter(graph).prepare()
        except CycleError as error:
            found.append(f"cycle: {' -> '.join(reversed(error.args[1]))}")
        return found

    def unused_exports(self) -> list[str]:
        """Return what a room exports and no other room takes, nor the documentation names."""
        taken = set(re.findall(r"prac\.(\w+\.\w+)", API.read_text("utf-8")))
        taken |= {f"{m}.{n}".removeprefix("prac.") for m, all in NAMES.items() for n in all.split()}
        for name in self.sources.keys() - {""}:
            taken |= {
                f"{module}.{imported}"
                for module, imported in self.imports(name)
                if module != name.split(".")[0]
            }
        surface = set(self.exports[""].items())
        return sorted(
            f"{room}.{name}"
            for room in self.exports.keys() & FLOOR_OF.keys()
            for name, home in self.exports[room].items()
            if f"{room}.{name}" not in taken and (name, home) not in surface
        )


def _exported(room: str, stub: str) -> dict[str, str]:
    found = {}
    for node in ast.parse(stub).body:
        assert isinstance(node, ast.ImportFrom), f"{room}'s stub holds more than imports"
        assert node.level == 1
        inside = ".".join(filter(None, [room, node.module]))
        for alias in node.names:
            found[alias.name] = inside if node.module else f"{inside}.{alias.name}".strip(".")
    return found


@pytest.fixture(scope="module")
def package() -> Package:
    return Package.read()


def test_rooms_import_downwards_and_by_the_front_door(package):
    assert package.faults() == []


def test_rooms_export_what_others_use_and_no_more(package):
    assert package.unused_exports() == []


def test_modules_are_short_enough_to_read(package):
    lengths = {name: text.count("\n") for name, text in package.sources.items()}
    assert {name: length for name, length in lengths.items() if length > 400} == {}


def test_no_two_modules_define_the_same_public_name(package):
    homes = defaultdict(set)
    for name, text in package.sources.items():
        for node in ast.parse(text).body:
            if isinstance(node, (ast.FunctionDef, ast.ClassDef)) and node.name[0] != "_":
                homes[node.name].add(name)
    # Every subcommand, and every tracker, is asked for the same by the same name.
    per_module = {"parser", "run", "begin"}
    assert {name: sorted(where) for name, where in homes.items() if len(where) > 1}.keys() <= (
        per_module
    )


BREACHES = {
    "from prac.search import find": "floor 3 imports 7",
    "from prac.search.finding import find": "floor 3 imports 7",
    "import prac.search.finding": "floor 3 imports 7",
    "def late():\n    from prac.search import find": "floor 3 imports 7",
    "if TYPE_CHECKING:\n    from prac.search import find": "floor 3 imports 7",
    "from prac.io.files import read_json": "past io's door",
    "from prac.io import _open": "does not export it",
    "from ..io import read_json": "relative import",
}


@pytest.mark.parametrize("text", BREACHES)
def test_a_breach_is_found(text):
    sources = {"config": text, "search.finding": "", "io.files": "", "io": "", "search": ""}
    stubs = {"io": "from .files import read_json", "search": "from .finding import find"}
    (fault,) = Package(sources, stubs).faults()
    assert BREACHES[text] in fault


def test_a_circle_within_a_room_is_found():
    sources = {"io.a": "from prac.io.b import x", "io.b": "from prac.io.a import y", "io": ""}
    (fault,) = Package(sources, {}).faults()
    assert fault.startswith("cycle: ")


@pytest.mark.parametrize("module", ["prac", "prac.config", "prac.cli.command"])
def test_what_describes_itself_does_not_wait_for_torch(module):
    code = f"import sys; sys.modules['torch'] = None; import {module}"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
