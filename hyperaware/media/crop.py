"""The part of a picture that a model sees."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from PIL import Image

__all__ = ["FILTERS", "centre_crop", "crop_by", "squash"]

FILTERS = {"bilinear": Image.Resampling.BILINEAR, "bicubic": Image.Resampling.BICUBIC}


def centre_crop(image: Image.Image, size: int) -> np.ndarray:
    """The (size, size, 3) uint8 centre of an RGB picture, its shortest edge resized (bicubic) to `size`.

    A picture of size x size comes out as it is.
    """
    width, height = image.size
    short = min(width, height)
    # The longer edge is truncated, not rounded: that is what CLIP does, and one pixel moves the crop.
    scaled = (int(size * width / short), int(size * height / short))
    if scaled != image.size:
        image = image.resize(scaled, Image.Resampling.BICUBIC)
    top, left = (scaled[1] - size) // 2, (scaled[0] - size) // 2
    return np.asarray(image)[top : top + size, left : left + size]


def squash(image: Image.Image, size: int, *, filter: str) -> np.ndarray:
    """The (size, size, 3) uint8 picture, all of it, resized by one of `FILTERS`.

    A picture of size x size comes out as it is.
    """
    return np.asarray(image.resize((size, size), FILTERS[filter]))


def crop_by(image: Image.Image, settings: Mapping[str, Any]) -> np.ndarray:
    """What a model sees of an RGB picture, by the `preprocess` of its config.json.

    `size` is the side of a centre crop, `square` that of a square into which the whole picture is squashed.
    """
    if "square" in settings:
        return squash(image, int(settings["square"]), filter=settings["filter"])
    return centre_crop(image, int(settings["size"]))
