"""What each route tells, over the shipped model and a small gallery."""

import base64
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from served_app import data_url, served
from starlette.testclient import TestClient

from hyperaware.data.quadruplet import Row
from hyperaware.errors import RecordError
from hyperaware.models.dual_encoder import DualEncoder
from hyperaware.records.chain import examine, records
from hyperaware.records.statement import statement


def state_of(client: TestClient) -> Path:
    return client.app.state.engine.settings.state_folder  # type: ignore[attr-defined]


def decisions(client: TestClient) -> list[dict]:
    log = state_of(client) / "audit.jsonl"
    assert examine(log).problems == []
    return [dict(record.fields) for record in records(log) if record.event == "decision"]


# -- moderation ------------------------------------------------------------------------------------------


def test_every_decision_is_recorded_by_its_hash_and_can_be_told_as_a_statement(
    demo: TestClient, unsafe_text: str
) -> None:
    answer = demo.post("/v1/moderations", json={"input": [unsafe_text, "a cup"], "role": "child"}).json()
    ids = [result["safety"]["parts"][0]["decision_id"] for result in answer["results"]]
    found = {each["request_id"]: each for each in decisions(demo)}
    assert set(ids) <= set(found)
    first = found[ids[0]]
    assert (first["action"], first["role"], first["policy_version"]) == ("block", "child", "demo-1")
    assert first["score"] == answer["results"][0]["safety"]["parts"][0]["score"]
    assert unsafe_text not in (state_of(demo) / "audit.jsonl").read_text()
    told = statement(state_of(demo) / "audit.jsonl", ids[0]).document()
    assert told["decision"]["action"] == "block"


def test_what_is_not_recorded_is_not_told(model: DualEncoder, shared_index: Path, tmp_path: Path) -> None:
    with served(model, index=shared_index, state=tmp_path) as client:
        engine = client.app.state.engine  # type: ignore[attr-defined]

        def broken(*_: object, **__: object) -> None:
            raise RecordError("no space left", reason="disk")

        extend, engine._audit.extend = engine._audit.extend, broken
        for path, body in (
            ("/v1/moderations", {"input": "a cup"}),
            ("/v1/search", {"text": "a cup"}),
            ("/v1/traverse", {"text": "a cup"}),
            ("/v1/explain", {"text": "a cup"}),
        ):
            answer = client.post(path, json=body)
            assert (answer.status_code, answer.json()["error"]["code"]) == (503, "not_recorded"), path
            assert answer.headers["retry-after"]
        assert client.get("/health/ready").json()["reasons"][0]["code"] == "not_recorded"
        engine._audit.extend = extend
        assert client.post("/v1/moderations", json={"input": "a cup"}).status_code == 200
        assert client.get("/health/ready").status_code == 200


def test_a_long_text_is_judged_to_its_end(demo: TestClient, rows: list[Row], unsafe_text: str) -> None:
    long = " and ".join([*(row.safe_text for row in rows), unsafe_text])
    part = demo.post("/v1/moderations", json={"input": long}).json()["results"][0]["safety"]["parts"][0]
    assert part["windows"] > 1
    assert part["score"] > part["bound"]


def test_limits_of_one_request(model: DualEncoder, tmp_path: Path) -> None:
    with served(model, state=tmp_path, max_inputs=3, max_images=1, max_text_chars=50) as client:
        picture = {"type": "image_url", "image_url": {"url": data_url(b"x")}}
        for given in (["a"] * 4, "x" * 51, ["a", "x" * 51], [picture, picture]):
            answer = client.post("/v1/moderations", json={"input": given})
            assert (answer.status_code, answer.json()["error"]["code"]) == (400, "too_large")


# -- search, items, map, traversal -----------------------------------------------------------------------


def test_an_unsafe_query_is_redirected_blocked_or_held_by_role(demo: TestClient, unsafe_text: str) -> None:
    answers = {
        role: demo.post("/v1/search", json={"text": unsafe_text, "role": role}).json()
        for role in ("viewer", "child", "moderated", "researcher", "adult")
    }
    actions = {role: answer["verdict"]["action"] for role, answer in answers.items()}
    assert actions == {
        "viewer": "redirect",
        "child": "block",
        "moderated": "review",
        "researcher": "allow",
        "adult": "blur",
    }
    assert answers["child"]["items"] == answers["moderated"]["items"] == []
    viewer = answers["viewer"]
    assert viewer["root_distance_after"] < viewer["root_distance_before"]
    limit = demo.get("/v1/policy").json()["model"]["limit"]["image"]
    assert viewer["items"]
    assert all(item["score"] <= limit for item in viewer["items"])
    assert any(item["score"] > limit for item in answers["researcher"]["items"])
    blurred = answers["adult"]["items"]
    assert all(item["blurred"] and item["caption"] is None for item in blurred)
    assert all(item["thumbnail"].endswith("?blur=true") for item in blurred)
    assert [step["name"] for step in viewer["steps"]] == ["encode", "judge", "redirect", "search"]


def test_pages_follow_one_another(demo: TestClient) -> None:
    def page(offset: int) -> dict:
        return demo.post("/v1/search", json={"text": "a cup", "k": 4, "offset": offset}).json()

    pages = [page(offset) for offset in (0, 4)]
    whole = demo.post("/v1/search", json={"text": "a cup", "k": 8}).json()
    assert [item["id"] for each in pages for item in each["items"]] == [item["id"] for item in whole["items"]]
    assert pages[0]["more"]


def test_a_picture_and_an_item_are_queries_too(demo: TestClient, rows: list[Row]) -> None:
    body = {"image": {"url": data_url(rows[0].safe_image)}, "role": "researcher", "k": 1}
    (found,) = demo.post("/v1/search", json=body).json()["items"]
    assert found["caption"] == rows[0].safe_text
    like = demo.post("/v1/search", json={"item": found["id"], "role": "researcher", "k": 1}).json()
    assert like["items"][0]["id"] == found["id"]


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"text": "a", "item": "b"},
        {"text": ""},
        {"text": "a", "k": 0},
        {"text": "a", "strength": 2},
        {"text": "a", "strength": 0.1},
        {"text": "a", "target": "sound"},
        {"text": "a", "rolle": "x"},
    ],
)
def test_a_wrong_search_is_refused_with_its_place(demo: TestClient, body: dict) -> None:
    answer = demo.post("/v1/search", json=body)
    assert answer.status_code == 400
    assert answer.json()["error"]["type"] == "invalid_request_error"


def test_a_blurred_item_is_blurred_here_and_revealed_on_purpose_only(
    demo: TestClient, rows: list[Row]
) -> None:
    body = {"image": {"url": data_url(rows[0].unsafe_image)}, "role": "researcher", "k": 1}
    (item,) = demo.post("/v1/search", json=body).json()["items"]

    def picture(**params: object) -> np.ndarray:
        answer = demo.get(f"/v1/items/{item['id']}/thumbnail", params=params)
        assert answer.headers["content-type"] == "image/jpeg"
        return np.asarray(Image.open(BytesIO(answer.content)), dtype=float)

    clear, blurred = picture(role="researcher"), picture(role="adult")
    assert contrast(blurred) < contrast(clear) / 3
    assert np.array_equal(picture(role="adult", reveal=True), clear)
    assert np.array_equal(picture(role="researcher", blur=True), blurred)
    assert demo.get(f"/v1/items/{item['id']}", params={"role": "adult"}).json()["caption"] is None
    told = demo.get(f"/v1/items/{item['id']}", params={"role": "adult", "reveal": True}).json()
    assert told["caption"] == item["caption"]
    assert demo.get(f"/v1/items/{item['id']}", params={"role": "viewer"}).status_code == 404
    events = [record.event for record in records(state_of(demo) / "audit.jsonl")]
    assert events.count("revealed") == 2
    assert decisions(demo)[-1]["item_id"] == item["id"]


def contrast(picture: np.ndarray) -> float:
    """Mean difference of neighbouring pixels."""
    return float(np.abs(np.diff(picture.mean(-1), axis=1)).mean())


def test_items_are_added_searched_and_removed(model: DualEncoder, own_index: Path, rows: list[Row]) -> None:
    with served(model, index=own_index) as client:
        picture = {"image": {"url": data_url(rows[1].safe_image)}, "caption": "a thing of my own"}
        added = client.post("/v1/items", json=picture)
        assert added.status_code == 201
        id = added.json()["id"]
        assert client.post("/v1/items", json=picture).json()["id"] == id
        body = {"image": picture["image"], "role": "researcher", "k": 2}
        captions = [item["caption"] for item in client.post("/v1/search", json=body).json()["items"]]
        assert "a thing of my own" in captions
        assert client.get(f"/v1/items/{id}/thumbnail").status_code == 200
        text = client.post("/v1/items", json={"text": "a rabbit with a cup"}).json()["id"]
        asked = {"text": "a rabbit", "target": "text", "k": 1, "role": "researcher"}
        found = client.post("/v1/search", json=asked).json()["items"]
        assert [(item["id"], item["thumbnail"]) for item in found] == [(text, None)]
        store = client.app.state.engine.searcher.store  # type: ignore[attr-defined]
        assert store.verify() == []
        assert client.delete(f"/v1/items/{id}").json() == {"id": id, "deleted": True}
        assert list((store.root / "uploads").iterdir()) == []
        (store.root / "uploads").rmdir()
        assert client.get(f"/v1/items/{id}").status_code == 404
        assert client.delete(f"/v1/items/{id}").status_code == 404
        events = [record.event for record in records(state_of(client) / "audit.jsonl")]
        assert events.count("item_added") == 3
        assert events.count("item_removed") == 1


def test_the_map_has_what_the_role_may_see(demo: TestClient, rows: list[Row]) -> None:
    viewer = demo.get("/v1/map").json()
    researcher = demo.get("/v1/map", params={"role": "researcher"}).json()
    assert len(researcher["points"]) == 2 * len(rows)
    assert 0 < len(viewer["points"]) < len(researcher["points"])
    assert all(point["root_distance"] <= viewer["limit"]["image"] for point in viewer["points"])
    assert len({point["angle"] for point in researcher["points"]}) > len(rows)
    part = demo.get("/v1/map", params={"role": "researcher", "limit": 3}).json()
    assert part["points"] == researcher["points"][:3]
    assert part["more"]
    assert not researcher["more"]


def test_the_way_to_the_root_tells_captions_that_the_role_may_read(demo: TestClient, rows: list[Row]) -> None:
    unsafe = {row.unsafe_text for row in rows}
    body = {"image": {"url": data_url(rows[0].unsafe_image)}}
    free = demo.post("/v1/traverse", json={**body, "role": "researcher"}).json()
    assert free["stops"][-1]["caption"] == "[ROOT]"
    distances = [stop["root_distance"] for stop in free["stops"]]
    assert distances == sorted(distances, reverse=True)
    assert {stop["caption"] for stop in free["stops"]} & unsafe
    viewer = demo.post("/v1/traverse", json=body).json()
    assert viewer["verdict"]["action"] == "redirect"
    assert viewer["root_distance"] < free["root_distance"]
    assert not {stop["caption"] for stop in viewer["stops"]} & unsafe
    held = demo.post("/v1/traverse", json={**body, "role": "child"}).json()
    assert (held["stops"], held["root_distance"], held["angle"]) == ([], None, None)


# -- explanations, embeddings, reviews, policy -----------------------------------------------------------


def test_an_explanation_of_a_text_and_of_a_picture(
    demo: TestClient, rows: list[Row], unsafe_text: str
) -> None:
    text = demo.post("/v1/explain", json={"text": unsafe_text}).json()
    assert [word["text"] for word in text["words"]] == unsafe_text.split()
    assert text["margin"] < 0
    assert text["nearest"]
    assert text["occlusion"] is None
    body = {"image": {"url": data_url(rows[0].unsafe_image)}, "cells": 6}
    picture = demo.post("/v1/explain", json=body).json()
    assert np.array(picture["occlusion"]).shape == (6, 6)
    assert picture["words"] == []


def test_embeddings_are_the_models_points(demo: TestClient, model: DualEncoder) -> None:
    texts = ["a rabbit in the snow", "a red cup"]
    answer = demo.post("/v1/embeddings", json={"input": texts}).json()
    points = model.encode_text(texts)
    assert np.allclose([each["embedding"] for each in answer["data"]], points.numpy(), atol=1e-6)
    assert answer["space"]["name"] == "lorentz"
    distances = [each["root_distance"] for each in answer["data"]]
    assert np.allclose(distances, model.space.root_distance(points).detach().numpy(), atol=1e-6)
    packed = demo.post("/v1/embeddings", json={"input": texts[0], "encoding_format": "base64"}).json()
    floats = np.frombuffer(base64.b64decode(packed["data"][0]["embedding"]), dtype="<f4")
    assert np.allclose(floats, points[0].numpy(), atol=1e-6)
    assert demo.post("/v1/embeddings", json={"input": "x", "dimensions": 3}).status_code == 400
    assert demo.post("/v1/embeddings", json={"input": [1, 2]}).status_code == 400


def test_a_case_goes_from_the_decision_to_the_reviewer_and_back(
    model: DualEncoder, tmp_path: Path, rows: list[Row], unsafe_text: str
) -> None:
    with served(model, state=tmp_path) as client:
        picture = {"type": "image_url", "image_url": {"url": data_url(rows[0].unsafe_image)}}
        for given in (unsafe_text, [picture]):
            held = client.post("/v1/moderations", json={"input": given, "role": "moderated"}).json()
            assert held["results"][0]["safety"]["action"] == "review"
        cases = client.get("/v1/reviews").json()
        assert sorted(case["modality"] for case in cases) == ["image", "text"]
        first = client.post("/v1/reviews/next").json()
        assert first["waiting"] == 2
        id = first["case"]["id"]
        by_modality = {case["modality"]: case["id"] for case in cases}
        text = f"/v1/reviews/{by_modality['text']}/content"
        assert client.get(text, params={"reveal": True}).text == unsafe_text
        contents = [
            client.get(f"/v1/reviews/{by_modality['image']}/content", params={"reveal": reveal}).content
            for reveal in (False, True)
        ]
        hidden, shown = (np.asarray(Image.open(BytesIO(content)), dtype=float) for content in contents)
        assert contrast(hidden) < contrast(shown) / 3
        decided = client.post(f"/v1/reviews/{id}/decision", json={"decision": "overturn", "reason": "fine"})
        assert decided.json()["state"] == "decided"
        again = client.post(f"/v1/reviews/{id}/decision", json={"decision": "uphold", "reason": "no"})
        assert (again.status_code, again.json()["error"]["code"]) == (409, "conflict")
        appeal = client.post(
            f"/v1/reviews/{first['case']['request_id']}/appeal", json={"reason": "look again"}
        )
        assert appeal.json() == {"id": id, "state": "open"}
        assert client.get("/v1/reviews/none").status_code == 404
        told = statement(tmp_path / "audit.jsonl", first["case"]["request_id"])
        assert told.state == "under appeal"
        mode = {oct(file.stat().st_mode & 0o777) for file in (tmp_path / "quarantine").iterdir()}
        assert mode == {"0o600"}


def test_the_policy_is_told_as_far_as_it_concerns_one(demo: TestClient) -> None:
    told = demo.get("/v1/policy").json()
    assert set(told["roles"]) == {"viewer", "adult", "moderated", "child", "researcher"}
    assert told["roles"]["adult"]["items"][0]["action"] == "blur"
    assert (told["role"], told["switches"]) == ("viewer", True)


def test_figures_tell_stages_verdicts_scores_and_failures(demo: TestClient, unsafe_text: str) -> None:
    demo.post("/v1/moderations", json={"input": unsafe_text})
    demo.post(
        "/v1/moderations", json={"input": [{"type": "image_url", "image_url": {"url": data_url(b"x")}}]}
    )
    page = demo.get("/metrics").text
    for line in (
        'hyperaware_stage_seconds_count{stage="moderate"}',
        'category="root distance",modality="text",policy="demo-1"}',
        'hyperaware_score_bucket{le="0.4",modality="text"}',
        'hyperaware_decode_failures_total{reason="unsupported"}',
        'hyperaware_requests_total{route="/v1/moderations",status="200"}',
        "hyperaware_queue_depth 0.0",
        "hyperaware_ready 1.0",
    ):
        assert line in page, line
    assert unsafe_text not in page


# -- when something is missing ---------------------------------------------------------------------------


def test_an_index_that_was_built_anew_by_another_model_is_stale(
    model: DualEncoder, own_index: Path, tmp_path: Path
) -> None:
    with served(model, index=own_index, state=tmp_path / "state") as client:
        file = own_index / "model.json"
        file.write_text(file.read_text().replace(model.fingerprint, "0" * 16))
        answer = client.get("/health/ready")
        assert (answer.status_code, answer.json()["reasons"][0]["code"]) == (503, "index_stale")
        file.unlink()
        assert client.get("/health/ready").json()["reasons"][0]["code"] == "index_missing"
        assert client.get("/health/live").status_code == 200


def test_errors_tell_no_paths(model: DualEncoder, own_index: Path, tmp_path: Path) -> None:
    with served(model, index=own_index, state=tmp_path / "state") as client:
        engine = client.app.state.engine  # type: ignore[attr-defined]
        item = client.post("/v1/search", json={"text": "a cup", "k": 1}).json()["items"][0]["id"]
        engine.searcher.store.close()
        for method, path in (("GET", f"/v1/items/{item}"), ("GET", "/v1/map")):
            answer = client.request(method, path)
            assert answer.status_code == 503
            assert str(tmp_path) not in answer.text
            assert "/" not in answer.json()["error"]["message"]
