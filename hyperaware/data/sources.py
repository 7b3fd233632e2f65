"""What `--data` may name, and reading it.

    FOLDER                                     captions.jsonl (a world export, or `pair`'s), or captions.csv,
                                               .tsv or .parquet; or safe/ and unsafe/ with a .txt beside each
                                               picture; or what `datasets` has saved by save_to_disk
    FILE.csv, .tsv, .jsonl, .json or .parquet  the same columns; ?images=DIR&split=NAME
    visu:FILE-or-FOLDER?coco=DIR&unsafe=DIR    ViSU-Text; &split=NAME, &calibration=SHARE of validation
    nsfwcaps:FILE?images=DIR&unsafe=DIR        NSFWCaps; &split=NAME
    webdataset:SHARDS                          tar files, {000..042} and * allowed; ?split=NAME&cache=DIR
    unpaired:FOLDER                            safe/ and unsafe/ with captions, paired by `hyperaware pair`;
                                               ?model=MODEL&floor=COSINE&cache=DIR
    hf:ORG/NAME[@REVISION] or hf:FOLDER        a data set of the Hub on this machine; ?split=NAME&config=NAME

Everywhere `labels=FILE` names a table of labels (`data.labels`). A table, a saved folder and hf: take
`OURS=THEIRS` for columns that are called otherwise, and `cache=DIR` for pictures that come inside of them. A
path that exists as it is written has no options. Values are taken as they are: no %20, and no & in them.
"""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from hyperaware.data.captions import COLUMNS, scan_sidecars, scan_table
from hyperaware.data.folder import CAPTIONS, scan_folder
from hyperaware.data.huggingface import is_saved, scan_hub, scan_saved
from hyperaware.data.kept import cache_folder
from hyperaware.data.labels import labelled_by
from hyperaware.data.quadruplet import Row
from hyperaware.data.record import Reading
from hyperaware.data.table import SUFFIXES
from hyperaware.data.visu import scan_nsfwcaps, scan_visu
from hyperaware.data.webdataset import scan_webdataset
from hyperaware.errors import ConfigError, DataError
from hyperaware.options import parse_assignments, unknown_name

__all__ = ["FORMS", "name_of", "read", "scan"]

FORMS = (
    "a folder; a .csv, .tsv, .jsonl, .json or .parquet file; visu:FILE?coco=DIR&unsafe=DIR; "
    "nsfwcaps:FILE?images=DIR&unsafe=DIR; webdataset:SHARDS; unpaired:DIR; hf:ORG/NAME"
)
"""The spellings, for help."""

_KINDS = {
    "visu": (("coco", "unsafe"), ("split", "calibration")),
    "nsfwcaps": (("images", "unsafe"), ("split",)),
    "webdataset": ((), ("split", "cache")),
    "unpaired": ((), ("model", "floor", "cache")),
    "hf": ((), ("split", "config", "cache")),
}
"""Of each kind the options that are needed, and the others."""
_WITH_COLUMNS = ("hf", "a table", "a saved data set")
_LABELS = "labels"
_NUMBERS = {"calibration", "floor"}
_PATHS = ("coco", "unsafe", "images", "cache", _LABELS)
_TABLES = (".csv", ".tsv", ".parquet")
"""Suffixes of the table that stands in a folder in the place of captions.jsonl."""


def read(source: str | Path, *, split: str | None = None, failed: dict[str, str] | None = None) -> list[Row]:
    """The rows of a source, or those of one split.

    With `failed`, rows that cannot be used are left out and entered there (where to why); without, nothing in
    the source may be wrong.

    Raises:
        DataError: a row cannot be used, or there is none.
        ConfigError: the source is spelled wrongly.
    """
    reading = scan(source)
    if failed is None:
        reading.whole()
    else:
        failed |= reading.left_out
        if not reading.rows:
            first = f" The first problem: {reading.problems[0]}" if reading.problems else ""
            raise DataError(f"{reading.source} has no row that can be used.{first}")
    return reading.of_split(split).rows


def scan(source: str | Path) -> Reading:
    """The rows of a source that can be used, and what is wrong with the others. No picture is opened.

    Raises:
        DataError: there is no such file or folder, or nothing of it can be read.
        ConfigError: the source is spelled wrongly.
    """
    kind, place, words = _parsed(str(source))
    labels = [word for word in words if word.startswith(f"{_LABELS}=")]
    words = [word for word in words if word not in labels]
    reading = _own(Path(place), words) if kind == "" else _of_kind(kind, place, words)
    for word in labels:
        reading = labelled_by(reading, Path(word.partition("=")[2]))
    return reading


def name_of(source: str) -> str:
    """What a source is called for short: the last part of its path, without options."""
    return Path(_parsed(source)[1]).absolute().name


def _of_kind(kind: str, place: str, words: list[str]) -> Reading:
    options = _options(kind, words, *_KINDS[kind])
    known: dict[str, Callable[..., Reading]] = {
        "visu": lambda **given: scan_visu(Path(place), **given),
        "nsfwcaps": lambda **given: scan_nsfwcaps(Path(place), **given),
        "webdataset": partial(scan_webdataset, place, cache=cache_folder()),
        "unpaired": partial(_unpaired, Path(place)),
        "hf": partial(scan_hub, place, cache=cache_folder()),
    }
    return known[kind](**options)


def _unpaired(place: Path, **options: Any) -> Reading:
    from hyperaware.data.pairing import scan_unpaired  # it takes torch

    return scan_unpaired(place, **{"cache": cache_folder(), **options})


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
        return _folder(path, words)
    if path.suffix.lower() in SUFFIXES:
        options = _options("a table", words, (), ("images", "split", "cache"))
        return scan_table(path, **{"cache": cache_folder(), **options})
    raise DataError(f"{path} is no data that can be read. Expected {FORMS}.")


def _folder(path: Path, words: list[str]) -> Reading:
    table = next((path / f"captions{each}" for each in _TABLES if (path / f"captions{each}").is_file()), None)
    if (path / CAPTIONS).is_file():
        _options(f"a folder with {CAPTIONS}", words, (), ())
        return scan_folder(path)
    if table is not None:
        return _own(table, words)
    if is_saved(path):
        options = _options("a saved data set", words, (), ("split", "cache"))
        return scan_saved(path, **{"cache": cache_folder(), **options})
    if _has_sides(path):
        return scan_sidecars(path, **_options("a folder", words, (), ("split",)))
    tables = sorted(each.name for each in path.iterdir() if each.suffix.lower() in SUFFIXES)
    there = f" It has {', '.join(tables[:3])}: give a table itself, {path / tables[0]}." if tables else ""
    raise DataError(
        f"{path} is no dataset: it has no {CAPTIONS}, nor captions{', captions'.join(_TABLES)}, nor safe/ "
        f"and unsafe/ with a .txt beside each picture.{there} `hyperaware world export DIR` writes a folder."
    )


def _has_sides(folder: Path) -> bool:
    places = [folder, *sorted(each for each in folder.iterdir() if each.is_dir())]
    return any((place / "safe").is_dir() and (place / "unsafe").is_dir() for place in places)


def _options(kind: str, words: list[str], needed: tuple[str, ...], others: tuple[str, ...]) -> dict[str, Any]:
    """The options of a source by name; those that name columns are together under `columns`."""
    given = parse_assignments(words)
    renamed = COLUMNS - {"split", _LABELS} if kind in _WITH_COLUMNS else frozenset()
    columns = {name: value for name, value in given.items() if name in renamed}
    for name in given:
        if name not in columns and name not in needed + others:
            raise unknown_name(f"option of {kind}", name, {*needed, *others, _LABELS, *renamed})
    for name in needed:
        if name not in given:
            raise ConfigError(f"{kind} needs {name}=DIR. Expected {FORMS}.")
    options: dict[str, Any] = {
        name: Path(value) if name in _PATHS else value for name, value in given.items() if name not in columns
    }
    for name in _NUMBERS & given.keys():
        try:
            options[name] = float(given[name])
        except ValueError as error:
            raise ConfigError(f"{name}={given[name]!r}: expected a number, 0 to 1.") from error
    return options | ({"columns": columns} if columns else {})
