"""A small server that imitates the few routes of the Hugging Face Hub that its client asks for."""

import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote

LARGE = (".safetensors", ".bin", ".pth", ".parquet")
"""Files that a Hub keeps as large ones, named by their sha256."""


@dataclass
class Hub:
    """Repositories by name, each a folder; `asked` holds each method and path."""

    url: str
    repositories: dict[str, Path]
    asked: list[str] = field(default_factory=list)
    spoiled: set[str] = field(default_factory=set)
    """Files that are sent with their last byte changed."""
    gated: set[str] = field(default_factory=set)
    card: dict[str, dict[str, Any]] = field(default_factory=dict)

    def commit(self, repo: str) -> str:
        return hashlib.sha1(repo.encode()).hexdigest()


@contextmanager
def hub_of(
    repositories: dict[str, Path], *, handler: type[BaseHTTPRequestHandler] | None = None
) -> Iterator[Hub]:
    """A running hub on a free port of this machine; with `handler` it answers more than it does here."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler or Handler)
    hub = Hub(f"http://127.0.0.1:{server.server_port}", repositories)
    server.hub = hub  # type: ignore[attr-defined]
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *args: Any) -> None:
        """Stay silent."""

    def do_HEAD(self) -> None:
        self._answer(body=False)

    def do_GET(self) -> None:
        self._answer(body=True)

    def _answer(self, *, body: bool) -> None:
        hub: Hub = self.server.hub  # type: ignore[attr-defined]
        path = unquote(self.path.partition("?")[0])
        hub.asked.append(f"{self.command} {path}")
        parts = path.strip("/").split("/")
        if parts[0] == "api" and parts[1] in ("models", "datasets") and len(parts) in (4, 6):
            return self._info(hub, "/".join(parts[2:4]), parts[5] if len(parts) == 6 else "main")
        parts = parts[parts[0] == "datasets" :]
        if len(parts) >= 5 and parts[2] == "resolve":
            return self._file(hub, "/".join(parts[:2]), parts[3], "/".join(parts[4:]), body)
        return self._error(404, "EntryNotFound")

    def _info(self, hub: Hub, repo: str, revision: str) -> None:
        if repo in hub.gated:
            return self._error(403, "GatedRepo")
        if repo not in hub.repositories:
            return self._error(404, "RepoNotFound")
        if revision not in ("main", hub.commit(repo)):
            return self._error(404, "RevisionNotFound")
        siblings = []
        for file in sorted(path for path in hub.repositories[repo].rglob("*") if path.is_file()):
            content, name = file.read_bytes(), file.relative_to(hub.repositories[repo]).as_posix()
            entry: dict[str, Any] = {"rfilename": name, "size": len(content), "blobId": _git(content)}
            if file.suffix in LARGE:
                sha = hashlib.sha256(content).hexdigest()
                entry["lfs"] = {"sha256": sha, "size": len(content), "pointerSize": 100}
            siblings.append(entry)
        document = {"id": repo, "modelId": repo, "sha": hub.commit(repo), "siblings": siblings, "tags": []}
        document |= {"private": False, "downloads": 0, "likes": 0, "cardData": hub.card.get(repo, {})}
        return self._send(200, json.dumps(document).encode(), {"Content-Type": "application/json"}, True)

    def _file(self, hub: Hub, repo: str, revision: str, name: str, body: bool) -> None:
        file = hub.repositories.get(repo, Path("nowhere")) / name
        if not file.is_file():
            return self._error(404, "EntryNotFound")
        content = file.read_bytes()
        name_of_content = hashlib.sha256(content).hexdigest() if file.suffix in LARGE else _git(content)
        if name in hub.spoiled:
            content = content[:-1] + bytes([content[-1] ^ 1])
        headers = {"ETag": f'"{name_of_content}"', "X-Repo-Commit": hub.commit(repo)}
        return self._send(200, content, headers, body)

    def _error(self, status: int, code: str) -> None:
        self._send(status, b"", {"X-Error-Code": code, "X-Error-Message": code}, True)

    def _send(self, status: int, content: bytes, headers: dict[str, str], body: bool) -> None:
        self.send_response(status)
        for key, value in {**headers, "Content-Length": str(len(content))}.items():
            self.send_header(key, value)
        self.end_headers()
        if body:
            self.wfile.write(content)


def _git(content: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()
