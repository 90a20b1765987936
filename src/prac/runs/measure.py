"""What a metric is called, which way is better, and how its values are written. No torch.

What a metric computes is `prac.Metric`'s; this is what folders record of it and what verdicts,
tables and charts go by.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from prac.io import check_same, damaged, read_dataclass, read_environment


@dataclass(frozen=True)
class Measure:
    """A metric as folders record it.

    Attributes:
        name: As people call it, such as "perplexity".
        higher_is_better: Which way is better.
        is_share: Whether values are shares, from 0 to 1, written in percent.
    """

    name: str
    higher_is_better: bool = True
    is_share: bool = False

    @property
    def counts_examples(self) -> bool:
        """Whether a value is a share of the examples, so that it is a binomial proportion."""
        return self in (ACCURACY, SHARE_RIGHT)

    @property
    def key(self) -> str:
        """What values are called in JSON: "accuracy" where that is what they are."""
        return "accuracy" if self == ACCURACY else "value"

    @property
    def keys(self) -> str:
        """What several of them are called in JSON."""
        return "accuracies" if self == ACCURACY else "values"

    @property
    def plain_name(self) -> str:
        """Return the name in letters that viewers' names may have.

        >>> Measure("mean IoU").plain_name
        'mean_IoU'
        """
        return "_".join("".join(c if c.isalnum() else " " for c in self.name).split()) or "metric"

    def gain(self, value: float, other: float) -> float:
        """Return by how much a value is better than another; below 0 where it is worse.

        >>> ACCURACY.gain(0.75, 0.5), Measure("perplexity", higher_is_better=False).gain(12, 10)
        (0.25, -2)
        """
        return value - other if self.higher_is_better else other - value

    def best(self, values: Iterable[float]) -> float:
        """Return the best of at least one value."""
        return (max if self.higher_is_better else min)(values)

    @property
    def factor(self) -> int:
        """What values are multiplied by to be shown."""
        return 100 if self.is_share else 1

    @property
    def unit(self) -> str:
        """What stands behind a number, with a space before it."""
        return " %" if self.is_share else ""

    @property
    def format(self) -> str:
        """The form of a value that is shown, as `format` and d3-format take it."""
        return ".2f" if self.is_share else ".4g"

    def number(self, value: float) -> str:
        """Return a value without its unit.

        >>> ACCURACY.number(0.931), Measure("perplexity").number(21.4567)
        ('93.10', '21.46')
        """
        return format(self.factor * value, self.format)

    def size(self, value: float) -> str:
        """Return half the width of an interval, without a unit."""
        return format(self.factor * value, ".2f" if self.is_share else ".2g")

    def text(self, value: float | None, unknown: str = "-") -> str:
        """Return a value with its unit, for tables: "93.10%"; `unknown` where there is none."""
        if value is None:
            return unknown
        return self.number(value) + ("%" if self.is_share else "")

    def difference(self, value: float | None, unknown: str = "-") -> str:
        """Return a difference with its sign; of shares in percentage points.

        >>> ACCURACY.difference(-0.012), Measure("perplexity").difference(0.25)
        ('-1.20', '+0.25')
        """
        if value is None:
            return unknown
        return format(self.factor * value, "+.2f" if self.is_share else "+.3g")

    def distance(self, value: float, digits: int = 1) -> str:
        """Return the size of a difference with its unit: "1.2 points", or a plain number."""
        return f"{100 * value:.{digits}f} points" if self.is_share else f"{value:.3g}"

    @property
    def head(self) -> str:
        """The head of a table's column of test values.

        A longer name stands below the table.
        """
        return "test %" if self.is_share else "test"

    @property
    def column(self) -> str:
        """The same for pages."""
        return "test, %" if self.is_share else "test"

    @property
    def vs_dense(self) -> str:
        """What "vs dense" is in, for what stands below a table."""
        return "in percentage points" if self.is_share else "the difference"

    def axis(self, of: str = "test") -> str:
        """Return an axis' title: "test accuracy, %"."""
        return f"{of} {self.name}".strip() + (", %" if self.is_share else "")

    @property
    def mean(self) -> str:
        """The word for a mean over runs, of a metric that may be a mean by its name."""
        return "average" if self.name.startswith("mean") else "mean"

    @property
    def direction(self) -> str:
        """A remark behind the name where lower values are better; nothing otherwise."""
        return "" if self.higher_is_better else " (lower is better)"

    def to_json(self) -> dict[str, Any]:
        """Return plain values."""
        return asdict(self)

    @classmethod
    def of(cls, told: Any, path: Path | str = "metric") -> Measure:
        """Return what JSON in a file tells; accuracy where it tells nothing, as older ones do.

        Raises:
            Damaged: If it tells something else.
        """
        if told is None:
            return ACCURACY
        found = read_dataclass(cls, told, path, "metric")
        if not found.name.strip():
            raise damaged(path, "its metric has no name")
        return found


ACCURACY = Measure("accuracy", is_share=True)
"""The share of examples whose class is predicted."""

SHARE_RIGHT = Measure("share right", is_share=True)
"""The share of examples that a task's own rule calls right."""


def check_same_measure(path: Path, known: Measure, wanted: Measure) -> None:
    """Raise a FolderError where what is in a folder is judged by another metric.

    What an older prac called accuracy may be the share right by an own rule.
    """
    if known != wanted and not (known.counts_examples and wanted.counts_examples):
        check_same(path, {"metric": known.to_json()}, {"metric": wanted.to_json()})


def measure_in(run: Path) -> Measure:
    """Return the metric of a run folder; accuracy where an older prac recorded none.

    Raises:
        PracError: If its environment.json is damaged.
    """
    return Measure.of(read_environment(run).get("metric"), run / "environment.json")


def with_metrics(summary: Mapping[str, Any]) -> dict[str, Any]:
    """Return a summary with the values of its metric, which an older prac called accuracies."""
    names = ("val_metric", "test_metric", "best_val_metric")
    old = {name: name.replace("metric", "accuracy") for name in names}
    taken = {name: summary[of] for name, of in old.items() if of in summary}
    return {**taken, **summary}
