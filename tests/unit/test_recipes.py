"""Recipes: what is wrong with one is said before any work, and a run ends in a model that can judge."""

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from model_samples import TINY, random_rows

from hyperaware.errors import ConfigError, DataError
from hyperaware.evaluation import crops
from hyperaware.media.images import decode
from hyperaware.models.dual_encoder import DualEncoder
from hyperaware.models.pretrained import load
from hyperaware.moderation import bounds
from hyperaware.recipes import RECIPES, Recipe, Slice, changed, measure_bounds, read_recipe, rows_of, run
from hyperaware.training.loop import Result
from hyperaware.training.settings import Settings
from hyperaware.world import export

RECIPE = """
name = "tiny"
method = "hysac"
[settings]
lora_rank = "none"
start_norm = 0.5
[towers]
vision_width = 8
[training]
steps = 3
batch_size = 4
evaluate_every = 2
schedule = "cosine"
[data.train]
split = "train"
count = 8
[data.validation]
split = "validation"
count = 6
[data.calibration]
folder = "mine"
"""


@pytest.fixture
def written(tmp_path: Path) -> Callable[..., Recipe]:
    """Reads RECIPE with replacements."""

    def write(*replacements: tuple[str, str]) -> Recipe:
        text = RECIPE
        for old, new in replacements:
            assert text.count(old) == 1, old
            text = text.replace(old, new)
        (tmp_path / "tiny.toml").write_text(text)
        return read_recipe(str(tmp_path / "tiny.toml"))

    return write


# -- reading ---------------------------------------------------------------------------------------------


def test_the_shipped_recipes_are_these() -> None:
    fine_tuned = (
        "euclidean-hysac",
        "hycoclip",
        "hysac",
        "hysac-ordered",
        "meru",
        "safe-clip",
        "safer-clip",
        "shield-clip",
    )
    assert set(RECIPES) == {"world", *(f"world-{name}" for name in fine_tuned)}


@pytest.mark.parametrize("name", RECIPES)
def test_each_shipped_recipe_can_be_read(name: str) -> None:
    recipe = read_recipe(name)
    assert recipe.name == name
    assert recipe.train.split == ("pretrain" if name == "world" else "train")
    assert (recipe.validation.split, recipe.calibration.split) == ("validation", "calibration")
    assert recipe.base == (None if name == "world" else "world")
    for part in (recipe.train, recipe.validation, recipe.calibration):
        assert part.folder is None
        assert part.count is not None


def test_the_faithful_recipe_has_the_papers_terms_only() -> None:
    assert "radial_order" not in read_recipe("world-hysac").settings
    assert read_recipe("world-hysac-ordered").settings["radial_order"] > 0


def test_a_recipe_of_ones_own_is_read_from_its_file(written: Callable[..., Recipe]) -> None:
    recipe = written()
    assert (recipe.name, recipe.method, recipe.base) == ("tiny", "hysac", None)
    assert recipe.settings == {"lora_rank": "none", "start_norm": 0.5}
    assert recipe.training == Settings(steps=3, batch_size=4, evaluate_every=2, schedule="cosine")
    assert recipe.train == Slice(split="train", count=8)
    assert recipe.calibration == Slice(split="calibration", folder="mine")
    assert recipe.towers.vision_width == 8


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("[towers]", "[tower]", r"key of recipe .*tiny\.toml is called 'tower'\. Did you mean 'towers'\?"),
        ('method = "hysac"', 'method = "hysak"', r"no method is called 'hysak'\. Did you mean 'hysac'\?"),
        ('method = "hysac"', "", r"tiny\.toml names no method\. Known: clip, hysac"),
        (
            "start_norm",
            "start_nrom",
            r"setting of HySAC is called 'start_nrom'\. Did you mean 'start_norm'\?",
        ),
        ("start_norm = 0.5", 'start_norm = "half"', r"start_norm='half' is not of the expected type"),
        ("batch_size = 4", "batchsize = 4", r"setting of Settings is called 'batchsize'\. .*'batch_size'"),
        ("batch_size = 4", "batch_size = 1", r"batch_size=1: a contrastive loss needs negatives"),
        ('schedule = "cosine"', 'schedule = "linear"', r"schedule='linear' is not of the expected type"),
        ("vision_width = 8", "vision_widht = 8", r"setting of Towers .*'vision_width'"),
        ("[data.train]", "[data.trian]", r"part of \[data\] in .*'trian'\. Did you mean 'train'\?"),
        ("count = 6", "cuont = 6", r"setting of Slice is called 'cuont'\. Did you mean 'count'\?"),
        ('[data.calibration]\nfolder = "mine"', "", r"tiny\.toml has no \[data\.calibration\]"),
        ('name = "tiny"', "name = tiny", r"tiny\.toml is not TOML"),
    ],
)
def test_a_recipe_that_is_wrong_says_where(
    old: str, new: str, message: str, written: Callable[..., Recipe]
) -> None:
    with pytest.raises(ConfigError, match=message):
        written((old, new))


def test_an_unknown_recipe_suggests_the_spelling() -> None:
    with pytest.raises(ConfigError, match=r"'world-hysack'\. Did you mean 'world-hysac'\?"):
        read_recipe("world-hysack")


# -- changing --------------------------------------------------------------------------------------------


def test_changes_go_to_the_method_or_to_the_loop(written: Callable[..., Recipe]) -> None:
    recipe = written()
    new = changed(recipe, {"radial_order": "0.5", "start_norm": "none", "training.steps": "7"})
    assert new.settings == {"lora_rank": None, "start_norm": None, "radial_order": 0.5}
    assert new.training == dataclasses.replace(recipe.training, steps=7)
    assert dataclasses.replace(new, settings=recipe.settings, training=recipe.training) == recipe
    assert recipe.settings["start_norm"] == 0.5  # the original is as it was


def test_no_change_keeps_what_the_recipe_means(written: Callable[..., Recipe]) -> None:
    recipe = written()
    assert changed(recipe, {}) == dataclasses.replace(recipe, settings={"lora_rank": None, "start_norm": 0.5})


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("radial_oder", "1", r"setting of HySAC .*'radial_order'"),
        ("training.step", "1", r"setting of Settings .*'steps'"),
        ("steps", "1", r"setting of HySAC is called 'steps'"),
        ("radial_order", "much", r"radial_order='much' is not of the expected type"),
        ("training.steps", "0", r"steps=0: expected at least 1"),
    ],
)
def test_a_wrong_change_is_refused(
    key: str, value: str, message: str, written: Callable[..., Recipe]
) -> None:
    with pytest.raises(ConfigError, match=message):
        changed(written(), {key: value})


# -- running ---------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("world")


def tiny(**changes: Any) -> Recipe:
    recipe = Recipe(
        name="tiny",
        method="hysac",
        settings={"lora_rank": "none", "start_norm": 0.5},
        training=Settings(steps=4, batch_size=4, evaluate_every=2),
        train=Slice(split="train", count=8),
        validation=Slice(split="validation", count=6),
        calibration=Slice(split="calibration", count=50),
        towers=dataclasses.replace(TINY, context_length=40),
    )
    return dataclasses.replace(recipe, **changes)


@pytest.fixture(scope="module")
def finished(world: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Result]:
    folder = tmp_path_factory.mktemp("finished")
    made = run(tiny(), folder=folder, world=world, seed=3)
    assert made.failed == {}
    return folder, made.result


def test_a_run_ends_in_a_model_and_its_bounds(finished: tuple[Path, Result]) -> None:
    folder, result = finished
    model = load(folder)
    assert result.step == 4
    assert model.name == "tiny"
    found = bounds.load(folder, model_fingerprint=model.fingerprint)
    assert found.split == "calibration"
    assert found.unsafe_text.n == found.safe_image.n == 50
    assert (folder / "log.jsonl").is_file()


def test_the_model_says_how_it_was_made(finished: tuple[Path, Result]) -> None:
    made = json.loads((finished[0] / "config.json").read_text())["provenance"]
    assert made["recipe"] == "tiny"
    assert made["method"] == "hysac"
    assert made["seed"] == 3
    assert made["settings"] == {"lora_rank": "none", "start_norm": 0.5}
    assert len(made["data"]) == 64


def test_the_same_recipe_and_seed_give_the_same_model(
    finished: tuple[Path, Result], world: Path, tmp_path: Path
) -> None:
    run(tiny(), folder=tmp_path / "same", world=world, seed=3)
    run(tiny(), folder=tmp_path / "other", world=world, seed=4)
    prints = [load(folder).fingerprint for folder in (finished[0], tmp_path / "same", tmp_path / "other")]
    assert prints[0] == prints[1] != prints[2]


def test_a_run_that_was_interrupted_goes_on(
    finished: tuple[Path, Result], world: Path, tmp_path: Path
) -> None:
    def stop(line: dict[str, Any]) -> None:
        if line.get("split") == "validation" and line["step"] == 4:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(tiny(), folder=tmp_path, world=world, seed=3, report=stop)
    assert not (tmp_path / "bounds.json").exists()
    steps: list[int] = []
    run(tiny(), folder=tmp_path, world=world, seed=3, report=lambda line: steps.append(line["step"]))
    assert min(steps) == 2 or steps == [4]  # from the checkpoint after step 2, not from the start
    assert load(tmp_path).fingerprint == load(finished[0]).fingerprint
    assert (tmp_path / "bounds.json").read_bytes() == (finished[0] / "bounds.json").read_bytes()


def test_what_comes_before_training_reports_progress(world: Path, tmp_path: Path) -> None:
    told: list[tuple[str, int, int]] = []
    recipe = tiny(training=Settings(steps=1, batch_size=4, log_every=1))
    lines: list[dict[str, Any]] = []
    run(
        recipe,
        folder=tmp_path,
        world=world,
        report=lines.append,
        progress=lambda what, done, total: told.append((what, done, total)),
    )
    assert {what for what, _, _ in told} == {"draw train", "draw validation", "draw calibration", "read"}
    assert ("read", 16, 16) in told
    assert [line["step"] for line in lines] == [0, 1]


def test_a_model_without_a_root_has_no_bounds(world: Path, tmp_path: Path) -> None:
    run(tiny(method="clip", settings={}), folder=tmp_path, world=world)
    assert load(tmp_path).space.name == "sphere"
    assert not (tmp_path / "bounds.json").exists()


def test_a_recipe_starts_from_another_model(
    finished: tuple[Path, Result], world: Path, tmp_path: Path
) -> None:
    base = finished[0]
    settings = {"lora_rank": 2, "start_norm": 0.5, "learning_rate": 0.0}
    run(tiny(base=str(base), settings=settings), folder=tmp_path, world=world)
    started, model = load(base), load(tmp_path)
    made = model.provenance
    assert (made["base"], made["base_fingerprint"]) == (str(base), started.fingerprint)
    ids, mask = started.tokenizer(["a rabbit in the snow"])
    with torch.no_grad():
        ours, theirs = model.features_of_tokens(ids, mask), started.features_of_tokens(ids, mask)
    torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-5)


def test_rows_may_come_from_a_folder_of_ones_own(world: Path, tmp_path: Path) -> None:
    mine = world / "train-0-8"
    if not mine.is_dir():
        run(tiny(training=Settings(steps=1, batch_size=4)), folder=tmp_path / "first", world=world)
    recipe = tiny(
        train=Slice(split="train", folder=str(mine), count=6), training=Settings(steps=1, batch_size=4)
    )
    run(recipe, folder=tmp_path / "second", world=world)
    assert (tmp_path / "second" / "bounds.json").is_file()


@pytest.mark.parametrize("part", ["train", "validation", "calibration"])
def test_a_row_with_a_bad_picture_is_left_out_and_named(part: str, tmp_path: Path) -> None:
    data = {name: tmp_path / name for name in ("train", "validation", "calibration")}
    for name, folder in data.items():
        rows = export(folder, count=60, split=name)
        if name == part:
            bad = rows[3].unsafe_image
            bad.write_bytes(bad.read_bytes()[:200])
    slices = {name: Slice(split=name, folder=str(folder)) for name, folder in data.items()}
    recipe = tiny(training=Settings(steps=1, batch_size=4), **slices)
    made = run(recipe, folder=tmp_path / "model", world=tmp_path)
    assert made.failed.keys() == {str(bad)}
    assert made.failed[str(bad)].startswith("the file ends before the picture does")
    found = bounds.load(tmp_path / "model")
    assert found.unsafe_image.n == (59 if part == "calibration" else 60)


def test_what_would_end_a_run_later_ends_it_before_any_work(world: Path, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    started: list[str] = []
    given = {"world": world, "progress": lambda what, done, total: started.append(what)}
    for folder in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(ConfigError, match=r"cannot be written: .*file is no folder that may be"):
            run(tiny(), folder=folder, **given)
    with pytest.raises(ConfigError, match="seed=-1"):
        run(tiny(), folder=tmp_path / "new", seed=-1, **given)
    assert started == []
    assert not (tmp_path / "new").exists()


def test_a_caption_that_no_bounds_can_be_measured_on_is_told_before_the_training(tmp_path: Path) -> None:
    data = {name: tmp_path / name for name in ("train", "validation", "calibration")}
    for name, folder in data.items():
        export(folder, count=60, split=name)
    captions = data["calibration"] / "captions.jsonl"
    first, *others = captions.read_text().splitlines()
    endless = json.loads(first) | {"unsafe_text": "a man with a gun " * 3000}
    captions.write_text("\n".join([json.dumps(endless), *others]))
    slices = {name: Slice(split=name, folder=str(folder)) for name, folder in data.items()}
    recipe = tiny(training=Settings(steps=1, batch_size=4), **slices)
    with pytest.raises(DataError, match=f"unsafe_text of row '{endless['id']}': .*256 windows"):
        run(recipe, folder=tmp_path / "model", world=tmp_path)
    assert not (tmp_path / "model" / "log.jsonl").exists()


def test_pictures_are_read_once_and_bounds_are_of_those(
    world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    decoded: list[Path] = []

    def noted(path: Path) -> Any:
        decoded.append(path)
        return decode(path)

    monkeypatch.setattr(crops, "decode", noted)
    run(tiny(), folder=tmp_path / "run", world=world)
    assert len(decoded) == len(set(decoded)) > 0
    rows = {part: rows_of(getattr(tiny(), part), world) for part in ("calibration", "validation")}
    model = load(tmp_path / "run")
    assert bounds.load(tmp_path / "run") == measure_bounds(model, **rows)


def test_a_slice_of_the_world_needs_a_count(world: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"slice 'train' of the embedded world needs a count"):
        run(tiny(train=Slice(split="train")), folder=tmp_path, world=world)


def test_bounds_are_never_measured_on_a_part_of_the_rows(
    finished: tuple[Path, Result], tmp_path: Path
) -> None:
    model: DualEncoder = load(finished[0])
    rows = random_rows(tmp_path, 50, split="calibration")
    rows[7].unsafe_image.write_bytes(b"no picture")
    with pytest.raises(DataError, match=r"1 rows or pictures cannot be used: .*7-unsafe\.png"):
        measure_bounds(model, calibration=rows, validation=rows[:5])
