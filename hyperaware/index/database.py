"""The SQLite file of an index: opened, made, brought up to date, and used in transactions."""

import json
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

from hyperaware.errors import StoreError
from hyperaware.geometry.space import Space
from hyperaware.index.rows import MIGRATIONS, SCHEMA, TABLES

__all__ = ["FILE", "Database"]

FILE = "index.sqlite"
APPLICATION = 0x48594157
"""SQLite's application id of our files: "HYAW"."""
PATIENCE = 60.0
"""Seconds to wait for another process that is writing."""


class Database:
    """`folder/index.sqlite` with its tables: one connection, to be used inside `transaction` only.

    Raises:
        StoreError: no index and not `create`; another model or space; another schema; a damaged file.
    """

    def __init__(self, folder: str | Path, *, space: Space, model_fingerprint: str, create: bool) -> None:
        self.file = Path(folder) / FILE
        self._identity = (model_fingerprint, space.config())
        self._lock = threading.Lock()
        if not create and not self.file.is_file():
            raise StoreError(f"{folder}: no index here (no {FILE}). Build it first, or check the path.")
        try:
            self.file.parent.mkdir(parents=True, exist_ok=True)
            self.connection = sqlite3.connect(
                self.file, timeout=PATIENCE, isolation_level=None, check_same_thread=False
            )
        except (OSError, sqlite3.Error) as error:
            raise StoreError(f"{self.file}: the index cannot be opened: {error}.") from error
        try:
            self._prepare()
        except BaseException:
            self.connection.close()
            raise

    def _prepare(self) -> None:
        try:
            # In this order: tables and id come in one transaction, so tables of ours never lack the id.
            if self._is_made() and self.pragma("application_id") != APPLICATION:
                raise StoreError(f"{self.file}: an SQLite file, but no index of ours. Give another folder.")
            journal = self._journal()
            self.connection.execute("PRAGMA synchronous = FULL")
        except sqlite3.Error as error:
            raise StoreError(f"{self.file}: {error}.") from error
        if journal != "wal":
            raise StoreError(f"{self.file}: this file system allows no write-ahead log. Use a local disk.")
        with self.transaction("IMMEDIATE"):
            if not self._is_made():
                self._create()
            self._migrate()
            self._check()
            self.concepts: str | None = self.meta("concepts")
            """What the categories were computed by when the file was opened."""

    def _journal(self) -> str:
        """The journal mode after asking for a write-ahead log."""
        give_up = time.monotonic() + PATIENCE
        while True:
            try:
                return self.pragma("journal_mode = WAL")
            except sqlite3.OperationalError as error:
                # For this statement SQLite does not wait itself while another process makes the same index.
                if "locked" not in str(error) or time.monotonic() > give_up:
                    raise
                time.sleep(0.01)

    def _is_made(self) -> bool:
        return self.connection.execute("SELECT 1 FROM sqlite_master").fetchone() is not None

    def pragma(self, words: str) -> Any:
        """What SQLite answers to a PRAGMA."""
        return self.connection.execute(f"PRAGMA {words}").fetchone()[0]

    def _create(self) -> None:
        for statement in TABLES:
            self.connection.execute(statement)
        self.connection.execute(f"PRAGMA application_id = {APPLICATION}")
        self.connection.execute(f"PRAGMA user_version = {SCHEMA}")
        meta = {
            "model_fingerprint": self._identity[0],
            "space": json.dumps(self._identity[1], sort_keys=True),
            "dimension": None,
            "root": None,
            "generation": 0,
            "concepts": None,
        }
        self.connection.executemany("INSERT INTO meta VALUES (?, ?)", meta.items())

    def _migrate(self) -> None:
        """Bring an index of an older hyperaware up to date, in the transaction that opens it."""
        schema = there = self.pragma("user_version")
        while there in MIGRATIONS:
            for statement in MIGRATIONS[there]:
                self.connection.execute(statement)
            there += 1
        if there != SCHEMA:
            raise StoreError(
                f"{self.file}: schema version {schema}, but this hyperaware reads {SCHEMA}. "
                "Update hyperaware, or index into a new folder."
            )
        self.connection.execute(f"PRAGMA user_version = {SCHEMA}")

    def _check(self) -> None:
        there = (self.meta("model_fingerprint"), json.loads(self.meta("space")))
        given = self._identity
        if there != given:
            raise StoreError(
                f"{self.file}: built by model {there[0]} in space {there[1]}, but opened for model "
                f"{given[0]} in space {given[1]}. Vectors and scores of two models cannot be compared: "
                "open the index with its own model, or index into a new folder."
            )

    @contextmanager
    def transaction(self, kind: Literal["DEFERRED", "IMMEDIATE"]) -> Iterator[None]:
        """All or nothing; what is read inside is of one moment."""
        with self._lock:
            try:
                self.connection.execute(f"BEGIN {kind}")
                try:
                    yield
                    self.connection.execute("COMMIT")
                except BaseException:
                    self.connection.rollback()
                    raise
            except sqlite3.Error as error:
                raise StoreError(f"{self.file}: {error}.") from error

    def meta(self, key: str) -> Any:
        """A value of the index as a whole; inside a transaction, as the two below."""
        return self.connection.execute("SELECT value FROM meta WHERE key = ?", (key,)).fetchone()[0]

    def set_meta(self, key: str, value: object) -> None:
        self.connection.execute("UPDATE meta SET value = ? WHERE key = ?", (value, key))

    def changed(self) -> None:
        self.connection.execute("UPDATE meta SET value = value + 1 WHERE key = 'generation'")

    def damage(self) -> list[str]:
        """What SQLite finds wrong with the file, a sentence each."""
        with self._lock:
            try:
                lines = [
                    line for (line,) in self.connection.execute("PRAGMA integrity_check") if line != "ok"
                ]
            except sqlite3.ProgrammingError as error:
                raise StoreError(f"{self.file}: {error}.") from error
            except sqlite3.DatabaseError as error:  # too damaged to be checked
                lines = [str(error)]
        return [f"{self.file}: {line}. Index into a new folder." for line in lines]

    def close(self) -> None:
        with self._lock:
            self.connection.close()
