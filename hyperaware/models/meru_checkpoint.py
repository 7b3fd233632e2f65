"""Checkpoints of MERU, of its CLIP baselines, and of HyCoCLIP, which share one layout (`.pth`).

The layout is read from their published code: a vision transformer of timm (`visual.`) with its class token
pooled, CLIP's text tower with the exact GELU (`textual.`), two projections, and the scalars of `DualEncoder`,
stored as logarithms. The files hold the optimiser's state too; it is not used.

Where it differs from CLIP: no norm before the vision layers; patches with a bias, which is folded into their
positions; ImageNet's mean and deviation. The number of heads is in no tensor: it follows from the width in
the published sizes. Texts are CLIP's tokens; the originals also repair broken Unicode and HTML entities
(ftfy), which is not done here.

PHyCLIP, from the same code, lies in a product of many hyperbolic spaces, which is none of ours: refused.
"""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from hyperaware.errors import ConfigError, ModelError
from hyperaware.models.checkpoint_file import fold_patch_bias, logarithm, read_weights
from hyperaware.models.dual_encoder import DualEncoder
from hyperaware.models.huggingface import LEGACY_END, assembled
from hyperaware.models.open_clip import layers_of, residual_blocks
from hyperaware.models.preprocess import Preprocess

__all__ = ["HEADS", "read_meru"]

HEADS = {384: 12, 768: 12, 1024: 16}
"""Heads of the published vision towers (small, base, large) by their width. Small is MoCo v3's, with 12."""
TEXT_HEAD_WIDTH = 64
IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
HYPERBOLIC = ("curv", "visual_alpha", "textual_alpha")
UNUSED = ("textual.attn_mask",)


def read_meru(
    weights: Path, *, tokenizer: Path, vision_heads: int | None = None, text_heads: int | None = None
) -> DualEncoder:
    """The model of a `.pth` of MERU, HyCoCLIP or MERU's CLIP baseline, in eval mode, float32.

    Args:
        tokenizer: a folder with CLIP's tokenizer, or OpenAI's bpe_simple_vocab_16e6.txt.gz.
        vision_heads: for other widths than the published ones.
        text_heads: likewise. [default: one for each 64 of the width]

    Raises:
        ModelError: the file is damaged, or of another layout.
    """
    found = read_weights(weights)
    lorentz = "curv" in found
    wanted = (
        "logit_scale",
        "visual.cls_token",
        "visual.patch_embed.proj.bias",
        "textual.token_embed.weight",
        *(HYPERBOLIC if lorentz else ()),
    )
    missing = [name for name in wanted if name not in found]
    if missing or any(name.startswith("curvs.") for name in found):
        reason = f"it has no {missing[0]!r}" if missing else "it lies in a product of spaces, as PHyCLIP does"
        raise ModelError(f"{weights} is no checkpoint of MERU or HyCoCLIP: {reason}.")
    logit_scale = logarithm(found, "logit_scale", weights)
    try:
        towers = _towers({name: tensor.float() for name, tensor in found.items() if name not in UNUSED})
        config = _config(found, vision_heads=vision_heads, text_heads=text_heads)
    except (KeyError, ValueError, IndexError, TypeError) as error:
        raise ModelError(f"{weights} has not the towers of MERU or HyCoCLIP ({error!r}).") from error
    mean, std = (
        tuple(towers.pop(name).flatten().tolist()) if name in towers else default
        for name, default in (("pixel_mean", IMAGENET_MEAN), ("pixel_std", IMAGENET_STD))
    )
    try:
        preprocess = Preprocess(size=config["vision_config"]["image_size"], mean=mean, std=std)
    except ConfigError as error:
        raise ModelError(f"{weights}: {error}") from error
    towers = {name: tensor for name, tensor in towers.items() if not (lorentz and name in HYPERBOLIC)}
    model = assembled(
        "clip-without-pre-norm",
        config,
        towers,
        tokenizer=tokenizer,
        preprocess=preprocess,
        what=str(weights),
    )
    with torch.no_grad():
        model.log_logit_scale.fill_(logit_scale)
    if lorentz:
        curv, alpha_image, alpha_text = (math.exp(logarithm(found, name, weights)) for name in HYPERBOLIC)
        model.use_lorentz(curv=curv, alpha_image=alpha_image, alpha_text=alpha_text)
    return model.eval()


def _config(
    found: Mapping[str, Tensor], *, vision_heads: int | None, text_heads: int | None
) -> dict[str, Any]:
    width, _, patch, _ = found["visual.patch_embed.proj.weight"].shape
    vocabulary, text_width = found["textual.token_embed.weight"].shape
    if vision_heads is None and width not in HEADS:
        raise ModelError(
            f"a vision tower of width {width} is not published ({sorted(HEADS)}): state its heads."
        )
    blocks = {name.split(".")[2] for name in found if name.startswith("visual.blocks.")}
    return {
        "projection_dim": len(found["visual_proj.weight"]),
        "vision_config": {
            "hidden_size": width,
            "intermediate_size": len(found["visual.blocks.0.mlp.fc1.bias"]),
            "num_hidden_layers": len(blocks),
            "num_attention_heads": HEADS[width] if vision_heads is None else vision_heads,
            "image_size": round((found["visual.pos_embed"].shape[1] - 1) ** 0.5) * patch,
            "patch_size": patch,
            "hidden_act": "gelu",
        },
        "text_config": {
            "hidden_size": text_width,
            "intermediate_size": len(found["textual.resblocks.0.mlp.c_fc.bias"]),
            "num_hidden_layers": layers_of(found, "textual."),
            "num_attention_heads": text_width // TEXT_HEAD_WIDTH if text_heads is None else text_heads,
            "max_position_embeddings": len(found["textual.posit_embed"]),
            "vocab_size": vocabulary,
            "hidden_act": "gelu",
            "bos_token_id": None,
            "eos_token_id": LEGACY_END,  # it pools at the highest id
        },
    }


RENAMED = {
    "visual.patch_embed.proj.weight": "vision_model.embeddings.patch_embedding.weight",
    "visual.patch_embed.proj.bias": "vision_model.embeddings.patch_embedding.bias",
    "visual.norm.weight": "vision_model.post_layernorm.weight",
    "visual.norm.bias": "vision_model.post_layernorm.bias",
    "visual_proj.weight": "visual_projection.weight",
    "textual.token_embed.weight": "text_model.embeddings.token_embedding.weight",
    "textual.posit_embed": "text_model.embeddings.position_embedding.weight",
    "textual.ln_final.weight": "text_model.final_layer_norm.weight",
    "textual.ln_final.bias": "text_model.final_layer_norm.bias",
    "textual_proj.weight": "text_projection.weight",
}
IN_BLOCK = {"norm1": "layer_norm1", "norm2": "layer_norm2", "attn.proj": "self_attn.out_proj"}


def _towers(rest: dict[str, Tensor]) -> dict[str, Tensor]:
    """The weights by transformers' names; what has no place there keeps its own."""
    towers = residual_blocks(rest, "textual.resblocks.", "text_model.encoder.layers.")
    towers["vision_model.embeddings.class_embedding"] = rest.pop("visual.cls_token").flatten()
    towers["vision_model.embeddings.position_embedding.weight"] = rest.pop("visual.pos_embed")[0]
    for theirs, ours in RENAMED.items():
        if theirs in rest:
            towers[ours] = rest.pop(theirs)
    for name in [name for name in rest if name.startswith("visual.blocks.")]:
        layer, _, inner = name.removeprefix("visual.blocks.").partition(".")
        module, _, kind = inner.rpartition(".")
        head = f"vision_model.encoder.layers.{layer}."
        if module == "attn.qkv":
            for part, tensor in zip("qkv", rest.pop(name).chunk(3), strict=True):
                towers[f"{head}self_attn.{part}_proj.{kind}"] = tensor
        else:
            towers[f"{head}{IN_BLOCK.get(module, module)}.{kind}"] = rest.pop(name)
    fold_patch_bias(towers)
    return towers | rest
