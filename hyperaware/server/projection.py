"""Items as points of a disk: the directions of an index projected onto one plane."""

import math
import threading
from typing import NamedTuple

import torch
from torch import Tensor

from hyperaware.index.store import Modality, Store
from hyperaware.search import Searcher
from hyperaware.server.visible import MOST, Visible, sample

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
    """Items as points of a disk, for one index.

    The angle is that of an item's direction (vector / |vector|) in the plane of the two first principal
    components of the directions of up to `MOST` items. The plane is computed once for each generation of the
    index, also from items that the role may not see; of those nothing else is told.
    """

    def __init__(self, searcher: Searcher, visible: Visible) -> None:
        self._searcher, self._visible = searcher, visible
        self._lock = threading.Lock()
        self._generation = -1
        self._mean, self._plane = _fitted(torch.empty(0, 2, dtype=torch.float64))

    def points(self, role: str) -> tuple[int, list[Point]]:
        """The generation, and up to `MOST` + 1 points that the role may see."""
        generation, seen = self._visible.of(role)
        if not seen:
            return generation, []
        vectors = torch.stack([each.vector for each in seen]).double()
        with self._lock:
            if generation != self._generation:
                self._mean, self._plane = _fitted(_directions(self._searcher.store))
                self._generation = generation
            flat = (torch.nn.functional.normalize(vectors, dim=1) - self._mean) @ self._plane
        distances = self._searcher.space.root_distance(vectors).tolist()
        return generation, [
            Point(found.id, found.modality, distance, math.atan2(up, across), found.blurred)
            for (found, _), distance, (across, up) in zip(seen, distances, flat.tolist(), strict=True)
        ]

    def angle(self, vector: Tensor) -> float:
        """The angle of any point of the space, a query say; after `points` of the same index."""
        direction = torch.nn.functional.normalize(vector.double(), dim=0)
        with self._lock:
            across, up = ((direction - self._mean) @ self._plane).tolist()
        return math.atan2(up, across)


def _directions(store: Store) -> Tensor:
    found = (store.get(id) for id in sample(store)[:MOST])
    vectors = [item.vector for item in found if item is not None and item.vector is not None]
    return torch.nn.functional.normalize(torch.stack(vectors).double(), dim=1)


def _fitted(directions: Tensor) -> tuple[Tensor, Tensor]:
    """Mean, and (d, 2) first principal components, each with its largest coordinate positive."""
    if len(directions) == 0:
        return torch.zeros(2, dtype=torch.float64), torch.eye(2, dtype=torch.float64)
    mean = directions.mean(0)
    centred = directions - mean
    plane = torch.linalg.eigh(centred.T @ centred).eigenvectors[:, -2:].flip(1)
    return mean, plane * plane.gather(0, plane.abs().argmax(0, keepdim=True)).sign()
