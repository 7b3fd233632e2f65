"""SafeGround on rows: tuples on their axes, so that every distance is a difference of root distances."""

import pytest
import torch

from hyperaware.data.quadruplet import Quadruplet
from hyperaware.evaluation.preference import paired_similarities, safe_preferences
from hyperaware.geometry.space import Lorentz, Space, Sphere

SPACE = Lorentz(1.0)


def on_axes(distances: list[float]) -> torch.Tensor:
    return SPACE.lift(torch.diag(torch.tensor(distances)))


POINTS = Quadruplet(
    safe_text=on_axes([0.4, 0.4, 0.4, 0.4]),
    safe_image=on_axes([0.6, 0.6, 0.6, 0.6]),
    unsafe_text=on_axes([1.0, 0.45, 1.0, 0.4]),
    unsafe_image=on_axes([1.1, 0.46, 0.35, 0.6]),
)


def test_by_hand() -> None:
    """Minus the distances, a to d, of the first three rows; the fourth is no tuple.

    -0.2 -0.4  -0.7  -0.1    both safe queries prefer the safe twin, no unsafe one does
    -0.2 -0.15 -0.06 -0.01   none does
    -0.2 -0.4  -0.05 -0.65   all but the safe text do
    """
    figures = safe_preferences(POINTS, torch.tensor([True, True, True, False]), space=SPACE)
    assert figures.pop("count/safeground") == 3
    assert figures == pytest.approx(
        {
            "safeground/P_t_s": 1 / 3,
            "safeground/P_t_u": 1 / 3,
            "safeground/P_v_s": 2 / 3,
            "safeground/P_v_u": 1 / 3,
            "safeground/Txt_s": 1 / 3,
            "safeground/Img_s": 0.0,
            "safeground/PS": 1 / 3,
            "safeground/PU": 1 / 3,
            "safeground/GS": 0.0,
        }
    )


def test_twins_in_one_place_tie_and_fail() -> None:
    """In the fourth row the unsafe items lie where the safe ones do."""
    figures = safe_preferences(POINTS, torch.tensor([False, False, False, True]), space=SPACE)
    assert {share for key, share in figures.items() if key.startswith("safeground/")} == {0.0}


def test_without_tuples_there_is_no_figure() -> None:
    assert safe_preferences(POINTS, torch.zeros(4, dtype=torch.bool), space=SPACE) == {}


@pytest.mark.parametrize("space", [Sphere(), Lorentz(0.7)], ids=["sphere", "lorentz"])
def test_the_order_is_that_of_the_similarity_matrix(space: Space, generator: torch.Generator) -> None:
    """Every contest of 50 random tuples is decided as the diagonals of the full matrices decide it."""
    v_s, v_u, t_s, t_u = space.lift(torch.randn(4, 50, 6, generator=generator, dtype=torch.float64))
    points = Quadruplet(safe_image=v_s, unsafe_image=v_u, safe_text=t_s, unsafe_text=t_u)
    found = torch.stack(list(paired_similarities(points, space=space)))
    full = torch.stack([space.similarity(v, t).diagonal() for v in (v_s, v_u) for t in (t_s, t_u)])
    assert torch.equal(found.argsort(dim=0), full.argsort(dim=0))
