"""Labels from a file of their own: somebody looked at the pictures and texts after they were collected."""

from collections.abc import Mapping
from dataclasses import replace
from os.path import abspath
from pathlib import Path
from typing import Any

from hyperaware.data.record import OPTIONAL, Reading, RowProblem, column_labels
from hyperaware.data.table import records
from hyperaware.errors import DataError

__all__ = ["labelled_by"]

KEYS = ("id", "path")


def labelled_by(reading: Reading, path: Path) -> Reading:
    """The reading with the labels of a table, which names rows by `id` or by `path`, of the unsafe picture.

    The columns: `unsafe_text_label` and `unsafe_image_label` ("safe" or "unsafe"), or
    `unsafe_text_is_unsafe` and `unsafe_image_is_unsafe` (true or false); `category`, `concept`, `slice`. An
    empty cell leaves what the row has. A path is relative to the table's folder; all rows with that unsafe
    picture get the labels. A row that the table does not name is a problem and left out: nobody has said
    what it is.

    Raises:
        DataError: the table cannot be read, or labels no row at all.
    """
    given: dict[str, tuple[str, dict[str, Any]]] = {}
    problems: list[RowProblem] = []
    for each in records(path):
        try:
            if isinstance(each, RowProblem):
                raise each
            where, record = each
            key, changes = _entry(where, record, path.absolute().parent)
            if key in given:
                why = f"{key!r} was labelled in {given[key][0]} already."
                raise RowProblem(why, where=where, reason="bad_label")
            given[key] = (where, changes)
        except RowProblem as problem:
            problems.append(problem)
    rows, used = [], set()
    for row in reading.rows:
        found = [key for key in (row.id, abspath(row.unsafe_image)) if key in given]
        used.update(found)
        if found:
            rows.append(replace(row, **given[found[0]][1]))
        else:
            why = f"{path} has no labels for it."
            problems.append(RowProblem(why, where=f"{reading.source}, {row.id!r}", reason="unlabelled"))
    refused = {problem.id for problem in reading.problems}
    for key, (where, _) in given.items():
        if key not in used and key not in refused:
            why = f"{key!r} is no row of {reading.source}."
            problems.append(RowProblem(why, where=where, reason="bad_label"))
    if reading.rows and not rows:
        raise DataError(f"{path} labels no row of {reading.source}. First problem: {problems[0]}")
    return replace(reading, rows=rows, problems=[*reading.problems, *problems])


def _entry(where: str, record: Any, folder: Path) -> tuple[str, dict[str, Any]]:
    """The id or absolute path of what is labelled, and the changes to the row."""
    if not isinstance(record, Mapping):
        raise RowProblem(f"expected an object, got {record!r}.", where=where, reason="bad_label")
    keys = [key for key in KEYS if record.get(key) not in (None, "")]
    if len(keys) != 1:
        why = f"expected either {' or '.join(KEYS)}, got {dict(record)!r}."
        raise RowProblem(why, where=where, reason="bad_label")
    value = str(record[keys[0]])
    try:
        labels = column_labels(record, where=where)
    except RowProblem as problem:
        problem.reason = "bad_label"
        raise
    changes: dict[str, Any] = {f"{part}_is_unsafe": label == "unsafe" for part, label in labels.items()}
    changes |= {key: str(record[key]) for key in OPTIONAL if record.get(key) not in (None, "")}
    if not changes:
        raise RowProblem(f"{value!r} has no label.", where=where, reason="bad_label")
    return abspath(folder / value) if keys[0] == "path" else value, changes
