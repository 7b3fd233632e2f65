"""Published HySAC weights (`hysac_model.pth`): adapters merged into plain CLIP towers in Lorentz space.

The file is the state dict of a class that wraps both towers by peft. It holds the base weights too, so of the
base CLIP only the config and the tokenizer are needed. Both layouts are read:

    visual.base_model.model.vision_model...k_proj.weight               peft 0.4, which the authors pin
    visual.base_model.model.vision_model...k_proj.base_layer.weight    peft since 0.6

Two traps: peft 0.4 gives the patch embedding a random *bias*, which takes part in what was trained (see
`checkpoint_file.fold_patch_bias`); and `curv` is a logarithm.
"""

import math
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from hyperaware.errors import ModelError
from hyperaware.models.checkpoint_file import fold_patch_bias, logarithm, read_weights
from hyperaware.models.dual_encoder import DualEncoder
from hyperaware.models.huggingface import assembled, read_config, read_preprocess

__all__ = ["RELEASED_CURV", "merged_towers", "read_hysac", "remarks_on_curv"]

RELEASED_CURV = 0.1
"""The curvature of the release, inferred from the authors' histogram (log -2.30); not stated by them."""
TOWERS = ("visual.base_model.model.", "textual.base_model.model.")
SCALARS = ("logit_scale", "curv", "visual_alpha", "textual_alpha")
UNUSED = ("pixel_mean", "pixel_std")
"""ImageNet's values, which the published code never uses."""


def read_hysac(
    weights: Path, *, backbone: Path, tokenizer: Path | None = None, lora_alpha: float = 1.0
) -> DualEncoder:
    """The model of a published `hysac_model.pth`, in eval mode, float32.

    Args:
        backbone: folder of the base CLIP; its weights are not read.
        tokenizer: where the tokenizer is read from, if not from `backbone`.
        lora_alpha: the adapters' scale times their rank; it is in no file, and 1 in the published code.

    Raises:
        ModelError: the file is of another kind or damaged, or does not fit the backbone.
    """
    found = read_weights(weights)
    missing = [name for name in SCALARS if name not in found]
    if missing:
        raise ModelError(f"{weights} has no {missing[0]!r}: these are no published HySAC weights.")
    scalars = {name: logarithm(found, name, weights) for name in SCALARS}
    config = read_config(backbone)
    kind = config.pop("model_type")
    if kind != "clip":
        raise ModelError(f"{backbone} is of kind {kind!r}, expected the CLIP that HySAC was trained from.")
    model = assembled(
        "clip",
        config,
        merged_towers(found, lora_alpha=lora_alpha),
        tokenizer=backbone if tokenizer is None else tokenizer,
        preprocess=read_preprocess(backbone, kind, config),
        what=f"{weights} on {backbone}",
    )
    model.use_lorentz(
        curv=math.exp(scalars["curv"]),
        alpha_image=math.exp(scalars["visual_alpha"]),
        alpha_text=math.exp(scalars["textual_alpha"]),
    )
    with torch.no_grad():
        model.log_logit_scale.fill_(scalars["logit_scale"])
    return model.eval()


def merged_towers(found: Mapping[str, Tensor], *, lora_alpha: float) -> dict[str, Tensor]:
    """The weights of a plain CLIP: W + (lora_alpha / rank) B A for each adapted layer.

    Raises:
        ModelError: an adapter without its other half, or that does not fit its layer; two adapters of one
            layer; a name that is in no published file.
    """
    towers: dict[str, Tensor] = {}
    halves: dict[str, dict[str, Tensor]] = {}
    for name, tensor in found.items():
        if name in (*SCALARS, *UNUSED) or name.endswith("position_ids"):
            continue
        prefix = next((prefix for prefix in TOWERS if name.startswith(prefix)), None)
        if prefix is None:
            raise ModelError(f"got a tensor {name!r}, expected names that begin with {' or '.join(TOWERS)}.")
        inner = name.removeprefix(prefix).replace(".base_layer.", ".")
        layer, lora, half = inner.partition(".lora_")
        if lora:
            side, _, adapter = half.partition(".")
            if side in halves.setdefault(layer, {}):
                second = adapter.partition(".")[0]
                raise ModelError(f"{layer} has a second adapter, {second!r}: merge them first.")
            halves[layer][side] = tensor.float()
        else:
            towers[inner] = tensor.float()
    for layer, parts in halves.items():
        if set(parts) != {"A", "B"} or f"{layer}.weight" not in towers:
            raise ModelError(
                f"the adapter of {layer} has {sorted(parts)}, expected A, B and its layer's weight."
            )
        towers[f"{layer}.weight"] = towers[f"{layer}.weight"] + _product(parts, lora_alpha, layer, towers)
    fold_patch_bias(towers)
    return towers


def _product(
    parts: Mapping[str, Tensor], lora_alpha: float, layer: str, towers: Mapping[str, Tensor]
) -> Tensor:
    """(lora_alpha / rank) B A, in the shape of the layer: a convolution's A is one of its own kernels."""
    a, b, shape = parts["A"], parts["B"], towers[f"{layer}.weight"].shape
    rank = a.shape[0]
    if a.shape[1:] != shape[1:] or b.shape[:1] != shape[:1] or b.numel() != len(b) * rank:
        raise ModelError(
            f"the adapter of {layer} has A {tuple(a.shape)} and B {tuple(b.shape)}, which do not fit its "
            f"weight {tuple(shape)}."
        )
    return (lora_alpha / rank) * (b.flatten(1) @ a.flatten(1)).view(shape)


def remarks_on_curv(curv: float) -> list[str]:
    """What is to be said of a curvature that is not that of the release."""
    if math.isclose(curv, RELEASED_CURV, rel_tol=0.02):
        return []
    if math.isclose(curv, 1 / RELEASED_CURV, rel_tol=0.02):
        return [f"the curvature is {curv:.4g}, the inverse of what is expected: its logarithm lost its sign."]
    return [
        f"the curvature is {curv:.4g}, but that of the released HySAC is expected to be {RELEASED_CURV} "
        f"(log {math.log(RELEASED_CURV):.2f}). If you did not train these weights yourself, they are not it."
    ]
