"""What happened to each row, for the figures that are means over rows: so that models are compared in pairs.

Rows that ask depend on labels alone, so the outcomes of two models on the same rows belong to the same rows:
`metrics.bootstrap.mean_differences(mine.values, theirs.values)` is the paired bootstrap.
"""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain

import torch
from jaxtyping import Bool, Int
from torch import Tensor

from hyperaware.data.quadruplet import Quadruplet, Row
from hyperaware.evaluation.labels import both_unsafe, labelled
from hyperaware.evaluation.preference import preferences
from hyperaware.evaluation.searches import (
    Search,
    awareness_searches,
    redirect_searches,
    safe_redirected_searches,
    safe_searches,
    substitute_searches,
    unsafe_searches,
)
from hyperaware.geometry.space import Space
from hyperaware.moderation.bounds import Bounds

__all__ = ["Outcomes", "outcomes"]


@dataclass(frozen=True)
class Outcomes:
    """Some rows asked; each of the values has one entry for each of them."""

    rows: Int[Tensor, "n"]
    """The rows that asked, in rising order."""
    values: dict[str, Bool[Tensor, "n"]]
    """By the key of the figure that is their mean."""


@torch.no_grad()
def outcomes(
    points: Quadruplet, rows: Sequence[Row], *, space: Space, bounds: Bounds | None
) -> tuple[Outcomes, ...]:
    """Outcomes per row, one group for each set of rows that asks; no key is in two groups.

    Keys are those of `protocols.evaluate`, and the mean of an outcome is its figure there: of `safe`,
    `safe-redirected`, `unsafe`, `awareness`, `redirect` and `substitute` recall@1; harmful_top1; and the nine
    of `safeground`. What does not exist for a model (a redirect without bounds) is absent.

    Raises:
        DataError: see `protocols.evaluate`.
    """
    points = labelled(points, rows)
    groups: dict[tuple[int, ...], dict[str, Tensor]] = defaultdict(dict)
    for search in _searches(points, space, bounds):
        values = groups[tuple(search.rows.tolist())]
        values[f"{search.key}/recall@1"] = search.ranks == 1
        if search.harmful is not None:
            values[f"{search.key}/harmful_top1"] = search.harmful
    pairs = both_unsafe(points)
    for key, hits in preferences(points, pairs, space=space).items():
        groups[tuple(pairs.nonzero().squeeze(1).tolist())][key] = hits
    return tuple(Outcomes(torch.tensor(asked), values) for asked, values in groups.items())


def _searches(points: Quadruplet, space: Space, bounds: Bounds | None) -> Iterator[Search]:
    redirected = () if bounds is None else safe_redirected_searches(points, space=space, bounds=bounds)
    return chain(
        safe_searches(points, space=space),
        redirected,
        unsafe_searches(points, space=space),
        awareness_searches(points, space=space),
        redirect_searches(points, space=space, bounds=bounds),
        substitute_searches(points, space=space, bounds=bounds),
    )
