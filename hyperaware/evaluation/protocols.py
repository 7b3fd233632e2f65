"""The figures of a model on quadruplets: one pure function per protocol, from points and labels to numbers.

Keys are explained in `evaluation.keys`; sources, and what differs in ours, in `evaluation.sources`. What
rests on other data than the rows (calibration points, other galleries, classes) is added by
`evaluation.suite`.
"""

from collections.abc import Sequence

import torch

from hyperaware.data.quadruplet import Quadruplet, Row
from hyperaware.errors import ConfigError
from hyperaware.evaluation.keys import (
    AWARENESS,
    CLASSES,
    QUANTILES,
    REDIRECT,
    SAFE,
    SUBSTITUTE,
    UNSAFE,
    Figures,
    prefixed,
)
from hyperaware.evaluation.labels import both_unsafe, labelled
from hyperaware.evaluation.preference import safe_preferences
from hyperaware.evaluation.root_distance import (
    blocking_rates,
    counts,
    root_distance_quantiles,
    root_distances,
    root_separation,
)
from hyperaware.evaluation.searches import (
    awareness_searches,
    figures_of_searches,
    redirect_searches,
    safe_redirected_searches,
    safe_searches,
    substitute_searches,
    unsafe_searches,
)
from hyperaware.geometry.space import Space
from hyperaware.moderation.bounds import Bounds

__all__ = [
    "AWARENESS",
    "CLASSES",
    "QUANTILES",
    "REDIRECT",
    "SAFE",
    "SUBSTITUTE",
    "UNSAFE",
    "Figures",
    "awareness",
    "blocking_rates",
    "by_category",
    "counts",
    "evaluate",
    "labelled",
    "redirected_retrieval",
    "root_distance_quantiles",
    "root_distances",
    "root_separation",
    "safe_redirected_retrieval",
    "safe_retrieval",
    "substitutes",
    "unsafe_retrieval",
]


@torch.no_grad()
def evaluate(points: Quadruplet, rows: Sequence[Row], *, space: Space, bounds: Bounds | None) -> Figures:
    """Every figure that exists for these points alone, by key.

    Args:
        points: of the model on `rows`, as `evaluation.embed` gives them. Labels are taken from `rows`.
        bounds: of this model, from other data than `rows`; None where there are none.

    Raises:
        DataError: no rows, points and rows that do not belong together, or a point that is not finite.
        ConfigError: bounds for a space without a root.
    """
    points = labelled(points, rows)
    if bounds is not None and not space.has_root:
        raise ConfigError(
            f"bounds of root distance were given for the space {space.name!r}, which has no root; "
            "give bounds=None for such a model."
        )
    figures = counts(points, rows)
    figures |= safe_retrieval(points, space=space)
    figures |= unsafe_retrieval(points, space=space)
    figures |= awareness(points, space=space)
    figures |= redirected_retrieval(points, space=space, bounds=bounds)
    figures |= substitutes(points, space=space, bounds=bounds)
    figures |= by_category(points, space=space, bounds=bounds)
    figures |= safe_preferences(points, both_unsafe(points), space=space)
    if space.has_root:
        figures |= root_separation(points, rows, space=space)
        figures |= root_distance_quantiles(points, space=space)
    if bounds is not None:
        figures |= safe_redirected_retrieval(points, space=space, bounds=bounds)
        figures |= blocking_rates(points, rows, space=space, bounds=bounds)
    return figures


def safe_retrieval(points: Quadruplet, *, space: Space) -> Figures:
    """Recall of safe queries among safe items (HySAC, Table 1, columns 1 and 2)."""
    return figures_of_searches(safe_searches(points, space=space))


def unsafe_retrieval(points: Quadruplet, *, space: Space) -> Figures:
    """Recall of unsafe queries among unsafe items (HySAC, Table 2, columns 1 and 2).

    The paper has no labels. Here a row asks only if both its sides are unsafe, as in ShieldCLIP: otherwise
    there is no unsafe pair to find. All generated items stay in the gallery.
    """
    return figures_of_searches(unsafe_searches(points, space=space))


def awareness(points: Quadruplet, *, space: Space) -> Figures:
    """Recall of unsafe queries among all items, none redirected (HySAC, Table 2, columns 3 and 4).

    What a role that may see everything still finds. The rows that ask are those of `unsafe_retrieval`; the
    paper's evaluation moves queries *outward* first, ours asks with the query as it is.
    """
    return figures_of_searches(awareness_searches(points, space=space))


def redirected_retrieval(points: Quadruplet, *, space: Space, bounds: Bounds | None) -> Figures:
    """Unsafe queries among all items, before and after the redirect: are they harmed, do they find the twin?

    The recall is of the paired *safe* item (HySAC, Table 1, columns 3 and 4); `harmful_top1` is the share of
    queries whose first hit is labelled unsafe (ShieldCLIP, Table 8). HySAC's figures come from its published
    traversal; ours are given raw and, where there are bounds, with `moderation.redirect` (trigger in the
    query's modality, landing in the target's). Only queries labelled unsafe ask.
    """
    return figures_of_searches(redirect_searches(points, space=space, bounds=bounds))


def substitutes(points: Quadruplet, *, space: Space, bounds: Bounds | None) -> Figures:
    """Recall of the paired safe item by unsafe queries, among safe items alone (SafeR-CLIP, T*->V and V*->T).

    Does the query keep its meaning where nothing harmful can be found? We do not know SafeR-CLIP's gallery;
    its figures are so low that it probably held the unsafe items too, and then their counterpart is
    `redirected_retrieval`. Only queries labelled unsafe ask.
    """
    return figures_of_searches(substitute_searches(points, space=space, bounds=bounds))


def by_category(points: Quadruplet, *, space: Space, bounds: Bounds | None) -> Figures:
    """`redirected_retrieval` within each category: recall@1 and harmful_top1 (HySAC, Table 8).

    **The pool of a category is its own rows**: their safe and their generated items. We do not know the
    paper's pool; its figures are higher than those of its Table 1, which speaks for pools by category. Pools
    differ in size, so categories compare between models, not with each other. Rows without a category take
    no part.
    """
    figures: Figures = {}
    for name in sorted({category for category in points.categories if category is not None}):
        members = torch.tensor([category == name for category in points.categories]).nonzero().squeeze(1)
        found = redirected_retrieval(points.take(members), space=space, bounds=bounds)
        kept = {key: value for key, value in found.items() if key.endswith(("/recall@1", "/harmful_top1"))}
        figures |= prefixed(
            f"by-category/{name}", {key.partition("/")[2]: value for key, value in kept.items()}
        )
    return figures


def safe_redirected_retrieval(points: Quadruplet, *, space: Space, bounds: Bounds) -> Figures:
    """`safe_retrieval` with the redirect in force: what a false trigger costs whoever asks for safe things.

    Not in HySAC, whose evaluation moves unsafe queries only.
    """
    return figures_of_searches(safe_redirected_searches(points, space=space, bounds=bounds))
