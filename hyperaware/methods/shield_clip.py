"""ShieldCLIP (arXiv 2609.39688): each item is judged by the label of its own modality.

It changes Safe-CLIP in what is redirected. A generated pair is often not unsafe on both sides; each term
sees only the rows whose labels it is about, and the frozen reference E0 is held as a table of points:

    real        all real pairs (t, v): keep their places, by cosine and across modalities
    safe        generated items labelled safe: keep their places too; across modalities where both are safe
    redirection generated items labelled unsafe: to the reference of their real twin, by cosine only
    mixed       one side unsafe: the unsafe side goes to the reference of its safe generated partner
    coherent    both sides unsafe: texts and pictures stay aligned with each other, both trained

Two numbers differ from the other methods as in the paper: the cosine terms are -cos, so that the total may be
negative, and the contrastive terms add both directions without halving. A term without rows is exactly zero
and still hangs on the points, so that processes agree on the graph.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
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

__all__ = ["ShieldCLIP"]

Pair = Callable[[Tensor, Tensor], Tensor]


@dataclass(frozen=True)
class ShieldCLIP:
    """The settings; the weights are the paper's, in its order."""

    real_weight: float = 0.1
    """Weight of the terms on real pairs."""
    safe_weight: float = 0.1
    """Weight of the terms on generated items that are safe."""
    redirection_weight: float = 0.1
    """Weight of the terms that move unsafe items to their real twins."""
    mixed_weight: float = 0.25
    """Weight of the terms on generated pairs with one unsafe side."""
    coherent_weight: float = 0.25
    """Weight of the term on generated pairs with two unsafe sides."""
    cosine_only: bool = False
    """Leave out every contrastive term: the paper's table 11, where text-to-image search collapses."""
    logit_scale: float = math.exp(4.6052)
    """Fixed scale of the contrastive terms, 1/tau. Not stated in the paper; Safe-CLIP's."""
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

    name = "shield-clip"
    selection = HySAC.selection
    needs_reference = True

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
        """The terms by name, each over its own rows. Labels are those of `points`; none: all are unsafe.

        Raises:
            ConfigError: there is no reference.
        """
        if reference is None:
            raise ConfigError(
                "ShieldCLIP needs the reference points of the batch; give terms(reference=...)."
            )
        text, image = _unsafe(points, "text"), _unsafe(points, "image")
        every = torch.ones_like(text)

        def both_ways(x: Tensor, y: Tensor) -> Tensor:
            return 2 * contrastive(x, y, space=space, logit_scale=logit_scale)

        p, r = points, reference
        rows = {
            "real/image": (_minus_cosine, p.safe_image, r.safe_image, every),
            "real/text": (_minus_cosine, p.safe_text, r.safe_text, every),
            "real/image>text": (both_ways, p.safe_image, r.safe_text, every),
            "real/text>image": (both_ways, p.safe_text, r.safe_image, every),
            "safe/image": (_minus_cosine, p.unsafe_image, r.unsafe_image, ~image),
            "safe/text": (_minus_cosine, p.unsafe_text, r.unsafe_text, ~text),
            "safe/image>text": (both_ways, p.unsafe_image, r.unsafe_text, ~text & ~image),
            "safe/text>image": (both_ways, p.unsafe_text, r.unsafe_image, ~text & ~image),
            "redirection/image": (_minus_cosine, p.unsafe_image, r.safe_image, image),
            "redirection/text": (_minus_cosine, p.unsafe_text, r.safe_text, text),
            "mixed/image>text": (both_ways, p.unsafe_image, r.unsafe_text, image & ~text),
            "mixed/text>image": (both_ways, p.unsafe_text, r.unsafe_image, text & ~image),
            "coherent": (both_ways, p.unsafe_text, p.unsafe_image, text & image),
        }
        return {
            name: _on(chosen, loss, x, y)
            for name, (loss, x, y, chosen) in rows.items()
            if not (self.cosine_only and loss is both_ways)
        }

    def weight(self, name: str) -> float:
        return {
            "real": self.real_weight,
            "safe": self.safe_weight,
            "redirection": self.redirection_weight,
            "mixed": self.mixed_weight,
            "coherent": self.coherent_weight,
        }[name.partition("/")[0]]


def _minus_cosine(x: Tensor, y: Tensor) -> Tensor:
    return cosine_distance(x, y) - 1


def _on(chosen: Tensor, loss: Pair, x: Tensor, y: Tensor) -> Tensor:
    """The loss of the chosen rows; without any, a zero that keeps x and y in the graph."""
    if not chosen.any():
        return 0 * (x.sum() + y.sum())
    return loss(x[chosen], y[chosen])


def _unsafe(points: Quadruplet, modality: str) -> Tensor:
    """Which generated items of the modality are unsafe, on the device of the points."""
    labels = getattr(points, f"unsafe_{modality}_is_unsafe")
    if labels is None:
        return torch.ones(len(points), dtype=torch.bool, device=points.safe_text.device)
    return labels.to(points.safe_text.device)
