"""The audit log: decisions, reviews and what changed, in a chained file that is only ever appended to."""

import hashlib
import os
import threading
from collections.abc import Iterable, Mapping
from contextlib import suppress
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from hyperaware.errors import RecordError
from hyperaware.records.chain import (
    LONGEST_LINE,
    START,
    Entry,
    Record,
    break_between,
    is_whole,
    made,
    record_of,
    segment,
    segment_numbers,
)
from hyperaware.records.disk import exclusive, sync_folder, write_private
from hyperaware.records.events import checked

__all__ = ["AuditLog"]

SEGMENT_BYTES = 2**24
"""When a new segment is begun: opening a log reads the last one, 16 MiB in about half a second."""
LONGEST_FIELDS = LONGEST_LINE - 1024


class _Batch:
    """What one call of `extend` wants written, and what became of it."""

    def __init__(self, entries: list[Entry]) -> None:
        self.entries = entries
        self.written: list[Record] | None = None
        self.failure = ("the write to the audit log was interrupted.", "disk")
        """Message and reason, where nothing was written."""
        self.done = False


class AuditLog:
    """The log at `path`, open for appending. `hyperaware.records.chain` says how it is read and verified.

    * **Durability**: `append` returns when its line is on the disk (fsync). Calls that come while another one
      writes share the next fsync. A call that raises may have left its record, never half of it.
    * **Writers**: threads and processes take turns under a file lock (not on Windows, see `records.disk`).
      Each continues what the others wrote. Open the log anew in a forked child.
    * **A killed writer** may leave an unfinished last line, which nobody was told was written. Whoever writes
      next moves it into `PATH.torn.SEQ` and records that as `torn_tail`.
    * **Segments**: a file of `segment_bytes` or more is left, and the next one continues the chain.

    Args:
        path: The first segment, `audit.jsonl` say. Files are made with mode 0600.
        segment_bytes: When to begin a new segment.

    Raises:
        RecordError: "damaged": the last segment is not what was written; it is left as it is, and cannot be
            continued. "disk": it cannot be read or written.
    """

    def __init__(self, path: str | Path, *, segment_bytes: int = SEGMENT_BYTES) -> None:
        self._path = Path(path)
        self._segment_bytes = segment_bytes
        self._file = -1
        self._number = 0
        self._size = 0
        self._last: Record | None = None
        self._refusal: tuple[str, str] | None = None
        """Why nothing may be written any more: message and reason."""
        self._waiting: list[_Batch] = []
        self._turn = threading.Condition()
        self._busy = False
        """Whether one of the threads is writing; changed under `_turn` only."""
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with exclusive(self._path):
                numbers = segment_numbers(self._path) or [1]
                self._open(numbers[-1], after=self._end_of(numbers[-1] - 1))
                self._catch_up()
        except OSError as error:
            self.close()
            raise RecordError(f"{path}: the audit log cannot be opened: {error}.", reason="disk") from error
        except BaseException:
            self.close()
            raise

    @property
    def path(self) -> Path:
        """The first segment."""
        return self._path

    @property
    def head(self) -> str | None:
        """`SEQ:HASH` of the last record that this object has seen; None for an empty log."""
        return None if self._last is None else self._last.head

    # -- appending ---------------------------------------------------------------------------------------

    def append(self, event: str, /, **fields: Any) -> Record:
        """The record of one event, once it is on the disk. `hyperaware.records.events` lists the fields.

        Raises:
            RecordError: "refused": wrong fields. "disk", "damaged", "closed": it could not be written; then
                what it is about must not happen either.
        """
        return self.extend([(event, fields)])[0]

    def extend(self, entries: Iterable[tuple[str, Mapping[str, Any]]]) -> list[Record]:
        """The records of several events, side by side in the chain, with one fsync; errors as in `append`."""
        batch = _Batch([_entry(event, fields) for event, fields in entries])
        with self._turn:
            self._waiting.append(batch)
            self._turn.wait_for(lambda: batch.done or not self._busy)
            if not batch.done:
                self._busy = True
        if not batch.done:
            self._commit_waiting()
        if batch.written is None:
            message, reason = batch.failure
            raise RecordError(message, reason=reason)
        return batch.written

    def close(self) -> None:
        """Close the file; whatever is appended afterwards is an error. Closing twice is not."""
        with self._turn:
            self._turn.wait_for(lambda: not self._busy)
            self._refusal = (f"{self._path}: this audit log was closed.", "closed")
            if self._file >= 0:
                os.close(self._file)
                self._file = -1

    def __enter__(self) -> "AuditLog":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # -- writing -----------------------------------------------------------------------------------------

    def _commit_waiting(self) -> None:
        """Write whatever waits, with one fsync; each batch learns what became of it. One thread at a time."""
        with self._turn:
            batches, self._waiting = self._waiting, []
        try:
            self._commit(batches)
        except (RecordError, OSError) as error:
            if isinstance(error, OSError):
                error = RecordError(f"{self._path}: nothing was recorded: {error}.", reason="disk")
            for batch in batches:
                batch.failure = (str(error), error.reason)
        finally:
            with self._turn:
                for batch in batches:
                    batch.done = True
                self._busy = False
                self._turn.notify_all()

    def _commit(self, batches: list[_Batch]) -> None:
        if self._refusal is not None:
            raise RecordError(self._refusal[0], reason=self._refusal[1])
        with exclusive(self._path):
            self._catch_up()
            if self._size >= self._segment_bytes:
                os.fsync(self._file)  # its last lines may be of a process that was killed before it did this
                self._open(self._number + 1, after=self._last)
            self._write(batches)

    def _write(self, batches: list[_Batch]) -> None:
        """Chain the entries and put them on the disk, all in one write."""
        last, lines, made_of = self._last, [], []
        for batch in batches:
            records = []
            for entry in batch.entries:
                last, line = made(
                    entry,
                    seq=1 if last is None else last.seq + 1,
                    time=datetime.now(timezone.utc).isoformat(timespec="microseconds"),
                    prev=START if last is None else last.hash,
                )
                records.append(last)
                lines.append(line)
            made_of.append((batch, records))
        data = b"".join(lines)
        self._put(data)
        self._last, self._size = last, self._size + len(data)
        for batch, records in made_of:
            batch.written = records

    def _put(self, data: bytes) -> None:
        """Append bytes and wait for the disk. What fails is taken back, as far as the disk allows."""
        try:
            left = memoryview(data)
            while left:
                left = left[os.write(self._file, left) :]
            try:
                os.fsync(self._file)
            except OSError as error:
                # Linux drops the pages that it could not write: a later fsync would succeed without them.
                self._refusal = (f"{self._path}: the disk failed: {error}. Open the log anew.", "disk")
                raise
        except BaseException:
            with suppress(OSError):
                os.ftruncate(self._file, self._size)
            raise

    # -- following what is there -------------------------------------------------------------------------

    def _open(self, number: int, *, after: Record | None) -> None:
        """Go to the start of a segment, made if need be; `after` is the last record before it."""
        file = os.open(segment(self._path, number), os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
        left = self._file
        self._file, self._number, self._size, self._last = file, number, 0, after
        if left >= 0:
            os.close(left)
        sync_folder(self._path.parent)

    def _catch_up(self) -> None:
        """Take in what others wrote, and clear up behind one that was killed. Only under the file lock."""
        torn = self._follow()
        while segment(self._path, self._number + 1).exists():
            if torn:
                raise self._damage("its last line is unfinished, but a later segment exists")
            self._open(self._number + 1, after=self._last)
            torn = self._follow()
        seq = 1 if self._last is None else self._last.seq + 1
        aside = self._path.with_name(f"{self._path.name}.torn.{seq}")
        if torn:
            # In this order: killed after any of the three steps, the next writer finds what is left to do.
            earlier = aside.read_bytes() if aside.exists() else b""
            if not earlier.endswith(torn):
                write_private(aside, earlier + torn)
            os.ftruncate(self._file, self._size)
        if aside.exists():
            content = aside.read_bytes()
            digest = hashlib.sha256(content).hexdigest()
            told = Entry.of("torn_tail", {"file": aside.name, "bytes": len(content), "sha256": digest})
            self._write([_Batch([told])])

    def _follow(self) -> bytes:
        """Read the segment on from where this object stands; what is left is an unfinished last line."""
        path, mine = segment(self._path, self._number), os.fstat(self._file)
        there = path.stat() if path.exists() else None
        if there is None or (there.st_dev, there.st_ino) != (mine.st_dev, mine.st_ino):
            raise self._damage("it was moved, removed or replaced while it was open")
        if mine.st_size < self._size:
            raise self._damage(f"it was cut from {self._size} to {mine.st_size} bytes")
        if mine.st_size == self._size:
            return b""
        with path.open("rb") as file:
            file.seek(self._size)
            while line := file.readline(LONGEST_LINE):
                if not is_whole(line):
                    rest = line + file.read()
                    if b"\n" not in rest[:-1]:
                        return rest
                try:
                    record = record_of(line)
                except ValueError as error:
                    raise self._damage(f"at byte {self._size} {error}") from error
                problem = break_between(self._last, record)
                if problem is not None:
                    raise self._damage(f"at byte {self._size} {problem}")
                self._last, self._size = record, self._size + len(line)
        return b""

    def _end_of(self, number: int) -> Record | None:
        """The last record of a segment; None for segment 0."""
        if number == 0:
            return None
        self._number = number
        try:
            with segment(self._path, number).open("rb") as file:
                file.seek(max(0, file.seek(0, os.SEEK_END) - LONGEST_LINE))
                end = file.read()
            return record_of(end[end.rfind(b"\n", 0, len(end) - 1) + 1 :])
        except FileNotFoundError:
            raise self._damage("it is missing, but a later segment exists") from None
        except ValueError as error:
            raise self._damage(f"at its end {error}") from error

    def _damage(self, problem: str) -> RecordError:
        return RecordError(
            f"{segment(self._path, self._number)}: {problem}. The log cannot be continued: run "
            "`hyperaware audit verify`, keep its files as they are, and give a new path to go on.",
            reason="damaged",
        )


def _entry(event: str, fields: Mapping[str, Any]) -> Entry:
    """An entry that may be written, else a RecordError ("refused")."""
    entry = Entry.of(event, checked(event, fields))
    if len(entry.json) > LONGEST_FIELDS:
        raise RecordError(
            f"{event}: the fields take {len(entry.json)} bytes, expected at most {LONGEST_FIELDS}. "
            "Nothing was recorded.",
            reason="refused",
        )
    return entry
