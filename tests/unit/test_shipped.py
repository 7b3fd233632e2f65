"""The models inside the package: whole, small, and able to judge."""

import hashlib
import shutil
from pathlib import Path

import pytest

import hyperaware
from hyperaware.errors import ModelError
from hyperaware.models import pretrained
from hyperaware.models.pretrained import DEFAULT, SHIPPED, load, shipped_folder
from hyperaware.moderation import bounds, calibration
from hyperaware.moderation.categories import CalibratedScorer
from hyperaware.moderation.concepts import Concepts, Scorer
from hyperaware.world import CATEGORIES

HYPERBOLIC = ("world-hysac", "world-hysac-ordered")
FILES = {"config.json", "model.safetensors", "tokenizer.json", "README.md", "SHA256SUMS"}


def test_three_models_are_shipped_and_one_is_the_default() -> None:
    assert ("world", *HYPERBOLIC) == SHIPPED
    assert DEFAULT in HYPERBOLIC
    found = {path.name for path in shipped_folder("world").parent.iterdir() if path.is_dir()}
    assert found == set(SHIPPED)


@pytest.mark.parametrize("name", SHIPPED)
def test_each_is_loaded_and_encodes(name: str) -> None:
    model = hyperaware.load(name)
    assert model.name == name
    assert model.space.name == ("lorentz" if name in HYPERBOLIC else "sphere")
    assert model.encode_text(["a rabbit in the snow", "an axe"]).isfinite().all()
    assert 600_000 <= sum(parameter.numel() for parameter in model.parameters()) <= 2_000_000
    assert model.provenance["recipe"] == name


@pytest.mark.parametrize("name", SHIPPED)
def test_each_folder_is_whole_and_every_file_in_it_is_checked(name: str) -> None:
    folder = shipped_folder(name)
    files = {path.name for path in folder.iterdir()}
    assert files == FILES | ({"bounds.json", "calibration.json"} if name in HYPERBOLIC else set())
    sums = dict(line.split("  ")[::-1] for line in (folder / "SHA256SUMS").read_text().splitlines())
    assert sums.keys() == files - {"SHA256SUMS"}
    for file, expected in sums.items():
        assert hashlib.sha256((folder / file).read_bytes()).hexdigest() == expected, file


def test_together_they_are_small() -> None:
    files = [path for path in shipped_folder("world").parent.rglob("*") if path.is_file()]
    assert len(files) >= 16
    assert sum(path.stat().st_size for path in files) < 12_000_000


@pytest.mark.parametrize("name", SHIPPED)
@pytest.mark.parametrize("file", ["model.safetensors", "config.json", "tokenizer.json"])
def test_a_flipped_byte_is_noticed(
    file: str, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(shipped_folder(name), tmp_path / name)
    path = tmp_path / name / file
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(bytes(content))
    monkeypatch.setattr(pretrained, "shipped_folder", lambda name: tmp_path / name)
    with pytest.raises(ModelError, match=rf"{file} is missing or damaged"):
        load(name)


@pytest.mark.parametrize("name", HYPERBOLIC)
def test_the_bounds_are_of_this_model(name: str) -> None:
    model = load(name)
    found = bounds.load(shipped_folder(name), model_fingerprint=model.fingerprint)
    assert found.split == "calibration"
    assert found.unsafe_text.n >= 500
    for modality in bounds.MODALITIES:
        safe, unsafe = (getattr(found, f"{safety}_{modality}") for safety in ("safe", "unsafe"))
        assert safe.median < found.limit[modality] < unsafe.median
        assert safe.median < found.trigger[modality] <= unsafe.median


@pytest.mark.parametrize("name", HYPERBOLIC)
def test_the_calibration_speaks_of_these_bounds(name: str) -> None:
    folder, model = shipped_folder(name), load(name)
    own = bounds.load(folder, model_fingerprint=model.fingerprint)
    found = calibration.load(folder, bounds=own)
    assert found is not None
    assert (folder / calibration.FILE_NAME).stat().st_size < 50_000
    assert found.data_fingerprint == own.data_fingerprint
    categories = CalibratedScorer(Scorer(model, Concepts.of(model)), found).categories
    assert categories == set(CATEGORIES), "the prompts were edited: calibrate the shipped models again"
    for modality in bounds.MODALITIES:
        promise = found.of(modality).thresholds.false_positive
        assert promise.low < 0.05 < promise.high
        assert set(found.of(modality).domains) == {"dual-use"}
        assert found.probability(own.limit[modality], modality=modality) < 0.05
        assert found.probability(getattr(own, f"unsafe_{modality}").median, modality=modality) > 0.95


def test_the_default_orders_the_four_classes() -> None:
    found = bounds.load(shipped_folder(DEFAULT))
    medians = [
        getattr(found, name).median for name in ("safe_text", "safe_image", "unsafe_text", "unsafe_image")
    ]
    assert medians == sorted(medians)


@pytest.mark.parametrize("name", SHIPPED)
def test_the_card_says_what_the_model_is_not_for(name: str) -> None:
    card = (shipped_folder(name) / "README.md").read_text()
    assert card.startswith("---\n")
    assert "What it is not for" in card
    assert "world-hysac-ordered" not in card or name == "world-hysac-ordered"
    assert f'load("{name}")' in card
