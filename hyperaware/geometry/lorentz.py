"""The formulas of the hyperboloid model of hyperbolic space, each in one pure function.

Conventions, here once:

* A point is its **space coordinates** x, a row of length d; nothing else is passed around. Its time
  coordinate x_t = sqrt(1/c + |x|²) is computed where it is needed. The root is the zero vector.
* `curv` is c > 0, **minus** the sectional curvature, in 1/length². It is never its logarithm.
* <x, y> is the Lorentz inner product x·y - x_t y_t; on the hyperboloid <x, x> = -1/c.
* Lengths are geodesic and angles are in radians. A root distance is not the norm |x|:
  |x| = sinh(sqrt(c) r) / sqrt(c).
* Arguments have any leading shape and broadcast; only `pairwise_` functions take (n, d) and (m, d).
* Work is done in float32 or more (half and bfloat16 are widened), and the result has the inputs' dtype.
* Gradients are finite everywhere. Where a formula has none (coincident points, the root, a clamp) it is zero.
* NaN in, NaN out: no clamp or limit turns a broken point into a number.

Sources: MERU (arXiv 2304.09172) and HySAC (arXiv 2503.12127), which uses MERU's formulas. The published forms
subtract nearly equal numbers (arcosh near 1, arccos near ±1) and are kept alive by added constants; ours are
the same functions in forms that do not cancel and need no constant. Each docstring says where values differ.
"""

import functools
from collections.abc import Callable
from typing import Any, ParamSpec, TypeAlias

import torch
from jaxtyping import Float
from torch import Tensor

__all__ = [
    "ball",
    "cone_excess",
    "distance",
    "exp_map0",
    "exterior_angle",
    "geodesic",
    "half_aperture",
    "log_map0",
    "move_to",
    "pairwise_distance",
    "pairwise_inner",
    "root_distance",
    "time",
]

Curvature: TypeAlias = float | int | Float[Tensor, ""]
P = ParamSpec("P")

MAX_ROOT_DISTANCE = 16.0
"""Largest sqrt(c) * root distance that `exp_map0` and `move_to` produce. Two such points are within 32;
the squares that occur, up to sinh²(32) = 1e27, still fit in float32. (MERU stops at asinh(2^15) = 11.09.)"""

_SMALL = (
    1e-2  # below it the polynomials of _sinhc and _asinhc are exact to 1e-16, and smoother than the quotients
)


def _matched(function: Callable[P, Tensor]) -> Callable[P, Tensor]:
    """`function` computed in float32 at least, on the points' device; the result has the points' dtype.

    So the curvature of a model on a GPU goes with points that were taken to the CPU, and its gradient too.
    """

    @functools.wraps(function)
    def wrapper(*args: P.args, **kwargs: P.kwargs) -> Tensor:
        values = (*args, *kwargs.values())
        points = [value for value in values if isinstance(value, Tensor) and value.dim() > 0]

        def match(value: Any) -> Any:
            if not isinstance(value, Tensor):
                return value
            wide = value.float() if value.dtype in (torch.float16, torch.bfloat16) else value
            return wide if wide.dim() else wide.to(points[0].device)

        result = function(*map(match, args), **{key: match(value) for key, value in kwargs.items()})
        return result.to(functools.reduce(torch.promote_types, [each.dtype for each in points]))

    return wrapper


# Points -------------------------------------------------------------------------------------------


@_matched
def time(x: Float[Tensor, "*batch d"], curv: Curvature) -> Float[Tensor, "*batch"]:
    """Time coordinate x_t = sqrt(1/c + |x|²), at least 1/sqrt(c). (MERU.)

    >>> time(torch.tensor([3.0, 0.0]), curv=1 / 16)
    tensor(5.)
    """
    return (1 / curv + x.square().sum(-1)).sqrt()


@_matched
def exp_map0(v: Float[Tensor, "*batch d"], curv: Curvature) -> Float[Tensor, "*batch d"]:
    """The point that lies |v| from the root in the direction of v: x = sinh(sqrt(c)|v|) v / (sqrt(c)|v|).

    (MERU.) Beyond sqrt(c)|v| = `MAX_ROOT_DISTANCE` the point stays there, without a radial gradient.
    A float16 result overflows beyond sqrt(c)|v| = 11.

    >>> exp_map0(torch.tensor([0.5, 0.0]), curv=1.0)
    tensor([0.5211, 0.0000])
    """
    argument = curv**0.5 * torch.linalg.vector_norm(v, dim=-1, keepdim=True)
    too_far = argument > MAX_ROOT_DISTANCE
    shrink = torch.where(too_far, MAX_ROOT_DISTANCE / torch.where(too_far, argument, 1.0), 1.0)
    return v * shrink * _sinhc(argument.clamp(max=MAX_ROOT_DISTANCE))


@_matched
def log_map0(x: Float[Tensor, "*batch d"], curv: Curvature) -> Float[Tensor, "*batch d"]:
    """The inverse of `exp_map0`: v = asinh(sqrt(c)|x|) x / (sqrt(c)|x|).

    (MERU, without the 1e-5 that the published code adds.)

    >>> log_map0(torch.tensor([0.5210953, 0.0]), curv=1.0)
    tensor([0.5000, 0.0000])
    """
    return x * _asinhc(curv**0.5 * torch.linalg.vector_norm(x, dim=-1, keepdim=True))


@_matched
def move_to(
    x: Float[Tensor, "*#batch d"], root_distance: float | int | Float[Tensor, "*#batch"], curv: Curvature
) -> Float[Tensor, "*_ d"]:
    """x moved along its ray to the geodesic distance r from the root: x sinh(sqrt(c) r) / (sqrt(c)|x|).

    The root has no ray and stays. r is at least 0 and, like `exp_map0`, stops at `MAX_ROOT_DISTANCE`.
    HySAC's released code sets |x| = r instead, and so lands short (2 becomes 1.444 for c = 1).

    >>> move_to(torch.tensor([0.0, 3.0]), 2.0, curv=1.0)  # sinh(2) = 3.6269
    tensor([0.0000, 3.6269])
    """
    distance = torch.as_tensor(root_distance, dtype=x.dtype, device=x.device)
    norm = (curv**0.5 * distance).clamp(0, MAX_ROOT_DISTANCE).sinh() / curv**0.5
    return norm.unsqueeze(-1) * _unit(x)


@_matched
def geodesic(
    x: Float[Tensor, "*#batch d"],
    y: Float[Tensor, "*#batch d"],
    t: float | int | Float[Tensor, "*#batch"],
    curv: Curvature,
) -> Float[Tensor, "*_ d"]:
    """The point at the fraction t of the way from x to y, at constant speed: x at t = 0, y at t = 1.

    (sinh((1-t) s) x + sinh(t s) y) / sinh(s) with s = sqrt(c) d(x, y); the straight segment where s is 0.
    Space coordinates mix with the same weights as the whole points. t outside [0, 1] goes on along the line.

    >>> geodesic(torch.zeros(1), torch.tensor([3.6268604]), torch.tensor([0.0, 0.5]), curv=1.0).squeeze()
    tensor([0.0000, 1.1752])
    """
    t = torch.as_tensor(t, dtype=x.dtype, device=x.device)
    angle = curv**0.5 * distance(x, y, curv)
    whole = _sinhc(angle)
    start, end = (part * _sinhc(part.abs() * angle) / whole for part in (1 - t, t))
    return start.unsqueeze(-1) * x + end.unsqueeze(-1) * y


# Products and distances ---------------------------------------------------------------------------


@_matched
def pairwise_inner(x: Float[Tensor, "n d"], y: Float[Tensor, "m d"], curv: Curvature) -> Float[Tensor, "n m"]:
    """Lorentz inner product x·y - x_t y_t of every pair; at most -1/c, and there only for equal points.

    Larger is nearer: the order is the order of the distances. (MERU.) It cancels for near points: rank by it,
    but measure by `pairwise_distance`.

    >>> pairwise_inner(torch.zeros(1, 2), torch.tensor([[3.0, 4.0], [0.0, 0.0]]), curv=0.25)
    tensor([[-10.7703,  -4.0000]])
    """
    return x @ y.T - torch.outer(time(x, curv), time(y, curv))


@_matched
def distance(
    x: Float[Tensor, "*#batch d"], y: Float[Tensor, "*#batch d"], curv: Curvature
) -> Float[Tensor, "*_"]:
    """Geodesic distance of x and y, row by row: (2/sqrt(c)) asinh(sqrt(c q)/2), q = |x-y|² - (x_t-y_t)².

    The same as the published arcosh(-c<x, y>)/sqrt(c), which loses the value and the gradient for near points
    (in float32, everything below 3e-4/sqrt(c)); q is computed by `_chord`. Relative error in float32: 2e-7,
    however near the points; up to 3e-6 (at sqrt(c) r = 3) and 2e-5 (at 5) for two points on nearly one ray.

    >>> distance(torch.tensor([0.52109531, 0.0]), torch.tensor([0.64602342, 0.32301171]), curv=1.0)
    tensor(0.3283)
    """
    return _length(_chord(x, y, curv), curv)


@_matched
def pairwise_distance(
    x: Float[Tensor, "n d"], y: Float[Tensor, "m d"], curv: Curvature
) -> Float[Tensor, "n m"]:
    """Geodesic distance of every pair, in memory n x m; no (n, m, d) is made.

    By the Poincaré ball: q of `distance` is |u-w|² A B, where A = 1/sqrt(c) + x_t and u = x/A, and B and w
    belong to y. |u-w| is computed from differences, not products, so that equal points are at 0. The error
    is that of rounding coordinates: in float32 absolute, 1e-7 |x|, where that of `distance` is relative.

    >>> pairwise_distance(torch.zeros(1, 1), torch.tensor([[0.0], [3.6268604]]), curv=1.0)
    tensor([[0., 2.]])
    """
    a, b = _from_pole(x, curv), _from_pole(y, curv)
    apart = torch.cdist(x / a.unsqueeze(-1), y / b.unsqueeze(-1), compute_mode="donot_use_mm_for_euclid_dist")
    return _length(apart * torch.outer(a.sqrt(), b.sqrt()), curv)


@_matched
def root_distance(x: Float[Tensor, "*batch d"], curv: Curvature) -> Float[Tensor, "*batch"]:
    """Geodesic distance to the root: asinh(sqrt(c)|x|) / sqrt(c).

    >>> root_distance(torch.tensor([0.0, 3.6268604]), curv=1.0)
    tensor(2.)
    """
    return torch.asinh(curv**0.5 * torch.linalg.vector_norm(x, dim=-1)) / curv**0.5


# Entailment cones ---------------------------------------------------------------------------------


@_matched
def half_aperture(
    x: Float[Tensor, "*batch d"], curv: Curvature, *, min_radius: float = 0.1
) -> Float[Tensor, "*batch"]:
    """Half-angle of the cone at x, in (0, pi/2]: asin(2K / (sqrt(c)|x|)), K = `min_radius`.

    (MERU; K = 0.1 there and in HySAC.) Where |x| <= 2K/sqrt(c) the cone is a half-space, pi/2, without a
    gradient. The published code stops at 89.74 degrees and adds 1e-5 to the divisor.

    >>> half_aperture(torch.tensor([[0.4], [0.2], [0.0]]), curv=1.0) * 180 / torch.pi
    tensor([30., 90., 90.])
    """
    norm = curv**0.5 * torch.linalg.vector_norm(x, dim=-1)
    saturated = norm <= 2 * min_radius
    sine = 2 * min_radius / torch.where(saturated, torch.inf, norm)
    return torch.where(saturated, torch.pi / 2, torch.asin(sine))


@_matched
def exterior_angle(
    x: Float[Tensor, "*#batch d"], y: Float[Tensor, "*#batch d"], curv: Curvature
) -> Float[Tensor, "*_"]:
    """Angle at x between the ray from the root onwards and the geodesic to y, in [0, pi].

    0 where y lies on the ray beyond x, pi where it lies between the root and x. MERU (`oxy_angle` in code)
    gives it by an arccos. Here x is boosted to the root, which leaves the part of y across the ray as it is
    and turns the part along it into sqrt(c)(x_t y_par - |x| y_t); the angle is their atan2. With w = y - x
    the latter is sqrt(c)(w_par (2/c + q/2) - |x||w_perp|²) / (x_t + y_t), which does not cancel.

    Limits by convention: 0 for y = x (a point lies in its own cone; published: pi/2), and pi/2 for x at the
    root (it has no ray; its cone, a half-space, contains everything).

    >>> x, y = torch.tensor([0.52109531, 0.0]), torch.tensor([0.64602342, 0.32301171])
    >>> exterior_angle(x, y, curv=1.0), exterior_angle(y, x, curv=1.0)
    (tensor(1.3115), tensor(2.3699))
    """
    ray, w = _unit(x), y - x
    w_along = (w * ray).sum(-1)
    across = torch.linalg.vector_norm(w - w_along.unsqueeze(-1) * ray, dim=-1)
    norm = torch.linalg.vector_norm(x, dim=-1)
    scale = curv**0.5 / (time(x, curv) + time(y, curv))
    along = scale * (w_along * (2 / curv + _chord(x, y, curv).square() / 2) - norm * across.square())
    together = across.square() + along.square() < torch.finfo(x.dtype).tiny
    return torch.atan2(torch.where(together, 0.0, across), torch.where(together, 1.0, along))


@_matched
def cone_excess(
    x: Float[Tensor, "*#batch d"],
    y: Float[Tensor, "*#batch d"],
    curv: Curvature,
    *,
    min_radius: float = 0.1,
    aperture_scale: float = 1.0,
) -> Float[Tensor, "*_"]:
    """How far y is out of the cone at x: exterior_angle(x, y) - eta half_aperture(x); at most 0 inside.

    (HySAC; eta = `aperture_scale`.) Its positive part is the entailment loss.

    >>> x = torch.tensor([0.4, 0.0])
    >>> cone_excess(x, 2 * x, curv=1.0) * 180 / torch.pi  # on the ray beyond x; the cone is 30 degrees
    tensor(-30.)
    """
    return exterior_angle(x, y, curv) - aperture_scale * half_aperture(x, curv, min_radius=min_radius)


@_matched
def ball(x: Float[Tensor, "*batch d"], curv: Curvature) -> Float[Tensor, "*batch d"]:
    """The point in the unit ball (Poincaré) that x is projected to: x / (1/sqrt(c) + x_t).

    >>> ball(torch.tensor([3.0, 0.0]), curv=1 / 16)
    tensor([0.3333, 0.0000])
    """
    return x / _from_pole(x, curv).unsqueeze(-1)


# Parts of the formulas ----------------------------------------------------------------------------


def _from_pole(x: Tensor, curv: Curvature) -> Tensor:
    """A = 1/sqrt(c) + x_t; x / A is x in the Poincaré ball, projected from the pole opposite to the root."""
    return curv**-0.5 + time(x, curv)


def _chord(x: Tensor, y: Tensor, curv: Curvature) -> Tensor:
    """sqrt(q) = (2/sqrt(c)) sinh(sqrt(c) d/2), q = |x-y|² - (x_t-y_t)², the Lorentz length of x - y.

    The difference of the squares cancels when both points are far out on nearly the same ray. With the ball
    points u = x/A and w = y/B, q = A B |u-w|² = (B/A) |x - y - y (x_t-y_t)/B|², and x_t - y_t is
    (x-y)·(x+y)/(x_t+y_t): one subtraction is left. It loses least if y is the one nearer to the root.
    """
    difference, a, b = x - y, _from_pole(x, curv), _from_pole(y, curv)
    in_time = (difference * (x + y)).sum(-1) / (time(x, curv) + time(y, curv))
    swap = a < b
    inner, outer = torch.where(swap, a, b), torch.where(swap, b, a)
    point = torch.where(swap.unsqueeze(-1), x, y)
    vector = difference - point * (in_time / inner).unsqueeze(-1)
    return (inner / outer).sqrt() * torch.linalg.vector_norm(vector, dim=-1)


def _length(chord: Tensor, curv: Curvature) -> Tensor:
    """Geodesic length (2/sqrt(c)) asinh(sqrt(c) chord/2) of a chord sqrt(q)."""
    return torch.asinh(curv**0.5 / 2 * chord) * 2 / curv**0.5


def _unit(x: Tensor) -> Tensor:
    """x / |x|, and 0 at the root."""
    norm = torch.linalg.vector_norm(x, dim=-1, keepdim=True)
    return x / torch.where(norm == 0, 1.0, norm)


def _sinhc(z: Tensor) -> Tensor:
    """sinh(z) / z for z >= 0."""
    small = z < _SMALL
    away, square = torch.where(small, 1.0, z), torch.where(small, z, 0.0).square()
    return torch.where(small, 1 + square / 6 * (1 + square / 20), away.sinh() / away)


def _asinhc(z: Tensor) -> Tensor:
    """asinh(z) / z for z >= 0."""
    small = z < _SMALL
    away, square = torch.where(small, 1.0, z), torch.where(small, z, 0.0).square()
    series = 1 - square / 6 * (1 - square * 9 / 20 * (1 - square * 25 / 42))
    return torch.where(small, series, away.asinh() / away)
