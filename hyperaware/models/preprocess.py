"""From a picture to CLIP's pixels: resize, centre crop, scale, normalise.

The result is bit-identical to `CLIPImageProcessor` of transformers on its Pillow path, and does not need it.
"""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from hyperaware.errors import ConfigError
from hyperaware.media.crop import centre_crop

__all__ = ["CLIP_MEAN", "CLIP_STD", "Preprocess"]

CLIP_MEAN = (0.48145466, 0.4578275, 0.40821073)
CLIP_STD = (0.26862954, 0.26130258, 0.27577711)


@dataclass(frozen=True)
class Preprocess:
    """How pictures become pixels."""

    size: int = 224
    """Side of the square that the model sees, in pixels; the shortest edge is resized to it."""
    mean: tuple[float, float, float] = CLIP_MEAN
    std: tuple[float, float, float] = CLIP_STD

    def __post_init__(self) -> None:
        numbers = [value for value in (*self.mean, *self.std) if isinstance(value, int | float)]
        whole = len(self.mean) == len(self.std) == 3 and len(numbers) == 6
        if not (whole and all(map(math.isfinite, numbers)) and min(self.std) > 0):
            raise ConfigError(
                f"got mean {self.mean} and deviation {self.std} of pixels, expected three numbers each, the "
                "deviation above 0."
            )

    def crop(self, image: Image.Image) -> np.ndarray:
        """The (size, size, 3) uint8 centre of an RGB picture, after a bicubic resize of its shortest edge."""
        return centre_crop(image, self.size)

    def normalise(self, crops: Tensor) -> Tensor:
        """(n, size, size, 3) uint8 as (n, 3, size, size) float32, with CLIP's mean and deviation."""
        pixels = crops.permute(0, 3, 1, 2).to(torch.float64).mul(1 / 255).to(torch.float32)
        mean = torch.tensor(self.mean, dtype=torch.float32, device=crops.device).view(1, 3, 1, 1)
        std = torch.tensor(self.std, dtype=torch.float32, device=crops.device).view(1, 3, 1, 1)
        return (pixels - mean) / std

    def __call__(self, images: Sequence[Image.Image]) -> Tensor:
        """The pixels of RGB pictures, (n, 3, size, size) float32."""
        return self.normalise(torch.from_numpy(np.stack([self.crop(image) for image in images])))

    def config(self) -> dict[str, Any]:
        """The settings, as they stand in a model's config.json."""
        return asdict(self)

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> "Preprocess":
        return cls(size=int(config["size"]), mean=tuple(config["mean"]), std=tuple(config["std"]))
