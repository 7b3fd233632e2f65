"""Points of whole datasets."""

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

import torch
from torch import Tensor

from hyperaware.data.quadruplet import Quadruplet, Row
from hyperaware.errors import DataError
from hyperaware.evaluation.examples import Examples
from hyperaware.models.dual_encoder import DualEncoder
from hyperaware.models.tokenizer import Tokenizer
from hyperaware.models.windows import fits, most_unsafe, windows

__all__ = ["AsJudged", "embed", "embed_as_judged", "joined", "long_captions"]


@torch.no_grad()
def embed(model: DualEncoder, examples: Examples, *, lift: bool = True, batch_size: int = 128) -> Quadruplet:
    """Points of all rows on the CPU (features before the lift with `lift=False`), in eval mode.

    Captions longer than the context are cut, as in the published protocols.
    """
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


class AsJudged(NamedTuple):
    """Points of rows as moderation sees them."""

    points: Quadruplet
    """Of a caption longer than the context, the point of its most unsafe window."""
    windows: dict[str, dict[int, Tensor]]
    """By "safe_text" and "unsafe_text", of each row whose caption is longer: all its windows, (k, d)."""


def embed_as_judged(model: DualEncoder, examples: Examples) -> AsJudged:
    """Points of all rows on the CPU, of which nothing is cut: what is promised of a moderator rests on these.

    Raises:
        DataError: as `long_captions`.
    """
    found = embed(model, examples)
    longer: dict[str, dict[int, Tensor]] = {}
    for part, texts in long_captions(examples.rows, model.tokenizer).items():
        points = getattr(found, part).clone()
        longer[part] = {index: model.encode_text(pieces) for index, pieces in texts.items()}
        for index, each in longer[part].items():
            points[index] = most_unsafe(each, model.space)[0]
        found = replace(found, **{part: points})
    return AsJudged(found, longer)


def long_captions(rows: Sequence[Row], tokenizer: Tokenizer) -> dict[str, dict[int, list[str]]]:
    """By "safe_text" and "unsafe_text", of each row whose caption is longer than the context, its windows.

    Raises:
        DataError: a caption is longer than moderation reads; the message names its row.
    """
    found: dict[str, dict[int, list[str]]] = {"safe_text": {}, "unsafe_text": {}}
    for part, longer in found.items():
        for index, row in enumerate(rows):
            text = getattr(row, part)
            if not fits(text, tokenizer):
                try:
                    longer[index] = windows(text, tokenizer)
                except DataError as error:
                    raise DataError(f"{part} of row {row.id!r}: {error}") from error
    return found


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
