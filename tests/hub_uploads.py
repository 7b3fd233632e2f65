"""The hub of `hub_server`, which also takes uploads, by the routes that the Hub's client uses."""

import base64
import hashlib
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from hub_server import LARGE, Handler, Hub

TOKEN = "hf_a_token_that_may_write"


@dataclass
class Uploads:
    """What was uploaded to a hub. `root` is the folder under which repositories are made."""

    root: Path
    visibility: dict[str, str] = field(default_factory=dict)
    commits: list[str] = field(default_factory=list)
    """A commit's message each."""
    objects: dict[str, bytes] = field(default_factory=dict)
    """Large files by sha256, before a commit names them."""
    checked: list[str] = field(default_factory=list)
    """Cards that the client had checked."""


class UploadHandler(Handler):
    """Keeps what it is given in `uploads`."""

    uploads: Uploads

    def do_POST(self) -> None:
        self._take()

    def do_PUT(self) -> None:
        self._take()

    def _take(self) -> None:
        hub: Hub = self.server.hub  # type: ignore[attr-defined]
        path = unquote(self.path.partition("?")[0])
        content = self._content()
        hub.asked.append(f"{self.command} {path}")
        parts = path.strip("/").split("/")
        if parts[0] == "lfs":  # its address is secret; it asks for no token
            return self._large(parts[1], content)
        if self.headers.get("Authorization") != f"Bearer {TOKEN}":
            return self._json(401, {"error": "Invalid credentials in Authorization header"})
        if path == "/api/repos/create":
            return self._create(hub, json.loads(content))
        if path == "/api/validate-yaml":
            self.uploads.checked.append(json.loads(content)["content"])
            return self._json(200, {"warnings": [], "errors": []})
        if "preupload" in parts:
            return self._modes(json.loads(content)["files"])
        if path.endswith(".git/info/lfs/objects/batch"):
            return self._batch(hub, json.loads(content)["objects"])
        if "commit" in parts:
            return self._commit(hub, "/".join(parts[2:4]), content)
        return self._json(404, {"error": path})

    def _content(self) -> bytes:
        if "Content-Length" in self.headers:
            return self.rfile.read(int(self.headers["Content-Length"]))
        content = b""  # in chunks
        while size := int(self.rfile.readline().strip() or b"0", 16):
            content += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return content

    def _create(self, hub: Hub, asked: dict[str, Any]) -> None:
        repo = f"{asked['organization']}/{asked['name']}"
        if asked["organization"] == "somebody":
            return self._json(403, {"error": "You don't have the rights to create a model there"})
        if repo in hub.repositories:
            return self._json(409, {"error": "exists", "url": f"{hub.url}/{repo}"})
        private = asked.get("visibility", "private" if asked.get("private") else "public")
        self.uploads.visibility[repo] = private
        hub.repositories[repo] = self.uploads.root / repo.replace("/", "--")
        hub.repositories[repo].mkdir(parents=True)
        return self._json(200, {"url": f"{hub.url}/{repo}"})

    def _modes(self, files: list[dict[str, Any]]) -> None:
        modes = [
            {
                "path": file["path"],
                "uploadMode": "lfs" if file["path"].endswith(LARGE) else "regular",
                "shouldIgnore": False,
            }
            for file in files
        ]
        self._json(200, {"files": modes})

    def _batch(self, hub: Hub, objects: list[dict[str, Any]]) -> None:
        answers = [
            {**each, "actions": {"upload": {"href": f"{hub.url}/lfs/{each['oid']}"}}} for each in objects
        ]
        self._json(200, {"transfer": "basic", "objects": answers})

    def _large(self, oid: str, content: bytes) -> None:
        assert hashlib.sha256(content).hexdigest() == oid
        self.uploads.objects[oid] = content
        self._json(200, {})

    def _commit(self, hub: Hub, repo: str, content: bytes) -> None:
        lines = [json.loads(line) for line in content.splitlines()]
        for line in lines:
            value = line["value"]
            if line["key"] == "header":
                self.uploads.commits.append(value["summary"])
            elif line["key"] == "file":
                (hub.repositories[repo] / value["path"]).write_bytes(base64.b64decode(value["content"]))
            else:
                (hub.repositories[repo] / value["path"]).write_bytes(self.uploads.objects[value["oid"]])
        oid = hub.commit(repo)
        answer = {"commitUrl": f"{hub.url}/{repo}/commit/{oid}", "commitOid": oid, "success": True}
        self._json(200, answer)

    def _json(self, status: int, document: dict[str, Any]) -> None:
        self._send(status, json.dumps(document).encode(), {"Content-Type": "application/json"}, True)


def uploads_handler(uploads: Uploads) -> type[UploadHandler]:
    """A handler for these uploads, of a hub of their own."""
    return type("UploadHandlerOfOneHub", (UploadHandler,), {"uploads": uploads})
