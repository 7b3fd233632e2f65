"""The chain of records: how one becomes a line, where the lines lie, and whether they are as written.

Line k is the canonical JSON (ASCII, keys sorted, no spaces) of

    {"event", "fields", "hash", "prev", "seq", "time"}    prev = hash of line k-1,  hash = SHA-256 of the rest

so a record vouches for all before it. Whoever may write the file can also write a whole new chain: against
that helps a head (`SEQ:HASH`) that was kept elsewhere, see `examine`.
"""

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from hyperaware.errors import RecordError
from hyperaware.records.disk import exclusive

__all__ = ["Examination", "Record", "decision_of", "examine", "records", "verify"]

START = "0" * 64
"""What the first record has in place of the hash of the one before it."""
LONGEST_LINE = 2**16
"""Bytes: a longer record is refused."""
MOST_PROBLEMS = 50
UNFINISHED = "the last line is unfinished; whoever opens the log to write cuts it off"
_KEYS = {"event", "fields", "hash", "prev", "seq", "time"}


@dataclass(frozen=True)
class Record:
    """One line of the log."""

    seq: int
    """1 for the first."""
    time: str
    """When it was written, UTC, ISO 8601."""
    event: str
    fields: Mapping[str, Any]
    prev: str
    hash: str

    @property
    def head(self) -> str:
        """`SEQ:HASH`: what to keep elsewhere, so that a log that was cut or rewritten can be told."""
        return f"{self.seq}:{self.hash}"

    def document(self) -> dict[str, Any]:
        """The record as the mapping that its line holds."""
        return dict(vars(self))


_ENCODER = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)


def canonical(value: Any) -> bytes:
    r"""The one way to write a value as JSON.

    >>> canonical({"b": 1.5, "a": "é"})
    b'{"a":"\\u00e9","b":1.5}'
    """
    return _ENCODER.encode(value).encode("ascii")


class Entry(NamedTuple):
    """What is to become a record: an event, its fields, and these as canonical JSON."""

    event: str
    fields: Mapping[str, Any]
    json: bytes

    @classmethod
    def of(cls, event: str, fields: Mapping[str, Any]) -> "Entry":
        return cls(event, fields, canonical(fields))


def made(entry: Entry, *, seq: int, time: str, prev: str) -> tuple[Record, bytes]:
    """The record of an entry, and its line.

    The line is put together from JSON that is there already: the fields, by far its longest part, are written
    and sorted once, not for the hash and for the line again.
    """
    before = b'{"event":%b,"fields":%b,' % (canonical(entry.event), entry.json)
    after = b'"prev":%b,"seq":%d,"time":%b}' % (canonical(prev), seq, canonical(time))
    digest = hashlib.sha256(before + after).hexdigest()
    line = b'%b"hash":"%b",%b\n' % (before, digest.encode(), after)
    return Record(seq=seq, time=time, event=entry.event, fields=entry.fields, prev=prev, hash=digest), line


def record_of(line: bytes) -> Record:
    """The record of a line.

    Raises:
        ValueError: the line is not what was once written; what is wrong with it.
    """
    if not is_whole(line):
        raise ValueError("the line is unfinished")
    try:
        document = json.loads(line)
        faithful = canonical(document) + b"\n" == line and document.keys() == _KEYS
    except (ValueError, AttributeError, RecursionError):
        faithful = False
    if not faithful:
        raise ValueError("the line is no record as it was written")
    record = Record(**document)
    if not isinstance(record.fields, dict) or type(record.seq) is not int:
        raise ValueError("the line is no record as it was written")
    signed = canonical({key: value for key, value in document.items() if key != "hash"})
    if hashlib.sha256(signed).hexdigest() != record.hash:
        raise ValueError(f"record {record.seq} was changed: its hash does not fit")
    return record


def is_whole(line: bytes) -> bool:
    """Whether a line was written to its end. After a power cut a file system may leave zeros in it."""
    return line.endswith(b"\n") and b"\0" not in line


def break_between(before: Record | None, record: Record) -> str | None:
    """What is wrong with `record` as the one that follows `before` (None: as the first), or None."""
    expected = 1 if before is None else before.seq + 1
    if record.seq > expected:
        return f"record {record.seq} stands where {expected} belongs: {record.seq - expected} missing"
    if record.seq < expected:
        return f"record {record.seq} stands where {expected} belongs: out of order, or inserted"
    if record.prev != (START if before is None else before.hash):
        return f"record {record.seq} does not continue the record before it: one of them was put there later"
    return None


# -- segments ------------------------------------------------------------------------------------------------


def segment(path: Path, number: int) -> Path:
    """The file of a segment: `path` is the first, `audit.000002.jsonl` the second of `audit.jsonl`."""
    return path if number == 1 else path.with_name(f"{path.stem}.{number:06}{path.suffix}")


def segment_numbers(path: Path) -> list[int]:
    """The numbers of the segments that are there, in order."""
    name = re.compile(rf"{re.escape(path.stem)}\.(\d{{6}}){re.escape(path.suffix)}")
    later = (name.fullmatch(each.name) for each in path.parent.glob("*")) if path.parent.is_dir() else ()
    return [1] * path.is_file() + sorted(int(found[1]) for found in later if found)


def lines(path: Path) -> Iterator[tuple[str, bytes, bool]]:
    """Each line: its place (`audit.jsonl:3`), its bytes, whether it is the last. As of one moment."""
    with exclusive(path, create=False):
        files = [segment(path, number) for number in segment_numbers(path)]
        end = files[-1].stat().st_size if files else 0
    for file in files:
        left = end if file == files[-1] else file.stat().st_size
        with file.open("rb") as opened:
            number = 0
            while line := opened.readline(min(left, LONGEST_LINE)):
                number, left = number + 1, left - len(line)
                yield f"{file.name}:{number}", line, left == 0 and file == files[-1]


# -- reading -------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Examination:
    """What was found in a log."""

    problems: list[str]
    records: int
    """How many lines are records."""
    head: str | None
    """`SEQ:HASH` of the last one."""


def records(path: str | Path) -> Iterator[Record]:
    """Every record in order, each checked before it is given.

    An unfinished last line is passed over: nobody was told that it was written.

    Raises:
        RecordError: "unknown": no log at `path`. "damaged": the chain is broken, with the place.
    """
    for place, record, problem in _walk(Path(path)):
        if problem == UNFINISHED:
            return
        if record is None or problem is not None:
            raise RecordError(f"{place}: {problem}. See `hyperaware audit verify`.", reason="damaged")
        yield record


def decision_of(path: str | Path, request_id: str) -> Record | None:
    """The decision of a request, from its line alone; None if there is none.

    Every line is looked at for the id, but only the one with it is read and checked: some 20 ms for 16 MiB.

    Raises:
        RecordError: "damaged": the line was changed.
    """
    wanted = b'"request_id":%b' % canonical(request_id)
    for number in reversed(segment_numbers(Path(path))):
        with segment(Path(path), number).open("rb") as file:
            for line in file:
                if wanted in line and line.startswith(b'{"event":"decision",') and is_whole(line):
                    try:
                        return record_of(line)
                    except ValueError as error:
                        raise RecordError(f"{path}: {error}.", reason="damaged") from error
    return None


def verify(path: str | Path, *, expect_head: str | None = None) -> list[str]:
    """What is wrong with a log, one sentence each; nothing if it is sound. See `examine`."""
    return examine(path, expect_head=expect_head).problems


def examine(path: str | Path, *, expect_head: str | None = None) -> Examination:
    """What is wrong with a log, how many records it has, and its head.

    Found are changed bytes, and records that were removed, inserted or put elsewhere. That records were cut
    off at the end, or that the whole chain was written anew, only shows against a head kept elsewhere.

    Args:
        path: The first segment.
        expect_head: Such a head (`SEQ:HASH`). The log may have grown since, but must still contain it.

    Raises:
        RecordError: "unknown": no log at `path`. "refused": `expect_head` is no head.
    """
    expected = None if expect_head is None else _head(expect_head)
    problems: list[str] = []
    count, last, kept = 0, None, None
    for place, record, problem in _walk(Path(path)):
        if problem is not None and len(problems) < MOST_PROBLEMS:
            problems.append(f"{place}: {problem}.")
        if record is not None:
            count, last = count + 1, record
            if expected is not None and record.seq == expected[0]:
                kept = record.hash
    if expected is not None and kept != expected[1]:
        found = "is not there: the end was cut off" if kept is None else f"now has the hash {kept}"
        problems.append(f"{Path(path).name}: record {expected[0]} of the expected head {found}.")
    return Examination(problems, count, None if last is None else last.head)


def _head(given: str) -> tuple[int, str]:
    found = re.fullmatch(r"([1-9]\d{0,17}):([0-9a-f]{64})", given)
    if found is None:
        raise RecordError(
            f"{given!r:.90} is no head, expected SEQ:HASH as `audit verify` prints it.", reason="refused"
        )
    return int(found[1]), found[2]


def _walk(path: Path) -> Iterator[tuple[str, Record | None, str | None]]:
    """Each line: its place, its record if it is one, and what is wrong with it or with where it stands."""
    numbers = segment_numbers(path)
    if not numbers:
        raise RecordError(f"{path}: no audit log here.", reason="unknown")
    for number in set(range(1, numbers[-1])) - set(numbers):
        yield path.name, None, f"the segment {segment(path, number).name} is missing"
    before: Record | None = None
    sure = True  # False behind a line that cannot be read, so that one fault is told once
    for place, line, is_last in lines(path):
        try:
            record = record_of(line)
        except ValueError as error:
            yield place, None, UNFINISHED if is_last and not is_whole(line) else str(error)
            sure = False
            continue
        yield place, record, break_between(before, record) if sure else None
        before, sure = record, True
