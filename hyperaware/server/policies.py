"""`GET /v1/policy`: what the policy says, as far as it concerns whoever asks."""

import dataclasses
from typing import Any

from fastapi import APIRouter

from hyperaware.moderation.rules import Clause, Rule
from hyperaware.server.access import Anyone, TheEngine, role_of
from hyperaware.server.shapes import Action, Told

__all__ = ["router"]

router = APIRouter(tags=["policy"])


class ClauseShape(Told):
    """One more rule of a role."""

    action: Action
    category: str | None
    """Null: the root distance decides."""
    above: float | None
    """The probability above which the rule hits."""
    strength: float
    message: str | None
    shadow: bool
    """Whether it is only recorded."""


class RoleShape(Told):
    """What a role gets."""

    action: Action
    """For a query above the bound."""
    show: str
    """"safe": items within the limit; "all": every item."""
    strength: float
    message: str | None
    queries: list[ClauseShape]
    items: list[ClauseShape]


class ModelShape(Told):
    """The model that judges."""

    name: str
    fingerprint: str
    space: dict[str, Any]
    trigger: dict[str, float] | None
    """By modality: a query above it is unsafe. Null for a model without a root."""
    limit: dict[str, float] | None
    """By modality: an item above it is unsafe."""
    landing: dict[str, float] | None
    """By modality of what is searched: where a redirected query lands."""


class PolicyShape(Told):
    """The policy in force, and whoever asks."""

    version: str
    default_role: str
    role: str
    """The role of whoever asks."""
    scopes: list[str]
    """What whoever asks may do."""
    switches: bool
    """Whether they may ask as another role."""
    roles: dict[str, RoleShape]
    """All roles for who may switch; otherwise their own."""
    model: ModelShape


@router.get("/v1/policy")
def policy(engine: TheEngine, caller: Anyone) -> PolicyShape:
    """The policy in force: the rules of one's own role, or of all roles for a key that may switch."""
    parts, role, rules = engine.parts, role_of(engine, caller, None), engine.policy.roles
    named = rules if caller.switches else {role: rules[role]}
    bounds = parts.bounds
    return PolicyShape(
        version=engine.policy.version,
        default_role=engine.policy.default_role,
        role=role,
        scopes=list(caller.scopes),
        switches=caller.switches,
        roles={name: _role(rule) for name, rule in named.items()},
        model=ModelShape(
            name=parts.model.name,
            fingerprint=parts.model.fingerprint,
            space=parts.model.space.config(),
            trigger=None if bounds is None else dict(bounds.trigger),
            limit=None if bounds is None else dict(bounds.limit),
            landing=None if bounds is None else dict(bounds.landing),
        ),
    )


def _role(rule: Rule) -> RoleShape:
    return RoleShape(
        action=rule.action,
        show=rule.show,
        strength=rule.strength,
        message=rule.message,
        queries=[_clause(clause) for clause in rule.queries],
        items=[_clause(clause) for clause in rule.items],
    )


def _clause(clause: Clause) -> ClauseShape:
    return ClauseShape(**dataclasses.asdict(clause))
