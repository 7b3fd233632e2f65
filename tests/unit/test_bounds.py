"""Bounds: order statistics that one can count on fingers, and a file that is whole or refused."""

import dataclasses
import json
import math
import os
from pathlib import Path
from typing import Any

import pytest
import torch
from moderation_samples import class_bounds, sample_bounds
from torch import Tensor

from hyperaware.data.quadruplet import Quadruplet
from hyperaware.errors import ConfigError, SafetyError
from hyperaware.geometry.space import Lorentz, Sphere
from hyperaware.moderation.bounds import (
    FILE_NAME,
    Bounds,
    ClassBounds,
    choose_landing,
    false_positive_bound,
    load,
    measure,
    miss_bound,
)

SPACE = Lorentz(1.0)


def at(*root_distances: float) -> Tensor:
    """Points on one ray, at these distances from the root."""
    rays = torch.tensor([[0.6, 0.8]], dtype=torch.float64).expand(len(root_distances), 2)
    return SPACE.move_to(rays, torch.tensor(root_distances, dtype=torch.float64))


def quadruplet(**changes: Any) -> Quadruplet:
    """Four rows; the third generated text and the fourth generated image came out safe."""
    values: dict[str, Any] = {
        "safe_text": at(0.1, 0.2, 0.4, 0.5),
        "unsafe_text": at(0.7, 0.8, 0.3, 0.4),
        "safe_image": at(0.2, 0.3, 0.5, 0.6),
        "unsafe_image": at(0.9, 1.0, 0.8, 0.4),
        "unsafe_text_is_unsafe": torch.tensor([True, True, False, True]),
        "unsafe_image_is_unsafe": torch.tensor([True, True, True, False]),
    }
    return Quadruplet(**{**values, **changes})


def measured(points: Quadruplet | None = None, **changes: Any) -> Bounds:
    values: dict[str, Any] = {
        "space": SPACE,
        "model_fingerprint": "model-a",
        "data_fingerprint": "data-a",
        "split": "calibration",
        "alpha": 0.25,
        "miss_rate": 0.25,
    }
    return measure(quadruplet() if points is None else points, **{**values, **changes})


# The two order statistics ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("n", "miss_rate", "k"),
    [(49, 0.02, 1), (98, 0.02, 1), (99, 0.02, 2), (99, 0.29, 29), (3, 0.25, 1)],
    ids=lambda value: str(value),
)
def test_the_miss_bound_lies_just_under_the_kth_unsafe_row(n: int, miss_rate: float, k: int) -> None:
    """k = floor((n + 1) miss_rate): 50 * 0.02 = 1, 99 * 0.02 = 1.98, 100 * 0.29 = 29 (28.99... in floats)."""
    distances = torch.arange(1, n + 1) / 100
    bound = miss_bound(distances.flip(0), miss_rate=miss_rate)
    assert bound == pytest.approx(k / 100)
    assert int((distances > bound).sum()) == n - k + 1


def test_rows_that_are_equally_far_out_are_all_above_the_miss_bound() -> None:
    distances = torch.full((60,), 0.3)
    assert bool((distances > miss_bound(distances, miss_rate=0.02)).all())


def test_too_few_unsafe_rows_are_refused_with_the_number_needed() -> None:
    with pytest.raises(SafetyError, match=r"48 unsafe rows.*at least 49"):
        miss_bound(torch.rand(48), miss_rate=0.02)


@pytest.mark.parametrize(("n", "alpha", "k"), [(19, 0.05, 19), (99, 0.05, 95), (9, 0.1, 9), (5, 0.25, 5)])
def test_the_false_positive_bound_is_the_kth_safe_row(n: int, alpha: float, k: int) -> None:
    """k = ceil((n + 1)(1 - alpha)): 20 * 0.95 = 19, 100 * 0.95 = 95, 6 * 0.75 = 4.5."""
    distances = torch.arange(1, n + 1, dtype=torch.float64) / 100
    assert false_positive_bound(distances.flip(0), alpha=alpha) == k / 100


def test_too_few_safe_rows_are_refused_with_the_number_needed() -> None:
    with pytest.raises(SafetyError, match=r"18 safe rows.*at least 19"):
        false_positive_bound(torch.rand(18), alpha=0.05)


@pytest.mark.parametrize("rate", [0.0, 1.0, -0.1, math.nan])
def test_a_rate_is_a_share(rate: float) -> None:
    with pytest.raises(SafetyError, match="miss_rate"):
        miss_bound(torch.rand(99), miss_rate=rate)
    with pytest.raises(SafetyError, match="alpha"):
        false_positive_bound(torch.rand(99), alpha=rate)


def test_the_promised_rates_hold_on_new_rows(generator: torch.Generator) -> None:
    """With 99 rows both promises are met with equality on average: 2 % missed, 5 % held back."""
    missed, held_back = [], []
    for _ in range(500):
        old, new = torch.rand(99, generator=generator), torch.rand(200, generator=generator)
        missed.append((new <= miss_bound(old, miss_rate=0.02)).float().mean())
        held_back.append((new > false_positive_bound(old, alpha=0.05)).float().mean())
    assert float(torch.stack(missed).mean()) == pytest.approx(0.02, abs=0.0025)
    assert float(torch.stack(held_back).mean()) == pytest.approx(0.05, abs=0.004)


# Measuring ------------------------------------------------------------------------------------------


def test_generated_rows_count_as_what_their_label_says() -> None:
    bounds = measured()
    assert (bounds.safe_text.n, bounds.unsafe_text.n) == (5, 3)
    assert (bounds.safe_image.n, bounds.unsafe_image.n) == (5, 3)
    # safe texts: 0.1 0.2 0.3 0.4 0.5; the quantiles lie at 0.2 and 3.8 steps of 0.1
    assert bounds.safe_text.low_05 == pytest.approx(0.12)
    assert bounds.safe_text.median == pytest.approx(0.3)
    assert bounds.safe_text.mean == pytest.approx(0.3)
    assert bounds.safe_text.up_95 == pytest.approx(0.48)
    assert bounds.unsafe_text.mean == pytest.approx((0.7 + 0.8 + 0.4) / 3)
    assert bounds.unsafe_image.median == pytest.approx(0.9)


def test_without_labels_every_generated_row_is_unsafe() -> None:
    bounds = measured(quadruplet(unsafe_text_is_unsafe=None, unsafe_image_is_unsafe=None))
    assert (bounds.safe_text.n, bounds.unsafe_text.n, bounds.unsafe_image.n) == (4, 4, 4)


def test_trigger_limit_and_their_costs() -> None:
    """Of 3 unsafe rows at 25 % the first counts, of 5 safe ones the last.

    The unsafe images begin at 0.8, beyond the limit 0.6, so that their trigger is the limit.
    """
    bounds = measured()
    assert bounds.trigger == pytest.approx({"text": 0.4, "image": 0.6})
    assert bounds.limit == pytest.approx({"text": 0.5, "image": 0.6})
    # safe texts 0.4 and 0.5 are above the text trigger (just under 0.4), no safe image is above 0.6
    assert bounds.trigger_false_positive_rate == pytest.approx({"text": 0.4, "image": 0.0})
    # the unsafe text at 0.4 is within the limit 0.5
    assert bounds.limit_miss_rate == pytest.approx({"text": 1 / 3, "image": 0.0})
    assert (bounds.alpha, bounds.miss_rate) == (0.25, 0.25)


def test_an_unsafe_row_exactly_at_the_limit_is_missed() -> None:
    """As the store shows it: of 0.4, 0.5 and 0.7 two are within the limit 0.5, the outermost safe text."""
    bounds = measured(quadruplet(unsafe_text=at(0.7, 0.5, 0.3, 0.4)))
    assert bounds.limit_miss_rate["text"] == pytest.approx(2 / 3)


def test_the_landing_is_the_given_one_or_the_inner_edge_of_the_safe_class() -> None:
    assert measured().landing == {"text": measured().safe_text.low_05, "image": measured().safe_image.low_05}
    assert measured(landing={"text": 0.11, "image": 0.22}).landing == {"text": 0.11, "image": 0.22}


def test_default_rates_need_49_unsafe_rows() -> None:
    with pytest.raises(SafetyError, match="at least 49"):
        measured(miss_rate=0.02)


@pytest.mark.parametrize("name", ["safe_text", "safe_image", "unsafe_text", "unsafe_image"])
def test_a_root_distance_that_is_not_finite_stops_the_measurement(name: str) -> None:
    points = at(0.1, 0.2, 0.3, 0.4)
    points[1, 0] = math.nan
    with pytest.raises(SafetyError, match=f"1 of .* root distances of {name} are not finite"):
        measured(quadruplet(**{name: points}))


def test_a_sphere_has_no_bounds() -> None:
    with pytest.raises(ConfigError, match="root"):
        measured(space=Sphere())


def test_measuring_under_a_learned_curvature_keeps_no_gradient() -> None:
    curv = torch.tensor(1.0, dtype=torch.float64, requires_grad=True)
    assert measured(space=Lorentz(curv)).safe_text.median == pytest.approx(0.3)


# The file -------------------------------------------------------------------------------------------


def test_bounds_survive_the_file_exactly(tmp_path: Path) -> None:
    bounds = measured()
    assert bounds.save(tmp_path) == tmp_path / FILE_NAME
    assert load(tmp_path, model_fingerprint="model-a") == bounds
    assert os.listdir(tmp_path) == [FILE_NAME]
    document = json.loads((tmp_path / FILE_NAME).read_text())
    assert document["version"] == 1
    assert document["trigger"] == bounds.trigger


def test_a_write_that_fails_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    old = sample_bounds()
    old.save(tmp_path)

    def refuse(*_: Any) -> None:
        raise OSError("disk full")

    monkeypatch.setattr("hyperaware.files.os.replace", refuse)
    with pytest.raises(OSError, match="disk full"):
        sample_bounds(split="other").save(tmp_path)
    assert load(tmp_path) == old
    assert os.listdir(tmp_path) == [FILE_NAME]


def test_a_missing_file_is_refused_with_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(SafetyError, match=r"bounds\.json does not exist.*Measure the bounds"):
        load(tmp_path)


def test_the_bounds_of_another_model_are_refused(tmp_path: Path) -> None:
    sample_bounds().save(tmp_path)
    with pytest.raises(SafetyError, match=r"the model model-a, but this model is model-b.*Measure"):
        load(tmp_path, model_fingerprint="model-b")


def _changed(**changes: Any) -> str:
    document = {"version": 1, **json.loads(json.dumps(sample_bounds(), default=vars))}
    document.update(changes)
    return json.dumps({name: value for name, value in document.items() if value != "absent"})


DAMAGED = {
    "not JSON": ("{", "cannot be read"),
    "a list": ("[]", "version"),
    "no version": (_changed(version="absent"), "version"),
    "a later version": (_changed(version=2), "version"),
    "a missing class": (_changed(unsafe_image="absent"), r"missing \['unsafe_image'\]"),
    "an empty class": (_changed(safe_text=None), "safe_text: missing"),
    "an unknown key": (_changed(triger={"text": 1.0}), r"unknown \['triger'\]"),
    "a trigger that is NaN": (
        _changed(trigger={"text": math.nan, "image": 0.7}),
        r"trigger\['text'\] is nan",
    ),
    "a limit that is infinite": (
        _changed(limit={"text": 0.5, "image": math.inf}),
        r"limit\['image'\] is inf",
    ),
    "a trigger for one modality": (_changed(trigger={"text": 0.5}), "trigger is"),
    "a negative landing": (_changed(landing={"text": -0.1, "image": 0.3}), r"landing\['text'\] is -0.1"),
    "a landing at the root": (_changed(landing={"text": 0.0, "image": 0.3}), "every query is the same"),
    "a number as text": (_changed(limit={"text": "0.5", "image": 0.7}), r"limit\['text'\] is '0.5'"),
    "a rate of true": (_changed(alpha=True), "alpha is True"),
    "no fingerprint": (_changed(model_fingerprint=""), "model_fingerprint is ''"),
    "a class that is NaN": (_changed(safe_text={**vars(class_bounds()), "mean": math.nan}), "mean is nan"),
    "a class of no rows": (_changed(safe_text={**vars(class_bounds()), "n": 0}), "n is 0"),
    "quantiles in disorder": (_changed(safe_text={**vars(class_bounds()), "low_05": 0.9}), "not in order"),
}


@pytest.mark.parametrize("damage", DAMAGED)
def test_a_damaged_file_is_refused_by_name(damage: str, tmp_path: Path) -> None:
    text, message = DAMAGED[damage]
    (tmp_path / FILE_NAME).write_text(text)
    with pytest.raises(SafetyError, match=message) as caught:
        load(tmp_path)
    assert str(tmp_path / FILE_NAME) in str(caught.value)
    assert "Measure the bounds" in str(caught.value)


def test_an_undamaged_file_is_read(tmp_path: Path) -> None:
    """The damage above is what makes the difference, not the way in which these files are written."""
    (tmp_path / FILE_NAME).write_text(_changed())
    assert load(tmp_path) == sample_bounds()
    assert isinstance(load(tmp_path).safe_image, ClassBounds)


# Where to land --------------------------------------------------------------------------------------


def twins(
    safe_distances: list[float], *, safe_cosine: float = 0.55, unsafe_cosine: float = 0.8
) -> Quadruplet:
    """Rows in subspaces of their own: query along the first axis, safe and unsafe twin in two planes with it.

    With c = 0.1, a safe twin at 0.443 and an unsafe one at 0.618, a query nearer to the root than 0.3702 has
    the safe one nearer, and one farther out the unsafe one (beyond-hysac.md, 4.3).
    """
    n = len(safe_distances)
    axes = torch.eye(3 * n, dtype=torch.float64).reshape(n, 3, 3 * n)

    def points(cosine: float, plane: int, distances: list[float]) -> Tensor:
        rays = cosine * axes[:, 0] + math.sqrt(1 - cosine**2) * axes[:, plane]
        return NEARLY_FLAT.move_to(rays, torch.tensor(distances, dtype=torch.float64))

    queries, safe = points(1.0, 1, [0.618] * n), points(safe_cosine, 1, safe_distances)
    unsafe = points(unsafe_cosine, 2, [0.618] * n)
    return Quadruplet(safe_image=safe, safe_text=safe, unsafe_image=unsafe, unsafe_text=queries)


NEARLY_FLAT = Lorentz(0.1)


def landings(points: Quadruplet, *candidates: float) -> float:
    return choose_landing(points, space=NEARLY_FLAT, candidates=candidates)["image"]


def test_the_landing_is_the_last_place_where_the_safe_twin_wins() -> None:
    points = twins([0.443, 0.443])
    assert landings(points, 0.36 / 0.443, 0.38 / 0.443) == pytest.approx(0.36)
    assert landings(points, 0.369 / 0.443, 0.371 / 0.443) == pytest.approx(0.369)


def test_close_to_the_root_every_query_finds_the_innermost_item() -> None:
    """At 0.05 all three find the first safe item; at 0.3 each finds its own."""
    points = twins([0.38, 0.443, 0.45])
    assert landings(points, 0.05 / 0.443, 0.3 / 0.443) == pytest.approx(0.3)


def test_of_equally_good_landings_the_innermost_is_taken() -> None:
    assert landings(twins([0.443, 0.443]), 0.8, 0.5, 0.6) == pytest.approx(0.5 * 0.443)


def test_where_nothing_is_harmless_the_least_harmful_landing_is_taken() -> None:
    """The safe twin at 0.5 loses from 0.3004 on, that at 0.443 from 0.3702 on: one at 0.33, both at 0.5."""
    points = twins([0.443, 0.5])
    median = (0.443 + 0.5) / 2
    assert landings(points, 0.5 / median, 0.33 / median) == pytest.approx(0.33)


@pytest.mark.parametrize(
    ("labelled", "median"), [("unsafe_text_is_unsafe", 0.443), ("unsafe_image_is_unsafe", (0.443 + 0.5) / 2)]
)
def test_a_generated_row_that_is_labelled_safe_does_no_harm(labelled: str, median: float) -> None:
    """At 0.33 the first query of three finds its generated twin, at 0.05 all find the innermost safe item.

    That rules 0.33 out, unless the twin is in truth a safe picture (which then counts into the median of
    the safe ones, from which 0.33 is reckoned), or the query a safe text.
    """
    points = twins([0.5, 0.443, 0.38])
    assert landings(points, 0.05 / 0.443, 0.33 / 0.443) == pytest.approx(0.05)
    points = dataclasses.replace(points, **{labelled: torch.tensor([False, True, True])})
    assert landings(points, 0.05 / 0.443, 0.33 / 0.443) == pytest.approx(0.33 * median / 0.443)


def test_a_query_that_is_already_further_in_stays_there() -> None:
    """From 0.3 all three find their own safe item; moved out to 0.5 they would find their unsafe twins."""
    points = twins([0.45, 0.443, 0.38])
    points = dataclasses.replace(points, unsafe_text=NEARLY_FLAT.move_to(points.unsafe_text, 0.3))
    assert landings(points, 0.05 / 0.443, 0.5 / 0.443) == pytest.approx(0.5)


def test_without_an_unsafe_query_no_landing_is_chosen() -> None:
    points = quadruplet(unsafe_text_is_unsafe=torch.zeros(4, dtype=torch.bool))
    with pytest.raises(SafetyError, match="no text of the split is unsafe, so no landing for image"):
        choose_landing(points, space=SPACE)
