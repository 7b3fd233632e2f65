"""Run the server until it is told to stop: requests in progress are finished first."""

import logging
import socket
from collections.abc import Callable

import uvicorn
from fastapi import FastAPI

from hyperaware.errors import ConfigError
from hyperaware.server.app import create_app
from hyperaware.server.settings import Settings

__all__ = ["serve", "server_of"]

BACKLOG = 2048
KEEP_ALIVE = 30
CONNECTIONS = 1000
"""Further ones are answered 503 at once."""


def serve(settings: Settings, *, bound: Callable[[str], None] = lambda url: None) -> None:
    """Serve until SIGINT or SIGTERM.

    Args:
        bound: called with the server's URL when its port is bound; the model is loaded after that.

    Raises:
        ConfigError, RecordError: the application cannot be made.
        ConfigError: the port is taken, or the host is none of this machine.
    """
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s: %(message)s")
    app = create_app(settings)
    with _bound(settings.host, settings.port) as listening:
        host, port = listening.getsockname()[:2]
        bound(f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}")
        server_of(app, settings).run(sockets=[listening])


def server_of(app: FastAPI, settings: Settings) -> uvicorn.Server:
    """What reads requests and writes answers, with the limits that hold before the application sees any."""
    config = uvicorn.Config(
        app,
        access_log=False,  # the audit log says what was decided, the figures how much
        log_config=None,
        log_level=logging.WARNING,
        server_header=False,
        proxy_headers=False,  # who asks is told by the key, never by a header
        http="h11",  # the faster httptools takes headers without end
        ws="none",
        backlog=BACKLOG,
        limit_concurrency=CONNECTIONS,
        timeout_keep_alive=KEEP_ALIVE,
        timeout_graceful_shutdown=int(settings.drain_seconds),
    )
    return uvicorn.Server(config)


def _bound(host: str, port: int) -> socket.socket:
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listening = socket.socket(family, kind, protocol)
        try:
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listening.bind(address)
            listening.listen(BACKLOG)  # from here on a client waits, and is not refused
        except BaseException:
            listening.close()
            raise
    except OSError as error:
        raise ConfigError(
            f"host {host}, port {port}: {error.strerror}. Give another one; port 0 takes a free one."
        ) from error
    return listening
