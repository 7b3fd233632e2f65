"""Requests that wait to be judged: a few threads take what has come, and do it in one pass.

A request by itself costs the same turns of locks, threads and disk as sixty of them. So a free clerk takes
everything that waits, up to a batch: with little to do that is one request at once, with much to do many.
While some clerks wait for the model or the disk, the others make the next batches ready; but only two of them
take less than a full batch, for else many small requests would be done in many small batches.
"""

import asyncio
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, TypeVar

from hyperaware.server.batching import QueueFull
from hyperaware.server.supervisor import WorkerDown

__all__ = ["Docket"]

T = TypeVar("T")
R = TypeVar("R")
CLERKS = 6
EAGER = 2
"""Clerks who take what there is; while so many are busy, the others wait for a full batch."""


@dataclass(frozen=True)
class _Waiting:
    """A request, and where its answer goes."""

    work: Callable[[list[Any]], Sequence[Any]]
    request: Any
    weight: int
    loop: asyncio.AbstractEventLoop
    answer: asyncio.Future[Any]
    since: float = field(default_factory=time.monotonic)


class Docket:
    """Hands requests to its clerks, who do those that wait for the same work together.

    Args:
        most: weight that is done together.
        limit: weight that may wait.
        seconds: how long a request may wait.
        behind: tells the weight that waits further on, which counts towards the limit.
    """

    def __init__(
        self, *, most: int, limit: int, seconds: float, behind: Callable[[], int] = lambda: 0
    ) -> None:
        self.most, self._limit, self._seconds, self._behind = most, limit, seconds, behind
        self._queue: deque[_Waiting] = deque()
        self._weight = 0
        self._busy = 0
        self._closed = False
        self._changed = threading.Condition()
        self._clerks = [
            threading.Thread(target=self._run, name=f"clerk-{number}", daemon=True)
            for number in range(CLERKS)
        ]
        for clerk in self._clerks:
            clerk.start()

    @property
    def depth(self) -> int:
        """The weight that waits."""
        return self._weight

    async def done(self, work: Callable[[list[T]], Sequence[R | Exception]], request: T, *, weight: int) -> R:
        """What `work` makes of the request: it is given several at once, and gives an answer for each, or the
        exception that is raised here.

        Raises:
            QueueFull: too much waits.
            WorkerDown: the server is stopping, or nobody came to it in time.
        """
        loop = asyncio.get_running_loop()
        waiting = _Waiting(work, request, weight, loop, loop.create_future())
        with self._changed:
            if self._closed:
                raise WorkerDown("the server is stopping")
            before = self._weight + self._behind()
            if before + weight > self._limit:
                raise QueueFull(f"{before} inputs wait for the model; at most {self._limit} may")
            self._queue.append(waiting)
            self._weight += weight
            self._wake()
        return await waiting.answer

    def close(self) -> None:
        """Take no more, and let go of what still waits."""
        with self._changed:
            self._closed = True
            left, self._weight = list(self._queue), 0
            self._queue.clear()
            self._changed.notify_all()
        _hand_out(left, [WorkerDown("the server is stopping")] * len(left))
        for clerk in self._clerks:
            clerk.join()

    @property
    def _is_due(self) -> bool:
        """Whether a clerk who is free is to begin."""
        return bool(self._queue) and (self._busy < EAGER or self._weight >= self.most)

    def _wake(self) -> None:
        if self._is_due:
            self._changed.notify()

    def _run(self) -> None:
        while group := self._next():
            answers: Sequence[Any]
            earliest = time.monotonic() - self._seconds
            try:
                if group[0].since < earliest:  # the longest wait; those behind it have hardly waited less
                    raise WorkerDown(f"nobody came to the request within {self._seconds:g} s")
                answers = group[0].work([each.request for each in group])
            except Exception as error:  # whatever it is, the requests are told: nobody else would be
                answers = [error] * len(group)
            _hand_out(group, answers)
            with self._changed:
                self._busy -= 1

    def _next(self) -> list[_Waiting]:
        """What is done together next; nothing at the end."""
        with self._changed:
            self._changed.wait_for(lambda: self._closed or self._is_due)
            group: list[_Waiting] = []
            weight = 0
            while self._queue and (not group or self._joins(group[0], weight)):
                group.append(self._queue.popleft())
                weight += group[-1].weight
            self._weight -= weight
            self._busy += 1
            self._wake()
            return group

    def _joins(self, first: _Waiting, weight: int) -> bool:
        """Whether the next request is done together with those that were taken."""
        following = self._queue[0]
        return following.work is first.work and weight + following.weight <= self.most


def _hand_out(group: Sequence[_Waiting], answers: Sequence[Any]) -> None:
    """Give each request its answer, all in one turn of the event loop."""

    def give() -> None:
        for waiting, answer in zip(group, answers, strict=True):
            if waiting.answer.cancelled():  # its client is gone
                continue
            if isinstance(answer, Exception):
                waiting.answer.set_exception(answer)
            else:
                waiting.answer.set_result(answer)

    if group:
        with suppress(RuntimeError):  # the loop has ended: nobody waits
            group[0].loop.call_soon_threadsafe(give)
