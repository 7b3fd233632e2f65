"""The captions that a role may read on the way from an item to the root."""

import threading

import torch
from torch import Tensor

from hyperaware.errors import DataError
from hyperaware.explain import Pool
from hyperaware.index.categories import categorised
from hyperaware.models.windows import most_unsafe, windows
from hyperaware.search import Searcher
from hyperaware.server.visible import Visible

__all__ = ["Captions"]

KEPT = 8
"""Roles whose pools are remembered."""


class Captions:
    """The captions of the items that a role may see, each judged as a text of its own.

    A picture may be harmless while its caption is not, so a caption is in the pool only where the policy
    shows a text of its score and categories to the role, and not blurred.
    """

    def __init__(self, searcher: Searcher, visible: Visible) -> None:
        self._searcher, self._visible = searcher, visible
        self._lock = threading.Lock()
        self._generation = -1
        self._pools: dict[str, Pool] = {}

    def of(self, role: str) -> Pool:
        """The pool of a role, for the index as it is now."""
        generation, seen = self._visible.of(role)
        with self._lock:
            if generation != self._generation:
                self._generation, self._pools = generation, {}
            if role not in self._pools:
                found = {each.found.caption for each in seen if not each.found.blurred}
                captions = sorted(caption for caption in found if caption)
                if len(self._pools) >= KEPT:
                    del self._pools[next(iter(self._pools))]
                self._pools[role] = self._judged(captions, role)
            return self._pools[role]

    def _judged(self, captions: list[str], role: str) -> Pool:
        """The captions of which every window is fit for the role, each with its most unsafe point."""
        searcher = self._searcher
        told = {caption: pieces for caption in captions if (pieces := self._pieces(caption))}
        points = searcher.model.encode_text([piece for pieces in told.values() for piece in pieces])
        shown = searcher.policy.shows(role, bounds=searcher.bounds)
        scores = searcher.space.root_distance(points.double()).tolist()
        categories = (
            [None] * len(points) if searcher.scorer is None else categorised(searcher.scorer, points, "text")
        )
        fit = [
            shown.action(modality="text", score=score, categories=found) == "allow"
            for score, found in zip(scores, categories, strict=True)
        ]
        kept: dict[str, Tensor] = {}
        start = 0
        for caption, pieces in told.items():
            own = slice(start, start + len(pieces))
            start = own.stop
            if all(fit[own]):
                kept[caption] = most_unsafe(points[own], searcher.space)
        return Pool(list(kept), torch.cat([*kept.values(), points[:0]]))

    def _pieces(self, caption: str) -> list[str]:
        """The windows of a caption; none if they are too many to be judged."""
        try:
            return windows(caption, self._searcher.model.tokenizer)
        except DataError:
            return []
