"""The application under test, over a small gallery, and what its tests send to it."""

import base64
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from starlette.testclient import TestClient

from hyperaware.catalogue import start_store
from hyperaware.data.quadruplet import Row
from hyperaware.index.ingest import ingest
from hyperaware.models.dual_encoder import DualEncoder
from hyperaware.server.app import create_app
from hyperaware.server.settings import DEMO_POLICY, Settings

__all__ = ["LOCAL", "PATIENCE", "data_url", "made_index", "served"]

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


def data_url(data: bytes | Path, kind: str = "png") -> str:
    """A picture as a `data:` URL."""
    content = data if isinstance(data, bytes) else data.read_bytes()
    return f"data:image/{kind};base64,{base64.b64encode(content).decode()}"
