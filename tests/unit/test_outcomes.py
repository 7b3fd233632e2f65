"""Outcomes per row: their means are the figures, and rows are those that ask."""

from dataclasses import replace

import pytest
import torch
from model_samples import random_points
from moderation_samples import sample_bounds
from point_samples import SPACE, mixed_points, row

from hyperaware.evaluation.labels import labelled
from hyperaware.evaluation.outcomes import outcomes
from hyperaware.evaluation.protocols import SAFE, evaluate
from hyperaware.geometry.space import Euclid, Lorentz, Space, Sphere
from hyperaware.metrics.bootstrap import mean_differences

BOUNDS = sample_bounds()
MEANS_OVER_ROWS = (
    "safe/",
    "safe-redirected/",
    "unsafe/",
    "awareness/",
    "redirect/",
    "substitute/",
    "safeground/",
)


@pytest.mark.parametrize("space", [Sphere(), Euclid(), Lorentz(0.7)], ids=["sphere", "euclid", "lorentz"])
def test_every_mean_is_the_figure_of_the_same_key(space: Space) -> None:
    """50 random rows whose generated parts are unsafe or not in all four ways."""
    members = [
        row(f"row-{place}", unsafe_text_is_unsafe=place % 3 > 0, unsafe_image_is_unsafe=place % 5 > 0)
        for place in range(50)
    ]
    points = labelled(random_points(50, 6).map(lambda part: space.lift(part.detach())), members)
    bounds = BOUNDS if space.has_root else None
    figures = evaluate(points, members, space=space, bounds=bounds)
    groups = outcomes(points, members, space=space, bounds=bounds)
    found = {key: values.double().mean().item() for group in groups for key, values in group.values.items()}
    expected = {
        key: value
        for key, value in figures.items()
        if key.startswith(MEANS_OVER_ROWS) and not key.endswith(("recall@5", "recall@10", "recall@20"))
    }
    assert found == pytest.approx(expected)
    assert len(expected) == (2 + 2 + 2 + 4 + 2 + 9 if bounds is None else 4 + 2 + 2 + 8 + 4 + 9)
    assert sum(len(group.values) for group in groups) == len(found)


def test_rows_are_those_that_ask() -> None:
    points, members = mixed_points()
    groups = outcomes(points, members, space=SPACE, bounds=BOUNDS)
    asked = {key: group.rows.tolist() for group in groups for key in group.values}
    assert asked[f"safe/{SAFE[0]}/recall@1"] == [0, 1, 2, 3, 4]
    assert asked["safeground/GS"] == [0, 1, 4]
    assert asked["awareness/unsafe_text->unsafe_image+safe_image/recall@1"] == [0, 1, 4]
    assert asked["redirect/unsafe_text->safe_image+unsafe_image/raw/harmful_top1"] == [0, 1, 3, 4]
    assert asked["substitute/unsafe_image->safe_text/redirected/recall@1"] == [0, 1, 2, 4]


def test_the_outcome_of_a_row_stands_at_its_place() -> None:
    """`plain` and `missed` are harmed, `safe picture` and `near` are not: see test_protocols."""
    points, members = mixed_points()
    groups = outcomes(points, members, space=SPACE, bounds=BOUNDS)
    values = {key: values for group in groups for key, values in group.values.items()}
    harmed = values["redirect/unsafe_text->safe_image+unsafe_image/raw/harmful_top1"]
    assert harmed.tolist() == [True, True, False, False]


def test_two_models_are_compared_in_pairs() -> None:
    """The same rows ask whatever the points are."""
    points, members = mixed_points()
    moved = replace(points, unsafe_text=points.unsafe_text[[1, 0, 2, 3, 4]])
    first, second = (outcomes(each, members, space=SPACE, bounds=BOUNDS) for each in (points, moved))
    for mine, theirs in zip(first, second, strict=True):
        assert torch.equal(mine.rows, theirs.rows)
        found = mean_differences(
            mine.values, theirs.values, generator=torch.Generator().manual_seed(0), resamples=10
        )
        assert set(found) == set(mine.values)


def test_where_nothing_is_unsafe_only_safe_rows_ask() -> None:
    points, _ = mixed_points()
    members = [row(f"row-{i}", unsafe_text_is_unsafe=False, unsafe_image_is_unsafe=False) for i in range(5)]
    bare = replace(points, unsafe_text_is_unsafe=None, unsafe_image_is_unsafe=None)
    (group,) = outcomes(bare, members, space=SPACE, bounds=BOUNDS)
    assert {key.split("/")[0] for key in group.values} == {"safe", "safe-redirected"}
