"""Euclidean HySAC: HySAC's terms in flat space, and a model there that is kept, judged by, redirected."""

import dataclasses
from pathlib import Path
from typing import Any

import pytest
import torch
from model_samples import random_points, random_rows, tiny_model
from torch import Tensor

from hyperaware.errors import ConfigError
from hyperaware.evaluation.embed import embed
from hyperaware.evaluation.examples import Examples
from hyperaware.geometry import Euclid, Lorentz, euclid
from hyperaware.geometry.lorentz import cone_excess
from hyperaware.losses.contrastive import contrastive
from hyperaware.losses.entailment import euclidean_entailment
from hyperaware.methods.euclidean_hysac import EuclideanHySAC
from hyperaware.methods.hysac import HySAC
from hyperaware.models.dual_encoder import DualEncoder
from hyperaware.models.pretrained import load, save
from hyperaware.moderation import bounds as bounds_module
from hyperaware.moderation.redirect import redirect
from hyperaware.training.loop import fit
from hyperaware.training.settings import Settings
from hyperaware.traverse import traversal


def flat(model: DualEncoder | None = None) -> DualEncoder:
    model = tiny_model() if model is None else model
    model.use_euclid(alpha_image=0.6, alpha_text=0.3)
    return model


def detached(count: int = 6) -> Any:
    return random_points(count, 5).map(lambda part: part.detach().double())


# -- the terms -------------------------------------------------------------------------------------------


def test_the_entailment_is_the_mean_excess() -> None:
    parent = torch.tensor([[0.2, 0.0], [0.2, 0.0]])
    child = torch.tensor([[0.4, 0.0], [0.2, 0.3]])  # inside, and at a right angle to a cone of 30 degrees
    assert float(euclidean_entailment(parent, child)) == pytest.approx(torch.pi / 6)


def test_the_terms_are_hysacs_by_straight_distances_and_flat_cones() -> None:
    points = detached()
    found = EuclideanHySAC(aperture_scale=0.8).terms(points, space=Euclid(), logit_scale=7.0)
    assert found.keys() == HySAC().terms(points, space=Lorentz(1.0), logit_scale=7.0).keys()
    for name, term in found.items():
        kind, _, pair = name.partition("/")
        a, b = (getattr(points, part) for part in pair.replace(">", "-").split("-"))
        expected = (
            contrastive(a, b, space=Euclid(), logit_scale=7.0)
            if kind == "contrastive"
            else euclid.cone_excess(a, b, aperture_scale=0.8).clamp(min=0).mean()
        )
        torch.testing.assert_close(term, expected)


def test_it_is_the_limit_of_hysac_without_curvature() -> None:
    """With K sqrt(c)/2 for K, the terms differ by something of the order of c."""
    points, curv = detached(), 1e-8
    ours = EuclideanHySAC().terms(points, space=Euclid(), logit_scale=7.0)
    method = HySAC(min_radius=0.1 * curv**0.5 / 2)
    theirs = method.terms(points, space=Lorentz(curv), logit_scale=7.0)
    for name, term in ours.items():
        torch.testing.assert_close(term, theirs[name], rtol=1e-6, atol=1e-6)
    curved = cone_excess(points.safe_text, points.safe_image, 1.0).clamp(min=0).mean()
    assert abs(float(curved - ours["entailment/safe_text>safe_image"])) > 1e-3  # at c = 1 it is another thing


def test_the_safety_term_has_a_weight_of_its_own() -> None:
    method = EuclideanHySAC(contrastive_weight=2.0, entailment_weight=3.0, safety_weight=0.0)
    weights = {
        name: method.weight(name) for name in method.terms(detached(), space=Euclid(), logit_scale=1.0)
    }
    assert [*weights.values()] == [2.0] * 4 + [3.0] * 2 + [0.0]


def test_another_space_is_refused() -> None:
    with pytest.raises(ConfigError, match="needs flat space, got lorentz"):
        EuclideanHySAC().terms(detached(), space=Lorentz(1.0), logit_scale=1.0)


# -- the model -------------------------------------------------------------------------------------------


def test_points_are_scaled_features_and_alphas_stay_below_one() -> None:
    model = flat()
    assert model.log_alpha_text is not None
    ids, mask = model.tokenizer(["a man with a gun"])
    with torch.no_grad():
        expected = 0.3 * model.features_of_tokens(ids, mask)
        torch.testing.assert_close(model.embed_tokens(ids, mask), expected)
        model.log_alpha_text.fill_(0.5)
    model.constrain()
    assert float(model.log_alpha_text.detach()) == 0.0
    assert {name for name, _ in model.scalars()} == {"log_logit_scale", "log_alpha_image", "log_alpha_text"}


def test_start_norm_is_the_mean_root_distance() -> None:
    model, features = tiny_model(), random_points(40, 8, scale=3.0).map(Tensor.detach)
    EuclideanHySAC(lora_rank=None, start_norm=0.45).prepare(model, features=features)
    assert model.log_alpha_text is not None
    norms = (
        torch.cat([features.safe_text, features.unsafe_text]).norm(dim=-1)
        * model.log_alpha_text.detach().exp()
    )
    assert float(norms.mean()) == pytest.approx(0.45, rel=1e-5)


def test_a_model_in_flat_space_is_the_same_from_its_folder(tmp_path: Path) -> None:
    model = flat()
    save(model, tmp_path)
    again = load(tmp_path)
    assert isinstance(again.space, Euclid)
    assert again.fingerprint == model.fingerprint
    torch.testing.assert_close(again.encode_text("a red ball"), model.encode_text("a red ball"))


def test_a_hyperbolic_model_can_become_flat() -> None:
    model = flat(tiny_model(lorentz=True))
    assert isinstance(model.space, Euclid)
    assert "log_curv" not in model.state_dict()


def test_it_trains_is_watched_measured_and_redirected(tmp_path: Path) -> None:
    rows = random_rows(tmp_path / "rows", 60)
    model = tiny_model()
    examples = Examples(rows, model=model)
    method = EuclideanHySAC(lora_rank=None, learning_rate=1e-2, start_norm=0.5)
    settings = Settings(steps=4, batch_size=4, evaluate_every=2)
    result = fit(
        model, method, train=examples, validation=examples, settings=settings, folder=tmp_path / "run"
    )
    assert 0 <= result.figures["saturated"] <= 1
    assert len(result.figures["root_distance/unsafe_image"]) == 3
    points = embed(model, examples)
    bounds = bounds_module.measure(
        points,
        space=model.space,
        landing=bounds_module.choose_landing(points, space=model.space),
        model_fingerprint=model.fingerprint,
        data_fingerprint="random",
        split="train",
    )
    low = dataclasses.replace(
        bounds, trigger={"text": 0.0, "image": 0.0}, landing={"text": 0.1, "image": 0.1}
    )
    moved = redirect(
        points.unsafe_text, space=model.space, bounds=low, query_modality="text", target_modality="image"
    )
    torch.testing.assert_close(moved.points.norm(dim=-1), torch.full((60,), 0.1))


def test_there_is_no_traversal_without_hyperbolic_cones() -> None:
    with pytest.raises(ConfigError, match="'euclid' has no root to go to, or no cones"):
        traversal(torch.ones(3), space=Euclid())
