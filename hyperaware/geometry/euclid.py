"""Entailment cones of flat space, after Ganea et al. (arXiv 1804.01882): what `lorentz` has for curved space.

Conventions are those of `lorentz`: angles in radians, x of any leading shape, zero where a formula has no
gradient. The root is the zero vector. The cones are not the limit c -> 0 of MERU's: those are asin(2K /
(sqrt(c)|x|)), whose constant has to shrink with sqrt(c). At c = 1 and near the root MERU's K is half of the
K here.
"""

import torch
from jaxtyping import Float
from torch import Tensor

__all__ = ["cone_excess", "exterior_angle", "half_aperture"]


def half_aperture(x: Float[Tensor, "*batch d"], *, min_radius: float = 0.1) -> Float[Tensor, "*batch"]:
    """Half-angle of the cone at x, in (0, pi/2]: asin(K / |x|), K = `min_radius`.

    Where |x| <= K the cone is a half-space, pi/2, without a gradient; Ganea et al. keep points out of there.

    >>> half_aperture(torch.tensor([[0.2], [0.1], [0.0]])) * 180 / torch.pi
    tensor([30., 90., 90.])
    """
    norm = torch.linalg.vector_norm(x, dim=-1)
    saturated = norm <= min_radius
    return torch.where(
        saturated, torch.pi / 2, torch.asin(min_radius / torch.where(saturated, torch.inf, norm))
    )


def exterior_angle(x: Float[Tensor, "*#batch d"], y: Float[Tensor, "*#batch d"]) -> Float[Tensor, "*_"]:
    """Angle at x between the ray from the root onwards and the segment to y, in [0, pi].

    The arccos of (|y|² - |x|² - |x-y|²) / (2|x||x-y|), here as the atan2 of the parts of y - x across and
    along the ray, which does not cancel. 0 for y = x, and pi/2 for x at the root, by the conventions of
    `lorentz`.

    >>> exterior_angle(torch.tensor([1.0, 0.0]), torch.tensor([2.0, 1.0])) * 180 / torch.pi
    tensor(45.)
    """
    norm = torch.linalg.vector_norm(x, dim=-1, keepdim=True)
    ray, way = x / torch.where(norm == 0, 1.0, norm), y - x
    along = (way * ray).sum(-1)
    across = torch.linalg.vector_norm(way - along.unsqueeze(-1) * ray, dim=-1)
    together = across.square() + along.square() < torch.finfo(x.dtype).tiny
    return torch.atan2(torch.where(together, 0.0, across), torch.where(together, 1.0, along))


def cone_excess(
    x: Float[Tensor, "*#batch d"],
    y: Float[Tensor, "*#batch d"],
    *,
    min_radius: float = 0.1,
    aperture_scale: float = 1.0,
) -> Float[Tensor, "*_"]:
    """How far y is out of the cone at x: exterior_angle(x, y) - eta half_aperture(x); at most 0 inside.

    >>> cone_excess(torch.tensor([0.2, 0.0]), torch.tensor([0.4, 0.0])) * 180 / torch.pi
    tensor(-30.)
    """
    return exterior_angle(x, y) - aperture_scale * half_aperture(x, min_radius=min_radius)
