"""Parquet files and data sets of the Hugging Face Hub, written in their own formats, and files of labels."""

import io
import json
import shutil
import sys
from pathlib import Path
from typing import Any

import datasets
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from model_samples import random_picture

from hyperaware.data import parquet
from hyperaware.data.folder import fingerprint
from hyperaware.data.sources import read, scan
from hyperaware.errors import ConfigError, DataError
from hyperaware.media.images import decode


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HYPERAWARE_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "pictures"


def png(seed: int) -> bytes:
    buffer = io.BytesIO()
    random_picture(seed).save(buffer, "PNG")
    return buffer.getvalue()


def records(count: int, **more: Any) -> list[dict[str, Any]]:
    """Rows with pictures as bytes."""
    texts = [{"safe_text": f"safe {k}", "unsafe_text": f"unsafe {k}"} for k in range(count)]
    images = [{"safe_image": png(2 * k), "unsafe_image": png(2 * k + 1)} for k in range(count)]
    return [text | image | more for text, image in zip(texts, images, strict=True)]


def as_parquet(path: Path, rows: list[dict[str, Any]], **more: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.Table.from_pylist(rows), path, **more)
    return path


# -- parquet ---------------------------------------------------------------------------------------------


def test_parquet_with_bytes_with_structs_and_with_paths_gives_the_same_pictures(
    tmp_path: Path, cache: Path
) -> None:
    rows = records(3, split="test")
    structs = [
        row | {key: {"bytes": row[key], "path": f"{k}.png"} for key in ("safe_image", "unsafe_image")}
        for k, row in enumerate(rows)
    ]
    paths = []
    for k, row in enumerate(rows):
        named = {key: f"{k}-{key}.png" for key in ("safe_image", "unsafe_image")}
        for key, name in named.items():
            (tmp_path / name).write_bytes(row[key])
        paths.append({**row, **named})
    found = [
        read(as_parquet(tmp_path / f"{name}.parquet", each))
        for name, each in (("bytes", rows), ("structs", structs), ("paths", paths))
    ]
    assert [[(row.id, row.split, row.safe_text) for row in each] for each in found] == [
        [(str(k + 1), "test", f"safe {k}") for k in range(3)]
    ] * 3
    for each in found:
        assert [row.unsafe_image.read_bytes() for row in each] == [row["unsafe_image"] for row in rows]
    assert found[1][0].safe_image.suffix == ".png"
    assert found[2][0].safe_image == tmp_path / "0-safe_image.png"
    assert len(list(cache.iterdir())) == 12  # six pictures, without and with a suffix
    assert decode(found[0][0].safe_image).size == (16, 16)


def test_labels_categories_numbers_and_nulls_in_parquet(tmp_path: Path) -> None:
    rows = records(4)
    rows[0] |= {"id": 7, "unsafe_text_is_unsafe": False, "category": "violence", "labels": None}
    rows[1] |= {"id": 8, "unsafe_text_is_unsafe": True, "labels": {"unsafe_image": "safe"}}
    rows[2] |= {"id": 9, "unsafe_text": None}
    rows[3] |= {"id": 8}
    reading = scan(as_parquet(tmp_path / "mine.parquet", rows))
    one, two = reading.rows
    assert (one.id, one.category) == ("7", "violence")
    assert (one.unsafe_text_is_unsafe, one.unsafe_image_is_unsafe) == (False, True)
    assert (two.unsafe_text_is_unsafe, two.unsafe_image_is_unsafe) == (True, False)
    assert [problem.reason for problem in reading.problems] == ["empty_caption", "duplicate_id"]
    assert "mine.parquet, row 2" in str(reading.problems[0])


def test_a_folder_with_a_captions_parquet_is_a_dataset(tmp_path: Path) -> None:
    as_parquet(tmp_path / "captions.parquet", records(2))
    assert len(read(tmp_path)) == 2


def test_columns_of_other_names(tmp_path: Path) -> None:
    rows = [
        {"caption": "a", "nsfw": "b", "image": png(0), "bad": png(1), "key": k, "unsafe_text": "not this"}
        for k in range(2)
    ]
    path = as_parquet(tmp_path / "theirs.parquet", rows)
    words = "safe_text=caption&unsafe_text=nsfw&safe_image=image&unsafe_image=bad&id=key"
    reading = scan(f"{path}?{words}&split=test")
    assert [(row.id, row.split, row.safe_text, row.unsafe_text) for row in reading.rows] == [
        ("0", "test", "a", "b"),
        ("1", "test", "a", "b"),
    ]
    wrong = scan(f"{path}?{words.replace('nsfw', 'nsfv')}")
    assert not wrong.rows
    assert "no column 'nsfv'; its columns are caption, nsfw" in str(wrong.problems[0])
    with pytest.raises(ConfigError, match="Did you mean 'safe_text'"):
        scan(f"{path}?safe_txt=caption")


def test_only_a_few_records_are_in_memory_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = as_parquet(tmp_path / "long.parquet", [{"n": k} for k in range(1000)], row_group_size=300)
    sizes = []

    class Watched(pq.ParquetFile):
        def iter_batches(self, *args: Any, **kwargs: Any) -> Any:
            for batch in super().iter_batches(*args, **kwargs):
                sizes.append(len(batch))
                yield batch

    monkeypatch.setattr(pq, "ParquetFile", Watched)
    assert [record["n"] for _, record in parquet.parquet_records(path)] == list(range(1000))
    assert max(sizes) <= parquet.BATCH
    assert sum(sizes) == 1000


def test_a_cut_parquet_is_refused_and_a_damaged_row_group_is_left_out(tmp_path: Path) -> None:
    path = as_parquet(tmp_path / "a.parquet", records(6), row_group_size=2, compression="gzip")
    whole = path.read_bytes()
    path.write_bytes(whole[:-20])
    with pytest.raises(DataError, match=r"a\.parquet is no parquet file, or was cut"):
        scan(path)
    path.write_bytes(whole)
    column = pq.ParquetFile(path).metadata.row_group(1).column(2)
    start = column.dictionary_page_offset or column.data_page_offset
    path.write_bytes(whole[:start] + b"\xff" * 200 + whole[start + 200 :])
    reading = scan(path)
    assert [row.id for row in reading.rows] == ["1", "2", "3", "4"]
    assert [row.safe_text for row in reading.rows] == ["safe 0", "safe 1", "safe 4", "safe 5"]
    (problem,) = reading.problems
    assert "row group 1: rows 2 to 3 cannot be read" in str(problem)


@pytest.mark.parametrize(("module", "source"), [("pyarrow", "x.parquet"), ("datasets", "hf:some/data")])
def test_what_is_not_installed_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, module: str, source: str
) -> None:
    (tmp_path / "x.parquet").write_bytes(b"")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(ConfigError, match=r"pip install 'hyperaware\[data\]'"):
        scan(source)


# -- data sets -------------------------------------------------------------------------------------------

FEATURES = datasets.Features(
    safe_image=datasets.Image(),
    unsafe_image=datasets.Image(),
    safe_text=datasets.Value("string"),
    unsafe_text=datasets.Value("string"),
    unsafe_text_is_unsafe=datasets.Value("bool"),
    unsafe_image_label=datasets.ClassLabel(names=["unsafe", "safe"]),
    category=datasets.ClassLabel(names=["hate", "violence"]),
)


def data_set(count: int, *, first: int = 0) -> datasets.Dataset:
    rows = []
    for k in range(first, first + count):
        row = {"safe_image": {"bytes": png(2 * k), "path": "a.png"}, "safe_text": f"safe {k}"}
        row |= {"unsafe_image": {"bytes": png(2 * k + 1), "path": None}, "unsafe_text": f"unsafe {k}"}
        row |= {"unsafe_text_is_unsafe": k != 1, "unsafe_image_label": k % 2, "category": k % 2}
        rows.append(row)
    return datasets.Dataset.from_list(rows, features=FEATURES)


def splits() -> datasets.DatasetDict:
    return datasets.DatasetDict(train=data_set(3), validation=data_set(2, first=3))


def in_hub_layout(folder: Path) -> Path:
    """The files that `push_to_hub` writes: parquet by split, and a card with configs and features."""
    (folder / "data").mkdir(parents=True)
    for name, part in splits().items():
        part.to_parquet(str(folder / "data" / f"{name}-00000-of-00001.parquet"))
    files = [{"split": name, "path": f"data/{name}-*"} for name in ("train", "validation")]
    card = {"configs": [{"config_name": "default", "data_files": files}]}
    (folder / "README.md").write_text(f"---\n{json.dumps(card)}\n---\n# Mine\n")
    return folder


def in_the_cache(monkeypatch: pytest.MonkeyPatch, folder: Path, name: str) -> None:
    """The data set where the Hub's client keeps what it has fetched."""
    commit = "c0ffee" * 6 + "c0ff"
    repo = folder / "hub" / ("datasets--" + name.replace("/", "--"))
    in_hub_layout(repo / "snapshots" / commit)
    (repo / "refs").mkdir()
    (repo / "refs" / "main").write_text(commit)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(folder / "hub"))


def judged(source: str | Path) -> list[tuple[str, str, bool, bool, str | None]]:
    return [
        (row.id, row.split, row.unsafe_text_is_unsafe, row.unsafe_image_is_unsafe, row.category)
        for row in read(source)
    ]


EXPECTED = [
    ("train-0", "train", True, True, "hate"),
    ("train-1", "train", False, False, "violence"),
    ("train-2", "train", True, True, "hate"),
    ("validation-0", "validation", True, False, "violence"),
    ("validation-1", "validation", True, True, "hate"),
]


def test_a_saved_data_set_of_several_splits_and_of_one(tmp_path: Path) -> None:
    splits().save_to_disk(str(tmp_path / "saved"))
    assert judged(tmp_path / "saved") == EXPECTED
    assert judged(f"{tmp_path / 'saved'}?split=validation") == EXPECTED[3:]
    assert read(tmp_path / "saved")[4].unsafe_image.read_bytes() == png(9)
    data_set(3).save_to_disk(str(tmp_path / "one"))
    assert judged(f"{tmp_path / 'one'}?split=calibration") == [
        (f"calibration-{k}", "calibration", *EXPECTED[k][2:]) for k in range(3)
    ]
    with pytest.raises(DataError, match=r"no split 'test'\. Its splits: train, validation"):
        scan(f"{tmp_path / 'saved'}?split=test")


def test_a_data_set_of_the_hub_that_is_here_needs_no_network(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    in_the_cache(monkeypatch, tmp_path, "some/data")
    assert judged("hf:some/data") == EXPECTED
    assert judged("hf:some/data?split=validation") == EXPECTED[3:]
    assert judged(f"hf:{in_hub_layout(tmp_path / 'copy')}") == EXPECTED
    assert fingerprint(read("hf:some/data")) == fingerprint(read(f"hf:{tmp_path / 'copy'}"))
    with pytest.raises(ConfigError, match=r"hyperaware download --data hf:some/other"):
        scan("hf:some/other")
    with pytest.raises(ConfigError, match="expected hf:ORG/NAME"):
        scan("hf:nowhere")
    with pytest.raises(DataError, match="no split 'test'"):
        scan("hf:some/data?split=test")
    with pytest.raises(DataError, match="cannot be read as a data set"):
        scan("hf:some/data?config=other")


def test_class_labels_of_the_hubs_parquet_have_names_without_the_library(tmp_path: Path) -> None:
    in_hub_layout(tmp_path / "copy")
    table = tmp_path / "copy" / "data" / "train-00000-of-00001.parquet"
    assert [each[2:] for each in judged(table)] == [each[2:] for each in EXPECTED[:3]]


def test_a_damaged_part_of_a_data_set_is_a_problem_of_that_part(tmp_path: Path) -> None:
    folder = in_hub_layout(tmp_path / "copy")
    file = folder / "data" / "validation-00000-of-00001.parquet"
    file.write_bytes(file.read_bytes()[:-30])
    reading = scan(f"hf:{folder}")
    assert [row.id for row in reading.rows] == ["train-0", "train-1", "train-2"]
    (problem,) = reading.problems
    assert "validation: nothing can be read (ArrowInvalid" in str(problem)


def test_a_card_that_names_data_elsewhere_is_refused(tmp_path: Path) -> None:
    folder = in_hub_layout(tmp_path / "copy")
    card = folder / "README.md"
    card.write_text(card.read_text().replace('"data/train-*"', '"http://127.0.0.1:1/train.parquet"'))
    with pytest.raises(DataError, match="names data on other machines"):
        scan(f"hf:{folder}")


def test_pictures_are_decoded_by_our_reader_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [
        {
            "safe_image": {"bytes": b"no picture", "path": None},
            "unsafe_image": {"bytes": png(1), "path": None},
        }
    ]
    features = datasets.Features(
        {name: FEATURES[name] for name in ("safe_image", "unsafe_image", "safe_text", "unsafe_text")}
    )
    rows[0] |= {"safe_text": "a", "unsafe_text": "b"}
    datasets.Dataset.from_list(rows, features=features).save_to_disk(str(tmp_path / "saved"))
    monkeypatch.setattr(datasets.Image, "decode_example", None)  # a call would raise
    (row,) = read(tmp_path / "saved")
    assert row.safe_image.read_bytes() == b"no picture"


# -- files of labels -------------------------------------------------------------------------------------


@pytest.fixture
def own(tmp_path: Path) -> Path:
    """A table of four rows, the last of which has no picture."""
    lines = []
    for k in range(4):
        line = {"id": f"r{k}", "split": "train", "safe_text": f"s {k}", "unsafe_text": f"u {k}"}
        line |= {"safe_image": "s.png", "unsafe_image": f"{k}.png", "category": "hate"}
        (tmp_path / f"{k}.png").write_bytes(png(k))
        lines.append(line)
    (tmp_path / "s.png").write_bytes(png(9))
    (tmp_path / "3.png").unlink()
    (tmp_path / "captions.jsonl").write_text("\n".join(map(json.dumps, lines)))
    return tmp_path


def test_labels_by_id_and_by_path(own: Path, tmp_path: Path) -> None:
    by_id = (
        "id,unsafe_text_is_unsafe,unsafe_image_label,category\nr0,false,,violence\nr1,TRUE,safe,\nr2,1,safe,"
    )
    (own / "by-id.csv").write_text(f"{by_id}\nr3,0,safe,\n")
    reading = scan(f"{own}?labels={own / 'by-id.csv'}")
    found = [(row.unsafe_text_is_unsafe, row.unsafe_image_is_unsafe, row.category) for row in reading.rows]
    assert found == [(False, True, "violence"), (True, False, "hate"), (True, False, "hate")]
    assert [problem.reason for problem in reading.problems] == [
        "missing"
    ]  # r3 is labelled, and has no picture

    paths = [{"path": f"../{k}.png", "unsafe_image_label": "safe" if k else "unsafe"} for k in range(3)]
    (own / "labels").mkdir()
    (own / "labels" / "by-path.jsonl").write_text("\n".join(map(json.dumps, paths)))
    rows = scan(f"{own}?labels={own / 'labels' / 'by-path.jsonl'}").rows
    assert [row.unsafe_image_is_unsafe for row in rows] == [True, False, False]


def test_labels_that_fit_nothing_come_twice_or_are_missing_are_named(own: Path) -> None:
    lines = ["id,unsafe_text_label,unsafe_text_is_unsafe", "r0,safe,", "r0,unsafe,", "r1,nsfw,", "r9,safe,"]
    (own / "labels.csv").write_text("\n".join([*lines, "r2,safe,true", ",safe,", "r2,,"]))
    reading = scan(f"{own}?labels={own / 'labels.csv'}")
    assert [(row.id, row.unsafe_text_is_unsafe) for row in reading.rows] == [("r0", False)]
    told = [(problem.reason, str(problem)) for problem in reading.problems[1:]]
    assert [reason for reason, _ in told] == ["bad_label"] * 5 + ["unlabelled"] * 2 + ["bad_label"]
    words = [
        "line 3: 'r0' was labelled in",
        "line 4: the label of unsafe_text must be",
        "line 6: unsafe_text_label and unsafe_text_is_unsafe say different things",
        "line 7: expected either id or path",
        "line 8: 'r2' has no label",
        "'r1': ",
        "'r2': ",
        "line 5: 'r9' is no row",
    ]
    for word, (_, message) in zip(words, told, strict=True):
        assert word in message
    (own / "labels.csv").write_text("id,unsafe_text_label\nx,safe\n")
    with pytest.raises(DataError, match="labels no row"):
        scan(f"{own}?labels={own / 'labels.csv'}")
    with pytest.raises(DataError, match="missing"):
        scan(f"{own}?labels={own / 'nowhere.csv'}")


def test_labels_are_taken_by_every_kind_of_source(tmp_path: Path, own: Path) -> None:
    (own / "labels.jsonl").write_text(
        "\n".join(json.dumps({"id": f"train-{k}", "unsafe_text_label": "safe"}) for k in range(3))
    )
    splits()["train"].save_to_disk(str(tmp_path / "saved"))
    rows = read(f"{tmp_path / 'saved'}?labels={own / 'labels.jsonl'}")
    assert [row.unsafe_text_is_unsafe for row in rows] == [False] * 3
    shutil.rmtree(tmp_path / "saved")
