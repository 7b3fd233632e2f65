"""Where the names of points go, so that none covers another name, a mark or an arrow."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

__all__ = ["label_places"]

Boxes = NDArray[np.float64]
"""(n, 4): left, bottom, right, top."""

NEAREST, FARTHEST, STEP = 8, 240, 8
"""How far a name may lie from its point, in pixels."""
TURNS = 24
SPACE = 2
"""Pixels that stay free around a name."""


def label_places(
    anchors: NDArray[np.float64],
    sizes: NDArray[np.float64],
    taken: Boxes,
    frame: Sequence[float],
) -> NDArray[np.float64]:
    """The centre of each name, (n, 2): the place with the fewest overlaps, and of these the nearest.

    Names are placed one after the other, from the left; a name that is placed is taken space for the next.

    Args:
        anchors, sizes: of the points and of their names, (n, 2).
        taken: boxes that no name should cover.
        frame: left, bottom, right, top of where names have to be.
    """
    turns = np.linspace(0, 2 * np.pi, TURNS, endpoint=False)
    ways = np.stack([np.cos(turns), np.sin(turns)], axis=1)
    reaches = np.arange(NEAREST, FARTHEST, STEP)[:, None, None]
    centres = np.empty_like(anchors)
    for index in np.lexsort((anchors[:, 1], anchors[:, 0])):
        half = sizes[index] / 2
        offsets = ((half + reaches) * ways).reshape(-1, 2)
        boxes = np.hstack([offsets - half - SPACE, offsets + half + SPACE]) + np.tile(anchors[index], 2)
        inside = (boxes[:, :2] >= frame[:2]).all(axis=1) & (boxes[:, 2:] <= frame[2:]).all(axis=1)
        away = np.maximum(np.abs(offsets) - half, 0)
        order = np.lexsort(((away**2).sum(axis=1), _overlaps(boxes, taken), ~inside))
        centres[index] = anchors[index] + offsets[order[0]]
        taken = np.vstack([taken, boxes[order[0]]])
    return centres


def _overlaps(boxes: Boxes, taken: Boxes) -> NDArray[np.int64]:
    """How many of the taken boxes each box covers a part of."""
    over = (boxes[:, None, :2] < taken[None, :, 2:]).all(axis=2)
    return (over & (boxes[:, None, 2:] > taken[None, :, :2]).all(axis=2)).sum(axis=1)
