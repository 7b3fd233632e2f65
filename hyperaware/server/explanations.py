"""`POST /v1/explain`: why a text or a picture got its score."""

from typing import Annotated

from fastapi import APIRouter, Request
from pydantic import Field, model_validator

from hyperaware.explain import CELLS, Explanation, explain_image, explain_text
from hyperaware.server.access import Moderating, TheEngine, role_of
from hyperaware.server.decisions import Decision
from hyperaware.server.engine import Engine
from hyperaware.server.inputs import Input, seen, words
from hyperaware.server.judging import with_verdict
from hyperaware.server.moderations import PartSafety, safety_of
from hyperaware.server.shapes import Given, ImageURL, Role, StopShape, Told, Words, with_examples

__all__ = ["router"]

router = APIRouter(tags=["moderation"])


class ExplainRequest(Given):
    """What is explained: exactly one of `text` and `image`."""

    model_config = with_examples({"text": "a man with a gun in the snow"})

    text: Words | None = None
    image: ImageURL | None = None
    role: Role = None
    cells: Annotated[int, Field(ge=2, le=16)] = CELLS
    """Cells of a picture's map, along each side."""

    @model_validator(mode="after")
    def _one(self) -> "ExplainRequest":
        if (self.text is None) == (self.image is None):
            raise ValueError("give exactly one of text and image")
        return self


class WordShape(Told):
    """A word, and what the root distance of the text loses without it."""

    text: str
    start: int
    end: int
    contribution: float


class ConceptShape(Told):
    """A prompt of a category, and the cosine of the input's direction with its own."""

    category: str
    prompt: str
    cosine: float


class ExplainResponse(Told):
    """What the model reacts to, which is not always what a person would name."""

    safety: PartSafety
    margin: float | None
    """How far the score lies within the bound; negative beyond it."""
    stops: list[StopShape]
    """Captions on the way to the root, of items that the role may see; empty without an index."""
    nearest: list[ConceptShape]
    words: list[WordShape]
    """Of a text. Positive: more unsafe with the word."""
    occlusion: list[list[float]] | None
    """Of a picture: how much nearer to the root it comes when a cell is covered, rows from the top."""


@router.post("/v1/explain")
def explain(body: ExplainRequest, request: Request, engine: TheEngine, caller: Moderating) -> ExplainResponse:
    """Why a text or a picture got its score: margin, categories, captions on the way to the root, and the
    part that its words or places have in it. It costs many forward passes."""
    role = role_of(engine, caller, body.role)
    given = _given(engine, body)
    with engine.metrics.stage("explain"):
        found = _explained(engine, given, role, body.cells)
    judged = with_verdict(found.moderation, given.modality)
    id = f"explain-{request.state.request_id.removeprefix('req-')}"
    engine.parts.ledger.record([Decision.of(id, found.moderation, given.content)], reviewable=False)
    return ExplainResponse(
        safety=PartSafety(**safety_of(id, judged)),
        margin=found.moderation.margin,
        stops=[StopShape(caption=stop.caption, root_distance=stop.root_distance) for stop in found.stops],
        nearest=[ConceptShape(**concept._asdict()) for concept in found.nearest],
        words=[WordShape(**word._asdict()) for word in found.words],
        occlusion=None if found.occlusion is None else found.occlusion.tolist(),
    )


def _given(engine: Engine, body: ExplainRequest) -> Input:
    if body.image is not None:
        return seen(engine, body.image.url, param="image")
    return words(engine, body.text or "", param="text")


def _explained(engine: Engine, given: Input, role: str, cells: int) -> Explanation:
    parts = engine.parts
    pool = None if parts.index is None else parts.index.captions.of(role)
    if given.crop is not None:
        return explain_image(parts.moderator, given.crop, pool=pool, role=role, cells=cells)
    return explain_text(parts.moderator, str(given.content), pool=pool, role=role)
