"""Pictures with captions, not yet in pairs: a .txt beside each picture, or a table of captions."""

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hyperaware.data.record import RowProblem
from hyperaware.data.table import records
from hyperaware.errors import DataError, MediaError
from hyperaware.media.images import IMAGE_SUFFIXES, Limits, read_bytes

__all__ = ["Captioned", "captioned", "pictures_in"]

TABLES = ("captions.jsonl", "captions.csv", "captions.tsv")
IMAGE_KEYS = ("image", "file_name", "filepath")
TEXT_KEYS = ("text", "caption", "title")
SIDECAR_LIMITS = Limits(max_bytes=2**16)


@dataclass(frozen=True)
class Captioned:
    """One picture and what it is said to show."""

    image: Path
    text: str
    category: str | None = None


def captioned(folder: str | Path) -> Iterator[Captioned | RowProblem]:
    """Every picture of a folder with its caption, or why it cannot be used.

    The folder has a captions.jsonl, .csv or .tsv with `image` (or `file_name`, `filepath`) and `text` (or
    `caption`, `title`), optionally `category`; or else a NAME.txt beside each picture, in sub-folders too.

    Raises:
        DataError: no folder, or it has no pictures.
    """
    folder = Path(folder).absolute()
    table = next((folder / name for name in TABLES if (folder / name).is_file()), None)
    if table is not None:
        return _of_table(table, folder)
    found = pictures_in(folder)
    if not found:
        kinds = ", ".join(sorted(IMAGE_SUFFIXES))
        raise DataError(f"{folder} has no pictures ({kinds}) and no {TABLES[0]}.")
    return (_of_sidecar(path) for path in found)


def pictures_in(folder: Path) -> list[Path]:
    """The pictures of a folder and its sub-folders in the order of names, hidden ones passed over.

    Raises:
        DataError: no folder.
    """
    if not folder.is_dir():
        raise DataError(f"{folder} is not a folder. Give a folder of pictures.")
    found = []
    for place, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        shown = [Path(place, name) for name in sorted(names) if not name.startswith(".")]
        found += [path for path in shown if path.suffix.lower() in IMAGE_SUFFIXES]
    return found


def caption_beside(picture: Path) -> str:
    """The text of the file beside a picture that has its name and ends in .txt.

    Raises:
        RowProblem: there is none, or it is empty, too long, or not UTF-8 text.
    """
    file = picture.with_suffix(".txt")
    try:
        text = read_bytes(file, limits=SIDECAR_LIMITS).decode("utf-8-sig").strip()
    except MediaError as error:
        reason = "empty_caption" if error.reason in ("missing", "empty") else "bad_row"
        raise RowProblem(f"no caption: {error}", where=str(picture), reason=reason) from error
    except UnicodeDecodeError as error:
        raise RowProblem(f"not UTF-8 text ({error}).", where=str(file), reason="bad_row") from error
    if not text:
        raise RowProblem("the caption is empty.", where=str(file), reason="empty_caption")
    return text


def _of_sidecar(picture: Path) -> Captioned | RowProblem:
    try:
        return Captioned(picture, caption_beside(picture))
    except RowProblem as problem:
        return problem


def _of_table(table: Path, folder: Path) -> Iterator[Captioned | RowProblem]:
    for each in records(table):
        yield each if isinstance(each, RowProblem) else _of_record(*each, folder)


def _of_record(where: str, record: Any, folder: Path) -> Captioned | RowProblem:
    if not isinstance(record, Mapping):
        return RowProblem(f"expected an object, got {record!r}.", where=where, reason="bad_row")
    name, text = _first(record, IMAGE_KEYS), _first(record, TEXT_KEYS)
    if name is None:
        why = f"expected the path of a picture as {' or '.join(IMAGE_KEYS)}."
        return RowProblem(why, where=where, reason="bad_row")
    if text is None:
        why = f"expected a caption that is not empty as {' or '.join(TEXT_KEYS)}."
        return RowProblem(why, where=where, reason="empty_caption")
    if not (folder / name).is_file():
        why = f"the image {name!r} is missing; expected it at {folder / name}."
        return RowProblem(why, where=where, reason="missing")
    category = record.get("category")
    return Captioned(folder / name, text, category if isinstance(category, str) and category else None)


def _first(record: Mapping[str, Any], keys: tuple[str, ...]) -> str | None:
    """The first of the keys that has a text which is not empty."""
    found = (record.get(key) for key in keys)
    return next((value for value in found if isinstance(value, str) and value.strip()), None)
