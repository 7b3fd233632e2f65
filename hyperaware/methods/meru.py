"""MERU* (arXiv 2304.09172, ICML 2023, as the HySAC paper fine-tunes it): pictures below their captions.

It changes CLIP in two things:

1. features are lifted into Lorentz space and compared by geodesic distance;
2. a caption's cone contains its picture.

It knows no safety: every quadruplet is two plain pairs of one batch, the safe and the unsafe one. The HySAC
paper does not say how it batched them; here they stand together, as in `methods.clip`.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from hyperaware.data.quadruplet import Quadruplet
from hyperaware.geometry.space import Space
from hyperaware.losses.contrastive import contrastive
from hyperaware.losses.entailment import entailment
from hyperaware.methods.clip import CLIP
from hyperaware.methods.start import Trained, adapt, lift_into_lorentz, require_lorentz
from hyperaware.models.adapters import PUBLISHED_TARGETS
from hyperaware.models.dual_encoder import DualEncoder

__all__ = ["MERU"]


@dataclass(frozen=True)
class MERU:
    """The settings; losses are MERU's, what is trained is HySAC's."""

    contrastive_weight: float = 1.0
    """Weight of the contrastive term."""
    entailment_weight: float = 0.2
    """lambda of the paper."""
    aperture_scale: float = 1.0
    """eta, the factor on half-apertures; MERU has none, that is 1."""
    min_radius: float = 0.1
    """K, the constant of the cones."""
    curv: float = 1.0
    """Starting curvature c > 0, 1/length^2."""
    learn_curv: bool = True
    """Whether curvature is learned, in [0.1, 10]."""
    start_norm: float | None = None
    """Mean tangent norm at the start, which sets both alphas; none: alpha = dim^-0.5 (MERU)."""
    logit_scale: float = 1 / 0.07
    """Starting value."""
    learning_rate: float = 1e-4
    """Of the towers or their adapters (HySAC's released code)."""
    scalar_learning_rate: float | None = None
    """Of curvature, alphas and logit scale; none: `learning_rate`."""
    lora_rank: int | None = 16
    """Rank of the adapters; none: the towers themselves are trained, which suits small models."""
    lora_alpha: int = 1
    """The adapters are scaled by alpha / rank (HySAC's released code: 1/16)."""
    lora_dropout: float = 0.1
    """Dropout before the adapters (HySAC's released code)."""
    lora_targets: tuple[str, ...] = PUBLISHED_TARGETS
    """Layers that get adapters, in both towers; the published code leaves out `q_proj`."""
    trained: Trained = "both"
    """Which towers are trained, or adapted; the other keeps its features, as in LiT (arXiv 2111.07991)."""

    name = "meru"
    selection = CLIP.selection

    def prepare(self, model: DualEncoder, *, features: Quadruplet) -> None:
        """Lift the model into Lorentz space and add the adapters. `features`: a sample before the lift."""
        lift_into_lorentz(
            model,
            features=features,
            curv=self.curv,
            learn_curv=self.learn_curv,
            start_norm=self.start_norm,
            logit_scale=self.logit_scale,
        )
        adapt(model, self)

    def terms(self, points: Quadruplet, *, space: Space, logit_scale: Tensor | float) -> dict[str, Tensor]:
        """`contrastive` over 2n pairs, and `entailment/text>image`.

        Raises:
            ConfigError: the space is not hyperbolic.
        """
        curv = require_lorentz(space).curv
        texts = torch.cat([points.safe_text, points.unsafe_text])
        images = torch.cat([points.safe_image, points.unsafe_image])
        inside = entailment(
            texts, images, curv=curv, min_radius=self.min_radius, aperture_scale=self.aperture_scale
        )
        return {
            "contrastive": contrastive(texts, images, space=space, logit_scale=logit_scale),
            "entailment/text>image": inside,
        }

    def weight(self, name: str) -> float:
        return {"contrastive": self.contrastive_weight, "entailment/text>image": self.entailment_weight}[name]
