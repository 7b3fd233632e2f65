"""`POST /v1/search`: by a text, a picture or an item, as a role."""

from typing import Annotated

from fastapi import APIRouter, Request
from pydantic import Field, model_validator

from hyperaware.index.store import Item
from hyperaware.search import Answer, Filters, Found
from hyperaware.server.access import Searching, TheEngine, role_of
from hyperaware.server.decisions import Decision, sha256
from hyperaware.server.engine import Engine
from hyperaware.server.inputs import Input, seen, words
from hyperaware.server.problems import Problem
from hyperaware.server.shapes import (
    Given,
    ImageURL,
    Modality,
    Role,
    Several,
    Told,
    VerdictShape,
    Words,
    with_examples,
)

__all__ = ["Id", "ItemShape", "hash_of", "router"]

router = APIRouter(tags=["search"])

MOST = 200
"""Items of one page."""
Id = Annotated[str, Field(min_length=1, max_length=100, pattern=r"^[0-9A-Za-z_-]+$")]


class SearchRequest(Given):
    """What is looked for: exactly one of `text`, `image` and `item`."""

    model_config = with_examples(
        {"text": "a rabbit with a blue cup in the snow", "k": 12},
        {"item": "02217a135418dee22fbd34f8a0ac23d2", "k": 12, "offset": 12},
    )

    text: Words | None = None
    image: ImageURL | None = None
    item: Id | None = None
    """The id of an item that the role may see."""
    role: Role = None
    k: Annotated[int, Field(ge=1, le=MOST)] = 20
    offset: Annotated[int, Field(ge=0, le=100_000)] = 0
    target: Modality = "image"
    """What is looked for among."""
    strength: Annotated[float | None, Field(ge=0, le=1, allow_inf_nan=False)] = None
    """How far an unsafe query is moved: no less than the role's rule asks for."""
    folder: Annotated[str | None, Field(min_length=1, max_length=500)] = None
    """Only items in or below this folder of the index."""
    ids: Several[Id] | None = None
    """Only these items."""

    @model_validator(mode="after")
    def _one(self) -> "SearchRequest":
        if sum(query is not None for query in (self.text, self.image, self.item)) != 1:
            raise ValueError("give exactly one of text, image and item")
        return self


class ItemShape(Told):
    """An item as the role may see it."""

    id: str
    modality: Modality
    caption: str | None
    """Null too while the item is blurred: a caption tells what a picture shows."""
    similarity: float | None
    """Higher is closer; null for an item that was asked for by its id."""
    score: float | None
    """Root distance."""
    categories: dict[str, float] | None
    """Calibrated probabilities; null where none were computed."""
    blurred: bool
    """Whether it is shown blurred until somebody reveals it on purpose."""
    thumbnail: str | None
    """Where its picture is, blurred if it is to be; null for a text."""

    @classmethod
    def of(cls, found: Found, *, reveal: bool = False) -> "ItemShape":
        thumbnail = None
        if found.modality == "image":
            thumbnail = f"/v1/items/{found.id}/thumbnail" + ("?blur=true" if found.blurred else "")
        return cls(
            id=found.id,
            modality=found.modality,
            caption=None if found.blurred and not reveal else found.caption,
            similarity=found.similarity,
            score=found.score,
            categories=None if found.categories is None else dict(found.categories),
            blurred=found.blurred,
            thumbnail=thumbnail,
        )


class StepShape(Told):
    """One step, in a sentence and its numbers."""

    name: str
    sentence: str
    numbers: dict[str, float]


class SearchResponse(Told):
    """What was found, and how it came to it."""

    id: str
    """The id of the decision, for an appeal or a statement of reasons."""
    verdict: VerdictShape
    root_distance_before: float | None
    root_distance_after: float | None
    items: list[ItemShape]
    offset: int
    more: bool
    """Whether a next page has something."""
    steps: list[StepShape]


@router.post("/v1/search")
def search(body: SearchRequest, request: Request, engine: TheEngine, caller: Searching) -> SearchResponse:
    """The nearest items that the role may see. A query above the bound is redirected, reviewed or blocked by
    the policy; `verdict` says so, with the number and the bound."""
    searcher, role = engine.searcher, role_of(engine, caller, body.role)
    asked = _asked(engine, body)
    if body.item is not None and searcher.item(body.item, role=role) is None:
        raise Problem(404, "there is no such item, or not for this role.", code="unknown", param="item")
    with engine.metrics.stage("search"):
        answer = searcher.search(
            body.text,
            image=None if asked is None else asked.crop,
            item=body.item,
            role=role,
            k=body.k,
            offset=body.offset,
            filters=Filters(ids=body.ids, folder=body.folder),
            strength=body.strength,
            target=body.target,
        )
    decision_id = f"search-{request.state.request_id.removeprefix('req-')}"
    engine.parts.ledger.record([_decision(decision_id, answer, asked, engine)])
    return SearchResponse(
        id=decision_id,
        verdict=VerdictShape.of(answer.verdict),
        root_distance_before=answer.root_distance_before,
        root_distance_after=answer.root_distance_after,
        items=[ItemShape.of(found) for found in answer.hits],
        offset=answer.offset,
        more=answer.more,
        steps=[
            StepShape(name=name, sentence=sentence, numbers=dict(n)) for name, sentence, n in answer.steps
        ],
    )


def _asked(engine: TheEngine, body: SearchRequest) -> Input | None:
    """The text or picture of the request; None for an item."""
    if body.image is not None:
        return seen(engine, body.image.url, param="image")
    return None if body.text is None else words(engine, body.text, param="text")


def _decision(id: str, answer: Answer, asked: Input | None, engine: Engine) -> Decision:
    item = None if asked is not None else answer.query
    return Decision(
        id=id,
        verdict=answer.verdict,
        modality=answer.modality,
        content=None if asked is None else asked.content,
        content_hash=None if item is None else hash_of(item, engine.searcher.store.get(item)),
        probability=engine.parts.moderator.probability(answer.root_distance_before, answer.modality),
        categories=answer.categories,
        item_id=item,
    )


def hash_of(id: str, item: Item | None) -> str:
    """The hash of an item's content; of its id where the content has none, or the item was just removed."""
    if item is not None and item.content_hash is not None:
        return item.content_hash
    return sha256(id)
