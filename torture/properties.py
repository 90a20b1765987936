"""The property-based tests of settings, pickles and bytes, for longer than the tests run them."""

from __future__ import annotations

import os
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path

from torture.report import Blow

ROOT = Path(__file__).parents[1]
FILES = {
    "tests/config/test_fuzz.py": "settings, options and YAML at random",
    "tests/data/test_hostile_pickles.py": "CIFAR pickles changed at random, and random opcodes",
    "tests/io/test_hostile.py": "bytes at random for tensor files",
}


def longer(scratch: Path, *, times: int) -> list[Blow]:
    """Run the tests whose budget TORTURE multiplies, `times` as long; each test counts once."""
    report = scratch / "properties.xml"
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"]
    command += ["-m", "", "--hypothesis-profile=thorough", *FILES, f"--junitxml={report}"]
    environment = {**os.environ, "TORTURE": str(times), "OMP_NUM_THREADS": "1"}
    subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, check=False)
    blows = []
    for case in ElementTree.parse(report).iter("testcase"):
        failed = [*case.findall("failure"), *case.findall("error")]
        module = case.get("classname", "").replace(".", "/").partition("/Test")[0]
        about = FILES[f"{module}.py"]
        kind = f"{about}: tests, with {times} times their usual examples"
        wrong = tuple((fault.get("message") or "failed")[:300] for fault in failed)
        seconds = float(case.get("time", 0))
        blows.append(Blow(kind, case.get("name", ""), wrong, seconds))
    return blows
