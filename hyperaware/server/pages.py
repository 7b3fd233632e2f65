"""The page at `/`, the page of the routes at `/docs`, and what they may load: this server's files."""

from pathlib import Path

from fastapi import FastAPI
from fastapi.responses import HTMLResponse, Response
from starlette.responses import FileResponse
from starlette.staticfiles import StaticFiles

from hyperaware.server.document import routes_page

__all__ = ["FREE", "mount"]

FOLDER = Path(__file__).with_name("page")
FREE = ("/", "/page/", "/docs", "/openapi.json", "/health/live", "/health/ready")
"""What needs no key. Nothing of the index, the model or the policy is told there."""
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; "
    "connect-src 'self'; font-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
HEADERS = {"Content-Security-Policy": POLICY, "Cache-Control": "no-cache"}
BARE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>hyperaware</title></head>
<body><h1>hyperaware</h1><p><a href="/docs">The routes of this server</a></p></body></html>
"""


class _Files(StaticFiles):
    """Static files under the page's policy of contents."""

    def file_response(self, *args: object, **options: object) -> Response:
        response = super().file_response(*args, **options)  # type: ignore[arg-type]
        response.headers.update(HEADERS)
        return response


def mount(app: FastAPI) -> None:
    """Serve the page of `hyperaware/server/page` at `/`, with its files below `/page/`."""
    index = FOLDER / "index.html"

    @app.get("/", include_in_schema=False)
    async def page() -> Response:
        if index.is_file():
            return FileResponse(index, headers=HEADERS, media_type="text/html")
        return HTMLResponse(BARE, headers=HEADERS)

    @app.get("/docs", include_in_schema=False)
    async def docs() -> Response:
        return HTMLResponse(routes_page(app.openapi()), headers=HEADERS)

    if FOLDER.is_dir():
        app.mount("/page", _Files(directory=FOLDER), name="page")
