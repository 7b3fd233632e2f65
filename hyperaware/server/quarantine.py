"""What waits for a person's decision: a private folder, emptied of what is older than some days.

It is looked through when the server starts, and then once an hour when a copy is made or read.
"""

import os
import re
import threading
import time
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
        self._purged = 0.0
        self._purge_hourly()

    def keep(self, digest: str, data: bytes, kind: Literal["text", "image"]) -> str:
        """The name of a copy, which is made."""
        name = f"{digest}.{'txt' if kind == 'text' else 'bin'}"
        self._purge_hourly()
        with self._lock:
            write_private(self._folder / name, data)
        return name

    def read(self, name: str) -> bytes:
        """The copy of this name.

        Raises:
            RecordError: "unknown": it is not there, or not any more.
        """
        self._purge_hourly()
        try:
            if NAME.fullmatch(name) is None:
                raise FileNotFoundError
            return (self._folder / name).read_bytes()
        except FileNotFoundError:
            raise RecordError(
                f"the copy for the reviewer is gone; copies are kept for {self._days:g} days.",
                reason="unknown",
            ) from None

    def _purge_hourly(self) -> None:
        """Remove the copies that are too old."""
        now = time.time()
        with self._lock:
            if now - self._purged < HOUR:
                return
            self._purged = now
            for entry in os.scandir(self._folder):
                if NAME.fullmatch(entry.name) and entry.stat().st_mtime < now - self._days * DAY:
                    Path(entry.path).unlink(missing_ok=True)
