"""The contrastive term of CLIP, in any space, and the half of it that asks in one direction."""

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from hyperaware.geometry.space import Space

__all__ = ["contrastive", "one_way"]


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


def one_way(
    queries: Float[Tensor, "n d"],
    items: Float[Tensor, "n d"],
    *,
    space: Space,
    logit_scale: Tensor | float,
) -> Float[Tensor, ""]:
    """CE(s sim(queries, items)), in nats: each query has to find the item of its own row among all items.

    HyCoCLIP (arXiv 2410.06912) lets boxes ask whole pictures and captions so, and never the other way round:
    several boxes of a batch may show the same thing, so that a box is no answer that only one picture has.
    """
    logits = logit_scale * space.similarity(queries, items)
    return F.cross_entropy(logits, torch.arange(len(queries), device=queries.device))
