"""Whether probabilities mean what they say: of things called unsafe with 70 %, are 70 % unsafe?"""

from typing import NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from hyperaware.errors import ConfigError, DataError

__all__ = ["BINS", "Bin", "expected_calibration_error", "reliability"]

BINS = 15
"""As in Guo et al. 2017."""


class Bin(NamedTuple):
    """A point of a reliability diagram: probabilities in (low, high]."""

    low: float
    high: float
    n: int
    probability: float
    """Their mean."""
    frequency: float
    """The share of these examples that are positive."""


def reliability(
    probabilities: Float[Tensor, "n"], labels: Bool[Tensor, "n"], *, bins: int = BINS
) -> list[Bin]:
    """The bins of equal width that hold an example, from low to high; a probability of 0 is in the first.

    >>> reliability(torch.tensor([0.25, 0.75, 1.0]), torch.tensor([False, False, True]), bins=2)[1]
    Bin(low=0.5, high=1.0, n=2, probability=0.875, frequency=0.5)

    Raises:
        DataError: no example, or a probability outside [0, 1].
        ConfigError: fewer than one bin.
    """
    if bins < 1:
        raise ConfigError(f"got {bins} bins, expected at least 1.")
    if len(probabilities) == 0:
        raise DataError("there are no probabilities, so there is no calibration; expected at least one.")
    values, truth = probabilities.detach().double().cpu().contiguous(), labels.cpu().double()
    broken = int((~((values >= 0) & (values <= 1))).sum())
    if broken:
        raise DataError(f"{broken} of {len(values)} probabilities are not within 0 and 1.")
    edges = torch.arange(1, bins, dtype=torch.float64) / bins
    place = torch.bucketize(values, edges)
    found = []
    for index in place.unique().tolist():
        members = place == index
        found.append(
            Bin(
                low=index / bins,
                high=(index + 1) / bins,
                n=int(members.sum()),
                probability=values[members].mean().item(),
                frequency=truth[members].mean().item(),
            )
        )
    return found


def expected_calibration_error(
    probabilities: Float[Tensor, "n"], labels: Bool[Tensor, "n"], *, bins: int = BINS
) -> float:
    """How far probability and frequency lie apart: sum over bins of n_b/n |frequency_b - probability_b|.

    Guo et al. 2017 (arXiv 1706.04599), equation 3, with the probability of *unsafe* where they have that of
    the predicted class: a probability of 0.1 is then as exacting as one of 0.9. 0 is best; the estimate is
    never below 0, so that it is positive for a perfect model too, by about sqrt(bins / n).

    >>> expected_calibration_error(torch.tensor([0.25, 0.75]), torch.tensor([False, True]))
    0.25

    Raises:
        DataError, ConfigError: see `reliability`.
    """
    found = reliability(probabilities, labels, bins=bins)
    return sum(each.n * abs(each.frequency - each.probability) for each in found) / len(labels)
