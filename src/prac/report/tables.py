"""Descriptions as tables for a terminal."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from statistics import median
from typing import Any, Literal

from rich import box
from rich.console import Group, RenderableType
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from prac.io import KINDS
from prac.models import ParameterCount
from prac.runs import ACCURACY, Measure
from prac.utils import printable

LONG = ("modules", "parameters")
"""Of the environment only `--json` shows these: a line a module, and counts told in words."""

ALL = 0.99
"""Where a larger share of a network is prunable, its density is the prunable weights'."""


def table_of(facts: Mapping[str, Any]) -> RenderableType:
    """Return a description, as `prac.report.describe` makes them, laid out for a person."""
    makers = {
        "run": _run,
        "retraining": _retraining,
        "ticket": _ticket,
        "subset": _subset,
        "data": _data,
        "verdict": _verdict,
        "comparison": _comparison,
        "win": _win,
    }
    return Group(*makers.get(facts["kind"], _plain)(facts))


def search_table(facts: Mapping[str, Any]) -> RenderableType:
    """Return a search's levels, a line each: what it trained on, cost and was worth.

    Above them stands how much of the network is prunable, where the run tells it.
    """
    parameters, measure = ParameterCount.of(facts), Measure.of(facts.get("metric"))
    # Where nearly all is prunable, the two densities are one.
    is_part = parameters is not None and parameters.share < ALL
    network = ("network",) if is_part else ()
    set_size = "{} {:.0%}" if is_part else "{} ({:.0%})"  # For 80 columns.
    names = "set", "epochs", "iterations", "saved", "test", "vs dense"
    table = new_table("level", "density", *network, *names)
    for level in facts["levels"]:
        trained = level["epochs"] > 0
        retrained = level["retrained"] or {}
        table.add_row(
            str(level["index"]),
            f"{level['density']:.2%}",
            *(f"{level['network_density']:.1%}" for _ in network),
            set_size.format(level["set_size"], level["set_size"] / level["total"]),
            f"{level['epochs']}/{level['planned_epochs']}" if trained else "-",
            str(level["iterations"]) if trained else "-",
            f"{level['ledger']['iterations_saved']:.1%}" if level["index"] else "-",
            measure.text(retrained.get("test_metric")),
            measure.difference(level.get("against_dense")),
        )
    table.caption = (
        f"{'density: of the prunable weights; network: of all its weights; ' if is_part else ''}"
        "set: examples the level trains on; epochs: trained of planned; saved: training iterations "
        f"to this ticket, against iterative magnitude pruning's; test: {measure.name}"
        f"{measure.direction} of the ticket retrained alone on all data; vs dense: "
        f"{measure.vs_dense}"
    )
    return table if parameters is None else Group(_line(parameters.sentence()), table)


def _run(facts: Mapping[str, Any]) -> list[RenderableType]:
    """Return a run's levels, sets, cost ledger and provenance."""
    title = f"run {facts['path']}: {'finished' if facts['finished'] else 'not finished'}"
    if what := facts["settings"].get("corrupted"):
        title += f". {control_line(what)}"
    lines = [_line(told) for told in (title, facts["outlook"]) if told]
    return [*lines, search_table(facts), *_sets(facts), _ledger(facts), *_provenance(facts)]


def _retraining(facts: Mapping[str, Any]) -> list[RenderableType]:
    """Return a retraining's outcome, or how far it is, and its provenance."""
    summary = facts["summary"]
    outcome = "not finished"
    if summary:
        measure = Measure.of(summary["metric"])
        outcome = (
            f"density {summary['density']:.2%}, best epoch {summary['best_epoch']}: "
            f"validation {measure.name} {measure.text(summary['val_metric'])}, "
            f"test {measure.name} {measure.text(summary['test_metric'])}"
        )
    title = f"retraining {facts['path']}: {len(facts['epochs'])} epochs trained"
    return [_line(title), _line(outcome), *_provenance(facts)]


LEVELS_ABREAST = 9
"""Columns of a level each that fit a terminal of 80 columns."""


def _sets(facts: Mapping[str, Any]) -> Iterator[Table]:
    """Yield the sizes of the levels' sets, by part and by class: a column a level."""
    counts = [level["set_by_class"] for level in facts["levels"]]
    number = max(map(len, counts), default=0) if all(counts) else 0
    classes = class_names(facts["environment"], number)
    parts = sorted({part for level in facts["levels"] for part in level["set_parts"]})
    for start in range(0, max(len(counts), 1), LEVELS_ABREAST):
        levels = facts["levels"][start : start + LEVELS_ABREAST]
        table = new_table("set of level", *(str(level["index"]) for level in levels))
        table.add_row("examples", *(str(level["set_size"]) for level in levels))
        for part in parts:
            sizes = (level["set_parts"].get(part) for level in levels)
            table.add_row(_line(part.upper()), *(cell(size, "d") for size in sizes))
        table.add_section()
        for label, name in enumerate(classes):
            by_level = counts[start : start + LEVELS_ABREAST]
            row = (of[label] if label < len(of) else 0 for of in by_level)
            table.add_row(_line(name), *map(str, row))
        yield table


def _ledger(facts: Mapping[str, Any]) -> Table:
    """Return what each ticket cost to find, beside iterative magnitude pruning's cost for it."""
    names = "ticket", "iterations", "IMP's", "trained on", "IMP's", "only scored"
    table = new_table(*names, "seconds", "IMP's*")
    for level in facts["levels"]:
        costs = level["ledger"]["cost"], level["ledger"]["imp"]
        counts = [of[name] for name in ("iterations", "examples_trained") for of in costs]
        counts.append(costs[0]["examples_scored"])
        seconds = (f"{of['seconds']:.1f}" for of in costs)
        table.add_row(str(level["index"]), *map(str, counts), *seconds)
    table.caption = "* estimated from this search's seconds an example"
    return table


def _ticket(facts: Mapping[str, Any]) -> list[RenderableType]:
    """Return a ticket's layers and provenance."""
    table = new_table("layer", "shape", "kept", "of", "density")
    for layer in facts["layers"]:
        shape = "x".join(map(str, layer["shape"]))
        counts = str(layer["kept"]), str(layer["weights"])
        table.add_row(_line(layer["name"]), shape, *counts, f"{layer['density']:.2%}")
    table.add_section()
    table.add_row("all", "", str(facts["kept"]), str(facts["prunable"]), f"{facts['density']:.2%}")
    parameters = ParameterCount.of(facts["provenance"])
    told: list[RenderableType] = []
    if parameters is not None:
        network = f"of the whole network's weights: {facts['network_density']:.2%}"
        told.append(_line(f"{parameters.sentence()}; kept {network}"))
    title = _line(f"ticket of level {facts['level']}, digest {facts['digest'][:12]}")
    return [title, table, *told, *_provenance(facts["provenance"])]


def _subset(facts: Mapping[str, Any]) -> list[RenderableType]:
    """Return a set's size by class and its provenance."""
    title = (
        f"subset of {facts['size']} of {facts['total']} examples ({facts['share']:.1%}), "
        f"for data {facts['fingerprint'][:12]}"
    )
    counts = facts["by_class"] or []
    tables = [_counts(class_names(facts["provenance"], len(counts)), counts)] if counts else []
    return [_line(title), *tables, *_provenance(facts["provenance"])]


def control_line(what: str) -> str:
    """Return what to say of a search on corrupted data, `what` being its labels or inputs.

    >>> control_line("labels")[:39]
    'It was searched on corrupted labels, as'
    """
    return (
        f"It was searched on corrupted {what}, as a control of the run in whose folder it lies: "
        f"its tickets tell nothing of the data"
    )


def _verdict(facts: Mapping[str, Any]) -> list[RenderableType]:
    """Return a verdict's tickets, a line each, their controls below them, and its definition."""
    fields = facts["fields"]
    levels, needed = fields.get("levels") or [{}], {"index", "density", "ticket", "controls"}
    if any(needed - of.keys() for of in levels):
        return _plain(facts)  # Cut short by hand, or damaged: as it is.
    measure = Measure.of(fields.get("metric"))
    table = new_table("level", "density", "mask of", measure.head, "difference", "p", "verdict")
    table.columns[2].justify = "left"
    for level in levels:
        own = level["ticket"]
        shown = measure.number(own["mean"]), measure.difference(level.get("difference"))
        name = "ticket" if level["index"] else "dense"
        cells = str(level["index"]), f"{level['density']:.2%}", name, *shown
        table.add_row(*cells, cell(level.get("p_value"), ".3f"), str(level.get("verdict")))
        for control, of in level["controls"].items():
            shown = measure.number(of["mean"]), measure.difference(of["mean"] - own["mean"])
            outcome = level.get("sanity", {}).get(control, "")
            p_value = cell(of.get("p_value"), ".3f")
            table.add_row("", "", _line(control), *shown, p_value, outcome)
    table.caption = (
        "difference: of a ticket from the dense network, of a control from its ticket; p: that it "
        "is so much worse by chance"
    )
    best, seeds = fields["best_level"], ", ".join(map(str, fields["seeds"]))
    told = "no ticket matches" if best is None else f"ticket {best} is the sparsest that matches"
    title = f"verdict {facts['path']}: {told}; seeds {seeds}"
    return [_line(title), table, _line(fields.get("definition", ""))]


def _comparison(facts: Mapping[str, Any]) -> list[RenderableType]:
    """Return a comparison's methods, a line each, and what follows, if it has got so far."""
    if "summary" not in facts:
        return _plain(facts)
    names = "method", "runs", "iterations", "saved", "test", "matches"
    table = new_table(*names)
    measure = Measure.of(facts.get("metric"))
    for of in facts["summary"]:
        values = of[measure.keys]
        last = values[-1]["mean"] if values else None
        matches = cell(of["matching"], "d")
        cells = cell(of["iterations"], ".0f"), cell(of["saved"], ".1%"), measure.text(last), matches
        table.add_row(_line(of["method"]), str(of["n"]), *cells)
    table.caption = (
        f"test: {measure.name}{measure.direction} of the last judged ticket; matches: the sparsest "
        f"level that matches dense"
    )
    judged, seeds = (", ".join(map(str, facts[name])) for name in ("judged", "seeds"))
    title = f"comparison {facts['path']}: levels {judged}, seeds {seeds}"
    findings = map(_line, facts["against"]["findings"])
    return [_line(title), table, *findings, *_provenance(facts)]


def _win(facts: Mapping[str, Any]) -> list[RenderableType]:
    """Return the tickets that `prac win` tried, a line each, and what all of it cost."""
    table = new_table("method", "level", "density", "runs", "test", "outcome")
    measure = Measure.of(facts.get("metric"))
    for of in facts["tried"]:
        runs = f"{len(of['runs'])}/{len(facts['seeds'])}"
        cells = (
            str(of["level"]),
            f"{of['density']:.2%}",
            runs,
            measure.text(of["mean"]),
            of["outcome"],
        )
        table.add_row(_line(of["method"]), *cells)
    if measure != ACCURACY:
        table.caption = f"test: {measure.name}{measure.direction}"
    best, ledger = facts["best"], facts["ledger"]
    told = "no ticket" if best is None else f"ticket {best['level']} of {best['method']}"
    ended = "not finished" if facts["why"] is None else facts["why"]
    cost = f"{ledger['total']['iterations']:,} iterations, search and proof"
    if ledger["ratio"] is not None:
        cost += f": {ledger['ratio']:.1%} of IMP's to one ticket and its proof"
    title = f"prac win {facts['path']}: {told}; {ended}"
    return [_line(title), table, _line(cost), *_provenance(facts)]


EPOCH = ("level", "epoch", "set_size", "train_loss", "val_accuracy", "val_metric", "mask_distance")
"""What of a line of metrics fits a terminal."""


def _plain(facts: Mapping[str, Any]) -> list[RenderableType]:
    """Return what anything else that prac writes holds: fields, and lists of them as tables."""
    parts: list[RenderableType] = [_line(f"{KINDS[facts['kind']].words}: {facts['path']}")]
    lists = {name: facts[name] for name in ("contents", "tensors") if name in facts}
    epochs = facts.get("epochs", ())
    # An own metric stands beside the accuracy where the task has one.
    known = [name for name in EPOCH if name != "val_metric" or any(name in of for of in epochs)]
    lists["epochs"] = [{name: of.get(name) for name in known} for of in epochs]
    for name, of in facts.get("fields", {}).items():
        if of and isinstance(of, list) and all(isinstance(row, dict) for row in of):
            lists[name] = of
        elif not isinstance(of, dict):
            parts.append(_line(f"{name}: {_said(of)}"))
    return parts + [_rows(rows) for rows in lists.values() if rows]


def _rows(rows: Sequence[Mapping[str, Any]]) -> Table:
    """Return fields by name, a line each, without those that hold others and so fit no cell."""
    columns = [name for name, of in rows[0].items() if name != "kind" and not _is_nested(of)]
    table = new_table(*columns)
    for row in rows:
        table.add_row(*(_line(_said(row.get(name))) for name in columns))
    return table


def _is_nested(value: Any) -> bool:
    return isinstance(value, dict) or (isinstance(value, list) and not _is_shape(value))


def _is_shape(value: list[Any]) -> bool:
    return all(isinstance(one, int) for one in value)


def _said(value: Any) -> str:
    """Return a value as a person reads it."""
    if value is None:
        return "-"
    if isinstance(value, float):
        return f"{value:.4g}"
    return value if isinstance(value, str) else json.dumps(value)


def _statistic(value: float) -> str:
    """Return a channel's mean or deviation, which features may have of any unit.

    >>> _statistic(0.491), _statistic(1.7e-8)
    ('0.4910', '1.7e-08')
    """
    return f"{value:.4f}" if value == 0 or 0.001 <= abs(value) < 1e6 else f"{value:.4g}"


STATISTICS_AT_MOST = 16


def _statistics(values: Sequence[float]) -> str:
    """Return the mean or the deviation of all channels or features; of many, the range.

    >>> _statistics([0.5, 0.25]), _statistics(range(2001))
    ('0.5000, 0.2500', '0.0000 to 2000.0000 (median 1000.0000 of 2001)')
    """
    if len(values) <= STATISTICS_AT_MOST:
        return ", ".join(map(_statistic, values))
    low, middle, high = map(_statistic, (min(values), median(values), max(values)))
    return f"{low} to {high} (median {middle} of {len(values)})"


def _data(facts: Mapping[str, Any]) -> list[RenderableType]:
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
        mean, std = (_statistics(facts[name]) for name in ("mean", "std"))
        parts.append(Text(f"normalised by mean {mean} and deviation {std}"))
    for split, images in facts["damaged"].items():
        if images:
            parts.append(Text(f"\nleft out of {split}: {len(images)}"))
        parts += [
            _line(f"  {image['index']}  {image['name']}: {image['reason']}") for image in images
        ]
    return parts + [_line(f"warning: {warning}") for warning in facts["warnings"]]


def _counts(names: Iterable[str], counts: Iterable[int]) -> Table:
    table = new_table("class", "examples")
    for name, count in zip(names, counts, strict=False):
        table.add_row(_line(name), str(count))
    return table


def class_names(known: Mapping[str, Any], count: int) -> list[str]:
    """Return class names, or their numbers where no names are known."""
    names = list(known.get("classes") or [])
    return [str(names[i]) if i < len(names) else str(i) for i in range(count)]


def _provenance(facts: Mapping[str, Any]) -> list[RenderableType]:
    """Return settings and environment, each as one paragraph under its name."""
    parts: list[RenderableType] = []
    for name in ("settings", "environment", "versions"):
        values = facts.get(name) or {}
        told = {key: of for key, of in values.items() if of is not None and key not in LONG}
        pairs = (f"{key}: {json.dumps(of)}" for key, of in told.items())
        if values:
            parts += [Text(f"\n{name}"), Text(printable(", ".join(pairs)), style="dim")]
    return parts


def new_table(*columns: str) -> Table:
    """Return an empty table in the one look that all have, its first column to the left."""
    table = Table(box=box.SIMPLE_HEAD, collapse_padding=True, pad_edge=False)
    table.caption_justify = "left"
    for number, column in enumerate(columns):
        # Folded, never cut: a figure without its end is another figure.
        justify: Literal["left", "right"] = "left" if number == 0 else "right"
        table.add_column(escape(column), justify=justify, overflow="fold")
    return table


def _line(text: str) -> Text:
    """Return text that may hold a name, neither read as markup nor able to steer a terminal."""
    return Text(printable(text))


def cell(value: float | None, form: str, factor: float = 1, unknown: str = "-") -> str:
    """Return a number times a factor, in a form, or what stands for one that is not known."""
    return unknown if value is None else format(factor * value, form)
