"""Retrieval: at which rank a query finds its item, and how many queries find it among the first k.

A rank is counted, not sorted for: 1 + the number of items ahead. Memory is chunk x items: results are
written into one tensor made before, since a small one kept from each chunk would lie in the hole that the
chunk's mask leaves, and the next mask would have to take new memory.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import TypeAlias

import torch
from jaxtyping import Float, Int
from torch import Tensor

from hyperaware.errors import DataError

__all__ = ["ranks", "recall_at", "recalls", "top1"]

Similarity: TypeAlias = Callable[[Tensor, Tensor], Tensor]
"""(n, d), (m, d) -> (n, m); higher is closer. `Space.similarity` is one."""


@torch.no_grad()
def ranks(
    queries: Float[Tensor, "n d"],
    items: Float[Tensor, "m d"],
    targets: Int[Tensor, "n"],
    similarity: Similarity,
    *,
    chunk: int = 256,
) -> Int[Tensor, "n"]:
    """Rank, from 1, of `items[targets[i]]` for `queries[i]`.

    An item is ahead if it is more similar, or as similar with a smaller index.

    >>> items = torch.tensor([[3.0], [9.0], [3.0]])
    >>> ranks(torch.tensor([[1.0]]), items, torch.tensor([2]), lambda x, y: x @ y.T)
    tensor([3])

    Raises:
        DataError: a similarity is NaN (it would be behind every item, and so count as found), or a target is
            not the index of an item.
    """
    if targets.numel() and not 0 <= int(targets.min()) <= int(targets.max()) < len(items):
        raise DataError(
            f"targets run from {int(targets.min())} to {int(targets.max())}, "
            f"expected indices of {len(items)} items, 0 to {len(items) - 1}."
        )
    index = torch.arange(len(items), device=items.device)
    counts = torch.empty(len(queries), dtype=torch.long, device=items.device)
    for rows, scores in _scores(queries, items, similarity, chunk):
        target = targets[rows].to(items.device).unsqueeze(1)
        own = scores.gather(1, target)
        ahead = (scores > own) | ((scores == own) & (index < target))
        # In int32: torch widens the whole mask to the type that it sums in.
        counts[rows] = 1 + ahead.sum(1, dtype=torch.int32)
    return counts


@torch.no_grad()
def top1(
    queries: Float[Tensor, "n d"], items: Float[Tensor, "m d"], similarity: Similarity, *, chunk: int = 256
) -> Int[Tensor, "n"]:
    """Index of the most similar item of every query; of equal ones the first.

    Raises:
        DataError: there is no item, or a similarity is NaN.
    """
    if len(items) == 0:
        raise DataError("there are no items to search, expected at least one.")
    best = torch.empty(len(queries), dtype=torch.long, device=items.device)
    for rows, scores in _scores(queries, items, similarity, chunk):
        best[rows] = scores.argmax(1)
    return best


def recall_at(ranks: Int[Tensor, "n"], k: int) -> float:
    """Share of the queries whose rank is at most k.

    >>> recall_at(torch.tensor([1, 4, 2, 11]), 2)
    0.5

    Raises:
        DataError: there are no ranks.
    """
    if ranks.numel() == 0:
        raise DataError("there are no ranks, so there is no recall; expected at least one query.")
    return (ranks <= k).double().mean().item()


def recalls(ranks: Int[Tensor, "n"], ks: Sequence[int] = (1, 5, 10, 20)) -> dict[str, float]:
    """`recall_at` for several k, by name.

    >>> recalls(torch.tensor([1, 4, 2, 11]), ks=(1, 10))
    {'recall@1': 0.25, 'recall@10': 0.75}
    """
    return {f"recall@{k}": recall_at(ranks, k) for k in ks}


def _scores(
    queries: Tensor, items: Tensor, similarity: Similarity, chunk: int
) -> Iterator[tuple[slice, Tensor]]:
    """The rows of the queries, chunk by chunk, and their similarities to all items."""
    for start in range(0, len(queries), chunk):
        rows = slice(start, start + chunk)
        scores = similarity(queries[rows], items)
        if scores.isnan().any():
            raise DataError(
                f"a similarity among queries {start} to {start + len(scores) - 1} is NaN; "
                "expected numbers. Look for non-finite embeddings."
            )
        yield rows, scores
