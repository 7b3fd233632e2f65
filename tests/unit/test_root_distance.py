"""What root distances tell, on points that one can check by eye: see `point_samples`.

Triggers are 0.5 for text and 0.7 for images, limits 0.55 and 0.75.
"""

from dataclasses import replace

import pytest
from moderation_samples import sample_bounds
from point_samples import SPACE, mixed_points, quantile_points, spread_points

from hyperaware.evaluation import root_distance

BOUNDS = sample_bounds()


def test_separation_over_all_rows_per_category_and_on_the_slice() -> None:
    """Text: 2 of 16 pairs are in the wrong order; both are hate's, of 8; of dual use (0.2, 0.6 and 0.5, 0.8)
    one of 4. To catch 95 % of the unsafe is to catch all 4: from 0.4 on, where one safe text of 4 lies."""
    points, members = spread_points()
    figures = root_distance.root_separation(points, members, space=SPACE)
    assert figures["separation/text/all/auroc"] == 14 / 16
    assert figures["separation/text/category:hate/auroc"] == 6 / 8
    assert figures["separation/text/category:violence/auroc"] == 1.0
    assert figures["separation/text/slice:dual-use/auroc"] == 3 / 4
    assert figures["separation/text/all/fpr@95tpr"] == 1 / 4
    assert figures["separation/image/all/auroc"] == 1.0
    assert figures["separation/image/all/ap"] == 1.0
    assert len(figures) == 2 * 4 * 3


def test_rates_at_the_bounds() -> None:
    """Text: of the safe 0.1 0.2 0.3 0.6 one is above 0.5 and 0.55; of the unsafe 0.4 0.5 0.7 0.8 two are not.
    Images: of the safe 0.3 0.4 0.5 0.72 one is above 0.7, none above 0.75; of the unsafe, only 0.74 passes
    the limit. Dual use: safe text 0.2 and 0.6, safe pictures 0.4 and 0.72."""
    points, members = spread_points()
    figures = root_distance.blocking_rates(points, members, space=SPACE, bounds=BOUNDS)
    assert figures["blocking/text/all/trigger/false_positive_rate"] == 1 / 4
    assert figures["blocking/text/all/limit/miss_rate"] == 2 / 4
    assert figures["blocking/text/category:hate/limit/miss_rate"] == 1.0
    assert figures["blocking/text/category:violence/trigger/miss_rate"] == 0.0
    assert figures["blocking/image/all/trigger/false_positive_rate"] == 1 / 4
    assert figures["blocking/image/all/limit/false_positive_rate"] == 0.0
    assert figures["blocking/image/all/trigger/miss_rate"] == 0.0
    assert figures["blocking/image/all/limit/miss_rate"] == 1 / 4
    assert figures["blocking/text/slice:dual-use/trigger/false_positive_rate"] == 1 / 2
    assert figures["blocking/image/slice:dual-use/trigger/false_positive_rate"] == 1 / 2
    assert figures["blocking/image/slice:dual-use/limit/false_positive_rate"] == 0.0
    assert "blocking/text/category:hate/limit/false_positive_rate" not in figures


def test_rates_count_a_point_on_the_bound_as_not_above_it() -> None:
    """As in `moderation`: above means greater. The bound is set to the very distance of an unsafe text, and
    then less than a float32 step below it."""
    points, members = spread_points()
    third = float(SPACE.root_distance(points.unsafe_text)[2])
    for trigger, missed in ((third, 3 / 4), (third - 1e-12, 2 / 4)):
        bounds = replace(BOUNDS, trigger={"text": trigger, "image": 0.7})
        figures = root_distance.blocking_rates(points, members, space=SPACE, bounds=bounds)
        assert figures["blocking/text/all/trigger/miss_rate"] == missed


def test_generated_items_that_are_safe_stand_with_the_safe_ones() -> None:
    points, members = mixed_points()
    distances = root_distance.root_distances(points, space=SPACE)
    assert distances["safe_text"].tolist() == pytest.approx([0.4] * 5 + [0.3])
    assert distances["unsafe_image"].tolist() == pytest.approx([1.1, 0.46, 1.1, 0.35])
    figures = root_distance.counts(points, members)
    assert figures == {
        "count/text/all/safe": 6,
        "count/text/all/unsafe": 4,
        "count/image/all/safe": 6,
        "count/image/all/unsafe": 4,
    }
    rates = root_distance.blocking_rates(points, members, space=SPACE, bounds=BOUNDS)
    assert rates["blocking/image/all/trigger/false_positive_rate"] == pytest.approx(1 / 6)  # the one at 0.95


def test_quantiles_of_root_distance() -> None:
    """Of five values 0.2 to 0.4 the quartiles are the second and fourth; 5 % is a fifth of a step in."""
    figures = root_distance.root_distance_quantiles(quantile_points([0.3, 0.5, 0.7, 0.9]), space=SPACE)
    expected = {"q05": 0.21, "q25": 0.25, "q50": 0.3, "q75": 0.35, "q95": 0.39}
    for name, value in expected.items():
        assert figures[f"root_distance/safe_text/{name}"] == pytest.approx(value, abs=1e-6)
    assert figures["root_distance/unsafe_image/q50"] == pytest.approx(0.9, abs=1e-6)


@pytest.mark.parametrize(
    ("medians", "ordered"),
    [([0.3, 0.5, 0.7, 0.9], True), ([0.3, 0.7, 0.5, 0.9], False), ([0.5, 0.5, 0.7, 0.9], False)],
    ids=["in order", "pictures before unsafe texts", "equal"],
)
def test_whether_the_medians_are_in_order(medians: list[float], ordered: bool) -> None:
    figures = root_distance.root_distance_quantiles(quantile_points(medians), space=SPACE)
    assert figures["root_distance/medians_ordered"] is ordered
