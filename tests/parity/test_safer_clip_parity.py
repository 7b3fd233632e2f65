"""SafeR-CLIP's targets, losses and gradients, by another writing of the same notes; no code exists."""

from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from golden_arrays import SHORT, leaves_of, read_numbers, reference_of
from torch import Tensor

from hyperaware.data.quadruplet import Quadruplet
from hyperaware.geometry.space import Sphere
from hyperaware.losses.relative import relative
from hyperaware.methods import safer_clip
from hyperaware.methods.safer_clip import SafeRCLIP, nearest_safe

LOSSES = {
    "relative/unsafe_image": "loss_rel_image",
    "relative/unsafe_text": "loss_rel_text",
    "redirection/unsafe_image": "loss_uni_image",
    "redirection/unsafe_text": "loss_uni_text",
    "preservation/safe_image>safe_image": "loss_pres_image_cos",
    "preservation/safe_text>safe_text": "loss_pres_text_cos",
    "preservation/safe_image>safe_text": "loss_pres_image_nce",
    "preservation/safe_text>safe_image": "loss_pres_text_nce",
}


@pytest.fixture(scope="module")
def golden(fixtures: Path) -> dict[str, Tensor]:
    return read_numbers(fixtures / "safer_clip.npz")


def targets_of(golden: dict[str, Tensor]) -> Quadruplet:
    """The safe pairs of the pool that are the targets; they have no unsafe side."""
    found = golden["nearest_index"]
    text, image = golden["pool_txt"][found], golden["pool_img"][found]
    nothing = torch.full_like(text, torch.nan)
    targets = Quadruplet(safe_text=text, safe_image=image, unsafe_text=nothing, unsafe_image=nothing)
    return targets.map(Sphere().lift)


def terms_at(
    golden: dict[str, Tensor], leaves: dict[str, Tensor], scale: Tensor | float
) -> dict[str, Tensor]:
    return SafeRCLIP().terms(
        Quadruplet(**leaves).map(Sphere().lift),
        space=Sphere(),
        logit_scale=scale,
        reference=reference_of(golden),
        targets=targets_of(golden),
    )


@pytest.fixture(scope="module")
def ours(golden: dict[str, Tensor]) -> SimpleNamespace:
    """The terms and the total at the file's logit scale, and the leaves with the gradients of the total."""
    leaves = leaves_of(golden)
    terms = terms_at(golden, leaves, golden["logit_scale"])
    total = torch.stack([SafeRCLIP().weight(name) * term for name, term in terms.items()]).sum()
    total.backward()
    return SimpleNamespace(terms=terms, total=total.detach(), leaves=leaves)


@pytest.mark.parametrize("similarities_at_once", [1, 100, 2**24])
def test_the_targets(
    similarities_at_once: int, golden: dict[str, Tensor], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(safer_clip, "BLOCK", similarities_at_once)
    unsafe, pool = Sphere().lift(golden["ref_txt_unsafe"]), Sphere().lift(golden["pool_txt"])
    found = nearest_safe(unsafe, pool)
    assert torch.equal(found, golden["nearest_index"])
    cosines = (unsafe * pool[found]).sum(-1)
    torch.testing.assert_close(cosines, golden["nearest_cosine"], rtol=0, atol=1e-12)


def test_a_plan_of_the_pool_alone_finds_what_the_file_has(golden: dict[str, Tensor]) -> None:
    """The 16 rows are among the 64 of the pool, whose safe captions are the candidates."""
    own = golden["pool_index_of_own_pair"]
    unsafe = golden["pool_txt"].clone()
    unsafe[own] = golden["ref_txt_unsafe"]
    rows = Quadruplet(
        safe_text=golden["pool_txt"],
        safe_image=golden["pool_img"],
        unsafe_text=unsafe,
        unsafe_image=golden["pool_img"],
    )
    plan = SafeRCLIP().plan(rows.map(Sphere().lift))
    assert torch.equal(plan.targets[own], golden["nearest_index"])
    assert int((golden["nearest_index"] == own).sum()) == 5  # the own twin is allowed, and not the rule


@pytest.mark.parametrize("term", LOSSES)
def test_each_loss(term: str, ours: SimpleNamespace, golden: dict[str, Tensor]) -> None:
    torch.testing.assert_close(ours.terms[term].detach(), golden[LOSSES[term]], rtol=0, atol=1e-9)


def test_the_total(ours: SimpleNamespace, golden: dict[str, Tensor]) -> None:
    assert set(ours.terms) == set(LOSSES)
    torch.testing.assert_close(ours.total, golden["loss_total"], rtol=0, atol=1e-9)


@pytest.mark.parametrize("part", SHORT)
def test_each_gradient(part: str, ours: SimpleNamespace, golden: dict[str, Tensor]) -> None:
    published = golden[f"grad_{SHORT[part]}"]
    assert float(published.abs().max()) > 1e-3
    torch.testing.assert_close(ours.leaves[part].grad, published, rtol=0, atol=1e-9)


def test_the_terms_at_a_scale_of_exactly_100(golden: dict[str, Tensor]) -> None:
    terms = terms_at(golden, leaves_of(golden), 100.0)
    for part, other, name in (("image", "text", "image_nce"), ("text", "image", "text_nce")):
        ours = terms[f"preservation/safe_{part}>safe_{other}"].detach()
        torch.testing.assert_close(ours, golden[f"loss_pres_{name}_scale100"], rtol=0, atol=1e-9)
    total = torch.stack(list(terms.values())).sum().detach()
    torch.testing.assert_close(total, golden["loss_total_scale100"], rtol=0, atol=1e-9)


@pytest.mark.parametrize(("part", "other"), [("image", "text"), ("text", "image")])
def test_the_relative_term_of_each_row_alone(part: str, other: str, golden: dict[str, Tensor]) -> None:
    """Nothing of the rest of the batch enters it."""
    anchors = Sphere().lift(golden[SHORT[f"unsafe_{part}"]])
    positives = getattr(targets_of(golden), f"safe_{other}")
    negatives = getattr(reference_of(golden), f"unsafe_{other}")
    alone = torch.stack(
        [
            relative(anchors[i : i + 1], positive=positives[i : i + 1], negative=negatives[i : i + 1])
            for i in range(len(anchors))
        ]
    )
    torch.testing.assert_close(alone, golden[f"rel_{part}_per_item"], rtol=0, atol=1e-9)
