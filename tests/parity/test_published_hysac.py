"""Published HySAC weights: the points of the published code, from both layouts, with adapters merged."""

import json
import math
import shutil
from pathlib import Path

import pytest
import torch
from published_samples import (
    BOUNDS,
    CLIP_PREPROCESSOR,
    CONTEXT,
    SCALARS,
    hysac_state,
    tiny_clip,
    unmerged_hysac,
    write_letters_tokenizer,
    write_tokenizer,
    write_transformers,
)
from torch import Tensor

from hyperaware.catalogue import own_bounds
from hyperaware.errors import ModelError, SafetyError
from hyperaware.geometry.space import Lorentz
from hyperaware.models.dual_encoder import DualEncoder
from hyperaware.models.hysac_checkpoint import read_hysac, remarks_on_curv
from hyperaware.models.pretrained import import_hysac, load
from hyperaware.moderation.published_bounds import read_published_bounds, remarks_on_bounds
from hyperaware.moderation.redirect import redirect

LAYOUTS = ("peft-0.4", "peft-0.6")


@pytest.fixture(scope="module")
def published(fixtures: Path, tmp_path_factory: pytest.TempPathFactory) -> DualEncoder:
    """The model of the golden file, which the published class wrote with peft 0.4."""
    backbone = tmp_path_factory.mktemp("golden") / "backbone"
    shutil.copytree(fixtures / "backbone", backbone)
    write_letters_tokenizer(backbone, size=99)
    return read_hysac(fixtures / "hysac_model.pth", backbone=backbone)


@pytest.mark.parametrize("kind", ["safe", "unsafe"])
@torch.no_grad()
def test_the_points_are_those_of_the_published_code(
    kind: str, published: DualEncoder, golden: dict[str, Tensor]
) -> None:
    assert isinstance(published.space, Lorentz)
    assert float(published.space.curv) == pytest.approx(float(golden["curv"]), rel=1e-6)
    assert published.logit_scale.item() == pytest.approx(float(golden["logit_scale"]), rel=1e-6)
    texts = published.embed_tokens(golden[f"ids_{kind}"])
    images = published.embed_pixels(golden[f"pixels_{kind}"])
    torch.testing.assert_close(texts, golden[f"txt_{kind}"], rtol=0, atol=1e-5)
    torch.testing.assert_close(images, golden[f"img_{kind}"], rtol=0, atol=1e-5)


@torch.no_grad()
def test_features_before_the_lift_are_those_of_the_published_code(
    published: DualEncoder, golden: dict[str, Tensor]
) -> None:
    texts = published.features_of_tokens(golden["ids_safe"])
    images = published.features_of_pixels(golden["pixels_safe"])
    torch.testing.assert_close(texts, golden["txt_safe_euclid"], rtol=0, atol=1e-5)
    torch.testing.assert_close(images, golden["img_safe_euclid"], rtol=0, atol=1e-5)


@torch.no_grad()
def test_dropping_the_bias_of_the_patches_would_be_seen(
    fixtures: Path, published: DualEncoder, golden: dict[str, Tensor], tmp_path: Path
) -> None:
    state = torch.load(fixtures / "hysac_model.pth", weights_only=True)
    assert state.pop("visual.base_model.model.vision_model.embeddings.patch_embedding.bias").any()
    torch.save(state, tmp_path / "without.pth")
    backbone = tmp_path / "backbone"
    shutil.copytree(fixtures / "backbone", backbone)
    write_letters_tokenizer(backbone, size=99)
    without = read_hysac(tmp_path / "without.pth", backbone=backbone)
    error = (without.features_of_pixels(golden["pixels_safe"]) - golden["img_safe_euclid"]).abs().max()
    assert error > 0.01


# -- from our own writer, in both layouts ----------------------------------------------------------------


@pytest.fixture
def parts(tmp_path: Path) -> Path:
    """A backbone with OpenAI's wrong special ids, and published bounds."""
    write_transformers(tmp_path / "backbone", tiny_clip(), preprocessor=CLIP_PREPROCESSOR)
    write_tokenizer(tmp_path / "backbone")
    (tmp_path / "backbone" / "model.safetensors").unlink()  # its weights are not needed
    (tmp_path / "hysac_bounds.json").write_text(json.dumps(BOUNDS))
    return tmp_path


def write_state(folder: Path, state: dict[str, Tensor]) -> Path:
    torch.save(state, folder / "hysac_model.pth")
    return folder / "hysac_model.pth"


@pytest.mark.parametrize("layout", LAYOUTS)
@torch.no_grad()
def test_merged_points_are_those_of_adapters_beside_the_layers(layout: str, parts: Path) -> None:
    clip = tiny_clip()
    state = hysac_state(clip, layout=layout)
    model = read_hysac(write_state(parts, state), backbone=parts / "backbone")
    generator = torch.Generator().manual_seed(1)
    pixels = torch.randn(4, 3, 16, 16, generator=generator)
    ids = torch.randint(4, 150, (4, CONTEXT), generator=generator)
    ids[:, -1] = model.tokenizer.eos_id
    texts, images = unmerged_hysac(state, clip, ids, pixels)
    torch.testing.assert_close(model.embed_tokens(ids), texts, rtol=0, atol=1e-5)
    torch.testing.assert_close(model.embed_pixels(pixels), images, rtol=0, atol=1e-5)
    plain = tiny_clip().get_image_features(pixel_values=pixels).pooler_output
    assert (model.features_of_pixels(pixels) - plain).abs().max() > 0.1  # the adapters do something


def test_stray_positions_are_tolerated_and_strange_names_are_not(parts: Path) -> None:
    state = hysac_state(tiny_clip())
    path = write_state(parts, state)
    expected = read_hysac(path, backbone=parts / "backbone").fingerprint
    state["textual.base_model.model.text_model.embeddings.position_ids"] = torch.arange(CONTEXT)[None]
    write_state(parts, {f"module.{name}": tensor for name, tensor in state.items()})
    assert read_hysac(path, backbone=parts / "backbone").fingerprint == expected
    write_state(parts, {**state, "audio.weight": torch.zeros(1)})
    with pytest.raises(ModelError, match=r"audio\.weight"):
        read_hysac(path, backbone=parts / "backbone")


@pytest.mark.parametrize(
    ("missing", "message"),
    [
        ("curv", "has no 'curv': these are no published HySAC weights"),
        (
            "visual.base_model.model.vision_model.encoder.layers.0.mlp.fc1.lora_A.default.weight",
            "expected A, B",
        ),
        ("visual.base_model.model.vision_model.encoder.layers.0.mlp.fc1.weight", "expected A, B"),
        ("textual.base_model.model.text_projection.weight", "1 missing"),
    ],
)
def test_incomplete_weights_are_refused(missing: str, message: str, parts: Path) -> None:
    state = hysac_state(tiny_clip())
    del state[missing]
    with pytest.raises(ModelError, match=message):
        read_hysac(write_state(parts, state), backbone=parts / "backbone")


FC1 = "visual.base_model.model.vision_model.encoder.layers.0.mlp.fc1"
PATCHES = "visual.base_model.model.vision_model.embeddings.patch_embedding"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"curv": torch.tensor(torch.nan)}, "'curv' .* expected one finite number"),
        ({"visual_alpha": torch.tensor(torch.inf)}, "'visual_alpha' .* expected one finite number"),
        ({"logit_scale": torch.tensor(torch.nan)}, "'logit_scale' .* expected one finite number"),
        (
            {"curv": torch.tensor(1000.0)},
            r"'curv' .* is \[1000\.0\], expected one finite number: a logarithm",
        ),
        ({"textual_alpha": torch.tensor(-1000.0)}, "'textual_alpha' .* a logarithm"),
        ({"logit_scale": torch.tensor(500.0)}, "'logit_scale' .* a logarithm"),
        ({"curv": torch.zeros(3)}, "'curv' .* expected one finite number"),
        ({f"{FC1}.lora_A.default.weight": torch.zeros(4, 47)}, r"A \(4, 47\) .* do not fit"),
        ({f"{FC1}.lora_B.default.weight": torch.zeros(96, 5)}, r"B \(96, 5\), which do not fit"),
        ({f"{FC1}.lora_B.default.weight": torch.zeros(48, 8)}, r"B \(48, 8\), which do not fit"),
        ({f"{FC1}.lora_A.other.weight": torch.zeros(4, 48)}, "a second adapter, 'other'"),
        ({f"{PATCHES}.lora_A.default.weight": torch.zeros(4, 3, 4, 4)}, "do not fit its weight"),
        ({f"{PATCHES}.bias": torch.zeros(7)}, r"has the shape \(7,\), the position embeddings \(5, 48\)"),
        ({f"{FC1}.bias": torch.full((96,), torch.nan)}, "not finite"),
    ],
)
def test_damaged_weights_are_refused_by_the_name_of_the_part(
    change: dict[str, Tensor], message: str, parts: Path
) -> None:
    path = write_state(parts, hysac_state(tiny_clip()) | change)
    with pytest.raises(ModelError, match=message):
        read_hysac(path, backbone=parts / "backbone")


def test_another_backbone_is_refused(parts: Path) -> None:
    path = write_state(parts, hysac_state(tiny_clip(num_hidden_layers=1)))
    with pytest.raises(ModelError, match="does not fit its architecture: of its tensors 16 missing"):
        read_hysac(path, backbone=parts / "backbone")


def test_imported_it_is_a_folder_that_judges_and_redirects(parts: Path) -> None:
    path = write_state(parts, hysac_state(tiny_clip()))
    remarks = import_hysac(
        weights=path,
        bounds=parts / "hysac_bounds.json",
        backbone=parts / "backbone",
        out=parts / "out",
        provenance={"source": "test", "license": "cc-by-nc-4.0"},
    )
    assert remarks == []
    model = load(parts / "out")
    assert model.provenance["license"] == "cc-by-nc-4.0"
    assert "license: cc-by-nc-4.0" in (parts / "out" / "README.md").read_text()
    bounds = own_bounds(model)
    assert bounds is not None
    far = model.space.move_to(model.encode_text(["a red ball"]).detach(), torch.tensor([0.7]))
    moved = redirect(far, space=model.space, bounds=bounds, query_modality="text", target_modality="image")
    assert moved.triggered.tolist() == [True]
    assert model.space.root_distance(moved.points).item() == pytest.approx(BOUNDS["V"]["avg"], rel=1e-5)


# -- bounds ----------------------------------------------------------------------------------------------


def test_published_bounds_become_bounds_without_inventing_anything(parts: Path) -> None:
    bounds = read_published_bounds(parts / "hysac_bounds.json", model_fingerprint="m")
    assert bounds.safe_image.mean == BOUNDS["V"]["avg"]
    assert bounds.unsafe_text.up_95 == BOUNDS["U"]["up_95"]
    assert bounds.limit == {"text": 0.48, "image": 0.55}
    assert bounds.trigger == {"text": 0.46, "image": 0.55}  # texts overlap: 5 % of unsafe ones lie below 0.46
    assert bounds.landing == {"text": 0.443, "image": 0.527}
    assert bounds.trigger_false_positive_rate == {"text": None, "image": 0.05}
    assert bounds.limit_miss_rate == {"text": None, "image": None}
    assert bounds.safe_text.n is bounds.safe_text.median is None
    assert bounds.split == "published"
    assert bounds.data_fingerprint.startswith("published:")
    assert remarks_on_bounds(bounds) == []


def test_the_papers_rule_lands_near_the_mean_at_the_released_curvature() -> None:
    """tau = mu + tanh((mu - 0.8) / 0.1) + 1: less than 0.01 above the means that published bounds land at."""
    for letter in ("S", "V"):
        mean = BOUNDS[letter]["avg"]
        assert 0 < math.tanh((mean - 0.8) / 0.1) + 1 < 0.01


def test_implausible_figures_are_remarked_on(fixtures: Path, parts: Path) -> None:
    bounds = read_published_bounds(fixtures / "hysac_bounds.json", model_fingerprint="m")
    (remark,) = remarks_on_bounds(bounds)
    assert "unsafe_text 0.436 (expected 0.618)" in remark
    assert "safe_image" not in remark.replace("unsafe_image", "")
    swapped = {**BOUNDS, "S": BOUNDS["U"], "U": BOUNDS["S"]}
    (parts / "swapped.json").write_text(json.dumps(swapped))
    remarks = remarks_on_bounds(read_published_bounds(parts / "swapped.json", model_fingerprint="m"))
    assert any("unsafe texts lie no farther out" in remark for remark in remarks)
    assert remarks_on_curv(0.1) == remarks_on_curv(math.exp(SCALARS["curv"])) == []
    assert "its logarithm lost its sign" in remarks_on_curv(10.0)[0]
    assert "expected to be 0.1" in remarks_on_curv(0.7)[0]


@pytest.mark.parametrize("damage", ["no class", "no number", "not finite", "not ordered", "no JSON"])
def test_damaged_published_bounds_are_refused(damage: str, parts: Path) -> None:
    broken = json.loads(json.dumps(BOUNDS))
    if damage == "no class":
        del broken["G"]
    if damage == "no number":
        del broken["S"]["avg"]
    if damage == "not finite":
        broken["S"]["avg"] = float("nan")
    if damage == "not ordered":
        broken["S"]["low_05"] = 0.9
    path = parts / "broken.json"
    path.write_text("{" if damage == "no JSON" else json.dumps(broken))
    with pytest.raises(SafetyError):
        read_published_bounds(path, model_fingerprint="m")
