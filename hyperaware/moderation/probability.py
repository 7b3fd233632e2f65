"""From a score to a probability: monotone maps, fitted by scikit-learn, kept as plain numbers.

Platt's map is a sigmoid with smoothed targets (Platt 1999), isotonic regression a rising line through knots
(Zadrozny and Elkan 2002). Of the two the one with the smaller cross-validated log loss is taken. Neither
promises 0 or 1: from n rows of a class, nothing rarer than 1 / (n + 2) can be known.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import Any, Literal

import numpy as np
from torch import Tensor

from hyperaware.errors import SafetyError
from hyperaware.options import unknown_name

__all__ = ["METHODS", "ProbabilityMap", "cross_validated_log_loss", "fitted"]

Method = Literal["platt", "isotonic"]
METHODS: tuple[Method, ...] = ("platt", "isotonic")
LEAST_ROWS = 20
"""Of each class. With fewer, a map is noise."""
FOLDS = 5
KNOTS = 100
"""Most knots of an isotonic map; between them the line is straight."""
LOGITS = np.linspace(-8, 8, 41)
"""Where a sigmoid gets its knots: straight lines between them miss it by 0.002 at most."""
DIGITS = 9
"""After the point, in the file."""
_REMEDY = "Calibrate again: hyperaware calibrate MODEL --data FOLDER."


@dataclass(frozen=True)
class ProbabilityMap:
    """A rising map from scores to probabilities: knots, or points of a sigmoid, with straight lines between.

    A score beyond the outermost knots gets what they have: nothing was seen there. The probability holds for
    data in which the share `positive / n` is positive, as in the rows that it was fitted to.
    """

    method: Method
    scores: tuple[float, ...]
    """The knots, rising."""
    probabilities: tuple[float, ...]
    """At the knots, never falling."""
    n: int
    positive: int
    log_loss: float
    """Cross-validated, in nats; guessing the share every time gives the entropy of the share."""

    def __post_init__(self) -> None:
        if self.method not in METHODS:
            raise unknown_name("method of calibration", str(self.method), METHODS)
        values = (*self.scores, *self.probabilities, self.log_loss)
        if not all(_is_number(value) for value in values):
            raise SafetyError(f"a map has a value that is no finite number. {_REMEDY}")
        if len(self.scores) != len(self.probabilities) or not self.scores:
            raise SafetyError(
                f"a map has {len(self.scores)} scores for {len(self.probabilities)} probabilities. {_REMEDY}"
            )
        if any(a >= b for a, b in pairwise(self.scores)):
            raise SafetyError(f"the scores of a map do not rise. {_REMEDY}")
        if any(a > b for a, b in pairwise(self.probabilities)) or not (
            0 <= self.probabilities[0] <= self.probabilities[-1] <= 1
        ):
            raise SafetyError(f"the probabilities of a map fall, or leave [0, 1]. {_REMEDY}")
        if type(self.n) is not int or type(self.positive) is not int or not 0 < self.positive < self.n:
            raise SafetyError(
                f"{self.positive!r} of {self.n!r} rows are positive: both classes are needed. {_REMEDY}"
            )

    def __call__(self, score: float) -> float:
        """The probability at `score`.

        Raises:
            SafetyError: a score that is not finite: it has no probability, least of all a small one.
        """
        return self.many([score])[0]

    def many(self, scores: Sequence[float]) -> list[float]:
        """The probability at each score, in one pass; errors as for one."""
        for score in scores:
            if not _is_number(score):
                raise SafetyError(f"a score of {score!r} has no probability. Check the model and its input.")
        return np.interp(scores, *self._arrays).tolist()

    @cached_property
    def _arrays(self) -> tuple[np.ndarray, np.ndarray]:
        """Scores and probabilities as arrays: made anew, they would cost more than the map itself."""
        return np.array(self.scores), np.array(self.probabilities)

    @classmethod
    def from_document(cls, document: Any) -> "ProbabilityMap":
        """The map that `dataclasses.asdict` wrote, read back from JSON.

        Raises:
            SafetyError: it is no such map.
        """
        if not isinstance(document, Mapping) or set(document) != set(cls.__dataclass_fields__):
            raise SafetyError(f"a map has other keys than {', '.join(cls.__dataclass_fields__)}. {_REMEDY}")
        lists = {key: document[key] for key in ("scores", "probabilities")}
        if not all(isinstance(value, Sequence) and not isinstance(value, str) for value in lists.values()):
            raise SafetyError(f"the knots of a map are no lists. {_REMEDY}")
        return cls(**{**document, **{key: tuple(value) for key, value in lists.items()}})


def fitted(scores: Tensor, positive: Tensor) -> ProbabilityMap:
    """The better of the two maps by cross-validated log loss; equal ones: the sigmoid.

    Args:
        scores: one per row, higher for what is rather positive.
        positive: one truth per row.

    Raises:
        SafetyError: a score that is not finite, or fewer than `LEAST_ROWS` rows of a class.
    """
    values, truth = scores.detach().double().cpu().numpy(), positive.bool().cpu().numpy()
    if not np.isfinite(values).all():
        raise SafetyError(f"{int((~np.isfinite(values)).sum())} scores are not finite: check the model.")
    least = min(int(truth.sum()), int((~truth).sum()))
    if least < LEAST_ROWS:
        raise SafetyError(f"{least} rows of a class cannot calibrate a score: {LEAST_ROWS} are needed.")
    losses = {method: cross_validated_log_loss(values, truth, method) for method in METHODS}
    method = min(METHODS, key=lambda each: losses[each])
    knots, probabilities = _knots(values, truth, method)
    return ProbabilityMap(
        method=method,
        scores=tuple(knots.tolist()),
        probabilities=tuple(probabilities.tolist()),
        n=len(values),
        positive=int(truth.sum()),
        log_loss=losses[method],
    )


def cross_validated_log_loss(values: np.ndarray, truth: np.ndarray, method: Method) -> float:
    """Mean log loss, in nats, on rows that the map has not seen; five folds with equal shares of classes."""
    from sklearn.model_selection import StratifiedKFold

    losses = []
    for seen, unseen in StratifiedKFold(FOLDS, shuffle=True, random_state=0).split(values, truth):
        knots, probabilities = _knots(values[seen], truth[seen], method)
        guess = np.interp(values[unseen], knots, probabilities)
        losses += [-np.log(np.where(truth[unseen], guess, 1 - guess))]
    return float(np.concatenate(losses).mean())


def _knots(values: np.ndarray, truth: np.ndarray, method: Method) -> tuple[np.ndarray, np.ndarray]:
    """Rising scores and never falling probabilities within what the numbers of rows can tell."""
    positive, negative = int(truth.sum()), int((~truth).sum())
    low, high = 1 / (negative + 2), 1 - 1 / (positive + 2)
    curve = _platt if method == "platt" else _isotonic
    knots, probabilities = curve(values, truth, low, high)
    knots, first = np.unique(knots.round(DIGITS), return_index=True)
    return knots, np.maximum.accumulate(np.clip(probabilities[first], low, high).round(DIGITS))


def _platt(values: np.ndarray, truth: np.ndarray, low: float, high: float) -> tuple[np.ndarray, np.ndarray]:
    """The sigmoid at `LOGITS` and at both ends; level where it would fall."""
    from sklearn.linear_model import LogisticRegression

    mean, scale = values.mean(), values.std() or 1.0
    standard = ((values - mean) / scale).reshape(-1, 1)
    target = np.where(truth, high, low)  # every row counts as a little of both classes: Platt's targets
    model = LogisticRegression(C=1e6, max_iter=1000)
    model.fit(
        np.concatenate([standard, standard]),
        np.repeat([1, 0], len(values)),
        sample_weight=np.concatenate([target, 1 - target]),
    )
    slope, offset = float(model.coef_[0, 0]), float(model.intercept_[0])
    if slope <= 0:
        return values[:1], target.mean(keepdims=True)
    inner = mean + scale * (LOGITS - offset) / slope
    ends = [values.min(), values.max()]
    knots = np.sort([*ends, *inner[(inner > ends[0]) & (inner < ends[1])]])
    return knots, 1 / (1 + np.exp(-(slope * (knots - mean) / scale + offset)))


def _isotonic(
    values: np.ndarray, truth: np.ndarray, low: float, high: float
) -> tuple[np.ndarray, np.ndarray]:
    from sklearn.isotonic import IsotonicRegression

    model = IsotonicRegression(y_min=low, y_max=high).fit(values, truth.astype(float))
    knots, probabilities = model.X_thresholds_, model.y_thresholds_
    if len(knots) > KNOTS:
        chosen = np.unique(np.linspace(0, len(knots) - 1, KNOTS).round().astype(int))
        knots, probabilities = knots[chosen], probabilities[chosen]
    return knots, probabilities


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
