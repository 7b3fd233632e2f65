"""Traversals: the way from a point to the root, told by the captions that one passes on it."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from hyperaware.errors import ConfigError
from hyperaware.geometry import lorentz
from hyperaware.geometry.space import Lorentz, Space, space_from_config

__all__ = ["ROOT", "Stop", "captions_to_root", "traversal"]

ROOT = "[ROOT]"
"""What is named where no text contains the point."""


@dataclass(frozen=True)
class Stop:
    """A caption of a traversal, and the root distance of the point at which it first appears."""

    caption: str
    root_distance: float


def traversal(point: Float[Tensor, " d"], *, space: Space, steps: int = 50) -> Float[Tensor, "steps d"]:
    """The points from `point` to the root, both included, at equal geodesic steps.

    exp_0(t log_0(x)) with t from 1 to 0 (HySAC, arXiv 2503.12127; MERU, arXiv 2304.09172).

    Raises:
        ConfigError: fewer than two steps, a point that is not a single row, or a space without a root.
    """
    if steps < 2:
        raise ConfigError(f"steps is {steps}, expected at least 2: the point and the root.")
    if not isinstance(space, Lorentz):
        raise ConfigError(
            f"the space {space.name!r} has no root to go to, or no cones on the way; "
            "use a model whose space is 'lorentz'."
        )
    if point.dim() != 1:
        raise ConfigError(f"a traversal starts at one point, got a tensor of shape {tuple(point.shape)}.")
    fractions = torch.linspace(1, 0, steps, dtype=point.dtype, device=point.device)
    return lorentz.exp_map0(fractions.unsqueeze(1) * lorentz.log_map0(point, space.curv), space.curv)


@torch.no_grad()
def captions_to_root(
    point: Float[Tensor, " d"],
    *,
    texts: Float[Tensor, "n d"],
    captions: Sequence[str],
    space: Space,
    steps: int = 50,
    min_radius: float = 0.1,
) -> tuple[Stop, ...]:
    """The distinct captions on the way from `point` to the root, from the specific to the general.

    At each point of the `traversal` stands the nearest of those texts whose entailment cone contains it
    (exterior_angle(text, point) <= half_aperture(text)), and `ROOT` where there is none; so the last one is
    always `ROOT`. In the published code the root is one of the texts, and is named as soon as it is the
    nearest; here it is the last resort, so that a caption is told as long as one applies.

    Args:
        texts: points of the pool, one for each of `captions`. No policy stands between: what a role must not
            read does not belong into the pool.
        min_radius: the constant K of the cones.

    Raises:
        ConfigError: a pool that does not fit its captions, or what `traversal` refuses.
    """
    if len(texts) != len(captions):
        raise ConfigError(
            f"{len(texts)} texts and {len(captions)} captions were given, expected one for each."
        )
    space = space_from_config(space.config())
    points = traversal(point, space=space, steps=steps)
    apertures = lorentz.half_aperture(texts, space.curv, min_radius=min_radius)
    stops: dict[str, float] = {}
    rows = zip(points, space.similarity(points, texts), space.root_distance(points).tolist(), strict=True)
    for here, similarity, root_distance in rows:  # one by one: memory n x d, not n x d x steps
        contains = lorentz.exterior_angle(texts, here, space.curv) <= apertures
        caption = ROOT
        if contains.any():
            caption = captions[int(similarity.masked_fill(~contains, -torch.inf).argmax())]
        stops.setdefault(caption, root_distance)
    return tuple(Stop(caption, root_distance) for caption, root_distance in stops.items())
