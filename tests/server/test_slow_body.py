"""A client that sends too slowly, or without end, is given up, and keeps nobody else waiting."""

import json
import socket
import time
from collections.abc import Iterator
from urllib.parse import urlsplit

import httpx
import pytest
from served_app import PATIENCE, running

from hyperaware.models.dual_encoder import DualEncoder
from hyperaware.server import gate
from hyperaware.server.settings import Settings

SECONDS = 0.3
BODY = json.dumps({"input": "a rabbit in the snow"}).encode()
HEAD = (
    b"POST /v1/moderations HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
    b"Content-Length: %d\r\n\r\n" % len(BODY)
)


@pytest.fixture(scope="module")
def url(model: DualEncoder, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with running(Settings(no_auth=True, state=tmp_path_factory.mktemp("state")), model) as url:
        yield url


@pytest.fixture
def line(url: str) -> Iterator[socket.socket]:
    parts = urlsplit(url)
    with socket.create_connection((parts.hostname, parts.port), timeout=PATIENCE) as line:
        yield line


def answer(line: socket.socket) -> tuple[int, dict]:
    """Status and body of the next answer on the line."""
    data = b""
    while b"\r\n\r\n" not in data:
        data += received(line)
    head, _, body = data.partition(b"\r\n\r\n")
    lines = head.decode("latin-1").lower().split("\r\n")
    length = next(int(each.split(":")[1]) for each in lines if each.startswith("content-length:"))
    while len(body) < length:
        body += received(line)
    return int(lines[0].split()[1]), json.loads(body)


def received(line: socket.socket) -> bytes:
    data = line.recv(2**16)
    assert data, "the server closed the line without an answer"
    return data


@pytest.mark.parametrize("sent", [b"", BODY[:7]], ids=["nothing", "the beginning"])
def test_a_body_that_stops_coming_is_given_up(
    url: str, line: socket.socket, sent: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gate, "BODY_SECONDS", SECONDS)
    started = time.monotonic()
    line.sendall(HEAD + sent)
    other = httpx.post(f"{url}/v1/moderations", json=json.loads(BODY), timeout=PATIENCE)
    assert other.status_code == 200  # meanwhile others are answered
    status, body = answer(line)
    assert time.monotonic() - started >= SECONDS
    assert status == 408
    assert body["error"] == {
        "message": "the body came too slowly.",
        "type": "invalid_request_error",
        "param": None,
        "code": "slow",
    }


def test_a_body_that_drips_is_given_up_although_each_part_comes_in_time(
    line: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gate, "BODY_SECONDS", 2 * SECONDS)
    line.sendall(HEAD)
    line.settimeout(SECONDS / 2)
    for place in range(len(BODY) - 1):
        line.sendall(BODY[place : place + 1])
        try:
            line.recv(1, socket.MSG_PEEK)
            break  # there is an answer
        except TimeoutError:
            pass
    line.settimeout(PATIENCE)
    assert answer(line)[0] == 408


def test_headers_without_end_are_refused(line: socket.socket) -> None:
    """They are kept in memory before anybody has looked at a key."""
    line.sendall(HEAD.removesuffix(b"\r\n"))
    endless = b"".join(b"X-More-%d: %s\r\n" % (number, b"x" * 10_000) for number in range(3000))
    with pytest.raises(ConnectionError):
        line.sendall(endless)


def test_a_body_in_parts_is_read_to_its_end(line: socket.socket) -> None:
    """The same request is answered where its parts do come."""
    line.sendall(HEAD + BODY[:7])
    time.sleep(0.05)
    line.sendall(BODY[7:])
    status, body = answer(line)
    assert status == 200, body
    assert body["results"]


def test_what_comes_after_a_408_is_no_request_of_its_own(
    url: str, line: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The rest of a body that was given up must not be taken for a request that nobody has checked."""
    monkeypatch.setattr(gate, "BODY_SECONDS", SECONDS)
    smuggled = b"GET /health/live HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
    head = HEAD.replace(b"Content-Length: %d" % len(BODY), b"Content-Length: %d" % len(smuggled))
    line.sendall(head)
    assert answer(line)[0] == 408
    line.settimeout(5)
    try:
        line.sendall(smuggled + smuggled.replace(b"live", b"ready"))
        rest = line.recv(2**16)
    except (ConnectionError, TimeoutError):
        rest = b""
    assert b"live" not in rest
