"""What `data check` finds, and what it does not; and pairs of unpaired items."""

import itertools
import json
from pathlib import Path
from random import Random

import pytest
import torch
from model_samples import random_picture
from PIL import Image

from hyperaware.data.check import Checked, check, scanned
from hyperaware.data.leaks import apart
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
    assert counts == {"leaking": 1, "odd_picture": 1}  # a JPEG that is called .png
    assert "look the same" in checked.findings[0].message
    write(tmp_path, [{**line, "safe_text": "s", "unsafe_text": "u"} for line in lines])
    assert found(tmp_path)[0] == {"leaking": 2, "odd_picture": 1}


def test_what_is_safe_in_one_row_and_unsafe_in_another_is_told(tmp_path: Path) -> None:
    lines = dataset(tmp_path, "train train train train")
    (tmp_path / "2-unsafe.png").write_bytes((tmp_path / "1-safe.png").read_bytes())
    lines[3] |= {"safe_image": "3-unsafe.png", "unsafe_text": "safe 0"}
    write(tmp_path, lines)
    counts, checked = found(tmp_path)
    assert counts == {"duplicate_picture": 1, "contradiction": 3}
    assert not checked.is_wrong
    told = {each.message: each.where for each in checked.findings if each.kind == "contradiction"}
    assert told == {
        "the same picture is safe in row 1 and unsafe in row 2.": ("1", "2"),
        "the same picture is safe in row 3 and unsafe in row 3.": ("3",),
        "the same caption is safe in row 0 and unsafe in row 3.": ("0", "3"),
    }
    labels = {"labels": {"unsafe_image": "safe", "unsafe_text": "safe"}}
    write(tmp_path, [{**line, **labels} for line in lines])  # type: ignore[dict-item]
    assert found(tmp_path)[0] == {"duplicate_picture": 1}


def test_one_caption_in_two_splits_is_no_leak(tmp_path: Path) -> None:
    write(tmp_path, [{**line, "safe_text": "a dog"} for line in dataset(tmp_path)])
    assert found(tmp_path)[0] == {}


def test_a_source_of_bad_rows_alone_tells_of_each(tmp_path: Path) -> None:
    write(tmp_path, [{**line, "safe_text": ""} for line in dataset(tmp_path)])
    assert [problem.reason for problem in scanned(tmp_path).problems] == ["empty_caption"] * 4


def test_leaks_between_two_sources(tmp_path: Path) -> None:
    dataset(tmp_path / "one", "train")
    dataset(tmp_path / "two", "test")
    assert check([scan(tmp_path / name) for name in ("one", "two")]).counts["leaking"] == 3


def test_flat_pictures_of_other_colours_are_not_alike(tmp_path: Path) -> None:
    red, blue, nearly = (look(Image.new("RGB", (20, 20), c)) for c in ("red", "blue", (253, 0, 1)))
    assert red[0] == blue[0]
    assert alike([red, blue, nearly]) == [[0, 2]]


def test_groups_of_alike_pictures_are_those_that_every_pair_gives() -> None:
    """Against all pairs, compared one by one and joined: many copies of a few, some of them far from flat."""
    random = Random(0)
    first = [look(random_picture(k, size=(9, 9))) for k in range(6)]
    looks = [(bits ^ 1 << random.randrange(64), copy) for bits, copy in first for _ in range(5)] + first
    looks += [(0, bytes([level] * 192)) for level in (0, 3, 6, 9, 100, 105, 109)]
    expected: list[set[int]] = [{k} for k in range(len(looks))]
    for one, two in itertools.combinations(range(len(looks)), 2):
        (a, first_copy), (b, second_copy) = looks[one], looks[two]
        apart = sum(abs(x - y) for x, y in zip(first_copy, second_copy, strict=True)) / 192
        if bin(a ^ b).count("1") <= 3 and apart <= 4:
            both = next(group for group in expected if one in group) | next(g for g in expected if two in g)
            expected = [group for group in expected if not group & both] + [both]
    assert alike(looks) == sorted(sorted(group) for group in expected if len(group) > 1)
    assert [36, 37, 38, 39] in alike(looks)


def test_many_pictures_that_are_nearly_the_same_are_one_finding() -> None:
    looks = [(0, bytes([k % 3] * 192)) for k in range(3000)]
    assert [len(group) for group in alike(looks)] == [3000]
    assert alike([]) == []


def test_the_embedded_world_is_not_called_leaking(tmp_path: Path) -> None:
    for split in ("train", "test"):
        export(tmp_path / split, count=30, split=split)
    assert not check([scan(tmp_path / split) for split in ("train", "test")]).is_wrong


def test_a_source_that_gives_nothing_does_not_stop_the_others(tmp_path: Path) -> None:
    dataset(tmp_path / "good")
    (tmp_path / "cut.parquet").write_bytes(b"PAR1 and then nothing")
    (tmp_path / "empty.jsonl").write_bytes(b"")
    (tmp_path / "wide.csv").write_bytes("safe_text\nx\n".encode("utf-16"))
    names = ("good", "cut.parquet", "empty.jsonl", "wide.csv", "nowhere")
    checked = check([scanned(tmp_path / name) for name in names])
    assert checked.rows == 4
    told = [each for each in checked.findings if each.kind == "bad_source"]
    assert [each.where[0].rpartition("/")[2] for each in told] == list(names[1:])
    for word, each in zip(("was cut", "no rows", "UTF-16", "no data that can be read"), told, strict=True):
        assert word in each.message


def test_findings_do_not_depend_on_how_many_are_looked_at_together(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dataset(tmp_path, "train test train test train")
    (tmp_path / "4-safe.png").write_bytes((tmp_path / "0-safe.png").read_bytes())
    (tmp_path / "3-unsafe.png").write_bytes((tmp_path / "0-safe.png").read_bytes())
    expected = found(tmp_path)[1].findings
    assert [each.kind for each in expected] == ["leaking", "contradiction"]
    for together in (1, 3):
        monkeypatch.setattr("hyperaware.data.check.AT_ONCE", together)
        assert found(tmp_path)[1].findings == expected
    done: list[tuple[int, int]] = []
    check([scan(tmp_path)], progress=lambda *step: done.append(step))
    assert done == [(3, 10), (6, 10), (9, 10), (10, 10)]


# -- rows apart ------------------------------------------------------------------------------------------


def test_rows_to_train_on_share_no_picture_with_the_others(tmp_path: Path) -> None:
    dataset(tmp_path)
    rows = read(tmp_path)
    train, others = rows[:3], rows[3:]
    assert apart(train, others) == (train, {})
    for_others = tmp_path / "3-unsafe.png"
    (tmp_path / "1-safe.png").write_bytes(for_others.read_bytes())
    kept, reasons = apart(train, others)
    assert [row.id for row in kept] == ["0", "2"]
    assert list(reasons) == [str(tmp_path / "1-safe.png")]
    assert str(for_others) in reasons[str(tmp_path / "1-safe.png")]
    assert [row.id for row in apart(train, rows[2:])[0]] == ["0"]  # row 2 itself, and row 1's copy
    (tmp_path / "0-safe.png").unlink()
    assert [row.id for row in apart(train, others)[0]] == ["0", "2"]  # a later reader says that it is gone


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
