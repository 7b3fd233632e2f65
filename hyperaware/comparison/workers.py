"""Cells worked on in processes of their own, which keep decoded rows from one cell to the next."""

import contextlib
import multiprocessing
import signal
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from queue import Empty, Queue
from typing import Any

import torch

from hyperaware.comparison.cells import Cell, Progress, make
from hyperaware.comparison.measure import measure
from hyperaware.data.quadruplet import Row
from hyperaware.errors import HyperawareError

__all__ = ["worked"]

LISTEN = 0.5
"""Seconds between two looks at what the workers say."""

_said: "Queue[tuple[str, int, int]] | None" = None


def worked(
    todo: Sequence[Cell],
    rows: Mapping[str, list[Row]],
    queries: Sequence[int],
    *,
    jobs: int,
    progress: Progress,
) -> Iterator[tuple[Cell, dict[str, Any]]]:
    """Each cell and what came of it, in the order in which they end: what `make` told, or `failed`.

    Interrupted, the workers are ended; cells go on another time from what they have written.
    """
    if jobs == 1:
        for number, cell in enumerate(todo, start=1):
            yield cell, _attempt(cell, rows, queries, progress)
            progress("cells", number, len(todo))
        return
    context = multiprocessing.get_context("spawn")
    with context.Manager() as manager:
        said: Any = manager.Queue()
        pool = ProcessPoolExecutor(
            min(jobs, len(todo)), mp_context=context, initializer=_begin, initargs=(said,)
        )
        try:
            futures = {pool.submit(_work, cell, rows, queries): cell for cell in todo}
            for number, future in enumerate(_ended(set(futures), said, progress), start=1):
                progress("cells", number, len(todo))
                yield futures[future], _came(future)
        except BaseException:
            for process in pool._processes.values():
                process.terminate()
            pool.shutdown(cancel_futures=True)
            raise
        pool.shutdown()


def _ended(futures: set[Future], said: Any, progress: Progress) -> Iterator[Future]:
    while futures:
        ended, futures = wait(futures, timeout=LISTEN, return_when=FIRST_COMPLETED)
        with contextlib.suppress(Empty):
            while True:
                progress(*said.get_nowait())
        yield from ended


def _came(future: Future) -> dict[str, Any]:
    try:
        return future.result()
    except BrokenProcessPool:
        return {"failed": "its process died (out of memory, or killed). Run the same command again."}


def _begin(said: Any) -> None:
    """Of each worker: one thread, and somewhere to say how far it is."""
    global _said
    _said = said
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides, and ends its workers
    torch.set_num_threads(1)


def _work(cell: Cell, rows: Mapping[str, list[Row]], queries: Sequence[int]) -> dict[str, Any]:
    def say(what: str, done: int, total: int) -> None:
        if _said is not None and (done % 20 == 0 or done == total):
            _said.put((what, done, total))

    return _attempt(cell, rows, queries, say)


def _attempt(
    cell: Cell, rows: Mapping[str, list[Row]], queries: Sequence[int], progress: Progress
) -> dict[str, Any]:
    name = f"{cell.contender.name}, seed {cell.seed}"

    def say(what: str, done: int, total: int) -> None:
        progress(f"{name}: {what}", done, total)

    try:
        told = make(cell, rows["train"], say)
        found = measure(cell, rows, queries, say)
    except HyperawareError as error:
        return {"failed": str(error)}
    return told | found | {"unread": told["unread"] | found["unread"]}
