"""The part of a picture that a model sees."""

import numpy as np
from PIL import Image

__all__ = ["centre_crop"]


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
