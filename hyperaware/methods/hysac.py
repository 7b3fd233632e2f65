"""HySAC: hyperbolic safety-aware CLIP (arXiv 2503.12127, CVPR 2025).

It changes CLIP in three things:

1. features are lifted into Lorentz space instead of being normalised;
2. four contrastive terms join both texts with both pictures of a quadruplet, by geodesic distance;
3. three entailment terms build a chain of cones, safe text > safe image > unsafe text > unsafe image, so that
   the distance from the root tells safe from unsafe.

`radial_order` adds a fourth thing that is ours and not the paper's: the chain is said in root distances too.
It is off by default. Weights are those of the paper's unweighted sum; the released code divides it by 49,
which AdamW ignores.
"""

from dataclasses import dataclass

from torch import Tensor

from hyperaware.data.quadruplet import Quadruplet
from hyperaware.errors import ConfigError
from hyperaware.geometry.space import Lorentz, Space
from hyperaware.losses.contrastive import contrastive
from hyperaware.losses.entailment import entailment
from hyperaware.losses.radial import radial_order
from hyperaware.methods.start import Trained, adapt, lift_into_lorentz
from hyperaware.models.adapters import PUBLISHED_TARGETS
from hyperaware.models.dual_encoder import DualEncoder

__all__ = ["HySAC"]

CONTRASTIVE_PAIRS = (
    ("safe_text", "safe_image"),
    ("unsafe_text", "unsafe_image"),
    ("safe_text", "unsafe_image"),
    ("unsafe_text", "safe_image"),
)
ENTAILMENT_PAIRS = (
    ("safe_text", "safe_image"),
    ("unsafe_text", "unsafe_image"),
    ("safe_image", "unsafe_text"),
)
OUTWARDS = ("safe_text", "safe_image", "unsafe_text", "unsafe_image")


@dataclass(frozen=True)
class HySAC:
    """The settings; the defaults are the paper's, or the released code's where the paper is silent."""

    aligned_weight: float = 1.0
    """Weight of the contrastive terms within the safe and within the unsafe pair."""
    cross_weight: float = 1.0
    """Weight of the two contrastive terms that join safe with unsafe items."""
    entailment_weight: float = 1.0
    """Weight of the entailment terms within a pair (`--entailment-loss-lambda` of the released code)."""
    safety_weight: float | None = None
    """Weight of the safety term, safe image > unsafe text ("S-Ent"); none: `entailment_weight`."""
    aperture_scale: float = 1.0
    """eta, the factor on half-apertures (table 10: 1.0 is best)."""
    min_radius: float = 0.1
    """K, the constant of the cones."""
    curv: float = 1.0
    """Starting curvature c > 0, 1/length^2."""
    learn_curv: bool = True
    """Whether curvature is learned. It is a gauge: learned, it slides to the end of its range, [0.1, 10]."""
    start_norm: float | None = None
    """Mean tangent norm at the start, which sets both alphas; none: alpha = dim^-0.5 (released code)."""
    logit_scale: float = 1 / 0.07
    """Starting value."""
    learning_rate: float = 1e-4
    """Of the towers or their adapters (released code)."""
    scalar_learning_rate: float | None = None
    """Of curvature, alphas and logit scale; none: `learning_rate`."""
    lora_rank: int | None = 16
    """Rank of the adapters; none: the towers themselves are trained, which suits small models."""
    lora_alpha: int = 1
    """The adapters are scaled by alpha / rank (released code: 1/16)."""
    lora_dropout: float = 0.1
    """Dropout before the adapters (released code)."""
    lora_targets: tuple[str, ...] = PUBLISHED_TARGETS
    """Layers that get adapters, in both towers; the published code leaves out `q_proj`."""
    trained: Trained = "both"
    """Which towers are trained, or adapted; the other keeps its features, as in LiT (arXiv 2111.07991)."""
    radial_order: float = 0.0
    """Weight of our radial order term. Not in the paper."""
    radial_margin: tuple[float, float, float] = (0.3, 0.3, 0.3)
    """Its margins from class to class outwards, as fractions of the mean root distance."""

    name = "hysac"
    selection = (
        ("safe_text", "safe_image"),
        ("safe_image", "safe_text"),
        ("safe_text", "unsafe_image"),
        ("unsafe_image", "safe_text"),
        ("unsafe_text", "safe_image"),
        ("safe_image", "unsafe_text"),
    )
    """The six retrievals of the released code's recall sum."""

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
        """The seven terms of the paper by name, and `radial_order` where it is switched on.

        Raises:
            ConfigError: the space is not hyperbolic.
        """
        if not isinstance(space, Lorentz):
            raise ConfigError(f"HySAC needs Lorentz space, got {space.name}. Call prepare(model) first.")
        terms = {
            f"contrastive/{a}-{b}": contrastive(
                getattr(points, a), getattr(points, b), space=space, logit_scale=logit_scale
            )
            for a, b in CONTRASTIVE_PAIRS
        }
        for parent, child in ENTAILMENT_PAIRS:
            terms[f"entailment/{parent}>{child}"] = entailment(
                getattr(points, parent),
                getattr(points, child),
                curv=space.curv,
                min_radius=self.min_radius,
                aperture_scale=self.aperture_scale,
            )
        if self.radial_order > 0:
            distances = [space.root_distance(getattr(points, part)) for part in OUTWARDS]
            terms["radial_order"] = radial_order(distances, margin=self.radial_margin)
        return terms

    def weight(self, name: str) -> float:
        if name == "radial_order":
            return self.radial_order
        if name == "entailment/safe_image>unsafe_text" and self.safety_weight is not None:
            return self.safety_weight
        kind, _, pair = name.partition("/")
        if kind == "entailment":
            return self.entailment_weight
        return self.aligned_weight if _is_aligned(pair) else self.cross_weight


def _is_aligned(pair: str) -> bool:
    text, image = pair.split("-")
    return text.startswith("unsafe") == image.startswith("unsafe")
