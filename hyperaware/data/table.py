"""Records of a table: JSON lines, JSON, CSV, TSV, parquet. A bad line is a problem of that line alone."""

import csv
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from hyperaware.data.parquet import parquet_records
from hyperaware.data.record import RowProblem
from hyperaware.errors import DataError

__all__ = ["SUFFIXES", "records"]

SUFFIXES = (".jsonl", ".json", ".csv", ".tsv", ".parquet")


def records(path: Path) -> Iterator[tuple[str, Any] | RowProblem]:
    """Where each record stands, and the record; or what is wrong there.

    JSON is a list of records, an object that holds one under `data`, or an object of records by id. Text is
    UTF-8, with or without a mark at its beginning; a CSV has its column names in the first line.

    Raises:
        DataError: no such file, another kind of file, UTF-16, JSON or parquet that ends too early, or a CSV
            with other separators or a column that is there twice.
        ConfigError: pyarrow, which reads parquet, is not installed.
    """
    suffix = path.suffix.lower()
    if suffix not in SUFFIXES:
        raise DataError(f"{path} is no table that can be read; expected {', '.join(SUFFIXES)}.")
    if not path.is_file():
        raise DataError(f"{path} is missing; expected a table.")
    if suffix == ".parquet":
        return parquet_records(path)
    _require_utf8(path)
    if suffix == ".jsonl":
        return _lines(path)
    return _json(path) if suffix == ".json" else _csv(path, "\t" if suffix == ".tsv" else ",")


def _require_utf8(path: Path) -> None:
    with open(path, "rb") as file:
        if file.read(2) in (b"\xff\xfe", b"\xfe\xff"):
            raise DataError(f"{path} is not UTF-8 text but UTF-16; save it as UTF-8.")


def _lines(path: Path) -> Iterator[tuple[str, Any] | RowProblem]:
    with open(path, "rb") as file:
        for number, line in enumerate(file, start=1):
            line = line.removeprefix(b"\xef\xbb\xbf") if number == 1 else line
            if not line.strip():
                continue
            where = f"{path}, line {number}"
            try:
                yield where, json.loads(line.decode("utf-8"))
            except UnicodeDecodeError as error:
                yield RowProblem(f"not UTF-8 text ({error}).", where=where, reason="bad_row")
            except (ValueError, RecursionError) as error:
                yield RowProblem(f"not JSON ({error}).", where=where, reason="bad_row")


def _json(path: Path) -> Iterator[tuple[str, Any]]:
    try:
        document = json.loads(path.read_bytes().decode("utf-8-sig"))
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path} is not JSON in UTF-8: {error}. Fetch it anew.") from error
    if isinstance(document, dict) and isinstance(document.get("data"), dict | list):
        document = document["data"]
    if isinstance(document, dict):
        for key, record in document.items():
            yield f"{path}, record {key!r}", {"key": key, **record} if isinstance(record, dict) else record
    elif isinstance(document, list):
        for number, record in enumerate(document):
            yield f"{path}, record {number}", record
    else:
        raise DataError(f"{path} holds a {type(document).__name__}; expected a list or object of records.")


def _csv(path: Path, delimiter: str) -> Iterator[tuple[str, Any] | RowProblem]:
    with open(path, encoding="utf-8-sig", errors="surrogateescape", newline="") as file:
        reader = csv.DictReader(file, delimiter=delimiter)
        try:
            _require_columns(path, list(reader.fieldnames or ()), delimiter)
        except csv.Error as error:
            raise DataError(f"{path}: its first line is not CSV ({error}).") from error
        while True:
            try:
                record = next(reader, None)
            except csv.Error as error:
                where = f"{path}, line {reader.line_num}"
                yield RowProblem(f"not CSV ({error}).", where=where, reason="bad_row")
                continue
            if record is None:
                return
            where = f"{path}, line {reader.line_num}"
            problem = _odd(record)
            yield (where, record) if problem is None else RowProblem(problem, where=where, reason="bad_row")


def _require_columns(path: Path, names: list[str], delimiter: str) -> None:
    """Refuses a first line with one name twice, of which one would win silently, or with other separators."""
    twice = next((name for name in names if name and names.count(name) > 1), None)
    if twice is not None:
        raise DataError(f"{path}: the column {twice!r} is there twice, in its first line.")
    other = next((mark for mark in ";\t,|" if len(names) == 1 and mark in names[0]), None)
    if other is not None:
        what = "tabs" if delimiter == "\t" else "commas"
        raise DataError(f"{path}: its columns are separated by {other!r}; expected {what}. Save it anew.")


def _odd(record: Mapping[Any, Any]) -> str | None:
    """What is wrong with a line of a CSV, if anything."""
    if None in record:
        return f"{len(record[None])} more fields than the {len(record) - 1} columns; are commas quoted?"
    texts = "".join([value for value in record.values() if value])
    if any("\udc80" <= letter <= "\udcff" for letter in texts):
        return "not UTF-8 text."
    return None
