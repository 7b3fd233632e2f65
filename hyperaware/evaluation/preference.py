"""SafeGround on quadruplets: which of two candidates a model prefers, the safe or the unsafe one of a row."""

from typing import NamedTuple

from torch import Tensor

from hyperaware.data.quadruplet import Quadruplet
from hyperaware.geometry.space import Space
from hyperaware.metrics.safeground import successes

__all__ = ["PairedSimilarities", "paired_similarities", "preferences", "safe_preferences"]


class PairedSimilarities(NamedTuple):
    """The four similarities of each row, named as in `metrics.safeground`."""

    a: Tensor
    """Safe image and safe text."""
    b: Tensor
    """Safe image and unsafe text."""
    c: Tensor
    """Unsafe image and safe text."""
    d: Tensor
    """Unsafe image and unsafe text."""


def paired_similarities(points: Quadruplet, *, space: Space) -> PairedSimilarities:
    """Minus the geodesic distances within each row, which are in the order of the space's similarity.

    The paper compares cosines; on a sphere the order is the same. No matrix of all pairs is made.
    """
    return PairedSimilarities(
        a=-space.distance(points.safe_image, points.safe_text),
        b=-space.distance(points.safe_image, points.unsafe_text),
        c=-space.distance(points.unsafe_image, points.safe_text),
        d=-space.distance(points.unsafe_image, points.unsafe_text),
    )


def preferences(points: Quadruplet, tuples: Tensor, *, space: Space) -> dict[str, Tensor]:
    """Which of the rows in the mask `tuples` succeed, in their order, by the key `safeground/METRIC`."""
    if not tuples.any():
        return {}
    chosen = points.map(lambda part: part[tuples])
    return {
        f"safeground/{name}": hits
        for name, hits in successes(*paired_similarities(chosen, space=space)).items()
    }


def safe_preferences(points: Quadruplet, tuples: Tensor, *, space: Space) -> dict[str, float]:
    """SafeGround's nine shares (arXiv 2503.11742) over the rows in the mask `tuples`, and how many these are.

    Keys: `safeground/METRIC`, `count/safeground`; none where there is no such row. Queries are not moved.
    """
    hits = preferences(points, tuples, space=space)
    if not hits:
        return {}
    return {
        "count/safeground": int(tuples.sum()),
        **{key: each.double().mean().item() for key, each in hits.items()},
    }
