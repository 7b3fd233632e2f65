"""Every formula of `geometry.lorentz`: any batch and dtype, gradients right, and finite everywhere."""

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torch.nn.functional import normalize

from hyperaware.geometry import lorentz

Formula = Callable[..., Tensor]

ONE_POINT: dict[str, Formula] = {
    "time": lorentz.time,
    "exp_map0": lorentz.exp_map0,
    "log_map0": lorentz.log_map0,
    "root_distance": lorentz.root_distance,
    "ball": lorentz.ball,
    "half_aperture": lorentz.half_aperture,
    "move_to": lambda x, c: lorentz.move_to(x, 0.8, c),
}
TWO_POINTS: dict[str, Formula] = {
    "distance": lorentz.distance,
    "exterior_angle": lorentz.exterior_angle,
    "cone_excess": lorentz.cone_excess,
    "geodesic": lambda x, y, c: lorentz.geodesic(x, y, 0.3, c),
}
ALL_PAIRS: dict[str, Formula] = {
    "pairwise_inner": lorentz.pairwise_inner,
    "pairwise_distance": lorentz.pairwise_distance,
}

one_point = pytest.mark.parametrize("formula", ONE_POINT.values(), ids=ONE_POINT.keys())
two_points = pytest.mark.parametrize("formula", TWO_POINTS.values(), ids=TWO_POINTS.keys())
all_pairs = pytest.mark.parametrize("formula", ALL_PAIRS.values(), ids=ALL_PAIRS.keys())
curvatures = pytest.mark.parametrize("curv", [0.1, 1.0, 10.0])
dtypes = pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=["float32", "float64"])


def test_every_formula_is_tried_here() -> None:
    assert {*ONE_POINT, *TWO_POINTS, *ALL_PAIRS} == set(lorentz.__all__)


def draw(*shape: int, seed: int, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).to(dtype)


# Batches


@one_point
def test_one_point_formulas_take_any_batch(formula: Formula) -> None:
    x = draw(2, 3, 4, seed=0)
    loop = torch.stack([torch.stack([formula(point, 0.7) for point in row]) for row in x])
    torch.testing.assert_close(formula(x, 0.7), loop)


@two_points
def test_two_point_formulas_take_any_batch_and_broadcast(formula: Formula) -> None:
    x, y = draw(2, 3, 4, seed=0), draw(3, 4, seed=1)
    loop = torch.stack([torch.stack([formula(a, b, 0.7) for a, b in zip(row, y, strict=True)]) for row in x])
    torch.testing.assert_close(formula(x, y, 0.7), loop)


@all_pairs
def test_pairwise_formulas_are_a_double_loop(formula: Formula) -> None:
    x, y = draw(3, 4, seed=0), draw(5, 4, seed=1)
    loop = torch.cat([torch.cat([formula(a[None], b[None], 0.7) for b in y], dim=1) for a in x])
    torch.testing.assert_close(formula(x, y, 0.7), loop)
    assert formula(x, y[:0], 0.7).shape == (3, 0)


# Dtypes


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_computed_in_float32_and_handed_back(dtype: torch.dtype) -> None:
    x, y = draw(4, 8, seed=0, dtype=dtype) / 2, draw(4, 8, seed=1, dtype=dtype) / 2
    for formula in ONE_POINT.values():
        torch.testing.assert_close(formula(x, 1.0), formula(x.float(), 1.0).to(dtype), rtol=0, atol=0)
    for formula in (*TWO_POINTS.values(), *ALL_PAIRS.values()):
        torch.testing.assert_close(
            formula(x, y, 1.0), formula(x.float(), y.float(), 1.0).to(dtype), rtol=0, atol=0
        )


@dtypes
def test_dtype_is_kept_whatever_the_curvature_is(dtype: torch.dtype) -> None:
    x, y = draw(4, 8, seed=0, dtype=dtype), draw(4, 8, seed=1, dtype=dtype)
    for curv in (1, 1.0, torch.tensor(1.0, dtype=torch.float64), torch.tensor(1.0)):
        assert all(formula(x, curv).dtype == dtype for formula in ONE_POINT.values())
        assert all(formula(x, y, curv).dtype == dtype for formula in TWO_POINTS.values())
        assert all(formula(x, y, curv).dtype == dtype for formula in ALL_PAIRS.values())


def test_nan_is_never_turned_into_a_number() -> None:
    broken, fine = torch.full((1, 3), torch.nan), torch.ones(1, 3)
    for formula in ONE_POINT.values():
        assert formula(broken, 1.0).isnan().all()
    for formula in (*TWO_POINTS.values(), *ALL_PAIRS.values()):
        assert formula(broken, fine, 1.0).isnan().all()
        assert formula(fine, broken, 1.0).isnan().all()


# Gradients


@curvatures
@one_point
def test_gradients_of_one_point_formulas(formula: Formula, curv: float) -> None:
    x = (draw(3, 4, seed=0) / math.sqrt(curv)).requires_grad_()
    assert torch.autograd.gradcheck(formula, (x, torch.tensor(curv, dtype=torch.float64, requires_grad=True)))


@curvatures
@pytest.mark.parametrize("near", [1.0, 1e-2])
@two_points
def test_gradients_of_two_point_formulas(formula: Formula, curv: float, near: float) -> None:
    x = draw(3, 4, seed=0) / math.sqrt(curv)
    y = x + near * draw(3, 4, seed=1) / math.sqrt(curv)
    arguments = (
        x.requires_grad_(),
        y.requires_grad_(),
        torch.tensor(curv, dtype=torch.float64, requires_grad=True),
    )
    assert torch.autograd.gradcheck(formula, arguments, atol=1e-4)


@curvatures
@all_pairs
def test_gradients_of_pairwise_formulas(formula: Formula, curv: float) -> None:
    x, y = ((draw(n, 4, seed=n) / math.sqrt(curv)).requires_grad_() for n in (3, 5))
    assert torch.autograd.gradcheck(
        formula, (x, y, torch.tensor(curv, dtype=torch.float64, requires_grad=True))
    )


@curvatures
@dtypes
def test_gradient_of_the_distance_has_unit_length(curv: float, dtype: torch.dtype) -> None:
    """In the metric of the hyperboloid: |g|² + c (x·g)² = 1 for the gradient g in space coordinates."""
    x = (draw(8, 4, seed=0, dtype=dtype) / math.sqrt(curv)).requires_grad_()
    for step in (1e-5, 1e-2, 1.0):
        y = x.detach() + step * draw(8, 4, seed=1, dtype=dtype) / math.sqrt(curv)
        (gradient,) = torch.autograd.grad(lorentz.distance(x, y, curv).sum(), x)
        length = gradient.square().sum(-1) + curv * (x * gradient).sum(-1).square()
        torch.testing.assert_close(length, torch.ones_like(length), rtol=0, atol=500 * torch.finfo(dtype).eps)


def gradients(formula: Formula, *points: Tensor, curv: float) -> list[Tensor]:
    arguments = [point.clone().requires_grad_() for point in points]
    c = torch.tensor(curv, dtype=points[0].dtype, requires_grad=True)
    result = formula(*arguments, c)
    assert result.isfinite().all()
    return list(torch.autograd.grad(result.sum(), [*arguments, c], allow_unused=True, materialize_grads=True))


@curvatures
@pytest.mark.parametrize("size", [0.0, 1e-30, 1e-21, 1e-12, 1e-6, 1.0, 15.0], ids="r={}".format)
def test_gradients_are_finite_where_formulas_degenerate(size: float, curv: float) -> None:
    """Coincident, opposite, on one ray, at the root, at the aperture's clamp; in float32, the harder case.

    The square of 1e-30 is 0 there, that of 1e-21 a number whose inverse is not finite.
    """
    v = normalize(draw(4, 3, seed=0, dtype=torch.float32), dim=-1)
    x = lorentz.exp_map0(v * size / math.sqrt(curv), curv)
    clamp = 0.2 / math.sqrt(curv) * v
    places = [x, -x, 2 * x, x / 2, torch.zeros_like(x), clamp, x * (1 + 1e-6), x + 1e-25]
    for formula in ONE_POINT.values():
        for place in places:
            assert all(gradient.isfinite().all() for gradient in gradients(formula, place, curv=curv))
    for formula in (*TWO_POINTS.values(), *ALL_PAIRS.values()):
        for place in places:
            for pair in ((x, place), (place, x)):
                assert all(gradient.isfinite().all() for gradient in gradients(formula, *pair, curv=curv))


@curvatures
@dtypes
def test_gradients_stay_moderate_just_outside_the_aperture_clamp(dtype: torch.dtype, curv: float) -> None:
    """asin has an infinite slope at 1; in the last float before it the slope is 1/sqrt(eps)."""
    edge = torch.tensor([[0.2 / math.sqrt(curv)]], dtype=dtype)
    for factor in (1.0, 1 + 4 * torch.finfo(dtype).eps, 1 + 1e-4):
        (slope, _) = gradients(lorentz.half_aperture, edge * factor, curv=curv)
        assert slope.abs().item() <= 10 * math.sqrt(curv) / math.sqrt(torch.finfo(dtype).eps)


def test_published_distance_has_no_gradient_at_coincident_points() -> None:
    """The fault that ours mends: in float32 the guard 1 + 1e-8 is 1, where arcosh has an infinite slope."""
    x = torch.tensor([[3.0, 4.0]], requires_grad=True)
    time = (1 + x.square().sum(-1)).sqrt()
    published = torch.acosh(torch.clamp(time * time - (x * x).sum(-1), min=1 + 1e-8))
    (broken,) = torch.autograd.grad(published.sum(), x)
    assert not broken.isfinite().all()
    (gradient,) = torch.autograd.grad(lorentz.distance(x, x, 1.0).sum(), x)
    assert gradient.eq(0).all()
