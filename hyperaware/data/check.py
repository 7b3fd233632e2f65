"""What is wrong with data: every row and picture is read, and one bad file never stops it."""

import difflib
import itertools
import os
from collections import Counter, defaultdict
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from hyperaware.data.likeness import Look, alike, look
from hyperaware.data.quadruplet import Row
from hyperaware.data.record import Reading, RowProblem
from hyperaware.data.remarks import caption_remarks, picture_remarks
from hyperaware.data.sources import scan
from hyperaware.errors import DataError, MediaError
from hyperaware.media.images import content_hash, decode, read_bytes

__all__ = ["KINDS", "Checked", "Finding", "check", "scanned"]

KINDS = {
    "bad_source": True,
    "bad_row": True,
    "empty_caption": True,
    "missing": True,
    "duplicate_id": True,
    "bad_label": True,
    "unlabelled": True,
    "bad_picture": True,
    "leaking": True,
    "contradiction": False,
    "duplicate_picture": False,
    "alike_picture": False,
    "duplicate_captions": False,
    "changed_picture": False,
    "odd_picture": False,
    "odd_caption": False,
    "outside": False,
    "ignored_column": False,
}
"""The kinds of findings, and whether one of them makes data wrong; others are told, to be looked at."""

WORKERS = 4
AT_ONCE = 256
"""Pictures that are given to the workers together."""
HINT = 64
"""Pixels at which a JPEG is decoded at least; what is compared has 9 x 8."""


@dataclass(frozen=True)
class Finding:
    """One thing found: its kind (of `KINDS`), the files or rows, and a sentence."""

    kind: str
    where: tuple[str, ...]
    message: str


@dataclass(frozen=True)
class Checked:
    """What `check` found."""

    rows: int
    """Rows whose record can be used; their pictures may be bad."""
    pictures: int
    """Different files."""
    findings: list[Finding] = field(default_factory=list)
    balance: dict[str, dict[str, int]] = field(default_factory=dict)
    """Numbers of rows by split, category, and label of the unsafe part of each modality."""

    @property
    def is_wrong(self) -> bool:
        """Whether anything must be mended."""
        return any(KINDS[finding.kind] for finding in self.findings)

    @property
    def counts(self) -> dict[str, int]:
        """The number of findings of every kind."""
        found = Counter(finding.kind for finding in self.findings)
        return {kind: found[kind] for kind in KINDS}


class _Seen(NamedTuple):
    """What was found out about one picture."""

    digest: bytes
    look: Look | None
    """None where the same bytes were seen before."""
    changed: list[str]
    odd: list[str]


def scanned(source: str | Path) -> Reading:
    """`sources.scan`; a source of which nothing can be read gives no rows and one problem.

    Raises:
        ConfigError: the source is spelled wrongly, or what reads it is not installed.
    """
    try:
        reading = scan(source)
    except DataError as error:
        return Reading(str(source), [], [RowProblem(str(error), where=str(source), reason="bad_source")])
    if not reading.rows and not reading.problems:
        problem = RowProblem("there are no rows.", where=str(source), reason="bad_source")
        return Reading(str(source), [], [problem])
    return reading


def check(readings: Sequence[Reading], *, progress: Callable[[int, int], None] | None = None) -> Checked:
    """Everything that can be found out about data without a model.

    Data leak if a picture, the same bytes or one that looks the same, or both captions of a row, are found in
    two splits. Several readings are checked together, so that leaks between them show. Of a picture a hash
    and a small copy stay in memory, some 500 bytes.
    """
    rows = [row for reading in readings for row in reading.rows]
    findings = [
        Finding(problem.reason, (problem.where,), str(problem))
        for reading in readings
        for problem in reading.problems
    ]
    splits: dict[Path, frozenset[str]] = {}
    sets: dict[frozenset[str], frozenset[str]] = {}  # a few sets, and not one for each picture
    for row in rows:
        for path in (row.safe_image, row.unsafe_image):
            both = splits.get(path, frozenset()) | {row.split}
            splits[path] = sets.setdefault(both, both)
    seen, bad = _look_at(list(splits), progress)
    findings += bad
    findings += _same_bytes(seen, splits) + _alike(seen, splits) + _captions(rows)
    findings += _contradictions(rows, seen)
    findings += _remarks(rows, seen)
    for reading in readings:
        findings += _outside(reading) + _ignored(reading)
    return Checked(len(rows), len(splits), findings, _balance(rows))


def _look_at(
    paths: Sequence[Path], progress: Callable[[int, int], None] | None
) -> tuple[dict[Path, _Seen], list[Finding]]:
    """What was found out about each picture that can be used, and what is wrong with the others."""
    seen: dict[Path, _Seen] = {}
    bad: list[Finding] = []
    known: set[bytes] = set()

    def one(path: Path) -> _Seen | MediaError:
        try:
            data = read_bytes(path)
            digest = bytes.fromhex(content_hash(data))
            if digest in known:
                return _Seen(digest, None, *picture_remarks(path, data))
            picture = decode(data, name=str(path), hint=HINT)
            return _Seen(digest, look(picture), *picture_remarks(path, data))
        except MediaError as error:
            return error

    with ThreadPoolExecutor(max_workers=WORKERS) as pool:
        for start in range(0, len(paths), AT_ONCE):
            part = paths[start : start + AT_ONCE]
            for path, found in zip(part, pool.map(one, part), strict=True):
                if isinstance(found, MediaError):
                    bad.append(Finding("bad_picture", (str(path),), f"{found.reason}: {found}"))
                else:
                    seen[path] = found if found.digest not in known else found._replace(look=None)
                    known.add(found.digest)
            if progress is not None:
                progress(start + len(part), len(paths))
    return seen, bad


def _groups(items: Iterable[tuple[Hashable, Any]]) -> list[list[Any]]:
    groups: defaultdict[Hashable, list[Any]] = defaultdict(list)
    for key, item in items:
        groups[key].append(item)
    return list(groups.values())


def _same_bytes(seen: Mapping[Path, _Seen], splits: Mapping[Path, frozenset[str]]) -> list[Finding]:
    found = []
    for paths in _groups((each.digest, path) for path, each in seen.items()):
        across = sorted(frozenset().union(*(splits[path] for path in paths)))
        names = tuple(map(str, paths))
        if len(across) > 1:
            found.append(Finding("leaking", names, f"the same picture is in splits {', '.join(across)}."))
        elif len(paths) > 1:
            found.append(Finding("duplicate_picture", names, f"{len(paths)} files have the same bytes."))
    return found


def _alike(seen: Mapping[Path, _Seen], splits: Mapping[Path, frozenset[str]]) -> list[Finding]:
    # One file of each content: what has the same bytes was told already.
    looks = {path: each.look for path, each in seen.items() if each.look is not None}
    paths, found = list(looks), []
    for group in alike(list(looks.values())):
        same = [paths[index] for index in group]
        across = sorted(frozenset().union(*(splits[path] for path in same)))
        kind = "leaking" if len({splits[path] for path in same}) > 1 else "alike_picture"
        why = f"{len(same)} pictures look the same (splits {', '.join(across)})."
        found.append(Finding(kind, tuple(map(str, same)), why))
    return found


def _captions(rows: Sequence[Row]) -> list[Finding]:
    found = []
    for same in _groups(((row.safe_text, row.unsafe_text), row) for row in rows):
        across = sorted({row.split for row in same})
        ids = tuple(row.id for row in same)
        if len(across) > 1:
            why = f"rows with the same two captions are in splits {', '.join(across)}."
            found.append(Finding("leaking", ids, why))
        elif len(same) > 1:
            found.append(Finding("duplicate_captions", ids, f"{len(same)} rows have the same two captions."))
    return found


def _contradictions(rows: Sequence[Row], seen: Mapping[Path, _Seen]) -> list[Finding]:
    """Pictures, by their bytes, and captions that are safe in one place and unsafe in another."""

    def called(part: str) -> Iterator[tuple[Hashable, bool, str]]:
        for row in rows:
            for side, is_unsafe in (("safe", False), ("unsafe", getattr(row, f"unsafe_{part}_is_unsafe"))):
                item = getattr(row, f"{side}_{part}")
                if part == "text" or item in seen:
                    yield item if part == "text" else seen[item].digest, is_unsafe, row.id

    found = []
    for what, part in (("picture", "image"), ("caption", "text")):
        safe, unsafe = (
            {item for item, is_unsafe, _ in called(part) if is_unsafe is side} for side in (False, True)
        )
        both = safe & unsafe
        ids: defaultdict[Hashable, dict[bool, list[str]]] = defaultdict(lambda: {False: [], True: []})
        for item, is_unsafe, row in called(part):
            if item in both:
                ids[item][is_unsafe].append(row)
        for each in ids.values():
            why = f"the same {what} is safe in row {each[False][0]} and unsafe in row {each[True][0]}."
            found.append(Finding("contradiction", tuple(dict.fromkeys(each[False] + each[True])), why))
    return found


def _remarks(rows: Sequence[Row], seen: Mapping[Path, _Seen]) -> list[Finding]:
    """One finding for each remark, with all that it is made of."""
    found: defaultdict[tuple[str, str], list[str]] = defaultdict(list)
    for path, each in seen.items():
        for remark in each.changed:
            found["changed_picture", remark].append(str(path))
        for remark in each.odd:
            found["odd_picture", remark].append(str(path))
    for row in rows:
        for remark in itertools.chain(*map(caption_remarks, (row.safe_text, row.unsafe_text))):
            found["odd_caption", remark].append(row.id)
    return [
        Finding(kind, tuple(where), f"{remark}: {where[0]}{_and_more(where)}.")
        for (kind, remark), where in found.items()
    ]


def _and_more(where: Sequence[str]) -> str:
    return f" and {len(where) - 1:,} more" if len(where) > 1 else ""


def _outside(reading: Reading) -> list[Finding]:
    """Pictures that do not lie in the folder that the names of pictures begin in, or in one of others."""
    if not reading.inside:
        return []
    inside = [os.path.join(os.path.abspath(folder), "") for folder in reading.inside]
    real = [os.path.join(os.path.realpath(folder), "") for folder in reading.inside]
    out, linked = [], []
    for path in dict.fromkeys(path for row in reading.rows for path in (row.safe_image, row.unsafe_image)):
        if not os.path.abspath(path).startswith(tuple(inside)):
            out.append(str(path))
        elif not os.path.realpath(path).startswith(tuple(real)):
            linked.append(str(path))
    return [
        Finding("outside", tuple(where), f"{what} {reading.inside[0]}: {where[0]}{_and_more(where)}.")
        for what, where in (("paths lead out of", out), ("links lead out of", linked))
        if where
    ]


def _ignored(reading: Reading) -> list[Finding]:
    found = []
    for column in reading.ignored:
        near = difflib.get_close_matches(column, reading.known, n=1, cutoff=0.8)
        hint = f" Is it {near[0]!r}?" if near else ""
        why = f"{reading.source}: nothing reads the column {column!r}.{hint}"
        found.append(Finding("ignored_column", (reading.source,), why))
    return found


def _balance(rows: Sequence[Row]) -> dict[str, dict[str, int]]:
    def label(is_unsafe: bool) -> str:
        return "unsafe" if is_unsafe else "safe"

    kinds = {
        "split": [row.split for row in rows],
        "category": [row.category or "(none)" for row in rows],
        "unsafe_text": [label(row.unsafe_text_is_unsafe) for row in rows],
        "unsafe_image": [label(row.unsafe_image_is_unsafe) for row in rows],
    }
    return {kind: dict(Counter(values).most_common()) for kind, values in kinds.items()}
