"""Adapters: on the published layers and no others, without effect at the start, and merged without loss."""

import dataclasses
import functools
import re

import pytest
import torch
from model_samples import CAPTIONS, TINY, random_picture, tiny_model
from peft.tuners import lora
from torch import Tensor, nn

from hyperaware.models.adapters import PUBLISHED_TARGETS, add_lora, has_lora, merged
from hyperaware.models.dual_encoder import DualEncoder
from hyperaware.models.lora_linear import LoraLinear

PICTURES = [random_picture(seed) for seed in range(3)]
LAYERS = dataclasses.replace(TINY, text_layers=2, vision_layers=3)


def adapted(*, trained: bool = False, rank: int = 2) -> DualEncoder:
    """A model with adapters; `trained` ones are not zero any more."""
    model = tiny_model(lorentz=True, towers=LAYERS)
    add_lora(model, rank=rank, alpha=4, dropout=0.0)
    if trained:
        generator = torch.Generator().manual_seed(0)
        with torch.no_grad():
            for name, parameter in model.named_parameters():
                if "lora_B" in name:
                    parameter.copy_(0.1 * torch.randn(parameter.shape, generator=generator))
    return model.eval()


def points(model: DualEncoder) -> Tensor:
    return torch.cat([model.encode_text(CAPTIONS), model.encode_image(PICTURES)])


def test_the_published_layers_are_adapted_and_no_others() -> None:
    names = [name for name, _ in adapted().named_parameters() if "lora_A" in name]
    layers = {re.sub(r".*base_model\.model\.(.*)\.lora_A.*", r"\1", name) for name in names}
    inner = ("self_attn.k_proj", "self_attn.v_proj", "self_attn.out_proj", "mlp.fc1", "mlp.fc2")
    text = {f"text_model.encoder.layers.{i}.{layer}" for i in range(2) for layer in inner}
    vision = {f"vision_model.encoder.layers.{i}.{layer}" for i in range(3) for layer in inner}
    assert layers == text | vision | {"vision_model.embeddings.patch_embedding"}
    assert PUBLISHED_TARGETS == ("k_proj", "v_proj", "out_proj", "fc1", "fc2", "patch_embedding")


def test_only_adapters_and_scalars_are_trained() -> None:
    trained = [name for name, parameter in adapted().named_parameters() if parameter.requires_grad]
    scalars = [name for name in trained if "lora_" not in name]
    assert sorted(scalars) == ["log_alpha_image", "log_alpha_text", "log_curv", "log_logit_scale"]
    assert not any("q_proj" in name or "projection" in name for name in trained)


@pytest.mark.parametrize("rank", [1, 2, 5])
def test_the_number_of_trained_parameters(rank: int) -> None:
    """rank (inputs + outputs) for each layer: three of width w in the attention, w to 4w and back.

    The patch embedding has 3 p p inputs and w outputs. HySAC's ViT-L/14 at rank 16 follows the same formula.
    """

    def count(rank: int, *, text: tuple[int, int], vision: tuple[int, int], patch: int) -> tuple[int, int]:
        per_layer = [rank * (3 * 2 * width + 2 * 5 * width) * layers for width, layers in (text, vision)]
        return per_layer[0], per_layer[1] + rank * (3 * patch * patch + vision[0])

    trained = sum(p.numel() for p in adapted(rank=rank).parameters() if p.requires_grad)
    assert trained == sum(count(rank, text=(16, 2), vision=(16, 3), patch=8)) + 4
    assert count(16, text=(768, 12), vision=(1024, 24), patch=14) == (2_359_296, 6_317_248)  # published


def test_adapters_start_as_the_identity() -> None:
    plain = points(tiny_model(lorentz=True, towers=LAYERS))
    torch.testing.assert_close(points(adapted()), plain, rtol=0, atol=1e-6)
    assert float((points(adapted(trained=True)) - plain).abs().max()) > 1e-2


def test_the_scale_is_alpha_over_rank() -> None:
    """One adapted layer by hand: its output moves by alpha / rank times B A x."""
    model = adapted(trained=True)
    layer = model.clip.base_model.model.text_model.encoder.layers[0].mlp.fc1
    x = torch.randn(3, 16, generator=torch.Generator().manual_seed(1))
    a, b = layer.lora_A["default"].weight, layer.lora_B["default"].weight
    torch.testing.assert_close(layer(x) - layer.base_layer(x), (4 / 2) * x @ a.T @ b.T, rtol=1e-4, atol=1e-6)


def test_merging_keeps_the_points() -> None:
    model = adapted(trained=True)
    plain = merged(model)
    assert not has_lora(plain)
    assert not any("lora" in name for name in plain.state_dict())
    torch.testing.assert_close(points(plain), points(model), rtol=0, atol=1e-5)
    assert all(parameter.requires_grad for parameter in plain.parameters())
    assert plain.state_dict().keys() == tiny_model(lorentz=True, towers=LAYERS).state_dict().keys()


def test_merging_leaves_the_original_as_it_was() -> None:
    model = adapted(trained=True)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    fingerprint, requires = model.fingerprint, [p.requires_grad for p in model.parameters()]
    plain = merged(model)
    with torch.no_grad():
        for parameter in plain.parameters():
            parameter.zero_()
    assert has_lora(model)
    assert model.fingerprint == fingerprint
    assert [p.requires_grad for p in model.parameters()] == requires
    after = model.state_dict()
    assert all(torch.equal(tensor, after[name]) for name, tensor in before.items())


def test_a_model_without_adapters_is_returned_itself() -> None:
    model = tiny_model()
    assert not has_lora(model)
    assert merged(model) is model


# -- our layer against peft's ----------------------------------------------------------------------------


def layer_of(model: DualEncoder) -> LoraLinear:
    layer = model.clip.base_model.model.text_model.encoder.layers[0].mlp.fc1
    assert type(layer) is LoraLinear
    return layer


@pytest.mark.parametrize("shape", [(6, 16), (2, 3, 16)], ids=["rows", "sequences"])
@pytest.mark.parametrize("dropout", [0.0, 0.5])
def test_the_sum_in_place_is_pefts(shape: tuple[int, ...], dropout: float) -> None:
    layer = layer_of(adapted(trained=True)).train()
    layer.lora_dropout["default"] = nn.Dropout(dropout)
    results = []
    for forward in (layer.forward, functools.partial(lora.Linear.forward, layer)):
        x = torch.randn(shape, generator=torch.Generator().manual_seed(1), requires_grad=True)
        layer.zero_grad()
        torch.manual_seed(2)
        y = forward(x)
        (y**2).sum().backward()
        results.append((y, x.grad, *(p.grad.clone() for p in layer.parameters() if p.requires_grad)))
    assert len(results[0]) == 4  # output, input, A and B
    for ours, pefts in zip(*results, strict=True):
        torch.testing.assert_close(ours, pefts, rtol=1e-5, atol=1e-5)


def test_in_bfloat16_the_result_has_the_type_of_pefts() -> None:
    layer = layer_of(adapted(trained=True))
    x = torch.randn(4, 16, generator=torch.Generator().manual_seed(1))
    with torch.autocast("cpu", torch.bfloat16):
        ours, pefts = layer(x), lora.Linear.forward(layer, x)
    assert ours.dtype == pefts.dtype == torch.bfloat16
    torch.testing.assert_close(ours, pefts, rtol=2e-2, atol=2e-2)


def test_what_is_no_single_plain_adapter_goes_pefts_way() -> None:
    model = adapted(trained=True)
    layer, x = layer_of(model), torch.randn(4, 16, generator=torch.Generator().manual_seed(1))
    plain, full = layer.base_layer(x), layer(x)
    assert (full - plain).abs().max() > 1e-2
    with model.clip.disable_adapter():
        torch.testing.assert_close(layer(x), plain, rtol=0, atol=0)
    layer.merge()
    torch.testing.assert_close(layer(x), full, rtol=1e-5, atol=1e-5)
