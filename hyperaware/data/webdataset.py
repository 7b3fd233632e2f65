"""Webdataset shards: tar files in which members with the same name before the first dot are one row.

A row is KEY.safe.jpg, KEY.safe.txt, KEY.unsafe.jpg, KEY.unsafe.txt and optionally KEY.json with what else
captions.jsonl has (labels, category, split ...); captions may stand in it too, as safe_text and unsafe_text.

Shards may come from strangers. Nothing in them names a file here: pictures are written under the hash of
their bytes. Members that are no plain files (links, devices, sparse files) or are too large are refused.
"""

import itertools
import json
import re
import tarfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import IO, Any

from hyperaware.data.kept import keep
from hyperaware.data.quadruplet import Row
from hyperaware.data.record import Reading, RowProblem, gather, row_of
from hyperaware.errors import DataError
from hyperaware.media.images import DEFAULT_LIMITS, IMAGE_SUFFIXES

__all__ = ["scan_webdataset", "shards_of"]

MAX_TEXT = 2**20
"""Bytes of a .txt or .json member."""
MAX_SHARDS = 100_000


def scan_webdataset(pattern: str, *, cache: Path, split: str = "train") -> Reading:
    """The quadruplets of shards; their pictures are written to `cache` once, by the hash of their bytes.

    Rows are called SHARD/KEY, or FOLDER/SHARD/KEY where shards of several folders have one name, and are of
    `split` where their KEY.json does not say. A damaged shard is read up to the damage, which is a problem.

    Raises:
        DataError: no shard is found.
    """

    def make(where: str, record: Any) -> Row:
        return row_of({"split": split, **record}, where=where, image=Path)

    shards = shards_of(pattern)
    stems = [shard.stem for shard in shards]
    names = stems if len(set(stems)) == len(stems) else [f"{each.parent.name}/{each.stem}" for each in shards]
    found = (each for shard, name in zip(shards, names, strict=True) for each in _records(shard, name, cache))
    return gather(pattern, found, make)


def shards_of(pattern: str) -> list[Path]:
    """The tar files of a folder, or of a name with {000..042}, {a,b} or *.

    Raises:
        DataError: there are none, or one of those that braces name is missing.
    """
    if Path(pattern).is_dir():
        paths = sorted(Path(pattern).glob("*.tar"))
    else:
        paths = []
        for name in _braces(pattern):
            path = Path(name)
            paths += sorted(path.parent.glob(path.name)) if "*" in path.name else [path]
    missing = [str(path) for path in paths if not path.is_file()]
    if missing or not paths:
        raise DataError(f"{', '.join(missing[:3]) or pattern}: no such shard; expected .tar files.")
    return paths


def _braces(pattern: str) -> list[str]:
    match = re.search(r"\{([^{}]*)\}", pattern)
    if match is None:
        return [pattern]
    span = re.fullmatch(r"(\d+)\.\.(\d+)", match[1])
    words = match[1].split(",")
    if span is not None:
        numbers = range(int(span[1]), int(span[2]) + 1)
        if len(numbers) > MAX_SHARDS:
            raise DataError(f"{pattern} names {len(numbers):,} shards; at most {MAX_SHARDS:,} are read.")
        words = [str(number).zfill(len(span[1])) for number in numbers]
    return [
        name for word in words for name in _braces(pattern[: match.start()] + word + pattern[match.end() :])
    ]


def _records(shard: Path, name: str, cache: Path) -> Iterator[tuple[str, Any] | RowProblem]:
    try:
        with tarfile.open(shard, "r:") as tar:
            for key, group in itertools.groupby(_members(tar), key=lambda member: _key(member.name)[0]):
                where = f"{shard}, {key!r}"
                try:
                    yield where, _sample(tar, list(group), where, cache) | {"id": f"{name}/{key}"}
                except RowProblem as problem:
                    yield problem
    except (tarfile.TarError, EOFError, ValueError, OverflowError) as error:
        why = f"the shard is damaged ({type(error).__name__}: {error}); fetch it anew."
        yield RowProblem(why, where=str(shard), reason="bad_row")


def _members(tar: tarfile.TarFile) -> Iterator[tarfile.TarInfo]:
    for member in tar:
        if not member.isdir():
            yield member
        tar.members = []  # type: ignore[attr-defined]  # or every header of the shard stays in memory


def _key(name: str) -> tuple[str, str]:
    """The key of a member and its extension: what stands before and after the first dot of the last part.

    >>> _key("part.1/0007.safe.JPG")
    ('part.1/0007', 'safe.jpg')
    """
    path = PurePosixPath(name)
    stem, _, extension = path.name.partition(".")
    return str(path.with_name(stem)) if stem else name, extension.lower()


def _sample(tar: tarfile.TarFile, members: list[tarfile.TarInfo], where: str, cache: Path) -> dict[str, Any]:
    record: dict[str, Any] = {}
    for member in members:
        extension = _key(member.name)[1]
        side, _, kind = extension.rpartition(".")
        if extension == "json":
            record = {**_object(_bytes(tar, member, MAX_TEXT, where), where), **record}
        elif side not in ("safe", "unsafe"):
            continue
        elif kind == "txt":
            record[f"{side}_text"] = _text(_bytes(tar, member, MAX_TEXT, where), where)
        elif f".{kind}" in IMAGE_SUFFIXES:
            data = _bytes(tar, member, DEFAULT_LIMITS.max_bytes, where)
            record[f"{side}_image"] = str(keep(data, member.name, cache))
    for side in ("safe", "unsafe"):
        if f"{side}_image" not in record:
            why = f"there is no picture {_key(members[0].name)[0]}.{side}.jpg, nor with another suffix."
            raise RowProblem(why, where=where, reason="missing")
    return record


def _bytes(tar: tarfile.TarFile, member: tarfile.TarInfo, most: int, where: str) -> bytes:
    if member.type not in (tarfile.REGTYPE, tarfile.AREGTYPE) or member.issparse():
        why = f"the member {member.name!r} is no plain file (a link, a device, a sparse file)."
        raise RowProblem(why, where=where, reason="bad_row")
    if member.size > most:
        why = f"the member {member.name!r} has {member.size:,} bytes; at most {most:,} are accepted."
        raise RowProblem(why, where=where, reason="bad_row")
    file: IO[bytes] | None = tar.extractfile(member)
    data = b"" if file is None else file.read(most)
    if len(data) != member.size:
        raise RowProblem(f"the member {member.name!r} is cut.", where=where, reason="bad_row")
    return data


def _text(data: bytes, where: str) -> str:
    try:
        return data.decode("utf-8-sig").strip()
    except UnicodeDecodeError as error:
        raise RowProblem(f"a caption is not UTF-8 text ({error}).", where=where, reason="bad_row") from error


def _object(data: bytes, where: str) -> dict[str, Any]:
    try:
        found = json.loads(_text(data, where))
    except (ValueError, RecursionError) as error:
        raise RowProblem(f"its .json is not JSON ({error}).", where=where, reason="bad_row") from error
    if not isinstance(found, dict):
        raise RowProblem("its .json is no object.", where=where, reason="bad_row")
    return {name: value for name, value in found.items() if not name.endswith("_image")}
