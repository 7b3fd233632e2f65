"""How items lie in SQLite: the tables, and the way there and back."""

import json
from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

from hyperaware.index.store import Item, Modality, categories_problem

__all__ = [
    "COLUMNS",
    "MIGRATIONS",
    "SCHEMA",
    "SELECT",
    "TABLES",
    "UPSERT",
    "categories_of",
    "has_within",
    "item_of",
    "limits_of_one",
    "row_of",
    "vectors_of",
]

SCHEMA = 2

COLUMNS = (
    *("id", "path", "modality", "caption", "content_hash", "vector", "score", "state", "reason"),
    "categories",
)

TABLES = (
    "CREATE TABLE meta (key TEXT PRIMARY KEY, value)",
    """
    CREATE TABLE items (
        key INTEGER PRIMARY KEY,
        id TEXT NOT NULL UNIQUE,
        path TEXT NOT NULL,
        modality TEXT NOT NULL,
        caption TEXT,
        content_hash TEXT,
        vector BLOB,
        score REAL,
        state TEXT NOT NULL,
        reason TEXT,
        added REAL NOT NULL,
        updated REAL NOT NULL,
        categories TEXT,
        CHECK (modality IN ('image', 'text')),
        CHECK ((state = 'failed') = (vector IS NULL)),
        CHECK ((state = 'ok') = (score IS NOT NULL)),
        CHECK (state IN ('ok', 'unscored') OR (state = 'failed' AND reason IS NOT NULL))
    )
    """,
    "CREATE INDEX items_path ON items (path)",
)

MIGRATIONS = {
    1: (
        "ALTER TABLE items ADD COLUMN categories TEXT",
        "CREATE INDEX items_path ON items (path)",
        "INSERT INTO meta VALUES ('concepts', NULL)",
    ),
}
"""What makes the next schema of an older one. Items of before have no categories."""

SELECT = f"SELECT {', '.join(COLUMNS)} FROM items"
UPSERT = (
    f"INSERT INTO items ({', '.join(COLUMNS)}, added, updated) "
    f"VALUES ({', '.join('?' * (len(COLUMNS) + 2))}) "
    "ON CONFLICT (id) DO UPDATE SET updated = excluded.updated, "
    f"{', '.join(f'{column} = excluded.{column}' for column in COLUMNS[1:])}"
)


def row_of(item: Item) -> tuple:
    """The item as a row of `COLUMNS`; vectors are little-endian float32 on every machine."""
    row = {column: getattr(item, column) for column in COLUMNS}
    if item.vector is not None:
        row["vector"] = item.vector.detach().numpy().astype("<f4").tobytes()
    if item.categories is not None:
        row["categories"] = json.dumps(dict(item.categories), sort_keys=True, allow_nan=False)
    return tuple(row.values())


def item_of(row: tuple) -> Item:
    fields = dict(zip(COLUMNS, row, strict=True))
    if fields["vector"] is not None:
        fields["vector"] = vectors_of([fields["vector"]])[0].float()
    if fields["categories"] is not None:
        fields["categories"] = json.loads(fields["categories"])
    return Item(**fields)


def categories_of(text: str | None) -> dict[str, float] | None:
    """Stored categories; None also where they are damaged: what cannot be read is shown under no limit, and
    `verify` names it."""
    try:
        categories = None if text is None else json.loads(text)
    except ValueError:
        return None
    return None if categories_problem(categories) else categories


def limits_of_one(max_score: Mapping[Modality, float | None] | None) -> tuple[str, tuple]:
    """The condition of `Store.get` on modality and score, and its values."""
    if max_score is None:
        return "1", ()
    parts: list[str] = []
    values: list[str | float] = []
    for modality, most in max_score.items():
        parts.append("modality = ?" if most is None else "modality = ? AND score <= ?")
        values += [modality] if most is None else [modality, most]
    return f"vector IS NOT NULL AND ({' OR '.join(parts) or '0'})", tuple(values)


def has_within(row: tuple, max_categories: Mapping[str, float]) -> bool:
    """Whether a row of `COLUMNS` has each of these categories, with at most this probability."""
    known = categories_of(row[COLUMNS.index("categories")]) or {}
    return all(name in known and known[name] <= most for name, most in max_categories.items())


def vectors_of(blobs: Sequence[bytes]) -> Tensor:
    """Stored vectors as (n, d) float64."""
    rows = np.frombuffer(b"".join(blobs), dtype="<f4").reshape(len(blobs), -1)
    return torch.from_numpy(rows.astype(np.float64))
