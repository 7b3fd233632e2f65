"""HyCoCLIP* (arXiv 2410.06912, ICLR 2025, as the HySAC paper fine-tunes it): wholes below their parts.

It changes MERU in one thing: a named part of each picture, a *box* with its phrase, joins the pair.

1. contrastive terms also let a box ask for the caption of its whole, and a phrase for the picture, never
   back: several pictures of a batch may have the same part;
2. cones also go from a part to its whole, in both modalities, and from a phrase to its box.

It knows no safety: every quadruplet is two plain pairs with a box each. The HySAC paper does not say which
boxes it used; here each picture has one of the things that its row names, the same one in every epoch.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from hyperaware.data.quadruplet import Quadruplet
from hyperaware.errors import ConfigError
from hyperaware.geometry.space import Space
from hyperaware.losses.contrastive import contrastive, one_way
from hyperaware.losses.entailment import entailment
from hyperaware.methods.clip import CLIP
from hyperaware.methods.start import Trained, adapt, lift_into_lorentz, require_lorentz
from hyperaware.models.adapters import PUBLISHED_TARGETS
from hyperaware.models.dual_encoder import DualEncoder

__all__ = ["HyCoCLIP"]

CONTRASTIVE_SHARES = {
    "contrastive/text-image": 0.5,
    "contrastive/box_image>text": 0.25,
    "contrastive/box_text>image": 0.25,
}
"""The paper averages four directions; the first term is the mean of two of them."""
ACROSS = (("text", "image"), ("box_text", "box_image"))
WITHIN = (("box_image", "image"), ("box_text", "text"))
"""Parent and child of the cones across modalities and within one."""
ENTAILMENTS = tuple(f"entailment/{parent}>{child}" for parent, child in ACROSS + WITHIN)


@dataclass(frozen=True)
class HyCoCLIP:
    """The settings; losses are HyCoCLIP's, what is trained is HySAC's."""

    contrastive_weight: float = 1.0
    """Weight of the mean of the four contrastive directions."""
    entailment_weight: float = 0.1
    """gamma of the paper, of each of the four entailment terms."""
    aperture_scale: float = 0.7
    """eta of the cones across modalities."""
    part_aperture_scale: float = 1.2
    """eta of the cones from a part to its whole."""
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

    name = "hycoclip"
    selection = CLIP.selection
    needs_boxes = True

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

    def terms(
        self,
        points: Quadruplet,
        *,
        space: Space,
        logit_scale: Tensor | float,
        boxes: Quadruplet | None = None,
    ) -> dict[str, Tensor]:
        """Three contrastive and four entailment terms over 2n pairs; `boxes`: points of one part of each.

        Raises:
            ConfigError: there are no boxes, or the space is not hyperbolic.
        """
        curv = require_lorentz(space).curv
        if boxes is None:
            raise ConfigError("HyCoCLIP needs the points of a box of each picture; give terms(boxes=...).")
        of = {
            "text": torch.cat([points.safe_text, points.unsafe_text]),
            "image": torch.cat([points.safe_image, points.unsafe_image]),
            "box_text": torch.cat([boxes.safe_text, boxes.unsafe_text]),
            "box_image": torch.cat([boxes.safe_image, boxes.unsafe_image]),
        }
        text, image = of["text"], of["image"]
        terms = {
            "contrastive/text-image": contrastive(text, image, space=space, logit_scale=logit_scale),
            "contrastive/box_image>text": one_way(
                of["box_image"], text, space=space, logit_scale=logit_scale
            ),
            "contrastive/box_text>image": one_way(
                of["box_text"], image, space=space, logit_scale=logit_scale
            ),
        }
        for pairs, scale in ((ACROSS, self.aperture_scale), (WITHIN, self.part_aperture_scale)):
            for parent, child in pairs:
                terms[f"entailment/{parent}>{child}"] = entailment(
                    of[parent], of[child], curv=curv, min_radius=self.min_radius, aperture_scale=scale
                )
        return terms

    def weight(self, name: str) -> float:
        if name in CONTRASTIVE_SHARES:
            return self.contrastive_weight * CONTRASTIVE_SHARES[name]
        return dict.fromkeys(ENTAILMENTS, self.entailment_weight)[name]
