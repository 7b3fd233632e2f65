"""The contrastive term of CLIP, in any space."""

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from hyperaware.geometry.space import Space

__all__ = ["contrastive"]


def contrastive(
    x: Float[Tensor, "n d"],
    y: Float[Tensor, "n d"],
    *,
    space: Space,
    logit_scale: Tensor | float,
) -> Float[Tensor, ""]:
    """The symmetric InfoNCE loss C(x, y) of n aligned pairs.

    C = 1/2 [CE(s sim(x, y)) + CE(s sim(y, x))], in nats. The positive of x_i is y_i; the negatives are the
    other rows of y, and nothing else. On a `Sphere` this is CLIP's loss (arXiv 2103.00020); on `Lorentz` sim
    is minus the geodesic distance, as in MERU (arXiv 2304.09172) and HySAC (arXiv 2503.12127).
    """
    logits = logit_scale * space.similarity(x, y)
    targets = torch.arange(len(x), device=x.device)
    return (F.cross_entropy(logits, targets) + F.cross_entropy(logits.T, targets)) / 2
