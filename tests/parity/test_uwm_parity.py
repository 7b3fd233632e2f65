"""UWM of the published code on a tiny random CLIP and eight pairs: scores, selections, edited model."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor
from transformers import CLIPModel

from hyperaware.editing.selection import by_mass
from hyperaware.editing.uwm import UWM
from hyperaware.evaluation.examples import Batch

LAYERS = {
    "text": "text_model.encoder.layers.{}.self_attn.out_proj.weight",
    "vision": "vision_model.encoder.layers.{}.mlp.fc2.weight",
}
BLOCKS = [(encoder, block) for encoder in LAYERS for block in (0, 1)]
TAUS = {"002": 0.02, "010": 0.1, "050": 0.5}


@pytest.fixture(scope="module")
def arrays(fixtures: Path) -> dict[str, Tensor]:
    with np.load(fixtures / "uwm.npz") as stored:
        return {name: torch.from_numpy(stored[name]) for name in stored.files}


@pytest.fixture
def model(fixtures: Path) -> CLIPModel:
    return CLIPModel.from_pretrained(fixtures / "backbone").eval()


@pytest.fixture
def doubled(fixtures: Path) -> Iterator[CLIPModel]:
    """The same in float64; in float32 the attention mask of a float64 model overflows."""
    torch.set_default_dtype(torch.float64)
    try:
        yield CLIPModel.from_pretrained(fixtures / "backbone").double().eval()
    finally:
        torch.set_default_dtype(torch.float32)


def batch(
    arrays: dict[str, Tensor], rows: slice = slice(None), *, dtype: torch.dtype = torch.float32
) -> Batch:
    """The pairs in these rows, safe half first."""
    ids, mask, pixels = (
        torch.cat([arrays[f"{name}_{side}"][rows] for side in ("safe", "unsafe")])
        for name in ("ids", "mask", "pixels")
    )
    unsafe = torch.ones(len(ids) // 2, dtype=torch.bool)
    return Batch(ids, mask, pixels.to(dtype), unsafe_text_is_unsafe=unsafe, unsafe_image_is_unsafe=unsafe)


def relative(found: Tensor, expected: Tensor) -> float:
    return ((found - expected).abs() / expected.abs()).max().item()


def test_the_fixtures_are_of_this_model(arrays: dict[str, Tensor], model: CLIPModel) -> None:
    weights = dict(model.named_parameters())
    for encoder, block in BLOCKS:
        assert torch.equal(weights[LAYERS[encoder].format(block)], arrays[f"{encoder}_weight_{block}"])


def test_scores(arrays: dict[str, Tensor], model: CLIPModel) -> None:
    scores = UWM().scores(model, [batch(arrays)])
    assert len(scores.weights) == len(BLOCKS)
    assert scores.pairs == {"text": 8, "vision": 8}
    for encoder, block in BLOCKS:
        found = scores.weights[LAYERS[encoder].format(block)]
        assert found.dtype == torch.float32
        assert relative(found, arrays[f"{encoder}_score_{block}"]) < 5e-6


def test_scores_in_double_precision(arrays: dict[str, Tensor], doubled: CLIPModel) -> None:
    scores = UWM().scores(doubled, [batch(arrays, dtype=torch.float64)])
    for encoder, block in BLOCKS:
        found = scores.weights[LAYERS[encoder].format(block)]
        assert relative(found, arrays[f"{encoder}_score_f64_{block}"]) < 1e-9


def test_scores_without_the_magnitude_are_the_brute_force_ratios(
    arrays: dict[str, Tensor], doubled: CLIPModel
) -> None:
    """Explicit outer products for every pair, in another program."""
    scores = UWM(magnitude=()).scores(doubled, [batch(arrays, dtype=torch.float64)])
    for encoder, block in BLOCKS:
        found = scores.weights[LAYERS[encoder].format(block)]
        assert relative(found, arrays[f"{encoder}_ratio_bruteforce_{block}"]) < 1e-9


def test_batches_of_any_size_give_the_same(arrays: dict[str, Tensor], doubled: CLIPModel) -> None:
    parts = [batch(arrays, rows, dtype=torch.float64) for rows in (slice(0, 3), slice(3, 7), slice(7, 8))]
    scores = UWM().scores(doubled, parts)
    assert scores.pairs == {"text": 8, "vision": 8}
    for encoder, block in BLOCKS:
        found = scores.weights[LAYERS[encoder].format(block)]
        assert relative(found, arrays[f"{encoder}_score_f64_{block}"]) < 1e-9


@pytest.mark.parametrize(("key", "tau"), TAUS.items())
def test_selections_from_own_scores(
    arrays: dict[str, Tensor], model: CLIPModel, key: str, tau: float
) -> None:
    patch = UWM(tau=tau).patch(model, [batch(arrays)])
    for encoder, block in BLOCKS:
        found = patch.masks[LAYERS[encoder].format(block)]
        assert torch.equal(found, arrays[f"{encoder}_selected_tau{key}_{block}"])


@pytest.mark.parametrize(("key", "tau"), TAUS.items())
@pytest.mark.parametrize(("encoder", "block"), BLOCKS)
def test_selections_from_the_published_scores(
    arrays: dict[str, Tensor], encoder: str, block: int, key: str, tau: float
) -> None:
    selected = by_mass(arrays[f"{encoder}_score_{block}"], tau)
    assert torch.equal(selected, arrays[f"{encoder}_selected_tau{key}_{block}"])


def test_the_edited_model(arrays: dict[str, Tensor], model: CLIPModel) -> None:
    """Edited weights to the bit, embeddings of all items; after `revert` those of the original."""
    pairs = batch(arrays)
    patch = UWM(tau=0.1).patch(model, [pairs])
    assert embeddings_differ(model, pairs, arrays, "original") < 1e-5
    patch.apply(model)
    weights = dict(model.named_parameters())
    for encoder, block in BLOCKS:
        expected = arrays[f"{encoder}_edited_weight_tau010_{block}"]
        assert torch.equal(weights[LAYERS[encoder].format(block)], expected)
    assert embeddings_differ(model, pairs, arrays, "edited") < 1e-5
    assert embeddings_differ(model, pairs, arrays, "original") > 0.01
    patch.revert(model)
    assert embeddings_differ(model, pairs, arrays, "original") < 1e-5


def test_the_edited_model_in_double_precision(arrays: dict[str, Tensor], doubled: CLIPModel) -> None:
    pairs = batch(arrays, dtype=torch.float64)
    UWM(tau=0.1).patch(doubled, [pairs]).apply(doubled)
    assert embeddings_differ(doubled, pairs, arrays, "edited", suffix="_f64") < 1e-12


@torch.no_grad()
def embeddings_differ(
    model: CLIPModel, pairs: Batch, arrays: dict[str, Tensor], state: str, *, suffix: str = ""
) -> float:
    """The largest difference of the model's features, not normalised, from the published ones."""
    texts = model.get_text_features(input_ids=pairs.ids, attention_mask=pairs.mask).pooler_output
    images = model.get_image_features(pixel_values=pairs.pixels).pooler_output
    apart = [
        (
            features - torch.cat([arrays[f"{name}_{side}_{state}{suffix}"] for side in ("safe", "unsafe")])
        ).abs()
        for name, features in (("txt", texts), ("img", images))
    ]
    return max(float(each.max()) for each in apart)


def test_ratio_of_means_chooses_other_weights(arrays: dict[str, Tensor], model: CLIPModel) -> None:
    """The authors' poster has another equation than the released code: scores move by more than 1 %."""
    scores = UWM(ratio="ratio-of-means").scores(model, [batch(arrays)])
    for encoder, block in BLOCKS:
        found = scores.weights[LAYERS[encoder].format(block)]
        assert 0.01 < relative(found, arrays[f"{encoder}_score_{block}"]) < 10
