"""What `Space` promises about order and distance, tried on points that Hypothesis picks."""

import math

import hypothesis.extra.numpy as arrays
import hypothesis.strategies as st
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from torch import Tensor

from hyperaware.geometry import Lorentz, Sphere, lorentz

CURVATURES = st.sampled_from([0.1, 1.0, 10.0])
COORDINATES = st.floats(-3, 3, allow_subnormal=False).map(lambda value: round(value, 6))


def rows(count: int) -> st.SearchStrategy[Tensor]:
    return arrays.arrays(np.float64, (count, 3), elements=COORDINATES).map(torch.from_numpy)


repeatable = settings(derandomize=True, deadline=None, max_examples=100, database=None)


@repeatable
@given(queries=rows(4), items=rows(8), curv=CURVATURES)
def test_order_of_products_is_the_hyperbolic_order(queries: Tensor, items: Tensor, curv: float) -> None:
    """Items in the order of their distance have falling products, up to the rounding of the products."""
    space = Lorentz(curv)
    products = space.product_queries(queries) @ space.product_items(items).T
    nearest_first = space.similarity(queries, items).argsort(dim=1, descending=True)
    falling = products.gather(1, nearest_first).diff(dim=1)
    rounding = 1e-14 * lorentz.time(queries, curv)[:, None] * lorentz.time(items, curv).max()
    assert (falling <= rounding).all()


@repeatable
@given(queries=rows(4), items=rows(8), curv=CURVATURES)
def test_products_are_minus_the_cosh_of_the_distance(queries: Tensor, items: Tensor, curv: float) -> None:
    space = Lorentz(curv)
    products = space.product_queries(queries) @ space.product_items(items).T
    cosh = torch.cosh(-math.sqrt(curv) * space.similarity(queries, items))
    torch.testing.assert_close(-curv * products, cosh, rtol=1e-12, atol=1e-12)


@repeatable
@given(x=rows(6), y=rows(6), curv=CURVATURES)
def test_ball_is_the_poincare_ball(x: Tensor, y: Tensor, curv: float) -> None:
    """sinh²(sqrt(c) d/2) = |u - w|² / ((1 - |u|²)(1 - |w|²))."""
    space = Lorentz(curv)
    u, w = space.ball(x), space.ball(y)
    left_u, left_w = (1 - ball.square().sum(-1) for ball in (u, w))
    assert (left_u > 0).all()
    expected = torch.sinh(math.sqrt(curv) * space.distance(x, y) / 2)
    torch.testing.assert_close(
        (u - w).norm(dim=-1) / (left_u * left_w).sqrt(), expected, rtol=1e-10, atol=1e-10
    )


@repeatable
@given(queries=rows(4), items=rows(8), curv=CURVATURES, root_distance=st.floats(0.1, 3))
def test_order_in_the_ball_is_exact_at_one_root_distance(
    queries: Tensor, items: Tensor, curv: float, root_distance: float
) -> None:
    space = Lorentz(curv)
    items = space.move_to(items + 1e-3, root_distance)
    nearest_first = space.similarity(queries, items).argsort(dim=1, descending=True)
    in_ball = torch.cdist(space.ball(queries), space.ball(items), compute_mode="donot_use_mm_for_euclid_dist")
    assert (in_ball.gather(1, nearest_first).diff(dim=1) >= -1e-12).all()


@repeatable
@given(features=rows(6), curv=CURVATURES)
def test_lift_turns_length_into_root_distance(features: Tensor, curv: float) -> None:
    space = Lorentz(curv)
    features = features / math.sqrt(curv)
    torch.testing.assert_close(space.root_distance(space.lift(features)), features.norm(dim=-1))


@repeatable
@given(x=rows(5), y=rows(5))
def test_distance_on_the_sphere_is_the_angle_of_the_cosine(x: Tensor, y: Tensor) -> None:
    space = Sphere()
    x, y = space.lift(x + 4), space.lift(y - torch.tensor([0.0, 4.0, -4.0]))
    cosine = space.similarity(x, y)
    torch.testing.assert_close(space.distance(x[:, None], y).cos(), cosine, rtol=0, atol=1e-14)
    torch.testing.assert_close(space.distance(x, -x), torch.full((5,), math.pi, dtype=torch.float64))
    assert space.distance(x, x.clone()).eq(0).all()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("angle", [1e-6, 1e-3, 1.0, 3.0])
def test_small_angles_on_the_sphere_survive(angle: float, dtype: torch.dtype) -> None:
    x = torch.tensor([[1.0, 0.0]], dtype=dtype)
    y = torch.tensor([[math.cos(angle), math.sin(angle)]], dtype=dtype)
    assert Sphere().distance(x, y).item() == pytest.approx(angle, rel=1e-6)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_lifted_onto_the_sphere_in_float32(dtype: torch.dtype) -> None:
    features = torch.randn(50, 8, generator=torch.Generator().manual_seed(0)).to(dtype)
    assert Sphere().lift(features).equal(Sphere().lift(features.float()).to(dtype))


def test_rounding_does_not_disturb_the_order_in_float32() -> None:
    """The nearest of 1000 items by product in float32 is the nearest by distance in float64, within 1e-6."""
    generator = torch.Generator().manual_seed(0)
    space = Lorentz(1.0)
    queries, items = (space.lift(torch.randn(n, 16, generator=generator) / 4) for n in (50, 1000))
    nearest = (space.product_queries(queries) @ space.product_items(items).T).argmax(dim=1)
    distances = -space.similarity(queries.double(), items.double())
    lost = distances.gather(1, nearest[:, None]).squeeze(1) - distances.amin(dim=1)
    assert lost.max() < 1e-6
