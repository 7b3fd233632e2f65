"""Pictures to pixels: bit for bit what transformers' CLIP processor makes of them."""

from typing import Any

import numpy as np
import pytest
import torch
from model_samples import random_picture
from PIL import Image
from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil

from hyperaware.models.preprocess import CLIP_MEAN, CLIP_STD, Preprocess

SIZES = {
    "square": (64, 64),
    "exact": (48, 48),
    "landscape": (120, 50),
    "portrait": (50, 120),
    "odd": (97, 71),
    "odd portrait": (71, 97),
    "truncated": (211, 100),  # 48 * 211 / 100 = 101.28: the longer edge is cut to 101
    "one edge fits": (48, 100),
    "tiny": (5, 7),
    "a line": (30, 1),
    "one pixel": (1, 1),
}


def published(image: Image.Image, size: int) -> torch.Tensor:
    processor: Any = CLIPImageProcessorPil(
        size={"shortest_edge": size}, crop_size={"height": size, "width": size}
    )
    return torch.from_numpy(np.stack(processor(image).pixel_values))


@pytest.mark.parametrize("size", [48, 33], ids=["to 48", "to 33"])
@pytest.mark.parametrize("shape", SIZES)
def test_the_pixels_are_clips_to_the_bit(shape: str, size: int) -> None:
    image = random_picture(1, size=SIZES[shape])
    ours = Preprocess(size=size)([image])
    theirs = published(image, size)
    assert ours.dtype == theirs.dtype == torch.float32
    assert ours.shape == (1, 3, size, size)
    assert torch.equal(ours, theirs)


def test_the_published_size_is_the_default() -> None:
    image = random_picture(2, size=(301, 226))
    assert torch.equal(Preprocess()([image]), published(image, 224))


def test_a_batch_is_its_pictures_one_by_one() -> None:
    images = [random_picture(seed, size=size) for seed, size in enumerate([(20, 30), (60, 40), (16, 16)])]
    preprocess = Preprocess(size=16)
    assert torch.equal(preprocess(images), torch.cat([preprocess([image]) for image in images]))


def test_the_crop_is_the_centre() -> None:
    """Three colour fields side by side, each as wide as the crop: only the middle one is seen."""
    image = Image.new("RGB", (48, 16))
    for place, colour in enumerate([(255, 0, 0), (0, 255, 0), (0, 0, 255)]):
        image.paste(colour, (16 * place, 0, 16 * (place + 1), 16))
    crop = Preprocess(size=16).crop(image)
    assert crop.dtype == np.uint8
    assert (crop == (0, 255, 0)).all()


def test_pixels_have_clips_mean_and_deviation() -> None:
    black, white = (Preprocess(size=2)([Image.new("RGB", (2, 2), colour)]) for colour in ("black", "white"))
    for channel in range(3):
        assert float(black[0, channel, 0, 0]) == pytest.approx(-CLIP_MEAN[channel] / CLIP_STD[channel])
        assert float(white[0, channel, 0, 0]) == pytest.approx((1 - CLIP_MEAN[channel]) / CLIP_STD[channel])


def test_the_settings_survive_json() -> None:
    preprocess = Preprocess(size=48, mean=(0.1, 0.2, 0.3), std=(0.4, 0.5, 0.6))
    config = {name: list(v) if isinstance(v, tuple) else v for name, v in preprocess.config().items()}
    assert Preprocess.from_config(config) == preprocess
