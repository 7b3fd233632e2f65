"""The world as ViSU-Text and as shards: the readers of those forms give the world's rows back."""

import io
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from hyperaware.data.sources import read, scan
from hyperaware.data.visu import TAGS
from hyperaware.errors import ConfigError, DataError
from hyperaware.world import CATEGORIES, World, export_as
from hyperaware.world.forms import TAG

FORMS = ("visu", "webdataset")


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HYPERAWARE_CACHE", str(tmp_path / "cache"))


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("form", FORMS)
def test_rows_come_back_as_the_world_has_them(form: str, tmp_path: Path) -> None:
    source = export_as(form, tmp_path / form, count=6, split="train", seed=3, mixed=1.0)
    rows, world = read(source), World("train", seed=3, mixed=1.0)
    assert len(rows) == 6
    for index, row in enumerate(rows):
        example = world[index]
        assert (row.split, row.safe_text, row.unsafe_text) == (
            "train",
            example.safe_text,
            example.unsafe_text,
        )
        assert row.unsafe_text_is_unsafe == example.unsafe_text_is_unsafe
        assert row.unsafe_image_is_unsafe == example.unsafe_image_is_unsafe
        for path, drawn in ((row.safe_image, example.safe_image), (row.unsafe_image, example.unsafe_image)):
            with Image.open(io.BytesIO(path.read_bytes())) as image:
                difference = np.abs(np.asarray(image, int) - np.asarray(drawn, int))
            assert difference.mean() < (3 if form == "visu" else 1e-9)  # JPEG, as COCO's


def test_visu_has_the_published_columns_and_names(tmp_path: Path) -> None:
    export_as("visu", tmp_path, count=2, split="validation")
    table = json.loads((tmp_path / "ViSU-Text_validation.json").read_text())
    assert set(table[1]) == {"incremental_id", "safe", "nsfw", "coco_id", "tag", "prompt_id", "labels"}
    assert all(TAGS[record["prompt_id"]] == record["tag"] for record in table)
    assert (tmp_path / "coco" / "val2017" / "000002000001.jpg").is_file()
    assert (tmp_path / "unsafe" / "validation" / "1.jpg").is_file()
    assert {TAG.get(category, category) for category in CATEGORIES} <= set(TAGS)


@pytest.mark.parametrize("form", FORMS)
def test_several_splits_share_a_folder(form: str, tmp_path: Path) -> None:
    for split in ("train", "validation"):
        source = export_as(form, tmp_path, count=3, split=split)
    reading = scan(source)
    assert reading.problems == []
    assert sorted(row.split for row in reading.rows) == ["train"] * 3 + ["validation"] * 3
    assert len({row.safe_image.read_bytes() for row in reading.rows}) == 6


def test_shards_keep_boxes_and_the_names_of_things(tmp_path: Path) -> None:
    (row,) = read(export_as("webdataset", tmp_path, count=1, split="test"))
    example = World("test")[0]
    assert (row.category, row.concept, row.slice) == (example.category, example.concept, example.slice)
    assert [list(box) for box in row.safe_boxes] == [list(box) for box in example.boxes["safe"]]


@pytest.mark.parametrize("form", FORMS)
def test_an_interrupted_export_goes_on_to_the_same_bytes(
    form: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hyperaware.world.forms.SHARD", 2)

    def interrupt(done: int, total: int) -> None:
        if done == 3:
            raise KeyboardInterrupt

    run: Callable[..., str] = lambda name, **more: export_as(  # noqa: E731
        form, tmp_path / name, count=5, split="train", **more
    )
    with pytest.raises(KeyboardInterrupt):
        run("resumed", progress=interrupt)
    kept = "train-000000.tar" if form == "webdataset" else "unsafe/train/0.jpg"
    before = (tmp_path / "resumed" / kept).stat().st_mtime_ns
    run("resumed")
    run("whole")
    assert contents(tmp_path / "resumed") == contents(tmp_path / "whole")
    assert (tmp_path / "resumed" / kept).stat().st_mtime_ns == before
    assert (form == "webdataset") == ("train-000002.tar" in contents(tmp_path / "whole"))


@pytest.mark.parametrize("form", FORMS)
def test_another_export_of_the_split_is_refused(form: str, tmp_path: Path) -> None:
    export_as(form, tmp_path, count=2, split="train")
    before = contents(tmp_path)
    with pytest.raises(DataError, match="holds another export"):
        export_as(form, tmp_path, count=2, split="train", seed=1)
    assert contents(tmp_path) == before


def test_visu_has_no_calibration_rows(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"no split 'calibration'.*&calibration=SHARE"):
        export_as("visu", tmp_path / "none", count=1, split="calibration")
    with pytest.raises(ConfigError, match="at least 1, not 0"):
        export_as("webdataset", tmp_path / "none", count=0, split="train")
    assert not (tmp_path / "none").exists()
