"""What several routes take and give, as it stands in the OpenAPI document."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal, TypeVar

from fastapi.responses import Response
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StringConstraints,
    model_validator,
)

from hyperaware.moderation.policy import Verdict

__all__ = [
    "PROBLEMS",
    "Action",
    "Few",
    "Given",
    "ImagePart",
    "Modality",
    "ProblemBody",
    "Role",
    "Several",
    "StopShape",
    "Told",
    "VerdictShape",
    "Words",
    "answer",
    "verdict_fields",
    "with_examples",
]

Action = Literal["allow", "blur", "redirect", "review", "block"]
Modality = Literal["text", "image"]

MOST_ELEMENTS = 10_000
"""Elements of one list of a request."""
MOST_FIELDS = 100
"""Fields of one object of a request."""
T = TypeVar("T")

Several = Annotated[list[T], Field(max_length=MOST_ELEMENTS, fail_fast=True)]
"""A list of which the first wrong element is told. To tell all of a million wrong ones would take minutes."""


def _few(given: Any) -> Any:
    """`given`, unless it has so many fields that to tell what is wrong with each would take long."""
    if isinstance(given, dict) and len(given) > MOST_FIELDS:
        raise ValueError(f"{len(given):,} fields, expected at most {MOST_FIELDS}")
    return given


Few = BeforeValidator(_few)
"""For a mapping of a request."""


class Given(BaseModel):
    """A request's body: an unknown field is refused, for a misspelled one would be silently absent."""

    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True)

    @model_validator(mode="before")
    @classmethod
    def _few_fields(cls, given: Any) -> Any:
        return _few(given)


def with_examples(*examples: Any) -> ConfigDict:
    """The configuration of a body that stands in the OpenAPI document with these examples."""
    return ConfigDict(json_schema_extra={"examples": list(examples)})


class Told(BaseModel):
    """An answer's body."""

    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True)


def answer(body: Told, status: int = 200) -> Response:
    """The body as it is, for routes with long answers: FastAPI would look at every part of it again."""
    return Response(body.model_dump_json(), status, media_type="application/json")


def _encodable(text: str) -> str:
    try:
        text.encode()
    except UnicodeEncodeError:
        raise ValueError("the text has half of a surrogate pair, and so is no text") from None
    if not text.strip():
        raise ValueError("the text is blank, expected at least one word")
    return text


Words = Annotated[str, StringConstraints(min_length=1), AfterValidator(_encodable)]
"""A text with something in it."""

Role = Annotated[
    str | None,
    Field(
        description="A role of the policy. By default the key's own; others need a key that may switch.",
        examples=["viewer"],
        max_length=100,
    ),
]


class ImageURL(Given):
    """Where a picture is."""

    url: Annotated[str, Field(min_length=1)]
    """A `data:` URL in base64; an https URL only where the server is set to fetch from its host."""


class ImagePart(Given):
    """A picture."""

    type: Literal["image_url"]
    image_url: ImageURL


class VerdictShape(Told):
    """What the policy does, and why."""

    action: Action
    reason: str
    score: float | None
    """Root distance: higher is more unsafe. Null where the model has none and the role sees everything."""
    bound: float | None
    """The score above which something is unsafe."""
    role: str
    policy: str
    """The policy's version."""
    strength: float
    """How far a redirected query was moved, from 0 to 1."""
    category: str | None
    """The category of the rule that decided; null where it was the score, or no rule hit."""
    message: str | None
    """What is to be said to the user."""
    shadow: Action | None
    """What rules on trial would have done."""
    blurred: bool
    """Whether what is answered is to be blurred."""

    @classmethod
    def of(cls, verdict: Verdict) -> "VerdictShape":
        return cls(**verdict_fields(verdict))


def verdict_fields(verdict: Verdict) -> dict[str, Any]:
    """The fields of a `VerdictShape`."""
    return {
        "action": verdict.action,
        "reason": verdict.reason,
        "score": verdict.score,
        "bound": verdict.bound,
        "role": verdict.role,
        "policy": verdict.policy_version,
        "strength": verdict.strength,
        "category": verdict.category,
        "message": verdict.message,
        "shadow": verdict.shadow,
        "blurred": verdict.blurred,
    }


class StopShape(Told):
    """A caption, and the root distance from which on it is the one that applies."""

    caption: str
    root_distance: float


class ProblemWords(Told):
    """What went wrong."""

    message: str
    type: str
    param: str | None
    """Where in the request."""
    code: str | None
    """A short stable word."""


class ProblemBody(Told):
    """An error, in the shape that OpenAI's clients know."""

    error: ProblemWords


def _problem(message: str, kind: str, code: str) -> dict[str, Any]:
    body = {"error": {"message": message, "type": kind, "param": None, "code": code}}
    return {"model": ProblemBody, "description": message, "content": {"application/json": {"example": body}}}


PROBLEMS: Mapping[int | str, dict[str, Any]] = {
    400: _problem("the request is wrong: it says where.", "invalid_request_error", "invalid_value"),
    401: _problem("a key is needed.", "authentication_error", "no_key"),
    403: _problem("this key may not do that.", "permission_error", "scope"),
    404: _problem("there is no such thing, or not for this role.", "invalid_request_error", "unknown"),
    405: _problem("this route does not take this method.", "invalid_request_error", "method"),
    408: _problem("the body came too slowly.", "invalid_request_error", "slow"),
    409: _problem("it is in another state.", "invalid_request_error", "conflict"),
    413: _problem("the body is too large.", "invalid_request_error", "too_large"),
    429: _problem("too many requests; see Retry-After.", "rate_limit_error", "queue_full"),
    500: _problem("something unforeseen happened.", "server_error", "unforeseen"),
    503: _problem("this cannot be answered now; see Retry-After.", "server_error", "model_down"),
}
"""What every route may answer instead of its result."""
