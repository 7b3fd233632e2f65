"""From a record of any origin to a row, and what is wrong where that fails.

A record is a mapping with `id`, `split`, `safe_text`, `safe_image`, `unsafe_text`, `unsafe_image`, and
optionally `labels` ("safe" or "unsafe" for each of the four parts), `category`, `concept`, `slice`, and
`boxes`: for "safe" and "unsafe" a list of [phrase, left, top, right, bottom], the things in that picture.
Other keys are ignored, and told.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from hyperaware.data.quadruplet import Box, Row
from hyperaware.errors import DataError

__all__ = [
    "FIELDS",
    "MAX_CAPTION",
    "OPTIONAL",
    "PROBLEMS",
    "REQUIRED",
    "Reading",
    "RowProblem",
    "column_labels",
    "gather",
    "row_of",
]

PROBLEMS = (
    *("bad_row", "empty_caption", "missing", "duplicate_id"),
    *("bad_label", "unlabelled"),
    "bad_source",
)
"""The words of `RowProblem.reason`. Two are of a file of labels, the last of a source that gives no row."""

REQUIRED = ("id", "split", "safe_text", "safe_image", "unsafe_text", "unsafe_image")
OPTIONAL = ("category", "concept", "slice")
FIELDS = frozenset({*REQUIRED, *OPTIONAL, "labels", "boxes"})
"""The keys of a record that are read."""

MAX_CAPTION = 2**16
"""Characters. No caption is so long; a file that stands in the place of one may be."""
MAX_SHOWN = 200
"""Characters of a value that a message tells."""
_LOST = ("nan", "none", "null", "n/a", "<na>")
"""What programs write, in lower case, where a caption was lost."""
_SAFE, _UNSAFE = "safe", "unsafe"
_YES_NO = {**dict.fromkeys(("true", "1", "1.0"), _UNSAFE), **dict.fromkeys(("false", "0", "0.0"), _SAFE)}


class RowProblem(DataError):
    """One row cannot be used. `where` is its file and line; `reason` is one of `PROBLEMS`.

    `id` is the row's, where it is known.
    """

    def __init__(self, message: str, *, where: str, reason: str, id: str | None = None) -> None:
        super().__init__(f"{where}: {message}")
        self.where = where
        self.reason = reason
        self.id = id


@dataclass(frozen=True)
class Reading:
    """What a source gave: the rows that can be used, and what is wrong with the others."""

    source: str
    rows: list[Row]
    problems: list[RowProblem]
    known: frozenset[str] = frozenset()
    """The columns that are read, where any column could be there."""
    ignored: tuple[str, ...] = ()
    """Columns that nothing reads; one of them may be a column that is spelled wrongly."""
    inside: tuple[Path, ...] = ()
    """Folders that pictures are expected in, the first of which their names begin in; none: anywhere."""

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

    @property
    def left_out(self) -> dict[str, str]:
        """Of each row that cannot be used where it stands, and why."""
        return {each.where: str(each).removeprefix(f"{each.where}: ") for each in self.problems}

    def whole(self) -> list[Row]:
        """The rows, if there is nothing wrong.

        Raises:
            RowProblem: the only problem.
            DataError: the first of several, or there are no rows.
        """
        if len(self.problems) > 1:
            raise DataError(
                f"{self.problems[0]} {len(self.problems) - 1:,} more rows of {self.source} cannot be used: "
                "`hyperaware data check` names each."
            )
        if self.problems:
            raise self.problems[0]
        if not self.rows:
            raise DataError(f"{self.source} has no rows.")
        return self.rows


def gather(
    source: str,
    records: Iterable[tuple[str, Any] | RowProblem],
    make: Callable[[str, Any], Row],
    *,
    known: frozenset[str] = frozenset(),
    inside: tuple[Path, ...] = (),
) -> Reading:
    """`make(where, record)` of each record; what it refuses is a problem, and so is an id used before.

    With `known`, columns of a record that are not among them are told as `ignored`. `inside` is handed on.
    """
    rows: list[Row] = []
    problems: list[RowProblem] = []
    ignored: dict[str, None] = {}
    used: dict[str, str] = {}
    for each in records:
        if isinstance(each, RowProblem):
            problems.append(each)
            continue
        where, record = each
        if known and isinstance(record, Mapping):
            ignored |= dict.fromkeys(str(key) for key in record if key not in known)
        try:
            row = make(where, record)
            if row.id in used:
                file = where.rpartition(", ")[0]
                why = f"the id {_shown(row.id)} was used in {used[row.id].removeprefix(f'{file}, ')} already."
                raise RowProblem(why, where=where, reason="duplicate_id", id=row.id)
        except RowProblem as problem:
            problems.append(problem)
            continue
        used[row.id] = where
        rows.append(row)
    return Reading(source, rows, problems, known, tuple(ignored), inside)


def row_of(record: object, *, where: str, image: Callable[[str], Path]) -> Row:
    """The row of a record; `image` turns the name of a picture into its path.

    Raises:
        RowProblem: something is missing, empty or of the wrong form.
    """
    if not isinstance(record, Mapping):
        raise _bad(f"expected a JSON object, got {type(record).__name__}.", where)
    try:
        return _row(record, where, image)
    except RowProblem as problem:
        problem.id = record["id"] if isinstance(record.get("id"), str) else None
        raise


def _row(record: Mapping[str, Any], where: str, image: Callable[[str], Path]) -> Row:
    for key in REQUIRED:
        _require_text(key, record.get(key), where)
    for key in OPTIONAL:
        if not isinstance(record.get(key), str | None):
            raise _bad(f"{key!r} must be a text or null, got {_shown(record[key])}.", where)
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


def _require_text(key: str, value: object, where: str) -> None:
    is_caption = key.endswith("_text")
    if not isinstance(value, str) or not value.strip():
        empty = is_caption and (value is None or isinstance(value, str) or value != value)  # nan is not nan
        raise RowProblem(
            f"{key!r} must be a text that is not empty, got {_shown(value)}.",
            where=where,
            reason="empty_caption" if empty else "bad_row",
        )
    if is_caption and value.strip().lower() in _LOST:
        why = f"{key!r} is {value!r}, which a program writes where a caption was lost."
        raise RowProblem(why, where=where, reason="empty_caption")
    if is_caption and len(value) > MAX_CAPTION:
        raise _bad(f"{key!r} has {len(value):,} characters; at most {MAX_CAPTION:,} are accepted.", where)
    if any("\ud800" <= letter <= "\udfff" for letter in value):
        raise _bad(f"{key!r} holds half of a letter, {_shown(value)}; no file can hold it.", where)


def _bad(message: str, where: str) -> RowProblem:
    return RowProblem(message, where=where, reason="bad_row")


def _existing(name: str, image: Callable[[str], Path], *, where: str) -> Path:
    path = image(name)
    try:
        there, is_folder = path.is_file(), path.is_dir()
    except (OSError, ValueError):  # a name that no file can have
        there, is_folder = False, False
    if is_folder:
        why = f"the image {_shown(name)} is a folder; expected a file at {path}."
        raise RowProblem(why, where=where, reason="missing")
    if not there:
        place = f" at {path}" if str(path).isprintable() and len(name) <= MAX_SHOWN else ""
        why = f"the image {_shown(name)} is missing; expected it{place}."
        raise RowProblem(why, where=where, reason="missing")
    return path


def _shown(value: object) -> str:
    """A value as messages tell it: in one line, nothing that a terminal obeys, and not endless."""
    told = repr(value)
    return told if len(told) <= MAX_SHOWN else f"{told[:MAX_SHOWN]} ..."


def column_labels(record: Mapping[str, Any], *, where: str) -> dict[str, str]:
    """The labels that stand in columns of their own, as `labels` has them; an empty column is none.

    `unsafe_text_label` is "safe" or "unsafe", `unsafe_text_is_unsafe` true or false (or 1 or 0); the same for
    `unsafe_image`.

    Raises:
        RowProblem: another word, or two columns that say different things.
    """
    found: dict[str, str] = {}
    for part in ("unsafe_text", "unsafe_image"):
        word, yes = record.get(f"{part}_label"), record.get(f"{part}_is_unsafe")
        words = [] if word in (None, "") else [word]
        if yes not in (None, ""):
            words.append(_YES_NO.get(str(yes).lower(), f"{part}_is_unsafe={yes!r}"))
        for given in words:
            if given not in (_SAFE, _UNSAFE):
                expected = f"'safe' or 'unsafe' as {part}_label, or true or false as {part}_is_unsafe"
                raise _bad(f"the label of {part} must be {expected}, got {_shown(given)}.", where)
        if len(set(words)) > 1:
            raise _bad(f"{part}_label and {part}_is_unsafe say different things.", where)
        if words:
            found[part] = words[0]
    return found


def _labels(record: Mapping[str, Any], *, where: str) -> dict[str, bool]:
    """Whether each part is unsafe; without labels, the generated pair is."""
    labels = {"safe_text": _SAFE, "safe_image": _SAFE, "unsafe_text": _UNSAFE, "unsafe_image": _UNSAFE}
    given = record.get("labels")
    if given is not None and not isinstance(given, dict):
        raise _bad(f"'labels' must be an object, got {_shown(given)}.", where)
    for part, label in (given or {}).items():
        if part not in labels:
            raise _bad(f"labels has no part {_shown(part)}. Known: {', '.join(labels)}.", where)
        if label not in (_SAFE, _UNSAFE):
            raise _bad(f"the label of {part} must be 'safe' or 'unsafe', got {_shown(label)}.", where)
        if part.startswith("safe_") and label != _SAFE:
            raise _bad(
                f"{part} is labelled {_shown(label)}; the first pair of a row is safe by definition.", where
            )
        labels[part] = label
    return {part: label == _UNSAFE for part, label in labels.items()}


def _boxes(record: Mapping[str, Any], *, where: str) -> dict[str, tuple[Box, ...]]:
    """The boxes of both pictures; none where none are given."""
    boxes: dict[str, tuple[Box, ...]] = {"safe": (), "unsafe": ()}
    given = record.get("boxes")
    if given is not None and not (isinstance(given, dict) and given.keys() <= boxes.keys()):
        raise _bad(f"'boxes' must be an object with 'safe' and 'unsafe', got {_shown(given)}.", where)
    for part, listed in (given or {}).items():
        if not isinstance(listed, list) or not all(map(_is_box, listed)):
            raise _bad(
                f"the boxes of {part} must be a list of [phrase, left, top, right, bottom] "
                f"with left < right and top < bottom in pixels, got {_shown(listed)}.",
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
