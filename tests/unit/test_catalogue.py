"""An index finds its model again, and refuses where it cannot be sure."""

import json
from pathlib import Path

import pytest
import torch

from hyperaware.catalogue import (
    FILE_NAME,
    open_model,
    open_searcher,
    open_store,
    own_bounds,
    read_reference,
    start_store,
)
from hyperaware.errors import ConfigError, SafetyError, StoreError
from hyperaware.models.dual_encoder import DualEncoder
from hyperaware.models.pretrained import load, save
from hyperaware.training.towers import Towers

TINY = Towers(
    image_size=16,
    vision_width=8,
    vision_layers=1,
    vision_heads=1,
    text_width=8,
    text_layers=1,
    text_heads=1,
    projection=8,
    vocab_size=100,
)


@pytest.fixture
def model(tmp_path: Path) -> DualEncoder:
    """A model in a folder, in Lorentz space, without bounds."""
    made = TINY.build(["a rabbit in the snow"], seed=0)
    made.use_lorentz(alpha_image=0.5, alpha_text=0.5)
    made.name = "tiny"
    save(made, tmp_path / "model")
    return load(tmp_path / "model")


def test_an_index_refers_to_its_model_by_folder_and_fingerprint(model: DualEncoder, tmp_path: Path) -> None:
    with start_store(tmp_path / "index", model):
        pass
    reference = read_reference(tmp_path / "index")
    assert reference.model == str((tmp_path / "model").resolve())
    assert reference.fingerprint == model.fingerprint
    assert open_model(tmp_path / "index").fingerprint == model.fingerprint
    with open_store(tmp_path / "index") as store:
        assert store.count == 0
        assert store.model_fingerprint == model.fingerprint


def test_a_shipped_model_is_referred_to_by_name(tmp_path: Path) -> None:
    world = load("world")
    with start_store(tmp_path, world):
        pass
    assert read_reference(tmp_path).model == "world"


def test_a_model_that_was_never_saved_is_refused(tmp_path: Path) -> None:
    made = TINY.build(["a rabbit"], seed=0)
    with pytest.raises(ConfigError, match="lies in no folder"):
        start_store(tmp_path / "index", made)
    assert not (tmp_path / "index").exists()


def test_no_index_and_a_damaged_reference_are_store_errors(model: DualEncoder, tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=r"has no model.json.*index add"):
        open_store(tmp_path / "none")
    with start_store(tmp_path / "index", model):
        pass
    for damage in ("{", "[]", '{"model": "x"}'):
        (tmp_path / "index" / FILE_NAME).write_text(damage)
        with pytest.raises(StoreError, match="is damaged"):
            read_reference(tmp_path / "index")


def test_a_model_that_was_trained_on_is_refused(model: DualEncoder, tmp_path: Path) -> None:
    with start_store(tmp_path / "index", model):
        pass
    with torch.no_grad():
        next(model.clip.parameters()).add_(0.01)
    save(model, tmp_path / "model")
    with pytest.raises(StoreError, match="cannot be compared"):
        start_store(tmp_path / "index", load(tmp_path / "model"))
    assert json.loads((tmp_path / "index" / FILE_NAME).read_text())["fingerprint"] != model.fingerprint


def test_nothing_is_searched_without_bounds(model: DualEncoder, tmp_path: Path) -> None:
    with start_store(tmp_path / "index", model):
        pass
    with pytest.raises(SafetyError, match="bounds"):
        own_bounds(model)
    with pytest.raises(SafetyError, match="bounds"):
        open_searcher(tmp_path / "index")


def test_a_sphere_has_no_bounds() -> None:
    assert own_bounds(load("world")) is None
