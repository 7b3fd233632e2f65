"""Rows of the world in the forms of published data, to try commands on before the real data are at hand.

visu         ViSU-Text_SPLIT.json in the published columns; the safe pictures in coco/ by COCO's names, the
             unsafe ones in unsafe/SPLIT/. Pictures are JPEG files, as COCO's. `labels` is one column more.
webdataset   SPLIT-000000.tar, SPLIT-000001.tar ..., of 1000 rows each, as `data.webdataset` has them

Several splits may lie in one folder.
"""

import io
import json
import tarfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from PIL import Image

from hyperaware.data.visu import SPLITS, TAGS
from hyperaware.errors import ConfigError
from hyperaware.files import whole
from hyperaware.world.rows import Example, World

__all__ = ["require_split", "source_of", "write_visu", "write_webdataset"]

COCO = {
    "train": (1_000_000, "train2017"),
    "validation": (2_000_000, "val2017"),
    "test": (3_000_000, "val2017"),
}
"""Of each split the first COCO id, and the folder of its pictures."""
TAG = {"self-harm": "suicide", "shocking": "brutality", "illegal": "illegal activity"}
"""ViSU's tag of a category, where they differ."""
SHARD = 1000

Progress = Callable[[int, int], None]


def require_split(form: str, split: str) -> None:
    """Refuse a split that the form does not have.

    Raises:
        ConfigError: ViSU-Text has no such split.
    """
    if form == "visu" and split not in SPLITS:
        raise ConfigError(
            f"ViSU-Text has no split {split!r}; known: {', '.join(SPLITS)}. For calibration rows, read "
            "validation with &calibration=SHARE."
        )


def source_of(folder: Path, form: str) -> str:
    """What `--data` takes for a folder that was written in this form."""
    options = f"?coco={folder / 'coco'}&unsafe={folder / 'unsafe'}" if form == "visu" else ""
    return f"{form}:{folder}{options}"


def write_visu(folder: Path, world: World, *, count: int, progress: Progress) -> None:
    """The first rows of the world as ViSU-Text. A picture that is there is not drawn again."""
    first, place = COCO[world.split]
    coco, unsafe = folder / "coco" / place, folder / "unsafe" / world.split
    coco.mkdir(parents=True, exist_ok=True)
    unsafe.mkdir(parents=True, exist_ok=True)
    table = []
    for index in range(count):
        example = world[index]
        for path, picture in (
            (coco / f"{first + index:012d}.jpg", example.safe_picture),
            (unsafe / f"{index}.jpg", example.unsafe_picture),
        ):
            if not path.exists():
                _write(path, _encoded(picture.draw(example.size), "JPEG", quality=95, subsampling=0))
        tag = TAG.get(example.category, example.category)
        table.append(
            {
                "incremental_id": index,
                "safe": example.safe_text,
                "nsfw": example.unsafe_text,
                "coco_id": first + index,
                "tag": tag,
                "prompt_id": TAGS.index(tag),
                "labels": example.labels,
            }
        )
        progress(index + 1, count)
    _write(folder / f"ViSU-Text_{world.split}.json", json.dumps(table, indent=1, ensure_ascii=False).encode())


def write_webdataset(folder: Path, world: World, *, count: int, progress: Progress) -> None:
    """The first rows of the world as shards. A shard that is there is not written again."""
    for number, start in enumerate(range(0, count, SHARD)):
        path = folder / f"{world.split}-{number:06d}.tar"
        rows = range(start, min(start + SHARD, count))
        if path.exists():
            progress(rows.stop, count)
            continue
        with whole(path) as partial, tarfile.open(partial, "w") as tar:
            for index in rows:
                for name, data in _members(world[index]):
                    member = tarfile.TarInfo(
                        f"{index:08d}.{name}"
                    )  # of no time and nobody: the same bytes again
                    member.size = len(data)
                    tar.addfile(member, io.BytesIO(data))
                progress(index + 1, count)


def _members(example: Example) -> Sequence[tuple[str, bytes]]:
    more: dict[str, Any] = {
        "split": example.split,
        "labels": example.labels,
        "category": example.category,
        "concept": example.concept,
        "slice": example.slice,
        "boxes": example.boxes,
    }
    return (
        ("json", json.dumps(more).encode()),
        ("safe.png", _encoded(example.safe_picture.draw(example.size), "PNG")),
        ("safe.txt", example.safe_text.encode()),
        ("unsafe.png", _encoded(example.unsafe_picture.draw(example.size), "PNG")),
        ("unsafe.txt", example.unsafe_text.encode()),
    )


def _encoded(image: Image.Image, kind: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def _write(path: Path, data: bytes) -> None:
    with whole(path) as partial:
        partial.write_bytes(data)
