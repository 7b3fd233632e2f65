"""Towers without padding and with a last layer of one token: the same features and gradients, less work."""

import dataclasses
from collections.abc import Callable
from typing import Any

import pytest
import torch
from model_samples import CAPTIONS, TINY, random_picture, tiny_model
from torch import Tensor, nn
from transformers import CLIPConfig, CLIPModel
from transformers.activations import QuickGELUActivation

from hyperaware.models import pooled
from hyperaware.models.adapters import add_lora
from hyperaware.models.dual_encoder import DualEncoder
from hyperaware.training.compute import set_up_towers
from hyperaware.training.settings import Settings

LAYERS = dataclasses.replace(TINY, text_layers=2, vision_layers=3)
TOWERS = ("text_model", "vision_model")


def model_of(kind: str) -> DualEncoder:
    """A model in training mode; with adapters, they have weights of their own."""
    model = tiny_model(towers=LAYERS)
    if kind == "gelu":
        for layer in model.clip.modules():
            if hasattr(layer, "activation_fn"):
                layer.activation_fn = nn.GELU()
    if kind == "adapters":
        add_lora(model, rank=2, alpha=4, dropout=0.0)
        generator = torch.Generator().manual_seed(0)
        with torch.no_grad():
            for name, parameter in model.named_parameters():
                if "lora_B" in name:
                    parameter.copy_(0.1 * torch.randn(parameter.shape, generator=generator))
    return model.train()


def inputs(model: DualEncoder) -> tuple[Tensor, Tensor, Tensor]:
    """Ids, mask and pixels; the captions have different lengths."""
    ids, mask = model.tokenizer([*CAPTIONS, "a red ball in the grey street at night", "a man"])
    assert len(set(mask.sum(dim=1).tolist())) > 2
    return ids, mask, model.preprocess([random_picture(seed) for seed in range(4)])


def whole(model: DualEncoder) -> tuple[Tensor, Tensor]:
    """The features of transformers' forward pass."""
    ids, mask, pixels = inputs(model)
    texts = model.clip.get_text_features(input_ids=ids, attention_mask=mask).pooler_output
    return texts, model.clip.get_image_features(pixel_values=pixels).pooler_output


def ours(model: DualEncoder) -> tuple[Tensor, Tensor]:
    ids, mask, pixels = inputs(model)
    return model.features_of_tokens(ids, mask), model.features_of_pixels(pixels)


def gradients(model: DualEncoder, features: tuple[Tensor, Tensor]) -> dict[str, Tensor]:
    model.zero_grad()
    sum((part**3).sum() for part in features).backward()  # type: ignore[union-attr]
    return {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}


def rows_seen(model: DualEncoder, work: Callable[[DualEncoder], Any]) -> dict[str, list[int]]:
    """How many tokens enter the first product of each layer's MLP, by tower."""
    seen: dict[str, list[int]] = {tower: [] for tower in TOWERS}
    hooks = []
    for tower in TOWERS:
        for layer in getattr(model.clip, tower).encoder.layers:

            def count(_: nn.Module, inputs: tuple[Tensor, ...], tower: str = tower) -> None:
                seen[tower].append(inputs[0].shape[:-1].numel())

            hooks.append(layer.mlp.fc1.register_forward_pre_hook(count))
    work(model)
    for hook in hooks:
        hook.remove()
    return seen


# -- the same ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["plain", "gelu", "adapters"])
def test_features_and_gradients_are_those_of_transformers(kind: str) -> None:
    model = model_of(kind)
    expected, features = whole(model), ours(model)
    for ours_, theirs in zip(features, expected, strict=True):
        torch.testing.assert_close(ours_, theirs, rtol=1e-5, atol=1e-6)
    theirs = gradients(model, expected)
    found = gradients(model, ours(model))
    assert found.keys() == theirs.keys()
    assert len(found) > 20
    largest = max(float(gradient.abs().max()) for gradient in theirs.values())
    for name, gradient in theirs.items():  # those of key biases are zero but for rounding
        torch.testing.assert_close(found[name], gradient, rtol=1e-4, atol=1e-6 * largest)


def test_a_text_is_pooled_where_transformers_pools_it() -> None:
    """At the first end token; without one at the first token; with the legacy end token at the highest id."""
    model = model_of("plain").eval()
    end = model.tokenizer.eos_id
    ids = torch.tensor([[5, 9, end, 8, end, 7], [4, 5, 6, 7, 8, end], [9, 8, 7, 6, 5, 4]])
    for end_token in (end, pooled.LEGACY_END):
        model.clip.text_model.eos_token_id = end_token
        expected = model.clip.get_text_features(input_ids=ids).pooler_output
        torch.testing.assert_close(model.features_of_tokens(ids), expected, rtol=1e-5, atol=1e-6)
    assert not torch.allclose(expected[0], expected[2], atol=1e-3)


def test_what_follows_the_end_changes_nothing() -> None:
    model = model_of("plain").eval()
    ids, mask, _ = inputs(model)
    other = torch.where(mask.bool(), ids, torch.full_like(ids, 7))
    assert not torch.equal(ids, other)
    assert torch.equal(model.features_of_tokens(ids), model.features_of_tokens(other))


def test_quick_gelu_is_transformers_bit_for_bit_and_has_its_gradient() -> None:
    x = torch.linspace(-12, 12, 1001, dtype=torch.float64, requires_grad=True)
    assert torch.equal(pooled._QuickGELU.apply(x), QuickGELUActivation()(x))
    assert torch.autograd.gradcheck(pooled._QuickGELU.apply, (x[::50].detach().requires_grad_(),))
    (found,) = torch.autograd.grad(pooled._QuickGELU.apply(x).sum(), x)
    (expected,) = torch.autograd.grad(QuickGELUActivation()(x).sum(), x)
    torch.testing.assert_close(found, expected)


# -- less work -----------------------------------------------------------------------------------------------


def test_no_layer_sees_padding_and_the_last_only_what_is_pooled() -> None:
    model = model_of("plain")
    ids, mask, pixels = inputs(model)
    tokens, texts, pictures = int(mask.sum()), len(ids), len(pixels)
    patches = (TINY.image_size // TINY.patch_size) ** 2 + 1
    assert tokens < ids.numel()
    assert rows_seen(model, ours) == {
        "text_model": [tokens, texts],
        "vision_model": [pictures * patches] * 2 + [pictures],
    }
    assert rows_seen(model, whole) == {
        "text_model": [ids.numel()] * 2,
        "vision_model": [pictures * patches] * 3,
    }


# -- what else the loop switches on --------------------------------------------------------------------------


def test_gradient_checkpointing_computes_each_layer_twice_and_changes_nothing() -> None:
    model = model_of("adapters")
    expected = gradients(model, ours(model))
    set_up_towers(model, Settings(gradient_checkpointing=True))
    found: dict[str, Tensor] = {}
    seen = rows_seen(model, lambda model: found.update(gradients(model, ours(model))))
    assert [len(calls) for calls in seen.values()] == [2 * 2, 2 * 3]
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[name], gradient) for name, gradient in expected.items())


def test_compiled_and_traced_towers_are_called_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    model = model_of("plain")
    assert pooled.is_pooled(model.clip)
    model.clip.vision_model._compiled_call_impl = lambda pixels: None  # as nn.Module.compile leaves it
    assert not pooled.is_pooled(model.clip)
    model.clip.vision_model._compiled_call_impl = None
    with monkeypatch.context() as patch:
        patch.setattr(torch.compiler, "is_compiling", lambda: True)
        assert rows_seen(model, ours) == rows_seen(model, whole)
    assert rows_seen(model, ours) != rows_seen(model, whole)


def test_towers_of_another_kind_are_called_whole() -> None:
    assert pooled.is_pooled(CLIPModel(CLIPConfig(**small_config())))
    assert not pooled.is_pooled(nn.Linear(2, 2))


def small_config() -> dict[str, Any]:
    layer = {"hidden_size": 8, "intermediate_size": 8, "num_hidden_layers": 1, "num_attention_heads": 1}
    return {
        "text_config": layer | {"vocab_size": 9},
        "vision_config": layer | {"image_size": 8, "patch_size": 4},
    }
