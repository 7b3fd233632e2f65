"""`POST /v1/moderations`, in OpenAI's shape: scores, categories, and what the policy does.

All 13 categories are always there. One that this server does not measure for an input is false and 0.0, and
its list in `category_applied_input_types` is empty: that is not "safe", it is "not looked at". What was
measured stands in `safety`, under our own names.
"""

from collections.abc import Mapping, Sequence
from itertools import islice
from typing import Any, NamedTuple

from fastapi import APIRouter, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import Response
from pydantic import TypeAdapter

from hyperaware.moderation.rules import most_severe
from hyperaware.server.access import Moderating, TheEngine, role_of
from hyperaware.server.decisions import Decision
from hyperaware.server.engine import Engine
from hyperaware.server.inputs import Input, Inputs, inputs_of
from hyperaware.server.judging import Judged, decided, measured
from hyperaware.server.problems import Problem
from hyperaware.server.shapes import (
    Action,
    Given,
    Modality,
    Role,
    Told,
    VerdictShape,
    verdict_fields,
    with_examples,
)

__all__ = ["CATEGORIES", "ModerationResponse", "PartSafety", "router", "safety_of"]

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
CHARACTERS = 128
"""A text weighs one input for every so many: a long one takes several windows."""


class ModerationRequest(Given):
    """What is moderated."""

    model_config = with_examples(
        {"input": "a rabbit with a blue cup in the snow"},
        {"input": ["a rabbit with a blue cup in the snow", "a man with a gun"]},
        {"input": [{"type": "text", "text": "look at this"}]},
    )

    input: Inputs
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
    """That the input is unsafe; null where the model is not calibrated. The bound decides, not this."""
    windows: int
    """Pieces that a long text was judged in; the most unsafe one counts."""
    verdict: VerdictShape
    categories: list[CategoryShape]


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
    """Whether the root distance of a part is above its bound, or a category is true. It does not follow the
    probability that a part is unsafe, which may be small beyond the bound."""
    categories: dict[str, bool]
    category_scores: dict[str, float]
    category_applied_input_types: dict[str, list[Modality]]
    safety: Safety


class ModerationResponse(Told):
    """Results in the order of the inputs."""

    id: str
    model: str
    results: list[Result]


class _Asked(NamedTuple):
    """What one request asks for, all of it allowed."""

    engine: Engine
    id: str
    role: str
    inputs: list[Input]
    together: bool
    """Whether all inputs get one result."""


@router.post("/v1/moderations", response_model=ModerationResponse)
async def moderations(
    body: ModerationRequest, request: Request, engine: TheEngine, caller: Moderating
) -> Response:
    """Score texts and pictures, and say what the policy does with them. OpenAI's clients work as they are:
    `OpenAI(base_url="http://host:port/v1", api_key=KEY).moderations.create(input="...")`."""
    role, name = role_of(engine, caller, body.role), engine.parts.model.name
    if body.model is not None and body.model != name and not body.model.startswith(OPENAI_MODELS):
        raise Problem(404, "this server has no such model.", code="model_not_found", param="model")
    id = f"modr-{request.state.request_id.removeprefix('req-')}"
    weight = _weight(body.input)
    if weight is not None and weight <= engine.docket.most:
        asked = _asked(engine, id, role, body)
        content = await engine.docket.done(_answers, asked, weight=weight)
    else:
        content = await run_in_threadpool(_alone, engine, id, role, body)
    return Response(content, media_type="application/json")


def _weight(given: Any) -> int | None:
    """What the texts of a request weigh; None with a part that is no bare text, which takes long to read."""
    texts = [given] if isinstance(given, str) else given
    if not isinstance(texts[0], str):
        return None
    return sum(1 + len(text) // CHARACTERS for text in texts)


def _asked(engine: Engine, id: str, role: str, body: ModerationRequest) -> _Asked:
    together = isinstance(body.input, list) and not isinstance(body.input[0], str)
    return _Asked(engine, id, role, inputs_of(engine, body.input), together)


def _alone(engine: Engine, id: str, role: str, body: ModerationRequest) -> bytes:
    """The answer to a request with pictures or long texts, which would keep others waiting."""
    (answer,) = _answers([_asked(engine, id, role, body)])
    if isinstance(answer, Problem):
        raise answer
    return answer


def _answers(requests: Sequence[_Asked]) -> list[bytes | Problem]:
    """The answer to each request, or why it has none: measured in one pass, recorded in one write."""
    engine = requests[0].engine
    moderator = engine.parts.moderator
    judged: list[list[Judged] | Problem] = []
    with engine.metrics.stage("moderate"):
        found = iter(measured(moderator, [each for asked in requests for each in asked.inputs]))
        for asked in requests:
            own = list(islice(found, len(asked.inputs)))
            try:
                judged.append(decided(moderator, own, role=asked.role))
            except Problem as problem:
                judged.append(problem)
    engine.parts.ledger.record(
        [
            Decision.of(f"{asked.id}-{index}", each.moderation, given.content)
            for asked, parts in zip(requests, judged, strict=True)
            if not isinstance(parts, Problem)
            for index, (given, each) in enumerate(zip(asked.inputs, parts, strict=True))
        ]
    )
    return [
        parts if isinstance(parts, Problem) else _response(asked, parts)
        for asked, parts in zip(requests, judged, strict=True)
    ]


# -- the answer's body -----------------------------------------------------------------------------------
#
# Plain mappings, which a test holds to the models above: to make a model of every part, and to have it look
# at what was made a moment ago, would take longer than to judge it.

_JSON = TypeAdapter(dict[str, Any])


def _response(asked: _Asked, judged: Sequence[Judged]) -> bytes:
    """A `ModerationResponse` as JSON."""
    parts = [(f"{asked.id}-{index}", each) for index, each in enumerate(judged)]
    groups = [parts] if asked.together else [[part] for part in parts]
    results = [_result(asked.engine, asked.role, group) for group in groups]
    return _JSON.dump_json({"id": asked.id, "model": asked.engine.parts.model.name, "results": results})


def _result(engine: Engine, role: str, parts: Sequence[tuple[str, Judged]]) -> dict[str, Any]:
    """A `Result`."""
    scores = dict.fromkeys(CATEGORIES, 0.0)
    applied: dict[str, list[Modality]] = {key: [] for key in CATEGORIES}
    for _, part in parts:
        modality, found = part.moderation.modality, part.probabilities
        for key, modalities in CATEGORIES.items():
            value = found.get(key, found.get(OURS.get(key, key)))
            if value is not None and modality in modalities:
                scores[key] = max(value, scores[key])
                if modality not in applied[key]:
                    applied[key].append(modality)
    categories = {key: score > FLAGGED for key, score in scores.items()}
    above = any(part.moderation.flagged for _, part in parts)
    action = most_severe(part.verdict.action for _, part in parts)
    assert action is not None, "there is at least one part"
    return {
        "flagged": above or any(categories.values()),
        "categories": categories,
        "category_scores": scores,
        "category_applied_input_types": {key: sorted(each, reverse=True) for key, each in applied.items()},
        "safety": {
            "action": action,
            "role": role,
            "policy": engine.policy.version,
            "model": engine.parts.model.name,
            "fingerprint": engine.parts.moderator.fingerprint,
            "measured": [key for key, each in applied.items() if each],
            "parts": [safety_of(id, part) for id, part in parts],
        },
    }


def safety_of(id: str, judged: Judged) -> dict[str, Any]:
    """The fields of a `PartSafety`."""
    found = judged.moderation
    return {
        "decision_id": id,
        "modality": found.modality,
        "score": found.score,
        "bound": found.bound,
        "probability": found.probability,
        "windows": found.windows,
        "verdict": verdict_fields(judged.verdict),
        "categories": [
            {"name": name, "score": each.score, "probability": each.probability}
            for name, each in found.categories.items()
        ],
    }
