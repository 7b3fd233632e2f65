"""Points of whole datasets."""

from collections.abc import Sequence

import torch
from torch import Tensor

from hyperaware.data.quadruplet import Quadruplet
from hyperaware.evaluation.examples import Examples
from hyperaware.models.dual_encoder import DualEncoder

__all__ = ["embed", "joined"]


@torch.no_grad()
def embed(model: DualEncoder, examples: Examples, *, lift: bool = True, batch_size: int = 128) -> Quadruplet:
    """Points of all rows on the CPU (features before the lift with `lift=False`), in eval mode."""
    was_training = model.training
    model.eval()
    tokens, pixels = (
        (model.embed_tokens, model.embed_pixels)
        if lift
        else (model.features_of_tokens, model.features_of_pixels)
    )
    parts = []
    try:
        for indices in torch.arange(len(examples)).split(batch_size):
            batch = examples.batch(indices)
            texts = tokens(batch.ids.to(model.device), batch.mask.to(model.device))
            parts.append(batch.quadruplet(texts.cpu(), pixels(batch.pixels.to(model.device)).cpu()))
    finally:
        model.train(was_training)
    return joined(parts)


def joined(parts: Sequence[Quadruplet]) -> Quadruplet:
    """The rows of all parts, one part after the other, with their labels."""

    def of(name: str) -> Tensor:
        return torch.cat([getattr(part, name) for part in parts])

    return Quadruplet(
        safe_image=of("safe_image"),
        safe_text=of("safe_text"),
        unsafe_image=of("unsafe_image"),
        unsafe_text=of("unsafe_text"),
        unsafe_text_is_unsafe=of("unsafe_text_is_unsafe"),
        unsafe_image_is_unsafe=of("unsafe_image_is_unsafe"),
    )
