"""HySAC's settings: what each of them does to the terms and to the model."""

import dataclasses
import math
from typing import Any

import pytest
import torch
from model_samples import TINY, random_points, tiny_model

from hyperaware.data.quadruplet import Quadruplet
from hyperaware.errors import ConfigError
from hyperaware.geometry.space import Lorentz, Sphere
from hyperaware.losses.contrastive import contrastive
from hyperaware.losses.entailment import entailment
from hyperaware.losses.radial import radial_order
from hyperaware.methods.hysac import HySAC
from hyperaware.models.adapters import has_lora

SPACE = Lorentz(0.5)
TERMS = {
    "contrastive/safe_text-safe_image": "aligned_weight",
    "contrastive/unsafe_text-unsafe_image": "aligned_weight",
    "contrastive/safe_text-unsafe_image": "cross_weight",
    "contrastive/unsafe_text-safe_image": "cross_weight",
    "entailment/safe_text>safe_image": "entailment_weight",
    "entailment/unsafe_text>unsafe_image": "entailment_weight",
    "entailment/safe_image>unsafe_text": "safety_weight",
}


def terms(method: HySAC, points: Quadruplet | None = None) -> dict[str, Any]:
    return method.terms(random_points(5, 4) if points is None else points, space=SPACE, logit_scale=20.0)


def prepared(features: Quadruplet | None = None, **settings: Any) -> Any:
    model = tiny_model()
    method = HySAC(**{"lora_rank": None, **settings})
    method.prepare(model, features=random_points(6, model.dim) if features is None else features)
    return model


# -- the terms -------------------------------------------------------------------------------------------


def test_the_faithful_method_has_the_seven_terms_of_the_paper() -> None:
    points = random_points(5, 4)
    found = terms(HySAC(), points)
    assert list(found) == list(TERMS)
    for name, term in found.items():
        kind, _, pair = name.partition("/")
        a, b = (getattr(points, part) for part in pair.replace(">", "-").split("-"))
        expected = (
            contrastive(a, b, space=SPACE, logit_scale=20.0)
            if kind == "contrastive"
            else entailment(a, b, curv=0.5)
        )
        torch.testing.assert_close(term, expected)
        assert HySAC().weight(name) == 1.0


def test_each_weight_belongs_to_its_terms() -> None:
    method = HySAC(aligned_weight=2.0, cross_weight=3.0, entailment_weight=5.0, safety_weight=7.0)
    assert {name: method.weight(name) for name in TERMS} == {
        name: getattr(method, field) for name, field in TERMS.items()
    }


@pytest.mark.parametrize(("given", "expected"), [(None, 5.0), (0.0, 0.0), (1.5, 1.5)])
def test_the_safety_weight_is_that_of_the_cones_unless_it_is_given(given: Any, expected: float) -> None:
    method = HySAC(entailment_weight=5.0, safety_weight=given)
    assert method.weight("entailment/safe_image>unsafe_text") == expected
    assert method.weight("entailment/safe_text>safe_image") == 5.0


def test_radial_order_is_off_and_adds_one_term_when_it_is_on() -> None:
    points = random_points(5, 4)
    faithful = terms(HySAC(), points)
    ordered = terms(HySAC(radial_order=0.7, radial_margin=(0.1, 0.2, 0.3)), points)
    assert HySAC().radial_order == 0.0
    assert ordered.keys() - faithful.keys() == {"radial_order"}
    assert all(torch.equal(ordered[name], term) for name, term in faithful.items())
    outwards = (points.safe_text, points.safe_image, points.unsafe_text, points.unsafe_image)
    expected = radial_order([SPACE.root_distance(part) for part in outwards], margin=(0.1, 0.2, 0.3))
    torch.testing.assert_close(ordered["radial_order"], expected)
    assert HySAC(radial_order=0.7).weight("radial_order") == 0.7


def test_the_constants_of_the_cones_reach_the_entailment_terms() -> None:
    points = random_points(5, 4)
    found = terms(HySAC(aperture_scale=0.6, min_radius=0.05), points)
    for name, term in found.items():
        if name.startswith("entailment/"):
            parent, child = (getattr(points, part) for part in name.removeprefix("entailment/").split(">"))
            expected = entailment(parent, child, curv=0.5, min_radius=0.05, aperture_scale=0.6)
            torch.testing.assert_close(term, expected)
            assert float(expected.detach()) != float(entailment(parent, child, curv=0.5).detach())


def test_the_sphere_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"HySAC needs Lorentz space, got sphere"):
        HySAC().terms(random_points(5, 4), space=Sphere(), logit_scale=20.0)


# -- the start -------------------------------------------------------------------------------------------


def test_the_published_start() -> None:
    """c = 1, alpha = dim^-1/2, s = 1/0.07."""
    model = prepared()
    scalars = {name: float(value.detach().exp()) for name, value in model.scalars()}
    assert scalars == pytest.approx(
        {
            "log_curv": 1.0,
            "log_alpha_image": 8**-0.5,
            "log_alpha_text": 8**-0.5,
            "log_logit_scale": 1 / 0.07,
        }
    )
    assert isinstance(model.space, Lorentz)


def test_start_norm_is_the_mean_root_distance_of_both_modalities() -> None:
    features = random_points(50, 8, scale=3.0).map(torch.Tensor.detach)
    features = dataclasses.replace(features, safe_text=5 * features.safe_text)
    model = prepared(features, start_norm=0.45)
    for modality, log_alpha in (("text", model.log_alpha_text), ("image", model.log_alpha_image)):
        parts = [getattr(features, f"{safety}_{modality}") for safety in ("safe", "unsafe")]
        points = model.space.lift(log_alpha.exp() * torch.cat(parts))
        assert float(model.space.root_distance(points).mean().detach()) == pytest.approx(0.45, rel=1e-5)
    assert float(model.log_alpha_text.detach()) < float(model.log_alpha_image.detach())


def test_the_starting_values_are_those_of_the_settings() -> None:
    model = prepared(curv=0.3, logit_scale=42.0)
    assert float(model.log_curv.detach()) == pytest.approx(math.log(0.3))
    assert float(model.logit_scale.detach()) == pytest.approx(42.0)


@pytest.mark.parametrize("learn", [True, False])
def test_curvature_is_learned_or_fixed(learn: bool) -> None:
    model = prepared(learn_curv=learn)
    assert model.log_curv.requires_grad == learn
    assert model.log_alpha_text.requires_grad
    assert model.log_logit_scale.requires_grad


def test_adapters_are_added_with_the_published_settings_unless_the_towers_are_trained() -> None:
    assert not has_lora(prepared(lora_rank=None))
    model = prepared(lora_rank=3, lora_alpha=2, lora_dropout=0.25)
    assert has_lora(model)
    config = model.clip.peft_config["default"]
    assert (config.r, config.lora_alpha, config.lora_dropout, config.bias) == (3, 2, 0.25, "none")
    default = HySAC()
    assert (default.lora_rank, default.lora_alpha, default.lora_dropout) == (16, 1, 0.1)


def test_prepare_changes_no_feature() -> None:
    ids, mask = tiny_model().tokenizer(["a man with a gun"])
    with torch.no_grad():
        before = tiny_model().features_of_tokens(ids, mask)
        for rank in (None, 2):
            after = prepared(lora_rank=rank).eval().features_of_tokens(ids, mask)
            torch.testing.assert_close(after, before, rtol=0, atol=1e-6)
    assert before.shape == (1, TINY.projection)
