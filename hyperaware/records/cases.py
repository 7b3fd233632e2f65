"""What is under review: one case, its decisions and appeals, and the tables that hold them."""

import json
import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Literal

from hyperaware.errors import RecordError

__all__ = ["APPLICATION", "SCHEMA", "STATES", "TABLES", "WHERE", "Case", "State", "Turn", "case_of"]

State = Literal["open", "leased", "decided"]
STATES = ("open", "leased", "decided")

APPLICATION = 0x48594152
"""SQLite's application id of our files: "HYAR"."""
SCHEMA = 1

TABLES = """
CREATE TABLE cases (
    id TEXT PRIMARY KEY, request_id TEXT NOT NULL UNIQUE, modality TEXT NOT NULL, item_id TEXT,
    content_sha256 TEXT NOT NULL, action TEXT NOT NULL, score REAL, categories TEXT NOT NULL,
    reason TEXT NOT NULL, priority REAL NOT NULL, content TEXT, created REAL NOT NULL,
    revision INTEGER NOT NULL, is_decided INTEGER NOT NULL, reviewer TEXT, lease_until REAL);
CREATE INDEX cases_in_turn ON cases (is_decided, priority DESC, created, id);
CREATE TABLE turns (
    key INTEGER PRIMARY KEY, case_id TEXT NOT NULL REFERENCES cases (id), kind TEXT NOT NULL,
    reason TEXT NOT NULL, reviewer TEXT, decision TEXT, time REAL NOT NULL);
CREATE INDEX turns_of_case ON turns (case_id);
"""
WHERE: dict[str | None, str] = {
    None: "1 OR ? IS NULL",
    "open": "NOT is_decided AND (lease_until IS NULL OR lease_until <= ?)",
    "leased": "NOT is_decided AND lease_until > ?",
    "decided": "is_decided OR ? IS NULL",
}
"""The cases in each state at a time."""


@dataclass(frozen=True)
class Turn:
    """One decision of a reviewer, or one appeal."""

    kind: Literal["decision", "appeal"]
    reason: str
    time: float
    reviewer: str | None
    """Id of the reviewer's key; None for an appeal."""
    decision: Literal["uphold", "overturn"] | None
    """None for an appeal."""


@dataclass(frozen=True)
class Case:
    """One automated decision that somebody should look at. Times are seconds since 1970."""

    id: str
    request_id: str
    modality: str
    item_id: str | None
    content_sha256: str
    action: str
    """What the machine did."""
    score: float | None
    categories: Mapping[str, float]
    reason: str
    priority: float
    content: str | None
    """Where the server keeps a copy for the reviewer: a path inside its quarantine folder."""
    created: float
    revision: int
    """How often the case has changed; each change is one record of the audit log."""
    state: State
    reviewer: str | None
    """Who has it leased."""
    lease_until: float | None
    turns: tuple[Turn, ...]
    """Decisions and appeals, oldest first."""


def case_of(db: sqlite3.Connection, id: str, now: float) -> Case:
    """The case with this id or request id, in its state at a time.

    Raises:
        RecordError: "unknown": there is none.
    """
    chosen = "WHERE id = ?1 OR request_id = ?1 ORDER BY id = ?1 DESC"
    cursor = db.execute(f"SELECT * FROM cases {chosen}", (id,))
    row = cursor.fetchone()
    if row is None:
        raise RecordError(f"no case and no request under review is called {id!r:.210}.", reason="unknown")
    named = dict(zip((column[0] for column in cursor.description), row, strict=True))
    is_leased = named["lease_until"] is not None and named["lease_until"] > now
    state: State = "decided" if named.pop("is_decided") else "leased" if is_leased else "open"
    if state != "leased":
        named["reviewer"] = named["lease_until"] = None
    named["categories"] = json.loads(named["categories"])
    turns = db.execute(
        "SELECT kind, reason, time, reviewer, decision FROM turns WHERE case_id = ? ORDER BY key",
        (named["id"],),
    )
    return Case(**named, state=state, turns=tuple(Turn(*turn) for turn in turns))


def require_inside(content: str) -> None:
    """Raise a RecordError ("refused") unless `content` is a path inside some folder, on any system."""
    path = PurePosixPath(content)
    if not path.parts or path.is_absolute() or ".." in path.parts or set(content) & set("\\:\0"):
        raise RecordError(
            f"content is {content!r:.80}, expected a path inside the quarantine folder.", reason="refused"
        )
