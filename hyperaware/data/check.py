"""What is wrong with data: every row and picture is read, and one bad file never stops it."""

from collections import Counter, defaultdict
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hyperaware.data.likeness import Look, alike, look
from hyperaware.data.quadruplet import Row
from hyperaware.data.record import Reading
from hyperaware.errors import MediaError
from hyperaware.media.images import content_hash, decode, read_bytes

__all__ = ["Checked", "Finding", "check"]

KINDS = {
    "bad_row": True,
    "empty_caption": True,
    "missing": True,
    "duplicate_id": True,
    "bad_picture": True,
    "leaking": True,
    "duplicate_picture": False,
    "alike_picture": False,
    "duplicate_captions": False,
}
"""The kinds of findings, and whether one of them makes data wrong; others are told, to be looked at."""


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


def check(readings: Sequence[Reading], *, progress: Callable[[int, int], None] | None = None) -> Checked:
    """Everything that can be found out about data without a model.

    Data leak if a picture, the same bytes or one that looks the same, or both captions of a row, are found in
    two splits. Several readings are checked together, so that leaks between them show.
    """
    rows = [row for reading in readings for row in reading.rows]
    findings = [
        Finding(problem.reason, (problem.where,), str(problem))
        for reading in readings
        for problem in reading.problems
    ]
    splits: defaultdict[Path, set[str]] = defaultdict(set)
    for row in rows:
        for path in (row.safe_image, row.unsafe_image):
            splits[path].add(row.split)
    hashes: dict[Path, str] = {}
    looks: dict[Path, Look] = {}
    for done, path in enumerate(splits, start=1):
        try:
            data = read_bytes(path)
            looks[path] = look(decode(data, name=str(path)))
            hashes[path] = content_hash(data)
        except MediaError as error:
            findings.append(Finding("bad_picture", (str(path),), f"{error.reason}: {error}"))
        if progress is not None:
            progress(done, len(splits))
    findings += _same_bytes(hashes, splits) + _alike(looks, hashes, splits) + _captions(rows)
    return Checked(len(rows), len(splits), findings, _balance(rows))


def _groups(items: Iterable[tuple[Hashable, Any]]) -> list[list[Any]]:
    groups: defaultdict[Hashable, list[Any]] = defaultdict(list)
    for key, item in items:
        groups[key].append(item)
    return list(groups.values())


def _same_bytes(hashes: Mapping[Path, str], splits: Mapping[Path, set[str]]) -> list[Finding]:
    found = []
    for paths in _groups((digest, path) for path, digest in hashes.items()):
        across = sorted(set().union(*(splits[path] for path in paths)))
        names = tuple(map(str, paths))
        if len(across) > 1:
            found.append(Finding("leaking", names, f"the same picture is in splits {', '.join(across)}."))
        elif len(paths) > 1:
            found.append(Finding("duplicate_picture", names, f"{len(paths)} files have the same bytes."))
    return found


def _alike(
    looks: Mapping[Path, Look], hashes: Mapping[Path, str], splits: Mapping[Path, set[str]]
) -> list[Finding]:
    # One file of each content: what has the same bytes was told already.
    paths = list({hashes[path]: path for path in reversed(list(looks))}.values())[::-1]
    found = []
    for one, two in alike([looks[path] for path in paths]):
        pair, across = (paths[one], paths[two]), sorted(splits[paths[one]] | splits[paths[two]])
        kind = "leaking" if splits[paths[one]] != splits[paths[two]] else "alike_picture"
        why = f"two pictures look the same (splits {', '.join(across)})."
        found.append(Finding(kind, tuple(map(str, pair)), why))
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
