"""Exported folders of transformers: opened by it, they give the model's ids, pixels and features."""

import json
import math
import resource
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
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
from state_dict_samples import meru_state
from transformers import AutoTokenizer, CLIPModel, SiglipModel
from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil
from transformers.models.siglip.image_processing_pil_siglip import SiglipImageProcessorPil

from hyperaware.errors import ConfigError, ModelError
from hyperaware.export import clip
from hyperaware.export.folder import export
from hyperaware.models.adapters import add_lora, merged
from hyperaware.models.dual_encoder import DualEncoder
from hyperaware.models.meru_checkpoint import read_meru
from hyperaware.models.pretrained import load
from hyperaware.models.squash import Squash

PICTURES = [random_picture(seed, size=size) for seed, size in enumerate([(24, 16), (16, 40), (33, 50)])]
TEXTS = [*CAPTIONS, "", "A RABBIT!", "the man " * 20, "a <|endoftext|> gun", "a 写真 rabbit"]


def of_openai(folder: Path) -> DualEncoder:
    """Its end token has the highest id, and pads."""
    write_transformers(folder / "openai", tiny_clip(), preprocessor=CLIP_PREPROCESSOR)
    write_tokenizer(folder / "openai")
    return load(folder / "openai")


def of_hysac(folder: Path) -> DualEncoder:
    """Its padding is 0 and its end token 1."""
    return tiny_model(lorentz=True)


def of_euclid(folder: Path) -> DualEncoder:
    model = tiny_model(seed=1)
    model.use_euclid(alpha_image=0.5, alpha_text=0.25)
    return model


def with_adapters(folder: Path) -> DualEncoder:
    model = tiny_model(lorentz=True)
    add_lora(model, rank=2)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "lora_B" in name:
                parameter.normal_(std=0.1)
    return model.eval()


def of_squash(folder: Path) -> DualEncoder:
    model = tiny_model()
    model.preprocess = Squash(size=16, filter="bilinear")
    return model


@pytest.mark.parametrize("make", [of_openai, of_hysac, of_euclid, with_adapters, of_squash])
@torch.no_grad()
def test_transformers_alone_gives_the_same(make: Callable[[Path], DualEncoder], tmp_path: Path) -> None:
    model = make(tmp_path)
    written = export(model, format="clip", out=tmp_path / "out")
    assert written.differences.keys() == {"image", "text"}
    theirs = CLIPModel.from_pretrained(tmp_path / "out").eval()
    assert theirs.logit_scale.item() == pytest.approx(model.log_logit_scale.item())

    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "out")
    encoded = tokenizer(TEXTS, padding=True, truncation=True, return_tensors="pt")
    ids, mask = model.tokenizer(TEXTS)
    assert encoded["input_ids"].tolist() == ids.tolist()
    assert encoded["attention_mask"].tolist() == mask.tolist()
    whole = tokenizer(TEXTS, padding="max_length", truncation=True, return_tensors="pt")
    assert whole["input_ids"].shape[1] == model.tokenizer.context_length
    for inputs in (encoded, whole):
        features = theirs.get_text_features(**inputs).pooler_output
        torch.testing.assert_close(features, model.features_of_tokens(ids, mask), rtol=0, atol=1e-5)

    (tmp_path / "out" / "tokenizer.json").unlink()  # older programs read vocab.json and merges.txt
    assert (
        AutoTokenizer.from_pretrained(tmp_path / "out")(TEXTS)["input_ids"] == tokenizer(TEXTS)["input_ids"]
    )

    images = CLIPImageProcessorPil.from_pretrained(tmp_path / "out")(PICTURES, return_tensors="pt")
    pixels = model.preprocess(PICTURES)
    assert torch.equal(images["pixel_values"], pixels)
    features = theirs.get_image_features(pixels).pooler_output
    torch.testing.assert_close(features, model.features_of_pixels(pixels), rtol=0, atol=1e-5)


@torch.no_grad()
def test_siglip_is_padded_to_its_context(tmp_path: Path) -> None:
    write_transformers(tmp_path / "siglip", tiny_siglip(), preprocessor=SIGLIP_PREPROCESSOR)
    write_siglip_tokenizer(tmp_path / "siglip")
    model = load(tmp_path / "siglip")
    export(model, format="clip", out=tmp_path / "out")
    theirs = SiglipModel.from_pretrained(tmp_path / "out").eval()
    assert theirs.logit_bias.item() == -3.0
    assert theirs.logit_scale.item() == pytest.approx(math.log(7.0))
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "out")
    inputs = tokenizer(TEXTS, padding="max_length", truncation=True, return_tensors="pt")
    assert list(inputs) == ["input_ids"]  # a mask would change what it reads
    features = theirs.get_text_features(**inputs).pooler_output
    torch.testing.assert_close(features, model.features_of_tokens(*model.tokenizer(TEXTS)), rtol=0, atol=1e-5)
    images = SiglipImageProcessorPil.from_pretrained(tmp_path / "out")(PICTURES, return_tensors="pt")
    np.testing.assert_array_equal(images["pixel_values"], model.preprocess(PICTURES))


@torch.no_grad()
def test_the_root_distance_can_be_had_from_the_features(tmp_path: Path) -> None:
    """As the card and hyperaware.json say: alpha |feature|, in Lorentz space as in flat space."""
    for make in (of_hysac, of_euclid):
        model, out = make(tmp_path), tmp_path / make.__name__
        written = export(model, format="clip", out=out)
        alpha = json.loads((out / "hyperaware.json").read_text())["alpha"]["text"]
        features = model.features_of_tokens(*model.tokenizer(CAPTIONS))
        expected = model.space.root_distance(model.encode_text(CAPTIONS))
        torch.testing.assert_close(alpha * features.norm(dim=1), expected, rtol=1e-5, atol=1e-6)
        assert written.note is not None
        assert "before the lift" in written.note
        assert "before the lift" in (out / "README.md").read_text()


def test_on_the_sphere_nothing_is_missing(tmp_path: Path) -> None:
    model = tiny_model()
    written = export(model, format="clip", out=tmp_path / "out")
    assert written.note is not None
    assert "before the lift" not in written.note
    again = load(tmp_path / "out")
    torch.testing.assert_close(again.encode_text(TEXTS), model.encode_text(TEXTS), rtol=0, atol=1e-5)
    torch.testing.assert_close(again.encode_image(PICTURES), model.encode_image(PICTURES), rtol=0, atol=1e-5)


def test_adapters_stay_where_they_were(tmp_path: Path) -> None:
    model = with_adapters(tmp_path)
    before = model.encode_text(CAPTIONS)
    export(model, format="clip", out=tmp_path / "out")
    assert torch.equal(model.encode_text(CAPTIONS), before)
    assert any("lora_B" in name for name, _ in model.named_parameters())
    assert (tmp_path / "out" / "README.md").is_file()
    assert not torch.equal(before, tiny_model(lorentz=True).encode_text(CAPTIONS))  # they do something
    torch.testing.assert_close(merged(model).encode_text(CAPTIONS), before, rtol=0, atol=1e-5)


def test_bfloat16_and_training_are_no_hindrance(tmp_path: Path) -> None:
    model = tiny_model().bfloat16().train()
    export(model, format="clip", out=tmp_path / "out")
    assert model.training
    assert next(model.parameters()).dtype == torch.bfloat16
    assert next(CLIPModel.from_pretrained(tmp_path / "out").parameters()).dtype == torch.float32


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"split_special_tokens": False}, "transformers would give"),
        ({"model_max_length": 7}, "transformers would give"),
    ],
    ids=["markers in captions", "context"],
)
def test_a_folder_with_other_ids_is_refused(
    change: dict[str, Any], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    honest = clip.write_tokenizer

    def wrong(model: DualEncoder, out: Path, *, kind: str) -> None:
        honest(model, out, kind=kind)
        path = out / "tokenizer_config.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | change))

    monkeypatch.setattr(clip, "write_tokenizer", wrong)
    with pytest.raises(ModelError, match=message):
        export(tiny_model(), format="clip", out=tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


def test_a_folder_with_other_features_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    honest = clip.towers_as_published

    def wrong(model: DualEncoder) -> Any:
        towers = honest(model)
        towers.config.text_config.hidden_act = "gelu"
        return towers

    monkeypatch.setattr(clip, "towers_as_published", wrong)
    with pytest.raises(ModelError, match="for texts, where 1e-05 is allowed"):
        export(of_openai(tmp_path), format="clip", out=tmp_path / "out")
    assert [path.name for path in tmp_path.iterdir()] == ["openai"]


def test_towers_that_transformers_does_not_have_are_refused(tmp_path: Path) -> None:
    torch.save(meru_state(), tmp_path / "meru.pth")
    write_tokenizer(tmp_path / "tokenizer")
    words = {"tokenizer": tmp_path / "tokenizer", "vision_heads": 3, "text_heads": 2}
    model = read_meru(tmp_path / "meru.pth", **words)
    with pytest.raises(ModelError, match="no class for"):
        export(model, format="clip", out=tmp_path / "out")


@pytest.mark.parametrize("format", ["clip", "open_clip", "safetensors", "hyperaware"])
def test_a_full_disk_leaves_nothing(format: str, tmp_path: Path) -> None:
    """Too full for the weights, or for a single file of settings."""
    model = of_openai(tmp_path)
    before = sorted(tmp_path.iterdir())
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    for room in (40_000, 1000):
        resource.setrlimit(resource.RLIMIT_FSIZE, (room, hard))
        try:
            with pytest.raises((ModelError, OSError)):
                export(model, format=format, out=tmp_path / "out")
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert sorted(tmp_path.iterdir()) == before
    written = export(model, format=format, out=tmp_path / "out")
    modes = {name: (tmp_path / "out" / name).stat().st_mode & 0o777 for name in written.files}
    assert set(modes.values()) == {modes["README.md"]}  # the weights may be read by whom the card may


def test_into_the_folder_that_one_is_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    written = export(tiny_model(), format="hyperaware", out=".")
    assert "config.json" in written.files
    assert load(tmp_path).fingerprint == tiny_model().fingerprint


def test_a_folder_in_use_and_an_unknown_format_are_refused(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("years of work")
    for out in (tmp_path / "mine", tmp_path / "mine" / "thesis.txt"):
        with pytest.raises(ConfigError, match="is there and not empty"):
            export(tiny_model(), format="clip", out=out)
    with pytest.raises(ConfigError, match="Did you mean 'clip'"):
        export(tiny_model(), format="clop", out=tmp_path / "out")
