"""Calibration error, by hand and against a loop."""

import pytest
import torch

from hyperaware.errors import ConfigError, DataError
from hyperaware.metrics.calibration_error import Bin, expected_calibration_error, reliability

PROBABILITIES = torch.tensor([0.1, 0.3, 0.5, 0.7, 0.9, 1.0], dtype=torch.float64)
LABELS = torch.tensor([False, True, False, True, True, False])


def test_two_bins_by_hand() -> None:
    """(0, 0.5] holds 0.1 0.3 0.5: mean 0.3, one of three unsafe. (0.5, 1]: mean 2.6 / 3, two of three.

    The error is half of |1/3 - 0.3| and half of |2/3 - 2.6/3|: (0.1 + 0.6) / 6.
    """
    low, high = reliability(PROBABILITIES, LABELS, bins=2)
    assert low == Bin(0.0, 0.5, n=3, probability=pytest.approx(0.3), frequency=pytest.approx(1 / 3))
    assert high == Bin(0.5, 1.0, n=3, probability=pytest.approx(2.6 / 3), frequency=pytest.approx(2 / 3))
    assert expected_calibration_error(PROBABILITIES, LABELS, bins=2) == pytest.approx(0.7 / 6)


def test_an_edge_belongs_to_the_bin_below_and_nought_to_the_first() -> None:
    edges = torch.tensor([0.0, 0.25, 0.5, 0.75, 1.0])
    found = reliability(edges, torch.tensor([True] * 5), bins=4)
    assert [(each.low, each.n) for each in found] == [(0.0, 2), (0.25, 1), (0.5, 1), (0.75, 1)]


def test_sure_and_right_is_nought_sure_and_wrong_is_one() -> None:
    sure = torch.tensor([0.0, 1.0, 1.0])
    assert expected_calibration_error(sure, torch.tensor([False, True, True])) == 0.0
    assert expected_calibration_error(sure, torch.tensor([True, False, False])) == 1.0


def test_fifteen_bins_against_a_loop(generator: torch.Generator) -> None:
    probabilities = torch.rand(500, generator=generator, dtype=torch.float64)
    labels = torch.rand(500, generator=generator) < 0.3
    expected = 0.0
    for index in range(15):
        members = [
            place
            for place, value in enumerate(probabilities.tolist())
            if index / 15 < value <= (index + 1) / 15
        ]
        confidence = sum(probabilities[place].item() for place in members)
        expected += abs(sum(labels[place].item() for place in members) - confidence) / 500
    assert expected_calibration_error(probabilities, labels) == pytest.approx(expected)


def test_empty_bins_are_left_out() -> None:
    found = reliability(torch.tensor([0.9, 0.95]), torch.tensor([True, False]), bins=10)
    assert [(each.low, each.n) for each in found] == [(0.8, 1), (0.9, 1)]


@pytest.mark.parametrize(
    ("probabilities", "labels", "message"),
    [
        ([], [], "there are no probabilities"),
        ([0.5, 1.5, -0.1], [True] * 3, "2 of 3 probabilities are not within 0 and 1"),
        ([0.5, float("nan")], [True] * 2, "1 of 2 probabilities"),
    ],
)
def test_what_is_no_probability_is_refused(
    probabilities: list[float], labels: list[bool], message: str
) -> None:
    with pytest.raises(DataError, match=message):
        reliability(torch.tensor(probabilities), torch.tensor(labels, dtype=torch.bool))


def test_no_bins_are_refused() -> None:
    with pytest.raises(ConfigError, match="got 0 bins"):
        reliability(PROBABILITIES, LABELS, bins=0)
