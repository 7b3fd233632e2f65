"""Safe-CLIP's losses, total and gradients as the published loss classes and training step give them."""

import math
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from golden_arrays import SHORT, leaves_of, read_numbers, reference_of
from torch import Tensor

from hyperaware.data.quadruplet import Quadruplet
from hyperaware.geometry.space import Sphere
from hyperaware.methods.safe_clip import SafeCLIP

LOSSES = {
    "preservation/safe_text>safe_text": "loss_text_safe_cos",
    "redirection/unsafe_text>safe_text": "loss_text_unsafe_cos",
    "preservation/safe_image>safe_image": "loss_image_safe_cos",
    "redirection/unsafe_image>safe_image": "loss_image_unsafe_cos",
    "preservation/safe_text>safe_image": "loss_nce_text_safe_vs_ref_image",
    "redirection/unsafe_text>safe_image": "loss_nce_text_unsafe_vs_ref_image",
    "preservation/safe_image>safe_text": "loss_nce_image_safe_vs_ref_text",
    "redirection/unsafe_image>safe_text": "loss_nce_image_unsafe_vs_ref_text",
}


@pytest.fixture(scope="module")
def golden(fixtures: Path) -> dict[str, Tensor]:
    return read_numbers(fixtures / "safe_clip.npz")


@pytest.fixture(scope="module")
def ours(golden: dict[str, Tensor]) -> SimpleNamespace:
    """The terms and the total at the file's logit scale, and the leaves with the gradients of the total."""
    leaves, method = leaves_of(golden), SafeCLIP()
    terms = method.terms(
        Quadruplet(**leaves).map(Sphere().lift),
        space=Sphere(),
        logit_scale=golden["logit_scale"],
        reference=reference_of(golden),
    )
    total = torch.stack([method.weight(name) * term for name, term in terms.items()]).sum()
    total.backward()
    return SimpleNamespace(terms=terms, total=total.detach(), leaves=leaves)


@pytest.mark.parametrize("term", LOSSES)
def test_each_loss(term: str, ours: SimpleNamespace, golden: dict[str, Tensor]) -> None:
    torch.testing.assert_close(ours.terms[term].detach(), golden[LOSSES[term]], rtol=0, atol=1e-9)


def test_the_terms_and_their_weights_are_the_published_eight(
    ours: SimpleNamespace, golden: dict[str, Tensor]
) -> None:
    assert list(ours.terms) == list(LOSSES)
    weights = torch.tensor([SafeCLIP().weight(name) for name in LOSSES], dtype=torch.float64)
    torch.testing.assert_close(weights, golden["weights_normalised"], rtol=1e-12, atol=0)


def test_the_total(ours: SimpleNamespace, golden: dict[str, Tensor]) -> None:
    torch.testing.assert_close(ours.total, golden["loss_total"], rtol=0, atol=1e-9)


@pytest.mark.parametrize("part", SHORT)
def test_each_gradient(part: str, ours: SimpleNamespace, golden: dict[str, Tensor]) -> None:
    published = golden[f"grad_{SHORT[part]}"]
    assert float(published.abs().max()) > 1e-5
    torch.testing.assert_close(ours.leaves[part].grad, published, rtol=0, atol=1e-9)


def test_the_logit_scale_is_that_of_the_file_in_its_float32(golden: dict[str, Tensor]) -> None:
    held = torch.tensor(math.log(SafeCLIP().logit_scale)).exp()
    assert held.dtype == torch.float32
    torch.testing.assert_close(held.double(), golden["logit_scale"], rtol=1e-7, atol=0)
