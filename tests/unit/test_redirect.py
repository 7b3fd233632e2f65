"""Redirection: hand-worked moves, and everything that is refused."""

import math
from typing import Any

import pytest
import torch
from moderation_samples import sample_bounds
from torch import Tensor

from hyperaware.errors import ConfigError, SafetyError
from hyperaware.geometry.space import Lorentz, Sphere
from hyperaware.moderation.redirect import Redirected, published_traversal, redirect

SPACE = Lorentz(1.0)


def at(*root_distances: float, dtype: torch.dtype = torch.float64) -> Tensor:
    rays = torch.tensor([[0.6, 0.8]], dtype=dtype).expand(len(root_distances), 2)
    return SPACE.move_to(rays, torch.tensor(root_distances, dtype=dtype))


def redirected(queries: Tensor, **changes: Any) -> Redirected:
    """Text queries above 0.5 go to 0.3 among images, image queries above 0.7 to 0.2 among texts."""
    values: dict[str, Any] = {
        "space": SPACE,
        "bounds": sample_bounds(),
        "query_modality": "text",
        "target_modality": "image",
    }
    return redirect(queries, **{**values, **changes})


def test_only_what_is_above_the_trigger_moves_and_lands_at_the_landing() -> None:
    queries = at(0.4, 0.6, 0.5001, 2.0)
    result = redirected(queries)
    assert result.triggered.tolist() == [False, True, True, True]
    assert result.root_distance_before.tolist() == pytest.approx([0.4, 0.6, 0.5001, 2.0])
    assert result.root_distance_after.tolist() == pytest.approx([0.4, 0.3, 0.3, 0.3])
    assert SPACE.root_distance(result.points).tolist() == pytest.approx([0.4, 0.3, 0.3, 0.3])
    assert torch.equal(result.points[0], queries[0])


def test_who_has_judged_the_queries_says_which_move() -> None:
    result = redirected(at(0.4, 0.6, 0.2), triggered=torch.tensor([True, False, True]))
    assert result.root_distance_after.tolist() == pytest.approx([0.3, 0.6, 0.2])


def test_strength_says_how_much_of_the_way_is_gone() -> None:
    """From 0.6 towards 0.3: a third of the way is 0.5, half is 0.45."""
    assert float(redirected(at(0.6), strength=1 / 3).root_distance_after) == pytest.approx(0.5)
    assert float(redirected(at(0.6), strength=0.5).root_distance_after) == pytest.approx(0.45)
    assert float(redirected(at(0.6), strength=1).root_distance_after) == pytest.approx(0.3)


def test_a_query_is_judged_in_its_own_modality_and_lands_in_that_of_the_target() -> None:
    """A safe image query at 0.6 lies above the text trigger 0.5 and is none the worse for it."""
    image = {"query_modality": "image", "target_modality": "text"}
    result = redirected(at(0.6, 0.8), **image)
    assert result.triggered.tolist() == [False, True]
    assert result.root_distance_after.tolist() == pytest.approx([0.6, 0.2])
    assert float(redirected(at(0.6), target_modality="text").root_distance_after) == pytest.approx(0.2)


def test_nothing_moves_outward() -> None:
    queries = at(0.6)
    result = redirected(queries, bounds=sample_bounds(landing={"text": 0.9, "image": 0.9}))
    assert result.triggered.tolist() == [True]
    assert torch.equal(result.points, queries)
    assert torch.equal(result.root_distance_after, result.root_distance_before)


def test_exactly_at_the_trigger_is_not_above_it() -> None:
    trigger = float(SPACE.root_distance(at(0.6, dtype=torch.float32)))
    bounds = sample_bounds(trigger={"text": trigger, "image": 0.7})
    assert redirected(at(0.6, dtype=torch.float32), bounds=bounds).triggered.tolist() == [False]


def test_the_trigger_is_not_rounded_to_the_dtype_of_the_queries() -> None:
    """A bound a hair under the query, which float32 could not tell from it, still fires."""
    query = at(0.6, dtype=torch.float32)
    trigger = float(SPACE.root_distance(query)) - 1e-12
    bounds = sample_bounds(trigger={"text": trigger, "image": 0.7})
    assert redirected(query, bounds=bounds).triggered.tolist() == [True]


def test_the_queries_themselves_are_left_as_they_were() -> None:
    queries = at(0.6, 0.9)
    copy = queries.clone()
    redirected(queries)
    assert torch.equal(queries, copy)


def test_no_queries_give_no_points() -> None:
    assert redirected(at()).points.shape == (0, 2)


@pytest.mark.parametrize("argument", ["query_modality", "target_modality"])
def test_an_unknown_modality_is_refused_with_the_nearest_one(argument: str) -> None:
    with pytest.raises(ConfigError, match=r"no modality is called 'imag'. Did you mean 'image'\?"):
        redirected(at(0.6), **{argument: "imag"})


@pytest.mark.parametrize("strength", [-0.01, 1.01, math.nan, math.inf, "1", None, True])
def test_a_strength_outside_0_to_1_is_refused(strength: Any) -> None:
    with pytest.raises(ConfigError, match=r"strength is .* expected a number from 0"):
        redirected(at(0.6), strength=strength)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_query_that_is_nowhere_is_refused_and_named(value: float) -> None:
    queries = at(0.4, 0.6, 0.8)
    queries[1, 0] = value
    with pytest.raises(SafetyError, match="query 1 is not finite"):
        redirected(queries)


def test_a_sphere_has_nowhere_to_redirect_to() -> None:
    with pytest.raises(ConfigError, match="root"):
        redirected(at(0.6), space=Sphere())


def test_the_published_rule_by_hand() -> None:
    """tau = 0.8 + tanh(0) + 1 = 1.8: geodesic 1.9 fires and gets the *norm* 1.8, geodesic 1.7 stays."""
    queries = at(1.7, 1.9)
    moved = published_traversal(queries, bound=0.8, curv=1.0, alpha=0.8)
    assert torch.equal(moved[0], queries[0])
    assert float(moved[1].norm()) == pytest.approx(1.8)
    assert float(SPACE.root_distance(moved[1])) == pytest.approx(math.asinh(1.8))
