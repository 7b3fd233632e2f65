"""How items lie in SQLite: the tables, and the way there and back."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from hyperaware.index.store import Item

__all__ = ["COLUMNS", "SELECT", "TABLES", "UPSERT", "item_of", "row_of", "vectors_of"]

COLUMNS = ("id", "path", "modality", "caption", "content_hash", "vector", "score", "state", "reason")

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
        CHECK (modality IN ('image', 'text')),
        CHECK ((state = 'failed') = (vector IS NULL)),
        CHECK ((state = 'ok') = (score IS NOT NULL)),
        CHECK (state IN ('ok', 'unscored') OR (state = 'failed' AND reason IS NOT NULL))
    )
    """,
)

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
    return tuple(row.values())


def item_of(row: tuple) -> Item:
    fields = dict(zip(COLUMNS, row, strict=True))
    if fields["vector"] is not None:
        fields["vector"] = vectors_of([fields["vector"]])[0].float()
    return Item(**fields)


def vectors_of(blobs: Sequence[bytes]) -> Tensor:
    """Stored vectors as (n, d) float64."""
    rows = np.frombuffer(b"".join(blobs), dtype="<f4").reshape(len(blobs), -1)
    return torch.from_numpy(rows.astype(np.float64))
