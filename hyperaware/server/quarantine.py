"""What waits for a person's decision: a private folder, emptied of what is older than some days.

It is looked through when the server starts, and then once an hour when a copy is made or read.
"""

import math
import os
import re
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

from hyperaware.errors import RecordError
from hyperaware.records.disk import write_private

__all__ = ["Quarantine"]

DAY, HOUR = 86400.0, 3600.0
NAME = re.compile(r"[0-9a-f]{64}\.(txt|bin)")


class Quarantine:
    """Copies of texts and pictures under review, by their hash. Files have mode 0600, the folder 0700.

    Args:
        days: how long a copy is kept.
    """

    def __init__(self, folder: Path, *, days: float) -> None:
        self._folder, self._days = folder, days
        self._lock = threading.Lock()
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._purged = -math.inf
        """By a clock that nobody sets: one that was set back would keep old copies."""
        self._purge_hourly()

    def keep(self, digest: str, data: bytes, kind: Literal["text", "image"]) -> str:
        """The name of a copy, which is made.

        Raises:
            RecordError: "disk": it cannot be written.
        """
        name = f"{digest}.{'txt' if kind == 'text' else 'bin'}"
        with self._errors():
            self._purge_hourly()
            with self._lock:
                write_private(self._folder / name, data)
        return name

    def read(self, name: str) -> bytes:
        """The copy of this name.

        Raises:
            RecordError: "unknown": it is not there, or not any more. "disk": it cannot be read.
        """
        with self._errors():
            self._purge_hourly()
            path = self._folder / name
            if NAME.fullmatch(name) is not None and path.is_file():
                return path.read_bytes()
        raise RecordError(
            f"the copy for the reviewer is gone; copies are kept for {self._days:g} days.", reason="unknown"
        )

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise RecordError(f"{self._folder}: {error}.", reason="disk") from error

    def _purge_hourly(self) -> None:
        """Remove the copies that are too old."""
        now, hours = time.time(), time.monotonic() / HOUR
        with self._lock:
            if hours - self._purged < 1:
                return
            self._purged = hours
            for entry in os.scandir(self._folder):
                if NAME.fullmatch(entry.name) and entry.stat().st_mtime < now - self._days * DAY:
                    Path(entry.path).unlink(missing_ok=True)
