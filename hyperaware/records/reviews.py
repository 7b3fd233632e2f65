"""The reviews: cases that a person decides, leased to one reviewer at a time, and appeals against them."""

import json
import secrets
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

from hyperaware.errors import RecordError
from hyperaware.options import unknown_name
from hyperaware.records.audit import AuditLog
from hyperaware.records.cases import (
    APPLICATION,
    SCHEMA,
    STATES,
    TABLES,
    WHERE,
    Case,
    State,
    case_of,
    require_inside,
)
from hyperaware.records.disk import exclusive

__all__ = ["ReviewQueue"]

PATIENCE = 60.0
"""Seconds to wait for another process that is writing."""


class ReviewQueue:
    """The cases in an SQLite file, for several threads (one connection under one lock) and processes (WAL).

    Every change is one transaction, and is written to the audit log **before** it is committed: a decision
    without its record cannot be. A process killed between the two leaves a record of a change that did not
    happen; the change that happens in its place has the same `revision`, and its record counts.

    Args:
        path: The file; made if need be.
        audit: Where each change is recorded. What it refuses does not happen.
        clock: The time in seconds since 1970.

    Raises:
        RecordError: "damaged": not our file, or of another schema. "disk": it cannot be opened.
    """

    def __init__(self, path: str | Path, *, audit: AuditLog, clock: Callable[[], float] = time.time) -> None:
        self._path = Path(path)
        self._audit = audit
        self._clock = clock
        self._lock = threading.Lock()
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._path.touch(mode=0o600)
            self._db = sqlite3.connect(
                self._path, timeout=PATIENCE, isolation_level=None, check_same_thread=False
            )
        except (OSError, sqlite3.Error) as error:
            raise RecordError(f"{path}: the reviews cannot be opened: {error}.", reason="disk") from error
        try:
            with exclusive(self._path):  # SQLite does not wait by itself while another one turns WAL on
                self._prepare()
        except BaseException:
            self._db.close()
            raise

    def _prepare(self) -> None:
        try:
            is_made = self._db.execute("SELECT 1 FROM sqlite_master").fetchone() is not None
            found = self._pragma("application_id"), self._pragma("user_version")
            if is_made and found != (APPLICATION, SCHEMA):
                raise RecordError(
                    f"{self._path}: no reviews that this hyperaware reads (id and schema are {found}, "
                    f"expected {(APPLICATION, SCHEMA)}). Give another path.",
                    reason="damaged",
                )
            if self._pragma("journal_mode = WAL") != "wal":
                raise RecordError(
                    f"{self._path}: this file system allows no write-ahead log. Use a local disk.",
                    reason="disk",
                )
            self._db.execute("PRAGMA synchronous = FULL")
            if not is_made:
                marks = f"PRAGMA application_id = {APPLICATION}; PRAGMA user_version = {SCHEMA};"
                self._db.executescript(f"BEGIN; {TABLES} {marks} COMMIT;")
        except sqlite3.DatabaseError as error:
            reason = "disk" if isinstance(error, sqlite3.OperationalError) else "damaged"
            raise RecordError(f"{self._path}: {error}.", reason=reason) from error

    def _pragma(self, words: str) -> Any:
        return self._db.execute(f"PRAGMA {words}").fetchone()[0]

    # -- changing ----------------------------------------------------------------------------------------

    def add(
        self,
        *,
        request_id: str,
        modality: str,
        content_sha256: str,
        action: str,
        score: float | None,
        categories: Mapping[str, float],
        reason: str,
        item_id: str | None = None,
        priority: float = 0.0,
        content: str | None = None,
    ) -> Case:
        """The new case of one decision. Higher priorities come first, then older cases.

        Args:
            request_id: Names the decision, as in its record.
            modality, content_sha256, action, score, categories, reason, item_id: As in its record.
            priority: Any number.
            content: A path inside the quarantine folder that the server manages; it is not opened here.

        Raises:
            RecordError: "conflict": this request has a case already. "refused": a wrong value.
        """
        if content is not None:
            require_inside(content)
        case_id = f"case-{secrets.token_hex(8)}"
        fields = {
            "modality": modality,
            "item_id": item_id,
            "content_sha256": content_sha256,
            "action": action,
            "score": score,
            "categories": dict(categories),
            "reason": reason,
            "priority": priority,
        }
        with self._transaction():
            known = self._db.execute("SELECT id FROM cases WHERE request_id = ?", (request_id,)).fetchone()
            if known is not None:
                raise RecordError(
                    f"request {request_id!r} has the case {known[0]} already.", reason="conflict"
                )
            row = {
                **fields,
                "id": case_id,
                "request_id": request_id,
                "categories": json.dumps(fields["categories"]),
                "content": content,
                "created": self._clock(),
                "revision": 1,
                "is_decided": 0,
            }
            self._audit.append(
                "review_opened", review_id=case_id, request_id=request_id, revision=1, **fields
            )
            self._db.execute(
                f"INSERT INTO cases ({', '.join(row)}) VALUES ({', '.join(f':{name}' for name in row)})", row
            )
            return self._case(case_id)

    def next(self, reviewer: str, *, lease_seconds: float = 600.0) -> Case | None:
        """The case that `reviewer` should decide now, leased for so long; None if there is none for them.

        One that they have leased comes again, with its lease renewed, before another. A case that they
        decided before never comes: an appeal is for somebody else.
        """
        if not lease_seconds > 0:
            raise RecordError(f"got lease_seconds={lease_seconds}, expected more than 0.", reason="refused")
        with self._transaction():
            now = self._clock()
            mine = self._db.execute(
                f"SELECT id FROM cases WHERE {WHERE['leased']} AND reviewer = ?", (now, reviewer)
            ).fetchone()
            found = (
                mine
                or self._db.execute(
                    f"SELECT id FROM cases WHERE {WHERE['open']} AND NOT EXISTS "
                    "(SELECT 1 FROM turns WHERE case_id = cases.id AND turns.reviewer = ?) "
                    "ORDER BY priority DESC, created, id LIMIT 1",
                    (now, reviewer),
                ).fetchone()
            )
            if found is None:
                return None
            if mine is None:
                self._change("review_leased", self._case(found[0]), reviewer=reviewer)
            self._db.execute(
                "UPDATE cases SET reviewer = ?, lease_until = ? WHERE id = ?",
                (reviewer, now + lease_seconds, found[0]),
            )
            return self._case(found[0])

    def decide(
        self, case_id: str, *, decision: Literal["uphold", "overturn"], reason: str, reviewer: str
    ) -> Case:
        """The case after `reviewer` decided it: whether the machine's decision stands, and why.

        Raises:
            RecordError: "unknown": no such case. "conflict": it is decided already, or leased to somebody
                else, or this reviewer decided it before. "refused": no reason, or another decision.
        """
        with self._transaction():
            case = self._case(case_id)
            if case.state == "decided":
                raise RecordError(
                    f"case {case.id} is decided already; an appeal reopens it.", reason="conflict"
                )
            if case.state == "leased" and case.reviewer != reviewer:
                raise RecordError(f"case {case.id} is leased to another reviewer.", reason="conflict")
            if any(turn.reviewer == reviewer for turn in case.turns):
                raise RecordError(
                    f"case {case.id} was decided by the same reviewer before; an appeal is for another one.",
                    reason="conflict",
                )
            self._change("review", case, decision=decision, reason=reason, reviewer=reviewer, automated=False)
            self._db.execute(
                "UPDATE cases SET is_decided = 1, reviewer = NULL, lease_until = NULL WHERE id = ?",
                (case.id,),
            )
            self._turn(case, "decision", reason, reviewer=reviewer, decision=decision)
            return self._case(case.id)

    def appeal(self, id: str, *, reason: str) -> Case:
        """The case (named by its own id or the request's) after somebody asked for another look.

        A decided case is open again, for another reviewer; one that nobody has decided keeps its place.

        Raises:
            RecordError: "unknown": no such case. "conflict": an appeal waits already. "refused": no reason.
        """
        with self._transaction():
            case = self._case(id)
            if case.turns and case.turns[-1].kind == "appeal":
                raise RecordError(
                    f"case {case.id}: an appeal waits for its decision already.", reason="conflict"
                )
            self._change("appeal", case, reason=reason)
            self._db.execute("UPDATE cases SET is_decided = 0 WHERE id = ?", (case.id,))
            self._turn(case, "appeal", reason)
            return self._case(case.id)

    # -- reading -----------------------------------------------------------------------------------------

    def get(self, id: str) -> Case:
        """The case with this id or this request id.

        Raises:
            RecordError: "unknown": there is none.
        """
        with self._transaction("DEFERRED"):
            return self._case(id)

    def depth(self) -> int:
        """How many cases wait for a decision, leased ones too."""
        with self._transaction("DEFERRED"):
            return self._db.execute("SELECT count(*) FROM cases WHERE NOT is_decided").fetchone()[0]

    def list(self, state: State | None = None, *, offset: int = 0, limit: int = 100) -> list[Case]:
        """The cases in a state (all by default), in the order in which they come up.

        Raises:
            ConfigError: no such state.
        """
        if state not in WHERE:
            raise unknown_name("state of a case", str(state), STATES)
        with self._transaction("DEFERRED"):
            rows = self._db.execute(
                f"SELECT id FROM cases WHERE {WHERE[state]} "
                "ORDER BY is_decided, priority DESC, created, id LIMIT ? OFFSET ?",
                (self._clock(), max(limit, 0), max(offset, 0)),
            ).fetchall()
            return [self._case(id) for (id,) in rows]

    def close(self) -> None:
        """Close the file; the audit log stays open."""
        with self._lock:
            self._db.close()

    def __enter__(self) -> "ReviewQueue":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # -- inside a transaction ----------------------------------------------------------------------------

    @contextmanager
    def _transaction(self, kind: Literal["DEFERRED", "IMMEDIATE"] = "IMMEDIATE") -> Iterator[None]:
        """All or nothing; what is read inside is of one moment."""
        with self._lock:
            try:
                self._db.execute(f"BEGIN {kind}")
                try:
                    yield
                    self._db.execute("COMMIT")
                except BaseException:
                    self._db.rollback()
                    raise
            except sqlite3.ProgrammingError as error:
                raise RecordError(f"{self._path}: {error}.", reason="closed") from error
            except sqlite3.Error as error:
                raise RecordError(f"{self._path}: {error}.", reason="disk") from error

    def _change(self, event: str, case: Case, **fields: Any) -> None:
        """Record a change of a case; from here on it only lacks its commit."""
        revision = case.revision + 1
        self._audit.append(event, review_id=case.id, request_id=case.request_id, revision=revision, **fields)
        self._db.execute("UPDATE cases SET revision = ? WHERE id = ?", (revision, case.id))

    def _turn(
        self, case: Case, kind: str, reason: str, *, reviewer: str | None = None, decision: str | None = None
    ) -> None:
        self._db.execute(
            "INSERT INTO turns (case_id, kind, reason, reviewer, decision, time) VALUES (?, ?, ?, ?, ?, ?)",
            (case.id, kind, reason, reviewer, decision, self._clock()),
        )

    def _case(self, id: str) -> Case:
        return case_of(self._db, id, self._clock())
