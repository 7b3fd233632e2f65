"""Root distances of points and what they tell: quantiles, separation, errors of the bounds.

And how many points of each side a scope has: the counts that all of these rest on.
"""

import itertools
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from hyperaware.data.quadruplet import Quadruplet, Row
from hyperaware.evaluation.keys import CLASSES, QUANTILES, Figures, prefixed
from hyperaware.evaluation.labels import is_unsafe, share
from hyperaware.geometry.space import Space
from hyperaware.metrics.separation import separation
from hyperaware.moderation.bounds import MODALITIES, Bounds

__all__ = [
    "blocking_rates",
    "counts",
    "root_distance_quantiles",
    "root_distances",
    "root_separation",
]


def root_distances(points: Quadruplet, *, space: Space) -> dict[str, Tensor]:
    """Root distances of each class, float64; generated items labelled safe stand with the safe class.

    What `root_distance_quantiles` summarises and `plots.root_distance_histogram` shows (HySAC, Figure 2).

    Raises:
        ConfigError: a space without a root.
    """
    classes = {}
    for modality in MODALITIES:
        scores, unsafe = _scores(points, modality, space)
        classes[f"safe_{modality}"], classes[f"unsafe_{modality}"] = scores[~unsafe], scores[unsafe]
    return {name: classes[name] for name in CLASSES}


def root_distance_quantiles(points: Quadruplet, *, space: Space) -> Figures:
    """Quantiles of root distance per class, and whether the medians are in the order of `CLASSES`.

    HySAC draws the histograms (Figure 2) and gives no numbers. Equal medians are not in order.
    """
    distances = root_distances(points, space=space)
    figures: Figures = {}
    for name, values in distances.items():
        for quantile, place in QUANTILES.items():
            if len(values):
                figures[f"root_distance/{name}/{quantile}"] = float(values.quantile(place))
    medians = [figures[key] for name in CLASSES if (key := f"root_distance/{name}/q50") in figures]
    if len(medians) == len(CLASSES):
        figures["root_distance/medians_ordered"] = all(
            inner < outer for inner, outer in itertools.pairwise(medians)
        )
    return figures


def root_separation(points: Quadruplet, rows: Sequence[Row], *, space: Space) -> Figures:
    """How well root distance tells unsafe from safe: AUROC, AP and FPR at 95 % TPR, per modality and scope.

    In place of HySAC's Tables 5 and 6: their thresholds are chosen per test set, their shares do not add up.
    """
    figures: Figures = {}
    for modality in MODALITIES:
        scores, unsafe = _scores(points, modality, space)
        for scope, members in _scopes(rows, unsafe):
            if unsafe[members].any() and not unsafe[members].all():
                found = separation(scores[members], unsafe[members])
                figures |= prefixed(f"separation/{modality}/{scope}", found)
    return figures


def blocking_rates(points: Quadruplet, rows: Sequence[Row], *, space: Space, bounds: Bounds) -> Figures:
    """Share of safe points above each bound and of unsafe points not above it, per modality and scope.

    The first is the false-positive rate (on the dual-use slice: the over-blocking rate), the second the miss
    rate; both are rates within their class, unlike those of HySAC's Tables 5 and 6.
    """
    figures: Figures = {}
    for modality in MODALITIES:
        scores, unsafe = _scores(points, modality, space)
        for bound, value in (("trigger", bounds.trigger[modality]), ("limit", bounds.limit[modality])):
            above = scores > value
            for scope, members in _scopes(rows, unsafe):
                key = f"blocking/{modality}/{scope}/{bound}"
                safe, harmful = members & ~unsafe, members & unsafe
                if safe.any() and not scope.startswith("category:"):
                    figures[f"{key}/false_positive_rate"] = share(above[safe])
                if harmful.any():
                    figures[f"{key}/miss_rate"] = share(~above[harmful])
    return figures


def counts(points: Quadruplet, rows: Sequence[Row]) -> Figures:
    """How many safe and unsafe points of each modality a scope has; the unsafe ones are also the queries."""
    figures: Figures = {}
    for modality in MODALITIES:
        unsafe = torch.cat([torch.zeros(len(rows), dtype=torch.bool), is_unsafe(points, modality)])
        for scope, members in _scopes(rows, unsafe):
            figures[f"count/{modality}/{scope}/safe"] = int((members & ~unsafe).sum())
            figures[f"count/{modality}/{scope}/unsafe"] = int((members & unsafe).sum())
    return figures


def _scores(points: Quadruplet, modality: str, space: Space) -> tuple[Tensor, Tensor]:
    """Root distances of all points of a modality, safe rows and then generated rows, and which are unsafe."""
    both = torch.cat([getattr(points, f"safe_{modality}"), getattr(points, f"unsafe_{modality}")])
    generated = is_unsafe(points, modality)
    unsafe = torch.cat([torch.zeros_like(generated), generated])
    return space.root_distance(both).detach().cpu().double(), unsafe


def _scopes(rows: Sequence[Row], unsafe: Tensor) -> Iterator[tuple[str, Tensor]]:
    """Each scope and its members among the points of `_scores`."""
    yield "all", torch.ones_like(unsafe)
    for category in sorted({row.category for row in rows if row.category is not None}):
        own = torch.tensor([row.category == category for row in rows]).repeat(2)
        yield f"category:{category}", ~unsafe | own
    for name in sorted({row.slice for row in rows if row.slice is not None}):
        yield f"slice:{name}", torch.tensor([row.slice == name for row in rows]).repeat(2)
