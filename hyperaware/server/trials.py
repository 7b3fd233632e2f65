"""`POST /v1/policy/trial`: what the policy would do, rule by rule. Nothing is decided or recorded."""

import dataclasses
from typing import Annotated

from fastapi import APIRouter
from pydantic import Field, model_validator

from hyperaware.server.access import Moderating, TheEngine, role_of
from hyperaware.server.inputs import seen, words
from hyperaware.server.judging import judged
from hyperaware.server.policies import ClauseShape
from hyperaware.server.problems import Problem
from hyperaware.server.shapes import (
    Few,
    Given,
    ImageURL,
    Modality,
    Role,
    Told,
    VerdictShape,
    Words,
    with_examples,
)

__all__ = ["router"]

router = APIRouter(tags=["policy"])
Probability = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]


class TrialRequest(Given):
    """What is tried: exactly one of `text` and `image`."""

    model_config = with_examples({"text": "a man with a gun in the snow", "role": "viewer"})

    text: Words | None = None
    image: ImageURL | None = None
    role: Role = None
    categories: Annotated[dict[str, Probability], Few] = Field(default_factory=dict)
    """Probabilities to take in place of the measured ones, of categories that are measured or that the role
    has a rule for."""

    @model_validator(mode="after")
    def _one(self) -> "TrialRequest":
        if (self.text is None) == (self.image is None):
            raise ValueError("give exactly one of text and image")
        return self


class FindingShape(Told):
    """One rule, compared with the query."""

    rule: ClauseShape
    """The role's own rule too, without a category."""
    hit: bool
    why: str


class TrialResponse(Told):
    """The verdict that a search by this query would get, and every rule for queries behind it."""

    modality: Modality
    verdict: VerdictShape
    findings: list[FindingShape]


@router.post("/v1/policy/trial")
def trial(body: TrialRequest, engine: TheEngine, caller: Moderating) -> TrialResponse:
    """Try the policy: the verdict on a text or a picture as a role, with every rule. Nothing is recorded."""
    role = role_of(engine, caller, body.role)
    bounds, policy = engine.parts.bounds, engine.policy
    if bounds is None:
        raise Problem(404, "the model has no root, so no rule compares anything.", code="no_root")
    if body.image is not None:
        given = seen(engine, body.image.url, param="image")
    else:
        given = words(engine, body.text or "", param="text")
    (found,) = judged(engine.parts.moderator, [given], role=role)
    rules = {clause.category for clause in policy.role(role).queries}
    if not set(body.categories) <= rules | set(found.moderation.categories):
        raise Problem(
            400,
            "categories: one of them is neither measured nor in a rule of the role.",
            code="unknown_category",
            param="categories",
        )
    categories = {**found.probabilities, **body.categories}
    score = found.moderation.score
    verdict = policy.judge(score, modality=given.modality, bounds=bounds, role=role, categories=categories)
    findings = policy.findings(
        score,
        bound=bounds.trigger[given.modality],
        modality=given.modality,
        role=role,
        categories=categories,
    )
    return TrialResponse(
        modality=given.modality,
        verdict=VerdictShape.of(verdict),
        findings=[
            FindingShape(rule=ClauseShape(**dataclasses.asdict(each.clause)), hit=each.hit, why=each.why)
            for each in findings
        ],
    )
