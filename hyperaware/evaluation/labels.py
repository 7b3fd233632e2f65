"""Points with the labels of their rows: which parts of a generated pair are unsafe."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
from jaxtyping import Bool
from torch import Tensor

from hyperaware.data.quadruplet import Quadruplet, Row
from hyperaware.errors import DataError
from hyperaware.evaluation.keys import CLASSES

__all__ = ["both_unsafe", "is_unsafe", "labelled", "share"]


def labelled(points: Quadruplet, rows: Sequence[Row]) -> Quadruplet:
    """The points with the labels and categories of their rows, once it is sure that both belong together.

    Raises:
        DataError: no rows, points and rows that do not belong together, or a point that is not finite.
    """
    if not rows:
        raise DataError("there are no rows to evaluate, expected at least one.")
    labels: dict[str, Any] = {}
    for name in CLASSES:
        part = getattr(points, name)
        if len(part) != len(rows):
            raise DataError(f"{name} has {len(part)} points for {len(rows)} rows, expected one for each row.")
        broken = (~part.isfinite().all(dim=1)).nonzero().flatten().tolist()
        if broken:
            raise DataError(
                f"{len(broken)} of {len(part)} points of {name} are not finite, the first in row "
                f"{rows[broken[0]].id!r}: there are no figures for such a model."
            )
    for name in ("unsafe_text_is_unsafe", "unsafe_image_is_unsafe"):
        labels[name] = torch.tensor([getattr(row, name) for row in rows])
        given = getattr(points, name)
        if given is not None and not torch.equal(given.cpu().bool(), labels[name]):
            raise DataError(f"{name} of the points differs from the rows': these are points of other rows.")
    return replace(points, categories=tuple(row.category for row in rows), **labels)


def is_unsafe(points: Quadruplet, modality: str) -> Bool[Tensor, "n"]:
    """Which generated parts of this modality are unsafe.

    Raises:
        DataError: the points carry no labels.
    """
    labels = getattr(points, f"unsafe_{modality}_is_unsafe")
    if labels is None:
        raise DataError("the points carry no labels; make them by labelled(points, rows).")
    return labels


def both_unsafe(points: Quadruplet) -> Bool[Tensor, "n"]:
    """Which generated pairs are unsafe on both sides.

    Raises:
        DataError: the points carry no labels.
    """
    return is_unsafe(points, "text") & is_unsafe(points, "image")


def share(hits: Bool[Tensor, "n"]) -> float:
    """How many of the hits are True, as a fraction."""
    return hits.double().mean().item()
