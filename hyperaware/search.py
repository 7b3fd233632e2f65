"""Search under a policy: encode, judge, redirect, search, answer; each step with its reason and numbers."""

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple, get_args

import torch
from PIL import Image
from torch import Tensor

from hyperaware.errors import ConfigError, SafetyError, StoreError
from hyperaware.geometry.space import space_from_config
from hyperaware.index.categories import CategoryScorer, categorised, highest
from hyperaware.index.store import Hit, Item, Modality, Store
from hyperaware.models.dual_encoder import DualEncoder, Picture
from hyperaware.models.windows import most_unsafe, windows
from hyperaware.moderation.bounds import MODALITIES, Bounds
from hyperaware.moderation.policy import Action, ItemFilter, Policy, Verdict
from hyperaware.moderation.redirect import redirect
from hyperaware.options import unknown_name

__all__ = ["Answer", "Filters", "Found", "Searcher", "Step"]


class Filters(NamedTuple):
    """What narrows a search further than the policy does; nothing widens it."""

    ids: Collection[str] | None = None
    """Only these items; None for all."""
    folder: str | None = None
    """Only items in or below this folder of the index, with "/"; None for all."""


UNFILTERED = Filters()


class Found(NamedTuple):
    """An item that a role may see, and how."""

    id: str
    path: str
    """Relative to the store's root: the file is `store.root / found.path`."""
    caption: str | None
    similarity: float | None
    """`space.similarity` of query and item, higher is closer; None for an item asked for by its id."""
    score: float | None
    """Root distance; None only where no limit holds for the role."""
    modality: Modality
    categories: Mapping[str, float] | None
    """Calibrated probabilities; None where none were computed."""
    blurred: bool
    """Whether picture and caption are to be blurred until they are revealed on purpose."""
    shadow: Action | None
    """What the policy's rules in shadow would have done to the item; None where nothing else than now."""


class Step(NamedTuple):
    """One step of a search: its name, what happened in a sentence, and the numbers in it."""

    name: str
    sentence: str
    numbers: Mapping[str, float]


@dataclass(frozen=True)
class Answer:
    """What a search found, and how it came to it."""

    query: str
    """The text, the name of the picture, or the id of the item."""
    modality: Modality
    target: Modality
    role: str
    verdict: Verdict
    root_distance_before: float | None
    """Of the query as it was asked; None for a model without a root."""
    root_distance_after: float | None
    """Of the query that was searched with."""
    hits: tuple[Found, ...]
    steps: tuple[Step, ...] = field(repr=False)
    offset: int = 0
    """How many better items that the role may see came on pages before."""
    more: bool = False
    """Whether the role may see another item on a next page."""
    categories: Mapping[str, float] = field(default_factory=dict)
    """Calibrated probabilities of the query; of a long text the highest of its windows."""


class Searcher:
    """Searches a store for those who may see only what a policy allows.

    The policy stands inside the query: what a role may not see is excluded by the store itself, and where
    a verdict cannot be reached there is an error, never an unfiltered answer.
    """

    def __init__(
        self,
        model: DualEncoder,
        store: Store,
        bounds: Bounds | None,
        policy: Policy,
        *,
        scorer: CategoryScorer | None = None,
    ) -> None:
        """Binds a model, a store that was filled by it, bounds that were measured with it, and a policy.

        Args:
            bounds: None only for a model without a root, which nothing can be judged by.
            scorer: computes the categories of queries; needed where the policy has rules for categories.

        Raises:
            SafetyError: bounds that are missing, or that were measured with another model; no scorer, and
                the policy names categories.
            ConfigError: the policy names a category that the scorer has no calibrated probabilities of.
            StoreError: a store that another model filled, or whose categories are not by the scorer.
        """
        self.space = space_from_config(model.space.config())
        if bounds is None and self.space.has_root:
            raise SafetyError(
                f"the model {model.name!r} has no bounds, so no query can be judged. Calibrate it."
            )
        fingerprint = model.fingerprint
        if bounds is not None and bounds.model_fingerprint != fingerprint:
            raise SafetyError(
                f"the bounds belong to the model {bounds.model_fingerprint[:12]}, but {model.name!r} is "
                f"{fingerprint[:12]}. Calibrate this model, or load the one that the bounds belong to."
            )
        if store.model_fingerprint != fingerprint:
            raise StoreError(
                f"the index was made with the model {store.model_fingerprint[:12]}, but {model.name!r} is "
                f"{fingerprint[:12]}. Search with the model of the index, or index the pictures again."
            )
        if policy.categories:
            _require_categories(policy, store, scorer)
        self.model = model
        self.store = store
        self.bounds = bounds
        self.policy = policy
        self.scorer = scorer

    def search(
        self,
        text: str | None = None,
        *,
        image: Picture | None = None,
        item: str | None = None,
        role: str | None = None,
        k: int = 10,
        offset: int = 0,
        filters: Filters = UNFILTERED,
        strength: float | None = None,
        target: Modality = "image",
    ) -> Answer:
        """The `k` nearest items of modality `target` that the role may see.

        Args:
            text: what is looked for; either this, `image` or `item`. Never read as a path. One that is longer
                than the model's context is judged, and searched with, by its most unsafe window.
            item: the id of an item that the role may see: what is like it is looked for.
            role: a role of the policy; its default role where none is given.
            offset: how many of the nearest to leave out. Pages count what the role may see and nothing else.
            filters: what else the items must be.
            strength: how far an unsafe query is moved, where that is more than the role's rule asks for.

        Raises:
            ConfigError: not exactly one of text, image and item, an unknown role, modality or item, k below
                1, offset below 0, or a strength that would weaken the rule.
            SafetyError: the query cannot be judged, and the role may not see unjudged results.
            DataError: the text has too many windows.
            MediaError: the picture cannot be decoded.
        """
        if sum(query is not None for query in (text, image, item)) != 1:
            raise ConfigError("a search needs either a text or an image or an item, and only one of them.")
        if target not in MODALITIES:
            raise unknown_name("modality", str(target), MODALITIES)
        if k < 1 or offset < 0:
            raise ConfigError(f"k is {k} and offset {offset}, expected at least 1 and at least 0.")
        shown = self._shows(role)

        modality, query, pieces = self._encode(text, image, item, shown)
        points = most_unsafe(pieces, self.space)
        before = float(self.space.root_distance(points)) if self.space.has_root else None
        verdict, categories = self._judge(pieces, before, modality, role, strength)
        steps = [_encoded(modality, self.model.name, before, len(pieces)), _judged(verdict)]
        hits: tuple[Found, ...] = ()
        after, more = before, False
        if verdict.action not in ("review", "block"):
            points, after, step = self._moved(points, before, verdict, modality, target)
            steps.append(step)
            page = self._page(points, shown, target, filters, k=k + 1, offset=offset)
            more = len(page) > k
            hits = tuple(
                _found(hit, target, shown, similarity=hit.similarity, blurred=verdict.blurred)
                for hit in page[:k]
            )
            steps.append(_searched(hits, k, target, shown))
        return Answer(
            query=query,
            modality=modality,
            target=target,
            role=verdict.role,
            verdict=verdict,
            root_distance_before=before,
            root_distance_after=after,
            hits=hits,
            steps=tuple(steps),
            offset=offset,
            more=more,
            categories=categories,
        )

    def _page(
        self, points: Tensor, shown: ItemFilter, target: Modality, filters: Filters, *, k: int, offset: int
    ) -> list[Hit]:
        (page,) = self.store.search(
            points,
            k=k,
            modality=target,
            max_score=shown.max_score[target],
            max_categories=shown.max_categories,
            offset=offset,
            ids=filters.ids,
            folder=filters.folder,
        )
        return page

    def item(self, id: str, *, role: str | None = None) -> Found | None:
        """The item, as the role may see it; None for one that it may not see, as for one that is not there.

        Raises:
            ConfigError: an unknown role.
            SafetyError: nothing can be judged, and the role may not see unjudged results.
        """
        shown = self._shows(role)
        item = self._visible(id, shown)
        if item is None:
            return None
        return _found(item, item.modality, shown, similarity=None, blurred=False)

    def _shows(self, role: str | None) -> ItemFilter:
        if not self.space.has_root:
            self.policy.unjudged(why=self._why_unjudged(), role=role)
        return self.policy.shows(role, bounds=self.bounds)

    def _visible(self, id: str, shown: ItemFilter) -> Item | None:
        limits: dict[Modality, float | None] = {each: shown.max_score[each] for each in get_args(Modality)}
        return self.store.get(id, max_score=limits, max_categories=shown.max_categories)

    def _encode(
        self, text: str | None, image: Picture | None, item: str | None, shown: ItemFilter
    ) -> tuple[Modality, str, Tensor]:
        if item is not None:
            found = self._visible(item, shown)
            if found is None or found.vector is None:
                raise ConfigError(f"no item is called {item!r}. Search by an item of an answer.")
            return found.modality, item, found.vector[None]
        if image is not None:
            return "image", _picture_name(image), self.model.encode_image(image)
        if not isinstance(text, str) or not text.strip():
            raise ConfigError(f"the text to search for is {text!r}, expected at least one word.")
        return "text", text, self.model.encode_text(windows(text, self.model.tokenizer))

    def _judge(
        self,
        pieces: Tensor,
        score: float | None,
        modality: Modality,
        role: str | None,
        strength: float | None,
    ) -> tuple[Verdict, dict[str, float]]:
        """The verdict on a query, and its categories, which are measured though no rule may ask for them."""
        categories = {} if self.scorer is None else highest(categorised(self.scorer, pieces, modality))
        if not self.space.has_root:
            verdict = self.policy.unjudged(why=self._why_unjudged(), role=role, strength=strength)
        else:
            verdict = self.policy.judge(
                score,
                modality=modality,
                bounds=self.bounds,
                role=role,
                strength=strength,
                categories=categories,
            )
        return verdict, categories

    def _why_unjudged(self) -> str:
        return f"the model {self.model.name!r} has no root distances"

    def _moved(
        self, points: Tensor, before: float | None, verdict: Verdict, modality: str, target: str
    ) -> tuple[Tensor, float | None, Step]:
        if verdict.action != "redirect":
            return points, before, Step("redirect", "the query stays where it is", {"strength": 0.0})
        bounds = self._required_bounds()
        moved = redirect(
            points,
            space=self.space,
            bounds=bounds,
            query_modality=modality,
            target_modality=target,
            strength=verdict.strength,
            triggered=torch.ones(len(points), dtype=torch.bool, device=points.device),
        )
        after, landing = float(moved.root_distance_after), bounds.landing[target]
        goal = f"the landing {landing:.4f} of queries for {target}s"
        sentence = f"moved with strength {verdict.strength:g} to root distance {after:.4f}, towards {goal}"
        if before is not None and before <= landing:
            sentence = f"the query stays where it is, already within {goal}"
        numbers = {"strength": verdict.strength, "landing": landing, "root_distance": after}
        return moved.points, after, Step("redirect", sentence, numbers)

    def _required_bounds(self) -> Bounds:
        if self.bounds is None:
            raise SafetyError(f"the model {self.model.name!r} has no bounds, so nothing can be judged safe.")
        return self.bounds


def _require_categories(policy: Policy, store: Store, scorer: CategoryScorer | None) -> None:
    if scorer is None:
        raise SafetyError(
            f"the policy {policy.version!r} has rules for {', '.join(sorted(policy.categories))}, and there "
            "are no concepts to compute them by. Give the concepts, or take the rules out."
        )
    policy.require_categories(scorer.categories)
    there = store.status().concepts
    if there not in (None, scorer.fingerprint):
        raise StoreError(
            f"the index has categories by the concepts {there[:12]}, but these are "
            f"{scorer.fingerprint[:12]}. Compute the categories of the index anew by these."
        )


def _found(
    item: Hit | Item, modality: Modality, shown: ItemFilter, *, similarity: float | None, blurred: bool
) -> Found:
    """The item as the role sees it.

    Raises:
        SafetyError: the store gave what the role may not see. Nothing is answered then.
    """
    action = shown.action(modality=modality, score=item.score, categories=item.categories)
    if action == "block":
        raise SafetyError(f"the store gave an item that role {shown.role!r} may not see. Repair the store.")
    would: Action = action
    if shown.shadow is not None:
        would = shown.shadow.action(modality=modality, score=item.score, categories=item.categories)
    return Found(
        id=item.id,
        path=item.path,
        caption=item.caption,
        similarity=similarity,
        score=item.score,
        modality=modality,
        categories=item.categories,
        blurred=blurred or action == "blur",
        shadow=None if would == action else would,
    )


def _searched(hits: tuple[Found, ...], k: int, target: Modality, shown: ItemFilter) -> Step:
    limit = shown.max_score[target]
    parts = [f"{name} at most {most:g}" for name, most in shown.max_categories.items()]
    numbers = {"k": float(k), "found": float(len(hits))}
    numbers |= {f"limit/{name}": most for name, most in shown.max_categories.items()}
    if limit is not None and math.isinf(limit):
        parts.insert(0, "any root distance")
    elif limit is not None:
        parts.insert(0, f"root distance at most {limit:.4f}")
        numbers["limit"] = limit
    pool = f"{target}s of {' and '.join(parts)}" if parts else f"all {target}s"
    return Step("search", f"{len(hits)} found among {pool}", numbers)


def _picture_name(picture: Picture) -> str:
    if isinstance(picture, (str, Path)):
        return str(picture)
    name = getattr(picture, "filename", "") if isinstance(picture, Image.Image) else ""
    return str(name) or "a picture"


def _encoded(modality: str, model: str, root_distance: float | None, pieces: int) -> Step:
    sentence = f"the {modality} was encoded by the model {model!r}"
    numbers: dict[str, float] = {}
    if pieces > 1:
        sentence += f" in {pieces} windows of its context, the "
        sentence += "first of which counts" if root_distance is None else "most unsafe of which is"
        numbers["windows"] = float(pieces)
    if root_distance is not None:
        sentence += f" at root distance {root_distance:.4f}"
        numbers["root_distance"] = root_distance
    return Step("encode", sentence, numbers)


def _judged(verdict: Verdict) -> Step:
    numbers = {"score": verdict.score, "bound": verdict.bound}
    return Step(
        "judge", verdict.reason, {name: value for name, value in numbers.items() if value is not None}
    )
