"""`POST /v1/embeddings`, in OpenAI's shape: points of the model's space."""

import base64
from typing import Literal

from fastapi import APIRouter
from fastapi.responses import Response
from torch import Tensor

from hyperaware.server.access import Searching, TheEngine
from hyperaware.server.fitting import require_fitting
from hyperaware.server.inputs import Inputs, inputs_of, points_of
from hyperaware.server.problems import Problem
from hyperaware.server.shapes import Given, Told, answer, with_examples

__all__ = ["router"]

router = APIRouter(tags=["model"])


class EmbeddingRequest(Given):
    """Texts, or pictures and texts."""

    model_config = with_examples({"input": ["a red ball", "a red cup"], "encoding_format": "float"})

    input: Inputs
    """A text, texts, or parts, each of which gets its own embedding. Tokens are not taken."""
    model: str | None = None
    """Taken and ignored: a server has one model, named in the answer."""
    encoding_format: Literal["float", "base64"] = "float"
    """base64: little-endian float32."""
    dimensions: int | None = None
    """If given, the model's own number: points cannot be shortened."""
    user: str | None = None
    """Taken and ignored."""


class Embedding(Told):
    """One point."""

    object: Literal["embedding"] = "embedding"
    index: int
    embedding: list[float] | str
    root_distance: float | None
    """Geodesic distance to the root: higher is more unsafe. Null for a model without a root."""


class Usage(Told):
    """How much was encoded. Inputs are counted, not tokens."""

    prompt_tokens: int
    total_tokens: int


class SpaceShape(Told):
    """The space of the points. Compare them by its distance, not by the cosine."""

    name: str
    curv: float | None = None
    """Minus the sectional curvature."""


class EmbeddingResponse(Told):
    """The points, in the order of the inputs."""

    object: Literal["list"] = "list"
    data: list[Embedding]
    model: str
    usage: Usage
    space: SpaceShape


@router.post("/v1/embeddings", response_model=EmbeddingResponse)
def embeddings(request: EmbeddingRequest, engine: TheEngine, caller: Searching) -> Response:
    """The points of texts and pictures: OpenAI's shape, with `space` and `root_distance` beside it. A text
    that is longer than the model's context is refused: a point is of no more."""
    model = engine.parts.model
    if request.dimensions not in (None, model.dim):
        raise Problem(
            400, f"points have {model.dim} dimensions, no others.", code="invalid_value", param="dimensions"
        )
    inputs = inputs_of(engine, request.input)
    for index, each in enumerate(inputs):
        if isinstance(each.content, str):
            require_fitting(each.content, model.tokenizer, param=f"input[{index}]")
    points = points_of(engine, inputs)
    distances = model.space.root_distance(points).tolist() if model.space.has_root else [None] * len(points)
    body = EmbeddingResponse(
        data=[
            Embedding(index=index, embedding=_spelled(point, request.encoding_format), root_distance=distance)
            for index, (point, distance) in enumerate(zip(points, distances, strict=True))
        ],
        model=model.name,
        usage=Usage(prompt_tokens=len(points), total_tokens=len(points)),
        space=SpaceShape(**model.space.config()),
    )
    return answer(body)


def _spelled(point: Tensor, encoding: str) -> list[float] | str:
    if encoding == "float":
        return point.tolist()
    return base64.b64encode(point.numpy().astype("<f4").tobytes()).decode("ascii")
