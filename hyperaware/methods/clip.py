"""CLIP's own training (Radford et al., arXiv 2103.00020): the base that safety methods start from."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from hyperaware.data.quadruplet import Quadruplet
from hyperaware.geometry.space import Space
from hyperaware.losses.contrastive import contrastive
from hyperaware.models.dual_encoder import DualEncoder

__all__ = ["CLIP"]


@dataclass(frozen=True)
class CLIP:
    """One contrastive term over all pictures and their captions; labels of safety are not looked at."""

    learning_rate: float = 5e-4
    """Peak learning rate of the towers (CLIP, table 19: 5e-4 for ViT-B)."""
    scalar_learning_rate: float | None = None
    """Learning rate of the logit scale; none: that of the towers."""
    logit_scale: float = 1 / 0.07
    """Starting value (CLIP, section 2.5)."""

    name = "clip"
    selection = (
        ("safe_text", "safe_image"),
        ("safe_image", "safe_text"),
        ("unsafe_text", "unsafe_image"),
        ("unsafe_image", "unsafe_text"),
    )
    """The retrievals whose R@1 add up to the figure that early stopping watches."""

    def prepare(self, model: DualEncoder, *, features: Quadruplet) -> None:
        """Set the starting logit scale. `features` (a sample before the lift) is not needed here."""
        with torch.no_grad():
            model.log_logit_scale.fill_(math.log(self.logit_scale))

    def terms(self, points: Quadruplet, *, space: Space, logit_scale: Tensor | float) -> dict[str, Tensor]:
        """`contrastive`: 2n pairs, so that an unsafe twin is a hard negative of its safe scene."""
        texts = torch.cat([points.safe_text, points.unsafe_text])
        images = torch.cat([points.safe_image, points.unsafe_image])
        return {"contrastive": contrastive(texts, images, space=space, logit_scale=logit_scale)}

    def weight(self, name: str) -> float:
        return {"contrastive": 1.0}[name]
