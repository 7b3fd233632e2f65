"""Redirection: an unsafe query is moved along its ray towards the root, to where safe items are.

The direction carries the meaning and stays; the root distance carries the danger and shrinks.
"""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from hyperaware.errors import ConfigError, SafetyError
from hyperaware.geometry import lorentz
from hyperaware.geometry.space import Space
from hyperaware.moderation.bounds import MODALITIES, Bounds
from hyperaware.options import unknown_name

__all__ = ["Redirected", "published_traversal", "redirect"]


@dataclass(frozen=True)
class Redirected:
    """A batch of queries after redirection: where each is now, and whether it was above the trigger."""

    points: Float[Tensor, "n d"]
    triggered: Bool[Tensor, " n"]
    root_distance_before: Float[Tensor, " n"]
    root_distance_after: Float[Tensor, " n"]


def redirect(
    queries: Float[Tensor, "n d"],
    *,
    space: Space,
    bounds: Bounds,
    query_modality: str,
    target_modality: str,
    strength: float = 1.0,
    triggered: Bool[Tensor, " n"] | None = None,
) -> Redirected:
    """The queries, with those above the trigger of their own modality moved in towards the target's landing.

    A query at root distance r > trigger[query_modality] lands at exactly

        (1 - strength) r + strength min(r, landing[target_modality])

    as a geodesic distance; all others are returned untouched, and none moves outward. Each row is judged by
    itself: a batch gives what its rows give one by one.

    We differ from the published rule (`published_traversal`) in three ways: it judges by the bound of the
    *target's* modality, so that every safe image query counts as unsafe; it sets the Euclidean norm of the
    space part where a geodesic distance was meant; and it handles one query at a time.

    Args:
        strength: 0 leaves the queries where they are, 1 moves them all the way to the landing.
        triggered: which queries to move, where a policy has judged them; None for those above the trigger.

    Raises:
        ConfigError: an unknown modality, a strength outside [0, 1], or a space without a root.
        SafetyError: a query whose root distance is not finite.
    """
    for modality in (query_modality, target_modality):
        if modality not in MODALITIES:
            raise unknown_name("modality", str(modality), MODALITIES)
    require_strength(strength)
    before = space.root_distance(queries)
    if not before.isfinite().all():
        rows = (~before.isfinite()).nonzero().flatten().tolist()
        raise SafetyError(f"the root distance of query {rows[0]} is not finite, so it cannot be judged.")
    exact = before.double()
    if triggered is None:
        triggered = exact > bounds.trigger[query_modality]
    landing = bounds.landing[target_modality]
    stated = torch.minimum((1 - strength) * exact + strength * landing, exact)
    moves = triggered & (stated < exact)
    landed = space.move_to(queries, stated.to(before.dtype))
    return Redirected(
        points=torch.where(moves.unsqueeze(-1), landed, queries),
        triggered=triggered,
        root_distance_before=before,
        root_distance_after=torch.where(moves, stated, exact).to(before.dtype),
    )


def require_strength(strength: float) -> None:
    """Refuses what is not a number in [0, 1] (`ConfigError`)."""
    if isinstance(strength, bool) or not isinstance(strength, (int, float)) or not 0 <= strength <= 1:
        raise ConfigError(
            f"strength is {strength!r}, expected a number from 0 (untouched) to 1 (fully redirected)."
        )


def published_traversal(
    queries: Float[Tensor, "n d"], *, bound: float, curv: float, alpha: float = 0.8
) -> Float[Tensor, "n d"]:
    """The queries moved by the rule of released HySAC (arXiv 2503.12127), kept to reproduce its figures.

        tau = bound + tanh((bound - alpha) / curv) + 1

    `bound` is the 95th percentile of the root distances of the *target's* safe class (the paper's text has
    the mean). A query with a geodesic root distance above tau gets tau as the Euclidean *norm* of its space
    part, and so lands at the geodesic distance asinh(sqrt(curv) tau) / sqrt(curv) < tau: at 1.444 for tau = 2
    and curv = 1. Use `redirect` for everything else.
    """
    tau = bound + math.tanh((bound - alpha) / curv) + 1
    norms = queries.norm(dim=-1, keepdim=True)
    outside = lorentz.root_distance(queries, curv).unsqueeze(-1) > tau
    return torch.where(outside, queries * (tau / norms.clamp(min=torch.finfo(norms.dtype).tiny)), queries)
