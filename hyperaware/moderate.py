"""Moderation of texts and pictures: each gets a score, a probability, its categories and a verdict.

It fails closed, item by item: what cannot be decoded, encoded or judged is a `Failure` with its reason, never
a verdict, and counts as flagged.
"""

import math
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import NamedTuple

import torch
from PIL import Image
from torch import Tensor

from hyperaware.errors import DataError, MediaError, SafetyError
from hyperaware.geometry.space import space_from_config
from hyperaware.index.store import Modality
from hyperaware.media.images import decode
from hyperaware.models.dual_encoder import DualEncoder, Picture
from hyperaware.models.tokenizer import Tokenizer
from hyperaware.models.windows import windows
from hyperaware.moderation import bounds as bounds_module
from hyperaware.moderation import calibration as calibration_module
from hyperaware.moderation.bounds import Bounds
from hyperaware.moderation.calibration import Calibration
from hyperaware.moderation.categories import CalibratedScorer, CategoryScore, probabilities
from hyperaware.moderation.concepts import Concepts, Scorer
from hyperaware.moderation.policy import Policy, Verdict

__all__ = ["Failure", "Measured", "Moderation", "Moderator"]

DECODED = 64
"""Pictures that are held in memory at once."""


class Failure(NamedTuple):
    """Why an item has no verdict."""

    reason: str
    """A stable word: "empty", "too_long", "not_finite", "unjudged", or one of `media.images.REASONS`."""
    message: str


class _Reading(NamedTuple):
    """What is measured of one point."""

    score: float | None
    """Root distance; None for a model without a root."""
    probability: float | None
    categories: Mapping[str, CategoryScore]


class Measured(NamedTuple):
    """What was measured of one item. It is the same for every role; a verdict depends on the role."""

    modality: Modality
    score: float | None = None
    probability: float | None = None
    categories: Mapping[str, CategoryScore] = MappingProxyType({})
    windows: int = 1
    failure: Failure | None = None
    """Why there is nothing above."""


@dataclass(frozen=True)
class Moderation:
    """What is known about one item. With a `failure` nothing is: it is not safe, it is unjudged."""

    modality: Modality
    model_fingerprint: str
    score: float | None = None
    """Root distance; of a long text that of its most unsafe window."""
    probability: float | None = None
    """That the item is unsafe; None without a calibration."""
    bound: float | None = None
    verdict: Verdict | None = None
    categories: Mapping[str, CategoryScore] = field(default_factory=dict)
    """Of a long text each category's most unsafe window."""
    windows: int = 1
    """Pieces that a text was judged in: more than one where it is longer than the model's context."""
    failure: Failure | None = None

    @property
    def flagged(self) -> bool:
        """Whether the item is beyond the bound or was not judged, whatever the role may do with it."""
        return self.score is None or self.bound is None or not self.score <= self.bound

    @property
    def margin(self) -> float | None:
        """How far the score lies within the bound; negative beyond it."""
        return None if self.score is None or self.bound is None else self.bound - self.score


class Moderator:
    """Judges texts and pictures by one model under one policy."""

    def __init__(
        self,
        model: DualEncoder,
        *,
        bounds: Bounds | None,
        calibration: Calibration | None = None,
        concepts: Concepts | None = None,
        policy: Policy | None = None,
        domain: str | None = None,
    ) -> None:
        """Binds a model to what was measured with it, and reads the prompts of the concepts.

        Args:
            bounds: None only for a model without a root, which nothing can be judged by.
            calibration: gives probabilities; without one there are none, and rules for categories hit.
            concepts: gives categories; without them there are none.
            policy: the package's own if none is given.
            domain: judge by the thresholds of this domain of the calibration.

        Raises:
            SafetyError: bounds that are missing or of another model, or a calibration that is missing where a
                domain is asked for, or is not theirs.
            ConfigError: a domain that the calibration does not have.
        """
        self.space = space_from_config(model.space.config())
        self.fingerprint = model.fingerprint
        if bounds is None and self.space.has_root:
            raise SafetyError(
                f"the model {model.name!r} has no bounds, so nothing can be judged. Calibrate it."
            )
        if bounds is not None and bounds.model_fingerprint != self.fingerprint:
            raise SafetyError(
                f"the bounds belong to the model {bounds.model_fingerprint[:12]}, but {model.name!r} is "
                f"{self.fingerprint[:12]}. Calibrate this model, or load the one that the bounds belong to."
            )
        if calibration is not None:
            if bounds is None:
                raise SafetyError("a calibration was given without the bounds that it speaks of.")
            calibration.require_bounds(bounds)
            bounds = bounds if domain is None else calibration.for_domain(bounds, domain)
        elif domain is not None:
            raise SafetyError(
                f"there is no calibration, so no thresholds of the domain {domain!r} are known."
            )
        self.model = model
        self.tokenizer: Tokenizer = model.tokenizer
        self.bounds = bounds
        self.calibration = calibration
        self.policy = Policy.default() if policy is None else policy
        self.scorer = None if concepts is None else CalibratedScorer(Scorer(model, concepts), calibration)

    @classmethod
    def of(
        cls,
        model: DualEncoder,
        *,
        policy: Policy | None = None,
        concepts: Concepts | None = None,
        domain: str | None = None,
    ) -> "Moderator":
        """A moderator with the bounds and calibration in the model's folder, and the concepts that fit it.

        Raises:
            SafetyError: bounds that are missing, or files that do not belong together.
        """
        if model.folder is None or not model.space.has_root:
            raise SafetyError(f"the model {model.name!r} has no folder or no root, so it has no bounds.")
        bounds = bounds_module.load(model.folder, model_fingerprint=model.fingerprint)
        return cls(
            model,
            bounds=bounds,
            calibration=calibration_module.load(model.folder, bounds=bounds),
            concepts=Concepts.of(model) if concepts is None else concepts,
            policy=policy,
            domain=domain,
        )

    def moderate(
        self,
        texts: Sequence[str] | None = None,
        images: Sequence[Picture] | None = None,
        *,
        role: str | None = None,
    ) -> list[Moderation]:
        """What is known about each text, then about each picture, in their order; encoded in batches.

        A text longer than the model's context is judged by its most unsafe window, so that its chance of a
        false alarm grows with its length.

        Raises:
            ConfigError: an unknown role.
        """
        self.policy.role(role)
        return [self.decided(each, role=role) for each in self.measured(texts, images)]

    def measured(
        self, texts: Sequence[str] | None = None, images: Sequence[Picture] | None = None
    ) -> list[Measured]:
        """What is measured of each text, then of each picture, in their order; in one pass for each."""
        pictures = list(images or ())
        parts = [pictures[start : start + DECODED] for start in range(0, len(pictures), DECODED)]
        return [*self._texts(list(texts or ())), *(each for part in parts for each in self._images(part))]

    def decided(self, measured: Measured, *, role: str | None = None) -> Moderation:
        """The moderation of one item by what was measured of it.

        Raises:
            ConfigError: an unknown role.
        """
        modality, score, probability, categories, count, failure = measured
        if failure is None:
            try:
                verdict = self._verdict(measured, role)
            except SafetyError as error:
                failure = Failure("unjudged", str(error))
        if failure is not None:
            return Moderation(modality, self.fingerprint, windows=count, failure=failure)
        return Moderation(
            modality,
            self.fingerprint,
            score=score,
            probability=probability,
            bound=None if self.bounds is None else self.bounds.trigger[modality],
            verdict=verdict,
            categories=categories,
            windows=count,
        )

    def probability(self, score: float | None, modality: Modality) -> float | None:
        """That an item with this root distance is unsafe; None without a calibration, or without a score."""
        if score is None or self.calibration is None:
            return None
        (found,) = self.calibration.of(modality).probability.many([score])
        return found

    def _verdict(self, measured: Measured, role: str | None) -> Verdict:
        if self.bounds is None:
            return self.policy.unjudged(why=f"the model {self.model.name!r} has no root distances", role=role)
        return self.policy.judge(
            measured.score,
            modality=measured.modality,
            bounds=self.bounds,
            role=role,
            categories=probabilities(measured.categories),
        )

    def _texts(self, texts: Sequence[str]) -> list[Measured]:
        """Most texts fit the context: all are encoded as they are, and in windows those that do not."""
        whole = [index for index, text in enumerate(texts) if isinstance(text, str) and text.strip()]
        if not whole:
            return self._measured("text", [self.pieces(text) for text in texts], None)
        points, fit = self.model.encode_fitting([texts[index] for index in whole])
        fits = {index for index, short in zip(whole, fit, strict=True) if short}
        pieces = [[text] if index in fits else self.pieces(text) for index, text in enumerate(texts)]
        judged = [(index, each) for index, each in enumerate(pieces) if not isinstance(each, Failure)]
        if windows := [window for index, each in judged if index not in fits for window in each]:
            short, cut = iter(points), iter(self.model.encode_text(windows))
            rows = [next(short if index in fits else cut) for index, each in judged for _ in each]
            points = torch.stack(rows)
        return self._measured("text", pieces, points)

    def pieces(self, text: str) -> list[str] | Failure:
        """The windows that a text is judged in, or why it cannot be."""
        if not isinstance(text, str):
            return Failure("unsupported", f"the text is a {type(text).__name__}, expected words.")
        if not text.strip():
            return Failure("empty", "the text has no words.")
        try:
            return windows(text, self.tokenizer)
        except DataError as error:
            return Failure("too_long", str(error))

    def _images(self, images: Sequence[Picture]) -> list[Measured]:
        pieces: list[list[Image.Image] | Failure] = []
        for image in images:
            try:
                pieces.append([decode(image)])
            except MediaError as error:
                pieces.append(Failure(error.reason, str(error)))
        flat = [picture for each in pieces if not isinstance(each, Failure) for picture in each]
        return self._measured("image", pieces, self.model.encode_image(flat) if flat else None)

    def _measured(
        self, modality: Modality, pieces: Sequence[list | Failure], points: Tensor | None
    ) -> list[Measured]:
        """What is measured of each item: a failure, or of the next `len(piece)` rows of the points."""
        found, row = [], 0
        readings = None
        if points is not None:
            with suppress(SafetyError):  # then each item is read by itself, so that only one of them fails
                readings = self._read(points, modality)
        for piece in pieces:
            if isinstance(piece, Failure):
                found.append(Measured(modality, failure=piece))
                continue
            assert points is not None, "a piece was encoded"
            own = slice(row, row + len(piece))
            row += len(piece)
            if readings is not None:
                found.append(_most_unsafe(readings[own], modality))
            else:
                found.append(self._alone(points[own], modality))
        return found

    def _alone(self, points: Tensor, modality: Modality) -> Measured:
        """What is measured of one item."""
        try:
            return _most_unsafe(self._read(points, modality), modality)
        except SafetyError as error:
            reason = "unjudged" if bool(points.isfinite().all()) else "not_finite"
            return Measured(modality, windows=len(points), failure=Failure(reason, str(error)))

    def _read(self, points: Tensor, modality: Modality) -> list[_Reading]:
        """Root distance, probability and categories of each point; of many in little more time than of one.

        Raises:
            SafetyError: no point, or one that is not finite.
        """
        if not len(points) or not points.isfinite().all():
            raise SafetyError("the model gave a point that is not finite: the item cannot be judged.")
        categories = [{}] * len(points) if self.scorer is None else self.scorer.scores(points, modality)
        if self.bounds is None:
            return [_Reading(None, None, found) for found in categories]
        distances = self.space.root_distance(points)
        if not distances.isfinite().all():
            raise SafetyError("a root distance is not finite: the item cannot be judged.")
        scores: list[float] = distances.tolist()
        known: list[float | None] = [None] * len(scores)
        if self.calibration is not None:
            known = [*self.calibration.of(modality).probability.many(scores)]
        return [_Reading(*found) for found in zip(scores, known, categories, strict=True)]


def _most_unsafe(windows: Sequence[_Reading], modality: Modality) -> Measured:
    """What counts of an item's windows: the largest root distance, and each category's largest score."""
    if len(windows) == 1:
        return Measured(modality, *windows[0])
    score, probability, _ = max(windows, key=lambda each: -math.inf if each.score is None else each.score)
    categories = {
        name: max((each.categories[name] for each in windows), key=lambda found: found.score)
        for name in windows[0].categories
    }
    return Measured(modality, score, probability, categories, windows=len(windows))
