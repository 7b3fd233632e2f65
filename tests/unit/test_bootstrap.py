"""Bootstrap intervals: exact small cases, the textbook's standard error, coverage, and what pairing gains."""

import math

import pytest
import torch
from torch import Tensor

from hyperaware.errors import ConfigError, DataError
from hyperaware.metrics import bootstrap, mean_differences, mean_intervals


def test_two_examples_by_hand(generator: torch.Generator) -> None:
    """Two draws of {0, 1} have the mean 0, 1/2 or 1 with chance 1/4, 1/2, 1/4.

    So the 2.5 % and 97.5 % quantiles are 0 and 1, and those of 30 % and 70 % are both 1/2.
    """
    outcomes = {"found": torch.tensor([0.0, 1.0])}
    wide = mean_intervals(outcomes, generator=generator)["found"]
    narrow = mean_intervals(outcomes, generator=generator, level=0.4)["found"]
    assert (wide.value, wide.low, wide.high) == (0.5, 0.0, 1.0)
    assert (narrow.value, narrow.low, narrow.high) == (0.5, 0.5, 0.5)


def test_the_width_is_that_of_the_standard_error(generator: torch.Generator) -> None:
    """Of 4000 examples 30 % succeed: the standard error is sqrt(0.3 x 0.7 / 4000)."""
    found = mean_intervals({"found": torch.arange(4000) < 1200}, generator=generator)["found"]
    error = math.sqrt(0.3 * 0.7 / 4000)
    assert found.value == 0.3
    assert found.low == pytest.approx(0.3 - 1.96 * error, abs=0.15 * error)
    assert found.high == pytest.approx(0.3 + 1.96 * error, abs=0.15 * error)


def test_intervals_cover_the_truth_about_as_often_as_they_say(generator: torch.Generator) -> None:
    """300 experiments of 80 examples: 90 % intervals cover in 0.90, give or take 3 x 0.017 and some bias."""
    covered = 0
    for _ in range(300):
        outcome = torch.rand(80, generator=generator) < 0.4
        found = mean_intervals({"x": outcome}, generator=generator, resamples=200, level=0.9)["x"]
        covered += found.low <= 0.4 <= found.high
    assert 0.83 <= covered / 300 <= 0.96


def test_figures_are_drawn_together(generator: torch.Generator) -> None:
    """One figure is the complement of the other: their intervals mirror each other exactly."""
    hits = torch.rand(50, generator=generator) < 0.3
    found = mean_intervals({"hit": hits, "miss": ~hits}, generator=generator)
    assert found["miss"].low == pytest.approx(1 - found["hit"].high, abs=1e-12)
    assert found["miss"].high == pytest.approx(1 - found["hit"].low, abs=1e-12)


def test_a_paired_difference_sees_what_two_intervals_hide(generator: torch.Generator) -> None:
    """The second method succeeds where the first does and on 12 of 400 examples more: +3 points, surely."""
    first = torch.arange(400) < 200
    second = torch.arange(400) < 212
    apart = mean_differences({"r": second}, {"r": first}, generator=generator)["r"]
    assert apart.value == pytest.approx(0.03)
    assert 0 < apart.low < 0.03 < apart.high < 0.06
    alone = [mean_intervals({"r": each}, generator=generator)["r"] for each in (first, second)]
    assert alone[0].high > alone[1].low
    nothing = mean_differences({"r": first}, {"r": first}, generator=generator)["r"]
    assert (nothing.value, nothing.low, nothing.high) == (0.0, 0.0, 0.0)


def test_the_same_seed_gives_the_same_interval_and_chunks_do_not_matter(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    outcomes = {"x": torch.rand(30, generator=torch.Generator().manual_seed(3))}

    def found(seed: int) -> bootstrap.Interval:
        return mean_intervals(outcomes, generator=torch.Generator().manual_seed(seed), resamples=100)["x"]

    whole = found(1)
    assert whole == found(1)
    assert whole != found(2)
    monkeypatch.setattr(bootstrap, "DRAWN_AT_ONCE", 7 * 30)
    assert found(1) == whole


def test_the_draws_are_those_of_a_plain_loop() -> None:
    values = torch.randn(9, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    fast = torch.cat(
        list(bootstrap._resampled_means(values.unsqueeze(1), torch.Generator().manual_seed(5), 20))
    )
    drawn = torch.randint(9, (20, 9), generator=torch.Generator().manual_seed(5))
    assert torch.allclose(fast[:, 0], torch.stack([values[row].mean() for row in drawn]), atol=1e-15)


@pytest.mark.parametrize(
    ("outcomes", "message"),
    [
        ({"x": torch.empty(0)}, "of at least one"),
        ({"x": torch.ones(3), "y": torch.ones(2)}, "expected one number per example"),
        ({"x": torch.ones(3, 1)}, "expected one number per example"),
        ({}, "expected one number per example"),
        ({"good": torch.ones(2), "bad": torch.tensor([1.0, float("nan")])}, "outcomes of bad are not finite"),
    ],
)
def test_outcomes_that_have_no_mean_are_refused(
    outcomes: dict[str, Tensor], message: str, generator: torch.Generator
) -> None:
    with pytest.raises(DataError, match=message):
        mean_intervals(outcomes, generator=generator)


def test_other_examples_cannot_be_compared(generator: torch.Generator) -> None:
    with pytest.raises(DataError, match="x has 3 outcomes and the other method 2"):
        mean_differences({"x": torch.ones(3)}, {"x": torch.ones(2)}, generator=generator)
    with pytest.raises(DataError, match=r"differ in their figures: \['x', 'y'\]"):
        mean_differences({"x": torch.ones(3)}, {"y": torch.ones(3)}, generator=generator)


@pytest.mark.parametrize("wrong", [{"resamples": 1}, {"level": 1.0}, {"level": 0.0}])
def test_settings_without_meaning_are_refused(wrong: dict, generator: torch.Generator) -> None:
    with pytest.raises(ConfigError, match="between 0 and 1"):
        mean_intervals({"x": torch.ones(3)}, generator=generator, **wrong)
