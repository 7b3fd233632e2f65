"""The application under test, over a small gallery, and what its tests send to it."""

import base64
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
from starlette.testclient import TestClient

from hyperaware.catalogue import start_store
from hyperaware.data.quadruplet import Row
from hyperaware.index.ingest import ingest
from hyperaware.models.dual_encoder import DualEncoder
from hyperaware.server.app import create_app
from hyperaware.server.run import server_of
from hyperaware.server.settings import DEMO_POLICY, Settings

__all__ = ["LOCAL", "PATIENCE", "data_url", "made_index", "running", "served"]

PATIENCE = 120.0
"""Seconds: test machines are slow. Nobody waits for so long on a machine that is not."""
LOCAL = "http://127.0.0.1"


def made_index(folder: Path, rows: list[Row], model: DualEncoder) -> Path:
    with start_store(folder / "index", model) as store:
        ingest(store, model, rows[0].safe_image.parent.parent)
    return folder / "index"


@contextmanager
def served(model: DualEncoder, **settings: Any) -> Iterator[TestClient]:
    """A client of an application that is ready; its settings are those of the demo where none are given."""
    chosen = {"demo": True, "policy": DEMO_POLICY, "requests_per_minute": 0, **settings}
    app = create_app(Settings(**chosen), model=model)
    with TestClient(app, base_url=LOCAL, raise_server_exceptions=False) as client:
        deadline = time.monotonic() + PATIENCE
        while client.get("/health/ready").status_code != 200:
            assert time.monotonic() < deadline, client.get("/health/ready").text
            time.sleep(0.01)
        yield client


@contextmanager
def running(settings: Settings, model: DualEncoder) -> Iterator[str]:
    """The URL of a server in a thread, which listens at a port and is ready to answer."""
    server = server_of(create_app(settings, model=model), settings)
    with socket.create_server(("127.0.0.1", 0)) as listening:
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
        thread.start()
        url = f"http://127.0.0.1:{listening.getsockname()[1]}"
        try:
            _wait_until_ready(url)
            yield url
        finally:
            server.should_exit = True
            thread.join()


def _wait_until_ready(url: str) -> None:
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            if httpx.get(f"{url}/health/ready", timeout=PATIENCE).status_code == 200:
                return
        except httpx.TransportError:
            pass
        assert time.monotonic() < deadline, "the server did not become ready"
        time.sleep(0.02)


def data_url(data: bytes | Path, kind: str = "png") -> str:
    """A picture as a `data:` URL."""
    content = data if isinstance(data, bytes) else data.read_bytes()
    return f"data:image/{kind};base64,{base64.b64encode(content).decode()}"
