"""Every form of data that `--data` takes, in files made here as they are published."""

import io
import json
import re
import tarfile
from pathlib import Path
from typing import Any

import pytest
from model_samples import random_picture

from hyperaware.data.folder import fingerprint, read_folder
from hyperaware.data.record import PROBLEMS, Reading
from hyperaware.data.sources import read, scan
from hyperaware.data.unpaired import Captioned, captioned
from hyperaware.data.webdataset import shards_of
from hyperaware.errors import ConfigError, DataError
from hyperaware.world import export


def picture(path: Path, seed: int = 0) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    random_picture(seed).save(path)
    return path


def reasons(reading: Reading) -> list[str]:
    found = [problem.reason for problem in reading.problems]
    assert set(found) <= set(PROBLEMS)
    return found


# -- one's own -------------------------------------------------------------------------------------------


def test_an_export_reads_as_before_and_has_the_fingerprint_that_it_had(tmp_path: Path) -> None:
    rows = export(tmp_path / "world", count=3, split="train")
    assert read(tmp_path / "world") == read_folder(tmp_path / "world") == rows
    # The digest that the code before this module gave: recorded runs keep their names.
    assert fingerprint(rows) == WORLD_DIGEST


WORLD_DIGEST = "1276850588940ac2a19199768b9a3926d88942a9851a41ed122e9c72ffcd1cb4"


def test_bad_lines_do_not_hide_good_ones(tmp_path: Path) -> None:
    good = {"id": "1", "split": "train", "safe_text": "a", "safe_image": "a.png"}
    good |= {"unsafe_text": "b", "unsafe_image": "b.png"}
    for name in ("a.png", "b.png"):
        picture(tmp_path / name)
    lines = [
        json.dumps(good).encode(),
        b"{",
        b"\xff\xfe",
        json.dumps({**good, "id": "2", "unsafe_text": ""}).encode(),
        json.dumps({**good, "id": "3", "safe_image": "gone.png"}).encode(),
        json.dumps({**good, "id": "4", "safe_image": "\0"}).encode(),
        json.dumps({**good, "id": "5", "safe_text": "\ud800"}).encode(),
        json.dumps(good).encode(),
        json.dumps({**good, "id": "6"}).encode(),
    ]
    (tmp_path / "captions.jsonl").write_bytes(b"\n".join(lines))
    reading = scan(tmp_path)
    assert [row.id for row in reading.rows] == ["1", "6"]
    expected = ["bad_row", "bad_row", "empty_caption", "missing", "missing", "bad_row", "duplicate_id"]
    assert reasons(reading) == expected
    assert [problem.where.rpartition(" ")[2] for problem in reading.problems] == list("2345678")
    with pytest.raises(DataError, match="line 2: not JSON"):
        read(tmp_path)


def test_a_csv_with_labels_and_a_folder_of_pictures(tmp_path: Path) -> None:
    picture(tmp_path / "pictures" / "a.png")
    picture(tmp_path / "pictures" / "b.png", 1)
    head = "safe_text,safe_image,unsafe_text,unsafe_image,unsafe_image_label,category,split"
    lines = [head, '"a ball, red",a.png,an axe,b.png,safe,violence,', "x,a.png,y,b.png,,,test"]
    lines += ["x,a.png,y,b.png,,,test,more", "x,a.png,,b.png,,,"]
    table = tmp_path / "mine.csv"
    table.write_text("\n".join(lines), encoding="utf-8-sig")
    reading = scan(f"{table}?images={tmp_path / 'pictures'}&split=calibration")
    one, two = reading.rows
    assert (one.safe_text, one.split, one.category) == ("a ball, red", "calibration", "violence")
    assert (one.unsafe_text_is_unsafe, one.unsafe_image_is_unsafe) == (True, False)
    assert (two.split, two.unsafe_image_is_unsafe, two.category) == ("test", True, None)
    assert reasons(reading) == ["bad_row", "empty_caption"]


def test_a_folder_with_a_csv_is_a_dataset(tmp_path: Path) -> None:
    picture(tmp_path / "a.png")
    columns = ["id", "split", "safe_text", "safe_image", "unsafe_text", "unsafe_image"]
    lines = ["\t".join(columns), "\t".join(["7", "train", "a", "a.png", "b", "a.png"]), "7\ttrain\t\udcff"]
    (tmp_path / "captions.tsv").write_bytes("\n".join(lines).encode("utf-8", "surrogateescape"))
    reading = scan(tmp_path)
    assert [row.id for row in reading.rows] == ["7"]
    assert "not UTF-8" in str(reading.problems[0])


def test_safe_and_unsafe_folders_with_captions_beside_the_pictures(tmp_path: Path) -> None:
    for split in ("train", "validation"):
        for side, suffix in (("safe", "png"), ("unsafe", "bmp")):
            picture(tmp_path / split / side / f"1.{suffix}").with_suffix(".txt").write_text(f"{side} 1\n")
    picture(tmp_path / "train" / "safe" / "lonely.png").with_suffix(".txt").write_text("x")
    picture(tmp_path / "train" / "safe" / "2.png").with_suffix(".txt").write_text("x")
    picture(tmp_path / "train" / "unsafe" / "2.png").with_suffix(".txt").write_text(" ")
    reading = scan(tmp_path)
    assert [(row.id, row.split) for row in reading.rows] == [
        ("train/1", "train"),
        ("validation/1", "validation"),
    ]
    assert (reading.rows[0].safe_text, reading.rows[0].unsafe_text) == ("safe 1", "unsafe 1")
    assert reading.rows[0].unsafe_image == tmp_path / "train" / "unsafe" / "1.bmp"
    assert reasons(reading) == ["empty_caption", "missing"]
    assert [row.id for row in scan(tmp_path / "validation").rows] == ["1"]


def test_pictures_without_pairs_are_sent_to_what_pairs_them(tmp_path: Path) -> None:
    for side in ("safe", "unsafe"):
        picture(tmp_path / side / f"{side}-1.png").with_suffix(".txt").write_text("x")
    with pytest.raises(DataError, match="are not in pairs") as refused:
        scan(tmp_path)
    for side in ("safe", "unsafe"):
        (tmp_path / "empty" / side).mkdir(parents=True)
    with pytest.raises(DataError, match="no rows"):
        read(tmp_path / "empty")
    assert f"hyperaware pair --safe {tmp_path}/safe --unsafe {tmp_path}/unsafe --out DIR" in str(
        refused.value
    )
    picture(tmp_path / "unsafe" / "safe-1.png").with_suffix(".txt").write_text("")
    assert reasons(scan(tmp_path)) == ["empty_caption", "missing"]


def test_a_folder_with_a_table_of_another_name_tells_its_name(tmp_path: Path) -> None:
    (tmp_path / "mine.csv").write_text("")
    with pytest.raises(DataError, match=r"It has mine\.csv: give a table itself, .*/mine\.csv\."):
        scan(tmp_path)


@pytest.mark.parametrize(
    ("name", "head", "message"),
    [
        ("a.csv", "safe_text;unsafe_text;safe_image", "separated by ';'; expected commas"),
        ("a.csv", "safe_text\tunsafe_text", r"separated by '\\t'; expected commas"),
        ("a.tsv", "safe_text,unsafe_text", "separated by ','; expected tabs"),
        ("a.csv", "safe_text,id,safe_text", "the column 'safe_text' is there twice"),
        ("a.csv", "x" * 200_000, "its first line is not CSV"),
    ],
)
def test_a_csv_that_would_be_misread_is_refused(tmp_path: Path, name: str, head: str, message: str) -> None:
    (tmp_path / name).write_text(f"{head}\nx\n")
    with pytest.raises(DataError, match=message):
        scan(tmp_path / name)


def test_columns_without_a_name_may_be_several(tmp_path: Path) -> None:
    picture(tmp_path / "a.png")
    (tmp_path / "a.csv").write_text("safe_text,safe_image,unsafe_text,unsafe_image,,\na,a.png,b,a.png,,\n")
    assert len(read(tmp_path / "a.csv")) == 1


@pytest.mark.parametrize(
    ("head", "message"),
    [
        (
            "safe_text,safe_image,unsafe_text",
            "there is no column 'unsafe_image'; its columns are safe_text, ",
        ),
        ("id,safe,nsfw,coco_id", "These are ViSU-Text's: visu:FILE"),
        ("image_coco_url,caption,nsfw_caption", "These are NSFWCaps': nsfwcaps:FILE"),
    ],
)
def test_a_table_without_our_columns_tells_those_that_it_has(tmp_path: Path, head: str, message: str) -> None:
    (tmp_path / "a.csv").write_text(f"{head}\n" + ",".join("1" for _ in head.split(",")) + "\n")
    (problem,) = scan(tmp_path / "a.csv").problems
    assert problem.reason == "bad_row"
    assert message in str(problem)


def test_unpaired_collections(tmp_path: Path) -> None:
    picture(tmp_path / "beside" / "in" / "1.png").with_suffix(".txt").write_text("one")
    picture(tmp_path / "beside" / "2.png")
    one, two = captioned(tmp_path / "beside")
    assert "2.png" in str(one)
    assert two == Captioned(tmp_path / "beside" / "in" / "1.png", "one")
    picture(tmp_path / "table" / "1.png")
    lines = [{"file_name": "1.png", "text": "one", "category": "hate"}, {"file_name": "2.png", "text": "x"}]
    (tmp_path / "table" / "captions.jsonl").write_text("\n".join(map(json.dumps, lines)))
    one, two = captioned(tmp_path / "table")
    assert one == Captioned(tmp_path / "table" / "1.png", "one", "hate")
    assert "'2.png' is missing" in str(two)
    with pytest.raises(DataError, match="is not a folder"):
        list(captioned(tmp_path / "nowhere"))


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("nowhere", "no data that can be read"),
        ("nowhere.parquet", "is missing"),
        ("hf:a/b?colour=red", "no option of hf is called 'colour'"),
        ("nowhere.csv?labels=also-nowhere.csv", "nowhere.csv is missing"),
        ("visum:f.json", "Did you mean 'visu'"),
        ("visu:f.json?coco=x", "visu needs unsafe=DIR"),
        ("visu:f.json?coco=x&unsafe=y&color=z", "no option of visu is called 'color'"),
        ("visu:f.json?coco=x&unsafe=y&calibration=half", "expected a number, 0 to 1"),
        ("unpaired:.?floor=high", "floor='high': expected a number"),
        ("unpaired:nowhere", "is not a folder"),
        ("unpaired:.?model=nobody", "model .* is called 'nobody'"),
        ("webdataset:shard-{000..002}.tar", r"shard-000\.tar.*no such shard"),
        ("nowhere.csv", "is missing"),
        (".?split=train", "is no dataset: it has no captions.jsonl, nor captions.csv, captions.tsv"),
    ],
)
def test_wrong_spellings_are_told_the_right_ones(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: str, message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises((ConfigError, DataError), match=message):
        scan(source)


# -- published -------------------------------------------------------------------------------------------


def visu(number: int, coco_id: str, tag: str, prompt_id: int, **more: Any) -> dict[str, Any]:
    row = {"incremental_id": number, "safe": f"safe {number}", "nsfw": f"unsafe {number}"}
    return {**row, "coco_id": coco_id, "tag": tag, "prompt_id": prompt_id, **more}


@pytest.fixture
def visu_source(tmp_path: Path) -> str:
    """ViSU-Text of three splits, a COCO folder, and unsafe pictures with and without the split's folder."""
    train = [visu(5, "9", "hate", 0), visu(109551, "25", "weapons", 16, nsfw=""), visu(7, "25", "", 9)]
    train += [visu(8, "404", "theft", 14), visu(9, "../9", "theft", 14), visu(10, "9", "theft", 14)]
    validation = [visu(n, str(30 + n), "bodily bluids", 9, labels={"unsafe_image": "safe"}) for n in range(8)]
    (tmp_path / "ViSU-Text_train.json").write_text(json.dumps(train))
    (tmp_path / "ViSU-Text_validation.json").write_text(json.dumps(validation))
    picture(tmp_path / "coco" / "train2017" / "000000000009.jpg")
    picture(tmp_path / "coco" / "val2017" / "000000000025.jpg", 1)
    for number in range(8):
        picture(tmp_path / "coco" / f"{30 + number:012d}.jpg", number)
        picture(tmp_path / "mine" / "validation" / f"{number}.png", number)
    for number in (5, 7, 8, 9, 109551):
        picture(tmp_path / "mine" / f"{number}.png", number)
    return f"visu:{tmp_path}?coco={tmp_path / 'coco'}&unsafe={tmp_path / 'mine'}"


def test_visu_is_joined_with_coco_and_the_users_pictures(visu_source: str, tmp_path: Path) -> None:
    reading = scan(visu_source)
    one, two = reading.rows[:2]
    assert (one.id, one.split, one.category) == ("train-5", "train", "hate")
    assert (one.safe_text, one.unsafe_text) == ("safe 5", "unsafe 5")
    assert one.safe_image == tmp_path / "coco" / "train2017" / "000000000009.jpg"
    assert one.unsafe_image == tmp_path / "mine" / "5.png"
    assert (two.id, two.category) == ("train-7", "bodily fluids")
    assert two.safe_image == tmp_path / "coco" / "val2017" / "000000000025.jpg"
    assert reasons(reading) == ["empty_caption", "missing", "bad_row", "missing"]
    assert "000000000404.jpg" in str(reading.problems[1])
    assert "'coco_id' must be a number" in str(reading.problems[2])
    assert "10.jpg" in str(reading.problems[3])
    validation = reading.rows[2:]
    assert {row.category for row in validation} == {"bodily fluids"}
    assert {row.unsafe_image_is_unsafe for row in validation} == {False}
    assert validation[5].unsafe_image == tmp_path / "mine" / "validation" / "5.png"


@pytest.mark.parametrize("option", ["coco", "unsafe"])
def test_a_folder_of_pictures_that_is_not_there_is_one_error(option: str, visu_source: str) -> None:
    with pytest.raises(DataError, match=r"nowhere is not a folder; expected"):
        scan(re.sub(rf"{option}=[^&]*", f"{option}=nowhere", visu_source))


def test_a_share_of_visus_validation_becomes_calibration(visu_source: str) -> None:
    splits = [row.split for row in scan(visu_source + "&calibration=0.5").rows[2:]]
    assert set(splits) == {"validation", "calibration"}
    assert splits == [row.split for row in scan(visu_source + "&calibration=0.5").rows[2:]]
    assert {row.split for row in scan(visu_source + "&calibration=1").rows} == {"train", "calibration"}


def test_nsfwcaps_by_the_names_in_its_urls(tmp_path: Path) -> None:
    urls = [f"https://s3.example.com/val/{name}.jpg?x=1" for name in ("0013ea2087020901", "gone")]
    rows = [
        {"image_coco_url": url, "caption": "a dog", "nsfw_caption": "a dog bites", "chosen_category": "harm"}
        for url in urls
    ]
    (tmp_path / "nsfwcaps.jsonl").write_text("\n".join(map(json.dumps, rows)))
    picture(tmp_path / "nocaps" / "0013ea2087020901.jpg")
    picture(tmp_path / "mine" / "0013ea2087020901.png")
    options = f"images={tmp_path / 'nocaps'}&unsafe={tmp_path / 'mine'}"
    reading = scan(f"nsfwcaps:{tmp_path / 'nsfwcaps.jsonl'}?{options}")
    (row,) = reading.rows
    assert (row.id, row.split, row.category) == ("test-0013ea2087020901", "test", "harm")
    assert (row.safe_text, row.unsafe_text) == ("a dog", "a dog bites")
    assert row.unsafe_image.name == "0013ea2087020901.png"
    assert reasons(reading) == ["missing"]


# -- shards ----------------------------------------------------------------------------------------------


def png(seed: int) -> bytes:
    buffer = io.BytesIO()
    random_picture(seed).save(buffer, "PNG")
    return buffer.getvalue()


def sample(key: str, **changes: bytes | None) -> dict[str, bytes]:
    parts: dict[str, bytes | None] = {"safe.png": png(1), "safe.txt": b"a ball", "unsafe.png": png(2)}
    parts |= {"unsafe.txt": b"an axe"} | {name.replace("_", "."): value for name, value in changes.items()}
    return {f"{key}.{name}": data for name, data in parts.items() if data is not None}


def shard(path: Path, members: dict[str, bytes], *others: tarfile.TarInfo) -> Path:
    with tarfile.open(path, "w") as tar:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
        for info in others:
            tar.addfile(info)
    return path


def test_shards_give_rows_whose_pictures_are_files(tmp_path: Path) -> None:
    more = {"split": "test", "category": "violence", "labels": {"unsafe_text": "safe"}, "safe_image": "/x"}
    shard(tmp_path / "s-000.tar", {**sample("0"), **sample("d/1", json=json.dumps(more).encode())})
    captions = json.dumps({"safe_text": "one", "unsafe_text": "two"}).encode()
    shard(tmp_path / "s-001.tar", sample("0", json=captions, safe_txt=None, unsafe_txt=None))
    source = f"webdataset:{tmp_path}/s-{{000..001}}.tar?cache={tmp_path / 'cache'}&split=validation"
    rows = read(source)
    assert [(row.id, row.split) for row in rows] == [
        ("s-000/0", "validation"),
        ("s-000/d/1", "test"),
        ("s-001/0", "validation"),
    ]
    assert rows[0].safe_image.read_bytes() == png(1)
    assert rows[0].unsafe_image.read_bytes() == png(2)
    assert (rows[1].category, rows[1].unsafe_text_is_unsafe) == ("violence", False)
    assert (rows[2].safe_text, rows[2].unsafe_text) == ("one", "two")
    assert len(list((tmp_path / "cache").iterdir())) == 2
    assert fingerprint(read(source)) == fingerprint(rows)
    assert [path.name for path in shards_of(f"{tmp_path}/s-*.tar")] == ["s-000.tar", "s-001.tar"]


def test_shards_of_several_folders_may_have_one_name(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        shard(tmp_path / name / "000.tar", sample("0"))
    rows = read(f"webdataset:{tmp_path}/{{a,b}}/000.tar?cache={tmp_path / 'cache'}")
    assert [row.id for row in rows] == ["a/000/0", "b/000/0"]


def test_hostile_and_damaged_shards(tmp_path: Path) -> None:
    members = {**sample("../../escape"), **sample("/absolute"), **sample("nopicture", unsafe_png=None)}
    members |= sample("nocaption", safe_txt=b" ") | sample("latin", safe_txt=b"\xff")
    members |= sample("long", unsafe_txt=b"x" * (2**20 + 1)) | sample("list", json=b"[]")
    link = tarfile.TarInfo("link.safe.png")
    link.type, link.linkname = tarfile.SYMTYPE, str(tmp_path / "secret.png")
    picture(tmp_path / "secret.png")
    path = shard(tmp_path / "a.tar", members, link)
    before = set(tmp_path.iterdir())
    reading = scan(f"webdataset:{path}?cache={tmp_path / 'cache'}")
    assert [row.id for row in reading.rows] == ["a/../../escape", "a//absolute"]
    expected = ["missing", "empty_caption", "bad_row", "bad_row", "bad_row", "bad_row"]
    assert reasons(reading) == expected
    assert "no plain file" in str(reading.problems[-1])
    assert "at most 1,048,576 are accepted" in str(reading.problems[3])
    assert set(tmp_path.iterdir()) - before == {tmp_path / "cache"}
    assert all(len(file.stem) == 64 for file in (tmp_path / "cache").iterdir())

    whole = shard(tmp_path / "b.tar", {**sample("1"), **sample("2")}).read_bytes()
    (tmp_path / "b.tar").write_bytes(whole[:5732])
    cut = scan(f"webdataset:{tmp_path / 'b.tar'}?cache={tmp_path / 'cache'}")
    assert [row.id for row in cut.rows] == ["b/1"]
    assert cut.problems
    (tmp_path / "c.tar").write_bytes(b"not a tar file" * 100)
    assert "damaged" in str(scan(f"webdataset:{tmp_path / 'c.tar'}?cache={tmp_path / 'cache'}").problems[0])
