"""The entailment term: the child lies in the parent's cone, in hyperbolic or in flat space."""

from jaxtyping import Float
from torch import Tensor

from hyperaware.geometry import euclid
from hyperaware.geometry.lorentz import cone_excess

__all__ = ["entailment", "euclidean_entailment"]


def entailment(
    parent: Float[Tensor, "n d"],
    child: Float[Tensor, "n d"],
    *,
    curv: Tensor | float,
    min_radius: float = 0.1,
    aperture_scale: float = 1.0,
) -> Float[Tensor, ""]:
    """The mean of max(0, phi(parent, child) - eta omega(parent)), in radians; 0 where every child is inside.

    phi is the exterior angle, omega the half-aperture with constant K = `min_radius`, eta = `aperture_scale`.
    Source: E(x -> y) of HySAC (arXiv 2503.12127), after MERU (arXiv 2304.09172). A parent nearer to the root
    than asinh(2K)/sqrt(c) has a cone of half a turn ("saturated"), whose width has no gradient.
    """
    excess = cone_excess(parent, child, curv, min_radius=min_radius, aperture_scale=aperture_scale)
    return excess.clamp(min=0).mean()


def euclidean_entailment(
    parent: Float[Tensor, "n d"],
    child: Float[Tensor, "n d"],
    *,
    min_radius: float = 0.1,
    aperture_scale: float = 1.0,
) -> Float[Tensor, ""]:
    """The same with the cones of flat space (Ganea et al., arXiv 1804.01882), as HySAC's table 9 asks for."""
    excess = euclid.cone_excess(parent, child, min_radius=min_radius, aperture_scale=aperture_scale)
    return excess.clamp(min=0).mean()
