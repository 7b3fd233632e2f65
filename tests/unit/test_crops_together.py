"""Processes of a launcher decode each picture once: what each decodes, what all have, and what goes wrong."""

import shutil
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any

import pytest
import torch
from model_samples import random_picture, random_rows, tiny_model
from process_samples import PROCESSES, in_two_processes

from hyperaware.data.quadruplet import Box, Row
from hyperaware.errors import HyperawareError
from hyperaware.evaluation import crops as crops_module
from hyperaware.evaluation.boxes import Boxes
from hyperaware.evaluation.crops import PICTURES, PIXELS
from hyperaware.evaluation.examples import Examples
from hyperaware.media.images import decode
from hyperaware.methods.hycoclip import HyCoCLIP
from hyperaware.training.inputs import Inputs

MODEL = tiny_model()
BYTES = 3 * MODEL.preprocess.size**2
AT_ONCE = 3
"""Of 18 pictures each process decodes three, three and three."""


def boxed(rows: list[Row], edge: int) -> list[Row]:
    boxes = (Box("a red ball", 0, 0, edge, edge),)
    return [replace(row, safe_boxes=boxes, unsafe_boxes=boxes) for row in rows]


def rows_with_bad_pictures(folder: Path) -> list[Row]:
    """Nine rows; of the bad pictures one is in the share of the first process, one in that of the second."""
    rows = random_rows(folder, 9)
    rows[0].unsafe_image.write_bytes(b"no picture")
    rows[4].unsafe_image.unlink()
    return rows


def message_of(action: Callable[[], Any]) -> str:
    with pytest.raises((HyperawareError, OSError)) as caught:
        action()
    return f"{type(caught.value).__name__}: {caught.value}"


def contents(examples: Any, count: int) -> dict[str, Any]:
    batch = examples.batch(torch.arange(count))
    return {"pixels": batch.pixels, "ids": batch.ids}


class Full:
    """Of a disk."""

    free = 0


def no_more_room(file: Any) -> None:
    raise OSError(28, "No space left on device")


def work(rows: list[Row], rank: int, folder: Path) -> None:
    """All that one process does; what it finds goes into its file."""
    good, found, decoded = [rows[index] for index in (1, 2, 3, 5, 6)], {}, []
    cache, patch = folder / "cache", pytest.MonkeyPatch()

    def noted(path: Path) -> Any:
        decoded.append(path.name)
        return decode(path)

    def taken() -> list[str]:
        names = sorted(decoded)
        decoded.clear()
        return names

    def read(name: str, rows: list[Row], **more: Any) -> None:
        told: list[tuple[int, int]] = []
        examples = Examples(
            rows,
            model=MODEL,
            together=True,
            progress=lambda done, total: told.append((done, total)),
            **more,
        )
        failed = [(Path(path).name, why) for path, why in examples.failed]
        ids = [row.id for row in examples.rows]
        in_file = examples.crops.folder is not None
        found[name] = contents(examples, len(examples)) | {"failed": failed, "rows": ids, "in file": in_file}
        found[name] |= {"told": told, "decoded": taken()}

    patch.setattr(crops_module, "AT_ONCE", AT_ONCE)
    patch.setattr(crops_module, "decode", noted)
    read("in memory", rows)
    read("in a file", rows, cache=cache, in_memory_limit=0)
    read("found again", rows[::-1], cache=cache, in_memory_limit=0)
    for name, spare in (("just fits", 0), ("one byte less", 1)):
        limit = PROCESSES * 2 * len(good) * BYTES - spare
        read(name, good, cache=folder / name, in_memory_limit=limit)
    boxes = Boxes(boxed(good, 8), model=MODEL, cache=folder / "boxes", in_memory_limit=0, together=True)
    found["boxes"] = contents(boxes, len(good)) | {"decoded": taken()}

    more = {"model": MODEL, "cache": folder / "inputs", "in_memory_limit": 0, "together": True}
    examples = Examples(boxed(good, 8), **more)
    taken()
    boxes = Inputs(HyCoCLIP(), model=MODEL, train=examples).boxes
    assert boxes is not None
    found["inputs"] = {"decoded": taken(), "cached": boxes.crops.cache == folder / "inputs"}

    errors = {"outside": lambda: Boxes(boxed(good, 40), model=MODEL, together=True)}
    fresh = {"model": MODEL, "cache": folder / "full", "in_memory_limit": 0, "together": True}
    patch.setattr(shutil, "disk_usage", lambda path: Full)
    errors["no room"] = lambda: Examples(good, **fresh)
    found["errors"] = {name: message_of(action) for name, action in errors.items()}
    patch.undo()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(crops_module, "_sync", no_more_room)
        found["errors"]["disk full"] = message_of(lambda: Examples(good, **fresh))
    torch.save(found, folder / f"{rank}.pt")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("processes")


@pytest.fixture(scope="module")
def rows(folder: Path) -> list[Row]:
    return rows_with_bad_pictures(folder / "rows")


@pytest.fixture(scope="module")
def found(rows: list[Row], folder: Path) -> list[dict[str, Any]]:
    """Of each process."""
    in_two_processes(partial(work, rows), folder)
    return [torch.load(folder / f"{rank}.pt", weights_only=True) for rank in range(PROCESSES)]


def decoded(found: list[dict[str, Any]], name: str) -> list[list[str]]:
    return [each[name]["decoded"] for each in found]


@pytest.mark.parametrize("name", ["in memory", "in a file"])
def test_all_have_what_one_process_has_and_know_the_same_failures(
    name: str, found: list[dict[str, Any]], rows: list[Row]
) -> None:
    alone = Examples(rows, model=MODEL)
    expected = contents(alone, 7)
    failed = [(Path(path).name, why) for path, why in alone.failed]
    assert [name for name, _ in failed] == ["0-unsafe.png", "4-unsafe.png"]
    for each in found:
        assert each[name]["in file"] == (name == "in a file")
        assert each[name]["failed"] == failed
        assert each[name]["rows"] == [row.id for row in alone.rows]
        assert torch.equal(each[name]["pixels"], expected["pixels"])
        assert torch.equal(each[name]["ids"], expected["ids"])
        assert each[name]["told"] == [(done, 18) for done in range(1, 19)]


@pytest.mark.parametrize("name", ["in memory", "in a file"])
def test_each_picture_is_decoded_once_and_the_work_is_shared(
    name: str, found: list[dict[str, Any]], rows: list[Row]
) -> None:
    ours, theirs = decoded(found, name)
    assert len(ours) == len(theirs) == 9
    every = {path.name for row in rows for path in (row.safe_image, row.unsafe_image)}
    assert Counter(ours + theirs) == Counter(every)
    assert "0-unsafe.png" in ours
    assert "4-unsafe.png" in theirs


def test_what_lies_in_the_file_is_decoded_by_nobody(found: list[dict[str, Any]], rows: list[Row]) -> None:
    """But for the bad ones, which are not in it."""
    assert [*chain(*decoded(found, "found again"))] == ["4-unsafe.png", "0-unsafe.png"]
    expected = contents(Examples(rows[::-1], model=MODEL), 7)
    for each in found:
        assert torch.equal(each["found again"]["pixels"], expected["pixels"])


def test_one_process_finds_the_file_that_two_have_written(
    found: list[dict[str, Any]], rows: list[Row], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (cache,) = (folder / "cache").iterdir()
    assert (cache / PIXELS).stat().st_size == 16 * BYTES
    assert (cache / PICTURES).read_bytes().count(b"\n") == 16
    monkeypatch.setattr(crops_module, "decode", lambda path: random_picture(1))
    good = [rows[index] for index in (1, 2, 3, 5, 6)]
    again = Examples(good, model=MODEL, cache=folder / "cache", in_memory_limit=0)
    monkeypatch.undo()
    assert torch.equal(contents(again, 5)["pixels"], contents(Examples(good, model=MODEL), 5)["pixels"])


def test_the_limit_is_that_of_all_processes(found: list[dict[str, Any]]) -> None:
    for each in found:
        assert not each["just fits"]["in file"]
        assert each["one byte less"]["in file"]


def test_boxes_are_cut_once(found: list[dict[str, Any]], rows: list[Row]) -> None:
    good = [rows[index] for index in (1, 2, 3, 5, 6)]
    expected = contents(Boxes(boxed(good, 8), model=MODEL), 5)
    assert [len(names) for names in decoded(found, "boxes")] == [5, 5]
    for each in found:
        assert torch.equal(each["boxes"]["pixels"], expected["pixels"])


def test_boxes_of_a_training_are_cut_once_and_lie_where_its_pictures_lie(found: list[dict[str, Any]]) -> None:
    assert [len(names) for names in decoded(found, "inputs")] == [5, 5]
    assert all(each["inputs"]["cached"] for each in found)


def test_an_error_is_that_of_all_processes(found: list[dict[str, Any]]) -> None:
    for each in found:
        errors = each["errors"]
        assert "1-safe.png has 16 x 16 pixels, its box (0, 0, 40, 40) reaches outside" in errors["outside"]
        assert errors["no room"].startswith("DataError: the crops of 10 pictures need")
        assert errors["disk full"] == "OSError: [Errno 28] No space left on device"
