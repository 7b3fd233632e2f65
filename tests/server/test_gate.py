"""The gate: keys, scopes, roles, rates, sizes, hosts, and the headers of every answer."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from served_app import served
from starlette.testclient import TestClient

from hyperaware.errors import ConfigError
from hyperaware.models.dual_encoder import DualEncoder
from hyperaware.records.keys import KeyRing
from hyperaware.server.app import create_app
from hyperaware.server.gate import Rates
from hyperaware.server.settings import Settings

Keyed = Callable[..., dict[str, str]]
BODY = {"input": "a rabbit in the snow"}


@pytest.fixture(scope="module")
def client(model: DualEncoder, shared_index: Path, ring_file: Path) -> Iterator[TestClient]:
    """A client of a server with keys, which must exist before the server starts."""
    options = {"demo": False, "index": shared_index, "state": ring_file.parent, "max_body_bytes": 4096}
    with served(model, **options, max_inputs=16) as client:
        yield client


def test_without_a_key_nothing_is_told_but_whether_the_server_lives(client: TestClient) -> None:
    for path in ("/health/live", "/health/ready", "/", "/docs", "/openapi.json"):
        assert client.get(path).status_code == 200, path
    paths = client.get("/openapi.json").json()["paths"]
    asked = [(method, path) for path, methods in paths.items() for method in methods if "health" not in path]
    assert len(asked) > 15
    for method, path in asked:
        answer = client.request(method, path.replace("{id}", "x"), json={})
        assert answer.status_code == 401, path
        assert answer.json()["error"]["type"] == "authentication_error"
        assert answer.headers["www-authenticate"] == "Bearer"


@pytest.mark.parametrize("header", ["", "Bearer", "Bearer ", "Basic abc", "Bearer hya_wrong", "Bearer é"])
def test_a_wrong_key_is_no_key(client: TestClient, header: str) -> None:
    answer = client.post("/v1/moderations", json=BODY, headers={"Authorization": header.encode()})
    assert answer.status_code == 401


def test_a_revoked_key_is_refused_at_once(client: TestClient, keyed: Keyed, ring_file: Path) -> None:
    mine = keyed()
    assert client.post("/v1/moderations", json=BODY, headers=mine).status_code == 200
    ring = KeyRing.read(ring_file)
    ring.revoke(ring.keys[-1].id)
    assert client.post("/v1/moderations", json=BODY, headers=mine).status_code == 401


def test_the_role_is_that_of_the_key(client: TestClient, keyed: Keyed) -> None:
    child, admin = keyed("child"), keyed("viewer", "moderate", "admin")
    verdict = client.post("/v1/moderations", json=BODY, headers=child).json()["results"][0]["safety"]
    assert verdict["role"] == "child"
    answer = client.post("/v1/moderations", json={**BODY, "role": "researcher"}, headers=child)
    assert (answer.status_code, answer.json()["error"]["code"]) == (403, "role")
    switched = client.post("/v1/moderations", json={**BODY, "role": "researcher"}, headers=admin).json()
    assert switched["results"][0]["safety"]["role"] == "researcher"
    unknown = client.post("/v1/moderations", json={**BODY, "role": "king"}, headers=admin)
    assert (unknown.status_code, unknown.json()["error"]["param"]) == (400, "role")


def test_the_size_of_the_index_is_told_only_to_a_key_that_may_see_all_of_it(
    client: TestClient, keyed: Keyed
) -> None:
    viewer, admin = keyed("viewer"), keyed("viewer", "search", "admin")
    assert client.get("/v1/about", headers=viewer).json()["index"] is None
    assert client.get("/v1/about", headers=admin).json()["index"]["items"] == {"image": 24}


def test_a_key_whose_role_is_none_of_the_policys_opens_nothing(client: TestClient, keyed: Keyed) -> None:
    answer = client.post("/v1/moderations", json=BODY, headers=keyed("nobody"))
    assert (answer.status_code, answer.json()["error"]["code"]) == (403, "role")


@pytest.mark.parametrize(
    ("scope", "method", "path"),
    [
        ("search", "POST", "/v1/search"),
        ("search", "GET", "/v1/map"),
        ("search", "GET", "/v1/items/abc"),
        ("moderate", "POST", "/v1/moderations"),
        ("moderate", "POST", "/v1/explain"),
        ("review", "POST", "/v1/reviews/next"),
        ("review", "GET", "/v1/reviews"),
        ("review", "POST", "/v1/reviews/abc/decision"),
        ("review", "GET", "/v1/reviews/abc/content"),
        ("admin", "POST", "/v1/items"),
        ("admin", "DELETE", "/v1/items/abc"),
    ],
)
def test_each_route_needs_its_scope(
    client: TestClient, keyed: Keyed, scope: str, method: str, path: str
) -> None:
    others = tuple(each for each in ("search", "moderate", "review", "admin") if each != scope)
    answer = client.request(method, path, headers=keyed("viewer", *others), json=BODIES.get(path))
    assert (answer.status_code, answer.json()["error"]["code"]) == (403, "scope")


BODIES = {
    "/v1/search": {"text": "x"},
    "/v1/moderations": {"input": "x"},
    "/v1/explain": {"text": "x"},
    "/v1/items": {"text": "x"},
    "/v1/reviews/next": {},
    "/v1/reviews/abc/decision": {"decision": "uphold", "reason": "x"},
}


def test_a_body_over_the_limit_is_refused_before_and_while_it_is_read(
    client: TestClient, keyed: Keyed
) -> None:
    mine = keyed()
    large = b'{"input": "' + b"x" * 5000 + b'"}'
    announced = client.post("/v1/moderations", content=large, headers=mine)
    streamed = client.post("/v1/moderations", content=iter([large[:3000], large[3000:]]), headers=mine)
    lied = client.post("/v1/moderations", content=b"{}", headers={**mine, "Content-Length": "x"})
    assert [each.status_code for each in (announced, streamed, lied)] == [413, 413, 400]
    assert "4,096 bytes" in announced.json()["error"]["message"]


def test_every_answer_has_the_headers_of_safety(client: TestClient, keyed: Keyed) -> None:
    for answer in (client.get("/health/live"), client.get("/v1/map"), client.get("/v1/map", headers=keyed())):
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["x-frame-options"] == "DENY"
        assert answer.headers["content-security-policy"].startswith("default-src 'none'")
        assert answer.headers["cache-control"] == "no-store"
        assert answer.headers["x-request-id"].startswith("req-")
    page = client.get("/").headers["content-security-policy"]
    assert "script-src 'self'" in page
    assert "unsafe-inline" not in page


def test_pages_of_other_origins_may_not_call_unless_named(
    client: TestClient, model: DualEncoder, tmp_path: Path
) -> None:
    asks = {"Origin": "https://shop.example", "Access-Control-Request-Method": "POST"}
    assert "access-control-allow-origin" not in client.options("/v1/moderations", headers=asks).headers
    with served(model, state=tmp_path / "other", cors_origins=("https://shop.example",)) as other:
        allowed = other.options("/v1/moderations", headers=asks)
        assert allowed.headers["access-control-allow-origin"] == "https://shop.example"
        foreign = other.options("/v1/moderations", headers={**asks, "Origin": "https://evil.example"})
        assert "access-control-allow-origin" not in foreign.headers


@pytest.mark.parametrize(
    ("name", "value", "status"),
    [
        ("Host", "evil.example", 403),
        ("Host", "127.0.0.1.evil.example", 403),
        ("Origin", "https://evil.example", 403),
        ("Origin", "null", 403),
        ("Host", "localhost:8000", 200),
        ("Host", "[::1]:8000", 200),
        ("Origin", "http://127.0.0.1:8000", 200),
        ("Sec-Fetch-Site", "cross-site", 403),
        ("Sec-Fetch-Site", "same-origin", 200),
    ],
)
def test_without_keys_only_this_machine_may_ask(demo: TestClient, name: str, value: str, status: int) -> None:
    assert demo.post("/v1/moderations", json=BODY, headers={name: value}).status_code == status


def test_without_keys_a_visitor_has_the_default_role_and_no_more(model: DualEncoder, tmp_path: Path) -> None:
    with served(model, demo=False, no_auth=True, state=tmp_path) as client:
        assert client.post("/v1/moderations", json=BODY).json()["results"][0]["safety"]["role"] == "viewer"
        assert client.post("/v1/moderations", json={**BODY, "role": "researcher"}).status_code == 403
        assert client.get("/v1/reviews").status_code == 403
        assert client.post("/v1/search", json={"text": "x"}).json()["error"]["code"] == "no_index"


def test_no_server_without_keys_unless_it_is_asked_for(model: DualEncoder, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="hyperaware keys add"):
        create_app(Settings(state=tmp_path), model=model)


def test_rates_let_a_tenth_of_a_minute_through_at_once_and_then_their_flow() -> None:
    now = [0.0]
    rates = Rates(600, clock=lambda: now[0])
    assert [rates.wait("a") for _ in range(60)] == [0.0] * 60
    assert rates.wait("a") == pytest.approx(0.1)
    assert rates.wait("b") == 0.0  # another key has a bucket of its own
    now[0] += 0.1
    assert rates.wait("a") == 0.0
    assert rates.wait("a") > 0
    now[0] += 3600
    assert [rates.wait("a") for _ in range(61)][-1] > 0  # a bucket never holds more than its size
    assert Rates(0).wait("a") == 0.0


def test_too_many_requests_are_told_when_to_come_again(model: DualEncoder, tmp_path: Path) -> None:
    with served(model, state=tmp_path, requests_per_minute=1) as client:
        answers = [client.get("/v1/policy") for _ in range(11)]
        assert [answer.status_code for answer in answers] == [200] * 10 + [429]
        assert 0 < int(answers[-1].headers["retry-after"]) <= 60
        assert answers[-1].json()["error"]["type"] == "rate_limit_error"
        assert client.get("/health/live").status_code == 200
