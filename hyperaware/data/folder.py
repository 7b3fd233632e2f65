"""Datasets as folders: pictures and a captions.jsonl, written by `world export` or by the user.

Each line of captions.jsonl is a JSON object with `id`, `split`, `safe_text`, `safe_image`, `unsafe_text`,
`unsafe_image` (paths relative to the folder), and optionally `labels` ("safe" or "unsafe" for each of the
four parts), `category`, `concept`, `slice`, and `boxes`: for "safe" and "unsafe" a list of
[phrase, left, top, right, bottom], the things in that picture. Other keys are ignored.
"""

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from hyperaware.data.quadruplet import Box, Row
from hyperaware.errors import DataError

__all__ = ["CAPTIONS", "fingerprint", "read_folder"]

CAPTIONS = "captions.jsonl"
_REQUIRED = ("id", "split", "safe_text", "safe_image", "unsafe_text", "unsafe_image")
_OPTIONAL = ("category", "concept", "slice")
_SAFE, _UNSAFE = "safe", "unsafe"


def read_folder(folder: Path, *, split: str | None = None) -> list[Row]:
    """The rows of a dataset folder, in the order of its file; only those of `split` if it is given.

    Raises DataError, naming file and line, for anything that cannot be used.
    """
    folder = Path(folder).absolute()
    captions = folder / CAPTIONS
    if not captions.is_file():
        raise DataError(
            f"{folder} is no dataset: it has no {CAPTIONS}. Expected one JSON object per line with "
            f"{', '.join(_REQUIRED)}. `hyperaware world export {folder}` writes such a folder."
        )
    rows: list[Row] = []
    lines: dict[str, int] = {}
    try:
        text = captions.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise DataError(f"{captions} is not UTF-8 text: {error}.") from error
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        where = f"{captions}, line {number}"
        row = _row(line, folder, where=where)
        if row.id in lines:
            raise DataError(f"{where}: the id {row.id!r} was used in line {lines[row.id]} already.")
        lines[row.id] = number
        rows.append(row)
    if not rows:
        raise DataError(f"{captions} has no rows.")
    if split is None:
        return rows
    chosen = [row for row in rows if row.split == split]
    if not chosen:
        known = ", ".join(sorted({row.split for row in rows}))
        raise DataError(f"{captions} has no row of split {split!r}. Its splits: {known}.")
    return chosen


def _row(line: str, folder: Path, *, where: str) -> Row:
    try:
        record = json.loads(line)
    except json.JSONDecodeError as error:
        raise DataError(f"{where}: not JSON ({error}).") from error
    if not isinstance(record, dict):
        raise DataError(f"{where}: expected a JSON object, got {type(record).__name__}.")
    for key in _REQUIRED:
        if not isinstance(record.get(key), str) or not record[key].strip():
            raise DataError(f"{where}: {key!r} must be a text that is not empty, got {record.get(key)!r}.")
    for key in _OPTIONAL:
        if not isinstance(record.get(key), str | None):
            raise DataError(f"{where}: {key!r} must be a text or null, got {record[key]!r}.")
    labels, boxes = _labels(record, where=where), _boxes(record, where=where)
    return Row(
        id=record["id"],
        split=record["split"],
        safe_text=record["safe_text"],
        safe_image=_image(record["safe_image"], folder, where=where),
        unsafe_text=record["unsafe_text"],
        unsafe_image=_image(record["unsafe_image"], folder, where=where),
        unsafe_text_is_unsafe=labels["unsafe_text"],
        unsafe_image_is_unsafe=labels["unsafe_image"],
        category=record.get("category"),
        concept=record.get("concept"),
        slice=record.get("slice"),
        safe_boxes=boxes["safe"],
        unsafe_boxes=boxes["unsafe"],
    )


def _labels(record: dict[str, Any], *, where: str) -> dict[str, bool]:
    """Whether each part is unsafe; without labels, the generated pair is."""
    labels = {"safe_text": _SAFE, "safe_image": _SAFE, "unsafe_text": _UNSAFE, "unsafe_image": _UNSAFE}
    given = record.get("labels")
    if given is not None and not isinstance(given, dict):
        raise DataError(f"{where}: 'labels' must be an object, got {given!r}.")
    for part, label in (given or {}).items():
        if part not in labels:
            raise DataError(f"{where}: labels has no part {part!r}. Known: {', '.join(labels)}.")
        if label not in (_SAFE, _UNSAFE):
            raise DataError(f"{where}: the label of {part} must be 'safe' or 'unsafe', got {label!r}.")
        if part.startswith("safe_") and label != _SAFE:
            raise DataError(
                f"{where}: {part} is labelled {label!r}; the first pair of a row is safe by definition."
            )
        labels[part] = label
    return {part: label == _UNSAFE for part, label in labels.items()}


def _boxes(record: dict[str, Any], *, where: str) -> dict[str, tuple[Box, ...]]:
    """The boxes of both pictures; none where none are given."""
    boxes: dict[str, tuple[Box, ...]] = {"safe": (), "unsafe": ()}
    given = record.get("boxes")
    if given is not None and not (isinstance(given, dict) and given.keys() <= boxes.keys()):
        raise DataError(f"{where}: 'boxes' must be an object with 'safe' and 'unsafe', got {given!r}.")
    for part, listed in (given or {}).items():
        if not isinstance(listed, list) or not all(map(_is_box, listed)):
            raise DataError(
                f"{where}: the boxes of {part} must be a list of [phrase, left, top, right, bottom] "
                f"with left < right and top < bottom in pixels, got {listed!r}."
            )
        boxes[part] = tuple(Box(*box) for box in listed)
    return boxes


def _is_box(box: object) -> bool:
    if not (isinstance(box, list) and len(box) == 5 and isinstance(box[0], str) and box[0].strip()):
        return False
    if not all(type(edge) is int and edge >= 0 for edge in box[1:]):
        return False
    _, left, top, right, bottom = box
    return left < right and top < bottom


def _image(name: str, folder: Path, *, where: str) -> Path:
    path = folder / name
    if not path.is_file():
        raise DataError(f"{where}: the image {name!r} is missing; expected it at {path}.")
    return path


def fingerprint(rows: Iterable[Row]) -> str:
    """The sha256 of captions, labels, and image names and sizes in bytes; not of where the folder lies."""
    digest = hashlib.sha256()
    for row in rows:
        images = [(path.name, path.stat().st_size) for path in (row.safe_image, row.unsafe_image)]
        labels = (row.unsafe_text_is_unsafe, row.unsafe_image_is_unsafe, row.category, row.concept, row.slice)
        record = [row.id, row.split, row.safe_text, row.unsafe_text, labels, images]
        digest.update(json.dumps(record, ensure_ascii=False).encode() + b"\n")
    return digest.hexdigest()
