"""Pictures for papers: what a comparison found, as SVG and PNG."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from prac.comparison import Comparison, summary

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Okabe and Ito's colours, which people of any colour vision can tell apart, black last.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
WIDE = 5.0
"""Points of accuracy beyond which differences near the top would not be seen on a plain scale."""
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")


def comparison_figure(comparison: Comparison) -> Figure:
    """Return two charts: accuracy against density, and against the iterations of finding it."""
    from matplotlib.figure import Figure

    rows = [row for row in summary(comparison) if row.accuracies]
    figure = Figure(figsize=(12, 5.4), layout="constrained")
    by_density, by_cost = figure.subplots(1, 2, sharey=True)
    for number, row in enumerate(rows):
        style: dict[str, Any] = {
            "color": COLOURS[number % len(COLOURS)],
            "marker": MARKERS[number % len(MARKERS)],
            "linestyle": "-" if number < len(COLOURS) else "--",
            "linewidth": 1.2,
            "markersize": 5,
            "capsize": 2,
            # Wide bars of few runs would hide the means.
            "ecolor": (COLOURS[number % len(COLOURS)], 0.45),
            "elinewidth": 0.9,
            "label": row.method,
        }
        sparse = [found for found in row.accuracies if found["level"]]
        means = [100 * found["mean"] for found in sparse]
        widths = [100 * (found["half_width"] or 0.0) for found in sparse]
        # A little beside each other, so that bars do not hide bars.
        aside = 1 + 0.012 * (number - len(rows) / 2)
        densities = [100 * found["density"] * aside for found in sparse]
        by_density.errorbar(densities, means, yerr=widths, **style)
        spent = [max(found["iterations"], 1) for found in sparse]
        across = [found["iterations_half_width"] or 0.0 for found in sparse]
        by_cost.errorbar(spent, means, yerr=widths, xerr=across, **style)
    _dense_band(comparison, by_density)
    _dense_band(comparison, by_cost)
    _show_means(by_density, [f["mean"] for row in rows for f in row.accuracies])
    by_density.set_xscale("log")
    by_density.invert_xaxis()
    shown = sorted({100 * f["density"] for row in rows for f in row.accuracies if f["level"]})
    by_density.set_xticks(shown, [f"{density:.3g}" for density in shown])
    by_density.minorticks_off()
    by_density.set_xlabel("density: weights kept, %")
    by_density.set_ylabel("test accuracy, %")
    by_cost.set_xscale("log")
    by_cost.set_xlabel("iterations of finding the ticket")
    seeds = len(comparison.seeds)
    figure.suptitle(
        f"Tickets trained alone, {seeds} seed{'s' if seeds > 1 else ''}; bars: 95 % intervals; "
        f"grey: a standard deviation below dense",
        fontsize=10,
    )
    figure.legend(*by_density.get_legend_handles_labels(), loc="outside right upper", fontsize=8)
    return figure


def _show_means(axes: Axes, means: list[float]) -> None:
    """Show the range of the means: an interval of few runs may reach far beyond it.

    Where some are far below the others, errors are on a logarithmic scale: a tenth of a point
    matters near the best, and is nothing near the worst.
    """
    low, high = 100 * min(means, default=0.0), 100 * max(means, default=1.0)
    if high - low < WIDE or high >= 100:
        margin = 0.25 * (high - low) + 0.1
        axes.set_ylim(low - margin, min(high + margin, 100))
        return
    scale = (lambda y: -np.log10(np.maximum(100.0 - y, 1e-6)), lambda s: 100.0 - 10.0**-s)
    axes.set_yscale("function", functions=scale)
    margin = 1.2
    axes.set_ylim(max(100 - (100 - low) * margin, 0.0), 100 - (100 - high) / margin)
    bottom, top = axes.get_ylim()
    ticks = [100 - 10.0**power * step for power in (1, 0, -1, -2) for step in (8, 5, 3, 2, 1.5, 1)]
    axes.set_yticks([y for y in ticks if bottom <= y <= top])
    axes.minorticks_off()


def _dense_band(comparison: Comparison, axes: Axes) -> None:
    """Draw the dense network's mean, and a standard deviation below it: where tickets match."""
    for method in comparison.methods:
        found = comparison.verdict(method, 0)
        if found is None:
            continue
        mean, deviation = 100 * found.dense.mean, 100 * (found.dense.deviation or 0.0)
        axes.axhline(mean, color="0.3", linewidth=1, linestyle=":", label="dense")
        axes.axhspan(mean - deviation, mean, color="0.85", zorder=0)
        return


def save(figure: Figure, path: Path) -> None:
    """Write a figure as `path`.svg and `path`.png; the same figure gives the same SVG.

    Raises:
        OSError: If they cannot be written.
    """
    import matplotlib

    with matplotlib.rc_context({"svg.hashsalt": "prac", "svg.fonttype": "none"}):
        figure.savefig(path.with_suffix(".svg"), metadata={"Date": None})
    figure.savefig(path.with_suffix(".png"), dpi=150)
