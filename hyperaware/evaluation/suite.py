"""Every figure of a model that what was given allows: from points alone, and from other data beside them."""

from collections.abc import Mapping, Sequence

import torch

from hyperaware.data.quadruplet import Quadruplet, Row
from hyperaware.evaluation.classification import classification
from hyperaware.evaluation.keys import Figures
from hyperaware.evaluation.labels import labelled
from hyperaware.evaluation.protocols import evaluate
from hyperaware.evaluation.real_unsafe import real_unsafe
from hyperaware.evaluation.zero_shot import ClassPoints, zero_shot_of_rows
from hyperaware.geometry.space import Space
from hyperaware.moderation.bounds import Bounds

__all__ = ["figures_of"]


@torch.no_grad()
def figures_of(
    points: Quadruplet,
    rows: Sequence[Row],
    *,
    space: Space,
    bounds: Bounds | None,
    calibration: Quadruplet | None = None,
    galleries: Mapping[str, Quadruplet] | None = None,
    zero_shot: Mapping[str, ClassPoints] | None = None,
) -> Figures:
    """`protocols.evaluate`, and the protocols that need more than the points of the rows, by key.

    Args:
        points: of the model on `rows`, as `evaluation.embed` gives them.
        bounds: of this model, from other data than `rows`; None where there are none.
        calibration: labelled points of calibration rows, for `classification`.
        galleries: labelled points of other data by name, for `real-unsafe`.
        zero_shot: classes of each task with the model's points, as `zero_shot.prompted` gives them.

    Raises:
        DataError, ConfigError: see `evaluate`, `classification` and `real_unsafe`.
    """
    figures = evaluate(points, rows, space=space, bounds=bounds)
    points = labelled(points, rows)
    if calibration is not None:
        figures |= classification(points, calibration, space=space)
    figures |= real_unsafe(points, galleries or {}, space=space, bounds=bounds)
    return figures | zero_shot_of_rows(points.safe_image, rows, zero_shot or {}, space=space)
