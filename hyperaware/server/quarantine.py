"""What waits for a person's decision: a private folder, emptied of what is older than some days."""

import os
import re
import threading
import time
from pathlib import Path
from typing import Literal

from hyperaware.errors import RecordError
from hyperaware.records.disk import write_private

__all__ = ["Quarantine"]

DAY = 86400.0
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
        self.purge()

    def keep(self, digest: str, data: bytes, kind: Literal["text", "image"]) -> str:
        """The name of a copy, which is made."""
        name = f"{digest}.{'txt' if kind == 'text' else 'bin'}"
        with self._lock:
            write_private(self._folder / name, data)
        return name

    def read(self, name: str) -> bytes:
        """The copy of this name.

        Raises:
            RecordError: "unknown": it is not there, or not any more.
        """
        try:
            if NAME.fullmatch(name) is None:
                raise FileNotFoundError
            return (self._folder / name).read_bytes()
        except FileNotFoundError:
            raise RecordError(
                f"the copy for the reviewer is gone; copies are kept for {self._days:g} days.",
                reason="unknown",
            ) from None

    def purge(self) -> int:
        """How many copies were too old, and are gone now."""
        limit, gone = time.time() - self._days * DAY, 0
        for entry in os.scandir(self._folder):
            if NAME.fullmatch(entry.name) and entry.stat(follow_symlinks=False).st_mtime < limit:
                Path(entry.path).unlink(missing_ok=True)
                gone += 1
        return gone
