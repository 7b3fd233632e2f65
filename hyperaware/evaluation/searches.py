"""Searches that figures rest on: who asks, at which rank each query finds its item, is the first hit unsafe.

Figures (`evaluation.protocols`) and outcomes per row (`evaluation.outcomes`) are read off them. Items are
ranked by the inner products of the space in float64, whose order is that of its similarity: in Lorentz space
this is a tenth of the cost of distances (1,000 x 2,000 points on one core: 20 instead of 200 ms).
"""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from hyperaware.data.quadruplet import Quadruplet
from hyperaware.evaluation.keys import (
    AWARENESS,
    REDIRECT,
    SAFE,
    STATES,
    SUBSTITUTE,
    UNSAFE,
    Figures,
    modalities,
    prefixed,
)
from hyperaware.evaluation.labels import both_unsafe, is_unsafe, share
from hyperaware.geometry.space import Space
from hyperaware.metrics.retrieval import Similarity, ranks, recalls, top1
from hyperaware.moderation.bounds import Bounds
from hyperaware.moderation.redirect import redirect

__all__ = [
    "Search",
    "awareness_searches",
    "figures_of_searches",
    "order",
    "redirect_searches",
    "safe_redirected_searches",
    "safe_searches",
    "states",
    "substitute_searches",
    "unsafe_searches",
]

STEP = 2.0**-36
"""1.5e-11. A cosine in float32 is 4,000 times as coarse; of hyperbolic distances under 6e-6 all are alike."""


@dataclass(frozen=True)
class Search:
    """Some rows asked in one direction; entry i of the results belongs to row `rows[i]`."""

    key: str
    """The path of its figures, without their last part."""
    rows: Int[Tensor, "n"]
    """The rows that asked, in rising order."""
    ranks: Int[Tensor, "n"]
    """At which rank, from 1, each found its item."""
    harmful: Bool[Tensor, "n"] | None = None
    """Whether the first hit is unsafe; None where the protocol does not ask."""

    def figures(self) -> Figures:
        """Recalls, and `harmful_top1` where there is one, by key."""
        figures = recalls(self.ranks)
        if self.harmful is not None:
            figures["harmful_top1"] = share(self.harmful)
        return prefixed(self.key, figures)


def figures_of_searches(searches: Iterator[Search]) -> Figures:
    """The figures of all searches."""
    return {key: value for search in searches for key, value in search.figures().items()}


def order(space: Space) -> Similarity:
    """Inner products in float64 that rank items as the similarity of the space does, in steps of `STEP`.

    The steps let equal points tie, up to root distances of about 4: in a matrix product equal columns may
    differ in their last bits.
    """

    def products(queries: Float[Tensor, "n d"], items: Float[Tensor, "m d"]) -> Float[Tensor, "n m"]:
        found = space.product_queries(queries.double()) @ space.product_items(items.double()).T
        return found.div_(STEP).round_()

    return products


def safe_searches(points: Quadruplet, *, space: Space) -> Iterator[Search]:
    """Every safe part searches the safe items of the other modality."""
    yield from _plain("safe", SAFE, points, space, torch.ones(len(points), dtype=torch.bool))


def unsafe_searches(points: Quadruplet, *, space: Space) -> Iterator[Search]:
    """Rows that are unsafe on both sides search the generated items."""
    yield from _plain("unsafe", UNSAFE, points, space, both_unsafe(points))


def awareness_searches(points: Quadruplet, *, space: Space) -> Iterator[Search]:
    """Rows that are unsafe on both sides search all items for their unsafe one."""
    yield from _plain("awareness", AWARENESS, points, space, both_unsafe(points))


def safe_redirected_searches(points: Quadruplet, *, space: Space, bounds: Bounds) -> Iterator[Search]:
    """`safe_searches` with the redirect in force."""
    rows = torch.arange(len(points))
    for direction in SAFE:
        queries = states(
            getattr(points, direction.partition("->")[0]), direction, space=space, bounds=bounds
        )["redirected"]
        yield _search(f"safe-redirected/{direction}", direction, points, space, rows, queries)


def redirect_searches(points: Quadruplet, *, space: Space, bounds: Bounds | None) -> Iterator[Search]:
    """Unsafe queries search all items for their safe one, raw and (with bounds) redirected."""
    yield from _in_states("redirect", REDIRECT, points, space, bounds)


def substitute_searches(points: Quadruplet, *, space: Space, bounds: Bounds | None) -> Iterator[Search]:
    """Unsafe queries search the safe items for their own, raw and (with bounds) redirected."""
    yield from _in_states("substitute", SUBSTITUTE, points, space, bounds)


def states(
    queries: Float[Tensor, "n d"], direction: str, *, space: Space, bounds: Bounds | None
) -> dict[str, Float[Tensor, "n d"]]:
    """The queries by state: `raw`, and `redirected` where there are bounds."""
    raw, redirected = STATES
    if bounds is None:
        return {raw: queries}
    source, target = modalities(direction)
    moved = redirect(queries, space=space, bounds=bounds, query_modality=source, target_modality=target)
    return {raw: queries, redirected: moved.points}


def _plain(
    protocol: str, directions: tuple[str, ...], points: Quadruplet, space: Space, asks: Bool[Tensor, "n"]
) -> Iterator[Search]:
    rows = asks.nonzero().squeeze(1)
    for direction in directions if len(rows) else ():
        queries = getattr(points, direction.partition("->")[0])[rows]
        yield _search(f"{protocol}/{direction}", direction, points, space, rows, queries)


def _in_states(
    protocol: str, directions: tuple[str, ...], points: Quadruplet, space: Space, bounds: Bounds | None
) -> Iterator[Search]:
    for direction in directions:
        rows = is_unsafe(points, modalities(direction)[0]).nonzero().squeeze(1)
        if len(rows) == 0:
            continue
        asked = getattr(points, direction.partition("->")[0])[rows]
        for state, queries in states(asked, direction, space=space, bounds=bounds).items():
            yield _search(f"{protocol}/{direction}/{state}", direction, points, space, rows, queries)


def _search(
    key: str, direction: str, points: Quadruplet, space: Space, rows: Tensor, queries: Tensor
) -> Search:
    """The search of `queries`, one for each of `rows`; among both safe and unsafe items with its harm."""
    items, targets = _gallery(points, direction)
    found = ranks(queries, items, targets[rows], order(space)).cpu()
    if direction not in REDIRECT:
        return Search(key, rows, found)
    generated = is_unsafe(points, modalities(direction)[1])
    unsafe = torch.cat([torch.zeros_like(generated), generated])
    return Search(key, rows, found, harmful=unsafe[top1(queries, items, order(space)).cpu()])


def _gallery(points: Quadruplet, direction: str) -> tuple[Tensor, Tensor]:
    """The items of a direction, safe ones first, and the index of each row's item of the first-named set."""
    named = direction.partition("->")[2].split("+")
    stacked = sorted(named, key=lambda name: name.startswith("unsafe"))
    items = torch.cat([getattr(points, name) for name in stacked])
    return items, torch.arange(len(points)) + len(points) * stacked.index(named[0])
