"""The released traversal of HySAC, reproduced, and where ours differs from it on purpose."""

import json
from pathlib import Path

import pytest
import torch
from moderation_samples import sample_bounds
from torch import Tensor

from hyperaware.geometry.space import Lorentz
from hyperaware.moderation.redirect import published_traversal, redirect

# Name in the golden file -> its queries, the class whose 95th percentile is the bound, the two modalities.
TARGETS = {
    "img": ("txt_unsafe", "V", "text", "image"),
    "txt": ("img_unsafe", "S", "image", "text"),
}


@pytest.fixture(scope="module")
def published_bounds(fixtures: Path) -> dict[str, dict[str, float]]:
    return json.loads((fixtures / "hysac_bounds.json").read_text())


@pytest.mark.parametrize("alpha", [0.0, 0.8, 2.0])
@pytest.mark.parametrize("target", TARGETS)
def test_the_released_rule_is_reproduced(
    target: str, alpha: float, golden: dict[str, Tensor], published_bounds: dict[str, dict[str, float]]
) -> None:
    queries, letter = TARGETS[target][:2]
    moved = published_traversal(
        golden[queries], bound=published_bounds[letter]["up_95"], curv=float(golden["curv"]), alpha=alpha
    )
    torch.testing.assert_close(moved, golden[f"traverse_{target}_a{alpha}"], rtol=0, atol=2e-5)
    moves = not torch.equal(moved, golden[queries])
    assert moves == (alpha > 0)  # for alpha = 0 the boundary lies beyond all eight queries


@pytest.mark.parametrize("target", TARGETS)
def test_ours_lands_at_the_stated_distance_and_the_released_rule_short_of_it(
    target: str, golden: dict[str, Tensor]
) -> None:
    """The released rule sets a norm where a geodesic distance was meant: at c = 0.7, 1.0975 ends at 0.98."""
    name, _, query_modality, target_modality = TARGETS[target]
    queries, space = golden[name], Lorentz(float(golden["curv"]))
    released = golden[f"traverse_{target}_a0.8"]
    tau = released.norm(dim=-1)
    torch.testing.assert_close(tau, tau[:1].expand(8))
    bounds = sample_bounds(
        trigger={"text": float(tau[0]), "image": float(tau[0])},
        landing={"text": float(tau[0]), "image": float(tau[0])},
    )
    ours = redirect(
        queries, space=space, bounds=bounds, query_modality=query_modality, target_modality=target_modality
    )
    assert bool(ours.triggered.all())
    torch.testing.assert_close(space.root_distance(ours.points), tau, rtol=1e-5, atol=0)
    assert bool((space.root_distance(released) < tau - 0.09).all())
    assert bool(((ours.points - released).norm(dim=-1) > 0.09).all())
