"""A store in one folder: SQLite holds the truth, FAISS searches a copy of the vectors in memory."""

import json
import sqlite3
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from hyperaware.errors import SafetyError, StoreError
from hyperaware.geometry.space import Space, space_from_config
from hyperaware.index.audit import file_problem, item_problems
from hyperaware.index.exact import Block, candidates
from hyperaware.index.rows import SELECT, TABLES, UPSERT, item_of, row_of, vectors_of
from hyperaware.index.store import Content, Hit, Item, Modality, Status, vector_problem

__all__ = ["SQLiteStore"]

FILE = "index.sqlite"
APPLICATION = 0x48594157
"""SQLite's application id of our files: "HYAW"."""
SCHEMA = 1
PATIENCE = 60.0
"""Seconds to wait for another process that is writing."""
PART = 500
"""Rows per statement or conversion: far under SQLite's limit of variables, and little memory."""


class SQLiteStore:
    """A `Store` (see `hyperaware.index.store`) in `folder/index.sqlite`: one machine, some 100,000 items.

    * **Durability**: write-ahead log with synchronous=FULL. A killed process loses nothing under NORMAL
      either, but a power cut does; an fsync per batch is small beside encoding the batch.
    * **Currency**: a generation number in the file grows with every change, by whichever process. A search
      reads it in its own snapshot and rebuilds the vectors in memory if they are of another generation.
    * **Threads**: one connection under one lock.

    Args:
        folder: The index; made if need be.
        space: The space of the vectors.
        model_fingerprint: The model that makes the vectors.
        create: False refuses a folder without an index instead of making an empty one.

    Raises:
        StoreError: no index and not `create`; another model or space; another schema; a damaged file.
    """

    def __init__(
        self, folder: str | Path, *, space: Space, model_fingerprint: str, create: bool = True
    ) -> None:
        self._file = Path(folder) / FILE
        # Made anew, since the curvature of a model's own space is a tensor with a gradient.
        self._space = space_from_config(space.config())
        self._model_fingerprint = model_fingerprint
        self._lock = threading.Lock()
        self._blocks: dict[Modality, tuple[int, Block]] = {}
        if not create and not self._file.is_file():
            raise StoreError(f"{folder}: no index here (no {FILE}). Build it first, or check the path.")
        try:
            self._file.parent.mkdir(parents=True, exist_ok=True)
            self._db = sqlite3.connect(
                self._file, timeout=PATIENCE, isolation_level=None, check_same_thread=False
            )
        except (OSError, sqlite3.Error) as error:
            raise StoreError(f"{self._file}: the index cannot be opened: {error}.") from error
        try:
            self._prepare()
        except BaseException:
            self._db.close()
            raise

    # -- opening -----------------------------------------------------------------------------------------

    def _prepare(self) -> None:
        try:
            # In this order: tables and id come in one transaction, so tables of ours never lack the id.
            if self._is_made() and self._pragma("application_id") != APPLICATION:
                raise StoreError(f"{self._file}: an SQLite file, but no index of ours. Give another folder.")
            journal = self._journal()
            self._db.execute("PRAGMA synchronous = FULL")
        except sqlite3.Error as error:
            raise StoreError(f"{self._file}: {error}.") from error
        if journal != "wal":
            raise StoreError(f"{self._file}: this file system allows no write-ahead log. Use a local disk.")
        with self._transaction("IMMEDIATE"):
            if not self._is_made():
                self._create()
            self._check()

    def _journal(self) -> str:
        """The journal mode after asking for a write-ahead log."""
        give_up = time.monotonic() + PATIENCE
        while True:
            try:
                return self._pragma("journal_mode = WAL")
            except sqlite3.OperationalError as error:
                # For this statement SQLite does not wait itself while another process makes the same index.
                if "locked" not in str(error) or time.monotonic() > give_up:
                    raise
                time.sleep(0.01)

    def _is_made(self) -> bool:
        return self._db.execute("SELECT 1 FROM sqlite_master").fetchone() is not None

    def _pragma(self, words: str) -> Any:
        return self._db.execute(f"PRAGMA {words}").fetchone()[0]

    def _create(self) -> None:
        for statement in TABLES:
            self._db.execute(statement)
        self._db.execute(f"PRAGMA application_id = {APPLICATION}")
        self._db.execute(f"PRAGMA user_version = {SCHEMA}")
        meta = {
            "model_fingerprint": self._model_fingerprint,
            "space": json.dumps(self._space.config(), sort_keys=True),
            "dimension": None,
            "root": None,
            "generation": 0,
        }
        self._db.executemany("INSERT INTO meta VALUES (?, ?)", meta.items())

    def _check(self) -> None:
        schema = self._pragma("user_version")
        if schema != SCHEMA:
            raise StoreError(
                f"{self._file}: schema version {schema}, but this hyperaware reads {SCHEMA}. "
                "Update hyperaware, or index into a new folder."
            )
        there = (self._meta("model_fingerprint"), json.loads(self._meta("space")))
        given = (self._model_fingerprint, self._space.config())
        if there != given:
            raise StoreError(
                f"{self._file}: built by model {there[0]} in space {there[1]}, but opened for model "
                f"{given[0]} in space {given[1]}. Vectors and scores of two models cannot be compared: "
                "open the index with its own model, or index into a new folder."
            )

    @contextmanager
    def _transaction(self, kind: Literal["DEFERRED", "IMMEDIATE"]) -> Iterator[None]:
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
            except sqlite3.Error as error:
                raise StoreError(f"{self._file}: {error}.") from error

    def _meta(self, key: str) -> Any:
        return self._db.execute("SELECT value FROM meta WHERE key = ?", (key,)).fetchone()[0]

    def _set_meta(self, key: str, value: object) -> None:
        self._db.execute("UPDATE meta SET value = ? WHERE key = ?", (value, key))

    def _changed(self) -> None:
        self._db.execute("UPDATE meta SET value = value + 1 WHERE key = 'generation'")

    # -- identity ----------------------------------------------------------------------------------------

    @property
    def space(self) -> Space:
        return self._space

    @property
    def model_fingerprint(self) -> str:
        return self._model_fingerprint

    @property
    def root(self) -> Path | None:
        return self.status().root

    @property
    def count(self) -> int:
        return self.status().items

    def status(self) -> Status:
        with self._transaction("DEFERRED"):
            counts = {
                column: dict(self._db.execute(f"SELECT {column}, count(*) FROM items GROUP BY {column}"))
                for column in ("state", "modality")
            }
            root = self._meta("root")
            return Status(
                items=sum(counts["state"].values()),
                by_state=counts["state"],
                by_modality=counts["modality"],
                generation=self._meta("generation"),
                bytes=sum(file.stat().st_size for file in self._file.parent.glob(FILE + "*")),
                model_fingerprint=self._model_fingerprint,
                space=self._space.config(),
                dimension=self._meta("dimension"),
                root=None if root is None else Path(root),
            )

    def bind_root(self, root: Path, *, moved: bool = False) -> None:
        given = str(Path(root).resolve())
        with self._transaction("IMMEDIATE"):
            there = self._meta("root")
            if there not in (None, given) and not moved:
                raise StoreError(
                    f"{self._file}: this index is of the folder {there}, not of {given}. Give each folder "
                    "its own index, or index their common parent; if the folder was moved, say so (moved)."
                )
            if there != given:
                self._set_meta("root", given)
                self._changed()

    # -- writing -----------------------------------------------------------------------------------------

    def add(self, items: Iterable[Item]) -> None:
        items = list(items)
        with self._transaction("IMMEDIATE"):
            dimension, now = self._meta("dimension"), time.time()
            for item in items:
                if item.vector is not None:
                    problem = vector_problem(item.vector, self._space, dimension)
                    if problem is not None:
                        raise StoreError(f"item {item.path!r}: {problem}. Nothing of this batch was added.")
                    dimension = len(item.vector)
                self._db.execute(UPSERT, (*row_of(item), now, now))
            self._set_meta("dimension", dimension)
            self._changed()

    def remove(self, ids: Iterable[str]) -> int:
        ids = list(ids)
        with self._transaction("IMMEDIATE"):
            removed = self._db.executemany("DELETE FROM items WHERE id = ?", ((id,) for id in ids)).rowcount
            if removed > 0:
                self._changed()
        return max(removed, 0)

    # -- reading -----------------------------------------------------------------------------------------

    def get(self, id: str) -> Item | None:
        with self._transaction("DEFERRED"):
            row = self._db.execute(f"{SELECT} WHERE id = ?", (id,)).fetchone()
        return None if row is None else item_of(row)

    def contents(self, modality: Modality) -> dict[str, Content]:
        with self._transaction("DEFERRED"):
            rows = self._db.execute(
                "SELECT id, path, content_hash, caption, state FROM items WHERE modality = ?", (modality,)
            )
            return {id: Content(*row) for id, *row in rows}

    def search(
        self, queries: Tensor, *, k: int, modality: Modality, max_score: float | None
    ) -> list[list[Hit]]:
        if k < 1:
            raise StoreError(f"got k={k}, expected at least 1.")
        if max_score is not None and max_score != max_score:
            raise SafetyError("the limit of the search is NaN, so nothing may be shown. Calibrate it anew.")
        queries = queries.detach().cpu().double()
        with self._transaction("DEFERRED"):
            width = self._meta("dimension")
            shape = tuple(queries.shape)
            if len(shape) != 2 or width not in (None, shape[1]) or not torch.isfinite(queries).all():
                raise StoreError(f"got queries {shape}, expected finite points of shape (n, {width or 'd'}).")
            block = self._block(modality)
            asked = self._space.product_queries(queries)
            found = candidates(asked.float().numpy(), block, k, max_score)
            return [
                self._best(query, product, block.keys[positions], k)
                for query, product, positions in zip(queries, asked, found, strict=True)
            ]

    def _best(self, query: Tensor, product: Tensor, keys: np.ndarray, k: int) -> list[Hit]:
        """The k best of the rows `keys`, by float64 products of the stored vectors, equal ones by id."""
        best: list[tuple[float, str, tuple]] = []
        for start in range(0, len(keys), PART):
            part = keys[start : start + PART].tolist()
            rows = self._db.execute(
                "SELECT id, path, caption, score, vector FROM items "
                f"WHERE key IN ({', '.join('?' * len(part))})",
                part,
            ).fetchall()
            items = self._space.product_items(vectors_of([row[-1] for row in rows]))
            # Row by row: the last bits of a matrix product depend on where a row stands.
            values = (items * product).sum(dim=-1).tolist()
            best += [(-value, row[0], row) for value, row in zip(values, rows, strict=True)]
            best = sorted(best)[:k]
        if not best:
            return []
        vectors = vectors_of([row[-1] for *_, row in best])
        similarities = self._space.similarity(query[None], vectors)[0].tolist()
        return [
            Hit(id, path, caption, similarity, score)
            for (*_, (id, path, caption, score, _)), similarity in zip(best, similarities, strict=True)
        ]

    def _block(self, modality: Modality) -> Block:
        generation = self._meta("generation")
        known, block = self._blocks.get(modality, (None, None))
        if block is None or known != generation:
            block = self._load(modality)
            self._blocks[modality] = (generation, block)
        return block

    def _load(self, modality: Modality) -> Block:
        cursor = self._db.execute(
            "SELECT key, score, vector FROM items WHERE modality = ? AND vector IS NOT NULL "
            "ORDER BY score IS NULL, score, id",
            (modality,),
        )
        keys: list[int] = []
        scores: list[float] = []
        parts: list[np.ndarray] = [np.empty((0, 0), dtype=np.float32)]
        while rows := cursor.fetchmany(PART):
            keys += [row[0] for row in rows]
            scores += [row[1] for row in rows if row[1] is not None]
            parts.append(self._space.product_items(vectors_of([row[2] for row in rows])).float().numpy())
        return Block.of(np.array(keys, dtype=np.int64), np.concatenate(parts[1:] or parts), np.array(scores))

    # -- care --------------------------------------------------------------------------------------------

    def verify(self, *, files: bool = True) -> list[str]:
        problems, expected = self._damage(), []
        if problems:
            return problems
        with self._transaction("DEFERRED"):
            dimension, root = self._meta("dimension"), self._meta("root")
            for row in self._db.execute(f"{SELECT} ORDER BY path"):
                try:
                    item = item_of(row)
                except (StoreError, ValueError) as error:  # ValueError: a blob that is no row of float32
                    problems.append(f"{row[1]}: the row cannot be read ({error}). Remove the item.")
                    continue
                problems += item_problems(item, space=self._space, dimension=dimension)
                if item.modality == "image" and item.content_hash is not None:
                    expected.append((item.path, item.content_hash))
        if files and root is not None:  # outside the lock: this may take long
            problems += [p for path, digest in expected if (p := file_problem(path, digest, Path(root)))]
        return problems

    def _damage(self) -> list[str]:
        with self._lock:
            try:
                lines = [line for (line,) in self._db.execute("PRAGMA integrity_check") if line != "ok"]
            except sqlite3.ProgrammingError as error:
                raise StoreError(f"{self._file}: {error}.") from error
            except sqlite3.DatabaseError as error:  # too damaged to be checked
                lines = [str(error)]
        return [f"{self._file}: {line}. Index into a new folder." for line in lines]

    def close(self) -> None:
        with self._lock:
            self._blocks.clear()
            self._db.close()

    def __enter__(self) -> "SQLiteStore":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
