"""G-Unsafe and G-Safe-CLIP: the two baselines of UWM (arXiv 2503.11742), which prune by gradients.

The score of a weight is |dL/dW|, averaged over batches; the highest are set to zero, in the layers that UWM
edits. In each encoder only the **safe** item of a row is differentiated and everything else held fixed, as
released (in Safe-CLIP's own training the unsafe item moves). Rows count whose both sides are unsafe.

    G-Unsafe      mean cos(safe item, safe item of the other modality) - the same with the unsafe one
    G-Safe-CLIP   contrastive(safe item, unsafe item of the other modality) + mean 1 - cos(safe, unsafe twin)

The released batches hold 512 rows for the text encoder and 64 for the vision encoder; the contrastive term
depends on it.
"""

import math
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn

from hyperaware.editing.encoders import ENCODERS, Encoder, Inputs, encoder, evaluating, unsafe_pairs
from hyperaware.editing.patch import PRUNE, Patch
from hyperaware.editing.selection import Scores, by_count, by_mass
from hyperaware.errors import ConfigError, DataError
from hyperaware.evaluation.examples import Batch
from hyperaware.geometry.space import Sphere
from hyperaware.losses.contrastive import contrastive
from hyperaware.losses.cosine import cosine_distance

__all__ = ["GSafeCLIP", "GUnsafe", "Sides", "gradient_scores"]

LOGIT_SCALE = math.exp(4.6052)
"""Of the contrastive term, as in Safe-CLIP."""


class Sides(NamedTuple):
    """Unit vectors of the same rows, seen from one encoder; only `safe` carries a gradient."""

    safe: Tensor
    unsafe: Tensor
    other_safe: Tensor
    other_unsafe: Tensor


Loss = Callable[[Sides], Tensor]


@dataclass(frozen=True)
class GUnsafe:
    """The settings of G-Unsafe; the defaults are the released code's."""

    share: float = 0.035
    """Share of each layer's weights that is pruned; of its scores' sum where the rule is `mass`."""
    encoders: tuple[str, ...] = ENCODERS
    """Which encoders are pruned."""
    vision_rule: Literal["count", "mass"] = "mass"
    """How vision's weights are chosen: by mass, unlike text's, as released, though perhaps by accident."""

    name = "g-unsafe"

    def patch(self, model: nn.Module, batches: Iterable[Batch], *, data: str | None = None) -> Patch:
        """The pruning of `model`, which stays as it is. Raises as `gradient_scores` and the rules do."""
        scores = gradient_scores(model, batches, encoders=self.encoders, loss=self.loss)
        vision = encoder(model, "vision").layers if self.vision_rule == "mass" else {}
        masks = {
            name: (by_mass if name in vision else by_count)(values, self.share)
            for name, values in scores.weights.items()
        }
        return _pruning(model, masks, scores, self.name, asdict(self), data)

    @staticmethod
    def loss(sides: Sides) -> Tensor:
        """How much closer the safe item is to its safe partner than to the unsafe one."""
        return (sides.safe * (sides.other_safe - sides.other_unsafe)).sum(dim=1).mean()


@dataclass(frozen=True)
class GSafeCLIP:
    """The settings of G-Safe-CLIP; the defaults are the released code's."""

    share: float = 0.005
    """Share of each layer's weights that is pruned."""
    encoders: tuple[str, ...] = ENCODERS
    """Which encoders are pruned."""

    name = "g-safe-clip"

    def patch(self, model: nn.Module, batches: Iterable[Batch], *, data: str | None = None) -> Patch:
        """The pruning of `model`, which stays as it is. Raises as `gradient_scores` and the rule do."""
        scores = gradient_scores(model, batches, encoders=self.encoders, loss=self.loss)
        masks = {name: by_count(values, self.share) for name, values in scores.weights.items()}
        return _pruning(model, masks, scores, self.name, asdict(self), data)

    @staticmethod
    def loss(sides: Sides) -> Tensor:
        """Safe-CLIP's two kinds of terms, roles exchanged: the safe item is pulled to the unsafe ones."""
        cross = contrastive(sides.safe, sides.other_unsafe, space=Sphere(), logit_scale=LOGIT_SCALE)
        return cross + cosine_distance(sides.safe, sides.unsafe)


def gradient_scores(
    model: nn.Module, batches: Iterable[Batch], *, encoders: tuple[str, ...], loss: Loss
) -> Scores:
    """|dL/dW| of every layer that may be edited, averaged over batches; the model stays as it is.

    Raises:
        ConfigError: no encoder, or an unknown one.
        ModelError: the model has no such layers.
        DataError: no row is unsafe on both sides, or a gradient is not finite.
    """
    if not encoders or not set(encoders) <= set(ENCODERS):
        raise ConfigError(f"got encoders {encoders}, expected some of {', '.join(ENCODERS)}.")
    towers = {name: encoder(model, name) for name in ENCODERS}
    totals: dict[str, Tensor] = {}
    rows = counted = 0
    with evaluating(model):
        for batch in batches:
            chosen = unsafe_pairs(batch, "text") & unsafe_pairs(batch, "vision")
            if not chosen.any():
                continue
            inputs = _inputs(batch, chosen.repeat(2))
            for name in encoders:
                for weight, size in _gradient_sizes(towers, inputs, name, loss).items():
                    totals[weight] = totals[weight].add_(size) if weight in totals else size
            rows, counted = rows + int(chosen.sum()), counted + 1
    if counted == 0:
        raise DataError("there is no row whose text and picture are both unsafe.")
    return Scores({name: total / counted for name, total in totals.items()}, dict.fromkeys(encoders, rows))


def _inputs(batch: Batch, rows: Tensor) -> dict[str, Inputs]:
    return {
        "text": Inputs(batch.ids, batch.mask).rows(rows),
        "vision": Inputs(batch.pixels, None).rows(rows),
    }


def _gradient_sizes(
    towers: dict[str, Encoder], inputs: dict[str, Inputs], name: str, loss: Loss
) -> dict[str, Tensor]:
    """|dL/dW| of the layers of the encoder `name` on one batch."""
    [other] = set(towers) - {name}
    own, rows = towers[name], torch.arange(len(inputs[name].values))
    safe, unsafe = rows.chunk(2)
    with torch.no_grad():
        fixed_unsafe = _directions(own, inputs[name].rows(unsafe))
        other_safe, other_unsafe = _directions(towers[other], inputs[other]).chunk(2)
    weights = {weight: layer.weight for weight, layer in own.layers.items()}
    needed = {weight: parameter.requires_grad for weight, parameter in weights.items()}
    try:
        for parameter in weights.values():
            parameter.requires_grad_(True)
        with torch.enable_grad():
            moving = _directions(own, inputs[name].rows(safe))
            value = loss(Sides(moving, fixed_unsafe, other_safe, other_unsafe))
            gradients = torch.autograd.grad(value, list(weights.values()))
    finally:
        for weight, parameter in weights.items():
            parameter.requires_grad_(needed[weight])
    sizes = {weight: gradient.abs() for weight, gradient in zip(weights, gradients, strict=True)}
    broken = [weight for weight, size in sizes.items() if not size.isfinite().all()]
    if broken:
        raise DataError(f"the gradient of {broken[0]} is not finite: there are no scores to prune by.")
    return sizes


def _directions(encoder: Encoder, inputs: Inputs) -> Tensor:
    return Sphere().lift(encoder.features(inputs.to(encoder.device)).float())


def _pruning(
    model: nn.Module, masks: dict[str, Tensor], scores: Scores, name: str, settings: dict, data: str | None
) -> Patch:
    made_by = {"method": name, "settings": settings, "pairs": scores.pairs, "data": data}
    return Patch.of(model, masks, alpha=PRUNE, made_by=made_by)
