"""Crops in a file: the same as in memory, written once, found again after any interruption."""

import dataclasses
import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from model_samples import random_picture, random_rows, tiny_model

from hyperaware.data.quadruplet import Box, Row
from hyperaware.errors import DataError
from hyperaware.evaluation import crops as crops_module
from hyperaware.evaluation.boxes import Boxes
from hyperaware.evaluation.crops import PICTURES, PIXELS, Crops, Seen
from hyperaware.evaluation.examples import Examples
from hyperaware.media.images import decode

MODEL = tiny_model()
BYTES = 3 * MODEL.preprocess.size**2


@pytest.fixture
def rows(tmp_path: Path) -> list[Row]:
    return random_rows(tmp_path / "rows", 5)


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "cache"


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the pictures that were decoded, sorted: threads take them in any order."""
    names: list[str] = []

    def noted(path: Path) -> Any:
        names.append(path.name)
        return decode(path)

    monkeypatch.setattr(crops_module, "decode", noted)
    return names


def mapped(rows: list[Row], cache: Path) -> Examples:
    return Examples(rows, model=MODEL, cache=cache, in_memory_limit=0)


def is_in_a_file(pixels: np.ndarray | None) -> bool:
    while isinstance(pixels, np.ndarray):
        if isinstance(pixels, np.memmap):
            return True
        pixels = pixels.base  # type: ignore[assignment]
    return False


def assert_same(one: Examples, other: Examples) -> None:
    assert [row.id for row in one.rows] == [row.id for row in other.rows]
    everything = torch.arange(len(one))
    ours, theirs = one.batch(everything), other.batch(everything)
    for name in ("ids", "mask", "pixels", "unsafe_text_is_unsafe", "unsafe_image_is_unsafe"):
        assert torch.equal(getattr(ours, name), getattr(theirs, name)), name


def test_batches_are_those_in_memory_and_the_crops_are_not(rows: list[Row], cache: Path) -> None:
    inside, outside = Examples(rows, model=MODEL), mapped(rows, cache)
    assert_same(outside, inside)
    assert is_in_a_file(outside.crops.pixels)
    assert not is_in_a_file(inside.crops.pixels)
    assert not outside.crops.pixels.flags.writeable
    (folder,) = cache.iterdir()
    assert outside.crops.folder == folder
    assert (folder / PIXELS).stat().st_size == 10 * BYTES


@pytest.mark.parametrize(("limit", "in_file"), [(10 * BYTES, False), (10 * BYTES - 1, True)])
def test_up_to_the_limit_crops_stay_in_memory(
    limit: int, in_file: bool, rows: list[Row], cache: Path
) -> None:
    examples = Examples(rows, model=MODEL, cache=cache, in_memory_limit=limit)
    assert is_in_a_file(examples.crops.pixels) is in_file
    assert cache.exists() is in_file


def test_bad_pictures_are_named_alike_each_time(rows: list[Row], cache: Path) -> None:
    rows[1].safe_image.write_bytes(b"no picture")
    rows[3].unsafe_image.unlink()
    inside = Examples(rows, model=MODEL)
    for _ in range(2):
        outside = mapped(rows, cache)
        assert outside.failed == inside.failed
        assert [path for path, _ in outside.failed] == [str(rows[1].safe_image), str(rows[3].unsafe_image)]
        assert_same(outside, inside)


def test_a_picture_is_decoded_once(rows: list[Row], cache: Path, decoded: list[str]) -> None:
    twice = [rows[0], dataclasses.replace(rows[1], safe_image=rows[0].safe_image)]
    told: list[tuple[int, int]] = []
    Examples(twice, model=MODEL, progress=lambda done, total: told.append((done, total)))
    assert sorted(decoded) == ["0-safe.png", "0-unsafe.png", "1-unsafe.png"]
    assert told == [(1, 3), (2, 3), (3, 3)]
    decoded.clear()
    told.clear()
    first = mapped(rows, cache)
    assert len(decoded) == 10
    again = Examples(
        rows[::-1],  # another order, and the same file
        model=MODEL,
        cache=cache,
        in_memory_limit=0,
        progress=lambda done, total: told.append((done, total)),
    )
    assert len(decoded) == 10
    assert told[-1] == (10, 10)
    assert_same(again, Examples(rows[::-1], model=MODEL))
    assert_same(first, Examples(rows, model=MODEL))


def test_only_what_is_new_or_has_changed_is_decoded(rows: list[Row], cache: Path, decoded: list[str]) -> None:
    mapped(rows[:3], cache)
    random_picture(77).save(rows[1].safe_image)
    os.utime(rows[1].safe_image, ns=(1, 1))  # whatever the clock's resolution
    decoded.clear()
    examples = mapped(rows[:4], cache)
    assert sorted(decoded) == ["1-safe.png", "3-safe.png", "3-unsafe.png"]
    assert_same(examples, Examples(rows[:4], model=MODEL))


@pytest.mark.parametrize("torn", ["pixels", "line", "both"])
def test_it_goes_on_where_it_was_interrupted(
    torn: str, rows: list[Row], cache: Path, decoded: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed while the third pair of pictures is written: pixels without lines, a line cut short."""
    monkeypatch.setattr(crops_module, "AT_ONCE", 2)
    mapped(rows[:2], cache)
    (folder,) = cache.iterdir()
    if torn in ("pixels", "both"):
        with open(folder / PIXELS, "ab") as file:
            file.write(b"\x07" * (BYTES + 5))
    if torn in ("line", "both"):
        with open(folder / PICTURES, "ab") as file:
            file.write(b'["somewhere/2-sa')
    decoded.clear()
    examples = mapped(rows, cache)
    assert len(decoded) == 6
    assert_same(examples, Examples(rows, model=MODEL))
    assert (folder / PIXELS).stat().st_size == 10 * BYTES
    assert (folder / PICTURES).read_bytes().count(b"\n") == 10


def test_what_was_written_before_an_error_is_kept(
    rows: list[Row], cache: Path, decoded: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    class Killed(BaseException):
        pass

    def stop(done: int, total: int) -> None:
        if done == 7:
            raise Killed

    monkeypatch.setattr(crops_module, "AT_ONCE", 2)
    with pytest.raises(Killed):
        Examples(rows, model=MODEL, cache=cache, in_memory_limit=0, progress=stop)
    decoded.clear()
    assert_same(mapped(rows, cache), Examples(rows, model=MODEL))
    assert len(decoded) == 4 + 10  # four were missing in the file, and ten in memory


def test_a_run_that_reads_is_not_disturbed_by_one_that_adds(rows: list[Row], cache: Path) -> None:
    first, expected = mapped(rows[:2], cache), Examples(rows[:2], model=MODEL)
    mapped(rows, cache)
    assert_same(first, expected)


def test_boxes_and_wholes_share_a_file(rows: list[Row], cache: Path) -> None:
    parts = (Box("a red ball", 0, 0, 8, 8), Box("an axe", 8, 4, 16, 12))
    rows = [dataclasses.replace(row, safe_boxes=parts, unsafe_boxes=parts) for row in rows]
    wholes = mapped(rows, cache)
    boxes = Boxes(rows, model=MODEL, cache=cache, in_memory_limit=0)
    assert_same(wholes, Examples(rows, model=MODEL))
    everything = torch.arange(5)
    inside = Boxes(rows, model=MODEL).batch(everything)
    assert torch.equal(boxes.batch(everything).pixels, inside.pixels)
    assert is_in_a_file(boxes.crops.pixels)
    assert len(list(cache.iterdir())) == 1


def test_another_preprocessing_has_another_file(rows: list[Row], cache: Path) -> None:
    pictures = [Seen(rows[0].safe_image)]
    for size in (8, 16):
        preprocess = dataclasses.replace(MODEL.preprocess, size=size)
        crops = Crops(pictures, preprocess=preprocess, cache=cache, in_memory_limit=0)
        assert crops.take(crops.places).shape == (1, size, size, 3)
    assert len(list(cache.iterdir())) == 2


def test_without_room_nothing_is_begun(
    rows: list[Row], cache: Path, decoded: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    full = shutil.disk_usage("/")._replace(free=10 * BYTES - 1)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: full)
    with pytest.raises(DataError, match=r"the crops of 10 pictures need .* GB left\. Make room"):
        mapped(rows, cache)
    assert not decoded


def test_no_readable_picture_at_all(rows: list[Row], cache: Path) -> None:
    for row in rows:
        row.safe_image.write_bytes(b"no picture")
        row.unsafe_image.write_bytes(b"no picture")
    with pytest.raises(DataError, match="none of 5 rows can be used"):
        mapped(rows, cache)
