"""From a record of any origin to a row, and what is wrong where that fails.

A record is a mapping with `id`, `split`, `safe_text`, `safe_image`, `unsafe_text`, `unsafe_image`, and
optionally `labels` ("safe" or "unsafe" for each of the four parts), `category`, `concept`, `slice`, and
`boxes`: for "safe" and "unsafe" a list of [phrase, left, top, right, bottom], the things in that picture.
Other keys are ignored.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from hyperaware.data.quadruplet import Box, Row
from hyperaware.errors import DataError

__all__ = ["PROBLEMS", "REQUIRED", "Reading", "RowProblem", "gather", "row_of"]

PROBLEMS = ("bad_row", "empty_caption", "missing", "duplicate_id")
"""The words of `RowProblem.reason`."""

REQUIRED = ("id", "split", "safe_text", "safe_image", "unsafe_text", "unsafe_image")
_OPTIONAL = ("category", "concept", "slice")
_SAFE, _UNSAFE = "safe", "unsafe"


class RowProblem(DataError):
    """One row cannot be used. `where` is its file and line; `reason` is one of `PROBLEMS`."""

    def __init__(self, message: str, *, where: str, reason: str) -> None:
        super().__init__(f"{where}: {message}")
        self.where = where
        self.reason = reason


@dataclass(frozen=True)
class Reading:
    """What a source gave: the rows that can be used, and what is wrong with the others."""

    source: str
    rows: list[Row]
    problems: list[RowProblem]

    def of_split(self, split: str | None) -> Reading:
        """The same with the rows of one split only; a problem's split is not known, so all of them stay.

        Raises:
            DataError: there is no row of that split.
        """
        if split is None:
            return self
        rows = [row for row in self.rows if row.split == split]
        if not rows:
            known = ", ".join(sorted({row.split for row in self.rows})) or "none, for no row can be used"
            first = f" First of {len(self.problems)} problems: {self.problems[0]}" if self.problems else ""
            raise DataError(f"{self.source} has no row of split {split!r}. Its splits: {known}.{first}")
        return replace(self, rows=rows)

    def whole(self) -> list[Row]:
        """The rows, if there is nothing wrong.

        Raises:
            RowProblem: the first problem.
            DataError: there are no rows.
        """
        if self.problems:
            raise self.problems[0]
        if not self.rows:
            raise DataError(f"{self.source} has no rows.")
        return self.rows


def gather(
    source: str, records: Iterable[tuple[str, Any] | RowProblem], make: Callable[[str, Any], Row]
) -> Reading:
    """`make(where, record)` of each record; what it refuses is a problem, and so is an id used before."""
    rows: list[Row] = []
    problems: list[RowProblem] = []
    used: dict[str, str] = {}
    for each in records:
        if isinstance(each, RowProblem):
            problems.append(each)
            continue
        where, record = each
        try:
            row = make(where, record)
            if row.id in used:
                file = where.rpartition(", ")[0]
                why = f"the id {row.id!r} was used in {used[row.id].removeprefix(f'{file}, ')} already."
                raise RowProblem(why, where=where, reason="duplicate_id")
        except RowProblem as problem:
            problems.append(problem)
            continue
        used[row.id] = where
        rows.append(row)
    return Reading(source, rows, problems)


def row_of(record: object, *, where: str, image: Callable[[str], Path]) -> Row:
    """The row of a record; `image` turns the name of a picture into its path.

    Raises:
        RowProblem: something is missing, empty or of the wrong form.
    """
    if not isinstance(record, Mapping):
        raise _bad(f"expected a JSON object, got {type(record).__name__}.", where)
    for key in REQUIRED:
        value = record.get(key)
        if not isinstance(value, str) or not value.strip():
            empty = key.endswith("_text") and (value is None or isinstance(value, str))
            raise RowProblem(
                f"{key!r} must be a text that is not empty, got {value!r}.",
                where=where,
                reason="empty_caption" if empty else "bad_row",
            )
        if any("\ud800" <= letter <= "\udfff" for letter in value):
            raise _bad(f"{key!r} holds half of a letter, {value!r}; no file can hold it.", where)
    for key in _OPTIONAL:
        if not isinstance(record.get(key), str | None):
            raise _bad(f"{key!r} must be a text or null, got {record[key]!r}.", where)
    labels, boxes = _labels(record, where=where), _boxes(record, where=where)
    return Row(
        id=record["id"],
        split=record["split"],
        safe_text=record["safe_text"],
        safe_image=_existing(record["safe_image"], image, where=where),
        unsafe_text=record["unsafe_text"],
        unsafe_image=_existing(record["unsafe_image"], image, where=where),
        unsafe_text_is_unsafe=labels["unsafe_text"],
        unsafe_image_is_unsafe=labels["unsafe_image"],
        category=record.get("category"),
        concept=record.get("concept"),
        slice=record.get("slice"),
        safe_boxes=boxes["safe"],
        unsafe_boxes=boxes["unsafe"],
    )


def _bad(message: str, where: str) -> RowProblem:
    return RowProblem(message, where=where, reason="bad_row")


def _existing(name: str, image: Callable[[str], Path], *, where: str) -> Path:
    path = image(name)
    try:
        there = path.is_file()
    except (OSError, ValueError):  # a name that no file can have
        there = False
    if not there:
        why = f"the image {name!r} is missing; expected it at {path}."
        raise RowProblem(why, where=where, reason="missing")
    return path


def _labels(record: Mapping[str, Any], *, where: str) -> dict[str, bool]:
    """Whether each part is unsafe; without labels, the generated pair is."""
    labels = {"safe_text": _SAFE, "safe_image": _SAFE, "unsafe_text": _UNSAFE, "unsafe_image": _UNSAFE}
    given = record.get("labels")
    if given is not None and not isinstance(given, dict):
        raise _bad(f"'labels' must be an object, got {given!r}.", where)
    for part, label in (given or {}).items():
        if part not in labels:
            raise _bad(f"labels has no part {part!r}. Known: {', '.join(labels)}.", where)
        if label not in (_SAFE, _UNSAFE):
            raise _bad(f"the label of {part} must be 'safe' or 'unsafe', got {label!r}.", where)
        if part.startswith("safe_") and label != _SAFE:
            raise _bad(f"{part} is labelled {label!r}; the first pair of a row is safe by definition.", where)
        labels[part] = label
    return {part: label == _UNSAFE for part, label in labels.items()}


def _boxes(record: Mapping[str, Any], *, where: str) -> dict[str, tuple[Box, ...]]:
    """The boxes of both pictures; none where none are given."""
    boxes: dict[str, tuple[Box, ...]] = {"safe": (), "unsafe": ()}
    given = record.get("boxes")
    if given is not None and not (isinstance(given, dict) and given.keys() <= boxes.keys()):
        raise _bad(f"'boxes' must be an object with 'safe' and 'unsafe', got {given!r}.", where)
    for part, listed in (given or {}).items():
        if not isinstance(listed, list) or not all(map(_is_box, listed)):
            raise _bad(
                f"the boxes of {part} must be a list of [phrase, left, top, right, bottom] "
                f"with left < right and top < bottom in pixels, got {listed!r}.",
                where,
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
