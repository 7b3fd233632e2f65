"""Moderation of texts and pictures: each gets a score, a probability, its categories and a verdict.

It fails closed, item by item: what cannot be decoded, encoded or judged is a `Failure` with its reason, never
a verdict, and counts as flagged.
"""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import NamedTuple

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
from hyperaware.moderation.categories import CalibratedScorer, CategoryScore
from hyperaware.moderation.concepts import Concepts, Scorer
from hyperaware.moderation.policy import Policy, Verdict

__all__ = ["Failure", "Moderation", "Moderator"]


class Failure(NamedTuple):
    """Why an item has no verdict."""

    reason: str
    """A stable word: "empty", "too_long", "not_finite", "unjudged", or one of `media.images.REASONS`."""
    message: str


class _Reading(NamedTuple):
    """What is measured of one point."""

    root_distance: float | None
    """None for a model without a root."""
    categories: Mapping[str, CategoryScore]


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
        return [*self._texts(list(texts or ()), role), *self._images(list(images or ()), role)]

    def _texts(self, texts: Sequence[str], role: str | None) -> list[Moderation]:
        pieces = [self.pieces(text) for text in texts]
        flat = [window for each in pieces if not isinstance(each, Failure) for window in each]
        return self._judged("text", pieces, self.model.encode_text(flat) if flat else None, role)

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

    def _images(self, images: Sequence[Picture], role: str | None) -> list[Moderation]:
        pieces: list[list[Image.Image] | Failure] = []
        for image in images:
            try:
                pieces.append([decode(image)])
            except MediaError as error:
                pieces.append(Failure(error.reason, str(error)))
        flat = [picture for each in pieces if not isinstance(each, Failure) for picture in each]
        return self._judged("image", pieces, self.model.encode_image(flat) if flat else None, role)

    def _judged(
        self, modality: Modality, pieces: Sequence[list | Failure], points: Tensor | None, role: str | None
    ) -> list[Moderation]:
        """One moderation for each item: a failure, or the next `len(piece)` rows of the points."""
        answers, row = [], 0
        readings = None
        if points is not None:
            with suppress(SafetyError):  # then each item is read by itself, so that only one of them fails
                readings = self._read(points, modality)
        for piece in pieces:
            if isinstance(piece, Failure):
                answers.append(Moderation(modality, self.fingerprint, failure=piece))
                continue
            assert points is not None, "a piece was encoded"
            own = slice(row, row + len(piece))
            row += len(piece)
            read = None if readings is None else readings[own]
            answers.append(self._judge(points[own], read, modality, role))
        return answers

    def judge(self, points: Tensor, *, modality: Modality, role: str | None = None) -> Moderation:
        """The moderation of one item from its points, (windows, d): the most unsafe one counts.

        Raises:
            ConfigError: an unknown role or modality.
        """
        return self._judge(points, None, modality, role)

    def _judge(
        self, points: Tensor, readings: Sequence[_Reading] | None, modality: Modality, role: str | None
    ) -> Moderation:
        try:
            read = self._read(points, modality) if readings is None else readings
            return self._verdict(read, modality, role)
        except SafetyError as error:
            reason = "unjudged" if bool(points.isfinite().all()) else "not_finite"
            failure = Failure(reason, str(error))
            return Moderation(modality, self.fingerprint, windows=len(points), failure=failure)

    def _read(self, points: Tensor, modality: Modality) -> list[_Reading]:
        """Root distance and categories of each point; of many at once in a tenth of the time.

        Raises:
            SafetyError: no point, or one that is not finite.
        """
        if not len(points) or not points.isfinite().all():
            raise SafetyError("the model gave a point that is not finite: the item cannot be judged.")
        categories = [{}] * len(points) if self.scorer is None else self.scorer.scores(points, modality)
        if self.bounds is None:
            return [_Reading(None, found) for found in categories]
        distances = self.space.root_distance(points)
        if not distances.isfinite().all():
            raise SafetyError("a root distance is not finite: the item cannot be judged.")
        return [_Reading(*pair) for pair in zip(distances.tolist(), categories, strict=True)]

    def _verdict(self, windows: Sequence[_Reading], modality: Modality, role: str | None) -> Moderation:
        """The moderation of one item by what was measured of its windows."""
        names = windows[0].categories
        categories = {
            name: max((each.categories[name] for each in windows), key=lambda found: found.score)
            for name in names
        }
        distances = [each.root_distance for each in windows if each.root_distance is not None]
        if self.bounds is None:
            why = f"the model {self.model.name!r} has no root distances"
            verdict = self.policy.unjudged(why=why, role=role)
            return Moderation(
                modality, self.fingerprint, verdict=verdict, categories=categories, windows=len(windows)
            )
        score = max(distances)
        known = {name: each.probability for name, each in categories.items() if each.probability is not None}
        verdict = self.policy.judge(score, modality=modality, bounds=self.bounds, role=role, categories=known)
        calibration = self.calibration
        return Moderation(
            modality,
            self.fingerprint,
            score=score,
            probability=None if calibration is None else calibration.probability(score, modality=modality),
            bound=self.bounds.trigger[modality],
            verdict=verdict,
            categories=categories,
            windows=len(windows),
        )
