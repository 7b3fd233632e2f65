"""What the server stands on is taken away while it runs: what is not sure is not told, and it recovers."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from PIL import Image
from served_app import LOCAL, PATIENCE, data_url, served
from starlette.testclient import TestClient

from hyperaware.data.quadruplet import Row
from hyperaware.models.dual_encoder import DualEncoder
from hyperaware.records.audit import AuditLog
from hyperaware.records.chain import Record, records
from hyperaware.records.keys import KeyRing
from hyperaware.server.app import create_app
from hyperaware.server.engine import LOG_SAYS, Engine
from hyperaware.server.settings import Settings

HEADERS = ("x-content-type-options", "content-security-policy", "x-request-id", "cache-control")


@pytest.fixture
def client(model: DualEncoder, own_index: Path, tmp_path: Path) -> Iterator[TestClient]:
    with served(model, index=own_index, state=tmp_path / "state") as client:
        yield client


@pytest.fixture
def full_disk(monkeypatch: pytest.MonkeyPatch) -> Callable[[bool], None]:
    """Says whether there is no space left for the audit log."""
    put = AuditLog._put
    full = False

    def maybe(log: AuditLog, data: bytes) -> None:
        if full:
            raise OSError(28, "No space left on device")
        put(log, data)

    def switch(on: bool) -> None:
        nonlocal full
        full = on

    monkeypatch.setattr(AuditLog, "_put", maybe)
    return switch


def engine_of(client: TestClient) -> Engine:
    return client.app.state.engine  # type: ignore[attr-defined]


def logged(client: TestClient, event: str) -> list[Record]:
    log = engine_of(client).settings.state_folder / "audit.jsonl"
    return [record for record in records(log) if record.event == event]


def fault(answer: httpx.Response) -> tuple[int, str]:
    assert all(name in answer.headers for name in HEADERS)
    return answer.status_code, answer.json()["error"]["code"]


def reasons(client: TestClient) -> set[str]:
    return {each["code"] for each in client.get("/health/ready").json()["reasons"]}


# -- the audit log and the copies ------------------------------------------------------------------------


def test_a_server_that_nobody_asks_finds_out_that_it_can_record_again(
    client: TestClient, full_disk: Callable[[bool], None]
) -> None:
    """A proxy asks a server that is not ready for no decision, only whether it is ready."""
    full_disk(True)
    assert fault(client.post("/v1/moderations", json={"input": "a rabbit"})) == (503, "not_recorded")
    assert reasons(client) == {"not_recorded"}
    assert reasons(client) == {"not_recorded"}
    full_disk(False)
    assert reasons(client) == set()
    assert "No space left" in logged(client, "recovered")[-1].fields["reason"]
    assert client.post("/v1/moderations", json={"input": "a rabbit"}).status_code == 200


def test_an_item_is_neither_added_nor_removed_without_a_record(
    client: TestClient, full_disk: Callable[[bool], None], rows: list[Row]
) -> None:
    picture = {"image": {"url": data_url(rows[0].safe_image)}}
    added = client.post("/v1/items", json=picture).json()["id"]
    before = engine_of(client).searcher.store.count
    full_disk(True)
    for answer in (
        client.post("/v1/items", json={"text": "a red cup"}),
        client.delete(f"/v1/items/{added}"),
    ):
        assert fault(answer) == (503, "not_recorded")
    assert engine_of(client).searcher.store.count == before
    full_disk(False)
    assert client.get(f"/v1/items/{added}/thumbnail", params={"role": "researcher"}).status_code == 200
    assert client.delete(f"/v1/items/{added}").status_code == 200
    assert len(logged(client, "item_added")) == len(logged(client, "item_removed")) == 1


def test_a_file_that_cannot_be_deleted_keeps_its_item(
    client: TestClient, rows: list[Row], monkeypatch: pytest.MonkeyPatch
) -> None:
    added = client.post("/v1/items", json={"image": {"url": data_url(rows[0].safe_image)}}).json()["id"]

    def refused(path: Path, missing_ok: bool = False) -> None:
        raise PermissionError(1, "Operation not permitted", str(path))

    with monkeypatch.context() as patch:
        patch.setattr("hyperaware.server.items.Path.unlink", refused)
        assert fault(client.delete(f"/v1/items/{added}")) == (503, "read_only")
    assert client.delete(f"/v1/items/{added}").status_code == 200
    assert client.delete(f"/v1/items/{added}").status_code == 404


def test_a_case_without_its_copy_is_not_opened(client: TestClient, unsafe_text: str) -> None:
    folder = engine_of(client).settings.state_folder / "quarantine"
    folder.rmdir()
    asked = {"text": unsafe_text, "role": "moderated"}
    assert fault(client.post("/v1/search", json=asked)) == (503, "not_recorded")
    assert engine_of(client).reviews.depth() == 0
    folder.mkdir()
    assert client.post("/v1/search", json=asked).status_code == 200
    assert engine_of(client).reviews.depth() == 1


# -- the keys --------------------------------------------------------------------------------------------


def test_keys_that_cannot_be_read_let_nobody_in_and_say_so(model: DualEncoder, tmp_path: Path) -> None:
    file = tmp_path / "keys.json"
    token = KeyRing.read(file, create=True).create("viewer", "a test")[1]
    header = {"Authorization": f"Bearer {token}"}
    with served(model, state=tmp_path, demo=False) as client:
        good = file.read_bytes()
        for spoil in (lambda: file.write_text("{"), file.unlink):
            spoil()
            assert fault(client.get("/v1/about", headers=header)) == (503, "keys_unreadable")
            assert reasons(client) == {"keys_unreadable"}
            assert client.get("/health/live").status_code == 200
        file.write_bytes(good)
        file.chmod(0o600)
        assert reasons(client) == set()
        figures = client.get("/metrics", headers=header).text
        assert 'hyperaware_requests_total{route="other",status="503"} 2.0' in figures


def test_what_nobody_foresaw_is_answered_with_the_headers_and_counted(
    client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: Any, **__: Any) -> None:
        raise ZeroDivisionError("a secret")

    monkeypatch.setattr(engine_of(client).searcher.__class__, "search", broken)
    answer = client.post("/v1/search", json={"text": "a rabbit"})
    assert fault(answer) == (500, "unforeseen")
    assert "secret" not in answer.text
    assert '{route="/v1/search",status="500"} 1.0' in client.get("/metrics").text


# -- the index and its pictures --------------------------------------------------------------------------


def test_an_index_that_was_taken_away_or_built_anew_is_not_shown_any_more(
    client: TestClient, own_index: Path, tmp_path: Path
) -> None:
    id = client.get("/v1/map", params={"limit": 1}).json()["points"][0]["id"]

    def asked() -> set[tuple[int, str]]:
        return {
            fault(client.post("/v1/search", json={"text": "a rabbit"})),
            fault(client.post("/v1/traverse", json={"item": id})),
            fault(client.get("/v1/map")),
            fault(client.get(f"/v1/items/{id}")),
            fault(client.get(f"/v1/items/{id}/thumbnail")),
            fault(client.post("/v1/items", json={"text": "a red cup"})),
        }

    away = own_index.rename(tmp_path / "away")
    assert asked() == {(503, "index_missing")}
    assert reasons(client) == {"index_missing"}
    shutil.copytree(away, own_index)  # the same model, another file: what is in it by now, nobody has looked
    assert asked() == {(503, "index_stale")}
    assert reasons(client) == {"index_stale"}
    assert client.post("/v1/moderations", json={"input": "a rabbit"}).status_code == 200
    shutil.rmtree(own_index)
    away.rename(own_index)
    assert reasons(client) == set()
    assert client.get(f"/v1/items/{id}").status_code == 200


def test_a_picture_that_changed_since_it_was_judged_is_not_shown(client: TestClient, rows: list[Row]) -> None:
    added = client.post("/v1/items", json={"image": {"url": data_url(rows[0].safe_image)}}).json()["id"]
    store = engine_of(client).searcher.store
    item = store.get(added)
    assert item is not None
    assert store.root is not None
    asked = {"role": "researcher", "reveal": True}
    assert client.get(f"/v1/items/{added}/thumbnail", params=asked).status_code == 200
    Image.open(rows[0].unsafe_image).save(store.root / item.path)
    assert fault(client.get(f"/v1/items/{added}/thumbnail", params=asked)) == (404, "changed")
    assert client.delete(f"/v1/items/{added}").status_code == 200


def test_why_a_server_cannot_be_loaded_is_told_to_those_with_a_key_only(
    model: DualEncoder, shared_index: Path, tmp_path: Path
) -> None:
    """The error names roles and rules of the policy."""
    policy = tmp_path / "policy.toml"
    policy.write_text(
        'version = "1"\ndefault_role = "inmate"\n[roles.inmate]\naction = "block"\nshow = "safe"\n'
        '[[roles.inmate.queries]]\ncategory = "rabbits"\nabove = 0.5\naction = "block"\n'
    )
    token = KeyRing.read(tmp_path / "keys.json", create=True).create("inmate", "a test")[1]
    app = create_app(Settings(index=shared_index, state=tmp_path, policy=policy), model=model)
    with TestClient(app, base_url=LOCAL) as client:
        app.state.engine._loading.join(PATIENCE)
        answer = client.get("/health/ready")
        assert answer.status_code == 503
        assert answer.json()["reasons"] == [{"code": "ConfigError", "message": LOG_SAYS}]
        told = client.get("/v1/about", headers={"Authorization": f"Bearer {token}"})
        assert fault(told) == (503, "ConfigError")
        assert "roles.inmate.queries, rule 1" in told.json()["error"]["message"]
        assert not told.json()["error"]["message"].endswith("..")
