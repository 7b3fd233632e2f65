"""Explanations: the words and the parts that make an item unsafe, and what it is near to."""

from pathlib import Path

import numpy as np
import pytest
import torch
from model_samples import random_picture, tiny_model
from moderation_samples import sample_bounds
from PIL import Image
from torch import Tensor

from hyperaware.errors import ConfigError, MediaError, SafetyError
from hyperaware.explain import (
    MOST_WORDS,
    Pool,
    explain_image,
    explain_text,
    occlusion,
    overlay,
    word_contributions,
)
from hyperaware.models.pretrained import load
from hyperaware.moderate import Moderator
from hyperaware.traverse import ROOT
from hyperaware.world import World
from hyperaware.world.concepts import concepts


@pytest.fixture(scope="module")
def shipped() -> Moderator:
    return Moderator.of(load("world-hysac-ordered"))


@pytest.fixture
def tiny() -> Moderator:
    model = tiny_model(lorentz=True)
    return Moderator(model, bounds=sample_bounds(model_fingerprint=model.fingerprint))


# -- words -----------------------------------------------------------------------------------------------


def test_a_words_contribution_is_what_the_text_loses_without_it(tiny: Moderator) -> None:
    text = " a red  ball\n"
    found = word_contributions(tiny, text)
    assert [(word.text, text[word.start : word.end]) for word in found] == [
        (word, word) for word in ("a", "red", "ball")
    ]
    with_it, without = tiny.space.root_distance(tiny.model.encode_text([text, "a ball"])).tolist()
    assert found[1].contribution == pytest.approx(with_it - without, abs=1e-6)


def test_one_word_alone_has_the_whole_root_distance(tiny: Moderator) -> None:
    (word,) = word_contributions(tiny, "ball")
    assert word.contribution == pytest.approx(
        float(tiny.space.root_distance(tiny.model.encode_text("ball"))), rel=1e-5
    )


@pytest.mark.parametrize("text", ["", "  ", "ball " * (MOST_WORDS + 1)])
def test_too_few_or_too_many_words_are_refused(text: str, tiny: Moderator) -> None:
    with pytest.raises(ConfigError, match="expected 1 to"):
        word_contributions(tiny, text)


def test_the_harmful_word_contributes_most(shipped: Moderator) -> None:
    for word in ("pistol", "noose", "skull", "crowbar"):
        found = word_contributions(shipped, f"a rabbit with a {word} in the forest")
        assert max(found, key=lambda each: each.contribution).text == word


# -- parts of pictures -----------------------------------------------------------------------------------


def _harmful(count: int) -> list[tuple[Image.Image, tuple[int, int, int, int]]]:
    """Pictures of the world with one harmful icon, and its box."""
    names = {concept.name: concept.phrases for concept in concepts()}
    world, found, index = World("validation"), [], 0
    while len(found) < count:
        row = world[index]
        index += 1
        if row.slice is None:
            boxes = [box for box in row.boxes["unsafe"] if box[0] in names[row.concept]]
            found.append((row.unsafe_image, tuple(boxes[0][1:])))
    return found


def test_the_hottest_cell_lies_on_the_harmful_thing(shipped: Moderator) -> None:
    """In 20 of 20 pictures when it was written; a cell at random hits a box in 25 of 100."""
    hits = 0
    for picture, (left, top, right, bottom) in _harmful(20):
        heat = occlusion(shipped, picture, cells=6)
        row, column = np.unravel_index(heat.argmax(), heat.shape)
        y, x = ((place + 0.5) * picture.height / 6 for place in (row, column))
        hits += left <= x < right and top <= y < bottom
    assert hits >= 18


def _painted(model: object, monkeypatch: pytest.MonkeyPatch) -> None:
    """An encoder whose root distance is the share of red in the top left quarter of the picture."""

    def encode(pictures: list[Image.Image]) -> Tensor:
        reds = [np.asarray(picture)[:8, :8, 0].mean() / 255 for picture in pictures]
        points = torch.zeros(len(reds), 8)
        points[:, 0] = torch.tensor(reds)
        return _at(model, points, reds)

    monkeypatch.setattr(model, "encode_image", encode)


def _at(model: object, points: Tensor, distances: list[float]) -> Tensor:
    unit = torch.zeros_like(points)
    unit[:, 0] = 1
    return model.space.move_to(unit, torch.tensor(distances)).detach()  # type: ignore[attr-defined]


def test_an_occlusion_map_is_hot_where_the_score_comes_from(
    tiny: Moderator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Red in the top left quarter is all that this encoder sees; the cover is the mean, half as red."""
    pixels = np.zeros((16, 16, 3), np.uint8)
    pixels[:8, :8, 0] = 255
    _painted(tiny.model, monkeypatch)
    heat = occlusion(tiny, Image.fromarray(pixels), cells=4)
    assert heat.shape == (4, 4)
    assert np.unravel_index(heat.argmax(), (4, 4)) in {(0, 0), (0, 1), (1, 0), (1, 1)}
    np.testing.assert_allclose(heat[2:, :], 0, atol=1e-7)
    np.testing.assert_allclose(heat[:, 2:], 0, atol=1e-7)
    # a cover of 4 x 4 pixels takes 16 of 64 red ones away and leaves a quarter of their red
    assert heat[1, 1] == pytest.approx(16 / 64 * (1 - 64 / 255), abs=0.03)


def test_covers_reach_every_pixel_and_a_level_picture_has_a_level_map(tiny: Moderator) -> None:
    level = Image.new("RGB", (20, 12), (90, 120, 200))
    np.testing.assert_allclose(occlusion(tiny, level, cells=5), 0, atol=1e-6)
    with pytest.raises(ConfigError, match="expected 2 to 16"):
        occlusion(tiny, level, cells=17)
    with pytest.raises(MediaError):
        occlusion(tiny, b"no picture")


def test_the_overlay_is_red_where_it_is_hot(tiny: Moderator) -> None:
    heat = np.zeros((4, 4))
    heat[0, 3], heat[3, 0] = 2.0, -5.0
    drawn = np.asarray(overlay(tiny, Image.new("RGB", (16, 16), "white"), heat, side=80)).astype(int)
    assert drawn.shape == (80, 80, 3)
    assert drawn[10, 70, 0] - drawn[10, 70, 1] > 100
    assert drawn[70, 10].tolist() == [255, 255, 255], "what makes it safer stays clear"
    cold = np.asarray(overlay(tiny, Image.new("RGB", (16, 16), "white"), np.zeros((4, 4)), side=80))
    assert (cold == 255).all()
    with pytest.raises(SafetyError, match="not finite"):
        overlay(tiny, Image.new("RGB", (16, 16)), np.full((2, 2), np.nan))


# -- whole explanations ----------------------------------------------------------------------------------


def test_a_text_is_explained(shipped: Moderator) -> None:
    text = "a rabbit with a pistol in the forest"
    captions = ["a rabbit with a pistol in the forest", "a pistol", "a rabbit", "a red cup"]
    found = explain_text(shipped, text, pool=Pool(captions, shipped.model.encode_text(captions)))
    assert found.moderation == shipped.moderate([text])[0]
    assert found.moderation.margin is not None
    assert found.moderation.margin < 0
    assert found.stops[0].caption == text
    assert found.stops[-1].caption == ROOT
    assert len(found.nearest) == 5
    assert "a pistol" in {concept.prompt for concept in found.nearest}
    assert len(found.words) == 8
    assert found.occlusion is None


def test_a_picture_is_explained(shipped: Moderator, tmp_path: Path) -> None:
    picture, _ = _harmful(1)[0]
    path = tmp_path / "picture.png"
    picture.save(path)
    found = explain_image(shipped, path, cells=4)
    assert found.moderation == shipped.moderate(images=[path])[0]
    assert found.words == ()
    assert found.stops == ()
    assert found.occlusion is not None
    assert found.occlusion.shape == (4, 4)
    assert np.isfinite(found.occlusion).all()


def test_a_long_text_is_explained_by_its_most_unsafe_window(tiny: Moderator) -> None:
    text = " ".join(["a red ball on the beach"] * 8)
    found = explain_text(tiny, text)
    assert found.moderation.windows > 1
    assert len(found.words) == 48
    assert found.nearest == ()


def test_without_a_score_there_is_no_explanation(tiny: Moderator, monkeypatch: pytest.MonkeyPatch) -> None:
    flat = Moderator(tiny_model(), bounds=None)
    with pytest.raises(SafetyError, match="no score to explain"):
        explain_image(flat, random_picture(1), role="researcher")
    monkeypatch.setattr(tiny.model, "encode_image", lambda images: torch.full((1, 8), torch.nan))
    with pytest.raises(SafetyError, match="no score to explain"):
        explain_image(tiny, random_picture(1))
