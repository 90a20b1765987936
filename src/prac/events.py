"""What happens while a run goes on, and who is told of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Event:
    """Something a person may want to see while a run goes on.

    Attributes:
        kind: "search" (one begins, or goes on), "level" (so does one of its levels), "epoch" (one
            has ended), "scoring", "pruned" or "finished" in a search; "retrain", "epoch" and
            "retrained" in a retraining; in a judgement also "trial", "barrier" and "pool" (one is
            done, or read) and "trunk" (the dense network trains to a rewind point); "contest" (a
            search is done or read) in a comparison, and before controls on corrupted data;
            "judging" (a ticket's training is done or read) in a comparison; in all of them "step"
            (about four times a second within an epoch), "saved" (a state within an epoch) and
            "note" (something a person should know).
        level: Prunings done so far.
        facts: What is known of it, by name.
    """

    kind: str
    level: int
    facts: Mapping[str, Any]


Callback = Callable[[Event], None]


def chain_callbacks(*callbacks: Callback) -> Callback:
    """Return a callback that passes every event on to several, in this order.

    >>> seen = []
    >>> chain_callbacks(
    ...     lambda event: seen.append(event.kind), lambda event: seen.append(event.level)
    ... )(Event("level", 3, {}))
    >>> seen
    ['level', 3]
    """

    def callback(event: Event) -> None:
        for one in callbacks:
            one(event)

    return callback
