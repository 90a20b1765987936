"""Descriptions as tables for a terminal."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from rich import box
from rich.console import Group, RenderableType
from rich.markup import escape
from rich.table import Table
from rich.text import Text

MAX_CLASSES = 20


def table_of(facts: Mapping[str, Any]) -> RenderableType:
    """Return a description, as `prac.describe` makes them, laid out for a person."""
    makers = {"run": run_tables, "ticket": ticket_tables, "subset": subset_tables}
    return makers.get(facts["kind"], data_tables)(facts)


def search_table(facts: Mapping[str, Any]) -> Table:
    """Return the table of a search: a line a level, what it trained on, cost and was worth."""
    table = _table("level", "density", "set", "epochs", "iterations", "saved", "test", "vs dense")
    for level in facts["levels"]:
        trained = level["epochs"] > 0
        retrained = level["retrained"] or {}
        table.add_row(
            str(level["index"]),
            f"{level['density']:.2%}",
            f"{level['set_size']} ({level['set_size'] / level['total']:.0%})",
            f"{level['epochs']}/{level['planned_epochs']}" if trained else "-",
            str(level["iterations"]) if trained else "-",
            f"{level['ledger']['iterations_saved']:.1%}" if level["index"] else "-",
            _percent(retrained.get("test_accuracy")),
            _points(level.get("against_dense")),
        )
    table.caption = (
        "set: examples the level trains on; epochs: trained of planned; saved: training iterations "
        "to this ticket, against iterative magnitude pruning's; test: accuracy of the ticket "
        "retrained alone on all data; vs dense: in percentage points"
    )
    return table


def run_tables(facts: Mapping[str, Any]) -> RenderableType:
    """Return a run's levels, sets, cost ledger and provenance."""
    parts: list[RenderableType] = [
        Text(f"run {facts['path']}: {'finished' if facts['finished'] else 'not finished'}"),
        search_table(facts),
        set_table(facts),
        ledger_table(facts),
    ]
    return Group(*parts, *_provenance(facts["settings"]), *_provenance(facts["environment"]))


def set_table(facts: Mapping[str, Any]) -> Table:
    """Return the sizes of each level's set, by part and by class."""
    classes = facts["settings"].get("classes") or []
    counts = [level.get("set_by_class") or [] for level in facts["levels"]]
    shown = max(map(len, counts), default=0)
    shown = shown if shown <= MAX_CLASSES else 0
    names = [str(classes[i]) if i < len(classes) else str(i) for i in range(shown)]
    table = _table("set of level", "examples", "CET", "CEP", *names)
    for level, by_class in zip(facts["levels"], counts, strict=True):
        parts = level["set_parts"]
        table.add_row(
            str(level["index"]),
            str(level["set_size"]),
            str(parts.get("cet", "-")),
            str(parts.get("cep", "-")),
            *(str(count) for count in by_class[:shown]),
        )
    return table


def ledger_table(facts: Mapping[str, Any]) -> Table:
    """Return what each ticket cost to find, beside iterative magnitude pruning's cost for it."""
    table = _table(
        "ticket", "iterations", "IMP's", "trained on", "IMP's", "only scored", "seconds", "IMP's*"
    )
    for level in facts["levels"]:
        cost, imp = level["ledger"]["cost"], level["ledger"]["imp"]
        table.add_row(
            str(level["index"]),
            str(cost["iterations"]),
            str(imp["iterations"]),
            str(cost["examples_trained"]),
            str(imp["examples_trained"]),
            str(cost["examples_scored"]),
            f"{cost['seconds']:.1f}",
            f"{imp['seconds']:.1f}",
        )
    table.caption = "* estimated from this search's seconds an example"
    return table


def ticket_tables(facts: Mapping[str, Any]) -> RenderableType:
    """Return a ticket's layers and provenance."""
    table = _table("layer", "shape", "kept", "of", "density")
    for layer in facts["layers"]:
        table.add_row(
            escape(layer["name"]),
            "x".join(map(str, layer["shape"])),
            str(layer["kept"]),
            str(layer["weights"]),
            f"{layer['density']:.2%}",
        )
    table.add_section()
    table.add_row("all", "", str(facts["kept"]), str(facts["prunable"]), f"{facts['density']:.2%}")
    title = Text(f"ticket of level {facts['level']}, digest {facts['digest'][:12]}")
    settings = facts["provenance"].get("settings", {})
    return Group(title, table, *_provenance(settings))


def subset_tables(facts: Mapping[str, Any]) -> RenderableType:
    """Return a set's size by class and its provenance."""
    title = Text(
        f"subset of {facts['size']} of {facts['total']} examples ({facts['share']:.1%}), "
        f"for data {facts['fingerprint'][:12]}"
    )
    settings = facts["provenance"].get("settings", {})
    parts: list[RenderableType] = [title]
    if facts["by_class"]:
        names = settings.get("classes") or range(len(facts["by_class"]))
        parts.append(_counts(names, facts["by_class"]))
    return Group(*parts, *_provenance(settings))


def data_tables(facts: Mapping[str, Any]) -> RenderableType:
    """Return a data set's splits and their classes."""
    shape = "x".join(map(str, facts["input_shape"]))
    title = Text(f"data set {facts['name']}: inputs {shape}, {len(facts['classes'])} classes")
    table = _table("split", "examples", "fewest of a class", "most of a class", "fingerprint")
    for name, split in facts["splits"].items():
        counts = split["by_class"] or []
        table.add_row(
            name,
            str(split["examples"]),
            str(min(counts)) if counts else "-",
            str(max(counts)) if counts else "-",
            split["fingerprint"][:12],
        )
    parts: list[RenderableType] = [title, table]
    train = facts["splits"]["train"]["by_class"]
    if train and len(train) <= MAX_CLASSES:
        parts.append(_counts(facts["classes"], train))
    if facts["mean"]:
        mean = ", ".join(f"{m:.4f}" for m in facts["mean"])
        std = ", ".join(f"{s:.4f}" for s in facts["std"])
        parts.append(Text(f"normalised by mean {mean} and deviation {std}"))
    return Group(*parts)


def _counts(names: Iterable[Any], counts: Iterable[int]) -> Table:
    table = _table("class", "examples")
    for name, count in zip(names, counts, strict=False):
        table.add_row(escape(str(name)), str(count))
    return table


def _provenance(values: Mapping[str, Any]) -> list[RenderableType]:
    if not values:
        return []
    pairs = (f"{name}: {json.dumps(value, default=str)}" for name, value in values.items())
    return [Text(", ".join(pairs), style="dim")]


def _table(*columns: str) -> Table:
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1))
    for number, column in enumerate(columns):
        table.add_column(escape(column), justify="left" if number == 0 else "right")
    return table


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{value:.2%}"


def _points(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:+.2f}"
