"""Quadruplets of one's own: a table of captions and picture names, or safe/ and unsafe/ with equal names."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from hyperaware.data.quadruplet import Row
from hyperaware.data.record import Reading, RowProblem, gather, row_of
from hyperaware.data.table import records
from hyperaware.data.unpaired import caption_beside, pictures_in

__all__ = ["scan_sidecars", "scan_table"]

LABELS = {"unsafe_text_label": "unsafe_text", "unsafe_image_label": "unsafe_image"}
SIDES = ("safe", "unsafe")


def scan_table(path: Path, *, images: Path | None = None, split: str = "train") -> Reading:
    """The quadruplets of a table (.jsonl, .json, .csv, .tsv) with the keys of captions.jsonl as columns.

    Paths of pictures are relative to `images`, by default the table's folder. A row without `split` is of
    `split`, one without `id` is called by its number. Labels: `labels` in JSON; in a CSV the columns
    `unsafe_text_label` and `unsafe_image_label`, "safe" or "unsafe". An empty cell is none.

    Raises:
        DataError: the file cannot be read as a table.
    """
    folder = (path.parent if images is None else images).absolute()
    count = 0

    def make(where: str, record: Any) -> Row:
        nonlocal count
        count += 1
        if isinstance(record, Mapping):
            given = {key: value for key, value in record.items() if value not in (None, "")}
            labels = {part: given[column] for column, part in LABELS.items() if column in given}
            record = {"id": str(count), "split": split, **({"labels": labels} if labels else {}), **given}
        return row_of(record, where=where, image=folder.joinpath)

    return gather(str(path), records(path), make)


def scan_sidecars(folder: Path, *, split: str = "train") -> Reading:
    """The quadruplets of a folder with safe/NAME.jpg, safe/NAME.txt, unsafe/NAME.jpg and unsafe/NAME.txt.

    The same names are one row; suffixes of pictures may differ. Where the folder has no safe/, each
    sub-folder that has is a split of that name.
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

    return gather(str(folder), _named_pairs(splits, single=single), make)


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
