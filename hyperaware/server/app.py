"""The application: every route, behind the gate."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio.to_thread
from fastapi import FastAPI
from starlette.middleware.cors import CORSMiddleware

import hyperaware
from hyperaware.models.dual_encoder import DualEncoder
from hyperaware.server import (
    about,
    disk_map,
    embeddings,
    explanations,
    health,
    items,
    moderations,
    pages,
    policies,
    problems,
    reviews,
    searches,
    traversals,
    trials,
)
from hyperaware.server.document import described
from hyperaware.server.engine import Engine
from hyperaware.server.gate import Gate, Rates, visitor
from hyperaware.server.settings import Settings

__all__ = ["create_app"]

THREADS = 128
"""Requests that are worked on at once; they mostly wait for the model."""
ROUTES = (
    health,
    moderations,
    searches,
    items,
    disk_map,
    traversals,
    explanations,
    embeddings,
    reviews,
    policies,
    trials,
    about,
)


def create_app(settings: Settings, *, model: DualEncoder | None = None) -> FastAPI:
    """The server as an ASGI application. The model is loaded when it starts.

    Args:
        model: Encodes in this process, for tests; by default the model has a process of its own.

    Raises:
        ConfigError: settings that cannot be used.
        RecordError: audit log, reviews or keys cannot be opened.
    """
    engine = Engine(settings, model=model)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        anyio.to_thread.current_default_thread_limiter().total_tokens = THREADS
        engine.start()
        try:
            yield
        finally:
            await anyio.to_thread.run_sync(engine.stop)

    app = FastAPI(
        title="hyperaware",
        version=hyperaware.__version__,
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
        generate_unique_id_function=lambda route: route.name,
        # A missing slash at the end is no other address: a redirect would be one more way around the gate.
        redirect_slashes=False,
    )
    app.state.engine = engine
    problems.install(app)
    for module in ROUTES:
        app.include_router(module.router)
    pages.mount(app)
    described(app, with_keys=not settings.open)
    keys = engine.keys
    app.add_middleware(
        Gate,
        keys=keys,
        visitor=visitor(demo=settings.demo),
        rates=Rates(settings.requests_per_minute),
        max_body_bytes=settings.max_body_bytes,
        free=pages.FREE,
        answered=engine.metrics.answered,
    )
    if settings.cors_origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=list(settings.cors_origins),
            allow_methods=["GET", "POST", "DELETE"],
            allow_headers=["Authorization", "Content-Type"],
        )
    return app
