"""A model as one safetensors file: opened as the model that it was, and by safetensors alone as weights."""

from pathlib import Path

import pytest
import torch
from model_samples import CAPTIONS, tiny_model
from safetensors.torch import load_file, save_file

import hyperaware
from hyperaware.catalogue import own_bounds
from hyperaware.errors import ModelError
from hyperaware.export.facts import judged
from hyperaware.export.folder import export
from hyperaware.models.single_file import unpack


@pytest.fixture(autouse=True)
def _store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HYPERAWARE_CACHE", str(tmp_path / "cache"))


def test_the_file_is_the_whole_model(tmp_path: Path) -> None:
    model = hyperaware.load("world-hysac-ordered")
    export(model, format="safetensors", out=tmp_path / "out")
    file = (tmp_path / "out" / "world-hysac-ordered.safetensors").rename(tmp_path / "elsewhere.safetensors")
    again = hyperaware.load(file)
    assert (again.name, again.fingerprint) == (model.name, model.fingerprint)
    assert again.space == model.space
    assert own_bounds(again) == own_bounds(model)  # so it can judge
    assert judged(again) == judged(model)  # the calibration, too
    assert None not in judged(again)
    weights = load_file(file)
    assert weights.keys() == model.state_dict().keys()
    file.unlink()
    assert again.folder is not None
    assert hyperaware.load(again.folder).fingerprint == model.fingerprint  # as an index refers to it


def test_a_model_without_bounds_has_none(tmp_path: Path) -> None:
    model = tiny_model(lorentz=True)
    model.name = "org/mine"
    written = export(model, format="safetensors", out=tmp_path / "out")
    assert set(written.files) == {"README.md", "org--mine.safetensors"}
    again = hyperaware.load(tmp_path / "out" / "org--mine.safetensors")
    assert torch.equal(again.encode_text(CAPTIONS), model.encode_text(CAPTIONS))
    assert again.folder is not None
    assert not (again.folder / "bounds.json").exists()


def test_another_file_of_the_same_name_is_another_model(tmp_path: Path) -> None:
    first, second = (tiny_model(seed=seed) for seed in (0, 1))
    names = {}
    for model, folder in ((first, "a"), (second, "b")):
        export(model, format="safetensors", out=tmp_path / folder)
        names[model.fingerprint] = hyperaware.load(tmp_path / folder / "unnamed.safetensors").fingerprint
    assert list(names) == list(names.values())
    assert first.fingerprint != second.fingerprint


def test_it_is_unpacked_once(tmp_path: Path) -> None:
    export(tiny_model(), format="safetensors", out=tmp_path / "out")
    file = tmp_path / "out" / "unnamed.safetensors"
    folder = unpack(file)
    before = (folder / "model.safetensors").stat().st_mtime_ns
    assert unpack(file) == folder
    assert (folder / "model.safetensors").stat().st_mtime_ns == before


def test_weights_alone_and_damaged_files_are_refused(tmp_path: Path) -> None:
    save_file(tiny_model().state_dict(), tmp_path / "weights.safetensors", metadata={"format": "pt"})
    with pytest.raises(ModelError, match=r"without config.json and tokenizer.json in its metadata"):
        hyperaware.load(tmp_path / "weights.safetensors")
    export(tiny_model(), format="safetensors", out=tmp_path / "out")
    whole = (tmp_path / "out" / "unnamed.safetensors").read_bytes()
    for length in (0, 100, len(whole) // 2):
        (tmp_path / "cut.safetensors").write_bytes(whole[:length])
        with pytest.raises(ModelError, match="not a readable safetensors file"):
            hyperaware.load(tmp_path / "cut.safetensors")
