"""Decoding in processes that may be killed: a deadline for each picture, a limit of memory."""

import queue
import threading
from collections import Counter
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

from hyperaware.errors import MediaError
from hyperaware.media.images import Limits
from hyperaware.models.preprocess import Preprocess
from hyperaware.server.batching import QueueFull
from hyperaware.server.child import Child, ChildGone

__all__ = ["Decoders", "Kept"]

WORKER = "hyperaware.server.decode_worker"
STARTING_SECONDS = 60.0
KEPT_SIDE = 2048
"""Longest side of a picture that is kept."""
WAITING = 64
"""Pictures that may wait for a process."""


class Kept(NamedTuple):
    """An uploaded picture: what the model sees of it, and the file to keep."""

    crop: Image.Image
    png: bytes


@dataclass(frozen=True)
class _Told:
    limits: Limits
    seconds: float
    memory: int


class Decoders:
    """A few processes that decode, and are replaced when they fail.

    Args:
        seconds: for one picture.
        memory: bytes of address space of a process.
    """

    def __init__(self, count: int, *, limits: Limits, seconds: float, memory: int) -> None:
        self._told = _Told(limits, seconds, memory)
        self._free: queue.Queue[Child | None] = queue.Queue()
        for _ in range(count):
            self._free.put(None)  # started with the first picture
        self._places = threading.BoundedSemaphore(WAITING)
        self.failures: Counter[str] = Counter()
        """Refused pictures, by reason."""

    def crop(self, data: bytes, *, preprocess: Preprocess, name: str) -> Image.Image:
        """What a model with this preprocessing sees of a picture.

        Raises:
            MediaError: it is refused; `.reason` is one of `media.images.REASONS`, or "timeout",
                "out_of_memory" or "crashed".
            QueueFull: too many pictures wait.
        """
        answer = self._ask(data, name, {"do": "crop", "preprocess": preprocess.config()})
        return _picture(answer, preprocess.size)

    def kept(self, data: bytes, *, preprocess: Preprocess, name: str) -> Kept:
        """The same, and the picture as a file of our own: upright, RGB, without metadata."""
        order = {"do": "keep", "preprocess": preprocess.config(), "side": KEPT_SIDE}
        answer, cut = self._ask(data, name, order), 3 * preprocess.size**2
        return Kept(_picture(answer[:cut], preprocess.size), answer[cut:])

    def thumbnail(self, data: bytes, *, side: int, blur: bool, name: str) -> bytes:
        """A JPEG of at most `side` pixels; blurred so that it cannot be undone, if so wanted."""
        return self._ask(data, name, {"do": "thumbnail", "side": side, "blur": blur})

    def close(self) -> None:
        """Kill the processes that are free."""
        while not self._free.empty():
            child = self._free.get_nowait()
            if child is not None:
                child.close()

    def _ask(self, data: bytes, name: str, order: dict[str, Any]) -> bytes:
        if len(data) > self._told.limits.max_bytes:
            raise self._refused(
                f"{name}: {len(data):,} bytes; at most {self._told.limits.max_bytes:,} are accepted.",
                "too_large",
            )
        if not self._places.acquire(blocking=False):
            raise QueueFull(f"{WAITING} pictures wait to be decoded")
        try:
            return self._answer(data, name, order)
        finally:
            self._places.release()

    def _answer(self, data: bytes, name: str, order: dict[str, Any]) -> bytes:
        head = {
            **order,
            "name": name,
            "seconds": self._told.seconds,
            "max_bytes": self._told.limits.max_bytes,
            "max_pixels": self._told.limits.max_pixels,
        }
        try:
            child = self._free.get(timeout=self._told.seconds)
        except queue.Empty:
            raise QueueFull("every process that decodes pictures is busy") from None
        try:
            if child is None or not child.alive:
                child = self._started()
            child.send(head, data)
            answer = child.receive(seconds=self._told.seconds)
        except ChildGone as error:
            if child is not None:
                child.close()
            child = None
            late = isinstance(error.__cause__, TimeoutError)
            what = f"took longer than {self._told.seconds:g} s" if late else "ended the process that did it"
            raise self._refused(f"{name}: decoding it {what}.", "timeout" if late else "crashed") from None
        finally:
            self._free.put(child)
        if "reason" in answer.head:
            raise self._refused(answer.head["error"], answer.head["reason"])
        return answer.body

    def _started(self) -> Child:
        child = Child(WORKER, arguments=(self._told.memory,), environment={"OPENBLAS_NUM_THREADS": "1"})
        child.receive(seconds=STARTING_SECONDS)
        return child

    def _refused(self, sentence: str, reason: str) -> MediaError:
        self.failures[reason] += 1
        return MediaError(sentence, reason=reason)


def _picture(pixels: bytes, size: int) -> Image.Image:
    return Image.fromarray(np.frombuffer(pixels, dtype=np.uint8).reshape(size, size, 3))
