"""Patches: apply and revert to the bit, in memory and through a file; what is refused."""

from pathlib import Path

import pytest
import torch
from editing_samples import TEXT_LAYER, VISION_LAYER, tiny_clip
from model_samples import tiny_model
from safetensors.torch import save_file
from torch import Tensor, nn

from hyperaware.editing.patch import FLIP, PRUNE, Patch, fingerprint
from hyperaware.errors import ConfigError, ModelError

NAMES = (TEXT_LAYER.format(0), TEXT_LAYER.format(1), VISION_LAYER.format(1))


def bits(model: nn.Module) -> dict[str, Tensor]:
    return {name: weight.detach().clone().view(torch.int32) for name, weight in model.named_parameters()}


def same(one: dict[str, Tensor], two: dict[str, Tensor]) -> bool:
    return all(torch.equal(one[name], two[name]) for name in one | two)


@pytest.fixture
def model() -> nn.Module:
    """A model with some weights that only bits tell apart: zeros of both signs, and a subnormal."""
    model = tiny_clip()
    with torch.no_grad():
        weight = dict(model.named_parameters())[NAMES[0]]
        weight[0, :3] = torch.tensor([0.0, -0.0, 1e-40])
    return model


def random_patch(model: nn.Module, *, alpha: float = FLIP) -> Patch:
    generator = torch.Generator().manual_seed(1)
    weights = dict(model.named_parameters())
    masks = {name: torch.rand(weights[name].shape, generator=generator) < 0.2 for name in NAMES}
    masks[NAMES[0]][0, :3] = True
    return Patch.of(model, masks, alpha=alpha, made_by={"method": "dice", "settings": {"chance": 0.2}})


@pytest.mark.parametrize("alpha", [FLIP, PRUNE])
def test_revert_undoes_apply_to_the_bit(model: nn.Module, alpha: float) -> None:
    before = bits(model)
    patch = random_patch(model, alpha=alpha)
    assert same(bits(model), before)
    patch.apply(model)
    changed = {name for name, weight in bits(model).items() if not torch.equal(weight, before[name])}
    assert changed == set(NAMES)
    weights = dict(model.named_parameters())
    for name in NAMES:
        expected = before[name].view(torch.float32)
        expected = torch.where(patch.masks[name], -expected if alpha == FLIP else torch.zeros(()), expected)
        assert torch.equal(weights[name].view(torch.int32), expected.view(torch.int32))
    patch.revert(model)
    assert same(bits(model), before)


@pytest.mark.parametrize("alpha", [FLIP, PRUNE])
def test_a_patch_is_the_same_from_its_file(model: nn.Module, alpha: float, tmp_path: Path) -> None:
    patch = random_patch(model, alpha=alpha)
    path = patch.save(tmp_path / "new" / "patch.safetensors")
    again = Patch.load(path)
    assert (again.alpha, again.model_before, again.model_after) == (
        alpha,
        patch.model_before,
        patch.model_after,
    )
    assert again.made_by == patch.made_by
    assert again.selected == patch.selected
    before = bits(model)
    again.apply(model)
    assert fingerprint(model) == patch.model_after
    again.revert(model)
    assert same(bits(model), before)
    assert again.save(tmp_path / "again").read_bytes() == path.read_bytes()
    assert sorted(file.name for file in tmp_path.iterdir()) == ["again", "new"]


def test_a_flip_costs_a_bit_for_each_weight(model: nn.Module, tmp_path: Path) -> None:
    patch = random_patch(model)
    size = patch.save(tmp_path / "patch").stat().st_size
    weights = sum(mask.numel() for mask in patch.masks.values())
    assert weights / 8 <= size < weights / 8 + 2000


def test_a_model_is_patched_once_and_no_other_is(model: nn.Module) -> None:
    patch = random_patch(model)
    with pytest.raises(ModelError, match="does not have this edit"):
        patch.revert(model)
    patch.apply(model)
    with pytest.raises(ModelError, match="has this edit already"):
        patch.apply(model)
    with torch.no_grad():
        next(model.parameters()).add_(1e-3)
    for change in (patch.apply, patch.revert):
        with pytest.raises(ModelError, match=f"for the model {patch.model_before}|{patch.model_after}"):
            change(model)


def test_the_fingerprint_of_a_dual_encoder_is_its_own() -> None:
    model = tiny_model()
    assert fingerprint(model) == model.fingerprint
    clip = tiny_clip()
    other = tiny_clip()
    assert fingerprint(clip) == fingerprint(other)
    with torch.no_grad():
        other.logit_scale.add_(0.1)
    assert fingerprint(clip) != fingerprint(other)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
@pytest.mark.parametrize("alpha", [FLIP, PRUNE])
def test_other_formats_are_edited_exactly_too(model: nn.Module, dtype: torch.dtype, alpha: float) -> None:
    """Weights that a narrower file holds: what is computed in float32 is told to be undone in that format."""
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(parameter.to(torch.bfloat16 if dtype != torch.float16 else dtype))
    patch = random_patch(model, alpha=alpha)
    stored = {name: weight.detach().to(dtype) for name, weight in model.named_parameters()}
    before = {name: weight.clone() for name, weight in stored.items()}
    patch.change(stored)
    patch.apply(model)
    assert all(torch.equal(stored[name].float(), weight) for name, weight in model.named_parameters())
    patch.change(stored, back=True)
    for name in NAMES:
        assert torch.equal(stored[name].view(torch.uint8), before[name].view(torch.uint8))


def test_only_exact_factors_are_allowed(model: nn.Module) -> None:
    with pytest.raises(ConfigError, match=r"alpha=0.5, expected -1"):
        random_patch(model, alpha=0.5)


def test_masks_must_fit(model: nn.Module) -> None:
    with pytest.raises(ModelError, match="no weight text_model"):
        Patch.of(model, {"text_model.nothing": torch.ones(2, dtype=torch.bool)}, alpha=FLIP, made_by={})
    with pytest.raises(ModelError, match=r"is \(12, 12\) of torch.float32, and the patch is for"):
        Patch.of(model, {NAMES[0]: torch.ones(2, 12, dtype=torch.bool)}, alpha=FLIP, made_by={})


def test_what_is_no_patch_is_refused(model: nn.Module, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="there is no patch"):
        Patch.load(tmp_path / "missing")
    garbage, plain, short = (tmp_path / name for name in ("garbage", "plain", "short"))
    garbage.write_bytes(b"not a safetensors file")
    save_file({"x": torch.ones(2)}, plain)
    whole = random_patch(model).save(tmp_path / "whole").read_bytes()
    short.write_bytes(whole[:-20])
    future = tmp_path / "future"
    future.write_bytes(whole.replace(b'\\"format\\": 1', b'\\"format\\": 9'))
    for path in (garbage, plain, short, tmp_path):
        with pytest.raises(ModelError, match="is no patch of hyperaware, or a damaged one"):
            Patch.load(path)
    with pytest.raises(ModelError, match="a patch of format 9, expected 1"):
        Patch.load(future)


def test_a_mask_of_the_wrong_length_is_refused(model: nn.Module, tmp_path: Path) -> None:
    path = random_patch(model).save(tmp_path / "patch")
    broken = path.read_bytes().replace(b"[12, 12]", b"[12, 99]")
    path.write_bytes(broken)
    with pytest.raises(ModelError, match="are no mask of shape"):
        Patch.load(path)
