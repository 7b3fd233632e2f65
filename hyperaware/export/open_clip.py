"""open_clip's own names for CLIP's weights, and its config: what `models.open_clip` reads, written."""

import json
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from hyperaware.errors import ModelError
from hyperaware.export.facts import write_facts
from hyperaware.export.probes import difference, pixels_of, require_close, tokens_of
from hyperaware.export.processor import write_tokenizer
from hyperaware.models.architectures import architecture_of
from hyperaware.models.checkpoint_file import write_weights
from hyperaware.models.dual_encoder import DualEncoder
from hyperaware.models.open_clip import CONFIG, IN_BLOCK, RENAMED, read_open_clip
from hyperaware.models.squash import Squash

__all__ = ["WEIGHTS", "config", "state_dict", "write"]

WEIGHTS = "open_clip_model.safetensors"
ACTIVATIONS = {"quick_gelu": True, "gelu": False}
"""Whether it is QuickGELU; `gelu` is the exact one in both libraries."""
EPS = 1e-5
"""Of open_clip's layer norms."""
TOLERANCE = 1e-6
BLOCKS = {
    "vision_model.encoder.layers.": "visual.transformer.resblocks.",
    "text_model.encoder.layers.": "transformer.resblocks.",
}


def write(model: DualEncoder, out: Path) -> dict[str, float]:
    """Write weights, config and tokenizer, and import them again: the largest difference by modality.

    Raises:
        ModelError: towers that open_clip's CLIP cannot have, or files that give other features.
    """
    written = config(model)
    write_weights(state_dict(model), out / WEIGHTS, metadata={"format": "pt"})
    (out / CONFIG).write_text(json.dumps(written, indent=2) + "\n", encoding="utf-8")
    write_tokenizer(model, out, kind="clip")
    write_facts(model, out)
    return _compared(model, out)


def config(model: DualEncoder) -> dict[str, Any]:
    """open_clip_config.json.

    Raises:
        ModelError: the towers are not those of open_clip's CLIP.
    """
    _require_expressible(model)
    vision: Any = model.config.vision_config
    text: Any = model.config.text_config
    tokenizer, preprocess = model.tokenizer, model.preprocess
    text_cfg = {
        "context_length": text.max_position_embeddings,
        "vocab_size": text.vocab_size,
        "width": text.hidden_size,
        "heads": text.num_attention_heads,
        "layers": text.num_hidden_layers,
        "mlp_ratio": text.intermediate_size / text.hidden_size,
    }
    if tokenizer.eos_id != max(tokenizer.backend.get_vocab().values()):  # open_clip pools at the highest id
        text_cfg |= {"pool_type": "eos", "eos_id": tokenizer.eos_id, "pad_id": tokenizer.pad_id}
    return {
        "model_cfg": {
            "embed_dim": model.dim,
            "quick_gelu": ACTIVATIONS[vision.hidden_act],
            "vision_cfg": {
                "image_size": vision.image_size,
                "patch_size": vision.patch_size,
                "width": vision.hidden_size,
                "layers": vision.num_hidden_layers,
                "head_width": vision.hidden_size // vision.num_attention_heads,
                "mlp_ratio": vision.intermediate_size / vision.hidden_size,
            },
            "text_cfg": text_cfg,
        },
        "preprocess_cfg": {
            "mean": list(preprocess.mean),
            "std": list(preprocess.std),
            "interpolation": preprocess.filter if isinstance(preprocess, Squash) else "bicubic",
            "resize_mode": "squash" if isinstance(preprocess, Squash) else "shortest",
        },
    }


def _require_expressible(model: DualEncoder) -> None:
    vision: Any = model.config.vision_config
    text: Any = model.config.text_config
    kind = architecture_of(model.clip)
    reason = None
    if kind == "siglip":
        reason = "SigLIP's towers (it pools pictures by attention) are timm's there, with other names"
    elif kind != "clip":
        reason = f"towers of the kind {kind!r} are not written"
    elif vision.hidden_act != text.hidden_act or vision.hidden_act not in ACTIVATIONS:
        reason = f"activations {vision.hidden_act!r} and {text.hidden_act!r} are not one of its two"
    elif (vision.layer_norm_eps, text.layer_norm_eps) != (EPS, EPS):
        reason = f"its layer norms have eps {EPS}, not {vision.layer_norm_eps} and {text.layer_norm_eps}"
    else:
        for part in (vision, text):
            if int(part.hidden_size * (part.intermediate_size / part.hidden_size)) != part.intermediate_size:
                reason = f"it has no ratio that makes {part.intermediate_size} of {part.hidden_size}"
    if reason is not None:
        raise ModelError(f"{model.name} cannot be an open_clip CLIP: {reason}. Export it as clip or onnx.")


def state_dict(model: DualEncoder) -> dict[str, Tensor]:
    """The weights by open_clip's names, contiguous float32."""
    ours = model.clip.state_dict() | {"logit_scale": model.log_logit_scale}
    state = {theirs: ours.pop(name) for theirs, name in RENAMED.items()}
    for theirs, name in (("visual.proj", "visual_projection"), ("text_projection", "text_projection")):
        state[theirs] = ours.pop(f"{name}.weight").T  # they multiply from the right
    for prefix, target in BLOCKS.items():
        blocks = {name: tensor for name, tensor in ours.items() if name.startswith(prefix)}
        state |= {target + name: each for name, each in _blocks(blocks, prefix).items()}
        ours = {name: tensor for name, tensor in ours.items() if name not in blocks}
    if ours:
        raise ModelError(f"{model.name} has weights that open_clip's CLIP has not, such as {min(ours)}.")
    return {name: tensor.detach().float().cpu().contiguous().clone() for name, tensor in state.items()}


def _blocks(ours: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """The tensors of all residual blocks, by their number and open_clip's names."""
    named = {f"{inner}.{kind}": f"{theirs}.{kind}" for theirs, inner in IN_BLOCK.items() for kind in KINDS}
    found: dict[str, Tensor] = {}
    for name, tensor in ours.items():
        layer, _, inner = name.removeprefix(prefix).partition(".")
        if inner in named:
            found[f"{layer}.{named[inner]}"] = tensor
        elif inner.startswith("self_attn.q_proj."):  # query, key and value are one there
            kind = inner.rpartition(".")[2]
            parts = [ours[f"{prefix}{layer}.self_attn.{part}_proj.{kind}"] for part in "qkv"]
            found[f"{layer}.attn.in_proj_{kind}"] = torch.cat(parts)
    return found


KINDS = ("weight", "bias")


@torch.no_grad()
def _compared(model: DualEncoder, out: Path) -> dict[str, float]:
    again = read_open_clip(out / WEIGHTS, tokenizer=out)
    found: dict[str, float] = {"image": 0.0, "text": 0.0}
    for pixels in pixels_of(model):
        one = difference(again.features_of_pixels(pixels), model.features_of_pixels(pixels))
        found["image"] = max(found["image"], one)
    for ids, mask in tokens_of(model):
        one = difference(again.features_of_tokens(ids, mask), model.features_of_tokens(ids, mask))
        found["text"] = max(found["text"], one)
    return require_close(found, TOLERANCE, what="the weights, imported again,")
