"""The machine, the versions and the command that figures were made with."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]


def about(command: list[str], seed: int) -> dict[str, Any]:
    """Return what the figures depend on, by name."""
    import torch

    import prac

    cuda = torch.cuda.is_available()
    return {
        "command": "python -m bench " + " ".join(command),
        "seed": seed,
        "date": time.strftime("%Y-%m-%d"),
        "commit": commit(),
        "processor": processor(),
        "cores": len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count(),
        "vector_flags": vector_flags(),
        "memory_gib": round(memory_bytes() / 2**30, 1),
        "gpu": torch.cuda.get_device_name() if cuda else None,
        "system": platform.platform(),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "prac": prac.__version__,
        "capability": torch.backends.cpu.get_cpu_capability(),
        "threads": torch.get_num_threads(),
    }


MADE_WITH = ("command", "date", "commit", "threads", "processor")


def made(facts: Mapping[str, Any], short: bool) -> dict[str, Any]:
    """Return what stands below a section's table: of `about`, as the section may outlive it."""
    return {**{name: facts[name] for name in MADE_WITH}, "short": short}


def commit() -> str:
    """Return the commit of the checkout, and whether files differ from it; "unknown" without git.

    The files that a run writes are left out: they would make every run look changed.
    """
    try:
        name = _git("rev-parse", "--short=12", "HEAD")
        changed = _git("status", "--porcelain", "--", "src", "bench")
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return name + (" with changes" if changed else "")


def _git(*words: str) -> str:
    done = subprocess.run(["git", *words], cwd=ROOT, capture_output=True, text=True, check=True)
    return done.stdout.strip()


def processor() -> str:
    """Return the processor's name as the system gives it."""
    return _of_cpuinfo("model name") or platform.processor() or platform.machine()


def vector_flags() -> list[str]:
    """Return the processor's vector instruction sets, which decide what arithmetic can cost."""
    flags = _of_cpuinfo("flags").split()
    return [flag for flag in flags if flag.startswith(("avx", "amx", "fma"))]


def _of_cpuinfo(name: str) -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return ""
    return next((line.partition(":")[2].strip() for line in lines if line.startswith(name)), "")


def memory_bytes() -> int:
    """Return the machine's memory."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def on_gpu() -> dict[str, Any]:
    """Return what is known of the GPU and of what drives it."""
    import torch

    about = torch.cuda.get_device_properties(0)
    return {
        "gpu_memory_gib": round(about.total_memory / 2**30, 1),
        "gpu_capability": f"{about.major}.{about.minor}",
        "cuda": torch.version.cuda,
        "cudnn": torch.backends.cudnn.version(),
    }


def main(arguments: Sequence[str]) -> int:
    """Print what figures made here would depend on, as JSON; 2 where there is no such device."""
    (device,) = arguments
    found = about([], 0)
    if device == "cuda" and found["gpu"] is None:
        print("torch sees no GPU here: try --device cpu --short", file=sys.stderr)
        return 2
    more = on_gpu() if device == "cuda" else {"gpu": None}
    print(json.dumps({**found, **more, "device": device}))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
