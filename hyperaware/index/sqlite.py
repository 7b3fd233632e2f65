"""A store in one folder: SQLite holds the truth, FAISS searches a copy of the vectors in memory."""

import math
import time
from collections.abc import Callable, Collection, Iterable, Mapping
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from hyperaware.errors import SafetyError, StoreError
from hyperaware.geometry.space import Space, space_from_config
from hyperaware.index.audit import file_problem, item_problems
from hyperaware.index.database import FILE, Database
from hyperaware.index.exact import Block, candidates
from hyperaware.index.rows import (
    COLUMNS,
    SELECT,
    UPSERT,
    categories_of,
    has_within,
    item_of,
    limits_of_one,
    row_of,
    vectors_of,
)
from hyperaware.index.store import Content, Hit, Item, Modality, Status, vector_problem

__all__ = ["SQLiteStore"]

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
        # Made anew, since the curvature of a model's own space is a tensor with a gradient.
        self._space = space_from_config(space.config())
        self._model_fingerprint = model_fingerprint
        self._blocks: dict[Modality, tuple[int, Block]] = {}
        self._database = Database(
            folder, space=self._space, model_fingerprint=model_fingerprint, create=create
        )
        self._file = self._database.file
        self._db = self._database.connection
        self._concepts = self._database.concepts

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
        with self._database.transaction("DEFERRED"):
            counts = {
                column: dict(self._db.execute(f"SELECT {column}, count(*) FROM items GROUP BY {column}"))
                for column in ("state", "modality")
            }
            root = self._database.meta("root")
            return Status(
                items=sum(counts["state"].values()),
                by_state=counts["state"],
                by_modality=counts["modality"],
                generation=self._database.meta("generation"),
                bytes=sum(file.stat().st_size for file in self._file.parent.glob(FILE + "*")),
                model_fingerprint=self._model_fingerprint,
                space=self._space.config(),
                dimension=self._database.meta("dimension"),
                root=None if root is None else Path(root),
                concepts=self._database.meta("concepts"),
            )

    def bind_root(self, root: Path, *, moved: bool = False) -> None:
        given = str(Path(root).resolve())
        with self._database.transaction("IMMEDIATE"):
            there = self._database.meta("root")
            if there not in (None, given) and not moved:
                raise StoreError(
                    f"{self._file}: this index is of the folder {there}, not of {given}. Give each folder "
                    "its own index, or index their common parent; if the folder was moved, say so (moved)."
                )
            if there != given:
                self._database.set_meta("root", given)
                self._database.changed()

    def bind_concepts(self, fingerprint: str) -> None:
        with self._database.transaction("IMMEDIATE"):
            if self._database.meta("concepts") != fingerprint:
                self._db.execute("UPDATE items SET categories = NULL WHERE categories IS NOT NULL")
                self._database.set_meta("concepts", fingerprint)
                self._database.changed()
            self._concepts = fingerprint

    # -- writing -----------------------------------------------------------------------------------------

    def add(self, items: Iterable[Item]) -> None:
        items = list(items)
        with self._database.transaction("IMMEDIATE"):
            dimension, now = self._database.meta("dimension"), time.time()
            self._require_own_concepts(items)
            for item in items:
                if item.vector is not None:
                    problem = vector_problem(item.vector, self._space, dimension)
                    if problem is not None:
                        raise StoreError(f"item {item.path!r}: {problem}. Nothing of this batch was added.")
                    dimension = len(item.vector)
                self._db.execute(UPSERT, (*row_of(item), now, now))
            self._database.set_meta("dimension", dimension)
            self._database.changed()

    def _require_own_concepts(self, items: Iterable[Item]) -> None:
        concepts = self._database.meta("concepts")
        if concepts != self._concepts and any(item.categories is not None for item in items):
            raise StoreError(
                f"{self._file}: these categories are by the concepts {self._concepts}, but those of the "
                f"index are {concepts} by now. Nothing of this batch was added: run it again."
            )

    def record_categories(self, items: Iterable[Item]) -> int:
        items = list(items)
        with self._database.transaction("IMMEDIATE"):
            self._require_own_concepts(items)
            rows = [dict(zip(COLUMNS, row_of(item), strict=True)) for item in items]
            recorded = self._db.executemany(
                "UPDATE items SET categories = :categories WHERE id = :id AND vector = :vector", rows
            ).rowcount
            if recorded > 0:
                self._database.changed()
        return max(recorded, 0)

    def remove(self, ids: Iterable[str]) -> int:
        ids = list(ids)
        with self._database.transaction("IMMEDIATE"):
            removed = self._db.executemany("DELETE FROM items WHERE id = ?", ((id,) for id in ids)).rowcount
            if removed > 0:
                self._database.changed()
        return max(removed, 0)

    # -- reading -----------------------------------------------------------------------------------------

    def get(
        self,
        id: str,
        *,
        max_score: Mapping[Modality, float | None] | None = None,
        max_categories: Mapping[str, float] | None = None,
    ) -> Item | None:
        condition, values = limits_of_one(max_score)
        with self._database.transaction("DEFERRED"):
            row = self._db.execute(f"{SELECT} WHERE id = ? AND {condition}", (id, *values)).fetchone()
        if row is None or not has_within(row, {} if max_categories is None else max_categories):
            return None
        try:
            return item_of(row)
        except (StoreError, ValueError) as error:  # ValueError: a blob that is no row of float32
            raise StoreError(f"{self._file}: the row of item {id!r} is damaged. Verify the index.") from error

    def contents(self, modality: Modality) -> dict[str, Content]:
        with self._database.transaction("DEFERRED"):
            rows = self._db.execute(
                "SELECT id, path, content_hash, caption, state, categories IS NOT NULL FROM items "
                "WHERE modality = ?",
                (modality,),
            )
            return {
                id: Content(path, content_hash, caption, state, bool(categorised))
                for id, path, content_hash, caption, state, categorised in rows
            }

    def search(
        self,
        queries: Tensor,
        *,
        k: int,
        modality: Modality,
        max_score: float | None,
        max_categories: Mapping[str, float] | None = None,
        offset: int = 0,
        ids: Collection[str] | None = None,
        folder: str | None = None,
    ) -> list[list[Hit]]:
        if k < 1 or offset < 0:
            raise StoreError(f"got k={k} and offset={offset}, expected at least 1 and at least 0.")
        limits = {} if max_categories is None else dict(max_categories)
        if any(limit is not None and math.isnan(limit) for limit in (max_score, *limits.values())):
            raise SafetyError("a limit of the search is NaN, so nothing may be shown. Calibrate it anew.")
        queries = queries.detach().cpu().double()
        with self._database.transaction("DEFERRED"):
            width = self._database.meta("dimension")
            shape = tuple(queries.shape)
            if len(shape) != 2 or width not in (None, shape[1]) or not torch.isfinite(queries).all():
                raise StoreError(f"got queries {shape}, expected finite points of shape (n, {width or 'd'}).")
            block = self._block(modality)
            asked = self._space.product_queries(queries)
            allowed = block.allowed(max_score, limits, self._chosen(ids, folder))
            found = candidates(asked.float().numpy(), block, offset + k, allowed)
            return [
                self._best(query, product, block.keys[positions], slice(offset, offset + k))
                for query, product, positions in zip(queries, asked, found, strict=True)
            ]

    def _chosen(self, ids: Collection[str] | None, folder: str | None) -> np.ndarray | None:
        """The keys of the items that a search is narrowed to; None for all."""
        folder = None if folder is None else folder.strip("/")
        if ids is None and not folder:
            return None
        # "0" follows "/": all paths that begin with "folder/", by the index on paths.
        below, values = ("path >= ? AND path < ?", (f"{folder}/", f"{folder}0")) if folder else ("1", ())
        if ids is None:
            rows = self._db.execute(f"SELECT key FROM items WHERE {below}", values).fetchall()
            return np.array([key for (key,) in rows], dtype=np.int64)
        keys, asked = [], list(ids)
        for start in range(0, len(asked), PART):
            part = asked[start : start + PART]
            marks = ", ".join("?" * len(part))
            statement = f"SELECT key FROM items WHERE {below} AND id IN ({marks})"
            keys += [key for (key,) in self._db.execute(statement, (*values, *part))]
        return np.array(keys, dtype=np.int64)

    def _best(self, query: Tensor, product: Tensor, keys: np.ndarray, page: slice) -> list[Hit]:
        """A page of the best of the rows `keys`, by float64 products of the stored vectors, equal ones by
        id."""
        best: list[tuple[float, str, tuple]] = []
        for start in range(0, len(keys), PART):
            part = keys[start : start + PART].tolist()
            rows = self._db.execute(
                "SELECT id, path, caption, score, categories, vector FROM items "
                f"WHERE key IN ({', '.join('?' * len(part))})",
                part,
            ).fetchall()
            items = self._space.product_items(vectors_of([row[-1] for row in rows]))
            # Row by row: the last bits of a matrix product depend on where a row stands.
            values = (items * product).sum(dim=-1).tolist()
            best += [(-value, row[0], row) for value, row in zip(values, rows, strict=True)]
            best = sorted(best)[: page.stop]
        best = best[page]
        if not best:
            return []
        vectors = vectors_of([row[-1] for *_, row in best])
        similarities = self._space.similarity(query[None], vectors)[0].tolist()
        return [
            Hit(id, path, caption, similarity, score, categories_of(categories))
            for (*_, (id, path, caption, score, categories, _)), similarity in zip(
                best, similarities, strict=True
            )
        ]

    def _block(self, modality: Modality) -> Block:
        generation = self._database.meta("generation")
        known, block = self._blocks.get(modality, (None, None))
        if block is None or known != generation:
            block = self._load(modality)
            self._blocks[modality] = (generation, block)
        return block

    def _load(self, modality: Modality) -> Block:
        cursor = self._db.execute(
            "SELECT key, score, categories, vector FROM items WHERE modality = ? AND vector IS NOT NULL "
            "ORDER BY score IS NULL, score, id",
            (modality,),
        )
        keys: list[int] = []
        scores: list[float] = []
        categories: list[dict[str, float]] = []
        parts: list[np.ndarray] = [np.empty((0, 0), dtype=np.float32)]
        while rows := cursor.fetchmany(PART):
            keys += [row[0] for row in rows]
            scores += [row[1] for row in rows if row[1] is not None]
            categories += [categories_of(row[2]) or {} for row in rows]
            parts.append(self._space.product_items(vectors_of([row[3] for row in rows])).float().numpy())
        names = {name for known in categories for name in known}
        return Block.of(
            np.array(keys, dtype=np.int64),
            np.concatenate(parts[1:] or parts),
            np.array(scores),
            {name: np.array([known.get(name, np.nan) for known in categories]) for name in names},
        )

    # -- care --------------------------------------------------------------------------------------------

    def verify(
        self, *, files: bool = True, progress: Callable[[int, int], None] = lambda done, total: None
    ) -> list[str]:
        problems, expected = self._database.damage(), []
        if problems:
            return problems
        with self._database.transaction("DEFERRED"):
            dimension, root = self._database.meta("dimension"), self._database.meta("root")
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
            for done, (path, digest) in enumerate(expected, start=1):
                problem = file_problem(path, digest, Path(root))
                problems += [] if problem is None else [problem]
                progress(done, len(expected))
        return problems

    def close(self) -> None:
        self._database.close()
        self._blocks.clear()

    def __enter__(self) -> "SQLiteStore":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
