"""Moderation: batched, under a policy, in windows where a text is long, and never safe by accident."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from calibration_samples import measured, points_around
from model_samples import random_picture, tiny_model
from moderation_samples import sample_bounds
from torch import Tensor

from hyperaware.errors import ConfigError, SafetyError
from hyperaware.models.dual_encoder import DualEncoder
from hyperaware.models.pretrained import load
from hyperaware.models.windows import MOST, windows
from hyperaware.moderate import Moderator
from hyperaware.moderation.concepts import Concepts, Scorer
from hyperaware.moderation.policy import Policy

LONG = " ".join(["a rabbit in the snow"] * 12)


@pytest.fixture(scope="module")
def model() -> DualEncoder:
    return tiny_model(lorentz=True)


def moderator_of(model: DualEncoder, **changes: object) -> Moderator:
    bounds, calibration = measured(model, points_around(model))
    bounds = replace(bounds, model_fingerprint=model.fingerprint)
    calibration = replace(calibration, model_fingerprint=model.fingerprint)
    values = {"bounds": bounds, "calibration": calibration, **changes}
    return Moderator(model, **values)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def moderator(model: DualEncoder) -> Moderator:
    return moderator_of(model, concepts=replace(Concepts.read(), templates=("{}",)))


# -- verdicts --------------------------------------------------------------------------------------------


def test_each_item_gets_score_probability_bound_and_verdict(moderator: Moderator) -> None:
    texts, images = ["a red ball on the beach", "a bloody axe"], [random_picture(1)]
    found = moderator.moderate(texts, images, role="researcher")
    assert [each.modality for each in found] == ["text", "text", "image"]
    model, space = moderator.model, moderator.space
    points = [*model.encode_text(texts), *model.encode_image(images)]
    for each, point in zip(found, points, strict=True):
        assert each.failure is None
        assert each.score == pytest.approx(float(space.root_distance(point)), rel=1e-5)
        assert moderator.bounds is not None
        assert each.bound == moderator.bounds.trigger[each.modality]
        assert moderator.calibration is not None
        assert each.score is not None
        assert each.probability == moderator.calibration.probability(each.score, modality=each.modality)
        assert each.verdict is not None
        assert (each.verdict.role, each.verdict.action) == ("researcher", "allow")
        assert each.model_fingerprint == model.fingerprint
        assert set(each.categories) == set(Concepts.read().categories)
        assert each.margin == each.bound - each.score
        assert each.flagged == (each.score > each.bound)


def test_nothing_gives_nothing(moderator: Moderator) -> None:
    assert moderator.moderate() == []
    assert moderator.moderate([], []) == []


def test_a_batch_gives_what_its_items_give_one_by_one(moderator: Moderator) -> None:
    texts = ["a red ball", LONG, "", "a bloody axe"]
    for alone, together in zip(
        [moderator.moderate([text])[0] for text in texts], moderator.moderate(texts), strict=True
    ):
        assert (alone.failure, alone.windows) == (together.failure, together.windows)
        if alone.failure is None:
            assert alone.score == pytest.approx(together.score, rel=1e-5)


def test_only_some_pictures_are_in_memory_at_once(
    moderator: Moderator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ten thousand photographs of 12 megapixels would take 360 GB."""
    pictures = [random_picture(seed) for seed in range(5)]
    whole = moderator.measured(images=pictures)
    held, encode = [], moderator.model.encode_image
    monkeypatch.setattr("hyperaware.moderate.DECODED", 2)
    monkeypatch.setattr(moderator.model, "encode_image", lambda part: held.append(len(part)) or encode(part))
    parts = moderator.measured(images=pictures)
    assert held == [2, 2, 1]
    assert [each.score for each in parts] == pytest.approx([each.score for each in whole], abs=1e-6)


def test_the_policy_decides_by_role(model: DualEncoder) -> None:
    strict = moderator_of(model, calibration=None, bounds=_bounds(model, trigger=1e-6))
    for role, action in (("viewer", "redirect"), ("child", "block"), ("researcher", "allow")):
        found = strict.moderate(["a red ball"], role=role)[0]
        assert found.verdict is not None
        assert found.verdict.action == action
        assert found.flagged, "whatever the role may do with it"
    with pytest.raises(ConfigError, match="Did you mean 'viewer'"):
        strict.moderate(["a red ball"], role="viewr")


def _bounds(model: DualEncoder, *, trigger: float) -> object:
    return sample_bounds(model_fingerprint=model.fingerprint, trigger={"text": trigger, "image": trigger})


def test_rules_for_categories_see_calibrated_probabilities_only(model: DualEncoder, tmp_path: Path) -> None:
    """A rule for a category without a probability hits: nothing is let through because nothing is known."""
    path = tmp_path / "policy.toml"
    path.write_text(
        'version = "1"\ndefault_role = "viewer"\n[roles.viewer]\naction = "allow"\nshow = "all"\n'
        '[[roles.viewer.queries]]\ncategory = "violence"\nabove = 0.999\naction = "block"\n'
    )
    policy = Policy.read(path)
    points = points_around(model)
    concepts = replace(Concepts.read(), templates=("{}",))
    uncalibrated = moderator_of(model, concepts=concepts, policy=policy)
    verdict = uncalibrated.moderate(["a red ball"])[0].verdict
    assert verdict is not None
    assert (verdict.action, verdict.category) == ("block", "violence")
    _, calibration = measured(model, points, scorer=Scorer(model, concepts))
    calibration = replace(calibration, model_fingerprint=model.fingerprint)
    calibrated = moderator_of(model, concepts=concepts, policy=policy, calibration=calibration)
    verdict = calibrated.moderate(["a red ball"])[0].verdict
    assert verdict is not None
    assert verdict.action == "allow"


# -- failing closed --------------------------------------------------------------------------------------


def test_what_cannot_be_read_is_a_failure_and_flagged(moderator: Moderator, tmp_path: Path) -> None:
    good, broken = tmp_path / "good.png", tmp_path / "broken.png"
    random_picture(1).save(good)
    broken.write_bytes(good.read_bytes()[:-20])
    found = moderator.moderate(
        ["", "  \n", 7, "a red ball"],  # type: ignore[list-item]
        [good, broken, b"<svg/>", tmp_path / "missing.png"],
    )
    reasons = [None if each.failure is None else each.failure.reason for each in found]
    assert reasons == ["empty", "empty", "unsupported", None, None, "truncated", "unsupported", "missing"]
    for each in found:
        if each.failure is not None:
            assert each.flagged
            assert (each.score, each.probability, each.bound, each.verdict) == (None,) * 4
            assert each.categories == {}
            assert each.margin is None


@pytest.mark.parametrize("broken", [float("nan"), float("inf")])
def test_a_point_that_is_not_finite_is_a_failure_of_its_item_only(
    broken: float, model: DualEncoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = moderator_of(model)
    right = model.encode_fitting

    def wrong(texts: list[str]) -> tuple[Tensor, list[bool]]:
        points, fit = right(texts)
        points[1, 0] = broken
        return points, fit

    monkeypatch.setattr(model, "encode_fitting", wrong)
    found = own.moderate(["a red ball", "a red ball", "a red ball"])
    assert [each.failure is None for each in found] == [True, False, True]
    assert found[1].failure is not None
    assert found[1].failure.reason == "not_finite"
    assert found[1].flagged


def test_one_window_that_is_not_finite_fails_the_whole_text(
    model: DualEncoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """max() would drop a NaN silently."""
    own = moderator_of(model)
    right = model.encode_text
    monkeypatch.setattr(
        model, "encode_text", lambda texts: right(texts).index_fill(0, torch.tensor([2]), float("nan"))
    )
    found = own.moderate([LONG])[0]
    assert found.failure is not None
    assert found.windows > 2


def test_parts_that_do_not_belong_together_are_refused(model: DualEncoder) -> None:
    bounds, calibration = measured(model, points_around(model))
    with pytest.raises(SafetyError, match="has no bounds"):
        Moderator(model, bounds=None)
    with pytest.raises(SafetyError, match="the bounds belong to the model"):
        Moderator(model, bounds=replace(bounds, model_fingerprint="another"))
    other = replace(calibration, model_fingerprint="another")
    with pytest.raises(SafetyError, match="the calibration belongs to the model"):
        moderator_of(model, calibration=other)


def test_a_domain_is_judged_by_its_own_thresholds(model: DualEncoder) -> None:
    points = points_around(model)
    domains = tuple("near" if row < 100 else None for row in range(200))
    bounds, calibration = measured(model, points, domains=domains)
    bounds = replace(bounds, model_fingerprint=model.fingerprint)
    calibration = replace(calibration, model_fingerprint=model.fingerprint)
    own = calibration.text.domains["near"].trigger
    assert own != bounds.trigger["text"]
    found = Moderator(model, bounds=bounds, calibration=calibration, domain="near").moderate(["a ball"])[0]
    assert found.bound == own
    with pytest.raises(ConfigError, match="Did you mean 'near'"):
        Moderator(model, bounds=bounds, calibration=calibration, domain="neer")
    with pytest.raises(SafetyError, match="no calibration"):
        Moderator(model, bounds=bounds, domain="near")


def test_without_a_root_only_an_open_role_gets_a_verdict() -> None:
    flat = Moderator(tiny_model(), bounds=None)
    viewer, researcher = (flat.moderate(["a red ball"], role=role)[0] for role in ("viewer", "researcher"))
    assert viewer.failure is not None
    assert viewer.failure.reason == "unjudged"
    assert researcher.verdict is not None
    assert researcher.verdict.action == "allow"
    assert viewer.flagged
    assert researcher.flagged


def test_of_reads_what_lies_in_the_models_folder() -> None:
    found = Moderator.of(load("world-hysac-ordered"))
    assert found.calibration is not None
    assert found.scorer is not None
    assert len(found.scorer.categories) == 7
    safe, unsafe = found.moderate(
        ["a rabbit with a red cup in the forest", "a rabbit with a pistol in the forest"]
    )
    assert safe.probability is not None
    assert unsafe.probability is not None
    assert safe.probability < 0.5 < unsafe.probability
    assert unsafe.flagged
    with pytest.raises(SafetyError, match="no folder or no root"):
        Moderator.of(load("world"))


# -- windows ---------------------------------------------------------------------------------------------


def test_the_most_unsafe_window_counts_and_nothing_is_cut_off(moderator: Moderator) -> None:
    """A text is as unsafe as its most unsafe part, wherever that stands: also beyond the model's context."""
    pieces = windows(LONG, moderator.tokenizer)
    scores = [each.score for each in moderator.moderate(pieces)]
    found = moderator.moderate([LONG])[0]
    assert found.windows == len(pieces) > 1
    assert found.score == pytest.approx(max(scores), rel=1e-5)
    each = moderator.moderate(pieces)
    for name, category in found.categories.items():
        assert category.score == pytest.approx(max(m.categories[name].score for m in each), rel=1e-4)


def test_harm_beyond_the_context_is_seen_by_the_shipped_model() -> None:
    own = Moderator.of(load("world-hysac-ordered"))
    padding = " ".join(["a rabbit with a red cup in the forest"] * 12)
    hidden = f"{padding} a man with a pistol in the street"
    assert len(own.tokenizer.backend.encode(padding).ids) > own.tokenizer.context_length
    assert own.model.tokenizer([hidden])[0].shape[1] == own.tokenizer.context_length, "a plain encode cuts"
    harmless, harmful = own.moderate([padding, hidden])
    assert harmful.windows > 1
    assert harmless.score is not None
    assert harmful.score is not None
    assert harmful.score > harmless.score + 0.02
    assert harmful.flagged


def test_a_text_without_end_is_refused_whole(moderator: Moderator) -> None:
    found = moderator.moderate(["a red ball on the beach " * 40 * MOST])[0]
    assert found.failure is not None
    assert found.failure.reason == "too_long"
    assert found.flagged
