"""AUROC, average precision and FPR at a TPR, on a few numbers by hand and against counting."""

import pytest
import torch
from torch import Tensor

from hyperaware.errors import DataError
from hyperaware.metrics import auroc, average_precision, fpr_at_tpr, separation


def case(safe: list[float], unsafe: list[float]) -> tuple[Tensor, Tensor]:
    labels = [False] * len(safe) + [True] * len(unsafe)
    return torch.tensor(safe + unsafe), torch.tensor(labels, dtype=torch.bool)


def test_perfect_reversed_and_useless_scores() -> None:
    assert separation(*case([0.1, 0.2], [0.8, 0.9])) == {"auroc": 1.0, "ap": 1.0, "fpr@95tpr": 0.0}
    assert auroc(*case([0.8, 0.9], [0.1, 0.2])) == 0.0
    assert separation(*case([0.5] * 3, [0.5])) == {"auroc": 0.5, "ap": 0.25, "fpr@95tpr": 1.0}


def test_auroc_by_hand() -> None:
    """Of 3 x 2 pairs 4 are in order, and one is a tie: 4.5 / 6."""
    assert auroc(*case([0.1, 0.4, 0.7], [0.4, 0.9])) == pytest.approx(4.5 / 6)


def test_average_precision_by_hand() -> None:
    """Downwards: unsafe (1/1), safe, unsafe (2/3), safe, unsafe (3/5)."""
    assert average_precision(*case([0.8, 0.3], [0.9, 0.7, 0.1])) == pytest.approx((1 + 2 / 3 + 3 / 5) / 3)


def test_fpr_at_tpr_by_hand() -> None:
    """To catch 3 of 4 the threshold is 0.5, where 1 of 5 safe items lies above; to catch all, 0.2: 3 of 5."""
    scores, labels = case([0.0, 0.1, 0.3, 0.4, 0.6], [0.2, 0.5, 0.7, 0.9])
    assert fpr_at_tpr(scores, labels, tpr=0.75) == pytest.approx(1 / 5)
    assert fpr_at_tpr(scores, labels, tpr=0.5) == 0.0
    assert fpr_at_tpr(scores, labels) == pytest.approx(3 / 5)


def test_fpr_at_tpr_counts_ties_at_the_threshold_as_caught() -> None:
    assert fpr_at_tpr(*case([0.5, 0.1], [0.5, 0.9])) == 0.5


def test_fpr_at_tpr_sees_every_threshold_even_on_a_straight_curve() -> None:
    """Both classes at 0.9, 0.5 and 0.1: the corner (2/3, 2/3) lies on the diagonal, and still counts."""
    assert fpr_at_tpr(*case([0.9, 0.5, 0.1], [0.9, 0.5, 0.1]), tpr=0.5) == pytest.approx(2 / 3)


def test_a_rate_that_is_met_exactly_is_met() -> None:
    """19 of 20 is 0.95: the last unsafe item need not be caught."""
    scores, labels = case([0.5], [0.0] + [1.0] * 19)
    assert fpr_at_tpr(scores, labels, tpr=0.95) == 0.0


@pytest.mark.parametrize("levels", [3, 1000])
def test_figures_equal_those_by_counting(levels: int, generator: torch.Generator) -> None:
    scores = torch.randint(levels, (80,), generator=generator).double() / levels
    labels = torch.rand(80, generator=generator) < 0.4
    safe, unsafe = scores[~labels], scores[labels]
    pairs = (unsafe[:, None] > safe).double() + 0.5 * (unsafe[:, None] == safe)
    assert auroc(scores, labels) == pytest.approx(pairs.mean().item())
    thresholds = [t for t in scores.unique().tolist() if (unsafe >= t).double().mean() >= 0.95]
    assert fpr_at_tpr(scores, labels) == pytest.approx((safe >= max(thresholds)).double().mean().item())


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_any_floating_dtype_is_read(dtype: torch.dtype) -> None:
    scores, labels = case([0.125, 0.5], [0.25, 1.0])
    assert auroc(scores.to(dtype).requires_grad_(), labels) == 0.75


@pytest.mark.parametrize("metric", [auroc, average_precision, fpr_at_tpr, separation])
@pytest.mark.parametrize(
    ("safe", "unsafe", "message"),
    [
        ([0.1, float("nan")], [0.5], "1 of 3 scores are not finite"),
        ([0.1], [0.5, float("inf")], "1 of 3 scores are not finite"),
        ([0.1, 0.2], [], "0 unsafe and 2 safe"),
        ([], [0.1, 0.2], "2 unsafe and 0 safe"),
        ([], [], "0 unsafe and 0 safe"),
    ],
)
def test_where_there_is_no_figure_there_is_an_error(
    metric: object, safe: list[float], unsafe: list[float], message: str
) -> None:
    assert callable(metric)
    with pytest.raises(DataError, match=message):
        metric(*case(safe, unsafe))
