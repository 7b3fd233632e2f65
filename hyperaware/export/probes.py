"""What exported files are tried on: captions and pictures of all lengths, and how far off they may be."""

import math
from collections.abc import Iterator, Mapping

import torch
from torch import Tensor

from hyperaware.errors import ModelError
from hyperaware.export.processor import PROBES
from hyperaware.models.dual_encoder import DualEncoder

__all__ = ["difference", "pixels_of", "require_close", "tokens_of"]


def tokens_of(model: DualEncoder) -> Iterator[tuple[Tensor, Tensor]]:
    """Ids and masks: one short caption, one that is cut at the context, all together."""
    for texts in (PROBES[:1], PROBES[-1:], PROBES):
        yield model.tokenizer(texts)


def pixels_of(model: DualEncoder) -> Iterator[Tensor]:
    """Pixels of one noisy picture, and of a flat one with two others."""
    side = model.preprocess.size
    crops = torch.randint(256, (4, side, side, 3), generator=torch.Generator().manual_seed(0)).to(torch.uint8)
    crops[1] = 255
    yield model.preprocess.normalise(crops[:1])
    yield model.preprocess.normalise(crops[1:])


def difference(found: Tensor, expected: Tensor) -> float:
    """The largest difference, relative to the largest expected number where that is above 1.

    Infinite where any number is not finite.
    """
    scale = expected.abs().max().clamp(min=1.0)
    largest = float(((found - expected).abs().max() / scale).item())
    return largest if math.isfinite(largest) else math.inf


def require_close(differences: Mapping[str, float], most: float, *, what: str) -> dict[str, float]:
    """The differences by modality, none of which is larger than `most`.

    Raises:
        ModelError: one is.
    """
    for modality, value in differences.items():
        if value > most:
            raise ModelError(
                f"{what} differ from the model by {value:.2g} for {modality}s, where {most:.0e} is allowed. "
                "Nothing was written."
            )
    return dict(differences)
