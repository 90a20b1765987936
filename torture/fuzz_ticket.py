"""Coverage-guided fuzzing of the readers of tickets, subsets and states, with atheris.

`python -m torture.fuzz_ticket --seconds N --corpus DIR [--json OUT]`: an error that is no PracError
ends the run, with the input that did it saved in the corpus's `crashes` folder. Half of the inputs
get the right digest, so that what lies behind that check is reached.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]

# Coverage is counted in these.
INSTRUMENTED = ("container", "fields", "state_file", "store", "subset", "ticket")


def fuzz(seconds: int, corpus: Path) -> dict[str, Any]:
    """Fuzz in a child process and return what came of it.

    Args:
        seconds: How long.
        corpus: Folder of inputs, made and filled with good files if need be; what reaches new code
            is added to it.

    Returns:
        `inputs` tried, `refused` with a PracError, `read` as valid, `crashed` (inputs saved),
        `crashes` (their paths), `seconds`, and `log`, the end of what atheris said.
    """
    from torture.hostile import KINDS, good_file

    corpus = corpus.resolve()
    corpus.mkdir(parents=True, exist_ok=True)
    crashes = corpus / "crashes"
    crashes.mkdir(exist_ok=True)
    for number, kind in enumerate(KINDS):
        for repaired in (0, 1):
            seed = bytes([2 * number + repaired]) + good_file(kind)
            (corpus / f"good-{kind}-{repaired}").write_bytes(seed)
    with tempfile.TemporaryDirectory() as folder:
        counts = Path(folder) / "counts.json"
        command = [sys.executable, "-m", "torture.fuzz_ticket", "--child", str(counts)]
        command += [str(corpus), f"-artifact_prefix={crashes}/", f"-max_total_time={seconds}"]
        command += ["-max_len=8192", "-timeout=30", "-rss_limit_mb=4096", "-verbosity=1"]
        started = time.perf_counter()
        done = subprocess.run(
            command, cwd=ROOT, capture_output=True, text=True, errors="replace", check=False
        )
        found: dict[str, Any] = {"inputs": 0, "refused": 0, "read": 0}
        if counts.exists():
            found |= json.loads(counts.read_text())
    saved = sorted(str(path) for path in crashes.iterdir())
    found |= {"crashed": max(len(saved), int(done.returncode != 0)), "crashes": saved}
    found |= {"seconds": time.perf_counter() - started, "log": done.stderr[-3000:]}
    return found


def _child(counts: Path, arguments: Sequence[str]) -> None:
    """Fuzz until the time is over; atheris ends the process."""
    import atheris  # type: ignore[import-untyped, import-not-found, unused-ignore]

    with atheris.instrument_imports(include=[f"prac.{name}" for name in INSTRUMENTED]):
        from torture import hostile

    from prac.errors import PracError

    found = {"inputs": 0, "refused": 0, "read": 0}
    path = Path(tempfile.mkdtemp()) / "input"
    written = time.monotonic()

    def one_input(data: bytes) -> None:
        nonlocal written
        if not data:
            return
        kind = hostile.KINDS[data[0] // 2 % len(hostile.KINDS)]
        whole = hostile.with_right_digest(data[1:]) if data[0] % 2 else data[1:]
        path.write_bytes(whole)
        found["inputs"] += 1
        try:
            hostile.READERS[kind](path)
            found["read"] += 1
        except PracError as error:
            if not str(error).isprintable() or not str(error).startswith(f"{path}: "):
                raise AssertionError(f"no clear line: {error!r}") from error
            found["refused"] += 1
        if time.monotonic() > written + 0.2:
            # Now and then, since atheris ends the process without a word.
            counts.write_text(json.dumps(found))
            written = time.monotonic()

    atheris.Setup([sys.argv[0], *arguments], one_input)
    atheris.Fuzz()


def main(arguments: Sequence[str]) -> int:
    """Run the command and return 1 where something crashed."""
    parser = argparse.ArgumentParser(prog="python -m torture.fuzz_ticket")
    parser.add_argument("--seconds", type=int, default=60, help="how long to fuzz (default: 60)")
    parser.add_argument("--corpus", type=Path, required=True, help="folder of inputs")
    parser.add_argument("--json", type=Path, default=None, help="where to write what was found")
    options = parser.parse_args(arguments)
    found = fuzz(options.seconds, options.corpus)
    if options.json is not None:
        options.json.write_text(json.dumps(found, indent=2) + "\n")
    print(
        f"{found['inputs']} inputs: {found['refused']} refused, {found['read']} read, "
        f"{found['crashed']} crashed"
    )
    if found["crashed"]:
        print(found["log"], file=sys.stderr)
    return int(found["crashed"] > 0)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--child"]:
        _child(Path(sys.argv[2]), sys.argv[3:])
    else:
        sys.exit(main(sys.argv[1:]))
