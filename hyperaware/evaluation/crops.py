"""What a model sees of many pictures, as uint8: in memory, or in a file where they are too many for that.

165,000 quadruplets at 224 pixels are 50 GB. A cache is a folder with two files, which only ever grow:

    pixels           the crops, one behind another
    pictures.jsonl   what each of them was made of: path, size and time of the file, box

A line is written after its pixels have reached the disk, so what was interrupted goes on where it stopped. A
picture whose file has changed is another picture. Several processes may share a cache: one fills it, the
others wait. It is deleted by nobody but the user.
"""

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from hyperaware.errors import DataError, MediaError
from hyperaware.media.images import decode
from hyperaware.models.preprocess import Preprocess
from hyperaware.records.disk import exclusive

__all__ = ["IN_MEMORY", "Crops", "Seen"]

IN_MEMORY = 8 * 2**30
"""Bytes of crops that are kept in memory all the same: 57,000 pictures of 224 pixels."""
AT_ONCE = 256
"""Pictures that are decoded before their crops are written: what an interruption costs."""
MOST_WORKERS = 8
"""Each may hold a picture of 64 megapixels."""
PIXELS, PICTURES = "pixels", "pictures.jsonl"
VERSION = 1
"""Of decoding, resizing and the files' form: raised when a crop comes out differently."""

Progress = Callable[[int, int], None]


class Seen(NamedTuple):
    """A picture, or a box of it that is cut out."""

    path: Path
    edges: tuple[int, int, int, int] | None = None
    """Left, top, right and bottom in pixels; none: all of it."""


class Crops:
    """The crops of pictures, each of them decoded once, by as many threads as there are cores.

    `places` says for each picture that was asked for where its crop is, or -1: then `failed` says why.
    """

    def __init__(
        self,
        pictures: Sequence[Seen],
        *,
        preprocess: Preprocess,
        cache: Path | None = None,
        in_memory_limit: int = IN_MEMORY,
        progress: Progress | None = None,
    ) -> None:
        """Decode what is not in the cache. It is used where all crops have more than `in_memory_limit` bytes.

        Raises:
            DataError: a box reaches outside of its picture, or the disk has no room for the crops.
        """
        self.preprocess = preprocess
        self.failed: dict[Path, str] = {}
        distinct = list(dict.fromkeys(pictures))
        self._shape = (preprocess.size, preprocess.size, 3)
        told = _told(progress, len(distinct))
        if cache is None or len(distinct) * self._bytes <= in_memory_limit:
            self.folder = None
            places = self._in_memory(distinct, told)
        else:
            self.folder = cache / self._name()
            places = self._in_file(self.folder, distinct, told)
        self.places = torch.tensor([places.get(each, -1) for each in pictures])

    def take(self, places: Tensor) -> Tensor:
        """The crops at these places, (n, size, size, 3) uint8."""
        return torch.from_numpy(self.pixels[places.numpy()])

    @property
    def _bytes(self) -> int:
        return int(np.prod(self._shape))

    def _name(self) -> str:
        reading = [VERSION, type(self.preprocess).__name__, self.preprocess.config()]
        return f"crops-{hashlib.sha256(json.dumps(reading, sort_keys=True).encode()).hexdigest()[:12]}"

    # -- the two ways to keep them -----------------------------------------------------------------------

    def _in_memory(self, pictures: list[Seen], told: Callable[[], None]) -> dict[Seen, int]:
        self.pixels = np.empty((len(pictures), *self._shape), dtype=np.uint8)
        places: dict[Seen, int] = {}
        for picture, crop in self._decoded(pictures, told):
            self.pixels[len(places)] = crop
            places[picture] = len(places)
        return places

    def _in_file(self, folder: Path, pictures: list[Seen], told: Callable[[], None]) -> dict[Seen, int]:
        folder.mkdir(parents=True, exist_ok=True)
        marks = {picture: _mark(picture) for picture in pictures}
        with exclusive(folder / PICTURES):
            known = _read(folder / PICTURES)
            missing = [picture for picture in pictures if marks[picture] not in known]
            for _ in range(len(pictures) - len(missing)):
                told()
            self._require_room(folder, len(missing))
            with open(folder / PIXELS, "ab") as pixels, open(folder / PICTURES, "ab") as lines:
                pixels.truncate(len(known) * self._bytes)
                for start in range(0, len(missing), AT_ONCE):
                    done = dict(self._decoded(missing[start : start + AT_ONCE], told))
                    pixels.write(b"".join(crop.tobytes() for crop in done.values()))
                    _sync(pixels)
                    lines.write(b"".join(marks[picture].encode() + b"\n" for picture in done))
                    _sync(lines)
                    known |= {marks[picture]: place for place, picture in enumerate(done, start=len(known))}
        self.pixels = np.empty((0, *self._shape), dtype=np.uint8)
        if known:
            mapped = np.memmap(folder / PIXELS, dtype=np.uint8, mode="r", shape=(len(known), *self._shape))
            self.pixels = np.asarray(mapped)
        return {picture: known[mark] for picture, mark in marks.items() if mark in known}

    def _require_room(self, folder: Path, missing: int) -> None:
        free, needed = shutil.disk_usage(folder).free, missing * self._bytes
        if needed > free:
            raise DataError(
                f"the crops of {missing:,} pictures need {needed / 1e9:.1f} GB, and {folder} has "
                f"{free / 1e9:.1f} GB left. Make room, or take fewer rows."
            )

    # -- decoding ----------------------------------------------------------------------------------------

    def _decoded(self, pictures: list[Seen], told: Callable[[], None]) -> Iterator[tuple[Seen, np.ndarray]]:
        """Those that can be read, with their crops, in order; the others are entered in `failed`."""
        with ThreadPoolExecutor(min(MOST_WORKERS, os.cpu_count() or 1)) as pool:
            for start in range(0, len(pictures), AT_ONCE):
                part = pictures[start : start + AT_ONCE]
                for picture, result in zip(part, pool.map(self._crop, part), strict=True):
                    told()
                    if isinstance(result, MediaError):
                        self.failed[picture.path] = str(result).removeprefix(f"{picture.path}: ")
                    else:
                        yield picture, result

    def _crop(self, picture: Seen) -> np.ndarray | MediaError:
        try:
            image = decode(picture.path)
        except MediaError as error:
            return error
        return self.preprocess.crop(image if picture.edges is None else _cut(image, picture))


def _cut(image: Image.Image, picture: Seen) -> Image.Image:
    path, edges = picture
    if edges is not None and (edges[2] > image.width or edges[3] > image.height):
        raise DataError(f"{path} has {image.width} x {image.height} pixels, its box {edges} reaches outside.")
    return image.crop(edges)


def _told(progress: Progress | None, total: int) -> Callable[[], None]:
    count = 0

    def told() -> None:
        nonlocal count
        count += 1
        if progress is not None:
            progress(count, total)

    return told


def _mark(picture: Seen) -> str:
    """What a line of the cache says of a picture."""
    try:
        status = os.stat(picture.path)
    except OSError:  # decoding will say what is wrong with it
        return json.dumps([str(picture.path)])
    return json.dumps([str(picture.path), status.st_size, status.st_mtime_ns, picture.edges])


def _read(path: Path) -> dict[str, int]:
    """The places of the pictures in a cache; a line that was torn is cut off."""
    if not path.is_file():
        return {}
    whole, _, torn = path.read_bytes().rpartition(b"\n")
    if torn:
        os.truncate(path, path.stat().st_size - len(torn))
    return {line: place for place, line in enumerate(whole.decode().split("\n"))} if whole else {}


def _sync(file: Any) -> None:
    file.flush()
    os.fsync(file.fileno())
