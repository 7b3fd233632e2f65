"""What every request passes before its body is read: host, key, rate, size; and the answers' headers."""

import logging
import secrets
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import anyio
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from hyperaware.errors import RecordError
from hyperaware.records.keys import SCOPES, KeyRing
from hyperaware.server.problems import RETRY_SECONDS, Problem, problem_of, problem_response
from hyperaware.server.settings import is_loopback

__all__ = ["Caller", "Gate", "Rates"]

log = logging.getLogger("hyperaware.server")

HEADERS = {
    b"x-content-type-options": b"nosniff",
    b"x-frame-options": b"DENY",
    b"referrer-policy": b"no-referrer",
    b"cross-origin-resource-policy": b"same-origin",
    b"cross-origin-opener-policy": b"same-origin",
    b"permissions-policy": b"camera=(), geolocation=(), microphone=()",
}
NO_PAGE = b"default-src 'none'; frame-ancestors 'none'"
"""The policy of contents of everything that is no page: it may load nothing and run nothing."""
BODY_SECONDS = 30.0
"""How long the next part of a body may take, and how long a body may take beyond what `SLOWEST` allows."""
SLOWEST = 8_000.0
"""Bytes of a body in a second, on average: a byte now and then does not keep a request open without end."""
KEPT = 10_000
"""Callers whose rate is remembered; beyond, those who have been quiet longest are forgotten."""


@dataclass(frozen=True)
class Caller:
    """Who asks: by a key, or by nothing where that is allowed."""

    id: str
    role: str | None
    """The role of the key; None for the policy's default role."""
    scopes: tuple[str, ...]
    switches: bool
    """Whether a request may name another role."""


class Rates:
    """A bucket of requests for each caller: `per_minute` flow in, a tenth (or 10) fit. 0: no limit."""

    def __init__(self, per_minute: int, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._rate = per_minute / 60
        self._most = max(per_minute / 10, 10.0)
        self._clock = clock
        self._buckets: dict[str, tuple[float, float]] = {}

    def wait(self, caller: str) -> float:
        """0 if the caller may ask now, which takes one out of the bucket; else the seconds to wait."""
        if not self._rate:
            return 0.0
        now = self._clock()
        left, since = self._buckets.pop(caller, (self._most, now))
        left = min(self._most, left + (now - since) * self._rate)
        allowed = left >= 1
        self._buckets[caller] = (left - allowed, now)  # at the end: the first one is who was quiet longest
        if len(self._buckets) > KEPT:
            del self._buckets[next(iter(self._buckets))]
        return 0.0 if allowed else (1 - left) / self._rate


class Gate:
    """An ASGI application around another one.

    Args:
        keys: None takes requests without a key, as `visitor`; then only requests to this machine's own names
            are taken, so that no foreign page can ask by a name of its own (DNS rebinding).
        free: paths, or beginnings of paths that end in "/", that need no key.
        answered: called with the pattern of the route and the status of each answer.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        keys: KeyRing | None,
        visitor: Caller,
        rates: Rates,
        max_body_bytes: int,
        free: Iterable[str],
        answered: Callable[[str, int], None] = lambda route, status: None,
    ) -> None:
        self._answered = answered
        self._app, self._keys, self._visitor, self._rates = app, keys, visitor, rates
        self._max_body_bytes = max_body_bytes
        self._free = tuple(free)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request_id = f"req-{secrets.token_hex(12)}"
        scope.setdefault("state", {})["request_id"] = request_id

        begun = False

        async def answered(message: Message) -> None:
            nonlocal begun
            begun = True
            if message["type"] == "http.response.start":
                message = {**message, "headers": _with_headers(message["headers"], request_id)}
                self._answered(getattr(scope.get("route"), "path", "other"), message["status"])
            await send(message)

        try:
            headers = {name: value.decode("latin-1") for name, value in scope["headers"]}
            if not self._is_free(scope["path"]):
                scope["state"]["caller"] = self._caller(headers)
            self._check_size(headers)
            await self._app(scope, self._counted(receive), answered)
        except Exception as error:  # whatever it is: the answer is counted, and has the headers of the others
            if begun:
                raise
            await problem_response(problem_of(error))(scope, receive, answered)

    def _is_free(self, path: str) -> bool:
        return any(
            path == free or (len(free) > 1 and free[-1] == "/" and path.startswith(free))
            for free in self._free
        )

    def _caller(self, headers: dict[bytes, str]) -> Caller:
        if self._keys is None:
            self._require_own_name(headers)
            caller = self._visitor
        else:
            caller = _caller_of(self._keys, headers.get(b"authorization", ""))
        seconds = self._rates.wait(caller.id)
        if seconds:
            raise Problem(
                429,
                "too many requests with this key.",
                code="rate_limited",
                retry_after=max(1, round(seconds + 0.5)),
            )
        return caller

    def _require_own_name(self, headers: dict[bytes, str]) -> None:
        """Refuse what a foreign page asks for (`Problem`), by its own name or as a picture that it shows."""
        foreign = headers.get(b"sec-fetch-site") == "cross-site"
        for name in (b"host", b"origin"):
            host = headers.get(name, "localhost").partition("://")[2] or headers.get(name, "localhost")
            bare = host[1:].partition("]")[0] if host.startswith("[") else host.partition(":")[0]
            foreign = foreign or not is_loopback(bare)
        if foreign:
            raise Problem(403, "without keys, only requests to and from this machine are taken.", code="host")

    def _check_size(self, headers: dict[bytes, str]) -> None:
        """Refuse a body that is announced as too large (`Problem`)."""
        announced = headers.get(b"content-length", "0")
        if not announced.isascii() or not announced.isdigit():
            raise Problem(400, "content-length is no number.", code="invalid_value")
        if int(announced) > self._max_body_bytes:
            raise Problem(413, self._too_large, code="too_large")

    @property
    def _too_large(self) -> str:
        return f"the body is larger than {self._max_body_bytes:,} bytes."

    def _counted(self, receive: Receive) -> Receive:
        """`receive`, which refuses a body that turns out larger, or slower, than allowed."""
        got, whole, begun = 0, False, time.monotonic()

        async def counted() -> Message:
            nonlocal got, whole
            if whole:  # what comes now is that the client has gone
                return await receive()
            left = begun + BODY_SECONDS + got / SLOWEST - time.monotonic()
            try:
                with anyio.fail_after(min(BODY_SECONDS, left)):
                    message = await receive()
            except TimeoutError:
                raise HTTPException(408, "the body came too slowly.") from None
            whole = not message.get("more_body", False)
            got += len(message.get("body", b""))
            if got > self._max_body_bytes:
                raise HTTPException(413, self._too_large)
            return message

        return counted


def _caller_of(ring: KeyRing, authorization: str) -> Caller:
    scheme, _, token = authorization.partition(" ")
    if scheme.lower() != "bearer" or not token:
        raise Problem(401, "a key is needed: send the header Authorization: Bearer KEY.", code="no_key")
    try:
        key = ring.authenticate(token.strip())
    except RecordError as error:  # then nobody is let in
        log.error("the keys cannot be read: %s", error)
        message = "the keys of this server cannot be read now."
        raise Problem(503, message, code="keys_unreadable", retry_after=RETRY_SECONDS) from error
    if key is None:
        raise Problem(401, "this key is unknown, revoked or expired.", code="invalid_api_key")
    return Caller(key.id, key.role, key.scopes, switches="admin" in key.scopes)


def visitor(*, demo: bool) -> Caller:
    """Who asks without a key: in the demo with every scope and role, else as the policy's default role."""
    return Caller("visitor", None, SCOPES if demo else ("search", "moderate"), switches=demo)


def _with_headers(given: Iterable[tuple[bytes, bytes]], request_id: str) -> list[tuple[bytes, bytes]]:
    there = list(given)
    names = {name.lower() for name, _ in there}
    added: dict[bytes, bytes] = {**HEADERS, b"x-request-id": request_id.encode()}
    added |= {b"content-security-policy": NO_PAGE, b"cache-control": b"no-store"}
    return there + [(name, value) for name, value in added.items() if name not in names]
