"""What holds for every redirection, over dtype, curvature and scale."""

import pytest
import torch
from moderation_samples import sample_bounds
from torch import Tensor

from hyperaware.geometry.space import Lorentz
from hyperaware.moderation.bounds import Bounds
from hyperaware.moderation.redirect import Redirected, redirect

STRENGTHS = (0.0, 0.1, 0.25, 0.5, 0.9, 1.0)
TOLERANCE = {torch.float32: 3e-6, torch.float64: 1e-14}

pytestmark = [
    pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str),
    pytest.mark.parametrize("curv", [0.1, 1.0, 10.0]),
    pytest.mark.parametrize("scale", [0.01, 1.0, 5.0]),
]


@pytest.fixture
def space(curv: float) -> Lorentz:
    return Lorentz(curv)


@pytest.fixture
def bounds(scale: float) -> Bounds:
    """Above 0.5 scale a text is unsafe; among images it lands at 0.3 scale."""
    return sample_bounds(
        trigger={"text": 0.5 * scale, "image": 0.7 * scale},
        landing={"text": 0.2 * scale, "image": 0.3 * scale},
    )


@pytest.fixture
def queries(space: Lorentz, scale: float, dtype: torch.dtype, generator: torch.Generator) -> Tensor:
    """Forty queries at 0 to 1 times `scale`, the first at the root."""
    features = torch.randn(40, 12, dtype=torch.float64, generator=generator)
    features *= (
        scale * torch.linspace(0, 1, 40, dtype=torch.float64)[:, None] / features.norm(dim=-1, keepdim=True)
    )
    return space.lift(features).to(dtype)


def to_image(queries: Tensor, space: Lorentz, bounds: Bounds, strength: float) -> Redirected:
    return redirect(
        queries, space=space, bounds=bounds, query_modality="text", target_modality="image", strength=strength
    )


def test_no_strength_moves_a_query_outward(queries: Tensor, space: Lorentz, bounds: Bounds) -> None:
    before = space.root_distance(queries)
    slack = TOLERANCE[queries.dtype] * before
    for strength in STRENGTHS:
        result = to_image(queries, space, bounds, strength)
        assert bool((result.root_distance_after <= before).all())
        assert bool((space.root_distance(result.points) <= before + slack).all())


def test_strength_0_is_the_identity(queries: Tensor, space: Lorentz, bounds: Bounds) -> None:
    result = to_image(queries, space, bounds, 0.0)
    assert torch.equal(result.points, queries)
    assert torch.equal(result.root_distance_after, result.root_distance_before)
    assert bool(result.triggered.any())


def test_strength_1_lands_exactly(queries: Tensor, space: Lorentz, bounds: Bounds) -> None:
    result = to_image(queries, space, bounds, 1.0)
    assert 10 < int(result.triggered.sum()) < 30
    landed = space.root_distance(result.points[result.triggered])
    expected = torch.full_like(landed, bounds.landing["image"])
    torch.testing.assert_close(landed, expected, rtol=TOLERANCE[queries.dtype], atol=0)
    assert torch.equal(result.points[~result.triggered], queries[~result.triggered])


def test_points_lie_where_they_are_said_to_lie(queries: Tensor, space: Lorentz, bounds: Bounds) -> None:
    for strength in STRENGTHS:
        result = to_image(queries, space, bounds, strength)
        measured = space.root_distance(result.points)
        torch.testing.assert_close(
            measured, result.root_distance_after, rtol=TOLERANCE[queries.dtype], atol=1e-30
        )


def test_more_strength_is_never_farther_out(queries: Tensor, space: Lorentz, bounds: Bounds) -> None:
    after = torch.stack([to_image(queries, space, bounds, s).root_distance_after for s in STRENGTHS])
    steps = after.diff(dim=0)
    assert bool((steps <= 0).all())
    triggered = to_image(queries, space, bounds, 1.0).triggered
    assert bool((steps[:, triggered] < 0).all())
    assert bool((steps[:, ~triggered] == 0).all())


def test_a_batch_gives_what_its_rows_give(queries: Tensor, space: Lorentz, bounds: Bounds) -> None:
    batch = to_image(queries, space, bounds, 0.7)
    for i in range(len(queries)):
        row = to_image(queries[i : i + 1], space, bounds, 0.7)
        assert bool(row.triggered) == bool(batch.triggered[i])
        torch.testing.assert_close(row.points[0], batch.points[i], rtol=TOLERANCE[queries.dtype], atol=1e-30)


def test_the_direction_stays(queries: Tensor, space: Lorentz, bounds: Bounds) -> None:
    result = to_image(queries, space, bounds, 1.0)
    before, after = (torch.nn.functional.normalize(x[1:].double(), dim=-1) for x in (queries, result.points))
    torch.testing.assert_close(after, before, rtol=0, atol=TOLERANCE[queries.dtype])
    assert torch.equal(result.points[0], queries[0])
