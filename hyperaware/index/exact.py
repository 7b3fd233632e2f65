"""Exact search by inner product: FAISS finds candidates in float32, float64 decides between them."""

from dataclasses import dataclass

import faiss
import numpy as np

__all__ = ["Block", "candidates"]

SPARE = 16
"""Items fetched beyond k at first, so that a second look is rarely needed."""


@dataclass(frozen=True)
class Block:
    """The vectors of one modality in memory: those with a score first, by score and id, then the others by
    id.

    What a limit lets through is therefore a prefix, and the rest is never looked at. A prefix is searched by
    `faiss.knn`, which is `IndexFlatIP` without a copy of the vectors.
    """

    keys: np.ndarray
    """(m,) int64, the store's own numbers of the items."""
    products: np.ndarray
    """(m, p) float32, `space.product_items` of the vectors."""
    scores: np.ndarray
    """(s,) float64, the scores of the first s <= m items, ascending."""
    norms: np.ndarray
    """(m,) float64, the largest length of a row up to here."""

    @classmethod
    def of(cls, keys: np.ndarray, products: np.ndarray, scores: np.ndarray) -> "Block":
        lengths = np.sqrt(np.einsum("ij,ij->i", products, products, dtype=np.float64))
        return cls(keys, products, scores, np.maximum.accumulate(lengths))

    def count_within(self, max_score: float | None) -> int:
        """How many items the limit lets through; None lets the unscored through too."""
        if max_score is None:
            return len(self.keys)
        return int(np.searchsorted(self.scores, max_score, side="right"))


def candidates(queries: np.ndarray, block: Block, k: int, max_score: float | None) -> list[np.ndarray]:
    """For each query the positions, best first, among which its k best items within the limit must be.

    A float32 product of n terms is within (n + 3) 2^-24 |q| |v| of the true one, in whatever order it is
    summed (Higham, Accuracy and Stability of Numerical Algorithms, section 3.1; 3 for the rounding of q and
    v). So whatever lies within twice that of the k-th best is kept, and more is fetched until something
    lies beyond it.
    """
    count = block.count_within(max_score)
    if count == 0:
        return [np.empty(0, dtype=np.int64)] * len(queries)
    slack = 2 * (queries.shape[1] + 3) * 2.0**-24 * block.norms[count - 1] * np.linalg.norm(queries, axis=1)
    found: list[np.ndarray] = [np.arange(count)] * len(queries)
    undecided, fetch = np.arange(len(queries)), k + SPARE
    while len(undecided) and fetch < count:
        products, positions = faiss.knn(
            queries[undecided], block.products[:count], fetch, metric=faiss.METRIC_INNER_PRODUCT
        )
        worst_needed = products[:, k - 1].astype(np.float64) - slack[undecided]
        decided = products[:, -1] < worst_needed
        for row in np.flatnonzero(decided):
            found[undecided[row]] = positions[row][products[row] >= worst_needed[row]]
        undecided, fetch = undecided[~decided], 4 * fetch
    return found
