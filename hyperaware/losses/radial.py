"""Radial order: classes of points take their places outwards from the root. Ours; not in the HySAC paper."""

from collections.abc import Sequence
from itertools import pairwise

import torch
from jaxtyping import Float
from torch import Tensor

__all__ = ["radial_order"]


def radial_order(
    root_distances: Sequence[Float[Tensor, "n"]], *, margin: float | Sequence[float]
) -> Float[Tensor, ""]:
    """The mean hinge max(0, r_i - r_j + m) of neighbouring classes, innermost first; i in one, j in the next.

    Every point of a class is compared with every point of the next, not only with its twin: a threshold on
    the root distance has to separate whole classes. `margin` is a fraction, one for all gaps or one for each:
    m = margin * mean root distance of all points given, without gradient, so that the term cannot be met by
    shrinking or growing everything. The unit is that of the root distances.

    >>> inner, outer = torch.tensor([1.0, 1.0]), torch.tensor([3.0, 1.0])   # mean 1.5, m = 0.75
    >>> float(radial_order([inner, outer], margin=0.5))                     # (0 + 0.75 + 0 + 0.75) / 4
    0.375
    """
    gaps = list(pairwise(root_distances))
    margins = [margin] * len(gaps) if isinstance(margin, (int, float)) else margin
    scale = torch.cat([distances.detach() for distances in root_distances]).mean()
    hinges = [
        (inner[:, None] - outer[None, :] + share * scale).clamp(min=0).mean()
        for (inner, outer), share in zip(gaps, margins, strict=True)
    ]
    return torch.stack(hinges).mean()
