"""Several runs on one page: their tickets, costs and sets side by side, and how they differ."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from itertools import cycle, islice
from typing import Any

from prac.report import vega
from prac.report.html.by_density import best_of, extreme, titled, value_of
from prac.report.html.facts import RunFacts
from prac.report.html.page import document, figures, missing_section, sentence, table, text
from prac.report.html.words import RUN_COLUMNS, answer, row, tested
from prac.runs import ACCURACY, Measure

Named = Sequence[tuple[str, RunFacts]]


def comparison_charts(runs: Sequence[RunFacts]) -> list[vega.Chart]:
    """Return what is drawn of several runs: what they reach, iterations, sets."""
    named = with_names(runs)
    spent = [
        (name, [run.search.cost(level.index).cost.iterations for level in run.levels])
        for name, run in named
    ]
    sizes = [(name, [level.set_size for level in run.levels]) for name, run in named]
    found = (
        *_by_density(named),
        _by_level("iterations", "Iterations to each ticket", spent),
        _by_level("examples", "Examples in each level's set", sizes),
    )
    return [one for one in found if one is not None]


def comparison_page(runs: Sequence[RunFacts]) -> str:
    """Return a page that sets runs side by side."""
    drawn, named = comparison_charts(runs), with_names(runs)
    title = f"Lottery tickets: {len(runs)} runs"
    body = [
        f"<h1>{title}</h1>",
        *table(["run", *RUN_COLUMNS], ([name, *row(run).values()] for name, run in named)),
        '<p class="note">Of each run the sparsest ticket that matches the dense network, or, where '
        f"that is not known, the sparsest that was trained alone. vs dense: {text(_units(runs))}; "
        f"saved: of IMP's iterations to that ticket.</p>",
        *figures(drawn),
    ]
    for name, run in named:
        body += [f"<h2>{text(name)}</h2>", f"<p>{sentence(answer(run))}</p>"]
        body += missing_section(run.missing)
    rows = differences([run.search.settings for run in runs])
    different = table(["setting", *(name for name, _ in named)], rows) if rows else ["<p>None.</p>"]
    return document(title, [*body, "<h2>Settings that differ</h2>", *different], drawn)


def _units(runs: Sequence[RunFacts]) -> str:
    """Return what differences are in, of runs that may be measured by several metrics."""
    measures = dict.fromkeys(run.measure for run in runs)
    if list(measures) == [ACCURACY]:
        return "in points"
    units = ("in points" if of.is_share else "in its unit" for of in measures)
    told = (f"of {of.name}{of.direction} {unit}" for of, unit in zip(measures, units, strict=True))
    return ", ".join(told)


def with_names(runs: Sequence[RunFacts]) -> list[tuple[str, RunFacts]]:
    """Return runs by the shortest ends of their paths that tell them all apart."""
    parts = [run.search.path.absolute().parts for run in runs]
    names: list[str] = []
    for length in range(1, max(map(len, parts), default=0) + 1):
        names = ["/".join(part[-length:]) for part in parts]
        if len(set(names)) == len(names):
            break
    return list(zip(names, runs, strict=True))


def _by_density(runs: Named) -> Iterator[vega.Chart | None]:
    """Yield a chart of what is measured by density, for each metric that there is."""
    measures = list(dict.fromkeys(run.measure for _, run in runs))
    for number, measure in enumerate(measures):
        name = measure.key if len(measures) == 1 else f"{measure.key}-{number}"
        alike = [(of, run) for of, run in runs if run.measure == measure]
        yield _of_measure(alike, measure, name)


def _of_measure(runs: Named, measure: Measure, chart: str) -> vega.Chart | None:
    rows: list[dict[str, Any]] = []
    for name, run in runs:
        known = {level.index for level in run.verdict.levels} if run.verdict else run.retrained
        for level in sorted(known):
            ours, _ = tested(run, level)
            if ours is not None and level < len(run.levels):
                density = 100 * run.levels[level].density
                value = measure.factor * ours
                rows.append({"run": name, "density": density, measure.key: value})
    if not rows:
        return None
    line = {"type": "line", "point": {"size": 50}}
    told = vega.tips("run", "density", measure.key, measure=measure)
    place = {**vega.on_density(), **vega.on_value(measure)}
    layers = [vega.layer(line, place, _by_run([name for name, _ in runs]), told)]
    best = best_of(rows, measure)
    alt = (
        f"Test {measure.name} by density of {len(runs)} runs; the {extreme(measure)} is "
        f"{value_of(best, measure)} at a density of {best['density']:.2f} %, of {best['run']}."
    )
    return vega.chart(chart, f"{titled(measure)} by density", alt, rows, layers)


def _by_level(field: str, title: str, found: list[tuple[str, list[int]]]) -> vega.Chart | None:
    """Return a chart of a number by level; `found` has those of each run behind its name."""
    rows = [
        {"run": name, "level": level, field: value}
        for name, values in found
        for level, value in enumerate(values)
    ]
    line, y = {"type": "line", "point": {"size": 40}}, {"y": vega.quantity(field)}
    told, names = vega.tips("run", "level", field), [name for name, _ in found]
    lines = vega.layer(line, vega.on_whole("level"), y, _by_run(names), told)
    last = ", ".join(f"{name} {of[-1]:,}" for name, of in found if of)
    return vega.chart(field, title, f"{title}, by level. At the last: {last}.", rows, [lines])


def _by_run(names: list[str]) -> dict[str, Any]:
    colours = islice(cycle(vega.PALETTE), len(names))
    legend = {"orient": "top", "columns": 2, "labelLimit": 260}
    return {
        **vega.by_name("run", names, legend=legend, color=colours),
        "shape": {"field": "run", "type": "nominal", "legend": None},
    }


def differences(settings: Sequence[Mapping[str, Any]]) -> list[list[str]]:
    """Return the settings that are not the same in all of several runs: a name, a value a run.

    >>> differences([{"lr": 0.1, "seed": 0}, {"lr": 0.2, "seed": 0}])
    [['lr', '0.1', '0.2']]
    """
    rows = (
        [key, *(json.dumps(one.get(key), ensure_ascii=False) for one in settings)]
        for key in sorted({key for one in settings for key in one})
    )
    return [row for row in rows if len(set(row[1:])) > 1]
