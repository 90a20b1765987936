"""Find winning lottery tickets with less data: sparse trainable subnetworks by PrAC.

The names below are the library's surface; each is loaded when first used, so that importing the
package, or asking the command for help, does not wait for torch.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from prac._version import __version__ as __version__
from prac.retired import current_name

_HOMES = {
    "PracError": "errors",
    "SearchConfig": "config",
    "TrainConfig": "config",
    "PruneConfig": "config",
    "SubsetConfig": "config",
    "SampleConfig": "config",
    "StopConfig": "config",
    "Task": "task",
    "Ticket": "ticket",
    "Subset": "subset",
    "Search": "results",
    "find": "search",
    "History": "retraining",
    "retrain": "retraining",
    "judge": "judging",
    "Verdict": "verdict",
    "compare": "comparing",
    "Comparison": "comparison",
    "find_rewind_point": "rewind_point",
    "Evidence": "parts",
    "Chosen": "parts",
    "Event": "events",
    "together": "events",
    "Progress": "progress",
    "Tracking": "tracking",
    "Tracker": "trackers",
    "Interrupted": "pace",
    "Pace": "pace",
    "RunOptions": "run_options",
}

__all__ = [*_HOMES, "__version__", "algorithms", "data", "models"]

if TYPE_CHECKING:
    from prac import algorithms, data, models
    from prac.comparing import compare as compare
    from prac.comparison import Comparison as Comparison
    from prac.config import PruneConfig as PruneConfig
    from prac.config import SampleConfig as SampleConfig
    from prac.config import SearchConfig as SearchConfig
    from prac.config import StopConfig as StopConfig
    from prac.config import SubsetConfig as SubsetConfig
    from prac.config import TrainConfig as TrainConfig
    from prac.errors import PracError as PracError
    from prac.events import Event as Event
    from prac.events import together as together
    from prac.judging import judge as judge
    from prac.pace import Interrupted as Interrupted
    from prac.pace import Pace as Pace
    from prac.parts import Chosen as Chosen
    from prac.parts import Evidence as Evidence
    from prac.progress import Progress as Progress
    from prac.results import Search as Search
    from prac.retraining import History as History
    from prac.retraining import retrain as retrain
    from prac.rewind_point import find_rewind_point as find_rewind_point
    from prac.run_options import RunOptions as RunOptions
    from prac.search import find as find
    from prac.subset import Subset as Subset
    from prac.task import Task as Task
    from prac.ticket import Ticket as Ticket
    from prac.trackers import Tracker as Tracker
    from prac.tracking import Tracking as Tracking
    from prac.verdict import Verdict as Verdict


def __getattr__(name: str) -> Any:
    name = current_name(__name__, name)
    if name in _HOMES:
        return getattr(importlib.import_module(f"prac.{_HOMES[name]}"), name)
    if name in ("algorithms", "data", "models"):
        return importlib.import_module(f"prac.{name}")
    raise AttributeError(f"module 'prac' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
