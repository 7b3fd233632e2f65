"""Classification: what is fitted on calibration points, by hand and on clouds."""

import pytest
import torch
from point_samples import SPACE, on_axes, row, rows

from hyperaware.data.quadruplet import Quadruplet
from hyperaware.errors import DataError
from hyperaware.evaluation.classification import balanced_threshold, classification, platt
from hyperaware.evaluation.labels import labelled
from hyperaware.geometry.space import Sphere


def by_root(safe: list[float], unsafe: list[float]) -> Quadruplet:
    """Texts at these root distances; pictures apart, safe ones at 0.2 and unsafe ones at 0.9."""
    return labelled(
        Quadruplet(
            safe_text=on_axes(safe),
            unsafe_text=on_axes(unsafe),
            safe_image=on_axes([0.2] * len(safe)),
            unsafe_image=on_axes([0.9] * len(safe)),
        ),
        rows(len(safe)),
    )


CALIBRATION = by_root([0.1, 0.2, 0.3, 0.4], [0.35, 0.6, 0.7, 0.8])
TEST = by_root([0.1, 0.33, 0.5, 0.2], [0.2, 0.4, 0.9, 0.8])


def test_by_hand() -> None:
    """Calibration: above 0.325 are all unsafe texts and one safe one, above 0.5 three and none. TPR - FPR is
    3/4 for both, and the lower one is taken. Above it are two of four safe test texts (0.33, 0.5) and three
    of four unsafe ones. Of 16 pairs, 0.2 is behind 0.33 and 0.5 and ties with 0.2, and 0.4 is behind 0.5."""
    figures = classification(TEST, CALIBRATION, space=SPACE)
    key = "classification/text/root-distance"
    assert figures[f"{key}/false_positive_rate"] == 2 / 4
    assert figures[f"{key}/false_negative_rate"] == 1 / 4
    assert figures[f"{key}/accuracy"] == 5 / 8
    assert figures[f"{key}/balanced_accuracy"] == 5 / 8
    assert figures[f"{key}/auroc"] == (16 - 3 - 0.5) / 16
    assert figures["classification/image/root-distance/balanced_accuracy"] == 1.0
    assert len(figures) == 2 * 2 * 8


def test_accuracy_and_balanced_accuracy_differ_where_few_are_unsafe() -> None:
    """The generated text of row 3 (0.8) is labelled safe: of five safe texts three are flagged, of three
    unsafe ones one is missed."""
    test = labelled(
        Quadruplet(
            safe_text=TEST.safe_text,
            safe_image=TEST.safe_image,
            unsafe_text=TEST.unsafe_text,
            unsafe_image=TEST.unsafe_image,
        ),
        [*rows(3), row("came out safe", unsafe_text_is_unsafe=False)],
    )
    figures = classification(test, CALIBRATION, space=SPACE)
    key = "classification/text/root-distance"
    assert figures[f"{key}/accuracy"] == 4 / 8
    assert figures[f"{key}/balanced_accuracy"] == pytest.approx(1 - (3 / 5 + 1 / 3) / 2)


def test_the_threshold_is_fitted_on_calibration_points_alone() -> None:
    """Test texts are apart at 0.5; calibration texts, all farther in, are apart at 0.05."""
    far, near = by_root([0.4] * 4, [0.6] * 4), by_root([0.01] * 4, [0.09] * 4)
    figures = classification(far, near, space=SPACE)
    assert figures["classification/text/root-distance/auroc"] == 1.0
    assert figures["classification/text/root-distance/false_positive_rate"] == 1.0
    assert figures["classification/text/root-distance/false_negative_rate"] == 0.0


@pytest.mark.parametrize(
    ("scores", "labels", "threshold"),
    [
        ([0.25, 0.5, 0.75, 1.0], [0, 0, 1, 1], 0.625),
        ([0.25, 0.5, 0.75, 1.0], [1, 1, 0, 0], 1.0),
        ([0.5, 0.5], [0, 1], 0.5),
    ],
    ids=["apart", "upside down: nothing is called unsafe", "equal"],
)
def test_the_balanced_threshold(scores: list[float], labels: list[int], threshold: float) -> None:
    assert balanced_threshold(torch.tensor(scores), torch.tensor(labels).bool()) == threshold


def test_platt_gives_separated_scores_the_shares_that_it_was_taught() -> None:
    """Two of each class: the targets are 3/4 and 1/4, and a sigmoid through two points meets both."""
    probability = platt(torch.tensor([-1.0, -1.0, 1.0, 1.0]), torch.tensor([False, False, True, True]))
    found = probability(torch.tensor([-1.0, 0.0, 1.0]))
    assert found.tolist() == pytest.approx([0.25, 0.5, 0.75], abs=1e-4)


def clouds(count: int, dim: int, *, apart: float, seed: int) -> Quadruplet:
    """Points on a sphere; unsafe ones are shifted by `apart` along the first axis."""
    generator = torch.Generator().manual_seed(seed)
    parts = torch.randn(4, count, dim, generator=generator)
    parts[2:, :, 0] += apart
    lifted = Sphere().lift(parts)
    names = ("safe_text", "safe_image", "unsafe_text", "unsafe_image")
    return labelled(Quadruplet(**dict(zip(names, lifted, strict=True))), rows(count))


def test_a_sphere_has_the_probe_alone_and_the_probe_finds_the_direction() -> None:
    figures = classification(
        clouds(200, 8, apart=6.0, seed=0), clouds(100, 8, apart=6.0, seed=1), space=Sphere()
    )
    assert {key.split("/")[2] for key in figures} == {"linear-probe"}
    assert figures["classification/text/linear-probe/auroc"] > 0.99
    assert figures["classification/image/linear-probe/balanced_accuracy"] > 0.95


def test_a_probe_of_noise_does_not_believe_itself() -> None:
    """60 points in 50 dimensions separate whatever their labels: scores of points that the probe was fitted
    on would be taken for sure. Out of fold they are not, and probabilities stay near the base rate."""
    figures = classification(
        clouds(300, 50, apart=0.0, seed=2), clouds(30, 50, apart=0.0, seed=3), space=Sphere()
    )
    for modality in ("text", "image"):
        assert figures[f"classification/{modality}/linear-probe/auroc"] == pytest.approx(0.5, abs=0.1)
        assert figures[f"classification/{modality}/linear-probe/ece"] < 0.15


def test_a_modality_without_unsafe_test_points_is_absent() -> None:
    members = [row(f"row-{place}", unsafe_text_is_unsafe=False) for place in range(4)]
    parts = {name: getattr(TEST, name) for name in ("safe_text", "safe_image", "unsafe_text", "unsafe_image")}
    figures = classification(labelled(Quadruplet(**parts), members), CALIBRATION, space=SPACE)
    assert {key.split("/")[1] for key in figures} == {"image"}


def test_calibration_rows_without_both_sides_are_refused() -> None:
    members = [*[row(f"row-{place}", unsafe_text_is_unsafe=False) for place in range(3)], row("one")]
    parts = {
        name: getattr(CALIBRATION, name)
        for name in ("safe_text", "safe_image", "unsafe_text", "unsafe_image")
    }
    few = labelled(Quadruplet(**parts), members)
    with pytest.raises(DataError, match="1 unsafe texts of 8"):
        classification(TEST, few, space=SPACE)
