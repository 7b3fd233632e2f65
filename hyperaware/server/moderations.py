"""`POST /v1/moderations`, in OpenAI's shape: scores, categories, and what the policy does.

All 13 categories are always there. One that this server does not measure for an input is false and 0.0, and
its list in `category_applied_input_types` is empty: that is not "safe", it is "not looked at". What was
measured stands in `safety`, under our own names.
"""

from collections.abc import Mapping, Sequence
from typing import Annotated

from fastapi import APIRouter, Request
from fastapi.responses import Response
from pydantic import Field

from hyperaware.moderation.rules import most_severe
from hyperaware.server.access import Moderating, TheEngine, role_of
from hyperaware.server.decisions import Decision
from hyperaware.server.engine import Engine
from hyperaware.server.inputs import Part, inputs_of
from hyperaware.server.judging import Judged, judged
from hyperaware.server.problems import Problem
from hyperaware.server.shapes import (
    Action,
    Given,
    Modality,
    Role,
    Told,
    VerdictShape,
    Words,
    answer,
    with_examples,
)

__all__ = ["CATEGORIES", "PartSafety", "router"]

router = APIRouter(tags=["moderation"])

BOTH: tuple[Modality, ...] = ("text", "image")
TEXT: tuple[Modality, ...] = ("text",)
CATEGORIES: Mapping[str, tuple[Modality, ...]] = {
    "harassment": TEXT,
    "harassment/threatening": TEXT,
    "hate": TEXT,
    "hate/threatening": TEXT,
    "illicit": TEXT,
    "illicit/violent": TEXT,
    "self-harm": BOTH,
    "self-harm/intent": BOTH,
    "self-harm/instructions": BOTH,
    "sexual": BOTH,
    "sexual/minors": TEXT,
    "violence": BOTH,
    "violence/graphic": BOTH,
}
"""OpenAI's categories, and the inputs to which its shape lets each of them apply."""
OURS = {"illicit": "illegal"}
"""Our name of a category where it is another one; a concept with OpenAI's own name goes before."""
FLAGGED = 0.5
"""The probability above which a category counts as true. What is done is the policy's, in `safety`."""
OPENAI_MODELS = ("omni-moderation", "text-moderation")
"""Beginnings of the model names that clients send by habit."""


class ModerationRequest(Given):
    """What is moderated."""

    model_config = with_examples(
        {"input": "a rabbit in the snow"},
        {"input": ["a rabbit in the snow", "a man with a gun"]},
        {"input": [{"type": "text", "text": "look at this"}]},
    )

    input: Words | Annotated[list[Words], Field(min_length=1)] | Annotated[list[Part], Field(min_length=1)]
    """A text; texts, each with a result of its own; or parts (text, image_url) with one result together."""
    model: str | None = None
    """The server's own model, or one of OpenAI's names, which is taken for it."""
    role: Role = None


class CategoryShape(Told):
    """One category of our own, for one input."""

    name: str
    score: float
    """In the model's space; higher is more."""
    probability: float | None
    """Null: not calibrated for this kind of input. That is not 0."""


class PartSafety(Told):
    """What was found for one input."""

    decision_id: str
    """For an appeal or a statement of reasons."""
    modality: Modality
    score: float | None
    """Root distance: higher is more unsafe."""
    bound: float | None
    """Above it the input is unsafe."""
    probability: float | None
    """That the input is unsafe; null where the model is not calibrated."""
    windows: int
    """Pieces that a long text was judged in; the most unsafe one counts."""
    verdict: VerdictShape
    categories: list[CategoryShape]

    @classmethod
    def of(cls, id: str, judged: Judged) -> "PartSafety":
        found = judged.moderation
        return cls(
            decision_id=id,
            modality=found.modality,
            score=found.score,
            bound=found.bound,
            probability=found.probability,
            windows=found.windows,
            verdict=VerdictShape.of(judged.verdict),
            categories=[
                CategoryShape(name=name, score=each.score, probability=each.probability)
                for name, each in found.categories.items()
            ],
        )


class Safety(Told):
    """Our own fields: what OpenAI's shape has no place for."""

    action: Action
    """What the policy does: the most severe action of the parts."""
    role: str
    policy: str
    model: str
    fingerprint: str
    measured: list[str]
    """OpenAI's categories that were measured. The others are false and 0.0 because nobody looked."""
    parts: list[PartSafety]


class Result(Told):
    """One result, as OpenAI's clients know it, and `safety`."""

    flagged: bool
    """Whether the root distance of a part is above its bound, or a category is true."""
    categories: dict[str, bool]
    category_scores: dict[str, float]
    category_applied_input_types: dict[str, list[Modality]]
    safety: Safety


class ModerationResponse(Told):
    """Results in the order of the inputs."""

    id: str
    model: str
    results: list[Result]


@router.post("/v1/moderations", response_model=ModerationResponse)
def moderations(body: ModerationRequest, request: Request, engine: TheEngine, caller: Moderating) -> Response:
    """Score texts and pictures, and say what the policy does with them. OpenAI's clients work as they are:
    `OpenAI(base_url="http://host:port/v1", api_key=KEY).moderations.create(input="...")`."""
    role, name = role_of(engine, caller, body.role), engine.parts.model.name
    if body.model is not None and body.model != name and not body.model.startswith(OPENAI_MODELS):
        raise Problem(404, "this server has no such model.", code="model_not_found", param="model")
    inputs = inputs_of(engine, body.input)
    with engine.metrics.stage("moderate"):
        found = judged(engine.parts.moderator, inputs, role=role)
    response_id = f"modr-{request.state.request_id.removeprefix('req-')}"
    ids = [f"{response_id}-{index}" for index in range(len(inputs))]
    engine.parts.ledger.record(
        [
            Decision(
                id=id,
                verdict=each.verdict,
                modality=given.modality,
                content=given.content,
                probability=each.moderation.probability,
                categories=each.probabilities,
            )
            for id, given, each in zip(ids, inputs, found, strict=True)
        ]
    )
    parts = list(zip(ids, found, strict=True))
    together = isinstance(body.input, list) and not isinstance(body.input[0], str)
    groups = [parts] if together else [[part] for part in parts]
    results = [_result(engine, role, group) for group in groups]
    return answer(ModerationResponse(id=response_id, model=name, results=results))


def _result(engine: Engine, role: str, parts: Sequence[tuple[str, Judged]]) -> Result:
    probabilities: dict[str, dict[Modality, float]] = {key: {} for key in CATEGORIES}
    for _, part in parts:
        modality, found = part.moderation.modality, part.probabilities
        for key, modalities in CATEGORIES.items():
            value = found.get(key, found.get(OURS.get(key, key)))
            if value is not None and modality in modalities:
                probabilities[key][modality] = max(value, probabilities[key].get(modality, 0.0))
    scores = {key: max(each.values(), default=0.0) for key, each in probabilities.items()}
    categories = {key: score > FLAGGED for key, score in scores.items()}
    above = any(part.moderation.flagged for _, part in parts)
    action = most_severe(part.verdict.action for _, part in parts)
    assert action is not None, "there is at least one part"
    return Result(
        flagged=above or any(categories.values()),
        categories=categories,
        category_scores=scores,
        category_applied_input_types={
            key: sorted(found, reverse=True) for key, found in probabilities.items()
        },
        safety=Safety(
            action=action,
            role=role,
            policy=engine.policy.version,
            model=engine.parts.model.name,
            fingerprint=engine.parts.model.fingerprint,
            measured=[key for key, found in probabilities.items() if found],
            parts=[PartSafety.of(id, part) for id, part in parts],
        ),
    )
