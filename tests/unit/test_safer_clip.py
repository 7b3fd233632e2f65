"""SafeR-CLIP's targets, stages and readings, with the acceptance checks of its specification."""

import math
import subprocess
import sys
from typing import Any

import pytest
import torch
from model_samples import random_points
from torch import Tensor

from hyperaware.data.quadruplet import Quadruplet
from hyperaware.errors import ConfigError
from hyperaware.geometry.space import Sphere
from hyperaware.losses.relative import relative
from hyperaware.methods import safer_clip
from hyperaware.methods.safe_clip import SafeCLIP
from hyperaware.methods.safer_clip import SLOTS, SafeRCLIP, nearest_safe, stages_of


def on_sphere(seed: int, count: int = 6) -> Quadruplet:
    return random_points(count, 8, seed=seed).map(lambda part: Sphere().lift(part.detach()))


def terms(method: SafeRCLIP, **more: Any) -> dict[str, Tensor]:
    given = {"reference": on_sphere(1), "targets": on_sphere(2)} | more
    return method.terms(on_sphere(0), space=Sphere(), logit_scale=30.0, **given)


def angled(*cosines: float) -> Tensor:
    """Unit vectors in the plane with these cosines to (1, 0)."""
    return torch.tensor([[c, math.sqrt(1 - c * c)] for c in cosines], dtype=torch.float64)


# -- the relative term -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("difference", "loss"), [(0.0, 0.6931), (0.1, 0.7444), (-0.1, 0.6444), (-0.2, 0.5981), (-2.0, 0.1269)]
)
def test_the_relative_term_by_hand(difference: float, loss: float) -> None:
    """softplus(cos to the negative - cos to the positive); at -2 its floor."""
    negative, positive = (difference, 0.0) if difference > -2 else (-1.0, 1.0)
    found = relative(angled(1.0), positive=angled(positive), negative=angled(negative))
    assert float(found) == pytest.approx(loss, abs=5e-5)


def test_its_gradient_is_half_of_the_difference_where_both_are_equally_near() -> None:
    cosine = torch.zeros(1, 2, dtype=torch.float64, requires_grad=True)
    anchor = angled(1.0)
    relative(anchor, positive=angled(0.5), negative=angled(0.5) + cosine).backward()
    assert cosine.grad is not None
    torch.testing.assert_close(cosine.grad, 0.5 * anchor)


def test_a_low_temperature_sharpens_it() -> None:
    near, far = angled(0.9), angled(0.1)
    warm, cold = (
        float(relative(angled(1.0), positive=near, negative=far, temperature=t)) for t in (1.0, 0.1)
    )
    assert cold == pytest.approx(math.log1p(math.exp(-8)), rel=1e-9)
    assert cold < warm


# -- targets and stages ----------------------------------------------------------------------------------


def test_the_target_is_the_row_of_the_nearest_safe_caption() -> None:
    """Row 0 goes to row 1, row 1 to its own twin, row 2 to row 1 as well; pictures play no part."""
    safe, unsafe = angled(1.0, 0.6, -1.0), angled(0.5, 0.55, 0.2)
    pictures = angled(0.1, 0.2, 0.3)
    plan = SafeRCLIP().plan(
        Quadruplet(safe_text=safe, unsafe_text=unsafe, safe_image=pictures, unsafe_image=-pictures)
    )
    assert plan.targets.tolist() == [1, 1, 1]
    assert plan.first_epoch.tolist() == [1, 0, 2]  # row 1 is the nearest, row 2 the farthest


@pytest.mark.parametrize("block", [1, 7, 40, 2**24])
def test_blocks_of_similarities_are_bounded_and_change_nothing(
    block: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    unsafe, safe = (torch.randn(23, 5, generator=torch.Generator().manual_seed(s)) for s in (0, 1))
    whole = (unsafe @ Sphere().lift(safe).T).argmax(dim=1)
    largest = 0
    original = Sphere.similarity

    def measured(self: Sphere, x: Tensor, y: Tensor) -> Tensor:
        nonlocal largest
        largest = max(largest, len(x) * len(y))
        return original(self, x, y)

    monkeypatch.setattr(Sphere, "similarity", measured)
    monkeypatch.setattr(safer_clip, "BLOCK", block)
    assert torch.equal(nearest_safe(unsafe, Sphere().lift(safe)), whole)
    assert 0 < largest <= max(block, 23)  # one query against all items is the least there can be


GROWTH = """
import resource, torch
from hyperaware.methods import safer_clip

torch.set_num_threads(1)
safer_clip.BLOCK = 2**20
points = torch.nn.functional.normalize(torch.randn(14_000, 4, generator=torch.Generator().manual_seed(0)))
safer_clip.nearest_safe(points[:3000], points)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
safer_clip.nearest_safe(points, points.flip(0))
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


def test_the_memory_that_it_takes_does_not_grow_with_the_number_of_blocks() -> None:
    """14,000 x 14,000 similarities would be 748 MiB; holes left behind by masks were 300 to 600 MiB."""
    done = subprocess.run([sys.executable, "-c", GROWTH], capture_output=True, text=True, check=True)
    assert int(done.stdout) / 1024 < 40


def test_targets_are_nearer_than_twins_on_average() -> None:
    reference = on_sphere(0, 200)
    targets = SafeRCLIP().plan(reference).targets

    def mean_cosine(rows: Tensor) -> float:
        return float((reference.unsafe_text * reference.safe_text[rows]).sum(-1).mean())

    twin = SafeRCLIP(target="twin").plan(reference).targets
    assert twin.tolist() == list(range(200))
    assert mean_cosine(targets) > mean_cosine(twin) + 0.3


def test_stages_are_tertiles_of_the_rows_easiest_first() -> None:
    ease = torch.randn(100, generator=torch.Generator().manual_seed(0))
    stage = stages_of(ease, count=3)
    assert stage.bincount().tolist() == [34, 33, 33]
    assert ease[stage == 0].min() > ease[stage == 1].max() > ease[stage == 1].min() > ease[stage == 2].max()
    assert stages_of(ease, count=1).eq(0).all()
    assert len(stages_of(ease[:0], count=3)) == 0


def test_difficulty_by_the_twin_is_another_order() -> None:
    reference = on_sphere(3, 30)
    plan = SafeRCLIP(difficulty="twin").plan(reference)
    ease = (reference.unsafe_text * reference.safe_text).sum(-1)
    assert torch.equal(plan.first_epoch, stages_of(ease, count=3))
    assert torch.equal(plan.targets, SafeRCLIP().plan(reference).targets)
    assert not torch.equal(plan.first_epoch, SafeRCLIP().plan(reference).first_epoch)


# -- the readings ----------------------------------------------------------------------------------------


def test_without_targets_each_row_goes_to_its_twin() -> None:
    twins, own = terms(SafeRCLIP(), targets=None), terms(SafeRCLIP(), targets=on_sphere(1))
    assert {n: float(t) for n, t in twins.items()} == {n: float(t) for n, t in own.items()}
    assert float(twins["redirection/unsafe_text"]) != float(terms(SafeRCLIP())["redirection/unsafe_text"])


def test_preservation_sees_no_target() -> None:
    near, far = terms(SafeRCLIP()), terms(SafeRCLIP(), targets=on_sphere(9))
    assert {n for n in near if float(near[n]) != float(far[n])} == {
        f"{kind}/unsafe_{part}" for kind in ("relative", "redirection") for part in ("image", "text")
    }


def test_the_image_branch_alone_leaves_texts_without_redirection() -> None:
    left_out = terms(SafeRCLIP()).keys() - terms(SafeRCLIP(branches="image")).keys()
    assert left_out == {"relative/unsafe_text", "redirection/unsafe_text"}


def test_cross_preservation_by_the_cosine() -> None:
    found = terms(SafeRCLIP(cross_preservation="cosine"))["preservation/safe_image>safe_text"]
    expected = 1 - (on_sphere(0).safe_image * on_sphere(1).safe_text).sum(-1).mean()
    torch.testing.assert_close(found, expected)


def test_the_second_weighting_is_safe_clips() -> None:
    assert {SafeRCLIP().weight(name) for name in SLOTS} == {1.0}
    method = SafeRCLIP(weighting="safe-clip")
    assert sum(method.weight(name) for name in SLOTS) == pytest.approx(1 / 8)
    ratio = method.weight("relative/unsafe_image") / method.weight("redirection/unsafe_text")
    assert ratio == pytest.approx(5)
    assert sorted(map(method.weight, SLOTS)) == sorted(SafeCLIP().weight(term) for term in SLOTS.values())


@pytest.mark.parametrize("settings", [{"stages": 0}, {"temperature": 0.0}, {"temperature": -1.0}])
def test_impossible_settings_are_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match="expected at least 1, and more than 0"):
        SafeRCLIP(**settings)


def test_without_a_reference_it_refuses() -> None:
    with pytest.raises(ConfigError, match="needs the reference points"):
        terms(SafeRCLIP(), reference=None)
