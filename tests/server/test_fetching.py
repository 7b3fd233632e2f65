"""Pictures by URL: allowed hosts only, public addresses only, every redirect checked, sizes and times
bounded."""

import http.server
import socket
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from hyperaware.server.fetching import Fetcher, is_public
from hyperaware.server.pictures import picture_bytes
from hyperaware.server.problems import Problem


class Handler(http.server.BaseHTTPRequestHandler):
    """Answers by path."""

    def do_GET(self) -> None:
        if self.path.startswith("/to/"):
            self.send_response(302)
            self.send_header("Location", self.path.removeprefix("/to/"))
            self.end_headers()
            return
        self.send_response(404 if self.path == "/none" else 200)
        self.end_headers()
        if self.path == "/slow":
            self.wfile.flush()
            time.sleep(2)
        self.wfile.write(b"x" * (5000 if self.path == "/large" else 10))

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    yield server.server_port
    server.shutdown()
    thread.join()
    server.server_close()


def fetcher(port: int, **options: Any) -> Fetcher:
    """One to which this machine is public, and which may ask `a.example` and `b.example` at a port."""

    def resolve(host: str, port: int, **_: Any) -> list[Any]:
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port))]

    chosen = {"seconds": 30.0, "most": 1000, "resolve": resolve, "public": lambda address: True, **options}
    return Fetcher([f"a.example:{port}", f"b.example:{port}"], **chosen)


def refused(action: Callable[[], object]) -> str:
    with pytest.raises(Problem) as problem:
        action()
    assert problem.value.status == 400
    return problem.value.message


def test_a_picture_of_an_allowed_host_is_fetched_also_by_a_redirect(port: int) -> None:
    assert fetcher(port).fetch(f"http://a.example:{port}/x", param="p") == b"x" * 10
    assert (
        fetcher(port).fetch(f"http://a.example:{port}/to/http://b.example:{port}/x", param="p") == b"x" * 10
    )
    assert fetcher(port).fetch(f"http://A.EXAMPLE:{port}/to//to//x", param="p") == b"x" * 10


@pytest.mark.parametrize(
    "url",
    [
        "http://c.example:{port}/x",
        "http://a.example/x",
        "http://127.0.0.1:{port}/x",
        "http://a.example:{port}@c.example/x",
        "http://a.example.c.example:{port}/x",
        "http://a.example:{port}/to/http://c.example:{port}/x",
        "http://a.example:{port}/to/file:///etc/passwd",
        "file:///etc/passwd",
        "gopher://a.example:{port}/x",
        "http://user:secret@a.example:{port}/x",
        "http://a.example:99999/x",
        "http://[::1]:{port}/x",
        "http://",
        "x",
    ],
)
def test_what_is_not_allowed_is_not_asked(port: int, url: str) -> None:
    assert refused(lambda: fetcher(port).fetch(url.format(port=port), param="p")).startswith("p: ")


def test_an_allowed_name_with_a_private_address_is_not_asked(port: int) -> None:
    for address in (
        "127.0.0.1",
        "10.1.2.3",
        "192.168.0.1",
        "169.254.169.254",
        "::1",
        "fd00::1",
        "64:ff9b::a00:1",
    ):

        def resolve(host: str, port: int, address: str = address, **_: Any) -> list[Any]:
            public = (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("93.184.215.14", port))
            return [public, (socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port))]

        found = fetcher(port, resolve=resolve, public=is_public)
        message = refused(lambda found=found: found.fetch(f"http://a.example:{port}/x", param="p"))
        assert "not public" in message


def test_a_name_that_changes_its_mind_changes_nothing(port: int) -> None:
    asked = []

    def resolve(host: str, port: int, **_: Any) -> list[Any]:
        asked.append(host)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port))]

    fetcher(port, resolve=resolve).fetch(f"http://a.example:{port}/x", param="p")
    assert asked == ["a.example"]  # once: the connection goes to the address that was checked


def test_size_time_status_and_redirects_are_bounded(port: int) -> None:
    base = f"http://a.example:{port}"
    assert "larger than 1,000" in refused(lambda: fetcher(port).fetch(f"{base}/large", param="p"))
    assert refused(lambda: fetcher(port, seconds=0.2).fetch(f"{base}/slow", param="p"))
    assert "status 404" in refused(lambda: fetcher(port).fetch(f"{base}/none", param="p"))
    assert "too often" in refused(lambda: fetcher(port).fetch(base + "/to/" * 5 + "/x", param="p"))


def test_nothing_is_fetched_where_it_is_not_switched_on() -> None:
    for url in ("https://a.example/x.png", "ftp://a.example/x", "x"):
        assert "fetches nothing" in refused(
            lambda url=url: picture_bytes(url, param="p", most=10, fetcher=None)
        )


@pytest.mark.parametrize(
    "url", ["data:", "data:image/png,abc", "data:image/png;base64,a b", "data:;base64,%%%"]
)
def test_data_urls_are_base64_and_not_too_large(url: str) -> None:
    refused(lambda: picture_bytes(url, param="p", most=10, fetcher=None))
    assert picture_bytes("DATA:x;BASE64,YWJj", param="p", most=10, fetcher=None) == b"abc"
    assert "larger" in refused(
        lambda: picture_bytes("data:;base64," + "A" * 40, param="p", most=10, fetcher=None)
    )
