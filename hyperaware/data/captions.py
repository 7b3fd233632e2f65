"""Quadruplets of one's own: a table of captions and pictures, or safe/ and unsafe/ with equal names."""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from hyperaware.data.kept import keep
from hyperaware.data.quadruplet import Row
from hyperaware.data.record import FIELDS, REQUIRED, Reading, RowProblem, column_labels, gather, row_of
from hyperaware.data.table import records
from hyperaware.data.unpaired import caption_beside, pictures_in
from hyperaware.errors import DataError

__all__ = ["COLUMNS", "rows_from", "scan_sidecars", "scan_table"]

SIDES = ("safe", "unsafe")
COLUMNS = FIELDS | {
    f"{side}_{kind}" for side in ("unsafe_text", "unsafe_image") for kind in ("label", "is_unsafe")
}
"""The columns of a table of one's own."""


def scan_table(
    path: Path,
    *,
    cache: Path,
    images: Path | None = None,
    split: str = "train",
    columns: Mapping[str, str] | None = None,
) -> Reading:
    """The quadruplets of a table (.jsonl, .json, .csv, .tsv, .parquet) with the keys of captions.jsonl.

    Paths of pictures are relative to `images`, by default the table's folder. See `rows_from`.

    Raises:
        DataError: the file cannot be read as a table.
        ConfigError: what reads parquet is not installed.
    """
    columns = columns or {}
    folder = (path.parent if images is None else images).absolute()
    make = rows_from(folder, cache=cache, split=split, columns=columns)
    known = COLUMNS | set(columns.values())
    return gather(str(path), records(path), make, known=known, inside=(folder, cache))


def rows_from(
    folder: Path, *, cache: Path, split: str, columns: Mapping[str, str]
) -> Callable[[str, Any], Row]:
    """What makes a row of each record of a table, called in the order of the table.

    A row without `split` is of `split`, one without `id` is called by its number, from 1. A picture is a path
    relative to `folder`, or its bytes, or an object with `bytes` and `path` as the Hugging Face Hub has it;
    bytes are kept in `cache`. Labels: `labels`, or the columns of `record.column_labels`. An empty cell is
    none. `columns` gives for one of our names the name that the table has for it.
    """
    needed = {key: key for key in REQUIRED if key not in ("id", "split")} | dict(columns)
    count = 0

    def make(where: str, record: Any) -> Row:
        nonlocal count
        count += 1
        if not isinstance(record, Mapping):
            return row_of(record, where=where, image=folder.joinpath)
        missing = [theirs for theirs in needed.values() if theirs not in record]
        if missing:
            why = f"there is no column {missing[0]!r}; its columns are {', '.join(map(str, record))}."
            raise RowProblem(f"{why}{_published(record)}", where=where, reason="bad_row")
        given = {key: value for key, value in record.items() if key not in columns and not _is_empty(value)}
        given |= {ours: record[theirs] for ours, theirs in columns.items() if not _is_empty(record[theirs])}
        for key in ("id", "split"):  # in parquet, and in data sets, an id may be a number
            if isinstance(given.get(key), int) and not isinstance(given[key], bool):
                given[key] = str(given[key])
        for key in ("safe_image", "unsafe_image"):
            if key in given:
                given[key] = _picture(given[key], cache)
        labels = given.get("labels", {})
        if isinstance(labels, Mapping):
            labels = {part: label for part, label in labels.items() if label is not None}
            given["labels"] = labels | column_labels(given, where=where)
        return row_of({"id": str(count), "split": split, **given}, where=where, image=folder.joinpath)

    return make


def _published(record: Mapping[str, Any]) -> str:
    """How to read a record that has the columns of a published data set."""
    for columns, source in (
        ({"safe", "nsfw", "coco_id"}, "These are ViSU-Text's: visu:FILE?coco=DIR&unsafe=DIR"),
        ({"image_coco_url", "nsfw_caption"}, "These are NSFWCaps': nsfwcaps:FILE?images=DIR&unsafe=DIR"),
    ):
        if columns <= record.keys():
            return f" {source} reads them, with pictures that you have."
    return ""


def _is_empty(value: object) -> bool:
    return value is None or (isinstance(value, str) and value == "") or value != value  # nan is not nan


def _picture(value: Any, cache: Path) -> Any:
    """The path of a picture as a table gives it; its bytes are kept first."""
    name = None
    if isinstance(value, Mapping) and value.keys() <= {"bytes", "path"}:
        name, value = value.get("path"), value.get("bytes")
        value = name if value is None else value
    if isinstance(value, bytes):
        return str(keep(value, name if isinstance(name, str) else None, cache))
    return value


def scan_sidecars(folder: Path, *, split: str = "train") -> Reading:
    """The quadruplets of a folder with safe/NAME.jpg, safe/NAME.txt, unsafe/NAME.jpg and unsafe/NAME.txt.

    The same names are one row; suffixes of pictures may differ. Where the folder has no safe/, each
    sub-folder that has is a split of that name.

    Raises:
        DataError: no picture in safe/ has the name of one in unsafe/.
    """
    folder = folder.absolute()
    splits, single = {split: folder}, (folder / "safe").is_dir()
    if not single:
        inside = sorted(each for each in folder.iterdir() if (each / "safe").is_dir())
        splits = {each.name: each for each in inside}

    def make(where: str, record: dict[str, Any]) -> Row:
        for side in SIDES:
            picture = record[f"{side}_image"]
            if picture is None:
                why = f"there is no picture of that name in {side}/."
                raise RowProblem(why, where=where, reason="missing")
            record[f"{side}_text"] = caption_beside(Path(picture))
        return row_of(record, where=where, image=Path)

    reading = gather(str(folder), _named_pairs(splits, single=single), make, inside=(folder,))
    if (
        not reading.rows
        and reading.problems
        and all(problem.reason == "missing" for problem in reading.problems)
    ):
        place = next(iter(splits.values()))
        raise DataError(
            f"{folder}: no picture in safe/ has the name of one in unsafe/, so they are not in pairs. To "
            f"pair them: `hyperaware pair --safe {place / 'safe'} --unsafe {place / 'unsafe'} --out DIR`, "
            f"or give unpaired:{place}."
        )
    return reading


def _named_pairs(splits: Mapping[str, Path], *, single: bool) -> Iterator[tuple[str, Any] | RowProblem]:
    for split, place in splits.items():
        sides: dict[str, dict[str, Path]] = {}
        for side in SIDES:
            sides[side] = {}
            for path in pictures_in(place / side):
                name = path.relative_to(place / side).with_suffix("").as_posix()
                if name in sides[side]:
                    why = f"another picture has the same name, {sides[side][name].name}."
                    yield RowProblem(why, where=str(path), reason="duplicate_id")
                else:
                    sides[side][name] = path
        for name in sorted(sides["safe"].keys() | sides["unsafe"].keys()):
            found = {f"{side}_image": sides[side].get(name) for side in SIDES}
            paths = {key: None if path is None else str(path) for key, path in found.items()}
            yield str(place / name), {"id": name if single else f"{split}/{name}", "split": split, **paths}
