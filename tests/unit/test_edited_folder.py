"""Edits of saved models: the file after edit and revert, what the folder tells, what is refused."""

import hashlib
import json
from pathlib import Path

import pytest
import torch
from editing_samples import random_pairs
from model_samples import tiny_model

from hyperaware.editing.folder import save_edited, stored_weights
from hyperaware.editing.gradients import GSafeCLIP
from hyperaware.editing.patch import Patch
from hyperaware.editing.uwm import UWM
from hyperaware.errors import ConfigError, ModelError
from hyperaware.models.dual_encoder import DualEncoder
from hyperaware.models.pretrained import load_folder, save


def sha256(folder: Path) -> str:
    return hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest()


def saved(folder: Path, *, dtype: torch.dtype = torch.float32) -> DualEncoder:
    model = tiny_model(lorentz=True)
    model.name, model.provenance = "small", {"recipe": "none", "shipped": True}
    save(model, folder, dtype=dtype)
    (folder / "bounds.json").write_text("{}")
    return load_folder(folder)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
@pytest.mark.parametrize("edit", [UWM(tau=0.1), GSafeCLIP(share=0.05)], ids=["flip", "prune"])
def test_edit_then_revert_gives_the_identical_file(
    tmp_path: Path, dtype: torch.dtype, edit: UWM | GSafeCLIP
) -> None:
    model = saved(tmp_path / "model", dtype=dtype)
    patch = edit.patch(model, [random_pairs(6)])
    edited = save_edited(model, patch, tmp_path / "edited")
    assert edited.fingerprint == patch.model_after != model.fingerprint
    assert sha256(tmp_path / "edited") != sha256(tmp_path / "model")
    reverted = save_edited(load_folder(tmp_path / "edited"), patch, tmp_path / "reverted", back=True)
    assert sha256(tmp_path / "reverted") == sha256(tmp_path / "model")
    assert reverted.fingerprint == model.fingerprint


def test_the_file_differs_in_the_signs_of_the_selected_weights_alone(tmp_path: Path) -> None:
    model = saved(tmp_path / "model")
    patch = UWM(tau=0.1).patch(model, [random_pairs(6)])
    save_edited(model, patch, tmp_path / "edited")
    files = [(tmp_path / name / "model.safetensors").read_bytes() for name in ("model", "edited")]
    different = [one ^ two for one, two in zip(*files, strict=True) if one != two]
    assert different == [0x80] * sum(patch.selected.values())


def test_the_folder_tells_of_the_edit_and_has_no_bounds(tmp_path: Path) -> None:
    model = saved(tmp_path / "model")
    first = UWM(tau=0.1).patch(model, [random_pairs(6)], data="rows")
    once = save_edited(model, first, tmp_path / "once")
    second = UWM(tau=0.2).patch(once, [random_pairs(6)])
    twice = save_edited(once, second, tmp_path / "twice")
    assert (once.name, twice.name) == ("small+uwm", "small+uwm+uwm")
    assert [edit["settings"]["tau"] for edit in twice.provenance["edits"]] == [0.1, 0.2]
    assert once.provenance["edits"][0]["fingerprint"] == model.fingerprint
    assert "shipped" not in once.provenance
    assert not (tmp_path / "once" / "bounds.json").exists()
    assert "+uwm" in (tmp_path / "once" / "README.md").read_text()
    assert sorted(path.name for path in (tmp_path / "once").iterdir()) == [
        "README.md",
        "config.json",
        "model.safetensors",
        "tokenizer.json",
    ]
    back = save_edited(twice, second, tmp_path / "back", back=True)
    assert (back.name, back.provenance) == (once.name, once.provenance)
    original = save_edited(back, first, tmp_path / "original", back=True)
    assert (original.name, original.provenance) == ("small", {"recipe": "none"})


def test_only_the_right_model_is_edited(tmp_path: Path) -> None:
    model = saved(tmp_path / "model")
    patch = UWM(tau=0.1).patch(model, [random_pairs(6)])
    with pytest.raises(ModelError, match="does not have this edit"):
        save_edited(model, patch, tmp_path / "out", back=True)
    edited = save_edited(model, patch, tmp_path / "edited")
    with pytest.raises(ModelError, match="has this edit already"):
        save_edited(edited, patch, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_model_is_never_edited_where_it_lies(tmp_path: Path) -> None:
    model = saved(tmp_path / "model")
    patch = UWM(tau=0.1).patch(model, [random_pairs(6)])
    before = sha256(tmp_path / "model")
    with pytest.raises(ConfigError, match="a folder of its own"):
        save_edited(model, patch, tmp_path / "model" / ".." / "model")
    model.folder = None
    with pytest.raises(ConfigError, match="a folder of its own"):
        save_edited(model, patch, tmp_path / "out")
    assert sha256(tmp_path / "model") == before


def test_a_patch_that_does_not_give_what_it_says_is_found_out(tmp_path: Path) -> None:
    model = saved(tmp_path / "model")
    good = UWM(tau=0.1).patch(model, [random_pairs(6)])
    wrong = Patch(good.masks, good.alpha, good.model_before, "0" * 16, good.made_by)
    with pytest.raises(ModelError, match="the patch is for the model 0000"):
        save_edited(model, wrong, tmp_path / "out")


def test_stored_weights_are_the_file(tmp_path: Path) -> None:
    model = saved(tmp_path / "model", dtype=torch.float16)
    path = tmp_path / "model" / "model.safetensors"
    with stored_weights(path) as weights:
        assert all(torch.equal(weights[name].float(), tensor) for name, tensor in model.state_dict().items())
        weights["clip.visual_projection.weight"][0, 0] = 7.0
    assert load_folder(tmp_path / "model").clip.visual_projection.weight[0, 0] == 7.0
    bad = tmp_path / "bad"
    for content in (b"\x05\0\0\0\0\0\0\0[1,2]", b"\x04\0\0\0\0\0\0\0{]{]", b"\xff" * 40):
        bad.write_bytes(content)
        with pytest.raises(ModelError, match="not a readable safetensors file"), stored_weights(bad):
            pass


def test_the_config_stays_readable(tmp_path: Path) -> None:
    model = saved(tmp_path / "model")
    patch = UWM(tau=0.1).patch(model, [random_pairs(6)])
    save_edited(model, patch, tmp_path / "edited")
    before, after = (
        json.loads((tmp_path / name / "config.json").read_text()) for name in ("model", "edited")
    )
    assert {key for key in before if before[key] != after[key]} == {"name", "provenance"}
    assert before.keys() == after.keys()
