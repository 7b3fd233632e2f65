"""Moderation of texts and pictures: each gets a score, a probability, its categories and a verdict.

It fails closed, item by item: what cannot be decoded, encoded or judged is a `Failure` with its reason, never
a verdict, and counts as flagged.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from PIL import Image
from torch import Tensor

from hyperaware.errors import MediaError, SafetyError
from hyperaware.geometry.space import space_from_config
from hyperaware.index.store import Modality
from hyperaware.media.images import decode
from hyperaware.models.dual_encoder import DualEncoder, Picture
from hyperaware.models.tokenizer import Tokenizer
from hyperaware.moderation import bounds as bounds_module
from hyperaware.moderation import calibration as calibration_module
from hyperaware.moderation.bounds import Bounds
from hyperaware.moderation.calibration import Calibration
from hyperaware.moderation.categories import CalibratedScorer, CategoryScore
from hyperaware.moderation.concepts import Concepts, Scorer
from hyperaware.moderation.policy import Policy, Verdict

__all__ = ["MOST_WINDOWS", "Failure", "Moderation", "Moderator", "windows"]

MOST_WINDOWS = 256
"""A longer text is refused whole: it must neither be cut nor occupy the model without end."""
OVERLAP = 4
"""Neighbouring windows share up to a quarter of their tokens."""
_ENDS = 2
"""The tokens of start and end, which every window has."""
_MOST_TOKENS_OF_A_LETTER = 8
"""Four bytes, and two letters where a lower-case one is written as two."""


class Failure(NamedTuple):
    """Why an item has no verdict."""

    reason: str
    """A stable word: "empty", "too_long", "not_finite", "unjudged", or one of `media.images.REASONS`."""
    message: str


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
    ) -> None:
        """Binds a model to what was measured with it, and reads the prompts of the concepts.

        Args:
            bounds: None only for a model without a root, which nothing can be judged by.
            calibration: gives probabilities; without one there are none, and rules for categories hit.
            concepts: gives categories; without them there are none.
            policy: the package's own if none is given.

        Raises:
            SafetyError: bounds that are missing or of another model, or a calibration that is not theirs.
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
        self.model = model
        self.tokenizer: Tokenizer = model.tokenizer
        self.bounds = bounds
        self.calibration = calibration
        self.policy = Policy.default() if policy is None else policy
        self.scorer = None if concepts is None else CalibratedScorer(Scorer(model, concepts), calibration)

    @classmethod
    def of(
        cls, model: DualEncoder, *, policy: Policy | None = None, concepts: Concepts | None = None
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
        pieces = [windows(text, self.tokenizer) for text in texts]
        flat = [window for each in pieces if not isinstance(each, Failure) for window in each]
        return self._judged("text", pieces, self.model.encode_text(flat) if flat else None, role)

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
        for piece in pieces:
            if isinstance(piece, Failure):
                answers.append(Moderation(modality, self.fingerprint, failure=piece))
                continue
            assert points is not None, "a piece was encoded"
            own = points[row : row + len(piece)]
            row += len(piece)
            answers.append(self.judge(own, modality=modality, role=role))
        return answers

    def judge(self, points: Tensor, *, modality: Modality, role: str | None = None) -> Moderation:
        """The moderation of one item from its points, (windows, d): the most unsafe one counts.

        Raises:
            ConfigError: an unknown role or modality.
        """
        try:
            return self._judge(points, modality, role)
        except SafetyError as error:
            reason = "unjudged" if bool(points.isfinite().all()) else "not_finite"
            failure = Failure(reason, str(error))
            return Moderation(modality, self.fingerprint, windows=len(points), failure=failure)

    def _judge(self, points: Tensor, modality: Modality, role: str | None) -> Moderation:
        if not len(points) or not points.isfinite().all():
            raise SafetyError("the model gave a point that is not finite: the item cannot be judged.")
        categories = self._categories(points, modality)
        if self.bounds is None:
            why = f"the model {self.model.name!r} has no root distances"
            verdict = self.policy.unjudged(why=why, role=role)
            return Moderation(
                modality, self.fingerprint, verdict=verdict, categories=categories, windows=len(points)
            )
        distances = self.space.root_distance(points)
        if not distances.isfinite().all():
            raise SafetyError("a root distance is not finite: the item cannot be judged.")
        score = float(distances.max())
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
            windows=len(points),
        )

    def _categories(self, points: Tensor, modality: Modality) -> dict[str, CategoryScore]:
        if self.scorer is None:
            return {}
        rows = self.scorer.scores(points, modality)
        return {name: max((row[name] for row in rows), key=lambda each: each.score) for name in rows[0]}


def windows(text: str, tokenizer: Tokenizer) -> list[str] | Failure:
    """The text in overlapping pieces that fit the model's context, cut between words; itself if it fits.

    Every word stands whole in some window; one that is longer than the context is cut into several words. A
    failure for what is no text ("unsupported"), has no word ("empty"), or more than `MOST_WINDOWS` pieces
    ("too_long").
    """
    if not isinstance(text, str):
        return Failure("unsupported", f"the text is a {type(text).__name__}, expected words.")
    if not text.strip():
        return Failure("empty", "the text has no words.")
    if _length(text, tokenizer) <= tokenizer.context_length:
        return [text]
    pieces = []
    for first, last in _spans(_words(text, tokenizer), room=tokenizer.context_length - _ENDS):
        pieces.append(text[first.start : last.end])
        if len(pieces) > MOST_WINDOWS:
            return Failure("too_long", f"the text has more than {MOST_WINDOWS} windows. Give it in parts.")
    if any(_length(piece, tokenizer) > tokenizer.context_length for piece in pieces):
        return Failure("unsupported", "the text cannot be cut into pieces that fit the model's context.")
    return pieces


class _Word(NamedTuple):
    """Where a word stands in a text, and how many tokens it has."""

    start: int
    end: int
    tokens: int


def _length(text: str, tokenizer: Tokenizer) -> int:
    """Tokens, start and end included."""
    return len(tokenizer.backend.encode(text).ids)


def _words(text: str, tokenizer: Tokenizer) -> list[_Word]:
    encoding = tokenizer.backend.encode(text)
    found: dict[int, _Word] = {}
    for word, (start, end) in zip(encoding.word_ids, encoding.offsets, strict=True):
        if word is not None:  # start and end belong to none
            before = found.get(word, _Word(start, end, 0))
            found[word] = _Word(before.start, max(end, before.end), before.tokens + 1)
    room = tokenizer.context_length - _ENDS
    return [part for word in found.values() for part in _cut(word, text, tokenizer, room)]


def _cut(word: _Word, text: str, tokenizer: Tokenizer, room: int) -> list[_Word]:
    """The word; in pieces of few letters if it is longer than a window."""
    if word.tokens <= room:
        return [word]
    step = max(1, room // _MOST_TOKENS_OF_A_LETTER)
    cuts = [(at, min(at + step, word.end)) for at in range(word.start, word.end, step)]
    return [_Word(at, end, _length(text[at:end], tokenizer) - _ENDS) for at, end in cuts]


def _spans(words: Sequence[_Word], *, room: int) -> Iterator[tuple[_Word, _Word]]:
    """The first and the last word of each window: as many as fit, the next one starting a quarter before."""
    first = 0
    while True:
        after, tokens = first, 0
        while after < len(words) and (after == first or tokens + words[after].tokens <= room):
            tokens += words[after].tokens
            after += 1
        yield words[first], words[after - 1]
        if after == len(words):
            return
        begin, shared = after, 0
        most = min(room // OVERLAP, room - words[after].tokens)
        while begin - 1 > first and shared + words[begin - 1].tokens <= most:
            begin -= 1
            shared += words[begin].tokens
        first = begin
