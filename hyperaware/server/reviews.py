"""`/v1/reviews`: cases that a person decides, and appeals."""

import re
from typing import Annotated, Literal

from fastapi import APIRouter, Query
from fastapi.responses import Response
from pydantic import Field, model_validator

from hyperaware.errors import RecordError
from hyperaware.records.cases import Case
from hyperaware.server.access import Anyone, Reviewer, TheEngine
from hyperaware.server.engine import Engine
from hyperaware.server.inputs import seen, words
from hyperaware.server.problems import Problem
from hyperaware.server.shapes import Given, ImageURL, Modality, Told, Words, with_examples

__all__ = ["router"]

router = APIRouter(tags=["reviews"])
SIDE = 512
Id = Annotated[str, Field(min_length=1, max_length=200)]


class TurnShape(Told):
    """One decision of a reviewer, or one appeal."""

    kind: Literal["decision", "appeal"]
    reason: str
    time: float
    """Seconds since 1970."""
    decision: Literal["uphold", "overturn"] | None


class CaseShape(Told):
    """A decision of the machine that a person looks at. Who the reviewers are is not told."""

    id: str
    request_id: str
    modality: Modality
    item_id: str | None
    action: str
    """What the machine did."""
    score: float | None
    categories: dict[str, float]
    reason: str
    created: float
    state: Literal["open", "leased", "decided"]
    lease_until: float | None
    turns: list[TurnShape]

    @classmethod
    def of(cls, case: Case) -> "CaseShape":
        turns = [
            TurnShape(kind=turn.kind, reason=turn.reason, time=turn.time, decision=turn.decision)
            for turn in case.turns
        ]
        names = ("id", "request_id", "modality", "item_id", "action", "score", "reason", "created", "state")
        fields = {name: getattr(case, name) for name in names}
        categories = dict(case.categories)
        return cls(**fields, categories=categories, lease_until=case.lease_until, turns=turns)


class Next(Told):
    """The next case, and how many wait."""

    case: CaseShape | None
    """Null if nothing waits for this reviewer."""
    waiting: int


class NextRequest(Given):
    """How long the case is kept for this reviewer."""

    lease_seconds: Annotated[float, Field(gt=0, le=86400, allow_inf_nan=False)] = 600.0


class DecisionRequest(Given):
    """A person's decision."""

    model_config = with_examples({"decision": "overturn", "reason": "It is a kitchen knife."})

    decision: Literal["uphold", "overturn"]
    """Whether the machine's decision stands."""
    reason: Annotated[Words, Field(max_length=2000)]


class AppealRequest(Given):
    """Why somebody asks for another look."""

    model_config = with_examples({"reason": "This is my own painting."})

    reason: Annotated[Words, Field(max_length=2000)]
    text: Words | None = None
    """The text that was decided on, for the reviewer: of what was not under review only the hash is kept."""
    image: ImageURL | None = None
    """The picture that was decided on, the same file."""

    @model_validator(mode="after")
    def _one(self) -> "AppealRequest":
        if self.text is not None and self.image is not None:
            raise ValueError("give the text or the picture that was decided on, not both")
        return self


class Appealed(Told):
    """The case is open again. More is told to reviewers only."""

    id: str
    state: Literal["open", "leased", "decided"]


@router.post("/v1/reviews/next")
def next_case(engine: TheEngine, caller: Reviewer, request: NextRequest | None = None) -> Next:
    """The case that this reviewer should decide now, kept for them for a while."""
    lease = (request or NextRequest()).lease_seconds
    case = engine.reviews.next(caller.id, lease_seconds=lease)
    return Next(case=None if case is None else CaseShape.of(case), waiting=engine.reviews.depth())


@router.get("/v1/reviews")
def cases(
    engine: TheEngine,
    caller: Reviewer,
    state: Literal["open", "leased", "decided"] | None = None,
    offset: Annotated[int, Query(ge=0, le=2**31)] = 0,
    limit: Annotated[int, Query(ge=1, le=100)] = 20,
) -> list[CaseShape]:
    """Cases in the order in which they come up."""
    return [CaseShape.of(case) for case in engine.reviews.list(state, offset=offset, limit=limit)]


@router.get("/v1/reviews/{id}")
def case(engine: TheEngine, caller: Reviewer, id: Id) -> CaseShape:
    """One case, by its id or by the id of the decision."""
    return CaseShape.of(engine.reviews.get(id))


@router.get(
    "/v1/reviews/{id}/content",
    response_class=Response,
    responses={200: {"content": {"text/plain": {"example": "••• ••••"}, "image/jpeg": {}}}},
)
def content(engine: TheEngine, caller: Reviewer, id: Id, reveal: bool = False) -> Response:
    """What is under review: a text masked, a picture blurred, until somebody reveals it on purpose; that is
    recorded."""
    found = engine.reviews.get(id)
    if found.content is None:
        raise Problem(404, "no copy of this was kept for the reviewer.", code="unknown")
    data = engine.quarantine.read(found.content)
    if reveal:
        engine.parts.ledger.note("revealed", review_id=found.id, reviewer=caller.id)
    if found.modality == "text":
        text = data.decode()
        return Response(text if reveal else _masked(text), media_type="text/plain; charset=utf-8")
    jpeg = engine.decoders.thumbnail(data, side=SIDE, blur=not reveal, name="the picture")
    return Response(jpeg, media_type="image/jpeg")


@router.post("/v1/reviews/{id}/decision")
def decide(engine: TheEngine, caller: Reviewer, id: Id, request: DecisionRequest) -> CaseShape:
    """Uphold or overturn the machine's decision, with a reason. It is in the audit log when this answers."""
    case_id = engine.reviews.get(id).id
    decided = engine.reviews.decide(
        case_id, decision=request.decision, reason=request.reason, reviewer=caller.id
    )
    return CaseShape.of(decided)


@router.post("/v1/reviews/{id}/appeal")
def appeal(engine: TheEngine, caller: Anyone, id: Id, request: AppealRequest) -> Appealed:
    """Ask for another look at a decision, by its id. A reviewer who has decided it will not get it again. A
    decision that was not under review gets a case; `text` or `image` is then kept for the reviewer."""
    try:
        reopened = engine.reviews.appeal(id, reason=request.reason)
    except RecordError as error:
        if error.reason != "unknown":
            raise
        engine.parts.ledger.open_appealed(id, _appealed(engine, request))
        reopened = engine.reviews.appeal(id, reason=request.reason)
    return Appealed(id=reopened.id, state=reopened.state)


def _appealed(engine: Engine, request: AppealRequest) -> str | bytes | None:
    if request.image is not None:
        return seen(engine, request.image.url, param="image").content
    return None if request.text is None else words(engine, request.text, param="text").content


def _masked(text: str) -> str:
    """The text with a dot for each character: only where its words end is told.

    >>> _masked("a gun, 2 men")
    '• •••• • •••'
    """
    return re.sub(r"\S", "•", text)
