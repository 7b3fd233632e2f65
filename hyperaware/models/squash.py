"""SigLIP's preprocessing: the whole picture is resized to a square, whatever its shape."""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from PIL import Image

from hyperaware.errors import ConfigError
from hyperaware.media.crop import FILTERS, squash
from hyperaware.models.preprocess import Preprocess

__all__ = ["HALF", "Squash", "preprocess_from_config"]

HALF = (0.5, 0.5, 0.5)


@dataclass(frozen=True)
class Squash(Preprocess):
    """How pictures become pixels with nothing cut off. SigLIP resizes by "bicubic", SigLIP 2 by "bilinear".

    Its settings name the side `square`, so that whoever only knows how to crop refuses them.
    """

    mean: tuple[float, float, float] = HALF
    std: tuple[float, float, float] = HALF
    filter: str = "bicubic"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.filter not in FILTERS:
            raise ConfigError(f"the filter is {self.filter!r}, expected one of {', '.join(FILTERS)}.")

    def crop(self, image: Image.Image) -> np.ndarray:
        """The (size, size, 3) uint8 picture, all of it."""
        return squash(image, self.size, filter=self.filter)

    def config(self) -> dict[str, Any]:
        settings = asdict(self)
        return {"square": settings.pop("size"), **settings}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> "Squash":
        return cls(
            size=int(config["square"]),
            mean=tuple(config["mean"]),
            std=tuple(config["std"]),
            filter=config["filter"],
        )


def preprocess_from_config(config: dict[str, Any]) -> Preprocess:
    """The preprocessing of a model's config.json: `size` is cropped to, `square` is squashed into."""
    return (Squash if "square" in config else Preprocess).from_config(config)
