"""Exports: folders that read back as they were written, resume, and refuse to be mixed."""

import json
from pathlib import Path

import pytest
from PIL import Image

from hyperaware.data.folder import fingerprint, read_folder
from hyperaware.errors import ConfigError, DataError
from hyperaware.world import World, export


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_an_export_reads_back_as_the_world(tmp_path: Path) -> None:
    rows = export(tmp_path, count=12, split="train", seed=3, mixed=1.0)
    assert rows == read_folder(tmp_path)
    world = World("train", seed=3, mixed=1.0)
    for index, row in enumerate(rows):
        example = world[index]
        assert (row.id, row.split) == (example.id, "train")
        assert (row.safe_text, row.unsafe_text) == (example.safe_text, example.unsafe_text)
        assert row.unsafe_text_is_unsafe == example.unsafe_text_is_unsafe
        assert row.unsafe_image_is_unsafe == example.unsafe_image_is_unsafe
        assert (row.category, row.concept, row.slice) == (example.category, example.concept, example.slice)
        with Image.open(row.safe_image) as safe, Image.open(row.unsafe_image) as unsafe:
            assert safe.tobytes() == example.safe_image.tobytes()
            assert unsafe.tobytes() == example.unsafe_image.tobytes()


def test_boxes_are_written(tmp_path: Path) -> None:
    export(tmp_path, count=2, split="test")
    record = json.loads((tmp_path / "captions.jsonl").read_text().splitlines()[0])
    expected = {part: [list(box) for box in boxes] for part, boxes in World("test")[0].boxes.items()}
    assert record["boxes"] == expected


def test_two_exports_are_the_same_bytes(tmp_path: Path) -> None:
    export(tmp_path / "one", count=8, split="test_style")
    export(tmp_path / "two", count=8, split="test_style")
    one = contents(tmp_path / "one")
    assert one == contents(tmp_path / "two")
    assert len(one) == 16 + 3
    assert {"captions.jsonl", "contact-sheet.png", "world.json"} < set(one)
    assert fingerprint(read_folder(tmp_path / "one")) == fingerprint(read_folder(tmp_path / "two"))


def test_pictures_are_small_files(tmp_path: Path) -> None:
    rows = export(tmp_path, count=20, split="test")
    sizes = [path.stat().st_size for row in rows for path in (row.safe_image, row.unsafe_image)]
    assert sum(sizes) / len(sizes) < 8_000


def test_an_interrupted_export_goes_on(tmp_path: Path) -> None:
    def interrupt(done: int, total: int) -> None:
        if done == 4:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        export(tmp_path / "resumed", count=8, split="test", progress=interrupt)
    kept = tmp_path / "resumed" / "images" / "test-0-000000-safe.png"
    before = kept.stat().st_mtime_ns
    assert not (tmp_path / "resumed" / "captions.jsonl").exists()
    export(tmp_path / "resumed", count=8, split="test")
    export(tmp_path / "whole", count=8, split="test")
    assert contents(tmp_path / "resumed") == contents(tmp_path / "whole")
    assert kept.stat().st_mtime_ns == before


def test_progress_is_told(tmp_path: Path) -> None:
    told: list[tuple[int, int]] = []
    export(tmp_path, count=3, split="test", progress=lambda done, total: told.append((done, total)))
    assert told == [(1, 3), (2, 3), (3, 3)]


@pytest.mark.parametrize(
    "other", [{"seed": 1}, {"count": 5}, {"split": "train"}, {"size": 48}, {"style": "flat"}]
)
def test_another_export_is_refused(tmp_path: Path, other: dict[str, object]) -> None:
    settings: dict[str, object] = {"count": 4, "split": "test"}
    export(tmp_path, **settings)
    before = contents(tmp_path)
    [(name, value)] = other.items()
    found = f"holds another export: {name} .*, where this one has {name} {value}"
    with pytest.raises(DataError, match=found):
        export(tmp_path, **{**settings, **other})
    assert contents(tmp_path) == before


def test_somebody_elses_data_is_refused(tmp_path: Path) -> None:
    (tmp_path / "captions.jsonl").write_text("{}\n")
    with pytest.raises(DataError, match="not exported from the world"):
        export(tmp_path, count=1, split="test")
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match="a file is in the way"):
        export(tmp_path / "file", count=1, split="test")


def test_a_damaged_manifest_is_refused(tmp_path: Path) -> None:
    (tmp_path / "world.json").write_text("{")
    with pytest.raises(DataError, match=r"world\.json is damaged"):
        export(tmp_path, count=1, split="test")


def test_no_rows_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="at least 1, not 0"):
        export(tmp_path / "none", count=0, split="test")
    assert not (tmp_path / "none").exists()
