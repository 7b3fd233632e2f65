"""The items that a role may see, remembered for one generation of the index."""

import threading
from typing import NamedTuple, get_args

from torch import Tensor

from hyperaware.index.store import Modality, Store
from hyperaware.search import Found, Searcher

__all__ = ["MOST", "Seen", "Visible"]

MOST = 5000
"""Items that are told of one index at once."""
KEPT = 8
"""Roles whose items are remembered."""


class Seen(NamedTuple):
    """An item as a role sees it, and its point."""

    found: Found
    vector: Tensor


class Visible:
    """Up to `MOST` + 1 items for each role, in an order that has nothing to do with what they are.

    Each is asked of the searcher, which knows what the role may see; nothing is decided here.
    """

    def __init__(self, searcher: Searcher) -> None:
        self._searcher = searcher
        self._lock = threading.Lock()
        self._generation = -1
        self._seen: dict[str, list[Seen]] = {}

    def of(self, role: str) -> tuple[int, list[Seen]]:
        """The generation of the index, and the items."""
        with self._lock:
            generation = self._searcher.store.status().generation
            if generation != self._generation:
                self._generation, self._seen = generation, {}
            if role not in self._seen:
                if len(self._seen) >= KEPT:
                    del self._seen[next(iter(self._seen))]
                self._seen[role] = self._asked(role)
            return generation, self._seen[role]

    def _asked(self, role: str) -> list[Seen]:
        seen: list[Seen] = []
        for id in _sample(self._searcher.store):
            found = self._searcher.item(id, role=role)
            item = None if found is None else self._searcher.store.get(id)
            if found is not None and item is not None and item.vector is not None:
                seen.append(Seen(found, item.vector))
            if len(seen) > MOST:
                break
        return seen


def _sample(store: Store) -> list[str]:
    """Every id, sorted: ids are hashes of paths, so the first of them are a fair sample."""
    modalities: tuple[Modality, ...] = get_args(Modality)
    return sorted(id for modality in modalities for id in store.contents(modality))
