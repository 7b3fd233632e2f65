"""API keys: who may ask, in which role, for what. The file has hashes only; a token is shown once."""

import hashlib
import hmac
import json
import os
import re
import secrets
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from hyperaware.errors import RecordError
from hyperaware.options import unknown_name
from hyperaware.records.disk import exclusive, write_private

__all__ = ["SCOPES", "Key", "KeyRing"]

SCOPES = ("search", "moderate", "review", "admin")
DEFAULT_SCOPES = ("search", "moderate")
"""What a key may do unless it is told otherwise: neither decide reviews nor change the server."""
VERSION = 1
_FIELDS = {"created", "expires", "id", "name", "revoked", "role", "scopes", "sha256"}
_TOKEN = re.compile(r"hya_[A-Za-z0-9_-]{43}")


@dataclass(frozen=True)
class Key:
    """One key, without its token."""

    id: str
    name: str
    """For people: whose key it is."""
    role: str
    """A role of the policy."""
    scopes: tuple[str, ...]
    created: datetime
    expires: datetime | None
    revoked: datetime | None
    digest: str = field(repr=False)
    """SHA-256 of the token. A slow hash (scrypt) is for passwords, which can be guessed; here 32 random bytes
    (2^256 possibilities) would have to be."""

    def is_valid(self, now: datetime) -> bool:
        """Whether the key opens anything at that time."""
        return self.revoked is None and (self.expires is None or now < self.expires)


class KeyRing:
    """The keys in one JSON file, which is written whole, with mode 0600.

    The file is read again when it has changed, so that a key that another process revokes is refused at once.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._seen: tuple[int, int, int, int] | None = None
        self._keys: tuple[Key, ...] = ()

    @classmethod
    def read(cls, path: str | Path, *, create: bool = False) -> "KeyRing":
        """The keys in a file; with `create` none if there is no file, which the first key then makes.

        Raises:
            RecordError: "unknown": no such file. "damaged": not as this module writes it. "refused": others
                than its owner may write it, and so could give themselves a key. "disk": it cannot be read.
        """
        ring = cls(Path(path))
        if not (create and not ring._path.exists()):
            _ = ring.keys
        return ring

    @property
    def keys(self) -> tuple[Key, ...]:
        """Every key, revoked and expired ones too; errors as in `read`."""
        with self._lock:
            try:
                status = self._path.stat()
                now = (status.st_ino, status.st_mtime_ns, status.st_ctime_ns, status.st_size)
                if now != self._seen:
                    if os.name == "posix" and status.st_mode & 0o022:
                        raise RecordError(
                            f"{self._path} may be written by others than its owner: look at its keys, and "
                            "chmod 600 it.",
                            reason="refused",
                        )
                    self._keys = _keys_of(self._path.read_bytes())
                    self._seen = now
            except FileNotFoundError:
                raise RecordError(
                    f"{self._path}: no such file of keys. `hyperaware keys add` makes one.", reason="unknown"
                ) from None
            except OSError as error:
                raise RecordError(f"{self._path}: {error.strerror}.", reason="disk") from error
            except (ValueError, TypeError, KeyError, AttributeError) as error:
                raise RecordError(
                    f"{self._path} is no file of keys as hyperaware writes it ({error}). "
                    "Restore it, or begin a new one.",
                    reason="damaged",
                ) from error
            return self._keys

    def authenticate(self, token: str) -> Key | None:
        """The key with this token; None if there is none, or it was revoked or has expired.

        The time taken does not depend on how much of a token is right: hashes are compared, all of them, each
        in constant time. Errors as in `read`: a file that cannot be read lets nobody in.
        """
        keys, found = self.keys, None
        if _TOKEN.fullmatch(token) is None:
            return None
        digest = _digest(token)
        for key in keys:
            if hmac.compare_digest(key.digest, digest):
                found = key
        return found if found is not None and found.is_valid(_now()) else None

    def create(
        self,
        role: str,
        name: str,
        *,
        scopes: Sequence[str] = DEFAULT_SCOPES,
        expires: datetime | None = None,
    ) -> tuple[Key, str]:
        """A new key and its token, which is nowhere else.

        Raises:
            ConfigError: an unknown scope.
            RecordError: "refused": no role, name or scope; an `expires` that is past or without time zone.
        """
        for scope in scopes:
            if scope not in SCOPES:
                raise unknown_name("scope", scope, SCOPES)
        for what, given in (("role", role), ("name", name)):
            if not given.strip() or len(given) > 100 or not given.isprintable():
                raise RecordError(
                    f"the {what} is {given!r:.110}, expected 1 to 100 printable characters.", reason="refused"
                )
        if not scopes:
            raise RecordError(f"a key without a scope opens nothing: {', '.join(SCOPES)}.", reason="refused")
        if expires is not None and (expires.tzinfo is None or expires <= _now()):
            raise RecordError(
                f"expires is {expires}, expected a time to come, with its time zone.", reason="refused"
            )
        token = f"hya_{secrets.token_urlsafe(32)}"
        key = Key(
            id=f"key-{secrets.token_hex(6)}",
            name=name,
            role=role,
            scopes=tuple(scope for scope in SCOPES if scope in scopes),
            created=_now(),
            expires=None if expires is None else expires.astimezone(timezone.utc),
            revoked=None,
            digest=_digest(token),
        )
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with exclusive(self._path):
            self._write((*(self.keys if self._path.exists() else ()), key))
        return key, token

    def revoke(self, id: str) -> Key:
        """The key after it was revoked, for good; one that was revoked before keeps its time.

        Raises:
            RecordError: "unknown": no key has this id.
        """
        with exclusive(self._path):
            keys = self.keys
            wanted = next((key for key in keys if key.id == id), None)
            if wanted is None:
                raise RecordError(
                    f"no key has the id {id!r:.80}. See `hyperaware keys list`.", reason="unknown"
                )
            revoked = wanted if wanted.revoked is not None else replace(wanted, revoked=_now())
            self._write(tuple(revoked if key is wanted else key for key in keys))
        return revoked

    def _write(self, keys: tuple[Key, ...]) -> None:
        document = {"version": VERSION, "keys": [_row(key) for key in keys]}
        write_private(self._path, (json.dumps(document, indent=2) + "\n").encode())


def _row(key: Key) -> dict[str, Any]:
    times = {name: getattr(key, name) for name in ("created", "expires", "revoked")}
    return {
        "id": key.id,
        "name": key.name,
        "role": key.role,
        "scopes": list(key.scopes),
        **{name: None if at is None else at.isoformat() for name, at in times.items()},
        "sha256": key.digest,
    }


def _keys_of(content: bytes) -> tuple[Key, ...]:
    """The keys in a file's content; one of four errors for any other content."""
    document = json.loads(content)
    if document["version"] != VERSION:
        raise ValueError(f"version {document['version']!r}, expected {VERSION}")
    keys = tuple(_key_of(row) for row in document["keys"])
    if len({key.id for key in keys}) != len(keys):
        raise ValueError("two keys have one id")
    return keys


def _key_of(row: dict[str, Any]) -> Key:
    if row.keys() != _FIELDS:
        raise ValueError(f"a key has the fields {', '.join(row)}, expected {', '.join(sorted(_FIELDS))}")
    times = {
        name: None if row[name] is None else datetime.fromisoformat(row[name])
        for name in ("created", "expires", "revoked")
    }
    if times["created"] is None or any(at is not None and at.tzinfo is None for at in times.values()):
        raise ValueError("a time is missing, or has no time zone")
    if re.fullmatch("[0-9a-f]{64}", row["sha256"]) is None or not set(row["scopes"]) <= set(SCOPES):
        raise ValueError("a hash or scope is none")
    if not all(isinstance(row[name], str) and row[name] for name in ("id", "name", "role")):
        raise ValueError("an id, name or role is missing")
    return Key(
        id=row["id"],
        name=row["name"],
        role=row["role"],
        scopes=tuple(row["scopes"]),
        created=times["created"],
        expires=times["expires"],
        revoked=times["revoked"],
        digest=row["sha256"],
    )


def _digest(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()


def _now() -> datetime:
    return datetime.now(timezone.utc)
