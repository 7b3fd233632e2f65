"""ViSU-Text and NSFWCaps in their published columns, joined with pictures on this machine.

Neither data set has unsafe pictures: their authors withheld them. Users bring their own; none are made here.
"""

import re
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import urlsplit

from hyperaware.data.quadruplet import Row
from hyperaware.data.record import Reading, RowProblem, gather, row_of
from hyperaware.data.table import records
from hyperaware.errors import ConfigError, DataError
from hyperaware.media.images import IMAGE_SUFFIXES

__all__ = ["TAGS", "scan_nsfwcaps", "scan_visu"]

TAGS = (
    "hate",
    "harassment",
    "violence",
    "suffering",
    "humiliation",
    "harm",
    "suicide",
    "sexual",
    "nudity",
    "bodily fluids",
    "blood",
    "obscene gestures",
    "illegal activity",
    "drug use",
    "theft",
    "vandalism",
    "weapons",
    "abuse",
    "brutality",
    "cruelty",
)
"""ViSU's tags by `prompt_id`. The published files spell number 9 "bodily bluids"; here it is spelt right."""

SPLITS = ("train", "validation", "test")
COCO_FOLDERS = ("train2017", "val2017", "test2017", "")
"""Where in a COCO folder a picture is looked for, in this order; at last in the folder itself."""


def scan_visu(
    path: Path, *, coco: Path, unsafe: Path, split: str | None = None, calibration: float = 0.0
) -> Reading:
    """The quadruplets of `ViSU-Text_{train,validation,test}.json`, one file or the folder of them.

    Columns: incremental_id, safe, nsfw, coco_id, tag, prompt_id; `labels` may be added. The safe picture is
    COCO 2017's, its id padded to 12 digits; the unsafe one is `unsafe`/SPLIT/INCREMENTAL_ID.jpg (or another
    suffix), or without the SPLIT. The category is the tag. Train has one empty caption (id 109551), which is
    a problem.

    Args:
        split: of a file whose name does not tell it.
        calibration: share of the COCO pictures of `validation` whose rows are called split `calibration`.

    Raises:
        DataError: no such file, or one whose split is not known.
        ConfigError: `calibration` is no share.
    """
    if not 0 <= calibration <= 1:
        raise ConfigError(f"calibration={calibration} is no share; expected 0 to 1.")
    files = sorted(path.glob("ViSU-Text_*.json")) if path.is_dir() else [path]
    if not files:
        raise DataError(f"{path} has no ViSU-Text_*.json; expected the published files.")
    _require_folder(coco, "COCO's pictures")
    find_unsafe = _Pictures(unsafe)
    readings = []
    for file in files:
        named = split or next((name for name in SPLITS if name in file.stem.lower()), None)
        if named is None:
            raise DataError(f"{file}: its name tells no split ({', '.join(SPLITS)}). Give split=NAME.")

        def make(where: str, record: Any, named: str = named) -> Row:
            fields = _fields(record, ("incremental_id", "coco_id"), where=where)
            coco_id, number = fields["coco_id"], fields["incremental_id"]
            its = "calibration" if named == "validation" and _share(coco_id) < calibration else named
            found = find_unsafe(f"{named}/{number}", number)
            tag = record.get("tag") or _tag(record.get("prompt_id"))
            made = {
                "id": f"{named}-{number}",
                "split": its,
                "safe_text": record.get("safe"),
                "safe_image": str(_coco(coco, coco_id)),
                "unsafe_text": record.get("nsfw"),
                "unsafe_image": str(found or unsafe.absolute() / named / f"{number}.jpg"),
                "labels": record.get("labels"),
                "category": TAGS[9] if tag == "bodily bluids" else tag,
            }
            return row_of(made, where=where, image=Path)

        readings.append(gather(str(file), records(file), make))
    rows, problems = [r for each in readings for r in each.rows], [p for e in readings for p in e.problems]
    return Reading(str(path), rows, problems)


def scan_nsfwcaps(path: Path, *, images: Path, unsafe: Path, split: str = "test") -> Reading:
    """The quadruplets of NSFWCaps: image_coco_url, caption, nsfw_caption, chosen_category.

    The safe picture has the name that the URL ends in (nothing is fetched), in `images`; the unsafe one has
    the same name in `unsafe`, or another suffix. The data set is for tests only, so that is its split.

    Raises:
        DataError: the file cannot be read as a table.
    """
    _require_folder(images, "the safe pictures")
    find_unsafe = _Pictures(unsafe)

    def make(where: str, record: Any) -> Row:
        url = _fields(record, ("image_coco_url",), where=where)["image_coco_url"]
        name = PurePosixPath(urlsplit(url).path).name
        found = find_unsafe(PurePosixPath(name).stem)
        made = {
            "id": f"{split}-{PurePosixPath(name).stem}",
            "split": split,
            "safe_text": record.get("caption"),
            "safe_image": str(images.absolute() / name),
            "unsafe_text": record.get("nsfw_caption"),
            "unsafe_image": str(found or unsafe.absolute() / name),
            "labels": record.get("labels"),
            "category": record.get("chosen_category"),
        }
        return row_of(made, where=where, image=Path)

    return gather(str(path), records(path), make)


def _fields(record: Any, names: tuple[str, ...], *, where: str) -> dict[str, str]:
    """The fields that name files, as texts: numbers are written out, and none may hold a path."""
    if not isinstance(record, Mapping):
        raise RowProblem(f"expected an object, got {record!r}.", where=where, reason="bad_row")
    found = {}
    for name in names:
        value = record.get(name)
        given = str(value) if isinstance(value, int | str) and not isinstance(value, bool) else ""
        pattern = r".+" if name.endswith("_url") else r"\d{1,18}"
        if not re.fullmatch(pattern, given, re.ASCII):
            why = f"{name!r} must be {'a URL' if name.endswith('_url') else 'a number'}, got {value!r}."
            raise RowProblem(why, where=where, reason="bad_row")
        found[name] = given
    return found


def _coco(folder: Path, coco_id: str) -> Path:
    """The picture in the first folder that has it; in the last, where none has."""
    places = [folder.absolute() / place / f"{int(coco_id):012d}.jpg" for place in COCO_FOLDERS]
    return next((path for path in places if path.is_file()), places[-1])


def _tag(prompt_id: object) -> str | None:
    is_known = isinstance(prompt_id, int | str) and str(prompt_id) in map(str, range(len(TAGS)))
    return TAGS[int(prompt_id)] if is_known else None  # type: ignore[call-overload]


def _share(coco_id: str) -> float:
    """A number from 0 to 1 that only the picture decides on."""
    return int.from_bytes(sha256(coco_id.encode()).digest()[:4], "big") / 2**32


def _require_folder(folder: Path, what: str) -> None:
    if not folder.is_dir():
        raise DataError(f"{folder} is not a folder; expected {what} there.")


class _Pictures:
    """Finds a picture of a folder by its path without suffix."""

    def __init__(self, folder: Path) -> None:
        _require_folder(folder, "your own unsafe pictures")
        self.paths: dict[str, Path] = {}
        for path in sorted(folder.absolute().glob("**/*")):
            if path.suffix.lower() in IMAGE_SUFFIXES:
                name = path.relative_to(folder.absolute()).with_suffix("").as_posix()
                self.paths.setdefault(name, path)

    def __call__(self, *names: str) -> Path | None:
        return next((self.paths[name] for name in names if name in self.paths), None)
