"""Keeps one process with the model alive, and one that could take its place.

A process that dies is replaced at once by the spare, which has loaded the libraries (seconds) and only lacks
the weights. What the dead one was working on fails; whoever asked may ask again.
"""

import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Protocol

from hyperaware.server.child import Child, ChildGone
from hyperaware.server.wire import Message

__all__ = ["LOADING_SECONDS", "Line", "Supervisor", "Work", "WorkerDown"]

LOADING_SECONDS = 300.0
LONGEST_PAUSE = 30.0
"""Seconds between two attempts to start a model that does not start."""
SETTLED = 5.0
"""Seconds after which a process that dies counts as one that had worked."""
WORKER = "hyperaware.server.model_worker"


class WorkerDown(Exception):
    """No model answers at the moment; the sentence says why."""


class Work(Protocol):
    """What is sent to the model, and what becomes of its answer."""

    def message(self) -> tuple[dict[str, Any], bytes]:
        """What is sent."""

    def answered(self, message: Message) -> None:
        """Called with the answer."""

    def failed(self, error: Exception) -> None:
        """Called if there will be no answer."""


class Line:
    """One live model: work goes in by `send`, and answers come back in the same order.

    Two pieces may be under way, so that the model has its next one while the last answer is handed out.
    """

    AHEAD = 2

    def __init__(self, child: Child, *, seconds: float) -> None:
        self.child = child
        self.ended = threading.Event()
        self._seconds = seconds
        self._under_way: deque[Work] = deque()
        self._lock = threading.Lock()
        self._wake = threading.Semaphore(0)
        self._places = threading.Semaphore(self.AHEAD)
        self._thread = threading.Thread(target=self._receive, name="model-answers", daemon=True)
        self._thread.start()

    def send(self, work: Work) -> None:
        """Hand work to the model; waits while it has enough. It is answered or fails, in any case."""
        self._places.acquire()
        with self._lock:
            ended = self.ended.is_set()
            if not ended:
                self._under_way.append(work)
                self._wake.release()  # before sending, so that a process that reads nothing is noticed
                # If it is gone, the thread that receives sees the same, and fails what is under way.
                with suppress(ChildGone):
                    self.child.send(*work.message())
        if ended:
            work.failed(WorkerDown("the model's process has died"))

    def _receive(self) -> None:
        try:
            while True:
                self._wake.acquire()
                if not self._under_way:  # `end` has woken us
                    return
                message = self.child.receive(seconds=self._seconds)
                with self._lock:
                    work = self._under_way.popleft()
                self._places.release()
                work.answered(message)
        except ChildGone:
            return
        finally:
            with self._lock:
                self.ended.set()
                left = list(self._under_way)
                self._under_way.clear()
            for work in left:
                work.failed(WorkerDown("the model's process has died"))
            for _ in range(self.AHEAD):
                self._places.release()
            self.child.close()

    def watch(self) -> None:
        """Wait until the process has died, also while nobody asks it anything."""
        while not self.ended.is_set():
            if not self.child.alive:
                self.end()
            self.ended.wait(0.1)

    def end(self) -> None:
        """Kill the process; what is under way fails."""
        self.child.kill()
        self._wake.release()
        self._thread.join()


class Supervisor:
    """Starts the model's process, hands out the line to it, and replaces it when it dies.

    Args:
        model: the name of a shipped model, or a folder.
        seconds: how long one piece of work may take before the process is killed.
        on_change: called with an event ("model_failed" or "recovered") and a sentence.
        worker: the module whose `main` is run.
    """

    def __init__(
        self,
        model: str,
        *,
        threads: int = 1,
        device: str = "cpu",
        spare: bool = True,
        seconds: float = 30.0,
        on_change: Callable[[str, str], None] = lambda event, sentence: None,
        worker: str = WORKER,
    ) -> None:
        self._worker = worker
        self._model, self._threads, self._device = model, threads, device
        self._wants_spare, self._seconds = spare, seconds
        self._on_change = on_change
        self._line: Line | None = None
        self._spare: Child | None = None
        self._stopping = threading.Event()
        self._changed = threading.Condition()
        self.about: dict[str, Any] | None = None
        """What the model's process said of the model when it was first loaded."""
        self.reason = "the model is being loaded"
        """Why there is no line."""
        self.restarts = 0
        self._thread = threading.Thread(target=self._run, name="model-supervisor", daemon=True)

    def start(self) -> None:
        """Begin to load the model; returns at once."""
        self._thread.start()

    def wait(self, seconds: float) -> bool:
        """Whether the model is there within so many seconds."""
        with self._changed:
            return self._changed.wait_for(lambda: self._line is not None or self._stopping.is_set(), seconds)

    def line(self) -> Line:
        """The line to the live model.

        Raises:
            WorkerDown: there is none now.
        """
        line = self._line
        if line is None or line.ended.is_set():
            raise WorkerDown(self.reason)
        return line

    @property
    def pid(self) -> int | None:
        """The process that holds the model."""
        line = self._line
        return None if line is None else line.child.pid

    def stop(self) -> None:
        """End both processes."""
        self._stopping.set()
        with self._changed:
            line = self._line
            self._changed.notify_all()
        if line is not None:
            line.end()
        if self._thread.is_alive():
            self._thread.join()

    def _run(self) -> None:
        pause = 0.0
        try:
            while not self._stopping.wait(pause):
                try:
                    line = self._loaded()
                except (ChildGone, WorkerDown) as error:
                    self.reason = str(error)
                    self._tell("model_failed")
                    pause = min(max(2 * pause, 0.5), LONGEST_PAUSE)
                    continue
                began = time.monotonic()
                self._live(line)
                if self._stopping.is_set():
                    return
                pause = 0.0 if time.monotonic() - began > SETTLED else min(pause + 0.5, LONGEST_PAUSE)
        finally:
            if self._spare is not None:
                self._spare.close()

    def _live(self, line: Line) -> None:
        """Hand out the line until its process dies."""
        again = self.restarts > 0 or self.reason != "the model is being loaded"
        with self._changed:
            self._line = line
            self._changed.notify_all()
        if again:
            self._on_change("recovered", "the model's process runs again")
        if self._wants_spare and not self._stopping.is_set():
            self._spare = self._child()
        if self._stopping.is_set():
            line.end()
        line.watch()
        self.reason = "the model's process has died and is started again"
        with self._changed:
            self._line = None
        if not self._stopping.is_set():
            self.restarts += 1
            self._tell("model_failed")

    def _loaded(self) -> Line:
        """A line to a process with the model."""
        child, self._spare = self._spare, None
        if child is not None and not child.alive:
            child.close()
            child = None
        child = self._child() if child is None else child
        try:
            child.receive(seconds=LOADING_SECONDS)  # it says that it has loaded the libraries
            child.send({"do": "load", "model": self._model, "threads": self._threads, "device": self._device})
            about = child.receive(seconds=LOADING_SECONDS).head
            if "error" in about:
                raise WorkerDown(f"the model cannot be loaded: {about['error']}")
            if self.about is not None and about["fingerprint"] != self.about["fingerprint"]:
                raise WorkerDown(
                    "the model's folder now holds another model, to which index and bounds do not belong"
                )
        except BaseException:
            child.close()
            raise
        self.about = about
        return Line(child, seconds=self._seconds)

    def _child(self) -> Child:
        return Child(self._worker, environment={"OMP_NUM_THREADS": str(self._threads)})

    def _tell(self, event: str) -> None:
        self._on_change(event, self.reason)
