"""MERU* and HyCoCLIP*: their losses written out once more, and what they refuse. HySAC's ablations."""

import dataclasses
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from model_samples import CLASSES, random_points, tiny_model
from torch import Tensor

from hyperaware.data.quadruplet import Quadruplet
from hyperaware.errors import ConfigError
from hyperaware.geometry import lorentz
from hyperaware.geometry.space import Lorentz, Sphere
from hyperaware.methods.hycoclip import HyCoCLIP
from hyperaware.methods.hysac import HySAC
from hyperaware.methods.meru import MERU
from hyperaware.models.adapters import has_lora

CURV, SCALE = 0.5, 20.0
SPACE = Lorentz(CURV)


def points(seed: int) -> Quadruplet:
    return random_points(5, 4, seed=seed).map(lambda part: part.detach().double())


def pairs(given: Quadruplet) -> tuple[Tensor, Tensor]:
    """Texts and pictures of 2n plain pairs."""
    return torch.cat([given.safe_text, given.unsafe_text]), torch.cat([given.safe_image, given.unsafe_image])


def asks(queries: Tensor, items: Tensor) -> Tensor:
    logits = -SCALE * lorentz.pairwise_distance(queries, items, CURV)
    return F.cross_entropy(logits, torch.arange(len(queries)))


def outside(parent: Tensor, child: Tensor, scale: float) -> Tensor:
    angle = lorentz.exterior_angle(parent, child, CURV)
    return (angle - scale * lorentz.half_aperture(parent, CURV, min_radius=0.1)).clamp(min=0).mean()


def total(method: Any, given: Quadruplet, **more: Any) -> Tensor:
    terms = method.terms(given, space=SPACE, logit_scale=SCALE, **more)
    return torch.stack([method.weight(name) * term for name, term in terms.items()]).sum()


def test_meru_is_clip_by_distance_and_a_fifth_of_a_cone() -> None:
    text, image = pairs(points(0))
    expected = (asks(text, image) + asks(image, text)) / 2 + 0.2 * outside(text, image, 1.0)
    torch.testing.assert_close(total(MERU(), points(0)), expected)


def test_hycoclip_is_four_directions_and_four_cones() -> None:
    """1/4 of the four cross-entropies; gamma = 0.1 of each cone, eta 0.7 across modalities and 1.2 within."""
    text, image = pairs(points(0))
    box_text, box_image = pairs(points(1))
    asked = asks(text, image) + asks(image, text) + asks(box_image, text) + asks(box_text, image)
    cones = outside(text, image, 0.7) + outside(box_text, box_image, 0.7)
    cones = cones + outside(box_image, image, 1.2) + outside(box_text, text, 1.2)
    found = total(HyCoCLIP(), points(0), boxes=points(1))
    torch.testing.assert_close(found, asked / 4 + 0.1 * cones)
    assert not torch.allclose(total(HyCoCLIP(), points(0), boxes=points(2)), found)


def test_a_box_is_no_negative_of_another_one() -> None:
    """What one box is does not touch the gradients of the other boxes."""

    def gradients(boxes: Quadruplet) -> Tensor:
        boxes = boxes.map(lambda part: part.clone().requires_grad_())
        terms = HyCoCLIP().terms(points(0), space=SPACE, logit_scale=SCALE, boxes=boxes)
        terms["contrastive/box_text>image"].backward()
        assert boxes.safe_text.grad is not None
        return boxes.safe_text.grad

    other = dataclasses.replace(
        points(1), safe_text=torch.cat([points(2).safe_text[:1], points(1).safe_text[1:]])
    )
    before, after = gradients(points(1)), gradients(other)
    assert not torch.allclose(after[0], before[0])
    torch.testing.assert_close(after[1:], before[1:])


@pytest.mark.parametrize("method", [MERU(lora_rank=2), HyCoCLIP(lora_rank=2)], ids=lambda method: method.name)
def test_the_start_is_hysacs(method: Any) -> None:
    ours, theirs = tiny_model(), tiny_model()
    features = random_points(6, ours.dim)
    method.prepare(ours, features=features)
    HySAC(lora_rank=2).prepare(theirs, features=features)
    assert {n: float(p.detach()) for n, p in ours.scalars()} == {
        n: float(p.detach()) for n, p in theirs.scalars()
    }
    assert has_lora(ours)


@pytest.mark.parametrize("method", [MERU(), HyCoCLIP()], ids=lambda method: method.name)
def test_the_sphere_is_refused(method: Any) -> None:
    more = {"boxes": points(1)} if method.name == "hycoclip" else {}
    with pytest.raises(ConfigError, match="needs Lorentz space, got sphere"):
        method.terms(points(0), space=Sphere(), logit_scale=SCALE, **more)


def test_hycoclip_without_boxes_refuses() -> None:
    with pytest.raises(ConfigError, match="needs the points of a box of each picture"):
        HyCoCLIP().terms(points(0), space=SPACE, logit_scale=SCALE)


# -- HySAC's ablations (its tables 3 and 10) ---------------------------------------------------------------

CONTRASTIVE = {
    f"contrastive/{pair}"
    for pair in (
        "safe_text-safe_image",
        "unsafe_text-unsafe_image",
        "safe_text-unsafe_image",
        "unsafe_text-safe_image",
    )
}
CONES = {"entailment/safe_text>safe_image", "entailment/unsafe_text>unsafe_image"}
SAFETY = {"entailment/safe_image>unsafe_text"}
ABLATIONS = {
    "no entailment": ({"entailment_weight": 0.0}, CONTRASTIVE),
    "no safety term": ({"safety_weight": 0.0}, CONTRASTIVE | CONES),
    "whole": ({}, CONTRASTIVE | CONES | SAFETY),
}


@pytest.mark.parametrize("name", ABLATIONS)
def test_an_ablation_trains_by_the_remaining_terms_alone(name: str) -> None:
    settings, remaining = ABLATIONS[name]
    leaves, others = random_points(5, 4), random_points(5, 4)
    total(HySAC(**settings), leaves).backward()
    terms = HySAC().terms(others, space=SPACE, logit_scale=SCALE)
    assert len(remaining & terms.keys()) == len(remaining)
    torch.stack([terms[term] for term in sorted(remaining)]).sum().backward()
    for part in CLASSES:
        torch.testing.assert_close(getattr(leaves, part).grad, getattr(others, part).grad)


@pytest.mark.parametrize("scale", [0.25, 0.5, 1.5])
def test_the_aperture_scale_acts_on_every_cone_and_on_nothing_else(scale: float) -> None:
    given = points(0)
    whole = HySAC().terms(given, space=SPACE, logit_scale=SCALE)
    scaled = HySAC(aperture_scale=scale).terms(given, space=SPACE, logit_scale=SCALE)
    assert {name for name in whole if float(whole[name]) != float(scaled[name])} == CONES | SAFETY
    for name in CONES | SAFETY:
        assert (float(scaled[name]) > float(whole[name])) == (scale < 1)
