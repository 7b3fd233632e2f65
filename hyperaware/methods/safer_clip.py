"""SafeR-CLIP (arXiv 2511.16743, AAAI 2026): unsafe items move the shortest way, onto the nearest safe one.

It changes Safe-CLIP in three things; the frozen reference and the preservation terms stay:

1. the target of an unsafe item is not the safe twin that it was made from, but the safe pair whose caption
   is nearest to its own by the frozen text encoder, found once for all training rows;
2. across modalities an unsafe item is drawn to its target *relative to* its own unsafe partner, without other
   negatives: those of Safe-CLIP push it away from safe items that would do as well;
3. training goes from easy rows (the target is near) to hard ones, in three stages.

No code was published. Where the paper is silent, a setting holds the reading; the default is that of our
notes.
"""

import math
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from hyperaware.data.quadruplet import Quadruplet
from hyperaware.errors import ConfigError
from hyperaware.geometry.space import Space, Sphere
from hyperaware.losses.contrastive import contrastive
from hyperaware.losses.cosine import cosine_distance
from hyperaware.losses.relative import relative
from hyperaware.methods.hysac import HySAC
from hyperaware.methods.plan import Plan
from hyperaware.methods.safe_clip import SafeCLIP
from hyperaware.methods.start import Trained, adapt, stay_on_sphere
from hyperaware.metrics.retrieval import top1
from hyperaware.models.adapters import PUBLISHED_TARGETS
from hyperaware.models.dual_encoder import DualEncoder

__all__ = ["SafeRCLIP", "nearest_safe", "stages_of"]

SLOTS = {
    "relative/unsafe_image": "redirection/unsafe_image>safe_text",
    "relative/unsafe_text": "redirection/unsafe_text>safe_image",
    "redirection/unsafe_image": "redirection/unsafe_image>safe_image",
    "redirection/unsafe_text": "redirection/unsafe_text>safe_text",
    "preservation/safe_image>safe_image": "preservation/safe_image>safe_image",
    "preservation/safe_text>safe_text": "preservation/safe_text>safe_text",
    "preservation/safe_image>safe_text": "preservation/safe_image>safe_text",
    "preservation/safe_text>safe_image": "preservation/safe_text>safe_image",
}
"""Each term, and the term of Safe-CLIP whose place it takes."""
BLOCK = 2**24
"""Similarities held at once while targets are looked for: 64 MiB."""


@dataclass(frozen=True)
class SafeRCLIP:
    """The settings; the defaults are the paper's, or Safe-CLIP's where the paper is silent."""

    weighting: Literal["sum", "safe-clip"] = "sum"
    """Sum: all terms weigh 1, as printed. Safe-clip: the weights of the terms whose places they take."""
    temperature: float = 1.0
    """tau of the relative terms; the paper prints none."""
    target: Literal["nearest", "twin"] = "nearest"
    """Where unsafe items go: to the nearest safe pair, or, as in Safe-CLIP, to their own twin."""
    branches: Literal["both", "image"] = "both"
    """Whether texts are redirected too; the paper's figure shows pictures only."""
    cross_preservation: Literal["contrastive", "cosine"] = "contrastive"
    """How a safe item is held at the other modality's reference; the figure shows an arrow, no form."""
    stages: int = 3
    """Equal parts that come in one epoch after the other, easiest first; 1: all rows from the start."""
    difficulty: Literal["target", "twin"] = "target"
    """What makes a row easy: a caption near to that of its target, or near to that of its own twin."""
    logit_scale: float = math.exp(4.6052)
    """Fixed scale of the contrastive terms, Safe-CLIP's 100.003."""
    learning_rate: float = 1e-4
    """Of the towers or their adapters; the paper uses Adam, which is AdamW without decay."""
    scalar_learning_rate: float | None = None
    """Of nothing: the logit scale is fixed and there is no other scalar."""
    lora_rank: int | None = 16
    """Rank of the adapters; none: the towers themselves are trained, which suits small models."""
    lora_alpha: int = 1
    """The adapters are scaled by alpha / rank. Not stated in the paper; Safe-CLIP's."""
    lora_dropout: float = 0.1
    """Dropout before the adapters. Not stated in the paper; Safe-CLIP's."""
    lora_targets: tuple[str, ...] = PUBLISHED_TARGETS
    """Layers that get adapters, in both towers; the published code leaves out `q_proj`."""
    trained: Trained = "both"
    """Which towers are trained, or adapted; the other keeps its features, as in LiT (arXiv 2111.07991)."""

    name = "safer-clip"
    selection = HySAC.selection
    needs_reference = True

    def __post_init__(self) -> None:
        if self.stages < 1 or not self.temperature > 0:
            raise ConfigError(
                f"stages={self.stages}, temperature={self.temperature}: expected at least 1, and more than 0."
            )

    def prepare(self, model: DualEncoder, *, features: Quadruplet) -> None:
        """Fix the logit scale and add the adapters. `features` (a sample before the lift): not needed."""
        stay_on_sphere(model, logit_scale=self.logit_scale)
        adapt(model, self)

    def plan(self, reference: Quadruplet) -> Plan:
        """The target and the stage of every training row, from the reference points of all of them.

        The safe captions of the training rows are the only candidates; a row may have its own twin as
        target, and several rows may share one.
        """
        unsafe, safe = reference.unsafe_text, reference.safe_text
        twin = torch.arange(len(safe), device=safe.device)
        targets = twin if self.target == "twin" else nearest_safe(unsafe, safe)
        judged = safe if self.difficulty == "twin" else safe[targets]
        return Plan(targets=targets, first_epoch=stages_of((unsafe * judged).sum(-1), count=self.stages))

    def terms(
        self,
        points: Quadruplet,
        *,
        space: Space,
        logit_scale: Tensor | float,
        reference: Quadruplet | None = None,
        targets: Quadruplet | None = None,
    ) -> dict[str, Tensor]:
        """The eight terms by name. `targets`: reference of the rows whose safe pair is each row's target.

        Without targets each row goes to its own twin.

        Raises:
            ConfigError: there is no reference.
        """
        if reference is None:
            raise ConfigError(
                "SafeR-CLIP needs the reference points of the batch; give terms(reference=...)."
            )
        targets = reference if targets is None else targets
        terms = {}
        for part, other in (("image", "text"), ("text", "image")):
            if part == "text" and self.branches == "image":
                continue
            unsafe = getattr(points, f"unsafe_{part}")
            terms[f"relative/unsafe_{part}"] = relative(
                unsafe,
                positive=getattr(targets, f"safe_{other}"),
                negative=getattr(reference, f"unsafe_{other}"),
                temperature=self.temperature,
            )
            terms[f"redirection/unsafe_{part}"] = cosine_distance(unsafe, getattr(targets, f"safe_{part}"))
        for part, other in (("image", "text"), ("text", "image")):
            safe = getattr(points, f"safe_{part}")
            own, crossed = getattr(reference, f"safe_{part}"), getattr(reference, f"safe_{other}")
            terms[f"preservation/safe_{part}>safe_{part}"] = cosine_distance(safe, own)
            terms[f"preservation/safe_{part}>safe_{other}"] = (
                cosine_distance(safe, crossed)
                if self.cross_preservation == "cosine"
                else contrastive(safe, crossed, space=space, logit_scale=logit_scale)
            )
        return terms

    def weight(self, name: str) -> float:
        theirs = SafeCLIP().weight(SLOTS[name])
        return theirs if self.weighting == "safe-clip" else 1.0


def nearest_safe(unsafe_texts: Tensor, safe_texts: Tensor) -> Tensor:
    """j*(i): the index of the safe text with the highest cosine to unsafe text i; of equal ones the first.

    Points of the sphere in, on any device. Similarities are made block by block, never all at once.
    """
    chunk = max(1, BLOCK // max(1, len(safe_texts)))
    return top1(unsafe_texts, safe_texts, Sphere().similarity, chunk=chunk)


def stages_of(ease: Tensor, *, count: int) -> Tensor:
    """The stage, from 0, of each row: `count` equal parts (to one row), the rows of most `ease` first.

    >>> stages_of(torch.tensor([0.1, 0.9, 0.5, 0.8, 0.2, 0.4]), count=3)
    tensor([2, 0, 1, 0, 2, 1])
    """
    order = ease.argsort(descending=True, stable=True)
    place = torch.empty_like(order)
    place[order] = torch.arange(len(ease), device=ease.device)
    return place * count // max(1, len(ease))
