"""Whether new benign data still look like those that a model was calibrated on."""

from collections.abc import Mapping
from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from hyperaware.errors import SafetyError
from hyperaware.moderation.calibration import Calibration, ModalityCalibration
from hyperaware.moderation.promises import CONFIDENCE, percent

__all__ = ["Drift", "drift"]

SIGNIFICANCE = 0.01
"""Chance of a false alarm of `drift`, both modalities and both tests together, at most."""


@dataclass(frozen=True)
class Drift:
    """New benign items of one modality, compared with those of the calibration."""

    n: int
    above: int
    """Items above the limit."""
    share: float
    low: float
    """With `high`: the exact interval (Clopper and Pearson) of the share, 95 %."""
    high: float
    promised: float
    """The rate that the limit promises at most."""
    statistic: float
    """Largest distance of the two distribution functions (Kolmogorov and Smirnov)."""
    p_value: float
    drifted: bool
    reason: str


def drift(calibration: Calibration, benign: Mapping[str, Float[Tensor, " n"]]) -> dict[str, Drift]:
    """For each modality whether new benign root distances still look like those of the calibration.

    Drifted: the two-sample Kolmogorov-Smirnov test against the kept order statistics, or a one-sided test
    of the share above the limit against the upper end of its interval. Each has a quarter of `SIGNIFICANCE`,
    so a false alarm in any of the four is rarer than that. At most 400 values are kept: they limit what the
    first test can see, so that a tiny difference is not called drift only because there are many new rows.

    Raises:
        SafetyError: no rows, or a root distance that is not finite.
    """
    return {modality: _drift(calibration.of(modality), values) for modality, values in benign.items()}


def _drift(part: ModalityCalibration, values: Tensor) -> Drift:
    from scipy.stats import binomtest, ks_2samp

    if not len(values) or not values.isfinite().all():
        raise SafetyError(f"{len(values)} root distances were given, expected some, and finite ones.")
    promise = part.thresholds.false_positive
    level = SIGNIFICANCE / 4
    test = ks_2samp(values.detach().double().cpu().numpy(), part.benign, method="asymp")
    above = int((values.double() > promise.threshold).sum())
    count = binomtest(above, len(values), promise.high, alternative="greater")
    interval = binomtest(above, len(values)).proportion_ci(CONFIDENCE, method="exact")
    reasons = []
    if test.pvalue < level:
        reasons.append(f"the root distances are distributed otherwise (p = {test.pvalue:.2g})")
    if count.pvalue < level:
        shares = f"{percent(above / len(values))} lie above the limit, promised were {percent(promise.rate)}"
        reasons.append(f"{shares} at most (p = {count.pvalue:.2g})")
    return Drift(
        n=len(values),
        above=above,
        share=above / len(values),
        low=float(interval.low),
        high=float(interval.high),
        promised=promise.rate,
        statistic=float(test.statistic),
        p_value=float(test.pvalue),
        drifted=bool(reasons),
        reason="; ".join(reasons) or "no difference that chance does not explain",
    )
