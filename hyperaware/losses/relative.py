"""The relative term: nearer to one point of the sphere than to another one."""

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

__all__ = ["relative"]


def relative(
    anchor: Float[Tensor, "n d"],
    *,
    positive: Float[Tensor, "n d"],
    negative: Float[Tensor, "n d"],
    temperature: float = 1.0,
) -> Float[Tensor, ""]:
    """The mean of log(1 + exp((cos(a_i, n_i) - cos(a_i, p_i)) / tau)), in nats; points of the `Sphere`.

    L_rel of SafeR-CLIP (arXiv 2511.16743), with tau = `temperature`; the paper prints none, that is 1. Each
    row has one negative of its own, so nothing depends on the rest of the batch. log 2 where both are
    equally near.

    >>> import torch
    >>> anchor, near, far = torch.tensor([[1.0, 0.0]]), torch.tensor([[0.8, 0.6]]), torch.tensor([[0.6, 0.8]])
    >>> relative(anchor, positive=near, negative=far)           # log(1 + exp(-0.2))
    tensor(0.5981)
    """
    difference = (anchor * negative).sum(-1) - (anchor * positive).sum(-1)
    return F.softplus(difference / temperature).mean()
