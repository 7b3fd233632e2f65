"""Features of a tower that nothing trains: made once for all rows, and not at every step."""

import torch
from torch import Tensor

from hyperaware import distributed
from hyperaware.evaluation.examples import Batch, Examples
from hyperaware.models.dual_encoder import TOWERS, DualEncoder
from hyperaware.training.gradients import Source

__all__ = ["Known", "is_frozen", "with_known_features"]

AT_ONCE = 128
"""Rows that are embedded at once."""


class Known:
    """Rows with the features of their texts, of their pictures or of both at hand."""

    def __init__(self, examples: Examples, features: dict[str, Tensor]) -> None:
        """`features` by modality: (2, rows, dim), of the safe items and of the unsafe ones."""
        self.examples, self.features = examples, features

    def batch(self, indices: Tensor) -> Batch:
        """As `Examples.batch`, with features in place of pixels where those of pictures are known."""
        known = {modality: table[:, indices].flatten(0, 1) for modality, table in self.features.items()}
        return self.examples.batch(indices, known=known)


def is_frozen(model: DualEncoder, modality: str) -> bool:
    """Whether a tower gives an item the same features at every step of a training."""
    part = {"text": "text_config", "image": "vision_config"}[modality]
    has_dropout = getattr(model.config, part).attention_dropout > 0
    return not has_dropout and not any(p.requires_grad for p in model.tower(modality))


def with_known_features(model: DualEncoder, examples: Examples, *, narrow: bool) -> Source:
    """The examples themselves, or, where a tower is frozen, with what it says of them.

    4 bytes for each number: 1 GB for a tower, 165,000 quadruplets and 768 dimensions. Processes share the
    work. Features are those of the step up to rounding, since items are embedded in other company. `narrow`:
    the towers compute in bfloat16 by autocast.
    """
    frozen = [modality for modality in TOWERS if is_frozen(model, modality)]
    if not frozen:
        return examples
    was_training = model.training
    model.eval()
    features = {modality: _features(model, examples, modality, narrow) for modality in frozen}
    model.train(was_training)
    return Known(examples, features)


@torch.no_grad()
def _features(model: DualEncoder, examples: Examples, modality: str, narrow: bool) -> Tensor:
    sizes, device = distributed.shares(len(examples)), model.device
    mine = torch.arange(len(examples)).split(sizes)[distributed.rank()]
    parts = [torch.empty(0, 2, model.dim, device=device)]
    for indices in mine.split(AT_ONCE) if len(mine) else ():
        batch = examples.batch(indices)
        with torch.autocast(device.type, torch.bfloat16, enabled=narrow):
            if modality == "text":
                both = model.features_of_tokens(batch.ids.to(device), batch.mask.to(device))
            else:
                both = model.features_of_pixels(batch.pixels.to(device))
        parts.append(both.float().unflatten(0, (2, -1)).transpose(0, 1))
    return distributed.gather(torch.cat(parts), sizes).transpose(0, 1).contiguous().cpu()
