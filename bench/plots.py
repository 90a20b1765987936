"""The pictures of docs/performance.md, drawn from the figures alone."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bench.report import exponent

# Okabe and Ito's colours, told apart by colour-blind readers as well.
BLUE, SKY, ORANGE = "#0072B2", "#56B4E9", "#E69F00"
GREEN, RED, PURPLE, GREY = "#009E73", "#D55E00", "#CC79A7", "#999999"
PROFILE, GROWTH = "bench-profile.svg", "bench-growth.svg"
# The same figures give the same bytes: no date, and names that are not drawn at random.
SETTINGS: Any = {"svg.hashsalt": "prac", "svg.fonttype": "path", "font.size": 9, "savefig.dpi": 120}


def draw(sections: Mapping[str, Any], folder: Path) -> None:
    """Write the pictures for which there are figures."""
    import matplotlib

    matplotlib.use("Agg")
    with matplotlib.rc_context(SETTINGS):
        if "search" in sections:
            profile(sections["search"]["facts"]["seconds"], folder / PROFILE)
        if "growth" in sections:
            growth(sections["growth"]["facts"]["curves"], folder / GROWTH)


def profile(seconds: Mapping[str, float], path: Path) -> None:
    """Draw a search's time as one bar, and below it the parts that are no step and no pass."""
    import matplotlib.pyplot as plt
    from matplotlib.ticker import PercentFormatter

    from bench.search import NEEDED

    whole = sum(seconds.values())
    shares = {part: 100 * value / whole for part, value in seconds.items()}
    small = {part: share for part, share in shares.items() if part not in NEEDED}
    bars = {part: shares[part] for part in NEEDED} | {"everything else": sum(small.values())}
    figure, (upper, lower) = plt.subplots(
        2, 1, figsize=(7.5, 4.6), height_ratios=(1, 3.2), layout="constrained"
    )
    left = 0.0
    for (part, share), colour in zip(bars.items(), (BLUE, SKY, ORANGE), strict=True):
        upper.barh(0, share, left=left, color=colour, label=f"{part}: {share:.1f} %")
        left += share
    upper.set(xlim=(0, 100), yticks=[], title="All of a search's time")
    upper.xaxis.set_major_formatter(PercentFormatter())
    figure.legend(loc="outside upper center", ncols=3, frameon=False)
    found = lower.barh(list(small), list(small.values()), color=ORANGE)
    lower.bar_label(found, [f"{share:.2f} %" for share in small.values()], padding=3)
    lower.invert_yaxis()
    lower.margins(x=0.12)
    lower.set_title("Everything else, as a share of the search's time")
    lower.xaxis.set_major_formatter(PercentFormatter())
    for axes in (upper, lower):
        axes.spines[["top", "right"]].set_visible(False)
    _save(figure, path)


def growth(curves: Mapping[str, Any], path: Path) -> None:
    """Draw each curve with its power law; a straight line of slope 1 is linear."""
    import matplotlib.pyplot as plt
    from matplotlib.ticker import LogLocator, NullLocator, StrMethodFormatter

    figure, grid = plt.subplots(2, 2, figsize=(7.5, 5.4), layout="constrained")
    marks = zip("osD^", (BLUE, RED, GREEN, PURPLE), strict=True)
    for axes, (name, curve), (mark, colour) in zip(grid.flat, curves.items(), marks, strict=True):
        sizes, seconds = curve["sizes"], curve["seconds"]
        power = exponent(sizes, seconds)
        logs = [math.log(s) - power * math.log(n) for n, s in zip(sizes, seconds, strict=True)]
        factor = math.exp(sum(logs) / len(logs))
        fitted = [factor * n**power for n in sizes]
        axes.plot(sizes, fitted, color=GREY, linewidth=1.2, label=f"exponent {power:.2f}")
        axes.plot(sizes, seconds, mark, color=colour, label="median of rounds")
        axes.set(xscale="log", yscale="log", title=name, ylabel="seconds")
        axes.set_xlabel(name.rsplit(" ", 1)[-1])
        axes.set_xticks(sizes, [_short(size) for size in sizes])
        axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.yaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
        for axis in (axes.xaxis, axes.yaxis):
            axis.set_minor_locator(NullLocator())
        axes.grid(True, which="major", color="#dddddd", linewidth=0.6)
        axes.set_axisbelow(True)
        axes.legend(frameon=False, loc="upper left")
        axes.spines[["top", "right"]].set_visible(False)
    _save(figure, path)


def _short(size: float) -> str:
    """Return a size as an axis has room for it.

    >>> _short(5_500), _short(30_000_000), _short(14)
    ('5.5k', '30M', '14')
    """
    for unit, letter in ((1e6, "M"), (1e3, "k")):
        if size >= unit:
            return f"{size / unit:g}{letter}"
    return f"{size:g}"


def _save(figure: Any, path: Path) -> None:
    import matplotlib.pyplot as plt

    metadata = {"Date": None} if path.suffix == ".svg" else None
    figure.savefig(path, metadata=metadata, facecolor="white")
    plt.close(figure)
