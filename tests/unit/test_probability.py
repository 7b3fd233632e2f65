"""Maps from scores to probabilities: monotone, within [0, 1], flat outside, and honest about few rows."""

import json
from dataclasses import asdict

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from hyperaware.errors import ConfigError, SafetyError
from hyperaware.moderation.probability import (
    ProbabilityMap,
    cross_validated_log_loss,
    fitted,
)


def sigmoid_rows(n: int, generator: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
    """Scores on [-1, 1], and truths that follow a sigmoid of slope 4."""
    scores = torch.rand(n, generator=generator) * 2 - 1
    return scores, torch.rand(n, generator=generator) < torch.sigmoid(4 * scores)


def a_map(**changes: object) -> ProbabilityMap:
    values = {
        "method": "isotonic",
        "scores": (1.0, 2.0, 4.0),
        "probabilities": (0.1, 0.1, 0.9),
        "n": 100,
        "positive": 40,
        "log_loss": 0.3,
    }
    return ProbabilityMap(**{**values, **changes})  # type: ignore[arg-type]


def test_between_knots_the_line_is_straight_and_outside_it_is_flat() -> None:
    found = a_map()
    assert [found(score) for score in (-1e9, 1.0, 1.5, 3.0, 4.0, 1e9)] == pytest.approx(
        [0.1, 0.1, 0.1, 0.5, 0.9, 0.9]
    )


@pytest.mark.parametrize("score", [float("nan"), float("inf"), float("-inf"), None, "1", True])
def test_what_is_no_finite_score_has_no_probability(score: object) -> None:
    with pytest.raises(SafetyError, match="has no probability"):
        a_map()(score)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"probabilities": (0.1, 0.5, 0.4)}, "fall"),
        ({"probabilities": (0.1, 0.5, 1.1)}, "leave"),
        ({"probabilities": (-0.1, 0.5, 0.6)}, "leave"),
        ({"probabilities": (0.1, float("nan"), 0.6)}, "no finite number"),
        ({"probabilities": (0.1, 0.2)}, "3 scores for 2"),
        ({"scores": (), "probabilities": ()}, "0 scores"),
        ({"scores": (1.0, 1.0, 2.0)}, "do not rise"),
        ({"positive": 100}, "both classes"),
        ({"n": 100.0}, "both classes"),
        ({"log_loss": float("inf")}, "no finite number"),
    ],
)
def test_a_damaged_map_does_not_exist(changes: dict, message: str) -> None:
    with pytest.raises(SafetyError, match=message):
        a_map(**changes)


def test_an_unknown_method_is_named_with_the_known_ones() -> None:
    with pytest.raises(ConfigError, match="Did you mean 'platt'"):
        a_map(method="plat")


def test_a_map_survives_json(generator: torch.Generator) -> None:
    found = fitted(*sigmoid_rows(300, generator))
    assert ProbabilityMap.from_document(json.loads(json.dumps(asdict(found)))) == found


@pytest.mark.parametrize("document", [None, [], {}, {**asdict(a_map()), "scores": "123"}])
def test_no_map_is_read_from_anything_else(document: object) -> None:
    with pytest.raises(SafetyError):
        ProbabilityMap.from_document(document)


def test_the_sigmoid_is_found_where_the_truth_is_one(generator: torch.Generator) -> None:
    scores, truth = sigmoid_rows(4000, generator)
    found = fitted(scores, truth)
    assert found.method == "platt"
    assert (found.n, found.positive) == (4000, int(truth.sum()))
    for score in (-0.8, -0.3, 0.0, 0.4, 0.9):
        assert found(score) == pytest.approx(torch.sigmoid(torch.tensor(4 * score)).item(), abs=0.03)


def test_isotonic_is_chosen_where_the_truth_is_a_staircase(generator: torch.Generator) -> None:
    scores = torch.rand(4000, generator=generator)
    steps = torch.where(scores < 0.3, 0.05, torch.where(scores < 0.9, 0.5, 0.95))
    truth = torch.rand(4000, generator=generator) < steps
    found = fitted(scores, truth)
    assert found.method == "isotonic"
    assert [found(score) for score in (0.1, 0.6, 0.97)] == pytest.approx([0.05, 0.5, 0.95], abs=0.06)
    values = scores.double().numpy(), truth.numpy()
    assert found.log_loss == cross_validated_log_loss(*values, "isotonic")
    assert found.log_loss < cross_validated_log_loss(*values, "platt")


def test_separable_classes_get_no_certainty() -> None:
    """From 100 rows of each class nothing rarer than 1 in 102 can be known."""
    scores = torch.cat([torch.linspace(0, 1, 100), torch.linspace(2, 3, 100)])
    found = fitted(scores, torch.arange(200) >= 100)
    assert (found(-5), found(9)) == pytest.approx((1 / 102, 101 / 102))


def test_a_far_outlier_gets_no_certainty_either(generator: torch.Generator) -> None:
    """A sigmoid would give it 1."""
    scores, truth = sigmoid_rows(4000, generator)
    scores[0], truth[0] = 50.0, True
    found = fitted(scores, truth)
    assert found.method == "platt"
    assert found(50.0) == pytest.approx(1 - 1 / (found.positive + 2))


def test_a_score_that_says_the_opposite_gets_a_level_map(generator: torch.Generator) -> None:
    scores, truth = sigmoid_rows(1000, generator)
    found = fitted(-scores, truth)
    assert max(found.probabilities) - min(found.probabilities) < 0.05
    assert found(0.0) == pytest.approx(float(truth.float().mean()), abs=0.05)


def test_few_or_broken_rows_are_refused(generator: torch.Generator) -> None:
    scores, truth = sigmoid_rows(200, generator)
    with pytest.raises(SafetyError, match="19 rows of a class"):
        fitted(scores, torch.arange(200) < 19)
    with pytest.raises(SafetyError, match="1 scores are not finite"):
        fitted(scores.index_fill(0, torch.tensor([3]), float("nan")), truth)


@settings(max_examples=20, deadline=None)
@given(
    seed=st.integers(0, 2**16),
    scale=st.sampled_from([1e-6, 1.0, 1e4]),
    repeat=st.booleans(),
)
def test_every_map_rises_within_zero_and_one(seed: int, scale: float, repeat: bool) -> None:
    generator = torch.Generator().manual_seed(seed)
    scores = torch.randn(80, generator=generator, dtype=torch.float64)
    truth = torch.rand(80, generator=generator) < torch.sigmoid(scores)
    if repeat:
        scores = scores.round()
    truth[:20], truth[20:40] = True, False  # enough of each class
    found = fitted(scale * scores, truth)
    values = [found(score) for score in np.linspace(-5 * scale, 5 * scale, 200).tolist()]
    assert values == sorted(values)
    assert min(values) >= 0
    assert max(values) <= 1
