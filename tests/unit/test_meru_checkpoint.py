"""MERU's layout: the features of its published forward pass, lifted by its own scalars."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from model_samples import CAPTIONS, random_picture, tiny_model
from published_samples import write_tokenizer
from state_dict_samples import meru_features, meru_state
from torch import Tensor

from hyperaware.errors import ModelError
from hyperaware.geometry.space import Lorentz
from hyperaware.models import meru_checkpoint
from hyperaware.models.meru_checkpoint import read_meru
from hyperaware.models.pretrained import load, save

HEADS = {"vision_heads": 3, "text_heads": 2}


@pytest.fixture
def tokenizer(tmp_path: Path) -> Path:
    write_tokenizer(tmp_path / "tokenizer")
    return tmp_path / "tokenizer"


def written(folder: Path, state: dict[str, Any]) -> Path:
    """As its training code saves it: the model beside the optimiser and the iteration."""
    torch.save({"model": state, "optimizer": {"state": {}}, "iteration": 120000}, folder / "meru.pth")
    return folder / "meru.pth"


@torch.no_grad()
def test_points_are_the_lifted_features_of_the_published_forward_pass(
    tokenizer: Path, tmp_path: Path
) -> None:
    state = meru_state()
    model = read_meru(written(tmp_path, state), tokenizer=tokenizer, **HEADS)
    pictures = [random_picture(seed) for seed in range(3)]
    images = torch.from_numpy(np.stack([np.asarray(p) for p in pictures])).permute(0, 3, 1, 2) / 255
    ids, _ = model.tokenizer(CAPTIONS)
    ended = (ids == model.tokenizer.eos_id).cumsum(dim=1).cumsum(dim=1)
    padded = torch.where(ended > 1, 0, ids)  # MERU pads with zeros after the first end token
    texts, pixels = meru_features(state, padded, images)
    torch.testing.assert_close(model.features_of_tokens(ids), texts, rtol=0, atol=1e-5)
    torch.testing.assert_close(
        model.features_of_pixels(model.preprocess(pictures)), pixels, rtol=0, atol=1e-5
    )

    space = Lorentz(math.exp(-1.2))
    assert float(model.space.config()["curv"]) == pytest.approx(math.exp(-1.2), rel=1e-6)
    expected = space.lift(math.exp(-2.5) * texts), space.lift(math.exp(-2.0) * pixels)
    torch.testing.assert_close(model.encode_text(CAPTIONS), expected[0], rtol=0, atol=1e-5)
    torch.testing.assert_close(model.encode_image(pictures), expected[1], rtol=0, atol=1e-5)
    assert model.logit_scale.item() == pytest.approx(math.exp(2.5), rel=1e-6)


def test_it_is_saved_and_loaded_as_any_other(tokenizer: Path, tmp_path: Path) -> None:
    model = read_meru(written(tmp_path, meru_state()), tokenizer=tokenizer, **HEADS)
    save(model, tmp_path / "ours")
    again = load(tmp_path / "ours")
    assert again.fingerprint == model.fingerprint
    assert again.preprocess == model.preprocess
    pictures = [random_picture(seed) for seed in range(2)]
    assert torch.equal(again.encode_image(pictures), model.encode_image(pictures))
    assert again.space.name == "lorentz"


def test_its_clip_baseline_lies_on_the_sphere(tokenizer: Path, tmp_path: Path) -> None:
    model = read_meru(written(tmp_path, meru_state(hyperbolic=False)), tokenizer=tokenizer, **HEADS)
    assert model.space.name == "sphere"
    assert model.encode_text(CAPTIONS).norm(dim=-1).tolist() == pytest.approx([1.0] * len(CAPTIONS))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"visual.cls_token": None}, "has no 'visual.cls_token'"),
        ({"visual_alpha": None}, "has no 'visual_alpha'"),
        ({"curvs.0": torch.zeros(())}, "product of spaces"),
        ({"visual.blocks.0.ls1.gamma": torch.zeros(48)}, "1 unknown"),
        ({"textual_proj.weight": None}, "1 missing"),
        ({"visual.patch_embed.proj.bias": None}, "has no 'visual.patch_embed.proj.bias'"),
        ({"visual.pos_embed": None}, "has not the towers of MERU"),
        ({"visual.patch_embed.proj.weight": torch.zeros(7, 3)}, "has not the towers of MERU"),
        ({"visual.patch_embed.proj.bias": torch.zeros(7)}, "the bias of the patch embedding has the shape"),
        ({"visual.blocks.0.mlp.fc1.bias": None}, "has not the towers of MERU"),
        ({"textual.posit_embed": torch.zeros(())}, "has not the towers of MERU"),
        ({"curv": torch.tensor(torch.nan)}, "'curv' .* expected one finite number"),
        ({"visual_alpha": torch.tensor(500.0)}, "'visual_alpha' .* a logarithm"),
        ({"logit_scale": torch.zeros(2)}, "'logit_scale' .* expected one finite number"),
        ({"pixel_std": torch.zeros(3, 1, 1)}, "deviation above 0"),
    ],
)
def test_other_files_are_refused(
    change: dict[str, Tensor | None], message: str, tokenizer: Path, tmp_path: Path
) -> None:
    state = {**meru_state(), **change}
    path = written(tmp_path, {name: tensor for name, tensor in state.items() if tensor is not None})
    with pytest.raises(ModelError, match=message):
        read_meru(path, tokenizer=tokenizer, **HEADS)


def test_the_end_token_must_have_the_highest_id(tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    tiny_model().tokenizer.save_pretrained(tmp_path / "other")
    with pytest.raises(ModelError, match="pools texts at the highest id"):
        read_meru(written(tmp_path, meru_state()), tokenizer=tmp_path / "other", **HEADS)


def test_heads_of_the_published_widths(tokenizer: Path, tmp_path: Path) -> None:
    """Of pictures by their size (the small one is MoCo v3's, with narrow heads), of texts one for each 64."""
    assert {width: width // heads for width, heads in meru_checkpoint.HEADS.items()} == {
        384: 32,
        768: 64,
        1024: 64,
    }
    path = written(tmp_path, meru_state())
    named = read_meru(path, tokenizer=tokenizer, **HEADS)
    assert read_meru(path, tokenizer=tokenizer, vision_heads=3).fingerprint == named.fingerprint


def test_heads_are_not_guessed_for_a_width_that_is_not_published(tokenizer: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="width 48 is not published"):
        read_meru(written(tmp_path, meru_state()), tokenizer=tokenizer)
