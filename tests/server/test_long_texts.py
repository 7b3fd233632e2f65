"""No route looks at the beginning of a text only: what is unsafe may stand beyond the model's context."""

import json
from pathlib import Path

import pytest
from served_app import data_url, served
from starlette.testclient import TestClient
from typer.testing import CliRunner

from hyperaware.cli.app import app
from hyperaware.data.quadruplet import Row
from hyperaware.models.dual_encoder import DualEncoder
from hyperaware.models.windows import fits
from hyperaware.server.settings import DEMO_POLICY


@pytest.fixture(scope="module")
def harmless(rows: list[Row], model: DualEncoder) -> str:
    """Safe captions, more of them than the context holds."""
    text = " and ".join(row.safe_text for row in rows)
    assert not fits(text, model.tokenizer)
    return text


@pytest.fixture(scope="module")
def hidden(harmless: str, unsafe_text: str) -> str:
    """The same with something unsafe at its end."""
    return f"{harmless} and {unsafe_text}"


def judged(client: TestClient, path: str, text: str, role: str) -> dict:
    answer = client.post(path, json={"text": text, "role": role})
    assert answer.status_code == 200, answer.text
    return answer.json()


@pytest.mark.parametrize("path", ["/v1/search", "/v1/traverse", "/v1/policy/trial"])
def test_the_end_of_a_query_is_judged(demo: TestClient, path: str, harmless: str, hidden: str) -> None:
    scores = {text: judged(demo, path, text, "child")["verdict"]["score"] for text in (harmless, hidden)}
    assert scores[hidden] > scores[harmless]
    assert judged(demo, path, hidden, "child")["verdict"]["action"] == "block"
    moderated = demo.post("/v1/moderations", json={"input": hidden}).json()["results"][0]["safety"]
    assert scores[hidden] == pytest.approx(moderated["parts"][0]["score"], abs=1e-6)


def test_a_long_query_is_searched_with_and_traversed_from_what_it_was_judged_by(
    demo: TestClient, hidden: str
) -> None:
    found = judged(demo, "/v1/search", hidden, "viewer")
    assert found["verdict"]["action"] == "redirect"
    assert found["root_distance_before"] == found["verdict"]["score"]
    assert found["root_distance_after"] < found["root_distance_before"]
    assert found["steps"][0]["numbers"]["windows"] > 1
    free = judged(demo, "/v1/traverse", hidden, "researcher")
    assert free["root_distance"] == pytest.approx(free["verdict"]["score"], abs=1e-6)


def test_what_must_be_one_point_must_fit(demo: TestClient, harmless: str, hidden: str) -> None:
    before = demo.get("/v1/about").json()["index"]
    for text in (harmless, hidden):
        added = demo.post("/v1/items", json={"text": text})
        embedded = demo.post("/v1/embeddings", json={"input": ["a cup", text]})
        for answer, param in ((added, "text"), (embedded, "input[1]")):
            error = answer.json()["error"]
            assert (answer.status_code, error["code"], error["param"]) == (400, "too_long", param)
            assert "Give it in parts" in error["message"]
    assert demo.get("/v1/about").json()["index"] == before


def test_a_caption_is_told_only_if_all_of_it_is_fit(
    model: DualEncoder, own_index: Path, tmp_path: Path, rows: list[Row], hidden: str
) -> None:
    """The pictures are harmless, so the role sees them."""
    with served(model, index=own_index, state=tmp_path) as client:
        engine = client.app.state.engine  # type: ignore[attr-defined]
        repeated = [", ".join([row.safe_text] * 8) for row in rows]
        found = engine.parts.moderator.moderate(repeated)
        fit = next(text for text, each in zip(repeated, found, strict=True) if not each.flagged)
        assert not fits(fit, model.tokenizer)
        for row, caption in zip(rows, (fit, hidden), strict=False):
            body = {"image": {"url": data_url(row.safe_image)}, "caption": caption}
            assert client.post("/v1/items", json=body).status_code == 201
        pools = {role: engine.index.captions.of(role) for role in ("viewer", "researcher")}
        assert {fit, hidden} <= set(pools["researcher"].captions)
        assert fit in pools["viewer"].captions
        assert hidden not in pools["viewer"].captions
        for pool in pools.values():
            assert pool.points.shape == (len(pool.captions), model.dim)
        root = engine.searcher.store.root
        for kept in (root / "uploads").iterdir():
            kept.unlink()
        (root / "uploads").rmdir()


def test_the_command_line_explains_the_end_of_a_text_too(unsafe_text: str, hidden: str) -> None:
    def explained(text: str) -> dict:
        words = ["policy", "explain", str(DEMO_POLICY), "--text", text, "--role", "child", "--json"]
        result = CliRunner().invoke(app, words)
        assert result.exit_code == 0, result.output
        return json.loads(result.stdout)["verdict"]

    assert explained(hidden)["action"] == "block"
    assert explained(hidden)["score"] > explained("a rabbit in the snow")["score"]
