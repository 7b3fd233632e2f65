"""What `--data` may name, and reading it.

    FOLDER                                     captions.jsonl (a world export, or `pair`'s), captions.csv or
                                               .tsv; or safe/ and unsafe/ with a .txt beside each picture
    FILE.csv, .tsv, .jsonl or .json            the same columns; ?images=DIR&split=NAME
    visu:FILE-or-FOLDER?coco=DIR&unsafe=DIR    ViSU-Text; &split=NAME, &calibration=SHARE of validation
    nsfwcaps:FILE?images=DIR&unsafe=DIR        NSFWCaps; &split=NAME
    webdataset:SHARDS                          tar files, {000..042} and * allowed; ?split=NAME&cache=DIR

A path that exists as it is written has no options. Values are taken as they are: no %20, and no & in them.
Parquet and ids of the Hugging Face Hub are not read: save them as JSON lines or CSV first.
"""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from hyperaware.data.captions import scan_sidecars, scan_table
from hyperaware.data.folder import CAPTIONS, scan_folder
from hyperaware.data.quadruplet import Row
from hyperaware.data.record import Reading
from hyperaware.data.table import SUFFIXES
from hyperaware.data.visu import scan_nsfwcaps, scan_visu
from hyperaware.data.webdataset import scan_webdataset
from hyperaware.errors import ConfigError, DataError
from hyperaware.options import parse_assignments, unknown_name

__all__ = ["FORMS", "read", "scan"]

FORMS = (
    "a folder; a .csv, .tsv, .jsonl or .json file; visu:FILE?coco=DIR&unsafe=DIR; "
    "nsfwcaps:FILE?images=DIR&unsafe=DIR; webdataset:SHARDS"
)
"""The spellings, for help."""

_KINDS = {
    "visu": (("coco", "unsafe"), ("split", "calibration")),
    "nsfwcaps": (("images", "unsafe"), ("split",)),
    "webdataset": ((), ("split", "cache")),
}
"""Of each kind the options that are needed, and the others."""
_PATHS = ("coco", "unsafe", "images", "cache")


def read(source: str | Path, *, split: str | None = None) -> list[Row]:
    """The rows of a source, or those of one split; nothing in it may be wrong.

    Raises:
        DataError: a row cannot be used, or there is none.
        ConfigError: the source is spelled wrongly.
    """
    reading = scan(source)
    reading.whole()
    return reading.of_split(split).rows


def scan(source: str | Path) -> Reading:
    """The rows of a source that can be used, and what is wrong with the others. No picture is opened.

    Raises:
        DataError: there is no such file or folder, or nothing of it can be read.
        ConfigError: the source is spelled wrongly.
    """
    kind, place, words = _parsed(str(source))
    if kind == "":
        return _own(Path(place), words)
    needed, others = _KINDS[kind]
    options = _options(kind, words, needed, others)
    if kind == "webdataset":
        return scan_webdataset(place, **{"cache": _cache(), **options})
    known: dict[str, Callable[..., Reading]] = {"visu": scan_visu, "nsfwcaps": scan_nsfwcaps}
    return known[kind](Path(place), **options)


def _parsed(source: str) -> tuple[str, str, list[str]]:
    """Kind, path and options; the kind of a plain path is empty."""
    if Path(source).exists():
        return "", source, []
    kind, colon, rest = source.partition(":")
    if colon and kind.isalnum() and len(kind) > 1:
        if kind not in _KINDS:
            raise unknown_name("kind of data", kind, _KINDS)
    else:
        kind, rest = "", source
    place, _, query = rest.partition("?")
    return kind, place, query.split("&") if query else []


def _own(path: Path, words: list[str]) -> Reading:
    if path.is_dir():
        options = _options("a folder", words, (), ("split",))
        if (path / CAPTIONS).is_file() or not _has_sides(path):
            tables = [path / f"captions{suffix}" for suffix in (".csv", ".tsv")]
            found = next((table for table in tables if table.is_file()), None)
            return scan_folder(path) if (path / CAPTIONS).is_file() or not found else scan_table(found)
        return scan_sidecars(path, **options)
    if path.suffix.lower() in SUFFIXES:
        return scan_table(path, **_options("a table", words, (), ("images", "split")))
    raise DataError(f"{path} is no data that can be read. Expected {FORMS}.")


def _has_sides(folder: Path) -> bool:
    places = [folder, *sorted(each for each in folder.iterdir() if each.is_dir())]
    return any((place / "safe").is_dir() and (place / "unsafe").is_dir() for place in places)


def _options(kind: str, words: list[str], needed: tuple[str, ...], others: tuple[str, ...]) -> dict[str, Any]:
    given = parse_assignments(words)
    for name in given:
        if name not in needed + others:
            raise unknown_name(f"option of {kind}", name, needed + others)
    for name in needed:
        if name not in given:
            raise ConfigError(f"{kind} needs {name}=DIR. Expected {FORMS}.")
    options: dict[str, Any] = {name: Path(v) if name in _PATHS else v for name, v in given.items()}
    if "calibration" in given:
        try:
            options["calibration"] = float(given["calibration"])
        except ValueError as error:
            raise ConfigError(f"calibration={given['calibration']!r}: expected a share, 0 to 1.") from error
    return options


def _cache() -> Path:
    cache = os.environ.get("HYPERAWARE_CACHE")
    return (Path(cache) if cache else Path.home() / ".cache" / "hyperaware") / "shards"
