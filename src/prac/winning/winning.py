"""One ticket that wins, and its proof, for the least: what is asked for, and what is refused."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Unpack

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from prac.comparison import MethodSpec, shared_settings
from prac.config import SearchConfig, check_bounds
from prac.data import as_examples
from prac.errors import FolderError, PracError, check_listed, unknown_name
from prac.evaluation import CONTROLS, SEEDS, check_seeds
from prac.io import check_new, check_same, has_trained
from prac.runs import Lock, check_same_measure
from prac.search import parameters_of, planned
from prac.training import CLASSIFICATION, Problem, RunKeywords, RunOptions, Task, check_device
from prac.utils import seeded
from prac.winning.climbing import Climb, Shared
from prac.winning.ladder import LADDER, WITH_BATCHNORM, rungs
from prac.winning.result import WIN_FILE, Win


def win(
    make_model: Callable[[], nn.Module],
    train: Any,
    config: SearchConfig,
    *,
    out: str | Path,
    methods: Sequence[str] | None = None,
    seeds: Sequence[int] = SEEDS,
    within: int = 2,
    budget: float | None = None,
    density: float | None = None,
    controls: Sequence[str] = ("reinitialised",),
    val: Any = None,
    test: Any = None,
    task: Task = CLASSIFICATION,
    recipe: Mapping[str, Any] | None = None,
    **run: Unpack[RunKeywords],
) -> Win:
    """Find the sparsest ticket that does as well as the dense network, and prove it, for the least.

    Searches by the cheapest method, and trains tickets alone over seeds, no more of them than
    bisection asks for. Where these miss, the next, dearer method goes on from the sparsest ticket
    that matched, until the sparsest matching density is bracketed, or the budget is spent. Ends
    with one ticket, its verdict with controls, and one ledger of search and proof beside what
    iterative magnitude pruning to one such ticket and its proof costs.

    All is kept by content in the folder: called again it continues, whatever stopped it, and with
    other methods, seeds or bounds it trains only what is new.

    Args:
        make_model: Makes a fresh network, its weights drawn from torch's generator.
        train: All training examples, as `prac.find` takes them.
        config: What the searches share: levels, rewind point, training, seed; each method's own
            parts take the place of its own.
        out: The folder.
        methods: By name, the cheapest first; as `prac.compare` takes them, but at their own cost.
            Unless given, `prac.winning.LADDER`, or `WITH_BATCHNORM` where the network has it.
        seeds: Of the trainings that prove; at least two, since one decides nothing.
        within: How many levels the sparsest ticket that matches and the densest that misses may be
            apart.
        budget: Full trainings' worth of iterations that searches and proof may take together.
        density: Only the ticket at this density, or the next below it, is looked for.
        controls: What the ticket is held against in the end; see `prac.judge`.
        val: Held-out examples that choose the best epochs.
        test: Examples that accuracies are measured on.
        task: Loss and correctness.
        recipe: Settings that model and data were made from, by flat name.
        **run: device, callback, run_control, accept_changes, threads: the fields of
            `prac.RunOptions`.

    Raises:
        PracError: On what does not fit, in one line, before anything is trained.
        Interrupted: If the run control says to stop; the same call continues.

    Example:
        `prac.win(Net, train, config, val=val, test=test, out="runs/win").ticket` is the file.
    """
    if isinstance(make_model, nn.Module):
        raise PracError(
            "make_model is a network: expected what makes a fresh one when called, such as its "
            "class, since each training alone begins with one"
        )
    options, path = RunOptions.of(run), Path(out)
    check_proof(seeds, within, controls)
    specs = rungs(LADDER if methods is None else methods, config)
    if test is None:
        raise PracError(
            "winning is a matter of results on test data, and there is no test data: give a "
            "data set that has a test split (in Python, pass test=)"
        )
    check_new(path, "new_win", "win", error=FolderError)
    train = as_examples(train, "the training data")
    val = None if val is None else as_examples(val, "the validation data")
    runtime = options.runtime(config.train.precision)
    test = as_examples(test, "the test data").to(runtime.device)
    with seeded(config.seed):
        model = make_model()
    if methods is None:
        methods = ladder(model)
        specs = rungs(methods, config)
    problem = Problem.of(model, train, val, task=task, runtime=runtime, config=config.train)
    problem.check("test", test)
    check_device(config.train.execution, problem.runtime.device)
    for spec in specs:
        _check_rung(problem, spec)
    plan, names = planned(problem, config), dict(recipe or {})
    settings = {**shared_settings(config), "seed": config.seed, **names}
    begun = Win(
        path,
        tuple(methods),
        tuple(seeds),
        config.levels,
        within,
        budget,
        density,
        tuple(dict.fromkeys(controls)),
        json.loads(json.dumps(settings)),  # As JSON gives them back.
        plan.imp_level(0 if val is None else len(val)),
        measure=task.measure,
    )
    densities = plan.densities
    shared = Shared(make_model, problem, val, test, config, densities, task, names, options)
    target = None if density is None else level_at(density, densities)
    climb = Climb(shared, specs, begun, target)
    if budget is not None and climb.least() > budget * begun.full.iterations:
        raise PracError(
            f"budget is {budget:g} full trainings, but the first search, the dense network and one "
            f"ticket with its controls may take {climb.least() / begun.full.iterations:.4g}: raise "
            f"it, or name fewer seeds or controls"
        )
    options.note(parameters_of(problem, config).sentence())
    for line in problem.notices():
        options.warn(line)
    with Lock(path):
        _check_begun_alike(begun)
        begun.write()
        return climb.run()


def ladder(model: nn.Module) -> tuple[str, ...]:
    """Return the methods to try with a network where nobody names them.

    >>> ladder(nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8)))[0], ladder(nn.Linear(4, 2))[0]
    ('carried', 'frugal')
    """
    has_batchnorm = any(isinstance(module, _BatchNorm) for module in model.modules())
    return WITH_BATCHNORM if has_batchnorm else LADDER


def check_proof(seeds: Sequence[int], within: int, controls: Sequence[str]) -> None:
    """Raise a PracError where what is to prove a ticket cannot."""
    check_seeds(seeds)
    if len(seeds) < 2:
        raise PracError(
            f"seeds are {list(seeds)}: one says nothing of the next, and proves no ticket: name at "
            f"least 2"
        )
    check_bounds("within", within, {"at_least": 1})
    check_listed("controls", controls)
    for name in controls:
        if name not in CONTROLS:
            raise unknown_name("control", name, CONTROLS)


CLOSE = 5e-5
"""Densities this near are one: counts are whole weights, and people round."""


def level_at(density: float, densities: Sequence[float]) -> int:
    """Return the level at a density, or the next below it.

    Raises:
        PracError: If there is none, or it is the dense network.

    >>> level_at(0.7, [1.0, 0.8, 0.64]), level_at(0.8, [1.0, 0.8, 0.64])
    (2, 1)
    """
    found = [level for level, of in enumerate(densities) if of <= density + CLOSE]
    if not found or not 0 < density < 1:
        raise PracError(
            f"density is {density:g}: expected {densities[-1]:.4g}, ticket {len(densities) - 1}'s, "
            f"to below 1; more levels reach further"
        )
    return found[0]


def _check_rung(problem: Problem, spec: MethodSpec) -> None:
    try:
        planned(problem, spec.config)
    except PracError as error:
        raise PracError(f"method {spec.name!r}: {error}") from error


def _check_begun_alike(begun: Win) -> None:
    """Raise a FolderError where something was trained in the folder with other settings."""
    if (begun.path / WIN_FILE).exists():
        known = Win.load(begun.path)
        if any(map(has_trained, begun.path.glob("searches/*/*"))):
            # More levels are other searches, of the same dense network.
            wanted = {name: of for name, of in begun.settings.items() if name != "levels"}
            check_same(begun.path, known.settings, wanted)
            check_same_measure(begun.path, known.measure, begun.measure)
