"""A small gallery, a server over it that really runs, and what a browser saw of it."""

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import uvicorn

from hyperaware.catalogue import start_store
from hyperaware.index.ingest import ingest
from hyperaware.models.dual_encoder import DualEncoder
from hyperaware.models.pretrained import DEFAULT, load
from hyperaware.server.app import create_app
from hyperaware.server.settings import Settings
from hyperaware.world import export

WITHIN = 60.0
"""Seconds that a slow machine may take for what takes a quick one no time."""
ROWS = 13


@dataclass
class Gallery:
    """Pictures, their index, and the model of both."""

    folder: Path
    index: Path
    model: DualEncoder

    @classmethod
    def drawn(cls, folder: Path) -> "Gallery":
        """A new gallery: each row is a safe scene and its unsafe twin."""
        export(folder / "gallery", count=ROWS, split="test")
        model = load(DEFAULT)
        store = start_store(folder / "index", model)
        ingest(store, model, folder / "gallery")
        store.close()
        return cls(folder / "gallery", folder / "index", model)

    @property
    def unsafe_picture(self) -> Path:
        return min(self.folder.glob("images/*-unsafe.*"))


@dataclass
class Seen:
    """What a browser has complained about, and asked for."""

    complaints: list[str] = field(default_factory=list)
    urls: list[str] = field(default_factory=list)


@contextmanager
def running(settings: Settings, model: DualEncoder) -> Iterator[str]:
    """The URL of a server in a thread, ready to answer."""
    config = uvicorn.Config(create_app(settings, model=model), log_level="error", ws="none")
    server = uvicorn.Server(config)
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
    deadline = time.monotonic() + WITHIN
    while True:
        try:
            if httpx.get(f"{url}/health/ready", timeout=WITHIN).status_code == 200:
                return
        except httpx.TransportError:
            pass
        assert time.monotonic() < deadline, "the server was not ready within a minute"
        time.sleep(0.02)
