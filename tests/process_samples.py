"""Two processes that work together as those of a launcher do, without one."""

import os
from collections.abc import Callable
from pathlib import Path

import torch
from torch import multiprocessing

PROCESSES = 2

Work = Callable[[int, Path], None]


def in_two_processes(work: Work, folder: Path) -> None:
    """Run `work(rank, folder)`, a function of a module, in two new processes; raises what one raises."""
    multiprocessing.spawn(_enter, args=(work, folder), nprocs=PROCESSES)


def _enter(rank: int, work: Work, folder: Path) -> None:
    os.environ |= {
        "GLOO_SOCKET_IFNAME": "lo",
        "RANK": str(rank),
        "LOCAL_RANK": str(rank),
        "WORLD_SIZE": str(PROCESSES),
        "LOCAL_WORLD_SIZE": str(PROCESSES),
    }
    torch.set_num_threads(1)
    torch.distributed.init_process_group(
        "gloo", init_method=f"file://{folder}/meeting-point", rank=rank, world_size=PROCESSES
    )
    try:
        work(rank, folder)
    finally:
        torch.distributed.destroy_process_group()
