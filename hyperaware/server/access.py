"""Who asks, as which role, and for what: from the gate's caller to what a route may do."""

from collections.abc import Callable, Coroutine
from typing import Annotated, Any

from fastapi import Depends, Request

from hyperaware.server.engine import Engine
from hyperaware.server.gate import Caller
from hyperaware.server.problems import Problem

__all__ = ["Admin", "Anyone", "Moderating", "Reviewer", "Searching", "TheEngine", "role_of"]


async def _engine(request: Request) -> Engine:
    return request.app.state.engine


def _needs(scope: str | None) -> Callable[[Request], Coroutine[Any, Any, Caller]]:
    async def caller(request: Request) -> Caller:
        found: Caller = request.state.caller
        if scope is not None and scope not in found.scopes:
            raise Problem(403, f"this key has no scope {scope!r}.", code="scope")
        return found

    return caller


TheEngine = Annotated[Engine, Depends(_engine)]
Anyone = Annotated[Caller, Depends(_needs(None))]
Searching = Annotated[Caller, Depends(_needs("search"))]
Moderating = Annotated[Caller, Depends(_needs("moderate"))]
Reviewer = Annotated[Caller, Depends(_needs("review"))]
Admin = Annotated[Caller, Depends(_needs("admin"))]


def role_of(engine: Engine, caller: Caller, asked: str | None) -> str:
    """The role that a request is answered for: the key's own, or another one if the key may switch.

    Raises:
        Problem: 403: it may not; or the key's own role is none of the policy's. 400: no such role.
    """
    own = engine.policy.default_role if caller.role is None else caller.role
    role = own if asked is None else asked
    if role != own and not caller.switches:
        raise Problem(403, "this key may not ask as another role than its own.", code="role", param="role")
    if role not in engine.policy.roles:
        if asked is None:
            raise Problem(403, "the role of this key is none of the policy's.", code="role")
        raise Problem(400, "the policy has no such role.", code="unknown_role", param="role")
    return role
