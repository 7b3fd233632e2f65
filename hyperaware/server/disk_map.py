"""`GET /v1/map`: the items that a role may see as points of a disk: distance from the root, and angle."""

from typing import Annotated

from fastapi import APIRouter, Query
from fastapi.responses import Response

from hyperaware.server.access import Searching, TheEngine, role_of
from hyperaware.server.problems import Problem
from hyperaware.server.shapes import Modality, Role, Told, answer
from hyperaware.server.visible import MOST

__all__ = ["router"]

router = APIRouter(tags=["search"])


class PointShape(Told):
    """One item on the disk."""

    id: str
    modality: Modality
    root_distance: float
    angle: float
    """Radians, from -pi to pi."""
    blurred: bool


class MapResponse(Told):
    """Points of the disk, and the circles on it."""

    points: list[PointShape]
    more: bool
    """Whether the role may see more items than are told."""
    trigger: dict[str, float]
    """By modality: queries farther out are unsafe."""
    limit: dict[str, float]
    """By modality: items farther out are unsafe."""
    landing: dict[str, float]
    """By modality of what is searched: where a redirected query lands."""


@router.get("/v1/map", response_model=MapResponse)
def disk_map(
    engine: TheEngine,
    caller: Searching,
    role: Role = None,
    limit: Annotated[int, Query(ge=1, le=MOST)] = 2000,
) -> Response:
    """Up to `limit` items that the role may see, with root distance and angle, and the bounds as circles."""
    named = role_of(engine, caller, role)
    bounds = engine.parts.bounds
    if bounds is None:
        raise Problem(404, "the model has no root, so there is no disk.", code="no_root")
    points = engine.index.disk.points(named)
    body = MapResponse(
        points=[PointShape(**point._asdict()) for point in points[:limit]],
        more=len(points) > limit,
        trigger=dict(bounds.trigger),
        limit=dict(bounds.limit),
        landing=dict(bounds.landing),
    )
    return answer(body)
