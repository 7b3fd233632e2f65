"""Dynamic batching: inputs of concurrent requests share forward passes; wait and queue are bounded."""

import threading
import time
from collections import deque
from collections.abc import Sequence
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FuturesTimeout
from typing import Any, Literal, NamedTuple, get_args

import numpy as np

from hyperaware.server.supervisor import Supervisor, WorkerDown
from hyperaware.server.wire import Message

__all__ = ["Answer", "Batch", "Batcher", "Job", "Kind", "QueueFull"]

Kind = Literal["text", "fitting", "image"]
"""Texts, cut to the context; texts that must not be cut; pictures."""


class QueueFull(Exception):
    """As many inputs wait as may wait."""


class Answer(NamedTuple):
    """What the model says of the inputs of a job."""

    points: np.ndarray
    """(k, d) float32, of the inputs that fit the model's context."""
    fit: list[bool]
    """Of each input, whether it does: always, where it may be cut."""


class Job:
    """The inputs of one request: texts, or crops (size, size, 3) uint8; and the answer to come."""

    def __init__(self, kind: Kind, inputs: Sequence[Any]) -> None:
        self.kind: Kind = kind
        self.inputs = inputs
        self.answer: Future[Answer] = Future()
        self.since = time.monotonic()

    def __len__(self) -> int:
        return len(self.inputs)


class Batch:
    """Jobs of one kind that go through the model together: a `Work` of the supervisor's line."""

    def __init__(self, jobs: list[Job]) -> None:
        self.jobs = jobs

    def message(self) -> tuple[dict[str, Any], bytes]:
        inputs = [each for job in self.jobs for each in job.inputs]
        if self.jobs[0].kind != "image":
            return {"do": self.jobs[0].kind, "texts": inputs}, b""
        crops = np.stack(inputs)
        return {"do": "image", "count": len(crops), "size": crops.shape[1]}, crops.tobytes()

    def answered(self, message: Message) -> None:
        """Hand each job its answer. One without a finite point for each input that fits fails them all."""
        inputs = sum(map(len, self.jobs))
        try:
            points = np.frombuffer(message.body, dtype="<f4").reshape(message.head["shape"])
            fit = [True] * inputs if self.jobs[0].kind != "fitting" else list(map(bool, message.head["fit"]))
        except (KeyError, ValueError):  # it said {"error": ...}
            self.failed(WorkerDown("the model could not encode the inputs"))
            return
        if len(fit) != inputs or len(points) != sum(fit) or not np.isfinite(points).all():
            self.failed(WorkerDown("the model gave no finite point for each input"))
            return
        first = row = 0
        for job in self.jobs:
            own = fit[first : first + len(job)]
            job.answer.set_result(Answer(points[row : row + sum(own)], own))
            first, row = first + len(job), row + sum(own)

    def failed(self, error: Exception) -> None:
        for job in self.jobs:
            job.answer.set_exception(error)


class Batcher:
    """Collects jobs into batches and hands them to the model's line.

    A batch goes when it is full, or when its first job has waited `wait` seconds. The inputs of a request
    make jobs of at most a batch, and these are not cut any further.

    Args:
        size: inputs of a batch.
        limit: inputs that may wait.
    """

    def __init__(self, supervisor: Supervisor, *, size: int, wait: float, limit: int) -> None:
        self._supervisor, self._size, self._wait = supervisor, size, wait
        self.limit = limit
        self._queues: dict[Kind, deque[Job]] = {kind: deque() for kind in get_args(Kind)}
        self._waiting = 0
        self._changed = threading.Condition()
        self._closed = False
        self._thread = threading.Thread(target=self._run, name="batcher", daemon=True)
        self._thread.start()

    @property
    def depth(self) -> int:
        """Inputs that wait."""
        return self._waiting

    def answer(self, kind: Kind, inputs: Sequence[Any], *, seconds: float) -> Answer:
        """The points of texts or crops, and which of them fit; waits for them.

        Raises:
            QueueFull: too many inputs wait.
            WorkerDown: the model died, or gave nothing within `seconds`.
        """
        self._supervisor.line()  # so that nobody waits for a model that is not there
        pieces = [inputs[start : start + self._size] for start in range(0, len(inputs), self._size)]
        jobs = [Job(kind, piece) for piece in pieces]
        with self._changed:
            if self._closed:
                raise WorkerDown("the server is stopping")
            if self._waiting + len(inputs) > self.limit:
                raise QueueFull(f"{self._waiting} inputs wait for the model; at most {self.limit} may")
            self._queues[kind].extend(jobs)
            self._waiting += len(inputs)
            self._changed.notify()
        end = time.monotonic() + seconds
        try:
            answers = [job.answer.result(timeout=max(0, end - time.monotonic())) for job in jobs]
        except FuturesTimeout as error:
            raise WorkerDown(f"the model gave no answer within {seconds:g} s") from error
        finally:
            for job in jobs:
                job.answer.cancel()
        return Answer(
            np.concatenate([each.points for each in answers]), [fits for each in answers for fits in each.fit]
        )

    def close(self) -> None:
        """Take no more, and let go of what still waits."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        self._thread.join()

    def _run(self) -> None:
        while (jobs := self._next()) is not None:
            if wanted := _wanted(jobs):
                batch = Batch(wanted)
                try:
                    self._supervisor.line().send(batch)
                except WorkerDown as error:
                    batch.failed(error)

    def _next(self) -> list[Job] | None:
        """The jobs of the next batch, of the kind whose first job has waited longest; None at the end."""
        with self._changed:
            while True:
                filled = [queue for queue in self._queues.values() if queue]
                if self._closed:
                    left = [job for queue in filled for job in queue]
                    Batch(_wanted(left)).failed(WorkerDown("the server is stopping"))
                    return None
                if not filled:
                    self._changed.wait()
                    continue
                queue = min(filled, key=lambda each: each[0].since)
                soon = queue[0].since + self._wait - time.monotonic()
                if soon > 0 and sum(map(len, queue)) < self._size:
                    self._changed.wait(soon)
                    continue
                return self._taken(queue)

    def _taken(self, queue: deque[Job]) -> list[Job]:
        jobs: list[Job] = []
        inputs = 0
        while queue and (not jobs or inputs + len(queue[0]) <= self._size):
            jobs.append(queue.popleft())
            inputs += len(jobs[-1])
        self._waiting -= inputs
        return jobs


def _wanted(jobs: list[Job]) -> list[Job]:
    """Those whose caller still waits."""
    return [job for job in jobs if job.answer.set_running_or_notify_cancel()]
