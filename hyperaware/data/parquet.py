"""Records of a parquet file, read by row groups: never the whole file at once."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from hyperaware.data.record import RowProblem
from hyperaware.errors import ConfigError, DataError

__all__ = ["parquet_records"]

BATCH = 64
"""Records at once; each may hold two pictures."""


def parquet_records(path: Path) -> Iterator[tuple[str, Any] | RowProblem]:
    """Where each record stands, and the record. A damaged row group is one problem, and the next is read.

    Numbers of class labels become their names where the file tells them, as those of the Hugging Face Hub do.

    Raises:
        ConfigError: pyarrow is not installed.
        DataError: the file's end, which says where everything is, is missing or damaged.
    """
    try:
        import pyarrow
        from pyarrow.parquet import ParquetFile
    except ImportError as error:
        raise ConfigError(f"{path}: parquet needs pyarrow: pip install 'hyperaware[data]'.") from error
    broken = (pyarrow.ArrowException, OSError, ValueError)
    try:
        file = ParquetFile(path)
    except broken as error:
        raise DataError(f"{path} is no parquet file, or was cut ({error}). Fetch it anew.") from error
    with file:
        names, done = _class_names(file.schema_arrow.metadata), 0
        for group in range(file.num_row_groups):
            first, done = done, done + file.metadata.row_group(group).num_rows
            try:
                number = first
                for batch in file.iter_batches(batch_size=BATCH, row_groups=[group]):
                    for record in batch.to_pylist():
                        yield f"{path}, row {number}", _named(record, names)
                        number += 1
            except broken as error:
                why = f"rows {number} to {done - 1} cannot be read ({error}). Fetch the file anew."
                yield RowProblem(why, where=f"{path}, row group {group}", reason="bad_row")


def _class_names(metadata: dict[bytes, bytes] | None) -> dict[str, list[str]]:
    """The names of class labels by column."""
    try:
        features = json.loads((metadata or {})[b"huggingface"])["info"]["features"]
        return {
            column: list(map(str, feature["names"]))
            for column, feature in features.items()
            if isinstance(feature, dict) and feature.get("_type") == "ClassLabel"
        }
    except (KeyError, ValueError, TypeError, AttributeError):
        return {}


def _named(record: dict[str, Any], names: dict[str, list[str]]) -> dict[str, Any]:
    for column, known in names.items():
        value = record.get(column)
        if isinstance(value, int) and 0 <= value < len(known):
            record[column] = known[value]
    return record
