"""What is promised of captions beyond the context rests on all of their windows, as moderation sees them."""

from dataclasses import replace

import pytest
import torch

from hyperaware import calibrate as calibrating
from hyperaware.data.folder import read_folder
from hyperaware.data.quadruplet import Row
from hyperaware.errors import DataError
from hyperaware.models.dual_encoder import DualEncoder
from hyperaware.models.pretrained import load
from hyperaware.models.windows import MOST, fits
from hyperaware.moderate import Moderator
from hyperaware.moderation import calibration as calibration_module
from hyperaware.moderation.concepts import Concepts
from hyperaware.recipes import measure_bounds
from hyperaware.world import export

ALPHA, LONG = 0.1, 3
"""One safe caption in three has something unsafe at its end, beyond the context."""


@pytest.fixture(scope="module")
def model() -> DualEncoder:
    return load("world-hysac-ordered")


@pytest.fixture(scope="module")
def rows(model: DualEncoder, tmp_path_factory: pytest.TempPathFactory) -> list[Row]:
    export(folder := tmp_path_factory.mktemp("data") / "rows", count=60, split="calibration")
    found = [
        row if number % LONG else replace(row, safe_text=", ".join([row.safe_text] * 8 + [row.unsafe_text]))
        for number, row in enumerate(read_folder(folder))
    ]
    assert sum(not fits(row.safe_text, model.tokenizer) for row in found) == len(found) // LONG
    return found


@pytest.fixture(scope="module")
def calibrated(model: DualEncoder, rows: list[Row]) -> calibrating.Calibrated:
    return calibrating.calibrate(model, rows, false_positive_rate=ALPHA, miss_rate=ALPHA)


@pytest.fixture(scope="module")
def moderator(model: DualEncoder, calibrated: calibrating.Calibrated) -> Moderator:
    return Moderator(
        model,
        bounds=calibrated.bounds,
        calibration=calibrated.calibration,
        concepts=Concepts.of(model),
    )


def test_the_scores_of_the_calibration_are_those_of_moderation(
    calibrated: calibrating.Calibrated, moderator: Moderator, rows: list[Row]
) -> None:
    scores = [each.score for each in moderator.measured([row.safe_text for row in rows])]
    assert calibrated.calibration.text.benign == pytest.approx(sorted(map(float, scores)), abs=1e-5)


def test_no_more_safe_captions_lie_beyond_the_limit_than_promised(
    calibrated: calibrating.Calibrated, moderator: Moderator, rows: list[Row]
) -> None:
    scores = [each.score for each in moderator.measured([row.safe_text for row in rows])]
    beyond = sum(score > calibrated.bounds.limit["text"] for score in map(float, scores))
    assert beyond <= ALPHA * len(rows) < len(rows) // LONG


def test_bounds_by_themselves_are_the_same(
    model: DualEncoder, calibrated: calibrating.Calibrated, rows: list[Row]
) -> None:
    """By `hyperaware bounds`, which measures at rates of its own: the class of safe texts is told apart."""
    alone = measure_bounds(model, calibration=rows, validation=rows)
    assert alone.safe_text == calibrated.bounds.safe_text
    assert alone.unsafe_text == calibrated.bounds.unsafe_text


def test_a_category_is_calibrated_on_its_largest_score_in_any_window(
    model: DualEncoder, moderator: Moderator, rows: list[Row], monkeypatch: pytest.MonkeyPatch
) -> None:
    fitted, seen = calibration_module.fitted, []

    def watched(scores: torch.Tensor, truth: torch.Tensor) -> calibration_module.ProbabilityMap:
        seen.append(scores)
        return fitted(scores, truth)

    monkeypatch.setattr(calibration_module, "fitted", watched)
    found = calibrating.calibrate(
        model,
        [replace(row, category="violence") for row in rows],
        false_positive_rate=ALPHA,
        miss_rate=ALPHA,
    )
    assert "text" in found.calibration.categories["violence"].probability
    texts = [row.safe_text for row in rows] + [row.unsafe_text for row in rows]
    expected = torch.tensor(
        [each.categories["violence"].score for each in moderator.measured(texts)], dtype=torch.float64
    )
    of_texts = seen[2]  # after the two maps of root distances, texts come first
    torch.testing.assert_close(of_texts, expected, atol=1e-5, rtol=0)


def test_new_data_are_compared_by_their_windows_too(
    model: DualEncoder, calibrated: calibrating.Calibrated, rows: list[Row]
) -> None:
    found = calibrating.check_drift(model, rows, calibrated.calibration)
    assert found["text"].p_value == pytest.approx(1.0)


def test_a_caption_that_moderation_would_not_read_is_named(model: DualEncoder, rows: list[Row]) -> None:
    endless = replace(rows[0], unsafe_text=" ".join([rows[0].safe_text] * 4 * MOST))
    with pytest.raises(DataError, match=f"unsafe_text of row '{rows[0].id}'.*{MOST} windows"):
        calibrating.calibrate(model, [endless, *rows[1:]])
