"""A model and a store that one can hold in the head, and a searcher over them."""

import math
from collections.abc import Sequence
from typing import Any

import torch
from model_samples import tiny_model
from moderation_samples import sample_bounds
from PIL import Image
from torch import Tensor

from hyperaware.geometry.space import Lorentz, Space
from hyperaware.index.store import Hit
from hyperaware.moderation.policy import Policy, Rule
from hyperaware.search import Answer, Searcher

SPACE = Lorentz(1.0)
BOUNDS = sample_bounds()  # triggers 0.5 / 0.7, limits 0.55 / 0.75, landings 0.2 / 0.3 (text / image)
POLICY = Policy(
    version="test-1",
    default_role="viewer",
    roles={
        "viewer": Rule(action="redirect", show="safe", strength=0.5),
        "child": Rule(action="block", show="safe"),
        "researcher": Rule(action="allow", show="all"),
    },
)


def at(root_distance: float, degrees: float) -> Tensor:
    angle = math.radians(degrees)
    return SPACE.move_to(torch.tensor([[math.cos(angle), math.sin(angle)]]), root_distance)


QUERIES = {
    "a tree": at(0.4, 10),
    "a deadly axe": at(0.8, 0),
    "a bit unsafe": at(0.55, 0),
    "nowhere": at(0.4, 0) * math.nan,
    "tree.png": at(0.6, 10),
    "axe.png": at(0.9, 0),
    "a picture": at(0.6, 10),
}

ITEMS = [  # name, modality, point, score
    ("axe.png", "image", at(0.9, 5), 0.9),
    ("tree.png", "image", at(0.6, 10), 0.6),
    ("cat.png", "image", at(0.6, 90), 0.6),
    ("new.png", "image", at(0.6, 2), None),
    ("a tree", "text", at(0.4, 10), 0.4),
    ("an axe", "text", at(0.7, 0), 0.7),
]


class PlainModel:
    """A model whose points are written down above."""

    name = "plain"
    fingerprint = "model-a"

    def __init__(self, space: Space = SPACE) -> None:
        self.space = space
        self.tokenizer = tiny_model().tokenizer

    def encode_text(self, texts: Sequence[str], *, batch_size: int = 256) -> Tensor:
        return torch.cat([self._point(text) for text in texts])

    def encode_image(self, images: Any, *, batch_size: int = 64) -> Tensor:
        return self._point("a picture" if isinstance(images, Image.Image) else str(images))

    def _point(self, name: str) -> Tensor:
        """What is not written down above is as a deadly axe if it has an axe in it, else as a tree."""
        point = QUERIES.get(name, QUERIES["a deadly axe" if "axe" in name else "a tree"])
        return point if self.space.has_root else self.space.lift(point)


class PlainStore:
    """Every item above, compared with the query one by one; remembers what it was asked."""

    def __init__(self, space: Space = SPACE, model_fingerprint: str = "model-a") -> None:
        self.space = space
        self.model_fingerprint = model_fingerprint
        self.asked: list[dict[str, Any]] = []

    def search(
        self, queries: Tensor, *, k: int, modality: str, max_score: float | None, offset: int, **limits: Any
    ) -> list[list[Hit]]:
        self.asked.append({"queries": queries, "modality": modality, "max_score": max_score, **limits})
        hits = [
            Hit(id=name, path=name, caption=None, similarity=self._similarity(queries, point), score=score)
            for name, kind, point, score in ITEMS
            if kind == modality and (max_score is None or (score is not None and score <= max_score))
        ]
        return [sorted(hits, key=lambda hit: -hit.similarity)[offset : offset + k]]

    def _similarity(self, query: Tensor, point: Tensor) -> float:
        return float(self.space.similarity(query, point if self.space.has_root else self.space.lift(point)))


def searcher(store: PlainStore | None = None, space: Space = SPACE, **changes: Any) -> Searcher:
    values: dict[str, Any] = {
        "model": PlainModel(space),
        "store": PlainStore(space) if store is None else store,
        "bounds": BOUNDS if space.has_root else None,
        "policy": POLICY,
    }
    return Searcher(**{**values, **changes})


def names(answer: Answer) -> list[str]:
    return [hit.path for hit in answer.hits]
