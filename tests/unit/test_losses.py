"""The loss terms on numbers that one can follow by hand."""

import doctest
import math
from types import ModuleType

import pytest
import torch
from torch import Tensor

from hyperaware.geometry.space import Lorentz, Space, Sphere
from hyperaware.losses import cosine, radial, relative
from hyperaware.losses.contrastive import contrastive, one_way
from hyperaware.losses.cosine import cosine_distance
from hyperaware.losses.entailment import entailment
from hyperaware.losses.radial import radial_order

LORENTZ = Lorentz(1.0)


def on_a_line(*positions: float) -> Tensor:
    """Points of `LORENTZ` on one line through the root, at these signed distances from it."""
    return LORENTZ.lift(torch.tensor(positions, dtype=torch.float64).unsqueeze(1))


def at_angle(radius: float, degrees: float) -> Tensor:
    """One point of `LORENTZ` in the plane, (1, 2)."""
    angle = math.radians(degrees)
    ray = torch.tensor([[math.cos(angle), math.sin(angle)]], dtype=torch.float64)
    return LORENTZ.lift(radius * ray)


# -- contrastive -----------------------------------------------------------------------------------------


def test_contrastive_on_a_sphere() -> None:
    """Cosines [[1, 0], [0.6, 0.8]], times s = 2: [[2, 0], [1.2, 1.6]].

    Rows: log(1 + e^-2) and log(1 + e^-0.4). Columns: log(1 + e^-0.8) and log(1 + e^-1.6).
    The mean over both directions and both rows is a fourth of their sum.
    """
    x = torch.tensor([[1.0, 0.0], [0.6, 0.8]], dtype=torch.float64)
    y = torch.eye(2, dtype=torch.float64)
    by_hand = sum(math.log1p(math.exp(-gap)) for gap in (2.0, 0.4, 0.8, 1.6)) / 4
    loss = contrastive(x, y, space=Sphere(), logit_scale=2.0)
    assert float(loss) == pytest.approx(by_hand, abs=1e-12)
    assert by_hand == pytest.approx(0.298736, abs=1e-6)


def test_contrastive_in_lorentz_space() -> None:
    """Points on a line at 0 and 1, and at 0.5 and 2: distances [[0.5, 2], [0.5, 1]], logits times minus 3.

    Row gaps (negative minus positive): 1.5 and -0.5. Column gaps: 0 and 1. Each gap g costs log(1 + e^(-3g)).
    """
    loss = contrastive(on_a_line(0, 1), on_a_line(0.5, 2), space=LORENTZ, logit_scale=3.0)
    by_hand = sum(math.log1p(math.exp(-3 * gap)) for gap in (1.5, -0.5, 0.0, 1.0)) / 4
    assert float(loss) == pytest.approx(by_hand, abs=1e-12)


def test_the_logit_scale_sharpens_what_is_right(generator: torch.Generator) -> None:
    x = Sphere().lift(torch.randn(5, 8, generator=generator))
    assert float(contrastive(x, x, space=Sphere(), logit_scale=1000.0)) == pytest.approx(0, abs=1e-6)
    assert float(contrastive(x, x, space=Sphere(), logit_scale=0.0)) == pytest.approx(math.log(5))


@pytest.mark.parametrize("space", [Sphere(), LORENTZ], ids=lambda space: space.name)
def test_contrastive_is_symmetric_and_blind_to_the_order(space: Space, generator: torch.Generator) -> None:
    x, y = (space.lift(torch.randn(6, 4, generator=generator, dtype=torch.float64)) for _ in range(2))
    order = torch.randperm(6, generator=generator)
    loss = contrastive(x, y, space=space, logit_scale=5.0)
    torch.testing.assert_close(contrastive(y, x, space=space, logit_scale=5.0), loss)
    torch.testing.assert_close(contrastive(x[order], y[order], space=space, logit_scale=5.0), loss)
    assert float(contrastive(x[order], y, space=space, logit_scale=5.0)) != pytest.approx(float(loss))


def test_one_way_is_the_half_that_asks_for_items() -> None:
    """Rows only of the matrix above: log(1 + e^-2) and log(1 + e^-0.4), their mean."""
    x = torch.tensor([[1.0, 0.0], [0.6, 0.8]], dtype=torch.float64)
    y = torch.eye(2, dtype=torch.float64)
    asked = one_way(x, y, space=Sphere(), logit_scale=2.0)
    assert float(asked) == pytest.approx(sum(math.log1p(math.exp(-gap)) for gap in (2.0, 0.4)) / 2, abs=1e-12)
    back = one_way(y, x, space=Sphere(), logit_scale=2.0)
    assert float((asked + back) / 2) == pytest.approx(
        float(contrastive(x, y, space=Sphere(), logit_scale=2.0)), abs=1e-12
    )


# -- cosine ----------------------------------------------------------------------------------------------


def test_the_cosine_distance_is_none_at_equal_and_two_at_opposite_points() -> None:
    x = torch.tensor([[0.6, 0.8], [1.0, 0.0]], dtype=torch.float64)
    assert float(cosine_distance(x, x)) == pytest.approx(0, abs=1e-12)
    assert float(cosine_distance(x, -x)) == pytest.approx(2, abs=1e-12)
    assert float(cosine_distance(x, x.flip(0))) == pytest.approx(0.4, abs=1e-12)


# -- entailment ------------------------------------------------------------------------------------------


def test_a_child_inside_the_cone_costs_nothing() -> None:
    parent = at_angle(1.0, 0)
    children = torch.cat([at_angle(2.0, 0), at_angle(3.0, 2), parent])
    assert float(entailment(parent.expand(3, 2), children, curv=1.0)) == 0.0


def test_a_child_outside_costs_the_angle_that_is_missing() -> None:
    """Between the root and its parent, on the same ray: the exterior angle is pi.

    A parent at |x| = sinh(1) has the half-aperture asin(0.2 / sinh(1)) = asin(0.17018) = 0.17101.
    """
    loss = entailment(at_angle(1.0, 0), at_angle(0.5, 0), curv=1.0)
    assert float(loss) == pytest.approx(math.pi - math.asin(0.2 / math.sinh(1)), abs=1e-12)
    assert float(loss) == pytest.approx(math.pi - 0.17101, abs=1e-5)


def test_eta_scales_the_aperture_and_k_widens_it() -> None:
    parent, child = at_angle(1.0, 0), at_angle(0.5, 0)
    narrow = entailment(parent, child, curv=1.0, aperture_scale=0.5)
    assert float(narrow) == pytest.approx(math.pi - 0.5 * math.asin(0.2 / math.sinh(1)), abs=1e-12)
    wide = entailment(parent, child, curv=1.0, min_radius=0.5)
    assert float(wide) == pytest.approx(math.pi - math.asin(1 / math.sinh(1)), abs=1e-12)


def test_the_loss_is_the_mean_over_rows_and_no_row_pays_for_another() -> None:
    parents = torch.cat([at_angle(1.0, 0), at_angle(1.0, 0)])
    children = torch.cat([at_angle(2.0, 0), at_angle(0.5, 0)])  # one well inside, one outside
    alone = entailment(parents[1:], children[1:], curv=1.0)
    torch.testing.assert_close(entailment(parents, children, curv=1.0), alone / 2)


def test_entailment_has_a_direction() -> None:
    near, far = at_angle(1.0, 0), at_angle(2.0, 0)
    assert float(entailment(near, far, curv=1.0)) == 0.0
    assert float(entailment(far, near, curv=1.0)) > 3.0


# -- radial order ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("module", "examples"), [(radial, 2), (cosine, 2), (relative, 3)])
def test_the_doctests(module: ModuleType, examples: int) -> None:
    results = doctest.testmod(module)
    assert (results.attempted, results.failed) == (examples, 0)


def test_radial_order_of_three_classes_by_hand() -> None:
    """Mean 2, margin 0.5 -> m = 1. First pair: 1 - 1.5 + 1 = 0.5. Second: 1.5 - 3.5 + 1 < 0. Mean 0.25."""
    classes = [torch.tensor([r]) for r in (1.0, 1.5, 3.5)]
    assert float(radial_order(classes, margin=0.5)) == pytest.approx(0.25)
    assert float(radial_order(classes[::-1], margin=0.5)) == pytest.approx((3.5 - 1.5 + 1.5 - 1 + 2) / 2)


def test_each_gap_may_have_a_margin_of_its_own() -> None:
    """Mean 2; margins 0.5 and 1.5 -> m = 1 and 3: 1 - 1.5 + 1 = 0.5 and 1.5 - 3.5 + 3 = 1. Mean 0.75."""
    classes = [torch.tensor([r]) for r in (1.0, 1.5, 3.5)]
    assert float(radial_order(classes, margin=(0.5, 1.5))) == pytest.approx(0.75)
    assert float(radial_order(classes, margin=(1.5, 0.5))) == pytest.approx((2.5 + 0) / 2)
    with pytest.raises(ValueError, match="zip"):
        radial_order(classes, margin=(0.5, 0.5, 0.5))


def test_every_point_is_compared_with_every_point_of_the_next_class() -> None:
    """Row by row 1 < 2 and 3 < 4 are in order, but the inner class has 3 beyond the outer one's 2."""
    inner, outer = torch.tensor([1.0, 3.0]), torch.tensor([2.0, 4.0])
    assert float(radial_order([inner, outer], margin=0.0)) == pytest.approx((3 - 2) / 4)


def test_the_margin_is_relative_and_cannot_be_met_by_growing() -> None:
    classes = [torch.tensor([1.0, 1.2], requires_grad=True), torch.tensor([1.1, 1.6], requires_grad=True)]
    loss = radial_order(classes, margin=0.3)
    grown = radial_order([10 * distances for distances in classes], margin=0.3)
    torch.testing.assert_close(grown, 10 * loss)
    loss.backward()
    inwards, outwards = (distances.grad for distances in classes)
    assert inwards is not None
    assert outwards is not None
    assert bool((inwards > 0).all())
    assert bool((outwards < 0).any())
    torch.testing.assert_close(inwards.sum(), -outwards.sum())  # the mean has no gradient


# -- gradients -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("term", ["contrastive", "entailment", "radial_order"])
def test_gradients_reach_both_sides(term: str, generator: torch.Generator) -> None:
    x, y = (torch.randn(4, 3, generator=generator).requires_grad_() for _ in range(2))
    curv, scale = torch.tensor(0.8, requires_grad=True), torch.tensor(9.0, requires_grad=True)
    space = Lorentz(curv)
    loss = {
        "contrastive": lambda: contrastive(x, y, space=space, logit_scale=scale),
        "entailment": lambda: entailment(x, y, curv=curv),
        "radial_order": lambda: radial_order([space.root_distance(x), space.root_distance(y)], margin=0.5),
    }[term]()
    loss.backward()
    used = [x, y, curv] + [scale] * (term == "contrastive")
    for leaf in used:
        assert leaf.grad is not None
        assert bool(leaf.grad.isfinite().all())
        assert float(leaf.grad.abs().sum()) > 0


@pytest.mark.parametrize("x", [torch.zeros(2, 3), torch.ones(2, 3)], ids=["root", "coincident"])
def test_gradients_are_finite_where_formulas_have_none(x: Tensor) -> None:
    x, y = x.clone().requires_grad_(), x.clone().requires_grad_()
    (contrastive(x, y, space=LORENTZ, logit_scale=10.0) + entailment(x, y, curv=1.0)).backward()
    for leaf in (x, y):
        assert leaf.grad is not None
        assert bool(leaf.grad.isfinite().all())
