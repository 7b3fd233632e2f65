"""The OpenAPI document, and a page of it that runs no script: FastAPI's own loads one from elsewhere."""

import json
from collections.abc import Iterator
from html import escape
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from hyperaware.server.shapes import PROBLEMS, ProblemBody

__all__ = ["described", "routes_page"]

DESCRIPTION = """Moderation, search under a policy and embeddings, by a safety-aware vision-language model.

Every answer that judges says how: score, bound, rule and policy version. Every decision is recorded before
it is told, by id and hash, never by content. Errors have OpenAI's shape."""
FREE_OF_KEYS = ("/health/live", "/health/ready")
ANYWHERE = (429, 500, 503)
ITEM: dict[str, Any] = {
    "id": "02217a135418dee22fbd34f8a0ac23d2",
    "modality": "image",
    "caption": "a rabbit with a blue cup in the snow",
    "similarity": None,
    "score": 0.31,
    "categories": {"violence": 0.01},
    "blurred": False,
    "thumbnail": "/v1/items/02217a135418dee22fbd34f8a0ac23d2/thumbnail",
}
CASE: dict[str, Any] = {
    "id": "case-0123456789abcdef",
    "request_id": "modr-0123456789abcdef01234567-0",
    "modality": "text",
    "item_id": None,
    "action": "review",
    "score": 0.43,
    "categories": {"violence": 0.9},
    "reason": "root distance 0.4300 is above the bound 0.2676 for text queries",
    "created": 1800000000.0,
    "state": "open",
    "lease_until": None,
    "turns": [],
}
SPACE = {"name": "lorentz", "curv": 0.21}
CIRCLES = {"text": 0.27, "image": 0.33}
ANSWERS: dict[str, Any] = {
    "get /v1/items/{id}": ITEM,
    "delete /v1/items/{id}": {"id": ITEM["id"], "deleted": True},
    "get /v1/map": {
        "points": [
            {
                "id": ITEM["id"],
                "modality": "image",
                "root_distance": 0.31,
                "angle": 1.57,
                "blurred": False,
            }
        ],
        "more": False,
        "trigger": CIRCLES,
        "limit": CIRCLES,
        "landing": {"text": 0.25, "image": 0.31},
    },
    "get /v1/reviews": [CASE],
    "get /v1/reviews/{id}": CASE,
    "post /v1/reviews/next": {"case": CASE, "waiting": 1},
    "get /v1/about": {
        "version": "0.1.0",
        "model": {
            "name": "world-hysac-ordered",
            "fingerprint": "cac9d3398c838e21",
            "space": SPACE,
            "dimension": 128,
            "license": "apache-2.0",
            "card": "# world-hysac-ordered",
        },
        "index": {"items": {"image": 400}, "generation": 13},
        "thresholds": None,
        "calibrated": {"violence": ["text", "image"]},
    },
    "get /v1/policy": {
        "version": "default-2",
        "default_role": "viewer",
        "role": "viewer",
        "scopes": ["search", "moderate"],
        "switches": False,
        "roles": {
            "viewer": {
                "action": "redirect",
                "show": "safe",
                "strength": 1.0,
                "message": "Showing safer results instead.",
                "queries": [],
                "items": [],
            }
        },
        "model": {
            "name": "world-hysac-ordered",
            "fingerprint": "cac9d3398c838e21",
            "space": SPACE,
            "trigger": CIRCLES,
            "limit": CIRCLES,
            "landing": {"text": 0.25, "image": 0.31},
        },
    },
}
"""Answers of routes that have no body which could serve as an example."""


def described(app: FastAPI, *, with_keys: bool) -> None:
    """Let `app` describe itself: with each route's own errors, and with the key if one is needed."""

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            app.openapi_schema = _document(app, with_keys)
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]


def _document(app: FastAPI, with_keys: bool) -> dict[str, Any]:
    document = get_openapi(title=app.title, version=app.version, description=DESCRIPTION, routes=app.routes)
    schemas = document["components"]["schemas"]
    schemas |= _schemas_of_problems()
    for gone in ("HTTPValidationError", "ValidationError"):
        schemas.pop(gone, None)
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            responses = operation["responses"]
            responses.pop("422", None)
            if f"{method} {path}" in ANSWERS:
                responses["200"]["content"]["application/json"]["example"] = ANSWERS[f"{method} {path}"]
            for status in _statuses(path, operation, with_keys):
                responses.setdefault(str(status), _response(status))
            if with_keys and path not in FREE_OF_KEYS:
                operation["security"] = [{"key": []}]
    if with_keys:
        about = {"type": "http", "scheme": "bearer", "description": "`hyperaware keys add` makes one."}
        document["components"]["securitySchemes"] = {"key": about}
    return document


def _statuses(path: str, operation: dict[str, Any], with_keys: bool) -> Iterator[int]:
    if path in FREE_OF_KEYS:
        return
    yield from (400, 403, *ANYWHERE)
    if with_keys:
        yield 401
    if "requestBody" in operation:
        yield from (408, 413)
    if path not in ("/metrics", "/v1/policy"):
        yield 404
    if path.startswith(("/v1/reviews", "/v1/items")):
        yield 409


def _response(status: int) -> dict[str, Any]:
    problem = PROBLEMS[status]
    reference = {"$ref": "#/components/schemas/ProblemBody"}
    example = problem["content"]["application/json"]["example"]
    return {
        "description": problem["description"],
        "content": {"application/json": {"schema": reference, "example": example}},
    }


def _examples(operation: dict[str, Any]) -> Iterator[Any]:
    """What stands in the document as examples: of the body, else of the answer."""
    for _, content in _contents(operation.get("requestBody", {})):
        yield from content.get("examples", ())
    for status, response in operation["responses"].items():
        if status.startswith("2"):
            yield from (content["example"] for _, content in _contents(response) if "example" in content)


def _contents(part: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    yield from part.get("content", {}).items()


def _schemas_of_problems() -> dict[str, Any]:
    schema = ProblemBody.model_json_schema(ref_template="#/components/schemas/{model}")
    inner = schema.pop("$defs")
    return {"ProblemBody": schema, **inner}


def routes_page(document: dict[str, Any]) -> str:
    """The document as one HTML page: every route with what it does, its fields and an example."""
    parts = []
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            parts.append(_route(method.upper(), path, operation))
    about = "".join(f"<p>{escape(line)}</p>" for line in document["info"]["description"].split("\n\n"))
    title = f"{document['info']['title']} {document['info']['version']}"
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title></head>'
        f'<body><h1>{escape(title)}</h1>{about}<p><a href="/openapi.json">The OpenAPI document</a></p>'
        f"{''.join(parts)}</body></html>"
    )


def _route(method: str, path: str, operation: dict[str, Any]) -> str:
    examples = "".join(
        f"<pre>{escape(json.dumps(example, indent=2, ensure_ascii=False))}</pre>"
        for example in _examples(operation)
    )
    parameters = "".join(
        f"<li><code>{escape(each['name'])}</code>: {escape(json.dumps(each['schema']))}</li>"
        for each in operation.get("parameters", ())
    )
    return (
        f"<section><h2><code>{method} {escape(path)}</code></h2>"
        f"<p>{escape(operation.get('description', ''))}</p><ul>{parameters}</ul>{examples}</section>"
    )
