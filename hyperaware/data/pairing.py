"""Quadruplets from unpaired collections: each unsafe item gets the safe item that is nearest to it.

The pairing of SafeR-CLIP (arXiv 2511.16743) by a frozen encoder, with a floor on the similarity.
"""

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path

import torch
from torch import Tensor
from torch.nn.functional import normalize

from hyperaware.data.folder import CAPTIONS, SIMILARITY, scan_folder
from hyperaware.data.leaks import shared
from hyperaware.data.record import Reading, RowProblem
from hyperaware.data.unpaired import Captioned, captioned
from hyperaware.errors import DataError
from hyperaware.files import whole
from hyperaware.geometry.space import Sphere
from hyperaware.metrics.retrieval import top1

__all__ = ["FLOOR", "Pair", "nearest_pairs", "of_one_side", "require_new", "scan_unpaired", "write_pairs"]

FLOOR = 0.3
"""Least cosine of a pair, also the default of `hyperaware pair`, which does not wait for torch to know it."""
SHARES = {"train": 0.6, "validation": 0.2, "calibration": 0.2}
BLOCK = 2**24
"""Similarities held at once: 64 MiB."""


@dataclass(frozen=True)
class Pair:
    """An unsafe item, the safe one that is nearest, and their cosine."""

    safe: Captioned
    unsafe: Captioned
    similarity: float


def nearest_pairs(
    safe: Sequence[Captioned], unsafe: Sequence[Captioned], points: tuple[Tensor, Tensor], *, floor: float
) -> tuple[list[Pair], list[Pair]]:
    """The pairs at or above `floor`, and those below, both the most similar first.

    `points` are those of safe and of unsafe items; what counts is the cosine of their directions. A safe item
    may be the nearest of several. Similarities are made block by block, never all at once.

    Raises:
        DataError: one of the collections is empty, or a point is not finite.
    """
    if not safe or not unsafe:
        raise DataError(
            f"{len(safe)} safe and {len(unsafe)} unsafe items can be used; expected some of each."
        )
    safe_points, unsafe_points = (normalize(part.float(), dim=-1) for part in points)
    chunk = max(1, BLOCK // len(safe))
    best = top1(unsafe_points, safe_points, Sphere().similarity, chunk=chunk)
    similarities = (unsafe_points * safe_points[best]).sum(-1)
    order = torch.argsort(similarities, descending=True, stable=True).tolist()
    pairs = [Pair(safe[int(best[k])], unsafe[k], float(similarities[k])) for k in order]
    return [p for p in pairs if p.similarity >= floor], [p for p in pairs if p.similarity < floor]


def of_one_side(
    items: Mapping[str, Sequence[Captioned]],
) -> tuple[dict[str, list[Captioned]], list[RowProblem]]:
    """The items whose picture is on one side only; and what is wrong with each other picture."""
    one, two = ({item.image for item in found} for found in items.values())
    both = shared(one, two) | shared(two, one)
    apart = {side: [item for item in found if item.image not in both] for side, found in items.items()}
    return apart, [
        _problem(path, f"the same picture is safe and unsafe, {other}.") for path, other in both.items()
    ]


def scan_unpaired(folder: Path, *, cache: Path, model: str = "world", floor: float = FLOOR) -> Reading:
    """The rows of a folder's safe/ and unsafe/, paired by their captions as `hyperaware pair` does.

    The pairs are kept in `cache`. What is in no pair for a reason is a problem of the reading: an item
    without a caption, a picture of both sides, an unsafe item that no safe one is near enough to.

    Raises:
        DataError: no such folders, or too few pairs.
        ConfigError: no such model.
    """
    from hyperaware.models.pretrained import load

    encoder = load(model)
    found = {side: list(captioned(folder / side)) for side in ("safe", "unsafe")}
    problems = [each for part in found.values() for each in part if isinstance(each, RowProblem)]
    items, both = of_one_side(
        {side: [each for each in part if isinstance(each, Captioned)] for side, part in found.items()}
    )
    problems += both
    points = [encoder.encode_text([item.text for item in part]) for part in items.values()]
    kept, refused = nearest_pairs(items["safe"], items["unsafe"], (points[0], points[1]), floor=floor)
    for pair in refused:
        why = f"no safe caption is near enough: the nearest has cosine {pair.similarity:.2f}, of {floor:g}."
        problems.append(_problem(pair.unsafe.image, why))
    out = cache / f"pairs-{sha256(repr(kept).encode()).hexdigest()[:16]}"
    if not (out / CAPTIONS).exists():
        write_pairs(kept, out)
    reading = scan_folder(out)
    return replace(reading, source=str(folder), problems=[*problems, *reading.problems])


def _problem(path: Path, why: str) -> RowProblem:
    return RowProblem(why, where=str(path), reason="bad_row")


def write_pairs(pairs: Sequence[Pair], folder: Path) -> dict[str, int]:
    """Writes captions.jsonl into `folder`, and gives the number of rows of each split.

    Pictures stay where they are and are named relative to the folder. All pairs of one safe picture are of
    one split, as its name decides; `train` has about 60 % of the rows, the others half the rest each.

    Raises:
        DataError: too few safe pictures for three splits, or the folder has data already.
    """
    require_new(folder)
    path = folder.absolute() / CAPTIONS
    splits = _splits(pairs)
    folder.mkdir(parents=True, exist_ok=True)
    lines = []
    for number, pair in enumerate(pairs):
        images = {
            f"{side}_image": Path(os.path.relpath(item.image, path.parent)).as_posix()
            for side, item in (("safe", pair.safe), ("unsafe", pair.unsafe))
        }
        texts = {"safe_text": pair.safe.text, "unsafe_text": pair.unsafe.text}
        more = {"category": pair.unsafe.category, SIMILARITY: round(pair.similarity, 6)}
        row = {"id": f"pair-{number:06d}", "split": splits[pair.safe.image], **texts, **images, **more}
        lines.append(json.dumps(row, ensure_ascii=False))
    with whole(path) as partial:
        partial.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return {name: sum(splits[pair.safe.image] == name for pair in pairs) for name in SHARES}


def require_new(folder: Path) -> None:
    """Refuses a folder that has data already (`DataError`)."""
    if (folder / CAPTIONS).exists():
        raise DataError(f"{folder / CAPTIONS} is there already. Give another folder.")


def _splits(pairs: Sequence[Pair]) -> dict[Path, str]:
    """The split of each safe picture: in the order of their hashes, filled up one after the other."""
    rows = {pair.safe.image: 0 for pair in pairs}
    for pair in pairs:
        rows[pair.safe.image] += 1
    if len(rows) < len(SHARES):
        raise DataError(
            f"{len(pairs)} pairs with {len(rows)} different safe pictures: too few for {', '.join(SHARES)}. "
            "Lower the floor, or add safe pictures."
        )
    order = sorted(rows, key=lambda path: sha256(path.name.encode()).hexdigest())
    splits = {}
    for name, later in (("validation", 2), ("calibration", 1)):  # each leaves one for those that come later
        filled, most = 0, SHARES[name] * len(pairs)
        while not filled or (filled + rows[order[-1]] <= most and len(order) > later):
            splits[order[-1]] = name
            filled += rows[order.pop()]
    return splits | dict.fromkeys(order, "train")
