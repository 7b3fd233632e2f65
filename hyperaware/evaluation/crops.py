"""What a model sees of many pictures, as uint8: in memory, or in a file where they are too many for that.

165,000 quadruplets at 224 pixels are 50 GB. A cache is a folder with two files, which only ever grow:

    pixels           the crops, one behind another
    pictures.jsonl   what each of them was made of: path, size and time of the file, box

A line is written after its pixels have reached the disk, so what was interrupted goes on where it stopped. A
picture whose file has changed is another picture. Several runs may share a cache: one fills it, the others
wait. It is deleted by nobody but the user.

The processes of a launcher decode together: each a share of every few hundred pictures. All of them get all
crops, or the main one writes them; and all know the same failures.
"""

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from hyperaware import distributed
from hyperaware.errors import DataError, MediaError
from hyperaware.media.images import decode
from hyperaware.models.preprocess import Preprocess
from hyperaware.records.disk import exclusive

__all__ = ["IN_MEMORY", "Crops", "Seen"]

IN_MEMORY = 8 * 2**30
"""Bytes of crops that are kept in memory all the same: 57,000 pictures of 224 pixels."""
AT_ONCE = 256
"""Pictures that a process decodes before their crops are written: what an interruption costs."""
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
    """The crops of pictures, each of them decoded once, by as many threads as a process has cores.

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
        together: bool = False,
    ) -> None:
        """Decode what is not in the cache. It is used where all crops have more than `in_memory_limit` bytes.

        `together`: all processes of a launcher make the same crops at the same time. Then the limit is that
        of all their memory, and the cache lies on a disk that all of them see.

        Raises:
            DataError: a box reaches outside of its picture, or the disk has no room for the crops.
        """
        self.preprocess, self.cache = preprocess, cache
        self.failed: dict[Path, str] = {}
        distinct = list(dict.fromkeys(pictures))
        self._shape = (preprocess.size, preprocess.size, 3)
        self._processes = distributed.processes() if together else 1
        told = _told(progress, len(distinct))
        if cache is None or self._processes * len(distinct) * self._bytes <= in_memory_limit:
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
        by_main = distributed.by_main if self._processes > 1 else _by_itself
        with ExitStack() as until_done:
            file = _File(folder, self._bytes, until_done)
            missing = by_main(lambda: file.missing(pictures))
            for _ in range(len(pictures) - len(missing)):
                told()
            for part in self._parts([pictures[index] for index in missing]):
                done = dict(self._decoded(part, told))
                by_main(partial(file.add, done))
            places = by_main(file.places)
        self.pixels = np.empty((0, *self._shape), dtype=np.uint8)
        if crops := max(places, default=-1) + 1:
            mapped = np.memmap(folder / PIXELS, dtype=np.uint8, mode="r", shape=(crops, *self._shape))
            self.pixels = np.asarray(mapped)
        return {picture: place for picture, place in zip(pictures, places, strict=True) if place >= 0}

    # -- decoding ----------------------------------------------------------------------------------------

    def _decoded(self, pictures: list[Seen], told: Callable[[], None]) -> Iterator[tuple[Seen, np.ndarray]]:
        """Those that can be read, with their crops, in order; the others are entered in `failed`."""
        cores = (os.cpu_count() or 1) // (distributed.neighbours() if self._processes > 1 else 1)
        with ThreadPoolExecutor(min(MOST_WORKERS, max(1, cores))) as pool:
            for part in self._parts(pictures):
                for picture, result in zip(part, self._results(pool, part), strict=True):
                    told()
                    if isinstance(result, DataError):
                        raise result
                    if isinstance(result, str):
                        self.failed[picture.path] = result
                    else:
                        yield picture, result

    def _parts(self, pictures: list[Seen]) -> Iterator[list[Seen]]:
        """Some hundred pictures at a time."""
        size = AT_ONCE * self._processes
        return (pictures[start : start + size] for start in range(0, len(pictures), size))

    def _results(
        self, pool: ThreadPoolExecutor, pictures: list[Seen]
    ) -> Iterable[np.ndarray | str | DataError]:
        """Of each picture its crop, why it cannot be read, or what ends the run."""
        if self._processes == 1:
            return pool.map(self._crop, pictures)
        mine = distributed.share(pictures)
        return chain.from_iterable(distributed.each(list(pool.map(self._crop, mine))))

    def _crop(self, picture: Seen) -> np.ndarray | str | DataError:
        try:
            image = decode(picture.path)
            return self.preprocess.crop(image if picture.edges is None else _cut(image, picture))
        except MediaError as error:
            return str(error).removeprefix(f"{picture.path}: ")
        except DataError as error:
            return error


class _File:
    """The two files of a cache, for the one process that writes them."""

    def __init__(self, folder: Path, crop: int, until_done: ExitStack) -> None:
        """`crop`: bytes of each. Nothing is opened before `missing`; `until_done` closes what is."""
        self.folder, self.crop, self.until_done = folder, crop, until_done
        self.known: dict[str, int] = {}

    def missing(self, pictures: Sequence[Seen]) -> list[int]:
        """Wait for other runs, open the files, and tell which pictures are not in them, by their indices."""
        self.folder.mkdir(parents=True, exist_ok=True)
        self.marks = {picture: _mark(picture) for picture in pictures}
        self.until_done.enter_context(exclusive(self.folder / PICTURES))
        self.known = _read(self.folder / PICTURES)
        missing = [index for index, mark in enumerate(self.marks.values()) if mark not in self.known]
        self._require_room(len(missing))
        self.pixels, self.lines = (self._open(name) for name in (PIXELS, PICTURES))
        self.pixels.truncate(len(self.known) * self.crop)
        return missing

    def add(self, done: Mapping[Seen, np.ndarray]) -> None:
        self.pixels.write(b"".join(crop.tobytes() for crop in done.values()))
        _sync(self.pixels)
        self.lines.write(b"".join(self.marks[picture].encode() + b"\n" for picture in done))
        _sync(self.lines)
        self.known |= {self.marks[picture]: place for place, picture in enumerate(done, len(self.known))}

    def places(self) -> list[int]:
        """Where each picture's crop is, -1 where it could not be decoded."""
        return [self.known.get(mark, -1) for mark in self.marks.values()]

    def _open(self, name: str) -> BinaryIO:
        return self.until_done.enter_context(open(self.folder / name, "ab"))

    def _require_room(self, missing: int) -> None:
        free, needed = shutil.disk_usage(self.folder).free, missing * self.crop
        if needed > free:
            raise DataError(
                f"the crops of {missing:,} pictures need {needed / 1e9:.1f} GB, and {self.folder} has "
                f"{free / 1e9:.1f} GB left. Make room, or take fewer rows."
            )


def _by_itself(work: Callable[[], Any]) -> Any:
    return work()


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
