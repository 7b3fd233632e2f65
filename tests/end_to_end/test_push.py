"""Models pushed to a hub on this machine by the Hub's own client, and loaded from there again."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from command_line import document, run
from hub_server import Hub, hub_of
from hub_uploads import TOKEN, Uploads, uploads_handler
from huggingface_hub import ModelCard, constants
from published_samples import CLIP_PREPROCESSOR, tiny_clip, write_tokenizer, write_transformers

from hyperaware.catalogue import own_bounds
from hyperaware.cli.export import Format
from hyperaware.errors import ConfigError
from hyperaware.export.formats import FORMATS
from hyperaware.export.upload import push
from hyperaware.models.pretrained import load, save

pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")
"""Of the Hub's client, about its own way to send a file."""
MODEL, NAME = "world-hysac-ordered", "hf:my-name/my-model"


@pytest.fixture
def uploads(tmp_path: Path) -> Uploads:
    return Uploads(tmp_path / "hub")


@pytest.fixture
def hub(uploads: Uploads, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """A hub that takes uploads, and a machine with empty caches whose only hub it is, logged in."""
    with hub_of({}, handler=uploads_handler(uploads)) as running:
        monkeypatch.setattr(constants, "ENDPOINT", running.url)
        template = running.url + "/{repo_id}/resolve/{revision}/{filename}"
        monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hf"))
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
        monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
        monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "token"))
        monkeypatch.setenv("HF_TOKEN", TOKEN)
        monkeypatch.setenv("HYPERAWARE_CACHE", str(tmp_path / "hyperaware"))
        yield running


@pytest.fixture(scope="module")
def run_record(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Figures of the model on a few rows, as `evaluate` records them."""
    path = tmp_path_factory.mktemp("run") / "figures.json"
    words = ["--data", "world:test", "--count", 12, "--out", path, "--world", path.parent]
    done = run("evaluate", MODEL, *words)
    assert done.exit_code == 0, done.output
    return path


def test_a_pushed_model_can_be_loaded_by_its_name(
    hub: Hub, uploads: Uploads, run_record: Path, tmp_path: Path
) -> None:
    done = document("push", MODEL, NAME, "--figures", run_record)
    assert done["url"].startswith(f"{hub.url}/my-name/my-model/commit/")
    assert uploads.visibility == {"my-name/my-model": "private"}
    assert len(uploads.commits) == 1
    again = load(NAME, download=True)
    model = load(MODEL)
    assert again.fingerprint == model.fingerprint
    assert own_bounds(again) == own_bounds(model)
    assert again.provenance == model.provenance

    card = ModelCard(uploads.checked[0])
    assert card.data.license == "apache-2.0"
    assert card.data.library_name == "hyperaware"
    assert card.data.pipeline_tag == "zero-shot-image-classification"
    figures = json.loads(run_record.read_text())["figures"]
    results = {each.metric_type: each for each in card.data.eval_results}
    key = "redirect/unsafe_text->safe_image+unsafe_image/redirected/harmful_top1"
    assert results[key].metric_value == figures[key]
    assert results[key].dataset_name == "world:test, 12 rows"
    for said in (
        "## What it is for",
        "never for moderating what people upload",
        "arXiv 2503.12127",
        "12 rows of world:test",
        'ha.load("hf:my-name/my-model", download=True)',
        "A new safe text lies above 0.2676 with probability at most 5 %",
    ):
        assert said in card.text


def test_a_second_push_goes_into_the_same_repository(hub: Hub, uploads: Uploads) -> None:
    assert run("push", MODEL, NAME, "--public").exit_code == 0
    assert run("push", "world", NAME).exit_code == 0
    assert uploads.visibility == {"my-name/my-model": "public"}  # as it was made
    assert len(uploads.commits) == 2
    assert load(NAME, download=True).name == "world"


def test_a_dry_run_writes_the_folder_and_asks_nobody(
    hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("HF_TOKEN")
    done = document("push", MODEL, NAME, "--dry-run", "--out", tmp_path / "staged")
    assert done["url"] is None
    there = {path.name for path in (tmp_path / "staged").iterdir()}
    assert set(done["files"]) == there
    assert there == {
        *("README.md", "config.json", "tokenizer.json", "model.safetensors"),
        *("bounds.json", "calibration.json"),
    }
    assert load(tmp_path / "staged").fingerprint == load(MODEL).fingerprint
    assert hub.asked == []
    assert "--out" in run("push", MODEL, NAME, "--dry-run").stderr
    printed = run("push", "world", NAME, "--dry-run", "--out", tmp_path / "other").stdout
    assert "Would be uploaded to hf:my-name/my-model, private if it is new, licence apache-2.0" in printed


def test_another_format_can_be_pushed(hub: Hub, uploads: Uploads) -> None:
    assert run("push", "world", NAME, "--format", "clip").exit_code == 0
    card = ModelCard(uploads.checked[0])
    assert card.data.library_name == "transformers"
    assert load(NAME, download=True).encode_text(["a rabbit"]).shape == (1, 128)


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        ([MODEL, "my-name/my-model"], 2, "expected hf:ORG/NAME"),
        ([MODEL, "hf:my-name/my-model@main"], 2, "expected hf:ORG/NAME"),
        ([MODEL, "hf:somebody/else"], 1, "does not let this token write to hf:somebody/else (403)"),
        (["nothing", NAME], 2, "no model"),
    ],
    ids=["name", "revision", "other people's", "no model"],
)
def test_what_cannot_be_pushed_says_why(
    words: list[str], code: int, message: str, hub: Hub, uploads: Uploads
) -> None:
    done = run("push", *words)
    assert done.exit_code == code
    assert message in done.stderr
    assert uploads.commits == []


def test_without_a_token_it_says_how_to_get_one(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HF_TOKEN")
    done = run("push", MODEL, NAME)
    assert done.exit_code == 2
    assert "hf auth login" in done.stderr
    assert hub.asked == []
    monkeypatch.setenv("HF_TOKEN", "hf_another")
    done = run("push", MODEL, NAME)
    assert done.exit_code == 1
    assert "does not let this token write" in done.stderr


def test_offline_is_offline(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    done = run("push", MODEL, NAME)
    assert done.exit_code == 2
    assert "HF_HUB_OFFLINE is set" in done.stderr


# -- licences ----------------------------------------------------------------------------------------------


def published(folder: Path, card: str) -> Path:
    write_transformers(folder, tiny_clip(), preprocessor=CLIP_PREPROCESSOR)
    write_tokenizer(folder)
    (folder / "README.md").write_text(card)
    return folder


def test_non_commercial_weights_keep_their_licence(hub: Hub, uploads: Uploads, tmp_path: Path) -> None:
    base = published(tmp_path / "base", "---\nlicense: cc-by-nc-4.0\n---\n")
    refused = run("push", base, NAME, "--license", "apache-2.0")
    assert refused.exit_code == 2
    assert "cannot be published under apache-2.0" in refused.stderr
    assert hub.asked == []
    assert run("push", base, NAME).exit_code == 0
    card = ModelCard(uploads.checked[0])
    assert card.data.license == "cc-by-nc-4.0"
    assert "**It forbids commercial use.**" in card.text


def test_what_was_trained_from_them_keeps_it_too(
    hub: Hub, workplace: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A toy model under a non-commercial licence, fine-tuned on the embedded world."""
    base = load(workplace / "model")
    base.provenance |= {"license": "cc-by-nc-4.0"}
    save(base, tmp_path / "base")
    recipe = (workplace / "toy.toml").read_text().replace("steps = 4", "steps = 2")
    (tmp_path / "toy.toml").write_text(recipe)
    words = ["--base", tmp_path / "base", "--world", workplace / "world"]
    done = run("train", tmp_path / "toy.toml", "--out", tmp_path / "trained", *words)
    assert done.exit_code == 0, done.output
    assert load(tmp_path / "trained").provenance["license"] == "cc-by-nc-4.0"
    assert "license: cc-by-nc-4.0" in (tmp_path / "trained" / "README.md").read_text()
    refused = run("push", tmp_path / "trained", NAME, "--license", "mit")
    assert refused.exit_code == 2
    assert "cannot be published under mit" in refused.stderr


def test_an_unknown_licence_must_be_named(hub: Hub, uploads: Uploads, tmp_path: Path) -> None:
    base = published(tmp_path / "base", "# No head\n")
    done = run("push", base, NAME)
    assert done.exit_code == 2
    assert "Name it with --license" in done.stderr
    assert run("push", base, NAME, "--license", "my-own-terms").exit_code == 0
    card = ModelCard(uploads.checked[0])
    assert (card.data.license, card.data.license_name) == ("other", "my-own-terms")


# -- figures -----------------------------------------------------------------------------------------------


def test_figures_of_other_weights_are_refused(run_record: Path, tmp_path: Path) -> None:
    done = run("export", "world", "--format", "clip", "--out", tmp_path / "out", "--figures", run_record)
    assert done.exit_code == 2
    assert "has figures of the model" in done.stderr
    (tmp_path / "no-run.json").write_text("{}")
    words = ["--format", "clip", "--out", tmp_path / "out", "--figures", tmp_path / "no-run.json"]
    assert run("export", "world", *words).exit_code == 1


def test_figures_beside_the_model_are_taken_if_they_are_its_own(run_record: Path, tmp_path: Path) -> None:
    own, other = load(MODEL), load("world")
    for model in (own, other):
        save(model, tmp_path / model.name)
        (tmp_path / model.name / "figures.json").write_bytes(run_record.read_bytes())
    for name, expected in ((MODEL, True), ("world", False)):
        out = tmp_path / f"{name}-out"
        assert run("export", tmp_path / name, "--format", "safetensors", "--out", out).exit_code == 0
        card = (out / "README.md").read_text()
        assert ("12 rows of world:test" in card) is expected
        assert ("None were recorded for these weights" in card) is not expected


def test_the_command_line_has_every_format(tmp_path: Path) -> None:
    assert {each.value for each in Format} == set(FORMATS)
    with pytest.raises(ConfigError, match="name it with out"):
        push(load("world"), NAME, dry_run=True)
