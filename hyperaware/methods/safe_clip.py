"""Safe-CLIP (arXiv 2311.16254, ECCV 2024): unsafe items move onto the safe ones that they were made from.

It changes CLIP in nothing but the weights, and trains them against a frozen reference, CLIP as it was:

1. preservation: a safe item keeps its place, by the cosine and against the reference of the other modality;
2. redirection: an unsafe item goes to the reference of its own safe twin, by the same two losses.

The released code holds no second model: peft puts its adapters into the "reference" too, so that it moves
along with the trained model. `reference="published"` trains by that fault, for comparison only.
"""

import math
from dataclasses import dataclass
from typing import Literal

from torch import Tensor

from hyperaware.data.quadruplet import Quadruplet
from hyperaware.errors import ConfigError
from hyperaware.geometry.space import Space
from hyperaware.losses.contrastive import contrastive
from hyperaware.losses.cosine import cosine_distance
from hyperaware.methods.hysac import HySAC
from hyperaware.methods.start import Trained, adapt, stay_on_sphere
from hyperaware.models.adapters import PUBLISHED_TARGETS
from hyperaware.models.dual_encoder import DualEncoder

__all__ = ["SafeCLIP"]

TERMS = {
    "preservation/safe_text>safe_text": "text_preservation",
    "redirection/unsafe_text>safe_text": "text_redirection",
    "preservation/safe_image>safe_image": "image_preservation",
    "redirection/unsafe_image>safe_image": "image_redirection",
    "preservation/safe_text>safe_image": "text_to_image_preservation",
    "redirection/unsafe_text>safe_image": "text_to_image_redirection",
    "preservation/safe_image>safe_text": "image_to_text_preservation",
    "redirection/unsafe_image>safe_text": "image_to_text_redirection",
}
"""Each term, "purpose/trained part>part of the reference", and the setting that holds its weight."""


@dataclass(frozen=True)
class SafeCLIP:
    """The settings; the defaults are the released code's."""

    text_preservation: float = 0.1
    """Weight of the cosine distance of a safe text to its own reference."""
    text_redirection: float = 0.1
    """Weight of the cosine distance of an unsafe text to the reference of its safe twin."""
    image_preservation: float = 0.1
    """Weight of the cosine distance of a safe picture to its own reference."""
    image_redirection: float = 0.2
    """Weight of the cosine distance of an unsafe picture to the reference of its safe twin."""
    text_to_image_preservation: float = 0.25
    """Weight of the contrastive term of safe texts with reference pictures."""
    text_to_image_redirection: float = 0.25
    """Weight of the contrastive term of unsafe texts with safe reference pictures."""
    image_to_text_preservation: float = 0.25
    """Weight of the contrastive term of safe pictures with reference texts."""
    image_to_text_redirection: float = 0.5
    """Weight of the contrastive term of unsafe pictures with safe reference texts."""
    reference: Literal["frozen", "published"] = "frozen"
    """Frozen: the model before training. Published: the trained model itself, without a gradient."""
    logit_scale: float = math.exp(4.6052)
    """Fixed scale of the contrastive terms, 100.003."""
    learning_rate: float = 1e-3
    """Of the towers or their adapters; the released code uses Adam, which is AdamW without decay."""
    scalar_learning_rate: float | None = None
    """Of nothing: the logit scale is fixed and there is no other scalar."""
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

    name = "safe-clip"
    selection = HySAC.selection
    """The released code of both papers selects by the same six retrievals."""

    @property
    def needs_reference(self) -> bool:
        """Whether `terms` has to be given the reference points of its batch."""
        return self.reference == "frozen"

    def prepare(self, model: DualEncoder, *, features: Quadruplet) -> None:
        """Fix the logit scale and add the adapters. `features` (a sample before the lift): not needed."""
        stay_on_sphere(model, logit_scale=self.logit_scale)
        adapt(model, self)

    def terms(
        self,
        points: Quadruplet,
        *,
        space: Space,
        logit_scale: Tensor | float,
        reference: Quadruplet | None = None,
    ) -> dict[str, Tensor]:
        """The eight terms by name: within a modality the cosine distance, across the contrastive term.

        The published fault differs from the released code in one thing: there the drifting reference passes
        through the adapters' dropout a second time, here it is the very same point.

        Raises:
            ConfigError: there is no reference.
        """
        if self.reference == "published":
            reference = points.map(Tensor.detach)
        if reference is None:
            raise ConfigError("Safe-CLIP needs the reference points of the batch; give terms(reference=...).")
        terms = {}
        for name in TERMS:
            ours, _, theirs = name.partition("/")[2].partition(">")
            trained, frozen = getattr(points, ours), getattr(reference, theirs)
            if _modality(ours) == _modality(theirs):
                terms[name] = cosine_distance(trained, frozen)
            else:
                terms[name] = contrastive(trained, frozen, space=space, logit_scale=logit_scale)
        return terms

    def weight(self, name: str) -> float:
        """The setting of the term, divided by the sum of all and by their number, as in the released code."""
        weights = {term: getattr(self, setting) for term, setting in TERMS.items()}
        return weights[name] / sum(weights.values()) / len(weights)


def _modality(part: str) -> str:
    return part.partition("_")[2]
