"""What `data check` finds, and what it does not; and pairs of unpaired items."""

import json
from pathlib import Path

import pytest
import torch
from model_samples import random_picture
from PIL import Image

from hyperaware.data.check import Checked, check
from hyperaware.data.likeness import alike, look
from hyperaware.data.pairing import nearest_pairs, write_pairs
from hyperaware.data.sources import read, scan
from hyperaware.data.unpaired import Captioned
from hyperaware.errors import DataError
from hyperaware.world import export


def dataset(folder: Path, splits: str = "train train train test") -> list[dict[str, str]]:
    """A good dataset: one row for each split, with four numbered files."""
    folder.mkdir(exist_ok=True)
    lines = []
    for k, split in enumerate(splits.split()):
        line = {"id": str(k), "split": split, "safe_text": f"safe {k}", "unsafe_text": f"unsafe {k}"}
        for shift, side in enumerate(("safe", "unsafe")):
            line[f"{side}_image"] = f"{k}-{side}.png"
            random_picture(2 * k + shift, size=(32, 32)).save(folder / line[f"{side}_image"])
        lines.append(line)
    return write(folder, lines)


def write(folder: Path, lines: list[dict[str, str]]) -> list[dict[str, str]]:
    (folder / "captions.jsonl").write_text("\n".join(map(json.dumps, lines)))
    return lines


def found(folder: Path) -> tuple[dict[str, int], Checked]:
    checked = check([scan(folder)])
    return {kind: n for kind, n in checked.counts.items() if n}, checked


def test_good_data_are_good(tmp_path: Path) -> None:
    dataset(tmp_path)
    counts, checked = found(tmp_path)
    assert counts == {}
    assert not checked.is_wrong
    assert (checked.rows, checked.pictures) == (4, 8)
    assert checked.balance["split"] == {"train": 3, "test": 1}
    assert checked.balance["unsafe_image"] == {"unsafe": 4}


def test_bad_files_are_named_and_do_not_stop_it(tmp_path: Path) -> None:
    lines = dataset(tmp_path)
    (tmp_path / "0-safe.png").write_bytes(b"")
    (tmp_path / "1-safe.png").write_bytes((tmp_path / "1-safe.png").read_bytes()[:60])
    (tmp_path / "2-safe.png").write_text("no picture")
    lines[3]["safe_image"] = "gone.png"
    write(tmp_path, [*lines, {**lines[0], "id": "5", "safe_text": ""}])
    counts, checked = found(tmp_path)
    assert counts == {"bad_picture": 3, "missing": 1, "empty_caption": 1}
    assert checked.is_wrong
    words = [f.message.partition(":")[0] for f in checked.findings if f.kind == "bad_picture"]
    assert words[0] == "empty"
    assert words[2] == "unsupported"
    assert str(tmp_path / "2-safe.png") in checked.findings[-1].where


def test_copies_leak_across_splits_and_are_told_within_one(tmp_path: Path) -> None:
    dataset(tmp_path)
    (tmp_path / "1-safe.png").write_bytes((tmp_path / "0-safe.png").read_bytes())
    counts, checked = found(tmp_path)
    assert counts == {"duplicate_picture": 1}
    assert not checked.is_wrong
    (tmp_path / "3-safe.png").write_bytes((tmp_path / "0-safe.png").read_bytes())
    counts, checked = found(tmp_path)
    assert counts == {"leaking": 1}
    assert checked.is_wrong


def test_a_picture_saved_anew_and_the_same_captions_leak(tmp_path: Path) -> None:
    lines = dataset(tmp_path)
    picture = random_picture(99, size=(8, 8)).resize((96, 96), Image.Resampling.BICUBIC)
    picture.save(tmp_path / "0-safe.png")
    picture.resize((64, 64)).save(tmp_path / "3-safe.png", format="JPEG", quality=90)
    counts, checked = found(tmp_path)
    assert counts == {"leaking": 1}
    assert "look the same" in checked.findings[0].message
    write(tmp_path, [{**line, "safe_text": "s", "unsafe_text": "u"} for line in lines])
    assert found(tmp_path)[0] == {"leaking": 2}


def test_leaks_between_two_sources(tmp_path: Path) -> None:
    dataset(tmp_path / "one", "train")
    dataset(tmp_path / "two", "test")
    assert check([scan(tmp_path / name) for name in ("one", "two")]).counts["leaking"] == 3


def test_flat_pictures_of_other_colours_are_not_alike(tmp_path: Path) -> None:
    red, blue, nearly = (look(Image.new("RGB", (20, 20), c)) for c in ("red", "blue", (253, 0, 1)))
    assert red[0] == blue[0]
    assert alike([red, blue, nearly]) == [(0, 2)]


def test_the_embedded_world_is_not_called_leaking(tmp_path: Path) -> None:
    for split in ("train", "test"):
        export(tmp_path / split, count=30, split=split)
    assert not check([scan(tmp_path / split) for split in ("train", "test")]).is_wrong


# -- pairs -----------------------------------------------------------------------------------------------


def items(folder: Path, count: int, name: str) -> list[Captioned]:
    folder.mkdir(exist_ok=True)
    made = []
    for k in range(count):
        path = folder / f"{name}-{k}.png"
        random_picture(k, size=(20, 20)).save(path)
        made.append(Captioned(path, f"{name} {k}", "violence"))
    return made


def test_pairs_are_nearest_and_above_the_floor(tmp_path: Path) -> None:
    safe, unsafe = items(tmp_path, 2, "s"), items(tmp_path, 3, "u")
    points = torch.tensor([[2.0, 0.0], [0.0, 1.0]]), torch.tensor([[0.6, 0.8], [5.0, 0.0], [-1.0, -1.0]])
    kept, refused = nearest_pairs(safe, unsafe, points, floor=0.3)
    named = [(pair.unsafe.text, pair.safe.text, round(pair.similarity, 6)) for pair in kept]
    assert named == [("u 1", "s 0", 1.0), ("u 0", "s 1", 0.8)]
    assert [pair.unsafe.text for pair in refused] == ["u 2"]
    with pytest.raises(DataError, match="0 safe and 3 unsafe"):
        nearest_pairs([], unsafe, (torch.zeros(0, 2), points[1]), floor=0.3)


@pytest.mark.parametrize(("count", "safe_count"), [(3, 3), (5, 3), (40, 25)])
def test_written_pairs_are_a_dataset_without_leaks(tmp_path: Path, count: int, safe_count: int) -> None:
    safe, unsafe = items(tmp_path / "s", safe_count, "s"), items(tmp_path / "u", count, "u")
    points = torch.eye(safe_count), torch.eye(safe_count)[torch.arange(count) % safe_count]
    kept, _ = nearest_pairs(safe, unsafe, points, floor=0.3)
    splits = write_pairs(kept, tmp_path / "out")
    rows = read(tmp_path / "out")
    assert sum(splits.values()) == len(rows) == count
    assert min(splits.values()) >= 1
    by_picture = {(row.safe_image.resolve(), row.split) for row in rows}
    assert len(by_picture) == safe_count
    assert rows[0].category == "violence"
    with pytest.raises(DataError, match="there already"):
        write_pairs(kept, tmp_path / "out")


def test_every_split_has_rows_however_uneven_the_pairs_are(tmp_path: Path) -> None:
    safe, unsafe = items(tmp_path, 3, "s"), items(tmp_path, 20, "u")
    for most in range(3):
        nearest = torch.tensor([0, 1, 2] + [most] * 17)
        kept, _ = nearest_pairs(safe, unsafe, (torch.eye(3), torch.eye(3)[nearest]), floor=0.3)
        assert min(write_pairs(kept, tmp_path / str(most)).values()) >= 1


def test_too_few_pairs_are_refused(tmp_path: Path) -> None:
    safe, unsafe = items(tmp_path, 2, "s"), items(tmp_path, 2, "u")
    kept, _ = nearest_pairs(safe, unsafe, (torch.eye(2), torch.eye(2)), floor=0.3)
    with pytest.raises(DataError, match="too few"):
        write_pairs(kept, tmp_path / "out")
