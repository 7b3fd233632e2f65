"""The inputs of a request: texts and pictures, counted and measured before any work."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import torch
from PIL import Image
from pydantic import Field
from torch import Tensor

from hyperaware.errors import MediaError
from hyperaware.server.engine import Engine
from hyperaware.server.pictures import picture_bytes
from hyperaware.server.problems import Problem
from hyperaware.server.shapes import Given, ImagePart, Several, Words

__all__ = ["Input", "Inputs", "Part", "TextPart", "inputs_of", "points_of", "seen", "words"]


class TextPart(Given):
    """A text."""

    type: Literal["text"]
    text: Words


Part = Annotated[TextPart | ImagePart, Field(discriminator="type")]
"""A text or a picture."""
_Texts = Annotated[Several[Words], Field(min_length=1)]
_Parts = Annotated[Several[Part], Field(min_length=1)]
Inputs = Words | _Texts | _Parts
"""A text, texts, or parts: what OpenAI's `input` may be."""


@dataclass(frozen=True)
class Input:
    """One text, or one decoded picture with the bytes that it came from."""

    modality: Literal["text", "image"]
    content: str | bytes
    crop: Image.Image | None = None
    """What the model sees of a picture."""


def seen(engine: Engine, url: str, *, param: str) -> Input:
    """A picture of a request, decoded.

    Raises:
        Problem: no URL that is taken, or a picture that is refused, with the place in the request.
    """
    data = picture_bytes(url, param=param, most=engine.settings.max_image_bytes, fetcher=engine.fetcher)
    try:
        with engine.metrics.stage("decode"):
            crop = engine.decoders.crop(data, preprocess=engine.parts.model.preprocess, name=param)
    except MediaError as error:
        raise Problem(400, str(error), code=error.reason, param=param) from None
    return Input("image", data, crop)


def words(engine: Engine, text: str, *, param: str) -> Input:
    """A text of a request.

    Raises:
        Problem: it is too long.
    """
    most = engine.settings.max_text_chars
    if len(text) > most:
        raise Problem(
            400,
            f"{param}: {len(text):,} characters; at most {most:,} are taken.",
            code="too_large",
            param=param,
        )
    return Input("text", text)


def inputs_of(engine: Engine, given: str | Sequence[str] | Sequence[Any]) -> list[Input]:
    """The inputs of a body's `input`: a text, texts, or parts. Counted first, then read one by one.

    Raises:
        Problem: too many, too long, or a picture that is refused.
    """
    parts = [given] if isinstance(given, str) else list(given)
    most, pictures = engine.settings.max_inputs, sum(isinstance(part, ImagePart) for part in parts)
    if len(parts) > most:
        raise Problem(
            400, f"input: {len(parts)} inputs; at most {most} are taken.", code="too_large", param="input"
        )
    if pictures > engine.settings.max_images:
        limit = engine.settings.max_images
        raise Problem(
            400, f"input: {pictures} pictures; at most {limit} are taken.", code="too_large", param="input"
        )
    return [_input(engine, part, f"input[{index}]") for index, part in enumerate(parts)]


def _input(engine: Engine, part: str | TextPart | ImagePart, param: str) -> Input:
    if isinstance(part, ImagePart):
        return seen(engine, part.image_url.url, param=param)
    return words(engine, part if isinstance(part, str) else part.text, param=param)


def points_of(engine: Engine, inputs: Sequence[Input]) -> Tensor:
    """The points of inputs, (n, d), in their order; each modality in one go."""
    model = engine.parts.model
    texts = [each.content for each in inputs if isinstance(each.content, str)]
    crops = [each.crop for each in inputs if each.crop is not None]
    points = torch.empty(len(inputs), model.dim)
    if texts:
        points[[each.modality == "text" for each in inputs]] = model.encode_text(texts)
    if crops:
        points[[each.modality == "image" for each in inputs]] = model.encode_image(crops)
    return points
