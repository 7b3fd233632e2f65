"""Dynamic batching: inputs of concurrent requests share forward passes; wait and queue are bounded."""

import threading
import time
from collections import deque
from collections.abc import Sequence
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FuturesTimeout
from typing import Any, Literal

import numpy as np

from hyperaware.server.supervisor import Supervisor, WorkerDown
from hyperaware.server.wire import Message

__all__ = ["Batch", "Batcher", "Job", "Kind", "QueueFull"]

Kind = Literal["text", "image"]


class QueueFull(Exception):
    """As many inputs wait as may wait."""


class Job:
    """The inputs of one request: texts, or crops (size, size, 3) uint8; and the points to come."""

    def __init__(self, kind: Kind, inputs: Sequence[Any]) -> None:
        self.kind: Kind = kind
        self.inputs = inputs
        self.points: Future[np.ndarray] = Future()
        self.since = time.monotonic()

    def __len__(self) -> int:
        return len(self.inputs)


class Batch:
    """Jobs of one kind that go through the model together: a `Work` of the supervisor's line."""

    def __init__(self, jobs: list[Job]) -> None:
        self.jobs = jobs

    def message(self) -> tuple[dict[str, Any], bytes]:
        inputs = [each for job in self.jobs for each in job.inputs]
        if self.jobs[0].kind == "text":
            return {"do": "text", "texts": inputs}, b""
        crops = np.stack(inputs)
        return {"do": "image", "count": len(crops), "size": crops.shape[1]}, crops.tobytes()

    def answered(self, message: Message) -> None:
        """Hand each job its points. An answer that is not one finite point for each input fails them all."""
        expected = sum(map(len, self.jobs))
        try:
            points = np.frombuffer(message.body, dtype="<f4").reshape(message.head["shape"])
        except (KeyError, ValueError):  # it said {"error": ...}
            self.failed(WorkerDown("the model could not encode the inputs"))
            return
        if len(points) != expected or not np.isfinite(points).all():
            self.failed(WorkerDown("the model gave no finite point for each input"))
            return
        start = 0
        for job in self.jobs:
            job.points.set_result(points[start : start + len(job)])
            start += len(job)

    def failed(self, error: Exception) -> None:
        for job in self.jobs:
            job.points.set_exception(error)


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
        self._queues: dict[Kind, deque[Job]] = {"text": deque(), "image": deque()}
        self._waiting = 0
        self._changed = threading.Condition()
        self._closed = False
        self._thread = threading.Thread(target=self._run, name="batcher", daemon=True)
        self._thread.start()

    @property
    def depth(self) -> int:
        """Inputs that wait."""
        return self._waiting

    def points(self, kind: Kind, inputs: Sequence[Any], *, seconds: float) -> np.ndarray:
        """The points of texts or crops, (n, d) float32; waits for them.

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
            return np.concatenate([job.points.result(timeout=max(0, end - time.monotonic())) for job in jobs])
        except FuturesTimeout as error:
            raise WorkerDown(f"the model gave no answer within {seconds:g} s") from error
        finally:
            for job in jobs:
                job.points.cancel()

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
    return [job for job in jobs if job.points.set_running_or_notify_cancel()]
