"""open_clip state dicts: the features of open_clip's own forward pass, with the right activation only."""

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from model_samples import CAPTIONS, tiny_model
from published_samples import CONTEXT, clip_config, tiny_clip, write_tokenizer
from safetensors.torch import save_file
from state_dict_samples import open_clip_features, open_clip_state, quick_gelu
from torch import Tensor, nn

from hyperaware.errors import ConfigError, ModelError
from hyperaware.models.open_clip import ARCHS, Arch, architecture, read_open_clip
from hyperaware.models.preprocess import CLIP_MEAN, Preprocess
from hyperaware.models.pretrained import load, save
from hyperaware.models.squash import Squash

TINY = Arch(vision_width=48, vision_layers=2, vision_heads=3, text_width=32, text_layers=2, text_heads=2)
GELU: dict[bool, Any] = {False: nn.functional.gelu, True: quick_gelu}


@pytest.fixture
def state() -> dict[str, Tensor]:
    """With norms of their own, so that two of them exchanged are seen."""
    clip = tiny_clip()
    with torch.no_grad():
        for name, parameter in clip.named_parameters():
            if "norm" in name:
                parameter.add_(0.2 * torch.randn_like(parameter))
    return open_clip_state(clip)


@pytest.fixture
def tokenizer(tmp_path: Path) -> Path:
    write_tokenizer(tmp_path / "tokenizer")
    return tmp_path / "tokenizer"


def written(folder: Path, state: dict[str, Any], name: str = "open_clip_pytorch_model.bin") -> Path:
    path = folder / name
    if path.suffix == ".safetensors":
        save_file({key: tensor.contiguous() for key, tensor in state.items()}, path)
    else:
        torch.save(state, path)
    return path


@pytest.mark.parametrize("quick", [False, True], ids=["gelu", "quickgelu"])
@torch.no_grad()
def test_features_are_those_of_open_clip_and_the_other_activation_gives_others(
    quick: bool, state: dict[str, Tensor], tokenizer: Path, tmp_path: Path
) -> None:
    path = written(tmp_path, state)
    model, wrong = (
        read_open_clip(path, tokenizer=tokenizer, arch=replace(TINY, quick_gelu=activation))
        for activation in (quick, not quick)
    )
    ids, mask = model.tokenizer(CAPTIONS)
    ids = nn.functional.pad(ids, (0, CONTEXT - ids.shape[1]))  # open_clip pads with zeros
    pixels = torch.randn(3, 3, 16, 16, generator=torch.Generator().manual_seed(1))
    texts, images = open_clip_features(state, ids, pixels, heads=(2, 3), gelu=GELU[quick])
    torch.testing.assert_close(model.features_of_tokens(ids), texts, rtol=0, atol=1e-5)
    torch.testing.assert_close(model.features_of_pixels(pixels), images, rtol=0, atol=1e-5)
    shorter = model.tokenizer(CAPTIONS)
    torch.testing.assert_close(model.features_of_tokens(*shorter), texts, rtol=0, atol=1e-5)
    assert (wrong.features_of_tokens(ids) - texts).abs().max() > 1e-3
    assert (wrong.features_of_pixels(pixels) - images).abs().max() > 1e-3
    assert model.logit_scale.item() == pytest.approx(math.exp(state["logit_scale"].item()), rel=1e-6)
    assert mask.shape[0] == len(CAPTIONS)


def layouts(state: dict[str, Tensor]) -> dict[str, tuple[dict[str, Any], str]]:
    """The same weights as they are found: file types, wrappers of training, the layout of CustomTextCLIP."""
    text = ("positional_embedding", "text_projection", "token_embedding", "ln_final", "transformer.")
    custom = {("text." + name if name.startswith(text) else name): tensor for name, tensor in state.items()}
    return {
        "bin": (state, "open_clip_pytorch_model.bin"),
        "safetensors": (state, "open_clip_model.safetensors"),
        "training": (
            {"epoch": 3, "state_dict": {f"module.{name}": tensor for name, tensor in state.items()}},
            "epoch_3.pt",
        ),
        "custom text": (custom, "open_clip_pytorch_model.bin"),
    }


@pytest.mark.parametrize("layout", ["bin", "safetensors", "training", "custom text"])
def test_every_layout_gives_the_same_model(
    layout: str, state: dict[str, Tensor], tokenizer: Path, tmp_path: Path
) -> None:
    plain = read_open_clip(written(tmp_path, state, "plain.pt"), tokenizer=tokenizer, arch=TINY)
    found = read_open_clip(written(tmp_path, *layouts(state)[layout]), tokenizer=tokenizer, arch=TINY)
    assert found.fingerprint == plain.fingerprint


def test_half_precision_is_read_as_float32(state: dict[str, Tensor], tokenizer: Path, tmp_path: Path) -> None:
    half = {name: tensor.half() for name, tensor in state.items()}
    model = read_open_clip(written(tmp_path, half), tokenizer=tokenizer, arch=TINY)
    assert {parameter.dtype for parameter in model.parameters()} == {torch.float32}


def test_it_is_saved_and_loaded_as_any_other(
    state: dict[str, Tensor], tokenizer: Path, tmp_path: Path
) -> None:
    model = read_open_clip(written(tmp_path, state), tokenizer=tokenizer, arch=TINY)
    save(model, tmp_path / "ours")
    assert load(tmp_path / "ours").fingerprint == model.fingerprint


def write_config(folder: Path, *, quick: bool = False, **preprocess: Any) -> None:
    config = clip_config()
    vision, text = config["vision_config"], config["text_config"]
    model = {
        "embed_dim": 16,
        "vision_cfg": {"image_size": 16, "layers": 2, "width": vision["hidden_size"], "head_width": 16},
        "text_cfg": {"width": text["hidden_size"], "heads": 2, "layers": 2, "context_length": CONTEXT},
        **({"quick_gelu": True} if quick else {}),
    }
    document = {"model_cfg": model, "preprocess_cfg": preprocess}
    (folder / "open_clip_config.json").write_text(json.dumps(document))


def test_the_config_beside_the_file_says_what_tensors_do_not(
    state: dict[str, Tensor], tokenizer: Path, tmp_path: Path
) -> None:
    path = written(tmp_path, state)
    write_config(tmp_path, quick=True)
    named = read_open_clip(path, tokenizer=tokenizer, arch=replace(TINY, quick_gelu=True))
    assert read_open_clip(path, tokenizer=tokenizer).fingerprint == named.fingerprint
    write_config(tmp_path, mean=[0.5] * 3, std=[0.5] * 3)  # LAION's ViT-L/14
    half = read_open_clip(path, tokenizer=tokenizer).preprocess
    assert half == Preprocess(size=16, mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5))
    write_config(tmp_path, resize_mode="squash", interpolation="bicubic", mean=list(CLIP_MEAN))  # DFN5B
    squashed = read_open_clip(path, tokenizer=tokenizer).preprocess
    assert isinstance(squashed, Squash)
    assert squashed.mean == CLIP_MEAN
    write_config(tmp_path, resize_mode="longest")
    with pytest.raises(ModelError, match="'longest'"):
        read_open_clip(path, tokenizer=tokenizer)


def test_a_name_that_contradicts_the_config_is_refused(
    state: dict[str, Tensor], tokenizer: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(ARCHS, "ViT-T-8", TINY)
    write_config(tmp_path, quick=True)
    path = written(tmp_path, state)
    with pytest.raises(ConfigError, match="states another activation than 'ViT-T-8'"):
        read_open_clip(path, tokenizer=tokenizer, arch="ViT-T-8")
    assert read_open_clip(path, tokenizer=tokenizer, arch="ViT-T-8-quickgelu").dim == 16


@pytest.mark.parametrize(
    ("part", "option", "message"),
    [
        ("vision_cfg", {"pool_type": "avg"}, "vision_cfg has pool_type 'avg'"),
        ("vision_cfg", {"norm_kwargs": {"eps": 1e-6}}, "vision_cfg has norm_kwargs"),
        ("vision_cfg", {"final_ln_after_pool": True}, "vision_cfg has final_ln_after_pool"),
        ("text_cfg", {"no_causal_mask": True}, "text_cfg has no_causal_mask"),
        ("text_cfg", {"pool_type": "last"}, "text_cfg has pool_type 'last'"),
        ("vision_cfg", {"head_width": 0}, "no CLIP with its own towers"),
        ("vision_cfg", {"layers": None}, "no CLIP|not"),
    ],
)
def test_what_a_config_asks_for_and_tensors_do_not_show_is_refused(
    part: str, option: dict[str, Any], message: str, state: dict[str, Tensor], tokenizer: Path, tmp_path: Path
) -> None:
    """Each fits every tensor, and gives other features."""
    path = written(tmp_path, state)
    write_config(tmp_path, quick=True)
    assert read_open_clip(path, tokenizer=tokenizer).dim == 16
    config = json.loads((tmp_path / "open_clip_config.json").read_text())
    config["model_cfg"][part] |= option
    (tmp_path / "open_clip_config.json").write_text(json.dumps(config))
    with pytest.raises((ModelError, ConfigError), match=message):
        read_open_clip(path, tokenizer=tokenizer)


def test_an_architecture_with_other_heads_than_the_config_is_refused(
    state: dict[str, Tensor], tokenizer: Path, tmp_path: Path
) -> None:
    """Heads are in no tensor, so the two must agree."""
    path = written(tmp_path, state)
    write_config(tmp_path)
    with pytest.raises(ConfigError, match="states other sizes or heads"):
        read_open_clip(path, tokenizer=tokenizer, arch=replace(TINY, vision_heads=6))
    assert read_open_clip(path, tokenizer=tokenizer, arch=TINY).dim == 16


@pytest.mark.parametrize(
    "said", [{"mean": 0.5}, {"std": [0.5, 0.5]}, {"resize_mode": "squash", "interpolation": "x"}]
)
def test_preprocessing_that_makes_no_sense_is_a_model_error(
    said: dict[str, Any], state: dict[str, Tensor], tokenizer: Path, tmp_path: Path
) -> None:
    path = written(tmp_path, state)
    write_config(tmp_path, **said)
    with pytest.raises(ModelError, match="preprocess_cfg cannot be used"):
        read_open_clip(path, tokenizer=tokenizer)


def test_the_end_token_must_be_where_the_weights_pool(state: dict[str, Tensor], tmp_path: Path) -> None:
    """open_clip's CLIP pools at the highest id, unless its config says at the end token."""
    path = written(tmp_path, state)
    model = tiny_model()
    assert model.tokenizer.eos_id != max(model.tokenizer.backend.get_vocab().values())
    (tmp_path / "other").mkdir()
    model.tokenizer.save_pretrained(tmp_path / "other")
    with pytest.raises(ModelError, match="pools texts at the highest id"):
        read_open_clip(path, tokenizer=tmp_path / "other", arch=TINY)
    write_config(tmp_path)
    config = json.loads((tmp_path / "open_clip_config.json").read_text())
    config["model_cfg"]["text_cfg"]["pool_type"] = "eos"
    (tmp_path / "open_clip_config.json").write_text(json.dumps(config))
    found = read_open_clip(path, tokenizer=tmp_path / "other")
    assert found.tokenizer.eos_id == model.tokenizer.eos_id


def test_openais_own_weights_need_quickgelu(
    state: dict[str, Tensor], tokenizer: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(ARCHS, "ViT-T-8", TINY)
    marks = {"input_resolution": 16, "context_length": CONTEXT, "vocab_size": 160}
    path = written(tmp_path, state | {name: torch.tensor(value) for name, value in marks.items()})
    with pytest.raises(ConfigError, match="name ViT-T-8-quickgelu"):
        read_open_clip(path, tokenizer=tokenizer, arch="ViT-T-8")
    assert read_open_clip(path, tokenizer=tokenizer, arch="ViT-T-8-quickgelu").dim == 16


def test_an_architecture_must_be_named_known_and_right(
    state: dict[str, Tensor], tokenizer: Path, tmp_path: Path
) -> None:
    path = written(tmp_path, state)
    with pytest.raises(ConfigError, match="name it with --arch"):
        read_open_clip(path, tokenizer=tokenizer)
    with pytest.raises(ConfigError, match="Did you mean 'ViT-B-32'"):
        read_open_clip(path, tokenizer=tokenizer, arch="ViT-B-23")
    for other in ({"text_width": 64}, {"text_layers": 3}, {"vision_layers": 1}):
        with pytest.raises(ConfigError, match=r"\(48, 2, 32, 2\), not "):
            read_open_clip(path, tokenizer=tokenizer, arch=replace(TINY, **other))
    with pytest.raises(ConfigError, match=r"\(48, 2, 32, 2\), not \(768, 12, 512, 12\)"):
        read_open_clip(path, tokenizer=tokenizer, arch="ViT-B-32")


def test_towers_of_another_kind_are_refused(
    state: dict[str, Tensor], tokenizer: Path, tmp_path: Path
) -> None:
    timm = {name: t for name, t in state.items() if not name.startswith("visual.")}
    path = written(tmp_path, timm | {"visual.trunk.patch_embed.proj.weight": torch.zeros(4, 3, 2, 2)})
    with pytest.raises(ModelError, match="has not the towers of open_clip's CLIP"):
        read_open_clip(path, tokenizer=tokenizer, arch=TINY)
    scaled = state | {"visual.transformer.resblocks.0.ls_1.gamma": torch.zeros(48)}
    with pytest.raises(ModelError, match=r"1 unknown \(such as visual.*ls_1\.gamma\)"):
        read_open_clip(written(tmp_path, scaled), tokenizer=tokenizer, arch=TINY)


def test_heads_of_the_published_sizes_are_as_wide_as_their_configs_say() -> None:
    """As in open_clip's configs: `head_width` of pictures is 64 unless stated, that of texts always."""
    widths = {"ViT-H-14": 80, "ViT-g-14": 88, "ViT-bigG-14": 104}
    for name, arch in ARCHS.items():
        assert divmod(arch.vision_width, arch.vision_heads) == (widths.get(name, 64), 0), name
        assert divmod(arch.text_width, arch.text_heads) == (64, 0), name
        assert architecture(f"{name}-quickgelu").quick_gelu
    assert architecture("ViT-L-14-336") == ARCHS["ViT-L-14"]
