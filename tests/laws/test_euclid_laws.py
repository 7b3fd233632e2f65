"""Flat space: its cones by their published formula, as the limit of the curved ones, and nested."""

import doctest

import pytest
import torch
from torch import Tensor

from hyperaware.geometry import Euclid, Lorentz, euclid, lorentz

SPACE = Euclid()


def points(count: int, *, seed: int, scale: float = 1.0, dim: int = 3) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return scale * torch.randn(count, dim, generator=generator, dtype=torch.float64)


def test_the_doctests() -> None:
    results = doctest.testmod(euclid, extraglobs={"torch": torch})
    assert (results.attempted, results.failed) == (3, 0)


@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e3])
def test_the_exterior_angle_is_the_published_arccos(scale: float) -> None:
    x, y = points(200, seed=0, scale=scale), points(200, seed=1, scale=scale)
    length, other, apart = x.norm(dim=-1), y.norm(dim=-1), (x - y).norm(dim=-1)
    cosine = (other**2 - length**2 - apart**2) / (2 * length * apart)
    torch.testing.assert_close(euclid.exterior_angle(x, y), cosine.acos(), rtol=1e-7, atol=1e-7)


def test_the_exterior_angle_on_the_ray() -> None:
    x = points(50, seed=0)
    zero, half_turn = torch.zeros(50, dtype=torch.float64), torch.full((50,), torch.pi, dtype=torch.float64)
    torch.testing.assert_close(euclid.exterior_angle(x, 1.5 * x), zero, rtol=0, atol=1e-7)
    torch.testing.assert_close(euclid.exterior_angle(x, 0.5 * x), half_turn, rtol=0, atol=1e-7)
    torch.testing.assert_close(euclid.exterior_angle(x, x), zero)
    torch.testing.assert_close(euclid.exterior_angle(0 * x, x), half_turn / 2)


def test_curved_angles_and_distances_become_flat_as_curvature_goes() -> None:
    """The error falls with c itself."""
    x, y = points(100, seed=0), points(100, seed=1)
    errors = []
    for curv in (1e-3, 1e-5):
        angle = (lorentz.exterior_angle(x, y, curv) - euclid.exterior_angle(x, y)).abs().max()
        length = (Lorentz(curv).distance(x, y) - SPACE.distance(x, y)).abs().max()
        errors.append((float(angle), float(length)))
    assert max(errors[1]) < 1e-3
    assert all(near < far / 50 for far, near in zip(*errors, strict=True))


@pytest.mark.parametrize("curv", [0.1, 1.0, 10.0])
def test_apertures_are_those_of_lorentz_with_a_constant_that_shrinks(curv: float) -> None:
    x = points(200, seed=0, scale=0.3)
    curved = lorentz.half_aperture(x, curv, min_radius=0.1 * curv**0.5 / 2)
    torch.testing.assert_close(euclid.half_aperture(x, min_radius=0.1), curved)
    assert bool((curved == torch.pi / 2).any())  # saturated ones are among them


def test_cones_nest() -> None:
    """What is in the cone of a point in my cone is in my cone."""
    x, y, z = (
        points(20_000, seed=seed, dim=2, scale=scale) for seed, scale in ((0, 0.3), (1, 1.0), (2, 3.0))
    )
    chained = (euclid.cone_excess(x, y) <= 0) & (euclid.cone_excess(y, z) <= 0) & (x.norm(dim=-1) > 0.1)
    assert int(chained.sum()) > 20
    assert float(euclid.cone_excess(x, z)[chained].max()) <= 1e-9


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_gradients_are_finite_where_formulas_have_none(dtype: torch.dtype) -> None:
    x = torch.tensor([[0.3, 0.4], [0.0, 0.0], [0.06, 0.08], [0.3, 0.4]], dtype=dtype, requires_grad=True)
    y = torch.tensor([[0.3, 0.4], [0.1, 0.0], [0.5, 0.5], [-0.3, -0.4]], dtype=dtype, requires_grad=True)
    for value in (
        euclid.cone_excess(x, y),
        SPACE.distance(x, y),
        SPACE.similarity(x, y),
        SPACE.root_distance(x),
        SPACE.move_to(x, 0.2),
    ):
        gradients = torch.autograd.grad(value.sum(), (x, y), allow_unused=True, retain_graph=True)
        assert all(bool(g.isfinite().all()) for g in gradients if g is not None)


def test_the_products_are_half_of_what_the_squares_leave() -> None:
    x, y = points(5, seed=0), points(8, seed=1)
    products = SPACE.product_queries(x) @ SPACE.product_items(y).T
    expected = (x.square().sum(-1, keepdim=True) - SPACE.similarity(x, y).square()) / 2
    torch.testing.assert_close(products, expected)


def test_nothing_moves_beyond_the_root() -> None:
    """A distance below 0 is the root, in flat and in curved space: no point turns round."""
    x = torch.tensor([[3.0, 4.0]])
    for space in (Euclid(), Lorentz(0.5)):
        assert space.move_to(x, -1.0).eq(0).all()
