"""Galleries of other data, on a line: points of one coordinate in flat space."""

import pytest
import torch
from moderation_samples import sample_bounds
from point_samples import row, rows

from hyperaware.data.quadruplet import Quadruplet
from hyperaware.errors import DataError
from hyperaware.evaluation.keys import REDIRECT
from hyperaware.evaluation.labels import labelled
from hyperaware.evaluation.real_unsafe import real_unsafe
from hyperaware.geometry.space import Euclid

BOUNDS = sample_bounds()  # texts fire above 0.5, pictures above 0.7; landings are 0.2 (text), 0.3 (image)
TEXTS, PICTURES = REDIRECT


def line(*values: float) -> torch.Tensor:
    return torch.tensor(values).unsqueeze(1)


QUERIES = labelled(
    Quadruplet(
        safe_text=line(0.0, 0.0, 0.0),
        safe_image=line(0.0, 0.0, 0.0),
        unsafe_text=line(1.0, 0.45, 1.1),
        unsafe_image=line(1.0, 0.45, 1.1),
    ),
    [row("far"), row("near"), row("safe", unsafe_text_is_unsafe=False, unsafe_image_is_unsafe=False)],
)
SAFE = line(*(0.1 + 0.02 * step for step in range(10)))  # up to 0.28
UNSAFE = line(1.1, 5.0, 5.0, 5.0, 5.0, 0.45, 5.0, 5.0, 5.0, 5.0)


def gallery(*, safe: torch.Tensor = SAFE, first_is_unsafe: bool = True) -> Quadruplet:
    members = [row("first", unsafe_image_is_unsafe=first_is_unsafe), *rows(len(safe) - 1)]
    return labelled(
        Quadruplet(
            safe_image=safe, safe_text=safe, unsafe_image=UNSAFE[: len(safe)], unsafe_text=UNSAFE[: len(safe)]
        ),
        members,
    )


def test_one_unsafe_item_for_ten_safe_ones_by_hand() -> None:
    """The one unsafe item is at 1.1. Raw, 1.0 finds it and 0.45 finds 0.28. The text at 1.0 is moved to 0.3,
    the picture to 0.2: both find safe items."""
    figures = real_unsafe(QUERIES, {"other": gallery()}, space=Euclid(), bounds=BOUNDS)
    assert figures == {
        f"real-unsafe/other/{TEXTS}/raw/harmful_top1": 1 / 2,
        f"real-unsafe/other/{TEXTS}/redirected/harmful_top1": 0.0,
        f"real-unsafe/other/{PICTURES}/raw/harmful_top1": 1 / 2,
        f"real-unsafe/other/{PICTURES}/redirected/harmful_top1": 0.0,
    }


def test_unsafe_items_are_taken_at_even_distances() -> None:
    """At a ratio of five there are two, the first and the sixth (0.45); the query at 0.45 does not fire."""
    figures = real_unsafe(QUERIES, {"other": gallery()}, space=Euclid(), bounds=BOUNDS, ratio=5)
    assert figures[f"real-unsafe/other/{TEXTS}/raw/harmful_top1"] == 1.0
    assert figures[f"real-unsafe/other/{TEXTS}/redirected/harmful_top1"] == 1 / 2


def test_items_that_came_out_safe_are_not_taken_for_unsafe() -> None:
    """Without the one at 1.1, the first unsafe picture is at 5.0: nobody finds it. Texts are as before."""
    galleries = {"other": gallery(first_is_unsafe=False)}
    figures = real_unsafe(QUERIES, galleries, space=Euclid(), bounds=None)
    assert figures == {
        f"real-unsafe/other/{TEXTS}/raw/harmful_top1": 0.0,
        f"real-unsafe/other/{PICTURES}/raw/harmful_top1": 1 / 2,
    }


def test_a_gallery_that_is_too_small_is_refused() -> None:
    small = {"small": gallery(safe=SAFE[:9])}
    with pytest.raises(DataError, match="'small' has 9 safe images and 9 unsafe ones; expected at least 10"):
        real_unsafe(QUERIES, small, space=Euclid(), bounds=None)


def test_without_galleries_there_are_no_figures() -> None:
    assert real_unsafe(QUERIES, {}, space=Euclid(), bounds=BOUNDS) == {}
