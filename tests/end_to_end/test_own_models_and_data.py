"""A fine-tune of models of others on data in published forms, by the command line from beginning to end.

The models are folders as transformers writes them, of other sizes than the shipped one; the data are the
world in ViSU-Text's form and in shards.
"""

from pathlib import Path
from typing import Any

import pytest
from command_line import document, run
from published_samples import (
    CLIP_PREPROCESSOR,
    SIGLIP_PREPROCESSOR,
    tiny_clip,
    tiny_siglip,
    write_siglip_tokenizer,
    write_tokenizer,
    write_transformers,
)
from transformers import CLIPModel

from hyperaware.models.pretrained import load

SETTINGS = ("steps=4", "batch_size=8", "evaluate_every=2", "log_every=1")
VALIDATION = 120
"""Rows, so that half of them bound the rates of the calibration."""
TUNED = ("--set", "start_norm=0.45", "--set", "learning_rate=1e-3")
"""Larger steps than the published ones: four of these move the weights visibly."""
FAST = [word for setting in SETTINGS for word in ("--set", f"training.{setting}")]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The models clip/ and siglip/, and the data visu/ and shards/, written by the command line."""
    folder = tmp_path_factory.mktemp("place")
    larger = {"image_size": 24, "patch_size": 6, "hidden_size": 36, "intermediate_size": 72}
    preprocessor = {**CLIP_PREPROCESSOR, "size": 24, "crop_size": 24}
    write_transformers(folder / "clip", tiny_clip(**larger), preprocessor=preprocessor)
    write_tokenizer(folder / "clip")
    write_transformers(folder / "siglip", tiny_siglip(), preprocessor=SIGLIP_PREPROCESSOR)
    write_siglip_tokenizer(folder / "siglip")
    splits = {"train": 24, "validation": VALIDATION, "test": 12}
    for split, count in splits.items():
        words = ("--split", split, "--count", count, "--size", 24)
        exported(folder / "visu", *words, "--format", "visu")
        exported(folder / "shards", *words, "--format", "webdataset")
    exported(
        folder / "shards", "--split", "calibration", "--count", 60, "--size", 24, "--format", "webdataset"
    )
    return folder


def exported(*words: object) -> None:
    result = run("world", "export", *words)
    assert result.exit_code == 0, result.output
    assert "Read it by --data" in result.stdout


@pytest.fixture(autouse=True)
def cache(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HYPERAWARE_CACHE", str(place / "cache"))


def source(place: Path, form: str) -> str:
    if form == "shards":
        return f"webdataset:{place / 'shards'}"
    visu = place / "visu"
    return f"visu:{visu}?coco={visu / 'coco'}&unsafe={visu / 'unsafe'}&calibration=0.5"


def trained(place: Path, method: str, kind: str, form: str, *more: object) -> Any:
    words = ("train", method, "--base", place / kind, "--data", source(place, form), *FAST, *more)
    return document(*words, "--out", place / f"{method}-{kind}-{form}")


@pytest.mark.parametrize("form", ["visu", "shards"])
@pytest.mark.parametrize("kind", ["clip", "siglip"])
def test_hysac_is_trained_measured_searched_and_judges(kind: str, form: str, place: Path) -> None:
    said = trained(place, "hysac", kind, form, *TUNED)
    assert (said["steps"], said["failed"]) == (4, {})
    made = place / f"hysac-{kind}-{form}"
    base, model = load(place / kind), load(made)
    assert (model.space.name, model.preprocess) == ("lorentz", base.preprocess)
    assert model.provenance["base_fingerprint"] == base.fingerprint
    tower = "text_model.encoder.layers.0.mlp.fc1.weight"
    assert not model.clip.get_parameter(tower).equal(base.clip.get_parameter(tower))

    data = source(place, form)
    measured = document("evaluate", made, "--data", data, "--split", "test")
    assert measured["runs"][0]["rows"] == 12
    assert run("calibrate", made, "--data", data, "--split", "calibration").exit_code == 0

    index, pictures = place / f"index-{kind}-{form}", place / "visu" / "coco"
    added = document("index", "add", index, pictures, "--model", made)
    assert added["counts"]["added"] == 24 + VALIDATION + 12
    found = document("search", index, "a rabbit in the snow", "--role", "researcher", "-k", 3)
    assert len(found["hits"]) == 3
    judged = document("moderate", made, "--text", "a red ball")
    assert judged["results"][0]["score"] > 0


@pytest.mark.parametrize(("kind", "form"), [("clip", "shards"), ("siglip", "visu")])
def test_safe_clip_is_trained_and_searched(kind: str, form: str, place: Path) -> None:
    said = trained(place, "safe-clip", kind, form)
    assert (said["steps"], said["failed"]) == (4, {})
    made = place / f"safe-clip-{kind}-{form}"
    assert load(made).space.name == "sphere"
    assert not (made / "bounds.json").exists()
    measured = document("evaluate", made, "--data", source(place, form), "--split", "test")
    assert measured["runs"][0]["rows"] == 12
    index = place / f"safe-index-{kind}"
    assert document("index", "add", index, place / "visu" / "coco", "--model", made)["counts"]["failed"] == 0
    assert len(document("search", index, "a rabbit", "--role", "researcher")["hits"]) == 10
    assert run("moderate", made, "--text", "a red ball").exit_code != 0  # without a root there is no verdict


def test_a_finished_run_is_found_again(place: Path) -> None:
    """The same rows come out of shards, so the checkpoint is that of the same run."""
    first, again = (trained(place, "hysac", "clip", "shards", *TUNED) for _ in range(2))
    assert first == again


def test_bounds_take_the_rows_of_their_split(place: Path) -> None:
    trained(place, "hysac", "clip", "visu", *TUNED)
    data = source(place, "visu")
    words = ("bounds", place / "hysac-clip-visu", "--calibration", data, "--validation", data)
    assert document(*words)["split"] == "calibration"


@pytest.mark.parametrize(
    "words", [(), ("--base", "clip"), ("--data", "visu"), ("--base", "x", "--validation", "a")]
)
def test_a_method_by_itself_needs_a_base_and_data(words: tuple[str, ...], tmp_path: Path) -> None:
    result = run("train", "hysac", *words, "--out", tmp_path / "none")
    assert result.exit_code == 2
    assert "needs --base MODEL and --data SOURCE" in " ".join(result.stderr.split())
    assert not (tmp_path / "none").exists()


def test_a_floor_that_is_broken_ends_with_its_own_exit_code(
    place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second measurement finds half of what the base model has, and what the first found is kept."""
    from hyperaware.training.guard import RECALL, Guard

    coming = iter([0.8, 0.8, 0.4])
    monkeypatch.setattr(Guard, "measure", lambda *_: {RECALL: next(coming)})
    words = ["train", "hysac", "--base", place / "clip", "--data", source(place, "shards"), *FAST]
    result = run(*words, "--set", "training.min_safe_recall=0.9", "--out", tmp_path / "stopped")
    assert result.exit_code == 5, result.output
    said = " ".join(result.stderr.split())
    assert "Stopped after step 4: utility fell below its floor: safe_recall is 0.4000" in said
    assert "Kept: the weights of step 2" in said
    assert load(tmp_path / "stopped").space.has_root
    assert (tmp_path / "stopped" / "bounds.json").is_file()


def test_trackers_are_named_on_the_command_line(place: Path, tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    refused = run("train", "hysac", "--report-to", "tensorboard,wanddb", "--out", tmp_path / "none")
    assert refused.exit_code == 2
    assert "Did you mean 'wandb'" in refused.stderr
    assert not (tmp_path / "none").exists()
    words = ("train", "hysac", "--base", place / "clip", "--data", source(place, "shards"), *FAST)
    done = run(*words, "--out", tmp_path / "run", "--report-to", "tensorboard")
    assert done.exit_code == 0, done.output
    assert list((tmp_path / "run" / "tensorboard").glob("events.out.*"))


def test_a_saved_result_is_clip_for_others(place: Path) -> None:
    """The towers are those of a plain CLIP: nothing of the adapters is left in the folder."""
    trained(place, "hysac", "clip", "visu", *TUNED)
    model = load(place / "hysac-clip-visu")
    assert isinstance(model.clip, CLIPModel)
    assert not any("lora" in name for name in model.state_dict())


def test_a_split_is_of_a_source(place: Path) -> None:
    refused = run("evaluate", place / "clip", "--data", "world:test", "--split", "test")
    assert refused.exit_code == 2
    assert "names one already" in refused.stderr
    none = run("evaluate", place / "clip", "--data", source(place, "shards"), "--split", "tset")
    assert none.exit_code == 1
    assert "has no row of split 'tset'" in none.stderr
