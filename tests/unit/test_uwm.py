"""UWM on tiny models: which layers, which pairs, what is refused. Its numbers are checked in `parity`."""

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from editing_samples import TEXT_LAYER, VISION_LAYER, random_pairs, tiny_clip, tiny_siglip
from model_samples import tiny_model
from torch import Tensor, nn

from hyperaware.editing.encoders import encoder
from hyperaware.editing.flow import MeanOfRatios, channels
from hyperaware.editing.uwm import UWM
from hyperaware.errors import ConfigError, DataError, ModelError
from hyperaware.models.adapters import add_lora

LAYERS = {layer.format(block) for layer in (TEXT_LAYER, VISION_LAYER) for block in (0, 1)}


def inputs_of(model: nn.Module, path: str, run: Callable[[], object]) -> Tensor:
    """What enters a layer while `run` runs."""
    seen: list[Tensor] = []
    handle = model.get_submodule(path).register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    with torch.no_grad():
        run()
    handle.remove()
    return seen[0]


@pytest.mark.parametrize("build", [tiny_clip, tiny_siglip])
def test_the_layers_are_those_of_the_blocks(build: Callable[[], nn.Module]) -> None:
    """SigLIP's pooling head has an `fc2` and an `out_proj` too, which no edit touches."""
    patch = UWM(tau=0.1).patch(build(), [random_pairs(5)])
    assert set(patch.masks) == LAYERS
    assert all(count > 0 for count in patch.selected.values())
    assert patch.alpha == -1
    assert patch.made_by["pairs"] == {"text": 5, "vision": 5}
    assert patch.made_by["settings"]["tau"] == 0.1


def test_siglip_counts_words_and_attends_to_padding() -> None:
    """Scores of the text layer from the activations that SigLIP has without a mask, padding left out."""
    model, pairs = tiny_siglip(), random_pairs(5)
    name = TEXT_LAYER.format(1)
    layer = model.get_submodule(name.removesuffix(".weight"))
    z = inputs_of(model, name.removesuffix(".weight"), lambda: model.get_text_features(input_ids=pairs.ids))
    gathered = MeanOfRatios(layer.weight)
    gathered.add(channels(z, pairs.mask.bool()), layer.weight.detach().abs())
    expected = gathered.ratio() * layer.weight.detach().abs()
    found = UWM(encoders=("text",)).scores(model, [pairs]).weights
    assert set(found) == {TEXT_LAYER.format(0), name}
    assert torch.allclose(found[name], expected, rtol=1e-6)


def test_a_dual_encoder_is_edited_as_its_towers_are() -> None:
    model = tiny_model(lorentz=True)
    pairs = random_pairs(4, tokens=8)
    within = UWM().scores(model, [pairs]).weights
    bare = UWM().scores(model.clip, [pairs]).weights
    assert {name.removeprefix("clip.") for name in within} == set(bare)
    assert all(torch.equal(within[f"clip.{name}"], score) for name, score in bare.items())
    before = model.embed_pixels(pairs.pixels)
    patch = UWM(tau=0.2).patch(model, [pairs], data="rows")
    assert (patch.model_before, patch.made_by["data"]) == (model.fingerprint, "rows")
    patch.apply(model)
    assert model.fingerprint == patch.model_after
    assert not torch.allclose(model.embed_pixels(pairs.pixels), before, atol=1e-4)
    patch.revert(model)
    assert torch.equal(model.embed_pixels(pairs.pixels), before)


def test_labels_say_which_pairs_count() -> None:
    """A pair counts in the encoder of each side that is labelled unsafe."""
    pairs = random_pairs(5)
    mixed = replace(
        pairs,
        unsafe_text_is_unsafe=torch.tensor([True, True, False, True, False]),
        unsafe_image_is_unsafe=torch.tensor([False, True, True, True, True]),
    )
    rows = torch.tensor([0, 1, 3])
    both = torch.cat([rows, rows + 5])
    texts = replace(random_pairs(3), ids=pairs.ids[both], mask=pairs.mask[both])
    found, expected = UWM().scores(tiny_clip(), [mixed]), UWM().scores(tiny_clip(), [texts])
    assert found.pairs == {"text": 3, "vision": 4}
    assert torch.equal(found.weights[TEXT_LAYER.format(0)], expected.weights[TEXT_LAYER.format(0)])
    nothing = replace(mixed, unsafe_text_is_unsafe=torch.zeros(5, dtype=torch.bool))
    with pytest.raises(DataError, match="no pair of a safe and an unsafe text item"):
        UWM().scores(tiny_clip(), [nothing])
    assert UWM(encoders=("vision",)).scores(tiny_clip(), [nothing]).pairs == {"vision": 4}


def test_captions_over_which_nothing_varies_are_left_out() -> None:
    """A pair with a caption of one token is no text pair; one of two tokens (empty, for CLIP) is."""
    pairs = random_pairs(4)
    mask = pairs.mask.clone()
    mask[1, 1:] = 0
    mask[6, 2:] = 0
    scores = UWM().scores(tiny_clip(), [replace(pairs, mask=mask)])
    assert scores.pairs == {"text": 3, "vision": 4}
    assert all(score.isfinite().all() for score in scores.weights.values())


def test_identical_twins_leave_nothing_to_choose_by() -> None:
    pairs = random_pairs(4)
    same = replace(
        pairs, ids=pairs.ids[:4].repeat(2, 1), mask=pairs.mask[:4].repeat(2, 1), pixels=pairs.pixels
    )
    with pytest.raises(DataError, match=r"layers.0.self_attn.out_proj.weight: the flow .* arbitrary"):
        UWM().scores(tiny_clip(), [same])


def test_a_layer_that_is_never_called_is_an_error() -> None:
    """Its weight may be used without it, as in torch's own attention: no hook sees what flows through."""
    model = tiny_clip()
    attention = model.text_model.encoder.layers[1].self_attn
    attention.forward = lambda hidden_states, **_: (hidden_states, None)
    with pytest.raises(ModelError, match=r"1 of 2 layers of the text encoder .*layers.1.*: 0 times"):
        UWM().scores(model, [random_pairs(3)])


def test_a_layer_that_is_called_twice_is_an_error() -> None:
    model = tiny_clip()
    mlp = model.vision_model.encoder.layers[0].mlp
    mlp.forward = lambda x: mlp.fc2(mlp.fc1(x)) + mlp.fc2(mlp.fc1(x))
    with pytest.raises(ModelError, match=r"1 of 2 layers of the vision encoder .*layers.0.*: 2 times"):
        UWM().scores(model, [random_pairs(3)])


def test_what_is_not_finite_names_its_layer() -> None:
    model = tiny_clip()
    with torch.no_grad():
        model.vision_model.encoder.layers[1].mlp.fc1.bias[3] = float("nan")
    with pytest.raises(DataError, match=r"vision_model.encoder.layers.1.mlp.fc2.weight: a flow"):
        UWM().scores(model, [random_pairs(3)])


def test_scoring_leaves_the_model_as_it_is() -> None:
    model = tiny_clip().train()
    before = {name: weight.clone() for name, weight in model.state_dict().items()}
    UWM().patch(model, [random_pairs(3)])
    assert model.training
    assert all(torch.equal(before[name], weight) for name, weight in model.state_dict().items())
    assert not any(module._forward_pre_hooks for module in model.modules())


def test_the_magnitude_is_a_factor_of_the_encoders_that_are_named() -> None:
    model, pairs = tiny_clip(), random_pairs(4)
    weights = dict(model.named_parameters())
    default, without, both = (
        UWM(magnitude=named).scores(model, [pairs]).weights for named in (("text",), (), ("text", "vision"))
    )
    for name in LAYERS:
        assert torch.allclose(both[name], without[name] * weights[name].abs())
        assert torch.equal(default[name], (both if name.startswith("text") else without)[name])


@pytest.mark.parametrize(
    "wrong",
    [{"encoders": ()}, {"encoders": ("audio",)}, {"ratio": "median"}, {"magnitude": ("txt",)}, {"tau": 0.0}],
)
def test_wrong_settings_are_refused(wrong: dict) -> None:
    with pytest.raises(ConfigError):
        UWM(**wrong).patch(tiny_clip(), [random_pairs(3)])


def test_models_without_such_layers_are_refused() -> None:
    with pytest.raises(ModelError, match="got a Linear of kind None with 0 layers to edit"):
        encoder(nn.Linear(2, 2), "text")
    adapted = tiny_model()
    add_lora(adapted, rank=2)
    with pytest.raises(ModelError, match="has adapters"):
        UWM().scores(adapted, [random_pairs(3)])
