"""The same bits from the same work on one kind of GPU: what torch leaves open is settled."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import torch

from prac.errors import PracError
from prac.training.threads import with_threads

# One workspace for each stream: with the default, sums may be split by what else is under way.
CUBLAS_WORKSPACE = ":4096:8"


@contextmanager
def reproducible(device: torch.device, threads: int | None = None) -> Iterator[None]:
    """Let a GPU give the same bits each time, and fp32 be fp32; on CPUs it already does.

    What is done on the CPU is done by so many threads, or by the process's own number. cuDNN and
    torch choose deterministic kernels, none by timing, and multiply float32 as such (no TF32). What
    has no deterministic kernel runs all the same: `noting_randomness` tells of it. The process's
    own settings are put back at the end. Gradients are taken.

    Raises:
        PracError: If it is entered within `torch.autocast`.
    """
    if torch.is_autocast_enabled(device.type):
        # Within another's autocast, weights that are cast once would stay so from step to step.
        raise PracError(
            "this is called within torch.autocast: call it outside; train.precision 'bf16' has "
            "steps run so"
        )
    # Whoever calls may be within another's pass that takes no gradients.
    with torch.inference_mode(False), torch.enable_grad():
        if device.type != "cuda":
            with with_threads(threads):
                yield
            return
        with _same_bits(threads):
            yield


@contextmanager
def _same_bits(threads: int | None) -> Iterator[None]:
    """Settle what torch leaves open on a GPU."""
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", CUBLAS_WORKSPACE)
    with with_threads(threads), _put_back():
        torch.backends.cudnn.deterministic, torch.backends.cudnn.benchmark = True, False
        torch.use_deterministic_algorithms(True, warn_only=True)
        # It would fill each new tensor: a kernel more for every one that a step makes.
        torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
        # What all operations inherit; then each, by the older of torch's two interfaces, which
        # keeps both of them in agreement.
        for inherited in _precise(torch.backends, torch.backends.cudnn):
            inherited.fp32_precision = "none"
        torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = False
        torch.set_float32_matmul_precision("highest")
        with warnings.catch_warnings():
            # It is not the user who asked for it.
            warnings.filterwarnings("ignore", message=_NONE_THERE.format(".*"))
            yield


_NONE_THERE = "{} does not have a deterministic implementation"


@contextmanager
def noting_randomness(found: set[str]) -> Iterator[None]:
    """Add to `found` the operations that run meanwhile and have no deterministic kernel."""
    with warnings.catch_warnings(record=True) as told:
        warnings.filterwarnings("always", message=_NONE_THERE.format(".*"))
        yield
    behind = _NONE_THERE.format("")
    for warning in told:
        operation, is_it, _ = str(warning.message).partition(behind)
        if is_it:
            found.add(operation)
        else:
            warnings.warn_explicit(
                warning.message, warning.category, warning.filename, warning.lineno
            )


def settled() -> dict[str, Any]:
    """Return what `reproducible` settles, as it is now: what a resumed run must find again."""
    return {
        "cudnn": torch.backends.cudnn.version(),
        "deterministic": torch.are_deterministic_algorithms_enabled(),
        "tf32": torch.backends.cuda.matmul.allow_tf32 or torch.backends.cudnn.allow_tf32,
    }


@contextmanager
def _put_back() -> Iterator[None]:
    """Put back the process's settings of all that `reproducible` changes."""
    cudnn, matmul = torch.backends.cudnn, torch.backends.cuda.matmul
    deterministic: Any = torch.utils.deterministic
    of_cudnn = cudnn.deterministic, cudnn.benchmark
    enabled = torch.are_deterministic_algorithms_enabled()
    warn_only = torch.is_deterministic_algorithms_warn_only_enabled()
    products: str | None = None
    with suppress(RuntimeError):  # Set by both interfaces: the newer one's are put back below.
        products = torch.get_float32_matmul_precision()
    fills = deterministic.fill_uninitialized_memory
    conv, rnn = getattr(cudnn, "conv", None), getattr(cudnn, "rnn", None)
    places = _precise(torch.backends, cudnn, conv, rnn, matmul)
    precisions = [one.fp32_precision for one in places]
    # Where operations differ, the older interface would only tell that it cannot say.
    allowed = (
        (precisions[2] == "tf32", precisions[4] == "tf32")
        if len(places) == 5
        else (cudnn.allow_tf32, matmul.allow_tf32)
    )
    try:
        yield
    finally:
        cudnn.deterministic, cudnn.benchmark = of_cudnn
        torch.use_deterministic_algorithms(enabled, warn_only=warn_only)
        deterministic.fill_uninitialized_memory = fills
        cudnn.allow_tf32, matmul.allow_tf32 = allowed
        if products is not None:
            torch.set_float32_matmul_precision(products)
        for one, precision in zip(places, precisions, strict=True):
            if one.fp32_precision != precision:
                one.fp32_precision = precision


def _precise(*places: Any) -> list[Any]:
    """Return the places that say how precise float32 is: since torch 2.9 each operation does."""
    return [place for place in places if hasattr(place, "fp32_precision")]
