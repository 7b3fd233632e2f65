"""The losses and gradients of published HySAC, on its own points, in float64.

`hysac_scalars.json` holds the float32 logarithms of the golden model, widened to float64. golden.npz rounds
their exponentials to float32, which would cost the contrastive losses eight digits. They were read by

    weights = torch.load("hysac_model.pth", weights_only=True)
    [weights[name].item() for name in ("curv", "logit_scale", "visual_alpha", "textual_alpha")]
"""

import json
from pathlib import Path

import pytest
import torch
from torch import Tensor

from hyperaware.data.quadruplet import Quadruplet
from hyperaware.geometry.space import Lorentz
from hyperaware.methods.hysac import HySAC

Golden = dict[str, Tensor]

# Our part of a quadruplet -> the name of its points, and its letter in the names of the losses.
PARTS = {
    "safe_text": "txt_safe",
    "safe_image": "img_safe",
    "unsafe_text": "txt_unsafe",
    "unsafe_image": "img_unsafe",
}
LOSSES = {
    "contrastive/safe_text-safe_image": ("loss_contrast_S_V", 1e-12),
    "contrastive/unsafe_text-unsafe_image": ("loss_contrast_U_G", 1e-12),
    "contrastive/safe_text-unsafe_image": ("loss_contrast_S_G", 1e-12),
    "contrastive/unsafe_text-safe_image": ("loss_contrast_U_V", 1e-12),
    "entailment/safe_text>safe_image": ("loss_entail_S_V", 5e-6),
    "entailment/unsafe_text>unsafe_image": ("loss_entail_U_G", 5e-6),
    "entailment/safe_image>unsafe_text": ("loss_entail_V_U", 5e-6),
}


class Leaves:
    """The points and the two logarithms as leaves, and the terms of HySAC on them."""

    def __init__(self, golden: Golden, scalars: dict[str, float]) -> None:
        self.points = {part: golden[name].double().requires_grad_() for part, name in PARTS.items()}
        self.log_curv = torch.tensor(scalars["log_curv"], dtype=torch.float64, requires_grad=True)
        self.log_logit_scale = torch.tensor(
            scalars["log_logit_scale"], dtype=torch.float64, requires_grad=True
        )
        self.method = HySAC()
        self.terms = self.method.terms(
            Quadruplet(**self.points),
            space=Lorentz(self.log_curv.exp()),
            logit_scale=self.log_logit_scale.exp(),
        )


@pytest.fixture(scope="module")
def scalars(fixtures: Path) -> dict[str, float]:
    return json.loads((fixtures / "hysac_scalars.json").read_text())


@pytest.fixture(scope="module")
def leaves(golden: Golden, scalars: dict[str, float]) -> Leaves:
    """With gradients of the published total: the mean of the seven terms, divided by seven once more."""
    leaves = Leaves(golden, scalars)
    (torch.stack(list(leaves.terms.values())).sum() / 49).backward()
    return leaves


def test_the_scalars_are_those_of_the_golden_file(golden: Golden, scalars: dict[str, float]) -> None:
    for name in ("curv", "logit_scale"):
        exponential = torch.tensor(scalars[f"log_{name}"], dtype=torch.float64).exp()
        torch.testing.assert_close(exponential.float(), golden[name], rtol=1e-7, atol=0)


def test_the_terms_are_the_seven_published_ones(leaves: Leaves) -> None:
    assert list(leaves.terms) == list(LOSSES)


@pytest.mark.parametrize("term", LOSSES)
def test_each_loss(term: str, leaves: Leaves, golden: Golden) -> None:
    name, tolerance = LOSSES[term]
    ours = leaves.terms[term]
    assert ours.dtype == golden[name].dtype == torch.float64
    torch.testing.assert_close(ours.detach(), golden[name], rtol=0, atol=tolerance)


def test_the_total(leaves: Leaves, golden: Golden) -> None:
    weighted = sum(leaves.method.weight(name) * term for name, term in leaves.terms.items())
    torch.testing.assert_close(weighted.detach() / 49, golden["loss_total_reference"], rtol=0, atol=5e-7)


@pytest.mark.parametrize("part", PARTS)
def test_each_gradient(part: str, leaves: Leaves, golden: Golden) -> None:
    published = golden[f"grad_{PARTS[part]}"]
    tolerance = 1e-6 * float(published.abs().max())
    torch.testing.assert_close(leaves.points[part].grad, published, rtol=0, atol=tolerance)


@pytest.mark.parametrize(("name", "tolerance"), [("log_curv", 1e-7), ("log_logit_scale", 1e-12)])
def test_the_gradients_of_the_scalars(name: str, tolerance: float, leaves: Leaves, golden: Golden) -> None:
    torch.testing.assert_close(getattr(leaves, name).grad, golden[f"grad_{name}"], rtol=0, atol=tolerance)


@pytest.mark.parametrize(("modality", "short"), [("image", "img"), ("text", "txt")])
def test_the_lift(modality: str, short: str, golden: Golden, scalars: dict[str, float]) -> None:
    """x = exp_0(alpha f), in float32 as published."""
    alpha = torch.tensor(scalars[f"log_alpha_{modality}"]).exp()
    space = Lorentz(torch.tensor(scalars["log_curv"]).exp())
    points = space.lift(alpha * golden[f"{short}_safe_euclid"])
    assert points.dtype == torch.float32
    torch.testing.assert_close(points, golden[f"{short}_safe"], rtol=0, atol=2e-5)
