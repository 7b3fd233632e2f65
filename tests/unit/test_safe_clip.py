"""Safe-CLIP's settings: weights, the start, and the fault that can be asked for."""

import dataclasses
from typing import Any

import pytest
import torch
from model_samples import CLASSES, random_points, tiny_model

from hyperaware.data.quadruplet import Quadruplet
from hyperaware.errors import ConfigError
from hyperaware.geometry.space import Sphere
from hyperaware.methods.safe_clip import TERMS, SafeCLIP
from hyperaware.models.adapters import has_lora


def on_sphere(seed: int) -> Quadruplet:
    return random_points(5, 8, seed=seed).map(lambda part: Sphere().lift(part.detach()))


def terms(method: SafeCLIP, points: Quadruplet, reference: Quadruplet | None) -> dict[str, Any]:
    return method.terms(points, space=Sphere(), logit_scale=30.0, reference=reference)


def test_the_weights_are_the_settings_shared_out() -> None:
    """Published: (0.1, 0.1, 0.1, 0.2, 0.25, 0.25, 0.25, 0.5), over their sum 1.75, over 8."""
    published = [0.1, 0.1, 0.1, 0.2, 0.25, 0.25, 0.25, 0.5]
    assert [SafeCLIP().weight(name) * 14 for name in TERMS] == pytest.approx(published)
    more = dataclasses.replace(SafeCLIP(), image_to_text_redirection=2.25)
    assert more.weight("redirection/unsafe_image>safe_text") == pytest.approx(2.25 / 3.5 / 8)


def test_what_is_at_its_reference_costs_nothing_and_a_moved_row_costs_its_angle() -> None:
    points = on_sphere(0)
    found = terms(SafeCLIP(), points, points)
    assert float(found["preservation/safe_text>safe_text"]) == pytest.approx(0, abs=1e-6)
    moved = dataclasses.replace(points, safe_text=-points.safe_text)
    assert float(terms(SafeCLIP(), moved, points)["preservation/safe_text>safe_text"]) == pytest.approx(2)


def test_unsafe_reference_points_play_no_part() -> None:
    points, reference = on_sphere(0), on_sphere(1)
    broken = dataclasses.replace(
        reference, **{part: torch.full((5, 8), torch.nan) for part in CLASSES if part.startswith("unsafe")}
    )
    expected = terms(SafeCLIP(), points, reference)
    assert {n: float(t) for n, t in terms(SafeCLIP(), points, broken).items()} == {
        n: float(t) for n, t in expected.items()
    }


def test_the_published_fault_has_the_trained_points_as_reference_and_no_gradient_through_them() -> None:
    raw = random_points(5, 8)
    points = raw.map(Sphere().lift)
    method = SafeCLIP(reference="published")
    assert not method.needs_reference
    assert SafeCLIP().needs_reference
    found = terms(method, points, None)
    expected = terms(SafeCLIP(), points, points.map(torch.Tensor.detach))
    for name, term in found.items():
        torch.testing.assert_close(term, expected[name])
    found["redirection/unsafe_text>safe_text"].backward()
    assert raw.unsafe_text.grad is not None
    assert raw.safe_text.grad is None  # the target stands still within a step


def test_without_a_reference_it_refuses() -> None:
    with pytest.raises(ConfigError, match=r"needs the reference points"):
        terms(SafeCLIP(), on_sphere(0), None)


@pytest.mark.parametrize("rank", [None, 2])
def test_the_scale_is_fixed_and_outlives_the_clamp(rank: int | None) -> None:
    model = tiny_model()
    SafeCLIP(lora_rank=rank).prepare(model, features=random_points(3, 8))
    assert has_lora(model) == (rank is not None)
    assert not model.log_logit_scale.requires_grad
    model.constrain()
    assert float(model.logit_scale) == pytest.approx(100.00296, abs=1e-4)


def test_a_model_that_is_not_on_the_sphere_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"lies in the space 'lorentz'.*'world'"):
        SafeCLIP().prepare(tiny_model(lorentz=True), features=random_points(3, 8))
