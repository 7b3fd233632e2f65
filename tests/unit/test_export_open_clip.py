"""Exported open_clip state dicts: its names, its forward pass, its config, and the way back."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from model_samples import CAPTIONS, random_picture, tiny_model
from published_samples import (
    CLIP_PREPROCESSOR,
    SIGLIP_PREPROCESSOR,
    tiny_clip,
    tiny_siglip,
    write_siglip_tokenizer,
    write_tokenizer,
    write_transformers,
)
from safetensors.torch import load_file
from state_dict_samples import open_clip_features, open_clip_state, quick_gelu
from torch import nn

from hyperaware.errors import ModelError
from hyperaware.export import open_clip
from hyperaware.export.folder import export
from hyperaware.models.dual_encoder import DualEncoder
from hyperaware.models.open_clip import read_open_clip
from hyperaware.models.pretrained import load
from hyperaware.models.squash import Squash

GELU: dict[str, Any] = {"gelu": nn.functional.gelu, "quick_gelu": quick_gelu}


def of_clip(folder: Path, **changes: Any) -> DualEncoder:
    write_transformers(folder / "clip", tiny_clip(**changes), preprocessor=CLIP_PREPROCESSOR)
    write_tokenizer(folder / "clip")
    return load(folder / "clip")


@pytest.mark.parametrize("activation", ["gelu", "quick_gelu"])
@torch.no_grad()
def test_the_state_dict_is_open_clips(activation: str, tmp_path: Path) -> None:
    model = of_clip(tmp_path, activation=activation)
    written = export(model, format="open_clip", out=tmp_path / "out")
    assert set(written.differences) == {"image", "text"}
    state = load_file(tmp_path / "out" / open_clip.WEIGHTS)
    expected = open_clip_state(tiny_clip(activation=activation))
    assert {name: tensor.shape for name, tensor in state.items()} == {
        name: tensor.shape for name, tensor in expected.items()
    }
    for name, tensor in expected.items():
        torch.testing.assert_close(state[name], tensor, rtol=0, atol=1e-6 if name == "logit_scale" else 0)
    config = json.loads((tmp_path / "out" / "open_clip_config.json").read_text())
    assert config["model_cfg"]["quick_gelu"] is (activation == "quick_gelu")
    assert "pool_type" not in config["model_cfg"]["text_cfg"]  # the end token has the highest id
    assert config["model_cfg"]["vision_cfg"]["head_width"] == 16

    ids, _ = model.tokenizer(CAPTIONS)
    pixels = model.preprocess([random_picture(0), random_picture(1)])
    text, image = open_clip_features(state, ids, pixels, heads=(2, 3), gelu=GELU[activation])
    torch.testing.assert_close(model.features_of_tokens(ids), text, rtol=0, atol=2e-6)
    torch.testing.assert_close(model.features_of_pixels(pixels), image, rtol=0, atol=2e-6)


def test_the_way_back_gives_the_same_fingerprint(tmp_path: Path) -> None:
    model = of_clip(tmp_path)
    export(model, format="open_clip", out=tmp_path / "out")
    again = read_open_clip(tmp_path / "out" / open_clip.WEIGHTS, tokenizer=tmp_path / "out")
    assert again.fingerprint == model.fingerprint
    torch.testing.assert_close(again.encode_text(CAPTIONS), model.encode_text(CAPTIONS), rtol=0, atol=1e-6)


@torch.no_grad()
def test_a_hyperbolic_model_gives_its_features_and_names_its_end_token(tmp_path: Path) -> None:
    model = tiny_model(lorentz=True)
    model.preprocess = Squash(size=16, filter="bilinear")
    written = export(model, format="open_clip", out=tmp_path / "out")
    config = json.loads((tmp_path / "out" / "open_clip_config.json").read_text())
    assert config["model_cfg"]["text_cfg"]["pool_type"] == "eos"
    assert config["model_cfg"]["text_cfg"]["eos_id"] == model.tokenizer.eos_id == 1
    assert written.note is not None
    assert "before the lift" in written.note
    again = read_open_clip(tmp_path / "out" / open_clip.WEIGHTS, tokenizer=tmp_path / "out")
    assert again.preprocess == model.preprocess
    ids, mask = model.tokenizer(CAPTIONS)
    assert torch.equal(again.tokenizer(CAPTIONS)[0], ids)
    expected = model.features_of_tokens(ids, mask)
    torch.testing.assert_close(again.features_of_tokens(ids, mask), expected, rtol=0, atol=1e-6)


def test_siglip_is_refused(tmp_path: Path) -> None:
    write_transformers(tmp_path / "siglip", tiny_siglip(), preprocessor=SIGLIP_PREPROCESSOR)
    write_siglip_tokenizer(tmp_path / "siglip")
    with pytest.raises(ModelError, match="pools pictures by attention"):
        export(load(tmp_path / "siglip"), format="open_clip", out=tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("tower", "setting", "value", "message"),
    [
        ("vision_config", "hidden_act", "gelu", "are not one of its two"),
        ("text_config", "layer_norm_eps", 1e-6, "layer norms have eps"),
    ],
)
def test_what_its_config_cannot_say_is_refused(
    tower: str, setting: str, value: Any, message: str, tmp_path: Path
) -> None:
    model = tiny_model()
    setattr(getattr(model.config, tower), setting, value)
    with pytest.raises(ModelError, match=message):
        export(model, format="open_clip", out=tmp_path / "out")


def test_weights_in_the_wrong_place_are_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    honest = open_clip.state_dict

    def swapped(model: DualEncoder) -> dict[str, torch.Tensor]:
        state = honest(model)
        for name in [name for name in state if name.endswith("in_proj_weight")]:
            query, key, value = state[name].chunk(3)
            state[name] = torch.cat([query, value, key])
        return state

    monkeypatch.setattr(open_clip, "state_dict", swapped)
    with pytest.raises(ModelError, match="imported again, differ"):
        export(of_clip(tmp_path), format="open_clip", out=tmp_path / "out")
    assert not (tmp_path / "out").exists()
