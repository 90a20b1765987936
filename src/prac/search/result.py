"""What a search found, for whoever asks; and a search whose levels one trains oneself."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from prac.io import read_environment
from prac.runs import SearchFolder
from prac.search.notices import outlook

if TYPE_CHECKING:
    from torch import nn

    from prac.config import SearchConfig
    from prac.events import Callback
    from prac.search.asking import OpenSearch
    from prac.search.parts import Score, StopRule, SubsetRule
    from prac.training import Metric


@dataclass(frozen=True, repr=False)
class Search(SearchFolder):
    """What a search found, read from its run folder: levels, tickets, sets, costs."""

    @property
    def outlook(self) -> str | None:
        """What level 0 showed of whether critical examples will pay, in words.

        None where sets are of other examples, where level 0 is not complete, and of older runs.
        """
        if not self.levels or read_environment(self.path).get("own_choose") is not None:
            return None
        return outlook(self.levels[0], self.config)

    @staticmethod
    def begin(
        out: str | Path,
        model: nn.Module,
        *,
        examples: Any,
        config: SearchConfig,
        labels: Any = None,
        validated: int = 0,
        metric: Metric | None = None,
        output_layer: str | None = None,
        choose: SubsetRule | None = None,
        stop: StopRule | None = None,
        score: Score | None = None,
        callback: Callback | None = None,
        accept_changes: bool = False,
    ) -> OpenSearch:
        """Begin a search whose levels are trained in a loop of one's own, or go on with it.

        `ask` gives the level to train, `tell` takes what its training has come to. The same call
        goes on where a killed process was.

        Args:
            out: The run folder.
            model: The dense network at its initialisation, with the names that tickets are to have.
                Nothing is trained here; it is not changed.
            examples: n, how many training examples there are, or the data, by whose content tickets
                and sets are told from others'.
            config: Settings. Lengths and rates of `config.train` are what levels are planned by;
                its optimiser is the caller's own.
            labels: Integers (n,), each example's class, for tables of sets.
            validated: Held-out examples that each validation scores, for the ledger.
            metric: What each level's best epoch is chosen by; the accuracy by default. Its value is
                the caller's to measure: `level.end_epoch(model, val_metric=...)`.
            output_layer: Name of the layer that makes the outputs, which is not pruned unless the
                settings say so; by default the last one.
            choose: The caller's own rule, as `prac.find` takes it.
            stop: Likewise.
            score: Likewise.
            callback: Called with an `Event` as the search goes on.
            accept_changes: Go on under another torch or prac as well.

        Raises:
            PracError: On settings or a folder that do not fit, in one line.
        """
        from prac.search.asking import OpenSearch

        return OpenSearch.begin(
            out,
            model,
            examples=examples,
            config=config,
            labels=labels,
            validated=validated,
            metric=metric,
            output_layer=output_layer,
            choose=choose,
            stop=stop,
            score=score,
            callback=callback,
            accept_changes=accept_changes,
        )
