"""Exact search by inner product: FAISS finds candidates in float32, float64 decides between them."""

from collections.abc import Mapping
from dataclasses import dataclass

import faiss
import numpy as np

__all__ = ["Allowed", "Block", "candidates"]

SPARE = 16
"""Items fetched beyond k at first, so that a second look is rarely needed."""


@dataclass(frozen=True)
class Allowed:
    """Which items of a block are candidates: those of the first `prefix`, and of these the ones in `mask`."""

    prefix: int
    mask: np.ndarray | None
    """(prefix,) bool; None for all."""

    @property
    def positions(self) -> np.ndarray:
        return np.arange(self.prefix) if self.mask is None else np.flatnonzero(self.mask)

    @property
    def count(self) -> int:
        return self.prefix if self.mask is None else int(np.count_nonzero(self.mask))


@dataclass(frozen=True)
class Block:
    """The vectors of one modality in memory: those with a score first, by score and id, then the others by
    id.

    What a limit of the score lets through is therefore a prefix, and the rest is never looked at. FAISS
    searches it without a copy of the vectors, other limits included.
    """

    keys: np.ndarray
    """(m,) int64, the store's own numbers of the items."""
    products: np.ndarray
    """(m, p) float32, `space.product_items` of the vectors."""
    scores: np.ndarray
    """(s,) float64, the scores of the first s <= m items, ascending."""
    categories: Mapping[str, np.ndarray]
    """By name (m,) float64, the probabilities; NaN for an item without one."""
    norms: np.ndarray
    """(m,) float64, the largest length of a row up to here."""

    @classmethod
    def of(
        cls,
        keys: np.ndarray,
        products: np.ndarray,
        scores: np.ndarray,
        categories: Mapping[str, np.ndarray],
    ) -> "Block":
        lengths = np.sqrt(np.einsum("ij,ij->i", products, products, dtype=np.float64))
        return cls(keys, products, scores, categories, np.maximum.accumulate(lengths))

    def allowed(
        self, max_score: float | None, max_categories: Mapping[str, float], keys: np.ndarray | None
    ) -> Allowed:
        """What the limits let through; None as `max_score` lets the unscored through too, and `keys` are
        the only candidates unless they are None."""
        prefix = len(self.keys)
        if max_score is not None:
            prefix = int(np.searchsorted(self.scores, max_score, side="right"))
        mask = None if keys is None else np.isin(self.keys[:prefix], keys)
        for name, most in max_categories.items():
            values = self.categories.get(name)
            within = np.zeros(prefix, dtype=bool) if values is None else values[:prefix] <= most
            mask = within if mask is None else mask & within
        return Allowed(prefix, mask)


def candidates(queries: np.ndarray, block: Block, k: int, allowed: Allowed) -> list[np.ndarray]:
    """For each query the positions, best first, among which its k best allowed items must be.

    A float32 product of n terms is within (n + 3) 2^-24 |q| |v| of the true one, in whatever order it is
    summed (Higham, Accuracy and Stability of Numerical Algorithms, section 3.1; 3 for the rounding of q and
    v). So whatever lies within twice that of the k-th best is kept, and more is fetched until something
    lies beyond it.
    """
    count = allowed.count
    if count == 0:
        return [np.empty(0, dtype=np.int64)] * len(queries)
    longest = block.norms[allowed.prefix - 1]
    slack = 2 * (queries.shape[1] + 3) * 2.0**-24 * longest * np.linalg.norm(queries, axis=1)
    undecided, fetch = np.arange(len(queries)), k + SPARE
    found: list[np.ndarray] = [allowed.positions] * len(queries)
    while len(undecided) and fetch < count:
        products, positions = _nearest(queries[undecided], block.products[: allowed.prefix], fetch, allowed)
        worst_needed = products[:, k - 1].astype(np.float64) - slack[undecided]
        decided = products[:, -1] < worst_needed
        for row in np.flatnonzero(decided):
            found[undecided[row]] = positions[row][products[row] >= worst_needed[row]]
        undecided, fetch = undecided[~decided], 4 * fetch
    return found


def _nearest(
    queries: np.ndarray, items: np.ndarray, k: int, allowed: Allowed
) -> tuple[np.ndarray, np.ndarray]:
    """The products and positions of the k allowed items of the largest products, of which there are more."""
    if allowed.mask is None:
        return faiss.knn(queries, items, k, metric=faiss.METRIC_INNER_PRODUCT)
    queries, items = np.ascontiguousarray(queries), np.ascontiguousarray(items)
    products = np.empty((len(queries), k), dtype=np.float32)
    positions = np.empty((len(queries), k), dtype=np.int64)
    bits = np.packbits(allowed.mask, bitorder="little")
    # faiss.knn takes no selector; the function below it does. No vector is copied.
    faiss.knn_inner_product(
        faiss.swig_ptr(queries),
        faiss.swig_ptr(items),
        items.shape[1],
        len(queries),
        len(items),
        k,
        faiss.swig_ptr(products),
        faiss.swig_ptr(positions),
        faiss.IDSelectorBitmap(len(items), faiss.swig_ptr(bits)),
    )
    return products, positions
