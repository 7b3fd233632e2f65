"""Whether the process lives, whether it can answer, and its figures."""

from typing import Literal

from fastapi import APIRouter
from fastapi.responses import JSONResponse, Response

from hyperaware.server.access import Anyone, TheEngine
from hyperaware.server.shapes import Told

__all__ = ["router"]

router = APIRouter(tags=["operation"])


class Live(Told):
    """The process answers."""

    status: Literal["live"] = "live"


class ReasonShape(Told):
    """Why the server cannot answer."""

    code: str
    """A stable word: loading, model_missing, index_missing, index_stale, not_recorded, keys_unreadable,
    SafetyError ..."""
    message: str


class Ready(Told):
    """Whether the server can answer requests, and if not, why."""

    status: Literal["ready", "not ready"]
    reasons: list[ReasonShape]


@router.get(
    "/health/live", responses={200: {"content": {"application/json": {"example": {"status": "live"}}}}}
)
async def live() -> Live:
    """Whether the process lives. It says nothing of the model: for that there is /health/ready."""
    return Live()


@router.get(
    "/health/ready",
    response_model=Ready,
    responses={
        200: {"content": {"application/json": {"example": {"status": "ready", "reasons": []}}}},
        503: {
            "model": Ready,
            "description": "Not ready.",
            "content": {
                "application/json": {
                    "example": {
                        "status": "not ready",
                        "reasons": [{"code": "model_missing", "message": "the model is being loaded"}],
                    }
                }
            },
        },
    },
)
def ready(engine: TheEngine) -> Response:
    """Whether requests can be answered: model and index are there and fit, decisions can be recorded."""
    reasons = [ReasonShape(code=code, message=sentence) for code, sentence in engine.public_reasons()]
    body = Ready(status="not ready" if reasons else "ready", reasons=reasons)
    return JSONResponse(body.model_dump(), 503 if reasons else 200)


@router.get(
    "/metrics",
    response_class=Response,
    responses={200: {"content": {"text/plain": {"example": "hyperaware_ready 1.0\n"}}}},
)
def metrics(engine: TheEngine, caller: Anyone) -> Response:
    """Figures in Prometheus' text format: stages, verdicts, scores, decode failures, queue. For any key."""
    return Response(engine.metrics.page(), media_type="text/plain; version=0.0.4; charset=utf-8")
