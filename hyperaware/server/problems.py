"""What a client is told when something fails: OpenAI's error body, without paths and without content.

{"error": {"message": sentence, "type": kind, "param": where or null, "code": short stable word or null}}
"""

import logging
import re
from collections.abc import Sequence
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from hyperaware.errors import (
    ConfigError,
    DataError,
    HyperawareError,
    MediaError,
    RecordError,
)
from hyperaware.server.batching import QueueFull
from hyperaware.server.supervisor import WorkerDown

__all__ = ["RETRY_SECONDS", "Problem", "install", "problem_of", "problem_response", "public"]

log = logging.getLogger("hyperaware.server")

RETRY_SECONDS = 1
TYPES = {401: "authentication_error", 403: "permission_error", 429: "rate_limit_error"}
RECORDS = {"refused": 400, "unknown": 404, "conflict": 409}
"""Status by the reason of a RecordError; the others mean that nothing can be recorded."""
_FIELD = re.compile(r"[a-z_]+")
"""What a field may be called; pydantic also tells the shapes that it tried."""
_BYTES = re.compile(r" \(it starts with b[^)]*\)")
_PATH = re.compile(r"(?<![\w/.])(?:/[\w.@+~-]+){2,}/?|\b[A-Za-z]:\\[^\s'\"]+")


class Problem(Exception):
    """An answer that is an error."""

    def __init__(
        self,
        status: int,
        message: str,
        *,
        code: str | None = None,
        param: str | None = None,
        retry_after: int | None = None,
    ) -> None:
        super().__init__(message)
        self.status, self.message, self.code, self.param = status, message, code, param
        self.retry_after = retry_after


def problem_response(problem: Problem) -> JSONResponse:
    """The response that tells a problem."""
    kind = TYPES.get(problem.status, "invalid_request_error" if problem.status < 500 else "server_error")
    body = {"message": public(problem.message), "type": kind, "param": problem.param, "code": problem.code}
    headers = {} if problem.retry_after is None else {"Retry-After": str(problem.retry_after)}
    if problem.status == 401:
        headers["WWW-Authenticate"] = "Bearer"
    return JSONResponse({"error": body}, problem.status, headers)


def public(message: str) -> str:
    """A message without the paths of this machine, and without bytes of a file.

    >>> public("/srv/index/model.json is damaged")
    '[path] is damaged'
    """
    return _PATH.sub("[path]", _BYTES.sub("", message))


def install(app: FastAPI) -> None:
    """Let `app` answer every exception by a problem."""

    def answer(tell: Any) -> Any:
        async def handler(request: Request, error: Exception) -> JSONResponse:
            problem = tell(error)
            if problem.status >= 500:
                log.warning("%s %r: %s: %s", request.method, request.url.path, type(error).__name__, error)
            return problem_response(problem)

        return handler

    app.add_exception_handler(Problem, answer(lambda error: error))
    app.add_exception_handler(RequestValidationError, answer(_of_validation))
    app.add_exception_handler(HTTPException, answer(_of_http))
    app.add_exception_handler(HyperawareError, answer(_of_ours))
    app.add_exception_handler(QueueFull, answer(_busy))
    app.add_exception_handler(WorkerDown, answer(_down))


def problem_of(error: Exception) -> Problem:
    """The problem that tells an exception which no route's handler has answered."""
    if isinstance(error, Problem):
        return error
    log.error("unforeseen", exc_info=error)
    return Problem(500, "something unforeseen happened; the server's log says what.", code="unforeseen")


def _of_validation(error: RequestValidationError) -> Problem:
    """The first thing that is wrong. What was given is not repeated: it may be long, or content.

    Where one of several shapes was expected, every one of them complains. A complaint about more than a type
    is of the shape that was meant; else that one is which came farthest into what was given.
    """
    found = [(_place(each["loc"]), each) for each in error.errors()]
    place, first = max(found, key=lambda told: (not told[1]["type"].endswith("_type"), _reach(told[0])))
    where = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in place).lstrip(".")[:200]
    said = first["msg"].removeprefix("Value error, ")
    what = "the body is no JSON" if first["type"] == "json_invalid" else said
    return Problem(400, f"{where}: {what}." if where else f"{what}.", code=first["type"], param=where or None)


def _place(loc: Sequence[Any]) -> list[int | str]:
    """Where it is in the request, without what pydantic calls the shapes that it tried."""
    place = [part for part in loc if isinstance(part, int) or _FIELD.fullmatch(part)]
    place = [part for part in place if part not in ("body", "query", "path")]
    return [part for before, part in zip([None, *place], place, strict=False) if part != before]


def _reach(place: Sequence[int | str]) -> tuple[list[int], int]:
    return [part for part in place if isinstance(part, int)], len(place)


def _of_http(error: HTTPException) -> Problem:
    words = {404: "there is no such route.", 405: "this route does not take this method."}
    codes = {404: "unknown_route", 405: "method", 408: "slow", 413: "too_large"}
    status = error.status_code
    return Problem(status, words.get(status, error.detail), code=codes.get(status))


def _of_ours(error: HyperawareError) -> Problem:
    if isinstance(error, MediaError):
        return Problem(400, str(error), code=error.reason)
    if isinstance(error, RecordError) and error.reason in RECORDS:
        return Problem(RECORDS[error.reason], str(error), code=error.reason)
    if isinstance(error, ConfigError | DataError):
        return Problem(400, str(error), code="invalid_value")
    code = "not_recorded" if isinstance(error, RecordError) else type(error).__name__
    return Problem(503, f"this cannot be answered now: {error}", code=code, retry_after=RETRY_SECONDS)


def _busy(error: QueueFull) -> Problem:
    return Problem(429, f"the server is busy: {error}.", code="queue_full", retry_after=RETRY_SECONDS)


def _down(error: WorkerDown) -> Problem:
    return Problem(
        503, f"the model cannot answer now: {error}.", code="model_down", retry_after=RETRY_SECONDS
    )
