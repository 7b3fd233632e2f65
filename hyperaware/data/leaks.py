"""Rows to train on, without the pictures of the rows that the model is measured on."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path

from hyperaware.data.quadruplet import Row
from hyperaware.media.images import content_hash

__all__ = ["apart", "shared"]


def apart(rows: Sequence[Row], others: Iterable[Row]) -> tuple[list[Row], dict[str, str]]:
    """The rows that have no picture, byte by byte, that `others` have; and of each such picture why.

    What is measured on rows that were trained on promises too much.
    """
    ours, theirs = (
        {path for row in part for path in (row.safe_image, row.unsafe_image)} for part in (rows, others)
    )
    found = shared(ours, theirs)
    kept = [row for row in rows if not {row.safe_image, row.unsafe_image} & found.keys()]
    reasons = {
        str(path): f"the same picture is in rows that the model is measured on, {other}."
        for path, other in found.items()
    }
    return kept, reasons


def shared(ours: set[Path], theirs: set[Path]) -> dict[Path, Path]:
    """For each of our files whose bytes they have too: theirs. Only files of equal size are read."""
    found = {path: path for path in ours & theirs}
    by_size: defaultdict[int, tuple[list[Path], list[Path]]] = defaultdict(lambda: ([], []))
    for side, paths in enumerate((sorted(ours - theirs), sorted(theirs))):
        for path in paths:
            try:
                by_size[path.stat().st_size][side].append(path)
            except OSError:
                continue
    for mine, other in by_size.values():
        if mine and other:
            known = {_hash(path): path for path in reversed(other)}
            found |= {path: known[digest] for path in mine if (digest := _hash(path)) in known}
    return found


def _hash(path: Path) -> str:
    """The hash of a file's bytes; its own name where it cannot be read."""
    try:
        return content_hash(path)
    except OSError:
        return str(path)
