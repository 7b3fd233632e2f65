"""What must hold in hyperbolic space, whatever the dtype, the curvature and the distance from the root.

`Setting.scale` is sqrt(c) * root distance, so that one value means the same geometry at every curvature. A
point far out is only known up to the rounding of its coordinates, eps |x|: `Setting.rounding` is that length,
and laws about given coordinates are held to a few of it.
"""

import math
from dataclasses import dataclass

import pytest
import torch
from torch import Tensor
from torch.nn.functional import normalize
from torch.utils._python_dispatch import TorchDispatchMode

from hyperaware.geometry import lorentz


@dataclass(frozen=True)
class Setting:
    """Where a law is tried."""

    dtype: torch.dtype
    curv: float
    scale: float

    @property
    def radius(self) -> float:
        return self.scale / math.sqrt(self.curv)

    @property
    def eps(self) -> float:
        return torch.finfo(self.dtype).eps

    @property
    def rounding(self) -> float:
        return self.eps * math.sinh(self.scale) / math.sqrt(self.curv)

    def tangents(self, seed: int, n: int = 32, d: int = 5) -> Tensor:
        """Random directions, lengths from half to once the radius."""
        generator = torch.Generator().manual_seed(seed)
        direction = normalize(torch.randn(n, d, generator=generator, dtype=torch.float64), dim=-1)
        length = self.radius * (0.5 + 0.5 * torch.rand(n, 1, generator=generator, dtype=torch.float64))
        return (direction * length).to(self.dtype)

    def points(self, seed: int, n: int = 32, d: int = 5) -> Tensor:
        return lorentz.exp_map0(self.tangents(seed, n, d), self.curv)


@pytest.fixture(params=[torch.float32, torch.float64], ids=["float32", "float64"])
def dtype(request: pytest.FixtureRequest) -> torch.dtype:
    return request.param


@pytest.fixture(params=[0.1, 1.0, 10.0], ids="c={}".format)
def curv(request: pytest.FixtureRequest) -> float:
    return request.param


@pytest.fixture(params=[1e-6, 1e-2, 1.0, 5.0], ids="r={}".format)
def at(request: pytest.FixtureRequest, dtype: torch.dtype, curv: float) -> Setting:
    return Setting(dtype, curv, request.param)


def close(result: Tensor, expected: Tensor | float, *, relative: float = 0.0, absolute: float = 0.0) -> None:
    expected = torch.as_tensor(expected, dtype=result.dtype).expand_as(result)
    torch.testing.assert_close(result, expected, rtol=relative, atol=absolute)


# Points


def test_log_map0_undoes_exp_map0(at: Setting) -> None:
    v = at.tangents(0)
    close(lorentz.log_map0(lorentz.exp_map0(v, at.curv), at.curv), v, relative=8 * at.eps)


def test_exp_map0_undoes_log_map0(at: Setting) -> None:
    x = at.points(0)
    back = lorentz.exp_map0(lorentz.log_map0(x, at.curv), at.curv)
    close(back, x, relative=8 * at.eps * (1 + at.scale))


def test_root_distance_of_exp_map0_is_the_length_of_the_tangent(at: Setting) -> None:
    v = at.tangents(0)
    close(lorentz.root_distance(lorentz.exp_map0(v, at.curv), at.curv), v.norm(dim=-1), relative=8 * at.eps)


def test_points_lie_on_the_hyperboloid(at: Setting) -> None:
    x = at.points(0)
    t = lorentz.time(x, at.curv)
    close(t.square() - x.square().sum(-1), 1 / at.curv, absolute=8 * at.eps * t.square().max().item())


def test_exp_map0_stops_before_float32_overflows(dtype: torch.dtype, curv: float) -> None:
    x = lorentz.exp_map0(torch.tensor([[1e3, 0.0], [1e30, 0.0]], dtype=dtype), curv)
    limit = lorentz.MAX_ROOT_DISTANCE / math.sqrt(curv)
    close(lorentz.root_distance(x[:1], curv), limit, relative=1e-5)
    assert lorentz.distance(x[0], -x[0], curv) == pytest.approx(2 * limit, rel=1e-5)


# Distances


def test_distance_is_symmetric(at: Setting) -> None:
    x, y = at.points(0), at.points(1)
    close(lorentz.distance(x, y, at.curv), lorentz.distance(y, x, at.curv), relative=8 * at.eps)


def test_distance_to_itself_is_exactly_zero(at: Setting) -> None:
    x = at.points(0)
    assert lorentz.distance(x, x.clone(), at.curv).eq(0).all()
    assert lorentz.pairwise_distance(x, x.clone(), at.curv).diagonal().eq(0).all()


def test_distance_of_different_points_is_positive(at: Setting) -> None:
    x = at.points(0)
    assert lorentz.distance(x, x * (1 + 4 * at.eps), at.curv).gt(0).all()


def test_triangle_inequality(at: Setting) -> None:
    x, y, z = (at.points(seed) for seed in range(3))
    detour = lorentz.pairwise_distance(x, y, at.curv)[:, :, None] + lorentz.pairwise_distance(y, z, at.curv)
    direct = lorentz.pairwise_distance(x, z, at.curv)[:, None, :]
    assert (direct <= detour + 16 * at.rounding).all()


def test_distance_to_the_root_is_root_distance(at: Setting) -> None:
    x = at.points(0)
    close(
        lorentz.distance(x, torch.zeros_like(x), at.curv),
        lorentz.root_distance(x, at.curv),
        relative=8 * at.eps,
    )


def test_pairwise_distance_is_distance_of_every_pair(at: Setting) -> None:
    x, y = at.points(0, n=7), torch.cat([at.points(1, n=4), at.points(0, n=7)])
    row_wise = lorentz.distance(x[:, None], y, at.curv)
    close(lorentz.pairwise_distance(x, y, at.curv), row_wise, relative=8 * at.eps, absolute=4 * at.rounding)


def test_distance_on_one_ray_is_the_difference_of_root_distances(at: Setting) -> None:
    v = at.tangents(0).double()
    x, y = (lorentz.exp_map0(v * factor, at.curv).to(at.dtype) for factor in (0.6, 1.0))
    expected = lorentz.root_distance(y, at.curv) - lorentz.root_distance(x, at.curv)
    close(lorentz.distance(x, y, at.curv), expected, relative=4 * at.eps * (1 + math.exp(0.6 * at.scale)))


def test_inner_product_is_minus_the_cosh_of_the_distance(at: Setting) -> None:
    x, y = at.points(0), at.points(1)
    cosh = torch.cosh(math.sqrt(at.curv) * lorentz.pairwise_distance(x, y, at.curv))
    inner = -at.curv * lorentz.pairwise_inner(x, y, at.curv)
    close(inner, cosh, absolute=16 * at.eps * math.cosh(at.scale) ** 2)


def test_small_distances_survive_float32(curv: float) -> None:
    """Against float64 on the same coordinates; the published arcosh knows nothing below 3e-4."""
    at = Setting(torch.float32, curv, 1.0)
    x = at.points(0)
    for step in (1e-6, 1e-4, 1e-2):
        y = x + step * at.points(1)
        expected = lorentz.distance(x.double(), y.double(), curv)
        close(lorentz.distance(x, y, curv).double(), expected, relative=1e-6)
        close(lorentz.pairwise_distance(x, y, curv).diagonal().double(), expected, absolute=4 * at.rounding)


def test_pairwise_distance_makes_nothing_larger_than_its_result() -> None:
    class Largest(TorchDispatchMode):
        numel = 0

        def __torch_dispatch__(self, function, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]
            result = function(*args, **(kwargs or {}))
            outputs = result if isinstance(result, tuple) else (result,)
            self.numel = max([self.numel, *(x.numel() for x in outputs if isinstance(x, Tensor))])
            return result

    x, y = torch.randn(50, 16, requires_grad=True), torch.randn(60, 16, requires_grad=True)
    with Largest() as largest:
        lorentz.pairwise_distance(x, y, 1.0).sum().backward()
    assert largest.numel == 50 * 60


# Motion


def test_move_to_lands_at_the_stated_distance_on_the_same_ray(at: Setting) -> None:
    x = at.points(0)
    moved = lorentz.move_to(x, 0.7 * at.radius, at.curv)
    close(lorentz.root_distance(moved, at.curv), 0.7 * at.radius, relative=8 * at.eps)
    norm = math.sinh(0.7 * at.scale) / math.sqrt(at.curv)
    close(moved.norm(dim=-1), norm, relative=16 * at.eps * (1 + at.scale))
    close(normalize(moved, dim=-1), normalize(x, dim=-1), absolute=8 * at.eps)


def test_move_to_takes_a_distance_for_every_row(at: Setting) -> None:
    x = at.points(0).reshape(4, 8, 5)
    distances = torch.linspace(0, at.radius, 32, dtype=at.dtype).reshape(4, 8)
    moved = lorentz.move_to(x, distances, at.curv)
    close(lorentz.root_distance(moved, at.curv), distances, relative=16 * at.eps)
    path = lorentz.move_to(x[0, 0], distances[1], at.curv)
    close(lorentz.root_distance(path, at.curv), distances[1], relative=16 * at.eps)


def test_move_to_leaves_the_root_where_it_is(dtype: torch.dtype, curv: float) -> None:
    assert lorentz.move_to(torch.zeros(2, 3, dtype=dtype), 1.5, curv).eq(0).all()


def test_geodesic_starts_and_ends_exactly(at: Setting) -> None:
    x, y = at.points(0), at.points(1)
    assert torch.equal(lorentz.geodesic(x, y, 0.0, at.curv), x)
    assert torch.equal(lorentz.geodesic(x, y, 1.0, at.curv), y)


def test_geodesic_has_constant_speed(at: Setting) -> None:
    x, y = at.points(0), at.points(1)
    t = torch.tensor([0.0, 0.1, 0.35, 0.5, 0.9, 1.0], dtype=at.dtype).unsqueeze(1)
    path = lorentz.geodesic(x, y, t, at.curv)
    steps = lorentz.distance(path[:-1], path[1:], at.curv)
    expected = t.diff(dim=0) * lorentz.distance(x, y, at.curv)
    close(steps, expected, relative=1e2 * at.eps, absolute=16 * at.rounding)


def test_geodesic_between_near_points_is_their_segment(at: Setting) -> None:
    x = at.points(0)
    y = x * (1 + 1e-5)
    middle = lorentz.geodesic(x, y, 0.5, at.curv)
    close(middle, (x + y) / 2, absolute=4 * at.rounding + 1e-9 * at.radius * math.cosh(at.scale) ** 2)
    close(lorentz.geodesic(x, x.clone(), 0.3, at.curv), x, relative=4 * at.eps)


def test_geodesic_from_the_root_is_the_ray(at: Setting) -> None:
    x = at.points(0)
    path = lorentz.geodesic(torch.zeros_like(x), x, 0.4, at.curv)
    expected = lorentz.move_to(x, 0.4 * lorentz.root_distance(x, at.curv), at.curv)
    close(path, expected, relative=16 * at.eps * (1 + at.scale))


# Cones


def test_exterior_angle_on_the_ray(at: Setting) -> None:
    x = at.points(0)
    r = lorentz.root_distance(x, at.curv)
    beyond, before = (lorentz.move_to(x, factor * r, at.curv) for factor in (1.5, 0.5))
    close(lorentz.exterior_angle(x, beyond, at.curv), 0.0, absolute=32 * at.eps * math.exp(1.5 * at.scale))
    close(lorentz.exterior_angle(x, before, at.curv), math.pi, absolute=32 * at.eps * math.exp(at.scale))
    assert (lorentz.cone_excess(x, beyond, at.curv) <= 0).all()
    assert (lorentz.cone_excess(x, before, at.curv) > 0).all()


@pytest.mark.parametrize("scale", [0.5, 1.0, 2.0])
def test_exterior_angle_is_the_published_arccos(curv: float, scale: float) -> None:
    """acos((y_t + x_t k) / (|x| sqrt(k² - 1))), k = c<x, y>, in float64 and without its added constants."""
    at = Setting(torch.float64, curv, scale)
    x, y = at.points(0), at.points(1)
    k = curv * ((x * y).sum(-1) - lorentz.time(x, curv) * lorentz.time(y, curv))
    cosine = (lorentz.time(y, curv) + lorentz.time(x, curv) * k) / (x.norm(dim=-1) * (k * k - 1).sqrt())
    close(lorentz.exterior_angle(x, y, curv), cosine.acos(), absolute=1e-12)


def test_law_of_sines(at: Setting) -> None:
    """sin(angle at x) / sinh(sqrt(c) |root y|) is the same at y: an oracle that needs no arccos."""
    x, y = at.points(0), at.points(1)
    at_x, at_y = lorentz.exterior_angle(x, y, at.curv).sin(), lorentz.exterior_angle(y, x, at.curv).sin()
    size = math.sinh(at.scale) / math.sqrt(at.curv)
    left, right = at_x * x.norm(dim=-1) / size, at_y * y.norm(dim=-1) / size
    close(left, right, absolute=32 * at.eps)


def test_angles_of_a_triangle_leave_the_root_less_than_pi(at: Setting) -> None:
    """interior(x) + interior(y) + angle at the root = pi - c area; the area is 0 where space is flat."""
    x, y = at.points(0), at.points(1)
    exterior = lorentz.exterior_angle(x, y, at.curv) + lorentz.exterior_angle(y, x, at.curv)
    a, b = normalize(x, dim=-1), normalize(y, dim=-1)
    at_root = 2 * torch.atan2((a - b).norm(dim=-1), (a + b).norm(dim=-1))
    defect = exterior - at_root - math.pi
    assert (defect > -32 * at.eps).all()
    assert (defect < at.scale**2 / 2 + 32 * at.eps).all()


def test_every_point_of_a_geodesic_is_seen_at_one_angle(at: Setting) -> None:
    x, y = at.points(0), at.points(1)
    middle = lorentz.geodesic(x, y, 0.5, at.curv)
    expected = lorentz.exterior_angle(x, y, at.curv)
    tolerance = 1e2 * at.eps * math.cosh(at.scale)
    close(lorentz.exterior_angle(x, middle, at.curv), expected, absolute=tolerance)


def test_cones_nest(curv: float, dtype: torch.dtype) -> None:
    """z in the cone at y, y in the cone at x: z is in the cone at x."""
    at = Setting(dtype, curv, 1.0)
    x = at.points(0, n=120, d=2)
    y = lorentz.move_to(at.points(1, n=120, d=2), 1.6 * at.radius, curv)
    z = lorentz.move_to(at.points(2, n=120, d=2), 2.4 * at.radius, curv)
    y_in_x = lorentz.cone_excess(x[:, None], y, curv) <= 0
    z_in_y = lorentz.cone_excess(y[:, None], z, curv) <= 0
    z_in_x = lorentz.cone_excess(x[:, None], z, curv) <= 1e3 * at.eps
    chains = y_in_x[:, :, None] & z_in_y
    assert chains.sum() > 100
    assert z_in_x[:, None, :].expand_as(chains)[chains].all()
    assert not z_in_x.all()


def test_half_aperture(curv: float, dtype: torch.dtype) -> None:
    norm = 0.2 / math.sqrt(curv) * torch.tensor([[0.0], [0.5], [1.0], [2.0], [4.0]], dtype=dtype)
    expected = torch.tensor([math.pi / 2] * 3 + [math.pi / 6, math.asin(0.25)], dtype=dtype)
    close(lorentz.half_aperture(norm, curv), expected, absolute=1e-3 * (dtype is torch.float32) + 1e-7)
    close(lorentz.half_aperture(norm[3:], curv), expected[3:], relative=8 * torch.finfo(dtype).eps)
    close(lorentz.half_aperture(norm[2:3] * 1.005, curv), math.asin(1 / 1.005), relative=1e-5)
    assert lorentz.half_aperture(norm[3:4], curv, min_radius=0.2).item() == pytest.approx(
        math.pi / 2, abs=1e-3
    )


def test_a_point_is_in_its_own_cone_and_the_root_contains_everything(at: Setting) -> None:
    x = at.points(0)
    for point in (x, x.abs(), -x.abs()):
        assert lorentz.exterior_angle(point, point.clone(), at.curv).eq(0).all()
    root = torch.zeros_like(x)
    close(lorentz.exterior_angle(root, x, at.curv), math.pi / 2, relative=at.eps)
    assert (lorentz.cone_excess(root, x, at.curv) <= at.eps).all()


def test_aperture_scale_and_min_radius_widen_the_cone(curv: float, dtype: torch.dtype) -> None:
    x, y = Setting(dtype, curv, 1.0).points(0), Setting(dtype, curv, 1.0).points(1)
    narrow = lorentz.cone_excess(x, y, curv, aperture_scale=0.5)
    wide = lorentz.cone_excess(x, y, curv, aperture_scale=1.5)
    close(narrow - wide, lorentz.half_aperture(x, curv), absolute=16 * torch.finfo(dtype).eps)
    wider = lorentz.cone_excess(x, y, curv, min_radius=0.15)
    expected = lorentz.exterior_angle(x, y, curv) - lorentz.half_aperture(x, curv, min_radius=0.15)
    assert torch.equal(wider, expected)
    assert (wider < lorentz.cone_excess(x, y, curv)).all()


# Curvature


def test_without_curvature_space_is_euclidean(dtype: torch.dtype) -> None:
    at, c = Setting(dtype, 1.0, 1.0), 1e-12
    x, y, eps = at.tangents(0), at.tangents(1), at.eps
    close(lorentz.exp_map0(x, c), x, relative=8 * eps + 1e-11)
    close(lorentz.distance(x, y, c), (x - y).norm(dim=-1), relative=8 * eps + 1e-11)
    close(lorentz.pairwise_distance(x, y, c), torch.cdist(x, y), relative=16 * eps + 1e-11)
    close(lorentz.geodesic(x, y, 0.25, c), 0.75 * x + 0.25 * y, absolute=8 * eps + 1e-11)
    cosine = torch.cosine_similarity(x, y - x, dim=-1)
    close(lorentz.exterior_angle(x, y, c).cos(), cosine, absolute=16 * eps + 1e-10)


@pytest.mark.parametrize("a", [0.5, 3.0])
def test_curvature_is_a_gauge(at: Setting, a: float) -> None:
    """(c, lift scale, logit scale) -> (a² c, lift scale / a, a logit scale) changes nothing measurable."""
    v, w, c = at.tangents(0), at.tangents(1), at.curv * a * a
    x, y = lorentz.exp_map0(v, at.curv), lorentz.exp_map0(w, at.curv)
    x_a, y_a = lorentz.exp_map0(v / a, c), lorentz.exp_map0(w / a, c)
    size = 1 + at.scale
    close(a * x_a, x, relative=16 * at.eps * size)
    logits, logits_a = lorentz.pairwise_distance(x, y, at.curv), a * lorentz.pairwise_distance(x_a, y_a, c)
    close(logits_a, logits, relative=32 * at.eps * size)
    angles = lorentz.exterior_angle(x, y, at.curv), lorentz.exterior_angle(x_a, y_a, c)
    close(angles[1], angles[0], absolute=64 * at.eps * size)
    apertures = lorentz.half_aperture(x, at.curv), lorentz.half_aperture(x_a, c)
    close(apertures[1], apertures[0], relative=64 * at.eps * size)


def test_curvature_may_be_a_tensor(at: Setting) -> None:
    x, y, c = at.points(0), at.points(1), torch.tensor(at.curv, dtype=at.dtype)
    close(lorentz.pairwise_distance(x, y, c), lorentz.pairwise_distance(x, y, at.curv), relative=16 * at.eps)
    close(lorentz.cone_excess(x, y, c), lorentz.cone_excess(x, y, at.curv), absolute=64 * at.eps)
