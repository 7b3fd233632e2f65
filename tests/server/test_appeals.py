"""Any decision may be appealed: one that was not under review gets a case then, from its record."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest
from served_app import data_url, served
from starlette.testclient import TestClient

from hyperaware.data.quadruplet import Row
from hyperaware.models.dual_encoder import DualEncoder
from hyperaware.moderation.policy import Policy
from hyperaware.moderation.replay import replay
from hyperaware.records.chain import records
from hyperaware.records.statement import statement

WHY = {"reason": "It is a toy."}


@pytest.fixture
def client(model: DualEncoder, shared_index: Path, tmp_path: Path) -> Iterator[TestClient]:
    with served(model, index=shared_index, state=tmp_path) as client:
        yield client


def appeal(client: TestClient, id: str, **more: Any) -> httpx.Response:
    return client.post(f"/v1/reviews/{id}/appeal", json={**WHY, **more})


def refused(client: TestClient, text: str) -> str:
    """The id of a search that was blocked."""
    answer = client.post("/v1/search", json={"text": text, "role": "child"}).json()
    assert answer["verdict"]["action"] == "block"
    return answer["id"]


def test_a_refused_search_is_appealed_and_decided_by_a_person(
    client: TestClient, unsafe_text: str, tmp_path: Path
) -> None:
    id = refused(client, unsafe_text)
    assert client.get(f"/v1/reviews/{id}").status_code == 404
    assert appeal(client, id, text=unsafe_text).json()["state"] == "open"
    case = client.post("/v1/reviews/next", json={}).json()["case"]
    assert (case["request_id"], case["action"], case["turns"][0]["reason"]) == (id, "block", WHY["reason"])
    assert case["score"] > 0
    assert client.get(f"/v1/reviews/{id}/content", params={"reveal": True}).text == unsafe_text
    assert appeal(client, id).status_code == 409
    decision = {"decision": "overturn", "reason": "Indeed."}
    assert client.post(f"/v1/reviews/{case['id']}/decision", json=decision).json()["state"] == "decided"
    assert statement(tmp_path / "audit.jsonl", id).state == "overturned"


def test_a_picture_is_given_again_and_a_reviewer_may_have_to_do_without(
    client: TestClient, rows: list[Row]
) -> None:
    picture = {"url": data_url(rows[0].unsafe_image)}
    asked = {"input": [{"type": "image_url", "image_url": picture}] * 2}
    parts = client.post("/v1/moderations", json=asked).json()["results"][0]["safety"]["parts"]
    first, second = (part["decision_id"] for part in parts)
    assert appeal(client, first, image=picture).status_code == 200
    assert client.get(f"/v1/reviews/{first}/content").headers["content-type"] == "image/jpeg"
    assert appeal(client, second).status_code == 200
    assert client.get(f"/v1/reviews/{second}/content").status_code == 404


def test_another_content_an_unknown_id_and_half_an_id_open_no_case(
    client: TestClient, unsafe_text: str
) -> None:
    id = refused(client, unsafe_text)
    assert appeal(client, id, text="a rabbit").status_code == 400
    assert appeal(client, id, text=unsafe_text, image={"url": "data:,"}).status_code == 400
    for unknown in ("search-0", id[:-1], id + "0", "%22", "decision"):
        assert appeal(client, unknown, text=unsafe_text).status_code == 404
    assert client.get("/v1/reviews").json() == []


def test_of_two_appeals_at_once_one_is_refused_and_the_server_stays_ready(
    client: TestClient, unsafe_text: str
) -> None:
    id = refused(client, unsafe_text)
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda _: appeal(client, id, text=unsafe_text).status_code, range(4)))
    assert sorted(found) == [200, 409, 409, 409]
    assert client.app.state.engine.parts.ledger.problem is None  # type: ignore[attr-defined]
    assert len(client.get("/v1/reviews").json()) == 1


def test_a_search_is_recorded_with_what_was_measured_so_that_it_can_be_replayed(
    client: TestClient, rows: list[Row], unsafe_text: str, tmp_path: Path
) -> None:
    """Also where no rule of the policy asks for a category: the rules of the next policy may."""
    item = client.get("/v1/map", params={"limit": 1}).json()["points"][0]["id"]
    asked: list[dict[str, Any]] = [
        {"text": unsafe_text},
        {"image": {"url": data_url(rows[0].unsafe_image)}},
        {"item": item},
    ]
    for query in asked:
        assert client.post("/v1/search", json=query).status_code == 200
    moderated = client.post("/v1/moderations", json={"input": unsafe_text}).json()["results"][0]
    found = [each for each in records(tmp_path / "audit.jsonl") if each.event == "decision"]
    assert [set(each.fields["categories"]) for each in found[:3]] == [set(found[3].fields["categories"])] * 3
    assert found[0].fields["categories"]["violence"] > 0
    part = moderated["safety"]["parts"][0]
    assert found[0].fields["probability"] == pytest.approx(part["probability"])
    policy = tmp_path / "next.toml"
    policy.write_text(
        'version = "next"\ndefault_role = "viewer"\n[roles.viewer]\naction = "redirect"\nshow = "safe"\n'
        '[[roles.viewer.queries]]\ncategory = "violence"\nabove = 0.999999\naction = "block"\n'
    )
    assert replay(Policy.read(policy), ((each.seq, each.fields) for each in found)).changes == []
