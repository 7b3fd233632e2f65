"""docs/data.md: every command of it runs, on files that are made as the page describes them."""

import csv
import json
import re
import shlex
import shutil
from pathlib import Path

import datasets
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from command_line import run
from model_samples import random_picture

from hyperaware.data.check import KINDS
from hyperaware.world import World, export
from hyperaware.world.forms import write_visu, write_webdataset

PAGE = (Path(__file__).parents[2] / "docs" / "data.md").read_text(encoding="utf-8")
FENCE = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
BLOCKS = [
    [line.removeprefix("$ ") for line in text.splitlines()]
    for language, text in FENCE.findall(PAGE)
    if language == "console"
]
COMMANDS = [command for block in BLOCKS for command in block]
COMMIT = "c0ffee" * 6 + "c0ff"


def table_named(name: str) -> str:
    """The first table after its name."""
    return next(
        text for language, text in FENCE.findall(PAGE[PAGE.index(name) :]) if language in ("csv", "json")
    )


def picture(path: Path, seed: int) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    random_picture(seed, size=(20, 20)).save(path)
    return path


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Everything that the page names."""
    here = tmp_path_factory.mktemp("page")
    for number in range(1, 5):
        picture(here / "my-data" / f"{number}.png", number)
    for name in ("captions.jsonl", "mine.csv", "labels.csv"):
        place = here / ("my-data" if name == "captions.jsonl" else "") / name
        place.write_text(table_named(f"`{name}`" if name != "captions.jsonl" else "captions.jsonl`"))
    _tables(here)
    for number in range(4):
        for side in ("safe", "unsafe"):
            split = "train" if number else "validation"
            path = picture(
                here / "sides" / split / side / f"{number}.png", 50 + 2 * number + (side == "safe")
            )
            path.with_suffix(".txt").write_text(f"{side} {number}")
    for k, row in enumerate(export(here / "world", count=60, split="train")):
        for side in ("safe", "unsafe"):
            (here / f"my-{side}").mkdir(exist_ok=True)
            target = here / f"my-{side}" / f"{k}.png"
            shutil.copy(getattr(row, f"{side}_image"), target)
            target.with_suffix(".txt").write_text(getattr(row, f"{side}_text"))
    (here / "visu").mkdir()
    (here / "shards").mkdir()
    for split in ("train", "validation"):
        write_visu(here / "visu", World(split), count=4, progress=lambda done, total: None)
    for shard, seed in enumerate((0, 1)):
        (here / "drawn").mkdir(exist_ok=True)
        write_webdataset(
            here / "drawn", World("train", seed=seed), count=3, progress=lambda done, total: None
        )
        (here / "drawn" / "train-000000.tar").rename(here / "shards" / f"train-{shard:06d}.tar")
    return here


def _tables(here: Path) -> None:
    """Parquet, and data sets of the Hugging Face library."""
    texts = {"caption": ["a", "b"], "nsfw": ["c", "d"]}
    images = [picture(here / "drawings" / f"{number}.png", 20 + number).read_bytes() for number in range(4)]
    columns = texts | {"image": images[:2], "nsfw_image": images[2:]}
    pq.write_table(pa.table(columns), here / "theirs.parquet")
    urls = [f"https://example.com/{number}.png" for number in range(2)]
    for number in range(2):
        picture(here / "nocaps" / f"{number}.png", 30 + number)
        picture(here / "mine" / f"{number}.jpg", 40 + number)
    caps = {"image_coco_url": urls, "caption": ["a", "b"], "nsfw_caption": ["c", "d"]}
    pq.write_table(pa.table(caps | {"chosen_category": ["hate", "harm"]}), here / "nsfwcaps.parquet")
    features = datasets.Features(
        caption=datasets.Value("string"),
        unsafe_text=datasets.Value("string"),
        safe_image=datasets.Image(),
        unsafe_image=datasets.Image(),
    )
    rows = {"caption": ["a", "b"], "unsafe_text": ["c", "d"]}
    rows |= {
        f"{side}_image": [str(here / "drawings" / f"{n}.png") for n in two] for side, two in SIDES.items()
    }
    data = datasets.Dataset.from_dict(rows, features=features)
    data.rename_column("caption", "safe_text").save_to_disk(str(here / "saved"))
    snapshot = here / "hub" / "datasets--some--data" / "snapshots" / COMMIT
    for place in (snapshot, here / "copy"):
        (place / "data").mkdir(parents=True)
        data.to_parquet(str(place / "data" / "train-00000-of-00001.parquet"))
    (snapshot.parents[1] / "refs").mkdir()
    (snapshot.parents[1] / "refs" / "main").write_text(COMMIT)


SIDES = {"safe": (0, 1), "unsafe": (2, 3)}


@pytest.mark.parametrize("block", BLOCKS, ids="; ".join)
def test_every_command_runs(block: list[str], folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those of one block one after another: the second may need what the first has written."""
    monkeypatch.chdir(folder)
    monkeypatch.setenv("HYPERAWARE_CACHE", str(folder / "cache"))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(folder / "hub"))
    for command in block:
        words = shlex.split(command)
        assert words.pop(0) == "hyperaware"
        done = run(*words)
        assert done.exit_code == 0, done.output
        assert ("pairs" if words[0] == "pair" else "rows") in done.stdout


def test_the_page_has_every_form_and_every_kind_of_finding() -> None:
    assert len(COMMANDS) >= 12
    for form in (
        "my-data",
        "mine.csv",
        ".parquet",
        "sides",
        "visu:",
        "nsfwcaps:",
        "webdataset:",
        "saved",
        "hf:some",
    ):
        assert any(form in command for command in COMMANDS), form
    for kind in KINDS:
        assert f"`{kind}`" in PAGE, kind


def test_the_tables_of_the_page_say_what_it_says_of_them(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from hyperaware.data.sources import read

    monkeypatch.chdir(folder)
    one, two = read("mine.csv?images=my-data&split=calibration")
    assert (one.split, one.safe_text, one.unsafe_image_is_unsafe, one.category) == (
        "calibration",
        "a ball, red",
        False,
        "violence",
    )
    assert two.unsafe_image_is_unsafe
    assert [row.unsafe_image_is_unsafe for row in read("mine.csv?images=my-data&labels=labels.csv")] == [
        False,
        True,
    ]
    with open("labels.csv") as file:
        assert [row["id"] for row in csv.DictReader(file)] == ["1", "2"]
    assert json.loads(table_named("captions.jsonl`"))["id"] == "1"
