"""Euclidean HySAC (table 9 of HySAC, arXiv 2503.12127): the same seven terms in flat space.

It changes HySAC in one thing: features are scaled and not lifted; distances are straight, and the cones are
those of Ganea et al. (arXiv 1804.01882), asin(K / |x|). Root distance is the norm.

How the paper built its row is not known; its figures (safe pictures find an unsafe text nearly always) are
so low that it was hardly this. Here it is HySAC's fair twin: whatever it does not do, curvature does.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from hyperaware.data.quadruplet import Quadruplet
from hyperaware.errors import ConfigError
from hyperaware.geometry.space import Euclid, Space
from hyperaware.losses.contrastive import contrastive
from hyperaware.losses.entailment import euclidean_entailment
from hyperaware.methods.hysac import CONTRASTIVE_PAIRS, ENTAILMENT_PAIRS, HySAC
from hyperaware.methods.start import Trained, adapt, starting_alphas
from hyperaware.models.adapters import PUBLISHED_TARGETS
from hyperaware.models.dual_encoder import DualEncoder

__all__ = ["EuclideanHySAC"]


@dataclass(frozen=True)
class EuclideanHySAC:
    """The settings: HySAC's, without curvature."""

    contrastive_weight: float = 1.0
    """Weight of the four contrastive terms."""
    entailment_weight: float = 1.0
    """Weight of the two entailment terms within a pair."""
    safety_weight: float = 1.0
    """Weight of the safety term, safe image > unsafe text."""
    aperture_scale: float = 1.0
    """eta, the factor on half-apertures."""
    min_radius: float = 0.1
    """K, the constant of the cones, as a length."""
    start_norm: float | None = None
    """Mean norm at the start, which sets both alphas; none: alpha = dim^-0.5."""
    logit_scale: float = 1 / 0.07
    """Starting value."""
    learning_rate: float = 1e-4
    """Of the towers or their adapters (HySAC's released code)."""
    scalar_learning_rate: float | None = None
    """Of alphas and logit scale; none: `learning_rate`."""
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

    name = "euclidean-hysac"
    selection = HySAC.selection

    def prepare(self, model: DualEncoder, *, features: Quadruplet) -> None:
        """Move the model into flat space and add the adapters. `features`: a sample before the lift."""
        text, image = starting_alphas(model, features=features, start_norm=self.start_norm)
        model.use_euclid(alpha_text=text, alpha_image=image)
        with torch.no_grad():
            model.log_logit_scale.fill_(math.log(self.logit_scale))
        adapt(model, self)

    def terms(self, points: Quadruplet, *, space: Space, logit_scale: Tensor | float) -> dict[str, Tensor]:
        """The seven terms of HySAC by name.

        Raises:
            ConfigError: the space is not flat.
        """
        if not isinstance(space, Euclid):
            raise ConfigError(
                f"Euclidean HySAC needs flat space, got {space.name}. Call prepare(model) first."
            )
        terms = {
            f"contrastive/{a}-{b}": contrastive(
                getattr(points, a), getattr(points, b), space=space, logit_scale=logit_scale
            )
            for a, b in CONTRASTIVE_PAIRS
        }
        for parent, child in ENTAILMENT_PAIRS:
            terms[f"entailment/{parent}>{child}"] = euclidean_entailment(
                getattr(points, parent),
                getattr(points, child),
                min_radius=self.min_radius,
                aperture_scale=self.aperture_scale,
            )
        return terms

    def weight(self, name: str) -> float:
        return {
            "entailment/safe_image>unsafe_text": self.safety_weight,
            **{f"contrastive/{a}-{b}": self.contrastive_weight for a, b in CONTRASTIVE_PAIRS},
            **{f"entailment/{a}>{b}": self.entailment_weight for a, b in ENTAILMENT_PAIRS[:2]},
        }[name]
