"""How well a score tells unsafe from safe. Scores: higher is more unsafe. Labels: True is unsafe."""

import numpy as np
from jaxtyping import Bool, Float
from torch import Tensor

from hyperaware.errors import DataError

__all__ = ["auroc", "average_precision", "fpr_at_tpr", "separation"]


def auroc(scores: Float[Tensor, "n"], labels: Bool[Tensor, "n"]) -> float:
    """Chance that an unsafe item scores higher than a safe one; a tie counts half.

    >>> import torch
    >>> auroc(torch.tensor([0.1, 0.4, 0.35, 0.8]), torch.tensor([False, False, True, True]))
    0.75

    Raises:
        DataError: a score is not finite, or only one class is present.
    """
    from sklearn.metrics import roc_auc_score

    values, truth = _checked(scores, labels)
    return float(roc_auc_score(truth, values))


def average_precision(scores: Float[Tensor, "n"], labels: Bool[Tensor, "n"]) -> float:
    """Precision averaged over the steps of recall, without interpolation.

    >>> import torch
    >>> average_precision(torch.tensor([0.1, 0.4, 0.9, 0.8]), torch.tensor([False, True, False, True]))
    0.5833333333333333

    Raises:
        DataError: as `auroc`.
    """
    from sklearn.metrics import average_precision_score

    values, truth = _checked(scores, labels)
    return float(average_precision_score(truth, values))


def fpr_at_tpr(scores: Float[Tensor, "n"], labels: Bool[Tensor, "n"], tpr: float = 0.95) -> float:
    """Share of the safe items at or above the highest threshold that catches the share `tpr` of the unsafe.

    >>> import torch
    >>> fpr_at_tpr(torch.tensor([0.1, 0.4, 0.35, 0.8]), torch.tensor([False, False, True, True]))
    0.5

    Raises:
        DataError: as `auroc`.
    """
    from sklearn.metrics import roc_curve

    values, truth = _checked(scores, labels)
    false_positives, true_positives, _ = roc_curve(truth, values, drop_intermediate=False)
    return float(false_positives[np.argmax(true_positives >= tpr)])


def separation(scores: Float[Tensor, "n"], labels: Bool[Tensor, "n"]) -> dict[str, float]:
    """The three figures by name: `auroc`, `ap`, `fpr@95tpr`."""
    return {
        "auroc": auroc(scores, labels),
        "ap": average_precision(scores, labels),
        "fpr@95tpr": fpr_at_tpr(scores, labels),
    }


def _checked(scores: Tensor, labels: Tensor) -> tuple[np.ndarray, np.ndarray]:
    """Both as arrays, once it is sure that the figures exist."""
    broken = int((~scores.isfinite()).sum())
    if broken:
        raise DataError(f"{broken} of {len(scores)} scores are not finite; expected numbers.")
    unsafe = int(labels.sum())
    if unsafe in (0, len(labels)):
        raise DataError(
            f"got {unsafe} unsafe and {len(labels) - unsafe} safe items, expected at least one of each: "
            "separation is a comparison."
        )
    return scores.detach().double().cpu().numpy(), labels.cpu().numpy()
