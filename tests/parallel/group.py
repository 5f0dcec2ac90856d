"""Processes that work together: one function run by every rank, its results by rank 0."""

from __future__ import annotations

import json
import os
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist

Work = Callable[..., Any]


def run(world: int, work: Work, folder: Path, *args: object) -> Any:
    """What `work(*args)` gives on rank 0, every rank in a process of its own."""
    folder.mkdir(parents=True, exist_ok=True)
    torch.multiprocessing.spawn(_rank, (world, work, folder, args), nprocs=world)
    return json.loads((folder / "results.json").read_text())


def _rank(rank: int, world: int, work: Work, folder: Path, args: tuple[object, ...]) -> None:
    warnings.simplefilter("ignore")
    os.environ["OMP_NUM_THREADS"] = "1"
    torch.set_num_threads(1)
    store = f"file://{folder / 'store'}"
    dist.init_process_group("gloo", init_method=store, rank=rank, world_size=world)
    results = work(*args)
    if rank == 0:
        (folder / "results.json").write_text(json.dumps(results))
    dist.barrier()
    dist.destroy_process_group()
