"""accelerate's loop finds what a loop by hand finds; in two processes every example counts once."""

from __future__ import annotations

import os
import socket
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.multiprocessing.spawn import spawn
from torch.utils.data import DataLoader, TensorDataset

import prac
from prac.loops import from_rank_0, with_ids
from tests.loops.levels import BATCH, CONFIGS, KilledError, Order, by_hand, net, pair, settings
from tests.loops.test_attaching import holds
from tests.search.test_asking import same

accelerate: Any = pytest.importorskip("accelerate")
pytestmark = pytest.mark.filterwarnings("ignore")


def searched(
    out: Path, data: tuple[Tensor, Tensor], config: prac.SearchConfig, killed: int = -1
) -> list[tuple[int, int]]:
    """Search by all processes that there are; return each level's set size and epochs' counts."""
    x, y = data
    loading = accelerate.DataLoaderConfiguration(even_batches=False)
    alone = int(os.environ.get("WORLD_SIZE", "1")) == 1
    more = {"dataloader_config": loading} if alone else {}
    accelerator = accelerate.Accelerator(cpu=True, **more)
    bare, counts = net(), []
    search: Any = None
    if accelerator.is_main_process:
        search = prac.Search.begin(out, net(), examples=len(x), config=config)
    try:
        while (level := from_rank_0(search and search.ask())) is not None:
            level.apply(bare)
            sgd = torch.optim.SGD(bare.parameters(), lr=0.1, momentum=0.9)
            batch = BATCH // accelerator.num_processes
            examples = with_ids(TensorDataset(x, y), level.ids)
            loader = DataLoader(examples, batch_size=batch, sampler=Order(level))
            model, optimizer, loader = accelerator.prepare(bare, sgd, loader)
            schedule = level.schedule(sgd)
            ends: Any = False
            with prac.attach(model, optimizer, level.masks):
                while not ends:
                    before = level.forgetting.count
                    for ids, inputs, labels in loader:
                        outputs = model(inputs)
                        optimizer.zero_grad()
                        accelerator.backward(F.cross_entropy(outputs, labels))
                        optimizer.step()
                        schedule.step()
                        assert holds(bare, level.masks)
                        right = outputs.argmax(1) == labels
                        level.forgetting.record(*accelerator.gather_for_metrics((ids, right)))
                        if level.end_step(model):
                            break
                    counts.append((len(level.ids), level.forgetting.count - before))
                    right = (bare(x).argmax(1) == y).sum()
                    ends = search and level.end_epoch(model, val_accuracy=float(right) / len(y))
                    ends = from_rank_0(ends)
            accelerator.free_memory()
            if search:
                if level.index == killed:
                    raise KilledError
                search.tell(level, bare, predictions=lambda model: model(x).argmax(1))
    finally:
        if search:
            search.close()
    return counts


@pytest.mark.parametrize("name", CONFIGS)
def test_its_loop_finds_what_a_loop_by_hand_finds(name, digits, tmp_path):
    config = settings(**CONFIGS[name])
    searched(tmp_path / "mine", pair(digits), config)
    same(prac.Search.load(tmp_path / "mine"), by_hand(tmp_path / "hand", digits, config))


def test_killed_in_a_level_it_resumes(digits, tmp_path):
    config, data = settings(rewind="iteration:7"), pair(digits)
    with pytest.raises(KilledError):
        searched(tmp_path / "cut", data, config, killed=1)
    searched(tmp_path / "cut", data, config)
    same(prac.Search.load(tmp_path / "cut"), by_hand(tmp_path / "hand", digits, config))


def _rank(rank: int, port: int, out: Path, data: tuple[Tensor, Tensor]) -> None:
    torch.set_num_threads(1)
    os.environ |= {
        "RANK": str(rank),
        "LOCAL_RANK": str(rank),
        "WORLD_SIZE": "2",
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
    }
    config = settings(levels=2, rewind="iteration:7")
    counts = searched(out / "run", data, config)
    torch.save(counts, out / f"{rank}.pt")
    torch.distributed.destroy_process_group()


def test_in_two_processes_an_epoch_counts_every_example_once(digits, tmp_path):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    # The last batch has three examples: accelerate gives one of the first to the second process.
    x, y = pair(digits)
    spawn(_rank, args=(port, tmp_path, (x[:283], y[:283])), nprocs=2)
    first, second = torch.load(tmp_path / "0.pt"), torch.load(tmp_path / "1.pt")
    assert first == second
    assert all(size == count for size, count in first)
    found = prac.Search.load(tmp_path / "run")
    assert found.finished
    assert found.levels[0].cost.examples_trained == 4 * 283
    assert found.levels[0].iterations == 32
