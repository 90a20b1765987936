"""Descriptions as tables for a terminal."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal

from rich import box
from rich.console import Group, RenderableType
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from prac.utils import printable


def table_of(facts: Mapping[str, Any]) -> RenderableType:
    """Return a description, as `prac.report.describe` makes them, laid out for a person."""
    makers = {
        "run": run_tables,
        "retraining": retraining_tables,
        "ticket": ticket_tables,
        "subset": subset_tables,
        "data": data_tables,
    }
    return makers[facts["kind"]](facts)


def search_table(facts: Mapping[str, Any]) -> Table:
    """Return the table of a search: a line a level, what it trained on, cost and was worth."""
    table = new_table(
        "level", "density", "set", "epochs", "iterations", "saved", "test", "vs dense"
    )
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
        _line(f"run {facts['path']}: {'finished' if facts['finished'] else 'not finished'}"),
        search_table(facts),
        set_table(facts),
        ledger_table(facts),
    ]
    return Group(*parts, *_provenance(facts))


def retraining_tables(facts: Mapping[str, Any]) -> RenderableType:
    """Return a retraining's outcome, or how far it is, and its provenance."""
    summary = facts["summary"]
    outcome = "not finished"
    if summary:
        outcome = (
            f"density {summary['density']:.2%}, best epoch {summary['best_epoch']}: "
            f"validation accuracy {_percent(summary['val_accuracy'])}, "
            f"test accuracy {_percent(summary['test_accuracy'])}"
        )
    title = f"retraining {facts['path']}: {len(facts['epochs'])} epochs trained"
    return Group(_line(title), _line(outcome), *_provenance(facts))


LEVELS_ABREAST = 9
"""Columns of a level each that fit a terminal of 80 columns."""


def set_table(facts: Mapping[str, Any]) -> RenderableType:
    """Return the sizes of the levels' sets, by part and by class: a column a level."""
    levels = facts["levels"]
    counts = [level["set_by_class"] for level in levels]
    classes = max(map(len, counts)) if counts and all(counts) else 0
    parts = sorted({part for level in levels for part in level["set_parts"]})
    names = _names(facts["environment"], classes)
    starts = range(0, max(len(levels), 1), LEVELS_ABREAST)
    return Group(*(_sets(levels[i : i + LEVELS_ABREAST], parts, names) for i in starts))


def _sets(
    levels: Sequence[Mapping[str, Any]], parts: Sequence[str], classes: Sequence[str]
) -> Table:
    table = new_table("set of level", *(str(level["index"]) for level in levels))
    table.add_row("examples", *(str(level["set_size"]) for level in levels))
    for part in parts:
        sizes = (level["set_parts"].get(part) for level in levels)
        table.add_row(_line(part.upper()), *("-" if size is None else str(size) for size in sizes))
    table.add_section()
    for label, name in enumerate(classes):
        counts = (level["set_by_class"] for level in levels)
        row = (by_class[label] if label < len(by_class) else 0 for by_class in counts)
        table.add_row(_line(name), *map(str, row))
    return table


def ledger_table(facts: Mapping[str, Any]) -> Table:
    """Return what each ticket cost to find, beside iterative magnitude pruning's cost for it."""
    table = new_table(
        "ticket", "iterations", "IMP's", "trained on", "IMP's", "only scored", "seconds", "IMP's*"
    )
    for level in facts["levels"]:
        costs = level["ledger"]["cost"], level["ledger"]["imp"]
        counts = [of[name] for name in ("iterations", "examples_trained") for of in costs]
        counts.append(costs[0]["examples_scored"])
        seconds = (f"{of['seconds']:.1f}" for of in costs)
        table.add_row(str(level["index"]), *map(str, counts), *seconds)
    table.caption = "* estimated from this search's seconds an example"
    return table


def ticket_tables(facts: Mapping[str, Any]) -> RenderableType:
    """Return a ticket's layers and provenance."""
    table = new_table("layer", "shape", "kept", "of", "density")
    for layer in facts["layers"]:
        shape = "x".join(map(str, layer["shape"]))
        counts = str(layer["kept"]), str(layer["weights"])
        table.add_row(_line(layer["name"]), shape, *counts, f"{layer['density']:.2%}")
    table.add_section()
    table.add_row("all", "", str(facts["kept"]), str(facts["prunable"]), f"{facts['density']:.2%}")
    title = _line(f"ticket of level {facts['level']}, digest {facts['digest'][:12]}")
    return Group(title, table, *_provenance(facts["provenance"]))


def subset_tables(facts: Mapping[str, Any]) -> RenderableType:
    """Return a set's size by class and its provenance."""
    title = _line(
        f"subset of {facts['size']} of {facts['total']} examples ({facts['share']:.1%}), "
        f"for data {facts['fingerprint'][:12]}"
    )
    parts: list[RenderableType] = [title]
    if facts["by_class"]:
        names = _names(facts["provenance"], len(facts["by_class"]))
        parts.append(_counts(names, facts["by_class"]))
    return Group(*parts, *_provenance(facts["provenance"]))


def data_tables(facts: Mapping[str, Any]) -> RenderableType:
    """Return a data set's splits and their classes."""
    shape = "x".join(map(str, facts["input_shape"]))
    title = _line(f"data set {facts['name']}: inputs {shape}, {len(facts['classes'])} classes")
    table = new_table("split", "examples", "fewest of a class", "most of a class", "fingerprint")
    for name, split in facts["splits"].items():
        counts = split["by_class"]
        extremes = (str(min(counts)), str(max(counts))) if counts else ("-", "-")
        table.add_row(name, str(split["examples"]), *extremes, split["fingerprint"][:12])
    parts: list[RenderableType] = [title, table]
    train = facts["splits"]["train"]["by_class"]
    if train:
        parts.append(_counts(facts["classes"], train))
    if facts["mean"]:
        mean = ", ".join(f"{m:.4f}" for m in facts["mean"])
        std = ", ".join(f"{s:.4f}" for s in facts["std"])
        parts.append(Text(f"normalised by mean {mean} and deviation {std}"))
    for split, images in facts["damaged"].items():
        if images:
            parts.append(Text(f"\nleft out of {split}: {len(images)}"))
        parts += [
            _line(f"  {image['index']}  {image['name']}: {image['reason']}") for image in images
        ]
    parts += [_line(f"warning: {warning}") for warning in facts["warnings"]]
    return Group(*parts)


def _counts(names: Iterable[str], counts: Iterable[int]) -> Table:
    table = new_table("class", "examples")
    for name, count in zip(names, counts, strict=False):
        table.add_row(_line(name), str(count))
    return table


def _names(known: Mapping[str, Any], count: int) -> list[str]:
    """Return class names, or their numbers where no names are known."""
    names = list(known.get("classes") or [])
    return [str(names[i]) if i < len(names) else str(i) for i in range(count)]


def _provenance(facts: Mapping[str, Any]) -> list[RenderableType]:
    """Return settings and environment, each as one paragraph under its name."""
    parts: list[RenderableType] = []
    for name in ("settings", "environment", "versions"):
        values = facts.get(name) or {}
        known = {key: value for key, value in values.items() if value is not None}
        pairs = (f"{key}: {json.dumps(value)}" for key, value in known.items())
        if values:
            parts += [Text(f"\n{name}"), Text(printable(", ".join(pairs)), style="dim")]
    return parts


def new_table(*columns: str) -> Table:
    """Return an empty table in the one look that all have, its first column to the left."""
    table = Table(
        box=box.SIMPLE_HEAD, collapse_padding=True, pad_edge=False, caption_justify="left"
    )
    for number, column in enumerate(columns):
        # Folded, never cut: a figure without its end is another figure.
        justify: Literal["left", "right"] = "left" if number == 0 else "right"
        table.add_column(escape(column), justify=justify, overflow="fold")
    return table


def _line(text: str) -> Text:
    """Return text that may hold a name, neither read as markup nor able to steer a terminal."""
    return Text(printable(text))


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{value:.2%}"


def _points(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:+.2f}"
