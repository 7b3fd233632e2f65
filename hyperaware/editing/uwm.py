"""UWM: unsafe weights manipulation (arXiv 2503.11742, WACV 2026), without training or gradients.

It changes a contrastive model in one thing: in one layer of every block it flips the sign of the few weights
through which unsafe items send more flow than their safe twins (`editing.flow`). Text: the attention's output
projection, scores times |W|. Vision: the second layer of the MLP. Both encoders are scored on the original
model, each by items of its own modality.

Where we differ from the released code, or had to choose:

* batches count by their pairs, so a ragged last batch is not over-weighted; the batch size changes nothing;
* in the vision encoder 1e-8 is added to the deviation, in the text encoder nothing, as released; an input of
  a layer that is silent throughout an item counts as neutral instead of giving 0/0;
* a layer that was never called, scores that are not finite and twins without any difference are errors: the
  released code would pass over them and leave the layer as it is;
* the edit is folded into the weights and kept as a bitmask, instead of a product at every forward pass.
"""

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from hyperaware.editing.encoders import ENCODERS, Encoder, encoder, evaluating, paired_inputs, watched
from hyperaware.editing.flow import RATIOS, channels
from hyperaware.editing.patch import FLIP, Patch
from hyperaware.editing.selection import Scores, by_mass, require_share
from hyperaware.errors import ConfigError, DataError
from hyperaware.evaluation.examples import Batch

__all__ = ["UWM"]

DEVIATION_FLOOR = {"text": 0.0, "vision": 1e-8}
SAME = 1e-6
"""Relative spread of a layer's ratios below which they are all the same, up to rounding."""


@dataclass(frozen=True)
class UWM:
    """The settings; the defaults are those of the paper and the released code."""

    tau: float = 0.02
    """Share of each layer's summed scores that the flipped weights hold; they are fewer than that share."""
    encoders: tuple[str, ...] = ENCODERS
    """Which encoders are edited."""
    ratio: Literal["mean-of-ratios", "ratio-of-means"] = "mean-of-ratios"
    """How pairs are averaged: the released code's way, or the poster's, which needs no pairs."""
    magnitude: tuple[str, ...] = ("text",)
    """Encoders whose scores are multiplied by |W| (in the vision encoder it collapses the model)."""

    name = "uwm"

    def __post_init__(self) -> None:
        require_share(self.tau)
        named = {*self.encoders, *self.magnitude}
        if not self.encoders or not named <= set(ENCODERS) or self.ratio not in RATIOS:
            raise ConfigError(
                f"got {self}, expected encoders and magnitude among {', '.join(ENCODERS)} and a ratio among "
                f"{', '.join(RATIOS)}."
            )

    def patch(self, model: nn.Module, batches: Iterable[Batch], *, data: str | None = None) -> Patch:
        """The edit of `model`, which stays as it is; `data` names the rows, for the record.

        Raises:
            ModelError: the model has no such layers, or one was not called.
            DataError: no pair, or nothing to choose weights by.
        """
        scores = self.scores(model, batches)
        masks = {name: self.mask(name, values) for name, values in scores.weights.items()}
        made_by = {"method": self.name, "settings": asdict(self), "pairs": scores.pairs, "data": data}
        return Patch.of(model, masks, alpha=FLIP, made_by=made_by)

    def mask(self, name: str, scores: Tensor) -> Tensor:
        """Which weights of a layer are flipped: the highest scores, up to the mass `tau`.

        Raises:
            DataError: see `by_mass`.
        """
        try:
            return by_mass(scores, self.tau)
        except DataError as error:
            raise DataError(f"{name}: {error}") from error

    @torch.no_grad()
    def scores(self, model: nn.Module, batches: Iterable[Batch]) -> Scores:
        """The scores of all layers from one pass over the batches; the model stays as it is.

        Raises:
            ModelError, DataError: see `patch`.
        """
        gathered = [_Gathered(encoder(model, name), ratio=self.ratio) for name in self.encoders]
        with evaluating(model):
            for batch in batches:
                for each in gathered:
                    each.read(batch)
        return Scores(
            weights={name: score for each in gathered for name, score in self._of(each).items()},
            pairs={each.encoder.name: each.pairs for each in gathered},
        )

    def _of(self, gathered: "_Gathered") -> dict[str, Tensor]:
        scores = gathered.ratios()
        if gathered.encoder.name in self.magnitude:
            for name, score in scores.items():
                score *= gathered.encoder.layers[name].weight.abs()
        return scores


class _Gathered:
    """The flow ratios of one encoder's layers, batch by batch."""

    def __init__(self, encoder: Encoder, *, ratio: str) -> None:
        self.encoder = encoder
        self.pairs = 0
        self._flows = {name: RATIOS[ratio](layer.weight) for name, layer in encoder.layers.items()}

    def read(self, batch: Batch) -> None:
        """Run the encoder on the batch and count what flows through its layers."""
        inputs = paired_inputs(batch, self.encoder.name).to(self.encoder.device)
        if len(inputs.values) == 0:
            return

        def see(name: str, z: Tensor) -> None:
            weight = self.encoder.layers[name].weight
            floor = DEVIATION_FLOOR[self.encoder.name]
            try:
                items = channels(z, inputs.counted, deviation_floor=floor)
                self._flows[name].add(items, weight.abs().to(items.norm.dtype))
            except DataError as error:
                raise DataError(f"{name}: {error}") from error

        with watched(self.encoder, see):
            self.encoder.features(inputs)
        self.pairs += len(inputs.values) // 2

    def ratios(self) -> dict[str, Tensor]:
        """The ratio of every layer; what was gathered is given up layer by layer, to save memory."""
        if self.pairs == 0:
            raise DataError(
                f"there is no pair of a safe and an unsafe {self.encoder.name} item to score the weights by."
            )
        ratios = {}
        for name in list(self._flows):
            ratio = ratios[name] = self._flows.pop(name).ratio()
            if float(ratio.max() - ratio.min()) <= SAME * float(ratio.max()):
                raise DataError(
                    f"{name}: the flow of unsafe items differs from that of safe ones by the same factor in "
                    "every weight, as if they were the same items: a choice would be arbitrary."
                )
        return ratios
