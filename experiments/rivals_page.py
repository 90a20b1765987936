"""The pages of experiments/rivals.py: costs, accuracies, sets, and what they say."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from experiments.pages import RESULTS, percent, spread, table, wrapped
from prac.evaluation import mean, worse

PAPER_SIZES = {
    "CEP": "1501 1481 3935 3782 4723 5514 4420 4602 5391 5360 5098 5840 5728 6370 6616",
    "CET": (
        "24159 21708 19542 17674 16091 14771 14357 13909 13741 14168 14365 14553 14959 15290 15369"
    ),
    "PrAC": (
        "24168 21728 19838 18161 16712 16026 15202 14880 14980 15376 15247 15804 16062 16360 16499"
    ),
}
"""Published set sizes of ResNet-20s on CIFAR-10 after 1 to 15 prunings, of 45,000."""
PAPER_ACCURACIES = {0: ("91.3", "91.3"), 6: ("91.3", "90.8"), 15: ("85.9", "87.6")}
"""Published test accuracies in % by level, read off its plots: IMP's and PrAC's tickets."""
PAPER_ITERATIONS = {7: ("448,000", "72,000")}
"""Published training iterations to a level's ticket: IMP's and PrAC's."""

PAIRS = (
    ("prac-light", "random-subset@prac-light"),
    ("prac", "random-subset@prac"),
    ("prac", "imp"),
)
"""Methods whose differences a page tells, where its figures do not name others."""


def page(results: Mapping[str, Any]) -> str:
    """Return the page of a problem's results."""
    machine, seeds = results["machine"], results["seeds"]
    experiment = f"python -m experiments.rivals {results['problem']} --data DIR"
    on_gpu = f"{machine['gpu']}, " if "gpu" in machine else ""
    lines = [
        f"# {results['title']}",
        "",
        *([results["about"], ""] if results["about"] else []),
        f"Data: {results['data']}. Each method searches with {len(seeds)} seed"
        f"{'s' if len(seeds) > 1 else ''}; some of each search's tickets are then trained alone on "
        "all data at full length and tested once, at the epoch with the best validation accuracy. "
        "A seed sets the same initialisation, order and augmentation for all methods. `NAME@OTHER` "
        "uses, level by level, the iterations and set sizes of OTHER's search with the same seed. "
        "Figures are means with half of their 95 % intervals (Student's t).",
        "",
        *_unfinished(results),
        f"![Accuracy by density and by iterations]({results['name']}.svg)",
        "",
        "## Cost of finding the tickets",
        "",
        *_costs(results),
        "",
        "## Accuracy of the tickets",
        "",
        *_accuracies(results),
        "",
        f"Bold: matches dense. {results['definition'][0].upper()}{results['definition'][1:]}.",
        "",
        *_beside_the_paper(results),
        *(line for pair in results.get("pairs", PAIRS) for line in _against(results, *pair)),
        *_sets(results),
        *_anatomy(results),
        "## Made by",
        "",
        *wrapped(results["command"]),
        "",
        f"through `{results.get('through', experiment)}`. {on_gpu}{machine['threads']} torch "
        f"thread{'s' if machine['threads'] > 1 else ''}, "
        f"{machine['processor']}, {machine['platform']}, torch {machine['torch']}, Python "
        f"{machine['python']}; seconds are wall time on a shared machine. Every run is in "
        f"`{results['name']}.json`.",
    ]
    return "\n".join(lines) + "\n"


def _unfinished(results: Mapping[str, Any]) -> list[str]:
    """Return how far a comparison has come, where something that was asked for is still to come."""
    asked = {
        (method, seed, level)
        for method in results.get("methods", {run["method"] for run in results["runs"]})
        for seed in results["seeds"]
        for level in results["judged"]
    }
    failed = {(run["method"], run["seed"]) for run in results["runs"] if run["error"] is not None}
    here = {
        (run["method"], run["seed"], ticket["level"])
        for run in results["runs"]
        for ticket in run["tickets"]
    }
    due = {one for one in asked - here if one[:2] not in failed}
    if not due:
        return []
    return [
        f"**This comparison is not finished: {len(asked & here)} of {len(asked)} trainings of "
        f"tickets have ended. What is missing is blank, and means are over the seeds so far.**",
        "",
    ]


def _costs(results: Mapping[str, Any]) -> list[str]:
    """Return a row a method: its search to the last judged ticket, and where it matches."""
    densities = _densities(results)

    def row(found: Mapping[str, Any]) -> list[object]:
        matching, both = found["matching"], found["both_match"]
        return [
            f"`{found['method']}`",
            _number(found["iterations"]),
            _share(found["saved"]),
            _number(found["examples_scored"]),
            _number(found["seconds"]),
            "none" if matching is None else f"{densities[matching]:.2%}",
            "none" if both is None else f"{densities[both]:.2%}",
            _share(found["saved_where_both_match"]),
        ]

    last = max(results["judged"])
    head = [
        "method",
        f"iterations to ticket {last}",
        "of IMP's saved",
        "examples only scored",
        "seconds",
        "sparsest that matches",
        "sparsest where IMP does too",
        "saved there",
    ]
    return table(head, map(row, results["summary"]))


def _accuracies(results: Mapping[str, Any]) -> list[str]:
    densities = _densities(results)

    def row(found: Mapping[str, Any]) -> list[object]:
        by_level = {of["level"]: of for of in found["accuracies"]}
        cells: list[object] = [f"`{found['method']}`"]
        for level in densities:
            of = by_level.get(level)
            if of is None:
                cells.append("")
                continue
            text = f"{100 * of['mean']:.2f}"
            if of["half_width"] is not None:
                text += f" ± {100 * of['half_width']:.2f}"
            cells.append(f"**{text}**" if of["verdict"] in ("winning", "matching") else text)
        return cells

    head = ["test accuracy, % at density", *(f"{density:.2%}" for density in densities.values())]
    return table(head, map(row, results["summary"]))


def _densities(results: Mapping[str, Any]) -> dict[int, float]:
    found = (of for row in results["summary"] for of in row["accuracies"])
    return dict(sorted({of["level"]: of["density"] for of in found}.items()))


def accuracies(results: Mapping[str, Any], method: str, level: int) -> dict[int, float]:
    """Return a method's test accuracies of a level by seed."""
    return {
        run["seed"]: ticket["accuracy"]
        for run in results["runs"]
        if run["method"] == method
        for ticket in run["tickets"]
        if ticket["level"] == level
    }


def _against(results: Mapping[str, Any], one: str, other: str) -> Iterator[str]:
    """Yield a table of two methods' differences by density, paired by seed."""
    methods = {run["method"] for run in results["runs"]}
    if not {one, other} <= methods:
        return
    rows = []
    for level, density in _densities(results).items():
        first, second = (accuracies(results, method, level) for method in (one, other))
        seeds = sorted(first.keys() & second.keys())
        if not level or not seeds:
            continue
        ours, theirs = ([of[seed] for seed in seeds] for of in (first, second))
        differences = [100 * (a - b) for a, b in zip(ours, theirs, strict=True)]
        rows.append(
            [
                f"{density:.2%}",
                percent(ours),
                percent(theirs),
                spread(differences, digits=2),
                _p(worse(ours, theirs)),
                _p(worse(theirs, ours)),
            ]
        )
    if not rows:
        return
    head = ["density", f"`{one}`", f"`{other}`", "difference, points", "p: lower", "p: higher"]
    yield f"`{one}` against `{other}`, paired by seed (one-sided t tests):"
    yield ""
    yield from table(head, rows)
    yield ""


def _beside_the_paper(results: Mapping[str, Any]) -> Iterator[str]:
    """Yield the published accuracies and iterations of the paper's protocol beside those here."""
    if results["problem"] != "paper":
        return
    found = {
        (row["method"], of["level"]): of for row in results["summary"] for of in row["accuracies"]
    }
    rows = []
    for level, published in sorted({**PAPER_ACCURACIES, **PAPER_ITERATIONS}.items()):
        what = f"iterations to ticket {level}" if level in PAPER_ITERATIONS else "test accuracy, %"
        row: list[object] = [what, f"{1 - 0.8**level:.2%}"]
        for method, figure in zip(("imp", "prac"), published, strict=True):
            of = found.get((method, level))
            if of is None:
                here = ""
            elif level in PAPER_ITERATIONS:
                here = _number(of["iterations"])
            else:
                here = f"{100 * of['mean']:.2f}"
            row += [figure, here]
        rows.append(row)
    head = ["", "sparsity", "IMP, published", "`imp`", "PrAC, published", "`prac`"]
    yield "Compared with the published figures:"
    yield ""
    yield from table(head, rows)
    yield ""


def _p(value: float | None) -> str:
    return "" if value is None else f"{value:.2g}"


def _sets(results: Mapping[str, Any]) -> Iterator[str]:
    """Yield the PrAC sets' sizes and what their levels took, by level, over seeds."""
    method = "prac-light" if results["problem"] == "frugal" else "prac"
    if method not in {run["method"] for run in results["runs"]}:
        return
    yield f"## Sets of `{method}`"
    yield ""
    runs = [run for run in results["runs"] if run["method"] == method and run["levels"]]
    yield from _set_sizes(results, runs) if runs else ["No PrAC search ended."]
    yield ""


def _set_sizes(results: Mapping[str, Any], runs: Sequence[Mapping[str, Any]]) -> list[str]:
    published = results["problem"] == "paper"
    head = ["level", "examples", "of the training data", "CET", "CEP", "iterations"]
    head += ["stopped early", *(f"published {name}" for name in PAPER_SIZES if published)]
    rows = []
    for levels in zip(*(run["levels"] for run in runs), strict=True):
        index, sizes = levels[0]["index"], [level["set_size"] for level in levels]
        parts = {
            name: [level["set_parts"][name] for level in levels if name in level["set_parts"]]
            for name in ("cet", "cep")
        }
        trained = any(level["iterations"] for level in levels)
        row: list[object] = [
            index,
            spread(sizes),
            f"{mean(sizes) / results['total']:.1%}",
            *(spread(of) if of else "" for of in parts.values()),
            spread([level["iterations"] for level in levels]) if trained else "not trained",
            f"{sum(level['stopped_early'] for level in levels)} of {len(levels)}",
        ]
        if published:
            row += [sizes.split()[index - 1] if index else "" for sizes in PAPER_SIZES.values()]
        rows.append(row)
    return table(head, rows)


def _anatomy(results: Mapping[str, Any]) -> Iterator[str]:
    """Yield how tickets differ from IMP's, where `experiments.anatomy` has looked."""
    path = RESULTS / f"{results['name']}-anatomy.json"
    if not path.exists():
        return
    found, densities = json.loads(path.read_text()), _densities(results)
    yield from [
        "## How the tickets differ from IMP's",
        "",
        "The share of a ticket's weights that IMP's ticket of the same seed and density does not "
        "keep, and in brackets what it would be if its places were drawn anew within each layer; "
        "means over seeds.",
        "",
    ]
    by_method: dict[str, dict[int, Mapping[str, Any]]] = {}
    for one in found["masks"]:
        by_method.setdefault(one["method"], {})[one["level"]] = one
    levels = sorted({one["level"] for one in found["masks"]})
    head = ["differing at density", *(f"{densities[level]:.2%}" for level in levels)]
    yield from table(
        head,
        [
            [
                f"`{method}`",
                *(
                    f"{of[level]['differing']:.0%} ({of[level]['by_chance']:.0%})"
                    if level in of
                    else ""
                    for level in levels
                ),
            ]
            for method, of in by_method.items()
            if method != "imp"
        ],
    )
    last = levels[-1]
    rows = {method: of[last]["layers"] for method, of in by_method.items() if last in of}
    layers = list(next(iter(rows.values())))
    yield from ["", f"Densities of the layers at {densities[last]:.2%}:", ""]
    yield from table(
        ["layer", *(f"`{method}`" for method in rows)],
        [[f"`{layer}`", *(f"{of[layer]:.1%}" for of in rows.values())] for layer in layers],
    )
    yield from [
        "",
        "Tickets of the first search, trained in two orders each: with the mask as found, and "
        "shuffled within each layer (the same weights, the same densities of layers). The barrier "
        "is the highest test error on the line between the two networks, less the mean of its "
        "ends, in points.",
        "",
    ]
    yield from table(
        ["ticket", "density", "accuracy, %", "shuffled, %", "dense, %", "barrier"],
        [
            [
                f"`{one['method']}`",
                f"{densities[one['level']]:.2%}",
                *(f"{100 * one[name]:.2f}" for name in ("ticket", "shuffled", "dense")),
                f"{100 * one['barrier']:.2f}",
            ]
            for one in found["judged"]
        ],
    )
    yield from ["", f"By `{found['command']}`.", ""]


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:,.0f}"


def _share(value: float | None) -> str:
    return "" if value is None else f"{value:.1%}"
