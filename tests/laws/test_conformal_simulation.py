"""The conformal promises hold: over many calibration sets, on new data of the same source, and no others.

Scores are drawn from a known distribution, so that the true rate of each threshold is known exactly.
"""

import math

import pytest
import torch
from scipy import stats

from hyperaware.errors import SafetyError
from hyperaware.models.pretrained import shipped_folder
from hyperaware.moderation import bounds, calibration
from hyperaware.moderation.bounds import MODALITIES, false_positive_bound, miss_bound
from hyperaware.moderation.promises import promises

SPLITS = 500
RATES = ((60, 0.05), (200, 0.05), (500, 0.02))


def _samples(n: int, generator: torch.Generator) -> torch.Tensor:
    """Root distances: log-normal, (SPLITS, n)."""
    return torch.randn(SPLITS, n, generator=generator, dtype=torch.float64).mul(0.2).exp()


def _true_share_above(threshold: float) -> float:
    return float(stats.norm.sf(math.log(threshold) / 0.2))


def _standard_error(n: int, j: int) -> float:
    """Of the mean, over the splits, of a rate that is Beta(j, n + 1 - j)."""
    return math.sqrt(stats.beta.var(j, n + 1 - j) / SPLITS)


@pytest.mark.parametrize(("n", "alpha"), RATES)
def test_the_false_positive_rate_is_at_most_alpha_on_average(
    n: int, alpha: float, generator: torch.Generator
) -> None:
    rates = [_true_share_above(false_positive_bound(row, alpha=alpha)) for row in _samples(n, generator)]
    j = math.floor((n + 1) * alpha + 1e-9)
    mean, error = sum(rates) / SPLITS, _standard_error(n, j)
    assert mean <= alpha + 4 * error
    assert mean == pytest.approx(j / (n + 1), abs=4 * error)  # not looser than it must be


@pytest.mark.parametrize(("n", "alpha"), RATES)
def test_the_miss_rate_is_at_most_what_was_asked_for_on_average(
    n: int, alpha: float, generator: torch.Generator
) -> None:
    rates = [1 - _true_share_above(miss_bound(row, miss_rate=alpha)) for row in _samples(n, generator)]
    j = math.floor((n + 1) * alpha + 1e-9)
    mean, error = sum(rates) / SPLITS, _standard_error(n, j)
    assert mean <= alpha + 4 * error
    assert mean == pytest.approx(j / (n + 1), abs=4 * error)


def test_the_interval_covers_the_true_rate_in_95_of_100_splits(generator: torch.Generator) -> None:
    covered = {"false_positive": 0, "miss": 0}
    safe, unsafe = _samples(200, generator), _samples(200, generator)
    for safe_row, unsafe_row in zip(safe, unsafe, strict=True):
        found = promises(
            {"safe_text": safe_row, "unsafe_text": unsafe_row}, "text", alpha=0.05, miss_rate=0.05
        )
        for kind, true in (
            ("false_positive", _true_share_above(found.false_positive.threshold)),
            ("miss", 1 - _true_share_above(found.miss.threshold)),
        ):
            promise = getattr(found, kind)
            covered[kind] += promise.low <= true <= promise.high
    low, high = stats.binom.ppf([1e-4, 1 - 1e-4], SPLITS, 0.95)
    assert low <= covered["false_positive"] <= high
    assert low <= covered["miss"] <= high


def test_with_equal_scores_the_promise_still_holds(generator: torch.Generator) -> None:
    """Root distances that take ten values only: the rate is smaller, never larger."""
    values = torch.randint(0, 10, (SPLITS, 100), generator=generator).double()
    rates = [1 - (math.floor(false_positive_bound(row, alpha=0.15)) + 1) / 10 for row in values]
    assert sum(rates) / SPLITS <= 0.15


def test_on_other_data_the_promise_does_not_hold(generator: torch.Generator) -> None:
    """It is for exchangeable data: a source that lies farther out breaks it, so the test above can fail."""
    rates = []
    for row in _samples(200, generator):
        threshold = false_positive_bound(row, alpha=0.05)
        rates.append(float(stats.norm.sf(math.log(threshold) / 0.2 - 0.5)))
    assert sum(rates) / SPLITS > 0.1


@pytest.mark.parametrize("modality", MODALITIES)
@pytest.mark.parametrize("name", ["world-hysac", "world-hysac-ordered"])
def test_on_the_scores_of_the_shipped_models(name: str, modality: str, generator: torch.Generator) -> None:
    """Their kept benign root distances, halved 500 times: one half calibrates, the other one is new."""
    folder = shipped_folder(name)
    found = calibration.load(folder, bounds=bounds.load(folder))
    assert found is not None
    scores = torch.tensor(found.of(modality).benign, dtype=torch.float64)
    rates = []
    for _ in range(SPLITS):
        order = torch.randperm(len(scores), generator=generator)
        known, new = scores[order[:199]], scores[order[199:]]
        rates.append(float((new > false_positive_bound(known, alpha=0.05)).double().mean()))
    assert sum(rates) / SPLITS == pytest.approx(0.05, abs=0.006)
    assert max(rates) > 0.05, "a promise about the mean is not one about every split"


@pytest.mark.parametrize("n", [1, 18])
def test_too_few_rows_promise_nothing(n: int) -> None:
    with pytest.raises(SafetyError, match="at least 19 are needed"):
        false_positive_bound(torch.rand(n), alpha=0.05)
    assert false_positive_bound(torch.arange(19.0), alpha=0.05) == 18.0
