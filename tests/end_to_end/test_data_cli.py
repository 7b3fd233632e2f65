"""`hyperaware data check` and `hyperaware pair`, and training on what they let through."""

import json
import shutil
from pathlib import Path
from typing import Any

import typer
from command_line import document
from model_samples import random_picture
from typer.testing import CliRunner, Result

from hyperaware.cli import data
from hyperaware.cli.group import Verbs
from hyperaware.data.folder import read_folder
from hyperaware.data.sources import scan
from hyperaware.world import export

app = typer.Typer(cls=Verbs, rich_markup_mode=None)
app.add_typer(data.app, name="data")
app.command()(data.pair)


def run(*words: object) -> Result:
    return CliRunner().invoke(app, [str(word) for word in words])


def said(*words: object, code: int = 0) -> Any:
    result = run(*words, "--json")
    assert result.exit_code == code, result.output
    return json.loads(result.stdout)


def test_check_of_good_and_bad_data(workplace: Path, tmp_path: Path) -> None:
    shutil.copytree(workplace / "data", tmp_path / "data")
    found = said("data", "check", tmp_path / "data")
    assert (found["is_wrong"], found["rows"], found["pictures"]) == (False, 12, 24)
    (tmp_path / "data" / "images" / "test-0-000003-safe.png").write_bytes(b"x")
    found = said("data", "check", tmp_path / "data", code=3)
    assert found["counts"]["bad_picture"] == 1
    result = run("data", "check", tmp_path / "data")
    assert result.exit_code == 3
    assert "test-0-000003-safe.png" in result.stdout
    assert run("data", "check", "visum:x").exit_code == 2


def test_unpaired_pictures_become_a_dataset_that_trains(workplace: Path, tmp_path: Path) -> None:
    for k, row in enumerate(export(tmp_path / "world", count=270, split="train")):
        for side in ("safe", "unsafe"):
            (tmp_path / side).mkdir(exist_ok=True)
            target = tmp_path / side / f"{7 * k % 270 if side == 'unsafe' else k}.png"
            shutil.copy(getattr(row, f"{side}_image"), target)
            target.with_suffix(".txt").write_text(getattr(row, f"{side}_text"))
    (tmp_path / "unsafe" / "5.txt").write_text("")
    folders = ("--safe", tmp_path / "safe", "--unsafe", tmp_path / "unsafe")
    made = said("pair", *folders, "--out", tmp_path / "pairs", code=3)
    assert len(made["failed"]) == 1
    assert made["pairs"] + len(made["below_floor"]) == 269
    assert (tmp_path / "pairs" / "pairs.png").is_file()
    assert sum(made["splits"].values()) == made["pairs"] > 250

    words = ("train", workplace / "toy.toml", "--data", tmp_path / "pairs", "--out", tmp_path / "model")
    assert document(*words)["steps"] == 4

    source = f"unpaired:{tmp_path}?cache={tmp_path / 'kept'}"
    words = ("train", workplace / "toy.toml", "--data", source, "--out", tmp_path / "by-source")
    trained = document(*words, code=3)
    assert trained["steps"] == 4
    assert len(trained["failed"]) == len(made["failed"]) + len(made["below_floor"])
    (kept,) = (tmp_path / "kept").iterdir()
    assert contents(kept) == contents(tmp_path / "pairs")

    with open(tmp_path / "pairs" / "captions.jsonl", "a") as file:
        file.write('{"id": "no caption"}\n')
    trained = document(*words[:3], tmp_path / "pairs", "--out", tmp_path / "again", code=3)
    assert trained["steps"] == 4
    assert "must be a text" in next(iter(trained["failed"].values()))


def contents(folder: Path) -> list[tuple[object, ...]]:
    """The pairs of a folder, wherever it lies."""
    return [(row.split, row.safe_image.resolve(), row.unsafe_image.resolve()) for row in read_folder(folder)]


def test_what_is_in_no_pair_is_a_problem_of_the_source(tmp_path: Path) -> None:
    safe, unsafe = collection(tmp_path / "safe", 0, 1, 2, 3, 8), collection(tmp_path / "unsafe", 4, 5, 6, 7)
    shutil.copy(safe / "8.png", unsafe / "9.png")
    (unsafe / "9.txt").write_text("a dog")
    (unsafe / "6.txt").write_text("explosives")
    source = f"unpaired:{tmp_path}?floor=0.99&cache={tmp_path / 'kept'}"
    reading = scan(source)
    assert len(reading.rows) == 3 == len(scan(source).rows)
    told = {
        Path(problem.where).relative_to(tmp_path).as_posix(): str(problem) for problem in reading.problems
    }
    assert told.keys() == {"safe/8.png", "unsafe/9.png", "unsafe/6.png"}
    assert "the same picture is safe and unsafe" in told["unsafe/9.png"]
    assert "no safe caption is near enough" in told["unsafe/6.png"]


def collection(folder: Path, *seeds: int) -> Path:
    folder.mkdir()
    for seed in seeds:
        random_picture(seed, size=(32, 32)).save(folder / f"{seed}.png")
        (folder / f"{seed}.txt").write_text(("a dog", "a red car", "two boats", "an old house")[seed % 4])
    return folder


def test_a_picture_in_both_collections_is_in_no_pair(tmp_path: Path) -> None:
    safe, unsafe = collection(tmp_path / "safe", 0, 1, 2, 3), collection(tmp_path / "unsafe", 4, 5, 6, 7)
    for name in ("7", "9"):
        shutil.copy(safe / "3.png", unsafe / f"{name}.png")
        (unsafe / f"{name}.txt").write_text("a dog")
    made = said("pair", "--safe", safe, "--unsafe", unsafe, "--out", tmp_path / "pairs", code=3)
    assert made["pairs"] == 3
    assert made["failed"] == [
        f"{one}: the same picture is safe and unsafe, {two}."
        for one, two in (
            (safe / "3.png", unsafe / "7.png"),
            (unsafe / "7.png", safe / "3.png"),
            (unsafe / "9.png", safe / "3.png"),
        )
    ]
    rows = read_folder(tmp_path / "pairs")
    used = {path.resolve() for row in rows for path in (row.safe_image, row.unsafe_image)}
    assert used == {*(safe / f"{k}.png" for k in range(3)), *(unsafe / f"{k}.png" for k in (4, 5, 6))}


def test_pairing_refuses_before_any_work(tmp_path: Path) -> None:
    (tmp_path / "captions.jsonl").write_text("")
    words = ("pair", "--safe", tmp_path / "nowhere", "--unsafe", tmp_path / "nowhere", "--out")
    there = run(*words, tmp_path)
    assert there.exit_code == 1
    assert "is there already" in there.stderr
    unknown = run(*words, tmp_path / "new", "--model", "wordl")
    assert unknown.exit_code != 0
    assert "wordl" in unknown.stderr
    assert "nowhere" not in unknown.stderr


def test_training_on_visu_leaves_its_empty_caption_out(workplace: Path, tmp_path: Path) -> None:
    world, mine, coco = workplace / "world", tmp_path / "mine", tmp_path / "coco" / "train2017"
    mine.mkdir()
    coco.mkdir(parents=True)
    table = []
    for k, row in enumerate(read_folder(world / "train-0-32")):
        shutil.copy(row.safe_image, coco / f"{k:012d}.jpg")
        shutil.copy(row.unsafe_image, mine / f"{k}.png")
        texts = {"safe": row.safe_text, "nsfw": "" if k == 4 else row.unsafe_text}
        table.append({"incremental_id": k, **texts, "coco_id": str(k), "tag": "hate", "prompt_id": 0})
    (tmp_path / "ViSU-Text_train.json").write_text(json.dumps(table))
    source = f"visu:{tmp_path / 'ViSU-Text_train.json'}?coco={tmp_path / 'coco'}&unsafe={mine}"
    words = ("train", workplace / "toy.toml", "--data", source, "--out", tmp_path / "model")
    others = ("--validation", world / "validation-0-60", "--calibration", world / "calibration-0-60")
    trained = document(*words, *others, code=3)
    assert trained["steps"] == 4
    assert [why for where, why in trained["failed"].items() if where.endswith("record 4")]
    assert len(trained["failed"]) == 1
