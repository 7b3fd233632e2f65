"""Traversals: one ray by hand, a pool against a naive oracle, and what is refused."""

import pytest
import torch
from torch import Tensor

from hyperaware.errors import ConfigError
from hyperaware.geometry import lorentz
from hyperaware.geometry.space import Lorentz, Sphere
from hyperaware.traverse import ROOT, captions_to_root, traversal

SPACE = Lorentz(1.0)


def at(*root_distances: float, direction: tuple[float, float] = (0.6, 0.8)) -> Tensor:
    rays = torch.tensor([direction], dtype=torch.float64).expand(len(root_distances), 2)
    return SPACE.move_to(rays, torch.tensor(root_distances, dtype=torch.float64))


def told(texts: Tensor, captions: list[str], *, steps: int = 11) -> list[tuple[str, float]]:
    stops = captions_to_root(at(1.0)[0], texts=texts, captions=captions, space=SPACE, steps=steps)
    return [(stop.caption, round(stop.root_distance, 6)) for stop in stops]


def test_a_traversal_goes_from_the_point_to_the_root_in_equal_steps() -> None:
    points = traversal(at(1.0)[0], space=SPACE, steps=5)
    torch.testing.assert_close(points, at(1.0, 0.75, 0.5, 0.25, 0.0))
    lengths = lorentz.distance(points[:-1], points[1:], 1.0)
    torch.testing.assert_close(lengths, torch.full((4,), 0.25, dtype=torch.float64))


def test_it_has_fifty_points_as_published() -> None:
    assert traversal(at(1.0)[0], space=SPACE).shape == (50, 2)


def test_captions_on_the_ray_are_told_from_the_specific_to_the_general() -> None:
    """Steps of 0.1 from 1.0: the text at 0.45 holds until 0.5, the one at 0.25 until 0.3, then none."""
    assert told(at(0.25, 0.45), ["an animal", "a cat"]) == [("a cat", 1.0), ("an animal", 0.4), (ROOT, 0.2)]


def test_a_text_whose_cone_does_not_contain_the_point_is_passed_over() -> None:
    """A text beyond the point is nearer (1.1, not 0.45) and does not contain it; nor does one far aside."""
    texts = torch.cat([at(0.45, 1.1), at(0.9, direction=(0.8, -0.6))])
    assert told(texts, ["a cat", "a striped cat", "a boat"]) == [("a cat", 1.0), (ROOT, 0.4)]


def test_where_no_text_applies_the_root_is_all_that_is_told() -> None:
    assert told(at(1.1), ["a striped cat"]) == [(ROOT, 1.0)]
    assert told(at(), []) == [(ROOT, 1.0)]


def test_one_caption_is_told_once() -> None:
    assert told(at(0.25, 0.45), ["a cat", "a cat"]) == [("a cat", 1.0), (ROOT, 0.2)]


@pytest.mark.parametrize("curv", [0.1, 1.0, 10.0])
def test_a_pool_is_told_as_a_naive_search_tells_it(curv: float, generator: torch.Generator) -> None:
    """Point by point, text by text: of those that contain the point the one of the largest inner product."""
    space = Lorentz(curv)
    rays = torch.randn(60, 4, dtype=torch.float64, generator=generator)
    rays = torch.nn.functional.normalize(rays + torch.tensor([1.5, 0, 0, 0]), dim=-1)
    texts = space.lift(rays * torch.rand(60, 1, dtype=torch.float64, generator=generator) / curv**0.5)
    point = space.lift(torch.tensor([1.2, 0.3, 0.0, 0.1], dtype=torch.float64) / curv**0.5)
    captions = [f"text {i}" for i in range(60)]

    expected: dict[str, float] = {}
    for here in traversal(point, space=space, steps=20):
        best, best_product = ROOT, -float("inf")
        for caption, text in zip(captions, texts, strict=True):
            contains = lorentz.exterior_angle(text, here, curv) <= lorentz.half_aperture(text, curv)
            product = float(text @ here - lorentz.time(text, curv) * lorentz.time(here, curv))
            if contains and product > best_product:
                best, best_product = caption, product
        expected.setdefault(best, float(space.root_distance(here)))

    stops = captions_to_root(point, texts=texts, captions=captions, space=space, steps=20)
    assert [stop.caption for stop in stops] == list(expected)
    assert [stop.root_distance for stop in stops] == pytest.approx(list(expected.values()))
    assert len(stops) > 2
    assert stops[-1].caption == ROOT


def test_wider_cones_are_told_of_by_min_radius() -> None:
    """A text 40 degrees aside at 0.45: its half-aperture is 25 degrees for K = 0.1, and 90 for K = 0.3."""
    aside = at(0.45, direction=(-0.0547, 0.9985))
    arguments = {"texts": aside, "captions": ["a cat"], "space": SPACE}
    assert captions_to_root(at(1.0)[0], **arguments)[0].caption == ROOT  # type: ignore[arg-type]
    assert captions_to_root(at(1.0)[0], **arguments, min_radius=0.3)[0].caption == "a cat"  # type: ignore[arg-type]


def test_a_learned_curvature_is_taken_as_it_stands() -> None:
    space = Lorentz(torch.tensor(1.0, dtype=torch.float64, requires_grad=True))
    stops = captions_to_root(at(1.0)[0], texts=at(0.45), captions=["a cat"], space=space)
    assert [stop.caption for stop in stops] == ["a cat", ROOT]


def test_what_makes_no_sense_is_refused() -> None:
    with pytest.raises(ConfigError, match="2 texts and 1 captions"):
        captions_to_root(at(1.0)[0], texts=at(0.1, 0.2), captions=["a cat"], space=SPACE)
    with pytest.raises(ConfigError, match="steps is 1"):
        traversal(at(1.0)[0], space=SPACE, steps=1)
    with pytest.raises(ConfigError, match=r"one point, got a tensor of shape \(1, 2\)"):
        traversal(at(1.0), space=SPACE)
    with pytest.raises(ConfigError, match="'sphere' has no root"):
        traversal(at(1.0)[0], space=Sphere())
