"""API keys: tokens that are shown once, and a file that opens nothing when it is wrong."""

import hashlib
import json
import os
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from record_samples import create_many, together

from hyperaware.errors import ConfigError, RecordError
from hyperaware.records import keys as module
from hyperaware.records.keys import KeyRing


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "keys.json"


@pytest.fixture
def ring(path: Path) -> KeyRing:
    return KeyRing.read(path, create=True)


def test_a_token_opens_its_key_and_nothing_else_does(ring: KeyRing) -> None:
    one, token = ring.create("viewer", "web shop")
    other, other_token = ring.create("moderator", "Ada", scopes=("review", "search"))
    assert ring.authenticate(token) == one
    assert ring.authenticate(other_token) == other
    assert (one.scopes, other.scopes) == (("search", "moderate"), ("search", "review"))
    near = (token[:-1], token + "A", token.swapcase(), f" {token}", f"{token}\n")
    for wrong in (*near, "", "hya_", "x" * 10**6, "hya_" + "A" * 43, "hya_" + "é" * 43):
        assert ring.authenticate(wrong) is None


def test_the_file_has_hashes_and_no_tokens(ring: KeyRing, path: Path) -> None:
    key, token = ring.create("viewer", "web shop")
    assert token.startswith("hya_")
    assert len(token) == 47
    content = path.read_text()
    assert token not in content
    assert token[4:] not in content
    assert json.loads(content)["keys"][0]["sha256"] == hashlib.sha256(token.encode()).hexdigest()
    assert path.stat().st_mode & 0o777 == 0o600
    assert token not in repr(key)
    assert key.digest not in repr(key)
    assert KeyRing.read(path).keys == (key,)


def test_a_revoked_key_opens_nothing_from_then_on_in_every_process(ring: KeyRing, path: Path) -> None:
    key, token = ring.create("viewer", "web shop")
    _, kept = ring.create("viewer", "another")
    elsewhere = KeyRing.read(path)
    assert elsewhere.authenticate(token) == key
    revoked = ring.revoke(key.id)
    assert revoked.revoked is not None
    assert ring.authenticate(token) is None
    assert elsewhere.authenticate(token) is None
    assert elsewhere.authenticate(kept) is not None
    assert ring.revoke(key.id) == revoked
    with pytest.raises(RecordError, match="no key has the id 'key-0'"):
        ring.revoke("key-0")


def test_a_key_expires(ring: KeyRing, monkeypatch: pytest.MonkeyPatch) -> None:
    expires = datetime.now(timezone.utc) + timedelta(days=1)
    key, token = ring.create("viewer", "web shop", expires=expires.astimezone(timezone(timedelta(hours=9))))
    assert key.expires == expires
    assert ring.authenticate(token) == key
    for now, opens in ((expires - timedelta(seconds=1), True), (expires, False)):
        monkeypatch.setattr(module, "_now", lambda now=now: now)
        assert (ring.authenticate(token) is not None) == opens


@pytest.mark.parametrize(
    "wrong",
    [
        {"role": ""},
        {"name": " "},
        {"name": "two\nlines"},
        {"name": "x" * 101},
        {"scopes": ()},
        {"expires": datetime(2020, 1, 1, tzinfo=timezone.utc)},
        {"expires": datetime(2090, 1, 1)},
    ],
    ids=str,
)
def test_a_wrong_key_is_refused_and_leaves_nothing(wrong: dict[str, Any], ring: KeyRing, path: Path) -> None:
    with pytest.raises(RecordError) as caught:
        ring.create(**{"role": "viewer", "name": "web shop", **wrong})
    assert caught.value.reason == "refused"
    assert not path.exists()


def test_an_unknown_scope_is_wrong_use(ring: KeyRing) -> None:
    with pytest.raises(ConfigError, match="Did you mean 'admin'"):
        ring.create("viewer", "web shop", scopes=("adnim",))


# -- a file that is wrong lets nobody in -----------------------------------------------------------------


def changed(content: dict[str, Any], **fields: Any) -> dict[str, Any]:
    return {**content, "keys": [{**content["keys"][0], **fields}]}


def test_a_damaged_file_lets_nobody_in(ring: KeyRing, path: Path) -> None:
    _, token = ring.create("viewer", "web shop")
    sound = json.loads(path.read_text())
    wrong = [
        [],
        {},
        {**sound, "version": 2},
        {**sound, "keys": [{}]},
        {**sound, "keys": 1},
        changed(sound, sha256="abc"),
        changed(sound, sha256=None),
        changed(sound, scopes=["everything"]),
        changed(sound, scopes=[["search"]]),
        changed(sound, scopes="search"),
        changed(sound, role=""),
        changed(sound, id=None),
        changed(sound, created=None),
        changed(sound, expires="2030-01-01T00:00:00"),
        changed(sound, revoked="yesterday"),
        changed(sound, revoked=False),
        changed(sound, scpoes=["admin"]),
        {**sound, "keys": sound["keys"] * 2},
    ]
    for document in wrong:
        path.write_text(json.dumps(document))
        for act in (
            lambda: ring.authenticate(token),
            lambda: KeyRing.read(path),
            lambda: ring.create("a", "b"),
        ):
            with pytest.raises(RecordError) as caught:
                act()
            assert caught.value.reason == "damaged", document
    for content in (b"", b"{", b"\xff"):
        path.write_bytes(content)
        with pytest.raises(RecordError, match="is no file of keys"):
            ring.authenticate(token)
    path.write_text(json.dumps(sound))
    assert ring.authenticate(token) is not None


def test_a_file_that_is_gone_lets_nobody_in(ring: KeyRing, path: Path) -> None:
    _, token = ring.create("viewer", "web shop")
    path.unlink()
    with pytest.raises(RecordError, match="no such file of keys") as caught:
        ring.authenticate(token)
    assert caught.value.reason == "unknown"


def test_a_file_that_others_may_write_lets_nobody_in(ring: KeyRing, path: Path) -> None:
    _, token = ring.create("viewer", "web shop")
    elsewhere = KeyRing.read(path)
    path.chmod(0o620)
    for other in (elsewhere, ring):
        with pytest.raises(RecordError, match="may be written by others"):
            other.authenticate(token)
    path.chmod(0o640)
    assert ring.authenticate(token) is not None


def test_no_file_is_an_error_unless_one_is_to_be_made(tmp_path: Path) -> None:
    with pytest.raises(RecordError, match="`hyperaware keys add` makes one"):
        KeyRing.read(tmp_path / "keys.json")
    KeyRing.read(tmp_path / "keys.json", create=True)
    assert os.listdir(tmp_path) == []


def test_processes_do_not_lose_each_others_keys(path: Path) -> None:
    together(create_many, [(path, writer, 10) for writer in range(3)])
    assert sorted(key.name for key in KeyRing.read(path).keys) == sorted(
        f"{writer}-{n}" for writer in range(3) for n in range(10)
    )
