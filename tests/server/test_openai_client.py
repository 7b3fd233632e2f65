"""OpenAI's own client against a server that really runs, its model in a process of its own."""

import os
import signal
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import openai
import pytest
from openai import OpenAI
from served_app import PATIENCE, data_url

from hyperaware.data.quadruplet import Row
from hyperaware.records.chain import examine
from hyperaware.records.keys import KeyRing
from hyperaware.server.app import create_app
from hyperaware.server.engine import Engine
from hyperaware.server.moderations import CATEGORIES
from hyperaware.server.run import server_of
from hyperaware.server.settings import Settings


class Live:
    """A running server."""

    def __init__(self, state: Path) -> None:
        self.ring = KeyRing.read(state / "keys.json", create=True)
        self.token = self.key("viewer")
        self.clients: list[OpenAI] = []
        settings = Settings(
            state=state,
            max_inputs=40,
            queue_size=40,
            max_body_bytes=100_000,
            batch_wait_ms=0,
            request_seconds=PATIENCE,
        )
        app = create_app(settings)
        self.engine: Engine = app.state.engine
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self.socket.getsockname()[1]}/v1"
        self.server = server_of(app, settings)
        self.thread = threading.Thread(target=self.server.run, kwargs={"sockets": [self.socket]})
        self.thread.start()
        self.wait()

    def key(self, role: str, *scopes: str) -> str:
        return self.ring.create(role, "a client", scopes=scopes or ("search", "moderate"))[1]

    def client(self, token: str | None = None, **options: object) -> OpenAI:
        chosen: dict = {"_strict_response_validation": True, "max_retries": 0, "timeout": PATIENCE, **options}
        self.clients.append(OpenAI(base_url=self.url, api_key=token or self.token, **chosen))
        return self.clients[-1]

    def wait(self) -> None:
        deadline = time.monotonic() + PATIENCE
        while self.engine.reasons():
            assert time.monotonic() < deadline, self.engine.reasons()
            time.sleep(0.02)

    def stop(self) -> None:
        self.server.should_exit = True
        self.thread.join()
        self.socket.close()
        for client in self.clients:
            client.close()


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    running = Live(tmp_path_factory.mktemp("live"))
    yield running
    running.stop()


def test_a_text_gets_a_result_with_every_category(live: Live, unsafe_text: str) -> None:
    answer = live.client().moderations.create(input=unsafe_text)
    assert answer.id.startswith("modr-")
    assert answer.model == "world-hysac-ordered"
    (result,) = answer.results
    assert result.flagged
    scores = result.category_scores.model_dump(by_alias=True)
    assert set(scores) == set(CATEGORIES)
    assert set(result.categories.model_dump(by_alias=True)) == set(CATEGORIES)
    applied = result.category_applied_input_types.model_dump(by_alias=True)
    assert set(applied) == set(CATEGORIES)
    safety = result.model_extra["safety"]  # type: ignore[index]
    assert safety["action"] == "redirect"
    assert safety["parts"][0]["score"] > safety["parts"][0]["bound"]
    assert safety["measured"] == [name for name in CATEGORIES if applied[name]]
    for name in CATEGORIES:
        if not applied[name]:  # what nobody looked at is false and 0.0, and says so
            assert (scores[name], result.categories.model_dump(by_alias=True)[name]) == (0.0, False)


def test_categories_that_are_calibrated_apply_and_others_do_not(live: Live, unsafe_text: str) -> None:
    (result,) = live.client().moderations.create(input=unsafe_text).results
    applied = result.category_applied_input_types.model_dump(by_alias=True)
    assert applied["violence"] == ["text"]
    assert applied["illicit"] == ["text"]  # ours is called "illegal"
    for nobody in ("sexual/minors", "violence/graphic", "self-harm/intent", "hate/threatening"):
        assert applied[nobody] == []


def test_each_text_of_a_list_gets_its_own_result(live: Live, rows: list[Row]) -> None:
    texts = [text for row in rows for text in (row.safe_text, row.unsafe_text)]
    together = live.client().moderations.create(input=texts).results
    assert len(together) == len(texts)
    alone = [live.client().moderations.create(input=text).results[0] for text in texts[:2]]
    for one, same in zip(alone, together, strict=False):
        assert one.model_extra["safety"]["parts"][0]["score"] == pytest.approx(  # type: ignore[index]
            same.model_extra["safety"]["parts"][0]["score"],
            abs=1e-5,  # type: ignore[index]
        )
    unsafe = sum(result.flagged for result in together[1::2])
    assert unsafe > len(rows) * 0.8


def test_parts_get_one_result_together(live: Live, rows: list[Row]) -> None:
    parts = [
        {"type": "text", "text": rows[0].safe_text},
        {"type": "image_url", "image_url": {"url": data_url(rows[0].unsafe_image)}},
    ]
    (result,) = live.client().moderations.create(input=parts).results  # type: ignore[arg-type]
    found = result.model_extra["safety"]["parts"]  # type: ignore[index]
    assert [part["modality"] for part in found] == ["text", "image"]
    assert result.flagged
    applied = result.category_applied_input_types.model_dump(by_alias=True)
    assert applied["violence"] == ["text", "image"]
    assert applied["hate"] == ["text"]  # in OpenAI's shape it applies to texts only


def test_embeddings_come_in_openais_own_encoding(live: Live) -> None:
    client = live.client(_strict_response_validation=False)  # the client itself asks for base64
    answer = client.embeddings.create(model="any", input=["a rabbit", "a cup"])
    assert [len(each.embedding) for each in answer.data] == [128, 128]
    floats = client.embeddings.create(model="any", input="a rabbit", encoding_format="float")
    assert floats.data[0].embedding == pytest.approx(answer.data[0].embedding, abs=1e-5)


def test_errors_are_the_clients_own_classes(live: Live) -> None:
    create = live.client().moderations.create
    with pytest.raises(openai.AuthenticationError) as unknown:
        live.client("hya_nobody").moderations.create(input="x")
    assert unknown.value.code == "invalid_api_key"
    with pytest.raises(openai.PermissionDeniedError):
        live.client(live.key("viewer", "search")).moderations.create(input="x")
    with pytest.raises(openai.PermissionDeniedError):
        create(input="x", extra_body={"role": "researcher"})
    with pytest.raises(openai.NotFoundError) as model:
        create(input="x", model="gpt-4")
    assert (model.value.code, model.value.param) == ("model_not_found", "model")
    for given in ("", " ", [], ["x", ""], ["x"] * 41, "\ud800x"):
        with pytest.raises((openai.BadRequestError, UnicodeEncodeError)):
            create(input=given)
    picture = {"type": "image_url", "image_url": {"url": data_url(b"no picture")}}
    with pytest.raises(openai.BadRequestError) as refused:
        create(input=[picture])  # type: ignore[list-item]
    assert (refused.value.code, refused.value.param) == ("unsupported", "input[0]")
    with pytest.raises(openai.APIStatusError) as large:
        create(input="x" * 200_000)
    assert large.value.status_code == 413
    assert create(input="x", model="omni-moderation-latest").results


def test_a_full_queue_is_a_rate_limit_that_the_client_waits_for(live: Live) -> None:
    text, waiting, client = ["x"] * 30, [], live.client()

    def ask() -> None:
        with suppress(openai.APIStatusError):
            client.moderations.create(input=text)

    os.kill(live.engine._supervisor.pid or 0, signal.SIGSTOP)
    try:
        deadline = time.monotonic() + PATIENCE
        while live.engine.waiting < 30:  # some are under way, the next one waits
            assert time.monotonic() < deadline
            waiting.append(threading.Thread(target=ask))
            waiting[-1].start()
            time.sleep(0.2)
        with pytest.raises(openai.RateLimitError) as busy:
            client.moderations.create(input=text)
        assert busy.value.code == "queue_full"
        assert busy.value.response.headers["retry-after"] == "1"
    finally:
        os.kill(live.engine._supervisor.pid or 0, signal.SIGCONT)
        for thread in waiting:
            thread.join()
    assert live.client(max_retries=5).moderations.create(input=text).results


def test_a_killed_model_is_back_soon_and_nothing_is_missing_from_the_audit_log(live: Live) -> None:
    live.wait()
    log = live.engine.settings.state_folder / "audit.jsonl"
    before, pid = examine(log).records, live.engine._supervisor.pid
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    deadline, refusals = time.monotonic() + PATIENCE, []
    answer = None
    while answer is None:
        try:
            answer = live.client().moderations.create(input="a rabbit")
        except openai.InternalServerError as error:
            refusals.append((error.status_code, error.response.headers["retry-after"]))
            assert time.monotonic() < deadline
            time.sleep(0.05)
    assert set(refusals) <= {(503, "1")}
    assert live.engine._supervisor.pid != pid
    found = examine(log)
    assert found.problems == []
    assert found.records == before + 3  # model_failed, recovered, and one decision: none for the refused
    assert answer.results[0].model_extra["safety"]["parts"][0]["decision_id"] in log.read_text()  # type: ignore[index]


def test_a_server_that_stops_answers_what_it_has_begun(live: Live) -> None:
    """The last one: the server is gone afterwards."""
    live.wait()
    answers: list[int] = []
    pid = live.engine._supervisor.pid
    assert pid is not None

    def ask() -> None:
        answers.append(len(live.client().moderations.create(input=["x"] * 3).results))

    os.kill(pid, signal.SIGSTOP)
    thread = threading.Thread(target=ask)
    thread.start()
    deadline = time.monotonic() + PATIENCE
    while not live.server.server_state.tasks:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    live.server.should_exit = True
    time.sleep(0.3)  # it has noticed by now: it looks ten times a second
    os.kill(pid, signal.SIGCONT)
    thread.join()
    live.thread.join()
    assert answers == [3]
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
    with pytest.raises(openai.APIConnectionError):
        live.client().moderations.create(input="x")
