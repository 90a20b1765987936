"""The memory that this process holds, and the most that it held since a moment, from Linux."""

from __future__ import annotations

import re
from pathlib import Path

_STATUS = Path("/proc/self/status")
_CLEAR = Path("/proc/self/clear_refs")
FORGET_THE_PEAK = "5"


def resident() -> int:
    """Return the bytes of memory that this process holds now (VmRSS)."""
    return _field("VmRSS")


def forget_peak() -> None:
    """Count the most held from now on."""
    _CLEAR.write_text(FORGET_THE_PEAK)


def peak() -> int:
    """Return the most bytes held since `forget_peak` (VmHWM)."""
    return _field("VmHWM")


def is_measurable() -> bool:
    """Say whether this system tells."""
    return _STATUS.exists() and _CLEAR.exists()


def _field(name: str) -> int:
    found = re.search(rf"^{name}:\s+(\d+) kB$", _STATUS.read_text(), re.MULTILINE)
    if found is None:
        raise RuntimeError(f"{_STATUS} has no {name}")
    return int(found[1]) * 1024
