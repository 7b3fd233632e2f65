"""Categories of points: the score of the concepts' prompts, and its probability where that is calibrated."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import NamedTuple

from jaxtyping import Float
from torch import Tensor

from hyperaware.errors import SafetyError
from hyperaware.moderation.bounds import MODALITIES
from hyperaware.moderation.calibration import Calibration
from hyperaware.moderation.concepts import Scorer
from hyperaware.moderation.probability import ProbabilityMap
from hyperaware.options import unknown_name

__all__ = ["CalibratedScorer", "CategoryScore", "probabilities", "require_scores"]


class CategoryScore(NamedTuple):
    """One category of one item."""

    score: float
    """Of the prompts (`Scorer.scores`): higher is more of it. Not comparable between modalities."""
    probability: float | None
    """That the item is of the category; None where the category is not calibrated."""

    @property
    def calibrated(self) -> bool:
        return self.probability is not None


def probabilities(categories: Mapping[str, CategoryScore]) -> dict[str, float]:
    """The probability of each category that is calibrated; the others are left out."""
    found = categories.items()
    return {name: probability for name, (_, probability) in found if probability is not None}


class CalibratedScorer:
    """A scorer with what the calibration says about its categories: the `CategoryScorer` of an index.

    A category whose prompts were edited after the calibration has no probabilities: those that are stored
    belong to other prompts.
    """

    def __init__(self, scorer: Scorer, calibration: Calibration | None) -> None:
        self.scorer = scorer
        stored = {} if calibration is None else calibration.categories
        concepts = scorer.concepts
        self._maps: dict[str, dict[str, ProbabilityMap]] = {
            modality: {
                name: stored[name].probability[modality]
                for name in concepts.categories
                if name in stored
                and modality in stored[name].probability
                and stored[name].fingerprint == concepts.fingerprint(name)
            }
            for modality in MODALITIES
        }

    @property
    def categories(self) -> frozenset[str]:
        """The categories with probabilities in every modality."""
        return frozenset.intersection(*(frozenset(maps) for maps in self._maps.values()))

    @property
    def fingerprint(self) -> str:
        """Sixteen hexadecimal digits that name the prompts and the maps of all calibrated categories."""
        concepts = self.scorer.concepts
        parts = [
            (modality, name, concepts.fingerprint(name), asdict(found))
            for modality, maps in self._maps.items()
            for name, found in sorted(maps.items())
        ]
        return hashlib.sha256(repr(parts).encode()).hexdigest()[:16]

    def __call__(self, points: Float[Tensor, "n d"], modality: str) -> list[dict[str, float]]:
        """For each point its probabilities; a category that is not calibrated is left out."""
        return [probabilities(found) for found in self.scores(points, modality)]

    def scores(self, points: Float[Tensor, "n d"], modality: str) -> list[dict[str, CategoryScore]]:
        """For each point every category.

        Raises:
            ConfigError: an unknown modality.
            SafetyError: a score that is not finite.
        """
        if modality not in MODALITIES:
            raise unknown_name("modality", str(modality), MODALITIES)
        columns = {
            name: self._scored(name, values.tolist(), modality)
            for name, values in self.scorer.scores(points).items()
        }
        return [{name: column[row] for name, column in columns.items()} for row in range(len(points))]

    def _scored(self, name: str, scores: list[float], modality: str) -> list[CategoryScore]:
        require_scores(scores)
        found = self._maps[modality].get(name)
        known = [None] * len(scores) if found is None else found.many(scores)
        return [CategoryScore(*pair) for pair in zip(scores, known, strict=True)]


def require_scores(scores: Sequence[float]) -> None:
    """Refuses a score that is not finite (`SafetyError`): it must never look like a small one."""
    wrong = [score for score in scores if not float("-inf") < score < float("inf")]
    if wrong:
        raise SafetyError(f"a score is {wrong[0]}, so the item cannot be judged. Check the model.")
