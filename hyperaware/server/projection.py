"""Items as points of a disk: the directions of an index projected onto one plane."""

import math
import threading
from typing import NamedTuple

import torch
from torch import Tensor

from hyperaware.index.store import Modality
from hyperaware.search import Searcher
from hyperaware.server.visible import Seen, Visible

__all__ = ["Disk", "Point"]


class Point(NamedTuple):
    """One item on the disk."""

    id: str
    modality: Modality
    root_distance: float
    angle: float
    """Radians, from -pi to pi."""
    blurred: bool


class Disk:
    """The items of one index as points of a disk, for each role.

    The angle is that of an item's direction (vector / |vector|) in the plane of the two first principal
    components of the directions that the role may see. So what it may not see changes no angle; other roles
    have other planes. A plane is computed once for each generation of the index.
    """

    def __init__(self, searcher: Searcher, visible: Visible) -> None:
        self._space, self._visible = searcher.space, visible
        self._lock = threading.Lock()
        self._planes: dict[str, tuple[int, _Plane]] = {}

    def points(self, role: str) -> list[Point]:
        """Up to `MOST` + 1 points that the role may see."""
        seen, plane = self._seen(role)
        if not seen:
            return []
        vectors = torch.stack([each.vector for each in seen]).double()
        distances = self._space.root_distance(vectors).tolist()
        return [
            Point(found.id, found.modality, distance, angle, found.blurred)
            for (found, _), distance, angle in zip(seen, distances, plane.angles(vectors), strict=True)
        ]

    def angle(self, vector: Tensor, role: str) -> float:
        """The angle of any point of the space, a query say, on the disk of a role."""
        return self._seen(role)[1].angles(vector[None].double())[0]

    def _seen(self, role: str) -> tuple[list[Seen], "_Plane"]:
        generation, seen = self._visible.of(role)
        with self._lock:
            known = self._planes.get(role)
            if known is None or known[0] != generation:
                known = (generation, _fitted(seen))
                self._planes[role] = known
        return seen, known[1]


class _Plane(NamedTuple):
    """Where directions are projected to."""

    mean: Tensor
    axes: Tensor
    """(d, 2)."""

    def angles(self, vectors: Tensor) -> list[float]:
        if not len(self.axes):  # the role sees nothing, and every direction is as good
            return [0.0] * len(vectors)
        flat = (torch.nn.functional.normalize(vectors, dim=1) - self.mean) @ self.axes
        return [math.atan2(up, across) for across, up in flat.tolist()]


def _fitted(seen: list[Seen]) -> _Plane:
    """The plane of two first principal components; of each the largest coordinate is positive."""
    if not seen:
        return _Plane(torch.empty(0), torch.empty(0, 2))
    directions = torch.nn.functional.normalize(torch.stack([each.vector for each in seen]).double(), dim=1)
    mean = directions.mean(0)
    centred = directions - mean
    axes = torch.linalg.eigh(centred.T @ centred).eigenvectors[:, -2:].flip(1)
    return _Plane(mean, axes * axes.gather(0, axes.abs().argmax(0, keepdim=True)).sign())
