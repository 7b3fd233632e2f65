"""Requests that are judged together: each is answered as if it were alone, and recorded once."""

import json
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from served_app import data_url, served
from starlette.testclient import TestClient
from torch import Tensor

from hyperaware.data.quadruplet import Row
from hyperaware.errors import RecordError
from hyperaware.models.dual_encoder import DualEncoder
from hyperaware.records.chain import examine, records
from hyperaware.server import moderations
from hyperaware.server.engine import Engine
from hyperaware.server.moderations import ModerationResponse

ROLES = ("viewer", "child", "moderated", "researcher", "adult")
Answer = tuple[int, Any]


@pytest.fixture(scope="module")
def client(model: DualEncoder, tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    """A client of a server whose model gives a text the same point in any batch, to the last bit."""
    encode = model.encode_text

    @cache
    def point(text: str) -> Tensor:
        return encode(text)

    def steady(texts: str | list[str]) -> Tensor:
        return torch.cat([point(text) for text in ([texts] if isinstance(texts, str) else texts)])

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(model, "encode_text", steady)
        with served(model, state=tmp_path_factory.mktemp("state")) as client:
            yield client


@pytest.fixture
def engine(client: TestClient) -> Engine:
    return client.app.state.engine  # type: ignore[attr-defined]


@pytest.fixture(scope="module")
def bodies(rows: list[Row]) -> list[dict[str, Any]]:
    """Requests of every kind: a text as each role, texts, a long text, parts; then three that are refused."""
    texts = [text for row in rows for text in (row.safe_text, row.unsafe_text)]
    picture = {"type": "image_url", "image_url": {"url": data_url(rows[0].unsafe_image)}}
    return [
        *({"input": text, "role": role} for text, role in zip(texts, ROLES * 2, strict=False)),
        *({"input": texts[start : start + 5]} for start in (0, 5, 10)),
        {"input": " and ".join(texts[:5])},
        {"input": [picture, {"type": "text", "text": texts[1]}]},
        {"input": ["a cup", "\N{GRINNING FACE}" * 5000]},
        {"input": ["a cup", ""]},
        {"input": "a cup", "role": "nobody"},
    ]


def ask(client: TestClient, body: dict[str, Any]) -> Answer:
    answer = client.post("/v1/moderations", json=body)
    if answer.status_code == 200:
        ModerationResponse.model_validate_json(answer.content, strict=True)
    return answer.status_code, answer.json()


def without_ids(document: Any) -> Any:
    """An answer without what differs from request to request."""
    if isinstance(document, dict):
        return {key: without_ids(each) for key, each in document.items() if key not in ("id", "decision_id")}
    return [without_ids(each) for each in document] if isinstance(document, list | tuple) else document


def near(document: Any) -> Any:
    """What is equal to an answer but for the last bits of products, which depend on the batch."""
    if isinstance(document, dict):
        return {key: near(each) for key, each in document.items()}
    if isinstance(document, float):
        return pytest.approx(document, abs=1e-5)
    return [near(each) for each in document] if isinstance(document, list) else document


def told(answers: list[Answer]) -> list[str]:
    """The ids of the decisions in answers."""
    results = [result for status, body in answers if status == 200 for result in body["results"]]
    return [part["decision_id"] for result in results for part in result["safety"]["parts"]]


def recorded(engine: Engine) -> list[str]:
    """The ids of the decisions in the log, which is sound."""
    log: Path = engine.settings.state_folder / "audit.jsonl"
    assert examine(log).problems == []
    return [record.fields["request_id"] for record in records(log) if record.event == "decision"]


def test_at_the_same_time_each_is_answered_as_alone_and_recorded_once(
    client: TestClient, engine: Engine, bodies: list[dict[str, Any]]
) -> None:
    alone = [ask(client, body) for body in bodies]
    assert [status for status, _ in alone] == [200] * (len(bodies) - 3) + [400] * 3
    before = len(recorded(engine))
    with ThreadPoolExecutor(16) as pool:
        together = list(pool.map(lambda body: ask(client, body), bodies * 3))
    assert without_ids(together) == near(without_ids(alone * 3))
    new = recorded(engine)[before:]
    assert len(new) == len(set(new)) == 3 * before
    assert set(new) == set(told(together))


def parsed(answer: bytes | moderations.Problem) -> Any:
    assert isinstance(answer, bytes)
    return without_ids(json.loads(answer))


def group_of(engine: Engine, bodies: list[dict[str, Any]]) -> list[Any]:
    return [
        moderations._Asked(
            engine, f"modr-{number}", "viewer", moderations.inputs_of(engine, body["input"]), False
        )
        for number, body in enumerate(bodies)
    ]


def test_a_group_is_one_pass_and_one_write_and_each_is_answered_as_alone(
    engine: Engine, rows: list[Row], monkeypatch: pytest.MonkeyPatch
) -> None:
    bodies = [{"input": row.unsafe_text} for row in rows] + [{"input": [row.safe_text for row in rows]}]
    alone = [moderations._answers([asked])[0] for asked in group_of(engine, bodies)]
    calls: list[str] = []
    counted(monkeypatch, engine.parts.model, "encode_fitting", calls)
    counted(monkeypatch, engine._audit, "extend", calls)
    together = moderations._answers(group_of(engine, bodies))
    assert [parsed(answer) for answer in together] == near([parsed(answer) for answer in alone])
    assert calls == ["encode_fitting", "extend"]


def test_one_that_cannot_be_judged_keeps_no_other_from_its_answer(engine: Engine, rows: list[Row]) -> None:
    group = group_of(engine, [{"input": "\N{GRINNING FACE}" * 5000}, {"input": rows[0].safe_text}])
    before = len(recorded(engine))
    refused, answer = moderations._answers(group)
    assert isinstance(refused, moderations.Problem)
    assert (refused.status, refused.code, refused.param) == (400, "too_long", "input[0]")
    assert isinstance(answer, bytes)
    assert recorded(engine)[before:] == ["modr-1-0"]


def test_what_is_not_recorded_is_told_to_none_of_a_group(
    engine: Engine, rows: list[Row], monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise RecordError("no space left", reason="disk")

    monkeypatch.setattr(engine._audit, "extend", broken)
    with pytest.raises(RecordError, match="no space left"):
        moderations._answers(group_of(engine, [{"input": row.safe_text} for row in rows]))


def counted(patch: pytest.MonkeyPatch, owner: Any, name: str, calls: list[str]) -> None:
    """Note each call of a method."""
    method: Callable[..., Any] = getattr(owner, name)

    def noting(*words: Any, **named: Any) -> Any:
        calls.append(name)
        return method(*words, **named)

    patch.setattr(owner, name, noting)
