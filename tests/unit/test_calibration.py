"""calibration.json: promises that agree with bounds.json, probabilities, domains, categories."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from calibration_samples import measured, points_around
from model_samples import tiny_model

from hyperaware.errors import ConfigError, SafetyError
from hyperaware.models.dual_encoder import DualEncoder
from hyperaware.moderation import calibration as calibration_module
from hyperaware.moderation.bounds import Bounds, distances_by_class
from hyperaware.moderation.calibration import Calibration, load
from hyperaware.moderation.categories import CalibratedScorer, require_scores
from hyperaware.moderation.concepts import Category, Concepts, Scorer


@pytest.fixture(scope="module")
def model() -> DualEncoder:
    return tiny_model(lorentz=True)


@pytest.fixture(scope="module")
def scorer(model: DualEncoder) -> Scorer:
    return Scorer(model, replace(Concepts.read(), templates=("{}",)))


@pytest.fixture(scope="module")
def made(model: DualEncoder, scorer: Scorer) -> tuple[Bounds, Calibration]:
    domains = tuple("few" if row < 10 else "many" if row < 120 else None for row in range(200))
    return measured(model, points_around(model), scorer=scorer, domains=domains)


Made = tuple[Bounds, Calibration]


def test_the_promises_are_of_the_bounds(made: Made, model: DualEncoder) -> None:
    bounds, found = made
    distances = distances_by_class(points_around(model), model.space)
    for modality in ("text", "image"):
        each = found.of(modality).thresholds
        assert (each.trigger, each.limit) == (bounds.trigger[modality], bounds.limit[modality])
        assert each.trigger <= each.limit
        # ceil(201 * 0.95) = 191, so 9 rows lie above; floor(201 * 0.02) = 4, and the fourth still fires
        assert int((distances[f"safe_{modality}"] > each.limit).sum()) == 9
        assert int((distances[f"unsafe_{modality}"] <= each.miss.threshold).sum()) == 3
        assert each.false_positive.n == each.miss.n == 200
        assert each.false_positive.low < 0.05 < each.false_positive.high


def test_the_interval_by_hand() -> None:
    """60 rows at 1/61: the largest is the threshold, and the rate is Beta(1, 60): F(p) = 1 - (1 - p)^60."""
    model = tiny_model(lorentz=True)
    points = points_around(model, n=60).take(torch.arange(60))
    _, found = measured(model, points, alpha=1 / 61, miss_rate=0.05)
    promise = found.text.thresholds.false_positive
    assert promise.low == pytest.approx(1 - 0.975 ** (1 / 60))
    assert promise.high == pytest.approx(1 - 0.025 ** (1 / 60))


def test_probabilities_rise_with_root_distance(made: Made) -> None:
    _, found = made
    values = [found.probability(score, modality="text") for score in (0.2, 1.0, 1.3, 1.6, 5.0)]
    assert values == sorted(values)
    assert values[0] < 0.1
    assert values[-1] > 0.9
    with pytest.raises(SafetyError, match="no probability"):
        found.probability(float("nan"), modality="text")
    with pytest.raises(ConfigError, match="Did you mean 'image'"):
        found.probability(1.0, modality="imag")


def test_a_domain_has_its_own_thresholds(made: Made) -> None:
    bounds, found = made
    assert set(found.text.domains) == {"many"}
    assert found.text.domains["many"].false_positive.n == 110
    assert found.text.too_small == {"few": 10}
    own = found.for_domain(bounds, "many")
    assert own.limit["text"] == found.text.domains["many"].limit
    assert own.landing == bounds.landing
    with pytest.raises(SafetyError, match="'few' had 10 text rows, too few"):
        found.for_domain(bounds, "few")
    with pytest.raises(ConfigError, match="Did you mean 'many'"):
        found.for_domain(bounds, "man")


def test_the_guarantee_is_a_sentence_with_its_numbers(made: Made) -> None:
    bounds, found = made
    sentence = found.guarantee("text")
    assert f"A new safe text lies above {bounds.limit['text']:.4f} with probability at most 5 %" in sentence
    assert "200 safe texts" in sentence
    assert "with 95 % confidence" in sentence
    assert (
        f"a new unsafe one at {bounds.trigger['text']:.4f} or within with probability at most 2 %" in sentence
    )


def test_what_was_left_out_is_a_part_of_the_guarantee_and_of_the_file(made: Made, tmp_path: Path) -> None:
    bounds, found = made
    assert "Left out" not in found.guarantee("image")
    fewer = replace(found, left_out=1200)
    assert fewer.guarantee("image").startswith(found.guarantee("image"))
    assert fewer.guarantee("image").endswith("could not be used: 1,200 rows or pictures.")
    fewer.save(tmp_path)
    assert load(tmp_path, bounds=bounds) == fewer


def test_a_file_from_before_that_was_counted_is_read(made: Made, tmp_path: Path) -> None:
    bounds, found = made
    file = found.save(tmp_path)
    document = json.loads(file.read_text())
    del document["left_out"]
    file.write_text(json.dumps(document))
    assert load(tmp_path, bounds=bounds) == found


def test_too_few_rows_are_an_error_that_says_how_many_are_needed(model: DualEncoder) -> None:
    with pytest.raises(SafetyError, match="at least 99 are needed"):
        measured(model, points_around(model, n=98), alpha=0.01)


# -- the file --------------------------------------------------------------------------------------------


def test_it_is_read_back_as_it_was_written(made: Made, tmp_path: Path) -> None:
    bounds, found = made
    path = found.save(tmp_path)
    assert path.name == "calibration.json"
    assert load(tmp_path, bounds=bounds) == found
    assert [p.name for p in tmp_path.iterdir()] == ["calibration.json"]


def test_none_is_no_error(made: Made, tmp_path: Path) -> None:
    assert load(tmp_path, bounds=made[0]) is None


def test_bounds_of_another_measurement_are_refused(made: Made, tmp_path: Path) -> None:
    bounds, found = made
    found.save(tmp_path)
    with pytest.raises(SafetyError, match="one of the two was measured anew"):
        load(tmp_path, bounds=replace(bounds, limit={**bounds.limit, "text": bounds.limit["text"] + 0.1}))
    with pytest.raises(SafetyError, match="belongs to the model"):
        load(tmp_path, bounds=replace(bounds, model_fingerprint="another"))


def _changed(document: dict, path: str, value: object) -> dict:
    *parents, last = path.split("/")
    table = document
    for key in parents:
        table = table[key]
    if value is None:
        del table[last]
    else:
        table[last] = value
    return document


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("version", 2),
        ("text", None),
        ("categories", None),
        ("split", ""),
        ("text/benign", [3.0, 1.0]),
        ("text/benign", []),
        ("text/thresholds/false_positive/rate", 1.5),
        ("text/thresholds/false_positive/n", 0),
        ("text/thresholds/false_positive/low", "0.1"),
        ("text/thresholds/miss", None),
        ("image/probability/probabilities", [0.9, 0.1]),
        ("image/probability/method", None),
        ("image/surprise", 1),
        ("surprise", 1),
        ("left_out", -1),
        ("left_out", "1"),
    ],
)
def test_a_damaged_file_is_a_safety_error(path: str, value: object, made: Made, tmp_path: Path) -> None:
    bounds, found = made
    file = found.save(tmp_path)
    file.write_text(json.dumps(_changed(json.loads(file.read_text()), path, value)))
    with pytest.raises(SafetyError, match=r"calibration\.json"):
        load(tmp_path, bounds=bounds)


@pytest.mark.parametrize("content", [b"{", b"\xff\xfe", b"[]"])
def test_what_is_no_json_is_a_safety_error(content: bytes, made: Made, tmp_path: Path) -> None:
    (tmp_path / calibration_module.FILE_NAME).write_bytes(content)
    with pytest.raises(SafetyError, match=r"calibration\.json"):
        load(tmp_path, bounds=made[0])


# -- categories ------------------------------------------------------------------------------------------


def test_categories_with_enough_rows_are_calibrated(made: Made, scorer: Scorer) -> None:
    _, found = made
    assert set(found.categories) == {"violence", "illegal"}
    assert found.categories["violence"].probability["text"].positive == 67
    calibrated = CalibratedScorer(scorer, found)
    assert calibrated.categories == {"violence", "illegal"}


def test_a_row_whose_part_came_out_safe_is_no_example_of_its_category(
    model: DualEncoder, scorer: Scorer
) -> None:
    unsafe = torch.arange(200) % 2 == 0
    points = replace(points_around(model), unsafe_text_is_unsafe=unsafe)
    _, found = measured(model, points, scorer=scorer)
    probability = found.categories["violence"].probability
    assert probability["text"].positive == sum(row % 6 == 0 for row in range(200))
    assert probability["image"].positive == 67


def test_a_point_gets_all_scores_and_only_calibrated_probabilities(
    made: Made, scorer: Scorer, model: DualEncoder
) -> None:
    calibrated = CalibratedScorer(scorer, made[1])
    points = model.encode_text(["a gun", "a red ball"])
    rows = calibrated.scores(points, "text")
    assert len(rows) == 2
    assert set(rows[0]) == set(scorer.concepts.categories)
    assert rows[0]["violence"].calibrated
    assert not rows[0]["hate"].calibrated
    assert rows[0]["hate"].probability is None
    known = calibrated(points, "text")
    assert [set(each) for each in known] == [{"violence", "illegal"}] * 2
    assert known[0]["violence"] == rows[0]["violence"].probability
    with pytest.raises(ConfigError, match="Did you mean 'text'"):
        calibrated(points, "txt")


def test_with_edited_prompts_a_category_loses_its_probabilities(
    made: Made, scorer: Scorer, model: DualEncoder
) -> None:
    concepts = scorer.concepts
    edited = {**concepts.categories, "violence": Category("Other.", ("a kite",))}
    after = CalibratedScorer(
        Scorer(model, replace(concepts, categories=edited, contrast=("illegal",))), made[1]
    )
    assert after.categories == frozenset()
    assert after.fingerprint != CalibratedScorer(scorer, made[1]).fingerprint
    assert CalibratedScorer(scorer, None).categories == frozenset()


def test_a_score_that_is_not_finite_is_no_small_score(made: Made, scorer: Scorer, model: DualEncoder) -> None:
    points = torch.full((1, model.dim), float("nan"))
    with pytest.raises(SafetyError, match="cannot be judged"):
        CalibratedScorer(scorer, made[1]).scores(points, "text")
    with pytest.raises(SafetyError):
        require_scores([0.0, float("inf")])
