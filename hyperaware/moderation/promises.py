"""What a conformal threshold promises: its rate, the rows that it rests on, and how sure one can be of it.

Split conformal (Vovk et al. 2005; beyond-hysac.md, 4.3): with k = ceil((n + 1)(1 - alpha)), a new safe item
lies above the k-th smallest of n safe root distances with probability at most alpha. That is a mean over
calibration sets. For the one set that was drawn, the rate is itself random, Beta(n + 1 - k, k) exactly where
root distances have no ties, and smaller with ties; the interval of a `Promise` is that of this distribution.
All of it holds for data that are exchangeable with the calibration rows, and for no others: see `drift`.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction

from jaxtyping import Float
from torch import Tensor

from hyperaware.errors import SafetyError
from hyperaware.moderation.bounds import false_positive_bound, miss_bound

__all__ = ["CONFIDENCE", "Promise", "Thresholds", "percent", "promises"]

CONFIDENCE = 0.95
"""Of every interval."""
_REMEDY = "Calibrate again: hyperaware calibrate MODEL --data FOLDER."


@dataclass(frozen=True)
class Promise:
    """What one conformal threshold promises, and what is known of its rate."""

    threshold: float
    """Root distance."""
    rate: float
    """The largest share of new items on the wrong side, as it was asked for."""
    n: int
    """Rows of the class that it rests on."""
    low: float
    """With `high`: where the rate of this threshold lies with 95 % confidence."""
    high: float

    def __post_init__(self) -> None:
        for name in ("threshold", "rate", "low", "high"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
                raise SafetyError(f"{name} of a promise is {value!r}, expected a finite number. {_REMEDY}")
        if type(self.n) is not int or self.n < 1:
            raise SafetyError(f"n of a promise is {self.n!r}, expected a number of rows. {_REMEDY}")
        if not (0 < self.rate < 1 and 0 <= self.low <= self.high <= 1):
            raise SafetyError(f"the shares of {self} are not in order. {_REMEDY}")


@dataclass(frozen=True)
class Thresholds:
    """The two promises of one modality, and the thresholds that follow from them as in `bounds.measure`."""

    false_positive: Promise
    """At most this share of new safe items lies above its threshold."""
    miss: Promise
    """At most this share of new unsafe items lies at its threshold or within."""

    @property
    def limit(self) -> float:
        return self.false_positive.threshold

    @property
    def trigger(self) -> float:
        return min(self.miss.threshold, self.limit)


def promises(
    distances: Mapping[str, Float[Tensor, " n"]], modality: str, *, alpha: float, miss_rate: float
) -> Thresholds:
    """The thresholds of a modality from root distances by class (`bounds.distances_by_class`).

    Raises:
        SafetyError: too few rows for a rate.
    """
    safe, unsafe = (distances[f"{safety}_{modality}"] for safety in ("safe", "unsafe"))
    return Thresholds(
        false_positive=_promise(false_positive_bound(safe, alpha=alpha), alpha, len(safe)),
        miss=_promise(miss_bound(unsafe, miss_rate=miss_rate), miss_rate, len(unsafe)),
    )


def _promise(threshold: float, rate: float, n: int) -> Promise:
    """The interval is that of Beta(j, n + 1 - j), with j = floor((n + 1) rate) order statistics beyond.

    That is n + 1 - ceil((n + 1)(1 - rate)) for the false positives, floor((n + 1) rate) for the misses.
    """
    from scipy.stats import beta

    j = math.floor((n + 1) * Fraction(str(rate)))
    tail = (1 - CONFIDENCE) / 2
    low, high = beta.ppf([tail, 1 - tail], j, n + 1 - j).tolist()
    return Promise(threshold=threshold, rate=rate, n=n, low=low, high=high)


def percent(share: float) -> str:
    """A share as it is printed, with at most one digit after the point.

    >>> percent(0.05), percent(0.0372)
    ('5 %', '3.7 %')
    """
    return f"{100 * share:.1f}".removesuffix(".0") + " %"
