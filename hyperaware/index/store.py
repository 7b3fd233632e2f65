"""What an index holds, and what every store promises."""

import hashlib
import math
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple, Protocol, get_args

import torch
from torch import Tensor

from hyperaware.errors import StoreError
from hyperaware.geometry.space import Space

__all__ = [
    "Content",
    "Hit",
    "Item",
    "Modality",
    "State",
    "Status",
    "Store",
    "categories_problem",
    "item_id",
    "vector_problem",
]

Modality = Literal["image", "text"]

State = Literal["ok", "unscored", "failed"]
"""ok: vector and score. unscored: a vector without a score, shown only where no limit holds.
failed: neither, and a reason; never shown."""


def item_id(path: str, modality: Modality = "image") -> str:
    """The id of what lies at `path` (relative to the root, with "/"): the same on every machine and in
    every run.

    >>> item_id("cats/tom.png")
    '02217a135418dee22fbd34f8a0ac23d2'
    """
    return hashlib.sha256(f"{modality}:{path}".encode()).hexdigest()[:32]


@dataclass(frozen=True, kw_only=True, eq=False)
class Item:
    """One picture or text of an index.

    Raises:
        StoreError: state, vector, score and reason do not belong together, or a number is not finite.
    """

    id: str
    path: str
    """Relative to the store's root, with "/"."""
    modality: Modality
    caption: str | None = None
    content_hash: str | None = None
    """SHA-256 of the bytes that the vector was made from."""
    vector: Tensor | None = None
    """A point of the store's space: float32, one dimension, on the CPU."""
    score: float | None = None
    """Root distance of the vector, in units of length; the limit of a search is compared with it."""
    categories: Mapping[str, float] | None = None
    """Calibrated probabilities by category; None where none were computed. A category that has none is left
    out."""
    state: State = "ok"
    reason: str | None = None
    """Why it failed."""

    def __post_init__(self) -> None:
        problem = _item_problem(self)
        if problem is not None:
            raise StoreError(f"item {self.path!r}: {problem}.")


def _item_problem(item: Item) -> str | None:
    failed = item.state == "failed"
    if item.modality not in get_args(Modality) or item.state not in get_args(State):
        return f"got modality {item.modality!r} and state {item.state!r}, expected {Modality} and {State}"
    if (item.vector is None) != failed:
        return f"an item of state {item.state!r} must have {'no' if failed else 'a'} vector"
    if (item.score is None) == (item.state == "ok"):
        return f"an item of state {item.state!r} must have {'a' if item.state == 'ok' else 'no'} score"
    if failed and not item.reason:
        return "a failed item must have a reason"
    if item.score is not None and not math.isfinite(item.score):
        return f"the score is {item.score}; a model that gives no number gives no item"
    if item.vector is not None and (item.vector.dtype != torch.float32 or item.vector.ndim != 1):
        return f"the vector is {item.vector.dtype} of shape {tuple(item.vector.shape)}, expected float32 (d,)"
    if failed and item.categories is not None:
        return "a failed item must have no categories"
    return None if item.categories is None else categories_problem(item.categories)


def categories_problem(categories: object) -> str | None:
    """What keeps `categories` from being probabilities by name; None if nothing does."""
    if not isinstance(categories, Mapping):
        return f"the categories are a {type(categories).__name__}, expected probabilities by name"
    for name, value in categories.items():
        if not isinstance(name, str) or not name:
            return f"a category is called {name!r}, expected a name"
        if not isinstance(value, float) or not 0 <= value <= 1:
            return f"the category {name!r} has {value!r}, expected a probability from 0.0 to 1.0"
    return None


def vector_problem(vector: Tensor, space: Space, dimension: int | None) -> str | None:
    """What keeps `vector` from being a point of `space` with `dimension` coordinates; None if nothing
    does."""
    if dimension is not None and len(vector) != dimension:
        return f"the vector has {len(vector)} coordinates, expected {dimension}"
    if not torch.isfinite(vector).all():
        return "the vector is not finite"
    if space.name == "sphere" and abs(float(torch.linalg.vector_norm(vector.double())) - 1) > 1e-3:
        return "the vector does not lie on the sphere: its length is not 1"
    return None


class Hit(NamedTuple):
    """One answer of a search."""

    id: str
    path: str
    """Relative to the store's root: the file is `store.root / hit.path`."""
    caption: str | None
    similarity: float
    """`space.similarity` of query and item; higher is closer."""
    score: float | None
    """The item's root distance; None only in a search without a limit."""
    categories: Mapping[str, float] | None = None
    """The item's probabilities by category; None where none were computed."""


class Content(NamedTuple):
    """What a store knows of one item, without its vector: enough to see whether a file is new."""

    path: str
    content_hash: str | None
    caption: str | None
    state: State
    categorised: bool = False
    """Whether it has categories."""


@dataclass(frozen=True, kw_only=True)
class Status:
    """A summary of a store at one moment."""

    items: int
    by_state: Mapping[str, int]
    by_modality: Mapping[str, int]
    generation: int
    """Grows by one with every committed change."""
    bytes: int
    """Size on disk."""
    model_fingerprint: str
    space: Mapping[str, Any]
    dimension: int | None
    """Number of coordinates of the vectors; None before the first."""
    root: Path | None
    concepts: str | None = None
    """The concepts that the items' categories were computed by; None before `bind_concepts`."""


class Store(Protocol):
    """Items under one model, in one space, searched exactly.

    Constructed as `Store(folder, *, space, model_fingerprint, create=True)`; a store that was built by
    another model or in another space raises `StoreError` at that point. Every method may raise
    `StoreError`, and may be called from several threads; several processes may hold the same store open.

    **Durability.** When `add` or `remove` returns, the change is on disk: a process killed at any later
    moment (kill -9), or a machine that loses power, does not lose it. A change that had not returned is
    there as a whole or not at all.

    **Safety.** The limits are part of the query. An item over one of them, or without the score or the
    category that it is compared by, is never a candidate: it takes no place among the k and none before an
    offset, and its number shows in no answer. A removed item is never returned by a search that starts after
    `remove` returned, in any process, nor after reopening.
    """

    @property
    def space(self) -> Space:
        """The space of the vectors."""

    @property
    def model_fingerprint(self) -> str:
        """The model that made the vectors."""

    @property
    def root(self) -> Path | None:
        """The folder that paths are relative to; None before `bind_root`."""

    @property
    def count(self) -> int:
        """Number of items, failed ones included."""

    def bind_root(self, root: Path, *, moved: bool = False) -> None:
        """Record the folder that paths are relative to. Another one than before must be a move, said by
        `moved`."""

    def bind_concepts(self, fingerprint: str) -> None:
        """Record the concepts that this handle adds categories by. If they are others than before, all
        categories in the store are forgotten: until they are computed anew, a limit lets none of the items
        through."""

    def add(self, items: Iterable[Item]) -> None:
        """Insert items, or replace those whose id is there, all in one transaction. Categories by other
        concepts than the store's are a `StoreError`."""

    def remove(self, ids: Iterable[str]) -> int:
        """Remove items in one transaction; how many there were. Unknown ids are passed over."""

    def record_categories(self, items: Iterable[Item]) -> int:
        """Record the categories of items that are there, in one transaction; of how many. An item that was
        removed meanwhile stays removed, and one whose vector has changed is passed over."""

    def get(
        self,
        id: str,
        *,
        max_score: Mapping[Modality, float | None] | None = None,
        max_categories: Mapping[str, float] | None = None,
    ) -> Item | None:
        """The item, bit for bit as it was added, or None.

        Args:
            max_score: By modality, as in `search`: an item that the limits exclude is None, as one that is
                not there, and so is a failed one. Without it, there is no limit.
            max_categories: As in `search`.
        """

    def contents(self, modality: Modality) -> dict[str, Content]:
        """Path, content hash, caption, state and whether it has categories, of every item, by id."""

    def search(
        self,
        queries: Tensor,
        *,
        k: int,
        modality: Modality,
        max_score: float | None,
        max_categories: Mapping[str, float] | None = None,
        offset: int = 0,
        ids: Collection[str] | None = None,
        folder: str | None = None,
    ) -> list[list[Hit]]:
        """For each query the k most similar items, best first, equal ones by id; fewer where fewer are
        allowed.

        Args:
            queries: Points of the space, (n, d).
            max_score: Only items with a score of at most this are candidates. None lifts the limit, and
                with it the need for a score. It has no default: who searches without a limit says so.
            max_categories: Only items that have each of these categories, with at most this probability,
                are candidates.
            offset: How many of the best to leave out: the next page begins where the last one ended.
            ids: Only these items are candidates; unknown ids are passed over. None: all.
            folder: Only items in or below this folder of the root are candidates, with "/". None: all.
        """

    def status(self) -> Status:
        """Counts and identity."""

    def verify(
        self, *, files: bool = True, progress: Callable[[int, int], None] = lambda done, total: None
    ) -> list[str]:
        """Everything found wrong, a sentence each; with `files`, also pictures that are missing or have
        changed, and `progress` is told how many were compared."""

    def close(self) -> None:
        """Let go of the files. Nothing is lost without it."""
