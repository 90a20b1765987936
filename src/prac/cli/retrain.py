"""`prac retrain`: train one ticket alone on all data."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from prac.cli.given import check_used
from prac.cli.options import add_run_options, add_settings, options_and_recipe, running, tracked
from prac.cli.output import print_json
from prac.cli.parser import Parser
from prac.cli.recorded import load_problem, own_settings
from prac.config import RetrainRecipe, flat
from prac.io import check_kind, in_level, told_newly
from prac.monitor import Progress
from prac.utils import printable


def parser(defaults: Mapping[str, Any] | None = None) -> Parser:
    """Return the parser of `prac retrain`, with a ticket's own settings as defaults."""
    made = Parser(
        prog="prac retrain",
        usage="%(prog)s TICKET [OPTION ...]",
        description="Train a ticket alone on all data, by its search's settings unless told\n"
        "otherwise. The same command again resumes.",
        examples=(
            "prac retrain runs/quickstart-prac/levels/08/ticket.safetensors",
            "prac retrain net.ticket.safetensors --seed 1 --epochs 20 --out runs/again",
        ),
    )
    made.argument("ticket", metavar="TICKET", help="a ticket file, or the folder of its level")
    made.config_file()
    made.option(
        "out", metavar="DIR", help="folder (default: runs/retrain-DIGEST, of ticket and settings)"
    )
    add_run_options(made, tracked=True)
    add_settings(made, RetrainRecipe, "other", defaults, recorded=True)
    return made


def run(arguments: Sequence[str]) -> int:
    """Run `prac retrain` and return its exit status."""
    path = in_level(parser().parse(arguments).ticket, "ticket.safetensors")
    from prac.runs import Ticket

    ticket = Ticket.load(path)
    own = own_settings(path, ticket.provenance.get("settings", {}), RetrainRecipe, arguments)
    options, recipe = options_and_recipe(parser(own), arguments, RetrainRecipe)
    check_used(arguments, flat(recipe))
    told = json.dumps([ticket.digest, told_newly(flat(recipe))], sort_keys=True)
    digest = hashlib.sha256(told.encode()).hexdigest()[:12]
    out = Path(options.out or f"runs/retrain-{digest}")
    check_kind(out, "run", "retraining")  # Before any data is loaded.
    progress = Progress(quiet=options.quiet)
    with running(options, progress) as run_options:
        from prac.evaluation import retrain

        data, make_model, task = load_problem(recipe, options.workers, progress)
        model = make_model(recipe.seed)
        with tracked(run_options, options, progress, out, data.train) as keywords:
            retrain(
                ticket,
                model,
                data.train,
                recipe.train,
                val=data.val,
                test=data.test,
                seed=recipe.seed,
                out=out,
                task=task,
                recipe=recipe.names,
                **keywords,
            )
    _show(out, options.json)
    return 0


def _show(out: Path, as_json: bool) -> None:
    from prac.evaluation import read_history

    history = read_history(out)
    if as_json:
        print_json({"out": str(out), **asdict(history)})
        return
    measure = history.metric
    values = {"validation": history.val_metric, "test": history.test_metric}
    found = {f"{k} {measure.name}": measure.text(v) for k, v in values.items() if v is not None}
    shown = ", ".join(f"{name} {value}" for name, value in found.items())
    print(
        f"density {history.density:.2%}: {shown or 'no held-out data'} (best epoch "
        f"{history.best_epoch}, {history.cost.iterations} iterations, {history.cost.seconds:.1f} s)"
    )
    print(f"trained weights: {printable(str(out))}/trained.safetensors")
