"""Drift: new benign data against the calibration, with few false alarms and no missed shift."""

from dataclasses import replace

import pytest
import torch
from calibration_samples import measured, points_around
from model_samples import tiny_model

from hyperaware.errors import SafetyError
from hyperaware.models.dual_encoder import DualEncoder
from hyperaware.moderation.bounds import distances_by_class
from hyperaware.moderation.calibration import Calibration
from hyperaware.moderation.drift import SIGNIFICANCE, drift


@pytest.fixture(scope="module")
def model() -> DualEncoder:
    return tiny_model(lorentz=True)


@pytest.fixture(scope="module")
def calibration(model: DualEncoder) -> Calibration:
    return measured(model, points_around(model, n=400))[1]


def benign(model: DualEncoder, **changes: float) -> dict[str, torch.Tensor]:
    distances = distances_by_class(points_around(model, **changes), model.space)  # type: ignore[arg-type]
    return {modality: distances[f"safe_{modality}"] for modality in ("text", "image")}


def test_data_of_the_same_source_have_not_drifted(calibration: Calibration, model: DualEncoder) -> None:
    found = drift(calibration, benign(model, n=300, seed=1))
    assert not any(each.drifted for each in found.values())
    assert found["text"].n == 300
    assert found["text"].low <= found["text"].share <= found["text"].high
    assert found["text"].promised == 0.05


def test_data_farther_out_have_drifted_for_both_reasons(calibration: Calibration, model: DualEncoder) -> None:
    found = drift(calibration, benign(model, n=300, seed=1, shift=0.15))["text"]
    assert found.drifted
    assert "distributed otherwise" in found.reason
    assert "above the limit, promised were 5 % at most" in found.reason


def test_data_nearer_to_the_root_have_drifted_too(calibration: Calibration, model: DualEncoder) -> None:
    """No promise is broken, but the probabilities no longer mean what they say."""
    found = drift(calibration, benign(model, n=300, seed=1, shift=-0.15))["image"]
    assert found.drifted
    assert "above the limit" not in found.reason


def test_a_few_far_outliers_break_the_promise_alone(calibration: Calibration) -> None:
    middle = torch.tensor(calibration.text.benign, dtype=torch.float64)[20:-40]
    values = torch.cat([middle, torch.full((45,), 9.0)])  # 11 % above the limit
    found = drift(calibration, {"text": values})["text"]
    assert found.above == 45
    assert found.drifted
    assert "above the limit" in found.reason


def test_false_alarms_are_rare(calibration: Calibration) -> None:
    """100 samples of the same source: SIGNIFICANCE is the chance of an alarm for a fresh calibration set."""
    generator = torch.Generator().manual_seed(0)
    alarms = 0
    for _ in range(100):
        fresh = {m: 1 + 0.2 * torch.randn(200, generator=generator) for m in ("text", "image")}
        alarms += any(each.drifted for each in drift(calibration, fresh).values())
    assert alarms <= 100 * SIGNIFICANCE + 4


def test_very_many_rows_do_not_make_a_tiny_difference_drift(calibration: Calibration) -> None:
    values = torch.tensor(calibration.text.benign, dtype=torch.float64).repeat(200) + 1e-3
    assert not drift(calibration, {"text": values})["text"].drifted


@pytest.mark.parametrize("values", [torch.empty(0), torch.tensor([1.0, float("nan")])])
def test_nothing_and_nonsense_are_refused(values: torch.Tensor, calibration: Calibration) -> None:
    with pytest.raises(SafetyError, match="expected some, and finite ones"):
        drift(calibration, {"text": values})


def test_the_kept_quantiles_stand_for_the_calibration_rows(
    calibration: Calibration, model: DualEncoder
) -> None:
    every = benign(model, n=400)["text"].sort().values
    assert calibration.text.benign == tuple(every.tolist())
    many = measured(model, points_around(model, n=1000))[1].text.benign
    assert len(many) == 400
    assert replace(calibration.text, benign=many).benign == many
