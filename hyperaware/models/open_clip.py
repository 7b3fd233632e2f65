"""open_clip checkpoints with CLIP's own towers, converted from their state dict; the package is not needed.

Widths, layers, patch, resolution and vocabulary are read from the tensors. What they do not show comes from
the architecture's name, or from the `open_clip_config.json` beside the file: the number of heads, the
activation (QuickGELU, x sigmoid(1.702 x), or the exact GELU), and the preprocessing. A wrong activation fits
every tensor and gives other features, so it is never guessed.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from torch import Tensor

from hyperaware.errors import ConfigError, ModelError
from hyperaware.models.checkpoint_file import read_weights
from hyperaware.models.dual_encoder import DualEncoder
from hyperaware.models.huggingface import LEGACY_END, assembled
from hyperaware.models.preprocess import CLIP_MEAN, CLIP_STD, Preprocess
from hyperaware.models.squash import Squash
from hyperaware.options import unknown_name

__all__ = [
    "ARCHS",
    "CONFIG",
    "IN_BLOCK",
    "RENAMED",
    "Arch",
    "architecture",
    "layers_of",
    "read_open_clip",
    "residual_blocks",
]

CONFIG = "open_clip_config.json"
QUICK = "-quickgelu"
OPENAI_MARKS = ("input_resolution", "context_length", "vocab_size")
"""Tensors that only OpenAI's own checkpoints have."""


@dataclass(frozen=True)
class Arch:
    """What an open_clip architecture is, beside what its tensors show."""

    vision_width: int
    vision_layers: int
    vision_heads: int
    text_width: int
    text_layers: int
    text_heads: int
    quick_gelu: bool = False


ARCHS = {
    "ViT-B-32": Arch(768, 12, 12, 512, 12, 8),
    "ViT-B-16": Arch(768, 12, 12, 512, 12, 8),
    "ViT-L-14": Arch(1024, 24, 16, 768, 12, 12),
    "ViT-H-14": Arch(1280, 32, 16, 1024, 24, 16),
    "ViT-g-14": Arch(1408, 40, 16, 1024, 24, 16),
    "ViT-bigG-14": Arch(1664, 48, 16, 1280, 32, 20),
}
"""At any resolution: `ViT-L-14-336` is `ViT-L-14` here. Each may be followed by `-quickgelu`."""


def architecture(name: str) -> Arch:
    """The architecture of a name of open_clip.

    >>> architecture("ViT-L-14-336-quickgelu") == replace(ARCHS["ViT-L-14"], quick_gelu=True)
    True

    Raises:
        ConfigError: an unknown name.
    """
    plain = name.removesuffix(QUICK)
    stem, _, resolution = plain.rpartition("-")
    base = stem if resolution.isdigit() and stem in ARCHS else plain
    if base not in ARCHS:
        raise unknown_name("open_clip architecture", name, [*ARCHS, *(arch + QUICK for arch in ARCHS)])
    return replace(ARCHS[base], quick_gelu=name.endswith(QUICK))


def read_open_clip(weights: Path, *, tokenizer: Path, arch: str | Arch | None = None) -> DualEncoder:
    """The model of an open_clip state dict (.pt, .bin, .safetensors), on the sphere, in eval mode, float32.

    Args:
        tokenizer: a folder with CLIP's tokenizer, or OpenAI's bpe_simple_vocab_16e6.txt.gz.
        arch: its name in open_clip; may be left out where `open_clip_config.json` lies beside the file.

    Raises:
        ConfigError: an architecture that is unknown, missing, or not that of the file.
        ModelError: the file is damaged, or its towers are not CLIP's (a timm tower, say).
    """
    found = read_weights(weights)
    found = {name.removeprefix("text."): tensor for name, tensor in found.items()}  # the newer layout
    said = _config_beside(weights)
    chosen = architecture(arch) if isinstance(arch, str) else arch
    stated = _arch_of_config(said, weights) if said or chosen is None else chosen
    if chosen is not None and chosen != stated:
        same_sizes = replace(chosen, quick_gelu=stated.quick_gelu) == stated
        other = "another activation" if same_sizes else "other sizes or heads"
        raise ConfigError(f"{weights.with_name(CONFIG)} states {other} than {arch!r}. Leave out --arch.")
    chosen = stated
    if any(mark in found for mark in OPENAI_MARKS) and not chosen.quick_gelu:
        raise ConfigError(f"{weights} is OpenAI's own, which was trained with QuickGELU: name {arch}{QUICK}.")
    config = _config(found, chosen, str(weights))
    if said and said["model_cfg"]["text_cfg"].get("pool_type") == "eos":
        config["text_config"]["eos_token_id"] = None
    try:
        preprocess = _preprocess(said.get("preprocess_cfg", {}), config["vision_config"]["image_size"])
    except (ConfigError, TypeError, ValueError) as error:
        raise ModelError(f"{weights.with_name(CONFIG)}: preprocess_cfg cannot be used ({error}).") from error
    return assembled(
        "clip", config, _towers(found), tokenizer=tokenizer, preprocess=preprocess, what=str(weights)
    )


def _config_beside(weights: Path) -> dict[str, Any]:
    path = weights.with_name(CONFIG)
    if not path.is_file():
        return {}
    try:
        said = json.loads(path.read_text(encoding="utf-8"))
        return {"model_cfg": dict(said["model_cfg"]), "preprocess_cfg": dict(said.get("preprocess_cfg", {}))}
    except (ValueError, KeyError, TypeError) as error:
        raise ModelError(
            f"{path} is damaged ({error!r}). Fetch it again, or remove it and name --arch."
        ) from error


def _arch_of_config(said: dict[str, Any], weights: Path) -> Arch:
    if not said:
        raise ConfigError(
            f"the architecture of {weights} is not known: name it with --arch ({', '.join(ARCHS)}, each also "
            f"with {QUICK}), or put its {CONFIG} beside it."
        )
    model = said["model_cfg"]
    try:
        vision, text = model["vision_cfg"], model["text_cfg"]
        _require_plain(vision, text, weights.with_name(CONFIG))
        return Arch(
            vision_width=vision["width"],
            vision_layers=vision["layers"],
            vision_heads=vision["width"] // vision.get("head_width", 64),
            text_width=text["width"],
            text_layers=text["layers"],
            text_heads=text["heads"],
            quick_gelu=bool(model.get("quick_gelu", False)),
        )
    except (KeyError, TypeError, AttributeError, ZeroDivisionError) as error:
        raise ModelError(
            f"{weights.with_name(CONFIG)} is no CLIP with its own towers ({error!r})."
        ) from error


PLAIN: dict[str, tuple[Any, ...]] = {
    "pool_type": ("tok", "argmax", "eos"),
    "final_ln_after_pool": (False,),
    "attentional_pool": (False,),
    "no_ln_pre": (False,),
    "no_causal_mask": (False,),
    "embed_cls": (False,),
    "act_kwargs": (None, {}),
    "norm_kwargs": (None, {}, {"eps": 1e-5}),
}
"""Options of a tower that change what its tensors give and cannot be seen in them: what is read here."""


def _require_plain(vision: Mapping[str, Any], text: Mapping[str, Any], path: Path) -> None:
    for part, options in (("vision_cfg", vision), ("text_cfg", text)):
        for name, plain in PLAIN.items():
            if name in options and options[name] not in plain:
                raise ModelError(
                    f"{path}: {part} has {name} {options[name]!r}, which CLIP's own towers do not have. "
                    "Such a model is not read."
                )


def _config(found: Mapping[str, Tensor], arch: Arch, what: str) -> dict[str, Any]:
    """transformers' config, from the tensors where they show it."""
    try:
        width, _, patch, _ = found["visual.conv1.weight"].shape
        positions = len(found["visual.positional_embedding"])
        vocabulary, text_width = found["token_embedding.weight"].shape
        projection = found["text_projection"].shape[1]
        context = len(found["positional_embedding"])
        mlp = {
            tower: len(found[f"{tower}transformer.resblocks.0.mlp.c_fc.bias"]) for tower in ("visual.", "")
        }
    except (KeyError, ValueError, IndexError, TypeError) as error:
        raise ModelError(f"{what} has not the towers of open_clip's CLIP ({error!r}).") from error
    seen = (width, layers_of(found, "visual.transformer."), text_width, layers_of(found, "transformer."))
    stated = (arch.vision_width, arch.vision_layers, arch.text_width, arch.text_layers)
    if seen != stated:
        raise ConfigError(
            f"{what} has vision width, vision layers, text width, text layers {seen}, not {stated}. "
            "Name its own architecture."
        )
    activation = "quick_gelu" if arch.quick_gelu else "gelu"
    return {
        "projection_dim": projection,
        "vision_config": {
            "hidden_size": width,
            "intermediate_size": mlp["visual."],
            "num_hidden_layers": arch.vision_layers,
            "num_attention_heads": arch.vision_heads,
            "image_size": round((positions - 1) ** 0.5) * patch,
            "patch_size": patch,
            "hidden_act": activation,
        },
        "text_config": {
            "hidden_size": text_width,
            "intermediate_size": mlp[""],
            "num_hidden_layers": arch.text_layers,
            "num_attention_heads": arch.text_heads,
            "max_position_embeddings": context,
            "vocab_size": vocabulary,
            "hidden_act": activation,
            "bos_token_id": None,
            "eos_token_id": LEGACY_END,  # it pools at the highest id, unless its config says otherwise
        },
    }


def layers_of(found: Mapping[str, Tensor], prefix: str) -> int:
    """How many residual blocks stand under `prefix`."""
    head = f"{prefix}resblocks."
    return len({name.removeprefix(head).partition(".")[0] for name in found if name.startswith(head)})


def _towers(found: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The weights by transformers' names; what has no place here keeps its own, and is refused later."""
    rest = {name: tensor for name, tensor in found.items() if name not in (*OPENAI_MARKS, "attn_mask")}
    towers = residual_blocks(rest, "visual.transformer.resblocks.", "vision_model.encoder.layers.")
    towers |= residual_blocks(rest, "transformer.resblocks.", "text_model.encoder.layers.")
    for theirs, ours in RENAMED.items():
        if theirs in rest:
            towers[ours] = rest.pop(theirs)
    for theirs, ours in (("visual.proj", "visual_projection"), ("text_projection", "text_projection")):
        if theirs in rest:  # they multiply from the right
            towers[f"{ours}.weight"] = rest.pop(theirs).T
    return towers | rest


RENAMED = {
    "logit_scale": "logit_scale",
    "visual.class_embedding": "vision_model.embeddings.class_embedding",
    "visual.conv1.weight": "vision_model.embeddings.patch_embedding.weight",
    "visual.positional_embedding": "vision_model.embeddings.position_embedding.weight",
    "visual.ln_pre.weight": "vision_model.pre_layrnorm.weight",
    "visual.ln_pre.bias": "vision_model.pre_layrnorm.bias",
    "visual.ln_post.weight": "vision_model.post_layernorm.weight",
    "visual.ln_post.bias": "vision_model.post_layernorm.bias",
    "token_embedding.weight": "text_model.embeddings.token_embedding.weight",
    "positional_embedding": "text_model.embeddings.position_embedding.weight",
    "ln_final.weight": "text_model.final_layer_norm.weight",
    "ln_final.bias": "text_model.final_layer_norm.bias",
}
IN_BLOCK = {
    "attn.out_proj": "self_attn.out_proj",
    "ln_1": "layer_norm1",
    "ln_2": "layer_norm2",
    "mlp.c_fc": "mlp.fc1",
    "mlp.c_proj": "mlp.fc2",
}


def residual_blocks(rest: dict[str, Tensor], theirs: str, ours: str) -> dict[str, Tensor]:
    """The residual blocks named `theirs`, taken out of `rest`, by transformers' names under `ours`."""
    blocks: dict[str, Tensor] = {}
    for name in [name for name in rest if name.startswith(theirs)]:
        layer, _, inner = name.removeprefix(theirs).partition(".")
        module, _, kind = inner.rpartition(".")
        if inner in ("attn.in_proj_weight", "attn.in_proj_bias"):  # query, key and value in one
            for part, tensor in zip("qkv", rest.pop(name).chunk(3), strict=True):
                blocks[f"{ours}{layer}.self_attn.{part}_proj.{inner.rpartition('_')[2]}"] = tensor
        elif module in IN_BLOCK:
            blocks[f"{ours}{layer}.{IN_BLOCK[module]}.{kind}"] = rest.pop(name)
    return blocks


def _preprocess(said: Mapping[str, Any], size: int) -> Preprocess:
    mean, std = tuple(said.get("mean", CLIP_MEAN)), tuple(said.get("std", CLIP_STD))
    mode, filter_ = said.get("resize_mode", "shortest"), said.get("interpolation", "bicubic")
    if mode == "squash":
        return Squash(size=size, mean=mean, std=std, filter=filter_)
    if (mode, filter_) != ("shortest", "bicubic"):
        raise ModelError(f"pictures are resized by {mode!r} and {filter_!r}, which this version does not do.")
    return Preprocess(size=size, mean=mean, std=std)
