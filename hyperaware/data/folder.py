"""Datasets as folders: pictures and a captions.jsonl, written by `world export` or by the user.

Each line of captions.jsonl is a record as `data.record` has it, its pictures' paths relative to the folder.
"""

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from hyperaware.data.quadruplet import Row
from hyperaware.data.record import FIELDS, REQUIRED, Reading, gather, row_of
from hyperaware.data.table import records
from hyperaware.errors import DataError

__all__ = ["CAPTIONS", "SIMILARITY", "fingerprint", "read_folder", "scan_folder"]

CAPTIONS = "captions.jsonl"
SIMILARITY = "similarity"
"""A key that `pair` writes, for readers other than this one."""


def read_folder(folder: Path, *, split: str | None = None) -> list[Row]:
    """The rows of a dataset folder, in the order of its file; only those of `split` if it is given.

    Raises DataError, naming file and line, for anything that cannot be used.
    """
    reading = scan_folder(Path(folder))
    reading.whole()
    return reading.of_split(split).rows


def scan_folder(folder: Path) -> Reading:
    """The rows of a dataset folder, and what is wrong with the others.

    Raises:
        DataError: there is no captions.jsonl.
    """
    folder = folder.absolute()
    captions = folder / CAPTIONS
    if not captions.is_file():
        raise DataError(
            f"{folder} is no dataset: it has no {CAPTIONS}. Expected one JSON object per line with "
            f"{', '.join(REQUIRED)}. `hyperaware world export {folder}` writes such a folder."
        )

    def make(where: str, record: Any) -> Row:
        return row_of(record, where=where, image=folder.joinpath)

    return gather(str(captions), records(captions), make, known=FIELDS | {SIMILARITY}, inside=(folder,))


def fingerprint(rows: Iterable[Row]) -> str:
    """The sha256 of captions, labels, and image names and sizes in bytes; not of where the folder lies."""
    digest = hashlib.sha256()
    for row in rows:
        images = [(path.name, path.stat().st_size) for path in (row.safe_image, row.unsafe_image)]
        labels = (row.unsafe_text_is_unsafe, row.unsafe_image_is_unsafe, row.category, row.concept, row.slice)
        record = [row.id, row.split, row.safe_text, row.unsafe_text, labels, images]
        digest.update(json.dumps(record, ensure_ascii=False).encode() + b"\n")
    return digest.hexdigest()
