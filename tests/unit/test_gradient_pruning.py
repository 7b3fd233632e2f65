"""G-Unsafe and G-Safe-CLIP: losses by hand, scores against a plain backward pass, pruning and its undoing."""

import math
from dataclasses import replace

import pytest
import torch
from editing_samples import TEXT_LAYER, VISION_LAYER, random_pairs, tiny_clip
from torch import Tensor
from torch.nn.functional import cross_entropy, normalize

from hyperaware.editing.encoders import ENCODERS
from hyperaware.editing.gradients import GSafeCLIP, GUnsafe, Sides, gradient_scores
from hyperaware.errors import ConfigError, DataError
from hyperaware.evaluation.examples import Batch

EAST, NORTH = torch.tensor([1.0, 0.0]), torch.tensor([0.0, 1.0])
SIDES = Sides(
    safe=torch.stack([EAST, NORTH]),
    unsafe=torch.stack([EAST, EAST]),
    other_safe=torch.stack([EAST, -NORTH]),
    other_unsafe=torch.stack([NORTH, NORTH]),
)


def test_the_loss_of_g_unsafe_by_hand() -> None:
    """Cosines with the safe and the unsafe partner: row 0 has 1 and 0, row 1 has -1 and 1."""
    assert GUnsafe.loss(SIDES).item() == pytest.approx((1 - 0 - 1 - 1) / 2)


def test_the_loss_of_g_safe_clip_by_hand() -> None:
    """Both unsafe partners lie north: each safe item has equal logits (log 2). The partner of row 0 has its
    logit with row 1 higher by 100 (loss 100), that of row 1 too (0). Row 1 is across from its twin: 1 - 0."""
    contrastive = (math.log(2) + (100.003 + 0) / 2) / 2
    assert GSafeCLIP.loss(SIDES).item() == pytest.approx(contrastive + (0 + 1) / 2, rel=1e-5)


def plain_gradient(pairs: Batch, name: str, *, text: bool, unsafe: bool) -> Tensor:
    """|dL/dW| by a backward pass through the whole model, written out for one encoder and one baseline."""
    model = tiny_clip()
    n = len(pairs.ids) // 2
    texts = normalize(model.get_text_features(input_ids=pairs.ids, attention_mask=pairs.mask).pooler_output)
    images = normalize(model.get_image_features(pixel_values=pairs.pixels).pooler_output)
    own, other = (texts, images.detach()) if text else (images, texts.detach())
    safe, twin = own[:n], own[n:].detach()
    if unsafe:
        loss = (safe * other[:n]).sum(1).mean() - (safe * other[n:]).sum(1).mean()
    else:
        logits = math.exp(4.6052) * safe @ other[n:].T
        target = torch.arange(n)
        loss = (cross_entropy(logits, target) + cross_entropy(logits.T, target)) / 2
        loss = loss + (1 - (safe * twin).sum(1)).mean()
    loss.backward()
    gradient = model.get_parameter(name).grad
    assert gradient is not None
    return gradient.abs()


@pytest.mark.parametrize("baseline", [GUnsafe, GSafeCLIP])
@pytest.mark.parametrize("name", [TEXT_LAYER.format(0), VISION_LAYER.format(1)])
def test_scores_are_the_sizes_of_gradients_averaged_over_batches(
    baseline: type[GUnsafe] | type[GSafeCLIP], name: str
) -> None:
    batches = [random_pairs(4, seed=1), random_pairs(6, seed=2)]
    found = gradient_scores(tiny_clip(), batches, encoders=ENCODERS, loss=baseline.loss)
    kind = {"text": name.startswith("text"), "unsafe": baseline is GUnsafe}
    expected = sum(plain_gradient(each, name, **kind) for each in batches) / 2
    assert torch.allclose(found.weights[name], expected, rtol=1e-4, atol=1e-7 * float(expected.max()))
    assert found.pairs == {"text": 10, "vision": 10}


def test_g_safe_clip_prunes_the_share_and_can_be_undone() -> None:
    model, pairs = tiny_clip(), random_pairs(5)
    before = {name: weight.clone() for name, weight in model.state_dict().items()}
    patch = GSafeCLIP(share=0.05).patch(model, [pairs], data="rows")
    assert patch.selected == {
        name: math.ceil(0.05 * mask.numel()) if name.startswith("text") else 20
        for name, mask in patch.masks.items()
    }
    assert all(torch.equal(before[name], weight) for name, weight in model.state_dict().items())
    patch.apply(model)
    for name, mask in patch.masks.items():
        weight = model.get_parameter(name).detach()
        assert torch.equal(weight == 0, mask)
        assert torch.equal(weight[~mask], before[name][~mask])
    patch.revert(model)
    assert all(torch.equal(before[name], weight) for name, weight in model.state_dict().items())


def test_g_unsafe_chooses_vision_by_mass_as_released() -> None:
    """By mass fewer are chosen than by number, for the chosen scores are above the mean."""
    model, pairs = tiny_clip(), random_pairs(5)
    released = GUnsafe(share=0.1).patch(model, [pairs])
    by_number = GUnsafe(share=0.1, vision_rule="count").patch(model, [pairs])
    for name, count in by_number.selected.items():
        same = torch.equal(released.masks[name], by_number.masks[name])
        assert same == name.startswith("text")
        assert released.selected[name] <= count
    assert released.made_by["method"] == "g-unsafe"


def test_one_encoder_alone_and_a_frozen_model() -> None:
    model = tiny_clip().requires_grad_(False)
    scores = gradient_scores(model, [random_pairs(3)], encoders=("vision",), loss=GUnsafe.loss)
    assert set(scores.weights) == {VISION_LAYER.format(0), VISION_LAYER.format(1)}
    assert not any(parameter.requires_grad for parameter in model.parameters())
    assert all(parameter.grad is None for parameter in model.parameters())


def test_rows_count_that_are_unsafe_on_both_sides() -> None:
    pairs = random_pairs(4)
    mixed = replace(
        pairs,
        unsafe_text_is_unsafe=torch.tensor([True, False, True, True]),
        unsafe_image_is_unsafe=torch.tensor([True, True, True, False]),
    )
    rows = torch.tensor([0, 2, 4, 6])
    two = replace(random_pairs(2), ids=pairs.ids[rows], mask=pairs.mask[rows], pixels=pairs.pixels[rows])
    found, expected = (
        gradient_scores(tiny_clip(), [each], encoders=ENCODERS, loss=GUnsafe.loss) for each in (mixed, two)
    )
    assert found.pairs == {"text": 2, "vision": 2}
    for name, score in found.weights.items():
        assert torch.allclose(score, expected.weights[name], rtol=1e-4, atol=1e-9)
    none = replace(mixed, unsafe_text_is_unsafe=torch.zeros(4, dtype=torch.bool))
    with pytest.raises(DataError, match="no row whose text and picture are both unsafe"):
        gradient_scores(tiny_clip(), [none], encoders=ENCODERS, loss=GUnsafe.loss)
    for wrong in ((), ("audio",)):
        with pytest.raises(ConfigError, match="expected some of text, vision"):
            gradient_scores(tiny_clip(), [pairs], encoders=wrong, loss=GUnsafe.loss)
