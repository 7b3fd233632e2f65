"""Points of whole datasets."""

import torch
from torch import Tensor

from hyperaware.data.quadruplet import Quadruplet
from hyperaware.evaluation.examples import Examples
from hyperaware.models.dual_encoder import DualEncoder

__all__ = ["embed"]

CLASSES = ("safe_text", "safe_image", "unsafe_text", "unsafe_image")


@torch.no_grad()
def embed(model: DualEncoder, examples: Examples, *, lift: bool = True, batch_size: int = 128) -> Quadruplet:
    """Points of all rows on the CPU (features before the lift with `lift=False`), in eval mode."""
    was_training = model.training
    model.eval()
    texts, images = [], []
    tokens, pixels = (
        (model.embed_tokens, model.embed_pixels)
        if lift
        else (model.features_of_tokens, model.features_of_pixels)
    )
    batches = []
    for start in range(0, len(examples), batch_size):
        batch = examples.batch(torch.arange(start, min(start + batch_size, len(examples))))
        texts.append(tokens(batch.ids.to(model.device), batch.mask.to(model.device)).cpu())
        images.append(pixels(batch.pixels.to(model.device)).cpu())
        batches.append(batch.quadruplet(texts[-1], images[-1]))
    model.train(was_training)
    return _join(batches)


def _join(parts: list[Quadruplet]) -> Quadruplet:
    names = (*CLASSES, "unsafe_text_is_unsafe", "unsafe_image_is_unsafe")
    return Quadruplet(**{name: torch.cat([getattr(part, name) for part in parts]) for name in names})
