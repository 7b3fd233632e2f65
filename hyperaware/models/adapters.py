"""Low-rank adapters by peft, with the targets that HySAC and Safe-CLIP publish."""

import copy
import warnings
from collections.abc import Sequence

from torch import nn

from hyperaware.models.dual_encoder import TOWERS, DualEncoder

__all__ = ["PUBLISHED_TARGETS", "add_lora", "has_lora", "merged"]

PUBLISHED_TARGETS = ("k_proj", "v_proj", "out_proj", "fc1", "fc2", "patch_embedding")
"""HySAC's released training code adapts these in both towers: neither `q_proj` nor the final projections."""


def add_lora(
    model: DualEncoder,
    *,
    rank: int = 16,
    alpha: int = 1,
    dropout: float = 0.1,
    targets: tuple[str, ...] = PUBLISHED_TARGETS,
    towers: Sequence[str] = tuple(TOWERS),
) -> None:
    """Freeze the towers and add trainable adapters of `rank` (scale alpha / rank) to `targets`, in place.

    `towers`: the modalities whose towers get them; another tower is frozen as it is.

    Within an `nn.MultiheadAttention` (SigLIP pools pictures by one) nothing is adapted: it takes its weights
    without calling its layers, so that an adapter there would do nothing and get no gradient.
    """
    from peft import LoraConfig, get_peft_model

    from hyperaware.models.lora_linear import LoraLinear

    excluded = [
        f"{name}.{inner}"
        for name, module in model.clip.named_modules()
        if isinstance(module, nn.MultiheadAttention)
        for inner, _ in module.named_children()
    ]
    for modality in TOWERS.keys() - set(towers):
        excluded += [name for name, _ in model.clip.named_modules() if name.startswith(TOWERS[modality])]
    config = LoraConfig(
        r=rank,
        lora_alpha=alpha,
        lora_dropout=dropout,
        target_modules=list(targets),
        exclude_modules=excluded or None,
        bias="none",
    )
    config._register_custom_module({nn.Linear: LoraLinear})  # peft's documented way to give it a layer
    with warnings.catch_warnings():  # peft reads an attribute that transformers has deprecated
        warnings.filterwarnings("ignore", message=".*is_gradient_checkpointing", category=FutureWarning)
        model.clip = get_peft_model(model.clip, config)


def has_lora(model: DualEncoder) -> bool:
    """Whether the towers carry adapters that are not merged."""
    return hasattr(model.clip, "merge_and_unload")


def merged(model: DualEncoder) -> DualEncoder:
    """The model with its adapters merged: a copy, or the model itself where it has none."""
    if not has_lora(model):
        return model
    plain = copy.deepcopy(model)
    plain.clip = plain.clip.merge_and_unload()
    for parameter in plain.parameters():
        parameter.requires_grad_(True)
    return plain
