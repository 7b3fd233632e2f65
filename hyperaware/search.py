"""Search under a policy: encode, judge, redirect, search, answer; each step with its reason and numbers."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from PIL import Image
from torch import Tensor

from hyperaware.errors import ConfigError, SafetyError, StoreError
from hyperaware.geometry.space import space_from_config
from hyperaware.index.store import Hit, Modality, Store
from hyperaware.models.dual_encoder import DualEncoder, Picture
from hyperaware.moderation.bounds import MODALITIES, Bounds
from hyperaware.moderation.policy import Policy, Show, Verdict
from hyperaware.moderation.redirect import redirect
from hyperaware.options import unknown_name

__all__ = ["Answer", "Searcher", "Step"]


class Step(NamedTuple):
    """One step of a search: its name, what happened in a sentence, and the numbers in it."""

    name: str
    sentence: str
    numbers: Mapping[str, float]


@dataclass(frozen=True)
class Answer:
    """What a search found, and how it came to it."""

    query: str
    """The text, or the name of the picture."""
    modality: Modality
    target: Modality
    role: str
    verdict: Verdict
    root_distance_before: float | None
    """Of the query as it was asked; None for a model without a root."""
    root_distance_after: float | None
    """Of the query that was searched with."""
    hits: tuple[Hit, ...]
    steps: tuple[Step, ...] = field(repr=False)


class Searcher:
    """Searches a store for those who may see only what a policy allows.

    The policy stands inside the query: what a role may not see is excluded by the store itself, and where
    a verdict cannot be reached there is an error, never an unfiltered answer.
    """

    def __init__(self, model: DualEncoder, store: Store, bounds: Bounds | None, policy: Policy) -> None:
        """Binds a model, a store that was filled by it, bounds that were measured with it, and a policy.

        Args:
            bounds: None only for a model without a root, which nothing can be judged by.

        Raises:
            SafetyError: bounds that are missing, or that were measured with another model.
            StoreError: a store that another model filled.
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
        self.model = model
        self.store = store
        self.bounds = bounds
        self.policy = policy

    def search(
        self,
        text: str | None = None,
        *,
        image: Picture | None = None,
        role: str | None = None,
        k: int = 10,
        strength: float | None = None,
        target: Modality = "image",
    ) -> Answer:
        """The `k` nearest items of modality `target` that the role may see.

        Args:
            text: what is looked for; either this or `image`. Never read as a path.
            role: a role of the policy; its default role where none is given.
            strength: how far an unsafe query is moved, where that is more than the role's rule asks for.

        Raises:
            ConfigError: not exactly one of text and image, an unknown role or modality, k below 1, or a
                strength that would weaken the rule.
            SafetyError: the query cannot be judged, and the role may not see unjudged results.
            MediaError: the picture cannot be decoded.
        """
        if (text is None) == (image is None):
            raise ConfigError("a search needs either a text or an image, and not both.")
        if target not in MODALITIES:
            raise unknown_name("modality", str(target), MODALITIES)
        if k < 1:
            raise ConfigError(f"k is {k}, expected at least 1.")
        show = self.policy.role(role).show

        modality, query, points = self._encode(text, image)
        before = float(self.space.root_distance(points)) if self.space.has_root else None
        verdict = self._judge(before, modality, role, strength)
        steps = [_encoded(modality, self.model.name, before), _judged(verdict)]
        hits: tuple[Hit, ...] = ()
        after = before
        if verdict.action != "block":
            points, after, step = self._moved(points, before, verdict, modality, target)
            hits, found = self._found(points, k, target, show)
            steps += [step, found]
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
        )

    def _encode(self, text: str | None, image: Picture | None) -> tuple[Modality, str, Tensor]:
        if image is not None:
            return "image", _picture_name(image), self.model.encode_image(image)
        if not isinstance(text, str) or not text.strip():
            raise ConfigError(f"the text to search for is {text!r}, expected at least one word.")
        return "text", text, self.model.encode_text(text)

    def _judge(self, score: float | None, modality: str, role: str | None, strength: float | None) -> Verdict:
        if not self.space.has_root:
            why = f"the model {self.model.name!r} has no root distances"
            return self.policy.unjudged(why=why, role=role, strength=strength)
        return self.policy.judge(score, modality=modality, bounds=self.bounds, role=role, strength=strength)

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
        )
        after, landing = float(moved.root_distance_after), bounds.landing[target]
        goal = f"the landing {landing:.4f} of queries for {target}s"
        sentence = f"moved with strength {verdict.strength:g} to root distance {after:.4f}, towards {goal}"
        if before is not None and before <= landing:
            sentence = f"the query stays where it is, already within {goal}"
        numbers = {"strength": verdict.strength, "landing": landing, "root_distance": after}
        return moved.points, after, Step("redirect", sentence, numbers)

    def _found(self, points: Tensor, k: int, target: Modality, show: Show) -> tuple[tuple[Hit, ...], Step]:
        limit = None if show == "all" else self._required_bounds().limit[target]
        hits = tuple(self.store.search(points, k=k, modality=target, max_score=limit)[0])
        pool = f"all {target}s" if limit is None else f"{target}s of root distance at most {limit:.4f}"
        numbers = {"k": float(k), "found": float(len(hits))}
        if limit is not None:
            numbers["limit"] = limit
        return hits, Step("search", f"{len(hits)} found among {pool}", numbers)

    def _required_bounds(self) -> Bounds:
        if self.bounds is None:
            raise SafetyError(f"the model {self.model.name!r} has no bounds, so nothing can be judged safe.")
        return self.bounds


def _picture_name(picture: Picture) -> str:
    if isinstance(picture, (str, Path)):
        return str(picture)
    name = getattr(picture, "filename", "") if isinstance(picture, Image.Image) else ""
    return str(name) or "a picture"


def _encoded(modality: str, model: str, root_distance: float | None) -> Step:
    if root_distance is None:
        return Step("encode", f"the {modality} was encoded by the model {model!r}", {})
    sentence = f"the {modality} was encoded by the model {model!r} at root distance {root_distance:.4f}"
    return Step("encode", sentence, {"root_distance": root_distance})


def _judged(verdict: Verdict) -> Step:
    numbers = {"score": verdict.score, "bound": verdict.bound}
    return Step(
        "judge", verdict.reason, {name: value for name, value in numbers.items() if value is not None}
    )
