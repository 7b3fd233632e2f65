"""The captions that a role may read on the way from an item to the root."""

import threading

import torch

from hyperaware.explain import Pool
from hyperaware.index.categories import categorised
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
        searcher = self._searcher
        texts = searcher.model.encode_text(captions)
        shown = searcher.policy.shows(role, bounds=searcher.bounds)
        scores = searcher.space.root_distance(texts.double()).tolist()
        categories = (
            [None] * len(texts) if searcher.scorer is None else categorised(searcher.scorer, texts, "text")
        )
        kept = [
            row
            for row, (score, found) in enumerate(zip(scores, categories, strict=True))
            if shown.action(modality="text", score=score, categories=found) == "allow"
        ]
        return Pool([captions[row] for row in kept], texts[torch.tensor(kept, dtype=torch.long)])
