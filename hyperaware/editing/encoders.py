"""The two encoders of a contrastive model, and the layers of them that an edit may change.

text     the attention's output projection of every block (`out_proj`)
vision   the second linear layer of every block's MLP (`fc2`)

Blocks only: the pooling head of SigLIP has layers of the same names that see one token, and stays as it is.
"""

import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from hyperaware.errors import ModelError
from hyperaware.evaluation.examples import Batch
from hyperaware.models.dual_encoder import DualEncoder
from hyperaware.options import unknown_name

__all__ = [
    "ENCODERS",
    "Encoder",
    "Inputs",
    "encoder",
    "evaluating",
    "paired_inputs",
    "unsafe_pairs",
    "watched",
]

ENCODERS = ("text", "vision")
LAYERS = {
    "text": re.compile(r"text_model\.encoder\.layers\.\d+\.self_attn\.out_proj"),
    "vision": re.compile(r"vision_model\.encoder\.layers\.\d+\.mlp\.fc2"),
}
KINDS = ("clip", "siglip")
"""Architectures by their `model_type`. SigLIP is trained without a mask: it attends to padding too."""


class Inputs(NamedTuple):
    """What an encoder reads: ids (n, tokens) or pixels (n, 3, size, size); which tokens count (none: all)."""

    values: Tensor
    counted: Tensor | None

    def rows(self, chosen: Tensor) -> "Inputs":
        """The inputs at these rows."""
        return Inputs(self.values[chosen], None if self.counted is None else self.counted[chosen])

    def to(self, device: torch.device) -> "Inputs":
        """The inputs on this device."""
        return Inputs(self.values.to(device), None if self.counted is None else self.counted.to(device))


@dataclass(frozen=True)
class Encoder:
    """One encoder: its editable layers by the name of their weight in the model, and its features."""

    name: str
    layers: Mapping[str, nn.Linear]
    features: Callable[[Inputs], Tensor]
    """Projected features before any normalisation, (n, dim)."""

    @property
    def device(self) -> torch.device:
        return next(iter(self.layers.values())).weight.device


def encoder(model: nn.Module, name: str) -> Encoder:
    """The encoder `name` of a `DualEncoder`, or of a CLIP or SigLIP model of transformers.

    Raises:
        ConfigError: no such encoder.
        ModelError: a model of another architecture, or with adapters that are not merged.
    """
    if name not in ENCODERS:
        raise unknown_name("encoder", name, ENCODERS)
    towers: Any = model.clip if isinstance(model, DualEncoder) else model
    prefix = "clip." if isinstance(model, DualEncoder) else ""
    if hasattr(towers, "merge_and_unload"):
        raise ModelError("the model has adapters: their layers are no plain weights. Merge them first.")
    kind = getattr(getattr(towers, "config", None), "model_type", None)
    layers = {
        f"{prefix}{path}.weight": module
        for path, module in towers.named_modules()
        if LAYERS[name].fullmatch(path) and isinstance(module, nn.Linear)
    }
    if kind not in KINDS or not layers:
        raise ModelError(
            f"got a {type(model).__name__} of kind {kind!r} with {len(layers)} layers to edit in its {name} "
            f"encoder; expected a dual encoder of kind {' or '.join(KINDS)} as transformers builds them."
        )
    features = _text_features(towers, masked=kind == "clip") if name == "text" else _image_features(towers)
    return Encoder(name=name, layers=layers, features=features)


def _text_features(towers: Any, *, masked: bool) -> Callable[[Inputs], Tensor]:
    def features(inputs: Inputs) -> Tensor:
        mask = inputs.counted if masked else None
        return towers.get_text_features(input_ids=inputs.values, attention_mask=mask).pooler_output

    return features


def _image_features(towers: Any) -> Callable[[Inputs], Tensor]:
    return lambda inputs: towers.get_image_features(pixel_values=inputs.values).pooler_output


def unsafe_pairs(batch: Batch, name: str) -> Tensor:
    """Which pairs of a batch have a generated item that is labelled unsafe, (n,)."""
    return batch.unsafe_text_is_unsafe if name == "text" else batch.unsafe_image_is_unsafe


def paired_inputs(batch: Batch, name: str) -> Inputs:
    """What the encoder `name` reads of a batch: n safe items, then their n unsafe twins.

    Left out are the pairs whose generated item is labelled safe, and those in which a caption has fewer than
    two tokens, over which nothing can vary.
    """
    pairs = unsafe_pairs(batch, name)
    if name == "text":
        inputs = Inputs(batch.ids, batch.mask)
        long = batch.mask.sum(dim=1) >= 2
        pairs = pairs & long[: len(pairs)] & long[len(pairs) :]
    else:
        inputs = Inputs(batch.pixels, None)
    return inputs.rows(pairs.repeat(2))


@contextmanager
def watched(encoder: Encoder, see: Callable[[str, Tensor], None]) -> Iterator[None]:
    """During one forward pass, show `see` what enters each layer: its weight's name, and (n, tokens, d_in).

    Raises:
        ModelError: a layer was not called exactly once, as where its weight is used without the layer itself.
    """
    calls: Counter[str] = Counter()

    def hook(name: str) -> Callable[[nn.Module, tuple[Any, ...]], None]:
        def seen(_: nn.Module, inputs: tuple[Any, ...]) -> None:
            calls[name] += 1
            see(name, inputs[0])

        return seen

    with ExitStack() as stack:
        for name, layer in encoder.layers.items():
            stack.callback(layer.register_forward_pre_hook(hook(name)).remove)
        yield
    wrong = [f"{name}: {calls[name]} times" for name in encoder.layers if calls[name] != 1]
    if wrong:
        raise ModelError(
            f"{len(wrong)} of {len(encoder.layers)} layers of the {encoder.name} encoder were not called "
            f"once in a forward pass ({wrong[0]}): nothing is known of their weights."
        )


@contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """The model in eval mode, and afterwards as it was."""
    was_training = model.training
    model.eval()
    try:
        yield
    finally:
        model.train(was_training)
