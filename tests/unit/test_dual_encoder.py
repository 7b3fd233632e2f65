"""Two towers and a lift: what the points are, and that encoding depends on nothing but the input."""

import dataclasses
from pathlib import Path

import pytest
import torch
from model_samples import CAPTIONS, TINY, random_picture, tiny_model
from torch import Tensor
from transformers import CLIPModel

from hyperaware.errors import MediaError
from hyperaware.geometry.space import Lorentz, Sphere
from hyperaware.models.adapters import add_lora
from hyperaware.models.dual_encoder import DualEncoder
from hyperaware.models.preprocess import Preprocess
from hyperaware.models.tokenizer import train_tokenizer

PICTURES = [random_picture(seed, size=(20 + seed, 30 - seed)) for seed in range(7)]


@pytest.fixture(params=[False, True], ids=["sphere", "lorentz"])
def model(request: pytest.FixtureRequest) -> DualEncoder:
    return tiny_model(lorentz=request.param)


def batch(model: DualEncoder) -> tuple[Tensor, Tensor, Tensor]:
    """Ids, mask and pixels."""
    return *model.tokenizer(CAPTIONS), model.preprocess(PICTURES)


# -- points ----------------------------------------------------------------------------------------------


def test_on_the_sphere_the_points_are_clips_own() -> None:
    model = tiny_model()
    clip = CLIPModel(model.config).eval()
    clip.load_state_dict({**model.clip.state_dict(), "logit_scale": model.log_logit_scale.detach()})
    ids, mask, pixels = batch(model)
    with torch.no_grad():
        published = clip(input_ids=ids, attention_mask=mask, pixel_values=pixels)
        texts, images = model(ids, mask, pixels)
    torch.testing.assert_close(texts, published.text_embeds, rtol=0, atol=1e-6)
    torch.testing.assert_close(images, published.image_embeds, rtol=0, atol=1e-6)
    similarity = model.logit_scale * model.space.similarity(images, texts)
    torch.testing.assert_close(similarity.detach(), published.logits_per_image, rtol=0, atol=1e-4)
    torch.testing.assert_close(texts.norm(dim=-1), torch.ones(len(texts)))


def test_in_lorentz_space_the_length_of_a_feature_becomes_the_root_distance() -> None:
    model = tiny_model(lorentz=True)
    ids, mask, pixels = batch(model)
    with torch.no_grad():
        texts, images = model(ids, mask, pixels)
        for points, features, alpha in (
            (texts, model.features_of_tokens(ids, mask), 0.3),
            (images, model.features_of_pixels(pixels), 0.6),
        ):
            distances = model.space.root_distance(points)
            torch.testing.assert_close(distances, alpha * features.norm(dim=-1), rtol=1e-5, atol=0)
            cosines = torch.cosine_similarity(points, features)
            torch.testing.assert_close(cosines, torch.ones(len(points)))  # the ray is that of the feature


def test_the_space_follows_the_parameters() -> None:
    assert isinstance(tiny_model().space, Sphere)
    model = tiny_model(lorentz=True)
    assert isinstance(model.space, Lorentz)
    assert float(model.space.curv.detach()) == pytest.approx(0.7)  # type: ignore[union-attr]
    assert float(model.logit_scale.detach()) == pytest.approx(1 / 0.07)
    assert [name for name, _ in tiny_model().scalars()] == ["log_logit_scale"]
    scalars = {name: float(value.detach().exp()) for name, value in model.scalars()}
    del scalars["log_logit_scale"]
    assert scalars == pytest.approx({"log_curv": 0.7, "log_alpha_image": 0.6, "log_alpha_text": 0.3})


def test_gradients_reach_towers_alphas_and_curvature() -> None:
    model = tiny_model(lorentz=True).train()
    texts, images = model(*batch(model))
    (model.logit_scale * model.space.distance(texts[:6], images[:6])).sum().backward()
    without = [name for name, p in model.named_parameters() if p.grad is None or not p.grad.isfinite().all()]
    assert without == []
    for name, parameter in model.scalars():
        assert float(parameter.grad) != 0, name  # type: ignore[arg-type]


def test_the_lift_runs_in_float32_under_autocast() -> None:
    model = tiny_model(lorentz=True)
    ids, mask, pixels = batch(model)
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        features = model.features_of_pixels(pixels)
        texts, images = model(ids, mask, pixels)
    assert features.dtype == torch.bfloat16
    assert texts.dtype == images.dtype == torch.float32
    with torch.no_grad():
        lifted = model.space.lift(model.log_alpha_image.exp() * features.float())  # type: ignore[union-attr]
    assert torch.equal(images, lifted)


@pytest.mark.parametrize(
    ("name", "given", "kept"),
    [
        ("log_curv", 0.05, 0.1),
        ("log_curv", 11.0, 10.0),
        ("log_curv", 0.7, 0.7),
        ("log_alpha_image", 1.5, 1.0),
        ("log_alpha_text", 1.5, 1.0),
        ("log_alpha_text", 1e-4, 1e-4),
        ("log_logit_scale", 5.0, 1 / 0.07),
        ("log_logit_scale", 150.0, 100.0),
    ],
)
def test_constrain_clamps_each_scalar_to_its_range(name: str, given: float, kept: float) -> None:
    model = tiny_model(lorentz=True)
    before = {other: float(value.detach()) for other, value in model.scalars() if other != name}
    with torch.no_grad():
        getattr(model, name).fill_(torch.tensor(given).log())
    model.constrain()
    assert float(getattr(model, name).detach().exp()) == pytest.approx(kept)
    assert {other: float(value.detach()) for other, value in model.scalars() if other != name} == before


# -- encoding --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("batch_size", [1, 3, 64])
def test_points_do_not_depend_on_the_batch(batch_size: int, model: DualEncoder) -> None:
    ids, mask, pixels = batch(model)
    with torch.no_grad():
        texts, images = model(ids, mask, pixels)
    for ours, expected in (
        (model.encode_text(CAPTIONS, batch_size=batch_size), texts),
        (model.encode_image(PICTURES, batch_size=batch_size), images),
    ):
        assert ours.dtype == torch.float32
        assert not ours.requires_grad
        torch.testing.assert_close(ours, expected, rtol=0, atol=1e-6)


def test_what_must_not_be_cut_has_a_point_only_if_it_fits(model: DualEncoder) -> None:
    room = model.tokenizer.context_length
    texts = ["a fox", "fox " * room, "a red fox", "bear " * room]
    points, fit = model.encode_fitting(texts, batch_size=1)
    assert fit == [True, False, True, False]
    assert torch.equal(points, model.encode_text([texts[0], texts[2]], batch_size=1))
    assert model.encode_fitting(texts[1:2])[0].shape == (0, model.dim)


def test_one_input_gives_one_row(model: DualEncoder, tmp_path: Path) -> None:
    path = tmp_path / "picture.png"
    PICTURES[0].save(path)
    for one in (PICTURES[0], path, str(path), path.read_bytes()):
        torch.testing.assert_close(
            model.encode_image(one), model.encode_image(PICTURES[:1]), rtol=0, atol=1e-6
        )
    assert model.encode_text("a man").shape == (1, model.dim)
    torch.testing.assert_close(model.encode_text("a man"), model.encode_text(("a man",)))


def test_no_input_gives_no_row(model: DualEncoder) -> None:
    assert model.encode_text([]).shape == model.encode_image([]).shape == (0, 8)


@pytest.mark.parametrize("training", [True, False])
def test_encoding_runs_in_eval_mode_and_restores_the_mode(training: bool) -> None:
    model = tiny_model(lorentz=True)
    add_lora(model, rank=2, alpha=32, dropout=0.9)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "lora_B" in name:
                parameter.fill_(0.1)
    model.train(training)
    assert torch.equal(model.encode_text(CAPTIONS), model.encode_text(CAPTIONS))  # no dropout
    assert model.training == training
    with pytest.raises(MediaError):
        model.encode_image("missing.png")
    assert model.training == training
    if training:
        ids, mask, _ = batch(model)
        assert not torch.equal(model.embed_tokens(ids, mask), model.embed_tokens(ids, mask))


def test_a_bad_picture_is_named(model: DualEncoder, tmp_path: Path) -> None:
    bad = tmp_path / "bad.png"
    bad.write_bytes(b"no picture")
    with pytest.raises(MediaError, match=r"bad\.png"):
        model.encode_image([PICTURES[0], bad])


# -- identity --------------------------------------------------------------------------------------------


def test_the_fingerprint_is_short_and_repeatable(model: DualEncoder) -> None:
    assert len(model.fingerprint) == 16
    assert int(model.fingerprint, 16) > 0
    again = tiny_model(lorentz=model.space.has_root)
    assert again.train().fingerprint == model.fingerprint


def test_the_fingerprint_changes_with_any_one_weight(model: DualEncoder) -> None:
    seen = {model.fingerprint}
    for parameter in model.parameters():
        with torch.no_grad():
            parameter.view(-1)[-1] += 1e-3
        seen.add(model.fingerprint)
    assert len(seen) == 1 + len(list(model.parameters()))


def test_the_fingerprint_changes_with_the_space_and_with_what_is_no_weight() -> None:
    """Heads, tokenizer and preprocessing change the points and leave the weights as they are."""

    def other_tokenizer(model: DualEncoder) -> None:
        model.tokenizer = train_tokenizer(CAPTIONS[::-1][:4], vocab_size=160, context_length=12)

    def other_preprocessing(model: DualEncoder) -> None:
        model.preprocess = Preprocess(size=16, mean=(0.5, 0.5, 0.5))

    models = [tiny_model(), tiny_model(lorentz=True), tiny_model(), tiny_model()]
    other_tokenizer(models[2])
    other_preprocessing(models[3])
    models.append(tiny_model(towers=dataclasses.replace(TINY, text_heads=4)))
    models.append(tiny_model(towers=dataclasses.replace(TINY, vision_heads=4)))
    assert len({model.fingerprint for model in models}) == len(models)
