"""`POST /v1/traverse`: from a text, a picture or an item to the root, told by the captions on the way."""

from typing import Annotated, NamedTuple

import torch
from fastapi import APIRouter, Request
from pydantic import Field, model_validator
from torch import Tensor

from hyperaware.models.windows import most_unsafe, windows
from hyperaware.moderation.policy import Verdict
from hyperaware.moderation.redirect import redirect
from hyperaware.server.access import Searching, TheEngine, role_of
from hyperaware.server.decisions import Decision
from hyperaware.server.engine import Engine
from hyperaware.server.inputs import Input, points_of, seen, words
from hyperaware.server.judging import judged
from hyperaware.server.problems import Problem
from hyperaware.server.searches import Id
from hyperaware.server.shapes import (
    Given,
    ImageURL,
    Modality,
    Role,
    StopShape,
    Told,
    VerdictShape,
    Words,
    with_examples,
)
from hyperaware.traverse import captions_to_root

__all__ = ["router"]

router = APIRouter(tags=["search"])
HELD = ("review", "block")
"""Actions after which nothing is answered."""


class TraverseRequest(Given):
    """Where the way begins: exactly one of `text`, `image` and `item`."""

    model_config = with_examples({"text": "a rabbit with a blue cup in the snow", "steps": 50})

    text: Words | None = None
    image: ImageURL | None = None
    item: Id | None = None
    """The id of an item that the role may see."""
    role: Role = None
    steps: Annotated[int, Field(ge=2, le=200)] = 50
    """Points on the way."""

    @model_validator(mode="after")
    def _one(self) -> "TraverseRequest":
        if sum(start is not None for start in (self.text, self.image, self.item)) != 1:
            raise ValueError("give exactly one of text, image and item")
        return self


class TraverseResponse(Told):
    """The way to the root. It is a straight line on the disk: the angle stays."""

    verdict: VerdictShape | None
    """On the text or picture; null for an item, which the role may see."""
    root_distance: float | None
    """Where the way begins; null where nothing is answered."""
    angle: float | None
    """On the disk of `/v1/map`."""
    stops: list[StopShape]
    """From the special to the general; the last one is [ROOT]."""


class _Start(NamedTuple):
    point: Tensor
    modality: Modality
    verdict: Verdict | None


@router.post("/v1/traverse")
def traverse(
    body: TraverseRequest, request: Request, engine: TheEngine, caller: Searching
) -> TraverseResponse:
    """The captions on the way to the root, from the special to the general: of the items that the role may
    see, those that are themselves fit for it. A text or picture is judged first, and moved or held as in a
    search."""
    role = role_of(engine, caller, body.role)
    start = _item(engine, body.item, role) if body.item is not None else _query(engine, body, request, role)
    verdict = None if start.verdict is None else VerdictShape.of(start.verdict)
    if start.verdict is not None and start.verdict.action in HELD:
        return TraverseResponse(verdict=verdict, root_distance=None, angle=None, stops=[])
    point, space = _moved(engine, start), engine.searcher.space
    pool = engine.index.captions.of(role)
    with engine.metrics.stage("traverse"):
        stops = captions_to_root(
            point, texts=pool.points, captions=pool.captions, space=space, steps=body.steps
        )
    return TraverseResponse(
        verdict=verdict,
        root_distance=float(space.root_distance(point)),
        angle=engine.index.disk.angle(point, role),
        stops=[StopShape(caption=stop.caption, root_distance=stop.root_distance) for stop in stops],
    )


def _item(engine: Engine, id: str, role: str) -> _Start:
    searcher = engine.searcher
    found, item = searcher.item(id, role=role), searcher.store.get(id)
    if found is None or item is None or item.vector is None:
        raise Problem(404, "there is no such item, or not for this role.", code="unknown", param="item")
    return _Start(item.vector, found.modality, None)


def _query(engine: Engine, body: TraverseRequest, request: Request, role: str) -> _Start:
    given: Input
    if body.image is not None:
        given = seen(engine, body.image.url, param="image")
    else:
        given = words(engine, body.text or "", param="text")
    parts = engine.parts
    (found,) = judged(parts.moderator, [given], role=role)
    id = f"traverse-{request.state.request_id.removeprefix('req-')}"
    parts.ledger.record([Decision.of(id, found.moderation, given.content)])
    return _Start(_point(engine, given), given.modality, found.verdict)


def _point(engine: Engine, given: Input) -> Tensor:
    """The point of what was judged: of a long text its most unsafe window, whose score it was judged by."""
    if not isinstance(given.content, str):
        return points_of(engine, [given])[0]
    model = engine.searcher.model
    pieces = model.encode_text(windows(given.content, model.tokenizer))
    return most_unsafe(pieces, engine.searcher.space)[0]


def _moved(engine: Engine, start: _Start) -> Tensor:
    """Where the way begins: a redirected query begins where its search would."""
    bounds = engine.parts.bounds
    if start.verdict is None or start.verdict.action != "redirect" or bounds is None:
        return start.point
    moved = redirect(
        start.point[None],
        space=engine.searcher.space,
        bounds=bounds,
        query_modality=start.modality,
        target_modality="text",
        strength=start.verdict.strength,
        triggered=torch.ones(1, dtype=torch.bool),
    )
    return moved.points[0]
